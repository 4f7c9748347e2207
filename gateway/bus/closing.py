"""One close: from the serial number read to the outcome, on the wire.

Owns the order of the steps and the proof that the switch has closed (design: identity, state,
`may_write`, one write, settle, read back twice, second sign). Must never decide whether a switch
may be closed: `reconnection.may_write` is asked directly before every write, with the newest image,
and again when the line is free for it.

A write acknowledged is not a reconnection, and a write without an answer is not a failure: only
what is read afterwards counts (rules B4, B6, B8).
"""

import asyncio
import logging
from collections.abc import Callable
from enum import IntEnum
from typing import Final, Protocol, assert_never

from gateway.bus.frame import Read, Request
from gateway.bus.profile import Means, Profile
from gateway.bus.reading import (
    MeasureRead,
    Quantities,
    close_writes,
    identity_read,
    load_voltage_read,
    measure_reads,
    quantities_of,
    reading_of,
    serial_of,
    state_of,
    state_read,
)
from gateway.bus.rtu import Failure, Fault, MayGo, Reply, unconditionally
from gateway.core.fact import CloseCommand, CloseReport, Outcome, Why
from gateway.core.image import Image
from gateway.core.model import Meter, Reading, Serial, SupplyState
from gateway.core.reconnection import Verdict, may_write
from gateway.ports import Clock

logger = logging.getLogger(__name__)

READ_TRIES: Final = 2
PAIRS_MAX: Final = 2
"""Read-backs that disagree are read once more after the switch had time to settle."""
LIVE_MV: Final = 100_000
"""On the load side of a closed switch there is more than this, or there is no supply."""
FLOWING_MA: Final = 50
"""Above what a meter shows with nothing connected."""
NO_LONGER_OPEN: Final = frozenset({SupplyState.CONNECTED, SupplyState.READY_FOR_RECONNECTION})


class Priority(IntEnum):
    """Who goes first on a line; within one, first come, first served."""

    CLOSE = 0
    """A close that has begun, and its read-backs."""
    IDENTITY = 1
    """The first step of a close, so that one begun is finished before the next."""
    POLL = 2


class Ask(Protocol):
    """How a request reaches the line."""

    async def __call__(
        self,
        meter: Meter,
        profile: Profile,
        request: Request,
        priority: Priority,
        may_go: MayGo = unconditionally,
    ) -> Reply | Fault:
        """One exchange in its turn, if it may go by then.

        A caller that is cancelled does not disturb the line.
        """


