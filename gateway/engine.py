"""The corridor: drain, admit, observe, plan, commit, act, show.

Owns the one image and the order of the tick: nothing is believed or acted on before it is on disk.
Must never wait for a wire, decide a closing (core does) or open a file or socket (the rooms do).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import assert_never

import msgspec

from gateway import __version__
from gateway.core.admission import admit_document, admit_read, admit_refusal
from gateway.core.admitted import ACCEPTED, DUPLICATE, Admission
from gateway.core.changes import apply
from gateway.core.documents import Document
from gateway.core.fact import (
    AckClaim,
    Answer,
    BadMessage,
    BrokerSeen,
    BusSeen,
    CauseClaim,
    Claim,
    DocumentClaim,
    Event,
    HeadEndSeen,
    MeterSeen,
    Observation,
    ResumeClaim,
    Road,
    SwitchReport,
    TagClaim,
)
from gateway.core.image import Image, observe
from gateway.core.kept import Kept
from gateway.core.model import Instant, Now
from gateway.core.plan import plan
from gateway.core.reading import DocumentRead, read, takes_long
from gateway.core.records import (
    Body,
    ListInstalled,
    SiteInstalled,
    Started,
    Stored,
    record_of,
    store,
)
from gateway.core.reports import admit_reading, admit_report
from gateway.core.requests import admit_cause, admit_resume, admit_tag
from gateway.core.signature import Rejected, Verified
from gateway.core.trust_records import RootInstalled
from gateway.core.waiting import instant_of
from gateway.ports import ArchivedDocument, Batch, Bus, Clock, Journal, Reply, Room
from gateway.restoring import remembered, restore, taken_up, to_remember

logger = logging.getLogger(__name__)

INBOX_MAX = 4_096
EVENTS_A_TICK_MAX = 256
CHECKPOINT_EVERY = 1_000
"""Records between two checkpoints of the image; what a restart has to apply again at most."""


class BoundedInbox:
    """Where the rooms hand in events; the engine is its only reader."""

    def __init__(self, events_max: int = INBOX_MAX) -> None:
        self._events: deque[tuple[Event | DocumentRead, Reply | None]] = deque()
        self._events_max = events_max
        self._wake = asyncio.Event()
        self._room = asyncio.Event()

    def post(self, event: Event | DocumentRead, reply: Reply | None = None) -> bool:
        """Hand in one event from the event loop's thread. False: full, try later."""
        if len(self._events) >= self._events_max:
            self._room.clear()
            return False
        self._events.append((event, reply))
        self._wake.set()
        return True

    async def put(self, event: Event | DocumentRead, reply: Reply | None = None) -> None:
        """Hand in one event, waiting for room."""
        while not self.post(event, reply):
            await self._room.wait()

    async def ask(self, claim: Claim) -> Answer:
        """Hand in a claim and wait for its answer, which comes when it is on disk."""
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def reply(answer: Answer) -> None:
            if not answered.done():  # whoever asked may have gone meanwhile
                answered.set_result(answer)

        await self.put(claim, reply)
        return await answered

    def drain(self, events_max: int) -> list[tuple[Event | DocumentRead, Reply | None]]:
        """Take up to so many events, oldest first."""
        taken = [self._events.popleft() for _ in range(min(events_max, len(self._events)))]
        self._room.set()
        if not self._events:
            self._wake.clear()
        return taken

    def __len__(self) -> int:
        """How many events wait."""
        return len(self._events)

    def wake(self) -> None:
        """Let the reader look, although nothing has come."""
        self._wake.set()

    async def wait(self, timeout_s: float | None) -> None:
        """Return when there is an event, or after the time."""
        try:
            await asyncio.wait_for(self._wake.wait(), timeout_s)
        except TimeoutError:
            return


