"""What the gateway says of itself: counts, words of the one rule, alarms."""

from collections.abc import Callable

import msgspec
import pytest

from gateway.core.alarms import Alarm
from gateway.core.fact import BrokerSeen, BusSeen, HeadEndSeen, Observation, Outcome, TagKind, Why
from gateway.core.image import observe
from gateway.core.model import Account, Brake, BusId, DtId, Instant, Serial, SupplyState
from gateway.core.reconnection import Verdict
from gateway.core.records import GraceGranted, PacingStopped
from gateway.core.standing import Standing
from gateway.core.status import IN_PROGRESS, HeadEndStatus, MeterStatus, Status, notable, status_of
from gateway.core.terms import Disconnection, Limits
from tests.core.papers import FAR_MS, HOUR_MS, LEDGER_MS, M1, M2, MINUTE_MS, cut, entry, meter
from tests.core.world import World, dark_and_paid

OPEN, CLOSED = SupplyState.DISCONNECTED, SupplyState.CONNECTED
BUS, T1 = BusId("bus-1"), DtId("T1")


def status(world: World) -> Status:
    return status_of(world.image, world.now)


def sees(world: World, seen: Observation) -> None:
    at = Instant(boot=world.now.boot, mono_ms=world.now.mono_ms, wall_ms=world.now.wall_ms)
    world.image = observe(world.image, seen, at)


def dark(world: World) -> dict[str, MeterStatus]:
    return {one.meter: one for one in status(world).dark}


def test_a_gateway_that_knows_nothing_says_so() -> None:
    world = World()
    world.trusts_no_clock()
    said = status(world)
    assert (said.gateway, said.boot, said.online) == ("gw-1", "boot-1", True)
    assert (said.site_seq, said.list, said.meters, said.dark) == (None, None, 0, ())
    assert (said.broker, said.head_end, said.buses) == (None, None, ())
    assert (said.order_seq, said.tasks, said.stops, said.graces) == (0, 0, (), ())
    assert (said.waiting, said.foretold_finish_ms) == (0, None)
    assert said.alarms == (Alarm.NO_SITE, Alarm.NO_LIST)
    assert not said.clock_trusted


def test_the_counts() -> None:
    world = World(M1, M2, meter(3), meter(4))
    world.lists(500, entry(1, 400), entry(4, 400))
    world.reads("M1", OPEN)
    world.reads("M2", OPEN)
    world.reads("M3", CLOSED)
    assert status(world).waiting == 2
    world.tags(TagKind.HOLD, "M2")
    world.tags(TagKind.ISOLATE_DT, "T1")
    world.tags(TagKind.ISOLATE_FEEDER)
    world.refuses("GARBAGE")
    world.image = msgspec.structs.replace(world.image, acked_through=3)
    said = status(world)
    assert (said.site_seq, said.meters) == (1, 4)
    assert said.standing == {"PAID": 2, "CUT": 0, "NONE": 2}
    assert said.supply == {
        "CONNECTED": 1,
        "DISCONNECTED": 2,
        "READY_FOR_RECONNECTION": 0,
        "UNKNOWN": 1,
    }
    assert [one.meter for one in said.dark] == ["M1", "M2", "M4"]
    assert said.waiting == 0, "the promise is for unheld consumers"
    assert (said.holds, said.isolations) == (1, 2)
    assert (said.records, said.acked_through, said.outbox) == (9, 3, 6)
    assert said.refusals == {"GARBAGE": 1}


def test_a_dark_meter_says_why_in_the_rules_own_words() -> None:
    world = dark_and_paid(M1, M2, meter(3))
    world.tags(TagKind.HOLD, "M3")
    assert dark(world)["M1"].verdict == Verdict.PERMIT
    world.plans()
    assert dark(world)["M1"].verdict == IN_PROGRESS
    paced = dark(world)["M2"]
    assert (paced.verdict, paced.wait_ms) == (Verdict.PACED, 5_000)
    held = dark(world)["M3"]
    assert (held.verdict, held.wait_ms, held.last_outcome, held.last_detail) == (
        Verdict.METER_HELD,
        None,
        None,
        "",
    )
    assert (held.account, held.dt, held.state, held.standing) == (
        "A3",
        "T1",
        OPEN,
        Standing.PAID,
    )


