"""Another maker's masters on the simulated line: Debian's mbpoll, and pymodbus's client."""

import asyncio

import msgspec
import pytest
from pymodbus.client import AsyncModbusSerialClient

from gateway.bench.control import SimulatedLine
from gateway.bench.faults import Faults, parse
from gateway.bench.meters import BoardType, MeterEntry, MeterType, Position
from tests.rooms.line.lines import (
    ACREL,
    DDS238,
    LOOK_EVERY_S,
    SDM230,
    line_of,
    mbpoll,
    settled,
    values_of,
)

FLOAT_INPUT, FLOAT, WORD, HEX = "-t3:float -B", "-t4:float -B", "-t4", "-t4:hex"
LONG, COIL, INPUT = "-t4:int -B", "-t0", "-t1"
READINGS = {
    MeterType.ACREL_DDSY1352: [
        (f"{HEX} -r67 -c3", ["0x1234", "0x5678", "0x9012"]),
        (f"{WORD} -r11 -c3", ["2300", "300", "690"]),
        (f"{HEX} -r357", ["0x2000"]),
        (f"{LONG} -r0", ["100000"]),
    ],
    MeterType.ACREL_DTSY1352: [
        (f"{HEX} -r67 -c3", ["0x1234", "0x5678", "0x9012"]),
        (f"{WORD} -r97 -c6", ["2300", "2300", "2300", "100", "100", "100"]),
        (f"{HEX} -r357", ["0xE000"]),
    ],
    MeterType.DDS238_2_ZN_SR: [
        (f"{WORD} -r12 -c6", ["2300", "300", "690", "0", "1000", "5000"]),
        (f"{WORD} -r26", ["1"]),
        (f"{LONG} -r10", ["100000"]),
    ],
    MeterType.EASTRON_SDM230: [
        (f"{LONG} -r64512", ["12345678"]),
        (f"{FLOAT_INPUT} -r0", ["230"]),
        (f"{FLOAT_INPUT} -r6", ["3"]),
        (f"{FLOAT_INPUT} -r70", ["50"]),
        (f"{FLOAT_INPUT} -r342", ["1000"]),
    ],
    MeterType.EASTRON_SDM120: [
        (f"{LONG} -r64512", ["12345678"]),
        (f"{FLOAT_INPUT} -r0", ["230"]),
        (f"{FLOAT_INPUT} -r12", ["690"]),
    ],
    MeterType.ACCUENERGY_EV300: [
        (f"{WORD} -r272 -c3", ["2300", "2300", "2300"]),
        (f"{WORD} -r278", ["1000"]),
        (f"{WORD} -r284", ["690"]),
        (f"{LONG} -r268", ["10000"]),
        (f"{COIL} -r0 -c2", ["1", "0"]),
        (f"{INPUT} -r0 -c4", ["1", "0", "0", "0"]),
    ],
    MeterType.SCHNEIDER_IEM3000: [
        (f"{LONG} -r129", ["12345678"]),
        (f"{FLOAT} -r2999", ["1"]),
        (f"{FLOAT} -r3027", ["230"]),
        (f"{FLOAT} -r3059", ["0.69"]),
        (f"{FLOAT} -r3109", ["50"]),
        (f"{LONG} -r3203 -c2", ["0", "1000000"]),
    ],
    MeterType.CHINT_DTSU666: [
        (f"{FLOAT} -r8198", ["2300"]),
        (f"{FLOAT} -r8204", ["1000"]),
        (f"{FLOAT} -r8210", ["6900"]),
        (f"{FLOAT} -r8260", ["5000"]),
        (f"{FLOAT} -r4126", ["1000"]),
    ],
    MeterType.ORNO_OR_WE_516: [
        (f"{LONG} -r0", ["12345678"]),
        (f"{FLOAT} -r14", ["230"]),
        (f"{FLOAT} -r20", ["50"]),
        (f"{FLOAT} -r22", ["1"]),
        (f"{FLOAT} -r28", ["0.69"]),
        (f"{FLOAT} -r256", ["1000"]),
    ],
    MeterType.NOARK_EX9EM: [
        (f"{WORD} -r0 -c7", ["2300", "30", "500", "690", "0", "690", "1000"]),
        (f"{LONG} -r7", ["100000"]),
    ],
    MeterType.INEPRO_PRO380: [
        (f"{FLOAT} -r20482", ["230"]),
        (f"{FLOAT} -r20488", ["50"]),
        (f"{FLOAT} -r20492", ["1"]),
        (f"{FLOAT} -r20498", ["0.69"]),
        (f"{FLOAT} -r24588", ["1000"]),
    ],
}
"""By type: how mbpoll is asked, and what a home of 690 W at 230 V says."""


