"""Whoever asks may go at any moment: the line stays usable, and the next answer is right."""

import asyncio
import itertools
from dataclasses import dataclass
from random import Random

import msgspec
import pytest

from gateway.bus.frame import Function, Read, Request, Write
from gateway.bus.rtu import Counters, Master, Reply
from tests.campaign.line import VirtualPort
from tests.campaign.meter import CodedMeter, values_told
from tests.campaign.rtu import TIMING
from tests.campaign.traffic import CLEAN, Traffic
from tests.campaign.virtual_time import LoopClock, in_virtual_time, virtual_loop

LATE_S = (TIMING.timeout_ms + TIMING.turnaround_max_ms) / 1000
UNUSED = 247
VOLTAGE = Read(unit=5, function=Function.READ_HOLDING, address=0x0C, count=1)
STATE = Read(unit=5, function=Function.READ_HOLDING, address=0x1A, count=1)
COIL = Write(unit=5, function=Function.WRITE_COIL, address=0, values=(1,))
REGISTERS = Write(unit=5, function=Function.WRITE_REGISTERS, address=0x57, values=(1, 0))


@dataclass(frozen=True)
class Case:
    """What is asked and left, and what is asked next: like enough to be mistaken."""

    first: Request | None
    """None: the probe for an echo."""
    then: Request
    turnaround_s: float = 0.020
    step: int = 1
    echo: bool = False


CASES = {
    "a read, character by character": Case(VOLTAGE, STATE),
    "a read, handed over at once": Case(VOLTAGE, STATE, step=300),
    "a slow read": Case(VOLTAGE, STATE, turnaround_s=0.290),
    "a late read": Case(VOLTAGE, STATE, turnaround_s=0.500),
    "the latest read": Case(VOLTAGE, STATE, turnaround_s=LATE_S, step=300),
    "a coil": Case(COIL, COIL),
    "a late coil": Case(COIL, COIL, turnaround_s=0.500),
    "registers": Case(REGISTERS, REGISTERS),
    "late registers": Case(REGISTERS, REGISTERS, turnaround_s=0.500),
    "a read on an echoing line": Case(VOLTAGE, STATE, echo=True),
    "a late coil on an echoing line": Case(COIL, COIL, turnaround_s=0.500, echo=True),
    "the probe on an echoing line": Case(None, STATE, echo=True),
    "the probe": Case(None, STATE),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_an_exchange_that_was_left_at_any_step_harms_no_other(case: Case) -> None:
    for step in itertools.count(1):
        if not in_virtual_time(left_at(step, case)):
            break
    assert step > 5, "it was left at several steps before it ended"


async def left_at(step: int, case: Case) -> bool:
    """Leave the first at a step of the loop, and do the next; False where it had ended by then."""
    loop, meter = virtual_loop(), CodedMeter(5)
    faults = msgspec.structs.replace(CLEAN, turnaround_s=(case.turnaround_s, case.turnaround_s))
    traffic = Traffic({5: meter}, CLEAN, Random(step), baud=9600, step=case.step)
    master = Master(VirtualPort(traffic), LoopClock(), Counters(), baud=9600, character_bits=10)
    traffic.echo = case.echo
    if case.first is not None:
        await master.probe_echo(UNUSED)
        # The line has just been spoken on: the first has to wait for its silence.
        await master.exchange(case.then, TIMING)
    traffic.faults = faults
    asked = asyncio.create_task(
        master.probe_echo(UNUSED) if case.first is None else master.exchange(case.first, TIMING)
    )
    leave_at = loop.steps + step
    loop.before_step = lambda now: asked.cancel() if now == leave_at else None
    await asyncio.wait((asked,))
    loop.before_step = None
    traffic.faults = CLEAN
    reply = await master.exchange(case.then, TIMING)
    assert isinstance(reply, Reply), (step, reply)
    assert traffic.come == traffic.serial, f"left at step {step}, it took what was not its own"
    assert traffic.told is not None
    if isinstance(case.then, Read):
        assert reply.values == values_told(traffic.told, case.then.count)
    else:
        assert meter.took == traffic.serial
    assert not traffic.short_silences
    return asked.cancelled()
