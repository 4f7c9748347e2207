"""The protocols of the rooms: what the engine may ask of each, and what each may post.

Owns the shapes of the doors between the corridor and its rooms. Must never contain behaviour.
Every room gets what it needs through these; no room knows another.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol

from gateway.core.fact import Answer, Claim, Event, SwitchCommand
from gateway.core.image import Image
from gateway.core.kept import TimeBound
from gateway.core.marks import Marks
from gateway.core.model import Digest, Now, Value
from gateway.core.noted import NotedReading
from gateway.core.records import Stored
from gateway.core.signature import DocumentType

Reply = Callable[[Answer], None]
"""Called once, in the event loop, after what it answers is on disk."""


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> Now:
        """The present instant."""

    def raise_low(self, wall_low_ms: int) -> None:
        """Note that the time is certainly not before this."""

    def reset_low(self, wall_low_ms: int) -> None:
        """Forget what was noted: a time key was exchanged, and its word with it."""

    def bound(self, bound: TimeBound | None) -> None:
        """Take what a time document says; None: none counts any more. Another boot's is void."""


class Inbox(Protocol):
    """Where the rooms put what they saw or were told. Bounded."""

    def post(self, event: Event, reply: Reply | None = None) -> bool:
        """Hand in one event from the event loop's thread. False: the inbox is full, try later."""

    async def put(self, event: Event, reply: Reply | None = None) -> None:
        """Hand in one event, waiting for room."""

    async def ask(self, claim: Claim) -> Answer:
        """Hand in a claim and wait for its answer, which comes when it is on disk."""


class ArchivedDocument(Value):
    """A verified document as it arrived, kept as the proof of what was installed.

    `adds` is true of a list that was stale when it came and takes nobody off.
    """

    digest: Digest
    type: DocumentType
    raw: bytes
    adds: bool = False


class Batch(Value):
    """What one tick writes down, in one transaction."""

    records: tuple[Stored, ...] = ()
    documents: tuple[ArchivedDocument, ...] = ()
    checkpoint: bytes | None = None
    """The kept part of the image after the last of `records`."""
    acked_through: int | None = None
    marks: Marks | None = None
    """What must not be forgotten, where it is not what it was."""
    readings: tuple[NotedReading, ...] = ()
    """In the order in which they were taken; no record tells of them."""
    readings_acked_through: int | None = None
    """By ordinal."""
    forget: Digest | None = None
    """Of the documents before this one only the roots are kept: the rest must not come back."""


class Remedy(StrEnum):
    """What helps where a batch could not be written down."""

    WAIT = "WAIT"
    """The same journal may take it later: the disk is full, read-only or fails."""
    RENEW = "RENEW"
    """This journal takes nothing any more: it has to be opened anew."""
    REPORT = "REPORT"
    """A mistake of ours."""


class NotWritten(Exception):  # noqa: N818 - the disk's answer, not an error of ours
    """Raised by the journal: what was asked did not come about, and nothing was believed.

    `trouble` is the word for it.
    """

    trouble: StrEnum
    remedy: Remedy


class StoredReading(Value):
    """A reading as it is handed over: ordinals rise, with gaps where it was thinned."""

    ordinal: int
    reading: NotedReading


class Loaded(Value):
    """What the journal holds at start."""

    checkpoint: bytes | None
    records: tuple[Stored, ...]
    """Those after the checkpoint, in order."""
    documents: dict[str, ArchivedDocument]
    """By digest: those that a record after the checkpoint installed, as far as archived."""
    number: int
    chain: bytes
    acked_through: int
    lost: str = ""
    """Why an earlier journal was set aside; empty: none was."""
    marks: Marks | None = None
    """What the marks' own file knows; None: there is no readable one."""
    marks_followed: bool = False
    """The journal goes on from where these were written: it knows all of them."""
    archived: tuple[ArchivedDocument, ...] = ()
    """In the order of arrival: every archived document where the journal is empty; otherwise those
    that came after what its records know, but for orders and times."""
    new: bool = True
    """This gateway has no journal, archive or marks because it never had any."""
    readings_last: int = 0
    """The ordinal of the last reading; 0: there was none."""
    readings_acked_through: int = 0


class Records(Protocol):
    """Reading what is written down."""

    async def records_after(self, number: int, bytes_max: int) -> tuple[Stored, ...]:
        """Records numbered above `number`, oldest first, up to about `bytes_max` (at least one)."""

    async def chain_at(self, number: int) -> bytes | None:
        """The chain hash of a record (of 0: 32 zero bytes); None where there is no such record.

        Of the last one that retention removed it is still known.
        """

    async def readings_after(self, ordinal: int, count_max: int) -> tuple[StoredReading, ...]:
        """Readings with a higher ordinal, oldest first; thinned ones leave gaps."""


class Keeper(Records, Protocol):
    """The running journal, for the commands at this machine."""

    async def rest(self) -> bool:
        """Let the journal's file stand still: what is committed from here on stays in its log.

        False: it is read as a whole already, or there is no file. Raises `NotWritten`.
        """

    async def end_rest(self) -> bool:
        """Let it go on. False: it went on before, because its log grew too large."""

    async def documents(self, digests: Sequence[str]) -> tuple[bytes, ...]:
        """Those of the archive's documents that are readable, as they arrived."""

    def written_bytes(self) -> int | None:
        """What this process has sent to its disks since it began; None: the kernel does not say."""


class Journal(Records, Protocol):
    """The durable truth."""

    async def load(self) -> Loaded:
        """What was committed. Called once, before the first commit."""

    async def begin_anew(self, trouble: str) -> Loaded:
        """Set aside what was loaded, which cannot be restored, and begin an empty journal."""

    async def commit(self, batch: Batch) -> None:
        """Write a batch durably; returns when it is on disk. Never cancelled inside.

        Raises `NotWritten`.
        """

    async def tidy(self, wall_low_ms: int) -> None:
        """Remove what is kept no longer, at a time that is certainly not before this.

        It may take long, in small steps between which others have their turn. Raises `NotWritten`.
        """

    async def close(self) -> None:
        """Finish what was begun and release the file."""


class Room(Protocol):
    """What every room with work of its own offers."""

    async def run(self) -> None:
        """Work until cancelled; on cancellation leave the outside world tidy."""

    def show(self, image: Image) -> None:
        """Take the newest image, read-only. Returns at once."""


class Bus(Room, Protocol):
    """The meters of all buses. Posts `MeterSeen`, `BusSeen` and one `SwitchReport` per command."""

    def switch(self, command: SwitchCommand) -> None:
        """Queue one command to a load switch ahead of polling. Returns at once."""
