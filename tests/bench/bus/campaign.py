"""Runs the masters, one after the other or a few at once, and collects the figures."""

import asyncio
import math
from collections.abc import Callable
from typing import Final

import msgspec

from gateway.bus.rtu import ADAPTER_S
from tests.bench.bus.figures import CELLS, HEADLINE, Cell, DeadFigure, LateFigure, SpeedFigure
from tests.bench.bus.heard import Wiring, share_of_round, speed
from tests.bench.bus.observer import Observed, observed
from tests.bench.bus.peers import (
    DEFAULT_TIMEOUTS_S,
    THIS,
    TIMEOUT_S,
    Peer,
    Places,
    Present,
    Task,
    drive,
)

REQUEST_BYTES: Final = 8
ANSWER_BYTES: Final = 9
"""Of two registers."""
REGISTER: Final = 0x10
OTHER_REGISTER: Final = 0x20
CELL_S: Final = 3.0
"""A cell lasts at least so long, and one round over all its meters."""
TURNAROUND_S: Final = 0.020
LATE_TIMEOUT_S: Final = 0.1
LATE_BY_S: Final = 0.005
LATE_UNIT: Final = 1
LATE_METERS: Final = 60


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured."""

    cells: tuple[Cell, ...]
    late_reads: int
    dead_meters: int
    dead: tuple[int, ...]
    polling_s: float
    closes: int
    four_buses_s: float


FULL: Final = Plan(
    cells=CELLS,
    late_reads=240,
    dead_meters=60,
    dead=(10, 30, 50),
    polling_s=60.0,
    closes=20,
    four_buses_s=10.0,
)
QUICK: Final = Plan(
    cells=(HEADLINE,),
    late_reads=60,
    dead_meters=20,
    dead=(10,),
    polling_s=15.0,
    closes=8,
    four_buses_s=5.0,
)


class Campaign:
    """The masters that are here, on lines of their own."""

    def __init__(
        self,
        plan: Plan,
        present: tuple[Present, ...],
        places: Places,
        at_once: int,
        say: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._present = present
        self._places = places
        self._say = say
        self._lane = asyncio.Semaphore(at_once)

    async def speeds(self) -> tuple[SpeedFigure, ...]:
        """Every master in every cell."""
        figures: list[SpeedFigure] = []
        for cell in self._plan.cells:
            self._say(f"speed: {cell}")
            async with asyncio.TaskGroup() as group:
                runs = [group.create_task(self._speed(cell, one)) for one in self._present]
            figures += [run.result() for run in runs]
        return tuple(figures)

    async def late(self) -> tuple[LateFigure, ...]:
        """Every master that can read registers in turn, one of 60 meters answering too late."""
        able = [one for one in self._masters if one.peer.picks_registers]
        async with asyncio.TaskGroup() as group:
            runs = [group.create_task(self._late(one)) for one in able]
        return tuple(run.result() for run in runs)

    async def dead(self) -> tuple[DeadFigure, ...]:
        """Every other master on a line with dead meters, all at once: it takes seconds a miss.

        This one is not among them: the bus room parks for it (`rooms`).
        """
        others = [one for one in self._masters if one.peer is not THIS]
        async with asyncio.TaskGroup() as group:
            runs = [group.create_task(self._dead(one)) for one in others]
        return tuple(run.result() for run in runs)

    @property
    def _masters(self) -> list[Present]:
        return [one for one in self._present if one.peer.name in DEFAULT_TIMEOUTS_S]

    async def _speed(self, cell: Cell, master: Present) -> SpeedFigure:
        wiring = Wiring(baud=cell.baud, units=cell.meters, turnaround_s=cell.turnaround_ms / 1000)
        limit_s = wiring.limit_s(REQUEST_BYTES, ANSWER_BYTES)
        reads = max(cell.meters, math.ceil(CELL_S / limit_s))
        if not master.peer.picks_registers:
            reads = math.ceil(reads / cell.meters) * cell.meters
        async with self._lane, observed(wiring) as line:
            done = await drive(master, _task(line, wiring, reads=reads), self._places)
        return SpeedFigure(cell, master.peer.name, reads, done, speed(line.heard, wiring))

    async def _late(self, master: Present) -> LateFigure:
        wiring = Wiring(baud=19200, units=LATE_METERS, turnaround_s=TURNAROUND_S)
        after_s = _gives_up_s(master.peer, wiring) + LATE_BY_S
        wiring = msgspec.structs.replace(wiring, after_s={LATE_UNIT: after_s})
        # The late meter, then one of the others: each is asked for two registers, one at once after
        # the other, for only so can the answer of the first pass for that of the second.
        order = [
            (unit, address)
            for other in range(LATE_UNIT + 1, LATE_METERS + 1)
            for unit in (LATE_UNIT, other)
            for address in (REGISTER, OTHER_REGISTER)
        ]
        async with observed(wiring) as line:
            task = Task(
                port=line.ports[0],
                baud=wiring.baud,
                order=tuple(order),
                reads=self._plan.late_reads,
                timeout_s=LATE_TIMEOUT_S,
            )
            done = await drive(master, task, self._places)
        return LateFigure(master.peer.name, done)

    async def _dead(self, master: Present) -> DeadFigure:
        wiring = Wiring(
            baud=9600,
            units=self._plan.dead_meters,
            turnaround_s=TURNAROUND_S,
            dead=self._plan.dead,
        )
        async with observed(wiring) as line:
            task = _task(line, wiring, reads=2 * wiring.units, timeout_s=None)
            await drive(master, task, self._places)
        name = master.peer.name
        return DeadFigure(name, DEFAULT_TIMEOUTS_S[name], share_of_round(line.heard, wiring, 1))


def _task(
    line: Observed, wiring: Wiring, *, reads: int, timeout_s: float | None = TIMEOUT_S
) -> Task:
    """One register of every unit in turn."""
    return Task(
        port=line.ports[0],
        baud=wiring.baud,
        order=tuple((unit, REGISTER) for unit in range(1, wiring.units + 1)),
        reads=reads,
        timeout_s=timeout_s,
    )


def _gives_up_s(master: Peer, wiring: Wiring) -> float:
    """How long after the begin of a request a master stops listening for its answer."""
    request_s = REQUEST_BYTES * wiring.character_s
    if master is not THIS:
        # By the wire; most count from when they handed the request over, and stop a little sooner.
        return request_s + LATE_TIMEOUT_S
    # Its time-out is for the first character, and the rest of the answer is waited for as well.
    return request_s + LATE_TIMEOUT_S + ANSWER_BYTES * wiring.character_s + ADAPTER_S
