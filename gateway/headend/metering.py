"""Metering: batches of what meters measured, on `up/readings`, to bytes and back.

Owns the form of a batch. Must never do I/O, ask the time or choose what is sent.

Readings have ordinals of their own, no chain. After a lost journal they begin at 1 again; so that
they are not taken for the old ones, a batch names a record that its journal has and the head end
holds.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from gateway.core.model import (
    INTEGER_MAX,
    Count,
    GatewayId,
    IdText,
    SerialText,
    SupplyState,
    Value,
)
from gateway.headend.messages import (
    BadPayload,
    HashText,
    MessageFlaw,
    compressed,
    decoded,
    inflated,
)
from gateway.ports import StoredReading

READINGS_MAX = 64 * 1024
"""Bytes of a batch of readings, as JSON and on the wire."""
COUNT_MAX = 1_000
"""Readings of a batch: more than `READINGS_MAX` holds of the shortest."""
ENVELOPE_MAX = 384
"""Bytes of a batch besides its readings."""

Ordinal = Annotated[int, msgspec.Meta(ge=1, le=INTEGER_MAX)]


class MeterReading(Value, omit_defaults=True):
    """What was read of one meter, and when, in milliseconds UTC since 1970 by the gateway's clock.

    `trusted`: a time source answered for that instant. A value is left out where the meter's type
    does not show it. `ordinal` rises from reading to reading; where readings were thinned, some are
    missing.
    """

    ordinal: Ordinal
    meter: SerialText
    wall_ms: int
    trusted: bool
    state: SupplyState
    supply_mv: int | None = None
    load_mv: int | None = None
    current_ma: int | None = None
    power_w: int | None = None
    energy_wh: int | None = None


class Place(Value):
    """The record up to which the head end holds all: its number and chain hash, hexadecimal."""

    number: Ordinal
    chain: HashText


class ReadingsBatch(Value):
    """All readings that there are from ordinal `first` to `last`, in order; there may be none.

    `acked`: how far the sender has its acknowledgement; what is up to there it does not send again.
    `after`: the record by which it is known which journal these ordinals are of.
    """

    gateway: IdText
    first: Ordinal
    last: Ordinal
    acked: Count
    after: Place
    readings: Annotated[tuple[MeterReading, ...], msgspec.Meta(max_length=COUNT_MAX)]


class PackedReadings(Value):
    """A batch ready for the wire, and the ordinal up to which it says all."""

    last: int
    payload: bytes


_encode = msgspec.json.Encoder(order="deterministic").encode


def told(stored: StoredReading) -> MeterReading:
    """A reading of the journal as the head end is told of it."""
    return MeterReading(ordinal=stored.ordinal, **msgspec.structs.asdict(stored.reading))


def pack_readings(
    gateway: GatewayId,
    after: Place,
    acked: int,
    previous: int,
    readings: Sequence[MeterReading],
    newest: int,
) -> PackedReadings:
    """A batch of as many of the readings after ordinal `previous` as `READINGS_MAX` holds.

    Where there is none, it says that there is none up to `newest`.
    """
    taken: list[MeterReading] = []
    room = READINGS_MAX - ENVELOPE_MAX
    for reading in readings[:COUNT_MAX]:
        room -= len(_encode(reading)) + 1
        if room < 0:
            break
        taken.append(reading)
    last = taken[-1].ordinal if taken else newest
    batch = ReadingsBatch(
        gateway=gateway,
        first=previous + 1,
        last=last,
        acked=acked,
        after=after,
        readings=tuple(taken),
    )
    return PackedReadings(last=last, payload=compressed(_encode(batch)))


def read_readings(payload: bytes) -> ReadingsBatch:
    """A batch of readings, for the head end. Raises `BadPayload`."""
    plain = inflated(payload, READINGS_MAX, MessageFlaw.MALFORMED_READINGS)
    batch = decoded(plain, ReadingsBatch, MessageFlaw.MALFORMED_READINGS)
    ordinals = [reading.ordinal for reading in batch.readings]
    bounds = [batch.acked, batch.first - 1, *ordinals, batch.last + 1]
    if not bounds[0] <= bounds[1] or sorted(set(bounds[1:])) != bounds[1:]:
        raise BadPayload(MessageFlaw.MALFORMED_READINGS, "its ordinals are not in order")
    return batch
