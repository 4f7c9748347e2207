"""An event loop whose clock is virtual: it never waits, and goes from one timer to the next.

What runs on it sees the order of events and the durations of the real loop, and takes only the
time of the processor. One run of a program that draws no chance is like the other, to the step.
"""

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from gateway.core.model import Now

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop; only its clock and its waiting are other ones. Nothing real is heard."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.steps = 0
        """Turns of the loop: in each, everything that was ready ran once."""
        self.before_step: Callable[[int], object] | None = None
        """Called with the number of the turn that begins."""
        super().__init__(_NeverWaiting(self))

    def time(self) -> float:
        """Seconds since this loop was made."""
        return self.now_s

    def turn(self, wait_s: float | None) -> None:
        """Let pass in no time what the loop would have waited for."""
        if wait_s is None:
            raise RuntimeError("everything waits, and nothing will ever happen")
        if wait_s > 0:
            # One place beyond: rounding must not bring the timer's turn before its time.
            self.now_s = math.nextafter(self.now_s + wait_s, math.inf)
        self.steps += 1
        if self.before_step is not None:
            self.before_step(self.steps)


class _NeverWaiting(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.turn(timeout)
        return []


class LoopClock:
    """The running loop's time as the daemon's `Clock`."""

    def now(self) -> Now:
        """The present instant; the boot was when the loop was made."""
        mono_ms = int(asyncio.get_running_loop().time() * 1000)
        return Now(mono_ms=mono_ms, boot="campaign", wall_ms=mono_ms, wall_low_ms=0)

    def raise_low(self, wall_low_ms: int) -> None:
        """Nobody asks for the calendar here."""


async def until(at_s: float) -> None:
    """Wait for a time of the running loop."""
    loop = asyncio.get_running_loop()
    waiter = loop.create_future()
    timer = loop.call_at(at_s, _wake, waiter)
    try:
        await waiter
    finally:
        timer.cancel()


def in_virtual_time(program: Coroutine[Any, Any, T]) -> T:
    """Run a program on a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(program)


def virtual_loop() -> VirtualLoop:
    """The running loop, for those who count its steps."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
