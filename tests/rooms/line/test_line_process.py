"""The line's process: command line, back door, and foreign masters and slaves on its wire."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from pymodbus.client import AsyncModbusSerialClient

from gateway.bench.control import (
    ControlError,
    FaultKind,
    LineControl,
    SimulatedLine,
    simulated_line,
)
from gateway.bench.house import MOVE_DELAY_S
from gateway.bench.meters import MeterEntry, MeterType, Position
from tests.foreign.slave_process import foreign_slave

ACREL = MeterEntry(
    type=MeterType.ACREL_DDSY1352, unit=1, serial="202301010001", account="A-1", turnaround_ms=5
)
DDS238 = MeterEntry(
    type=MeterType.DDS238_2_ZN_SR, unit=5, serial="HK-5", state=Position.OPEN, turnaround_ms=5
)
SDM230 = MeterEntry(
    type=MeterType.SDM230_RELAY,
    unit=9,
    serial="20239999",
    switch_unit=100,
    switch_channel=2,
    turnaround_ms=5,
)
CHECK = MeterEntry(type=MeterType.EASTRON_SDM230, unit=30, serial="777", turnaround_ms=5)
WAIT_S = 30.0


@asynccontextmanager
async def line_of(*meters: MeterEntry, taps: int = 0) -> AsyncIterator[SimulatedLine]:
    async with asyncio.timeout(WAIT_S), simulated_line(meters, baud=19200, taps=taps) as line:
        yield line


async def mbpoll(line: SimulatedLine, *options: str, values: Sequence[str] = ()) -> str:
    """What the foreign master read, or said in refusal."""
    process = await asyncio.create_subprocess_exec(
        *("mbpoll", "-m", "rtu", "-b", "19200", "-P", "none", "-0", "-1", "-o", "0.3", "-q"),
        *options,
        line.pty,
        *values,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return (errors if process.returncode else output).decode()


def values_of(output: str) -> list[str]:
    """The values in what mbpoll prints: `[12]: <tab>2300`."""
    return [it.split("\t")[1].split()[0] for it in output.splitlines() if it.startswith("[")]


class TestForeignMasters:
    async def test_mbpoll_reads_every_type(self) -> None:
        async with line_of(ACREL, DDS238, SDM230) as line:
            identity = await mbpoll(line, "-a1", "-t4:hex", "-r67", "-c3")
            assert values_of(identity) == ["0x2023", "0x0101", "0x0001"]
            assert values_of(await mbpoll(line, "-a5", "-t4", "-r26")) == ["0"]
            (frequency,) = values_of(await mbpoll(line, "-a9", "-t3:float", "-B", "-r70"))
            assert float(frequency) == 50.0
            serial = await mbpoll(line, "-a9", "-t4:int", "-B", "-r64512")
            assert values_of(serial) == ["20239999"]
            contacts = await mbpoll(line, "-a100", "-t1", "-r0", "-c8")
            assert values_of(contacts) == list("00100000")

    async def test_mbpoll_switches_and_the_truth_shows_it(self) -> None:
        async with line_of(ACREL, SDM230) as line:
            assert "Written" in await mbpoll(line, "-a1", "-t4:int", "-B", "-r87", values=["65537"])
            assert "Written" in await mbpoll(line, "-a100", "-t0", "-r2", values=["0"])
            truth = await line.control.truth()
            while not all(it.moves for it in truth.meters):
                await asyncio.sleep(MOVE_DELAY_S / 10)
                truth = await line.control.truth()
            for meter in truth.meters:
                assert (meter.closed, meter.moves, len(meter.writes)) == (False, 1, 1)
                (move,) = meter.moved
                assert meter.writes[0].mono_ms < move.mono_ms <= truth.mono_ms

    async def test_mbpoll_is_told_why_not(self) -> None:
        async with line_of(DDS238) as line:
            assert "Illegal function" in await mbpoll(line, "-a5", "-t4", "-r26", values=["1"])
            assert "Illegal data address" in await mbpoll(line, "-a5", "-t4", "-r27")
            assert "timed out" in await mbpoll(line, "-a6", "-t4", "-r26")

    async def test_pymodbus_reads_and_writes(self) -> None:
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


class TestForeignSlave:
    async def test_libmodbus_answers_through_taps_beside_our_own(self) -> None:
        async with (
            line_of(DDS238, taps=2) as line,
            foreign_slave({6: line.taps[0], 7: line.taps[1]}, opened={7}, baud=19200) as slave,
        ):
            values = {}
            for unit in (6, 5, 7, 6, 5, 7):
                read = await mbpoll(line, f"-a{unit}", "-t4", "-r13", "-c2")
                values[unit] = values_of(read)
            assert values == {5: ["0", "0"], 6: ["130", "299"], 7: ["0", "0"]}
            assert (await line.control.truth()).wire.collisions == 0
            await slave.close_switch(7)
            assert values_of(await mbpoll(line, "-a7", "-t4", "-r26")) == ["1"]
            assert (await slave.truth())[7].moves == 1

    async def test_libmodbus_is_switched_by_pymodbus(self) -> None:
        async with (
            line_of(DDS238, taps=1) as line,
            foreign_slave({6: line.taps[0]}, opened={6}, baud=19200) as slave,
        ):
            client = AsyncModbusSerialClient(line.pty, baudrate=19200, retries=0)
            assert await client.connect()
            try:
                refused = await client.write_registers(0x001A, [7], device_id=6)
                assert refused.exception_code == 3
                assert not (await client.write_registers(0x001A, [1], device_id=6)).isError()
                changed = (await slave.heard("changed"))[6]
                assert (changed.closed, changed.moves, changed.writes) == (True, 1, 1)
                read = await client.read_holding_registers(0x000C, count=2, device_id=6)
                assert read.registers == [2300, 130]
            finally:
                client.close()


class TestControl:
    async def test_the_utility_cuts_and_reconnects(self) -> None:
        async with line_of(ACREL, SDM230) as line:
            for serial in (ACREL.serial, SDM230.serial):
                await line.control.open(serial)
                await line.control.close_switch(serial)
            assert [it.writes for it in (await line.control.truth()).meters] == [(), ()]

    async def test_a_dead_meter_is_silent_until_it_lives(self) -> None:
        async with line_of(DDS238) as line:
            await line.control.fault("HK-5", FaultKind.DEAD)
            assert "timed out" in await mbpoll(line, "-a5", "-t4", "-r26")
            assert (await line.control.truth()).meter("HK-5").dead
            await line.control.fault("HK-5", FaultKind.ALIVE)
            assert values_of(await mbpoll(line, "-a5", "-t4", "-r26")) == ["0"]

    async def test_a_swapped_meter_answers_with_its_own_number(self) -> None:
        swapped = msgspec.structs.replace(SDM230, answers_serial="777")
        async with line_of(ACREL, swapped) as line:
            serial = await mbpoll(line, "-a9", "-t4:int", "-B", "-r64512")
            assert values_of(serial) == ["777"]
            await line.control.fault(ACREL.serial, FaultKind.SWAP, serial_answered="42")
            identity = await mbpoll(line, "-a1", "-t4:hex", "-r67", "-c3")
            assert values_of(identity) == ["0x0000", "0x0000", "0x0042"]
            assert (await line.control.truth()).meter(ACREL.serial).answers_serial == "42"

    async def test_a_stuck_switch_stays_until_it_is_freed(self) -> None:
        async with line_of(ACREL) as line:
            await line.control.fault(ACREL.serial, FaultKind.STUCK)
            await mbpoll(line, "-a1", "-t4:int", "-B", "-r87", values=["65537"])
            truth = (await line.control.truth()).meter(ACREL.serial)
            assert (truth.stuck, truth.closed, truth.moves) == (True, True, 0)

    async def test_credit_is_used_up_and_bought(self) -> None:
        async with line_of(ACREL) as line:
            for credit in (False, True):
                await line.control.vend(ACREL.serial, credit=credit)
                truth = (await line.control.truth()).meter(ACREL.serial)
                while truth.closed is not credit:
                    await asyncio.sleep(MOVE_DELAY_S / 10)
                    truth = (await line.control.truth()).meter(ACREL.serial)
                assert truth.own_logic
                assert truth.writes == ()

    async def test_a_supply_is_held_until_it_may_swing_again(self) -> None:
        async with line_of(CHECK) as line:
            await line.control.supply(CHECK.serial, 201.5)
            volts = await mbpoll(line, "-a30", "-t3:float", "-B", "-r0")
            assert values_of(volts) == ["201.5"]
            await line.control.supply(CHECK.serial, None)
            (volts,) = values_of(await mbpoll(line, "-a30", "-t3:float", "-B", "-r0"))
            assert 227 < float(volts) < 233

    async def test_refusals_are_told(self) -> None:
        async with line_of(ACREL, CHECK, DDS238) as line:
            with pytest.raises(ControlError, match="serial 777: its type has no switch"):
                await line.control.open(CHECK.serial)
            with pytest.raises(ControlError, match="serial HK-5: its type keeps no credit"):
                await line.control.vend(DDS238.serial, credit=False)
            with pytest.raises(ControlError, match=r"Expected `float` <= 500"):
                await line.control.supply(CHECK.serial, 501.0)
            with pytest.raises(ControlError, match="no meter 1 on this line"):
                await line.control.open("1")
            with pytest.raises(ControlError, match="swap needs serial_answered"):
                await line.control.fault(ACREL.serial, FaultKind.SWAP)
            with pytest.raises(ControlError, match="1 to 12 digits"):
                await line.control.fault(ACREL.serial, FaultKind.SWAP, serial_answered="X")
            assert (await line.control.truth()).meter(ACREL.serial).account == "A-1"


async def started(*options: str | Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.bench.line"),
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


class TestProcess:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    async def test_ends_cleanly_with_a_client_connected(
        self, tmp_path: Path, number: signal.Signals
    ) -> None:
        meters, socket = tmp_path / "m.json", tmp_path / "control"
        meters.write_bytes(msgspec.json.encode([ACREL]))
        process = await started("--meters", meters, "--control", socket)
        assert process.stdout is not None
        ready = json.loads(await process.stdout.readline())
        assert ready["control"] == str(socket)
        assert ready["taps"] == []
        control = await LineControl.connect(ready["control"])
        await control.truth()
        process.send_signal(number)
        assert await process.communicate() == (b"", b"")
        assert process.returncode == 0
        assert not socket.exists()
        assert not Path(ready["pty"]).exists()
        await control.close()

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("[{", "truncated"),
            ('[{"type": "dds238-2-zn-sr", "unit": 248, "serial": "1"}]', "$[0].unit"),
            ('[{"type": "toaster", "unit": 1, "serial": "1"}]', "$[0].type"),
            ('[{"type": "acrel-ddsy1352", "unit": 1, "serial": "X"}]', "meter 0: serial X"),
        ],
    )
    async def test_a_bad_meters_file_is_wrong_use(
        self, tmp_path: Path, text: str, told: str
    ) -> None:
        meters = tmp_path / "m.json"
        meters.write_text(text)
        process = await started("--meters", meters)
        output, errors = await process.communicate()
        assert process.returncode == 2
        assert output == b""
        assert str(meters) in errors.decode()
        assert told in errors.decode()

    @pytest.mark.parametrize("place", ["m.json", "none/control"])
    async def test_an_impossible_socket_is_a_failure_in_one_line(
        self, tmp_path: Path, place: str
    ) -> None:
        meters = tmp_path / "m.json"
        meters.write_text("[]")
        process = await started("--meters", meters, "--control", tmp_path / place)
        _, errors = await process.communicate()
        assert process.returncode == 1
        assert errors.decode().startswith("Error: the line cannot run:")
        assert errors.count(b"\n") == 1
        assert meters.read_text() == "[]"
