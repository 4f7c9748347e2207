"""Polling: which meter is read next, and how long a silent one is left alone.

Owns the due times of one bus and what was read last. Must never hold up a close: every exchange is
asked for at the lowest priority, one at a time, and about half of the line's time is left free.

Meters that are not connected are read often: that is where somebody waits. A meter that missed
twice is parked and asked with growing back-off, when nobody else is due.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.bus.closing import Ask, Priority
from gateway.bus.frame import Read
from gateway.bus.profile import Profile
from gateway.bus.reading import (
    Quantities,
    identity_read,
    measure_reads,
    quantities_of,
    reading_of,
    state_of,
    state_read,
)
from gateway.bus.rtu import Failure, Fault, Reply
from gateway.core.fact import MeterSeen
from gateway.core.model import Meter, Serial, SupplyState
from gateway.ports import Clock, Inbox

logger = logging.getLogger(__name__)

WAITING_S: Final = 2.0
"""Between two readings of a meter that is not connected."""
CONNECTED_S: Final = 10.0
"""Between two readings of a connected meter."""
MEASURED_S: Final = 30.0
"""Between two readings of anybody's voltage and current."""
MISSES_MAX: Final = 2
MISSED_ONCE_S: Final = 0.5
"""After a first miss: one lost frame is made good, or the meter is soon known to be silent."""
BACK_OFF_FIRST_S: Final = 1.0
BACK_OFF_MAX_S: Final = 300.0
BACK_OFF_ALL_SILENT_S: Final = 5.0
"""With nobody to disturb, a mended cable is noticed soon."""
PARKED_PATIENCE_S: Final = 5.0
"""So long a parked meter lets the others go first."""
REST: Final = 1.0
"""After a poll the line is left free for this many times as long as the poll took."""
NOTHING: Final = Quantities()


@dataclass(slots=True, eq=False)
class Target:
    """One meter's place in the round."""

    meter: Meter
    profile: Profile
    due_s: float
    measure_due_s: float
    misses: int = 0
    asked: bool = False
    measured: Quantities = NOTHING

    @property
    def parked(self) -> bool:
        """Whether it is silent."""
        return self.misses >= MISSES_MAX


