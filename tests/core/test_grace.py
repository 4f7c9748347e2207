"""Grace: supply without proof of payment while the head end is silent, condition by condition."""

from collections.abc import Callable

import pytest

from gateway.core.fact import Outcome, TagKind
from gateway.core.grace import silent_ms
from gateway.core.model import Account, Cause, Reading, Serial, SupplyState
from gateway.core.reconnection import Verdict
from gateway.core.records import CloseIntended, GraceGranted
from gateway.core.standing import Standing
from tests.core.cutting import CLOSED, OPEN, begins, disk_takes_nothing
from tests.core.papers import HOUR_MS, LEDGER_MS, M1, MINUTE_MS, cut, entry
from tests.core.silence import (
    AT_ONCE,
    DAY_MS,
    GRACE,
    M2,
    M3,
    NEIGHBOUR,
    cut_world,
    given_grace,
    goes,
    grants,
    heard_again,
    later,
    opens_by_itself,
    silent_long_enough,
)
from tests.core.world import World

NOT_PAID, PERMIT = Verdict.NOT_PAID, Verdict.PERMIT
Step = Callable[[World], object]


# --- the conditions, each at its edge ---


def broker_kept_a_word(world: World) -> None:
    world.hears(kept_by_broker=True)


def is_heard_for_as_long(world: World) -> None:
    heard_again(world)
    silent_long_enough(world)
    world.hears()


EDGES: list[tuple[str, list[Step], Verdict]] = [
    ("silent for just so long", [lambda w: later(w, 2 * HOUR_MS)], NOT_PAID),
    ("silent for longer", [silent_long_enough], PERMIT),
    ("silent for longer, then heard", [silent_long_enough, heard_again], NOT_PAID),
    ("silent for longer, then heard for as long", [silent_long_enough, is_heard_for_as_long],
     NOT_PAID),
    ("silent for long, though the broker kept a word",
     [silent_long_enough, broker_kept_a_word], PERMIT),
    ("cut just so long ago", [lambda w: later(w, 3 * DAY_MS)], PERMIT),
    ("cut longer ago", [lambda w: later(w, 3 * DAY_MS + 1)], NOT_PAID),
    ("held", [silent_long_enough, lambda w: w.tags(TagKind.HOLD, "M1")], Verdict.METER_HELD),
    ("on an isolated DT", [silent_long_enough, lambda w: w.tags(TagKind.ISOLATE_DT, "T1")],
     Verdict.DT_ISOLATED),
    ("on an isolated feeder", [silent_long_enough, lambda w: w.tags(TagKind.ISOLATE_FEEDER)],
     Verdict.FEEDER_ISOLATED),
    ("not read of late", [silent_long_enough, lambda w: w.wait(120_001)], Verdict.STATE_UNKNOWN),
    ("while the disk takes nothing", [silent_long_enough, disk_takes_nothing], NOT_PAID),
    ("closed by other means", [silent_long_enough, lambda w: w.reads("M1", CLOSED)],
     Verdict.ALREADY_CONNECTED),
    ("armed", [silent_long_enough, lambda w: w.reads("M1", SupplyState.READY_FOR_RECONNECTION)],
     Verdict.AWAITING_CONSUMER),
]  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "verdict"),
    [row[1:] for row in EDGES],
    ids=[f"a home that was cut, {row[0]}: {row[2]}" for row in EDGES],
)
def test_grace_stands_in_for_a_payment(steps: list[Step], verdict: Verdict) -> None:
    world = cut_world(M1)
    for step in steps:
        step(world)
    assert world.rules().verdict is verdict


def test_where_the_site_document_grants_none_there_is_none() -> None:
    world = cut_world(M1, grace=None)
    silent_long_enough(world)
    assert world.rules().verdict is NOT_PAID
    assert world.plans().commands == ()


def test_a_head_end_that_never_was_heard_is_not_silent() -> None:
    world = World(M1, grace=GRACE)
    world.lists(50)
    world.reads("M1", OPEN, cause=Cause.PREPAY)
    for _ in range(3):
        world.plans()
        later(world, DAY_MS)
    assert world.rules().verdict is NOT_PAID
    assert silent_ms(world.image, world.now) == 0
    heard_again(world)
    world.wait(1)
    assert silent_ms(world.image, world.now) == 0


