"""The demo as a whole: on every broker, with foreign meters, through power cuts."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from gateway.bench.demo import run_demo
from gateway.bench.demo_report import Figures
from gateway.bench.demo_world import PowerCut
from tests.foreign.slave_process import foreign_slave
from tests.rooms.brokers import mosquitto

NOON, PAYMENTS, RETURN = "noon: the head end", "pays at a kiosk", "the head end returns"
POWER_CUTS = (
    PowerCut(seconds=0.6),
    *(PowerCut(seconds=seconds, after=NOON) for seconds in (0.0, 0.1, 0.3, 0.6, 0.9)),
    *(
        PowerCut(seconds=seconds, after=PAYMENTS)
        for seconds in (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5)
    ),
    *(PowerCut(seconds=seconds, after=RETURN) for seconds in (0.0, 0.02, 0.06)),
)
"""More than twenty points, most of them where something is under way."""
AT_ONCE = 4
"""Stories told beside each other: they mostly wait for the wire."""


def expect_the_promise(figures: Figures) -> None:
    numbers = figures.numbers
    assert figures.failures == ()
    assert (numbers.cut, numbers.paid, numbers.reconnected) == (4, 3, 3)
    assert numbers.left_dark_unpaid == 1
    assert numbers.refused == {"BAD_SIGNATURE": 1, "WRONG_METER": 1}
    assert numbers.records_written == numbers.records_collected > 0
    assert (numbers.duplicates, numbers.lost) == (0, 0)


async def test_the_command_with_its_own_broker_prints_one_json_object() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "demo", "--json"), stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    numbers = json.loads(printed)
    assert list(numbers) == [
        "cut",
        "paid",
        "reconnected",
        "left_dark_unpaid",
        "refused",
        "seconds_to_verified",
        "records_written",
        "records_collected",
        "duplicates",
        "lost",
    ]
    assert (numbers["cut"], numbers["paid"], numbers["reconnected"]) == (4, 3, 3)


async def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "demo"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        start_new_session=True,
    )
    assert process.stdout is not None
    await process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    rest = await process.stdout.read()
    assert await process.wait() == 128 + signal.SIGINT
    assert b"Traceback" not in rest
    assert list(tmp_path.iterdir()) == []


async def test_a_real_broker_and_meters_by_another_maker(tmp_path: Path) -> None:
    async with mosquitto(tmp_path / "broker") as broker:
        figures = await run_demo(broker=broker, foreign=foreign_slave, say=print)
    expect_the_promise(figures)


@pytest.mark.timeout(600)
async def test_killed_at_any_point_it_ends_with_the_same_numbers(tmp_path: Path) -> None:
    turn = asyncio.Semaphore(AT_ONCE)

    async def story(at: int, cut: PowerCut) -> Figures:
        said: list[str] = []
        async with turn, mosquitto(tmp_path / f"broker-{at}") as broker:
            figures = await run_demo(broker=broker, power_cuts=(cut,), say=said.append)
        assert any("power cut" in line for line in said), f"nobody was killed at {cut}"
        return figures

    stories = [story(at, cut) for at, cut in enumerate(POWER_CUTS)]
    for cut, figures in zip(POWER_CUTS, await asyncio.gather(*stories), strict=True):
        print(f"{cut}: {figures.numbers}")
        expect_the_promise(figures)
