"""The room against slaves of other makers, so that our two ends cannot agree on a mistake."""

import asyncio
import struct
from collections.abc import Callable

import msgspec
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice

from gateway.bus.asking import Priority
from gateway.bus.device import device_of
from gateway.bus.frame import Function, Read, Write
from gateway.bus.line import Line
from gateway.bus.port import BusSettings
from gateway.bus.profile import load_profiles
from gateway.bus.rtu import Failure, Fault, Reply
from gateway.core.fact import BusSeen, MeterSeen, Move, Outcome, SwitchReport
from gateway.core.model import Meter, SupplyState
from gateway.host.clock import HostClock, boot_id
from tests.foreign.npm_slave import npm_slave
from tests.foreign.slave_process import foreign_slave
from tests.rooms.bus.gateway_side import Collected, command, ordered_image, paid_image, running
from tests.rooms.bus.small_town import DDS, SDM
from tests.rooms.bus.wire import Bridge

PROFILES = load_profiles(None)


async def test_a_libmodbus_meter_is_read_and_closed() -> None:
    bridge, inbox = Bridge(), Collected()
    async with foreign_slave({DDS.unit: bridge.far_path}, opened={DDS.unit}) as slave:
        async with running({"A": bridge.path}, PROFILES, inbox) as buses:
            buses.show(paid_image((DDS,), PROFILES))
            seen = await inbox.first(MeterSeen)
            assert seen.reading.state is SupplyState.DISCONNECTED
            buses.switch(command(DDS))
            report = await inbox.first(SwitchReport)
        truth = (await slave.truth())[DDS.unit]
    assert report.outcome is Outcome.CLOSED_VERIFIED
    assert (truth.closed, truth.writes) == (True, 1)
    assert not [one for one in inbox.events if isinstance(one, BusSeen) and one.crc_errors]
    bridge.close()


async def test_a_libmodbus_meter_is_opened_and_closed_again() -> None:
    bridge, inbox = Bridge(), Collected()
    async with foreign_slave({DDS.unit: bridge.far_path}) as slave:
        async with running({"A": bridge.path}, PROFILES, inbox) as buses:
            buses.show(ordered_image((DDS,), PROFILES))
            buses.switch(command(DDS, number=1, move=Move.OPEN))
            opened = await inbox.first(SwitchReport)
            truth = (await slave.truth())[DDS.unit]
            assert opened.outcome is Outcome.OPENED_VERIFIED
            assert (truth.closed, truth.moves, truth.writes) == (False, 1, 1)
            buses.show(paid_image((DDS,), PROFILES))
            buses.switch(command(DDS, number=2))
            closed = await inbox.first(SwitchReport, lambda report: report.number == 2)
        truth = (await slave.truth())[DDS.unit]
    assert closed.outcome is Outcome.CLOSED_VERIFIED
    assert (truth.closed, truth.moves, truth.writes) == (True, 2, 2)
    bridge.close()


