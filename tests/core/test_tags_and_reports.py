"""Tags, outcomes and readings: what a person or the bus says becomes a record, or does not."""

from collections.abc import Callable

import msgspec
import pytest

from gateway.core.fact import (
    MeterSeen,
    Move,
    Origin,
    Outcome,
    SwitchReport,
    TagClaim,
    TagKind,
    Why,
)
from gateway.core.image import with_kept
from gateway.core.model import Account, Cause, DtId, Reading, Serial, SupplyState
from gateway.core.orders import ReleaseForce
from gateway.core.records import Body, CloseEnded, SupplyChanged, TagPlaced, TagRemoved, TaskEnded
from gateway.core.reports import admit_reading, admit_report
from gateway.core.requests import admit_tag
from tests.core.papers import M1, M2, cut, entry, meter
from tests.core.world import World, dark_and_paid

OPEN, CLOSED = SupplyState.DISCONNECTED, SupplyState.CONNECTED
Given = Callable[[World], object]


def nothing(world: World) -> None:
    """The world as it is: a site with M1 and M2."""


# --- tags ---


def tag(
    kind: TagKind = TagKind.HOLD,
    target: str = "M1",
    *,
    place: bool = True,
    by: str = "R. Patel",
    reason: str = "burnt terminal",
) -> TagClaim:
    return TagClaim(kind=kind, target=target, place=place, by=by, reason=reason)


def held(world: World) -> None:
    world.tags(TagKind.HOLD, "M1")


def held_and_gone(world: World) -> None:
    held(world)
    world.site(M2)


def isolated(world: World) -> None:
    world.tags(TagKind.ISOLATE_DT, "T1")
    world.tags(TagKind.ISOLATE_FEEDER)


DT, FEEDER = TagKind.ISOLATE_DT, TagKind.ISOLATE_FEEDER
TAGS: list[tuple[str, Given, TagClaim, str]] = [
    ("a hold on a meter", nothing, tag(), "ACCEPTED"),
    ("a hold on a meter of nobody here", nothing, tag(target="M77"), "NOT_ON_ROSTER"),
    ("a hold where one is", held, tag(), "DUPLICATE"),
    ("the removal of a hold", held, tag(place=False), "ACCEPTED"),
    ("the removal of no hold", nothing, tag(place=False), "DUPLICATE"),
    ("the removal of a hold on a meter that is gone", held_and_gone, tag(place=False), "ACCEPTED"),
    ("an isolation of a DT", nothing, tag(DT, "T1"), "ACCEPTED"),
    ("an isolation of a DT of nobody here", nothing, tag(DT, "T7"), "NOT_ON_ROSTER"),
    ("the end of a DT's isolation", isolated, tag(DT, "T1", place=False), "ACCEPTED"),
    ("an isolation of the feeder", nothing, tag(FEEDER, ""), "ACCEPTED"),
    ("an isolation of a feeder by name", nothing, tag(FEEDER, "feeder-1"), "NOT_ON_ROSTER"),
    ("the end of the feeder's isolation", isolated, tag(FEEDER, "", place=False), "ACCEPTED"),
    ("a tag by nobody", nothing, tag(by=" "), "NAME_OR_REASON_MISSING"),
    ("a tag without a reason", nothing, tag(reason="\t"), "NAME_OR_REASON_MISSING"),
    ("a removal without a reason", held, tag(place=False, reason=""), "NAME_OR_REASON_MISSING"),
    ("a name and a reason of full length", nothing, tag(by="y" * 64, reason="y" * 200), "ACCEPTED"),
    ("a name too long", nothing, tag(by="y" * 65), "TOO_LONG"),
    ("a reason too long", nothing, tag(reason="y" * 201), "TOO_LONG"),
]


@pytest.mark.parametrize(
    ("given", "claim", "word"),
    [row[1:] for row in TAGS],
    ids=[f"{sentence}: {word}" for sentence, _, _, word in TAGS],
)
def test_a_tag_comes(given: Given, claim: TagClaim, word: str) -> None:
    world = World(M1, M2)
    given(world)
    admission = admit_tag(claim, world.image)
    assert admission.answer.word == word
    assert admission.answer.accepted is (word in {"ACCEPTED", "DUPLICATE"})
    kind = TagPlaced if claim.place else TagRemoved
    expected: tuple[Body, ...] = ()
    if word == "ACCEPTED":
        body = kind(
            kind=claim.kind,
            target=claim.target,
            by=claim.by,
            reason=claim.reason,
            origin=Origin.TECHNICIAN,
        )
        expected = (body,)
    assert admission.bodies == expected


# --- what the bus reports ---


def report(world: World, **changes: object) -> SwitchReport:
    (command,) = world.commands
    whole = SwitchReport(
        number=command.number,
        move=Move.CLOSE,
        serial=Serial("M1"),
        outcome=Outcome.CLOSED_VERIFIED,
        writes=1,
        written_ms=7,
        verified_ms=9,
        reading=Reading(
            state=CLOSED, mono_ms=9, supply_mv=231_000, load_mv=230_000, current_ma=1_500
        ),
        forced=True,
    )
    return msgspec.structs.replace(whole, **changes)


def closing() -> World:
    world = dark_and_paid(M1)
    world.plans()
    return world


def test_the_record_of_an_outcome_says_what_was_measured() -> None:
    world = closing()
    world.wait(800)
    body = admit_report(report(world), world.image)
    assert body == CloseEnded(
        close=1,
        account=Account("A1"),
        meter=Serial("M1"),
        dt=DtId("T1"),
        outcome=Outcome.CLOSED_VERIFIED,
        verdict="",
        why=Why.NONE,
        writes=1,
        forced=True,
        written_ms=7,
        verified_ms=9,
        state=CLOSED,
        load_mv=230_000,
        supply_mv=231_000,
        current_ma=1_500,
    )


