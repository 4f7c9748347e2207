"""Pacing: how fast the load of a returning feeder may be picked up, and when to try again.

Owns the instant at which a permitted close has its turn. Must never permit anything by itself:
`reconnection` asks here last, after every guard.

After hours in the dark load comes back at a multiple of normal (cold load pick-up), so the first
close of a transformer is alone and observed, then they follow with a jittered gap, one at a time on
each transformer, under ceilings for transformer, feeder and gateway in any 60 s. A ceiling counts
each write when it was on the wire, and one that has not ended as of now, so no delay on the bus can
press two minutes' closes into one.
"""

import hashlib
from bisect import insort
from collections import defaultdict
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Final

from gateway.core.image import MINUTE_MS, Image
from gateway.core.kept import CloseMark, Setback
from gateway.core.model import Brake, GatewayId, Meter, Now, Value
from gateway.core.terms import Pacing
from gateway.core.waiting import at_least_ms

SETBACK_FIRST_MS = 15_000
SETBACK_MAX_MS = 300_000
"""A close that did not succeed is tried again after 15 s, 30 s, ... at most 5 minutes: well inside
the 20 minutes, and few enough writes and records for a meter that will never close."""
CLOSE_TAKES_MS: Final = 1_500
"""From decision to outcome, where it has to be foretold."""


class Turn(Value):
    """When (boot clock) a close has its turn, and what holds it until then; None: nothing."""

    not_before_ms: int = 0
    brake: Brake | None = None


AT_ONCE = Turn()
_Scope = tuple[Brake, str]
"""A ceiling, and the DT or feeder that it is of."""
_GATEWAY: Final = (Brake.GATEWAY_CEILING, "")


class _Last(Value):
    """The last close of a DT on this boot's clock, and whether it was the first in a while."""

    at_ms: int
    gap_ms: int
    busy_until_ms: int
    first: bool


