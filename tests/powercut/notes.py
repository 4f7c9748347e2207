"""Notes: what the workload knows at an instant, between two operations on its files.

The journal that it hands to the engine says before each commit what would be so after it, and after
each commit that it has returned: from then on a power cut may take nothing of that away.
"""

import ctypes

import msgspec

from gateway.core.image import Image
from gateway.core.kept import Kept
from gateway.core.marks import Marks
from gateway.core.model import Tagged, Value
from gateway.core.records import Stored
from gateway.core.standing import Standing, standing_of
from gateway.journal.sqlite import SqliteJournal
from gateway.ports import ArchivedDocument, Batch, Loaded
from gateway.restoring import restore
from tests.core.papers import BLANK

Stood = tuple[str, Standing, int | str]
"""An account, its standing, and of the word that gave it the ledger time or the digest."""


class State(Value):
    """What a restart finds after a commit; `kept` is canonical JSON."""

    number: int = 0
    chain: bytes = bytes(32)
    acked_through: int = 0
    kept: bytes = msgspec.json.encode(Kept())
    marks: Marks | None = None
    """What the marks' own file says by then."""
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


class NotedJournal:
    """The real journal, and a note before and after each commit. Implements `ports.Journal`."""

    def __init__(self, journal: SqliteJournal) -> None:
        self._journal = journal
        self._papers: dict[str, ArchivedDocument] = {}
        self._marks: Marks | None = None
        self.image = BLANK
        """As the records make it, apart from the engine's own."""

    async def load(self) -> Loaded:
        return self._noted(await self._journal.load())

    async def begin_anew(self, trouble: str) -> Loaded:
        return self._noted(await self._journal.begin_anew(trouble))

    def _noted(self, loaded: Loaded) -> Loaded:
        self.image = restore(BLANK, loaded)
        self._marks = loaded.marks
        self._papers = {**loaded.documents, **{one.digest: one for one in loaded.archived}}
        return loaded

    async def commit(self, batch: Batch) -> None:
        self._papers |= {one.digest: one for one in batch.documents}
        stood = self._follow(batch)
        self._marks = batch.marks or self._marks
        state = State(
            number=self.image.number,
            chain=self.image.chain,
            acked_through=self.image.acked_through,
            kept=msgspec.json.encode(self.image.kept),
            marks=self._marks,
            documents=tuple(one.digest for one in batch.documents),
            stood=tuple(sorted(stood, key=str)),
        )
        note(Began(state=state))
        await self._journal.commit(batch)
        note(Returned())

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
