"""What hangs on a meter: the load switch that wears, and the home behind it.

Owns the physics, all as functions of the instant asked for, so that an idle line costs nothing.
Must never know a register. Pick-up of a load that was dark: protection manuals, as in the pacing
rule (500 % at once, 300 % after 1 s, 200 % after 2 s, 150 % after 3 s, then minutes).
"""

import math
import zlib
from collections import deque
from typing import Final, Self

from gateway.core.model import Value

MOVE_DELAY_S: Final = 0.030
"""From the command to the contact's new position."""
MOVES_KEPT_MAX: Final = 1000
PICK_UP_STEPS: Final = ((1.0, 5.0), (2.0, 3.0), (3.0, 2.0), (600.0, 1.5))
"""Until so many seconds after closing the load is such a multiple of normal."""
SUPPLY_V: Final = 230.0
SUPPLY_SWING_V: Final = 2.5
SUPPLY_SWING_S: Final = 60.0
FREQUENCY_HZ: Final = 50.0
S_PER_H: Final = 3600.0


class Move(Value):
    """One movement of a switch's contact."""

    mono_ms: int
    """Boot clock, when the contact reached its new position."""
    closed: bool


def boot_ms(boot_s: float) -> int:
    """Whole milliseconds of an instant of the boot clock."""
    return round(boot_s * 1000)


class Switch:
    """A latching load switch: stays where it was put, takes its time, counts its movements."""

    def __init__(self, *, closed: bool) -> None:
        self.commanded = closed
        """The last command, which is what a relay register shows."""
        self.stuck = False
        """The contact stays where it is, and whoever can see it says so."""
        self.lies = False
        """The contact stays where it is, and what shows it shows the command instead."""
        self.resisted = 0
        """Commands that a stuck or lying contact did not follow."""
        self._before = closed
        self._moves: deque[tuple[float, bool]] = deque(maxlen=MOVES_KEPT_MAX)
        self._wear = 0

    def command(self, closed: bool, now_s: float) -> None:
        """Drive the contact to a position; where it stands already nothing wears."""
        self.commanded = closed
        bound_for = self._moves[-1][1] if self._moves else self._before
        if closed is bound_for:
            return
        if self.stuck or self.lies:
            self.resisted += 1
            return
        if len(self._moves) == MOVES_KEPT_MAX:
            self._before = self._moves[0][1]
        ready_s = max(now_s, self._moves[-1][0]) if self._moves else now_s
        self._moves.append((ready_s + MOVE_DELAY_S, closed))
        self._wear += 1

    def closed(self, now_s: float) -> bool:
        """Where the contact is."""
        return self.closing_s(now_s) is not None

    def shown(self, now_s: float) -> bool:
        """Where a state register or an auxiliary contact says that the contact is."""
        return self.commanded if self.lies else self.closed(now_s)

    def closing_s(self, now_s: float) -> float | None:
        """When a closed contact closed, minus infinity if it never moved; None: it is open."""
        at_s, closed = next(
            (move for move in reversed(self._moves) if move[0] <= now_s), (-math.inf, self._before)
        )
        return at_s if closed else None

    def wear(self, now_s: float) -> int:
        """How many times the contact has moved."""
        return self._wear - sum(at_s > now_s for at_s, _ in self._moves)

    def moves(self, now_s: float) -> tuple[Move, ...]:
        """The newest movements, oldest first."""
        return tuple(
            Move(mono_ms=boot_ms(at_s), closed=closed)
            for at_s, closed in self._moves
            if at_s <= now_s
        )

    def closed_spans(self, from_s: float, to_s: float) -> list[tuple[float, float, float]]:
        """When the contact was closed between two instants: closing, begin and end of each span.

        The closing is minus infinity for a contact that has not moved since it was built.
        """
        spans = []
        closing_s, closed = -math.inf, self._before
        for at_s, position in (*self._moves, (math.inf, False)):
            begin_s, end_s = max(closing_s, from_s), min(at_s, to_s)
            if closed and begin_s < end_s:
                spans.append((closing_s, begin_s, end_s))
            closing_s, closed = at_s, position
        return spans


class PickUp(Value):
    """How a load comes back that was dark."""

    steps: tuple[tuple[float, float], ...] = PICK_UP_STEPS

    @classmethod
    def scaled(cls, excess: float, time: float) -> Self:
        """The usual steps with so many times the load above normal, over so many times the time."""
        return cls(steps=tuple((s * time, 1 + (m - 1) * excess) for s, m in PICK_UP_STEPS))

    def multiple(self, since_s: float) -> float:
        """The load so long after closing, as a multiple of normal."""
        return next((multiple for until_s, multiple in self.steps if since_s < until_s), 1.0)

    def seconds(self, closing_s: float, begin_s: float, end_s: float) -> float:
        """Seconds from begin to end, each counted as often as the load was a multiple of normal."""
        weighted = end_s - begin_s
        step_begins_s = closing_s
        for until_s, multiple in self.steps:
            step_ends_s = closing_s + until_s
            overlap_s = min(end_s, step_ends_s) - max(begin_s, step_begins_s)
            weighted += max(0.0, overlap_s) * (multiple - 1)
            step_begins_s = step_ends_s
        return weighted


class Home:
    """A household behind a load switch: supply voltage, load, and the energy it has drawn."""

    def __init__(
        self,
        switch: Switch,
        *,
        name: str,
        load_w: float,
        energy_kwh: float,
        begun_s: float,
        pick_up: PickUp,
    ) -> None:
        self._switch = switch
        self._load_w = load_w
        self._pick_up = pick_up
        self._energy_wh = energy_kwh * 1000
        self._counted_s = begun_s
        self._supply_v: float | None = None
        self.backfeed_v = 0.0
        """Voltage that the home itself puts behind an open switch."""
        # Every home has its own place on the feeder, the same in every run.
        self._phase = zlib.crc32(name.encode()) / 2**32

    def supply_v(self, now_s: float) -> float:
        """Voltage ahead of the switch."""
        if self._supply_v is not None:
            return self._supply_v
        turn = math.tau * (now_s / SUPPLY_SWING_S + self._phase)
        return SUPPLY_V + SUPPLY_SWING_V * math.sin(turn)

    def set_supply(self, volts: float | None) -> None:
        """Hold the voltage ahead of the switch at a value; None: let it swing by itself."""
        self._supply_v = volts

    def load_v(self, now_s: float) -> float:
        """Voltage behind the switch."""
        return self.supply_v(now_s) if self._switch.closed(now_s) else self.backfeed_v

    def power_w(self, now_s: float) -> float:
        """What the home draws."""
        closing_s = self._switch.closing_s(now_s)
        return (
            0.0 if closing_s is None else self._load_w * self._pick_up.multiple(now_s - closing_s)
        )

    def current_a(self, now_s: float) -> float:
        """What flows; at no voltage at all nothing does."""
        supply_v = self.supply_v(now_s)
        return self.power_w(now_s) / supply_v if supply_v else 0.0

    def energy_kwh(self, now_s: float) -> float:
        """What the meter has counted; instants must not go back between two questions."""
        spans = self._switch.closed_spans(self._counted_s, now_s)
        self._energy_wh += sum(self._load_w * self._pick_up.seconds(*it) for it in spans) / S_PER_H
        self._counted_s = now_s
        return self._energy_wh / 1000

    def preset_energy(self, energy_kwh: float, now_s: float) -> None:
        """Set the counter."""
        self._energy_wh = energy_kwh * 1000
        self._counted_s = now_s
