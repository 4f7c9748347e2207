"""The journal over SQLite: one connection, and one task that alone uses it.

Owns the transactions, and the order in which a batch reaches the disk: the archive's files, the
journal's own commit, the marks. Must never be cancelled inside one, nor mix two callers'
statements: aiosqlite runs a statement whose caller was cancelled all the same, and the statements
of two tasks on one connection fall into one transaction. So callers hand a request over and await a
shielded answer.

What SQLite finds damaged, or what breaks the chain, is set aside, and a new journal is begun: what
the archive and the marks hold is taken up by the engine. Where the disk takes nothing, what it
holds is read into memory, and nothing is committed: see `beginning`.

Implements `ports.Journal`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import aiosqlite
import msgspec

from gateway.core.model import Digest
from gateway.core.records import CHAIN_START, Stored
from gateway.journal.archive import Archive
from gateway.journal.beginning import Beginning, Begun
from gateway.journal.failing import Disk
from gateway.journal.limits import JournalSettings
from gateway.journal.looking import LOOK_AFTER_S, Looking
from gateway.journal.marks import MarksPair, Slot
from gateway.journal.reading import (
    Position,
    chain_at,
    not_held,
    records_after,
    story_of,
)
from gateway.journal.readings import readings_after
from gateway.journal.resting import Rest
from gateway.journal.retention import Retention
from gateway.journal.stats import written_bytes
from gateway.journal.trouble import JournalError, Trouble, named_errors
from gateway.journal.writing import continued, write
from gateway.ports import Batch, Loaded, StoredReading

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
        limits: JournalSettings | None = None,
    ) -> None:
        """Nothing is opened here: see `open`."""
        self._path = path
        self._limits = limits or JournalSettings()
        self._archive = Archive(archive_directory or path.with_name("archive"), self._limits)
        self._marks = MarksPair(marks_directory or path.with_name("marks"))
        self._beginning = Beginning(path, self._archive, self._marks, commissioned=commissioned)
        self._requests: asyncio.Queue[_Request | None] = asyncio.Queue()
        self._owner: asyncio.Task[None] | None = None
        self._database: aiosqlite.Connection
        self._position = Position(number=0, chain=CHAIN_START, acked_through=0)
        self._waits: JournalError | None = None
        self._disk = Disk(path)
        self._rest = Rest(path)
        self._looking = Looking(path)
        self._looker: asyncio.Task[None] | None = None
        self._retention = Retention(path, self._limits, self._follow)
        self._marks_due: Slot | None = None
        self._marks_known: Slot | None = None
        """What the marks' own file says, where this journal holds its record."""
        self._prune_due = False
        self._forget_due: Digest | None = None
        """Of the archive's documents all go but roots and these."""

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        archive_directory: Path | None = None,
        marks_directory: Path | None = None,
        commissioned: bool = False,
        limits: JournalSettings | None = None,
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
            limits=limits,
        )
        journal._take(await journal._beginning.find())
        journal._owner = asyncio.create_task(journal._own(), name="journal")
        journal._looker = asyncio.create_task(journal._look(), name="journal's pages")
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
        """The chain hash of a record (of 0: 32 zero bytes); None where there is no such record.

        Of the last one that retention removed it is still known.
        """
        return await self._ask(lambda database: chain_at(database, number))

    async def readings_after(self, ordinal: int, count_max: int) -> tuple[StoredReading, ...]:
        """Readings with a higher ordinal, oldest first; thinned ones leave gaps."""
        return await self._ask(
            lambda database: readings_after(database, self._path, ordinal, count_max)
        )

    async def tidy(self, wall_low_ms: int) -> None:
        """Remove what is kept no longer, at a time that is certainly not before this.

        In small steps: who asks for something meanwhile waits for one of them at most. Raises
        `JournalError`; what was removed by then is removed.
        """
        self._retention.begin(wall_low_ms)
        while await self._ask(self._tidied):
            pass

    async def rest(self) -> bool:
        """Let the file stand still: what is committed from here on stays in its log.

        False: it is read as a whole already, or there is no file.
        """
        return await self._ask(self._begin_rest)

    async def end_rest(self) -> bool:
        """Let it go on. False: it went on before, because its log grew too large."""
        return await self._ask(self._rest.end)

    async def documents(self, digests: Sequence[str]) -> tuple[bytes, ...]:
        """Those of the archive's documents that are readable, as they arrived."""

        async def read(_: aiosqlite.Connection) -> tuple[bytes, ...]:
            found = await asyncio.to_thread(self._archive.read, digests)
            return tuple(found[one].raw for one in digests if one in found)

        return await self._ask(read)

    def written_bytes(self) -> int | None:
        """What this process has sent to its disks; None: the kernel does not say."""
        return written_bytes()

    async def look_through(self) -> str:
        """Read every page and record while the journal is in use; what is damaged, or nothing.

        What is damaged makes the next commit fail, and is set aside at the next opening.
        """
        damage = await self._looking.through(self)
        if damage and self._waits is None:
            self._waits = self._error(Trouble.CORRUPT, damage)
            await self._disk.suspect()
            logger.error("%s", self._waits)
        return damage

    async def close(self) -> None:
        """Finish what was begun and release the file. Closing again changes nothing."""
        if self._owner is None or self._looker is None:
            return
        self._requests.put_nowait(None)
        self._looker.cancel()
        await asyncio.wait({self._looker})
        await asyncio.shield(self._owner)
        self._looking.close()

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
        except JournalError as error:
            request.done.set_exception(await self._disk.judged(error))
        except Exception as error:  # noqa: BLE001 - it is the caller's, who gets it
            request.done.set_exception(error)

    async def _look(self) -> None:
        await asyncio.sleep(LOOK_AFTER_S)
        with contextlib.suppress(JournalError):  # whoever commits hears of it
            await self.look_through()

    async def _begin_rest(self, database: aiosqlite.Connection) -> bool:
        return self._waits is None and await self._rest.begin(database)

    def _take(self, begun: Begun) -> None:
        self._database, self._position, self._waits = begun.database, begun.position, begun.waits
        self._retention = Retention(self._path, self._limits, self._follow)

    async def _commit(self, database: aiosqlite.Connection, batch: Batch) -> None:
        if batch == Batch():
            return
        if self._waits is not None:
            raise await self._disk.still_waits(self._waits)
        before, after = self._position, continued(self._position, batch, self._path)
        await self._catch_up()
        if batch.documents:
            await asyncio.to_thread(self._archive.keep, batch.documents)
        if batch.records:
            after = replace(after, taken_up=self._archive.last)
        await write(database, before, after, batch)
        self._position = after
        self._disk.works()
        self._prune_due |= bool(batch.documents)
        if batch.forget is not None:
            self._forget_due = batch.forget
        if batch.marks is not None:
            self._marks_due = Slot(
                generation=0, marks=batch.marks, number=after.number, chain=after.chain.hex()
            )
        await self._rest.keep_bounded(database)
        # The batch is on disk: what fails now must not be told as if it were not. It is done
        # before the next one, which fails for it, with nothing written.
        try:
            await self._catch_up()
        except JournalError as error:
            logger.warning("%s", error)

    async def _catch_up(self) -> None:
        """Write the marks of what is on disk already, and remove what nobody needs any more."""
        due = self._marks_due
        if due is not None:
            chain = bytes.fromhex(due.chain)
            await asyncio.to_thread(self._marks.write, due.marks, due.number, chain)
            self._marks_due, self._marks_known = None, due
        if self._forget_due is not None and not self._rest.begun:
            await asyncio.to_thread(self._archive.forget_before, self._forget_due)
            self._forget_due = None
        if self._prune_due and not self._rest.begun:
            await asyncio.to_thread(self._archive.prune)
            self._prune_due = False

    async def _tidied(self, database: aiosqlite.Connection) -> bool:
        if self._waits is not None or self._rest.begun:
            return False  # it waits for the disk, or for whoever reads the file as a whole
        after = await self._retention.step(database, self._position)
        self._position = after or self._position
        return after is not None

    async def _follow(self, through: int) -> None:
        # The marks say of which record they are: before that one goes they become the last one's.
        known, at = self._marks_known, self._position
        if known is not None and known.number <= through and self._marks_due is None:
            self._marks_due = msgspec.structs.replace(known, number=at.number, chain=at.chain.hex())
        await self._catch_up()

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
        self._take(await self._beginning.anew(error))
        return await self._loaded(self._database)

    async def _loaded(self, database: aiosqlite.Connection) -> Loaded:
        at = self._position
        empty = at.number == 0
        story = await story_of(database, self._path, self._archive)
        if story.doubted:
            first = at.number - len(story.records) + 1
            logger.warning("%s: a checkpoint is damaged: from record %d on", self._path, first)
        left = self._archive.read_all if empty else partial(self._archive.read_after, at.taken_up)
        archived = await asyncio.to_thread(left)
        documents = await asyncio.to_thread(self._archive.read, story.installed)
        lacking = set(story.installed) - documents.keys()
        if lacking:
            raise not_held(min(lacking), self._path)
        slot = await asyncio.to_thread(self._marks.newest)
        self._marks_known = slot if slot is not None and await _follows(database, slot) else None
        return Loaded(
            checkpoint=story.checkpoint,
            records=story.records,
            documents={one.digest: one for one in archived} | documents,
            number=at.number,
            chain=at.chain,
            acked_through=at.acked_through,
            lost=at.lost if empty else "",
            marks=None if slot is None else slot.marks,
            marks_followed=self._marks_known is not None,
            archived=archived,
            new=empty and bool(at.new),
            readings_last=at.readings_last,
            readings_acked_through=at.readings_acked,
        )

    def _error(self, trouble: Trouble, detail: str) -> JournalError:
        return JournalError(trouble, self._path, detail)


async def _follows(database: aiosqlite.Connection, slot: Slot) -> bool:
    chain = await chain_at(database, slot.number)
    return chain is not None and chain.hex() == slot.chain
