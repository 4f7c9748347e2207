"""What somebody at this machine says: why a switch is open, and that a transformer may go on."""

from collections.abc import Callable

import pytest

from gateway.core.fact import Outcome, TagKind
from gateway.core.model import Brake, Cause, DtId, SupplyState
from gateway.core.reconnection import Verdict
from gateway.core.records import CauseRecorded, PacingResumed, SupplyChanged
from tests.core.cutting import ANYTIME
from tests.core.papers import HOUR_MS, M1, M2, cut, entry
from tests.core.world import World

OPEN, CLOSED = SupplyState.DISCONNECTED, SupplyState.CONNECTED
ARMED = SupplyState.READY_FOR_RECONNECTION
Step = Callable[[World], object]
Said = Callable[[World], str]


def nothing(world: World) -> None:
    """M1 is open and on the list as paid, and nothing says why it is open."""


def reads_closed(world: World) -> None:
    world.reads("M1", CLOSED)


def reads_armed(world: World) -> None:
    world.reads("M1", ARMED)


def was_never_read(world: World) -> None:
    assert world.site(M2) == "ACCEPTED"
    assert world.site(M1, M2) == "ACCEPTED"


def left_the_roster(world: World) -> None:
    assert world.site(M2) == "ACCEPTED"


def says(cause: Cause, on: str = "M1", by: str = "R. Patel", reason: str = "looked at it") -> Said:
    """Somebody says what opened a switch."""
    return lambda world: world.says(cause, on, by, reason)


def said(*causes: Cause) -> Step:
    """Somebody has said what opened M1."""

    def step(world: World) -> None:
        for cause in causes:
            assert world.says(cause) == "ACCEPTED"

    return step


def open_and_listed(*, marked: bool = False) -> World:
    """A world in which M1 and M2 are open and listed as paid."""
    world = World(M1, M2)
    assert world.lists(50, entry(1, 10, cut=marked), entry(2, 10)) == "ACCEPTED"
    for one in (M1, M2):
        world.reads(one.serial, OPEN)
    return world


