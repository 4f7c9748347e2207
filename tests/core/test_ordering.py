"""What becomes of an order: what each kind changes, and for which reasons it is not taken."""

from collections.abc import Callable

import pytest

from gateway.core.admission import admit_document
from gateway.core.due import reads_wanted
from gateway.core.errands import scan_until
from gateway.core.fact import DocumentClaim, Outcome, Road, TagKind
from gateway.core.model import Brake
from gateway.core.orders import (
    Act,
    Cancel,
    Config,
    Confirm,
    EndIsolation,
    ForgetMeter,
    Hold,
    Isolate,
    LogBundle,
    Read,
    Rebirth,
    Reconnect,
    ReleaseForce,
    ReleaseHold,
    Resume,
    Scan,
    Wipe,
)
from gateway.core.reconnection import Verdict
from gateway.core.records import OrderAccepted, OrderRefused
from gateway.core.standing import Standing
from tests.core.cutting import (
    CLOSED,
    OPEN,
    Step,
    begins,
    forces,
    head_end_goes,
    is_cut,
    lit,
    nothing,
    pays,
)
from tests.core.papers import M1, M2, cut, entry, meter, order
from tests.core.world import World
from tests.signing import sign_order

M3 = meter(3, dt="T2")
WHY = "work on the line"
HOLD, RELEASE_HOLD = Hold(meter="M1", reason=WHY), ReleaseHold(meter="M1", reason=WHY)
ISOLATE_DT, END_DT = Isolate(dt="T1", reason=WHY), EndIsolation(dt="T1", reason=WHY)
ISOLATE_FEEDER, END_FEEDER = Isolate(reason=WHY), EndIsolation(reason=WHY)
RESUME, RECONNECT = Resume(dt="T1", reason=WHY), Reconnect(account="A1", meter="M1")
RELEASE_FORCE = ReleaseForce(meters=("M1",))
Says = Callable[[World], object]


def town() -> World:
    """M1 and M2 on T1, M3 on T2, all with supply; M1 is forced."""
    world = lit(M1, M2, M3)
    forces(world)
    return world


def verdict(world: World) -> Verdict:
    return world.rules().verdict


def targets(world: World) -> list[tuple[str, str, str]]:
    return [(str(tag.kind), tag.target, str(tag.origin)) for tag in world.image.kept.tags]


def tasks(world: World) -> dict[str, str]:
    return {serial: str(task.move) for serial, task in world.image.kept.tasks.items()}


def stops(world: World) -> set[str]:
    return set(world.image.kept.stops)


def asks(world: World) -> set[str]:
    return set(world.image.kept.asks)


def cancelled(world: World) -> set[str]:
    return {serial for serial, task in world.image.kept.tasks.items() if task.cancelled}


def later(world: World) -> None:
    world.wait(1_000)


def wanted(world: World) -> list[str]:
    return sorted(reads_wanted(world.image, world.now.boot))


def leaves_forced(world: World) -> None:
    """M3 leaves the roster, and a command of ours still forces it."""
    forces(world, M3)
    assert world.site(M1, M2) == "ACCEPTED"


def forced(world: World) -> tuple[str, ...]:
    return world.image.kept.forced


def level(world: World) -> str:
    return world.image.settings.log_level


def looked_around(world: World) -> bool:
    return scan_until("bus-1", world.image) is not None


def bundled(world: World) -> bool:
    return "order-1" in world.image.kept.orders_ended


def roster(world: World) -> set[str]:
    return set(world.image.roster)


def born_again(world: World) -> bool:
    return world.image.kept.reborn == world.image.number


def ordered(*acts: Act) -> Step:
    """Orders that were accepted before."""

    def step(world: World) -> None:
        for act in acts:
            assert world.ordered(act) == "ACCEPTED"

    return step


def technician(kind: TagKind, target: str = "") -> Step:
    """A technician has placed a tag."""

    def step(world: World) -> None:
        assert world.tags(kind, target) == "ACCEPTED"

    return step


def stopped(world: World) -> None:
    """Two closes on T1 failed, so that it is stopped."""
    for one in (M1, M2):
        world.closed_before(one, Outcome.FAILED)
    world.plans()
    assert world.image.kept.stops["T1"].brake is Brake.FAILURES


def dark_and_listed(world: World) -> None:
    """M1 is open and nothing says why."""
    world.reads("M1", OPEN)
    assert verdict(world) is Verdict.CAUSE_UNKNOWN


