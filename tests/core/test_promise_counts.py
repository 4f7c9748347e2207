"""The promise clock: whether a wait kept the promise, and how many did."""

import msgspec
import pytest
from hypothesis import given

from gateway.core.fact import Outcome, TagKind
from gateway.core.journeys import journeys_of
from gateway.core.kept import Restored
from gateway.core.model import Account, Instant, Serial
from gateway.core.promise import Count, Journey, summary_of
from gateway.core.records import CloseIntended
from gateway.core.status import status_of
from gateway.core.terms import Limits
from tests.core.histories import Rosters, Step, histories, new_world, take
from tests.core.papers import HOUR_MS, M1, M2, NOON_MS, entry
from tests.core.told import (
    OPEN,
    begins,
    comes_back,
    ends,
    journey,
    kinds,
    records,
    told,
)
from tests.core.world import World, dark_and_paid

LIMITS = Limits()


@pytest.mark.parametrize(
    ("kind", "target", "tagged"),
    [
        (TagKind.HOLD, "M1", True),
        (TagKind.ISOLATE_DT, "T1", True),
        (TagKind.ISOLATE_FEEDER, "", True),
        (TagKind.HOLD, "M2", False),
    ],
)
def test_a_wait_under_a_tag_is_marked(kind: TagKind, target: str, tagged: bool) -> None:
    world = World(M1, M2)
    world.reads("M1", OPEN)
    world.pays(1)
    world.tags(kind, target)
    world.wait(HOUR_MS)
    world.tags(kind, target, place=False)
    world.reads("M1", OPEN)
    comes_back(world)
    one = journey(world)
    assert one.tagged is tagged
    assert (one.waited_ms, one.kept_within(LIMITS.promise_ms)) == (HOUR_MS + 900, False)
    count = summary_of([one], LIMITS, lambda _: "today").total
    assert (count.late, count.late_tagged) == (1, int(tagged))
    assert ("TagRemoved" in kinds(world, one)) is tagged


def test_a_tag_that_was_gone_before_the_payment_excuses_nothing() -> None:
    world = World(M1)
    world.reads("M1", OPEN)
    world.tags(TagKind.HOLD, "M1")
    world.tags(TagKind.HOLD, "M1", place=False)
    world.pays(1)
    comes_back(world)
    world.tags(TagKind.HOLD, "M1")
    assert not journey(world).tagged


@pytest.mark.parametrize(
    ("since", "what"),
    [
        pytest.param(3, "the switch was seen open before", id="from the receipt on"),
        pytest.param(4, "and the receipt came before", id="from the decision on"),
        pytest.param(5, "and the decision", id="from the second attempt on"),
        pytest.param(6, "and all but the outcome", id="from the outcome on"),
    ],
)
def test_what_lies_before_the_first_record_is_not_guessed(since: int, what: str) -> None:
    world = dark_and_paid(M1)
    begins(world)
    world.restarts()
    ends(world, begins(world))
    (one,) = told(world, since=since).ended
    assert one.outcome is Outcome.CLOSED_VERIFIED
    assert (one.dark_since, one.waited_ms, one.since_payment_ms) == (None, None, None), what
    assert (one.received is None) is (since > 4)
    assert (one.paid_at is None) is (since > 3)
    assert (one.decided is None) is (since > 4)
    count = summary_of([one], LIMITS, lambda _: "today").total
    assert count == Count(restored=1)


def test_a_close_without_a_known_proof_counts_without_a_wait() -> None:
    world = World(M1)
    world.closed_before(M1)
    one = journey(world)
    assert (one.dark_since, one.received, one.waited_ms) == (None, None, None)
    assert world.image.kept.restored == Restored(total=1)


def test_a_switch_that_was_never_seen_to_open_counts_from_the_proof() -> None:
    world = World(M1)
    world.pays(1)
    world.wait(1_000)
    world.closed_before(M1)
    by_intent = [
        msgspec.structs.replace(record, body=msgspec.structs.replace(record.body, **received))
        for record in records(world)
        for received in [
            {"received_ms": records(world)[1].mono_ms, "received_wall_ms": NOON_MS}
            if isinstance(record.body, CloseIntended)
            else {}
        ]
    ]
    (one,) = journeys_of(by_intent).ended
    assert (one.dark_since, one.waited_ms) == (None, 1_000)
    assert world.image.kept.restored == Restored(total=1, within_promise=1, worst_ms=1_000)


def test_the_counts_say_whose_wait_was_the_worst_and_on_which_day() -> None:
    def came_back(account: str, at_ms: int, waited_ms: int, paid_ms: int) -> Journey:
        return Journey(
            account=Account(account),
            meter=Serial("M"),
            ended=Instant(boot="b", mono_ms=0, wall_ms=at_ms),
            outcome=Outcome.CLOSED_VERIFIED,
            waited_ms=waited_ms,
            since_payment_ms=paid_ms,
        )

    summary = summary_of(
        [
            came_back("A1", 0, LIMITS.promise_ms, LIMITS.compensation_ms),
            came_back("A2", 0, LIMITS.promise_ms + 1, LIMITS.compensation_ms + 1),
            came_back("A3", 1, 5, 5),
        ],
        LIMITS,
        lambda wall_ms: f"day {wall_ms}",
    )
    first = Count(
        restored=2,
        within_promise=1,
        late=1,
        beyond_compensation=1,
        worst_ms=LIMITS.promise_ms + 1,
        worst_account=Account("A2"),
    )
    second = Count(restored=1, within_promise=1, worst_ms=5, worst_account=Account("A3"))
    assert summary.days == {"day 0": first, "day 1": second}
    assert summary.total == msgspec.structs.replace(first, restored=3, within_promise=2)


def test_two_hours_after_the_payment_compensation_is_owed_however_late_the_proof_came() -> None:
    world = World(M1)
    world.reads("M1", OPEN)
    world.lists(13 * HOUR_MS, entry(1, 13 * HOUR_MS, cut=True))  # the feeder's clock is behind
    comes_back(world)
    early = journey(world)
    assert early.since_payment_ms == early.waited_ms == 900

    world = World(M1)
    world.reads("M1", OPEN)
    world.wait(3 * HOUR_MS)
    world.pays(1)
    world.reads("M1", OPEN)
    comes_back(world)
    late = journey(world)
    assert (late.kept_within(LIMITS.promise_ms), late.since_payment_ms) == (
        True,
        3 * HOUR_MS + 900,
    )
    assert late.owed_beyond(LIMITS.compensation_ms)


@given(histories)
def test_the_status_counts_what_the_records_tell(history: tuple[Step, ...]) -> None:
    # Who left the roster and comes back is known anew; the records do not name who left.
    world = new_world()
    for step in history:
        if not isinstance(step, Rosters):
            take(world, step)
    count = summary_of(told(world).ended, world.image.limits, lambda _: "").total
    assert status_of(world.image, world.now).restored == Restored(
        total=count.restored,
        within_promise=count.within_promise,
        late=count.late,
        worst_ms=count.worst_ms or 0,
    )


@given(histories)
def test_every_close_is_told_once(history: tuple[Step, ...]) -> None:
    world = new_world()
    for step in history:
        take(world, step)
    found = told(world)
    closes = [one.close for journey in found.ended + found.under_way for one in journey.tries]
    assert len(closes) == len(set(closes))
    for one in found.ended:
        assert list(one.numbers) == sorted(set(one.numbers))
        assert one.waited_ms is None or one.waited_ms >= 0
