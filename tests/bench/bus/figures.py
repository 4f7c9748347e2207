"""What the bench measures, as data: the JSON that it writes."""

from collections.abc import Sequence
from typing import Final

import msgspec

from tests.bench.bus.heard import Baud, Speed
from tests.bench.bus.peers import Done, Peer


class Cell(msgspec.Struct, frozen=True):
    """One line on which all masters are compared."""

    baud: Baud
    meters: int
    turnaround_ms: int

    def __str__(self) -> str:
        return f"{self.baud:>5} baud  {self.meters:>3} meters  {self.turnaround_ms:>2} ms"


HEADLINE: Final = Cell(9600, 64, 20)
"""The cell of the aim, and the only one of a quick run."""
CELLS: Final = tuple(
    Cell(baud, meters, turnaround_ms)
    for baud in (9600, 19200)
    for meters in (32, 64, 128)
    for turnaround_ms in (5, 20, 50)
)


class SpeedFigure(msgspec.Struct, frozen=True):
    """One master in one cell."""

    cell: Cell
    master: str
    reads: int
    done: Done
    speed: Speed


class LateFigure(msgspec.Struct, frozen=True):
    """One master, of whose meters one answers when it has just given up."""

    master: str
    done: Done


class DeadFigure(msgspec.Struct, frozen=True):
    """One master on a line with dead meters."""

    master: str
    timeout_s: float
    """Its own, as nobody said one."""
    share: float | None
    """Of the wire limit, after the first round; None: it never got round."""


class GatewayFigures(msgspec.Struct, frozen=True, kw_only=True):
    """This gateway's bus room as a whole."""

    dead: int
    """Of the meters asked without pause."""
    dead_share: float
    """Of the wire limit while asked without pause for those that are not parked."""
    cycle_s: float
    """Median time between two readings of a meter, all being well, as the room polls by itself."""
    cycle_dead: int
    cycle_dead_s: float
    """The same of a meter that is well, while so many others are dead."""
    cycle_meters: int
    close_waits_ms: tuple[float, ...]
    """From the command to its first byte, while the room polls."""
    close_overtaken: int
    """Most requests to others that began between a command and its first byte. One may: it had had
    its turn before, and was waiting for the silence."""
    transaction_ms: float
    """The longest transaction of those that may be in flight then, by the wire limit."""
    polling_cpu_share: float
    """Of one core: four buses of 64 meters at 19200 baud, as the room polls by itself."""
    polling_line_share: float
    """How busy each of these lines was, by the wire limit."""
    asking_cpu_share: float
    """Of one core: the same, asked without pause on all four."""
    asking_line_share: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Everything measured in one run."""

    date: str
    machine: str
    load_before: float
    """Processes that wanted to run, of the minute before."""
    load_after: float
    quick: bool
    at_once: int
    """So many masters were measured at once, each on a line of its own."""
    versions: dict[str, str]
    not_here: tuple[Peer, ...]
    speeds: tuple[SpeedFigure, ...]
    late_reads: int
    late_timeout_s: float
    late: tuple[LateFigure, ...]
    dead: int
    dead_meters: int
    deads: tuple[DeadFigure, ...]
    gateway: GatewayFigures

    @property
    def masters(self) -> list[str]:
        """Who was measured, in order."""
        return list(dict.fromkeys(one.master for one in self.speeds))

    @property
    def cells(self) -> list[Cell]:
        """Where, in order."""
        return list(dict.fromkeys(one.cell for one in self.speeds))

    def of(self, master: str) -> Sequence[SpeedFigure]:
        """All cells of a master."""
        return [one for one in self.speeds if one.master == master]

    def at(self, cell: Cell, master: str) -> SpeedFigure:
        """One master in one cell."""
        return next(one for one in self.speeds if one.cell == cell and one.master == master)

    def breach_share(self, master: str) -> float:
        """The part of a master's requests that broke into the silence."""
        speeds = [one.speed for one in self.of(master)]
        return sum(it.breaches for it in speeds) / max(1, sum(it.requests for it in speeds))

    def cpu_s_per_1000(self, master: str) -> float:
        """Processor seconds of a thousand transactions."""
        of = self.of(master)
        return 1000 * sum(one.done.cpu_s for one in of) / max(1, sum(one.reads for one in of))