HELD, FEEDER = ("HOLD", "M1", "ORDER"), ("ISOLATE_FEEDER", "", "ORDER")
CHANGES: list[tuple[str, Step, Act, Says, object]] = [
    ("disconnect asks for openings", nothing, cut(1, 3), tasks, {"M1": "OPEN", "M3": "OPEN"}),
    ("disconnect cuts the account", nothing, cut(1), World.standing, Standing.CUT),
    ("release_force asks for releases", nothing, RELEASE_FORCE, tasks, {"M1": "RELEASE"}),
    ("release_force leaves the standing", nothing, RELEASE_FORCE, World.standing, Standing.PAID),
    ("reconnect asks for supply", nothing, RECONNECT, asks, {"A1"}),
    ("reconnect settles the cause", dark_and_listed, RECONNECT, verdict, Verdict.PERMIT),
    ("hold holds the meter", nothing, HOLD, targets, [HELD]),
    ("hold wins over a payment", dark_and_listed, HOLD, verdict, Verdict.METER_HELD),
    ("hold twice holds once", ordered(HOLD), HOLD, targets, [HELD]),
    ("release_hold ends the hold", ordered(HOLD), RELEASE_HOLD, targets, []),
    ("release_hold of none", nothing, RELEASE_HOLD, targets, []),
    ("isolate isolates the DT", nothing, ISOLATE_DT, targets, [("ISOLATE_DT", "T1", "ORDER")]),
    ("isolate isolates the feeder", nothing, ISOLATE_FEEDER, targets, [FEEDER]),
    ("end_isolation ends a DT's", ordered(ISOLATE_DT), END_DT, targets, []),
    ("end_isolation ends the feeder's", ordered(ISOLATE_FEEDER), END_FEEDER, targets, []),
    ("end_isolation of a DT leaves the feeder's", ordered(ISOLATE_FEEDER, ISOLATE_DT), END_DT,
     targets, [FEEDER]),
    ("a technician's hold stands beside an order's", technician(TagKind.HOLD, "M1"), HOLD,
     targets, [("HOLD", "M1", "TECHNICIAN"), HELD]),
    ("resume lets a stopped DT go on", stopped, RESUME, stops, set()),
    ("resume of what goes on", nothing, RESUME, stops, set()),
    ("read has the meters read", later, Read(meters=("M1", "M3")), wanted, ["M1", "M3"]),
    ("config counts at once", nothing, Config(log_level="DEBUG"), level, "DEBUG"),
    ("scan has a bus looked around", nothing, Scan(bus="bus-1"), looked_around, True),
    ("log_bundle is answered at once", nothing, LogBundle(), bundled, True),
    ("forget_meter forgets who has left", leaves_forced, ForgetMeter(meters=("M3",)), forced,
     ("M1",)),
    ("wipe empties the roster", nothing, Wipe(), roster, set()),
    ("rebirth asks for a birth", nothing, Rebirth(), born_again, True),
    ("cancel calls off what waits", ordered(cut(1, 2)), Cancel(order="order-1"), cancelled,
     {"M1", "M2"}),
    ("cancel leaves what others asked for", ordered(cut(1), cut(2)), Cancel(order="order-2"),
     cancelled, {"M2"}),
    ("cancel leaves the standing", ordered(cut(1)), Cancel(order="order-1"), World.standing,
     Standing.CUT),
]  # fmt: skip


@pytest.mark.parametrize(
    ("step", "act", "says", "expected"),
    [row[1:] for row in CHANGES],
    ids=[row[0] for row in CHANGES],
)
def test_an_accepted_order(step: Step, act: Act, says: Says, expected: object) -> None:
    world = town()
    step(world)
    number = world.image.number
    assert world.ordered(act) == "ACCEPTED"
    first = next(record.body for record, _ in world.journal if record.number > number)
    assert isinstance(first, OrderAccepted)
    assert (first.act, first.signers) == (act, ("order-1", "order-2"))
    assert says(world) == expected


def test_every_kind_of_order_is_seen_in_that_table() -> None:
    # A confirmation comes over a link of its own: see test_errands.
    assert {type(row[2]) for row in CHANGES} | {Confirm} == set(Act.__args__)


# --- refusals ---


def order_under_way(world: World) -> None:
    is_cut(world, 2)
    assert world.ordered(cut(1)) == "ACCEPTED"
    world.wait(2_000)
    begins(world)


def falls_off_the_list(world: World) -> None:
    assert world.lists(1_000, entry(2, 10), entry(3, 10)) == "ACCEPTED"