def home(kind: MeterType, **changes: object) -> MeterEntry:
    serial = "123456789012" if kind.startswith("acrel") else "12345678"
    entry = MeterEntry(type=kind, unit=7, serial=serial, load_w=690, turnaround_ms=2)
    return msgspec.structs.replace(entry, **changes)


async def closes(line: SimulatedLine) -> None:
    """Wait until the one meter's contact is closed."""
    while not (await line.control.truth()).meters[0].closed:
        await asyncio.sleep(LOOK_EVERY_S)


async def befall(line: SimulatedLine, fault: str) -> None:
    """Let a fault befall the line, by the words of the option."""
    serial, faults = parse(fault)
    await line.control.fault(faults, serial)


class TestMbpoll:
    @pytest.mark.parametrize("kind", READINGS)
    async def test_reads_identity_values_and_state_of_each_type(self, kind: MeterType) -> None:
        entry = home(kind)
        async with line_of(entry) as line:
            await line.control.supply(entry.serial, 230.0)
            for options, expected in READINGS[kind]:
                assert values_of(await mbpoll(line, "-a7", *options.split())) == expected

    async def test_closes_and_opens_what_is_forced_by_two_registers(self) -> None:
        for kind, closed in (
            (MeterType.ACREL_DDSY1352, "0x2000"),
            (MeterType.ACREL_DTSY1352, "0xE000"),
        ):
            async with line_of(home(kind, state=Position.OPEN)) as line:
                force = ("-a7", "-t4:int", "-B", "-r87")
                assert "Written" in await mbpoll(line, *force, values=["65536"])
                await settled(line, moves=1)
                assert values_of(await mbpoll(line, "-a7", "-t4:hex", "-r357")) == [closed]
                assert "Written" in await mbpoll(line, *force, values=["65537"])
                await settled(line, moves=2)
                assert values_of(await mbpoll(line, "-a7", "-t4:hex", "-r357")) == ["0x0000"]

    async def test_closes_the_relay_of_a_panel_meter(self) -> None:
        async with line_of(home(MeterType.ACCUENERGY_EV300, state=Position.OPEN)) as line:
            assert values_of(await mbpoll(line, "-a7", "-t1", "-r0")) == ["0"]
            assert "Written" in await mbpoll(line, "-a7", "-t0", "-r0", values=["1"])
            await closes(line)
            assert values_of(await mbpoll(line, "-a7", "-t0", "-r0", "-c2")) == ["1", "0"]
            assert values_of(await mbpoll(line, "-a7", "-t1", "-r0")) == ["1"]
            assert "Illegal data address" in await mbpoll(line, "-a7", "-t0", "-r2", values=["1"])
            assert "Written" in await mbpoll(line, "-a7", "-t4:int", "-B", "-r268", values=["55"])
            assert (await line.control.truth()).meters[0].energy_kwh == pytest.approx(5.5, abs=0.01)

    @pytest.mark.parametrize(
        ("board", "coil", "contact"),
        [
            (BoardType.RELAY8, 2, 2),
            (BoardType.RELAY8_BASE1, 3, 3),
            (BoardType.RELAY8_BASE16, 18, 18),
            (BoardType.WB_MR6C, 2, 98),
        ],
    )
    async def test_closes_the_relay_of_a_board(
        self, board: BoardType, coil: int, contact: int
    ) -> None:
        entry = msgspec.structs.replace(SDM230, board=board, state=Position.OPEN)
        async with line_of(entry) as line:
            assert values_of(await mbpoll(line, "-a100", "-t1", f"-r{contact}")) == ["0"]
            assert "Written" in await mbpoll(line, "-a100", "-t0", f"-r{coil}", values=["1"])
            await closes(line)
            assert values_of(await mbpoll(line, "-a100", "-t0", f"-r{coil}")) == ["1"]
            assert values_of(await mbpoll(line, "-a100", "-t1", f"-r{contact}")) == ["1"]
            assert len((await line.control.truth()).meters[0].writes) == 1

    async def test_is_told_that_a_protected_meter_obeyed_and_finds_that_it_did_not(self) -> None:
        async with line_of(home(MeterType.SCHNEIDER_IEM3000)) as line:
            before = await mbpoll(line, "-a7", "-t4:int", "-B", "-r129")
            written = await mbpoll(line, "-a7", "-t4:int", "-B", "-r129", values=["5"])
            assert "Written" in written
            assert await mbpoll(line, "-a7", "-t4:int", "-B", "-r129") == before

    async def test_is_told_why_not(self) -> None:
        async with line_of(DDS238) as line:
            assert "Illegal function" in await mbpoll(line, "-a5", "-t4", "-r26", values=["1"])
            assert "Illegal data address" in await mbpoll(line, "-a5", "-t4", "-r27")
            assert "timed out" in await mbpoll(line, "-a6", "-t4", "-r26")

    @pytest.mark.parametrize(
        ("fault", "told"),
        [
            ("crc", ("Invalid CRC", "timed out", "Invalid data", "not from requested slave")),
            ("truncated", ("timed out",)),
            ("busy", ("Slave device or server is busy",)),
            ("exception", ("Slave device or server failure",)),
            ("address", ("not from requested slave",)),
            ("dead", ("timed out",)),
            ("mute", ("timed out",)),
            ("late,late_ms=400", ("timed out",)),
            ("echo", ("Invalid CRC", "Invalid data", "timed out")),
        ],
    )
    async def test_reports_each_fault(self, fault: str, told: tuple[str, ...]) -> None:
        async with line_of(DDS238) as line:
            poll = ("-a5", "-t4", "-r8", "-c2")
            assert values_of(await mbpoll(line, *poll)) == ["0", "0"]
            await befall(line, fault)
            refused = await mbpoll(line, *poll)
            assert any(it in refused for it in told), refused

    async def test_takes_its_own_echo_for_a_dead_boards_obedience(self) -> None:
        # What the gateway must not fall for: FC05's answer repeats the request.
        async with line_of(SDM230, faults=["echo"]) as line:
            await line.control.fault(Faults(mute=1))
            assert "Written" in await mbpoll(line, "-a99", "-t0", "-r2", values=["0"])
            assert (await line.control.truth()).meter(SDM230.serial).closed

    async def test_at_another_speed_hears_nothing_and_is_counted(self) -> None:
        async with line_of(DDS238) as line:
            assert "timed out" in await mbpoll(line, "-a5", "-t4", "-r26", "-b9600")
            assert "timed out" in await mbpoll(line, "-a5", "-t4", "-r26", "-s2")
            assert values_of(await mbpoll(line, "-a5", "-t4", "-r26")) == ["0"]
            wire = (await line.control.truth()).wire
            assert (wire.untuned, wire.bad_frames, wire.requests) == (2, 2, 1)

    async def test_switches_and_the_truth_shows_it(self) -> None:
        async with line_of(ACREL, SDM230) as line:
            assert "Written" in await mbpoll(line, "-a1", "-t4:int", "-B", "-r87", values=["65537"])
            assert "Written" in await mbpoll(line, "-a100", "-t0", "-r2", values=["0"])
            truth = await settled(line, moves=1)
            for meter in truth.meters:
                assert (meter.closed, len(meter.writes)) == (False, 1)
                (move,) = meter.moved
                assert meter.writes[0].mono_ms < move.mono_ms <= truth.mono_ms


class TestPymodbus:
    async def test_reads_and_writes(self) -> None:
        async with line_of(DDS238, SDM230) as line:
            client = AsyncModbusSerialClient(line.pty, baudrate=19200, retries=0)
            assert await client.connect()
            try:
                written = await client.write_registers(0x001A, [1], device_id=5)
                assert not written.isError()
                read = await client.read_holding_registers(0x001A, count=1, device_id=5)
                assert read.registers == [1]
                await client.write_coils(0, [True] * 8, device_id=100)
                read = await client.read_coils(0, count=8, device_id=100)
                assert read.bits == [True] * 8
                read = await client.read_input_registers(0x0000, count=80, device_id=9)
                assert len(read.registers) == 80
            finally:
                client.close()
            assert (await line.control.truth()).meter("HK-5").moves == 1
