"""The utility's commands over TLS: their options, and what is said of a file that is wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from gateway.headend.session import BrokerSettings, TlsSettings
from gateway.utility.broker import broker_options
from gateway.utility.cli import utility
from tests.rooms.authority import Authority, tls_listener
from tests.rooms.brokers import LOOPBACK, Mosquitto
from tests.rooms.headend.engine_side import GATEWAY, UTILITY, EngineSide


@asynccontextmanager
async def broker_of(authority: Authority, folder: Path) -> AsyncIterator[int]:
    """A broker that wants a certificate; gives its port."""
    broker = Mosquitto(folder, options=tls_listener(authority, authority.issue("broker")))
    await broker.start()
    try:
        yield broker.port
    finally:
        await broker.stop()


def options(authority: Authority, name: str) -> list[str]:
    """Those of a command that shows a certificate of this name."""
    own = authority.issue(name)
    return [
        *("--tls-ca", str(authority.ca_file)),
        *("--tls-certificate", str(own.certificate_file)),
        *("--tls-key", str(own.key_file)),
    ]


async def run(*arguments: str) -> tuple[int, str]:
    """A command's exit status and what it says."""
    result = await asyncio.to_thread(CliRunner().invoke, utility, list(arguments))
    return result.exit_code, result.output


async def test_publish_over_tls(tmp_path: Path) -> None:
    authority, engine = Authority(tmp_path / "ca"), EngineSide()
    receipt = tmp_path / "receipt.jws"
    receipt.write_bytes(b"eyJ.receipt")
    tls = authority.settings(authority.issue("gw-1"))
    async with (
        broker_of(authority, tmp_path / "broker") as port,
        engine.running(LOOPBACK, port, tls=tls),
    ):
        to = ("--broker", f"{LOOPBACK}:{port}", "--utility", UTILITY, "--gateway", GATEWAY)
        status, _ = await run("publish", *to, *options(authority, "office"), str(receipt))
        assert status == 0
        await engine.until(lambda: engine.documents == [b"eyJ.receipt"])


async def test_a_command_that_asks_the_broker_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    nobody = ("--ask-broker", "--utility", UTILITY, "--gateway", GATEWAY)
    async with broker_of(authority, tmp_path / "broker") as port:
        at = (nobody[0], f"{LOOPBACK}:{port}", *nobody[1:])
        told = ("--key", str(tmp_path / "time-1.json"), "--out", str(tmp_path / "time.jws"))
        shown = await run("time", *at, *options(authority, "office"), *told)
        hidden = await run("time", *at, *options(authority, "office")[:2], *told)
    assert shown[0] == hidden[0] == 1
    assert f"the broker holds nothing on fg/v1/{UTILITY}/{GATEWAY}/up/status" in shown[1]
    assert "CERTIFICATE_MISSING: the broker wants a certificate" in hidden[1]


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        ((), BrokerSettings(host="h", port=1883)),
        (("--tls",), BrokerSettings(host="h", port=8883, tls=TlsSettings())),
    ],
)
def test_the_port_is_that_of_the_protocol(given: tuple[str, ...], settings: BrokerSettings) -> None:
    seen = []

    @click.command()
    @broker_options
    def command(settings: BrokerSettings, **_others: object) -> None:
        seen.append(settings)

    arguments = ["--utility", UTILITY, "--broker", "h", *given]
    CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert seen == [settings]


def test_an_own_ca_means_tls(tmp_path: Path) -> None:
    authority, seen = Authority(tmp_path), []

    @click.command()
    @broker_options
    def command(settings: BrokerSettings, **_others: object) -> None:
        seen.append(settings)

    arguments = ["--utility", UTILITY, "--broker", "h", "--tls-ca", str(authority.ca_file)]
    CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert seen == [BrokerSettings(host="h", port=8883, tls=authority.settings())]


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--tls-ca", "--tls-ca: {0}: no certificate in PEM form in it. Copy the certificate of "),
        ("--tls-certificate", "--tls-certificate: {0}: no certificate in PEM form in it. Put the "),
        ("--tls-key", "--tls-key: {0}: no private key in PEM form in it. Put the key there that "),
    ],
)
def test_a_file_that_is_wrong_is_named_by_its_option(
    tmp_path: Path, option: str, says: str
) -> None:
    whole = options(Authority(tmp_path), "office")
    path = Path(whole[whole.index(option) + 1])
    path.write_text("nothing of the kind")
    arguments = ["publish", "--utility", UTILITY, "--gateway", GATEWAY, *whole, "list.jws"]
    result = CliRunner().invoke(utility, arguments)
    assert result.exit_code == 2
    assert says.format(path) in " ".join(result.output.split())


def test_a_certificate_without_its_key_is_a_wrong_use(tmp_path: Path) -> None:
    whole = options(Authority(tmp_path), "office")[:4]
    arguments = ["publish", "--utility", UTILITY, "--gateway", GATEWAY, *whole, "list.jws"]
    result = CliRunner().invoke(utility, arguments)
    assert result.exit_code == 2
    assert "--tls-certificate and --tls-key go together: give both." in result.output
