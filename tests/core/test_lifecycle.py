"""How far an order has come, in every word that is said of it."""

import msgspec
import pytest

from gateway.core.fact import Move, Outcome, Why
from gateway.core.lifecycle import ENDED_MAX, RESULTS_BYTES_MAX, progress_of
from gateway.core.model import SupplyState
from gateway.core.orders import Act, Cancel, Hold, Read, Rebirth, Reconnect
from gateway.core.progress import HomeResult, Homes, OrderState, Progress, Readings
from gateway.core.records import OrderEnded
from tests.core.cutting import (
    CLOSED,
    OPEN,
    begins,
    comes,
    head_end_goes,
    is_cut,
    pays,
)
from tests.core.papers import M1, M2, MINUTE_MS, cut
from tests.core.test_ordering import (
    END_DT,
    HOLD,
    ISOLATE_DT,
    RECONNECT,
    RELEASE_FORCE,
    RELEASE_HOLD,
    RESUME,
    town,
)
from tests.core.world import World, dark_and_paid

READ = Read(meters=("M1", "M2"))


def progress(world: World, order: str = "order-1") -> Progress:
    found = progress_of(order, world.image)
    assert found is not None
    return found


def how(world: World, order: str = "order-1") -> tuple[str, str]:
    """The state of an order, and the word for why it is so."""
    found = progress(world, order)
    return str(found.state), found.reason


def wants_supply() -> World:
    """M1 is open and paid, and the head end has asked for its supply."""
    world = dark_and_paid(M1)
    assert world.ordered(RECONNECT) == "ACCEPTED"
    return world


FIRST: list[tuple[Act, str]] = [
    (cut(1), "QUEUED"),
    (RELEASE_FORCE, "QUEUED"),
    (RECONNECT, "QUEUED"),
    (HOLD, "SUCCEEDED"),
    (RELEASE_HOLD, "SUCCEEDED"),
    (ISOLATE_DT, "SUCCEEDED"),
    (END_DT, "SUCCEEDED"),
    (RESUME, "SUCCEEDED"),
    (READ, "IN_PROGRESS"),
    (Rebirth(), "SUCCEEDED"),
]


@pytest.mark.parametrize(("act", "state"), FIRST, ids=lambda one: getattr(one, "kind", str(one)))
def test_an_order_begins(act: Act, state: str) -> None:
    world = town()
    number = world.image.number
    assert world.ordered(act) == "ACCEPTED"
    found = progress(world)
    assert (found.state, found.version, found.number) == (state, 1, number + 1)
    assert found.at == {state: world.now.wall_ms}
    assert found.trusted
    assert (found.pending is None) is found.ended is (state == "SUCCEEDED")


def test_an_order_that_is_refused_for_good_stays_rejected_under_its_name() -> None:
    world = town()
    head_end_goes(world)
    assert world.ordered(cut(1)) == "HEAD_END_SILENT"
    found = progress(world)
    assert (found.state, found.reason, found.version) == ("REJECTED", "HEAD_END_SILENT", 1)
    assert found.kind == "disconnect"
    assert "M1" in found.detail


# --- reconnect ---


def test_a_reconnect_is_in_progress_once_its_close_is_decided() -> None:
    world = wants_supply()
    begins(world)
    assert how(world) == ("IN_PROGRESS", "")
    assert progress(world).version == 2
    world.restarts()
    world.plans()
    assert progress(world).version == 2, "taken up again it is the same close"


def test_a_reconnect_that_comes_while_it_is_closed_is_in_progress_at_once() -> None:
    world = dark_and_paid(M1)
    begins(world)
    world.ordered(RECONNECT)
    assert how(world) == ("IN_PROGRESS", "")


