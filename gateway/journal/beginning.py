"""Beginning: which journal a start gets from a disk that may be full, read-only or failing.

Owns the ways out, one after the other: the file itself; a copy of it where the disk fails at this
file alone; a new one where it is damaged; what can be read of it in memory, where the disk takes
nothing. Must never write into a file that is damaged, nor give up what can still be read.
"""

import asyncio
import logging
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import aiosqlite

from gateway.journal.archive import Archive
from gateway.journal.aside import set_aside
from gateway.journal.failing import carry_over, check_size, takes_writes
from gateway.journal.marks import MarksPair
from gateway.journal.opening import open_copy, open_database
from gateway.journal.reading import Position, position_of
from gateway.journal.trouble import JournalError, Trouble, named_errors

logger = logging.getLogger(__name__)

WAITED_FOR = frozenset({Trouble.READ_ONLY, Trouble.DISK_FULL, Trouble.DISK_ERROR})
"""What a disk may be cured of while the gateway runs; meanwhile it runs without one."""


@dataclass(frozen=True, slots=True)
class Begun:
    """An open journal and where it stands.

    `waits`: what is the matter with the disk, where the connection is only to a copy in memory.
    """

    database: aiosqlite.Connection
    position: Position
    waits: JournalError | None = None


class Beginning:
    """How one journal is opened, at a start or anew."""

    def __init__(
        self, path: Path, archive: Archive, marks: MarksPair, *, commissioned: bool
    ) -> None:
        """Nothing is opened here. `commissioned`: see `SqliteJournal.open`."""
        self._path = path
        self._archive = archive
        self._marks = marks
        self._commissioned = commissioned

    async def find(self) -> Begun:
        """The journal as it is found. Raises `JournalError` where there is no way out."""
        try:
            return await self._opened()
        except JournalError as error:
            if await self._only_this_file_fails(error):
                return await self._rescued(error)
            return await self._in_spite_of(error)

    async def anew(self, trouble: JournalError) -> Begun:
        """Set the journal aside, whose connection is closed, and begin an empty one.

        Raises `JournalError`.
        """
        lost = f"{trouble.trouble}: {trouble.detail}"
        try:
            with named_errors(self._path):
                name = await asyncio.to_thread(set_aside, self._path)
            lost += f"; it was set aside as {name}"
            logger.error("%s: %s", self._path, lost)
            return await self._opened(lost)
        except JournalError as error:
            if error.trouble not in WAITED_FOR:
                raise
            return await self._in_memory(error, lost)

    async def _in_spite_of(self, error: JournalError) -> Begun:
        if error.trouble is Trouble.CORRUPT:
            return await self.anew(error)
        if error.trouble not in WAITED_FOR:
            raise error
        try:
            return await self._in_memory(error)
        except JournalError as worse:
            if worse.trouble is not Trouble.CORRUPT:
                raise
            return await self.anew(worse)

    async def _only_this_file_fails(self, error: JournalError) -> bool:
        if error.trouble is not Trouble.DISK_ERROR or error.path != self._path:
            return False
        return await asyncio.to_thread(takes_writes, self._path.parent)

    async def _rescued(self, error: JournalError) -> Begun:
        logger.error("%s", error)
        try:
            await carry_over(self._path)
        except JournalError as worse:
            if worse.trouble in {Trouble.CORRUPT, Trouble.DISK_ERROR}:
                return await self.anew(error)
            return await self._in_spite_of(worse)
        try:
            return await self._opened()
        except JournalError as again:
            return await self._in_spite_of(again)

    async def _opened(self, lost: str = "") -> Begun:
        database = await open_database(self._path)
        return await self._begun(database, lost)

    async def _in_memory(self, waits: JournalError, lost: str = "") -> Begun:
        logger.error("%s; until then the journal is in memory", waits)
        if not lost:
            await asyncio.to_thread(check_size, self._path, waits)
        # What is lost is not read again, wherever its file still lies.
        database = await open_copy(self._path, empty=bool(lost))
        return await self._begun(database, lost, waits)

    async def _begun(
        self, database: aiosqlite.Connection, lost: str, waits: JournalError | None = None
    ) -> Begun:
        try:
            with named_errors(self._path):
                await asyncio.to_thread(partial(self._archive.open, writable=waits is None))
                position = await position_of(database, self._path)
                if position.new is None:
                    position = await self._first(database, position, lost)
        except BaseException:
            await database.close()
            raise
        return Begun(database=database, position=position, waits=waits)

    async def _first(
        self, database: aiosqlite.Connection, position: Position, lost: str
    ) -> Position:
        found = len(self._archive) > 0 or self._marks.there
        new = not (found or self._commissioned or lost)
        await database.execute("UPDATE meta SET new = ?, lost = ?", (new, lost))
        return replace(position, new=new, lost=lost)
