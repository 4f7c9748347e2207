"""What the collector tells while it works: events, and the same in words.

Owns the form of its output. Must never do I/O.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, assert_never

import msgspec

from gateway.core.model import GatewayId, Tagged


class BrokerLink(Tagged, tag="broker"):
    """The connection to the broker came or went; `detail`: the protocol, or why it is gone."""

    connected: bool
    detail: str


class GatewayPresence(Tagged, tag="gateway"):
    """What a gateway, or its will, says of itself."""

    gateway: GatewayId
    online: bool


class BatchCollected(Tagged, tag="collected"):
    """Records were stored and acknowledged. `duplicates`: how many of the batch were held.

    `parted_after`: the gateway's journal was lost or an old one put back; from after that record on
    they are of another life.
    """

    gateway: GatewayId
    through: int
    duplicates: int
    records: tuple[msgspec.Raw, ...]
    parted_after: int | None = None


class BatchAside(Tagged, tag="aside"):
    """Records came before their turn: they are stored, and wait for those after `through`."""

    gateway: GatewayId
    first: int
    through: int


class ReadingsCollected(Tagged, tag="readings"):
    """Readings were stored, up to ordinal `through` without a gap, and acknowledged.

    `lost_from`, `lost_through`: ordinals that another database acknowledged and this one has not.
    """

    gateway: GatewayId
    through: int
    new: int
    lost_from: int | None = None
    lost_through: int | None = None


class RecordsLost(Tagged, tag="lost"):
    """Records that were acknowledged are not in this database, and the gateway has them no more."""

    gateway: GatewayId
    first: int
    through: int


class StoreLink(Tagged, tag="store"):
    """The database went away; `detail`: why."""

    detail: str


class Leading(Tagged, tag="leading"):
    """This worker now says for all of them that the head end is there."""


class DrillSeen(Tagged, tag="drill"):
    """An outage is being rehearsed, or is over; `gateway` None: with the whole fleet."""

    gateway: GatewayId | None
    on: bool


class MessageRefused(Tagged, tag="refused"):
    """A message was not taken, and why."""

    gateway: GatewayId
    name: str
    detail: str


Collecting = (
    BrokerLink
    | StoreLink
    | Leading
    | DrillSeen
    | GatewayPresence
    | BatchCollected
    | BatchAside
    | ReadingsCollected
    | RecordsLost
    | MessageRefused
)


def in_words(event: Collecting) -> Iterator[str]:
    """Lines for a person."""
    match event:
        case BrokerLink():
            state = "connected" if event.connected else "not connected"
            yield f"broker: {state}: {event.detail}"
        case GatewayPresence():
            yield f"{event.gateway}: {'online' if event.online else 'gone'}"
        case BatchCollected() | BatchAside() | RecordsLost():
            yield from _records_in_words(event)
        case ReadingsCollected():
            if event.lost_from is not None:
                yield (
                    f"{event.gateway}: READINGS {event.lost_from} TO {event.lost_through} ARE LOST "
                    "HERE: another database acknowledged them; a copy of that database has them"
                )
            yield f"{event.gateway}: {event.new} new readings, held through {event.through}"
        case StoreLink():
            yield f"database: not connected: {event.detail}"
        case Leading():
            yield "this worker tells the gateways that the head end is there"
        case DrillSeen():
            whom = "every gateway" if event.gateway is None else event.gateway
            if event.on:
                yield f"DRILL: away from {whom}; nothing is acknowledged until it ends"
            else:
                yield f"the drill is over: here for {whom} again"
        case MessageRefused():
            yield f"{event.gateway}: {event.name}: {event.detail}"
        case _:
            assert_never(event)


def _records_in_words(event: BatchCollected | BatchAside | RecordsLost) -> Iterator[str]:
    match event:
        case BatchCollected():
            if event.parted_after is not None:
                yield (
                    f"{event.gateway}: ITS JOURNAL WAS LOST, or an old one put back: it goes on "
                    f"after record {event.parted_after}; what was held of later is kept apart"
                )
            for raw in event.records:
                yield f"{event.gateway}: {_record_in_words(raw)}"
            again = f", {event.duplicates} came again" if event.duplicates else ""
            yield f"{event.gateway}: held and acknowledged through {event.through}{again}"
        case BatchAside():
            yield (
                f"{event.gateway}: records from {event.first} came early and wait for those "
                f"after {event.through}"
            )
        case RecordsLost():
            yield (
                f"{event.gateway}: RECORDS {event.first} TO {event.through} ARE LOST HERE: another "
                "database acknowledged them, and the gateway's journal begins later; a copy of "
                "that database has them, and while the gateway keeps its archive, its command log "
                "does"
            )
        case _:
            assert_never(event)


def _record_in_words(raw: msgspec.Raw) -> str:
    # Read without a schema: kinds of record that this version does not know are shown too.
    record: dict[str, Any] = msgspec.json.decode(raw)
    body: dict[str, Any] = record.get("body", {})
    at = datetime.fromtimestamp(record.get("wall_ms", 0) / 1000, UTC)
    said = " ".join(
        f"{name}={value}"
        for name, value in body.items()
        if name != "type" and value not in (None, "", 0, False)
    )
    return f"{record['number']:>6}  {at:%Y-%m-%d %H:%M:%S}Z  {body.get('type', '?'):<16} {said}"
