"""Writing a batch: whether it continues what is written down, and its one transaction.

Owns every row that a batch becomes. Must never write anything of a batch that does not continue.
"""

import asyncio
import zlib
from dataclasses import replace
from pathlib import Path

import aiosqlite

from gateway.core.records import chain_hash
from gateway.journal.reading import Position
from gateway.journal.readings import append
from gateway.journal.transaction import transaction
from gateway.journal.trouble import JournalError, Trouble
from gateway.ports import Batch

DEFLATE_LEVEL = 1
"""A checkpoint of 30,000 accounts becomes a fifth in 40 ms; a higher level takes far longer."""


def continued(at: Position, batch: Batch, path: Path) -> Position:
    """Where the journal stands after a batch. Raises `JournalError` (DISCONTINUOUS)."""

    def refuse(detail: str) -> JournalError:
        return JournalError(Trouble.DISCONTINUOUS, path, detail)

    number, chain = at.number, at.chain
    for record in batch.records:
        if record.number != number + 1:
            raise refuse(f"record {record.number} after record {number}")
        if record.chain != chain_hash(chain, record.content):
            raise refuse(f"the chain of record {record.number} does not continue")
        number, chain = record.number, record.chain
    acked, before = batch.acked_through, at.acked_through
    acked = before if acked is None else acked
    if not before <= acked <= number:
        raise refuse(f"acknowledged {acked} of {number}, {before} before")
    last = at.readings_last + len(batch.readings)
    read, before = batch.readings_acked_through, at.readings_acked
    read = before if read is None else read
    if not before <= read <= last:
        raise refuse(f"acknowledged {read} of {last} readings, {before} before")
    return replace(
        at,
        number=number,
        chain=chain,
        acked_through=acked,
        readings_last=last,
        readings_acked=read,
    )


async def write(
    database: aiosqlite.Connection, before: Position, after: Position, batch: Batch
) -> None:
    """Write a batch that leads from one position to the other; on return it is on the disk."""
    checkpoint = None
    if batch.checkpoint is not None:
        checkpoint = await asyncio.to_thread(_deflated, batch.checkpoint)
    async with transaction(database):
        await database.executemany(
            "INSERT INTO records (number, chain, content) VALUES (?, ?, ?)",
            [(record.number, record.chain, record.content) for record in batch.records],
        )
        if batch.checkpoint is not None and checkpoint is not None:
            digest = chain_hash(after.chain, batch.checkpoint)
            await _put_checkpoint(database, after.number, digest, checkpoint)
        if batch.readings:
            await append(database, before.readings_last, batch.readings)
        if after != replace(before, number=after.number, chain=after.chain):
            await database.execute(
                "UPDATE meta SET acked_through = ?, taken_up = ?, taken_up_at = ?,"
                " readings_acked_through = ?",
                (after.acked_through, after.taken_up, after.number, after.readings_acked),
            )


async def _put_checkpoint(
    database: aiosqlite.Connection, number: int, digest: bytes, checkpoint: tuple[bytes, bool]
) -> None:
    await database.execute(
        "INSERT OR REPLACE INTO checkpoints (number, digest, content, deflated)"
        " VALUES (?, ?, ?, ?)",
        (number, digest, *checkpoint),
    )
    await database.execute(
        "DELETE FROM checkpoints WHERE number > ?1 OR number NOT IN (SELECT number FROM"
        " checkpoints WHERE number <= ?1 ORDER BY number DESC LIMIT 2)",
        (number,),
    )


def _deflated(content: bytes) -> tuple[bytes, bool]:
    deflated = zlib.compress(content, DEFLATE_LEVEL)
    return (deflated, True) if len(deflated) < len(content) else (content, False)
