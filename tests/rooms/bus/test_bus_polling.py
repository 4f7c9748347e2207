"""The round of a bus: what is posted, who is parked, what an unplugged or echoing line says."""

import asyncio
import contextlib
from pathlib import Path

import msgspec
import pytest

from gateway.bus.asking import Priority
from gateway.bus.device import device_of
from gateway.bus.frame import Function, Read, Write
from gateway.bus.line import Line
from gateway.bus.port import BusSettings
from gateway.bus.profile import load_profiles
from gateway.bus.rtu import Fault, Reply
from gateway.core.fact import BusSeen, MeterSeen, Outcome, SwitchReport
from gateway.core.model import Meter, SupplyState
from gateway.host.clock import HostClock, boot_id
from tests.rooms.bus.gateway_side import Collected, command, paid_image, running
from tests.rooms.bus.wire import OtherEnd, Slave, slaves

PROFILES = load_profiles(None)


def dds(unit: int, bus: str = "A") -> Meter:
    return Meter(
        account=f"10{unit:02}",
        serial=f"H{unit}",
        profile="dds238-2-zn-sr",
        bus=bus,
        unit=unit,
        dt="DT-1",
        second_proof="sheet",
    )


def opened() -> Slave:
    slave = Slave({3: {0x0C: 2310, 0x0D: 0, 0x0E: 0, 0x1A: 0}})

    def obeys(_: int, __: int, values: tuple[int, ...]) -> None:
        slave.tables[3] |= {0x1A: values[0], 0x0D: 130}

    slave.obey = obeys
    return slave


async def test_every_meter_of_the_bus_is_read_and_posted() -> None:
    end, inbox = OtherEnd(slaves({1: opened(), 2: opened()})), Collected()
    image = paid_image((dds(1), dds(2), dds(3, bus="B")), PROFILES)
    async with running({"A": end.path}, PROFILES, inbox) as buses:
        buses.show(image)
        for serial in ("H1", "H2"):
            seen = await _seen(inbox, serial)
            assert seen.reading.state is SupplyState.DISCONNECTED
            seen = await inbox.first(MeterSeen, lambda one: one.reading.supply_mv is not None)
            assert (seen.reading.supply_mv, seen.reading.current_ma) == (231_000, 0)
            assert seen.reading.load_mv is None
        assert (await inbox.first(BusSeen, lambda bus: bus.open)).bus == "A"
    assert {request[0] for request in end.requests} == {247, 1, 2}
    end.close()


async def test_a_type_without_a_known_state_gives_its_values() -> None:
    acrel = Slave({3: {0x43: 0, 0x44: 0, 0x45: 1, 0x0B: 2301, 0x0C: 52, 0x0D: 12}})
    meter = msgspec.structs.replace(dds(1), profile="acrel-ddsy1352")
    end, inbox = OtherEnd(slaves({1: acrel})), Collected()
    async with running({"A": end.path}, PROFILES, inbox) as buses:
        buses.show(paid_image((meter,), PROFILES))
        reading = (await inbox.first(MeterSeen)).reading
        assert reading.state is SupplyState.UNKNOWN
        assert (reading.supply_mv, reading.current_ma) == (230_100, 520)
    end.close()


async def test_how_often_the_bus_is_read_is_told() -> None:
    end, inbox = OtherEnd(slaves({1: opened(), 2: opened()})), Collected()
    async with running({"A": end.path}, PROFILES, inbox) as buses:
        buses.show(paid_image((dds(1), dds(2)), PROFILES))
        seen = await inbox.first(BusSeen, lambda bus: bus.polling is not None)
        assert seen.polling is not None
        assert seen.polling.devices == 2
        assert (seen.polling.waiting_ms, seen.polling.values_ms) == (2_000, 30_000)
        assert 0 < seen.polling.share_percent == seen.polling.wished_percent <= 50
    end.close()


