"""Whose turn it is on a line: due times, intervals that fit it, and the parking of the silent.

Owns the round of one bus, at instants that are handed in. Must never send, and never let those that
are silent take more than a small share of the line from those that answer.

Meters that are not connected are read often: that is where somebody waits. A check meter goes first
when it is due, for a transformer is loaded by what it reads. A meter that missed twice is parked
and asked with growing back-off: while nobody else is due, or within that share.
"""

import logging
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.bus.budget import (
    Budget,
    Demand,
    Intervals,
    Speed,
    budget,
    demand_of,
    look_read,
    miss_s,
)
from gateway.bus.device import Device
from gateway.bus.frame import Read
from gateway.bus.reading import Quantities, measure_reads, state_read
from gateway.core.model import Cause, Serial, SupplyState

logger = logging.getLogger(__name__)

CONNECTED_PATIENCE_S: Final = 5.0
"""So long a connected meter that is due lets those go first where somebody waits."""
MISSES_MAX: Final = 2
WANTED_TRIES: Final = 3
"""So often one that does not answer is asked although somebody else would be next."""
MISSED_ONCE_S: Final = 0.5
"""After a first miss: one lost frame is made good, or the meter is soon known to be silent."""
BACK_OFF_FIRST_S: Final = 1.0
BACK_OFF_MAX_S: Final = 300.0
BACK_OFF_ALL_SILENT_S: Final = 5.0
"""With nobody to disturb, a mended cable is noticed soon."""
PARKED_SHARE: Final = 0.03
"""Of the line's time, for all that are silent together, while others are due."""
PLAN_AGAIN_S: Final = 30.0
NOTHING: Final = Quantities()


@dataclass(slots=True, eq=False)
class Target:
    """One device's place in the round, and what is known of it."""

    device: Device
    due_s: float
    measure_due_s: float
    misses: int = 0
    waits: bool = False
    """Its switch does not read connected."""
    measured: Quantities = NOTHING
    state: SupplyState = SupplyState.UNKNOWN
    cause: Cause | None = None
    cause_asked: bool = False
    wanted_ms: int = -1
    """Since when (boot clock) somebody wants it read at once; the last that did."""
    tries: int = 0
    """How often it is still tried for him."""

    @property
    def parked(self) -> bool:
        """Whether it is silent."""
        return self.misses >= MISSES_MAX

    @property
    def sign_of_life(self) -> Read | None:
        """The first request of its turn; None for a type of which nothing can be read."""
        measures = measure_reads(self.device)
        return look_read(self.device) or (measures[0].request if measures else None)


