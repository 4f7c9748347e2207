"""What stops a transformer, and what lets it go on: failed closes, under-voltage, people, time."""

from collections.abc import Callable

import pytest

from gateway.core.fact import Outcome, Why
from gateway.core.model import Brake, DtId, Meter, SupplyState
from gateway.core.orders import Resume
from gateway.core.reconnection import Verdict
from gateway.core.records import Body, PacingResumed, PacingStopped
from gateway.core.terms import CheckMeter, Pacing, Transformer
from gateway.core.watch import COOL_DOWN
from tests.core.cutting import begins
from tests.core.papers import HOUR_MS, M1, MINUTE_MS, meter
from tests.core.world import World, dark_and_paid

OPEN, CLOSED = SupplyState.DISCONNECTED, SupplyState.CONNECTED
Step = Callable[[World], object]
T1 = tuple(meter(number) for number in range(1, 13))
ON_T2 = meter(20, dt="T2")
FAILED, UNKNOWN = Outcome.FAILED, Outcome.UNKNOWN
DISAGREES = (Outcome.CLOSED_UNVERIFIED, Why.READS_DISAGREE)
Close = tuple[Meter, Outcome, Why]


def watched(world: World) -> list[Body]:
    """What the next tick writes down."""
    return list(world.plans().bodies)


def closes(*outcomes: Outcome | tuple[Outcome, Why], of: tuple[Meter, ...] = T1) -> list[Close]:
    """Closes of one meter after the other, and how they end."""
    told = [one if isinstance(one, tuple) else (one, Why.NONE) for one in outcomes]
    return [(on, *how) for on, how in zip(of, told, strict=False)]


WELL = (Outcome.CLOSED_VERIFIED,)
STOPS: list[tuple[str, list[Close], bool]] = [
    ("two fail", closes(FAILED, FAILED), True),
    ("one fails", closes(FAILED), False),
    ("one fails ten times", closes(*[FAILED] * 10, of=(M1,) * 10), False),
    ("one fails ten times, then another", closes(*[FAILED] * 11, of=(*(M1,) * 10, T1[1])), True),
    ("two are unknown", closes(UNKNOWN, UNKNOWN), True),
    ("one fails, one is unknown", closes(FAILED, UNKNOWN), True),
    ("two read back differently", closes(DISAGREES, DISAGREES), True),
    ("the first and the last of ten fail", closes(FAILED, *WELL * 8, FAILED), True),
    ("the first and the last of eleven fail", closes(FAILED, *WELL * 9, FAILED), False),
    ("two cannot show it", closes(*[Outcome.CLOSED_UNVERIFIED] * 2), False),
    ("two are armed", closes(*[Outcome.ARMED] * 2), False),
    ("two say no by an exception", closes(*[(FAILED, Why.EXCEPTION)] * 2), False),
    ("two are refused", closes(*[Outcome.REFUSED] * 2), False),
    ("one fails on each of two", closes(FAILED, FAILED, of=(M1, ON_T2)), False),
]


@pytest.mark.parametrize(
    ("history", "stops"),
    [row[1:] for row in STOPS],
    ids=[f"{row[0]}: it {'is stopped' if row[2] else 'goes on'}" for row in STOPS],
)
def test_a_transformer_whose_closes_fail(history: list[Close], stops: bool) -> None:
    world = World(*T1, ON_T2)
    for on, outcome, why in history:
        world.closed_before(on, outcome, why)
    bodies = watched(world)
    assert [type(body) for body in bodies] == ([PacingStopped] if stops else [])
    assert set(world.image.kept.stops) == ({"T1"} if stops else set())


def test_closes_that_were_never_sent_do_not_count() -> None:
    world = dark_and_paid(*T1[:2])
    for _ in range(2):
        command = begins(world)
        assert world.ends(command, FAILED, why=Why.NO_ANSWER, writes=0)
        world.wait(10_000)
    assert world.image.kept.trials == {}


@pytest.mark.parametrize("failures_max", [1, 3])
def test_how_many_it_takes_is_the_site_documents(failures_max: int) -> None:
    world = World(*T1, pacing=Pacing(failures_max=failures_max))
    for on in T1[: failures_max - 1]:
        world.closed_before(on, FAILED)
    assert watched(world) == []
    world.closed_before(T1[failures_max - 1], FAILED)
    names = ", ".join(one.serial for one in T1[:failures_max])
    detail = f"closes failed unexplained: {names}"
    assert watched(world) == [PacingStopped(dt=DtId("T1"), brake=Brake.FAILURES, detail=detail)]
    assert watched(world) == []


