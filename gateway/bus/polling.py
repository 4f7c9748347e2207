"""Polling: what is asked of each meter in its turn, and what is posted of it.

Owns what was read last on one bus. Must never hold up a command to a switch: every exchange is
asked for at the lowest priority, one at a time, and whose turn it is leaves about half of the
line's time free (`turns`, `budget`).
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final

from gateway.bus.asking import Ask, Priority
from gateway.bus.budget import Intervals, Speed, look_read
from gateway.bus.device import Device
from gateway.bus.frame import Read
from gateway.bus.measuring import Neighbours
from gateway.bus.reading import (
    MeasureRead,
    cause_of,
    cause_read,
    measure_reads,
    measured_in,
    reading_of,
    state_of,
    state_read,
    value_reads,
)
from gateway.bus.rtu import Failure, Fault, Reply
from gateway.bus.turns import NOTHING, Target, Turns
from gateway.core.fact import MeterSeen
from gateway.core.model import SupplyState
from gateway.ports import Clock, Inbox

CAUSE_TRIES: Final = 2
"""It is wanted at once: what opened a switch is written down with the opening."""


class Polling:
    """The round of one bus. `up` is set while the port is open."""

    def __init__(
        self,
        ask: Ask,
        up: asyncio.Event,
        silence_changed: Callable[[], None],
        inbox: Inbox,
        clock: Clock,
        *,
        speed: Speed,
        wished: Intervals,
    ) -> None:
        self.turns = Turns(speed, wished)
        self._neighbours = Neighbours()
        self._ask = ask
        self._up = up
        self._silence_changed = silence_changed
        self._inbox = inbox
        self._clock = clock
        # By meter, for its place in the round may change while one is under way.
        self._under_way = Counter[str]()
        """How many commands to its switch are under way."""
        self._ended = Counter[str]()
        """How many have ended: a reading from before or during one is not posted after it."""
        self._changed = asyncio.Event()

    def take(self, devices: Sequence[Device]) -> None:
        """Poll these from now on; what is known of those that stay, stays."""
        silent = self.turns.silent
        self._neighbours.forget()
        self.turns.take(devices, _now_s())
        self._tell_silence(silent)
        self._changed.set()

    def read_at_once(self, wanted: Mapping[str, int]) -> None:
        """Poll these before all others, each once: since when (boot clock) they are wanted."""
        for serial, since_ms in wanted.items():
            if self.turns.want(serial, since_ms, _now_s()):
                self._changed.set()

    def switching(self, serial: str, *, begins: bool) -> None:
        """A command to this meter's switch begins or has ended: meanwhile it is not polled."""
        self._under_way[serial] += 1 if begins else -1
        self._under_way += Counter()  # those at zero go
        self._ended[serial] += not begins
        target = self.turns.of(serial)
        if target is not None:
            self.turns.look_soon(target, _now_s())
            # It may have been closed and opened again: by what, is to be asked anew.
            target.cause_asked = False
        self._changed.set()

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            await self._up.wait()
            self._changed.clear()
            turn = self.turns.next(self._under_way, _now_s())
            if turn is None or turn[1] > _now_s():
                await self._wait(None if turn is None else turn[1])
            else:
                await self._poll(turn[0])

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
        request = look_read(device)
        ended, wanted_ms = self._ended[device.serial], target.wanted_ms
        answer = None if request is None else await self._asked(target, request)
        if not self._took(target, answer):
            return
        state = SupplyState.UNKNOWN
        if isinstance(answer, Reply) and state_read(device) is not None:
            state = state_of(device.profile, answer.values[0])
        mono_ms = self._clock.now().mono_ms
        await self._ask_cause(target, state)
        await self._measure(target)
        if not self._under_way[device.serial] and self._ended[device.serial] == ended:
            self._post(target, state, mono_ms)
            if target.wanted_ms == wanted_ms:
                target.tries = 0

    async def _check(self, target: Target) -> None:
        """A check meter is asked for its values and nothing else, and each time anew."""
        mono_ms = self._clock.now().mono_ms
        measured = NOTHING
        async for read, answer in self._values(target, measure_reads(target.device)):
            if not self._took(target, answer):
                return
            if isinstance(answer, Reply):
                measured = measured.with_newer(measured_in(target.device, read, answer))
        target.measured = measured
        self._post(target, SupplyState.UNKNOWN, mono_ms)

    def _took(self, target: Target, answer: Reply | Fault | None) -> bool:
        """Whether the device is there; an exception is a sign of life too."""
        if isinstance(answer, Fault) and answer.failure is Failure.BUS_DOWN:
            return False
        silent = self.turns.silent
        there = not isinstance(answer, Fault) or answer.failure is Failure.EXCEPTION
        (self.turns.answered if there else self.turns.missed)(target, _now_s())
        self._tell_silence(silent)
        return there

    def _post(self, target: Target, state: SupplyState, mono_ms: int) -> None:
        self.turns.seen(target, state, _now_s())
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
        if _now_s() < target.measure_due_s or self._under_way[target.device.serial]:
            return
        self.turns.measured(target, _now_s())
        measured = NOTHING
        async for read, answer in self._values(target, value_reads(target.device)):
            if isinstance(answer, Reply):
                measured = measured.with_newer(measured_in(target.device, read, answer))
        # What was read before is old, and says so; one that fell silent has no values without age.
        target.measured = measured if measured != NOTHING else target.measured

    def _values(
        self, target: Target, reads: Sequence[MeasureRead]
    ) -> AsyncIterator[tuple[MeasureRead, Reply | Fault]]:
        async def ask(request: Read) -> Reply | Fault:
            return await self._asked(target, request)

        return self._neighbours.asked(target.device, reads, ask)

    async def _asked(self, target: Target, request: Read) -> Reply | Fault:
        answer = await self._ask(target.device, request, Priority.POLL)
        if isinstance(answer, Reply):
            took_s = (answer.heard_ms - answer.sent_ms) / 1000
            self.turns.speed = self.turns.speed.heard(request, took_s)
        return answer

    def _tell_silence(self, before: tuple[str, ...]) -> None:
        if self.turns.silent != before:
            self._silence_changed()


def _now_s() -> float:
    return asyncio.get_running_loop().time()
