"""The calendar: local weekday, day and minute of an instant, in the proleptic Gregorian calendar.

Owns the arithmetic (ISO 8601: Monday is 1). Must never know what day it is: an instant is handed in
as milliseconds UTC since 1970.
"""

from gateway.core.model import Value

DAY_MS = 86_400_000
MINUTE_MS = 60_000
CYCLE_DAYS = 146_097
"""Days of 400 years, after which the calendar repeats itself."""
MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class LocalTime(Value):
    """A minute of a local day."""

    day: str
    """ISO 8601, as 2027-01-26."""
    weekday: int
    """Monday is 1 and Sunday is 7."""
    minute: int
    """Since local midnight."""


def local_time(wall_ms: int, utc_offset_min: int) -> LocalTime:
    """The local time of an instant, so many minutes ahead of UTC."""
    days, in_day_ms = divmod(wall_ms + utc_offset_min * MINUTE_MS, DAY_MS)
    # 1 January 1970 was a Thursday.
    return LocalTime(day=_day(days), weekday=(days + 3) % 7 + 1, minute=in_day_ms // MINUTE_MS)


def is_day(text: str) -> bool:
    """Whether a text like 2027-02-29 names a day that there is."""
    year, month, day = (int(part) for part in text.split("-"))
    return 1 <= month <= 12 and 1 <= day <= _month_days(year, month)


def _day(days: int) -> str:
    year = 1970 + days // CYCLE_DAYS * 400
    days %= CYCLE_DAYS
    while days >= _year_days(year):
        days -= _year_days(year)
        year += 1
    month = 1
    while days >= _month_days(year, month):
        days -= _month_days(year, month)
        month += 1
    return f"{year:04}-{month:02}-{days + 1:02}"


def _leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _year_days(year: int) -> int:
    return 366 if _leap(year) else 365


def _month_days(year: int, month: int) -> int:
    return 29 if month == 2 and _leap(year) else MONTH_DAYS[month - 1]
