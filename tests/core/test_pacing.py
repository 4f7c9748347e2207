"""When a permitted close has its turn."""

from collections.abc import Callable

import msgspec
import pytest

from gateway.core.fact import Outcome
from gateway.core.kept import Setback
from gateway.core.model import Brake, GatewayId, Instant, Meter, SupplyState
from gateway.core.pacing import Pacer, Turn, gap_after_ms, wait_ms
from gateway.core.reconnection import Verdict
from gateway.core.terms import Pacing, Transformer
from tests.core.papers import M1, MINUTE_MS, meter
from tests.core.world import World, dark_and_paid

NEIGHBOUR, FURTHER, ELSEWHERE = meter(2), meter(3), meter(9, dt="T9")
PACING = Pacing(
    first_alone_ms=5_000, gap_ms=2_000, jitter_percent=0, minute_max=3, quiet_ms=900_000
)
Step = Callable[[World], object]


def neighbour_closes(world: World) -> None:
    world.closed_before(NEIGHBOUR)


def another_neighbour_closes(world: World) -> None:
    world.closed_before(FURTHER)


def somebody_closes_elsewhere(world: World) -> None:
    world.closed_before(ELSEWHERE)


def two_seconds_pass(world: World) -> None:
    world.wait(2_000)


def the_dt_was_quiet(world: World) -> None:
    world.wait(PACING.quiet_ms)


def its_own_close_fails(world: World) -> None:
    world.closed_before(M1, Outcome.FAILED)


def it_pays_anew(world: World) -> None:
    assert world.pays(1, 500) == "ACCEPTED"


def its_own_close_succeeds(world: World) -> None:
    world.closed_before(M1)


def turn(world: World, on: Meter = M1) -> Turn:
    return Pacer(world.image, world.now).turn(on, world.now.mono_ms)


TURNS: list[tuple[str, list[Step], int]] = [
    ("at once, when nothing was closed", [], 0),
    ("at once, when something was closed on another DT", [somebody_closes_elsewhere], 0),
    ("after 5 s, when the first of its DT was just closed", [neighbour_closes], 5_000),
    (
        "after the rest of the 5 s",
        [neighbour_closes, two_seconds_pass],
        3_000,
    ),
    (
        "after 2 s, when the first was observed already",
        [neighbour_closes, two_seconds_pass, another_neighbour_closes],
        2_000,
    ),
    ("at once, when the DT was long quiet", [neighbour_closes, the_dt_was_quiet], 0),
    (
        "after 5 s, when the DT was long quiet before the last close",
        [neighbour_closes, the_dt_was_quiet, another_neighbour_closes],
        5_000,
    ),
    (
        "after a minute, when the gateway closed as many as it may",
        [somebody_closes_elsewhere] * PACING.minute_max,
        60_000,
    ),
    (
        "when the oldest of the last minute's closes is a minute ago",
        [somebody_closes_elsewhere, two_seconds_pass]
        + [somebody_closes_elsewhere] * (PACING.minute_max - 1),
        58_000,
    ),
    ("after 15 s, when its own close failed", [its_own_close_fails], 15_000),
    (
        "after 30 s, when it failed twice",
        [its_own_close_fails, the_dt_was_quiet, its_own_close_fails],
        30_000,
    ),
    (
        "without waiting for the failure, when it paid anew",
        [its_own_close_fails, it_pays_anew, the_dt_was_quiet],
        0,
    ),
    (
        "by the pace of the DT only, when it paid anew after the failure",
        [its_own_close_fails, it_pays_anew],
        5_000,
    ),
    (
        "by the pace of the DT only, when its failure was made good",
        [its_own_close_fails, the_dt_was_quiet, its_own_close_succeeds],
        5_000,
    ),
]


@pytest.mark.parametrize(
    ("steps", "after_ms"),
    [row[1:] for row in TURNS],
    ids=[f"its turn comes {sentence}" for sentence, _, _ in TURNS],
)
def test_the_turn(steps: list[Step], after_ms: int) -> None:
    world = dark_and_paid(M1, NEIGHBOUR, FURTHER, ELSEWHERE, pacing=PACING)
    for step in steps:
        step(world)
    assert max(0, turn(world).not_before_ms - world.now.mono_ms) == after_ms