BY_HAND = [cause for cause in Cause if cause is not Cause.ORDER]
ARREARS = Cause.ARREARS
CLAIMS: list[tuple[str, Step, Said, str]] = [
    *((f"{cause} opened it", nothing, says(cause), "ACCEPTED") for cause in BY_HAND),
    ("ORDER opened it", nothing, says(Cause.ORDER), "NOT_BY_HAND"),
    ("a cause of nobody's meter here", nothing, says(ARREARS, on="M7"), "NOT_ON_ROSTER"),
    ("a cause of a meter that is gone", left_the_roster, says(ARREARS), "NOT_ON_ROSTER"),
    ("a cause of a closed switch", reads_closed, says(ARREARS), "ALREADY_CONNECTED"),
    ("a cause of a switch never read", was_never_read, says(ARREARS), "ALREADY_CONNECTED"),
    ("a cause of an armed switch", reads_armed, says(ARREARS), "ACCEPTED"),
    ("the same cause again", said(ARREARS), says(ARREARS), "DUPLICATE"),
    ("another cause after it", said(ARREARS), says(Cause.TRIP), "ACCEPTED"),
    ("the first cause after another", said(ARREARS, Cause.TRIP), says(ARREARS), "ACCEPTED"),
    ("a cause by nobody", nothing, says(ARREARS, by=" "), "NAME_OR_REASON_MISSING"),
    ("a cause without a reason", nothing, says(ARREARS, reason=""), "NAME_OR_REASON_MISSING"),
    ("a name and a reason of full length", nothing, says(ARREARS, by="y" * 64, reason="y" * 200),
     "ACCEPTED"),
    ("a name too long", nothing, says(ARREARS, by="y" * 65), "TOO_LONG"),
    ("a reason too long", nothing, says(ARREARS, reason="y" * 201), "TOO_LONG"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("step", "claim", "word"),
    [row[1:] for row in CLAIMS],
    ids=[f"{row[0]}: {row[3]}" for row in CLAIMS],
)
def test_a_cause_is_said(step: Step, claim: Said, word: str) -> None:
    world = open_and_listed()
    step(world)
    number, before = world.image.number, world.image.kept.causes
    assert claim(world) == word
    written = [record.body for record, _ in world.journal if record.number > number]
    assert [type(body) for body in written] == ([CauseRecorded] if word == "ACCEPTED" else [])
    if word != "ACCEPTED":
        assert world.image.kept.causes == before


def test_who_said_it_answers_for_it_by_name() -> None:
    world = open_and_listed()
    world.says(Cause.ARREARS, by="A. Singh", reason="the notice is on the door")
    body = world.journal[-1][0].body
    assert isinstance(body, CauseRecorded)
    assert (body.serial, body.account, body.cause) == ("M1", "A1", Cause.ARREARS)
    assert (body.by, body.reason) == ("A. Singh", "the notice is on the door")
    opened = world.image.kept.causes["M1"]
    assert (opened.cause, opened.by) == (Cause.ARREARS, "A. Singh")


# --- what a cause settles ---

SETTLES: list[tuple[Cause, Verdict]] = [
    (Cause.ARREARS, Verdict.PERMIT),
    (Cause.PREPAY, Verdict.PERMIT),
    (Cause.POWER_UP, Verdict.PERMIT),
    (Cause.TECHNICIAN, Verdict.CAUSE_UNKNOWN),
    (Cause.TRIP, Verdict.CAUSE_UNKNOWN),
]
each_cause = pytest.mark.parametrize(
    ("cause", "verdict"), SETTLES, ids=[f"{cause}: {verdict}" for cause, verdict in SETTLES]
)


def test_without_any_cause_a_paid_open_meter_is_left_alone() -> None:
    assert open_and_listed().rules().verdict is Verdict.CAUSE_UNKNOWN


@each_cause
def test_a_cause_that_somebody_said(cause: Cause, verdict: Verdict) -> None:
    world = open_and_listed()
    assert world.says(cause) == "ACCEPTED"
    assert world.rules().verdict is verdict
    assert world.rules(M2).verdict is Verdict.CAUSE_UNKNOWN


@each_cause
def test_a_cause_that_the_meter_itself_shows(cause: Cause, verdict: Verdict) -> None:
    for before in (CLOSED, ARMED):
        world = open_and_listed()
        world.reads("M1", before)
        world.reads("M1", OPEN, cause=cause)
        body = world.journal[-1][0].body
        assert isinstance(body, SupplyChanged)
        assert body.cause is cause
        assert world.rules().verdict is verdict


@each_cause
def test_a_cause_that_the_meter_shows_when_it_is_first_read(cause: Cause, verdict: Verdict) -> None:
    world = World(M1)
    world.lists(50, entry(1, 10))
    world.reads("M1", OPEN, cause=cause)
    assert world.rules().verdict is verdict


@each_cause
def test_a_cause_counts_for_more_than_the_lists_mark(cause: Cause, verdict: Verdict) -> None:
    world = open_and_listed(marked=True)
    assert world.rules().verdict is Verdict.PERMIT
    assert world.says(cause) == "ACCEPTED"
    assert world.rules().verdict is verdict


@pytest.mark.parametrize("cause", BY_HAND, ids=str)
def test_a_receipt_asks_whatever_the_cause_is(cause: Cause) -> None:
    world = open_and_listed()
    world.says(cause)
    assert world.pays(1, 100) == "ACCEPTED"
    assert world.rules().verdict is Verdict.PERMIT


@pytest.mark.parametrize("cause", BY_HAND, ids=str)
def test_a_cause_grants_nothing(cause: Cause) -> None:
    world = open_and_listed()
    world.says(cause)
    world.lists(1_000)
    assert world.rules().verdict is Verdict.NOT_PAID


def test_a_cause_unlocks_no_hold() -> None:
    world = open_and_listed()
    world.tags(TagKind.HOLD, "M1")
    world.says(Cause.ARREARS)
    assert world.rules().verdict is Verdict.METER_HELD


def test_the_last_word_about_the_cause_counts() -> None:
    world = open_and_listed()
    world.says(Cause.ARREARS)
    world.says(Cause.TRIP)
    assert world.rules().verdict is Verdict.CAUSE_UNKNOWN
    world.reads("M1", ARMED)
    world.reads("M1", OPEN, cause=Cause.PREPAY)
    assert world.rules().verdict is Verdict.PERMIT


# --- how long it is remembered ---


@pytest.mark.parametrize("again", [World.restarts, World.reboots], ids=["restart", "reboot"])
def test_a_cause_is_remembered(again: Step) -> None:
    world = open_and_listed()
    world.says(Cause.ARREARS)
    again(world)
    world.reads("M1", OPEN)
    assert world.rules().verdict is Verdict.PERMIT


@pytest.mark.parametrize("cause", BY_HAND, ids=str)
def test_a_cause_is_forgotten_when_the_switch_is_closed_again(cause: Cause) -> None:
    world = open_and_listed()
    world.says(cause)
    world.reads("M1", CLOSED)
    assert world.image.kept.causes == {}
    world.reads("M1", OPEN)
    assert world.rules().verdict is Verdict.CAUSE_UNKNOWN


def test_a_cause_that_the_meter_shows_while_it_is_closed_is_none() -> None:
    world = open_and_listed()
    world.reads("M1", CLOSED, cause=Cause.ARREARS)
    world.reads("M1", OPEN)
    assert world.image.kept.causes == {}


def test_a_cause_goes_with_its_meter_from_the_roster() -> None:
    world = open_and_listed()
    world.says(Cause.ARREARS)
    was_never_read(world)
    world.reads("M1", OPEN)
    assert world.rules().verdict is Verdict.CAUSE_UNKNOWN


def test_an_order_that_opened_it_is_a_cause_that_nobody_has_to_say() -> None:
    world = open_and_listed()
    world.hears()
    world.site(M1, M2, disconnection=ANYTIME)
    world.reads("M1", CLOSED)
    assert world.ordered(cut(1)) == "ACCEPTED"
    (command,) = world.plans().commands
    world.ends(command, state=OPEN)
    assert world.says(Cause.ARREARS) == "ACCEPTED"
    assert world.image.kept.causes["M1"].cause is Cause.ARREARS


# --- a stopped transformer ---


def stopped() -> World:
    """T1 is stopped."""
    world = open_and_listed()
    for one in (M1, M2):
        world.closed_before(one, Outcome.FAILED)
    world.plans()
    assert world.image.kept.stops["T1"].brake is Brake.FAILURES
    return world


RESUMES: list[tuple[str, str, str, str, str]] = [
    ("a stopped transformer goes on", "T1", "R. Patel", "looked at it", "ACCEPTED"),
    ("a transformer of nobody here", "T7", "R. Patel", "looked at it", "NOT_ON_ROSTER"),
    ("by nobody", "T1", "", "looked at it", "NAME_OR_REASON_MISSING"),
    ("without a reason", "T1", "R. Patel", "\t", "NAME_OR_REASON_MISSING"),
    ("by a name too long", "T1", "y" * 65, "looked at it", "TOO_LONG"),
    ("for a reason too long", "T1", "R. Patel", "y" * 201, "TOO_LONG"),
]


@pytest.mark.parametrize(
    ("dt", "by", "reason", "word"),
    [row[1:] for row in RESUMES],
    ids=[f"{row[0]}: {row[4]}" for row in RESUMES],
)
def test_somebody_lets_a_transformer_go_on(dt: str, by: str, reason: str, word: str) -> None:
    world = stopped()
    assert world.resumes(dt, by, reason) == word
    assert ("T1" in world.image.kept.stops) is (word != "ACCEPTED")
    if word == "ACCEPTED":
        body = world.journal[-1][0].body
        assert body == PacingResumed(dt=DtId("T1"), by=by, reason=reason)
        assert world.resumes(dt, by, reason) == "DUPLICATE"


def test_what_is_not_stopped_needs_nobody() -> None:
    world = open_and_listed()
    number = world.image.number
    assert world.resumes() == "DUPLICATE"
    assert world.image.number == number


def test_a_stop_is_remembered_until_somebody_comes() -> None:
    world = stopped()
    world.wait(HOUR_MS // 10)
    world.reboots()
    assert world.image.kept.stops["T1"].brake is Brake.FAILURES
    assert world.resumes() == "ACCEPTED"
