"""What a round asks besides the states of meters: check meters, and what opened a switch."""

from pathlib import Path

import msgspec
import pytest

from gateway.bench.control import simulated_line
from gateway.bench.meters import MeterEntry, MeterType
from gateway.bus.profile import Profile, load_profiles
from gateway.core.fact import BusSeen, MeterSeen, Move
from gateway.core.model import Cause, Serial, SupplyState
from gateway.core.terms import CheckMeter
from tests.rooms.bus.gateway_side import (
    Collected,
    checked_image,
    command,
    ordered_image,
    paid_image,
    running,
)
from tests.rooms.bus.small_town import DDS, amperes, volts
from tests.rooms.bus.wire import Behaviour, OtherEnd, Slave, Speech, slaves

PROFILES = load_profiles(None)
CHECK = CheckMeter(serial="777", profile="eastron-sdm230", bus="A", unit=9)
TELLS = """
extends = "dds238-2-zn-sr"
[cause]
function = 3
address = 0x001B
mask = 0x0F
prepay = 1
trip = 2
evidence = "manual"
source = "this site's meters"
"""


def lit() -> Slave:
    return Slave({3: {0x0C: 2310, 0x0D: 130, 0x1A: 1}})


def measuring(supply_v: float) -> Slave:
    return Slave({4: {**volts(supply_v), **amperes(80.0)}})


def tells(reason: int) -> Slave:
    return Slave({3: {0x0C: 2310, 0x0D: 0, 0x1A: 0, 0x1B: reason}})


def telling_profiles(directory: Path) -> dict[str, Profile]:
    (directory / "dds-tells.toml").write_text(TELLS)
    return load_profiles(directory)


TELLING = msgspec.structs.replace(DDS, profile="dds-tells")


async def test_a_check_meter_is_measured_each_time_and_asked_for_nothing_else() -> None:
    check, inbox = measuring(231.0), Collected()
    end = OtherEnd(slaves({DDS.unit: lit(), CHECK.unit: check}))
    async with running({"A": end.path}, PROFILES, inbox) as buses:
        buses.show(checked_image(CHECK, DDS, PROFILES))
        first = (await seen_of(inbox, CHECK.serial)).reading
        assert (first.state, first.supply_mv, first.load_mv) == (SupplyState.UNKNOWN, 231_000, None)
        assert first.current_ma == 80_000
        check.tables[4] |= volts(203.0)
        second = await inbox.first(MeterSeen, lambda one: one.reading.supply_mv == 203_000)
        assert second.serial == CHECK.serial
        assert first.mono_ms < second.reading.mono_ms
    asked = {tuple(request[1:6]) for request in end.requests if request[0] == CHECK.unit}
    assert asked == {(4, 0, 0, 0, 2), (4, 0, 6, 0, 2)}
    end.close()


async def test_a_check_meter_that_is_due_goes_before_the_meters_that_are() -> None:
    end = OtherEnd(slaves({DDS.unit: lit(), CHECK.unit: measuring(231.0)}))
    inbox = Collected()
    async with running({"A": end.path}, PROFILES, inbox) as buses:
        buses.show(checked_image(CHECK, DDS, PROFILES))
        await seen_of(inbox, DDS.serial)
    probe, *asked = (request[0] for request in end.requests)
    assert (probe, asked) == (247, [CHECK.unit, CHECK.unit, DDS.unit])
    end.close()


async def test_a_check_meter_that_comes_with_a_newer_site_is_measured_from_then_on() -> None:
    end = OtherEnd(slaves({DDS.unit: lit(), CHECK.unit: measuring(231.0)}))
    inbox = Collected()
    async with running({"A": end.path}, PROFILES, inbox) as buses:
        image = checked_image(CHECK, DDS, PROFILES)
        buses.show(msgspec.structs.replace(image, check_meters={}))
        await seen_of(inbox, DDS.serial)
        buses.show(image)
        await seen_of(inbox, CHECK.serial)
    end.close()


async def test_a_check_meter_of_another_bus_is_asked_there() -> None:
    here, there = OtherEnd(slaves({DDS.unit: lit()})), OtherEnd(slaves({9: measuring(231.0)}))
    inbox, other = Collected(), msgspec.structs.replace(CHECK, bus="B")
    async with running({"A": here.path, "B": there.path}, PROFILES, inbox) as buses:
        buses.show(checked_image(other, DDS, PROFILES))
        await seen_of(inbox, CHECK.serial)
        await seen_of(inbox, DDS.serial)
    assert {request[0] for request in here.requests} == {247, DDS.unit}
    here.close()
    there.close()


