"""An engine in memory: a journal that keeps its batches, a bus that keeps its commands."""

import asyncio

import msgspec

from gateway.core.documents import AllowList, Receipt, Site
from gateway.core.fact import (
    Answer,
    Body,
    CloseCommand,
    CloseReport,
    DocumentClaim,
    Event,
    MeterSeen,
    Outcome,
    Road,
    Stored,
    read_record,
)
from gateway.core.image import Image
from gateway.core.model import Now, Reading, Serial, SupplyState
from gateway.engine import BoundedInbox, Engine
from gateway.ports import ArchivedDocument, Batch, Loaded
from tests.core.world import BLANK, HOUR_MS, NOON_MS
from tests.signing import sign_list, sign_receipt, sign_site


class MemoryJournal:
    """What was committed, as it was committed."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.entered = asyncio.Event()
        """Set when a commit has begun."""
        self.may_end = asyncio.Event()
        """A commit returns only when this is set."""
        self.may_end.set()
        self.breaks: OSError | None = None

    async def commit(self, batch: Batch) -> None:
        self.entered.set()
        await self.may_end.wait()
        if self.breaks is not None:
            raise self.breaks
        self.batches.append(batch)

    async def load(self) -> Loaded:
        checkpoints = [at for at, batch in enumerate(self.batches) if batch.checkpoint is not None]
        newest = checkpoints[-1] if checkpoints else -1
        checkpoint = self.batches[newest].checkpoint if checkpoints else None
        return self._loaded(checkpoint, self.batches[newest + 1 :])

    def from_the_first_record(self) -> Loaded:
        """As if no checkpoint had ever been written."""
        return self._loaded(None, self.batches)

    async def records_after(self, number: int, bytes_max: int) -> tuple[Stored, ...]:
        return tuple(stored for stored in self.stored() if stored.number > number)[:bytes_max]

    async def chain_at(self, number: int) -> bytes | None:
        chains = {0: bytes(32)} | {stored.number: stored.chain for stored in self.stored()}
        return chains.get(number)

    async def close(self) -> None:
        """Nothing is open."""

    def stored(self) -> list[Stored]:
        return [stored for batch in self.batches for stored in batch.records]

    def bodies(self) -> list[Body]:
        return [read_record(stored.content).body for stored in self.stored()]

    def _loaded(self, checkpoint: bytes | None, batches: list[Batch]) -> Loaded:
        documents = [document for batch in self.batches for document in batch.documents]
        acked = [batch.acked_through for batch in self.batches if batch.acked_through is not None]
        stored = self.stored()
        return Loaded(
            checkpoint=checkpoint,
            records=tuple(one for batch in batches for one in batch.records),
            documents={document.digest: document for document in documents},
            number=stored[-1].number if stored else 0,
            chain=stored[-1].chain if stored else bytes(32),
            acked_through=max(acked, default=0),
        )

    def archived(self) -> list[ArchivedDocument]:
        return [document for batch in self.batches for document in batch.documents]


class MemoryBus:
    """What the bus room was told, and what it was shown before."""

    def __init__(self) -> None:
        self.commands: list[CloseCommand] = []
        self.shown: list[Image] = []
        self.commanded = asyncio.Event()

    async def run(self) -> None:
        """Its own work is done by the tests."""

    def show(self, image: Image) -> None:
        self.shown.append(image)

    def close_switch(self, command: CloseCommand) -> None:
        assert self.shown[-1].kept.closings[command.meter.serial].close == command.close
        self.commands.append(command)
        self.commanded.set()


class HandClock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.instant = Now(
            mono_ms=5 * HOUR_MS, boot="boot-1", wall_ms=NOON_MS, wall_low_ms=NOON_MS - 1_000
        )
        self.low_ms = 0

    def now(self) -> Now:
        return self.instant

    def raise_low(self, wall_low_ms: int) -> None:
        self.low_ms = max(self.low_ms, wall_low_ms)

    def wait(self, ms: int) -> None:
        now = self.instant
        self.instant = msgspec.structs.replace(
            now,
            mono_ms=now.mono_ms + ms,
            wall_ms=now.wall_ms + ms,
            wall_low_ms=now.wall_low_ms + ms,
        )


class Corridor:
    """One process: the engine with what is around it. `again` is the next process."""

    def __init__(
        self, journal: MemoryJournal | None = None, clock: HandClock | None = None
    ) -> None:
        self.journal = journal or MemoryJournal()
        self.clock = clock or HandClock()
        self.bus = MemoryBus()
        self.inbox = BoundedInbox()
        self.answers: list[Answer] = []
        self.engine = Engine(
            BLANK,
            inbox=self.inbox,
            journal=self.journal,
            bus=self.bus,
            watchers=[],
            clock=self.clock,
        )

    async def again(self, *, reboot: bool = False) -> "Corridor":
        """The next process over the same journal, started."""
        if reboot:
            self.clock.instant = msgspec.structs.replace(
                self.clock.instant, boot="boot-2", mono_ms=20_000
            )
        following = Corridor(self.journal, self.clock)
        await following.engine.start()
        return following

    async def tick(self, *events: Event) -> list[str]:
        """Hand in events and tick once; the answers' words."""
        self.post(*events)
        before = len(self.answers)
        await self.engine.tick()
        return [answer.word for answer in self.answers[before:]]

    def post(self, *events: Event) -> None:
        for event in events:
            assert self.inbox.post(event, self.answers.append)


def document(of: Site | AllowList | Receipt) -> DocumentClaim:
    """A well-signed document as it comes."""
    match of:
        case Site():
            raw = sign_site(of)
        case AllowList():
            raw = sign_list(of)
        case Receipt():
            raw = sign_receipt(of)
    return DocumentClaim(raw=raw, road=Road.MQTT)


def seen(corridor: Corridor, serial: str, state: SupplyState) -> MeterSeen:
    """A reading of this instant."""
    reading = Reading(state=state, mono_ms=corridor.clock.instant.mono_ms, serial=Serial(serial))
    return MeterSeen(serial=Serial(serial), reading=reading)


def ended(command: CloseCommand, outcome: Outcome = Outcome.CLOSED_VERIFIED) -> CloseReport:
    """How a command ended."""
    serial = Serial(command.meter.serial)
    closed = Reading(state=SupplyState.CONNECTED, mono_ms=2**40, serial=serial)
    return CloseReport(
        close=command.close, serial=serial, outcome=outcome, writes=1, reading=closed
    )