class Closing:
    """One command on its way. `image` gives the newest image whenever it is asked."""

    def __init__(
        self,
        command: CloseCommand,
        profile: Profile,
        *,
        ask: Ask,
        image: Callable[[], Image],
        clock: Clock,
    ) -> None:
        self._command = command
        self._meter = command.meter
        self._profile = profile
        self._ask = ask
        self._image = image
        self._clock = clock
        self._writes = 0
        self._written_ms: int | None = None
        self._verified_ms: int | None = None
        self._reading: Reading | None = None
        # Whether a write may have had an effect; the process that died may have sent one.
        self._touched = command.resumed

    async def run(self) -> CloseReport:
        """Do it, and say how it ended. Cancelled, it says nothing: the intent stays open."""
        if not close_writes(self._profile, self._meter):
            return unasked(self._command, Outcome.REFUSED, verdict=Verdict.SWITCH_UNPROVEN)
        try:
            return await self._until_ended()
        except _Unanswered as silent:
            outcome = Outcome.UNKNOWN if self._touched else Outcome.FAILED
            return self._report(outcome, why=silent.why)

    async def _until_ended(self) -> CloseReport:
        while True:
            reading = await self._look()
            if self._touched and reading.state in NO_LONGER_OPEN and self._is_the_meter(reading):
                report = await self._read_back()
                return report or self._report(Outcome.UNKNOWN, why=Why.READS_DISAGREE)
            verdict = self._rule(reading)
            if verdict is not Verdict.PERMIT:
                return self._report(Outcome.REFUSED, verdict=verdict)
            if self._writes >= self._command.writes_max:
                return self._report(Outcome.FAILED, why=Why.STILL_OPEN)
            report = await self._write_once(reading)
            if report is not None:
                return report

    async def _look(self) -> Reading:
        serial = await self._read_serial()
        state = await self._read_state()
        load = load_voltage_read(self._profile, self._meter)
        measured = Quantities() if load is None else await self._read_measured(load)
        return self._note(serial, state, measured)

    def _is_the_meter(self, reading: Reading) -> bool:
        return self._profile.identity is None or reading.serial == self._meter.serial

    def _rule(self, reading: Reading) -> Verdict:
        return may_write(self._meter, reading, self._image(), self._clock.now())

    async def _write_once(self, reading: Reading) -> CloseReport | None:
        """One write and what it led to; None where all is to be looked at again."""
        fault = await self._write(lambda: self._rule(reading) is Verdict.PERMIT)
        if fault is not None and fault.failure is Failure.WITHHELD:
            return None
        await self._settle()
        report = await self._read_back()
        if report is not None:
            return report
        if fault is not None and fault.failure is Failure.EXCEPTION:
            return self._report(Outcome.FAILED, why=Why.EXCEPTION)
        if fault is None and self._means is Means.ARMED:
            return self._report(Outcome.ARMED)
        if self._writes >= self._command.writes_max:
            return self._report(Outcome.FAILED, why=Why.STILL_OPEN)
        return None

    async def _write(self, may_go: MayGo) -> Fault | None:
        touched, self._touched = self._touched, True
        self._writes += 1
        for at, write in enumerate(close_writes(self._profile, self._meter)):
            answer = await self._ask(self._meter, self._profile, write, Priority.CLOSE, may_go)
            if answer.sent_ms is None and at == 0:
                self._touched = touched
                self._writes -= 1
                assert isinstance(answer, Fault)
                if answer.failure is not Failure.WITHHELD:
                    raise _Unanswered(answer)
            self._written_ms = answer.sent_ms or self._written_ms
            if isinstance(answer, Fault):
                return answer
        return None

    async def _read_back(self) -> CloseReport | None:
        """The outcome if the state can be told, read twice alike; None where it is open."""
        for _ in range(PAIRS_MAX):
            first, second = await self._read_state(), await self._read_state()
            if first is second:
                break
            await self._settle()
        serial = None if self._reading is None else self._reading.serial
        self._note(serial, second, Quantities())
        if first is not second or second is SupplyState.UNKNOWN:
            return self._report(Outcome.UNKNOWN, why=Why.READS_DISAGREE)
        if second is SupplyState.DISCONNECTED:
            return None
        self._verified_ms = self._clock.now().mono_ms
        if second is SupplyState.READY_FOR_RECONNECTION:
            return self._report(Outcome.ARMED)
        return await self._second_sign(serial, second)

    async def _second_sign(self, serial: Serial | None, state: SupplyState) -> CloseReport:
        measured = Quantities()
        for read in measure_reads(self._profile, self._meter):
            answer = await self._ask(self._meter, self._profile, read.request, Priority.CLOSE)
            if isinstance(answer, Reply):
                seen = quantities_of(self._profile, read, answer.values)
                measured = measured.with_newer(seen)
        conducts = self._conducts(self._note(serial, state, measured))
        assert self._profile.state is not None
        proven = conducts is not False if self._profile.state.independent else conducts is True
        # The contact says closed and nothing comes out of it: nobody may be told that it is on.
        why = Why.READS_DISAGREE if conducts is False else Why.NONE
        outcome = Outcome.CLOSED_VERIFIED if proven else Outcome.CLOSED_UNVERIFIED
        return self._report(outcome, why=why)

    @staticmethod
    def _conducts(reading: Reading) -> bool | None:
        """Whether the switch lets something through; None where that cannot be told."""
        if reading.current_ma is not None and abs(reading.current_ma) >= FLOWING_MA:
            return True
        # Without a load no current flows through a closed switch either.
        return None if reading.load_mv is None else reading.load_mv >= LIVE_MV

    async def _settle(self) -> None:
        assert self._profile.close is not None
        await asyncio.sleep(self._profile.close.settle_ms / 1000)

    async def _read_serial(self) -> Serial | None:
        request = identity_read(self._profile, self._meter)
        if request is None:
            return None
        assert self._profile.identity is not None
        reply = await self._read(request, Priority.IDENTITY)
        return serial_of(self._profile.identity, reply.values)

    async def _read_state(self) -> SupplyState:
        request = state_read(self._profile, self._meter)
        assert request is not None, "a profile that switches has a state"
        reply = await self._read(request, Priority.CLOSE)
        return state_of(self._profile, reply.values[0])

    async def _read_measured(self, read: MeasureRead) -> Quantities:
        reply = await self._read(read.request, Priority.CLOSE)
        return quantities_of(self._profile, read, reply.values)

    async def _read(self, request: Read, priority: Priority) -> Reply:
        answer = await self._ask(self._meter, self._profile, request, priority)
        tries = 1
        while isinstance(answer, Fault):
            if tries == READ_TRIES or answer.failure in {Failure.EXCEPTION, Failure.BUS_DOWN}:
                raise _Unanswered(answer)
            answer = await self._ask(self._meter, self._profile, request, priority)
            tries += 1
        return answer

    @property
    def _means(self) -> Means:
        assert self._profile.close is not None
        return self._profile.close.means

    def _note(self, serial: Serial | None, state: SupplyState, measured: Quantities) -> Reading:
        self._reading = reading_of(
            self._profile, state, self._clock.now().mono_ms, measured, serial=serial
        )
        return self._reading

    def _report(self, outcome: Outcome, *, verdict: str = "", why: Why = Why.NONE) -> CloseReport:
        logger.info("meter %s: %s %s", self._meter.serial, outcome, verdict or why)
        return CloseReport(
            close=self._command.close,
            serial=Serial(self._meter.serial),
            outcome=outcome,
            verdict=verdict,
            why=why,
            writes=self._writes,
            written_ms=self._written_ms,
            verified_ms=self._verified_ms,
            reading=self._reading,
            forced=self._forces(outcome),
        )

    def _forces(self, outcome: Outcome) -> bool:
        if self._profile.close is None or not self._profile.close.forces:
            return False
        before = self._command.resumed and outcome not in {Outcome.REFUSED, Outcome.FAILED}
        return self._writes > 0 or before


def unasked(
    command: CloseCommand, outcome: Outcome, *, verdict: str = "", why: Why = Why.NONE
) -> CloseReport:
    """The report on a command for which no line was asked."""
    serial = Serial(command.meter.serial)
    return CloseReport(
        close=command.close, serial=serial, outcome=outcome, verdict=verdict, why=why
    )


class _Unanswered(Exception):  # noqa: N818 - the world's silence, not an error of ours
    """What had to be known could not be read, or the write could not be sent."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.failure)
        self.why = _why(fault.failure)


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