WHAT_HOLDS: list[tuple[str, Pacing, list[Step], Brake]] = [
    ("the first of its DT", PACING, [neighbour_closes], Brake.FIRST_ALONE),
    ("the one before it", PACING, [neighbour_closes, another_neighbour_closes], Brake.GAP),
    ("its own failure", PACING, [neighbour_closes, its_own_close_fails], Brake.SETBACK),
    ("its DT before its own failure", msgspec.structs.replace(PACING, first_alone_ms=15_000),
     [its_own_close_fails], Brake.FIRST_ALONE),
    ("the narrowest ceiling",
     msgspec.structs.replace(PACING, dt_minute_max=1, feeder_minute_max=1, minute_max=1),
     [neighbour_closes], Brake.DT_CEILING),
    ("the feeder's ceiling before the gateway's",
     msgspec.structs.replace(PACING, feeder_minute_max=1, minute_max=1),
     [neighbour_closes], Brake.FEEDER_CEILING),
]  # fmt: skip


@pytest.mark.parametrize(
    ("pacing", "steps", "brake"),
    [row[1:] for row in WHAT_HOLDS],
    ids=[f"it is held by {row[0]}" for row in WHAT_HOLDS],
)
def test_of_what_holds_it_longest_the_first_has_the_word(
    pacing: Pacing, steps: list[Step], brake: Brake
) -> None:
    world = dark_and_paid(M1, NEIGHBOUR, FURTHER, ELSEWHERE, pacing=pacing)
    for step in steps:
        step(world)
    assert turn(world).brake is brake


def test_who_has_no_word_of_the_utility_has_setbacks_too() -> None:
    world = World(M1, pacing=PACING)
    its_own_close_fails(world)
    assert turn(world) == Turn(not_before_ms=world.now.mono_ms + 15_000, brake=Brake.SETBACK)


def test_without_a_site_document_the_defaults_pace() -> None:
    world = World()
    world.closed_before(NEIGHBOUR)
    assert turn(world).not_before_ms - world.now.mono_ms == Pacing().first_alone_ms


def test_failures_are_tried_again_ever_more_rarely_but_within_five_minutes() -> None:
    now = Instant(boot="boot-1", mono_ms=0, wall_ms=0)
    waits = [wait_ms(Setback(count=count, last=now, standing_n=0)) for count in (1, 2, 3, 4, 5, 6)]
    assert waits == [15_000, 30_000, 60_000, 120_000, 240_000, 300_000]
    assert wait_ms(Setback(count=10_000, last=now, standing_n=0)) == 300_000


def test_after_a_reboot_earlier_closes_count_as_of_its_beginning() -> None:
    world = dark_and_paid(M1, NEIGHBOUR, ELSEWHERE, pacing=PACING)
    for _ in range(PACING.minute_max):
        world.closed_before(ELSEWHERE)
    world.reboots(mono_ms=10_000)
    assert turn(world).not_before_ms == MINUTE_MS
    assert turn(world, ELSEWHERE).not_before_ms == MINUTE_MS


def test_each_gap_has_its_jitter_within_the_bounds_and_every_gateway_its_own() -> None:
    terms = Pacing(gap_ms=2_000, jitter_percent=50)
    one = [gap_after_ms(terms, GatewayId("gw-1"), close) for close in range(400)]
    other = [gap_after_ms(terms, GatewayId("gw-2"), close) for close in range(400)]
    assert min(one) >= 1_000
    assert max(one) <= 3_000
    assert 1_900 < sum(one) / len(one) < 2_100
    assert len(set(one)) > 300
    assert one != other
    assert one == [gap_after_ms(terms, GatewayId("gw-1"), close) for close in range(400)]
    assert gap_after_ms(Pacing(gap_ms=2_000, jitter_percent=0), GatewayId("gw-1"), 7) == 2_000


