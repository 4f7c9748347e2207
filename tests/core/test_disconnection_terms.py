"""What the site document sets against disconnections: protected hours and days, the ceiling."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.disconnection import OpenVerdict
from gateway.core.fact import Outcome
from gateway.core.model import Reading, Serial
from gateway.core.orders import ReleaseForce
from gateway.core.records import OrderRefused, TaskIntended
from gateway.core.sequence import nonce_of
from gateway.core.terms import Disconnection, Window
from tests.core.cutting import (
    ANYTIME,
    CLOSED,
    M3,
    MONDAY,
    OPEN,
    begins,
    ended_as,
    forces,
    is_cut,
    lit,
    pays,
    sets_terms,
)
from tests.core.papers import HOUR_MS, M1, M2, MINUTE_MS, cut, meter, order
from tests.core.world import World
from tests.signing import sign_order

DAY_MS = 24 * HOUR_MS
MONDAY_MS = -(13 * HOUR_MS + 30 * MINUTE_MS)
"""When the local Monday began, from the tests' noon."""
ACCEPTED, PROTECTED = "ACCEPTED", "PROTECTED_TIME"


def local(clock: str, day: int = 0) -> int:
    """A local time like 14:00:00.000 so many days after Monday, from the tests' noon."""
    hours, minutes, seconds = clock.split(":")
    in_minute_ms = round(float(seconds) * 1_000)
    return MONDAY_MS + day * DAY_MS + int(hours) * HOUR_MS + int(minutes) * MINUTE_MS + in_minute_ms


def at(world: World, after_noon_ms: int, within_ms: int = 0) -> None:
    """It is so long after noon, give or take that much; M1 is read and the head end heard."""
    world.wait(after_noon_ms)
    wall_ms = world.now.wall_ms
    world.now = msgspec.structs.replace(
        world.now, wall_low_ms=wall_ms - within_ms, wall_high_ms=wall_ms + within_ms
    )
    freshens(world)


def freshens(world: World) -> None:
    """Every meter is read as it was, and the head end is heard."""
    world.hears()
    for serial in world.image.roster:
        known = world.image.kept.supply.get(serial)
        world.reads(serial, CLOSED if known is None else known.state)


def protects(*windows: tuple[int, str, str]) -> Disconnection:
    """Terms with these windows: weekday, start, end."""
    return Disconnection(
        protected=tuple(Window(weekdays=(day,), start=a, end=b) for day, a, b in windows)
    )


HOUR = protects((1, "14:00", "15:00"))
MINUTE = protects((1, "14:00", "14:01"))
NIGHT = protects((1, "22:00", "24:00"), (2, "00:00", "05:00"))
HOLIDAY = Disconnection(protected=(), protected_days=("2026-11-24",))
AT_TIMES: list[tuple[str, Disconnection, int, int, str]] = [
    ("just before the hour", HOUR, local("13:59:59.999"), 0, ACCEPTED),
    ("as the hour begins", HOUR, local("14:00:00.000"), 0, PROTECTED),
    ("as the hour ends", HOUR, local("14:59:59.999"), 0, PROTECTED),
    ("when the hour is over", HOUR, local("15:00:00.000"), 0, ACCEPTED),
    ("when the hour may not have begun", HOUR, local("13:59:59.000"), 999, ACCEPTED),
    ("when the hour may have begun", HOUR, local("13:59:59.000"), 1_000, PROTECTED),
    ("when the hour is certainly over", HOUR, local("15:00:01.000"), 1_000, ACCEPTED),
    ("when the hour may last still", HOUR, local("15:00:01.000"), 1_001, PROTECTED),
    ("when the hour lies in what is known", HOUR, local("14:30:00.000"), HOUR_MS, PROTECTED),
    ("when a minute lies in it", MINUTE, local("14:00:30.000"), 30_001, PROTECTED),
    ("when a minute may be now", MINUTE, local("13:59:30.000"), 45_000, PROTECTED),
    ("at that hour of another day", HOUR, local("14:30:00.000", 1), 0, ACCEPTED),
    ("at that hour a week later", HOUR, local("14:30:00.000", 7), 0, PROTECTED),
    ("before the night", NIGHT, local("21:59:59.999"), 0, ACCEPTED),
    ("as midnight comes", NIGHT, local("23:59:59.999"), 0, PROTECTED),
    ("when midnight has come", NIGHT, local("00:00:00.000", 1), 0, PROTECTED),
    ("in the morning", NIGHT, local("05:00:00.000", 1), 0, ACCEPTED),
    ("on the eve of a holiday", HOLIDAY, local("23:59:59.999"), 0, ACCEPTED),
    ("when it may be the holiday", HOLIDAY, local("23:59:59.999"), 1, PROTECTED),
    ("as the holiday begins", HOLIDAY, local("00:00:00.000", 1), 0, PROTECTED),
    ("as the holiday ends", HOLIDAY, local("23:59:59.999", 1), 0, PROTECTED),
    ("on the day after", HOLIDAY, local("00:00:00.000", 2), 0, ACCEPTED),
    ("when the day is known, where nothing is protected", ANYTIME, 0, 12 * HOUR_MS, ACCEPTED),
    ("when it is not, where nothing is protected", ANYTIME, 0, 12 * HOUR_MS + 1, PROTECTED),
    ("on Monday at 9, where nothing is set", Disconnection(), local("09:00:00.000", 7), 0,
     ACCEPTED),
    ("on Monday before 9", Disconnection(), local("08:59:59.999", 7), 0, PROTECTED),
    ("on Monday before 5", Disconnection(), local("16:59:59.999"), 0, ACCEPTED),
    ("on Monday at 5", Disconnection(), local("17:00:00.000"), 0, PROTECTED),
    ("on Saturday at noon", Disconnection(), local("12:00:00.000", 5), 0, ACCEPTED),
    ("on Sunday at noon", Disconnection(), local("12:00:00.000", 6), 0, PROTECTED),
]  # fmt: skip


