"""What the tests of the journal write down: records in a chain, and journals that are closed."""

import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from gateway.core.model import Now
from gateway.core.records import CHAIN_START, Body, Started, Stored, record_of, store
from gateway.journal.sqlite import SqliteJournal
from gateway.ports import Loaded

NOW = Now(mono_ms=7, boot="boot", wall_ms=9, wall_low_ms=8)
CHECKOUT = Path(__file__).parents[3]
WRITER = (sys.executable, "-m", "tests.rooms.journal.writer")
"""A daemon that writes for ever, to be started in CHECKOUT."""


def chained(
    count: int, after: Stored | None = None, body: Body | None = None
) -> tuple[Stored, ...]:
    """So many records that continue the chain."""
    records: list[Stored] = []
    number, chain = (0, CHAIN_START) if after is None else (after.number, after.chain)
    for at in range(number + 1, number + count + 1):
        given = Started(version=f"{at}") if body is None else body
        records.append(store(record_of(at, given, NOW), chain))
        chain = records[-1].chain
    return tuple(records)


@contextlib.asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteJournal]:
    journal = await SqliteJournal.open(path)
    try:
        yield journal
    finally:
        await journal.close()


async def reopened(path: Path) -> Loaded:
    async with opened(path) as journal:
        return await journal.load()
