"""How a request reaches the line, and who goes first.

Owns the words between those who want to know something and the line that carries it. Must never
send: the line does.
"""

from enum import IntEnum
from typing import Protocol

from gateway.bus.device import Device
from gateway.bus.frame import Request
from gateway.bus.rtu import Fault, MayGo, Reply, unconditionally


class Priority(IntEnum):
    """Who goes first on a line; within one, first come, first served."""

    SWITCH = 0
    """A command to a load switch that has begun, and its read-backs."""
    IDENTITY = 1
    """The first step of a command, so that one begun is finished before the next."""
    TEST = 2
    """A technician stands before the meter."""
    POLL = 3
    LOOK = 4
    """Who else is on the line: in its idle time."""


class Ask(Protocol):
    """How a request reaches the line."""

    async def __call__(
        self,
        device: Device,
        request: Request,
        priority: Priority,
        may_go: MayGo = unconditionally,
    ) -> Reply | Fault:
        """One exchange in its turn, if it may go by then.

        A caller that is cancelled does not disturb the line.
        """