@pytest.mark.parametrize(
    ("terms", "after_noon_ms", "within_ms", "answer"),
    [row[1:] for row in AT_TIMES],
    ids=[f"an order comes {row[0]}: {row[4]}" for row in AT_TIMES],
)
def test_by_a_trusted_clock(
    terms: Disconnection, after_noon_ms: int, within_ms: int, answer: str
) -> None:
    world = lit(M1, terms=terms)
    at(world, after_noon_ms, within_ms)
    assert world.ordered(cut(1)) == answer


OFFSETS: list[tuple[int, int, str, str]] = [
    (330, 1, "13:30", "2026-11-23"),
    (0, 1, "08:00", "2026-11-23"),
    (840, 1, "22:00", "2026-11-23"),
    (-480, 1, "00:00", "2026-11-23"),
    (-481, 7, "23:59", "2026-11-22"),
    (-840, 7, "18:00", "2026-11-22"),
]


@pytest.mark.parametrize(
    ("offset_min", "weekday", "clock", "day"),
    OFFSETS,
    ids=[f"{row[0]} minutes ahead of UTC it is {row[2]} of {row[3]}" for row in OFFSETS],
)
def test_local_time_is_that_of_the_site(
    offset_min: int, weekday: int, clock: str, day: str
) -> None:
    hours, minutes = (int(part) for part in clock.split(":"))
    following = divmod(hours * 60 + minutes + 1, 60)
    minute = Window(weekdays=(weekday,), start=clock, end=f"{following[0]:02}:{following[1]:02}")
    other = ({"2026-11-22", "2026-11-23"} - {day}).pop()
    a_minute_off = offset_min + (1 if offset_min < 0 else -1)
    for protected, days, offset, answer in (
        ((minute,), (), offset_min, PROTECTED),
        ((minute,), (), a_minute_off, ACCEPTED),
        ((), (day,), offset_min, PROTECTED),
        ((), (other,), offset_min, ACCEPTED),
    ):
        terms = Disconnection(protected=protected, protected_days=days, utc_offset_min=offset)
        world = lit(M1, terms=terms)
        at(world, 0)
        assert world.ordered(cut(1)) == answer


LIVES: list[tuple[str, int, int, str]] = [
    ("that ends before the hour", local("13:50:00.000"), local("13:59:59.999"), ACCEPTED),
    ("that ends in the hour", local("13:50:00.000"), local("14:00:00.000"), PROTECTED),
    ("that begins in the hour", local("14:59:59.999"), local("15:10:00.000"), PROTECTED),
    ("that begins after the hour", local("15:00:00.000"), local("15:10:00.000"), ACCEPTED),
    ("in the hour", local("14:10:00.000"), local("14:20:00.000"), PROTECTED),
]


