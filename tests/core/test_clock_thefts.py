"""Who lies about the time and who has stolen a key: what it does, and with what it ends."""

import msgspec
import pytest

from gateway.core.installed import BELIEVED_MAX_MS
from gateway.core.kept import DAY_MS
from gateway.core.marks import Marks
from gateway.core.reconnection import Verdict
from gateway.core.trust_records import JournalLost, MarksAhead
from tests.core.clock_stories import (
    DOCUMENT,
    NETWORK,
    NONE,
    RTC,
    TEN_YEARS_MS,
    TO_1970_MS,
    a_server,
    after,
    days_without_head_end,
)
from tests.core.clocked import BUILT_MS, CLOCK_KEY, NEXT_CLOCK_KEY, YEAR_MS, ClockedWorld
from tests.core.papers import HOUR_MS, M1, M2, MINUTE_MS


def test_a_receipt_that_is_past_its_expiry_by_a_trusted_clock_is_refused() -> None:
    world = after(a_server(0))
    assert world.has_paid(lives_ms=-HOUR_MS) == "EXPIRED"


def test_a_server_that_lies_by_days_climbs_no_further_in_one_boot() -> None:
    world = ClockedWorld()
    for step in range(1, 11):
        world.daemon_answers(step * 390 * DAY_MS)
        assert world.is_ordered_cut() in {"LIST_STALE", "CLOCK_UNKNOWN", "EXPIRED"}
        world.passes(MINUTE_MS)
    assert world.now.wall_low_ms <= BUILT_MS + 401 * DAY_MS


@pytest.mark.parametrize("days", [500, 3_653])
def test_a_list_or_order_of_a_far_day_moves_what_is_certain_by_400_days_at_most(
    days: int,
) -> None:
    world = ClockedWorld()
    firm_ms = world.image.kept.firm_low_ms
    for _ in range(10):  # each time as far ahead as the last one made possible
        world.is_listed(later_ms=days * DAY_MS)
        world.is_listed(later_ms=399 * DAY_MS)
        world.is_ordered_cut(echo=world.nonce, later_ms=days * DAY_MS)
        world.process_restarts()
    assert BELIEVED_MAX_MS == 400 * DAY_MS
    assert world.now.wall_low_ms <= firm_ms + BELIEVED_MAX_MS + MINUTE_MS
    assert world.image.kept.firm_low_ms == firm_ms


def test_a_list_or_order_of_a_far_day_is_refused_by_a_trusted_clock() -> None:
    world = after(a_server(0))
    assert world.is_listed(later_ms=2 * DAY_MS) == "AS_OF_IN_FUTURE"
    assert world.is_ordered_cut(later_ms=HOUR_MS) == "NOT_YET_VALID"
    assert world.has_paid(later_ms=2 * DAY_MS) == "N_IN_FUTURE"
    assert world.lag_ms < MINUTE_MS


def test_a_receipt_does_not_move_what_is_certain_at_all() -> None:
    world = ClockedWorld()
    low_ms = world.now.wall_low_ms
    assert world.has_paid(later_ms=390 * DAY_MS, lives_ms=YEAR_MS) == "ACCEPTED"
    assert world.now.wall_low_ms == low_ms


def a_gateway_whose_time_key_was_stolen() -> ClockedWorld:
    world = after(days_without_head_end(1))
    assert world.is_told_the_time(ahead_ms=TEN_YEARS_MS) == "ACCEPTED"
    return world


def test_a_stolen_time_key_does_what_a_time_key_can() -> None:
    world = a_gateway_whose_time_key_was_stolen()
    assert world.now.source is DOCUMENT
    assert world.lag_ms < -9 * YEAR_MS
    assert world.rules(M2).verdict is Verdict.PERMIT, "what was granted stays so"
    assert world.has_paid(lives_ms=YEAR_MS) == "EXPIRED"
    assert world.is_ordered_cut(echo=world.nonce) in {"LIST_STALE", "EXPIRED"}
    world.daemon_answers()
    assert not world.now.trusted or world.now.source is DOCUMENT