def stopped() -> World:
    """All of T1 and T2 wait; two of T1 have failed just now, so that it is stopped."""
    world = dark_and_paid(*T1[:5], ON_T2)
    for on in T1[:2]:
        world.closed_before(on, FAILED)
    world.wait(10_000)
    reads_all(world)
    return world


def reads_all(world: World) -> None:
    for serial, known in world.image.kept.supply.items():
        world.reads(serial, known.state)


def test_a_stop_holds_nobody_on_another_transformer() -> None:
    world = stopped()
    planned = world.plans()
    assert [command.meter for command in planned.commands] == [ON_T2]
    ruling = world.rules(T1[4])
    assert (ruling.verdict, ruling.brake) == (Verdict.PACED, Brake.FAILURES)
    assert ruling.not_before_ms == world.now.mono_ms + 600_000


def test_the_tick_that_stops_a_transformer_says_when_it_goes_on() -> None:
    assert stopped().plans().deadline_ms == 5 * HOUR_MS + 10_000 + 600_000


def test_a_stopped_transformer_goes_on_after_its_cool_down() -> None:
    world = stopped()
    world.plans()
    world.wait(600_000 - 1)
    assert watched(world) == []
    assert world.plans().deadline_ms == world.now.mono_ms + 1
    world.wait(1)
    (resumed, *_) = watched(world)
    assert resumed == PacingResumed(dt=DtId("T1"), by="COOL_DOWN", reason="the cool-down is over")
    world.closed_before(T1[2], FAILED)
    assert "T1" not in world.image.kept.trials or len(world.image.kept.trials["T1"]) == 1
    assert not [body for body in watched(world) if isinstance(body, PacingStopped)]


@pytest.mark.parametrize("again", [World.restarts, World.reboots], ids=["restart", "reboot"])
def test_a_stop_outlives_a_restart_and_so_does_its_cool_down(again: Step) -> None:
    world = stopped()
    world.plans()
    again(world)
    world.trusts_no_clock()
    reads_all(world)
    assert world.rules(T1[4]).brake is Brake.FAILURES
    world.wait(600_000)
    assert PacingResumed in {type(body) for body in watched(world)}


def by_a_person(world: World) -> None:
    assert world.resumes("T1") == "ACCEPTED"


def by_an_order(world: World) -> None:
    assert world.ordered(Resume(dt="T1", reason="looked at it")) == "ACCEPTED"


def by_itself(world: World) -> None:
    world.wait(600_000)
    reads_all(world)


@pytest.mark.parametrize("resumes", [by_a_person, by_an_order, by_itself])
def test_after_a_stop_the_first_close_is_alone_and_observed_again(resumes: Step) -> None:
    world = stopped()
    world.plans()
    world.wait(MINUTE_MS)
    reads_all(world)
    resumes(world)
    commands = [one for one in world.plans().commands if one.meter.dt == "T1"]
    assert len(commands) == 1
    began_ms = world.now.mono_ms
    assert world.ends(commands[0], state=CLOSED)
    waiting = next(one for one in T1[2:5] if one != commands[0].meter)
    world.wait(4_999)
    ruling = world.rules(waiting)
    assert (ruling.brake, ruling.not_before_ms) == (Brake.FIRST_ALONE, began_ms + 5_000)
    world.wait(1)
    assert world.rules(waiting).verdict is Verdict.PERMIT


def resumed_and_closing() -> World:
    """T1 was stopped and goes on; the first close since has ended well, 5 s ago."""
    world = stopped()
    world.plans()
    by_a_person(world)
    world.wait(1)
    world.closed_before(T1[2])
    world.wait(5_000)
    return world


def test_after_a_stop_only_the_first_close_is_observed() -> None:
    world = resumed_and_closing()
    world.closed_before(T1[3])
    assert world.rules(T1[4]).brake is Brake.GAP


def test_a_transformer_that_was_quiet_since_is_observed_anew_however_long_ago_it_was_stopped() -> (
    None
):
    world = resumed_and_closing()
    world.wait(world.image.pacing.quiet_ms)
    reads_all(world)
    world.closed_before(T1[3])
    assert world.rules(T1[4]).brake is Brake.FIRST_ALONE