def test_grace_needs_no_word_of_the_utility() -> None:
    world = World(M1, grace=GRACE, pacing=AT_ONCE)
    heard_again(world)
    world.reads("M1", OPEN, cause=Cause.PREPAY)
    goes(world)
    silent_long_enough(world)
    assert world.image.word("A1") is None
    assert world.rules().verdict is PERMIT


CAUSES = {
    Cause.ARREARS: PERMIT,
    Cause.PREPAY: PERMIT,
    Cause.POWER_UP: NOT_PAID,
    Cause.TECHNICIAN: NOT_PAID,
    Cause.TRIP: NOT_PAID,
}


@pytest.mark.parametrize(("cause", "verdict"), CAUSES.items(), ids=[str(one) for one in CAUSES])
def test_only_who_was_opened_for_money_has_grace(cause: Cause, verdict: Verdict) -> None:
    world = cut_world(M1)
    world.says(cause)
    silent_long_enough(world)
    assert world.rules().verdict is verdict


def test_who_has_no_cause_has_no_grace() -> None:
    world = cut_world(M1)
    world.reads("M1", CLOSED)
    world.reads("M1", OPEN)
    silent_long_enough(world)
    assert world.rules().verdict is NOT_PAID


def test_who_has_paid_needs_no_grace_and_is_given_none() -> None:
    world = cut_world(M1)
    silent_long_enough(world)
    assert world.pays(1, 200) == "ACCEPTED"
    begins(world)
    assert grants(world) == []
    intent = world.journal[-1][0].body
    assert isinstance(intent, CloseIntended)
    assert not intent.grace


def test_on_one_day_there_is_no_more_grace_than_the_ceiling() -> None:
    world = cut_world(M1, M2, M3)
    silent_long_enough(world)
    for command in world.plans().commands:
        assert world.ends(command, state=CLOSED)
    assert [one.account for one in grants(world)] == ["A1", "A2"]
    later(world, DAY_MS - 1)
    assert world.rules(M3).verdict is NOT_PAID
    later(world, 1)
    assert begins(world).meter == M3


# --- how long it runs ---


def test_an_opening_within_its_hours_is_closed_again_without_a_new_grant() -> None:
    world = given_grace()
    later(world, 4 * HOUR_MS - 1)
    opens_by_itself(world)
    assert begins(world).meter == M1
    assert len(grants(world)) == 1


def test_after_its_hours_it_is_over_for_the_same_cut() -> None:
    world = given_grace()
    later(world, 4 * HOUR_MS)
    opens_by_itself(world)
    assert world.rules().verdict is NOT_PAID
    later(world, DAY_MS)
    assert world.plans().commands == ()
    assert len(grants(world)) == 1


@pytest.mark.parametrize("again", [World.restarts, World.reboots], ids=["restart", "reboot"])
def test_one_cut_is_met_once_also_over_a_restart(again: Step) -> None:
    world = given_grace()
    later(world, DAY_MS)
    again(world)
    opens_by_itself(world)
    later(world, 2 * HOUR_MS + 1)
    assert world.rules().verdict is NOT_PAID


def test_a_list_that_comes_meanwhile_begins_no_new_grace() -> None:
    # Carried in on a stick: the head end is as silent as before, and the home as unpaid.
    world = World(M1, M2, grace=GRACE, pacing=AT_ONCE)
    world.lists(50, entry(2, 10))
    heard_again(world)
    world.reads("M1", OPEN, cause=Cause.PREPAY)
    goes(world)
    silent_long_enough(world)
    assert world.ends(begins(world), state=CLOSED)
    assert world.standing() is Standing.NONE
    world.lists(60, entry(2, 10))
    opens_by_itself(world)
    for command in world.plans().commands:
        world.ends(command, state=CLOSED)
    later(world, DAY_MS)
    opens_by_itself(world)
    world.plans()
    assert len(grants(world)) == 1