async def test_a_pymodbus_meter_and_relay_board_are_read_closed_and_opened() -> None:
    bridge, inbox = Bridge(), Collected()
    coils_written: list[tuple[int, object]] = []
    contacts = [False] * 8

    async def board_acts(
        function: int,
        _start: int,
        address: int,
        _count: int,
        current: list[int],
        written: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        if function == 5 and written is not None:
            coils_written.append((address, written[0]))
            contacts[address] = bool(written[0])
        if function == 2:
            current[:] = [sum(bit << place for place, bit in enumerate(contacts))]
        return None

    async def meter_acts(
        function: int,
        _start: int,
        _address: int,
        _count: int,
        current: list[int],
        _written: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        if function == 4:
            current[0:2] = _float(231.0 if contacts[4] else 0.0)
            current[6:8] = _float(1.3 if contacts[4] else 0.0)
        return None

    number = list(struct.unpack(">2H", struct.pack(">I", int(SDM.serial))))
    nothing = [SimData(0, values=[0], datatype=DataType.REGISTERS)]
    no_bits = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
    meter = SimDevice(
        3,
        (
            no_bits,
            no_bits,
            [SimData(0xFC00, values=number, datatype=DataType.REGISTERS)],
            [SimData(0, values=[0] * 8, datatype=DataType.REGISTERS)],
        ),
        action=meter_acts,
    )
    board = SimDevice(40, (no_bits, no_bits, nothing, nothing), action=board_acts)
    server = ModbusSerialServer(
        [meter, board], port=bridge.far_path, baudrate=9600, ignore_missing_devices=True
    )
    await server.serve_forever(background=True)
    async with running({"A": bridge.path}, PROFILES, inbox) as buses:
        buses.show(paid_image((SDM,), PROFILES))
        seen = await inbox.first(MeterSeen)
        assert seen.reading.state is SupplyState.DISCONNECTED
        buses.switch(command(SDM, number=1))
        report = await inbox.first(SwitchReport)
        buses.show(ordered_image((SDM,), PROFILES))
        buses.switch(command(SDM, number=2, move=Move.OPEN))
        opened = await inbox.first(SwitchReport, lambda one: one.number == 2)
    await server.shutdown()  # type: ignore[no-untyped-call]
    assert report.outcome is Outcome.CLOSED_VERIFIED
    assert report.reading is not None
    assert (report.reading.load_mv, report.reading.current_ma) == (231_000, 1_300)
    assert opened.outcome is Outcome.OPENED_VERIFIED
    assert coils_written == [(4, True), (4, False)]
    bridge.close()


async def test_a_modbus_serial_meter_and_relay_board_are_read_and_closed() -> None:
    bridge, inbox = Bridge(), Collected()
    async with npm_slave(bridge.far_path) as slave:
        async with running({"A": bridge.path}, PROFILES, inbox) as buses:
            buses.show(paid_image((DDS, SDM), PROFILES))
            for number, meter in enumerate((DDS, SDM), start=1):
                seen = await inbox.first(MeterSeen, _of(meter))
                assert seen.reading.state is SupplyState.DISCONNECTED
                buses.switch(command(meter, number=number))
            relay = await inbox.first(SwitchReport, lambda report: report.number == 1)
            board = await inbox.first(SwitchReport, lambda report: report.number == 2)
        assert sorted(await slave.writes()) == [(2, 0x1A, 1), (40, 4, 1)]
    assert (relay.outcome, board.outcome) == (Outcome.CLOSED_VERIFIED, Outcome.CLOSED_VERIFIED)
    assert board.reading is not None
    assert (board.reading.load_mv, board.reading.current_ma) == (231_000, 1_300)
    assert not [one for one in inbox.events if isinstance(one, BusSeen) and one.crc_errors]
    bridge.close()


async def test_what_a_modbus_serial_meter_refuses_is_a_refusal_and_no_silence() -> None:
    # It has no energy register: the other values are read all the same.
    bridge, inbox = Bridge(), Collected()
    room = running({"A": bridge.path}, PROFILES, inbox)
    async with npm_slave(bridge.far_path), room as buses:
        buses.show(paid_image((DDS,), PROFILES))
        seen = await inbox.first(MeterSeen, lambda one: one.reading.values_ms is not None)
    assert (seen.reading.supply_mv, seen.reading.current_ma) == (231_000, 0)
    assert (seen.reading.power_w, seen.reading.energy_wh) == (0, None)
    assert not [one for one in inbox.events if isinstance(one, BusSeen) and one.timeouts]
    bridge.close()


async def test_a_libmodbus_board_takes_coils_and_refuses_what_it_does_not_have() -> None:
    bridge = Bridge()
    line = Line(
        BusSettings(name="A", port=bridge.path), PROFILES, Collected(), HostClock(boot_id(), 0)
    )
    device = device_of(msgspec.structs.replace(SDM, profile="sdm230-relay8-coils"), PROFILES)
    assert device is not None
    (state, beyond) = (
        Read(unit=40, function=Function.READ_COILS, address=at, count=1) for at in (4, 100)
    )
    async with foreign_slave({40: bridge.far_path}, coils=8) as slave:
        work = asyncio.create_task(line.run())
        await asyncio.sleep(0)  # the line is asked once it runs
        # libmodbus takes what comes after the probe for an echo as the answer to that.
        await line.ask(device, state, Priority.POLL)
        for position in (1, 0, 1):
            coil = Write(unit=40, function=Function.WRITE_COIL, address=4, values=(position,))
            assert isinstance(await line.ask(device, coil, Priority.SWITCH), Reply)
            seen = await line.ask(device, state, Priority.SWITCH)
            assert isinstance(seen, Reply)
            assert seen.values == (position,)
        refused = await line.ask(device, beyond, Priority.POLL)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        truth = (await slave.truth())[40]
    assert isinstance(refused, Fault)
    assert (refused.failure, refused.code) == (Failure.EXCEPTION, 2)
    assert (truth.coils, truth.writes) == ((False,) * 4 + (True,) + (False,) * 3, 3)
    bridge.close()


def _of(meter: Meter) -> Callable[[MeterSeen], bool]:
    return lambda seen: seen.serial == meter.serial


def _float(value: float) -> list[int]:
    return list(struct.unpack(">2H", struct.pack(">f", value)))
