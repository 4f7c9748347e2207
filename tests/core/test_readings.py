"""How old what was read is, and what that makes of it."""

import msgspec
import pytest

from gateway.core.fact import MeterSeen, Observation
from gateway.core.image import observe
from gateway.core.model import Reading, Serial, SupplyState
from gateway.core.readings import Quality, ReadingStatus, ReadStatus
from gateway.core.reconnection import Verdict
from gateway.core.status import status_of
from gateway.core.terms import CheckMeter, Limits
from gateway.core.waiting import instant_of
from tests.core.papers import M1, M2, entry
from tests.core.world import World, dark_and_paid

OPEN = SupplyState.DISCONNECTED
VALUES_OLD_MS = 3 * Limits().values_every_ms
STATE_OLD_MS = Limits().state_age_max_ms


def sees(world: World, seen: Observation) -> None:
    world.image = observe(world.image, seen, instant_of(world.now))


def measures(world: World, serial: str, *, age_ms: int, state: SupplyState = OPEN) -> None:
    now_ms = world.now.mono_ms
    reading = Reading(
        state=state,
        mono_ms=now_ms,
        supply_mv=231_000,
        current_ma=1_300,
        power_w=299,
        energy_wh=1_000_250,
        values_ms=now_ms - age_ms,
    )
    sees(world, MeterSeen(serial=Serial(serial), reading=reading))


def told(world: World, serial: str) -> ReadingStatus:
    (found,) = (one for one in status_of(world.image, world.now).readings if one.meter == serial)
    return found


def counted(world: World) -> ReadStatus:
    return status_of(world.image, world.now).read


@pytest.mark.parametrize(
    ("age_ms", "quality", "verdict"),
    [
        (0, Quality.GOOD, Verdict.PERMIT),
        (STATE_OLD_MS, Quality.GOOD, Verdict.PERMIT),
        (STATE_OLD_MS + 1, Quality.STALE, Verdict.STATE_UNKNOWN),
    ],
)
def test_a_state_is_good_as_long_as_the_rule_goes_by_it(
    age_ms: int, quality: Quality, verdict: Verdict
) -> None:
    world = dark_and_paid(M1)
    world.wait(age_ms - (world.now.mono_ms - world.image.seen["M1"].mono_ms))
    assert (told(world, "M1").quality, told(world, "M1").age_ms) == (quality, age_ms)
    assert world.rules(M1).verdict is verdict


def test_a_state_that_says_nothing_was_not_read() -> None:
    world = dark_and_paid(M1)
    world.reads("M1", SupplyState.UNKNOWN)
    assert (told(world, "M1").quality, told(world, "M1").age_ms) == (Quality.UNREAD, None)
    assert world.rules(M1).verdict is Verdict.STATE_UNKNOWN


@pytest.mark.parametrize(
    ("age_ms", "quality"),
    [(0, Quality.GOOD), (VALUES_OLD_MS, Quality.GOOD), (VALUES_OLD_MS + 1, Quality.STALE)],
)
def test_values_have_an_age_of_their_own(age_ms: int, quality: Quality) -> None:
    world = World(M1, M2)
    world.wait(VALUES_OLD_MS + 1)
    measures(world, "M1", age_ms=age_ms)
    one = told(world, "M1")
    assert (one.quality, one.age_ms) == (Quality.GOOD, 0)
    assert (one.values_quality, one.values_age_ms) == (quality, age_ms)
    assert (one.supply_mv, one.current_ma, one.power_w) == (231_000, 1_300, 299)
    assert (one.energy_wh, one.load_mv) == (1_000_250, None)


def test_values_may_be_as_old_as_the_site_wants_them() -> None:
    world = World(M1, M2, limits=Limits(values_every_ms=900_000))
    world.wait(2_700_000)
    measures(world, "M1", age_ms=2_700_000)
    assert told(world, "M1").values_quality is Quality.GOOD


def test_what_was_never_read_says_so() -> None:
    one = told(World(M1, M2), "M1")
    assert (one.state, one.quality, one.age_ms) == (SupplyState.UNKNOWN, Quality.UNREAD, None)
    assert (one.values_quality, one.values_age_ms) == (Quality.UNREAD, None)


def test_the_readings_are_counted_by_how_good_they_are() -> None:
    world = World(M1, M2)
    nothing = {"GOOD": 0, "STALE": 0, "UNREAD": 2}
    assert counted(world) == ReadStatus(
        states=nothing, oldest_ms=None, values=nothing, values_oldest_ms=None
    )
    world.lists(500, entry(1, 400))
    world.reads("M2", OPEN)
    world.wait(STATE_OLD_MS + 1)
    measures(world, "M1", age_ms=5_000)
    assert counted(world) == ReadStatus(
        states={"GOOD": 1, "STALE": 1, "UNREAD": 0},
        oldest_ms=STATE_OLD_MS + 1,
        values={"GOOD": 1, "STALE": 0, "UNREAD": 1},
        values_oldest_ms=5_000,
    )


def test_a_check_meter_has_values_and_no_state() -> None:
    world = World(M1, M2)
    check = CheckMeter(serial="C1", profile="measures", bus="bus-1", unit=100)
    world.image = msgspec.structs.replace(world.image, check_meters={"T1": check})
    measures(world, "C1", age_ms=0, state=SupplyState.UNKNOWN)
    one = told(world, "C1")
    assert (one.quality, one.values_quality) == (Quality.UNREAD, Quality.GOOD)
    assert counted(world).states == {"GOOD": 0, "STALE": 0, "UNREAD": 2}
    assert counted(world).values == {"GOOD": 1, "STALE": 0, "UNREAD": 2}
