"""Opening: what proves that the switch has opened, and what an opening that did not is called.

Owns the outcomes of an opening. Must never decide whether a switch may be opened, nor write twice:
an opening that did not succeed is the head end's to ask for again.
"""

from typing import assert_never

from gateway.bus.ordered import write_ordered
from gateway.bus.steps import FLOWING_MA, LIVE_MV, Steps
from gateway.core.fact import Outcome, SwitchReport, Why
from gateway.core.model import Reading, SupplyState
from gateway.core.reconnection import BACKFEED_MV, Verdict


async def open_(steps: Steps) -> SwitchReport:
    """Open the switch. Raises `Unanswered`."""
    if steps.reads_only:
        return await _found(steps)
    written = await write_ordered(steps, lambda: _look(steps))
    if isinstance(written, SwitchReport):
        return written
    why = Why.EXCEPTION if written.refused else Why.STILL_CLOSED
    return await _read_back(steps, written.before, why)


async def _look(steps: Steps) -> Reading:
    # What flowed before the write makes its absence afterwards a proof.
    await steps.look()
    return await steps.measure()


async def _found(steps: Steps) -> SwitchReport:
    """What an opening has come to whose write may have been sent before."""
    await steps.look()
    if not steps.is_the_meter:
        return steps.report(Outcome.REFUSED, verdict=Verdict.WRONG_METER)
    return await _read_back(steps, None, Why.STILL_CLOSED)


async def _read_back(steps: Steps, before: Reading | None, why: Why) -> SwitchReport:
    await steps.settle()
    state = await steps.read_back()
    match state:
        case SupplyState.UNKNOWN:
            return steps.report(Outcome.UNKNOWN, why=Why.READS_DISAGREE)
        case SupplyState.CONNECTED | SupplyState.READY_FOR_RECONNECTION:
            # Armed is not opened either: anybody at the meter may close it.
            return steps.report(Outcome.FAILED, why=why)
        case SupplyState.DISCONNECTED:
            steps.verified()
            return await _second_sign(steps, before)
        case _:
            assert_never(state)


async def _second_sign(steps: Steps, before: Reading | None) -> SwitchReport:
    after = await steps.measure()
    if _conducts(after):
        # A meter may show for a moment what it measured before.
        await steps.settle()
        after = await steps.measure()
    if _conducts(after):
        # The contact says open and something comes out of it: nobody may take it for dead.
        return steps.report(Outcome.OPENED_UNVERIFIED, why=Why.READS_DISAGREE)
    state = steps.device.profile.state
    assert state is not None
    proven = state.independent or (before is not None and _stopped(before, after))
    return steps.report(Outcome.OPENED_VERIFIED if proven else Outcome.OPENED_UNVERIFIED)


def _conducts(reading: Reading) -> bool:
    """Whether something shows that the switch lets something through."""
    return _flows(reading) or (reading.load_mv is not None and reading.load_mv >= BACKFEED_MV)


def _stopped(before: Reading, after: Reading) -> bool:
    """Whether something came through before that does not any more."""
    if _flows(before) and after.current_ma is not None:
        return True
    live = before.load_mv is not None and before.load_mv >= LIVE_MV
    return live and after.load_mv is not None


def _flows(reading: Reading) -> bool:
    return reading.current_ma is not None and abs(reading.current_ma) >= FLOWING_MA
