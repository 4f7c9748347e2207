"""What the status says of what is to come: turns, the last close, stops, graces, orders."""

import msgspec
import pytest

from gateway.core.alarms import Alarm
from gateway.core.fact import Outcome, TagKind
from gateway.core.model import Account, Brake, Cause, DtId, Serial, SupplyState
from gateway.core.reconnection import Verdict
from gateway.core.records import GraceGranted, PacingStopped
from gateway.core.status import IN_PROGRESS, GraceStatus, MeterStatus, Status, StopStatus, status_of
from gateway.core.terms import Disconnection, Limits, Pacing
from tests.core.papers import HOUR_MS, M1, M2, MINUTE_MS, cut, entry, meter
from tests.core.told import begins, ends
from tests.core.world import World, dark_and_paid

OPEN, CLOSED = SupplyState.DISCONNECTED, SupplyState.CONNECTED
M3 = meter(3)
STEADY = Pacing(jitter_percent=0)
ANYTIME = Disconnection(protected=())
T1, T3 = DtId("T1"), DtId("T3")


def status(world: World) -> Status:
    return status_of(world.image, world.now)


def dark(world: World) -> dict[str, MeterStatus]:
    return {one.meter: one for one in status(world).dark}


# --- what opened it, and what holds it ---


def test_what_opened_a_switch_is_said_where_it_is_known() -> None:
    world = World(M1, M2, M3)
    world.reads("M1", OPEN, cause=Cause.PREPAY)
    world.reads("M2", OPEN)
    world.reads("M3", OPEN)
    world.says(Cause.TECHNICIAN, on="M3")
    said = dark(world)
    assert [said[name].cause for name in ("M1", "M2", "M3")] == ["PREPAY", None, "TECHNICIAN"]
    world.reads("M1", CLOSED)
    world.reads("M1", OPEN)
    assert dark(world)["M1"].cause is None, "of the opening before it"


def test_what_holds_a_permitted_close_is_named() -> None:
    world = dark_and_paid(M1, M2, pacing=STEADY)
    assert (dark(world)["M1"].brake, dark(world)["M1"].wait_ms) == (None, None)
    command = begins(world)
    going = dark(world)["M1"]
    assert (going.verdict, going.brake, going.wait_ms) == (IN_PROGRESS, None, None)
    assert going.foretold_ms is None
    waiting = dark(world)["M2"]
    assert (waiting.verdict, waiting.brake) == (Verdict.PACED, Brake.UNDER_WAY)
    world.wait(1_000)
    ends(world, command, Outcome.FAILED, reads=OPEN)
    assert dark(world)["M2"].brake == Brake.FIRST_ALONE
    assert (dark(world)["M1"].brake, dark(world)["M1"].wait_ms) == (Brake.SETBACK, 15_000)
    world.tags(TagKind.HOLD, "M2")
    held = dark(world)["M2"]
    assert (held.verdict, held.brake, held.wait_ms) == (Verdict.METER_HELD, None, None)


# --- who comes when, and whether that is in time ---


def test_who_comes_when_is_foretold_up_to_the_last() -> None:
    world = dark_and_paid(M1, M2, M3, pacing=STEADY)
    foretold = {name: one.foretold_ms for name, one in dark(world).items()}
    assert foretold == {"M1": 0, "M2": 5_000, "M3": 7_000}
    assert status(world).foretold_finish_ms == 7_000
    world.tags(TagKind.HOLD, "M2")
    foretold = {name: one.foretold_ms for name, one in dark(world).items()}
    assert foretold == {"M1": 0, "M2": None, "M3": 5_000}
    assert status(world).foretold_finish_ms == 5_000
    begins(world)
    world.wait(1_000)
    assert dark(world)["M3"].foretold_ms == 5_000, "it is on the wire now at the earliest"
    world.tags(TagKind.HOLD, "M3")
    assert status(world).foretold_finish_ms is None


def test_nothing_is_foretold_for_who_has_not_paid() -> None:
    world = World(M1)
    world.reads("M1", OPEN)
    assert dark(world)["M1"].foretold_ms is None
    assert status(world).foretold_finish_ms is None


