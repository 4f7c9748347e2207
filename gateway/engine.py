"""The corridor: drain, admit, observe, plan, commit, act, show.

Owns the one image and the order of the tick: nothing is believed or acted on before it is on disk.
Must never wait for a wire, decide a closing (core does) or open a file or socket (the rooms do).

Where the disk takes nothing the gateway is degraded (design 1): what is known in memory is still
acted on and its records are held, what is claimed from outside is refused, and nobody is cut.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import assert_never

import msgspec

from gateway.core.acknowledged import NO_NEWS, flaw_of, news_of, refused_ack
from gateway.core.admission import admit_document, admit_read, admit_refusal
from gateway.core.admitted import ACCEPTED, DUPLICATE, JOURNAL_DEGRADED, Admission
from gateway.core.device import checkpoint_of
from gateway.core.documents import Checkpoint
from gateway.core.errands import admit_scan
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
    ScanReport,
    SwitchReport,
    TagClaim,
)
from gateway.core.image import Image, observe
from gateway.core.kept import Kept
from gateway.core.model import Instant
from gateway.core.noted import NotedReading
from gateway.core.plan import Plan, plan
from gateway.core.reading import DocumentRead, read, takes_long
from gateway.core.records import Record
from gateway.core.reports import admit_reading, admit_report
from gateway.core.requests import admit_cause, admit_resume, admit_tag
from gateway.core.signature import Rejected
from gateway.core.trust_records import Sealed
from gateway.core.waiting import instant_of
from gateway.core.watch import seal_due
from gateway.draft import Draft
from gateway.holding import Held, Notebook, carried
from gateway.inbox import BoundedInbox
from gateway.ports import Bus, Clock, Journal, NotWritten, Remedy, Reply, Room
from gateway.restoring import begun, restore

logger = logging.getLogger(__name__)

EVENTS_A_TICK_MAX = 256
_CLAIMS = (Claim, DocumentRead)
Taken = tuple[Event | DocumentRead, Reply | None]


class Engine:
    """Runs the tick on inbox or deadline; an idle tick writes nothing.

    `sign` seals the journal with the device key; None: there is none. `readings_every_ms`: how
    often a reading of each meter is kept, 0 for never. `held_max`: records in memory while the disk
    takes nothing.
    """

    def __init__(
        self,
        image: Image,
        *,
        inbox: BoundedInbox,
        journal: Journal,
        bus: Bus,
        watchers: Sequence[Room],
        clock: Clock,
        sign: Callable[[Checkpoint], str] | None = None,
        readings_every_ms: int = 0,
        held_max: int = 50_000,
    ) -> None:
        self.image = image
        self._inbox = inbox
        self._journal = journal
        self._bus = bus
        self._watchers = (bus, *watchers)
        self._clock = clock
        self._sign = sign
        self._notebook = Notebook(readings_every_ms)
        self._held: Held | None = None
        self._held_max = held_max
        self._first = 1
        """The number of this process' first record."""
        self._deadline_ms: int | None = None
        self._stopping = False
        self._reading: set[asyncio.Task[None]] = set()
        self._one_at_a_time = asyncio.Lock()
        self._failure: BaseException | None = None

    async def start(self, told: Sequence[Record] = ()) -> None:
        """Restore the image from the journal and record that the daemon started.

        `told` are `untold` records of an engine before this one, in the same process.
        """
        loaded = await self._journal.load()
        try:
            self.image = restore(self.image, loaded)
        except Rejected as flaw:
            loaded = await self._journal.begin_anew(str(flaw))
            self.image = restore(self.image, loaded)
        self._first = loaded.number + 1
        self._clock.raise_low(self.image.kept.wall_low_ms)
        self._clock.bound(self.image.kept.bound)
        watching_since_ms = self._clock.now().mono_ms
        self.image = msgspec.structs.replace(self.image, watching_since_ms=watching_since_ms)
        await self._durably(
            lambda: self._settle(begun(self.image, loaded, told, self._clock.now()), [])
        )

    @property
    def untold(self) -> tuple[Record, ...]:
        """What no disk has taken and the next engine has to write down."""
        return () if self._held is None else carried(self._held.records)

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

    def fail(self, failure: BaseException) -> None:
        """End with this at the next tick."""
        self._failure = failure
        self._inbox.wake()

    async def tick(self) -> None:
        """Drain, admit, observe, plan, commit, act, show."""
        if self._failure is not None:
            raise self._failure
        events: list[Taken] = []
        for event, reply in self._inbox.drain(EVENTS_A_TICK_MAX):
            if isinstance(event, DocumentClaim) and takes_long(event) and self._held is None:
                self._read_apart(event, reply)
            else:
                events.append((event, reply))
        await self._durably(lambda: self._tick(events))

    async def _durably(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Do it; where the disk takes nothing, once more from the beginning, held in memory."""
        try:
            await work()
        except NotWritten as failure:
            if failure.remedy is not Remedy.WAIT or self._held is not None:
                raise
            logger.error("nothing is written down any more: %s", failure)  # noqa: TRY400
            self._held = Held(failure, self._clock.now(), self._held_max)
            self.image = msgspec.structs.replace(self.image, degraded=self._held.seen)
            await work()

    async def _tick(self, events: Iterable[Taken]) -> None:
        draft = Draft(self.image, self._clock.now())
        answers: list[tuple[Reply, Answer]] = []
        for event, reply in events:
            answer = await self._admit(event, draft)
            if reply is not None:
                answers.append((reply, answer))
        await self._settle(draft, answers)

    async def _settle(self, draft: Draft, answers: list[tuple[Reply, Answer]]) -> None:
        planned = self._planned(draft)
        await self._put_down(draft)
        self._tell_the_clock(draft.image.kept)
        in_flight = draft.image.in_flight | {command.number for command in planned.commands}
        self.image = msgspec.structs.replace(draft.image, in_flight=in_flight)
        self._deadline_ms = planned.deadline_ms
        for what, word in draft.said:
            # Here it is bounded as the records are, whoever floods the doors.
            logger.info("%s: %s", what, word)
        for watcher in self._watchers:
            watcher.show(self.image)
        for command in planned.commands:
            self._bus.switch(command)
        for reply, answer in answers:
            reply(answer)

    def _planned(self, draft: Draft) -> Plan:
        if self._full:
            return Plan()
        planned = plan(draft.image, draft.now)
        for body in planned.bodies:
            draft.record(body)
        if self._sign is not None and self._held is None and draft.stored:
            self._seal(draft, self._sign)
        return planned

    @staticmethod
    def _seal(draft: Draft, sign: Callable[[Checkpoint], str]) -> None:
        image, now = draft.image, draft.now
        if not seal_due(image, now):
            return
        draft.record(Sealed(checkpoint=sign(checkpoint_of(image, now))))

    async def _put_down(self, draft: Draft) -> None:
        readings = self._notebook.waiting(draft.now, along=bool(draft.stored))
        held = self._held
        batch = draft.batch(self.image, readings if held is None else ())
        if held is None:
            if batch is not None:
                await self._journal.commit(batch)
                self._written(readings, draft)
            return
        if batch is not None:
            held.take(batch)
        if draft.now.mono_ms >= held.retry_ms:
            await self._try_again(held, draft, readings)
        degraded = None if self._held is None else held.seen
        draft.image = msgspec.structs.replace(draft.image, degraded=degraded)

    async def _try_again(
        self, held: Held, draft: Draft, readings: tuple[NotedReading, ...]
    ) -> None:
        last = Draft(draft.image, draft.now)
        last.record(held.told(draft.now))
        try:
            await self._journal.commit(held.batch(last.stored, last.image, readings))
        except NotWritten as failure:
            if failure.remedy is not Remedy.WAIT:
                raise
            held.failed(failure, draft.now)
            return
        logger.warning("written down again: %d records were held", len(held.records))
        self._held, draft.image = None, last.image
        self._written(readings, draft)

    def _written(self, readings: tuple[NotedReading, ...], draft: Draft) -> None:
        if readings:
            self._notebook.written()
            last = draft.image.readings_last + len(readings)
            draft.image = msgspec.structs.replace(draft.image, readings_last=last)

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
        if not task.cancelled() and (failure := task.exception()) is not None:
            self.fail(failure)  # a mistake of ours

    async def _admit(self, event: Event | DocumentRead, draft: Draft) -> Answer:
        image, now = draft.image, draft.now
        if self._held is not None and isinstance(event, _CLAIMS):
            return JOURNAL_DEGRADED
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

    def _observed(self, event: Observation | SwitchReport | ScanReport, draft: Draft) -> Answer:
        at = instant_of(draft.now)
        match event:
            case SwitchReport():
                body = admit_report(event, draft.image)
                if body is None:
                    return DUPLICATE
                draft.record(body)
                if event.reading is not None:
                    self._seen(MeterSeen(serial=event.serial, reading=event.reading), draft, at)
            case ScanReport():
                ended = admit_scan(event, draft.image)
                if ended is None:
                    return DUPLICATE
                draft.record(ended)
            case MeterSeen():
                self._seen(event, draft, at)
            case BusSeen() | BrokerSeen() | HeadEndSeen():
                draft.image = observe(draft.image, event, at)
            case _:
                assert_never(event)
        return ACCEPTED

    def _seen(self, seen: MeterSeen, draft: Draft, at: Instant) -> None:
        body = admit_reading(seen, draft.image)
        if body is not None and not self._full:
            draft.record(body)
        self._notebook.take(seen, draft.now)
        draft.image = observe(draft.image, seen, at)

    @staticmethod
    def _admitted(admission: Admission, draft: Draft) -> Answer:
        verified = admission.verified
        if verified is not None:
            draft.archive(verified, admission.bodies)
        for body in admission.bodies:
            draft.record(body, admission.document)
        if admission.bodies:
            what = "claim" if verified is None else str(verified.type)
            draft.said.append((what, admission.answer.word))
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

    async def _acknowledged(self, claim: AckClaim, draft: Draft) -> Answer:
        news = news_of(claim, draft.image, self._first)
        if news == NO_NEWS:
            return DUPLICATE
        chain = await self._journal.chain_at(claim.through)
        flaw = flaw_of(claim, news, self.image, chain)
        if flaw:
            return self._admitted(refused_ack(flaw, claim, draft.image, draft.now), draft)
        draft.acknowledge(news)
        return ACCEPTED

    @property
    def _full(self) -> bool:
        return self._held is not None and self._held.seen.full

    def _timeout_s(self) -> float | None:
        retry_ms = None if self._held is None else self._held.retry_ms
        deadlines = (self._deadline_ms, retry_ms, self._notebook.due_ms())
        deadline_ms = min((ms for ms in deadlines if ms is not None), default=None)
        if deadline_ms is None:
            return None
        return max(0, deadline_ms - self._clock.now().mono_ms) / 1000