def test_a_stop_has_the_word_before_what_holds_a_close_as_long() -> None:
    world = dark_and_paid(
        *T1[:2], pacing=Pacing(failures_max=1, first_alone_ms=600_000, cool_down_ms=600_000)
    )
    world.closed_before(M1, FAILED)
    world.plans()
    assert world.rules(T1[1]).brake is Brake.FAILURES


# --- under-voltage ---

CHECKED = Transformer(
    id="T1", check_meter=CheckMeter(serial="C1", profile="measures", bus="bus-1", unit=100)
)
LOW_MV, SOUND_MV = 206_999, 207_000


def checked(pacing: Pacing | None = None) -> World:
    """M1 waits on T1, which has a check meter; T2 has none."""
    world = World(M1, ON_T2, transformers=(CHECKED, Transformer(id="T2")), pacing=pacing)
    for number, one in ((1, M1), (20, ON_T2)):
        assert world.pays(number) == "ACCEPTED"
        world.reads(one.serial, OPEN)
    return world


def test_a_transformer_whose_check_meter_reads_too_little_is_stopped() -> None:
    world = checked()
    world.measures("C1", LOW_MV)
    planned = world.plans()
    detail = "the check meter reads 207 V"
    stop = PacingStopped(dt=DtId("T1"), brake=Brake.UNDERVOLTAGE, detail=detail)
    assert planned.bodies[0] == stop
    assert [command.meter for command in planned.commands] == [ON_T2]
    assert world.rules().brake is Brake.UNDERVOLTAGE


def reads_just_enough(world: World) -> None:
    world.measures("C1", SOUND_MV)


def read_too_long_ago(world: World) -> None:
    world.measures("C1", LOW_MV)
    world.wait(60_001)


def reads_no_voltage_at_all(world: World) -> None:
    world.reads("C1", SupplyState.UNKNOWN)


def another_reads_little(world: World) -> None:
    world.measures("C2", LOW_MV)


@pytest.mark.parametrize(
    "given", [reads_just_enough, read_too_long_ago, reads_no_voltage_at_all, another_reads_little]
)
def test_it_goes_on_when_the_check_meter_says_nothing_against_it(given: Step) -> None:
    world = checked()
    given(world)
    assert world.plans().bodies[:1] != ()
    assert world.image.kept.stops == {}


def test_a_reading_of_a_minute_ago_still_counts() -> None:
    world = checked()
    world.measures("C1", LOW_MV)
    world.wait(60_000)
    world.plans()
    assert set(world.image.kept.stops) == {"T1"}


def test_how_little_is_too_little_is_the_site_documents() -> None:
    world = checked(Pacing(undervoltage_percent=80, nominal_mv=240_000))
    world.measures("C1", 192_000)
    world.plans()
    assert world.image.kept.stops == {}
    world.measures("C1", 191_999)
    world.plans()
    assert set(world.image.kept.stops) == {"T1"}


def test_after_the_cool_down_it_goes_on_only_when_the_voltage_is_sound() -> None:
    world = checked()
    world.measures("C1", LOW_MV)
    world.plans()
    world.wait(600_000)
    world.measures("C1", LOW_MV)
    for _ in range(2):
        assert watched(world) == []
        world.reads("M1", OPEN)
        ruling = world.rules()
        assert (ruling.verdict, ruling.brake) == (Verdict.PACED, Brake.UNDERVOLTAGE)
        assert ruling.not_before_ms == world.now.mono_ms + 600_000, "as long as can be said now"
        world.wait(1)
    world.wait(MINUTE_MS)
    world.measures("C1", SOUND_MV)
    assert PacingResumed(dt=DtId("T1"), by=COOL_DOWN, reason="the cool-down is over") in watched(
        world
    )


def test_who_resumes_it_by_name_while_the_voltage_is_low_is_believed_for_a_cool_down() -> None:
    world = checked()
    world.measures("C1", LOW_MV)
    world.plans()
    by_a_person(world)
    assert PacingStopped not in {type(body) for body in watched(world)}
    assert world.rules().brake is not Brake.UNDERVOLTAGE
    world.wait(world.image.pacing.cool_down_ms)
    world.measures("C1", LOW_MV)
    assert PacingStopped in {type(body) for body in watched(world)}


@pytest.mark.parametrize(("supply_mv", "stops"), [(12_000, False), (45_999, False), (46_000, True)])
def test_a_check_meter_that_reads_next_to_nothing_stops_nobody(supply_mv: int, stops: bool) -> None:
    world = checked()
    world.measures("C1", supply_mv)
    assert (PacingStopped in {type(body) for body in watched(world)}) is stops
