"""The promise clock: how each home came back, told from its records."""

import pytest

from gateway.core.fact import Outcome, Road
from gateway.core.kept import Restored
from gateway.core.promise import Journeys, Paper, Reason, summary_of
from gateway.core.records import Started
from gateway.core.terms import Limits
from tests.core.papers import HOUR_MS, LEDGER_MS, M1, M2, MINUTE_MS, entry
from tests.core.silence import cut_world, silent_long_enough
from tests.core.told import (
    ARMED,
    CLOSED,
    OPEN,
    begins,
    comes_back,
    ends,
    journey,
    kinds,
    told,
    wall,
)
from tests.core.world import World, dark_and_paid

LIMITS = Limits()


def test_a_home_that_paid_and_came_back_is_told_from_its_records() -> None:
    world = World(M1)
    world.reads("M1", OPEN)
    world.wait(10_000)
    world.pays(1)
    world.wait(3_000)
    comes_back(world)
    one = journey(world)
    assert (one.account, one.meter, one.outcome) == ("A1", "M1", Outcome.CLOSED_VERIFIED)
    assert one.paid_at == LEDGER_MS + 100
    assert (wall(one.dark_since), wall(one.received), wall(one.decided)) == (0, 10_000, 13_000)
    assert (wall(one.written), wall(one.verified)) == (13_600, 13_900)
    assert one.verified == one.ended
    assert wall(one.connected) == 14_000
    assert (one.waited_ms, one.by_calendar, one.tagged) == (3_900, False, False)
    assert [name for name, _ in one.steps] == ["decided", "closed", "verified"]
    word = world.image.word("A1")
    assert word is not None
    assert one.reason == Reason(
        digest=word.digest, paper=Paper.RECEIPT, number=3, road=Road.MQTT, signer="receipt-1"
    )
    assert kinds(world, one) == [
        "SupplyChanged",
        "ReceiptAccepted",
        "CloseIntended",
        "CloseEnded",
        "SupplyChanged",
    ]


def test_a_list_is_a_signed_reason_too_and_its_entry_says_when_was_paid() -> None:
    world = World(M1)
    world.reads("M1", OPEN)
    world.lists(1_000, entry(1, 900, cut=True))
    world.wait(2_000)
    comes_back(world)
    one = journey(world)
    assert one.reason is not None
    assert (one.reason.paper, one.paid_at) == (Paper.LIST, LEDGER_MS + 900)
    assert one.waited_ms == 2_900
    assert "ListInstalled" in kinds(world, one)


def test_grace_is_the_reason_where_nobody_has_paid_and_no_promise_is_measured_by_it() -> None:
    world = cut_world(M1)
    silent_long_enough(world)
    assert world.image.kept.site_digest is not None
    comes_back(world)
    one = journey(world)
    assert one.reason == Reason(digest=world.image.kept.site_digest, paper=Paper.GRACE)
    assert (one.paid_at, one.received, one.waited_ms, one.since_payment_ms) == (None,) * 4
    assert one.kept_within(0) is None
    assert world.image.kept.restored == Restored(total=1)
    summary = summary_of([one], LIMITS, lambda _: "today")
    assert (summary.total.restored, summary.total.within_promise, summary.total.late) == (1, 0, 0)


def test_an_opening_by_order_ends_no_journey_and_begins_none() -> None:
    world = cut_world(M1)
    assert told(world) == Journeys(ended=(), under_way=())


def test_who_was_listed_long_before_he_was_cut_waits_since_he_was_cut() -> None:
    world = World(M1)
    world.lists(1_000, entry(1, 900, cut=True))
    world.reads("M1", CLOSED)
    world.wait(30 * HOUR_MS)
    world.reads("M1", OPEN)
    world.wait(5_000)
    comes_back(world)
    one = journey(world)
    assert (wall(one.received), one.waited_ms) == (0, 5_900)
    assert one.since_payment_ms == 5_900
    assert world.image.kept.restored == Restored(total=1, within_promise=1, worst_ms=5_900)


def test_who_is_listed_again_has_waited_since_the_first_list() -> None:
    world = World(M1)
    world.reads("M1", OPEN)
    world.lists(1_000, entry(1, 900, cut=True))
    world.wait(MINUTE_MS)
    world.lists(2_000, entry(1, 900, cut=True))
    world.reads("M1", OPEN)
    comes_back(world)
    one = journey(world)
    assert (wall(one.received), one.waited_ms) == (0, MINUTE_MS + 900)
    assert kinds(world, one).count("ListInstalled") == 2, "the proof's and the reason's"


def test_a_proof_of_an_earlier_boot_is_measured_by_the_calendar() -> None:
    world = dark_and_paid(M1)
    world.wait(MINUTE_MS)
    world.reboots()
    world.reads("M1", OPEN)
    comes_back(world)
    one = journey(world)
    assert (wall(one.received), one.waited_ms) == (0, MINUTE_MS + 900)
    assert one.by_calendar
    assert world.image.kept.restored.worst_ms == one.waited_ms
    assert kinds(world, one).count("ReceiptAccepted") == 1


def test_a_close_taken_up_again_is_one_try_of_one_journey() -> None:
    world = dark_and_paid(M1)
    begins(world)
    for attempt in (2, 3):
        world.wait(2_000)
        world.restarts()
        world.record(Started(version="1"))
        command = begins(world)
        assert command.resumed, attempt
    ends(world, command)
    one = journey(world)
    assert [(t.close, t.attempts, t.outcome) for t in one.tries] == [(1, 3, "CLOSED_VERIFIED")]
    assert (wall(one.decided), one.waited_ms, one.by_calendar) == (0, 3_900, False)
    assert kinds(world, one).count("CloseIntended") == 3