class _Draft:
    """What one tick will write down, and the image as it will be when that is on disk."""

    def __init__(self, image: Image, now: Now) -> None:
        self.image = image
        self.now = now
        self.stored: list[Stored] = []
        self.documents: list[ArchivedDocument] = []
        self.checkpoint_due = False
        self.remember = False
        self.acked_through: int | None = None

    def record(self, body: Body, document: Document | None = None) -> None:
        """Number and chain one record and apply it."""
        record = record_of(self.image.number + 1, body, self.now)
        stored = store(record, self.image.chain)
        self.stored.append(stored)
        self.image = msgspec.structs.replace(
            apply(self.image, record, document), number=record.number, chain=stored.chain
        )
        if self.image.kept.wall_low_ms < self.now.wall_low_ms:
            # The time keys were exchanged: what was certain by the old ones is so no more.
            low_ms = self.image.kept.wall_low_ms
            self.now = msgspec.structs.replace(self.now, wall_low_ms=low_ms, wall_high_ms=None)
        installs = isinstance(body, RootInstalled | SiteInstalled | ListInstalled)
        self.checkpoint_due |= installs or record.number % CHECKPOINT_EVERY == 0

    def archive(self, verified: Verified, bodies: tuple[Body, ...]) -> None:
        """Keep a document that the records to come believe."""
        self.documents.append(
            ArchivedDocument(
                digest=verified.digest,
                type=verified.type,
                raw=verified.raw,
                adds=any(isinstance(body, ListInstalled) and body.adds for body in bodies),
            )
        )

    def batch(self, before: Image) -> Batch | None:
        """Everything to commit in one transaction; None where nothing is to be written."""
        if not self.stored and self.acked_through is None:
            return None
        kept = msgspec.json.encode(self.image.kept) if self.checkpoint_due else None
        was, known = before.kept, self.image.kept
        remember = self.remember or (known.newest, known.tags) != (was.newest, was.tags)
        return Batch(
            records=tuple(self.stored),
            documents=tuple(self.documents),
            checkpoint=kept,
            acked_through=self.acked_through,
            marks=self.image.marks if remember else None,
        )