async def test_a_silent_check_meter_is_parked_and_told() -> None:
    end, inbox = OtherEnd(slaves({DDS.unit: lit()})), Collected()
    async with running({"A": end.path}, PROFILES, inbox) as buses:
        buses.show(checked_image(CHECK, DDS, PROFILES))
        told = await inbox.first(BusSeen, lambda bus: bool(bus.silent))
        assert told.silent == (CHECK.serial,)
    assert not [one for one in inbox.events if isinstance(one, MeterSeen) and one.serial == "777"]
    end.close()


async def test_a_simulated_check_meter_shows_the_voltage_that_is_set() -> None:
    inbox = Collected()
    entries = (
        MeterEntry(type=MeterType.EASTRON_SDM230, unit=CHECK.unit, serial=CHECK.serial),
        MeterEntry(type=MeterType.DDS238_2_ZN_SR, unit=DDS.unit, serial=DDS.serial),
    )
    async with simulated_line(entries) as line:
        await line.control.supply(CHECK.serial, 201.5)
        async with running({"A": line.pty}, PROFILES, inbox) as buses:
            buses.show(checked_image(CHECK, DDS, PROFILES))
            reading = (await seen_of(inbox, CHECK.serial)).reading
        assert reading.supply_mv == 201_500


@pytest.mark.parametrize(
    ("reason", "cause"), [(0x41, Cause.PREPAY), (0x02, Cause.TRIP), (0x07, None)]
)
async def test_the_first_reading_of_an_open_switch_says_what_opened_it(
    tmp_path: Path, reason: int, cause: Cause | None
) -> None:
    profiles = telling_profiles(tmp_path)
    end, inbox = OtherEnd(slaves({DDS.unit: tells(reason)})), Collected()
    async with running({"A": end.path}, profiles, inbox) as buses:
        buses.show(paid_image((TELLING,), profiles))
        reading = (await seen_of(inbox, DDS.serial)).reading
        assert (reading.state, reading.cause) == (SupplyState.DISCONNECTED, cause)
        # It stays so: it is not asked again with each reading.
        begun = len(inbox.events)
        again = await inbox.first(MeterSeen, lambda one: one in inbox.events[begun:])
        assert again.reading.cause is cause
    assert len([request for request in end.requests if request[3] == 0x1B]) == 1
    end.close()


async def test_a_closed_switch_is_not_asked_what_opened_it(tmp_path: Path) -> None:
    profiles, slave, inbox = telling_profiles(tmp_path), tells(1), Collected()
    slave.tables[3][0x1A] = 1
    end = OtherEnd(slaves({DDS.unit: slave}))
    async with running({"A": end.path}, profiles, inbox) as buses:
        buses.show(paid_image((TELLING,), profiles))
        reading = (await seen_of(inbox, DDS.serial)).reading
        assert (reading.state, reading.cause) == (SupplyState.CONNECTED, None)
    assert not [request for request in end.requests if request[3] == 0x1B]
    end.close()


async def test_a_cause_that_is_lost_on_the_line_is_asked_once_more(tmp_path: Path) -> None:
    profiles, inbox = telling_profiles(tmp_path), Collected()
    end = OtherEnd(losing_the_first(slaves({DDS.unit: tells(1)}), address=0x1B))
    async with running({"A": end.path}, profiles, inbox) as buses:
        buses.show(paid_image((TELLING,), profiles))
        assert (await seen_of(inbox, DDS.serial)).reading.cause is Cause.PREPAY
    end.close()


async def test_after_a_command_the_cause_is_asked_anew(tmp_path: Path) -> None:
    profiles, slave, inbox = telling_profiles(tmp_path), tells(1), Collected()
    end = OtherEnd(slaves({DDS.unit: slave}))
    async with running({"A": end.path}, profiles, inbox) as buses:
        buses.show(ordered_image((TELLING,), profiles))
        await inbox.first(MeterSeen, lambda one: one.reading.cause is Cause.PREPAY)
        slave.tables[3][0x1B] = 2
        buses.switch(command(TELLING, move=Move.OPEN))
        await inbox.first(MeterSeen, lambda one: one.reading.cause is Cause.TRIP)
    end.close()


def losing_the_first(behaviour: Behaviour, *, address: int) -> Behaviour:
    lost = False

    def behave(request: bytes) -> Speech:
        nonlocal lost
        if request[3] == address and not lost:
            lost = True
            return ()
        return behaviour(request)

    return behave


async def seen_of(inbox: Collected, serial: str) -> MeterSeen:
    return await inbox.first(MeterSeen, lambda one: one.serial == Serial(serial))