@pytest.mark.parametrize(
    ("outcome", "verdict", "why", "detail"),
    [
        (Outcome.REFUSED, Verdict.BACKFEED, Why.NONE, "BACKFEED"),
        (Outcome.FAILED, "", Why.STILL_OPEN, "STILL_OPEN"),
        (Outcome.ARMED, "", Why.NONE, ""),
    ],
    ids=["refused", "failed", "armed"],
)
def test_the_last_outcome_and_its_reason(
    outcome: Outcome, verdict: str, why: Why, detail: str
) -> None:
    world = dark_and_paid(M1)
    world.closed_before(M1, outcome)
    ended = msgspec.structs.replace(world.image.kept.ended["M1"], verdict=verdict, why=why)
    kept = msgspec.structs.replace(world.image.kept, ended={"M1": ended})
    world.image = msgspec.structs.replace(world.image, kept=kept)
    assert (dark(world)["M1"].last_outcome, dark(world)["M1"].last_detail) == (outcome, detail)


def test_the_list_in_force_with_its_age() -> None:
    world = World(M1)
    world.lists(500, entry(1, 400))
    world.wait(MINUTE_MS)
    said = status(world).list
    assert said is not None
    assert (said.seq, said.as_of, said.stale_after, said.stale) == (
        1,
        LEDGER_MS + 500,
        FAR_MS,
        False,
    )
    assert (said.entries, said.signer, said.age_ms) == (1, "list-1", MINUTE_MS)


def test_the_head_end_and_the_broker_are_two_things() -> None:
    world = World(M1)
    sees(world, BrokerSeen(connected=True, protocol="5"))
    assert status(world).head_end is None
    world.hears()
    world.plans()
    world.wait(MINUTE_MS)
    assert status(world).head_end == HeadEndStatus(online=True, since_ms=MINUTE_MS)
    world.hears()
    world.hears(online=False)
    world.plans()
    world.wait(2 * MINUTE_MS)
    said = status(world)
    assert said.broker == BrokerSeen(connected=True, protocol="5")
    assert said.head_end == HeadEndStatus(online=False, since_ms=2 * MINUTE_MS)


def test_the_buses_stand_in_the_order_of_their_names() -> None:
    world = World(M1)
    for name in ("bus-9", "bus-1", "bus-5"):
        sees(world, BusSeen(bus=BusId(name), open=True))
    assert [bus.bus for bus in status(world).buses] == ["bus-1", "bus-5", "bus-9"]


def test_a_trusted_clock_is_said_to_be_so() -> None:
    world = World()
    assert status(world).clock_trusted


def test_the_promise_is_broken_only_after_its_time_and_only_for_who_has_paid() -> None:
    world = World(M1, M2, limits=Limits(promise_ms=10 * MINUTE_MS))
    for one in (M1, M2):
        world.reads(one.serial, OPEN)
    world.pays(1)
    world.wait(10 * MINUTE_MS)
    said = status(world)
    assert (said.waiting, said.longest_wait_ms, said.promise_ms) == (1, 600_000, 600_000)
    assert said.promise_broken == 0
    assert Alarm.PROMISE_BROKEN not in said.alarms
    world.wait(1)
    said = status(world)
    assert (said.promise_broken, said.longest_wait_ms) == (1, 600_001)
    assert Alarm.PROMISE_BROKEN in said.alarms


# --- alarms ---


def all_is_well(world: World) -> None:
    """A site, a fresh list, an open bus without a silent meter."""


def list_goes_stale(world: World) -> None:
    world.wait(20_000 * 3_600_000)


def bus_is_shut(world: World) -> None:
    sees(world, BusSeen(bus=BUS, open=False))


def a_meter_is_silent(world: World) -> None:
    sees(world, BusSeen(bus=BUS, open=True, silent=(Serial("M1"),)))


def a_close_failed(world: World) -> None:
    world.reads("M1", OPEN)
    world.closed_before(M1, Outcome.FAILED)


def a_close_ended_unknown(world: World) -> None:
    world.reads("M1", OPEN)
    world.closed_before(M1, Outcome.UNKNOWN)


def a_close_failed_and_the_next_did_not(world: World) -> None:
    a_close_failed(world)
    world.closed_before(M1)


def a_close_ended_unknown_and_the_meter_reads_closed(world: World) -> None:
    a_close_ended_unknown(world)
    world.reads("M1", CLOSED)


def a_close_ended_with_nothing_behind_it(world: World) -> None:
    world.closed_before(M1, Outcome.CLOSED_UNVERIFIED, why=Why.READS_DISAGREE)
    world.reads("M1", CLOSED)


def a_transformer_is_stopped(world: World) -> None:
    world.record(PacingStopped(dt=T1, brake=Brake.FAILURES, detail="M1"))


def a_transformer_was_stopped_and_goes_on(world: World) -> None:
    a_transformer_is_stopped(world)
    world.resumes()


def a_grace_is_given(world: World) -> None:
    account, serial = Account("A2"), Serial("M2")
    world.record(GraceGranted(account=account, meter=serial, n=0, hours=4, silent_ms=0))


