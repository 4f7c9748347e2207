"""The intake of the head end: messages to what is stored, and to what may be acknowledged.

Owns the way of a batch from its bytes to its acknowledgement, however it came. Must never give out
an acknowledgement before the commit.
"""

from collections.abc import Iterator, Sequence

import msgspec

from gateway.core.model import GatewayId, Value
from gateway.headend.messages import BadPayload, read_records
from gateway.headend.metering import read_readings
from gateway.utility.collect_readings import OfferedReadings, TakenReadings
from gateway.utility.collect_store import Keeper
from gateway.utility.collected import Offered, Position, Store, Taken
from gateway.utility.collecting import (
    BatchAside,
    BatchCollected,
    Collecting,
    MessageRefused,
    ReadingsCollected,
    RecordsLost,
)


class Arrived(Value):
    """The payload of one message on `up/records` or `up/readings` of a gateway."""

    gateway: GatewayId
    payload: bytes
    leaf: str = "records"


class TakenIn(Value):
    """What became of some messages: where each of their gateways stands, and what to tell.

    `positions` are on disk: each is what `down/ack` of its gateway says, once the message itself
    may be let go of too.
    """

    positions: dict[GatewayId, Position]
    events: tuple[Collecting, ...]


async def take_in(keeper: Keeper, arrived: Sequence[Arrived]) -> TakenIn:
    """Store what is new of some messages, in one transaction. Raises `StoreFailed`.

    Any number of workers may do so at once, and with the same messages: nothing is lost or doubled.
    What has come early is as safe as the rest and not acknowledged yet.
    """
    offered: list[Offered] = []
    of_readings: list[OfferedReadings] = []
    events: list[Collecting] = []
    bad: list[GatewayId] = []
    for one in arrived:
        try:
            if one.leaf == "readings":
                batch = read_readings(one.payload)
                of_readings.append(OfferedReadings(gateway=one.gateway, batch=batch))
            else:
                offered.append(Offered(gateway=one.gateway, batch=read_records(one.payload)))
        except BadPayload as flawed:
            bad.append(one.gateway)
            name, detail = flawed.flaw, flawed.detail
            events.append(MessageRefused(gateway=one.gateway, name=name, detail=detail))

    def store(store: Store) -> tuple[list[Taken], list[TakenReadings], dict[GatewayId, Position]]:
        for gateway in bad:
            store.refuse(gateway)
        taken = store.take(offered) if offered else []
        readings = store.take_readings(of_readings) if of_readings else []
        return taken, readings, {one.gateway: store.position(one.gateway) for one in of_readings}

    taken, readings, after_readings = await keeper.do(store)
    positions: dict[GatewayId, Position] = {}
    for offer, became in zip(offered, taken, strict=True):
        events.extend(_told(offer, became))
        positions[offer.gateway] = became.position
    for with_readings, stored in zip(of_readings, readings, strict=True):
        events.append(_told_of_readings(with_readings, stored))
    return TakenIn(positions=positions | after_readings, events=tuple(events))


def _told_of_readings(offered: OfferedReadings, taken: TakenReadings) -> Collecting:
    gateway, batch = offered.gateway, offered.batch
    if taken.refusal is not None:
        detail = f"readings from {batch.first}, after record {batch.after.number}"
        return MessageRefused(gateway=gateway, name=taken.refusal, detail=detail)
    lost_from, lost_through = taken.lost or (None, None)
    return ReadingsCollected(
        gateway=gateway,
        through=taken.through,
        new=taken.new,
        lost_from=lost_from,
        lost_through=lost_through,
    )


def _told(offered: Offered, taken: Taken) -> Iterator[Collecting]:
    gateway, batch, through = offered.gateway, offered.batch, taken.position.through
    if taken.refusal is not None:
        detail = f"begins at {batch.first}; held are {through}"
        yield MessageRefused(gateway=gateway, name=taken.refusal, detail=detail)
        return
    if taken.aside:
        yield BatchAside(gateway=gateway, first=batch.first, through=through)
        return
    if taken.lost is not None:
        yield RecordsLost(gateway=gateway, first=taken.lost.first, through=taken.lost.through)
    yield BatchCollected(
        gateway=gateway,
        through=through,
        duplicates=taken.duplicates,
        parted_after=taken.parted_after,
        records=tuple(msgspec.Raw(content) for content in taken.records),
    )