class Engine:
    """Runs the tick on inbox or deadline; an idle tick writes nothing."""

    def __init__(
        self,
        image: Image,
        *,
        inbox: BoundedInbox,
        journal: Journal,
        bus: Bus,
        watchers: Sequence[Room],
        clock: Clock,
    ) -> None:
        self.image = image
        self._inbox = inbox
        self._journal = journal
        self._bus = bus
        self._watchers = (bus, *watchers)
        self._clock = clock
        self._deadline_ms: int | None = None
        self._stopping = False
        self._reading: set[asyncio.Task[None]] = set()
        self._one_at_a_time = asyncio.Lock()
        self._failure: BaseException | None = None

    async def start(self) -> None:
        """Restore the image from the journal and record that the daemon started."""
        loaded = await self._journal.load()
        try:
            self.image = restore(self.image, loaded)
        except Rejected as flaw:
            loaded = await self._journal.begin_anew(str(flaw))
            self.image = restore(self.image, loaded)
        self._clock.raise_low(self.image.kept.wall_low_ms)
        self._clock.bound(self.image.kept.bound)
        now = self._clock.now()
        self.image = msgspec.structs.replace(self.image, watching_since_ms=now.mono_ms)
        draft = _Draft(self.image, now)
        for body in remembered(self.image, loaded):
            draft.record(body)
        for archived in loaded.archived:
            admission = taken_up(archived, draft.image, draft.now)
            for body in admission.bodies:
                draft.record(body, admission.document)
        draft.record(Started(version=__version__))
        draft.remember = to_remember(loaded, draft.image)
        await self._settle(draft, [])

    async def run(self) -> None:
        """Tick until `stop`; what is in the inbox by then is still settled."""
        while not self._stopping:
            await self._inbox.wait(self._timeout_s())
            await self.tick()
        while len(self._inbox) > 0 or self._reading:
            await self.tick()
            await asyncio.gather(*self._reading)

    def stop(self) -> None:
        """End when the inbox is empty: never inside a tick."""
        self._stopping = True
        self._inbox.wake()

    async def tick(self) -> None:
        """Drain, admit, observe, plan, commit, act, show."""
        if self._failure is not None:
            raise self._failure  # a mistake of ours in what was read apart
        draft = _Draft(self.image, self._clock.now())
        answers: list[tuple[Reply, Answer]] = []
        for event, reply in self._inbox.drain(EVENTS_A_TICK_MAX):
            if isinstance(event, DocumentClaim) and takes_long(event):
                self._read_apart(event, reply)
                continue
            answer = await self._admit(event, draft)
            if reply is not None:
                answers.append((reply, answer))
        await self._settle(draft, answers)

    async def _settle(self, draft: _Draft, answers: list[tuple[Reply, Answer]]) -> None:
        planned = plan(draft.image, draft.now)
        for body in planned.bodies:
            draft.record(body)
        batch = draft.batch(self.image)
        if batch is not None:
            await self._journal.commit(batch)
            self._tell_the_clock(draft.image.kept)
        in_flight = draft.image.in_flight | {command.number for command in planned.commands}
        self.image = msgspec.structs.replace(draft.image, in_flight=in_flight)
        self._deadline_ms = planned.deadline_ms
        for watcher in self._watchers:
            watcher.show(self.image)
        for command in planned.commands:
            self._bus.switch(command)
        for reply, answer in answers:
            reply(answer)

    def _read_apart(self, claim: DocumentClaim, reply: Reply | None) -> None:
        # What is read by a root that is in force no more, `admit_read` reads again.
        root = self.image.root

        async def reading() -> None:
            # In their order, and in the memory of one: after an outage many may come at once.
            async with self._one_at_a_time:
                await self._inbox.put(await asyncio.to_thread(read, claim, root), reply)

        task = asyncio.create_task(reading(), name="reading")
        self._reading.add(task)
        task.add_done_callback(self._has_read)

    def _has_read(self, task: "asyncio.Task[None]") -> None:
        self._reading.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()
            self._inbox.wake()

    async def _admit(self, event: Event | DocumentRead, draft: _Draft) -> Answer:
        image, now = draft.image, draft.now
        match event:
            case DocumentClaim():
                return self._admitted(admit_document(event, image, now), draft)
            case DocumentRead():
                # A long list: between its steps the rooms have their turn.
                admission = admit_read(event, image, now)
                await asyncio.sleep(0)
                answer = self._admitted(admission, draft)
                await asyncio.sleep(0)
                return answer
            case BadMessage():
                return self._admitted(admit_refusal(event, image, now), draft)
            case TagClaim():
                return self._admitted(admit_tag(event, image), draft)
            case CauseClaim():
                return self._admitted(admit_cause(event, image), draft)
            case ResumeClaim():
                return self._admitted(admit_resume(event, image), draft)
            case AckClaim():
                return await self._acknowledged(event, draft)
            case _:
                return self._observed(event, draft)

    def _observed(self, event: Observation | SwitchReport, draft: _Draft) -> Answer:
        at = instant_of(draft.now)
        match event:
            case SwitchReport():
                body = admit_report(event, draft.image)
                if body is None:
                    return DUPLICATE
                draft.record(body)
                if event.reading is not None:
                    self._seen(MeterSeen(serial=event.serial, reading=event.reading), draft, at)
            case MeterSeen():
                self._seen(event, draft, at)
            case BusSeen() | BrokerSeen() | HeadEndSeen():
                draft.image = observe(draft.image, event, at)
            case _:
                assert_never(event)
        return ACCEPTED

    @staticmethod
    def _seen(seen: MeterSeen, draft: _Draft, at: Instant) -> None:
        body = admit_reading(seen, draft.image)
        if body is not None:
            draft.record(body)
        draft.image = observe(draft.image, seen, at)

    @staticmethod
    def _admitted(admission: Admission, draft: _Draft) -> Answer:
        verified = admission.verified
        if verified is not None:
            draft.archive(verified, admission.bodies)
        for body in admission.bodies:
            draft.record(body, admission.document)
        if admission.bodies:
            # Here it is bounded as the records are, whoever floods the doors.
            what = "claim" if verified is None else verified.type
            logger.info("%s: %s", what, admission.answer.word)
        if admission.unwritten:
            unwritten = draft.image.unwritten_refusals + 1
            draft.image = msgspec.structs.replace(draft.image, unwritten_refusals=unwritten)
        return admission.answer

    def _tell_the_clock(self, kept: Kept) -> None:
        was = self.image.kept
        if kept.wall_low_ms < was.wall_low_ms:
            self._clock.reset_low(kept.wall_low_ms)
        elif kept.wall_low_ms > was.wall_low_ms:
            self._clock.raise_low(kept.wall_low_ms)
        if kept.bound != was.bound:
            self._clock.bound(kept.bound)

    async def _acknowledged(self, claim: AckClaim, draft: _Draft) -> Answer:
        if claim.through <= draft.image.acked_through:
            return DUPLICATE
        if claim.through > self.image.number:
            return self._admitted(_bad_ack("ACK_BEYOND_RECORDS", claim, draft), draft)
        chain = await self._journal.chain_at(claim.through)
        if chain is None or chain.hex() != claim.chain:
            return self._admitted(_bad_ack("ACK_CHAIN_MISMATCH", claim, draft), draft)
        draft.acked_through = claim.through
        draft.image = msgspec.structs.replace(draft.image, acked_through=claim.through)
        return ACCEPTED

    def _timeout_s(self) -> float | None:
        if self._deadline_ms is None:
            return None
        return max(0, self._deadline_ms - self._clock.now().mono_ms) / 1000


def _bad_ack(name: str, claim: AckClaim, draft: _Draft) -> Admission:
    message = BadMessage(
        name=name,
        detail=f"through {claim.through}, the last record is {draft.image.number}",
        raw=f"{claim.through} {claim.chain}".encode(),
        road=Road.MQTT,
    )
    return admit_refusal(message, draft.image, draft.now)
