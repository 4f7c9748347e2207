"""What the head end has collected: every record of every gateway, once, in order.

Owns the rules by which a batch is taken, whatever stores it. Must never take a record that does not
continue the chain, nor say that one is held whose predecessor is missing: what is acknowledged from
here is cleared over there.

A gateway whose journal was lost, or put back from an old card, begins another life: its records
part from those that are held where one of its processes began. Both lives are kept; the newest is
the one that goes on.

Several workers take the batches of one gateway in any order. What comes before its turn is put
aside, as durably as the rest, and whoever brings what was missing takes it in.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from gateway.core.model import GatewayId, Value
from gateway.core.records import CHAIN_START, chain_hash
from gateway.headend.messages import RecordsBatch
from gateway.headend.metering import MeterReading
from gateway.utility.collect_readings import OfferedReadings, TakenReadings

BEGINNINGS = frozenset({"started", "journal_lost", "marks_ahead"})
"""The kinds of record with which a process begins: only there another life may part."""
ASIDE_MAX = 64
"""Batches of one gateway that wait for their turn: three times what one has under way."""

Row = tuple[int, bytes, bytes]
"""A record's number, its chain hash, its canonical bytes."""


class BatchRefusal(StrEnum):
    """Why a batch was not taken."""

    GAP = "GAP"
    """Records before it are missing, and too much waits for them already; it will come again."""
    CHAIN_MISMATCH = "CHAIN_MISMATCH"
    """It does not continue, or contradicts, what is held."""
    WRONG_NUMBER = "WRONG_NUMBER"
    """A record does not bear the number of its place."""
    WRONG_GATEWAY = "WRONG_GATEWAY"
    """It was sent on another gateway's topic."""


class StoreFailed(Exception):  # noqa: N818 - the world's answer, not an error of ours
    """The database cannot be used; the message says which, why, and the mend.

    `passing`: it was reached before, and may be again by itself.
    """

    def __init__(self, said: str, *, passing: bool = False) -> None:
        super().__init__(said)
        self.passing = passing


class Position(Value):
    """The last record held of a gateway, its chain hash, and the life that it is of.

    `readings`: up to this ordinal its readings are held, of the same life.
    """

    through: int
    chain: bytes
    life: int = 1
    readings: int = 0


class Lost(Value):
    """Records that were acknowledged once and are not held, and that the gateway has no more."""

    first: int
    through: int


class Taken(Value):
    """What became of one batch, and where the gateway stands afterwards."""

    position: Position
    records: tuple[bytes, ...] = ()
    """What was stored, those that had been put aside among them: canonical bytes, in order."""
    duplicates: int = 0
    refusal: BatchRefusal | None = None
    aside: bool = False
    """It came before its turn and waits, durably, for what is missing before it."""
    parted_after: int | None = None
    """Another life began after that record: the journal was lost, or an old one put back."""
    lost: Lost | None = None
    """The database was lost, or put back from an old copy, and goes on after these."""

    @property
    def new(self) -> int:
        """How many records were stored."""
        return len(self.records)


class Counts(Value):
    """Of one gateway: records written, records received again, batches that came early or not at
    all; `lost`: records that another database had acknowledged."""

    written: int
    duplicates: int
    gaps: int
    refused: int
    lives: int = 1
    lost: int = 0


class Offered(Value):
    """A batch as it came on the topic of a gateway."""

    gateway: GatewayId
    batch: RecordsBatch


class Store(Protocol):
    """A database of the head end; belongs to the one thread that opened it.

    Everything raises `StoreFailed`.
    """

    def take(self, offered: Sequence[Offered]) -> list[Taken]:
        """Store what is new of some batches, durably; all of it or nothing."""
        ...

    def take_readings(self, offered: Sequence[OfferedReadings]) -> list[TakenReadings]:
        """Store what is new of some batches of readings, durably; all of it or nothing."""
        ...

    def refuse(self, gateway: GatewayId) -> None:
        """Count a message that was no batch at all."""
        ...

    def position(self, gateway: GatewayId) -> Position:
        """How far the records of a gateway are held."""
        ...

    def lead(self) -> bool:
        """Whether this process is the one of its database that speaks for all workers.

        It stays so until it closes the database or ends, however it ends.
        """
        ...

    def contents(self, gateway: str) -> tuple[bytes, ...]:
        """The canonical bytes of a gateway's records, in order."""
        ...

    def readings(self, gateway: str) -> tuple[MeterReading, ...]:
        """The readings of a gateway, in order."""
        ...

    def counts(self, gateway: str) -> Counts:
        """How many records of a gateway are held, and what else came."""
        ...

    def close(self) -> None:
        """Release the database."""
        ...


