"""One town whose disk fails, call by call, and what is judged of its daemon each time.

The disk fails below the state directory only, and is mended at the end of every injection.
"""

import asyncio
import errno
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import dropwhile, takewhile

from gateway.bench.demo_world import GATEWAY, Home
from gateway.core.alarms import Alarm
from gateway.core.fact import Answer
from gateway.core.status import Status
from gateway.utility.collect_store import opened_store
from tests.faults.shim import Call
from tests.faults.stories import TAKEN_OVER, Deeds, Story
from tests.kills.campaign import rows_in, switch_of
from tests.kills.judging import unbroken
from tests.kills.town import LOOK_EVERY_S, DaemonEnded, Town
from tests.kills.wire import clock_ms

DEGRADED = "JOURNAL_DEGRADED"
CLOSED_WITHIN_S = 30.0
STARTS_MAX = 3
"""So often the service manager starts it while the disk fails."""
RESTART_S = 0.3
LOG_BYTES = 1_500
STORY_S = 120


class Fault(StrEnum):
    """What must not be found."""

    ENDED = "ENDED"
    """The daemon ended although it runs on what it has in memory."""
    NOT_UP = "NOT_UP"
    """It does not start, although there is a journal to be read."""
    UNNAMED_END = "UNNAMED_END"
    """It ended without naming the error."""
    TRACEBACK = "TRACEBACK"
    SILENT = "SILENT"
    """No answer came, or what was to come about never did."""
    WRONG_ANSWER = "WRONG_ANSWER"
    TAKEN_WHILE_DEGRADED = "TAKEN_WHILE_DEGRADED"
    NO_ALARM = "NO_ALARM"
    PAID_AND_DARK = "PAID_AND_DARK"
    CUT_MEANWHILE = "CUT_MEANWHILE"
    ACKNOWLEDGED_LOST = "ACKNOWLEDGED_LOST"
    REFUSED_WHEN_MENDED = "REFUSED_WHEN_MENDED"
    RECORDS_BROKEN = "RECORDS_BROKEN"
    HANDED_OVER_DIFFERS = "HANDED_OVER_DIFFERS"
    SET_ASIDE = "SET_ASIDE"
    """A journal was set aside although the disk never failed, it only took nothing."""
    BAD_END = "BAD_END"
    """SIGTERM did not end it in order."""


@dataclass(frozen=True)
class Injection:
    """One call of a story that fails: the how many-th, by which error.

    `lasting`: every call after it too, until the disk is mended. `torn`: a write that fails has
    done half of its work.
    """

    story: Story
    call: int
    error: int
    lasting: bool = True
    torn: bool = False

    def __str__(self) -> str:
        """As it is told and asked for."""
        how = f"{'lasting' if self.lasting else 'once'}{',torn' if self.torn else ''}"
        return f"{self.story}:{self.call}:{errno.errorcode[self.error]}:{how}"


