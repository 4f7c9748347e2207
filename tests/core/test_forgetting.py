"""What is forgotten by order: meters that have left, and a gateway that is out of service."""

from collections.abc import Callable

import msgspec
import pytest

from gateway.core.alarms import Alarm
from gateway.core.fact import Origin, Outcome, Road, TagKind
from gateway.core.marks import Memory
from gateway.core.model import Cause
from gateway.core.orders import Act, ForgetMeter, Hold, Isolate, Wipe
from gateway.core.reconnection import Verdict
from gateway.core.records import TaskEnded
from gateway.core.standing import Standing
from gateway.core.status import status_of
from gateway.core.terms import CheckMeter, Transformer
from tests.core.cutting import (
    CLOSED,
    OPEN,
    begins,
    comes,
    forces,
    is_cut,
    lit,
)
from tests.core.papers import M1, M2, MINUTE_MS, allow_list, cut, entry, meter, order
from tests.core.world import World, dark_and_paid
from tests.signing import KEYS, sign_order

M3 = meter(3, dt="T2")
FORGET = ForgetMeter(meters=("M1",))
WHY = "burnt terminal"
Step = Callable[[World], object]


def without_m1() -> World:
    """Account A1 was cut, and has left the feeder with its meter M1."""
    world = lit(M1, M2)
    forces(world)
    is_cut(world, 1)
    assert world.site(M2) == "ACCEPTED"
    return world


def names_m1(world: World) -> bool:
    """Whether anything that is kept names the meter or its account, but for the list and orders."""
    kept = msgspec.structs.replace(world.image.kept, list_in_force=None, orders={}, orders_ended={})
    said = msgspec.json.encode(kept) + msgspec.json.encode(world.image.seen)
    return b'"M1"' in said or b'"A1"' in said


def test_a_meter_that_has_left_is_forgotten_with_all_that_was_kept_of_it() -> None:
    world = without_m1()
    assert names_m1(world)
    assert world.ordered(FORGET) == "ACCEPTED"
    assert not names_m1(world)
    assert world.image.word("A1") is not None, "the list in force is signed, and stays as it is"
    assert world.image.kept.moved, "how many were cut within the hour still counts"


def test_what_others_have_stays() -> None:
    world = without_m1()
    assert world.pays(2) == "ACCEPTED"
    before = world.image.kept
    assert world.ordered(FORGET) == "ACCEPTED"
    after = world.image.kept
    assert after.words == {"A2": before.words["A2"]}
    assert (after.proofs, after.supply) == (before.proofs, before.supply)
    assert (after.site, after.list_in_force) == (before.site, before.list_in_force)


def test_the_closes_of_a_transformer_still_count_and_name_nobody() -> None:
    world = lit(M1, M2)
    world.closed_before(M1)
    assert world.site(M2) == "ACCEPTED"
    assert world.ordered(FORGET) == "ACCEPTED"
    assert [(mark.dt, mark.serial) for mark in world.image.kept.marks] == [("T1", "")]


def test_a_meter_of_which_nothing_is_known_is_forgotten_already() -> None:
    world = lit(M2)
    assert world.ordered(FORGET) == "ACCEPTED"


def on_the_roster(world: World) -> None:
    assert world.site(M1, M2) == "ACCEPTED"


def as_a_check_meter(world: World) -> None:
    check = CheckMeter(serial="M1", profile="measures", bus="bus-1", unit=90)
    transformer = Transformer(id="T1", check_meter=check)
    assert world.site(M2, transformers=(transformer,)) == "ACCEPTED"


def under_way(world: World) -> None:
    """It is being cut as it leaves the roster."""
    world.site(M1, M2)
    world.reads("M1", CLOSED)
    assert world.lists(300, entry(1, 250), entry(2, 10)) == "ACCEPTED"
    world.wait(MINUTE_MS)
    world.hears()
    assert world.ordered(cut(1, n=400)) == "ACCEPTED"
    begins(world)
    assert world.site(M2) == "ACCEPTED"


def being_closed(world: World) -> None:
    """It is being closed as it leaves the roster."""
    world.site(M1, M2)
    world.reads("M1", OPEN)
    assert world.pays(1, 500) == "ACCEPTED"
    world.wait(MINUTE_MS)
    world.reads("M1", OPEN)
    begins(world)
    assert world.site(M2) == "ACCEPTED"


def exchanged_and_listed_by_the_old_one(world: World) -> None:
    """Account A1 is back with meter M3, and the list still names M1."""
    world.site(M1, M2)
    assert world.site(msgspec.structs.replace(M1, serial="M3"), M2) == "ACCEPTED"
    assert world.lists(300, entry(1, 250), entry(2, 10)) == "ACCEPTED"
    assert world.standing() is Standing.PAID


