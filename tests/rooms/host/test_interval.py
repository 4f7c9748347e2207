"""What is certain of the time, whom to believe about the rest, and how both age."""

import msgspec
import pytest

from gateway.core.kept import TimeBound
from gateway.core.model import Now, TimeSource
from gateway.host.interval import (
    DRIFT_PPM,
    JUMP_MAX_MS,
    NETWORK_MARGIN_MS,
    RTC_MARGIN_MS,
    Bounds,
    Heard,
    Reckoning,
    bounded,
    drift_ms,
    interval,
    present,
    raised,
    reckoning,
    reset,
)

DAY_MS = 86_400_000
BUILT_MS = 1_795_420_800_000
FAR_MS = BUILT_MS + 400 * DAY_MS
NETWORK, RTC, DOCUMENT, NONE = (
    TimeSource.NETWORK,
    TimeSource.RTC,
    TimeSource.DOCUMENT,
    TimeSource.NONE,
)
Said = tuple[TimeSource, int, int]
"""A source, and from and until when it says that it is, counted from what is certain."""
ANSWERS: list[tuple[str, list[Said], tuple[int, int | None, TimeSource]]] = [
    ("nobody", [], (0, None, NONE)),
    ("one", [(RTC, 5, 9)], (5, 9, RTC)),
    ("one who does not know that it is so late", [(RTC, -5, 9)], (0, 9, RTC)),
    ("one who thinks it just that late", [(RTC, -5, 0)], (0, 0, RTC)),
    ("one who thinks it earlier", [(RTC, -5, -1)], (0, None, NONE)),
    ("one who thinks it 400 days later", [(NETWORK, 100, 101)], (100, 101, NETWORK)),
    ("one who thinks it later still", [(NETWORK, 101, 102)], (0, None, NONE)),
    ("a battery that thinks it later still", [(RTC, 101, 102)], (0, None, NONE)),
    ("a document that says so", [(DOCUMENT, 101, 102)], (101, 102, DOCUMENT)),
    ("a better one first", [(NETWORK, 5, 9), (RTC, 4, 10)], (5, 9, NETWORK)),
    ("a worse one that knows better", [(DOCUMENT, 4, 10), (RTC, 5, 9)], (5, 9, DOCUMENT)),
    ("two that overlap", [(NETWORK, 5, 9), (RTC, 7, 12)], (7, 9, NETWORK)),
    ("two that touch", [(NETWORK, 5, 9), (RTC, 9, 12)], (9, 9, NETWORK)),
    ("a worse one that is later", [(NETWORK, 5, 9), (RTC, 10, 12)], (5, 9, NETWORK)),
    ("a worse one that is earlier", [(NETWORK, 5, 9), (RTC, 2, 4)], (5, 9, NETWORK)),
    ("the worst with the first", [(NETWORK, 5, 9), (DOCUMENT, 1, 2), (RTC, 6, 8)],
     (6, 8, NETWORK)),
    ("a worse one where the better lies", [(NETWORK, 101, 102), (RTC, 5, 9)], (5, 9, RTC)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "bounds"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS]
)
def test_of_the_sources_is_believed(
    said: list[Said], bounds: tuple[int, int | None, TimeSource]
) -> None:
    answers = (Bounds(source=source, low_ms=low, high_ms=high) for source, low, high in said)
    assert interval(0, 100, *answers) == bounds


@pytest.mark.parametrize(
    ("elapsed_ms", "drift"), [(0, 0), (1, 1), (5_000, 1), (5_001, 2), (DAY_MS, 17_280)]
)
def test_the_boot_clock_may_be_wrong_by_200_ppm_rounded_up(elapsed_ms: int, drift: int) -> None:
    assert DRIFT_PPM == 200
    assert drift_ms(elapsed_ms) == drift


def known() -> Reckoning:
    """A gateway that was built, and knows nothing else; it has just booted."""
    return reckoning("boot-1", BUILT_MS, 0)


def at(mono_ms: int, claimed_ms: int = 0, **heard: int | bool) -> Heard:
    """What the machine says; without more its calendar says 1970 and nobody answers for it."""
    return msgspec.convert({"mono_ms": mono_ms, "claimed_ms": claimed_ms, **heard}, Heard)


def now(of: Reckoning, heard: Heard) -> Now:
    return present(of, heard)[0]


def bounds(of: Now) -> tuple[int, int | None, TimeSource]:
    """Of a present, counted from the day of the build."""
    high_ms = None if of.wall_high_ms is None else of.wall_high_ms - BUILT_MS
    return of.wall_low_ms - BUILT_MS, high_ms, of.source


def test_what_is_certain_grows_a_little_slower_than_the_boot_clock() -> None:
    # A boot clock that runs fast must not overtake the truth, however long nobody answers.
    year_ms = 365 * DAY_MS
    assert bounds(now(known(), at(year_ms))) == (year_ms - 6_307_200, None, NONE)


def test_what_somebody_says_counts_where_it_is_news() -> None:
    told = raised(known(), BUILT_MS + DAY_MS, 1_000)
    assert bounds(now(told, at(1_000))) == (DAY_MS, None, NONE)
    assert raised(told, BUILT_MS + DAY_MS, 1_000) == told
    assert raised(told, BUILT_MS + DAY_MS + 500, 2_000) == told


def test_a_reset_forgets_all_but_the_day_of_the_build() -> None:
    told = raised(known(), FAR_MS, 1_000)
    assert bounds(now(reset(told, BUILT_MS + DAY_MS, 2_000), at(2_000))) == (DAY_MS, None, NONE)
    assert bounds(now(reset(told, 5, 2_000), at(2_000))) == (0, None, NONE)


