"""The steps that every command to a load switch is made of, and what they have shown so far.

Owns how a meter is looked at, written once and read back (design: identity, state, one write,
settle, read back twice, second sign). Must never decide whether a write may go out, nor what an
outcome is: `closing`, `opening` and `releasing` do, each for its own command.

A write acknowledged is no effect, and a write without an answer is no failure: only what is read
afterwards counts (rules B4, B6, B8).
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, assert_never

import msgspec

from gateway.bus.asking import Ask, Priority
from gateway.bus.blocks import Instruction, Motion
from gateway.bus.device import Device
from gateway.bus.frame import Read
from gateway.bus.measuring import Neighbours
from gateway.bus.reading import (
    Quantities,
    cause_of,
    cause_read,
    identity_read,
    load_voltage_read,
    measure_reads,
    measured_in,
    reading_of,
    serial_of,
    state_of,
    state_read,
    writes_of,
)
from gateway.bus.rtu import Failure, Fault, MayGo, Reply, unconditionally
from gateway.core.fact import Outcome, SwitchCommand, SwitchReport, Why
from gateway.core.image import Image
from gateway.core.model import Meter, Now, Reading, Serial, SupplyState
from gateway.ports import Clock

logger = logging.getLogger(__name__)

READ_TRIES: Final = 2
PAIRS_MAX: Final = 2
"""Read-backs that disagree are read once more after the switch had time to settle."""
LIVE_MV: Final = 100_000
"""On the load side of a closed switch there is more than this, or there is no supply."""
FLOWING_MA: Final = 50
"""Above what a meter shows with nothing connected."""


class Unanswered(Exception):  # noqa: N818 - the world's silence, not an error of ours
    """What had to be known could not be read, or the write could not be sent."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.failure)
        self.why = _why(fault.failure)