ENDS: list[tuple[str, Outcome, str, Why, str, str]] = [
    ("closed and seen to be", Outcome.CLOSED_VERIFIED, "", Why.NONE,
     "SUCCEEDED", "CLOSED_VERIFIED"),
    ("closed as far as can be seen", Outcome.CLOSED_UNVERIFIED, "", Why.NONE,
     "SUCCEEDED", "CLOSED_UNVERIFIED"),
    ("armed", Outcome.ARMED, "", Why.NONE, "SUCCEEDED", "ARMED"),
    ("found closed", Outcome.REFUSED, "ALREADY_CONNECTED", Why.NONE,
     "SUCCEEDED", "ALREADY_CONNECTED"),
    ("found armed", Outcome.REFUSED, "AWAITING_CONSUMER", Why.NONE,
     "SUCCEEDED", "AWAITING_CONSUMER"),
    ("another meter", Outcome.REFUSED, "WRONG_METER", Why.NONE, "FAILED", "WRONG_METER"),
    ("silent", Outcome.FAILED, "", Why.NO_ANSWER, "FAILED", "NO_ANSWER"),
    ("failed", Outcome.FAILED, "", Why.NONE, "FAILED", "FAILED"),
    ("nobody knows", Outcome.UNKNOWN, "", Why.NO_ANSWER, "IN_PROGRESS", "UNKNOWN"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("outcome", "verdict", "why", "state", "reason"),
    [row[1:] for row in ENDS],
    ids=[f"{row[0]}: {row[4]} {row[5]}" for row in ENDS],
)
def test_a_reconnect_ends_as_its_close_does(
    outcome: Outcome, verdict: str, why: Why, state: str, reason: str
) -> None:
    world = wants_supply()
    world.ends(begins(world), outcome, verdict=verdict, why=why)
    assert how(world) == (state, reason)
    found = progress(world)
    assert found.version == 3
    if not found.ended:
        assert found.result is None
        return
    home = HomeResult(meter="M1", outcome=outcome, detail=verdict or why)
    assert found.result == Homes(homes=(home,))


def test_a_close_of_which_nobody_knows_succeeds_when_the_meter_reads_connected() -> None:
    world = wants_supply()
    world.ends(begins(world), Outcome.UNKNOWN, why=Why.NO_ANSWER)
    world.reads("M1", CLOSED)
    world.plans()
    assert how(world) == ("SUCCEEDED", "ALREADY_CONNECTED")


def test_a_close_of_another_home_is_no_business_of_a_reconnect() -> None:
    world = dark_and_paid(M1, M2)
    world.ordered(Reconnect(account="A2", meter="M2"))
    world.closed_before(M1)
    assert how(world) == ("QUEUED", "")


def test_two_orders_for_one_home_end_together() -> None:
    world = wants_supply()
    world.ordered(RECONNECT)
    world.ends(begins(world))
    assert how(world, "order-1") == how(world, "order-2") == ("SUCCEEDED", "CLOSED_VERIFIED")


# --- what two keys ask for ---


def test_a_disconnection_ends_when_all_its_homes_have() -> None:
    world = town()
    world.ordered(cut(1, 2))
    assert world.ends(begins(world), state=OPEN)
    assert how(world) == ("IN_PROGRESS", "")
    version = progress(world).version
    world.wait(10_000)
    assert world.ends(begins(world), state=OPEN)
    found = progress(world)
    assert (found.state, found.reason) == ("SUCCEEDED", "OPENED_VERIFIED")
    assert found.version == version + 1
    assert found.result == Homes(
        homes=tuple(
            HomeResult(meter=serial, outcome="OPENED_VERIFIED", state=OPEN)
            for serial in ("M1", "M2")
        )
    )


CUTS: list[tuple[Outcome, str, Why, str, str]] = [
    (Outcome.OPENED_UNVERIFIED, "", Why.NONE, "SUCCEEDED", "OPENED_UNVERIFIED"),
    (Outcome.REFUSED, "ALREADY_DISCONNECTED", Why.NONE, "SUCCEEDED", "ALREADY_DISCONNECTED"),
    (Outcome.REFUSED, "NEWER_PAID", Why.NONE, "FAILED", "NEWER_PAID"),
    (Outcome.FAILED, "", Why.STILL_CLOSED, "FAILED", "STILL_CLOSED"),
    (Outcome.UNKNOWN, "", Why.NONE, "FAILED", "UNKNOWN"),
]


@pytest.mark.parametrize(("outcome", "verdict", "why", "state", "reason"), CUTS)
def test_a_disconnection_of_one_home_ends_as_its_opening_does(
    outcome: Outcome, verdict: str, why: Why, state: str, reason: str
) -> None:
    world = town()
    world.ordered(cut(1))
    world.ends(begins(world), outcome, verdict=verdict, why=why)
    assert how(world) == (state, reason)
    assert progress(world).detail == ""


def test_a_release_ends_when_the_meter_took_it() -> None:
    world = town()
    world.ordered(RELEASE_FORCE)
    world.ends(begins(world), state=CLOSED)
    assert how(world) == ("SUCCEEDED", "RELEASED")


def test_a_release_of_an_open_meter_is_not_done() -> None:
    world = town()
    world.ordered(RELEASE_FORCE)
    world.ends(begins(world), Outcome.REFUSED, verdict="ALREADY_DISCONNECTED", writes=0)
    assert how(world) == ("FAILED", "ALREADY_DISCONNECTED")


def test_the_worst_of_its_homes_says_how_an_order_ended() -> None:
    world = town()
    world.ordered(cut(1, 2, 3))
    assert world.ends(begins(world), state=OPEN)
    world.pays(2, 200)
    world.wait(10_000)
    world.plans()
    while world.image.kept.tasks:
        assert world.ends(world.commands[-1], state=OPEN)
        world.wait(10_000)
        world.plans()
    found = progress(world)
    assert (found.state, found.reason, found.detail) == ("FAILED", "NEWER_PAID", "1 of 3 homes")


def test_what_is_called_off_is_canceled_and_so_is_the_rest_of_an_order() -> None:
    for begun in (False, True):
        world = town()
        world.ordered(cut(1, 2))
        command = begins(world) if begun else None
        world.ordered(Cancel(order="order-1"))
        world.wait(10_000)
        world.plans()
        if command is not None:
            assert how(world) == ("IN_PROGRESS", "")
            assert world.ends(command, state=OPEN)
        assert how(world) == ("CANCELED", "CANCELED")
        assert how(world, "order-2") == ("SUCCEEDED", "")


def test_what_expires_in_its_turn_is_timed_out() -> None:
    world = town()
    is_cut(world, 2)
    comes(world, cut(1), life_ms=MINUTE_MS)
    world.wait(2 * MINUTE_MS)
    world.plans()
    assert how(world, "order-2") == ("TIMED_OUT", "EXPIRED")


def test_a_payment_before_the_opening_fails_the_order_by_its_word() -> None:
    world = town()
    world.ordered(cut(1))
    pays(world)
    world.plans()
    assert how(world) == ("FAILED", "NEWER_PAID")


# --- what is kept ---


def test_an_end_is_never_told_otherwise() -> None:
    world = town()
    world.ordered(HOLD)
    before = progress(world)
    world.record(OrderEnded(order="order-1", state=OrderState.FAILED, reason="NO_ANSWER"))
    assert progress(world) == before


def test_when_each_state_was_first_reached_is_said() -> None:
    world = wants_supply()
    queued_ms = world.now.wall_ms
    world.wait(1_000)
    command = begins(world)
    world.wait(1_000)
    world.ends(command, Outcome.UNKNOWN)
    world.wait(MINUTE_MS)
    world.reads("M1", OPEN)
    world.ends(begins(world))
    assert progress(world).at == {
        "QUEUED": queued_ms,
        "IN_PROGRESS": queued_ms + 1_000,
        "SUCCEEDED": world.now.wall_ms,
    }


def test_the_last_two_hundred_that_ended_are_known_and_all_that_have_not() -> None:
    world = dark_and_paid(M1)
    world.ordered(RECONNECT)
    for at in range(ENDED_MAX + 5):
        world.ordered(Hold(meter="M1", reason=f"number {at}"))
    assert how(world) == ("QUEUED", "")
    assert progress_of("order-6", world.image) is None
    assert how(world, "order-7") == ("SUCCEEDED", "")
    assert len(world.image.kept.orders_ended) == ENDED_MAX


def test_results_that_are_too_long_together_are_forgotten_oldest_first() -> None:
    world = World(M1, M2)
    long = Readings(readings=(), missing=("M" * 32,) * (RESULTS_BYTES_MAX // 80))
    for number in (1, 2, 3):
        world.ordered(READ)
        ended = OrderEnded(
            order=f"order-{number}", state=OrderState.TIMED_OUT, reason="NO_ANSWER", result=long
        )
        world.record(ended)
    results = [progress(world, f"order-{number}").result for number in (1, 2, 3)]
    assert results == [None, long, long]
    assert how(world) == ("TIMED_OUT", "NO_ANSWER")


def test_a_move_that_no_known_order_asked_for_changes_nothing() -> None:
    world = town()
    world.ordered(cut(1))
    kept = msgspec.structs.replace(world.image.kept, orders={})
    world.image = msgspec.structs.replace(world.image, kept=kept)
    command = begins(world)
    assert command.move is Move.OPEN
    assert world.ends(command, state=SupplyState.DISCONNECTED)
    assert progress_of("order-1", world.image) is None
