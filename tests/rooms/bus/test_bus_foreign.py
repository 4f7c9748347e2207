"""The room against slaves of other makers, so that our two ends cannot agree on a mistake."""

import struct

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice

from gateway.bus.profile import load_profiles
from gateway.core.fact import BusSeen, MeterSeen, Move, Outcome, SwitchReport
from gateway.core.model import SupplyState
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


def _float(value: float) -> list[int]:
    return list(struct.unpack(">2H", struct.pack(">f", value)))