@pytest.mark.parametrize(
    ("iat", "exp", "answer"),
    [row[1:] for row in LIVES],
    ids=[f"by an unknown clock an order with a life {row[0]}: {row[3]}" for row in LIVES],
)
def test_without_a_trusted_clock_the_whole_life_of_the_order_counts(
    iat: int, exp: int, answer: str
) -> None:
    # What the machine's calendar claims says nothing: it is in the hour, or it is not.
    for claimed in ("13:40:00.000", "14:30:00.000"):
        world = lit(M1, terms=HOUR)
        noon_ms = world.now.wall_ms
        world.trusts_no_clock()
        now_ms = noon_ms + local(claimed)
        world.now = msgspec.structs.replace(world.now, wall_ms=now_ms)
        paper = order(1, cut(1), iat=noon_ms + iat, exp=noon_ms + exp, boot=nonce_of(world.now))
        assert world.hand_in(sign_order(paper)) == answer


def test_an_hour_that_begins_between_order_decision_and_write_stops_it() -> None:
    world = lit(M1, M2, terms=HOUR)
    at(world, local("13:59:59.000"))
    assert world.ordered(cut(1, 2)) == ACCEPTED
    command = begins(world)
    reading = Reading(state=CLOSED, mono_ms=world.now.mono_ms, serial=Serial("M1"))
    assert world.may_write_open(reading) is OpenVerdict.PERMIT
    world.wait(1_000)
    assert world.may_write_open(reading) is OpenVerdict.PROTECTED_TIME
    assert world.plans().commands == ()
    assert ended_as(world) == (Outcome.REFUSED, PROTECTED)
    assert world.ends(command, Outcome.REFUSED, verdict=PROTECTED, writes=0)


def test_a_protected_hour_does_not_hinder_a_close() -> None:
    world = lit(M1, terms=HOUR)
    at(world, local("13:50:00.000"))
    is_cut(world, 1)
    pays(world)
    at(world, 20 * MINUTE_MS)
    assert begins(world).meter == M1


# --- the ceiling ---


def allows(hour_max: int) -> Disconnection:
    """Terms with a ceiling, and no pause between two openings."""
    return msgspec.structs.replace(ANYTIME, hour_max=hour_max, gap_ms=0)


def town(hour_max: int = 2) -> World:
    """Four homes with supply."""
    return lit(M1, M2, M3, meter(4), terms=allows(hour_max))


def test_the_ceiling_holds_for_an_hour_to_the_millisecond() -> None:
    world = town()
    is_cut(world, 1)
    world.wait(MINUTE_MS)
    is_cut(world, 2)
    world.wait(HOUR_MS - MINUTE_MS - 1)
    freshens(world)
    assert world.ordered(cut(3)) == "BULK_CEILING"
    world.wait(1)
    freshens(world)
    assert world.ordered(cut(3)) == ACCEPTED
    assert world.ordered(cut(4)) == "BULK_CEILING"


def test_what_waits_to_be_opened_counts() -> None:
    world = town()
    assert world.ordered(cut(1, 2)) == ACCEPTED
    assert world.ordered(cut(3)) == "BULK_CEILING"
    pays(world)
    begins(world)
    assert ended_as(world) == (Outcome.REFUSED, "NEWER_PAID")
    assert world.ordered(cut(3)) == ACCEPTED


def test_an_order_for_more_than_are_left_is_refused_as_a_whole() -> None:
    world = town()
    is_cut(world, 4)
    before, number = world.image.kept, world.image.number
    assert world.ordered(cut(1, 2)) == "BULK_CEILING"
    (record,) = (record for record, _ in world.journal if record.number > number)
    assert isinstance(record.body, OrderRefused)
    assert record.body.detail == "2 homes, 1 more are allowed within this hour"
    after = world.image.kept
    assert (after.words, after.tasks, after.proofs) == (before.words, before.tasks, before.proofs)
    assert world.plans().commands == ()


def test_a_ceiling_that_is_more_than_used_up_allows_none() -> None:
    world = town()
    is_cut(world, 3)
    is_cut(world, 4)
    sets_terms(world, hour_max=1)
    world.reads("M1", OPEN)
    # Nothing of it would move, but what is used up is used up.
    assert world.ordered(cut(1)) == "BULK_CEILING"


