"""How the utility's commands reach the broker: the options, and the settings made of them.

Owns the arguments that publish and collect share. Must never hold a password: it stays in its file.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec

from gateway.headend.session import BrokerSettings

PORT = 1883
Command = TypeVar("Command", bound=Callable[..., Any])


def broker_options(command: Command) -> Command:
    """The options that say where the broker is and whose topics are meant."""
    for option in (
        click.option("--utility", required=True, help="The utility's id in the topics."),
        click.option("--root", default="fg", show_default=True, help="What the topics begin with."),
        click.option(
            "--password-file", type=click.Path(), help="File whose first line is the password."
        ),
        click.option("--username", help="User name at the broker."),
        click.option(
            "--broker",
            callback=_host_and_port,
            default=f"localhost:{PORT}",
            show_default=True,
            metavar="HOST:PORT",
            help="The MQTT broker.",
        ),
    ):
        command = option(command)
    return command


def settings_of(
    host: str, port: int, *, root: str, username: str | None, password_file: str | None
) -> BrokerSettings:
    """Checked settings. Raises `msgspec.ValidationError`, which names the place."""
    return msgspec.convert(
        {
            "host": host,
            "port": port,
            "topic_root": root,
            "username": username,
            "password_file": password_file,
        },
        BrokerSettings,
    )


def _host_and_port(_context: click.Context, _option: click.Parameter, text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):  # a bare name, or a bare IPv6 address in brackets
        host, port = text, str(PORT)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise click.BadParameter(f"{text!r}: give HOST:PORT, for example mqtt.example.org:1883")
    return host, int(port)
