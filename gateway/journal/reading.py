"""Reading the tables: records in a whole chain, and the checkpoint that stands on it.

Owns every statement that only reads, and what counts as a break. Must never write, nor say what
follows from a break.
"""

from collections.abc import AsyncGenerator, Container
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import aiosqlite
import msgspec

from gateway.core.records import (
    CHAIN_START,
    ListInstalled,
    SiteInstalled,
    Stored,
    chain_hash,
    read_record,
)
from gateway.core.trust_records import RootInstalled
from gateway.journal.trouble import JournalError, Trouble


@dataclass(frozen=True, slots=True)
class Position:
    """Where the journal stands. `new`: None where nobody has said yet.

    `taken_up`: the ordinal of the last document of the archive that the records know.
    """

    number: int
    chain: bytes
    acked_through: int
    new: bool | None = None
    lost: str = ""
    taken_up: int = 0


@dataclass(frozen=True, slots=True)
class Story:
    """What a restart begins from, and the digests of the documents that it takes."""

    checkpoint: bytes | None
    records: tuple[Stored, ...]
    installed: tuple[str, ...]
    doubted: bool
    """There is a checkpoint, which is not what was once written."""


async def position_of(database: aiosqlite.Connection, path: Path) -> Position:
    """Where the journal stands, by its last record. Raises `JournalError` (CORRUPT)."""
    number, chain = 0, CHAIN_START
    for row in await database.execute_fetchall(
        "SELECT number, chain FROM records ORDER BY number DESC LIMIT 1"
    ):
        number, chain = row[0], _octets(row[1])
    meta = await database.execute_fetchall("SELECT acked_through, new, lost, taken_up FROM meta")
    match [*meta]:
        case [(int(acked), (None | 0 | 1) as said, str(lost), int(taken))] if acked <= number:
            new = None if said is None else bool(said)
            return Position(
                number=number,
                chain=chain,
                acked_through=acked,
                new=new,
                lost=lost,
                taken_up=taken,
            )
        case rows:
            said = ", ".join(f"{tuple(row)}" for row in rows)
            raise JournalError(Trouble.CORRUPT, path, f"of {number} records meta says {said!r}")


async def story_of(database: aiosqlite.Connection, path: Path, archive: Container[str]) -> Story:
    """The checkpoint and the records after it; all records where there is no sound checkpoint.

    Raises `JournalError`: CORRUPT where the chain breaks, or a record installed a document that the
    archive does not hold; NEWER_SCHEMA where a record is whole and cannot be read.
    """
    number, chain, checkpoint, doubted = 0, CHAIN_START, None, False
    for row in await database.execute_fetchall("SELECT number, digest, content FROM checkpoints"):
        at = await chain_at(database, row[0])
        content = _octets(row[2])
        doubted = at is None or row[1] != chain_hash(at, content)
        if at is not None and not doubted:
            number, chain, checkpoint = row[0], at, content
    records: list[Stored] = []
    installed: list[str] = []
    async with aclosing(_records(database, number)) as following:
        async for record in following:
            number += 1
            if record.number != number or record.chain != chain_hash(chain, record.content):
                raise JournalError(Trouble.CORRUPT, path, f"the chain breaks at record {number}")
            chain = record.chain
            records.append(record)
            installed += _installed_by(record, path)
            if installed and installed[-1] not in archive:
                raise not_held(installed[-1], path)
    return Story(checkpoint, tuple(records), tuple(installed), doubted)


async def records_after(
    database: aiosqlite.Connection, number: int, bytes_max: int
) -> tuple[Stored, ...]:
    """Records numbered above `number`, oldest first, up to `bytes_max` (at least one)."""
    records: list[Stored] = []
    size = 0
    async with aclosing(_records(database, number)) as following:
        async for record in following:
            size += len(record.chain) + len(record.content)
            if records and size > bytes_max:
                break
            records.append(record)
    return tuple(records)


async def chain_at(database: aiosqlite.Connection, number: int) -> bytes | None:
    """The chain hash of a record (of 0: 32 zero bytes); None where there is no such record."""
    if number == 0:
        return CHAIN_START
    for row in await database.execute_fetchall(
        "SELECT chain FROM records WHERE number = ?", (number,)
    ):
        return _octets(row[0])
    return None


def not_held(digest: str, path: Path) -> JournalError:
    """The trouble with a journal that installed a document which nobody has any more."""
    said = f"it installed document {digest[:12]}, which the archive does not hold"
    return JournalError(Trouble.CORRUPT, path, said)


async def _records(database: aiosqlite.Connection, number: int) -> AsyncGenerator[Stored, None]:
    async with database.execute(
        "SELECT number, chain, content FROM records WHERE number > ? ORDER BY number", (number,)
    ) as cursor:
        async for row in cursor:
            yield Stored(number=row[0], chain=_octets(row[1]), content=_octets(row[2]))


def _octets(value: object) -> bytes:
    # A damaged page holds what STRICT would not have let in; nothing is the hash of no octets.
    return value if isinstance(value, bytes) else b""


def _installed_by(record: Stored, path: Path) -> tuple[str, ...]:
    try:
        body = read_record(record.content).body
    except msgspec.DecodeError as error:
        said = f"record {record.number} cannot be read ({error})"
        raise JournalError(Trouble.NEWER_SCHEMA, path, said) from error
    match body:
        case RootInstalled() | SiteInstalled() | ListInstalled():
            return (body.digest,)
        case _:
            return ()