class Pacer:
    """The closes of the last hour, and those that are foretold after them.

    It belongs to one image and one instant; `now_ms` of its methods may only rise.
    """

    def __init__(self, image: Image, now: Now) -> None:
        self._image = image
        self._now = now
        self._terms = image.pacing
        self._last: dict[str, _Last] = {}
        self._times: dict[_Scope, list[int]] = defaultdict(list)
        self._ceilings = {
            Brake.DT_CEILING: self._terms.dt_minute_max,
            Brake.FEEDER_CEILING: self._terms.feeder_minute_max,
            Brake.GATEWAY_CEILING: self._terms.minute_max,
        }
        self._turns: dict[tuple[str, int], Turn] = {}
        last_two: dict[str, tuple[CloseMark, ...]] = {}
        for mark in image.kept.marks:
            at_ms = self._at_ms(mark)
            if at_ms + MINUTE_MS > now.mono_ms:  # an older one is under no ceiling any more
                self._count(mark.dt, at_ms)
            last_two[mark.dt] = (*last_two.get(mark.dt, ())[-1:], mark)
        # Whether the last one was the first in a while is seen from the one before it.
        for dt, marks in last_two.items():
            for mark in marks:
                at_ms = self._at_ms(mark)
                busy_until_ms = at_ms if mark.ended else now.mono_ms + CLOSE_TAKES_MS
                self._follow(dt, at_ms, mark.gap_ms, busy_until_ms)

    def turn(self, meter: Meter, now_ms: int) -> Turn:
        """When this meter's close has its turn, as of `now_ms`."""
        own, of_all = self._after_a_setback(meter), self.turn_of_dt(meter.dt, now_ms)
        return max(of_all, own, key=_when)

    def turn_of_dt(self, dt: str, now_ms: int) -> Turn:
        """When the next close of a DT has its turn, whoever it is."""
        turn = self._turns.get((dt, now_ms))
        if turn is None:
            turns = [self._stopped(dt), self._after_the_last(dt, now_ms)]
            turns += [self._under(scope) for scope in self._scopes(dt)]
            turn = self._turns[dt, now_ms] = max(turns, key=_when)
        return turn

    def feeder_opens_ms(self, feeder: str) -> int:
        """When (boot clock) the ceiling of a feeder lets the next close through."""
        return self._under((Brake.FEEDER_CEILING, feeder)).not_before_ms

    def gateway_opens_ms(self) -> int:
        """When (boot clock) the ceiling of the gateway lets the next close through."""
        return self._under(_GATEWAY).not_before_ms

    def take(self, meter: Meter, now_ms: int, close: int) -> None:
        """Suppose that this meter is closed now, as close number `close`."""
        gap_ms = gap_after_ms(self._terms, self._image.station.gateway, close)
        self._count(meter.dt, now_ms)
        self._follow(meter.dt, now_ms, gap_ms, now_ms + CLOSE_TAKES_MS)
        self._turns.clear()

    def setback_over_ms(self, meter: Meter) -> int:
        """When (boot clock) a meter whose last close did not succeed is tried again; or 0."""
        return self._after_a_setback(meter).not_before_ms

    def _at_ms(self, mark: CloseMark) -> int:
        if not mark.ended:
            return self._now.mono_ms
        return self._mono_ms(at_least_ms(mark.at, self._now))

    def _count(self, dt: str, at_ms: int) -> None:
        for scope in self._scopes(dt):
            insort(self._times[scope], at_ms)

    def _follow(self, dt: str, at_ms: int, gap_ms: int, busy_until_ms: int) -> None:
        last = self._last.get(dt)
        quiet_since_ms = at_ms - self._terms.quiet_ms
        resumed = self._image.kept.resumed.get(dt)
        if resumed is not None:
            resumed_ms = self._mono_ms(at_least_ms(resumed, self._now))
            quiet_since_ms = max(quiet_since_ms, min(resumed_ms, at_ms))
        first = last is None or last.at_ms <= quiet_since_ms
        self._last[dt] = _Last(at_ms=at_ms, gap_ms=gap_ms, busy_until_ms=busy_until_ms, first=first)

    def _mono_ms(self, age_ms: int) -> int:
        return self._now.mono_ms - age_ms

    def _scopes(self, dt: str) -> tuple[_Scope, ...]:
        feeder = self._image.feeders.get(dt, "")
        return (Brake.DT_CEILING, dt), (Brake.FEEDER_CEILING, feeder), _GATEWAY

    def _stopped(self, dt: str) -> Turn:
        stop = self._image.kept.stops.get(dt)
        if stop is None:
            return AT_ONCE
        over_ms = self._mono_ms(at_least_ms(stop.since, self._now)) + self._terms.cool_down_ms
        # One that is older than its cool-down still stands because its reason does.
        still_ms = self._now.mono_ms + self._terms.cool_down_ms
        return Turn(
            not_before_ms=over_ms if over_ms > self._now.mono_ms else still_ms, brake=stop.brake
        )

    def _after_the_last(self, dt: str, now_ms: int) -> Turn:
        last = self._last.get(dt)
        if last is None:
            return AT_ONCE
        wait_ms = self._terms.first_alone_ms if last.first else last.gap_ms
        due_ms = last.at_ms + wait_ms
        if last.busy_until_ms > now_ms:
            # Its end is what the next one waits for; this is what can be said of it now.
            return Turn(not_before_ms=max(due_ms, last.busy_until_ms), brake=Brake.UNDER_WAY)
        brake = Brake.FIRST_ALONE if last.first else Brake.GAP
        return Turn(not_before_ms=due_ms, brake=brake)

    def _under(self, scope: _Scope) -> Turn:
        brake, _ = scope
        times_ms, ceiling = self._times[scope], self._ceilings[brake]
        if len(times_ms) < ceiling:
            return AT_ONCE
        return Turn(not_before_ms=times_ms[-ceiling] + MINUTE_MS, brake=brake)

    def _after_a_setback(self, meter: Meter) -> Turn:
        setback = self._image.kept.setbacks.get(meter.serial)
        word = self._image.word(meter.account)
        if setback is None or setback.standing_n != (0 if word is None else word.n):
            return AT_ONCE  # a newer word is tried at once
        since_ms = self._mono_ms(at_least_ms(setback.last, self._now))
        return Turn(not_before_ms=since_ms + wait_ms(setback), brake=Brake.SETBACK)