async def test_a_silent_meter_is_parked_and_the_others_go_on() -> None:
    units = {1: opened(), 2: opened()}
    units[1].dead = True
    end, inbox = OtherEnd(slaves(units)), Collected()
    async with running({"A": end.path}, PROFILES, inbox) as buses:
        buses.show(paid_image((dds(1), dds(2)), PROFILES))
        seen = await inbox.first(BusSeen, lambda bus: bus.silent == ("H1",))
        assert seen.open
        assert seen.timeouts == 2
        assert [one for one in inbox.events if isinstance(one, MeterSeen)]
        units[1].dead = False
        await inbox.first(MeterSeen, lambda one: one.serial == "H1")
        told = [one for one in inbox.events if isinstance(one, BusSeen)]
        assert told[-1].silent == ()
    end.close()


async def test_a_parked_meter_costs_a_close_nothing() -> None:
    units = {1: opened(), 2: opened()}
    units[1].dead = True
    end, inbox = OtherEnd(slaves(units)), Collected()
    async with running({"A": end.path}, PROFILES, inbox) as buses:
        buses.show(paid_image((dds(1), dds(2)), PROFILES))
        await inbox.first(BusSeen, lambda bus: bus.silent == ("H1",))
        begun = len(end.requests)
        buses.switch(command(dds(2)))
        assert (await inbox.first(SwitchReport)).outcome is Outcome.CLOSED_VERIFIED
        assert 1 not in {request[0] for request in end.requests[begun : begun + 2]}
    end.close()


async def test_a_bus_without_any_answer_says_what_to_look_at() -> None:
    end, inbox = OtherEnd(lambda _: []), Collected()
    async with running({"A": end.path}, PROFILES, inbox) as buses:
        buses.show(paid_image((dds(1),), PROFILES))
        seen = await inbox.first(BusSeen, lambda bus: bus.silent == ("H1",))
        assert "A and B" in seen.detail
    end.close()


async def test_an_echoing_line_is_told() -> None:
    end, inbox = OtherEnd(slaves({1: opened()})), Collected()
    end.echo = True
    async with running({"A": end.path}, PROFILES, inbox) as buses:
        buses.show(paid_image((dds(1),), PROFILES))
        seen = await inbox.first(BusSeen, lambda bus: bus.open and bus.detail != "")
        assert "gives back what is sent" in seen.detail
        await inbox.first(MeterSeen)
    end.close()


async def test_an_unplugged_port_is_told_and_opened_again(tmp_path: Path) -> None:
    # A stable path, as udev makes them: the adapter comes back under another name behind it.
    first, inbox = OtherEnd(slaves({1: opened()})), Collected()
    path = tmp_path / "by-path-usb-0"
    path.symlink_to(first.path)
    async with running({"A": str(path)}, PROFILES, inbox) as buses:
        buses.show(paid_image((dds(1),), PROFILES))
        await inbox.first(MeterSeen)
        first.close()
        lost = await inbox.first(BusSeen, lambda bus: "lost" in bus.detail)
        assert not lost.open
        second = OtherEnd(slaves({2: opened()}))
        path.unlink()
        path.symlink_to(second.path)
        buses.show(paid_image((dds(2),), PROFILES))
        await inbox.first(MeterSeen, lambda one: one.serial == "H2")
        second.close()


async def test_two_buses_do_not_wait_for_each_other() -> None:
    dead, live, inbox = OtherEnd(lambda _: []), OtherEnd(slaves({1: opened()})), Collected()
    async with running({"A": dead.path, "B": live.path}, PROFILES, inbox) as buses:
        buses.show(paid_image((dds(1, bus="B"), dds(2, bus="A")), PROFILES))
        buses.switch(command(dds(1, bus="B")))
        assert (await inbox.first(SwitchReport)).outcome is Outcome.CLOSED_VERIFIED
        assert not [one for one in inbox.events if isinstance(one, BusSeen) and one.silent]
    dead.close()
    live.close()


async def test_a_close_goes_before_polls_that_wait() -> None:
    units = {unit: opened() for unit in range(1, 21)}
    for slave in units.values():
        slave.delay_s = 0.02
    end, inbox = OtherEnd(slaves(units)), Collected()
    meters = tuple(dds(unit) for unit in units)
    async with running({"A": end.path}, PROFILES, inbox) as buses:
        buses.show(paid_image(meters, PROFILES))
        await end.requested(lambda request: request[0] == 2)
        begun = len(end.requests)
        buses.switch(command(meters[19]))
        await inbox.first(SwitchReport)
        # One exchange may have been on its way. This type has no number: its state, then the write.
        asked = [request[0] for request in end.requests[begun:]]
        assert asked.index(20) <= 1
        assert asked[asked.index(20) + 1] == 20
    end.close()