class Rows(Protocol):
    """The rows of one gateway within one transaction, which nobody else changes meanwhile."""

    def position(self) -> Position:
        """The last record of the life that goes on."""
        ...

    def chains(self, life: int, first: int, last: int) -> dict[int, bytes]:
        """The chain hashes that are known of a life, by record number."""
        ...

    def knows(self, number: int, chain: bytes) -> bool:
        """Whether any life holds that very record."""
        ...

    def add(self, life: int, rows: Sequence[Row]) -> None:
        """Store records."""
        ...

    def part(self, life: int, after: int) -> None:
        """Begin the next life with the records up to `after` of this one."""
        ...

    def lose(self, life: int, lost: Lost, chain: bytes) -> None:
        """Note that these records are missing for good; `chain` is the last one's hash."""
        ...

    def put_aside(self, batch: RecordsBatch, last: int) -> bool:
        """Keep a batch that came before its turn; False where `ASIDE_MAX` wait."""
        ...

    def next_aside(self, first_max: int) -> RecordsBatch | None:
        """Take out what was put aside and begins no later; the first of them."""
        ...

    def count(self, *, duplicates: int = 0, gaps: int = 0, refused: int = 0) -> None:
        """Add to what else came."""
        ...


class _Kind(msgspec.Struct, frozen=True):
    type: str


class _Numbered(msgspec.Struct, frozen=True):
    # No more is read: a head end must keep records of kinds that it does not know yet.
    number: int
    body: _Kind


def take(rows: Rows, gateway: GatewayId, batch: RecordsBatch) -> Taken:
    """Take one batch of a gateway, and what had been put aside for it."""
    taken = _take_one(rows, gateway, batch)
    position, records, duplicates = taken.position, taken.records, taken.duplicates
    while taken.new and (waiting := rows.next_aside(position.through + 1)) is not None:
        late = _take_one(rows, gateway, waiting)
        position, records = late.position, records + late.records
        duplicates += late.duplicates
    rows.count(
        duplicates=duplicates,
        gaps=taken.aside or taken.refusal is BatchRefusal.GAP,
        refused=taken.refusal not in {None, BatchRefusal.GAP},
    )
    return msgspec.structs.replace(taken, position=position, records=records, duplicates=duplicates)


def _take_one(rows: Rows, gateway: GatewayId, batch: RecordsBatch) -> Taken:
    held = rows.position()
    read = _read(batch)
    if batch.gateway != gateway:
        return Taken(position=held, refusal=BatchRefusal.WRONG_GATEWAY)
    if read is None:
        return Taken(position=held, refusal=BatchRefusal.WRONG_NUMBER)
    before, previous = batch.first - 1, bytes.fromhex(batch.prev)
    lost = _lost(rows, held, batch)
    if lost is None and before > held.through:
        if rows.put_aside(batch, read[-1][0]):
            return Taken(position=held, aside=True)
        return Taken(position=held, refusal=BatchRefusal.GAP)
    if lost is not None:
        rows.lose(held.life, lost, previous)
    known = rows.chains(held.life, before, read[-1][0])
    if (CHAIN_START if before == 0 else known.get(before)) != previous:
        return Taken(position=held, refusal=BatchRefusal.CHAIN_MISMATCH)
    at = next(
        (at for at, (number, chain, _) in enumerate(read) if known.get(number) != chain), None
    )
    if at is None:
        return Taken(position=held, duplicates=len(read))
    parted_after: int | None = None
    life, (number, chain, content) = held.life, read[at]
    if number <= held.through:
        if _kind(content) not in BEGINNINGS or rows.knows(number, chain):
            return Taken(position=held, refusal=BatchRefusal.CHAIN_MISMATCH)
        parted_after = number - 1
        rows.part(life, parted_after)
        life += 1
    rows.add(life, read[at:])
    return Taken(
        position=Position(
            through=read[-1][0],
            chain=read[-1][1],
            life=life,
            readings=held.readings if parted_after is None else 0,
        ),
        records=tuple(content for _, _, content in read[at:]),
        duplicates=at,
        parted_after=parted_after,
        lost=lost,
    )


def _lost(rows: Rows, held: Position, batch: RecordsBatch) -> Lost | None:
    """What is missing before a batch and does not come: the gateway says that it has it no more.

    A gateway is told how far its records are held, sends again what follows, and says so where its
    journal begins later. A late message of a life before proves nothing.
    """
    before = batch.first - 1
    if batch.none_after is None or not batch.none_after <= held.through < before:
        return None
    if rows.knows(before, bytes.fromhex(batch.prev)):
        return None
    return Lost(first=held.through + 1, through=before)


def _read(batch: RecordsBatch) -> list[Row] | None:
    """The rows of a batch; None where a record does not bear the number of its place."""
    found: list[Row] = []
    chain = bytes.fromhex(batch.prev)
    for number, raw in enumerate(batch.records, batch.first):
        content = bytes(raw)
        if _number(content) != number:
            return None
        chain = chain_hash(chain, content)
        found.append((number, chain, content))
    return found


def _number(content: bytes) -> int | None:
    said = _said(content)
    return None if said is None else said.number


def _kind(content: bytes) -> str | None:
    said = _said(content)
    return None if said is None else said.body.type


_decode = msgspec.json.Decoder(_Numbered).decode


def _said(content: bytes) -> _Numbered | None:
    try:
        return _decode(content)
    except msgspec.DecodeError:
        return None
