"""A technician's test of one meter: it is read several times at once, and each answer is told.

Owns what such a test asks and what it says. Must never write, nor judge: whoever stands there does.
"""

from collections.abc import AsyncIterator
from typing import Final

from gateway.bus.asking import Ask, Priority
from gateway.bus.device import Device
from gateway.bus.frame import Read
from gateway.bus.measuring import Neighbours
from gateway.bus.reading import identity_read, measure_reads, serial_of, state_of, state_read
from gateway.bus.rtu import Failure, Fault, Reply
from gateway.core.model import Serial, SupplyState, Value

TIMES: Final = 5


class Trial(Value):
    """One of the readings: its serial number and state as far as the type shows them."""

    took_ms: int
    """On the line, until it ended or failed; without the wait for the line."""
    failure: Failure | None = None
    serial: Serial | None = None
    state: SupplyState = SupplyState.UNKNOWN


class Checkup(Value):
    """The test of one meter."""

    serial: Serial
    """As the roster has it; what was read is in the trials."""
    unit: int
    trials: tuple[Trial, ...]

    @property
    def answered(self) -> int:
        """How many readings succeeded."""
        return sum(trial.failure is None for trial in self.trials)


async def check_up(device: Device, ask: Ask) -> Checkup:
    """Read it five times, before any poll and after any command."""
    neighbours = Neighbours()
    trials = [await _trial(device, ask, neighbours) for _ in range(TIMES)]
    return Checkup(serial=device.serial, unit=device.unit, trials=tuple(trials))


async def _trial(device: Device, ask: Ask, neighbours: Neighbours) -> Trial:
    took_ms, serial, state = 0, None, SupplyState.UNKNOWN
    async for request, answer in _answers(device, ask, neighbours):
        if not isinstance(answer, Reply):
            return Trial(took_ms=took_ms, failure=answer.failure, serial=serial, state=state)
        took_ms += answer.heard_ms - answer.sent_ms
        if request == identity_read(device):
            assert device.profile.identity is not None
            serial = serial_of(device.profile.identity, answer.values)
        elif request == state_read(device):
            state = state_of(device.profile, answer.values[0])
    return Trial(took_ms=took_ms, serial=serial, state=state)


async def _answers(
    device: Device, ask: Ask, neighbours: Neighbours
) -> AsyncIterator[tuple[Read, Reply | Fault]]:
    async def asked(request: Read) -> Reply | Fault:
        return await ask(device, request, Priority.TEST)

    shown = [one for one in (identity_read(device), state_read(device)) if one is not None]
    for request in shown:
        yield request, await asked(request)
    if not shown:
        async for read, answer in neighbours.asked(device, measure_reads(device), asked):
            yield read.request, answer
