"""The budget of a line's time: how long an exchange takes, and intervals that fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bus.budget import (
    CONNECTED_SHARE_MIN,
    MEASURED_SHARE_MIN,
    POLLING_SHARE,
    READ_EVERY_MAX_S,
    Demand,
    Intervals,
    Speed,
    budget,
    demand_of,
    exchange_s,
    miss_s,
    outlook,
    outlook_words,
    overfull,
)
from gateway.bus.device import Device
from gateway.bus.frame import Function, Read
from gateway.bus.port import BusSettings
from gateway.bus.profile import load_profiles
from gateway.bus.rtu import Timing
from gateway.core.model import Serial

PROFILES = load_profiles(None)
STATE = Read(unit=1, function=Function.READ_HOLDING, address=0x1A, count=1)
TIMING = Timing(timeout_ms=300, turnaround_max_ms=200)
WISHED = Intervals()
SPEED = Speed(baud=9600, character_bits=10, turnaround_s=0.02)
seconds = st.floats(min_value=0.0, max_value=1000.0)


def street(count: int, profile: str = "dds238-2-zn-sr") -> tuple[Device, ...]:
    return tuple(
        Device(serial=Serial(f"H{unit}"), profile=PROFILES[profile], unit=unit)
        for unit in range(1, count + 1)
    )


def test_an_exchange_is_silence_request_turnaround_and_answer() -> None:
    # 3.5 + 8 + 7 characters of 10 bits.
    assert exchange_s(STATE, TIMING, SPEED) == pytest.approx(18.5 * 10 / 9600 + 0.02)


def test_parity_makes_characters_longer_and_high_speeds_keep_the_shortest_silence() -> None:
    even = Speed(baud=9600, character_bits=11, turnaround_s=0.02)
    fast = Speed(baud=115_200, character_bits=10, turnaround_s=0.02)
    assert exchange_s(STATE, TIMING, even) == pytest.approx(18.5 * 11 / 9600 + 0.02)
    assert exchange_s(STATE, TIMING, fast) == pytest.approx(0.00175 + 150 / 115_200 + 0.02)


def test_a_meter_that_needs_a_longer_gap_costs_it() -> None:
    gap = Timing(timeout_ms=300, turnaround_max_ms=200, gap_ms=50)
    assert exchange_s(STATE, gap, SPEED) == pytest.approx(0.05 + 150 / 9600 + 0.02)


def test_a_miss_costs_the_time_out_and_the_late_window() -> None:
    assert 0.5 < miss_s(STATE, TIMING, SPEED) < 0.6


def test_what_fits_is_read_as_wished() -> None:
    found = outlook(street(32), SPEED, WISHED).lit
    assert found.intervals == WISHED
    assert found.share == found.wished_share < POLLING_SHARE


def test_128_meters_at_9600_baud_are_read_less_often_and_leave_half_of_the_line() -> None:
    found = outlook(street(128), Speed(baud=9600, character_bits=10), WISHED)
    assert found.lit.wished_share > POLLING_SHARE
    assert found.lit.share == pytest.approx(POLLING_SHARE)
    assert WISHED.connected_s < found.lit.intervals.connected_s < 30
    assert found.dark.share == pytest.approx(POLLING_SHARE)
    assert found.fits


def test_those_where_somebody_waits_are_stretched_last() -> None:
    mixed = [(device, device.unit <= 8) for device in street(128)]
    found = budget(demand_of(mixed, SPEED), WISHED)
    assert found.intervals.waiting_s == WISHED.waiting_s
    assert found.intervals.connected_s > WISHED.connected_s


def test_however_many_wait_the_others_and_the_values_are_read_too() -> None:
    demand = Demand(waiting_s=1000.0, connected_s=4.0, measured_s=12.0)
    found = budget(demand, WISHED).intervals
    assert demand.connected_share(found) == pytest.approx(CONNECTED_SHARE_MIN)
    assert demand.measured_share(found) == pytest.approx(MEASURED_SHARE_MIN)
    assert demand.share(found) == pytest.approx(POLLING_SHARE)


def test_values_are_read_more_seldom_before_states_are() -> None:
    found = budget(Demand(connected_s=3.0, measured_s=20.0), WISHED).intervals
    assert found.connected_s == WISHED.connected_s
    assert found.measured_s == pytest.approx(100.0)


@given(waiting_s=seconds, connected_s=seconds, checked_s=seconds, measured_s=seconds)
def test_no_budget_takes_more_than_its_share_nor_reads_more_often_than_wished(
    waiting_s: float, connected_s: float, checked_s: float, measured_s: float
) -> None:
    demand = Demand(
        waiting_s=waiting_s,
        connected_s=connected_s,
        checked_s=checked_s,
        measured_s=measured_s,
    )
    found = budget(demand, WISHED)
    assert found.share <= POLLING_SHARE * (1 + 1e-9)
    for name in WISHED.__struct_fields__:
        assert getattr(found.intervals, name) >= getattr(WISHED, name)


def test_an_empty_line_has_a_budget_too() -> None:
    assert budget(Demand(), WISHED).share == 0


def test_a_check_meter_is_only_measured() -> None:
    check = Device(
        serial=Serial("777"), profile=PROFILES["eastron-sdm230"], unit=9, measures_only=True
    )
    demand = demand_of([(check, False)], SPEED)
    assert demand.checked_s > 0
    assert demand.connected_s == demand.waiting_s == demand.measured_s == 0


def test_a_bus_with_more_than_it_can_read_in_time_is_told_with_the_mend() -> None:
    slow = BusSettings(name="A", port="/dev/ttyUSB0", baud=1200)
    said = overfull(slow, street(247))
    assert said is not None
    assert said.startswith("bus A: 247 devices at 1200 baud")
    assert "Raise the baud rate, or split the bus." in said
    assert f"{READ_EVERY_MAX_S:.0f} s" in said


def test_a_bus_that_can_read_everybody_in_time_is_not_spoken_of() -> None:
    assert overfull(BusSettings(name="A", port="/dev/ttyUSB0"), street(128)) is None


def test_a_budget_is_told_in_one_line() -> None:
    words = outlook_words(outlook(street(128), SPEED, WISHED))
    assert words.startswith("128 devices, ")
    assert "50% of the line's time" in words
    assert "values every" in words


def test_what_is_measured_of_the_turnaround_is_learned_slowly() -> None:
    taken_s = 150 / 9600 + 0.1
    heard = SPEED
    for _ in range(200):
        heard = heard.heard(STATE, taken_s)
    assert SPEED.heard(STATE, taken_s).turnaround_s < 0.025
    assert heard.turnaround_s == pytest.approx(0.1, abs=0.001)
