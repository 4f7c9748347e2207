"""`bench fault` and `bench status`: a running line by hand, from another process."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from gateway.bench.control import SimulatedLine
from tests.rooms.line.lines import DDS238, SDM230, line_of, mbpoll


async def bench(command: str, control: str | Path, *arguments: str) -> tuple[int, str, str]:
    """Exit status, output and errors of a command."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "bench", command, "--control", control, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


def door(line: SimulatedLine) -> Path:
    return Path(line.pty).with_name("control")


async def test_faults_are_changed_while_the_line_runs() -> None:
    async with line_of(DDS238) as line:
        done = await bench("fault", door(line), "busy,echo", "HK-5:stuck")
        assert done == (0, "", "")
        truth = await line.control.truth()
        assert (truth.faults.busy, truth.faults.echo, truth.meters[0].stuck) == (1.0, True, True)
        assert await bench("fault", door(line), "--clear", "busy=0.5") == (0, "", "")
        truth = await line.control.truth()
        assert (truth.faults.busy, truth.faults.echo, truth.meters[0].stuck) == (0.5, None, False)


async def test_the_status_says_what_is_really_the_case() -> None:
    faults = ["busy", "HK-5:stuck,lies,backfeed", f"{SDM230.serial}:swapped=77,dead"]
    async with line_of(DDS238, SDM230, faults=faults) as line:
        await mbpoll(line, "-a5", "-r0")
        await mbpoll(line, "-a9", "-r0")
        _, output, _ = await bench("status", door(line))
        assert [" ".join(it.split()) for it in output.splitlines()] == [
            "unit 5 HK-5 open 0 W moves 0 stuck lies back-feed 230 V",
            "unit 9 20239999 closed 300 W moves 0 dead answers 77",
            "passed: requests 2, answers 1, handed 5",
            "wanted: busy=1.0",
            "faults: busy 1, dead 1",
        ]
        _, output, _ = await bench("status", door(line), "--json")
        told = json.loads(output)
        assert told["injected"]["busy"] == 1
        assert [it["serial"] for it in told["meters"]] == ["HK-5", SDM230.serial]


async def test_a_line_without_faults_says_so() -> None:
    async with line_of() as line:
        _, output, _ = await bench("status", door(line))
        assert output == "passed: none\nwanted: no faults\nfaults: none\n"


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        ((), 2, "name a fault, or say --clear"),
        (("frozen",), 2, "no fault frozen; name one of slow"),
        (("HK-9:dead",), 1, "Error: no meter HK-9 on this line"),
    ],
)
async def test_what_cannot_be_done_is_told(
    arguments: tuple[str, ...], status: int, told: str
) -> None:
    async with line_of(DDS238) as line:
        ended, output, errors = await bench("fault", door(line), *arguments)
        assert (ended, output) == (status, "")
        assert told in errors


async def test_where_no_line_runs_it_is_told_how_to_have_one(tmp_path: Path) -> None:
    ended, _, errors = await bench("status", tmp_path / "none")
    assert ended == 1
    assert errors.startswith(f"Error: no line at {tmp_path / 'none'}: No such file")
    assert "start it with --control" in errors
