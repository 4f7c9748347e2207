"""Polling: which meter is read next, and how long a silent one is left alone.

Owns the due times of one bus and what was read last. Must never hold up a command to a switch:
every exchange is asked for at the lowest priority, one at a time, and about half of the line's time
is left free.

Meters that are not connected are read often: that is where somebody waits. A check meter goes first
when it is due, for a transformer is loaded by what it reads. A meter that missed twice is parked
and asked with growing back-off, when nobody else is due.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.bus.asking import Ask, Priority
from gateway.bus.device import Device
from gateway.bus.frame import Read
from gateway.bus.reading import (
    Quantities,
    cause_of,
    cause_read,
    identity_read,
    measure_reads,
    quantities_of,
    reading_of,
    state_of,
    state_read,
)
from gateway.bus.rtu import Failure, Fault, Reply
from gateway.core.fact import MeterSeen
from gateway.core.model import Cause, Serial, SupplyState
from gateway.ports import Clock, Inbox

logger = logging.getLogger(__name__)

WAITING_S: Final = 2.0
"""Between two readings of a meter that is not connected."""
CONNECTED_S: Final = 10.0
"""Between two readings of a connected meter."""
CHECKED_S: Final = 5.0
"""Between two readings of a check meter."""
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
CAUSE_TRIES: Final = 2
"""It is wanted at once: what opened a switch is written down with the opening."""


@dataclass(slots=True, eq=False)
class Target:
    """One device's place in the round."""

    device: Device
    due_s: float
    measure_due_s: float
    misses: int = 0
    asked: bool = False
    measured: Quantities = NOTHING
    state: SupplyState = SupplyState.UNKNOWN
    cause: Cause | None = None
    cause_asked: bool = False

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
        self._under_way = Counter[str]()
        """How many commands to its switch are under way."""
        self._ended = Counter[str]()
        """How many have ended: a reading from before or during one is not posted after it."""
        self._changed = asyncio.Event()
        self._free_s = float("-inf")

    @property
    def all_silent(self) -> bool:
        """Whether there are meters and none of them answers."""
        return bool(self._targets) and len(self.silent) == len(self._targets)

    def take(self, devices: Sequence[Device]) -> None:
        """Poll these from now on; what is known of those that stay, stays."""
        now_s = asyncio.get_running_loop().time()
        before = self._targets
        self._targets = {}
        for device in devices:
            known = before.get(device.serial)
            if known is None or known.device != device:
                # First where every switch stands; what can be measured comes with the next round.
                later_s = 0.0 if state_read(device) is None else WAITING_S
                known = Target(device, due_s=now_s, measure_due_s=now_s + later_s)
            self._targets[device.serial] = known
        self._note_silent()
        self._changed.set()

    def switching(self, serial: str, *, begins: bool) -> None:
        """A command to this meter's switch begins or has ended: meanwhile it is not polled."""
        self._under_way[serial] += 1 if begins else -1
        self._ended[serial] += not begins
        target = self._targets.get(serial)
        if target is not None:
            target.due_s = asyncio.get_running_loop().time() + WAITING_S
            # It may have been closed and opened again: by what, is to be asked anew.
            target.cause_asked = False
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
        now_s = asyncio.get_running_loop().time()
        free = [one for serial, one in self._targets.items() if not self._under_way[serial]]
        checks = (one for one in free if one.device.measures_only and not one.parked)
        due = min((one for one in checks if one.due_s <= now_s), key=self._order, default=None)
        return due or min(free, key=self._order, default=None)

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
        device = target.device
        if device.measures_only:
            await self._check(target)
            return
        # A type that shows neither state nor values gives at least a sign of life.
        request = state_read(device) or identity_read(device)
        ended = self._ended[device.serial]
        answer = None if request is None else await self._asked(target, request)
        if not self._took(target, answer):
            return
        state = SupplyState.UNKNOWN
        if isinstance(answer, Reply) and state_read(device) is not None:
            state = state_of(device.profile, answer.values[0])
        mono_ms = self._clock.now().mono_ms
        await self._ask_cause(target, state)
        await self._measure(target)
        if self._under_way[device.serial] or self._ended[device.serial] != ended:
            return
        waits = state is not SupplyState.CONNECTED and state_read(device) is not None
        self._post(target, state, mono_ms, again_s=WAITING_S if waits else CONNECTED_S)

    async def _check(self, target: Target) -> None:
        """A check meter is asked for its values and nothing else, and each time anew."""
        mono_ms = self._clock.now().mono_ms
        measured = NOTHING
        for read in measure_reads(target.device):
            answer = await self._asked(target, read.request)
            if not self._took(target, answer):
                return
            if isinstance(answer, Reply):
                seen = quantities_of(target.device.profile, read, answer.values)
                measured = measured.with_newer(seen)
        target.measured = measured
        self._post(target, SupplyState.UNKNOWN, mono_ms, again_s=CHECKED_S)

    def _took(self, target: Target, answer: Reply | Fault | None) -> bool:
        """Whether the device is there; an exception is a sign of life too."""
        if isinstance(answer, Fault) and answer.failure is Failure.BUS_DOWN:
            return False
        target.asked = True
        if isinstance(answer, Fault) and answer.failure is not Failure.EXCEPTION:
            self._missed(target)
            return False
        self._answered(target)
        return True

    def _post(self, target: Target, state: SupplyState, mono_ms: int, *, again_s: float) -> None:
        target.due_s = asyncio.get_running_loop().time() + again_s
        target.state = state
        reading = reading_of(target.device, state, mono_ms, target.measured, cause=target.cause)
        self._inbox.post(MeterSeen(serial=target.device.serial, reading=reading))

    async def _ask_cause(self, target: Target, state: SupplyState) -> None:
        """What opened a switch, once it reads open: it stays so until it was closed again."""
        request = cause_read(target.device)
        opened = state is SupplyState.DISCONNECTED
        if not opened or target.state is not state or not target.cause_asked:
            target.cause, target.cause_asked = None, False
        if request is None or not opened or target.cause_asked:
            return
        for _ in range(CAUSE_TRIES):
            if self._under_way[target.device.serial]:
                return
            answer = await self._asked(target, request)
            if isinstance(answer, Reply):
                target.cause = cause_of(target.device.profile, answer.values[0])
            target.cause_asked = isinstance(answer, Reply) or answer.failure is Failure.EXCEPTION
            if target.cause_asked:
                return

    async def _measure(self, target: Target) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s < target.measure_due_s or self._under_way[target.device.serial]:
            return
        target.measure_due_s = now_s + MEASURED_S
        measured = NOTHING
        for read in measure_reads(target.device):
            answer = await self._asked(target, read.request)
            if isinstance(answer, Reply):
                seen = quantities_of(target.device.profile, read, answer.values)
                measured = measured.with_newer(seen)
        target.measured = measured

    async def _asked(self, target: Target, request: Read) -> Reply | Fault:
        return await self._ask(target.device, request, Priority.POLL)

    def _missed(self, target: Target) -> None:
        target.misses += 1
        wait_s = MISSED_ONCE_S
        if target.parked:
            doubled = BACK_OFF_FIRST_S * 2.0 ** min(target.misses - MISSES_MAX, 20)
            wait_s = min(doubled, BACK_OFF_MAX_S)
        if target.misses == MISSES_MAX:
            logger.warning("meter %s does not answer", target.device.serial)
            self._note_silent()
        if self.all_silent:
            wait_s = min(wait_s, BACK_OFF_ALL_SILENT_S)
        target.due_s = asyncio.get_running_loop().time() + wait_s

    def _answered(self, target: Target) -> None:
        if target.parked:
            logger.info("meter %s answers again", target.device.serial)
            if self.all_silent:
                self._ask_all_soon()
        target.misses = 0
        if target.device.serial in self.silent:
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
