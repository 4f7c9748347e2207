"""Looking around a bus in its idle time: who answers at which address, where an order asks for it.

Owns the scan that is under way beside polling, and whose turn it is. Must never write: it only asks
what `inquiry` has. Must never hold up a command to a switch: it asks when nobody else has anything
to ask and no command is under way, so that one that comes finds at most one exchange on the line.
"""

import asyncio
from typing import Final

from gateway.bus.asking import Ask, Priority
from gateway.bus.inquiry import Presence, Question, Questions, resident_at
from gateway.bus.rtu import Failure, Fault, Reply
from gateway.core.errands import NOT_IN_TIME
from gateway.core.fact import ScanReport
from gateway.core.model import Value
from gateway.core.progress import Resident, Residents
from gateway.ports import Clock, Inbox

UNITS: Final = range(1, 248)


class Wanted(Value):
    """What an order wants to know: until when (boot clock) it waits."""

    order: str
    until_ms: int


class Looking:
    """The scan of one bus.

    `up` is set while the port is open, `still` while no command to a switch waits or is under way.
    """

    def __init__(
        self, ask: Ask, up: asyncio.Event, still: asyncio.Event, inbox: Inbox, clock: Clock
    ) -> None:
        self._ask = ask
        self._up = up
        self._still = still
        self._inbox = inbox
        self._clock = clock
        self.wanted: Wanted | None = None
        """For which order it looks around; None: for nobody."""
        self._questions = Questions((), {})
        self._changed = asyncio.Event()
        self._under_way: asyncio.Task[None] | None = None

    def want(self, wanted: Wanted | None, questions: Questions) -> None:
        """Look around for this order from now on; None: for nobody."""
        self.wanted, self._questions = wanted, questions
        if self._under_way is not None:
            self._under_way.cancel()
        self._changed.set()

    async def run(self) -> None:
        """Look around whenever an order wants it, until cancelled."""
        self._changed.set()  # what was under way when the room failed begins anew
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self.wanted is None:
                continue
            task = self._under_way = asyncio.create_task(self._look(self.wanted, self._questions))
            try:
                await asyncio.wait({task})
            finally:
                self._under_way = None
                task.cancel()
            if not task.cancelled():
                task.result()  # a mistake of ours

    async def _look(self, wanted: Wanted, questions: Questions) -> None:
        found: list[Resident] = []
        asked, reason, detail = 0, "", ""
        left_s = max(0, wanted.until_ms - self._clock.now().mono_ms) / 1000
        try:
            async with asyncio.timeout(left_s):
                for unit in UNITS:
                    found += await self._found_at(unit, questions)
                    asked += 1
        except TimeoutError:
            reason, detail = NOT_IN_TIME, f"{asked} of {len(UNITS)} addresses were asked"
        result = Residents(found=tuple(found), silent=asked - len(found))
        await self._inbox.put(
            ScanReport(order=wanted.order, result=result, reason=reason, detail=detail)
        )

    async def _found_at(self, unit: int, questions: Questions) -> tuple[Resident, ...]:
        it = await resident_at(unit, questions, self._put)
        if it.presence is Presence.SILENT:
            return ()
        found = Resident(unit=unit, presence=it.presence, serial=it.serial, profile=it.profile)
        return (found,)

    async def _put(self, question: Question) -> Reply | Fault:
        while True:
            await self._up.wait()
            await self._still.wait()
            answer = await self._ask(
                question.device, question.request, Priority.LOOK, self._still.is_set
            )
            lost = isinstance(answer, Fault) and answer.failure is Failure.BUS_DOWN
            withheld = isinstance(answer, Fault) and answer.failure is Failure.WITHHELD
            if not lost and not withheld:
                return answer