@dataclass
class Tally:
    """What was found."""

    injections: int = 0
    endings: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[Fault, str]] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Take up what was found elsewhere."""
        self.injections += other.injections
        self.endings += other.endings
        self.faults += other.faults


class Scene:
    """The story of a town, told once for each injection."""

    def __init__(self, town: Town, story: Story) -> None:
        self._town = town
        self._story = story
        self._deeds = Deeds(town)
        self._acknowledged: dict[bytes, str] = {}
        """What was answered as accepted, and when."""
        self._errors: set[int] = set()
        self.tally = Tally()

    async def prepare(self) -> None:
        """Bring the town to where the story begins. Without a failure."""
        town, deeds = self._town, self._deeds
        if self._story is Story.FIRST_START:
            return
        if self._story is Story.CLOSING:
            for home in town.homes[:-1]:
                await town.line.control.open(home.serial)
        await town.daemon.start()
        await town.seen()
        if self._story is Story.START:
            deeds.lit = [*town.homes]
        assert (await town.submit(deeds.list_of_paid())).accepted
        await town.until(lambda s: s.broker is not None and s.broker.connected)

    async def calls(self) -> int:
        """How many calls the deed makes where nothing fails, as it is told after another one."""
        before = 0
        for _ in range(1 if self._story is Story.FIRST_START else 2):
            before = self._town.shim.calls
            await self._begin(None)
            await self._settled()
        if self._story is Story.CHECKPOINT:
            made = dropwhile(lambda one: not _takes_over(one), self._town.shim.made(before))
            return sum(1 for _ in takewhile(_takes_over, made)) + 2
        return self._town.shim.calls - before

    async def inject(self, injection: Injection) -> bool:
        """Tell the story with this failure; False: something was wrong, the town is spent."""
        hits = self._town.shim.hits
        self._errors.add(injection.error)
        self.tally.injections += 1
        sound = await self._judged(injection, self._tell(injection))
        reached = "failed" if self._town.shim.hits > hits else "not reached"
        self.tally.endings[f"{injection.story} {reached}"] += 1
        return sound

    async def end(self, last: Injection) -> None:
        """Stop the daemon after the last injection, and look at what it leaves."""
        await self._judged(last, self._look())

    def believe(self, document: bytes) -> None:
        """Somebody was told that this document is safe."""
        self._acknowledged[document] = f"document {len(self._acknowledged)}"

    async def _tell(self, injection: Injection) -> None:
        async with asyncio.timeout(STORY_S):
            await self._begin(injection)
            await self._settled()

    async def _judged(self, injection: Injection, work: Coroutine[None, None, None]) -> bool:
        faults, logged = len(self.tally.faults), len(self._town.daemon.log)
        try:
            await work
        except DaemonEnded:
            self._fault(Fault.ENDED, self._town.daemon.log[logged:][-LOG_BYTES:])
        except (AssertionError, TimeoutError) as error:
            said = self._town.daemon.log[logged:][-LOG_BYTES:]
            self._fault(Fault.SILENT, f"{str(error)[:LOG_BYTES]}\n{said}")
        finally:
            self._town.shim.mend()
        log = self._town.daemon.log[logged:]
        if "Traceback" in log:
            self._fault(Fault.TRACEBACK, log[log.index("Traceback") :][-LOG_BYTES:])
        new = self.tally.faults[faults:]
        self.tally.faults[faults:] = [(one, f"{injection}: {said}") for one, said in new]
        return not new

    async def _look(self) -> None:
        town = self._town
        self._expect(await town.daemon.stop() in {0, None}, Fault.BAD_END, "by SIGTERM")
        rows = rows_in(town.state)
        for _, said in unbroken(rows):
            self._fault(Fault.RECORDS_BROKEN, said)
        contents = b"\n".join(row.content for row in rows).decode()
        for document, when in self._acknowledged.items():
            there = town.papers.digest(document) in contents
            self._expect(there, Fault.ACKNOWLEDGED_LOST, when)
        with opened_store(str(town.folder / "collected.db")) as store:
            handed_over = store.contents(GATEWAY)
        ours = tuple(row.content for row in rows[: len(handed_over)])
        self._expect(ours == handed_over, Fault.HANDED_OVER_DIFFERS, f"{len(handed_over)} records")
        # A file at which the disk has failed is given up, once everything in it is in another one.
        lost = [*town.state.glob("journal.db.lost*")]
        bad = errno.EIO in self._errors
        self._expect(bad or not lost, Fault.SET_ASIDE, ", ".join(one.name for one in lost))

    async def _begin(self, injection: Injection | None) -> None:
        match self._story:
            case Story.FIRST_START | Story.START:
                await self._start(injection)
            case Story.LIST:
                await self._document(self._deeds.list_of_paid(), injection)
            case Story.CLOSING:
                await self._closing(self._deeds.next_home(), injection)
            case Story.TAG:
                await self._tag(self._deeds.next_home(), injection)
            case Story.CUT:
                await self._cut(self._deeds.next_home(), injection)
            case Story.CHECKPOINT:
                await self._checkpoint(injection)

    def _arm(self, injection: Injection | None) -> None:
        if injection is not None:
            torn, lasting = injection.torn, injection.lasting
            self._town.shim.fail(injection.call, injection.error, lasting=lasting, torn=torn)

    async def _document(self, document: bytes, injection: Injection | None) -> None:
        self._arm(injection)
        answer = await self._submitted(document)
        await self._meanwhile(injection)
        await self._mended()
        again = await self._town.submit(document)
        self._expect(again.accepted, Fault.REFUSED_WHEN_MENDED, f"{answer.word}, {again.word}")

    async def _closing(self, home: Home, injection: Injection | None) -> None:
        document = self._deeds.receipt(home)
        self._arm(injection)
        answer = await self._submitted(document)
        if answer.accepted:
            closed = await self._deeds.closed(home, CLOSED_WITHIN_S)
            self._expect(closed, Fault.PAID_AND_DARK, f"{home.serial}, whose receipt was accepted")
        await self._meanwhile(injection)
        await self._mended()
        again = await self._town.submit(document)
        self._expect(again.accepted, Fault.REFUSED_WHEN_MENDED, f"{answer.word}, {again.word}")
        closed = await self._deeds.closed(home, CLOSED_WITHIN_S)
        self._expect(closed, Fault.PAID_AND_DARK, f"{home.serial}, after mending")

    async def _tag(self, home: Home, injection: Injection | None) -> None:
        self._arm(injection)
        answer = await self._deeds.hold(home)
        self._expect_word(answer)
        await self._meanwhile(injection)
        await self._mended()
        again = await self._deeds.hold(home)
        self._expect(again.accepted, Fault.REFUSED_WHEN_MENDED, f"{answer.word}, {again.word}")

    async def _cut(self, home: Home, injection: Injection | None) -> None:
        town = self._town
        document = await self._deeds.order(home)
        self._arm(injection)
        hits = town.shim.hits
        await town.broker.publish(document)
        await self._heard(document, hits)
        degraded = Alarm.JOURNAL_DEGRADED in (await town.status()).alarms
        since_ms = clock_ms()
        await self._meanwhile(injection)
        if degraded and injection is not None and injection.lasting:
            late = [one for one in town.tap.frames if one.heard_ms > since_ms]
            cut = [one for one in late if switch_of(home).written_by(one)]
            self._expect(not cut, Fault.CUT_MEANWHILE, home.serial)
        await self._mended()
        await self._heard(document, None)
        self._acknowledged[document] = f"order for {home.serial}"
        await town.until(lambda s: s.tasks == 0)
        receipt = self._deeds.receipt(home)
        await self._submitted(receipt)
        closed = await self._deeds.closed(home, CLOSED_WITHIN_S)
        self._expect(closed, Fault.PAID_AND_DARK, f"{home.serial}, after it was cut")

    async def _heard(self, document: bytes, hits: int | None) -> None:
        """Wait until the broker's message is acknowledged, or a call has failed."""
        async with asyncio.timeout(60):
            while document not in self._town.broker.acknowledged:
                if hits is not None and self._town.shim.hits > hits:
                    return
                await asyncio.sleep(LOOK_EVERY_S)

    async def _checkpoint(self, injection: Injection | None) -> None:
        hits = self._town.shim.hits
        if injection is not None:
            call, error, lasting = injection.call, injection.error, injection.lasting
            self._town.shim.fail_at_word(TAKEN_OVER, call - 1, error, lasting=lasting)
        answer = await self._deeds.flood(hits)
        self._expect_word(answer)
        await self._meanwhile(injection)
        await self._mended()
        await self._submitted(self._deeds.receipt(self._deeds.spare))

    async def _start(self, injection: Injection | None) -> None:
        town, home = self._town, self._deeds.next_home()
        there = (town.state / "journal.db").exists()
        if town.daemon.runs:
            town.daemon.kill()
            await town.daemon.ended()
        if there:
            await town.line.control.open(home.serial)
        self._arm(injection)
        await town.daemon.start()
        up = await self._up(there)
        if up is not None and there:
            closed = await self._deeds.closed(home, CLOSED_WITHIN_S)
            self._expect(closed, Fault.PAID_AND_DARK, f"{home.serial}, who has paid before")
        town.shim.mend()
        if not town.daemon.runs:
            await town.daemon.start()
        await town.until(lambda s: s.meters > 0 and Alarm.JOURNAL_DEGRADED not in s.alarms)
        await self._submitted(self._deeds.receipt(self._deeds.spare))

    async def _up(self, there: bool) -> Status | None:
        """The status of a daemon that starts while the disk fails, as systemd starts it."""
        town = self._town
        for _ in range(STARTS_MAX):
            logged = len(town.daemon.log)
            try:
                return await (town.seen() if there else town.status())
            except DaemonEnded:
                said = town.daemon.log[logged:]
                status = await town.daemon.ended()
                named = status == 1 and "Traceback" not in said and "Error: " in said
                self._expect(named, Fault.UNNAMED_END, f"{status}: {said[-LOG_BYTES:]}")
                self.tally.endings[f"{self._story} ended by name"] += 1
                await asyncio.sleep(RESTART_S)
                await town.daemon.start()
        self._expect(not there, Fault.NOT_UP, said[-LOG_BYTES:])
        return None

    async def _submitted(self, document: bytes) -> Answer:
        answer = await self._town.submit(document)
        self._expect_word(answer)
        if answer.accepted:
            self.believe(document)
        return answer

    def _expect_word(self, answer: Answer) -> None:
        sound = answer.accepted or answer.word == DEGRADED
        self._expect(sound, Fault.WRONG_ANSWER, f"{answer.word}: {answer.detail}")

    async def _meanwhile(self, injection: Injection | None) -> None:
        """While every call fails nothing new is taken, and everybody can see why."""
        if injection is None or not injection.lasting:
            return
        for _ in range(20):  # a deed may be over before its call has come
            answer = await self._town.submit(self._deeds.receipt(self._deeds.spare))
            if not answer.accepted:
                break
        self._expect(answer.word == DEGRADED, Fault.TAKEN_WHILE_DEGRADED, answer.word)
        alarms = (await self._town.status()).alarms
        self._expect(Alarm.JOURNAL_DEGRADED in alarms, Fault.NO_ALARM, ", ".join(alarms))

    async def _mended(self) -> None:
        self._town.shim.mend()
        await self._town.until(lambda s: Alarm.JOURNAL_DEGRADED not in s.alarms)

    async def _settled(self) -> None:
        await self._town.until(lambda s: s.tasks == 0 and s.outbox == 0)

    def _expect(self, holds: bool, fault: Fault, said: str) -> None:
        if not holds:
            self._fault(fault, said)

    def _fault(self, fault: Fault, said: str) -> None:
        self.tally.faults.append((fault, said))


async def told(town: Town, injections: Sequence[Injection]) -> tuple[Tally, int]:
    """As many of the injections of one story as the town stands, and how many these were."""
    scene = Scene(town, injections[0].story)
    await scene.prepare()
    for done, injection in enumerate(injections, start=1):
        if not await scene.inject(injection):
            return scene.tally, done
    await scene.end(injections[-1])
    return scene.tally, len(injections)


async def counted(town: Town, story: Story) -> int:
    """How many calls a story makes."""
    scene = Scene(town, story)
    await scene.prepare()
    return await scene.calls()


def _takes_over(call: Call) -> bool:
    return call.path.endswith("/journal.db")
