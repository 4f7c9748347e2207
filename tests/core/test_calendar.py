"""Local time against the calendar of the standard library, over all instants that may come."""

from calendar import monthrange
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.calendar import LocalTime, is_day, local_time

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime(2400, 12, 31, tzinfo=UTC)
MINUTE_MS = 60_000
DAY_MS = 1_440 * MINUTE_MS
LAST_MS = int((END - EPOCH).total_seconds() * 1_000)
instants = st.integers(DAY_MS, LAST_MS)
offsets = st.integers(-840, 840)


def by_the_library(wall_ms: int, offset_min: int) -> LocalTime:
    local = EPOCH + timedelta(milliseconds=wall_ms, minutes=offset_min)
    return LocalTime(
        day=local.strftime("%Y-%m-%d"),
        weekday=local.isoweekday(),
        minute=local.hour * 60 + local.minute,
    )


@given(instants, offsets)
def test_any_instant_anywhere(wall_ms: int, offset_min: int) -> None:
    assert local_time(wall_ms, offset_min) == by_the_library(wall_ms, offset_min)


@given(st.integers(1, LAST_MS // DAY_MS), offsets)
@example(day=(datetime(2000, 2, 29, tzinfo=UTC) - EPOCH).days, offset_min=0)
@example(day=(datetime(2027, 1, 1, tzinfo=UTC) - EPOCH).days, offset_min=330)
@example(day=(datetime(2029, 1, 1, tzinfo=UTC) - EPOCH).days, offset_min=330)
@example(day=(datetime(2100, 3, 1, tzinfo=UTC) - EPOCH).days, offset_min=330)
@example(day=(datetime(2369, 12, 31, tzinfo=UTC) - EPOCH).days, offset_min=0)
@example(day=(datetime(2370, 1, 1, tzinfo=UTC) - EPOCH).days, offset_min=0)
@example(day=(datetime(2400, 3, 1, tzinfo=UTC) - EPOCH).days, offset_min=0)
def test_the_edges_of_a_local_day(day: int, offset_min: int) -> None:
    midnight_ms = day * DAY_MS - offset_min * MINUTE_MS
    for wall_ms in (midnight_ms - 1, midnight_ms, midnight_ms + MINUTE_MS):
        assert local_time(wall_ms, offset_min) == by_the_library(wall_ms, offset_min)
    assert local_time(midnight_ms, offset_min).minute == 0
    assert local_time(midnight_ms - 1, offset_min).minute == 1_439


@given(st.integers(2000, 2099), st.integers(0, 99), st.integers(0, 99))
def test_a_day_that_there_is(year: int, month: int, day: int) -> None:
    there_is = 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]
    assert is_day(f"{year}-{month:02}-{day:02}") is there_is


DAYS = {
    "2028-02-29": True,
    "2027-01-01": True,
    "2027-02-29": False,
    "2000-02-29": True,
    "2027-02-28": True,
    "2027-04-31": False,
    "2027-12-31": True,
    "2027-12-00": False,
    "2027-00-10": False,
    "2027-13-10": False,
}


@pytest.mark.parametrize(("text", "there_is"), DAYS.items())
def test_whether_a_text_names_a_day(text: str, there_is: bool) -> None:
    assert is_day(text) is there_is


def test_every_month_of_every_kind_of_year() -> None:
    for year in (2026, 2027, 2028, 2000):
        for month in range(1, 13):
            last = monthrange(year, month)[1]
            assert is_day(f"{year}-{month:02}-{last}")
            assert not is_day(f"{year}-{month:02}-{last + 1}")