def test_the_next_cut_may_be_met_with_grace_anew() -> None:
    world = given_grace()
    world.hears()
    later(world, 4 * HOUR_MS)
    world.hears()
    assert world.ordered(cut(1, n=300)) == "ACCEPTED"
    assert world.ends(begins(world), state=OPEN)
    goes(world)
    later(world, 2 * HOUR_MS)
    assert world.rules().verdict is NOT_PAID
    later(world, 1)
    assert begins(world).meter == M1
    assert [one.n for one in grants(world)] == [LEDGER_MS + 100, LEDGER_MS + 300]


def test_who_opened_by_itself_and_has_paid_since_may_have_grace_anew() -> None:
    world = World(M1, M2, grace=GRACE, pacing=AT_ONCE)
    world.lists(50, entry(2, 10))
    heard_again(world)
    world.reads("M1", OPEN, cause=Cause.PREPAY)
    goes(world)
    silent_long_enough(world)
    assert world.ends(begins(world), state=CLOSED)
    assert world.pays(1, 200) == "ACCEPTED"
    assert world.lists(300, entry(2, 10)) == "ACCEPTED"
    assert world.standing() is Standing.NONE
    opens_by_itself(world)
    assert begins(world).meter == M1
    assert [one.n for one in grants(world)] == [0, 0], "no order has cut it"


# --- never taken back ---


def test_nothing_here_takes_it_back() -> None:
    world = given_grace()
    heard_again(world)
    for _ in range(5):
        later(world, DAY_MS)
        assert world.plans().commands == ()
    assert world.image.seen["M1"].state is CLOSED


def test_a_head_end_that_comes_back_does_not_end_the_hours() -> None:
    world = given_grace()
    heard_again(world)
    later(world, HOUR_MS)
    opens_by_itself(world)
    assert begins(world).meter == M1


def test_a_head_end_that_comes_back_before_the_write_does_not_stop_it() -> None:
    world = cut_world(M1)
    silent_long_enough(world)
    begins(world)
    heard_again(world)
    reading = Reading(state=OPEN, mono_ms=world.now.mono_ms, serial=Serial("M1"))
    assert world.may_write(reading) is PERMIT
    world.tags(TagKind.HOLD, "M1")
    assert world.may_write(reading) is Verdict.METER_HELD


def test_a_close_by_grace_that_failed_is_tried_again_by_the_same_grace() -> None:
    world = cut_world(M1)
    silent_long_enough(world)
    assert world.ends(begins(world), Outcome.FAILED)
    later(world, MINUTE_MS)
    assert begins(world).meter == M1
    assert len(grants(world)) == 1


# --- what is written down, and who comes first ---


def test_the_grant_is_written_down_before_the_close_with_the_sites_digest_as_reason() -> None:
    world = cut_world(M1)
    silent_long_enough(world)
    given, intent = world.plans().bodies
    assert given == GraceGranted(
        account=Account("A1"),
        meter=Serial("M1"),
        n=LEDGER_MS + 100,
        hours=4,
        silent_ms=2 * HOUR_MS + 1,
    )
    assert isinstance(intent, CloseIntended)
    assert intent.grace
    assert intent.standing_digest == world.image.kept.site_digest
    assert (intent.received_ms, intent.received_wall_ms) == (None, None)
    assert world.standing() is Standing.CUT


def test_a_close_by_grace_that_is_taken_up_again_keeps_its_reason() -> None:
    world = cut_world(M1)
    silent_long_enough(world)
    begins(world)
    world.restarts()
    assert begins(world).resumed
    intent = world.journal[-1][0].body
    assert isinstance(intent, CloseIntended)
    assert (intent.attempt, intent.grace) == (2, True)
    assert intent.standing_digest == world.image.kept.site_digest


def test_grace_comes_behind_all_who_paid() -> None:
    world = cut_world(M1, NEIGHBOUR)
    silent_long_enough(world)
    assert world.pays(4, 200) == "ACCEPTED"
    assert begins(world).meter == NEIGHBOUR
    assert grants(world) == []
    assert world.ends(world.commands[-1], state=CLOSED)
    assert begins(world).meter == M1
