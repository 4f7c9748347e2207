"""What a receipt asks for, how long the ask lasts, and what uses it up."""

import pytest

from gateway.core.model import Cause
from gateway.core.reconnection import Verdict, cause_known
from tests.core.papers import HOUR_MS, M1, M2, entry
from tests.core.test_reconnection import CLOSED, OPEN, Step, listed_again_as_paid, reads_open
from tests.core.world import World


def test_the_cause_is_known_while_an_ask_lasts_or_by_the_list() -> None:
    world = World(M1, M2)
    assert not cause_known(M1, world.image, world.now)
    world.pays(1)
    assert cause_known(M1, world.image, world.now)
    listed_again_as_paid(world)
    assert cause_known(M1, world.image, world.now), "a newer list does not unsay the ask"
    world.closed_before(M1)
    assert cause_known(M1, world.image, world.now), "an opening now is a retrip"
    world.wait(HOUR_MS)
    assert not cause_known(M1, world.image, world.now), "it may be for safety"
    assert world.pays(1) == "OLDER_THAN_STANDING", "the ask was used up"
    assert world.pays(1, 900) == "ACCEPTED", "the listed payment's own receipt asks anew"
    assert cause_known(M1, world.image, world.now)
    assert world.pays(1, 900) == "DUPLICATE"
    world.closed_before(M1)
    world.wait(HOUR_MS)
    world.lists(2_000, entry(1, 900, cut=True))
    assert cause_known(M1, world.image, world.now)


def asks_while_lit(world: World) -> None:
    world.reads("M1", CLOSED)
    world.wait(10_000)
    world.pays(1)


def seen_lit_and_then_dark(world: World) -> None:
    world.wait(10_000)
    world.reads("M1", CLOSED)
    world.wait(10_000)
    world.reads("M1", OPEN)


def an_hour_passes_lit(world: World) -> None:
    world.wait(HOUR_MS)
    world.reads("M1", CLOSED)


def reboots_lit(world: World) -> None:
    world.reboots()
    world.reads("M1", CLOSED)


def hours_without_a_reading(world: World) -> None:
    world.wait(5 * HOUR_MS)


def closed_by_the_utility_itself(world: World) -> None:
    world.reads("M1", OPEN)
    world.pays(1)
    world.reads("M1", CLOSED)


def asks_dark(world: World) -> None:
    world.reads("M1", OPEN)
    world.pays(1)


def trips(world: World) -> None:
    world.wait(1_000)
    world.reads("M1", CLOSED)
    world.wait(1_000)
    world.reads("M1", OPEN, cause=Cause.TRIP)


ASKED_AND_OPENED_LATER: list[tuple[str, list[Step], Verdict]] = [
    (
        "asked while lit, opened soon after",
        [asks_while_lit, seen_lit_and_then_dark],
        Verdict.PERMIT,
    ),
    (
        "asked while lit, opened long after",
        [asks_while_lit, an_hour_passes_lit, seen_lit_and_then_dark],
        Verdict.CAUSE_UNKNOWN,
    ),
    (
        "asked while lit, rebooted, opened long after",
        [asks_while_lit, reboots_lit, an_hour_passes_lit, seen_lit_and_then_dark],
        Verdict.CAUSE_UNKNOWN,
    ),
    (
        "asked after it was last seen lit, and found dark hours later",
        [asks_while_lit, hours_without_a_reading, reads_open],
        Verdict.PERMIT,
    ),
    (
        "closed by the utility itself, opened long after",
        [closed_by_the_utility_itself, an_hour_passes_lit, seen_lit_and_then_dark],
        Verdict.CAUSE_UNKNOWN,
    ),
    ("asked, then tripped", [asks_dark, trips], Verdict.CAUSE_UNKNOWN),
    ("tripped, then asked", [trips, asks_dark], Verdict.PERMIT),
    ("asked, rebooted, then tripped", [asks_dark, reboots_lit, trips], Verdict.CAUSE_UNKNOWN),
]


@pytest.mark.parametrize(
    ("steps", "verdict"),
    [(steps, verdict) for _, steps, verdict in ASKED_AND_OPENED_LATER],
    ids=[sentence for sentence, _, _ in ASKED_AND_OPENED_LATER],
)
def test_an_ask_is_for_the_darkness_it_was_made_in(steps: list[Step], verdict: Verdict) -> None:
    world = World(M1, M2)
    for step in steps:
        step(world)
    assert world.rules().verdict is verdict
