"""What changes as time goes by: the head end is lost, and it is back."""

from collections.abc import Callable

import pytest

from gateway.core.kept import DAY_MS, HeadEndKnown
from gateway.core.model import Instant
from gateway.core.records import Body, HeadEndBack, HeadEndLost
from gateway.core.trust_records import TimeNoted
from tests.core.papers import M1, MINUTE_MS
from tests.core.world import World

SILENT_MS = 5 * MINUTE_MS
Step = Callable[[World], object]


def watched(world: World) -> list[Body]:
    """What the next tick writes down."""
    return list(world.plans().bodies)


# --- the head end ---


def heard_world() -> World:
    """The head end was heard just now, and that is taken down."""
    world = World(M1)
    world.hears()
    assert watched(world) == [HeadEndBack()]
    return world


def test_a_quiet_day_is_noted_so_that_the_clock_does_not_fall_back_over_a_power_failure() -> None:
    world = World(M1)
    world.plans()
    world.wait(DAY_MS - 1)
    assert [type(body) for body in world.plans().bodies] == []
    world.wait(1)
    assert [type(body) for body in world.plans().bodies] == [TimeNoted]
    assert world.image.kept.wall_low_ms == world.now.wall_low_ms
    assert world.plans().bodies == ()


def test_a_head_end_that_never_was_heard_is_neither_lost_nor_back() -> None:
    world = World(M1)
    world.wait(SILENT_MS + 1)
    assert watched(world) == []
    assert world.image.kept.head_end is None


def test_a_head_end_is_lost_after_five_minutes_of_silence() -> None:
    world = heard_world()
    heard_ms = world.now.mono_ms
    assert world.plans().deadline_ms == heard_ms + SILENT_MS + 1
    world.wait(SILENT_MS)
    assert watched(world) == []
    world.wait(1)
    assert watched(world) == [HeadEndLost(heard_ms=heard_ms)]
    known = world.image.kept.head_end
    assert known is not None
    assert (known.heard, known.since.mono_ms) == (False, heard_ms)


def test_each_sign_of_life_puts_that_off() -> None:
    world = heard_world()
    for _ in range(3):
        world.wait(SILENT_MS)
        world.hears()
        assert watched(world) == []


def test_a_head_end_that_says_it_goes_is_lost_at_once() -> None:
    world = heard_world()
    heard_ms = world.now.mono_ms
    world.wait(MINUTE_MS)
    world.hears(online=False)
    assert watched(world) == [HeadEndLost(heard_ms=heard_ms)]


def test_a_will_that_the_broker_kept_says_it_too() -> None:
    world = heard_world()
    world.hears(online=False, kept_by_broker=True)
    assert [type(body) for body in watched(world)] == [HeadEndLost]


def falls_silent(world: World) -> None:
    world.wait(SILENT_MS + 1)


def says_it_goes(world: World) -> None:
    world.hears(online=False)


@pytest.mark.parametrize("goes", [falls_silent, says_it_goes], ids=["silent", "said so"])
def test_it_is_back_when_it_is_heard(goes: Step) -> None:
    world = heard_world()
    goes(world)
    watched(world)
    world.wait(MINUTE_MS)
    world.hears()
    assert watched(world) == [HeadEndBack()]
    at = Instant(boot="boot-1", mono_ms=world.now.mono_ms, wall_ms=world.now.wall_ms, trusted=True)
    assert world.image.kept.head_end == HeadEndKnown(heard=True, since=at)


@pytest.mark.parametrize("goes", [falls_silent, says_it_goes], ids=["silent", "said so"])
def test_what_the_broker_kept_is_no_sign_of_life(goes: Step) -> None:
    world = heard_world()
    goes(world)
    watched(world)
    world.hears(kept_by_broker=True)
    assert watched(world) == []
    assert world.image.head_end_silent_at_ms() is None or goes is falls_silent


def test_only_changes_are_written_down() -> None:
    world = heard_world()
    for wait_ms, written in ((SILENT_MS + 1, 1), (MINUTE_MS, 0), (SILENT_MS, 0)):
        world.wait(wait_ms)
        assert len(watched(world)) == written
    for written in (1, 0, 0):
        world.hears()
        assert len(watched(world)) == written


def test_after_a_restart_it_has_five_minutes_to_be_heard() -> None:
    world = heard_world()
    world.wait(MINUTE_MS)
    world.restarts()
    world.wait(SILENT_MS)
    assert watched(world) == []
    world.wait(1)
    assert watched(world) == [HeadEndLost(heard_ms=None)]
    known = world.image.kept.head_end
    assert known is not None
    assert known.since.mono_ms == world.now.mono_ms


def test_a_restart_makes_nobody_back() -> None:
    world = heard_world()
    says_it_goes(world)
    watched(world)
    since = world.image.kept.head_end
    world.restarts()
    assert watched(world) == []
    world.wait(SILENT_MS + 1)
    assert watched(world) == []
    assert world.image.kept.head_end == since
