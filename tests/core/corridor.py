"""An engine in memory: a journal that keeps its batches, a bus that keeps its commands."""

import asyncio
from collections.abc import Callable

import msgspec

from gateway.core.documents import AllowList, Checkpoint, Document, Receipt, Site
from gateway.core.fact import (
    Answer,
    DocumentClaim,
    Event,
    HeadEndSeen,
    MeterSeen,
    Move,
    Outcome,
    Road,
    SwitchCommand,
    SwitchReport,
    TagClaim,
    TagKind,
)
from gateway.core.image import Image
from gateway.core.kept import TimeBound
from gateway.core.model import Now, Reading, Serial, SupplyState
from gateway.core.orders import Order
from gateway.core.records import Body, Stored, read_record
from gateway.engine import Engine
from gateway.inbox import BoundedInbox
from gateway.ports import ArchivedDocument, Batch, Loaded, StoredReading
from tests.core.papers import (
    BLANK,
    HOUR_MS,
    M1,
    M2,
    NOON_MS,
    allow_list,
    cut,
    entry,
    order,
    receipt,
)
from tests.core.world import WELL
from tests.signing import sign_list, sign_order, sign_receipt, sign_site

OPEN, CLOSED = SupplyState.DISCONNECTED, SupplyState.CONNECTED


