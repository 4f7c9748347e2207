"""The round in virtual time: how often each is read, and what silent meters take of the line."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean

import pytest

from gateway.bus.budget import POLLING_SHARE, Intervals
from gateway.bus.device import Device
from gateway.bus.profile import load_profiles
from gateway.core.fact import MeterSeen
from gateway.core.model import Serial
from tests.rooms.bus.virtual import Round, in_virtual_time
from tests.rooms.bus.wire import Slave

DDS = load_profiles(None)["dds238-2-zn-sr"]
LIT, OPEN = 1, 0
AT_ONCE = Intervals(waiting_s=0.01, connected_s=0.01, checked_s=0.01, measured_s=30.0)
"""More often than any line can: then the line's time decides."""
MINUTE_S = 60.0


def meter(relay: int = LIT, *, dead: bool = False) -> Slave:
    energy = dict.fromkeys(range(0x12), 0)
    return Slave({3: {**energy, 0x0C: 2310, 0x0D: 130 * relay, 0x1A: relay}}, dead=dead)


def devices(units: Mapping[int, Slave]) -> tuple[Device, ...]:
    return tuple(Device(serial=Serial(f"H{unit}"), profile=DDS, unit=unit) for unit in units)


def readings(of: Round, unit: int, after_s: float = 0.0) -> list[float]:
    """When a meter was read, in seconds."""
    seen = [one for one in of.inbox.events if isinstance(one, MeterSeen)]
    of_unit = [one.reading.mono_ms / 1000 for one in seen if one.serial == f"H{unit}"]
    return [at_s for at_s in of_unit if at_s >= after_s]


def cycle_s(of: Round, units: Sequence[int], after_s: float = 0.0) -> float:
    """The mean time between two readings of a meter."""
    times = [readings(of, unit, after_s) for unit in units]
    return fmean((one[-1] - one[0]) / (len(one) - 1) for one in times)


def requests_to(of: Round, units: Sequence[int], after_s: float) -> int:
    return sum(at_s >= after_s and unit in units for at_s, unit in of.wire.requests)


async def polled(
    units: dict[int, Slave], seconds: float, *, baud: int = 9600, wished: Intervals | None = None
) -> Round:
    of = Round(units, baud=baud, wished=wished)
    of.polling.take(devices(units))
    await of.run_for(seconds)
    return of


@pytest.mark.parametrize("wished", [Intervals(), AT_ONCE], ids=["at ease", "line full"])
@pytest.mark.parametrize("baud", [1200, 9600])
def test_five_dead_meters_of_sixty_stretch_a_cycle_by_at_most_a_tenth(
    baud: int, wished: Intervals
) -> None:
    units, dead = range(1, 61), range(8, 61, 12)
    healthy_units = [unit for unit in units if unit not in dead]
    first_round_s, until_s = MINUTE_S, 6 * MINUTE_S

    def cycle(with_dead: bool) -> float:
        slaves = {unit: meter(dead=with_dead and unit in dead) for unit in units}
        of = in_virtual_time(polled(slaves, until_s, baud=baud, wished=wished))
        return cycle_s(of, healthy_units, first_round_s)

    assert cycle(with_dead=True) <= 1.10 * cycle(with_dead=False)


def test_a_silent_meter_is_asked_ever_more_seldom_and_never_given_up() -> None:
    units = {1: meter(dead=True), **{unit: meter() for unit in range(2, 61)}}
    of = in_virtual_time(polled(units, 20 * MINUTE_S))
    asked = [at_s for at_s, unit in of.wire.requests if unit == 1]
    gaps = [later - earlier for earlier, later in pairwise(asked)]
    assert gaps[0] < 10
    assert all(later >= earlier - 1 for earlier, later in pairwise(gaps[1:]))
    assert 300 <= gaps[-1] < 310


def test_when_one_silent_meter_comes_back_the_others_are_asked_at_once() -> None:
    silent = {unit: meter(dead=True) for unit in range(1, 21)}
    units = {**silent, **{unit: meter() for unit in range(21, 61)}}

    async def mended() -> Round:
        of = await polled(units, 15 * MINUTE_S)
        for slave in silent.values():
            slave.dead = False
        await of.run_for(7 * MINUTE_S)
        return of

    of = in_virtual_time(mended())
    back = [readings(of, unit)[0] for unit in silent]
    assert max(back) - min(back) < 20


def test_with_nobody_to_disturb_a_silent_line_is_asked_every_few_seconds() -> None:
    units = {unit: meter(dead=True) for unit in range(1, 4)}
    of = in_virtual_time(polled(units, 10 * MINUTE_S))
    assert of.polling.turns.all_silent
    assert requests_to(of, (1,), 9 * MINUTE_S) >= 9


def test_a_full_line_of_128_meters_is_left_half_free_and_everybody_is_read() -> None:
    units = {unit: meter() for unit in range(1, 129)}
    of = in_virtual_time(polled(units, 4 * MINUTE_S, wished=AT_ONCE))
    each_s = (8 + 7) / 960 + 3.5 / 960 + 0.02
    after = requests_to(of, tuple(units), MINUTE_S)
    assert after * each_s / (3 * MINUTE_S) <= POLLING_SHARE + 0.02
    assert cycle_s(of, tuple(units), MINUTE_S) < 13


def test_meters_where_somebody_waits_are_read_before_and_more_often_than_the_others() -> None:
    waiting, lit = range(1, 9), range(9, 129)
    units = {unit: meter(OPEN) for unit in waiting} | {unit: meter() for unit in lit}
    of = in_virtual_time(polled(units, 3 * MINUTE_S))
    assert cycle_s(of, tuple(waiting), MINUTE_S) < 2.5
    assert 10 <= cycle_s(of, tuple(lit), MINUTE_S) < 25


def test_with_everybody_waiting_the_round_is_as_quick_as_the_line_allows() -> None:
    units = {unit: meter(OPEN) for unit in range(1, 129)}
    of = in_virtual_time(polled(units, 3 * MINUTE_S))
    assert cycle_s(of, tuple(units), MINUTE_S) < 16


def test_intervals_shrink_again_once_it_is_known_how_soon_the_meters_answer() -> None:
    units = {unit: meter() for unit in range(1, 129)}

    async def learned() -> tuple[float, float]:
        round_ = Round(units, turnaround_s=0.005)
        round_.polling.take(devices(units))
        before_s = round_.polling.turns.budget.intervals.connected_s
        await round_.run_for(2 * MINUTE_S)
        return before_s, round_.polling.turns.budget.intervals.connected_s

    before_s, after_s = in_virtual_time(learned())
    assert after_s < 0.7 * before_s
