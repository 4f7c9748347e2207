"""A rehearsed outage, with a collector that works: it begins, and it ends whatever happens."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.headend.messages import pack_host
from gateway.headend.session import BrokerSettings
from gateway.utility.collect import Collector
from gateway.utility.drill import (
    BELIEVED_S,
    Drill,
    Drills,
    drill_topic,
    pack_drill,
    parse_drill,
    read_drill,
)
from tests.rooms.brokers import mosquitto
from tests.rooms.headend.engine_side import GATEWAY, PATIENCE_S, UTILITY, EngineSide
from tests.rooms.headend.other_end import TOPICS, OtherEnd

PROGRAM = "from gateway.utility.cli import utility; utility()"
FLEET = drill_topic("fg", UTILITY, None)


@asynccontextmanager
async def a_fleet(tmp_path: Path) -> AsyncIterator[tuple[EngineSide, str, Collector]]:
    """A broker, a collector and one gateway that hears it."""
    engine = EngineSide()
    async with mosquitto(tmp_path / "broker") as (host, port):
        settings = BrokerSettings(host=host, port=port)
        collector = Collector(settings, utility=UTILITY, database=tmp_path / "records.db")
        await collector.start()
        async with engine.running(host, port):
            await engine.until_head_end(online=True)
            yield engine, f"{host}:{port}", collector
        await collector.stop()


async def outage(address: str, *words: str) -> asyncio.subprocess.Process:
    arguments = ("outage", *words, "--broker", address, "--utility", UTILITY)
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, *arguments, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    async with asyncio.timeout(PATIENCE_S):
        said, _ = await process.communicate()
    return process.returncode, said.decode()


@pytest.mark.parametrize("whom", [(), ("--gateway", GATEWAY)])
async def test_a_drill_ends_with_ctrl_c_and_everything_comes_after(
    tmp_path: Path, whom: tuple[str, ...]
) -> None:
    async with a_fleet(tmp_path) as (engine, address, collector):
        drill = await outage(address, "start", *whom)
        await engine.until_head_end(online=False)
        engine.write(5)
        assert drill.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            while not (line := await drill.stdout.readline()).startswith(b"told that"):
                continue
        assert line == b"told that the head end is away: 1 of 1\n"
        drill.send_signal(signal.SIGINT)
        status, said = await ended(drill)
        await engine.until(lambda: engine.acked_through == 5)
        assert engine.heard[-1].online
    assert status == 0
    assert said.endswith("told that it is back: 1 of 1\n")
    assert len(collector.records(GATEWAY)) == 5


async def test_a_drill_that_is_killed_is_ended_by_its_will(tmp_path: Path) -> None:
    async with a_fleet(tmp_path) as (engine, address, _):
        drill = await outage(address, "start", "--duration", "2h")
        await engine.until_head_end(online=False)
        drill.kill()
        await drill.wait()
        await engine.until_head_end(online=True)


async def test_a_drill_that_is_to_stand_stands_until_it_is_stopped(tmp_path: Path) -> None:
    async with a_fleet(tmp_path) as (engine, address, _):
        status, said = await ended(await outage(address, "start", "--until-stopped"))
        assert (status, said.splitlines()[-1]) == (
            0,
            "it stands until `outage stop`, whatever becomes of this command",
        )
        assert engine.heard[-1].online is False
        status, said = await ended(await outage(address, "start"))
        assert status == 1
        assert "DRILL_ON" in said
        status, _ = await ended(await outage(address, "stop"))
        assert status == 0
        await engine.until_head_end(online=True)
        status, said = await ended(await outage(address, "stop"))
        assert status == 1
        assert "NO_DRILL" in said


async def test_a_drill_that_somebody_else_stops_is_over(tmp_path: Path) -> None:
    async with a_fleet(tmp_path) as (engine, address, _):
        drill = await outage(address, "start")
        await engine.until_head_end(online=False)
        await ended(await outage(address, "stop"))
        status, _ = await ended(drill)
        assert status == 0
        await engine.until_head_end(online=True)


async def test_a_collector_that_starts_during_a_drill_stays_away(tmp_path: Path) -> None:
    engine = EngineSide()
    async with (
        mosquitto(tmp_path / "broker") as (host, port),
        OtherEnd().listening(host, port) as other,
    ):
        await other.say(FLEET, pack_drill(Drill(held=False, holder="x")), retain=True)
        settings = BrokerSettings(host=host, port=port)
        collector = Collector(settings, utility=UTILITY, database=tmp_path / "records.db")
        await collector.start()
        async with engine.running(host, port):
            await engine.until_head_end(online=False)
            await other.say(FLEET, b"", retain=True)
            await engine.until_head_end(online=True)
        await collector.stop()
        assert b'"online":true' not in other.on(TOPICS.host)[0]


async def test_without_a_head_end_there_is_nothing_to_rehearse(tmp_path: Path) -> None:
    async with (
        mosquitto(tmp_path / "broker") as (host, port),
        OtherEnd().listening(host, port) as other,
    ):
        status, said = await ended(await outage(f"{host}:{port}", "start"))
        assert status == 1
        assert "NO_HEAD_END" in said
        await other.say(TOPICS.host, pack_host(online=False, ts=1), retain=True)
        status, said = await ended(await outage(f"{host}:{port}", "start"))
        assert status == 1
        assert "HEAD_END_AWAY" in said
        assert other.on(FLEET) == []


def test_a_drill_that_nobody_holds_any_more_is_over() -> None:
    drills = Drills()
    assert drills.hear(None, Drill(held=True, holder="x"), 0.0)
    assert not drills.hear(None, Drill(held=True, holder="x"), 15.0)
    assert drills.expire(15.0 + BELIEVED_S - 1) == ()
    assert drills.away(GATEWAY)
    assert drills.expire(15.0 + BELIEVED_S) == (None,)
    assert not drills.away(GATEWAY)


@pytest.mark.parametrize("payload", [b"", b"\xff", b"{}", b"x" * 2000])
def test_what_cannot_be_read_is_no_drill(payload: bytes) -> None:
    assert read_drill(payload) is None


def test_a_drill_is_about_everybody_or_about_one() -> None:
    assert parse_drill(FLEET, "fg", UTILITY) == (None,)
    assert parse_drill(drill_topic("fg", UTILITY, GATEWAY), "fg", UTILITY) == (GATEWAY,)
    assert parse_drill(TOPICS.host, "fg", UTILITY) is None