CALENDARS: list[tuple[str, int, bool]] = [
    ("1970", 0, False),
    ("a moment too early", BUILT_MS - NETWORK_MARGIN_MS - 1, False),
    ("as early as it may be", BUILT_MS - NETWORK_MARGIN_MS, True),
    ("today", BUILT_MS + DAY_MS, True),
    ("as late as it may be", FAR_MS + NETWORK_MARGIN_MS, True),
    ("a moment too late", FAR_MS + NETWORK_MARGIN_MS + 1, False),
    ("2038", 2_147_483_648_000, False),
    ("in ten years", BUILT_MS + 3_653 * DAY_MS, False),
]


@pytest.mark.parametrize(
    ("claimed_ms", "believed"),
    [row[1:] for row in CALENDARS],
    ids=[f"{row[0]}: {'believed' if row[2] else 'not believed'}" for row in CALENDARS],
)
def test_a_calendar_behind_which_a_time_daemon_stands(claimed_ms: int, *, believed: bool) -> None:
    said = now(known(), at(0, claimed_ms, disciplined=True))
    if believed:
        assert said.wall_low_ms == max(BUILT_MS, claimed_ms - NETWORK_MARGIN_MS)
        assert said.wall_high_ms == claimed_ms + NETWORK_MARGIN_MS
    else:
        assert bounds(said) == (0, None, NONE)
    assert bounds(now(known(), at(0, claimed_ms))) == (0, None, NONE)


BATTERIES: list[tuple[str, int, int, bool]] = [
    ("alike", DAY_MS, DAY_MS, True),
    ("the calendar five minutes ahead", DAY_MS + RTC_MARGIN_MS, DAY_MS, True),
    ("the calendar five minutes behind", DAY_MS - RTC_MARGIN_MS, DAY_MS, True),
    ("the calendar further ahead", DAY_MS + RTC_MARGIN_MS + 1, DAY_MS, False),
    ("the calendar further behind", DAY_MS - RTC_MARGIN_MS - 1, DAY_MS, False),
    ("both in 1970", -BUILT_MS, -BUILT_MS, False),
    ("both in ten years", 3_653 * DAY_MS, 3_653 * DAY_MS, False),
]


@pytest.mark.parametrize(
    ("claimed_ms", "rtc_ms", "believed"),
    [row[1:] for row in BATTERIES],
    ids=[f"{row[0]}: {'believed' if row[3] else 'not believed'}" for row in BATTERIES],
)
def test_a_calendar_beside_a_battery_clock(claimed_ms: int, rtc_ms: int, *, believed: bool) -> None:
    said = now(known(), at(0, BUILT_MS + claimed_ms, rtc_ms=BUILT_MS + rtc_ms))
    if believed:
        assert bounds(said) == (rtc_ms - RTC_MARGIN_MS, rtc_ms + RTC_MARGIN_MS, RTC)
    else:
        assert bounds(said) == (0, None, NONE)


BOUND = TimeBound(
    boot="boot-1", mono_ms=1_000, low_ms=BUILT_MS + DAY_MS, high_ms=BUILT_MS + DAY_MS + 900
)


def test_a_time_document_grows_on_both_sides() -> None:
    said = now(bounded(known(), BOUND), at(1_000 + DAY_MS))
    assert bounds(said) == (2 * DAY_MS - 17_280, 2 * DAY_MS + 900 + 17_280 + 180, DOCUMENT)


def test_a_time_document_counts_in_its_boot_alone_and_until_it_is_taken_back() -> None:
    other = msgspec.structs.replace(BOUND, boot="boot-0")
    assert bounds(now(bounded(known(), other), at(1_000))) == (999, None, NONE)
    assert not now(bounded(bounded(known(), BOUND), None), at(1_000)).trusted


def test_what_a_trusted_source_said_stays_certain_when_it_falls_silent() -> None:
    _, later = present(known(), at(1_000, BUILT_MS + DAY_MS, disciplined=True))
    assert bounds(now(later, at(6_000))) == (DAY_MS - NETWORK_MARGIN_MS + 4_999, None, NONE)


def test_a_server_that_lies_by_days_does_not_climb_to_years_on_its_own_word() -> None:
    climbing, believed_ms = known(), BUILT_MS
    for step in range(1, 11):
        said, climbing = present(
            climbing, at(step * 1_000, BUILT_MS + step * 399 * DAY_MS, disciplined=True)
        )
        # The engine tells the clock what the records of the tick said.
        climbing = raised(climbing, said.wall_low_ms, step * 1_000)
        believed_ms = said.wall_low_ms
    assert believed_ms <= BUILT_MS + JUMP_MAX_MS + 10_000


CLAIMS: list[tuple[str, int, int]] = [
    ("before what is certain", 0, 0),
    ("within the bounds", DAY_MS + 500, DAY_MS + 500),
    ("after the bounds", 3_653 * DAY_MS, DAY_MS + 900 + 180),
]


@pytest.mark.parametrize(
    ("claimed_ms", "said_ms"), [row[1:] for row in CLAIMS], ids=[row[0] for row in CLAIMS]
)
def test_the_calendars_claim_is_brought_within_the_bounds(claimed_ms: int, said_ms: int) -> None:
    of = bounded(raised(known(), BOUND.low_ms, 1_000), BOUND)
    said = now(of, at(1_000, BUILT_MS + claimed_ms)).wall_ms
    assert said - BUILT_MS == max(said_ms, DAY_MS)


def test_without_an_upper_bound_a_calendar_that_is_ahead_stays_a_claim() -> None:
    assert now(known(), at(0, BUILT_MS + 3_653 * DAY_MS)).wall_ms == BUILT_MS + 3_653 * DAY_MS