class Turns:
    """The round of one bus. Instants are of the loop's clock."""

    def __init__(self, speed: Speed, wished: Intervals) -> None:
        self.silent: tuple[Serial, ...] = ()
        """The meters that do not answer, in the roster's order."""
        self.speed = speed
        self.budget: Budget = budget(Demand(), wished)
        self._wished = wished
        self._targets: dict[str, Target] = {}
        self._probe_s = -math.inf
        """From when on a parked meter may go although others are due."""
        self._plan_s = -math.inf

    def __len__(self) -> int:
        """How many devices there are."""
        return len(self._targets)

    @property
    def all_silent(self) -> bool:
        """Whether there are devices and none of them answers."""
        return bool(self._targets) and len(self.silent) == len(self._targets)

    def of(self, serial: str) -> Target | None:
        """One device's place."""
        return self._targets.get(serial)

    def take(self, devices: Sequence[Device], now_s: float) -> None:
        """These from now on; what is known of those that stay, stays."""
        before = self._targets
        self._targets = {}
        for device in devices:
            known = before.get(device.serial)
            if known is None or known.device != device:
                # First where every switch stands; what can be measured comes with the next round.
                later_s = 0.0 if state_read(device) is None else self._wished.waiting_s
                known = Target(device, due_s=now_s, measure_due_s=now_s + later_s)
            self._targets[device.serial] = known
        self._note_silent()
        self._plan(now_s)

    def next(self, busy: Collection[str], now_s: float) -> tuple[Target, float] | None:
        """Who is next, and when; None where there is nobody. The busy are left out."""
        free = [one for serial, one in self._targets.items() if serial not in busy]
        wanted = min((one for one in free if one.tries), key=_due_s, default=None)
        if wanted is not None and wanted.due_s <= now_s:
            return wanted, wanted.due_s
        healthy = _first([one for one in free if not one.parked], now_s)
        parked = min((one for one in free if one.parked), key=_due_s, default=None)
        # What a silent meter takes is never at the cost of a command that is under way.
        if parked is None or busy:
            return None if healthy is None else (healthy, healthy.due_s)
        probe_s = self._probe_at_s(parked, healthy, now_s)
        if healthy is None or probe_s <= max(now_s, healthy.due_s):
            return parked, probe_s
        return healthy, healthy.due_s

    def want(self, serial: str, since_ms: int, now_s: float) -> bool:
        """Have one read before all others, values too; False: it is not here, or known of."""
        target = self._targets.get(serial)
        if target is None or since_ms <= target.wanted_ms:
            return False
        target.wanted_ms, target.tries = since_ms, WANTED_TRIES
        target.due_s = target.measure_due_s = now_s
        return True

    def answered(self, target: Target, now_s: float) -> None:
        """It has given a sign of life."""
        back = target.parked
        target.misses = 0
        if back:
            logger.info("meter %s answers again", target.device.serial)
            self._ask_parked_soon(now_s)
            self._note_silent()
            self._plan(now_s)

    def missed(self, target: Target, now_s: float) -> None:
        """It has not answered."""
        target.misses += 1
        target.tries = max(0, target.tries - 1)
        wait_s = MISSED_ONCE_S
        if target.parked and not target.tries:
            doubled = BACK_OFF_FIRST_S * 2.0 ** min(target.misses - MISSES_MAX, 20)
            wait_s = min(doubled, BACK_OFF_MAX_S)
            self._probe_s = now_s + self._miss_s(target) / PARKED_SHARE
        if target.misses == MISSES_MAX:
            logger.warning("meter %s does not answer", target.device.serial)
            self._note_silent()
            self._plan(now_s)
        if self.all_silent:
            wait_s = min(wait_s, BACK_OFF_ALL_SILENT_S)
        target.due_s = now_s + wait_s

    def seen(self, target: Target, state: SupplyState, now_s: float) -> None:
        """Its turn is over: this is where its switch stands."""
        waits = state is not SupplyState.CONNECTED and state_read(target.device) is not None
        changed, target.waits, target.state = waits is not target.waits, waits, state
        if changed or now_s >= self._plan_s:
            self._plan(now_s)
        every = self.budget.intervals
        usual_s = every.checked_s if target.device.measures_only else every.connected_s
        target.due_s = now_s + (every.waiting_s if waits else usual_s)

    def measured(self, target: Target, now_s: float) -> None:
        """What it measures is being read now."""
        target.measure_due_s = now_s + self.budget.intervals.measured_s

    def look_soon(self, target: Target, now_s: float) -> None:
        """A command to its switch begins or has ended."""
        target.due_s = now_s + self._wished.waiting_s

    def _probe_at_s(self, parked: Target, healthy: Target | None, now_s: float) -> float:
        at_s = max(now_s, parked.due_s)
        if healthy is None or at_s + self._miss_s(parked) <= healthy.due_s:
            return at_s
        return max(at_s, self._probe_s)

    def _miss_s(self, target: Target) -> float:
        request = target.sign_of_life
        assert request is not None, "what is asked nothing misses nothing"
        return miss_s(request, target.device.profile.timing, self.speed)

    def _ask_parked_soon(self, now_s: float) -> None:
        # What has brought one back has very likely brought back the others.
        self._probe_s = now_s
        for target in self._targets.values():
            if target.parked:
                target.due_s = min(target.due_s, now_s)

    def _plan(self, now_s: float) -> None:
        asked = ((one.device, one.waits) for one in self._targets.values() if not one.parked)
        self.budget = budget(demand_of(asked, self.speed), self._wished)
        self._plan_s = now_s + PLAN_AGAIN_S

    def _note_silent(self) -> None:
        self.silent = tuple(Serial(serial) for serial, one in self._targets.items() if one.parked)


def _first(healthy: Sequence[Target], now_s: float) -> Target | None:
    due = [one for one in healthy if one.due_s <= now_s]
    return min(due, key=_order) if due else min(healthy, key=_due_s, default=None)


def _order(target: Target) -> tuple[bool, float]:
    patience_s = 0.0 if target.waits else CONNECTED_PATIENCE_S
    return not target.device.measures_only, target.due_s + patience_s


def _due_s(target: Target) -> float:
    return target.due_s
