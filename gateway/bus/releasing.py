"""Releasing: a forced position is given back to the meter's own prepay logic.

Owns the outcomes of a release: the meter may open or close its switch as it likes, and either is
right. Must never decide whether it may be released, nor write twice.
"""

from gateway.bus.ordered import write_ordered
from gateway.bus.steps import Steps
from gateway.core.fact import Outcome, SwitchReport, Why
from gateway.core.model import SupplyState


async def release(steps: Steps) -> SwitchReport:
    """Release the switch. Raises `Unanswered`."""
    if steps.reads_only:
        # No position shows whether the release was sent: either may be the meter's own.
        await steps.look()
        return steps.report(Outcome.UNKNOWN)
    written = await write_ordered(steps, steps.look)
    if isinstance(written, SwitchReport):
        return written
    await steps.settle()
    state = await steps.read_back()
    if written.refused:
        return steps.report(Outcome.FAILED, why=Why.EXCEPTION)
    if written.fault is not None:
        return steps.report(Outcome.UNKNOWN, why=Why.NO_ANSWER)
    if state is SupplyState.UNKNOWN:
        return steps.report(Outcome.UNKNOWN, why=Why.READS_DISAGREE)
    steps.verified()
    if state is SupplyState.DISCONNECTED:
        await steps.ask_cause()
    return steps.report(Outcome.RELEASED)
