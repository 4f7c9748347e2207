"""How an opening or a release ends, and what follows from that for the home and the next ones."""

import msgspec
import pytest

from gateway.core.disconnection import OpenRuling, OpenVerdict
from gateway.core.fact import Move, Outcome, TagKind, Why
from gateway.core.kept import Opened
from gateway.core.model import Cause, SupplyState
from gateway.core.reconnection import Verdict
from gateway.core.records import TaskEnded, TaskIntended
from gateway.core.standing import Standing
from gateway.core.waiting import instant_of
from tests.core.cutting import (
    ANYTIME,
    CLOSED,
    M3,
    OPEN,
    Step,
    begins,
    begun,
    ended_as,
    head_end_goes,
    is_cut,
    last_task,
    leaves_the_roster,
    lit,
    ordered,
    pays,
    sets_terms,
)
from tests.core.papers import HOUR_MS, M1, M2, MINUTE_MS, cut, entry
from tests.core.world import World

ARMED = SupplyState.READY_FOR_RECONNECTION


def test_a_home_is_cut_and_comes_back_when_it_has_paid_without_anybody_asking() -> None:
    world = ordered()
    planned = world.plans()
    (intent,) = planned.bodies
    assert isinstance(intent, TaskIntended)
    assert (intent.number, intent.order, intent.attempt) == (1, "order-1", 1)
    (command,) = planned.commands
    assert (command.move, command.resumed, command.writes_max) == (Move.OPEN, False, 1)
    assert world.plans().commands == ()
    assert world.ends(command, state=OPEN)
    body = last_task(world)
    assert (body.number, body.order, body.account, body.meter) == (1, "order-1", "A1", "M1")
    assert body.outcome is Outcome.OPENED_VERIFIED
    opened = Opened(cause=Cause.ORDER, at=instant_of(world.now), by="order-1")
    assert world.image.kept.causes == {"M1": opened}
    word = world.image.word("A1")
    assert word is not None
    assert (word.standing, word.ref) == (Standing.CUT, "order-1")
    assert world.rules().verdict is Verdict.NOT_PAID
    # No receipt and no mark of the list: only the cause speaks for it.
    assert world.lists(300, entry(1, 200), entry(2, 10), entry(3, 10)) == "ACCEPTED"
    close = begins(world)
    assert (close.move, close.meter) == (Move.CLOSE, M1)
    assert world.ends(close, state=CLOSED)
    assert world.image.kept.causes == {}


def test_a_doubled_report_is_no_news() -> None:
    world = begun()
    (command,) = world.commands
    assert world.ends(command, state=OPEN)
    assert not world.ends(command, state=OPEN)


def test_a_release_takes_the_meter_off_those_that_are_forced() -> None:
    world = begun(Move.RELEASE)
    (command,) = world.commands
    assert (command.move, command.writes_max) == (Move.RELEASE, 1)
    assert world.ends(command, state=CLOSED)
    assert world.image.kept.forced == ()
    assert "M1" not in world.image.kept.causes
    assert world.standing() is Standing.PAID


ENDS: list[tuple[Outcome, SupplyState | None, Cause | None]] = [
    (Outcome.OPENED_VERIFIED, OPEN, Cause.ORDER),
    (Outcome.OPENED_UNVERIFIED, OPEN, Cause.ORDER),
    (Outcome.UNKNOWN, None, Cause.ORDER),
    (Outcome.REFUSED, OPEN, None),
    (Outcome.FAILED, CLOSED, Cause.ORDER),
]
"""A relay may follow later than it was looked at."""


@pytest.mark.parametrize(("outcome", "reads", "cause"), ENDS, ids=[row[0] for row in ENDS])
def test_only_an_opening_that_may_have_moved_the_switch_is_a_cause(
    outcome: Outcome, reads: SupplyState | None, cause: Cause | None
) -> None:
    world = begun()
    assert world.ends(world.commands[0], outcome, state=reads)
    known = world.image.kept.causes.get("M1")
    assert (None if known is None else known.cause) is cause
    assert world.image.kept.tasks == {}
    assert world.plans().commands == ()  # the head end's to ask for again


def test_an_opening_whose_outcome_was_unknown_is_known_for_the_cause_when_it_is_read() -> None:
    world = begun()
    assert world.ends(world.commands[0], Outcome.UNKNOWN, why=Why.NO_ANSWER)
    world.wait(20 * MINUTE_MS)
    world.reads("M1", OPEN)
    assert world.image.kept.causes["M1"].cause is Cause.ORDER


def test_after_an_hour_an_opening_that_had_no_effect_explains_nothing_any_more() -> None:
    world = begun()
    assert world.ends(world.commands[0], Outcome.UNKNOWN, why=Why.NO_ANSWER)
    world.wait(60 * MINUTE_MS)
    world.reads("M1", OPEN)
    assert world.image.kept.causes == {}


@pytest.mark.parametrize("again", [World.restarts, World.reboots], ids=["restart", "reboot"])
def test_an_opening_without_an_outcome_is_taken_up_by_reading_only(again: Step) -> None:
    world = begun()
    again(world)
    planned = world.plans()
    intents = [body for body in planned.bodies if isinstance(body, TaskIntended)]
    assert [(one.number, one.attempt) for one in intents] == [(1, 2)]
    (command,) = planned.commands
    assert (command.number, command.resumed, command.writes_max) == (1, True, 0)
    assert len(world.image.kept.moved) == 1
    assert world.plans().commands == ()
    world.ends(command, Outcome.FAILED, why=Why.STILL_CLOSED, state=CLOSED, writes=0)
    assert ended_as(world) == (Outcome.FAILED, "")
    assert world.plans().commands == ()


