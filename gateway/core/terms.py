"""The terms under which this gateway acts: what the site document sets beside its roster.

Owns the limits, paces, windows and grants of a site, with the defaults that hold where it is
silent. Must never decide anything: `pacing`, `grace`, `reconnection` and `disconnection` do.

A default is the careful one: what acts against a consumer is narrow, grace is off.
"""

from typing import Annotated

import msgspec

from gateway.core.model import IdText, ProfileName, SerialText, Value

DAY_MINUTES = 1_440
WEEK = range(1, 8)
"""Monday is 1 and Sunday is 7 (ISO 8601)."""

Ceiling = Annotated[int, msgspec.Meta(ge=1, le=10_000)]


class Pacing(Value):
    """How fast a returning feeder may be loaded (cold load pick-up)."""

    first_alone_ms: Annotated[int, msgspec.Meta(ge=0, le=600_000)] = 5_000
    """The first close of a DT is alone, and observed for this long from its write on."""
    gap_ms: Annotated[int, msgspec.Meta(ge=0, le=600_000)] = 2_000
    """Between two closes on one DT after the first, before jitter."""
    jitter_percent: Annotated[int, msgspec.Meta(ge=0, le=90)] = 50
    """Each gap is longer or shorter by up to this share, so that DTs do not fall into step."""
    dt_minute_max: Ceiling = 60
    """Closes on one DT in any 60 s."""
    feeder_minute_max: Ceiling = 60
    """Closes on one feeder in any 60 s."""
    minute_max: Ceiling = 60
    """Closes of the whole gateway in any 60 s."""
    quiet_ms: Annotated[int, msgspec.Meta(ge=0, le=86_400_000)] = 900_000
    """A DT on which nothing was closed for this long counts as unobserved again."""
    failures_max: Annotated[int, msgspec.Meta(ge=1, le=10)] = 2
    """So many meters of a DT whose close failed unexplained, among its last ten: it is stopped."""
    cool_down_ms: Annotated[int, msgspec.Meta(ge=1_000, le=86_400_000)] = 600_000
    """A stopped DT goes on by itself after this long."""
    undervoltage_percent: Annotated[int, msgspec.Meta(ge=50, le=99)] = 90
    """A DT whose check meter reads less than this share of the nominal voltage is stopped."""
    nominal_mv: Annotated[int, msgspec.Meta(ge=100_000, le=260_000)] = 230_000
    """Nominal voltage between phase and neutral (IS 12360: 230 V)."""


class Limits(Value):
    """Ages and counts that the one rule compares with."""

    state_age_max_ms: Annotated[int, msgspec.Meta(ge=1_000, le=3_600_000)] = 120_000
    values_every_ms: Annotated[int, msgspec.Meta(ge=5_000, le=86_400_000)] = 30_000
    """Voltage, current, power and energy are read so often, as far as the bus has time for it."""
    retrip_max: Annotated[int, msgspec.Meta(ge=1, le=20)] = 3
    """Closed so many times within an hour and open again: RETRIPPED."""
    promise_ms: Annotated[int, msgspec.Meta(ge=60_000, le=86_400_000)] = 1_200_000
    """Supply is promised within this time of the proof of payment: 20 minutes."""
    compensation_ms: Annotated[int, msgspec.Meta(ge=60_000, le=604_800_000)] = 7_200_000
    """Supply not back within this time of a sufficient payment is compensated: two hours."""


class Window(Value):
    """A part of the week in which nobody is cut, in local time; it ends on the day it begins.

    A night is two windows: up to midnight, and from midnight on.
    """

    weekdays: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=1, le=7)], ...],
        msgspec.Meta(min_length=1, max_length=7),
    ]
    start: Annotated[str, msgspec.Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]\Z")]
    end: Annotated[str, msgspec.Meta(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)\Z")]

    @property
    def start_minute(self) -> int:
        """Minutes since midnight."""
        return _minute(self.start)

    @property
    def end_minute(self) -> int:
        """Minutes since midnight; 1440 is the midnight that ends the day."""
        return _minute(self.end)


WORKING_WEEK = (1, 2, 3, 4, 5, 6)
NIGHTS_AND_SUNDAYS = (
    Window(weekdays=WORKING_WEEK, start="00:00", end="09:00"),
    Window(weekdays=WORKING_WEEK, start="17:00", end="24:00"),
    Window(weekdays=(7,), start="00:00", end="24:00"),
)


class Disconnection(Value):
    """What stands against every disconnection of this site, whoever signs it."""

    hour_max: Ceiling = 20
    """Openings in any rolling hour. An order for more than are left is refused as a whole."""
    gap_ms: Annotated[int, msgspec.Meta(ge=0, le=600_000)] = 2_000
    """Between two openings."""
    protected: Annotated[tuple[Window, ...], msgspec.Meta(max_length=64)] = NIGHTS_AND_SUNDAYS
    """Local times of the week in which nobody is cut."""
    protected_days: Annotated[
        tuple[Annotated[str, msgspec.Meta(pattern=r"^20[0-9]{2}-[0-9]{2}-[0-9]{2}\Z")], ...],
        msgspec.Meta(max_length=400),
    ] = ()
    """Local days on which nobody is cut: holidays, election days. ISO 8601."""
    utc_offset_min: Annotated[int, msgspec.Meta(ge=-840, le=840)] = 330
    """Local time is so many minutes ahead of UTC; India has 330 and no summer time."""


class Grace(Value):
    """Supply without proof of payment while the head end is silent."""

    after_h: Annotated[int, msgspec.Meta(ge=1, le=720)]
    """The head end has been silent for longer than this."""
    cut_within_days: Annotated[int, msgspec.Meta(ge=1, le=365)]
    """Only who was cut for arrears at most so long ago."""
    daily_max: Ceiling
    """Meters in any rolling 24 h."""
    hours: Annotated[int, msgspec.Meta(ge=1, le=720)]
    """For so long. Afterwards the head end decides: nothing is taken back here."""


class CheckMeter(Value):
    """A meter on the transformer itself, which only measures: is the voltage still sound?"""

    serial: SerialText
    profile: ProfileName
    bus: IdText
    unit: Annotated[int, msgspec.Meta(ge=1, le=247)]


class Transformer(Value):
    """What is said of one DT, beside the meters that stand on it."""

    id: IdText
    feeder: IdText | None = None
    """Where the gateway serves more than one; otherwise the site's feeder."""
    check_meter: CheckMeter | None = None


def _minute(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)
