"""What the README tells a person to type works as it stands there."""

import asyncio
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import click
import pytest

from gateway.__main__ import program
from gateway.config import load_config, mistakes
from gateway.console.rules import markdown, rule_tables
from gateway.core.orders import Hold
from tests.core.papers import allow_list, entry
from tests.rooms.brokers import Mosquitto
from tests.rooms.headend.engine_side import GATEWAY, PATIENCE_S, UTILITY
from tests.rooms.headend.whole_gateway import TOPICS, Head, WholeGateway
from tests.signing import sign_list

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
TYPED = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
LINES = [line for line in TYPED if line.startswith("feeder-gateway ")]
MQTT = [line for line in TYPED if line.startswith("mosquitto_")]


def block(kind: str, containing: str) -> str:
    """The one block of that kind with that text in it."""
    (found,) = [text for its, text in BLOCKS if its == kind and containing in text]
    return str(found)


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that is meant, and its own arguments."""
    command: click.Command = program
    while isinstance(command, click.Group) and words:
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, f"no command {words[0]}"
        command, words = found, words[1:]
    return command, words


@pytest.mark.parametrize("line", LINES)
def test_each_command_exists_with_its_options(line: str) -> None:
    command, arguments = command_of(shlex.split(line, comments=True)[1:])
    given, left, _ = command.make_parser(click.Context(command)).parse_args(arguments)
    assert left == []
    for parameter in command.params:
        if parameter.required:
            assert given.get(parameter.name or ""), f"{parameter.name} is needed"


def test_the_documents_and_the_configuration_are_made_as_told(tmp_path: Path) -> None:
    shell = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for told in ("utility keys", "bench line"):
        script = block("sh", told).replace("feeder-gateway bench", ": feeder-gateway bench")
        subprocess.run(["bash", "-euc", script], cwd=tmp_path, env=shell, check=True)
    (tmp_path / "keys" / "root.json").rename(tmp_path / "root.json")
    (tmp_path / "profiles").mkdir()
    own = tmp_path / "profiles" / "acrel-ddsy1352.toml"
    own.write_text(block("toml", "extends"), encoding="utf-8")
    config = tmp_path / "gateway.toml"
    config.write_text(block("toml", "[[bus]]"), encoding="utf-8")
    loaded = load_config(config)
    assert (loaded.gateway, loaded.state_directory) == ("FDR-017", Path("/var/lib/feeder-gateway"))
    of_this_machine = ("state_directory", "bus[0].port")
    left = [one for one in mistakes(loaded) if not one.startswith(of_this_machine)]
    assert left == []


def test_the_simulated_meters_are_those_of_the_roster(tmp_path: Path) -> None:
    roster = {
        line.split(",")[1] for line in block("sh", "utility keys").splitlines() if "A," in line
    }
    assert set(re.findall(r'"serial": "(\w+)"', block("sh", "bench line"))) == roster


def test_the_law_is_told_as_the_code_has_it() -> None:
    _, _, after = README.partition("<!-- rules -->\n\n")
    shown, _, _ = after.partition("\n\n<!-- /rules -->")
    assert shown == markdown(rule_tables()), "put there what `feeder-gateway rules` prints"


@asynccontextmanager
async def linked(folder: Path) -> AsyncIterator[tuple[Mosquitto, WholeGateway, Head]]:
    """A broker, a gateway on it whose outbox nobody empties, and somebody who gives orders."""
    broker = Mosquitto(folder / "broker")
    await broker.start()
    try:
        async with (
            Head().listening(broker.host, broker.port) as head,
            WholeGateway(folder / "gateway").running(broker.host, broker.port) as ours,
        ):
            await head.until(lambda: bool(head.on(TOPICS.birth)))
            yield broker, ours, head
    finally:
        await broker.stop()


def of(broker: Mosquitto, line: str) -> str:
    """A line of the README about the tests' own broker and gateway."""
    there = line.replace("-h mqtt.utility.example", f"-h {broker.host} -p {broker.port}")
    return there.replace("/DEMO/", f"/{UTILITY}/").replace("/FDR-017/", f"/{GATEWAY}/")


@asynccontextmanager
async def typed(line: str, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A line as a shell runs it; Ctrl-C ends what has not ended."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", line, cwd=folder, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGINT)
        await process.wait()


WATCHED = {
    "+/up/status": f'/{GATEWAY}/up/status {{"gateway":"{GATEWAY}","online":true',
    "/up/meter/+": f'/up/meter/M1 {{"gateway":"{GATEWAY}","meter":"M1"',
    "/up/order/+": f'/up/order/order-1 {{"gateway":"{GATEWAY}","id":"order-1","kind":"hold"',
    "/up/records": '"records":[{"number":',
}
"""What the line about a topic shows once something has happened."""
SAID = {
    "/down/document": lambda image: image.kept.list_in_force is not None,
    "/down/host": lambda image: image.head_end is not None and not image.head_end.online,
}
"""What the line about a topic has done to the gateway."""


@pytest.mark.parametrize("line", [line for line in MQTT if line.startswith("mosquitto_sub ")])
async def test_a_line_that_watches_shows_what_the_gateway_says(line: str, tmp_path: Path) -> None:
    topic = re.findall(r"-t '?([^' ]+)", line)[0]
    (shown,) = [words for end, words in WATCHED.items() if topic.endswith(end)]
    async with linked(tmp_path) as (broker, _, head), typed(of(broker, line), tmp_path) as watching:
        await broker.until_subscribed(of(broker, topic))
        await head.orders(1, Hold(meter="M2", reason="burnt"))
        assert watching.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            while shown not in (said := (await watching.stdout.readline()).decode()):
                assert said, "it ended without having shown it"


@pytest.mark.parametrize("line", [line for line in MQTT if line.startswith("mosquitto_pub ")])
async def test_a_line_that_says_something_is_heard(line: str, tmp_path: Path) -> None:
    (done,) = [done for topic, done in SAID.items() if f"{topic} " in line]
    (tmp_path / "list.jws").write_bytes(sign_list(allow_list(1, 200, entry(1, 100))))
    async with linked(tmp_path) as (broker, ours, _), typed(of(broker, line), tmp_path) as said:
        assert not done(ours.image)
        assert await said.wait() == 0
        await ours.until(lambda: done(ours.image))


def test_every_way_to_speak_mqtt_is_shown_once() -> None:
    assert len(MQTT) == len(WATCHED) + len(SAID)