class Steps:
    """One command on its way. `motion` is what carries it out, `image` gives the newest image."""

    def __init__(
        self,
        command: SwitchCommand,
        device: Device,
        motion: Motion,
        *,
        forces: bool,
        ask: Ask,
        image: Callable[[], Image],
        clock: Clock,
    ) -> None:
        self.command = command
        self.device = device
        self.writes = 0
        self.touched = command.resumed
        """Whether a write may have had an effect; the process that died may have sent one."""
        self._motion = motion
        self._forces = forces
        self._ask = ask
        self._image = image
        self._clock = clock
        self._reading: Reading | None = None
        self._written_ms: int | None = None
        self._verified_ms: int | None = None

    @property
    def meter(self) -> Meter:
        """The meter as the roster had it when the command was decided."""
        return self.command.meter

    @property
    def image(self) -> Image:
        """The newest image."""
        return self._image()

    @property
    def now(self) -> Now:
        """The present instant."""
        return self._clock.now()

    @property
    def reads_only(self) -> bool:
        """Taken up again: whether a write was sent before is not known, so none is sent now."""
        return self.command.resumed or self.command.writes_max < 1

    @property
    def reading(self) -> Reading:
        """What was read last."""
        assert self._reading is not None, "a meter is looked at first"
        return self._reading

    @property
    def is_the_meter(self) -> bool:
        """Whether the serial number read is the roster's, where the type has one."""
        return self.device.profile.identity is None or self.reading.serial == self.meter.serial

    async def look(self, *, behind: bool = False) -> Reading:
        """The serial number and the state; with `behind` also what lies on the load side."""
        serial = await self._read_serial()
        state = await self._read_state()
        measured, load = Quantities(), load_voltage_read(self.device)
        if behind and load is not None:
            reply = await self._read(load.request, Priority.SWITCH)
            measured = measured_in(self.device, load, reply)
        return self._note(serial, state, measured)

    async def measure(self) -> Reading:
        """The reading with voltage and current, as far as the meter gives them."""
        measured = Quantities()

        async def ask(request: Read) -> Reply | Fault:
            return await self._ask(self.device, request, Priority.SWITCH)

        reads = measure_reads(self.device)
        async for read, answer in Neighbours().asked(self.device, reads, ask):
            if isinstance(answer, Reply):
                measured = measured.with_newer(measured_in(self.device, read, answer))
        return self._note(self.reading.serial, self.reading.state, measured)

    async def ask_cause(self) -> Reading:
        """The reading with what the meter says opened its switch, where it does."""
        request = cause_read(self.device)
        answer = None
        if request is not None:
            answer = await self._ask(self.device, request, Priority.SWITCH)
        if isinstance(answer, Reply):
            cause = cause_of(self.device.profile, answer.values[0])
            self._reading = msgspec.structs.replace(self.reading, cause=cause)
        return self.reading

    async def write(self, may_go: MayGo) -> Fault | None:
        """The one write; with WITHHELD nothing has gone out. Raises `Unanswered` likewise."""
        touched, self.touched = self.touched, True
        self.writes += 1
        for at, write in enumerate(writes_of(self.device, self._motion)):
            answer = await self._ask(self.device, write, Priority.SWITCH, may_go)
            if answer.sent_ms is None and at == 0:
                self.touched = touched
                self.writes -= 1
                assert isinstance(answer, Fault)
                if answer.failure is not Failure.WITHHELD:
                    raise Unanswered(answer)
            self._written_ms = answer.sent_ms or self._written_ms
            if isinstance(answer, Fault):
                return answer
        return None

    async def write_beside(self, instruction: Instruction) -> Fault | None:
        """What is written besides the command's own: it does not count as one of its writes."""
        for write in writes_of(self.device, instruction):
            answer = await self._ask(self.device, write, Priority.SWITCH, unconditionally)
            if isinstance(answer, Fault):
                return answer
        return None

    async def settle(self) -> None:
        """Wait until the state can be trusted."""
        await asyncio.sleep(self._motion.settle_ms / 1000)

    async def read_back(self) -> SupplyState:
        """The state, read twice alike; UNKNOWN where it cannot be told."""
        for _ in range(PAIRS_MAX):
            first, second = await self._read_state(), await self._read_state()
            if first is second:
                break
            await self.settle()
        self._note(self.reading.serial, second, Quantities())
        return second if first is second else SupplyState.UNKNOWN

    def verified(self) -> None:
        """The second read-back has agreed with what was to be."""
        self._verified_ms = self.now.mono_ms

    def report(self, outcome: Outcome, *, verdict: str = "", why: Why = Why.NONE) -> SwitchReport:
        """How it ended."""
        logger.info(
            "meter %s: %s %s %s", self.meter.serial, self.command.move, outcome, verdict or why
        )
        return SwitchReport(
            number=self.command.number,
            move=self.command.move,
            serial=Serial(self.meter.serial),
            outcome=outcome,
            verdict=verdict,
            why=why,
            writes=self.writes,
            written_ms=self._written_ms,
            verified_ms=self._verified_ms,
            reading=self._reading,
            forced=self._forces and self._may_have_written(outcome),
        )

    def _may_have_written(self, outcome: Outcome) -> bool:
        before = self.command.resumed and outcome is not Outcome.FAILED
        return self.writes > 0 or before

    async def _read_serial(self) -> Serial | None:
        request = identity_read(self.device)
        if request is None:
            return None
        assert self.device.profile.identity is not None
        reply = await self._read(request, Priority.IDENTITY)
        return serial_of(self.device.profile.identity, reply.values)

    async def _read_state(self) -> SupplyState:
        request = state_read(self.device)
        assert request is not None, "a profile that may write has a state"
        reply = await self._read(request, Priority.SWITCH)
        return state_of(self.device.profile, reply.values[0])

    async def _read(self, request: Read, priority: Priority) -> Reply:
        answer = await self._ask(self.device, request, priority)
        tries = 1
        while isinstance(answer, Fault):
            if tries == READ_TRIES or answer.failure in {Failure.EXCEPTION, Failure.BUS_DOWN}:
                raise Unanswered(answer)
            answer = await self._ask(self.device, request, priority)
            tries += 1
        return answer

    def _note(self, serial: Serial | None, state: SupplyState, measured: Quantities) -> Reading:
        self._reading = reading_of(self.device, state, self.now.mono_ms, measured, serial=serial)
        return self._reading


def _why(failure: Failure) -> Why:
    match failure:
        case Failure.NO_ANSWER | Failure.GARBLED | Failure.MISMATCHED | Failure.WITHHELD:
            return Why.NO_ANSWER
        case Failure.EXCEPTION:
            return Why.EXCEPTION
        case Failure.BUS_DOWN:
            return Why.BUS_DOWN
        case _:
            assert_never(failure)
