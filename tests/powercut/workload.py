"""The workload: a child process that runs the real engine over the real journal, to be recorded.

    python -m tests.powercut.workload PLAN

PLAN is JSON (`Plan`). It ends by itself: orderly, or without closing anything, as by SIGKILL.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import aiosqlite
import msgspec

from gateway.core.fact import Answer, DocumentClaim, Event, Road, SwitchCommand
from gateway.core.image import Image
from gateway.core.model import Value
from gateway.engine import Engine
from gateway.inbox import BoundedInbox
from gateway.journal.limits import DAY_MS, JournalSettings
from gateway.journal.sqlite import SqliteJournal
from gateway.ports import Batch
from tests.core.papers import BLANK
from tests.powercut.notes import Damaged, NotedJournal, Opened, note
from tests.powercut.town import AT_ONCE_MAX, Town, TownClock

JOURNAL = "var/state/journal.db"
ARCHIVE = "var/state/archive"
MARKS = "elsewhere/marks"


TIGHT = JournalSettings(
    records_days=0,
    readings_days=0,
    room_min_bytes=2**60,
    bytes_max=0,
    records_lot=5,
    readings_lot=9,
    pages_lot=2,
)
"""Whatever may go goes at once, and the disk is always short of room."""
YEAR_MS = 366 * DAY_MS


class Plan(Value):
    """What one process does."""

    root: str
    seed: int
    process: int = 0
    """The how many-th over this disk."""
    steps: int = 60
    synchronous: str = "FULL"
    """Other than FULL is what the product never does: a negative control."""
    checkpoint_pages: int = 40
    """SQLite moves its log into the file after so many pages, often enough to be cut in there."""
    damages: bool = True
    closes: bool = True


class KeepsCommands:
    """A bus that only keeps what it is told."""

    def __init__(self) -> None:
        self.commands: list[SwitchCommand] = []

    async def run(self) -> None:
        """Its work is done by the town."""

    def show(self, image: Image) -> None:
        """Nobody looks."""

    def switch(self, command: SwitchCommand) -> None:
        self.commands.append(command)


def key_of(root: Path) -> Path:
    """Where the workload has its device key: beside the disk, for the daemon's own care for it."""
    return root.with_suffix(".key")


async def open_journal(root: Path, *, commissioned: bool) -> SqliteJournal:
    """The journal of a disk with that root, as the daemon opens it."""
    return await SqliteJournal.open(
        root / JOURNAL,
        archive_directory=root / ARCHIVE,
        marks_directory=root / MARKS,
        commissioned=commissioned,
        limits=TIGHT,
    )


class Process:
    """One process, which may begin anew inside: the daemon's start is a function call here."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._chance = Random(f"{plan.seed}:{plan.process}")
        self._clock = TownClock(plan.process)
        self._town = Town(self._chance, self._clock)
        self._inbox = BoundedInbox()
        self._bus = KeepsCommands()
        self._journal: NotedJournal
        self._engine: Engine

    async def run(self) -> None:
        """Everything, in as many steps as are planned."""
        await self._start()
        await self._tick(*self._said_last())
        for _ in range(self._plan.steps):
            fate = self._chance.random()
            if fate < 0.04:
                await self._restart(damaged=False)
            elif fate < 0.07 and self._plan.damages:
                await self._restart(damaged=True)
            elif fate < 0.14:
                await self._acknowledge()
            elif fate < 0.26:
                await self._read()
            elif fate < 0.30:
                await self._journal.tidy(self._clock.instant.wall_low_ms + YEAR_MS)
            else:
                await self._tick(*self._town.step(self._engine.image, self._bus.commands))
        if self._plan.closes:
            await self._journal.close()

    async def _start(self) -> None:
        root = Path(self._plan.root)
        journal = await open_journal(root, commissioned=key_of(root).exists())
        key_of(root).touch()
        note(Opened())
        pragmas = (
            f"synchronous={self._plan.synchronous}",
            f"wal_autocheckpoint={self._plan.checkpoint_pages}",
        )
        for pragma in pragmas:
            await journal._ask(_setting(pragma))
        self._journal = NotedJournal(journal)
        self._inbox, self._bus = BoundedInbox(), KeepsCommands()
        self._engine = Engine(
            BLANK,
            inbox=self._inbox,
            journal=self._journal,
            bus=self._bus,
            watchers=(),
            clock=self._clock,
        )
        await self._engine.start()
        self._check()

    def _said_last(self) -> tuple[DocumentClaim, ...]:
        """Whoever has had no answer from the process before says again what he said."""
        last = sorted((Path(self._plan.root) / ARCHIVE).iterdir())[-AT_ONCE_MAX:]
        return tuple(DocumentClaim(raw=one.read_bytes(), road=Road.MQTT) for one in last)

    async def _tick(self, *events: Event) -> None:
        answers: list[Answer] = []
        for event in events:
            assert self._inbox.post(event, answers.append)
        await self._engine.tick()
        self._check()
        for answer in answers:
            print(answer.word)

    async def _acknowledge(self) -> None:
        image = self._engine.image
        if image.acked_through < image.number:
            through = self._chance.randint(image.acked_through + 1, image.number)
            chain = await self._journal.chain_at(through)
            assert chain is not None
            await self._tick(self._town.acknowledgement(through, chain))

    async def _read(self) -> None:
        """Readings that wait for a record, or go alone; now and then the head end has some."""
        self._journal.waiting += self._chance.randint(1, 12)
        if self._chance.random() < 0.2:
            through = self._journal.readings - self._chance.randint(0, self._journal.not_acked)
            await self._journal.commit(Batch(readings_acked_through=through))
        elif self._chance.random() < 0.5:
            await self._journal.commit(Batch())

    async def _restart(self, *, damaged: bool) -> None:
        await self._journal.close()
        if damaged:
            note(Damaged())
            self._damage(Path(self._plan.root) / JOURNAL)
        self._clock.step()
        await self._start()

    def _damage(self, path: Path) -> None:
        number = os.open(path, os.O_RDWR)
        if self._chance.random() < 0.5:
            os.pwrite(number, bytes([255]) * 100, 0)
        else:
            os.ftruncate(number, os.fstat(number).st_size // 8192 * 4096)
        if self._chance.random() < 0.5:
            os.fsync(number)
        os.close(number)

    def _check(self) -> None:
        # What the notes foretell is what the engine holds to be so.
        assert self._journal.image.kept == self._engine.image.kept
        assert self._journal.image.number == self._engine.image.number


def _setting(pragma: str) -> Callable[[aiosqlite.Connection], Awaitable[object]]:
    return lambda database: database.execute(f"PRAGMA {pragma}")


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    given = msgspec.json.decode(sys.argv[1], type=Plan)
    asyncio.run(Process(given).run())
    if not given.closes:
        os._exit(0)
