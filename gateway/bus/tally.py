"""What happened on one bus in the last quarter of an hour, and at which meter.

Owns the counts of the bus and of its meters. Must never judge them: `hints` does.
"""

from collections import Counter, deque
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from gateway.bus.rtu import Failure, Fault, Reply
from gateway.core.model import Serial, Value

BUCKET_S: Final = 60.0
BUCKETS: Final = 15
WINDOW_S: Final = BUCKETS * BUCKET_S
WORST_MAX: Final = 3


class Counts(Value):
    """Exchanges by how they ended, and what befell beside."""

    good: int = 0
    refused: int = 0
    """Answered with an exception."""
    crc_errors: int = 0
    timeouts: int = 0
    mismatched: int = 0
    """A good frame came that was not the answer."""
    late: int = 0
    """After the time-out something came all the same. Counted beside the time-out."""
    echo: int = 0
    """What was sent came back. Counted beside how the exchange ended."""

    @property
    def exchanges(self) -> int:
        """How many requests were sent, or would have been on a line that is ever silent."""
        return self.good + self.refused + self.failed

    @property
    def failed(self) -> int:
        """How many had no answer."""
        return self.crc_errors + self.timeouts + self.mismatched

    def share(self, count: int) -> float:
        """So many of all exchanges, from 0 to 1."""
        return count / self.exchanges if self.exchanges else 0.0


class Quality(Value):
    """A quarter of an hour of one bus: the whole of it, and by meter."""

    bus: Counts = Counts()
    meters: Mapping[Serial, Counts] = {}

    @property
    def worst(self) -> tuple[Serial, ...]:
        """The meters with the largest share of failures, at most three, the worst first."""
        failing = [(_failed(one), serial) for serial, one in self.meters.items()]
        ordered = sorted((found for found in failing if found[0]), key=lambda it: (-it[0], it[1]))
        return tuple(serial for _, serial in ordered[:WORST_MAX])


def quality_words(found: Quality) -> str:
    """The last quarter of an hour in one line."""
    bus = found.bus
    counted = {
        "good": bus.good,
        "refused": bus.refused,
        "CRC errors": bus.crc_errors,
        "time-outs": bus.timeouts,
        "of others": bus.mismatched,
    }
    ended = [f"{bus.share(count):.1%} {name}" for name, count in counted.items()]
    words = f"{bus.exchanges} exchanges, {', '.join(ended)}; {bus.late} late, {bus.echo} echoed"
    worst = [f"{serial} {_failed(found.meters[serial]):.0%}" for serial in found.worst]
    return words + (f"; failing most: {', '.join(worst)}" if worst else "")


def _failed(counts: Counts) -> float:
    return counts.share(counts.failed)


class _Happening(StrEnum):
    """The members of `Counts`."""

    GOOD = "good"
    REFUSED = "refused"
    CRC_ERROR = "crc_errors"
    TIMEOUT = "timeouts"
    MISMATCHED = "mismatched"
    LATE = "late"
    ECHO = "echo"


_FAILED: Final = {
    Failure.NO_ANSWER: _Happening.TIMEOUT,
    Failure.GARBLED: _Happening.CRC_ERROR,
    Failure.MISMATCHED: _Happening.MISMATCHED,
    Failure.EXCEPTION: _Happening.REFUSED,
}
"""The others were never on the line."""


class Tally:
    """Counts by the minute, and forgets what is older. Instants are handed in."""

    def __init__(self) -> None:
        self._buckets: deque[tuple[int, Counter[tuple[Serial, _Happening]]]] = deque()

    def exchanged(self, serial: Serial, outcome: Reply | Fault, now_s: float) -> None:
        """Note how one exchange with a meter has ended."""
        if isinstance(outcome, Reply):
            self._note(serial, _Happening.GOOD, now_s)
        elif outcome.failure in _FAILED:
            self._note(serial, _FAILED[outcome.failure], now_s)

    def late(self, serial: Serial, now_s: float) -> None:
        """Note that a meter's answer came after its time-out."""
        self._note(serial, _Happening.LATE, now_s)

    def echoed(self, serial: Serial, now_s: float) -> None:
        """Note that the line gave back what was sent to a meter."""
        self._note(serial, _Happening.ECHO, now_s)

    def quality(self, now_s: float) -> Quality:
        """The last quarter of an hour."""
        self._forget(now_s)
        total = Counter[tuple[Serial, _Happening]]()
        for _, counted in self._buckets:
            total.update(counted)
        whole, meters = Counter[str](), dict[Serial, dict[str, int]]()
        for (serial, happening), count in total.items():
            whole[happening.value] += count
            meters.setdefault(serial, {})[happening.value] = count
        return Quality(
            bus=Counts(**whole), meters={serial: Counts(**one) for serial, one in meters.items()}
        )

    def _note(self, serial: Serial, happening: _Happening, now_s: float) -> None:
        if not serial:
            return  # an address was asked at which the roster has nobody
        number = int(now_s // BUCKET_S)
        if not self._buckets or self._buckets[-1][0] != number:
            self._buckets.append((number, Counter()))
            self._forget(now_s)
        self._buckets[-1][1][serial, happening] += 1

    def _forget(self, now_s: float) -> None:
        oldest = int(now_s // BUCKET_S) - BUCKETS
        while self._buckets and self._buckets[0][0] <= oldest:
            self._buckets.popleft()
