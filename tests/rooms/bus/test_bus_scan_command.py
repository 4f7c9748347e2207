"""`feeder-gateway scan` as a person runs it, on a simulated street."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from gateway.bench.control import SimulatedLine, simulated_line
from gateway.bench.demo_world import BAUD, Home, Papers, install, town
from gateway.bus.port import BusSettings, SerialPort
from gateway.host.clock import wall_ms
from gateway.journal.sqlite import SqliteJournal

NO_BROKER = ("localhost", 1)
PATIENCE_S = 60


@dataclass
class Street:
    """The demo's homes on a line, and the configuration of a gateway that does not run."""

    homes: tuple[Home, ...]
    line: SimulatedLine
    config: Path

    async def scan(self, *options: str) -> tuple[int, str, str]:
        """Exit status, standard output and standard error."""
        process = await self.start(*options)
        async with asyncio.timeout(PATIENCE_S):
            said, errors = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode(), errors.decode()

    async def start(self, *options: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "scan", "--config", str(self.config)),
            *options,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )


@contextlib.asynccontextmanager
async def street(folder: Path, *, exchanged: str | None = None) -> AsyncIterator[Street]:
    """The homes as the roster has them; with `exchanged` the first gives that number."""
    homes = town()
    papers = Papers(homes, wall_ms())
    first, *others = (home.entry for home in homes)
    entries = [msgspec.structs.replace(first, serial=exchanged or first.serial), *others]
    async with simulated_line(entries, baud=BAUD) as line:
        yield Street(homes, line, install(folder, papers, pty=line.pty, broker=NO_BROKER))


async def test_a_street_is_told_by_address_and_nothing_is_written(tmp_path: Path) -> None:
    async with street(tmp_path) as it:
        boards = {home.meter.switch_unit for home in it.homes} - {None}
        units = [*(home.meter.unit for home in it.homes), *boards, 200]
        status, said, errors = await it.scan("--units", ",".join(map(str, units)))
        assert status == 0, errors
        assert f"bus A: found {len(units) - 1}, silent 1" in said
        for home in it.homes:
            answers = home.entry.serial if home.meter.second_proof is None else "dds238-2-zn-sr"
            (line,) = [one for one in said.splitlines() if f"unit {home.meter.unit} at " in one]
            assert line.startswith(f"unit {home.meter.unit} at {BAUD} 8N1: ")
            assert answers in line or f"  EXCHANGED: unit {home.meter.unit}: " in said
        assert f"asking {len(units)} of 247 addresses at {BAUD} 8N1, 1 min" in errors
        assert f"0 of {len(units)}: unit 1 at {BAUD} 8N1, 0 found" in errors
        truth = await it.line.control.truth()
        assert [meter.writes for meter in truth.meters] == [()] * len(it.homes)


async def test_a_meter_that_was_exchanged_is_proposed_and_nothing_is_changed(
    tmp_path: Path,
) -> None:
    async with street(tmp_path, exchanged="990000000009") as it:
        meter = it.homes[0].meter
        status, said, errors = await it.scan("--units", f"{meter.unit},200", "--json")
        assert status == 0, errors
        told = json.loads(said)
    assert told["complete"]
    assert told["silent"] == [200]
    assert [(one["unit"], one["serial"]) for one in told["found"]] == [(meter.unit, "990000000009")]
    (proposal,) = told["proposals"]
    assert (proposal["correction"], proposal["serial"]) == ("EXCHANGED", meter.serial)
    assert not (tmp_path / "state").exists()


async def test_ctrl_c_ends_a_scan_and_tells_what_was_found(tmp_path: Path) -> None:
    async with street(tmp_path) as it:
        process = await it.start("--units", "1-10,200-247")
        assert process.stderr is not None
        async with asyncio.timeout(PATIENCE_S):
            while b"unit 200 " not in await process.stderr.readline():
                pass
            process.send_signal(signal.SIGINT)
            said, _ = await process.communicate()
        assert process.returncode == 1
        assert "bus A: found 10, silent " in said.decode()
        assert "stopped: not every address was asked" in said.decode()


async def test_while_the_gateway_runs_the_bus_is_its_own(tmp_path: Path) -> None:
    async with street(tmp_path) as it:
        journal = await SqliteJournal.open(tmp_path / "state" / "journal.db")
        try:
            status, _, errors = await it.scan()
        finally:
            await journal.close()
        assert status == 1
        assert "the gateway runs, and the bus is its own. Stop it first." in errors


async def test_a_port_in_use_is_said_with_what_may_have_it(tmp_path: Path) -> None:
    async with street(tmp_path) as it:
        settings = BusSettings(name="A", port=it.line.pty)
        port = SerialPort.open(settings, lambda: None)
        with contextlib.closing(port):
            status, _, errors = await it.scan()
        assert status == 1
        assert "another program has it open: stop that one: the gateway has it while it" in errors


async def test_a_pseudo_terminal_takes_no_parity_and_says_so(tmp_path: Path) -> None:
    async with street(tmp_path) as it:
        status, _, errors = await it.scan("--parity", "N,E")
        assert status == 1
        assert "it does not take format 8E1" in errors
        assert "a pseudo terminal does not" in errors


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--units", "0-3"), "'0-3' is no address"),
        (("--units", "1-999"), "'1-999' is no address"),
        (("--units", "x"), "'x' is no address"),
        (("--baud", "9601"), "'9601': give some of 1200, "),
        (("--parity", "X"), "'X': give some of N, E, O"),
        (("--bus", "Z"), "there is none named Z: give one of A"),
    ],
)
async def test_wrong_use_is_named_with_the_mend(
    tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    async with street(tmp_path) as it:
        status, _, errors = await it.scan(*options)
        assert status == 2
        assert said in errors
