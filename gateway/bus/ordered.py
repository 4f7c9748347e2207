"""What only an order asks for: the one write of an opening or a release.

Owns the steps up to that write, which both have in common. Must never decide whether it may go out:
`disconnection.may_write_open` is asked with what was just read, and again when the line is free.
"""

from collections.abc import Awaitable, Callable

from gateway.bus.rtu import Failure, Fault
from gateway.bus.steps import Steps
from gateway.core.disconnection import OpenVerdict, may_write_open
from gateway.core.fact import Outcome, SwitchReport
from gateway.core.model import Reading, Value


class Written(Value):
    """The write has gone out: what was read before it, and what came instead of an answer."""

    before: Reading
    fault: Fault | None

    @property
    def refused(self) -> bool:
        """Whether the meter refused it."""
        return self.fault is not None and self.fault.failure is Failure.EXCEPTION


async def write_ordered(
    steps: Steps, look: Callable[[], Awaitable[Reading]]
) -> Written | SwitchReport:
    """Look, and write once if that may be; otherwise the refusal. Raises `Unanswered`."""
    while True:
        before = await look()
        verdict = _rule(steps, before)
        if verdict is not OpenVerdict.PERMIT:
            return steps.report(Outcome.REFUSED, verdict=verdict)
        fault = await _write(steps, before)
        if steps.writes:
            return Written(before=before, fault=fault)
        # Withheld: what stands against it now is found by looking again.


async def _write(steps: Steps, before: Reading) -> Fault | None:
    return await steps.write(lambda: _rule(steps, before) is OpenVerdict.PERMIT)


def _rule(steps: Steps, reading: Reading) -> OpenVerdict:
    return may_write_open(steps.meter, reading, steps.image, steps.now)
