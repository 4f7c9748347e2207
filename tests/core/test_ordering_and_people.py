"""Orders beside people at the feeder: whose tag is whose, what is called off, what is asked for."""

import pytest

from gateway.core.admission import admit_document
from gateway.core.disconnection import OpenVerdict
from gateway.core.fact import Answer, DocumentClaim, Origin, Outcome, Road, TagKind
from gateway.core.model import Cause, Reading, Serial
from gateway.core.orders import (
    Act,
    Cancel,
    EndIsolation,
    Hold,
    Isolate,
    Reconnect,
    ReleaseHold,
)
from gateway.core.reconnection import Verdict
from gateway.core.records import TagPlaced, TagRemoved
from tests.core.cutting import CLOSED, OPEN, Step, begins, ended_as, is_cut, lit, pays
from tests.core.papers import HOUR_MS, M1, M2, cut, entry, order
from tests.core.world import World
from tests.signing import sign_order

WHY = "work on the line"
HOLD, RELEASE_HOLD = Hold(meter="M1", reason=WHY), ReleaseHold(meter="M1", reason=WHY)
RECONNECT = Reconnect(account="A1", meter="M1")
PLACES: list[tuple[TagKind, str, Act, Act, Verdict]] = [
    (TagKind.HOLD, "M1", HOLD, RELEASE_HOLD, Verdict.METER_HELD),
    (
        TagKind.ISOLATE_DT,
        "T1",
        Isolate(dt="T1", reason=WHY),
        EndIsolation(dt="T1", reason=WHY),
        Verdict.DT_ISOLATED,
    ),
    (
        TagKind.ISOLATE_FEEDER,
        "",
        Isolate(reason=WHY),
        EndIsolation(reason=WHY),
        Verdict.FEEDER_ISOLATED,
    ),
]
each_place = pytest.mark.parametrize(
    ("kind", "target", "place", "end", "verdict"), PLACES, ids=[str(row[0]) for row in PLACES]
)
HERE = [Origin.TECHNICIAN, Origin.KEY_SWITCH]


def paid_and_cut() -> World:
    """M1 was cut and has paid: nothing is in the way of its close."""
    world = lit(M1, M2)
    is_cut(world, 1)
    pays(world)
    assert world.rules().verdict is Verdict.PERMIT
    return world


@each_place
@pytest.mark.parametrize("here", HERE, ids=str)
def test_what_stands_here_and_there_is_ended_here_and_there(
    kind: TagKind, target: str, place: Act, end: Act, verdict: Verdict, here: Origin
) -> None:
    world = paid_and_cut()
    assert world.tags(kind, target, origin=here) == "ACCEPTED"
    assert world.ordered(place) == "ACCEPTED"
    assert len(world.image.tags(kind, target)) == 2
    assert world.ordered(end) == "ACCEPTED"
    (left,) = world.image.tags(kind, target)
    assert left.origin is here
    assert world.rules().verdict is verdict
    assert world.ordered(end) == "PLACED_ELSEWHERE"
    assert world.rules().verdict is verdict
    assert world.tags(kind, target, place=False, origin=here) == "ACCEPTED"
    assert world.rules().verdict is Verdict.PERMIT


@each_place
@pytest.mark.parametrize("here", HERE, ids=str)
def test_nobody_here_ends_what_an_order_placed(
    kind: TagKind, target: str, place: Act, end: Act, verdict: Verdict, here: Origin
) -> None:
    world = paid_and_cut()
    assert world.ordered(place) == "ACCEPTED"
    assert world.tags(kind, target, place=False, origin=here) == "PLACED_ELSEWHERE"
    world.reboots()
    world.reads("M1", OPEN)
    assert world.tags(kind, target, place=False, origin=here) == "PLACED_ELSEWHERE"
    assert world.rules().verdict is verdict
    assert world.ordered(end) == "ACCEPTED"
    assert world.rules().verdict is Verdict.PERMIT


def test_a_technician_does_not_end_what_the_key_switch_placed() -> None:
    world = paid_and_cut()
    assert world.tags(TagKind.ISOLATE_FEEDER, origin=Origin.KEY_SWITCH) == "ACCEPTED"
    assert world.tags(TagKind.ISOLATE_FEEDER, place=False) == "PLACED_ELSEWHERE"
    assert world.rules().verdict is Verdict.FEEDER_ISOLATED


def test_a_tag_by_order_names_the_order_in_its_records() -> None:
    world = lit(M1)
    world.ordered(HOLD)
    world.ordered(RELEASE_HOLD)
    bodies = [record.body for record, _ in world.journal]
    tags = [body for body in bodies if isinstance(body, TagPlaced | TagRemoved)]
    assert [(tag.by, tag.reason, tag.origin) for tag in tags] == [
        ("order order-1", WHY, Origin.ORDER),
        ("order order-2", WHY, Origin.ORDER),
    ]