async def test_a_meter_whose_entry_changes_during_its_close_is_polled_afterwards() -> None:
    # Once the end was counted where the beginning was not, and it was never read again.
    slave = opened()
    slave.delay_s = 0.02
    end, inbox = OtherEnd(slaves({1: slave, 2: slave})), Collected()
    async with running({"A": end.path}, PROFILES, inbox) as buses:
        buses.show(paid_image((dds(1),), PROFILES))
        buses.switch(command(dds(1)))
        await end.requested(lambda request: request[1] == 16)
        moved = msgspec.structs.replace(dds(1), unit=2)
        buses.show(paid_image((moved,), PROFILES))
        await inbox.first(SwitchReport)
        before = len(inbox.events)
        await inbox.first(MeterSeen, lambda one: one in inbox.events[before:])
    end.close()


async def test_a_meter_without_the_address_that_its_type_needs_by_now_stops_nobody() -> None:
    # A site document in force stays so when a profile is changed: it is not checked again.
    orphan = msgspec.structs.replace(dds(2), profile="sdm230-relay8")
    end, inbox = OtherEnd(slaves({1: opened()})), Collected()
    async with running({"A": end.path}, PROFILES, inbox) as buses:
        buses.show(paid_image((dds(1), orphan), PROFILES))
        buses.switch(command(orphan, resumed=True))
        report = await inbox.first(SwitchReport)
        assert (report.outcome, report.verdict) == (Outcome.REFUSED, "SWITCH_UNPROVEN")
        await _seen(inbox, "H1")
    end.close()


async def test_a_caller_that_is_cancelled_leaves_the_line_usable() -> None:
    units = {1: opened(), 2: opened()}
    units[1].delay_s = 0.05
    end, inbox = OtherEnd(slaves(units)), Collected()
    line = Line(BusSettings(name="A", port=end.path), PROFILES, inbox, HostClock(boot_id(), 0))
    work = asyncio.create_task(line.run())
    asked = asyncio.create_task(_state_of(line, 1))
    await end.requested(lambda request: request[0] == 1)
    asked.cancel()
    reply = await _state_of(line, 2)
    assert isinstance(reply, Reply)
    assert reply.values == (0,)
    # What the cancelled caller had asked was heard to its end, in its own exchange.
    told = [one for one in inbox.events if isinstance(one, BusSeen)]
    assert [one.late for one in told] == [0] * len(told)
    assert [request[0] for request in end.requests] == [247, 1, 2]
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work
    end.close()


@pytest.mark.parametrize(
    ("measures_only", "address", "value"),
    [(False, 0x1A, 2), (False, 0x00, 0), (True, 0x1A, 0), (True, 0x1A, 1)],
    ids=["another value", "a forbidden place", "opening a check meter", "closing a check meter"],
)
async def test_a_write_that_is_not_in_the_profile_never_reaches_the_line(
    measures_only: bool, address: int, value: int
) -> None:
    settings = BusSettings(name="A", port="/dev/no-such-adapter")
    line = Line(settings, PROFILES, Collected(), HostClock(boot_id(), 0))
    device = device_of(dds(1), PROFILES)
    assert device is not None
    device = msgspec.structs.replace(device, measures_only=measures_only)
    write = Write(unit=1, function=Function.WRITE_REGISTERS, address=address, values=(value,))
    with pytest.raises(AssertionError):
        await line.ask(device, write, Priority.SWITCH)


async def _seen(inbox: Collected, serial: str) -> MeterSeen:
    return await inbox.first(MeterSeen, lambda one: one.serial == serial)


async def _state_of(line: Line, unit: int) -> Reply | Fault:
    request = Read(unit=unit, function=Function.READ_HOLDING, address=0x1A, count=1)
    device = device_of(dds(unit), PROFILES)
    assert device is not None
    return await line.ask(device, request, Priority.POLL)
