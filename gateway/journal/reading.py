"""Reading the tables: records in a whole chain, and the checkpoint that stands on it.

Owns every statement that only reads, and what counts as a break. Must never write, nor say what
follows from a break.
"""

import zlib
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
from gateway.journal.readings import last_ordinal
from gateway.journal.trouble import JournalError, Trouble

CHECKPOINT_BYTES_MAX = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Position:
    """Where the journal stands. `new`: None where nobody has said yet.

    `taken_up`: the ordinal of the last document of the archive that the records know.
    `removed_through`: the number of the last record that retention removed.
    """

    number: int
    chain: bytes
    acked_through: int
    new: bool | None = None
    lost: str = ""
    taken_up: int = 0
    removed_through: int = 0
    readings_last: int = 0
    """The ordinal of the last reading."""
    readings_acked: int = 0


@dataclass(frozen=True, slots=True)
class Story:
    """What a restart begins from, and the digests of the documents that it takes."""

    checkpoint: bytes | None
    records: tuple[Stored, ...]
    installed: tuple[str, ...]
    doubted: bool
    """The newest checkpoint is not what was once written."""


async def position_of(database: aiosqlite.Connection, path: Path) -> Position:
    """Where the journal stands, by its last record. Raises `JournalError` (CORRUPT)."""
    number, chain, first = 0, CHAIN_START, 1
    for row in await database.execute_fetchall(
        "SELECT number, chain, (SELECT min(number) FROM records) FROM records"
        " ORDER BY number DESC LIMIT 1"
    ):
        number, chain, first = row[0], _octets(row[1]), row[2]
    readings_last = await last_ordinal(database)
    meta = await database.execute_fetchall(
        "SELECT acked_through, removed_through, new, lost, taken_up, readings_acked_through,"
        " taken_up_at FROM meta"
    )
    match [tuple(row) for row in meta]:
        case [
            (
                int(acked),
                int(removed),
                (None | 0 | 1) as said,
                str(lost),
                int(taken),
                int(read),
                int(taken_at),
            )
        ] if removed + 1 == first and removed <= acked <= number and taken_at <= number:
            return Position(
                number=number,
                chain=chain,
                acked_through=acked,
                new=None if said is None else bool(said),
                lost=lost,
                taken_up=taken,
                removed_through=removed,
                readings_last=max(readings_last, read),
                readings_acked=read,
            )
        case rows:
            said = ", ".join(f"{row}" for row in rows)
            has = f"{number} records" if first == 1 else f"records {first} to {number}"
            raise JournalError(Trouble.CORRUPT, path, f"of {has} meta says {said!r}")


async def story_of(database: aiosqlite.Connection, path: Path, archive: Container[str]) -> Story:
    """The newest sound checkpoint and the records after it; all records where there is none.

    Raises `JournalError`: CORRUPT where the chain breaks, a record installed a document that the
    archive does not hold, or there is neither a sound checkpoint nor the first record; NEWER_SCHEMA
    where a record is whole and cannot be read.
    """
    number, chain, checkpoint, doubted = 0, CHAIN_START, None, False
    async for sound in _checkpoints(database):
        doubted |= sound is None
        if sound is not None:
            number, chain, checkpoint = sound
            break
    if checkpoint is None:
        await _expect_first_record(database, path)
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
    """The chain hash of a record (of 0: 32 zero bytes); None where there is no such record.

    Of the last one that was removed it is known too.
    """
    if number == 0:
        return CHAIN_START
    for row in await database.execute_fetchall(
        "SELECT chain FROM records WHERE number = ?1"
        " UNION ALL SELECT removed_chain FROM meta WHERE removed_through = ?1",
        (number,),
    ):
        return _octets(row[0])
    return None


async def older_checkpoint(database: aiosqlite.Connection) -> int:
    """After which record the older checkpoint was written; 0 where there are not two of them."""
    for row in await database.execute_fetchall(
        "SELECT number FROM checkpoints ORDER BY number DESC LIMIT 1 OFFSET 1"
    ):
        return int(row[0])
    return 0


async def _expect_first_record(database: aiosqlite.Connection, path: Path) -> None:
    for row in await database.execute_fetchall("SELECT min(number) FROM records"):
        if row[0] not in (None, 1):
            said = f"no checkpoint is sound, and of the records before {row[0]} nothing is left"
            raise JournalError(Trouble.CORRUPT, path, said)


async def _checkpoints(
    database: aiosqlite.Connection,
) -> AsyncGenerator[tuple[int, bytes, bytes] | None, None]:
    """The number, the chain there and the content of each, newest first; None: it is not sound."""
    for (number,) in await database.execute_fetchall(
        "SELECT number FROM checkpoints ORDER BY number DESC"
    ):
        at, sound = await chain_at(database, number), None
        for row in await database.execute_fetchall(
            "SELECT digest, content, deflated FROM checkpoints WHERE number = ?", (number,)
        ):
            plain = _plain(_octets(row[1]), deflated=row[2] == 1)
            if at is not None and row[0] == chain_hash(at, plain):
                sound = (number, at, plain)
        yield sound


def _plain(content: bytes, *, deflated: bool) -> bytes:
    if not deflated:
        return content
    try:
        # What is damaged may swell to anything.
        return zlib.decompressobj().decompress(content, CHECKPOINT_BYTES_MAX)
    except zlib.error:
        return b""


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
