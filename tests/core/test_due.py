"""Orders that end by what is read, and by the time that goes by."""

from collections.abc import Callable

import msgspec
import pytest

from gateway.core.due import READ_EACH_MS, READ_WITHIN_MS, reads_wanted
from gateway.core.fact import MeterSeen, Outcome, TagKind
from gateway.core.image import observe
from gateway.core.model import INTEGER_MAX, Reading, Serial, SupplyState
from gateway.core.orders import Cancel, Read
from gateway.core.progress import Readings, ReadingTaken
from gateway.core.waiting import instant_of
from tests.core.cutting import CLOSED, OPEN, begins, comes
from tests.core.papers import M1, M2, MINUTE_MS, meter
from tests.core.test_lifecycle import READ, how, progress, wants_supply
from tests.core.test_ordering import RECONNECT, town
from tests.core.world import World

READY, UNKNOWN = SupplyState.READY_FOR_RECONNECTION, SupplyState.UNKNOWN
LIMIT_MS = READ_WITHIN_MS + 2 * READ_EACH_MS
Step = Callable[[World], object]


def reads(
    world: World, serial: str, *, values_age_ms: int = 0, state: SupplyState = CLOSED, **values: int
) -> None:
    """A meter is read now, its values so long ago."""
    reading = Reading(
        state=state,
        mono_ms=world.now.mono_ms,
        values_ms=world.now.mono_ms - values_age_ms,
        **values,
    )
    seen = MeterSeen(serial=Serial(serial), reading=reading)
    world.image = observe(world.image, seen, instant_of(world.now))


def readings(world: World) -> Readings:
    result = progress(world).result
    assert isinstance(result, Readings)
    return result


# --- reconnect ---


@pytest.mark.parametrize(
    ("state", "age_ms", "expected"),
    [
        (CLOSED, 0, ("SUCCEEDED", "ALREADY_CONNECTED")),
        (READY, 0, ("SUCCEEDED", "AWAITING_CONSUMER")),
        (OPEN, 0, ("QUEUED", "")),
        (UNKNOWN, 0, ("QUEUED", "")),
        (CLOSED, 3 * MINUTE_MS, ("QUEUED", "")),
    ],
)
def test_a_reconnect_of_a_meter_that_was_read(
    state: SupplyState, age_ms: int, expected: tuple[str, str]
) -> None:
    world = World(M1)
    world.reads("M1", state, age_ms=age_ms)
    world.ordered(RECONNECT)
    world.plans()
    assert how(world) == expected


def test_a_reconnect_of_a_meter_that_was_never_read_waits() -> None:
    world = World(M1)
    world.ordered(RECONNECT)
    world.plans()
    assert how(world) == ("QUEUED", "")


def test_a_reconnect_waits_until_its_order_has_certainly_expired() -> None:
    world = World(M1)
    comes(world, RECONNECT, life_ms=MINUTE_MS)
    assert world.plans().deadline_ms == world.now.mono_ms + MINUTE_MS + 1_001
    world.wait(MINUTE_MS + 1_000)
    world.plans()
    assert how(world) == ("QUEUED", "")
    world.wait(1)
    world.plans()
    assert how(world) == ("TIMED_OUT", "STATE_UNKNOWN")


def test_a_reconnect_waits_no_longer_than_the_promise() -> None:
    world = World(M1)
    comes(world, RECONNECT, life_ms=1_000 * MINUTE_MS)
    world.wait(20 * MINUTE_MS - 1)
    assert world.plans().deadline_ms == world.now.mono_ms + 1
    assert how(world) == ("QUEUED", "")
    world.wait(1)
    world.plans()
    assert how(world) == ("TIMED_OUT", "STATE_UNKNOWN")


def hold(world: World) -> None:
    world.tags(TagKind.HOLD, "M1")


def leave(world: World) -> None:
    world.site(M2)


@pytest.mark.parametrize(
    ("step", "word"),
    [(hold, "METER_HELD"), (leave, "NOT_ON_ROSTER")],
    ids=["it is held", "its meter has left"],
)
def test_what_stood_against_it_is_said_of_a_reconnect_that_timed_out(step: Step, word: str) -> None:
    world = wants_supply()
    step(world)
    world.wait(20 * MINUTE_MS)
    world.reads("M1", OPEN)
    world.plans()
    assert how(world) == ("TIMED_OUT", word)


def test_a_close_that_is_under_way_is_waited_for_however_long_it_takes() -> None:
    world = wants_supply()
    command = begins(world)
    world.wait(60 * MINUTE_MS)
    world.plans()
    assert how(world) == ("IN_PROGRESS", "")
    world.ends(command)
    assert how(world) == ("SUCCEEDED", "CLOSED_VERIFIED")


def test_a_close_of_which_nobody_knew_times_out_when_nothing_more_is_heard() -> None:
    world = wants_supply()
    world.ends(begins(world), Outcome.UNKNOWN)
    world.wait(20 * MINUTE_MS)
    world.plans()
    assert how(world) == ("TIMED_OUT", "STATE_UNKNOWN")