@pytest.mark.parametrize(
    ("step", "name"),
    [
        pytest.param(on_the_roster, "METER_ON_ROSTER", id="it is on the roster"),
        pytest.param(as_a_check_meter, "METER_ON_ROSTER", id="it is a check meter"),
        pytest.param(under_way, "TASK_UNDER_WAY", id="it is being cut"),
        pytest.param(being_closed, "TASK_UNDER_WAY", id="it is being closed"),
        pytest.param(
            exchanged_and_listed_by_the_old_one, "METER_NEEDED", id="somebody is paid by its name"
        ),
    ],
)
def test_a_meter_that_counts_is_not_forgotten(step: Step, name: str) -> None:
    world = without_m1()
    step(world)
    before = msgspec.structs.replace(world.image.kept, newest=world.image.kept.newest)
    assert world.ordered(ForgetMeter(meters=("M9", "M1"))) == name
    after = world.image.kept
    assert (after.words, after.former, after.proofs, after.forced) == (
        before.words,
        before.former,
        before.proofs,
        before.forced,
    )


def test_an_old_meter_that_nobody_is_paid_by_is_forgotten_and_no_paper_may_name_it_any_more() -> (
    None
):
    world = lit(M1, M2)
    assert world.site(msgspec.structs.replace(M1, serial="M3"), M2) == "ACCEPTED"
    assert world.site(msgspec.structs.replace(M1, serial="M4"), M2) == "ACCEPTED"
    assert world.lists(300, entry(1, 250, serial="M4"), entry(2, 10)) == "ACCEPTED"
    assert world.image.kept.former == {"A1": ("M1", "M3")}
    assert world.ordered(FORGET) == "ACCEPTED"
    assert world.image.kept.former == {"A1": ("M3",)}
    assert world.ordered(ForgetMeter(meters=("M3",))) == "ACCEPTED"
    assert world.image.kept.former == {}
    assert world.pays(1, 400) == "METER_MISMATCH"
    assert world.standing() is Standing.PAID


def test_a_hold_of_the_head_end_goes_with_the_meter_and_one_of_a_technician_stays() -> None:
    world = lit(M1, M2)
    assert world.ordered(Hold(meter="M1", reason=WHY)) == "ACCEPTED"
    assert world.ordered(Hold(meter="M2", reason=WHY)) == "ACCEPTED"
    assert world.tags(TagKind.HOLD, "M1") == "ACCEPTED"
    assert world.site(M2) == "ACCEPTED"
    assert world.ordered(FORGET) == "ACCEPTED"
    left = [(tag.target, tag.origin) for tag in world.image.kept.tags]
    assert left == [("M2", Origin.ORDER), ("M1", Origin.TECHNICIAN)]


# --- two keys, the link, and a short life ---


@pytest.mark.parametrize("act", [FORGET, Wipe()], ids=["forget_meter", "wipe"])
def test_what_forgets_takes_two_keys_the_link_and_a_short_life(act: Act) -> None:
    world = lit(M2)
    assert world.ordered(act, KEYS.orders[0]) == "SECOND_KEY_MISSING"
    by_hand = order(7, act, iat=world.now.wall_ms)
    assert world.hand_in(sign_order(by_hand), Road.LOCAL) == "ROAD_NOT_ALLOWED"
    assert world.hand_in(sign_order(by_hand), retained=True) == "RETAINED_ORDER"
    assert world.image.kept.newest.order.seq == 0
    world.orders = 10
    assert comes(world, act, life_ms=15 * MINUTE_MS + 1) == "LIFE_TOO_LONG"
    assert comes(world, act, life_ms=MINUTE_MS, age_ms=2 * MINUTE_MS) == "EXPIRED"
    assert comes(world, act, age_ms=-MINUTE_MS) == "NOT_YET_VALID"
    assert comes(world, act) == "ACCEPTED"


# --- out of service ---


def serving() -> World:
    """M1 is dark and paid, M2 is lit, M3 forced; a list, receipts, tags and graces are known."""
    world = lit(M1, M2, M3)
    forces(world, M3)
    world.closed_before(M2)
    assert world.ordered(Isolate(dt="T2", reason=WHY)) == "ACCEPTED"
    assert world.tags(TagKind.HOLD, "M2") == "ACCEPTED"
    world.reads("M1", OPEN)
    assert world.pays(1, 200) == "ACCEPTED"
    assert world.says(Cause.ARREARS) == "ACCEPTED"
    return world


def wiped() -> World:
    world = serving()
    assert world.ordered(Wipe()) == "ACCEPTED"
    return world


def test_a_wiped_gateway_knows_no_consumer_and_moves_no_switch() -> None:
    world = wiped()
    kept = world.image.kept
    assert (kept.site, kept.list_in_force, dict(kept.words), dict(kept.proofs)) == (
        None,
        None,
        {},
        {},
    )
    assert (world.image.roster, world.image.seen) == ({}, {})
    for wait_ms in (0, MINUTE_MS, 60 * MINUTE_MS):
        world.wait(wait_ms)
        assert world.plans().commands == ()
    assert world.rules().verdict is Verdict.NOT_ON_ROSTER