# --- reconnect ---


def open_without_a_cause() -> World:
    """M1 is open and paid by the list, and nothing says why it is open."""
    world = lit(M1, M2)
    world.wait(10_000)
    world.reads("M1", OPEN)
    assert world.rules().verdict is Verdict.CAUSE_UNKNOWN
    return world


def test_a_reconnect_order_settles_why_a_switch_is_open() -> None:
    world = open_without_a_cause()
    assert world.ordered(RECONNECT) == "ACCEPTED"
    assert begins(world).meter == M1


def test_a_reconnect_order_outlives_a_reboot_and_a_new_list() -> None:
    world = open_without_a_cause()
    assert world.ordered(RECONNECT) == "ACCEPTED"
    world.reboots()
    assert world.lists(1_000, entry(1, 10), entry(2, 10)) == "ACCEPTED"
    world.reads("M1", OPEN)
    assert world.rules().verdict is Verdict.PERMIT


def unpaid_by_a_cut(world: World) -> None:
    is_cut(world, 1)


def unpaid_by_a_list(world: World) -> None:
    world.lists(1_000, entry(2, 10))
    world.reads("M1", OPEN)


@pytest.mark.parametrize("unpaid", [unpaid_by_a_cut, unpaid_by_a_list], ids=["CUT", "NONE"])
def test_a_reconnect_order_grants_nothing(unpaid: Step) -> None:
    world = lit(M1, M2)
    unpaid(world)
    before = world.standing()
    assert world.ordered(RECONNECT) == "ACCEPTED"
    assert world.standing() is before
    assert world.rules().verdict is Verdict.NOT_PAID
    assert world.plans().commands == ()
    assert world.pays(1, 2_000) == "ACCEPTED"
    assert world.rules().verdict is Verdict.PERMIT


def test_a_reconnect_order_is_used_up_an_hour_after_the_close() -> None:
    world = open_without_a_cause()
    world.ordered(RECONNECT)
    assert world.ends(begins(world), state=CLOSED)
    world.wait(HOUR_MS - 1)
    world.reads("M1", OPEN)
    assert world.rules().verdict is Verdict.PERMIT
    world.wait(1)
    assert world.rules().verdict is Verdict.CAUSE_UNKNOWN


def test_a_reconnect_order_does_not_unlock_a_hold() -> None:
    world = open_without_a_cause()
    world.tags(TagKind.HOLD, "M1")
    assert world.ordered(RECONNECT) == "ACCEPTED"
    assert world.rules().verdict is Verdict.METER_HELD


def test_a_cut_takes_back_what_was_asked_for_before() -> None:
    world = open_without_a_cause()
    world.ordered(RECONNECT)
    world.reads("M1", CLOSED)
    is_cut(world, 1)
    assert world.image.kept.asks == {}
    assert world.rules().verdict is Verdict.NOT_PAID


# --- cancel ---


def test_what_is_called_off_before_it_is_begun_is_not_begun() -> None:
    world = lit(M1, M2)
    assert world.ordered(cut(1, 2)) == "ACCEPTED"
    assert world.ordered(Cancel(order="order-1")) == "ACCEPTED"
    assert world.plans().commands == ()
    assert ended_as(world) == (Outcome.REFUSED, "CANCELED")
    assert world.image.kept.tasks == {}


def test_what_is_called_off_on_its_way_is_not_written() -> None:
    world = lit(M1)
    assert world.ordered(cut(1)) == "ACCEPTED"
    begins(world)
    assert world.ordered(Cancel(order="order-1")) == "ACCEPTED"
    reading = Reading(state=CLOSED, mono_ms=world.now.mono_ms, serial=Serial("M1"))
    assert world.may_write_open(reading) is OpenVerdict.CANCELED
    world.restarts()
    world.hears()
    assert world.may_write_open(reading) is OpenVerdict.CANCELED


def test_a_cut_that_was_called_off_may_be_ordered_anew() -> None:
    world = lit(M1)
    assert world.ordered(cut(1)) == "ACCEPTED"
    assert world.ordered(Cancel(order="order-1")) == "ACCEPTED"
    world.plans()
    is_cut(world, 1, n=200)
    assert world.image.kept.causes["M1"].cause is Cause.ORDER


def test_the_answer_to_an_order_that_is_refused_says_why() -> None:
    world = lit(M1)
    paper = order(1, Cancel(order="order-9"), iat=world.now.wall_ms)
    claim = DocumentClaim(raw=sign_order(paper), road=Road.MQTT)
    answer = admit_document(claim, world.image, world.now).answer
    why = "nothing of order order-9 waits"
    assert answer == Answer(accepted=False, word="NOTHING_TO_CANCEL", detail=why)
