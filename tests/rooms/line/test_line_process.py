"""The line's process: command line, back door, and foreign slaves on its wire."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import msgspec
import pytest
from pymodbus.client import AsyncModbusSerialClient

from gateway.bench.control import ControlError, LineControl
from gateway.bench.faults import Faults
from gateway.bench.house import MOVE_DELAY_S
from tests.foreign.slave_process import foreign_slave
from tests.rooms.line.lines import ACREL, CHECK, DDS238, SDM230, line_of, mbpoll, values_of


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
            with pytest.raises(ControlError, match="swapped befalls one meter"):
                await line.control.fault(Faults(swapped="X"))
            with pytest.raises(ControlError, match="1 to 12 digits"):
                await line.control.fault(Faults(swapped="X"), ACREL.serial)
            with pytest.raises(ControlError, match="no meter 1 on this line"):
                await line.control.fault(Faults(dead=1), "1")
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
        process = await started("--meters", meters, "--control", socket, "--json")
        assert process.stdout is not None
        ready = json.loads(await process.stdout.readline())
        assert ready["control"] == str(socket)
        assert ready["taps"] == []
        control = await LineControl.connect(ready["control"])
        await control.truth()
        process.send_signal(number)
        output, errors = await process.communicate()
        assert errors == b""
        assert json.loads(output)["wire"]["requests"] == 0
        assert process.returncode == 0
        assert not socket.exists()
        assert not Path(ready["pty"]).parent.exists()
        await control.close()

    async def test_prints_the_path_and_at_the_end_what_has_passed(self, tmp_path: Path) -> None:
        meters, link = tmp_path / "m.json", tmp_path / "port"
        meters.write_bytes(msgspec.json.encode([DDS238]))
        process = await started("--meters", meters, "--link", link, "--fault=busy", "--tap=1")
        assert process.stdout is not None
        assert await process.stdout.readline() == f"{link}\n".encode()
        assert (await process.stdout.readline()).startswith(b"tap /dev/pts/")
        poll = await asyncio.create_subprocess_exec(
            *("mbpoll", "-m", "rtu", "-b", "9600", "-P", "none", "-a5", "-0", "-1", "-q", link),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, refused = await poll.communicate()
        assert b"Slave device or server is busy" in refused
        process.send_signal(signal.SIGINT)
        output, errors = await process.communicate()
        assert output.decode() == "passed: requests 1, answers 1, handed 5\nfaults: busy 1\n"
        assert (errors, process.returncode) == (b"", 0)

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ('[\n {"type"', "line 2: Input data was truncated: correct the JSON there"),
            ("[\n\n,,]", "line 3: JSON is malformed"),
            (
                '[{"type": "dds238-2-zn-sr", "unit": 248, "serial": "1"}]',
                "[0].unit: Expected `int`",
            ),
            (
                '[{"type": "toaster", "unit": 1, "serial": "1"}]',
                "[0].type: there is no toaster: use",
            ),
            (
                '[{"type": "dds238-2-zn-sr", "unit": 1}]',
                "[0]: serial is missing: every meter needs",
            ),
            ('[{"unitt": 1}]', "[0]: there is no unitt: use one of type, unit"),
            ('[{"faults": {"mud": 1}}]', "[0].faults: there is no mud: use one of slow,"),
            ('[{"faults": {"crc": 2}}]', "[0].faults.crc: Expected `float` <= 1.0"),
            ("{}", "top level: Expected `array`"),
            ('[{"type": "acrel-ddsy1352", "unit": 1, "serial": "X"}]', "meter 0: serial X"),
            (
                '[{"type": "eastron-sdm230", "unit": 1, "serial": "7", "faults": {"echo": true}}]',
                "meter 0: echo befalls the line, not meter 7: leave the serial out",
            ),
        ],
    )
    async def test_a_bad_meters_file_is_wrong_use(
        self, tmp_path: Path, text: str, told: str
    ) -> None:
        meters = tmp_path / "m.json"
        meters.write_text(text)
        await is_wrong_use("--meters", meters, told=f"{meters}: {told}")

    async def test_a_file_that_is_no_text_is_wrong_use(self, tmp_path: Path) -> None:
        meters = tmp_path / "m.json"
        meters.write_bytes(b'["\xff"]')
        await is_wrong_use("--meters", meters, told="byte 2 is not UTF-8: save the file as UTF-8")

    @pytest.mark.parametrize(
        ("option", "told"),
        [
            ("--fault=late=1.5", "late=1.5: give a share from 0 to 1"),
            ("--fault=H-1:dead", "no meter H-1 on this line"),
            ("--format=8E1", "8E1: a pseudo terminal refuses parity; use 8N2"),
            ("--format=7N1", "7N1: use 8N1, or 8N2"),
            ("--baud=9601", "'9601' is not one of"),
        ],
    )
    async def test_a_bad_option_is_wrong_use(self, tmp_path: Path, option: str, told: str) -> None:
        meters = tmp_path / "m.json"
        meters.write_text("[]")
        await is_wrong_use("--meters", meters, option, told=told)

    @pytest.mark.parametrize(
        ("option", "place"),
        [("--control", "m.json"), ("--control", "none/control"), ("--link", "m.json")],
    )
    async def test_an_impossible_place_is_a_failure_in_one_line(
        self, tmp_path: Path, option: str, place: str
    ) -> None:
        meters = tmp_path / "m.json"
        meters.write_text("[]")
        process = await started("--meters", meters, option, tmp_path / place)
        _, errors = await process.communicate()
        assert process.returncode == 1
        assert errors.decode().startswith("Error: the line cannot run:")
        assert str(tmp_path / place) in errors.decode()
        assert errors.count(b"\n") == 1
        assert meters.read_text() == "[]"


async def is_wrong_use(*options: str | Path, told: str) -> None:
    process = await started(*options)
    output, errors = await process.communicate()
    assert process.returncode == 2
    assert output == b""
    assert told in errors.decode()