@pytest.mark.parametrize("boots", [False, True], ids=["at once", "after a boot"])
def test_what_a_stolen_time_key_did_ends_with_the_root_that_exchanges_it(*, boots: bool) -> None:
    world = a_gateway_whose_time_key_was_stolen()
    world.passes(DAY_MS)
    if boots:
        world.lies_off(DAY_MS)
    assert world.changes_its_time_keys() == "ACCEPTED"
    assert 0 <= world.lag_ms < MINUTE_MS
    assert not world.now.trusted
    assert world.has_paid() == "ACCEPTED"
    assert world.rules(M1).verdict is Verdict.PERMIT
    assert world.is_told_the_time(ahead_ms=TEN_YEARS_MS, by=CLOCK_KEY) != "ACCEPTED"
    world.process_restarts()
    assert 0 <= world.lag_ms < MINUTE_MS
    assert world.is_told_the_time(by=NEXT_CLOCK_KEY) == "ACCEPTED"
    assert world.now.source is DOCUMENT
    world.daemon_answers()
    assert world.now.source is NETWORK


def test_every_record_says_who_answered_for_its_time() -> None:
    world = after(a_server(0))
    assert world.is_told_the_time() == "ACCEPTED"
    world.calendar_jumps(TO_1970_MS)
    assert world.has_paid() == "ACCEPTED"
    world.lies_off(DAY_MS)
    said = [(record.trusted, record.clock) for record, _ in world.journal]
    assert set(said) == {(False, NONE), (True, NETWORK), (True, DOCUMENT)}
    assert all(
        msgspec.json.decode(content)["clock"] == clock
        for content, (_, clock) in zip(world.written(), said, strict=True)
    )


def test_marks_of_before_the_exchange_do_not_bring_the_lie_back() -> None:
    # The power fails after the journal has the root, and before the marks' own file has it.
    world = a_gateway_whose_time_key_was_stolen()
    marks = world.image.marks
    assert world.changes_its_time_keys() == "ACCEPTED"
    world.record(MarksAhead(marks=marks))
    world.process_restarts()
    assert 0 <= world.lag_ms < MINUTE_MS
    assert world.has_paid() == "ACCEPTED"


def years_after_an_exchange() -> ClockedWorld:
    """The time keys were exchanged twice three years ago; a list came every year."""
    world = ClockedWorld()
    assert world.changes_its_time_keys() == "ACCEPTED"
    assert world.changes_its_time_keys() == "ACCEPTED"
    for _ in range(3):
        world.passes(YEAR_MS)
        assert world.is_listed() == "ACCEPTED"
    return world


def rebuilt(world: ClockedWorld, marks: Marks) -> ClockedWorld:
    """The gateway without its journal: what the marks knew, then its documents in their order."""
    anew = ClockedWorld()
    anew.loses_all(world.truth_ms)
    anew.record(JournalLost(trouble="CORRUPT", marks=marks, amnesia=False))
    for record, document in world.journal:
        if document is not None:
            anew.record(record.body, document)
    return anew


def test_an_exchange_of_long_ago_does_not_make_a_rebuilt_gateway_forget_the_time() -> None:
    world = years_after_an_exchange()
    anew = rebuilt(world, world.image.marks)
    assert anew.lag_ms < 2 * DAY_MS
    assert anew.has_paid() == "ACCEPTED"
    assert anew.is_listed() == "ACCEPTED"


def test_an_exchange_that_the_marks_do_not_know_ends_the_lie_in_a_rebuilt_gateway() -> None:
    world = a_gateway_whose_time_key_was_stolen()
    marks = world.image.marks
    assert world.changes_its_time_keys() == "ACCEPTED"
    anew = rebuilt(world, marks)
    assert 0 <= anew.lag_ms < MINUTE_MS
    assert anew.has_paid() == "ACCEPTED"


def test_a_time_document_mends_a_battery_clock_that_is_behind() -> None:
    world = ClockedWorld()
    world.lies_off(3 * DAY_MS)
    world.battery_answers(-2 * DAY_MS)
    assert world.now.source is RTC
    assert world.is_told_the_time() == "ACCEPTED"
    assert world.now.source is DOCUMENT
    assert world.has_paid() == "ACCEPTED"