def test_a_home_whose_order_timed_out_is_closed_all_the_same() -> None:
    world = wants_supply()
    hold(world)
    world.wait(20 * MINUTE_MS)
    world.plans()
    assert progress(world).ended
    world.tags(TagKind.HOLD, "M1", place=False)
    world.reads("M1", OPEN)
    assert begins(world).meter == M1
    assert how(world) == ("TIMED_OUT", "METER_HELD")


# --- read ---


def test_a_read_succeeds_when_each_meter_was_read_after_it_came() -> None:
    world = town()
    reads(world, "M1", supply_mv=1)
    world.wait(1_000)
    world.ordered(READ)
    reads(world, "M2", state=OPEN, load_mv=230_000, current_ma=5_000, power_w=-7, energy_wh=99)
    assert world.plans().deadline_ms == world.now.mono_ms + LIMIT_MS
    assert how(world) == ("IN_PROGRESS", "")
    reads(world, "M1", supply_mv=229_000)
    wall_ms = world.now.wall_ms
    world.plans()
    assert how(world) == ("SUCCEEDED", "")
    assert readings(world) == Readings(
        readings=(
            ReadingTaken(meter="M1", state=CLOSED, wall_ms=wall_ms, supply_mv=229_000),
            ReadingTaken(
                meter="M2",
                state=OPEN,
                wall_ms=wall_ms,
                load_mv=230_000,
                current_ma=5_000,
                power_w=-7,
                energy_wh=99,
            ),
        )
    )


def test_a_read_that_is_not_whole_in_time_says_who_is_missing_and_what_was_read() -> None:
    world = town()
    world.wait(1)
    world.ordered(READ)
    world.wait(LIMIT_MS - 1)
    reads(world, "M2", values_age_ms=LIMIT_MS)
    world.plans()
    assert how(world) == ("IN_PROGRESS", "")
    world.wait(1)
    world.plans()
    found = progress(world)
    assert (found.state, found.reason) == ("TIMED_OUT", "NO_ANSWER")
    assert found.detail == "2 of 2 meters were not read in time"
    taken = ReadingTaken(meter="M2", state=CLOSED, wall_ms=world.now.wall_ms - 1)
    assert readings(world) == Readings(readings=(taken,), missing=("M1", "M2"))


def test_a_meter_that_shows_no_values_is_read_when_its_state_is() -> None:
    world = town()
    world.ordered(Read(meters=("M1",)))
    world.reads("M1", UNKNOWN)
    world.plans()
    assert how(world) == ("IN_PROGRESS", "")
    world.wait(1)
    world.reads("M1", CLOSED)
    world.plans()
    assert how(world) == ("SUCCEEDED", "")


def test_a_number_that_no_json_carries_is_left_out() -> None:
    world = town()
    world.ordered(Read(meters=("M1",)))
    reads(world, "M1", supply_mv=INTEGER_MAX + 1, power_w=-INTEGER_MAX - 1, energy_wh=INTEGER_MAX)
    world.plans()
    (taken,) = readings(world).readings
    assert (taken.supply_mv, taken.power_w, taken.energy_wh) == (None, None, INTEGER_MAX)


@pytest.mark.parametrize("again", [World.restarts, World.reboots], ids=["restart", "reboot"])
def test_a_read_is_taken_up_again(again: Step) -> None:
    world = town()
    world.ordered(READ)
    again(world)
    world.plans()
    assert how(world) == ("IN_PROGRESS", "")
    reads(world, "M1")
    reads(world, "M2")
    world.plans()
    assert how(world) == ("SUCCEEDED", "")


def test_a_read_that_is_called_off_is_canceled() -> None:
    world = town()
    world.ordered(READ)
    assert world.ordered(Cancel(order="order-1")) == "ACCEPTED"
    assert how(world) == ("CANCELED", "CANCELED")
    assert progress(world).detail == "by order order-2"
    assert reads_wanted(world.image, world.now.boot) == {}


def test_the_bus_is_asked_for_those_that_were_not_read_yet_since_the_last_who_wants_them() -> None:
    world = wants_supply()
    assert reads_wanted(world.image, world.now.boot) == {}
    world = town()
    world.wait(1)
    first_ms = world.now.mono_ms
    world.ordered(READ)
    assert reads_wanted(world.image, world.now.boot) == {"M1": first_ms, "M2": first_ms}
    reads(world, "M1")
    world.wait(1)
    world.ordered(Read(meters=("M2",)))
    assert reads_wanted(world.image, world.now.boot) == {"M2": first_ms + 1}
    world.reboots()
    assert reads_wanted(world.image, world.now.boot) == {"M1": 0, "M2": 0}


def test_every_result_of_a_read_fits_into_a_message() -> None:
    homes = [msgspec.structs.replace(meter(at), serial=f"{at:032}", account=f"{at}")
             for at in range(1, 201)]  # fmt: skip
    world = World(*homes)
    world.ordered(Read(meters=tuple(home.serial for home in homes)))
    for home in homes:
        reads(world, home.serial, state=READY, supply_mv=-INTEGER_MAX, load_mv=-INTEGER_MAX,
              current_ma=-INTEGER_MAX, power_w=-INTEGER_MAX, energy_wh=-INTEGER_MAX)  # fmt: skip
    world.plans()
    assert how(world) == ("SUCCEEDED", "")
    assert len(world.written()[-1]) < 64_000