def test_the_promise_is_at_risk_as_soon_as_the_last_is_foretold_too_late() -> None:
    pacing = Pacing(first_alone_ms=600_000)
    world = dark_and_paid(M1, M2, pacing=pacing)
    world.site(M1, M2, limits=Limits(promise_ms=600_000))
    assert status(world).foretold_finish_ms == 600_000
    assert Alarm.PROMISE_AT_RISK not in status(world).alarms
    world.wait(1)
    assert Alarm.PROMISE_AT_RISK in status(world).alarms
    world.tags(TagKind.HOLD, "M2")
    assert Alarm.PROMISE_AT_RISK not in status(world).alarms, "the promise is for unheld consumers"
    world.tags(TagKind.HOLD, "M2", place=False)
    world.wait(600_000)
    for one in (M1, M2):
        world.reads(one.serial, OPEN)
    assert Alarm.PROMISE_AT_RISK not in status(world).alarms
    assert Alarm.PROMISE_BROKEN in status(world).alarms, "what is too late is at risk no more"


# --- what stands still ---


def test_a_stopped_transformer_is_told_with_when_it_goes_on() -> None:
    world = dark_and_paid(M1, meter(3, dt="T3"), pacing=Pacing(cool_down_ms=MINUTE_MS))
    world.record(PacingStopped(dt=T3, brake=Brake.UNDERVOLTAGE, detail="190 V"))
    world.wait(10_000)
    world.record(PacingStopped(dt=T1, brake=Brake.FAILURES, detail="M7, M8"))
    assert status(world).stops == (
        StopStatus(dt="T1", brake=Brake.FAILURES, detail="M7, M8", over_ms=60_000),
        StopStatus(dt="T3", brake=Brake.UNDERVOLTAGE, detail="190 V", over_ms=50_000),
    )
    stopped = dark(world)["M3"]
    assert (stopped.verdict, stopped.brake) == (Verdict.PACED, Brake.UNDERVOLTAGE)
    assert stopped.wait_ms == stopped.foretold_ms == 50_000
    world.wait(2 * MINUTE_MS)
    assert [stop.over_ms for stop in status(world).stops] == [0, 0], "its reason still stands"
    world.resumes("T3")
    assert [stop.dt for stop in status(world).stops] == ["T1"]


def test_a_grace_is_told_with_what_is_left_of_its_hours() -> None:
    world = World(M1, M2, disconnection=ANYTIME)
    for serial in ("M1", "M2"):
        account = Account(f"A{serial[1:]}")
        body = GraceGranted(account=account, meter=Serial(serial), n=0, hours=4, silent_ms=0)
        world.record(body)
        world.wait(HOUR_MS)
    assert status(world).graces == (
        GraceStatus(account="A1", over_ms=2 * HOUR_MS),
        GraceStatus(account="A2", over_ms=3 * HOUR_MS),
    )
    world.wait(2 * HOUR_MS + 1)
    assert [grace.over_ms for grace in status(world).graces] == [-1, HOUR_MS - 1]
    world.hears()
    world.lists(50)
    world.reads("M1", CLOSED)
    assert world.ordered(cut(1)) == "ACCEPTED"
    assert [grace.account for grace in status(world).graces] == ["A2"], "the head end has decided"


# --- orders ---


@pytest.mark.parametrize("restarts", [False, True], ids=["going on", "after a restart"])
def test_orders_are_counted_and_so_is_what_they_left_to_do(restarts: bool) -> None:
    world = World(M1, M2, disconnection=ANYTIME)
    world.lists(50, entry(1, 10), entry(2, 10))
    world.hears()
    for one in (M1, M2):
        world.reads(one.serial, CLOSED)
    assert world.ordered(cut(1, 2)) == "ACCEPTED"
    assert (status(world).order_seq, status(world).tasks) == (1, 2)
    if restarts:
        world.restarts()
        world.hears()
        for one in (M1, M2):
            world.reads(one.serial, CLOSED)
    (command,) = world.plans().commands
    assert status(world).tasks == 2, "one is under way and one has to wait"
    assert world.ends(command, state=OPEN)
    assert (status(world).order_seq, status(world).tasks) == (1, 1)
    assert status(world).standing["CUT"] == 2


def test_an_order_that_was_refused_is_used_up_and_leaves_nothing_to_do() -> None:
    world = World(M1)
    world.reads("M1", CLOSED)
    assert world.ordered(cut(1)) == "LIST_STALE"
    assert (status(world).order_seq, status(world).tasks) == (1, 0)


def test_the_terms_of_the_site_are_said() -> None:
    limits = Limits(promise_ms=600_000, compensation_ms=3_600_000)
    world = World(M1, limits=limits)
    said = status(world)
    assert (said.promise_ms, said.compensation_ms) == (600_000, 3_600_000)
    world.image = msgspec.structs.replace(world.image, acked_through=1)
    assert (status(world).records, status(world).outbox) == (1, 0)
