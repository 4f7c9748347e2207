"""Measures this gateway's bus room: dead meters, closes while it polls, four buses on one core."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from statistics import mean
from typing import Final

import msgspec

from tests.bench.bus.campaign import REQUEST_BYTES, TURNAROUND_S, Plan
from tests.bench.bus.figures import GatewayFigures
from tests.bench.bus.heard import Heard, Wiring, median_cycle_s, share_between
from tests.bench.bus.observer import Observed, observed
from tests.bench.bus.peers import Places, output
from tests.bench.bus.this_gateway import Closed, Mode, Work, Worked

RELAY: Final = 0x001A
"""Where the state of a meter is read."""
MEASURED_BYTES: Final = 9
"""The longest answer: voltage and current."""
METERS: Final = 60
DEAD: Final = 5
BUSES: Final = 4
METERS_OF_FOUR: Final = 64

Line = tuple[Observed, Worked]


class Rooms:
    """The bus room on lines of its own."""

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._say = say

    async def dead(self) -> tuple[Line, Line, Line]:
        """Asked without pause beside dead meters; polling, all being well; polling beside dead."""
        well = _wiring(METERS)
        beside = _wiring(METERS, dead=DEAD)
        asked = _wiring(self._plan.dead_meters, dead=len(self._plan.dead))
        seconds = self._plan.polling_s
        async with asyncio.TaskGroup() as group:
            runs = (
                group.create_task(_run(asked, Mode.ASK, seconds=seconds)),
                group.create_task(_run(well, Mode.POLL, seconds=seconds)),
                group.create_task(_run(beside, Mode.POLL, seconds=seconds)),
            )
        asking, polling, polling_beside = (run.result() for run in runs)
        return asking, polling, polling_beside

    async def figures(self, dead: tuple[Line, Line, Line]) -> GatewayFigures:
        """What was found beside dead meters, and the rest, which wants the machine for itself."""
        self._say("closes while the room polls")
        single = _wiring(METERS)
        closing, closed = await _run(single, Mode.CLOSE, closes=self._plan.closes)
        waits = [_waited(closing.heard, one) for one in closed.closes]
        self._say("four buses on one core")
        four = _wiring(METERS_OF_FOUR, lines=BUSES)
        seconds = self._plan.four_buses_s
        polled = await _run(four, Mode.POLL, seconds=seconds, core=0)
        asked = await _run(four, Mode.ASK, seconds=seconds, core=0)
        asking, well, beside = dead
        return GatewayFigures(
            dead=len(self._plan.dead),
            dead_share=_line_share(asking, _wiring(self._plan.dead_meters)),
            cycle_s=_cycle_s(well),
            cycle_dead=DEAD,
            cycle_dead_s=_cycle_s(beside),
            cycle_meters=METERS,
            close_waits_ms=tuple(round(1000 * wait_s, 1) for wait_s, _ in waits),
            close_overtaken=max(others for _, others in waits),
            transaction_ms=round(1000 * single.limit_s(REQUEST_BYTES, MEASURED_BYTES), 1),
            polling_cpu_share=_cpu_share(polled),
            polling_line_share=_line_share(polled, four),
            asking_cpu_share=_cpu_share(asked),
            asking_line_share=_line_share(asked, four),
        )


async def _run(
    wiring: Wiring, mode: Mode, *, seconds: float = 0.0, closes: int = 0, core: int | None = None
) -> Line:
    async with observed(wiring) as lines:
        work = Work(
            mode=mode,
            ports=lines.ports,
            baud=wiring.baud,
            meters=wiring.units,
            dead=len(wiring.dead),
            seconds=seconds,
            closes=closes,
            core=core,
        )
        said = await output(
            (
                *(sys.executable, "-m", "tests.bench.bus.this_gateway"),
                msgspec.json.encode(work).decode(),
            ),
            Places(),
        )
    return lines, msgspec.json.decode(said, type=Worked)


def _wiring(meters: int, *, dead: int = 0, lines: int = 1) -> Wiring:
    return Wiring(
        baud=9600 if lines == 1 else 19200,
        units=meters,
        turnaround_s=TURNAROUND_S,
        dead=tuple(range(1, dead + 1)),
        lines=lines,
        relays=True,
    )


def _line_share(line: Line, wiring: Wiring) -> float:
    seen, done = line
    shares = (share_between(one, wiring, done.began_s, done.ended_s) for one in seen.lines)
    return round(mean(shares), 4)


def _cycle_s(line: Line) -> float:
    seen, done = line
    return round(median_cycle_s(seen.heard, done.began_s, address=RELAY), 3)


def _cpu_share(line: Line) -> float:
    _, done = line
    return round(done.cpu_s / (done.ended_s - done.began_s), 4)


def _waited(heard: Sequence[Heard], close: Closed) -> tuple[float, int]:
    """Seconds from a close to its first byte, and the requests to others that began meanwhile."""
    since = [one for one in heard if one.begin_s >= close.at_s]
    others = [one.unit for one in since].index(close.unit)
    return since[others].begin_s - close.at_s, others
