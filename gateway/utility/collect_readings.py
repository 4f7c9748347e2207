"""What the head end holds of readings: each once, by gateway, life of its journal, and ordinal.

Owns which readings are taken and how far they are held. Must never know a database: `ReadingRows`
are what one has to offer. Batches may come in any order; each says of which ordinals it tells all.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Protocol

from gateway.core.model import GatewayId, Value
from gateway.headend.metering import MeterReading, Place, ReadingsBatch

SPANS_MAX = 64
"""Stretches of one gateway's ordinals with gaps between them: many times what is under way."""

Span = tuple[int, int]
"""The first and the last of ordinals of which everything is held."""


class ReadingsRefusal(StrEnum):
    """Why a batch of readings was not taken. It comes again."""

    WRONG_GATEWAY = "WRONG_GATEWAY"
    """It was sent on another gateway's topic."""
    LIFE_UNKNOWN = "LIFE_UNKNOWN"
    """The record that it names is not held: whose ordinals these are shows with the next record."""
    GAP = "GAP"
    """Readings before it are missing, and too many stretches wait already."""


class OfferedReadings(Value):
    """A batch as it came on the topic of a gateway."""

    gateway: GatewayId
    batch: ReadingsBatch


class TakenReadings(Value):
    """What became of one batch. `through`: up to this ordinal all is held, in the life it is of.

    `lost`: ordinals that were acknowledged once and are not held: no gateway sends them again.
    """

    through: int = 0
    new: int = 0
    refusal: ReadingsRefusal | None = None
    lost: Span | None = None


class ReadingRows(Protocol):
    """The rows of one gateway within one transaction, which nobody else changes meanwhile."""

    def life_with(self, place: Place) -> int | None:
        """The newest life whose journal has that record."""
        ...

    def spans(self, life: int) -> list[Span]:
        """Which ordinals of a life are accounted for, in order."""
        ...

    def set_spans(self, life: int, spans: Sequence[Span]) -> None:
        """Put others in their place."""
        ...

    def highest(self) -> int:
        """Up to which ordinal all is held, in the life that goes furthest."""
        ...

    def add(self, life: int, readings: Sequence[MeterReading]) -> int:
        """Store those that are not held yet. Returns how many these were."""
        ...


def take_readings(rows: ReadingRows, gateway: GatewayId, batch: ReadingsBatch) -> TakenReadings:
    """Take one batch of a gateway."""
    if batch.gateway != gateway:
        return TakenReadings(refusal=ReadingsRefusal.WRONG_GATEWAY)
    life = rows.life_with(batch.after)
    if life is None:
        return TakenReadings(refusal=ReadingsRefusal.LIFE_UNKNOWN)
    before = rows.spans(life)
    # An acknowledgement goes out after the commit, so what was acknowledged and is not held was
    # acknowledged by another database, or in the life before, whose journal was put back.
    acked = [(1, batch.acked)] if batch.acked else []
    spans = merged([*before, *acked, (batch.first, batch.last)])
    if len(spans) > SPANS_MAX:
        return TakenReadings(through=_through(before), refusal=ReadingsRefusal.GAP)
    highest = rows.highest()
    new = rows.add(life, batch.readings)
    if spans != before:
        rows.set_spans(life, spans)
    return TakenReadings(
        through=_through(spans),
        new=new,
        lost=(highest + 1, batch.acked) if highest < batch.acked else None,
    )


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same ordinals in as few stretches as there can be, in order."""
    found: list[Span] = []
    for first, last in sorted(spans):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return found


def _through(spans: Sequence[Span]) -> int:
    return next((last for first, last in spans if first == 1), 0)
