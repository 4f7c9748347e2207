"""Measuring: the values of one meter, whatever it makes of requests for several at once.

Owns which meters refuse registers of theirs that are neighbours when one request asks for both.
Must never ask twice for what can be had at once, nor take a refusal for the meter's silence.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final

from gateway.bus.device import Device
from gateway.bus.frame import Read
from gateway.bus.reading import MeasureRead, apart
from gateway.bus.rtu import Failure, Fault, Reply

TOGETHER_REFUSED: Final = frozenset({2, 3})
"""Exception codes of a register that is none, and of a count that is too much (MODBUS Application
Protocol V1.1b3, section 7)."""


class Neighbours:
    """What was learned of one line: the requests for several values that were refused."""

    def __init__(self) -> None:
        self._refused: set[Read] = set()

    def forget(self) -> None:
        """Others may stand at these addresses by now."""
        self._refused.clear()

    async def asked(
        self,
        device: Device,
        reads: Iterable[MeasureRead],
        ask: Callable[[Read], Awaitable[Reply | Fault]],
    ) -> AsyncIterator[tuple[MeasureRead, Reply | Fault]]:
        """Every answer, with what it answers; what is refused together is asked one by one."""
        for read in reads:
            if read.request not in self._refused:
                answer = await ask(read.request)
                if not _refused(answer) or not apart(device, read):
                    yield read, answer
                    continue
                self._refused.add(read.request)
            for one in apart(device, read):
                yield one, await ask(one.request)


def _refused(answer: Reply | Fault) -> bool:
    if isinstance(answer, Reply) or answer.failure is not Failure.EXCEPTION:
        return False
    return answer.code in TOGETHER_REFUSED
