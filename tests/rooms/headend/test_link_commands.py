"""The commands publish and collect, and the demo's broker, as processes."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from gateway.bench.broker import demo_broker
from gateway.headend.session import BrokerSettings
from gateway.utility.broker import broker_options
from gateway.utility.collect import collect
from gateway.utility.collect_store import opened_store
from gateway.utility.publish import NotPublished, publish, publish_document
from tests.rooms.brokers import LOOPBACK, free_port, mosquitto
from tests.rooms.headend.engine_side import GATEWAY, PATIENCE_S, UTILITY, EngineSide
from tests.rooms.headend.other_end import TOPICS, OtherEnd

COMMAND = "import sys; from gateway.utility.{0} import {0}; {0}(sys.argv[1:])"


def process(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", COMMAND.format(name), "--utility", UTILITY, *arguments]


async def test_publish_hands_a_document_to_one_gateway(tmp_path: Path) -> None:
    file = tmp_path / "receipt.jws"
    file.write_bytes(b"eyJ.receipt\n")
    async with (
        mosquitto(tmp_path / "broker") as (host, port),
        OtherEnd().listening(host, port) as other,
    ):
        done = await asyncio.to_thread(
            subprocess.run,
            process("publish", "--broker", f"{host}:{port}", "--gateway", GATEWAY, str(file)),
            capture_output=True,
            text=True,
            check=True,
        )
        await other.until(lambda: other.on(TOPICS.document) == [b"eyJ.receipt"])
    assert "the broker has it for gateway gw-1" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--broker", "here:many"], 2, "give HOST:PORT"),
        (["--broker", "host:0"], 2, "give HOST:PORT"),
        (["--gateway", "gw/1"], 2, "1 to 32 letters"),
        (["--topic-root", "a//b"], 2, "--topic-root is malformed"),
        (["--broker", f"{LOOPBACK}:{free_port()}"], 1, "cannot be reached: Connection refused"),
    ],
)
def test_publish_says_what_is_wrong_in_one_line(
    tmp_path: Path, arguments: list[str], status: int, said: str
) -> None:
    file = tmp_path / "receipt.jws"
    file.write_bytes(b"eyJ.receipt")
    whole = ["--utility", UTILITY, "--gateway", GATEWAY, *arguments, str(file)]
    result = CliRunner().invoke(publish, whole)
    assert result.exit_code == status
    assert said in result.output


def test_publish_names_a_file_that_is_not_there(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    whole = ["--utility", UTILITY, "--gateway", GATEWAY, missing]
    result = CliRunner().invoke(publish, whole)
    assert result.exit_code == 1
    assert missing in result.output


async def test_a_document_that_no_gateway_takes_is_not_published() -> None:
    settings = BrokerSettings(host=LOOPBACK, port=1)
    with pytest.raises(NotPublished, match="no gateway takes more"):
        await publish_document(b"e" * 5_000_000, settings, utility=UTILITY, gateway=GATEWAY)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("mqtt.example.org:8883", ("mqtt.example.org", 8883)),
        ("mqtt.example.org", ("mqtt.example.org", 1883)),
        ("[::1]:1884", ("::1", 1884)),
        ("[::1]", ("::1", 1883)),
    ],
)
def test_a_broker_is_named_by_host_and_port(text: str, found: tuple[str, int]) -> None:
    seen = []

    @click.command()
    @broker_options
    def command(settings: BrokerSettings, **_others: object) -> None:
        seen.append((settings.host, settings.port))

    CliRunner().invoke(command, ["--utility", UTILITY, "--broker", text], catch_exceptions=False)
    assert seen == [found]


async def test_collect_tells_what_comes_and_leaves_in_order(tmp_path: Path) -> None:
    engine = EngineSide()
    database = tmp_path / "records.db"
    async with mosquitto(tmp_path / "broker") as (host, port), engine.running(host, port):
        arguments = ("--broker", f"{host}:{port}", "--into", str(database), "--json")
        running = await asyncio.create_subprocess_exec(
            *process("collect", *arguments), stdout=asyncio.subprocess.PIPE
        )
        await engine.until_head_end(online=True)
        engine.write(3)
        await engine.until(lambda: engine.acked_through == 3)
        running.send_signal(signal.SIGINT)
        async with asyncio.timeout(PATIENCE_S):
            output, _ = await running.communicate()
        await engine.until_head_end(online=False)
    events = [json.loads(line) for line in output.splitlines()]
    assert running.returncode == 0
    assert [event["type"] for event in events] == ["broker", "gateway", "collected"]
    assert [record["number"] for record in events[2]["records"]] == [1, 2, 3]
    with opened_store(str(database)) as store:
        assert store.counts(GATEWAY).written == 3


async def test_a_killed_head_end_is_told_by_its_will(tmp_path: Path) -> None:
    engine = EngineSide()
    async with mosquitto(tmp_path / "broker") as (host, port), engine.running(host, port):
        arguments = ("--broker", f"{host}:{port}", "--into", str(tmp_path / "records.db"))
        running = await asyncio.create_subprocess_exec(
            *process("collect", *arguments), stdout=asyncio.subprocess.DEVNULL
        )
        await engine.until_head_end(online=True)
        running.kill()
        await running.wait()
        await engine.until_head_end(online=False)


def test_collect_says_when_its_file_cannot_be_made(tmp_path: Path) -> None:
    database = tmp_path / "missing" / "records.db"
    result = CliRunner().invoke(collect, ["--utility", UTILITY, "--into", str(database)])
    assert result.exit_code == 1
    assert str(database) in result.output


@pytest.mark.parametrize("command", [publish, collect])
def test_each_command_explains_itself_with_an_example(command: click.Command) -> None:
    result = CliRunner().invoke(command, ["--help"])
    assert result.exit_code == 0
    assert "Example" in result.output


async def test_the_demos_broker_goes_when_whoever_started_it_is_gone() -> None:
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway.bench.broker",
        "--with-parent",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_S):
        output, _ = await running.communicate(b"")  # closes its standard input
    assert set(json.loads(output)) == {"port"}
    assert running.returncode == 0


async def test_the_demos_broker_keeps_documents_for_a_gateway_that_is_away() -> None:
    before, after = EngineSide(), EngineSide()
    async with demo_broker() as (host, port):
        async with before.running(host, port):
            await before.until_connected()
        settings = BrokerSettings(host=host, port=port)
        await publish_document(b"eyJ.kept", settings, utility=UTILITY, gateway=GATEWAY)
        async with after.running(host, port):
            await after.until(lambda: b"eyJ.kept" in after.documents)
