"""Closing: how a close goes on after each step, and what proves that the switch has closed.

Owns the outcomes of a close, the second write after a lost first one, and the cancel of a close
that the meter refused. Must never decide whether a switch may be closed: `reconnection.may_write`
is asked directly before every write, with the newest image, and again when the line is free for it.
"""

import logging
from typing import Final

from gateway.bus.blocks import Means
from gateway.bus.rtu import Failure
from gateway.bus.steps import FLOWING_MA, LIVE_MV, Steps
from gateway.core.fact import Outcome, SwitchReport, Why
from gateway.core.model import Reading, SupplyState
from gateway.core.reconnection import Verdict, may_write

logger = logging.getLogger(__name__)

NO_LONGER_OPEN: Final = frozenset({SupplyState.CONNECTED, SupplyState.READY_FOR_RECONNECTION})
NOT_CLOSED: Final = frozenset({Outcome.REFUSED, Outcome.FAILED})


async def close(steps: Steps) -> SwitchReport:
    """Close the switch. Raises `Unanswered`."""
    report = await _until_ended(steps)
    if steps.writes and report.outcome in NOT_CLOSED:
        await _cancel(steps)
    return report


async def _until_ended(steps: Steps) -> SwitchReport:
    while True:
        reading = await steps.look(behind=True)
        if steps.touched and reading.state in NO_LONGER_OPEN and steps.is_the_meter:
            report = await _read_back(steps)
            return report or steps.report(Outcome.UNKNOWN, why=Why.READS_DISAGREE)
        verdict = _rule(steps, reading)
        if verdict is not Verdict.PERMIT:
            return steps.report(Outcome.REFUSED, verdict=verdict)
        if steps.writes >= steps.command.writes_max:
            return steps.report(Outcome.FAILED, why=Why.STILL_OPEN)
        report = await _write_once(steps, reading)
        if report is not None:
            return report


def _rule(steps: Steps, reading: Reading) -> Verdict:
    return may_write(steps.meter, reading, steps.image, steps.now)


async def _write_once(steps: Steps, reading: Reading) -> SwitchReport | None:
    """One write and what it led to; None where all is to be looked at again."""
    fault = await steps.write(lambda: _rule(steps, reading) is Verdict.PERMIT)
    if fault is not None and fault.failure is Failure.WITHHELD:
        return None
    await steps.settle()
    report = await _read_back(steps)
    if report is not None:
        return report
    if fault is not None and fault.failure is Failure.EXCEPTION:
        return steps.report(Outcome.FAILED, why=Why.EXCEPTION)
    if fault is None and _means(steps) is Means.ARMED:
        return steps.report(Outcome.ARMED)
    if steps.writes >= steps.command.writes_max:
        return steps.report(Outcome.FAILED, why=Why.STILL_OPEN)
    return None


async def _read_back(steps: Steps) -> SwitchReport | None:
    """The outcome if the state can be told; None where it is open."""
    state = await steps.read_back()
    if state is SupplyState.UNKNOWN:
        return steps.report(Outcome.UNKNOWN, why=Why.READS_DISAGREE)
    if state is SupplyState.DISCONNECTED:
        return None
    steps.verified()
    if state is SupplyState.READY_FOR_RECONNECTION:
        return steps.report(Outcome.ARMED)
    return await _second_sign(steps)


async def _second_sign(steps: Steps) -> SwitchReport:
    conducts = _conducts(await steps.measure())
    state = steps.device.profile.state
    assert state is not None
    proven = conducts is not False if state.independent else conducts is True
    # The contact says closed and nothing comes out of it: nobody may be told that it is on.
    why = Why.READS_DISAGREE if conducts is False else Why.NONE
    outcome = Outcome.CLOSED_VERIFIED if proven else Outcome.CLOSED_UNVERIFIED
    return steps.report(outcome, why=why)


def _conducts(reading: Reading) -> bool | None:
    """Whether the switch lets something through; None where that cannot be told."""
    if reading.current_ma is not None and abs(reading.current_ma) >= FLOWING_MA:
        return True
    # Without a load no current flows through a closed switch either.
    return None if reading.load_mv is None else reading.load_mv >= LIVE_MV


async def _cancel(steps: Steps) -> None:
    """Make the meter forget a close that it may remember and carry out later."""
    cancel = steps.device.profile.cancelling(trusting=steps.device.trusting)
    reads_open = steps.reading.state is SupplyState.DISCONNECTED
    if cancel is None or not reads_open or not steps.is_the_meter:
        return
    fault = await steps.write_beside(cancel)
    if fault is not None:
        logger.warning(
            "meter %s: the cancel of its close was not taken: %s",
            steps.meter.serial,
            fault.failure,
        )


def _means(steps: Steps) -> Means:
    block = steps.device.profile.close
    assert block is not None
    return block.means