def test_one_home_against_which_something_stands_refuses_the_whole_order() -> None:
    world = town(9)
    pays(world)
    before = world.image.kept
    assert world.ordered(cut(2, 1, 3)) == "NEWER_PAID"
    after = world.image.kept
    assert (after.words, after.tasks, after.proofs) == (before.words, before.tasks, before.proofs)


def test_releases_and_openings_have_one_ceiling() -> None:
    world = town()
    for one in (M1, M2):
        forces(world, one)
    assert world.ordered(ReleaseForce(meters=("M1",))) == ACCEPTED
    assert world.ends(begins(world))
    assert world.ordered(cut(3, 4)) == "BULK_CEILING"
    assert world.ordered(cut(3)) == ACCEPTED
    assert world.ordered(ReleaseForce(meters=("M2",))) == "BULK_CEILING"


def test_an_opening_that_was_not_needed_does_not_count_once_that_is_known() -> None:
    world = town()
    world.reads("M4", OPEN)
    assert world.ordered(cut(4)) == ACCEPTED
    refused = Outcome.REFUSED
    assert world.ends(begins(world), refused, verdict="ALREADY_DISCONNECTED", writes=0)
    assert world.ordered(cut(1, 2)) == ACCEPTED


def test_a_ceiling_that_is_lowered_meanwhile_holds_for_those_who_wait() -> None:
    world = town()
    assert world.ordered(cut(1, 2)) == ACCEPTED
    sets_terms(world, gap_ms=1_000)
    begins(world)
    sets_terms(world, hour_max=1)
    assert world.plans().commands == ()
    assert ended_as(world) == (Outcome.REFUSED, "BULK_CEILING")


def reboots(world: World, mono_ms: int) -> None:
    """The machine has started anew; so much later meters are read and the head end heard."""
    world.reboots()
    world.wait(mono_ms - world.now.mono_ms)
    freshens(world)


def test_openings_of_an_earlier_boot_are_counted_by_two_trusted_calendars() -> None:
    world = town(1)
    is_cut(world, 1)
    world.wait(40 * MINUTE_MS)
    reboots(world, 20 * MINUTE_MS)
    world.wait(21_000 - 1)
    freshens(world)
    assert world.ordered(cut(2)) == "BULK_CEILING"
    world.wait(1)
    freshens(world)
    assert world.ordered(cut(2)) == ACCEPTED


def test_without_them_openings_of_an_earlier_boot_count_for_the_first_hour_of_this_one() -> None:
    world = town(1)
    is_cut(world, 1)
    world.wait(40 * MINUTE_MS)
    world.trusts_no_clock()
    reboots(world, HOUR_MS - 1)
    assert world.ordered(cut(2)) == "BULK_CEILING"
    world.wait(1)
    freshens(world)
    assert world.ordered(cut(2)) == ACCEPTED


wishes = st.lists(
    st.tuples(
        st.frozensets(st.integers(1, 4), min_size=1),
        st.sampled_from([0, 1_000, 10 * MINUTE_MS, 30 * MINUTE_MS, HOUR_MS - 1, HOUR_MS]),
        st.booleans(),
    ),
    max_size=12,
)


@settings(max_examples=50, deadline=None)
@given(wishes, st.integers(1, 4))
def test_in_no_rolling_hour_are_there_more_openings_than_the_ceiling(
    asked: list[tuple[frozenset[int], int, bool]], hour_max: int
) -> None:
    world = town(hour_max)
    for at_n, (numbers, wait_ms, lights) in enumerate(asked):
        world.ordered(cut(*sorted(numbers), n=100 + at_n))
        for command in world.plans().commands:
            world.ends(command, state=OPEN)
        for number in numbers if lights else ():
            world.reads(f"M{number}", CLOSED)  # by other means
        world.wait(wait_ms)
        freshens(world)
    began = [r.mono_ms for r, _ in world.journal if isinstance(r.body, TaskIntended)]
    for first, beyond in zip(began, began[hour_max:], strict=False):
        assert beyond - first >= HOUR_MS


def test_a_local_day_of_the_tests_is_a_monday() -> None:
    world = lit(M1, terms=Disconnection(protected=(), protected_days=(MONDAY,)))
    assert world.ordered(cut(1)) == PROTECTED