HOLD_M7, RESUME_T7 = Hold(meter="M7", reason=WHY), Resume(dt="T7", reason=WHY)
REFUSALS: list[tuple[str, Step, Act, str]] = [
    ("a cut while another waits", ordered(cut(1)), cut(1, n=200), "TASK_UNDER_WAY"),
    ("a cut while another is begun", order_under_way, cut(1, n=200), "TASK_UNDER_WAY"),
    ("a release while a cut waits", ordered(cut(1)), RELEASE_FORCE, "TASK_UNDER_WAY"),
    ("a cut of others beside that", ordered(cut(1)), cut(2, 1), "TASK_UNDER_WAY"),
    ("a cut before the newest cut", ordered(cut(1, n=200)), cut(1, n=100), "OLDER_THAN_STANDING"),
    ("a cut before the un-listing", falls_off_the_list, cut(1, n=999), "OLDER_THAN_STANDING"),
    ("a cut at the un-listing", falls_off_the_list, cut(1, n=1_000), "OLDER_THAN_STANDING"),
    ("a cut before the payment", pays, cut(1, n=199), "NEWER_PAID"),
    ("a cut at the payment", pays, cut(1, n=200), "EQUIVOCATION"),
    ("a reconnect of nobody here", nothing, Reconnect(account="A7", meter="M7"), "NOT_ON_ROSTER"),
    ("a reconnect at another meter", nothing, Reconnect(account="A1", meter="M2"),
     "METER_MISMATCH"),
    ("a hold on a meter of nobody here", nothing, HOLD_M7, "NOT_ON_ROSTER"),
    ("an isolation of a DT of nobody here", nothing, Isolate(dt="T7", reason=WHY),
     "NOT_ON_ROSTER"),
    ("a resume of a DT of nobody here", nothing, RESUME_T7, "NOT_ON_ROSTER"),
    ("the end of a technician's hold", technician(TagKind.HOLD, "M1"), RELEASE_HOLD,
     "PLACED_ELSEWHERE"),
    ("the end of a technician's isolation", technician(TagKind.ISOLATE_DT, "T1"), END_DT,
     "PLACED_ELSEWHERE"),
    ("the end of the technician's work on the feeder", technician(TagKind.ISOLATE_FEEDER),
     END_FEEDER, "PLACED_ELSEWHERE"),
    ("a hold with a blank reason", nothing, Hold(meter="M1", reason=" "),
     "NAME_OR_REASON_MISSING"),
    ("a read of a meter of nobody here", nothing, Read(meters=("M1", "M7")), "NOT_ON_ROSTER"),
    ("a cancel of no order", nothing, Cancel(order="order-9"), "NOTHING_TO_CANCEL"),
    ("a cancel of what asked for no switch", ordered(HOLD), Cancel(order="order-1"),
     "NOTHING_TO_CANCEL"),
    ("a cancel of what is done", lambda world: is_cut(world, 1), Cancel(order="order-1"),
     "NOTHING_TO_CANCEL"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("step", "act", "name"),
    [row[1:] for row in REFUSALS],
    ids=[f"{row[0]}: {row[3]}" for row in REFUSALS],
)
def test_a_refused_order_changes_nothing_and_is_used_up(step: Step, act: Act, name: str) -> None:
    world = town()
    step(world)
    before, number = world.image.kept, world.image.number
    assert world.ordered(act) == name
    (body,) = (record.body for record, _ in world.journal if record.number > number)
    assert isinstance(body, OrderRefused)
    assert (body.id, body.seq, body.name) == (f"order-{world.orders}", world.orders, name)
    after = world.image.kept
    assert (after.words, after.tasks, after.tags) == (before.words, before.tasks, before.tags)
    assert (after.asks, after.stops) == (before.asks, before.stops)
    assert (after.newest.order.seq, after.refusals[name]) == (world.orders, 1)


def test_a_refused_order_is_never_taken_later() -> None:
    world = town()
    head_end_goes(world)
    raw = sign_order(order(1, cut(1)))
    claim = DocumentClaim(raw=raw, road=Road.MQTT)
    assert not admit_document(claim, world.image, world.now).answer.accepted
    assert world.hand_in(raw) == "HEAD_END_SILENT"
    world.hears()
    assert world.hand_in(raw) == "HEAD_END_SILENT"
    assert (tasks(world), world.standing()) == ({}, Standing.PAID)
    assert world.hand_in(sign_order(order(2, cut(1)))) == "ACCEPTED"


def test_an_accepted_order_again_is_acknowledged_and_done_once() -> None:
    world = town()
    raw = sign_order(order(1, cut(1)))
    assert world.hand_in(raw) == "ACCEPTED"
    assert world.ends(begins(world), state=OPEN)
    world.restarts()
    number = world.image.number
    assert world.hand_in(raw) == "DUPLICATE"
    assert world.hand_in(raw, retained=True) == "DUPLICATE"
    assert (world.image.number, tasks(world)) == (number, {})


def test_a_home_that_was_closed_by_other_means_is_cut_again_by_the_same_word() -> None:
    world = town()
    is_cut(world, 1)
    world.wait(2_000)
    world.reads("M1", CLOSED)
    assert world.ordered(cut(1)) == "ACCEPTED"
    assert begins(world).meter == M1
