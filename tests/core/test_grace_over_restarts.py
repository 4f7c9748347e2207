"""Grace over restarts and reboots: what a clock must be able to show before it is given."""

from gateway.core.fact import TagKind
from gateway.core.image import HEAD_END_SILENT_MS
from gateway.core.model import Cause
from gateway.core.reconnection import Verdict
from tests.core.cutting import CLOSED, OPEN
from tests.core.papers import HOUR_MS, M1
from tests.core.silence import (
    DAY_MS,
    M2,
    M3,
    cut_world,
    given_grace,
    heard_again,
    later,
    silent_long_enough,
)

NOT_PAID, PERMIT = Verdict.NOT_PAID, Verdict.PERMIT


def test_a_restart_of_the_process_loses_nothing_of_the_silence() -> None:
    world = cut_world(M1)
    later(world, HOUR_MS)
    world.restarts()
    later(world, HOUR_MS)
    assert world.rules().verdict is NOT_PAID
    later(world, 1)
    assert world.rules().verdict is PERMIT


def test_two_trusted_calendars_carry_silence_and_cut_over_a_reboot() -> None:
    world = cut_world(M1)
    world.wait(HOUR_MS)
    world.reboots()
    # What the calendar leaves open counts neither as silence nor against the age of the cut.
    later(world, HOUR_MS + 1_000)
    assert world.rules().verdict is NOT_PAID
    later(world, 1)
    assert world.rules().verdict is PERMIT
    later(world, 3 * DAY_MS - 2 * HOUR_MS - 2_001)
    assert world.rules().verdict is PERMIT
    later(world, 1)
    assert world.rules().verdict is NOT_PAID


def test_without_a_trusted_clock_nobody_knows_after_a_reboot_how_long_ago_it_was() -> None:
    world = cut_world(M1)
    world.trusts_no_clock()
    world.reboots()
    later(world, 3 * HOUR_MS)
    assert world.rules().verdict is NOT_PAID


def test_without_a_trusted_clock_the_same_boot_knows() -> None:
    world = cut_world(M1)
    world.trusts_no_clock()
    silent_long_enough(world)
    assert world.rules().verdict is PERMIT


def test_without_a_trusted_clock_silence_counts_from_this_boot_on() -> None:
    world = cut_world(M1)
    world.reboots()
    later(world, 1)
    world.trusts_no_clock()
    world.reads("M1", CLOSED)
    world.reads("M1", OPEN, cause=Cause.PREPAY)
    later(world, 2 * HOUR_MS - world.now.mono_ms)
    assert world.rules().verdict is NOT_PAID
    later(world, 1)
    assert world.rules().verdict is PERMIT


def test_a_head_end_that_was_heard_before_a_reboot_is_silent_from_when_that_is_found() -> None:
    world = given_grace()
    heard_again(world)
    world.tags(TagKind.HOLD, "M2", place=False)
    world.reboots(mono_ms=0)
    world.plans()
    later(world, HEAD_END_SILENT_MS + 1)
    world.plans()
    later(world, 2 * HOUR_MS)
    assert world.rules(M2).verdict is NOT_PAID
    later(world, 1)
    assert world.rules(M2).verdict is PERMIT


def test_what_was_given_counts_against_the_day_over_a_reboot() -> None:
    world = cut_world(M1, M2, M3)
    silent_long_enough(world)
    for command in world.plans().commands:
        assert world.ends(command, state=CLOSED)
    world.reboots()
    later(world, 20 * HOUR_MS)
    assert world.rules(M3).verdict is NOT_PAID
    later(world, 4 * HOUR_MS + 1_000)
    assert world.rules(M3).verdict is PERMIT
