"""Looking through: the whole journal is read once while it is in use, for damage nobody met yet.

Owns the pace: no commit waits for it longer than for one small step. Must never read the file as a
whole while SQLite may move its log into it, nor close it before the journal is closed: that would
drop the journal's lock (fcntl(2)).
"""

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from typing import Protocol

from gateway.core.records import Stored
from gateway.journal.checking import damage_of_chain, damage_of_pages, readable

LOOK_AFTER_S = 600.0
"""From the start on: by then the meters are read and whoever waited is closed."""
PAUSE_S = 0.05
CACHE_KIB = 512
INTERRUPT_EVERY_S = 0.1


class Resting(Protocol):
    """What is asked of the journal."""

    async def rest(self) -> bool:
        """Let the file stand still; False where it does not."""

    async def end_rest(self) -> bool:
        """Let it go on; False where it has not stood still all the time."""

    async def records_after(self, number: int, bytes_max: int) -> tuple[Stored, ...]:
        """See `ports.Records`."""

    async def chain_at(self, number: int) -> bytes | None:
        """See `ports.Records`."""


class Looking:
    """The reader beside the journal's own connection."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: list[sqlite3.Connection] = []

    async def through(self, journal: Resting) -> str:
        """Read every page and every record; what is damaged, empty: nothing is."""

        async def at_ease(number: int, bytes_max: int) -> tuple[Stored, ...]:
            await asyncio.sleep(PAUSE_S)
            return await journal.records_after(number, bytes_max)

        if await journal.rest():
            try:
                damage = await self._damage_of_pages()
            finally:
                still = await journal.end_rest()
            if damage and still:
                return damage
        return await damage_of_chain(at_ease, journal.chain_at)

    def close(self) -> None:
        """Close what was read, after the journal's own connection."""
        for connection in self._open:
            connection.close()
        self._open.clear()

    async def _damage_of_pages(self) -> str:
        reading = asyncio.ensure_future(asyncio.to_thread(self._pages))
        try:
            return await asyncio.shield(reading)
        finally:
            while not reading.done():  # nobody waits for it any more
                for connection in self._open:
                    connection.interrupt()
                await asyncio.wait({reading}, timeout=INTERRUPT_EVERY_S)

    def _pages(self) -> str:
        connection = sqlite3.connect(readable(self._path), uri=True, check_same_thread=False)
        self._open.append(connection)
        try:
            connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
            return damage_of_pages(connection.execute("PRAGMA quick_check(3)"))
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorname == "SQLITE_INTERRUPT":
                return ""
            return str(error)
        finally:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("PRAGMA shrink_memory")
