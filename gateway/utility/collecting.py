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


class MessageRefused(Tagged, tag="refused"):
    """A message was not taken, and why."""

    gateway: GatewayId
    name: str
    detail: str


Collecting = BrokerLink | GatewayPresence | BatchCollected | MessageRefused


def in_words(event: Collecting) -> Iterator[str]:
    """Lines for a person."""
    match event:
        case BrokerLink():
            state = "connected" if event.connected else "not connected"
            yield f"broker: {state}: {event.detail}"
        case GatewayPresence():
            yield f"{event.gateway}: {'online' if event.online else 'gone'}"
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
        case MessageRefused():
            yield f"{event.gateway}: {event.name}: {event.detail}"
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
