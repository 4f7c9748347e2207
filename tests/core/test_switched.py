"""What a close, an opening or a release leaves behind: marks, trials, setbacks, causes."""

import pytest

from gateway.core.fact import Outcome, Why
from gateway.core.model import SupplyState
from gateway.core.records import CloseEnded
from gateway.core.switched import TRIALS
from tests.core.cutting import lit
from tests.core.papers import HOUR_MS, M1, M2, cut
from tests.core.told import begins, ends
from tests.core.world import World, dark_and_paid

OPEN, CLOSED = SupplyState.DISCONNECTED, SupplyState.CONNECTED


def test_an_unfinished_close_outlives_the_roster_until_its_outcome_is_known() -> None:
    world = dark_and_paid(M1, M2)
    world.plans()
    command = world.commands.pop()
    world.site(M2)
    assert set(world.image.kept.closings) == {"M1"}
    assert world.ends(command, state=CLOSED)
    assert not world.image.kept.closings
    assert world.image.kept.ended["M1"].dt == ""
    assert "M1" not in world.image.kept.supply


@pytest.mark.parametrize(
    ("outcome", "done"),
    [
        (Outcome.CLOSED_VERIFIED, True),
        (Outcome.CLOSED_UNVERIFIED, True),
        (Outcome.ARMED, True),
        (Outcome.REFUSED, False),
        (Outcome.FAILED, False),
        (Outcome.UNKNOWN, False),
    ],
)
def test_an_outcome_is_either_a_close_or_a_setback(outcome: Outcome, done: bool) -> None:
    world = dark_and_paid(M1)
    world.plans()
    assert set(world.image.kept.closings) == {"M1"}
    assert world.ends(world.commands.pop(), outcome)
    kept = world.image.kept
    assert not kept.closings
    assert not world.image.in_flight
    assert [(mark.serial, mark.ended, mark.done) for mark in kept.marks] == [("M1", True, done)]
    assert set(kept.setbacks) == (set() if done else {"M1"})
    assert kept.ended["M1"].outcome is outcome


@pytest.mark.parametrize(
    ("outcome", "writes", "marked"),
    [
        (Outcome.REFUSED, 0, False),
        (Outcome.REFUSED, 1, True),
        (Outcome.FAILED, 0, True),
        (Outcome.UNKNOWN, 0, True),
    ],
)
def test_what_was_refused_unwritten_loaded_nothing(
    outcome: Outcome, writes: int, marked: bool
) -> None:
    world = dark_and_paid(M1)
    world.plans()
    assert world.ends(world.commands.pop(), outcome, writes=writes)
    assert [mark.serial for mark in world.image.kept.marks] == (["M1"] if marked else [])


def test_a_close_counts_from_when_it_was_on_the_wire_once_that_is_known() -> None:
    world = dark_and_paid(M1)
    decided_ms = world.now.mono_ms
    command = begins(world)
    (mark,) = world.image.kept.marks
    assert (mark.at.mono_ms, mark.ended, mark.done) == (decided_ms, False, False)
    world.wait(5_000)
    ends(world, command)
    (mark,) = world.image.kept.marks
    assert (mark.at.mono_ms, mark.ended, mark.done) == (decided_ms + 4_600, True, True)
    assert mark.at.wall_ms == world.now.wall_ms - 400


@pytest.mark.parametrize(
    ("outcome", "why", "unexplained"),
    [
        (Outcome.CLOSED_VERIFIED, Why.NONE, [False]),
        (Outcome.ARMED, Why.NONE, [False]),
        (Outcome.FAILED, Why.STILL_OPEN, [True]),
        (Outcome.UNKNOWN, Why.NO_ANSWER, [True]),
        (Outcome.FAILED, Why.EXCEPTION, [False]),
        (Outcome.REFUSED, Why.NONE, [False]),
        (Outcome.CLOSED_UNVERIFIED, Why.NONE, [False]),
        (Outcome.CLOSED_UNVERIFIED, Why.READS_DISAGREE, [True]),
    ],
)
def test_what_a_close_tells_of_its_transformer(
    outcome: Outcome, why: Why, unexplained: list[bool]
) -> None:
    world = World(M1)
    world.closed_before(M1, outcome, why)
    trials = world.image.kept.trials.get("T1", ())
    assert [trial.unexplained for trial in trials] == unexplained
    assert all(trial.serial == "M1" for trial in trials)


