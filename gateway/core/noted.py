"""Noted readings: which readings are kept for the head end, and how often.

Owns what is kept of a reading, and when one is due. Must never decide a closing: these are for
bills and load profiles, and are thinned where room is short.
"""

from gateway.core.model import Now, Reading, Serial, SupplyState, Value

MINUTE_MS = 60_000


class NotedReading(Value):
    """What was read of one meter at an instant of the calendar (milliseconds UTC).

    `trusted`: a time source answered for that instant.
    """

    meter: Serial
    wall_ms: int
    trusted: bool
    state: SupplyState
    supply_mv: int | None = None
    load_mv: int | None = None
    current_ma: int | None = None
    power_w: int | None = None
    energy_wh: int | None = None


def noted(meter: Serial, reading: Reading, now: Now) -> NotedReading:
    """A reading as it is kept, at the instant when its values were read."""
    read_ms = reading.mono_ms if reading.values_ms is None else reading.values_ms
    return NotedReading(
        meter=meter,
        wall_ms=now.wall_ms - (now.mono_ms - read_ms),
        trusted=now.trusted,
        state=reading.state,
        supply_mv=reading.supply_mv,
        load_mv=reading.load_mv,
        current_ma=reading.current_ma,
        power_w=reading.power_w,
        energy_wh=reading.energy_wh,
    )