class Polling:
    """The round of one bus. `up` is set while the port is open."""

    def __init__(
        self,
        ask: Ask,
        up: asyncio.Event,
        silence_changed: Callable[[], None],
        inbox: Inbox,
        clock: Clock,
    ) -> None:
        self.silent: tuple[Serial, ...] = ()
        """The meters that do not answer, in the roster's order."""
        self._ask = ask
        self._up = up
        self._silence_changed = silence_changed
        self._inbox = inbox
        self._clock = clock
        self._targets: dict[str, Target] = {}
        # By meter, for its place in the round may change while one is under way.
        self._closings = Counter[str]()
        """How many closes of it are under way."""
        self._closed = Counter[str]()
        """How many have ended: a reading from before or during one is not posted after it."""
        self._changed = asyncio.Event()
        self._free_s = float("-inf")

    @property
    def all_silent(self) -> bool:
        """Whether there are meters and none of them answers."""
        return bool(self._targets) and len(self.silent) == len(self._targets)

    def take(self, meters: Sequence[tuple[Meter, Profile]]) -> None:
        """Poll these from now on; what is known of those that stay, stays."""
        now_s = asyncio.get_running_loop().time()
        before = self._targets
        self._targets = {}
        for meter, profile in meters:
            known = before.get(meter.serial)
            if known is None or known.meter != meter:
                # First where every switch stands; what can be measured comes with the next round.
                later_s = 0.0 if state_read(profile, meter) is None else WAITING_S
                known = Target(meter, profile, due_s=now_s, measure_due_s=now_s + later_s)
            self._targets[meter.serial] = known
        self._note_silent()
        self._changed.set()

    def closing(self, serial: str, *, begins: bool) -> None:
        """A close of this meter begins or has ended: meanwhile it is not polled."""
        self._closings[serial] += 1 if begins else -1
        self._closed[serial] += not begins
        target = self._targets.get(serial)
        if target is not None:
            target.due_s = asyncio.get_running_loop().time() + WAITING_S
        self._changed.set()

    async def run(self) -> None:
        """Poll until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._up.wait()
            self._changed.clear()
            target = self._next()
            start_s = None if target is None else self._start_s(target)
            if target is None or start_s is None or start_s > loop.time():
                await self._wait(start_s)
                continue
            began_s = loop.time()
            await self._poll(target)
            # After a miss the master keeps the line quiet anyhow.
            took_s = 0.0 if target.misses else loop.time() - began_s
            self._free_s = loop.time() + REST * took_s

    def _next(self) -> Target | None:
        free = (one for serial, one in self._targets.items() if not self._closings[serial])
        return min(free, key=self._order, default=None)

    @staticmethod
    def _order(target: Target) -> float:
        return target.due_s + (PARKED_PATIENCE_S if target.parked else 0.0)

    def _start_s(self, target: Target) -> float:
        # The first round goes at full speed: nobody may wait because he was never read.
        return target.due_s if not target.asked else max(target.due_s, self._free_s)

    async def _wait(self, until_s: float | None) -> None:
        try:
            async with asyncio.timeout_at(until_s):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _poll(self, target: Target) -> None:
        meter, profile = target.meter, target.profile
        # A type that shows neither state nor values gives at least a sign of life.
        request = state_read(profile, meter) or identity_read(profile, meter)
        closed = self._closed[meter.serial]
        answer = None if request is None else await self._asked(target, request)
        if isinstance(answer, Fault) and answer.failure is Failure.BUS_DOWN:
            return
        target.asked = True
        if isinstance(answer, Fault) and answer.failure is not Failure.EXCEPTION:
            self._missed(target)
            return
        self._answered(target)
        state = SupplyState.UNKNOWN
        if isinstance(answer, Reply) and state_read(profile, meter) is not None:
            state = state_of(profile, answer.values[0])
        mono_ms = self._clock.now().mono_ms
        await self._measure(target)
        if self._closings[meter.serial] or self._closed[meter.serial] != closed:
            return
        waits = state is not SupplyState.CONNECTED and state_read(profile, meter) is not None
        target.due_s = asyncio.get_running_loop().time() + (WAITING_S if waits else CONNECTED_S)
        reading = reading_of(profile, state, mono_ms, target.measured)
        self._inbox.post(MeterSeen(serial=Serial(meter.serial), reading=reading))

    async def _measure(self, target: Target) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s < target.measure_due_s or self._closings[target.meter.serial]:
            return
        target.measure_due_s = now_s + MEASURED_S
        measured = NOTHING
        for read in measure_reads(target.profile, target.meter):
            answer = await self._asked(target, read.request)
            if isinstance(answer, Reply):
                measured = measured.with_newer(quantities_of(target.profile, read, answer.values))
        target.measured = measured

    async def _asked(self, target: Target, request: Read) -> Reply | Fault:
        return await self._ask(target.meter, target.profile, request, Priority.POLL)

    def _missed(self, target: Target) -> None:
        target.misses += 1
        wait_s = MISSED_ONCE_S
        if target.parked:
            doubled = BACK_OFF_FIRST_S * 2.0 ** min(target.misses - MISSES_MAX, 20)
            wait_s = min(doubled, BACK_OFF_MAX_S)
        if target.misses == MISSES_MAX:
            logger.warning("meter %s does not answer", target.meter.serial)
            self._note_silent()
        if self.all_silent:
            wait_s = min(wait_s, BACK_OFF_ALL_SILENT_S)
        target.due_s = asyncio.get_running_loop().time() + wait_s

    def _answered(self, target: Target) -> None:
        if target.parked:
            logger.info("meter %s answers again", target.meter.serial)
            if self.all_silent:
                self._ask_all_soon()
        target.misses = 0
        if target.meter.serial in self.silent:
            self._note_silent()

    def _ask_all_soon(self) -> None:
        # What has brought one back has very likely brought back the others.
        now_s = asyncio.get_running_loop().time()
        for target in self._targets.values():
            target.due_s = min(target.due_s, now_s)

    def _note_silent(self) -> None:
        silent = tuple(Serial(serial) for serial, one in self._targets.items() if one.parked)
        if silent != self.silent:
            self.silent = silent
            self._silence_changed()
