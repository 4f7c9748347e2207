"""What the observer of a line keeps, and what is read from it: speed, and broken silences.

Pure: no clock, no port. A request is broken into the silence where it begins before 3.5 characters
have passed since the end of the last speech on the wire, whoever's it was (MODBUS over Serial Line
V1.02, section 2.5.1.1).
"""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Final, Literal

import msgspec

WARM_UP: Final = 4
"""Requests at the start of a run that are not judged: imports, first allocations, an echo probe."""
BLOCKS: Final = 5
"""The speed is the median of so many parts of a run: a hiccup of the machine is nobody's fault."""

Baud = Literal[9600, 19200]


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """A line, or several alike. Units are 1 to `units`; every character has 10 bits (8N1)."""

    baud: Baud
    units: int
    turnaround_s: float
    dead: tuple[int, ...] = ()
    """They never answer."""
    after_s: dict[int, float] = {}
    """From the begin of a request to the answer of this unit, where that is not the turnaround."""
    lines: int = 1
    relays: bool = False
    """The meters are DDS238-2 ZN/SR with an open switch; else each register has a value of its own
    (`register`)."""

    @property
    def character_s(self) -> float:
        """Time of one character."""
        return 10 / self.baud

    @property
    def silence_s(self) -> float:
        """3.5 characters, above 19200 baud fixed at 1.75 ms."""
        return 0.00175 if self.baud > 19_200 else 3.5 * self.character_s

    def limit_s(self, request_bytes: int, answer_bytes: int) -> float:
        """The shortest time of one transaction: silence, request, turnaround, answer."""
        return (
            self.silence_s + (request_bytes + answer_bytes) * self.character_s + self.turnaround_s
        )


class Heard(msgspec.Struct, frozen=True, array_like=True):
    """One request as it was on the wire; instants in seconds of the monotonic clock."""

    unit: int
    function: int
    address: int
    begin_s: float
    end_s: float
    gap_s: float | None
    """From the end of the last speech on the line; negative: into it. None: it was the first."""
    answer_begin_s: float | None = None
    answer_end_s: float | None = None
    handed_s: float | None = None
    """When the observer really handed over the last character of the answer: its own lateness."""


class Ready(msgspec.Struct, frozen=True):
    """The ports of the lines, once they can be used."""

    ports: tuple[str, ...]


class Log(msgspec.Struct, frozen=True):
    """Everything heard, by line."""

    lines: tuple[tuple[Heard, ...], ...]


class Speed(msgspec.Struct, frozen=True):
    """How a master did on one line, after the warm-up."""

    requests: int
    share: float
    """Of the wire limit; above 1 only by breaking the silence."""
    breaches: int
    """Requests that began before the silence was over."""
    gap_characters: float
    """Median silence before a request; 3.5 is the least allowed."""
    line_late_us: float
    """Median lateness of the simulated line itself in handing over the end of an answer."""


def speed(heard: Sequence[Heard], wiring: Wiring) -> Speed:
    """Judge a run in which every unit answers.

    A cycle goes from the begin of one request to the begin of the next; what the simulated line
    itself was late by is taken out of it. The cycle that closes a round over all units is left out,
    for some masters rest between their rounds by design.
    """
    judged = heard[WARM_UP:]
    cycles = [
        (one, other.begin_s - one.begin_s - _line_late_s(one))
        for one, other in pairwise(judged)
        if other.unit >= one.unit
    ]
    size = max(1, len(cycles) // BLOCKS)
    blocks = [cycles[at : at + size] for at in range(0, size * BLOCKS, size)]
    shares = [
        sum(useful_s(one, wiring) for one, _ in block) / sum(cycle_s for _, cycle_s in block)
        for block in blocks
        if block
    ]
    gaps = [one.gap_s for one in judged if one.gap_s is not None]
    late = [_line_late_s(one) for one in judged]
    return Speed(
        requests=len(judged),
        share=round(median(shares), 4) if shares else 0.0,
        breaches=sum(gap_s < wiring.silence_s for gap_s in gaps),
        gap_characters=round(median(gaps) / wiring.character_s, 2) if gaps else 0.0,
        line_late_us=round(1e6 * median(late), 0) if late else 0.0,
    )


def _line_late_s(one: Heard) -> float:
    if one.handed_s is None or one.answer_end_s is None:
        return 0.0
    return one.handed_s - one.answer_end_s


def useful_s(one: Heard, wiring: Wiring) -> float:
    """What the wire needs for this transaction; nothing for one that was not answered."""
    if one.answer_begin_s is None or one.answer_end_s is None:
        return 0.0
    spoken_s = (one.end_s - one.begin_s) + (one.answer_end_s - one.answer_begin_s)
    return wiring.silence_s + spoken_s + wiring.turnaround_s


def share_between(heard: Sequence[Heard], wiring: Wiring, from_s: float, to_s: float) -> float:
    """The part of this time in which the line did something useful, as the wire limit counts it."""
    useful = (useful_s(one, wiring) for one in heard if from_s <= one.begin_s < to_s)
    return sum(useful) / (to_s - from_s)


def share_of_round(heard: Sequence[Heard], wiring: Wiring, number: int) -> float | None:
    """The share in one round over all units (0 is the first), from its first request to its end.

    None if the master never got so far.
    """
    begins = [0] + [at for at, pair in enumerate(pairwise(heard), 1) if pair[1].unit < pair[0].unit]
    if number + 1 > len(begins):
        return None
    last = begins[number + 1] if number + 1 < len(begins) else len(heard)
    of_round = heard[begins[number] : last]
    if len({one.unit for one in of_round}) < wiring.units:
        return None
    end = of_round[-1]
    end_s = heard[last].begin_s if last < len(heard) else (end.answer_end_s or end.end_s)
    return share_between(of_round, wiring, of_round[0].begin_s, end_s)


def median_cycle_s(heard: Sequence[Heard], from_s: float, *, address: int) -> float:
    """Median time between two readings of this register of the same answering unit."""
    begun: dict[int, list[float]] = {}
    for one in heard:
        if one.begin_s >= from_s and one.address == address and one.answer_end_s is not None:
            begun.setdefault(one.unit, []).append(one.begin_s)
    between = [late - early for times in begun.values() for early, late in pairwise(times)]
    return median(between) if between else 0.0


def register(unit: int, address: int) -> int:
    """The value of a register on a line without relays: tells whose it is and which."""
    return unit << 8 | address & 0xFF