def foretold(queue: Sequence[Meter], image: Image, now: Now) -> dict[str, int]:
    """When (boot clock) each meter of a queue is likely to be decided, by serial number.

    The queue is in its order; nothing more comes, and every close ends well and in time. Who is to
    be tried again later stands on his DT behind who is ready.
    """
    pacer = Pacer(image, now)
    lines: dict[str, list[tuple[int, int, Meter]]] = defaultdict(list)
    for place, meter in enumerate(queue):
        ready_ms = max(pacer.setback_over_ms(meter), now.mono_ms)
        lines[meter.dt].append((ready_ms, place, meter))
    for line in lines.values():
        line.sort(key=_ready_first, reverse=True)  # so that the first one is taken off the end
    heads = _Heads(image, pacer, now.mono_ms)

    def next_of(dt: str, now_ms: int) -> None:
        if lines[dt]:
            ready_ms, place, _ = lines[dt][-1]
            due_ms = max(ready_ms, pacer.turn_of_dt(dt, now_ms).not_before_ms, now_ms)
            heads.add(due_ms, place, dt)

    for dt in lines:
        next_of(dt, now.mono_ms)
    decided: dict[str, int] = {}
    while (head := heads.next()) is not None:
        _, _, meter = lines[head].pop()
        decided[meter.serial] = heads.now_ms
        pacer.take(meter, heads.now_ms, image.kept.moves + len(decided))
        heads.taken(head)
        next_of(head, heads.now_ms)
    return decided


class _Heads:
    """The first in line of each DT, of whom the ceilings of feeder and gateway let one through.

    Those who are due by then come in the queue's order. On a feeder whose ceiling is used up they
    wait together until it opens: nobody is looked at again for each close of another.
    """

    def __init__(self, image: Image, pacer: Pacer, now_ms: int) -> None:
        self.now_ms = now_ms
        self._feeders = image.feeders
        self._pacer = pacer
        self._coming: list[tuple[int, int, str]] = []
        """Not due yet: when they are, their place in the queue, and their DT."""
        self._due: dict[str, list[tuple[int, str]]] = defaultdict(list)
        """By feeder: their place in the queue, and their DT."""
        self._opening: list[tuple[int, str]] = []
        """Feeders whose ceiling is used up, and until when."""
        self._opens_ms: dict[str, int] = defaultdict(int)
        self._open: list[tuple[int, str]] = []
        """The place of the first who is due on each open feeder; others are passed over."""

    def add(self, due_ms: int, place: int, dt: str) -> None:
        """Who is the first of a DT, and when he is due unless others come before him."""
        heappush(self._coming, (due_ms, place, dt))

    def next(self) -> str | None:
        """The DT of the next who is let through, at `now_ms`; None: nobody waits."""
        self.now_ms = max(self.now_ms, self._pacer.gateway_opens_ms())
        while True:
            self._let_in()
            while self._open:
                place, feeder = heappop(self._open)
                due = self._due[feeder]
                if self._opens_ms[feeder] <= self.now_ms and due and due[0][0] == place:
                    return heappop(due)[1]
            if not self._coming and not self._opening:
                return None
            self.now_ms = min(heap[0][0] for heap in (self._coming, self._opening) if heap)

    def taken(self, dt: str) -> None:
        """One was let through."""
        feeder = self._feeder(dt)
        self._opens_ms[feeder] = self._pacer.feeder_opens_ms(feeder)
        heappush(self._opening, (self._opens_ms[feeder], feeder))

    def _let_in(self) -> None:
        while self._coming and self._coming[0][0] <= self.now_ms:
            _, place, dt = heappop(self._coming)
            feeder = self._feeder(dt)
            heappush(self._due[feeder], (place, dt))
            heappush(self._open, (place, feeder))
        while self._opening and self._opening[0][0] <= self.now_ms:
            _, feeder = heappop(self._opening)
            if self._due[feeder]:
                heappush(self._open, (self._due[feeder][0][0], feeder))

    def _feeder(self, dt: str) -> str:
        return self._feeders.get(dt, "")


def _ready_first(waiting: tuple[int, int, Meter]) -> tuple[int, int]:
    ready_ms, place, _ = waiting
    return ready_ms, place


def gap_after_ms(terms: Pacing, gateway: GatewayId, close: int) -> int:
    """The gap after a close, with its jitter: the gateway's own sequence, by the close's number."""
    span = terms.gap_ms * terms.jitter_percent // 100
    drawn = hashlib.sha256(f"{gateway} {close}".encode()).digest()
    return terms.gap_ms - span + int.from_bytes(drawn[:4]) % (2 * span + 1)


def wait_ms(setback: Setback) -> int:
    """How long after a setback the next try waits."""
    doubled = SETBACK_FIRST_MS << min(setback.count - 1, 10)
    return min(doubled, SETBACK_MAX_MS)


def _when(turn: Turn) -> int:
    return turn.not_before_ms
