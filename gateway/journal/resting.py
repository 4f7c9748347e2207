"""Resting: the journal's file stands still, so that it can be read as a whole while it is in use.

Owns when SQLite may move its log into the file. Must never let the log grow without a bound: then
the rest ends by itself, and whoever reads the file is told so.

What is committed meanwhile stays in the log (sqlite.org/wal.html): no commit waits for a reader.
"""

import asyncio
from pathlib import Path

import aiosqlite

from gateway.journal.aside import beside

LOG_BYTES_MAX = 64 * 1024 * 1024


class Rest:
    """Whether the file at `path` stands still, and how it goes on."""

    def __init__(self, path: Path) -> None:
        self._log = beside(path)[0]
        self._pages: int | None = None

    @property
    def begun(self) -> bool:
        """Whether it stands still."""
        return self._pages is not None

    async def begin(self, database: aiosqlite.Connection) -> bool:
        """Move the log into the file and let that stand still. False: somebody reads it already."""
        if self.begun:
            return False
        pages = await _number(database, "PRAGMA wal_autocheckpoint")
        await database.execute("PRAGMA wal_autocheckpoint=0")
        if await _number(database, "PRAGMA wal_checkpoint(TRUNCATE)") != 0:
            await database.execute(f"PRAGMA wal_autocheckpoint={pages}")
            return False
        self._pages = pages
        return True

    async def end(self, database: aiosqlite.Connection) -> bool:
        """Let it go on. False: it had gone on before."""
        if self._pages is None:
            return False
        await database.execute(f"PRAGMA wal_autocheckpoint={self._pages}")
        self._pages = None
        return True

    async def keep_bounded(self, database: aiosqlite.Connection) -> None:
        """End the rest where the log has grown too large."""
        if self.begun and await asyncio.to_thread(_size, self._log) > LOG_BYTES_MAX:
            await self.end(database)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


async def _number(database: aiosqlite.Connection, statement: str) -> int:
    (row,) = await database.execute_fetchall(statement)
    return int(row[0])