def a_grace_ends(world: World) -> None:
    a_grace_is_given(world)
    world.wait(4 * HOUR_MS)


def a_grace_is_almost_over(world: World) -> None:
    a_grace_is_given(world)
    world.wait(4 * HOUR_MS - 1)


def a_grace_ends_for_who_has_been_cut_anew(world: World) -> None:
    a_grace_ends(world)
    world.hears()
    world.reads("M2", CLOSED)
    assert world.ordered(cut(2, n=2_000)) == "ACCEPTED"


ALARMS: list[tuple[str, Callable[[World], None], set[Alarm]]] = [
    ("all is well", all_is_well, set()),
    ("the list goes stale", list_goes_stale, {Alarm.LIST_STALE}),
    ("a bus is shut", bus_is_shut, {Alarm.BUS_DOWN}),
    ("a meter is silent", a_meter_is_silent, {Alarm.METERS_SILENT}),
    ("a close failed", a_close_failed, {Alarm.CLOSE_FAILED}),
    ("nobody knows how a close ended", a_close_ended_unknown, {Alarm.CLOSE_FAILED}),
    (
        "a switch closed and nothing comes out of it",
        a_close_ended_with_nothing_behind_it,
        {Alarm.CLOSED_WITHOUT_SUPPLY},
    ),
    ("a transformer is stopped", a_transformer_is_stopped, {Alarm.PACING_STOPPED}),
    ("a transformer was stopped and goes on", a_transformer_was_stopped_and_goes_on, set()),
    ("a grace is given", a_grace_is_given, set()),
    ("a grace is almost over", a_grace_is_almost_over, set()),
    ("a grace ends", a_grace_ends, {Alarm.GRACE_OVER}),
    ("a grace ends, and a new cut stands", a_grace_ends_for_who_has_been_cut_anew, set()),
    ("a close failed and the next did not", a_close_failed_and_the_next_did_not, set()),
    # Once the alarm stood until the next close of that meter, which might never be needed.
    (
        "nobody knows how a close ended, and the meter reads closed",
        a_close_ended_unknown_and_the_meter_reads_closed,
        set(),
    ),
]


@pytest.mark.parametrize(
    ("happens", "alarms"), [row[1:] for row in ALARMS], ids=[row[0] for row in ALARMS]
)
def test_the_alarms(happens: Callable[[World], None], alarms: set[Alarm]) -> None:
    world = World(M1, M2, disconnection=Disconnection(protected=()))
    world.lists(500, entry(1, 400))
    world.reads("M1", CLOSED)
    sees(world, BusSeen(bus=BUS, open=True))
    happens(world)
    assert set(status(world).alarms) == alarms


def test_equal_images_are_said_in_equal_bytes() -> None:
    said = [msgspec.json.encode(status(dark_and_paid(M1, M2))) for _ in range(2)]
    assert said[0] == said[1]


def ages(world: World) -> None:
    world.wait(MINUTE_MS)


def bus_counts(world: World) -> None:
    sees(world, BusSeen(bus=BUS, open=True, good=99))


def reads_as_before(world: World) -> None:
    world.reads("M1", CLOSED)


def switch_moves(world: World) -> None:
    world.reads("M1", OPEN)


def broker_goes(world: World) -> None:
    sees(world, BrokerSeen(connected=False))


def head_end_comes(world: World) -> None:
    sees(world, HeadEndSeen(online=True))


def head_end_acknowledges(world: World) -> None:
    world.image = msgspec.structs.replace(world.image, acked_through=1)


NOTABLE: list[tuple[str, Callable[[World], None], bool]] = [
    ("time passes", ages, False),
    ("a bus counts on", bus_counts, False),
    ("a meter reads as before", reads_as_before, False),
    ("a switch moves", switch_moves, True),
    ("a bus is shut", bus_is_shut, True),
    ("a meter falls silent", a_meter_is_silent, True),
    ("the broker goes", broker_goes, True),
    ("the head end comes", head_end_comes, True),
    ("the head end acknowledges", head_end_acknowledges, True),
    ("a transformer is stopped", a_transformer_is_stopped, True),
    ("a grace is given", a_grace_is_given, True),
]


@pytest.mark.parametrize(
    ("happens", "worth_it"),
    [row[1:] for row in NOTABLE],
    ids=[f"when {sentence}: {worth_it}" for sentence, _, worth_it in NOTABLE],
)
def test_a_new_status_is_worth_sending(happens: Callable[[World], None], worth_it: bool) -> None:
    world = World(M1)
    world.reads("M1", CLOSED)
    sees(world, BusSeen(bus=BUS, open=True))
    before = notable(world.image)
    happens(world)
    assert (notable(world.image) != before) is worth_it