def test_what_a_person_has_forbidden_and_how_lately_was_loaded_outlasts_a_wipe() -> None:
    before, after = serving().image.kept, wiped().image.kept
    assert [(tag.target, tag.origin) for tag in after.tags] == [("M2", Origin.TECHNICIAN)]
    assert (after.marks, after.moved, after.forced) == (before.marks, before.moved, before.forced)
    assert (after.moves, after.root, after.wall_low_ms) == (
        before.moves,
        before.root,
        before.wall_low_ms,
    )


def test_no_number_falls_and_no_document_of_before_comes_back_not_even_the_last() -> None:
    world = serving()
    site, listed = world.image.kept.site, world.image.kept.list_in_force
    assert site is not None
    assert listed is not None
    was = world.image.kept.newest
    assert world.ordered(Wipe()) == "ACCEPTED"
    newest = world.image.kept.newest
    assert (newest.site.seq, newest.list.seq) == (was.site.seq, was.list.seq)
    assert newest.order.seq == was.order.seq + 1
    again = [*site.meters]
    for back in (nothing, World.restarts, World.reboots):
        back(world)
        assert world.site(*again, seq=site.seq) == "SEQ_OLD"
        assert world.gets(allow_list(listed.seq, 50, entry(1, 10))) == "SEQ_OLD"
        assert world.pays(1, 300) == "NOT_ON_ROSTER"
    assert world.image.memory is Memory.BEHIND


def nothing(_: World) -> None:
    """Nobody starts anew."""


def test_a_newer_site_document_puts_it_back_into_service_and_everybody_begins_anew() -> None:
    world = wiped()
    assert Alarm.WIPED in status_of(world.image, world.now).alarms
    assert world.site(M1, M2, M3, seq=9) == "ACCEPTED"
    assert world.image.kept.wiped is None
    assert world.standing() is Standing.NONE
    world.reads("M1", OPEN)
    assert world.plans().commands == ()
    assert world.lists(400, entry(1, 350), seq=9) == "ACCEPTED"
    assert world.rules().verdict is Verdict.CAUSE_UNKNOWN
    assert world.pays(1, 500) == "ACCEPTED"
    assert world.rules().verdict is Verdict.PACED, "the close of before the wipe still counts"
    world.wait(MINUTE_MS)
    assert world.rules().verdict is Verdict.PERMIT
    assert world.rules(M2).verdict is Verdict.METER_HELD, "the technician's"
    assert Alarm.WIPED not in status_of(world.image, world.now).alarms
    assert world.image.memory is Memory.WHOLE


def test_of_a_wiped_gateway_the_alarms_say_that_and_not_what_follows_from_it() -> None:
    alarms = status_of(wiped().image, wiped().now).alarms
    assert Alarm.WIPED in alarms
    assert not {Alarm.NO_SITE, Alarm.NO_LIST, Alarm.BEHIND} & set(alarms)


def test_a_list_for_a_wiped_gateway_closes_nothing_until_there_is_a_site() -> None:
    world = wiped()
    assert world.lists(400, entry(1, 350), seq=9) == "ACCEPTED"
    world.reads("M1", OPEN)
    assert world.plans().commands == ()


def test_a_command_that_is_under_way_ends_with_its_record() -> None:
    world = dark_and_paid(M1, M2)
    close = begins(world)
    assert world.ordered(Wipe()) == "ACCEPTED"
    assert world.plans().commands == ()
    assert world.ends(close, Outcome.REFUSED, verdict="NOT_ON_ROSTER", writes=0)
    assert world.image.kept.closings == {}


def test_what_was_begun_before_a_wipe_and_a_restart_is_given_up_by_its_record() -> None:
    world = dark_and_paid(M1, M2)
    begins(world)
    assert world.ordered(Wipe()) == "ACCEPTED"
    world.restarts()
    assert world.plans().commands == ()
    assert world.image.kept.closings == {}


def test_an_opening_that_waits_is_ended_by_a_wipe_with_its_record() -> None:
    world = lit(M1, M2)
    assert world.ordered(cut(1)) == "ACCEPTED"
    assert world.ordered(Wipe()) == "ACCEPTED"
    assert world.plans().commands == ()
    ended = world.journal[-1][0].body
    assert isinstance(ended, TaskEnded)
    assert (ended.outcome, ended.verdict) == (Outcome.REFUSED, "NOT_ON_ROSTER")
    assert world.image.kept.tasks == {}


def test_wiped_twice_is_wiped() -> None:
    world = wiped()
    assert world.ordered(Wipe()) == "ACCEPTED"
    assert world.image.roster == {}
