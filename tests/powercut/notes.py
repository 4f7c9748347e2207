"""Notes: what the workload knows at an instant, between two operations on its files.

The journal that it hands to the engine says before each commit what would be so after it, and after
each commit that it has returned: from then on a power cut may take nothing of that away.
"""

import ctypes

import msgspec

from gateway.core.image import Image
from gateway.core.kept import Kept
from gateway.core.marks import Marks
from gateway.core.model import Serial, SupplyState, Tagged, Value
from gateway.core.noted import MINUTE_MS, NotedReading
from gateway.core.records import Stored
from gateway.core.standing import Standing, standing_of
from gateway.journal.sqlite import SqliteJournal
from gateway.ports import ArchivedDocument, Batch, Loaded, StoredReading
from gateway.restoring import restore
from tests.core.papers import BLANK, NOON_MS

READ_EVERY_MS = 8 * 3_600_000
Stood = tuple[str, Standing, int | str]
"""An account, its standing, and of the word that gave it the ledger time or the digest."""


class State(Value):
    """What a restart finds after a commit; `kept` is canonical JSON."""

    number: int = 0
    chain: bytes = bytes(32)
    acked_through: int = 0
    readings: int = 0
    """The ordinal of the last one: what it says follows from that, see `reading_of`."""
    readings_acked: int = 0
    kept: bytes = msgspec.json.encode(Kept())
    marks: Marks | None = None
    """What the marks' own file says by then."""
    chains: tuple[bytes, ...] = ()
    """Of the records that came with this commit."""
    documents: tuple[str, ...] = ()
    """Digests of those that came with this commit."""
    stood: tuple[Stood, ...] = ()
    """How accounts stood after any one of its records."""


NOTHING = State()
"""A gateway that was just installed."""


class Opened(Tagged, tag="opened"):
    """The journal was opened: from here on the gateway has a key, and so was commissioned."""


class Began(Tagged, tag="began"):
    """A commit begins; once it is on the disk, this is the state."""

    state: State


class Returned(Tagged, tag="returned"):
    """The commit has returned: it is acknowledged."""


class Damaged(Tagged, tag="damaged"):
    """From here on the journal's file is written over, so that it is to be set aside."""


Note = Opened | Began | Returned | Damaged
_encode = msgspec.msgpack.Encoder().encode
note_of = msgspec.msgpack.Decoder(Note).decode


def note(what: Note) -> None:
    """Take down a note; this process has to be recorded."""
    said = _encode(what)
    ctypes.CDLL(None).recorder_note(said, len(said))


def reading_of(ordinal: int) -> NotedReading:
    """The reading with that ordinal: each of two meters twice in one hour, and again later."""
    later, at = divmod(ordinal, 4)
    return NotedReading(
        meter=Serial(f"M{1 + ordinal % 2}"),
        wall_ms=NOON_MS + later * READ_EVERY_MS + at * MINUTE_MS,
        trusted=ordinal % 7 > 0,
        state=list(SupplyState)[ordinal % 4],
        supply_mv=230_000 + ordinal,
        energy_wh=ordinal if ordinal % 3 else None,
    )


class NotedJournal:
    """The real journal, and a note before and after each commit. Implements `ports.Journal`.

    `waiting`: so many readings go along with the next commit.
    """

    def __init__(self, journal: SqliteJournal) -> None:
        self.waiting = 0
        self.readings = 0
        self._readings_acked = 0
        self._journal = journal
        self._papers: dict[str, ArchivedDocument] = {}
        self._marks: Marks | None = None
        self.image = BLANK
        """As the records make it, apart from the engine's own."""

    @property
    def not_acked(self) -> int:
        """So many readings the head end has not acknowledged."""
        return self.readings - self._readings_acked

    async def load(self) -> Loaded:
        return self._noted(await self._journal.load())

    async def begin_anew(self, trouble: str) -> Loaded:
        return self._noted(await self._journal.begin_anew(trouble))

    def _noted(self, loaded: Loaded) -> Loaded:
        self.image = restore(BLANK, loaded)
        self._marks = loaded.marks
        self.readings = loaded.readings_last
        self._readings_acked = loaded.readings_acked_through
        self._papers = {**loaded.documents, **{one.digest: one for one in loaded.archived}}
        return loaded

    async def commit(self, batch: Batch) -> None:
        self._papers |= {one.digest: one for one in batch.documents}
        stood = self._follow(batch)
        self._marks = batch.marks or self._marks
        batch, acked = self._with_readings(batch), batch.readings_acked_through
        self._readings_acked = self._readings_acked if acked is None else acked
        state = State(
            number=self.image.number,
            chain=self.image.chain,
            acked_through=self.image.acked_through,
            readings=self.readings,
            readings_acked=self._readings_acked,
            kept=msgspec.json.encode(self.image.kept),
            marks=self._marks,
            chains=tuple(record.chain for record in batch.records),
            documents=tuple(one.digest for one in batch.documents),
            stood=tuple(sorted(stood, key=str)),
        )
        note(Began(state=state))
        await self._journal.commit(batch)
        note(Returned())

    def _with_readings(self, batch: Batch) -> Batch:
        ordinals = range(self.readings + 1, self.readings + self.waiting + 1)
        self.readings, self.waiting = self.readings + self.waiting, 0
        return msgspec.structs.replace(batch, readings=tuple(map(reading_of, ordinals)))

    def _follow(self, batch: Batch) -> set[Stood]:
        """Make the image what it is after the batch; how accounts stood on the way there."""
        stood: set[Stood] = set()
        for record in batch.records:
            self.image = _after(self.image, (record,), self._papers)
            for account in self.image.by_account:
                if word := self.image.word(account):
                    stood |= {(account, word.standing, by) for by in (word.n, word.digest)}
        if batch.acked_through is not None:
            acked = batch.acked_through
            self.image = msgspec.structs.replace(self.image, acked_through=acked)
        return stood

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


def stands(image: Image, account: str) -> tuple[Standing, int]:
    """An account's standing, and the ledger time of the word that gives it."""
    word = image.word(account)
    return (standing_of(word), 0 if word is None else word.n)


def _after(image: Image, records: tuple[Stored, ...], papers: dict[str, ArchivedDocument]) -> Image:
    following = Loaded(
        checkpoint=msgspec.json.encode(image.kept),
        records=records,
        documents=papers,
        number=records[-1].number,
        chain=records[-1].chain,
        acked_through=image.acked_through,
    )
    return restore(BLANK, following)