def test_so_many_closes_of_a_transformer_are_looked_back_on() -> None:
    world = World(M1, M2)
    world.closed_before(M2, Outcome.FAILED)
    for _ in range(TRIALS):
        world.closed_before(M1)
    assert [trial.serial for trial in world.image.kept.trials["T1"]] == ["M1"] * TRIALS


def test_setbacks_in_a_row_are_counted_and_a_success_ends_the_row() -> None:
    world = World(M1)
    for _ in range(3):
        world.closed_before(M1, Outcome.UNKNOWN)
    assert world.image.kept.setbacks["M1"].count == 3
    assert world.image.kept.setbacks["M1"].standing_n == 0, "nothing stood about the account"
    world.closed_before(M1)
    assert not world.image.kept.setbacks
    world.closed_before(M1, Outcome.FAILED)
    assert world.image.kept.setbacks["M1"].count == 1


def test_a_meter_that_was_forced_is_listed_once() -> None:
    world = dark_and_paid(M1)
    for _ in range(2):
        world.plans()
        assert world.ends(world.commands.pop(), forced=True)
        world.wait(6_000)
        world.reads("M1", OPEN)
    assert world.image.kept.forced == ("M1",)


def test_an_opening_may_force_a_meter_too() -> None:
    world = lit(M1)
    assert world.ordered(cut(1)) == "ACCEPTED"
    (command,) = world.plans().commands
    assert world.ends(command, state=OPEN, forced=True)
    assert world.image.kept.forced == ("M1",)


def test_closes_are_remembered_for_an_hour() -> None:
    world = World(M1, M2)
    world.closed_before(M1)
    world.wait(HOUR_MS - 1)
    world.closed_before(M2)
    assert [mark.serial for mark in world.image.kept.marks] == ["M1", "M2"]
    world.wait(1)
    world.closed_before(M2)
    assert [mark.serial for mark in world.image.kept.marks] == ["M2", "M2"]


def test_a_close_that_has_not_ended_is_remembered_for_longer() -> None:
    world = dark_and_paid(M1)
    world.plans()
    world.wait(2 * HOUR_MS)
    world.closed_before(M2)
    assert [mark.serial for mark in world.image.kept.marks] == ["M1", "M2"]


def test_closes_of_earlier_boots_are_forgotten_when_this_one_is_an_hour_old() -> None:
    # Once they were kept for ever: every boot added its own to the image.
    world = World(M1)
    world.trusts_no_clock()
    for _ in range(5):
        world.closed_before(M1)
        world.reboots(mono_ms=0)
    assert len(world.image.kept.marks) == 5
    world.wait(HOUR_MS)
    world.closed_before(M1)
    assert len(world.image.kept.marks) == 1


@pytest.mark.parametrize(("trusted", "marks"), [(True, 1), (False, 2)])
def test_only_a_trusted_clock_tells_for_how_long_the_machine_was_off(
    trusted: bool, marks: int
) -> None:
    world = World(M1)
    if not trusted:
        world.trusts_no_clock()
    world.closed_before(M1)
    world.wait(2 * HOUR_MS)
    world.reboots(mono_ms=0)
    world.closed_before(M1)
    assert len(world.image.kept.marks) == marks


def test_a_doubled_end_of_a_close_is_no_news() -> None:
    world = dark_and_paid(M1)
    world.plans()
    command = world.commands.pop()
    assert world.ends(command, state=CLOSED)
    before = world.image
    assert not world.ends(command, Outcome.FAILED)
    assert world.image == before
    assert isinstance(world.journal[-2][0].body, CloseEnded)