def test_an_outcome_without_a_reading_claims_no_state() -> None:
    world = closing()
    unknown = report(world, outcome=Outcome.UNKNOWN, why=Why.NO_ANSWER, reading=None)
    body = admit_report(unknown, world.image)
    assert isinstance(body, CloseEnded)
    assert (body.outcome, body.why, body.state) == (
        Outcome.UNKNOWN,
        Why.NO_ANSWER,
        SupplyState.UNKNOWN,
    )
    assert (body.load_mv, body.supply_mv, body.current_ma) == (None, None, None)


@pytest.mark.parametrize(
    "changes",
    [{"number": 2}, {"serial": Serial("M2")}, {"move": Move.OPEN}, {"move": Move.RELEASE}],
    ids=["another close", "another meter", "an opening", "a release"],
)
def test_a_report_of_what_is_not_under_way_is_no_news(changes: dict[str, object]) -> None:
    world = closing()
    assert admit_report(report(world, **changes), world.image) is None


def opening(move: Move = Move.OPEN) -> World:
    """M1 has supply, and an order's opening (or release) of it is commanded."""
    world = World(M1)
    world.lists(50, entry(1, 10))
    world.hears()
    world.reads("M1", CLOSED)
    if move is Move.OPEN:
        assert world.ordered(cut(1)) == "ACCEPTED"
    else:
        world.image = with_kept(world.image, forced=("M1",))
        assert world.ordered(ReleaseForce(meters=("M1",))) == "ACCEPTED"
    world.plans()
    return world


@pytest.mark.parametrize(
    ("move", "outcome"),
    [(Move.OPEN, Outcome.OPENED_VERIFIED), (Move.RELEASE, Outcome.RELEASED)],
)
def test_the_record_of_what_an_order_did_names_the_order(move: Move, outcome: Outcome) -> None:
    world = opening(move)
    found = Reading(state=OPEN, mono_ms=9, supply_mv=231_000, load_mv=0, current_ma=0)
    body = admit_report(
        report(world, move=move, outcome=outcome, reading=found, forced=False), world.image
    )
    assert body == TaskEnded(
        number=1,
        move=move,
        order="order-1",
        account=Account("A1"),
        meter=Serial("M1"),
        dt=DtId("T1"),
        outcome=outcome,
        verdict="",
        why=Why.NONE,
        writes=1,
        forced=False,
        written_ms=7,
        verified_ms=9,
        state=OPEN,
        load_mv=0,
        supply_mv=231_000,
        current_ma=0,
    )


@pytest.mark.parametrize(
    "changes",
    [{"number": 2}, {"serial": Serial("M2")}, {"move": Move.CLOSE}],
    ids=["another command", "another meter", "a close"],
)
def test_a_report_of_no_order_s_command_is_no_news(changes: dict[str, object]) -> None:
    world = opening()
    given = report(world, **{"move": Move.OPEN, **changes})
    assert admit_report(given, world.image) is None


def test_a_report_on_a_meter_that_left_the_roster_names_no_transformer() -> None:
    world = closing()
    world.site(M2)
    body = admit_report(report(world), world.image)
    assert isinstance(body, CloseEnded)
    assert (body.account, body.dt) == ("A1", "")


# --- readings ---


def read(
    world: World,
    state: SupplyState,
    *,
    serial: str = "M1",
    age_ms: int = 0,
    cause: Cause | None = None,
) -> Body | None:
    reading = Reading(state=state, mono_ms=world.now.mono_ms - age_ms, cause=cause)
    return admit_reading(MeterSeen(serial=Serial(serial), reading=reading), world.image)


def test_the_first_reading_of_a_meter_is_a_change_from_unknown() -> None:
    body = read(World(M1), OPEN)
    assert isinstance(body, SupplyChanged)
    assert (body.account, body.before, body.after) == ("A1", SupplyState.UNKNOWN, OPEN)


def test_a_switch_that_moved_is_a_change() -> None:
    world = World(M1)
    world.reads("M1", OPEN)
    body = read(world, CLOSED)
    assert isinstance(body, SupplyChanged)
    assert (body.before, body.after) == (OPEN, CLOSED)


def test_what_the_meter_says_opened_it_is_taken_down_and_nothing_of_what_closed_it() -> None:
    world = World(M1)
    world.reads("M1", CLOSED)
    opened = read(world, OPEN, cause=Cause.PREPAY)
    assert isinstance(opened, SupplyChanged)
    assert opened.cause is Cause.PREPAY
    world.reads("M1", OPEN)
    closed = read(world, CLOSED, cause=Cause.PREPAY)
    assert isinstance(closed, SupplyChanged)
    assert closed.cause is None


def test_a_change_says_when_the_state_before_was_read_last() -> None:
    world = World(M1)
    world.reads("M1", CLOSED)
    world.wait(10_000)
    world.reads("M1", CLOSED)
    lit_ms = world.now.mono_ms
    world.wait(10_000)
    change = read(world, OPEN)
    assert isinstance(change, SupplyChanged)
    assert change.before_seen_ms == lit_ms
    world.restarts()
    change = read(world, OPEN)
    assert isinstance(change, SupplyChanged)
    assert (change.before, change.before_seen_ms) == (CLOSED, None), "not seen by this process"


def test_no_change_is_recorded_for_the_same_an_unknown_an_old_or_a_strange_reading() -> None:
    world = World(M1)
    world.reads("M1", OPEN)
    assert read(world, OPEN) is None
    assert read(world, SupplyState.UNKNOWN) is None
    assert read(world, CLOSED, age_ms=1) is None
    assert read(world, CLOSED, serial=meter(7).serial) is None