def test_the_gaps_are_the_same_for_ever() -> None:
    terms = Pacing(gap_ms=2_000, jitter_percent=50)
    gaps_ms = [gap_after_ms(terms, GatewayId("gw-1"), close) for close in range(1, 6)]
    assert gaps_ms == [2_491, 1_027, 2_823, 1_999, 2_163]


@pytest.mark.parametrize(
    ("gap_ms", "jitter_percent", "gaps_ms"),
    [(2, 50, {1, 2, 3}), (100, 1, {99, 100, 101}), (100, 0, {100})],
)
def test_every_gap_within_the_bounds_occurs_and_none_beyond(
    gap_ms: int, jitter_percent: int, gaps_ms: set[int]
) -> None:
    terms = Pacing(gap_ms=gap_ms, jitter_percent=jitter_percent)
    seen = {gap_after_ms(terms, GatewayId("gw-1"), close) for close in range(100)}
    assert seen == gaps_ms


def test_while_a_close_is_under_way_nobody_else_on_its_dt_begins() -> None:
    world = dark_and_paid(M1, NEIGHBOUR, ELSEWHERE, pacing=PACING)
    world.plans()
    world.wait(PACING.quiet_ms // 2)
    world.reads("M2", SupplyState.DISCONNECTED)
    held = turn(world, NEIGHBOUR)
    assert held.brake is Brake.UNDER_WAY
    assert held.not_before_ms > world.now.mono_ms
    world.ends(world.commands[0])
    assert turn(world, NEIGHBOUR).not_before_ms <= world.now.mono_ms


def test_what_was_never_sent_loads_nobody() -> None:
    world = dark_and_paid(M1, NEIGHBOUR, pacing=PACING)
    (command,) = world.plans().commands
    world.ends(command, Outcome.REFUSED, verdict="WRONG_METER", writes=0)
    assert turn(world, NEIGHBOUR).brake is None


BRAKES: list[tuple[str, Pacing, Brake]] = [
    ("the DT", msgspec.structs.replace(PACING, dt_minute_max=2), Brake.DT_CEILING),
    ("the feeder", msgspec.structs.replace(PACING, feeder_minute_max=2), Brake.FEEDER_CEILING),
    ("the gateway", msgspec.structs.replace(PACING, minute_max=2), Brake.GATEWAY_CEILING),
]


@pytest.mark.parametrize(
    ("pacing", "brake"),
    [(pacing, brake) for _, pacing, brake in BRAKES],
    ids=[f"a ceiling of {whose} holds who belongs to it" for whose, *_ in BRAKES],
)
def test_a_ceiling(pacing: Pacing, brake: Brake) -> None:
    far = meter(5, dt="T5")
    transformers = (
        Transformer(id="T1"),
        Transformer(id="T9"),
        Transformer(id="T5", feeder="feeder-2"),
    )
    world = World(M1, NEIGHBOUR, ELSEWHERE, far, pacing=pacing, transformers=transformers)
    for one in (M1, ELSEWHERE, far):
        world.reads(one.serial, SupplyState.DISCONNECTED)
        world.pays(int(one.account[1:]))
    for _ in range(2):
        world.closed_before(NEIGHBOUR)
        world.wait(6_000)
    held = {one.dt for one in (M1, ELSEWHERE, far) if turn(world, one).brake is brake}
    whose = {
        Brake.DT_CEILING: {"T1"},
        Brake.FEEDER_CEILING: {"T1", "T9"},
        Brake.GATEWAY_CEILING: {"T1", "T9", "T5"},
    }
    assert held == whose[brake]
    for one in (M1, ELSEWHERE, far):
        if one.dt in held:
            assert turn(world, one).not_before_ms == world.now.mono_ms - 12_000 + MINUTE_MS


def test_the_queue_is_judged_with_those_before_it_decided() -> None:
    world = dark_and_paid(M1, NEIGHBOUR, ELSEWHERE)
    planned = world.plans()
    assert [command.meter for command in planned.commands] == [M1, ELSEWHERE]
    ruling = world.rules(NEIGHBOUR)
    assert (ruling.verdict, ruling.brake) == (Verdict.PACED, Brake.UNDER_WAY)
