"""When a permitted close has its turn, and the history that follows from it in virtual time."""

from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.fact import CloseIntended, Outcome
from gateway.core.kept import Instant, Setback
from gateway.core.model import Meter, Pacing, SupplyState
from gateway.core.pacing import turn_ms, wait_ms
from gateway.core.reconnection import Verdict
from tests.core.world import HOUR_MS, M1, MINUTE_MS, World, dark_and_paid, meter

NEIGHBOUR, FURTHER, ELSEWHERE = meter(2), meter(3), meter(9, dt="T9")
PACING = Pacing(first_alone_ms=5_000, gap_ms=2_000, minute_max=3, quiet_ms=900_000)
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
    assert max(0, turn_ms(M1, world.image, world.now) - world.now.mono_ms) == after_ms


def test_without_a_site_document_the_defaults_pace() -> None:
    world = World()
    world.closed_before(NEIGHBOUR)
    assert turn_ms(M1, world.image, world.now) - world.now.mono_ms == Pacing().first_alone_ms


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
    assert turn_ms(M1, world.image, world.now) == MINUTE_MS
    assert turn_ms(ELSEWHERE, world.image, world.now) == MINUTE_MS


# --- the history that plan() makes of it ---


class Town:
    """Dark paid meters whose commands end well after a while; virtual time jumps to what is due."""

    def __init__(self, meters: list[Meter], pacing: Pacing, takes_ms: int) -> None:
        self.world = dark_and_paid(*meters, pacing=pacing)
        self.takes_ms = takes_ms
        self.dark = {one.serial for one in meters}
        self.decided: list[tuple[int, CloseIntended]] = []

    def comes_back(self) -> None:
        """Until every meter is closed; never more ticks than a close can need."""
        world = self.world
        ends: list[tuple[int, str]] = []
        for _ in range(6 * len(self.dark) + 6):
            for serial in sorted(self.dark):
                world.reads(serial, SupplyState.DISCONNECTED)
            planned = world.plans()
            self.decided += [(world.now.mono_ms, body) for body in planned.bodies]
            ends += [
                (world.now.mono_ms + self.takes_ms, command.meter.serial)
                for command in planned.commands
            ]
            due = [at for at, _ in ends]
            if planned.deadline_ms is not None:
                due.append(planned.deadline_ms)
            if not due:
                return
            assert min(due) > world.now.mono_ms or self.takes_ms == 0
            world.wait(min(due) - world.now.mono_ms)
            ends = self._end_what_is_due(ends)

    def _end_what_is_due(self, ends: list[tuple[int, str]]) -> list[tuple[int, str]]:
        over = {serial for at, serial in ends if at <= self.world.now.mono_ms}
        for command in [c for c in self.world.commands if c.meter.serial in over]:
            self.world.commands.remove(command)
            self.world.ends(command, state=SupplyState.CONNECTED)
            self.dark.remove(command.meter.serial)
        return [(at, serial) for at, serial in ends if serial not in over]


def town_of(dts: list[int], pacing: Pacing, takes_ms: int) -> Town:
    meters = [meter(at, dt=f"T{dt}") for at, dt in enumerate(dts, start=1)]
    town = Town(meters, pacing, takes_ms)
    town.comes_back()
    return town


pacings = st.builds(
    Pacing,
    first_alone_ms=st.integers(0, 20_000),
    gap_ms=st.integers(0, 5_000),
    minute_max=st.integers(1, 6),
    quiet_ms=st.integers(0, 900_000),
)


@settings(max_examples=40)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=16), pacings, st.integers(0, 4_000))
def test_a_returning_feeder_is_loaded_as_the_site_document_says(
    dts: list[int], pacing: Pacing, takes_ms: int
) -> None:
    town = town_of(dts, pacing, takes_ms)
    assert sorted(body.meter for _, body in town.decided) == sorted(
        one.serial for one in town.world.image.roster.values()
    ), "every paid home comes back, and is decided once"
    times = [at for at, _ in town.decided]
    for at in times:
        assert sum(at - MINUTE_MS < other <= at for other in times) <= pacing.minute_max
    by_dt: dict[str, list[int]] = defaultdict(list)
    for at, body in town.decided:
        by_dt[body.dt].append(at)
    for on_dt in by_dt.values():
        observed = True
        for before, after in pairwise(on_dt):
            assert after - before >= (pacing.first_alone_ms if observed else pacing.gap_ms)
            observed = after - before >= pacing.quiet_ms


@settings(max_examples=20)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=12), pacings)
def test_equal_towns_come_back_in_equal_bytes(dts: list[int], pacing: Pacing) -> None:
    one, other = town_of(dts, pacing, 700), town_of(dts, pacing, 700)
    assert one.world.written() == other.world.written()
    assert msgspec.json.encode(one.world.image.kept) == msgspec.json.encode(other.world.image.kept)


def test_with_the_default_pace_a_dt_of_forty_homes_is_back_within_the_promise() -> None:
    town = town_of([1] * 40, Pacing(), takes_ms=1_500)
    begun = 5 * HOUR_MS
    assert [at - begun for at, _ in town.decided[:4]] == [0, 5_000, 7_000, 9_000]
    assert town.world.now.mono_ms - begun < 20 * MINUTE_MS


def test_the_queue_is_judged_with_those_before_it_decided() -> None:
    world = dark_and_paid(M1, NEIGHBOUR, ELSEWHERE)
    planned = world.plans()
    assert [command.meter for command in planned.commands] == [M1, ELSEWHERE]
    assert world.rules(NEIGHBOUR).verdict is Verdict.PACED
    assert planned.deadline_ms == world.now.mono_ms + Pacing().first_alone_ms
