"""The journal over SQLite: one connection, and one task that alone uses it.

Owns the transactions, and the order in which a batch reaches the disk: the archive's files, the
journal's own commit, the marks. Must never be cancelled inside one, nor mix two callers'
statements: aiosqlite runs a statement whose caller was cancelled all the same, and the statements
of two tasks on one connection fall into one transaction. So callers hand a request over and await a
shielded answer.

What SQLite finds damaged, or what breaks the chain, is set aside at the start, and a new journal is
begun: what the archive and the marks hold is taken up by the engine.

Implements `ports.Journal`.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Self, TypeVar

import aiosqlite

from gateway.core.records import CHAIN_START, Stored, chain_hash
from gateway.journal.archive import Archive
from gateway.journal.aside import set_aside, suspect_mark
from gateway.journal.marks import MarksPair, Slot
from gateway.journal.opening import open_database
from gateway.journal.reading import (
    Position,
    chain_at,
    not_held,
    position_of,
    records_after,
    story_of,
)
from gateway.journal.trouble import JournalError, Trouble, named_errors
from gateway.ports import Batch, Loaded

__all__ = ["JournalError", "SqliteJournal"]

logger = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[aiosqlite.Connection], Awaitable[T]]


@dataclass(frozen=True, slots=True)
class _Request:
    work: Work[Any]
    done: asyncio.Future[Any]


class SqliteJournal:
    """The durable truth, in one file that this process has to itself; beside it the archive."""

    def __init__(
        self,
        path: Path,
        *,
        archive_directory: Path | None = None,
        marks_directory: Path | None = None,
        commissioned: bool = False,
    ) -> None:
        """Nothing is opened here: see `open`."""
        self._path = path
        self._archive = Archive(archive_directory or path.with_name("archive"))
        self._marks = MarksPair(marks_directory or path.with_name("marks"))
        self._commissioned = commissioned
        self._requests: asyncio.Queue[_Request | None] = asyncio.Queue()
        self._owner: asyncio.Task[None] | None = None
        self._database: aiosqlite.Connection
        self._position = Position(number=0, chain=CHAIN_START, acked_through=0)

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        archive_directory: Path | None = None,
        marks_directory: Path | None = None,
        commissioned: bool = False,
    ) -> Self:
        """Open the file at `path`, or make it with mode 0600. Raises `JournalError`.

        The directories are `archive` and `marks` beside it where none is given. `commissioned`:
        this gateway has run before, by what else is known of it; so where nothing of a journal,
        an archive or marks is found, all of it was lost.
        """
        journal = cls(
            path,
            archive_directory=archive_directory,
            marks_directory=marks_directory,
            commissioned=commissioned,
        )
        try:
            journal._database = await journal._opened()
        except JournalError as error:
            if error.trouble is not Trouble.CORRUPT:
                raise
            journal._database = await journal._begun_anew(error)
        journal._owner = asyncio.create_task(journal._own(), name="journal")
        return journal

    async def load(self) -> Loaded:
        """What a restart begins from: see `ports.Loaded`. Raises `JournalError`.

        A journal that turns out to be damaged is set aside here.
        """
        return await self._ask(self._load)

    async def begin_anew(self, trouble: str) -> Loaded:
        """Set aside what was loaded, which cannot be restored. Raises `JournalError`."""
        error = self._error(Trouble.CORRUPT, trouble)
        return await self._ask(lambda database: self._load_anew(database, error))

    async def commit(self, batch: Batch) -> None:
        """Write a batch in one transaction; returns when all of it is on disk.

        Raises `JournalError`: DISCONTINUOUS where the batch does not continue what is written down.
        """
        await self._ask(lambda database: self._commit(database, batch))

    async def records_after(self, number: int, bytes_max: int) -> tuple[Stored, ...]:
        """Records numbered above `number`, oldest first, up to `bytes_max` (at least one)."""
        return await self._ask(lambda database: records_after(database, number, bytes_max))

    async def chain_at(self, number: int) -> bytes | None:
        """The chain hash of a record (of 0: 32 zero bytes); None where there is no such record."""
        return await self._ask(lambda database: chain_at(database, number))

    async def close(self) -> None:
        """Finish what was begun and release the file. Closing again changes nothing."""
        if self._owner is not None:
            self._requests.put_nowait(None)
            await asyncio.shield(self._owner)

    async def _ask(self, work: Work[T]) -> T:
        if self._owner is None or self._owner.done():
            raise self._error(Trouble.CLOSED, "it was closed")
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._requests.put_nowait(_Request(work=work, done=done))
        # A caller that is cancelled stops waiting; its statement runs to its end all the same.
        return await asyncio.shield(done)

    async def _own(self) -> None:
        try:
            while (request := await self._requests.get()) is not None:
                await self._serve(request)
        finally:
            await self._database.close()
            while not self._requests.empty():
                late = self._requests.get_nowait()
                if late is not None:
                    late.done.set_exception(self._error(Trouble.CLOSED, "it was closed"))

    async def _serve(self, request: _Request) -> None:
        try:
            with named_errors(self._path):
                request.done.set_result(await request.work(self._database))
        except asyncio.CancelledError:
            request.done.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - it is the caller's, who gets it
            if isinstance(error, JournalError) and error.trouble is Trouble.CORRUPT:
                with contextlib.suppress(OSError):  # what is told to the caller matters more
                    await asyncio.to_thread(suspect_mark(self._path).touch, mode=0o600)
            request.done.set_exception(error)

    async def _opened(self, lost: str = "") -> aiosqlite.Connection:
        database = await open_database(self._path)
        try:
            with named_errors(self._path):
                await asyncio.to_thread(self._archive.open)
                self._position = await position_of(database, self._path)
                if self._position.new is None:
                    await self._begin(database, lost)
        except BaseException:
            await database.close()
            raise
        return database

    async def _begin(self, database: aiosqlite.Connection, lost: str) -> None:
        found = len(self._archive) > 0 or self._marks.there
        new = not (found or self._commissioned or lost)
        await database.execute("UPDATE meta SET new = ?, lost = ?", (new, lost))
        self._position = replace(self._position, new=new, lost=lost)

    async def _begun_anew(self, trouble: JournalError) -> aiosqlite.Connection:
        with named_errors(self._path):
            name = await asyncio.to_thread(set_aside, self._path)
        lost = f"{trouble.trouble}: {trouble.detail}; it was set aside as {name}"
        logger.error("%s: %s", self._path, lost)
        return await self._opened(lost)

    async def _commit(self, database: aiosqlite.Connection, batch: Batch) -> None:
        if batch == Batch():
            return
        before, after = self._position, self._continued(batch)
        if not before.acked_through <= after.acked_through <= after.number:
            said = f"acknowledged {after.acked_through} of {after.number}"
            self._refuse(f"{said}, {before.acked_through} before")
        if batch.documents:
            await asyncio.to_thread(self._archive.keep, batch.documents)
        if batch.records:
            after = replace(after, taken_up=self._archive.last)
        async with _transaction(database):
            await database.executemany(
                "INSERT INTO records (number, chain, content) VALUES (?, ?, ?)",
                [(record.number, record.chain, record.content) for record in batch.records],
            )
            if batch.checkpoint is not None:
                digest = chain_hash(after.chain, batch.checkpoint)
                await database.execute("DELETE FROM checkpoints")
                await database.execute(
                    "INSERT INTO checkpoints (number, digest, content) VALUES (?, ?, ?)",
                    (after.number, digest, batch.checkpoint),
                )
            if after.acked_through != before.acked_through:
                await database.execute("UPDATE meta SET acked_through = ?", (after.acked_through,))
            if after.taken_up != before.taken_up:
                await database.execute("UPDATE meta SET taken_up = ?", (after.taken_up,))
        self._position = after
        if batch.marks is not None:
            await asyncio.to_thread(self._marks.write, batch.marks, after.number, after.chain)
        if batch.documents:
            await asyncio.to_thread(self._archive.prune)

    def _continued(self, batch: Batch) -> Position:
        number, chain = self._position.number, self._position.chain
        for record in batch.records:
            if record.number != number + 1:
                self._refuse(f"record {record.number} after record {number}")
            if record.chain != chain_hash(chain, record.content):
                self._refuse(f"the chain of record {record.number} does not continue")
            number, chain = record.number, record.chain
        acked = self._position.acked_through if batch.acked_through is None else batch.acked_through
        return replace(self._position, number=number, chain=chain, acked_through=acked)

    async def _load(self, database: aiosqlite.Connection) -> Loaded:
        try:
            with named_errors(self._path):
                return await self._loaded(database)
        except JournalError as error:
            if error.trouble is not Trouble.CORRUPT:
                raise
            return await self._load_anew(database, error)

    async def _load_anew(self, database: aiosqlite.Connection, error: JournalError) -> Loaded:
        await database.close()
        self._database = await self._begun_anew(error)
        return await self._loaded(self._database)

    async def _loaded(self, database: aiosqlite.Connection) -> Loaded:
        at = self._position
        empty = at.number == 0
        story = await story_of(database, self._path, self._archive)
        if story.doubted:
            logger.warning("%s: the checkpoint is damaged: every record is read", self._path)
        left = self._archive.read_all if empty else partial(self._archive.read_after, at.taken_up)
        archived = await asyncio.to_thread(left)
        documents = await asyncio.to_thread(self._archive.read, story.installed)
        lacking = set(story.installed) - documents.keys()
        if lacking:
            raise not_held(min(lacking), self._path)
        slot = await asyncio.to_thread(self._marks.newest)
        return Loaded(
            checkpoint=story.checkpoint,
            records=story.records,
            documents={one.digest: one for one in archived} | documents,
            number=at.number,
            chain=at.chain,
            acked_through=at.acked_through,
            lost=at.lost if empty else "",
            marks=None if slot is None else slot.marks,
            marks_followed=slot is not None and await _follows(database, slot),
            archived=archived,
            new=empty and bool(at.new),
        )

    def _refuse(self, detail: str) -> NoReturn:
        raise self._error(Trouble.DISCONTINUOUS, detail)

    def _error(self, trouble: Trouble, detail: str) -> JournalError:
        return JournalError(trouble, self._path, detail)


async def _follows(database: aiosqlite.Connection, slot: Slot) -> bool:
    chain = await chain_at(database, slot.number)
    return chain is not None and chain.hex() == slot.chain


@asynccontextmanager
async def _transaction(database: aiosqlite.Connection) -> AsyncIterator[None]:
    await database.execute("BEGIN IMMEDIATE")
    try:
        yield
        await database.execute("COMMIT")
    except Exception:
        # SQLite has rolled back by itself after a full disk or an I/O error.
        if database.in_transaction:
            await database.execute("ROLLBACK")
        raise