def test_an_opening_without_an_outcome_of_a_meter_that_is_gone_is_given_up() -> None:
    world = begun()
    world.restarts()
    leaves_the_roster(world)
    assert world.plans().commands == ()
    body = last_task(world)
    assert (body.number, body.outcome, body.verdict) == (1, Outcome.UNKNOWN, "NOT_ON_ROSTER")
    assert world.image.kept.tasks == {}


def test_a_payment_while_the_switch_is_being_opened_brings_it_back_when_that_has_ended() -> None:
    world = begun()
    pays(world)
    assert world.plans().commands == ()
    assert world.ends(world.commands[0], state=OPEN)
    assert begins(world).move is Move.CLOSE


def closing_again() -> World:
    """M1 was cut and has paid; its close is under way."""
    world = lit(M1)
    is_cut(world, 1)
    pays(world)
    assert begins(world).move is Move.CLOSE
    return world


def test_an_opening_waits_for_the_close_that_is_under_way() -> None:
    world = closing_again()
    world.reads("M1", ARMED)
    assert world.ordered(cut(1, n=300)) == "ACCEPTED"
    world.wait(MINUTE_MS)
    assert world.plans().commands == ()
    assert world.ends(world.commands[-1], state=CLOSED)
    assert begins(world).move is Move.OPEN


def test_a_home_that_is_just_being_closed_is_opened_when_that_has_ended() -> None:
    world = closing_again()
    assert world.ordered(cut(1, n=300)) == "ACCEPTED"
    # The write had gone out before the order came.
    assert world.ends(world.commands[-1], state=CLOSED)
    world.wait(2_000)
    assert begins(world).move is Move.OPEN


def test_a_close_that_was_refused_before_any_write_says_nothing_against_an_opening() -> None:
    world = closing_again()
    refused = Outcome.REFUSED
    world.ends(world.commands[-1], refused, verdict="ALREADY_CONNECTED", state=CLOSED, writes=0)
    assert world.ordered(cut(1, n=300)) == "ACCEPTED"


def test_a_tag_forbids_closing_only() -> None:
    world = ordered()
    assert world.tags(TagKind.HOLD, "M1") == "ACCEPTED"
    assert begins(world).move is Move.OPEN


def test_an_order_of_many_homes_is_admitted_as_a_whole_and_then_paced() -> None:
    world = lit(M1, M2, M3)
    sets_terms(world, gap_ms=3_000)
    assert world.ordered(cut(1, 2, 3)) == "ACCEPTED"
    assert set(world.image.kept.tasks) == {"M1", "M2", "M3"}
    began_ms: list[int] = []
    for _ in range(3):
        planned = world.plans()
        (command,) = planned.commands
        began_ms.append(world.now.mono_ms)
        assert world.ends(command, state=OPEN)
        if planned.deadline_ms is not None and world.image.kept.tasks:
            world.wait(planned.deadline_ms - world.now.mono_ms - 1)
            assert world.plans().commands == ()
            world.wait(1)
    assert [at - began_ms[0] for at in began_ms] == [0, 3_000, 6_000]
    ends = [record.body for record, _ in world.journal if isinstance(record.body, TaskEnded)]
    assert [body.meter for body in ends] == ["M1", "M2", "M3"]
    assert {body.order for body in ends} == {"order-1"}


def test_an_opening_that_has_not_ended_counts_as_of_now() -> None:
    world = lit(M1, M2, terms=msgspec.structs.replace(ANYTIME, hour_max=1))
    assert world.ordered(cut(1)) == "ACCEPTED"
    begins(world)
    world.wait(HOUR_MS)
    world.hears()
    for serial in ("M1", "M2"):
        world.reads(serial, CLOSED)
    assert world.ordered(cut(2)) == "BULK_CEILING"


def test_while_an_opening_has_not_ended_the_next_one_waits() -> None:
    world = lit(M1, M2)
    assert world.ordered(cut(1, 2)) == "ACCEPTED"
    command = begins(world)
    world.wait(MINUTE_MS)
    gap_ms = world.image.disconnection.gap_ms
    paced = OpenRuling(verdict=OpenVerdict.PACED, not_before_ms=world.now.mono_ms + gap_ms)
    assert world.may_open(M2) == paced
    assert world.plans().commands == ()
    assert world.ends(command, state=OPEN)
    world.wait(gap_ms)
    assert begins(world).meter == M2


def test_of_many_homes_the_one_that_paid_meanwhile_is_left_out_and_the_others_are_not() -> None:
    world = lit(M1, M2, M3)
    assert world.ordered(cut(1, 2)) == "ACCEPTED"
    pays(world)
    assert begins(world).meter == M2
    assert ended_as(world) == (Outcome.REFUSED, "NEWER_PAID")


def test_neither_absence_nor_age_nor_silence_opens() -> None:
    world = lit(M1, M2)
    world.lists(1_000)
    head_end_goes(world)
    for _ in range(3):
        world.wait(10_000 * MINUTE_MS)
        world.reads("M1", CLOSED)
        assert world.plans().commands == ()
