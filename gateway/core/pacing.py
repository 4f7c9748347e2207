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
from gateway.core.kept import Setback
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
        self._times: dict[Brake, dict[str, list[int]]] = {
            brake: defaultdict(list) for brake in _CEILINGS
        }
        for mark in image.kept.marks:
            at_ms = self._mono_ms(at_least_ms(mark.at, now)) if mark.ended else now.mono_ms
            busy_until_ms = at_ms if mark.ended else now.mono_ms + CLOSE_TAKES_MS
            self._add(mark.dt, at_ms, mark.gap_ms, busy_until_ms)

    def turn(self, meter: Meter, now_ms: int) -> Turn:
        """When this meter's close has its turn, as of `now_ms`."""
        own, of_all = self._after_a_setback(meter), self.turn_of_dt(meter.dt, now_ms)
        return max(of_all, own, key=_when)

    def turn_of_dt(self, dt: str, now_ms: int) -> Turn:
        """When the next close of a DT has its turn, whoever it is."""
        turns = [self._stopped(dt), self._after_the_last(dt, now_ms)]
        turns += [self._under(brake, dt) for brake in _CEILINGS]
        return max(turns, key=_when)

    def take(self, meter: Meter, now_ms: int, close: int) -> None:
        """Suppose that this meter is closed now, as close number `close`."""
        gap_ms = gap_after_ms(self._terms, self._image.station.gateway, close)
        self._add(meter.dt, now_ms, gap_ms, now_ms + CLOSE_TAKES_MS)

    def setback_over_ms(self, meter: Meter) -> int:
        """When (boot clock) a meter whose last close did not succeed is tried again; or 0."""
        return self._after_a_setback(meter).not_before_ms

    def _add(self, dt: str, at_ms: int, gap_ms: int, busy_until_ms: int) -> None:
        last = self._last.get(dt)
        quiet_since_ms = at_ms - self._terms.quiet_ms
        resumed = self._image.kept.resumed.get(dt)
        if resumed is not None:
            resumed_ms = self._mono_ms(at_least_ms(resumed, self._now))
            quiet_since_ms = max(quiet_since_ms, min(resumed_ms, at_ms))
        first = last is None or last.at_ms <= quiet_since_ms
        self._last[dt] = _Last(at_ms=at_ms, gap_ms=gap_ms, busy_until_ms=busy_until_ms, first=first)
        for brake in _CEILINGS:
            insort(self._times[brake][self._scope(brake, dt)], at_ms)

    def _mono_ms(self, age_ms: int) -> int:
        return self._now.mono_ms - age_ms

    def _scope(self, brake: Brake, dt: str) -> str:
        match brake:
            case Brake.DT_CEILING:
                return dt
            case Brake.FEEDER_CEILING:
                return self._image.feeders.get(dt, "")
            case _:
                return ""

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

    def _under(self, brake: Brake, dt: str) -> Turn:
        times_ms = self._times[brake][self._scope(brake, dt)]
        ceiling = _ceiling(self._terms, brake)
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
    heads: list[tuple[int, int, str]] = []

    def next_of(dt: str, now_ms: int) -> None:
        if lines[dt]:
            ready_ms, place, _ = lines[dt][-1]
            due_ms = max(ready_ms, pacer.turn_of_dt(dt, now_ms).not_before_ms, now_ms)
            heappush(heads, (due_ms, place, dt))

    for dt in lines:
        next_of(dt, now.mono_ms)
    decided: dict[str, int] = {}
    now_ms = now.mono_ms
    while heads:
        due_ms, place, dt = heappop(heads)
        at_ms = max(due_ms, pacer.turn_of_dt(dt, now_ms).not_before_ms)
        if at_ms > due_ms:
            # A ceiling that others have used up since; who is due by then comes in the queue's
            # order.
            heappush(heads, (at_ms, place, dt))
            continue
        now_ms = at_ms
        _, _, meter = lines[dt].pop()
        decided[meter.serial] = now_ms
        pacer.take(meter, now_ms, image.kept.moves + len(decided))
        next_of(dt, now_ms)
    return decided


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


_CEILINGS = (Brake.DT_CEILING, Brake.FEEDER_CEILING, Brake.GATEWAY_CEILING)


def _ceiling(terms: Pacing, brake: Brake) -> int:
    match brake:
        case Brake.DT_CEILING:
            return terms.dt_minute_max
        case Brake.FEEDER_CEILING:
            return terms.feeder_minute_max
        case _:
            return terms.minute_max


def _when(turn: Turn) -> int:
    return turn.not_before_ms
