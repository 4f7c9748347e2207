"""Restarting: the daemon's start over a journal, and what stands in an image, to be compared."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import msgspec

from gateway.core.changes import apply
from gateway.core.fact import Origin, TagKind
from gateway.core.image import Image, restored
from gateway.core.kept import Kept
from gateway.core.marks import Marks
from gateway.core.records import Stored, record_of
from gateway.engine import Engine
from gateway.inbox import BoundedInbox
from gateway.journal.archive import Archive
from gateway.journal.sqlite import SqliteJournal
from gateway.ports import ArchivedDocument, Batch, Loaded, StoredReading
from gateway.restoring import taken_up
from tests.core.corridor import document
from tests.core.papers import BLANK, LEDGER_MS, receipt
from tests.powercut.notes import State
from tests.powercut.town import HOMES, TownClock
from tests.powercut.workload import ARCHIVE, KeepsCommands

LATER = 100
"""The clock of a process after all those of a history."""
GRANTED_MAX = 5_000
Tags = frozenset[tuple[TagKind, str, Origin]]
Sequences = tuple[int, int, int, int]
"""Of the newest root, site, list and order."""
ACCOUNTS = tuple(f"A{home}" for home in HOMES)


class Loads:
    """A journal that was loaded already. Implements `ports.Journal`."""

    def __init__(self, journal: SqliteJournal, loaded: Loaded) -> None:
        self._journal = journal
        self._loaded = loaded

    async def load(self) -> Loaded:
        return self._loaded

    async def begin_anew(self, trouble: str) -> Loaded:
        return await self._journal.begin_anew(trouble)

    async def commit(self, batch: Batch) -> None:
        await self._journal.commit(batch)

    async def records_after(self, number: int, bytes_max: int) -> tuple[Stored, ...]:
        return await self._journal.records_after(number, bytes_max)

    async def chain_at(self, number: int) -> bytes | None:
        return await self._journal.chain_at(number)

    async def readings_after(self, ordinal: int, count_max: int) -> tuple[StoredReading, ...]:
        return await self._journal.readings_after(ordinal, count_max)

    async def tidy(self, wall_low_ms: int) -> None:
        await self._journal.tidy(wall_low_ms)

    async def close(self) -> None:
        await self._journal.close()


async def started(journal: SqliteJournal, loaded: Loaded, *, pays: bool = False) -> Image:
    """The image of an engine that has started, and with `pays` has taken a receipt too."""
    inbox, clock = BoundedInbox(), TownClock(LATER)
    engine = Engine(
        BLANK,
        inbox=inbox,
        journal=Loads(journal, loaded),
        bus=KeepsCommands(),
        watchers=(),
        clock=clock,
    )
    await engine.start()
    if pays:
        n = clock.instant.wall_ms - LEDGER_MS
        assert inbox.post(document(receipt(HOMES[0], n)))
        await engine.tick()
    return engine.image


def image_of(state: State) -> Image:
    """The image of a state."""
    return _image_from(state.kept)


@lru_cache(maxsize=2_000)
def _image_from(kept: bytes) -> Image:
    return restored(BLANK, msgspec.json.decode(kept, type=Kept))


def tags_of(marks: Marks) -> Tags:
    """What is forbidden, and where that comes from."""
    return frozenset((tag.kind, tag.target, tag.origin) for tag in marks.tags)


def not_by_order(tags: Tags) -> Tags:
    """Those that were placed at the feeder."""
    return frozenset(tag for tag in tags if tag[2] is not Origin.ORDER)


def sequence_of(marks: Marks) -> Sequences:
    """The sequence numbers that never fall."""
    return (marks.root.seq, marks.site.seq, marks.list.seq, marks.order.seq)


def not_fallen(before: Sequences, after: Sequences) -> bool:
    """Whether each is at least what it was."""
    return all(was <= now for was, now in zip(before, after, strict=True))


def readable(root: Path) -> tuple[ArchivedDocument, ...]:
    """The documents that are whole in the archive of a disk."""
    archive = Archive(root / ARCHIVE)
    archive.open()
    return archive.read_all()


_granted: dict[tuple[tuple[str, bool], ...], Image] = {}


def granted_by(papers: Sequence[ArchivedDocument]) -> Image:
    """What these documents say by themselves, taken up in their order."""
    image, now = BLANK, TownClock(LATER).now()
    known: tuple[tuple[str, bool], ...] = ()
    for paper in papers:
        known = (*known, (paper.digest, paper.adds))
        if known not in _granted:  # cuts of one history have most of it in common
            admission = taken_up(paper, image, now)
            for body in admission.bodies:
                image = apply(image, record_of(1, body, now), admission.document)
            _granted[known] = image
        image = _granted[known]
    if len(_granted) > GRANTED_MAX:
        _granted.clear()
    return image
