"""Clock histories through the whole core: what years, lies and dead batteries do to consumers.

Whoever has paid is never refused for age or clock; nobody is cut by a list or a clock of which
nothing is known.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.disconnection import OpenVerdict
from gateway.core.kept import DAY_MS
from gateway.core.model import TimeSource, Value
from gateway.core.reconnection import Verdict
from gateway.core.sequence import echo_age_ms
from tests.core.clock_stories import (
    NONE,
    STORIES,
    TEN_YEARS_MS,
    TO_1970_MS,
    TO_2038_MS,
    Story,
    after,
)
from tests.core.clocked import M3, YEAR_MS, ClockedWorld
from tests.core.papers import HOUR_MS, M1, M2, MINUTE_MS

each_story = pytest.mark.parametrize(
    ("story", "source"), [row[1:] for row in STORIES], ids=[row[0] for row in STORIES]
)
each_crystal = pytest.mark.parametrize("ppm", [-150, 0, 150], ids=["slow", "true", "fast"])


@each_crystal
@each_story
def test_after_any_story_whoever_has_paid_may_come_back(
    story: Story, source: TimeSource, ppm: int
) -> None:
    world = after(story, ppm)
    assert world.now.source is source
    assert world.rules(M2).verdict is Verdict.PERMIT
    assert world.has_paid() == "ACCEPTED"
    assert world.rules(M1).verdict is Verdict.PERMIT
    assert world.is_listed() == "ACCEPTED"
    assert world.rules(M1).verdict is Verdict.PERMIT


@each_crystal
@each_story
def test_after_any_story_the_truth_lies_within_the_bounds(
    story: Story, source: TimeSource, ppm: int
) -> None:
    world = after(story, ppm)
    assert world.now.wall_low_ms <= world.truth_ms
    assert world.now.trusted is (source is not NONE)
    if world.now.wall_high_ms is not None:
        assert world.truth_ms <= world.now.wall_high_ms


@each_story
def test_after_any_story_a_stale_list_cuts_nobody(story: Story, source: TimeSource) -> None:
    world = after(story)
    world.passes(4 * DAY_MS)
    assert world.is_ordered_cut(echo=world.nonce) == "LIST_STALE"
    assert world.is_ordered_cut() in {"LIST_STALE", "CLOCK_UNKNOWN"}


@each_story
def test_after_any_story_an_unknown_clock_cuts_nobody_unless_it_is_asked(
    story: Story, source: TimeSource
) -> None:
    world = after(story)
    assert world.is_listed() == "ACCEPTED"
    unasked = "CLOCK_UNKNOWN" if source is NONE else "ACCEPTED"
    assert world.is_ordered_cut() == unasked
    assert world.is_listed() == "ACCEPTED"
    assert world.is_ordered_cut(echo=world.nonce) == "ACCEPTED"


# --- any history ---


class Passes(Value):
    """The machine runs on."""

    ms: int


class LiesOff(Value):
    """The machine is without power, and boots with some calendar."""

    ms: int
    ahead_ms: int


class Jumps(Value):
    """Somebody sets the calendar."""

    ahead_ms: int


class Daemon(Value):
    """The time daemon is synchronised with some server."""

    ahead_ms: int


class Battery(Value):
    """The machine boots with a battery clock."""

    ahead_ms: int


class Restarts(Value):
    """The process alone starts anew."""


class Told(Value):
    """A time document comes, so long after the nonce was read."""

    delay_ms: int


class Listed(Value):
    """A list comes."""


class Paid(Value):
    """A receipt comes that is good for just this instant, or longer."""

    lives_ms: int


class Cut(Value):
    """An order to cut A3 comes, with or without an echo, and is carried out if it may be."""

    echo: bool


Step = Passes | LiesOff | Jumps | Daemon | Battery | Restarts | Told | Listed | Paid | Cut
DAYS = st.integers(0, 400).map(lambda days: days * DAY_MS)
FAR = st.sampled_from([TO_1970_MS, TO_2038_MS, TEN_YEARS_MS, -TEN_YEARS_MS, 401 * DAY_MS])
"""Lies that nobody believes; smaller ones of a trusted source are beyond what can be told."""
ANY = FAR | st.integers(-500, 500).map(lambda days: days * DAY_MS)
NEAR = st.integers(-4 * MINUTE_MS, 4 * MINUTE_MS)
steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(Passes, ms=st.sampled_from([0, 1_000, MINUTE_MS, HOUR_MS, DAY_MS]) | DAYS),
    st.builds(LiesOff, ms=DAYS, ahead_ms=ANY),
    st.builds(Jumps, ahead_ms=ANY),
    st.builds(Daemon, ahead_ms=FAR | st.integers(-15_000, 15_000)),
    st.builds(Battery, ahead_ms=FAR | NEAR),
    st.just(Restarts()),
    st.builds(Told, delay_ms=st.integers(0, 14 * MINUTE_MS)),
    st.just(Listed()),
    st.builds(Paid, lives_ms=st.sampled_from([0, DAY_MS, YEAR_MS])),
    st.builds(Cut, echo=st.booleans()),
)


def rest_ms(world: ClockedWorld, step: LiesOff) -> int:
    """For how long it can be off until it has been so for 400 days.

    From the last record's word on: that is what outlives a power cut.
    """
    return max(0, min(step.ms, 401 * DAY_MS - world.kept_lag_ms))


def take(world: ClockedWorld, step: Step) -> None:
    """Let one step happen, and see what a paid consumer and one to be cut meet with."""
    match step:
        case Passes():
            world.passes(step.ms)
        case LiesOff():
            world.lies_off(rest_ms(world, step), step.ahead_ms)
        case Jumps():
            world.calendar_jumps(step.ahead_ms)
        case Daemon():
            world.daemon_answers(step.ahead_ms)
        case Battery():
            world.battery_answers(step.ahead_ms)
            world.boots(step.ahead_ms)
        case Restarts():
            world.process_restarts()
        case Told():
            assert world.is_told_the_time(delay_ms=step.delay_ms) == "ACCEPTED"
        case Listed():
            assert world.is_listed() == "ACCEPTED"
        case Paid():
            assert world.has_paid(lives_ms=step.lives_ms) == "ACCEPTED"
        case Cut():
            known, stale = world.now.trusted or step.echo, world.stale()
            word = world.is_ordered_cut(echo=world.nonce if step.echo else None)
            assert word == "ACCEPTED" or stale or not known
            assert word != "ACCEPTED" or (known and not stale)


def may_cut_a3(world: ClockedWorld) -> bool:
    """Whether an order to cut A3 waits, against which nothing stands but its turn."""
    if "M3" not in world.image.kept.tasks:
        return False
    return world.may_open(M3).verdict in {OpenVerdict.PERMIT, OpenVerdict.PACED}


def is_cut_only_by_a_known_clock_and_a_fresh_list(world: ClockedWorld) -> None:
    if not may_cut_a3(world):
        return
    task, in_force = world.image.kept.tasks["M3"], world.image.kept.list_in_force
    assert world.now.trusted or echo_age_ms(task.boot, world.now) is not None
    assert in_force is not None
    assert task.iat <= in_force.stale_after
    assert task.iat <= world.truth_ms <= task.exp


@given(history=st.lists(steps, max_size=25), ppm=st.sampled_from([-150, 0, 150]))
def test_in_no_history_is_a_paid_consumer_refused_for_age_or_clock(
    history: list[Step], ppm: int
) -> None:
    world = ClockedWorld(ppm=ppm)
    assert world.is_listed() == "ACCEPTED"
    assert world.has_paid() == "ACCEPTED"
    for step in history:
        take(world, step)
        is_cut_only_by_a_known_clock_and_a_fresh_list(world)
        assert world.now.wall_low_ms <= world.truth_ms
        assert world.rules(M1).verdict is Verdict.PERMIT
        assert world.rules(M2).verdict is Verdict.PERMIT
    assert world.has_paid() == "ACCEPTED"
