"""Readings: how old what was read of each meter is, and whether that may still be gone by.

Owns the quality of a reading. Must never decide a closing: the one rule compares the same age with
the same limit, and is asked for that.
"""

from collections.abc import Iterable
from enum import StrEnum

from gateway.core.image import Image
from gateway.core.model import Now, Reading, SupplyState, Value
from gateway.core.terms import Limits

ROUNDS_MISSED = 3
"""Values are old once so many rounds at the site's interval have brought no newer ones."""


class Quality(StrEnum):
    """Of what was read, a state or values."""

    GOOD = "GOOD"
    STALE = "STALE"
    """Older than the site's limit."""
    UNREAD = "UNREAD"
    """Not read since the start of the process, or what was read says nothing."""


class ReadingStatus(Value):
    """What was last read of one device, a transformer's check meter too. Ages in milliseconds."""

    meter: str
    state: SupplyState
    quality: Quality
    age_ms: int | None
    values_quality: Quality
    values_age_ms: int | None
    supply_mv: int | None
    load_mv: int | None
    current_ma: int | None
    power_w: int | None
    energy_wh: int | None


class ReadStatus(Value):
    """How many devices were read how lately; the oldest ages in milliseconds.

    `states` leaves out check meters, which have none.
    """

    states: dict[str, int]
    oldest_ms: int | None
    values: dict[str, int]
    values_oldest_ms: int | None


def state_quality(reading: Reading | None, limits: Limits, now: Now) -> Quality:
    """Whether the state may be gone by: GOOD is where the rule does not say STATE_UNKNOWN."""
    if reading is None or reading.state is SupplyState.UNKNOWN:
        return Quality.UNREAD
    old = now.mono_ms - reading.mono_ms > limits.state_age_max_ms
    return Quality.STALE if old else Quality.GOOD


def values_quality(reading: Reading | None, limits: Limits, now: Now) -> Quality:
    """Whether voltage, current, power and energy are what the site wants them to be."""
    if reading is None or reading.values_ms is None:
        return Quality.UNREAD
    old = now.mono_ms - reading.values_ms > ROUNDS_MISSED * limits.values_every_ms
    return Quality.STALE if old else Quality.GOOD


def readings_of(image: Image, now: Now) -> tuple[ReadingStatus, ...]:
    """What was last read of everybody, in the roster's order; then the check meters."""
    checks = (check.serial for check in image.check_meters.values())
    return tuple(_reading_status(serial, image, now) for serial in (*image.roster, *checks))


def read_status(readings: Iterable[ReadingStatus], image: Image) -> ReadStatus:
    """The counts of these readings."""
    every = tuple(readings)
    states = [one for one in every if one.meter in image.roster]
    return ReadStatus(
        states=_counts(one.quality for one in states),
        oldest_ms=_oldest(one.age_ms for one in states),
        values=_counts(one.values_quality for one in every),
        values_oldest_ms=_oldest(one.values_age_ms for one in every),
    )


def _reading_status(serial: str, image: Image, now: Now) -> ReadingStatus:
    reading = image.seen.get(serial)
    quality = state_quality(reading, image.limits, now)
    shown = reading or Reading(state=SupplyState.UNKNOWN, mono_ms=now.mono_ms)
    measured = None if shown.values_ms is None else now.mono_ms - shown.values_ms
    return ReadingStatus(
        meter=serial,
        state=shown.state,
        quality=quality,
        age_ms=None if quality is Quality.UNREAD else now.mono_ms - shown.mono_ms,
        values_quality=values_quality(reading, image.limits, now),
        values_age_ms=measured,
        supply_mv=shown.supply_mv,
        load_mv=shown.load_mv,
        current_ma=shown.current_ma,
        power_w=shown.power_w,
        energy_wh=shown.energy_wh,
    )


def _counts(qualities: Iterable[Quality]) -> dict[str, int]:
    found = {str(quality): 0 for quality in Quality}
    for quality in qualities:
        found[quality] += 1
    return found


def _oldest(ages_ms: Iterable[int | None]) -> int | None:
    return max((age_ms for age_ms in ages_ms if age_ms is not None), default=None)