class MemoryJournal:
    """What was committed, as it was committed."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.entered = asyncio.Event()
        """Set when a commit has begun."""
        self.may_end = asyncio.Event()
        """A commit returns only when this is set."""
        self.may_end.set()
        self.breaks: Exception | None = None
        self.loads: Loaded | None = None
        """What is left of an earlier journal, where there was one."""

    async def commit(self, batch: Batch) -> None:
        self.entered.set()
        await self.may_end.wait()
        if self.breaks is not None:
            raise self.breaks
        self.batches.append(batch)

    async def load(self) -> Loaded:
        if self.loads is not None:
            return self.loads
        checkpoints = [at for at, batch in enumerate(self.batches) if batch.checkpoint is not None]
        newest = checkpoints[-1] if checkpoints else -1
        checkpoint = self.batches[newest].checkpoint if checkpoints else None
        return self._loaded(checkpoint, self.batches[newest + 1 :])

    async def begin_anew(self, trouble: str) -> Loaded:
        documents = tuple(self.archived())
        self.batches.clear()
        return left(lost=trouble, archived=documents)

    def from_the_first_record(self) -> Loaded:
        """As if no checkpoint had ever been written."""
        return self._loaded(None, self.batches)

    async def records_after(self, number: int, bytes_max: int) -> tuple[Stored, ...]:
        return tuple(stored for stored in self.stored() if stored.number > number)[:bytes_max]

    async def chain_at(self, number: int) -> bytes | None:
        chains = {0: bytes(32)} | {stored.number: stored.chain for stored in self.stored()}
        return chains.get(number)

    async def readings_after(self, ordinal: int, count_max: int) -> tuple[StoredReading, ...]:
        readings = [reading for batch in self.batches for reading in batch.readings]
        numbered = [
            StoredReading(ordinal=at, reading=one) for at, one in enumerate(readings, start=1)
        ]
        return tuple(numbered[ordinal : ordinal + count_max])

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
        self.commands: list[SwitchCommand] = []
        self.shown: list[Image] = []
        self.commanded = asyncio.Event()

    async def run(self) -> None:
        """Its own work is done by the tests."""

    def show(self, image: Image) -> None:
        self.shown.append(image)

    def switch(self, command: SwitchCommand) -> None:
        kept, serial = self.shown[-1].kept, command.meter.serial
        if command.move is Move.CLOSE:
            assert kept.closings[serial].close == command.number
        else:
            task = kept.tasks[serial]
            assert (task.move, task.number) == (command.move, command.number)
        self.commands.append(command)
        self.commanded.set()


class HandClock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.instant = Now(
            mono_ms=5 * HOUR_MS, boot="boot-1", wall_ms=NOON_MS, wall_low_ms=NOON_MS - 1_000
        )
        self.low_ms = 0
        self.bounds: list[TimeBound | None] = []

    def now(self) -> Now:
        return self.instant

    def raise_low(self, wall_low_ms: int) -> None:
        self.low_ms = max(self.low_ms, wall_low_ms)

    def reset_low(self, wall_low_ms: int) -> None:
        self.low_ms = wall_low_ms

    def bound(self, bound: TimeBound | None) -> None:
        self.bounds.append(bound)

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
        self,
        journal: MemoryJournal | None = None,
        clock: HandClock | None = None,
        *,
        sign: Callable[[Checkpoint], str] | None = None,
        readings_every_ms: int = 0,
        held_max: int = 1_000,
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
            sign=sign,
            readings_every_ms=readings_every_ms,
            held_max=held_max,
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


def document(of: Document) -> DocumentClaim:
    """A well-signed document as it comes."""
    match of:
        case Site():
            raw = sign_site(of)
        case AllowList():
            raw = sign_list(of)
        case Receipt():
            raw = sign_receipt(of)
        case Order():
            raw = sign_order(of)
        case _:
            raise AssertionError(of)
    return DocumentClaim(raw=raw, road=Road.MQTT)


def seen(corridor: Corridor, serial: str, state: SupplyState) -> MeterSeen:
    """A reading of this instant."""
    reading = Reading(state=state, mono_ms=corridor.clock.instant.mono_ms, serial=Serial(serial))
    return MeterSeen(serial=Serial(serial), reading=reading)


def measured(corridor: Corridor, serial: str, energy_wh: int) -> MeterSeen:
    """A reading with values of this instant."""
    mono_ms = corridor.clock.instant.mono_ms
    reading = Reading(state=CLOSED, mono_ms=mono_ms, values_ms=mono_ms, energy_wh=energy_wh)
    return MeterSeen(serial=Serial(serial), reading=reading)


def ended(command: SwitchCommand, outcome: Outcome | None = None) -> SwitchReport:
    """How a command ended, at best as it should."""
    serial = Serial(command.meter.serial)
    state = OPEN if command.move is Move.OPEN else CLOSED
    return SwitchReport(
        number=command.number,
        move=command.move,
        serial=serial,
        outcome=outcome or WELL[command.move],
        writes=1,
        reading=Reading(state=state, mono_ms=2**40 + command.number, serial=serial),
    )


SITE = document(Site(gateway="gw-1", seq=1, feeder="feeder-1", meters=(M1, M2)))
GARBAGE = DocumentClaim(raw=b"x", road=Road.MQTT)
HOLD = TagClaim(kind=TagKind.HOLD, target="M2", place=True, by="S. Devi", reason="burnt")


async def installed() -> Corridor:
    """A started gateway with a site document and a dark M1."""
    corridor = Corridor()
    await corridor.engine.start()
    assert await corridor.tick(SITE) == ["ACCEPTED"]
    await corridor.tick(seen(corridor, "M1", OPEN))
    return corridor


async def closing() -> Corridor:
    """M1 has paid, and its close is commanded."""
    corridor = await installed()
    assert await corridor.tick(document(receipt(1, 100))) == ["ACCEPTED"]
    return corridor


NONCE = f"boot-1@{5 * HOUR_MS}"
"""What the gateway said when the tests began."""


async def lit() -> Corridor:
    """M1 has supply, there is a list, and the head end is heard: what an opening takes."""
    corridor = await closing()
    await corridor.tick(ended(corridor.bus.commands[0]), HeadEndSeen(online=True))
    listed = document(allow_list(1, 500, entry(1, 400), entry(2, 400, cut=True)))
    assert await corridor.tick(listed) == ["ACCEPTED"]
    return corridor


def cut_of_m1(seq: int, boot: str = NONCE) -> DocumentClaim:
    """The order to cut M1, for a gateway without a trusted clock."""
    return document(order(seq, cut(1, n=600), boot=boot))


def left(**changes: object) -> Loaded:
    """What is left of the disk of a gateway that was commissioned."""
    blank = Loaded(
        checkpoint=None,
        records=(),
        documents={},
        number=0,
        chain=bytes(32),
        acked_through=0,
        new=False,
    )
    return msgspec.structs.replace(blank, **changes)