def test_a_close_taken_up_on_the_next_boot_is_measured_by_the_calendar() -> None:
    world = dark_and_paid(M1)
    begins(world)
    world.wait(HOUR_MS)
    world.reboots()
    ends(world, begins(world))
    one = journey(world)
    assert (one.waited_ms, one.by_calendar) == (HOUR_MS - 100, True)
    assert world.image.kept.restored == Restored(total=1, late=1, worst_ms=HOUR_MS - 100)


def test_tries_that_failed_belong_to_the_journey_that_succeeds() -> None:
    world = dark_and_paid(M1)
    ends(world, begins(world), Outcome.FAILED, reads=OPEN)
    world.wait(10 * MINUTE_MS)
    world.reads("M1", OPEN)
    comes_back(world)
    one = journey(world)
    assert [t.outcome for t in one.tries] == ["FAILED", "CLOSED_VERIFIED"]
    assert (wall(one.decided), one.waited_ms) == (0, 10 * MINUTE_MS + 900)
    assert kinds(world, one).count("CloseEnded") == 2


def test_supply_that_is_seen_after_an_unknown_outcome_came_back_unproven() -> None:
    world = dark_and_paid(M1)
    ends(world, begins(world), Outcome.UNKNOWN, reads=None)
    world.wait(MINUTE_MS)
    world.reads("M1", CLOSED)
    one = journey(world)
    assert (one.outcome, one.verified) == (Outcome.UNKNOWN, None)
    assert one.connected == one.ended
    assert one.waited_ms == MINUTE_MS
    assert one.tries[0].detail == "NO_ANSWER"
    summary = summary_of([one], LIMITS, lambda _: "today")
    assert (summary.total.restored, summary.total.unproven) == (0, 1)
    assert world.image.kept.restored == Restored()


@pytest.mark.parametrize(
    ("outcome", "counted"),
    [
        pytest.param(Outcome.CLOSED_VERIFIED, ["CLOSED_VERIFIED"], id="it ends well"),
        pytest.param(Outcome.UNKNOWN, ["UNKNOWN"], id="its outcome stays unknown"),
        pytest.param(Outcome.REFUSED, [], id="it is refused: somebody else had closed it"),
    ],
)
def test_supply_may_be_seen_before_the_close_has_ended(
    outcome: Outcome, counted: list[str]
) -> None:
    world = dark_and_paid(M1)
    command = begins(world)
    world.reads("M1", CLOSED)
    world.wait(1_000)
    ends(world, command, outcome, reads=None)
    found = told(world)
    assert [one.outcome for one in found.ended] == counted
    assert found.under_way == ()


def test_supply_that_is_seen_and_lost_again_before_the_close_has_ended_is_not_back() -> None:
    world = dark_and_paid(M1)
    command = begins(world)
    world.reads("M1", CLOSED)
    world.reads("M1", OPEN)
    ends(world, command, Outcome.FAILED, reads=None)
    assert told(world).ended == ()
    assert [one.account for one in told(world).under_way] == ["A1"]


def test_a_home_that_came_back_by_other_means_is_no_journey_of_ours() -> None:
    world = dark_and_paid(M1)
    ends(world, begins(world), Outcome.FAILED, reads=OPEN)
    world.reads("M1", CLOSED)
    assert told(world) == Journeys(ended=(), under_way=())


def test_what_a_later_darkness_brings_is_a_journey_of_its_own() -> None:
    world = dark_and_paid(M1)
    comes_back(world)
    world.wait(30 * MINUTE_MS)
    world.reads("M1", OPEN)
    world.wait(4_000)
    comes_back(world)
    first, second = told(world).ended
    assert (first.waited_ms, second.waited_ms) == (900, 4_900)
    assert not set(first.numbers) & set(second.numbers) - {3}, "only the receipt serves twice"


def test_an_armed_meter_waits_for_its_consumer() -> None:
    world = dark_and_paid(M1)
    ends(world, begins(world), Outcome.ARMED, reads=ARMED)
    armed = journey(world)
    assert (armed.outcome, armed.verified, armed.connected) == (Outcome.ARMED, None, None)
    assert (wall(armed.ended), armed.waited_ms) == (0, 0)
    world.wait(HOUR_MS)
    world.reads("M1", CLOSED)
    pressed = journey(world)
    assert (wall(pressed.connected), pressed.waited_ms) == (HOUR_MS, 0)


def test_who_has_paid_and_is_dark_is_under_way() -> None:
    world = World(M1, M2)
    world.reads("M1", CLOSED)
    world.pays(1)
    world.reads("M2", OPEN)
    world.wait(1_000)
    world.pays(2)
    (one,) = told(world).under_way
    assert (one.account, one.outcome, one.ended, one.waited_ms) == ("A2", None, None, None)
    assert (wall(one.dark_since), wall(one.received), one.decided) == (0, 1_000, None)
    assert one.paid_at == LEDGER_MS + 100
    assert (one.kept_within(0), one.owed_beyond(0)) == (None, None)
    assert kinds(world, one) == ["SupplyChanged", "ReceiptAccepted"]
