"""How the utility's commands reach the broker: the options, and the settings made of them.

Owns the arguments that publish and collect share, and how ids and addresses are read. Must never
hold a password: it stays in its file.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import click
import msgspec

from gateway.core.model import IdText
from gateway.headend.session import BrokerSettings

PORT = 1883
Command = TypeVar("Command", bound=Callable[..., Any])


def broker_options(command: Command) -> Command:
    """The options that say where the broker is and whose topics are meant.

    The command gets them as `settings` and `utility`.
    """
    says = {"default": f"localhost:{PORT}", "show_default": True, "help": "The MQTT broker."}
    return _with_broker(command, "--broker", says, needed=True)


def ask_options(command: Command) -> Command:
    """The same for a command that may ask the broker; without `--ask-broker` both are None."""
    says = {"help": "Ask the MQTT broker for the gateway's newest status."}
    return _with_broker(command, "--ask-broker", says, needed=False)


def _with_broker(command: Command, name: str, says: dict[str, Any], *, needed: bool) -> Command:
    @functools.wraps(command)
    def with_settings(
        *args: Any,
        broker: tuple[str, int] | None,
        username: str | None,
        password_file: str | None,
        topic_root: str,
        **others: Any,
    ) -> Any:
        settings = None
        if broker is not None:
            settings = _settings(*broker, username, password_file, topic_root)
        return command(*args, settings=settings, **others)

    decorated: Any = with_settings
    for option in (
        click.option(
            "--utility",
            callback=checked_id,
            required=needed,
            help="The utility's id in the topics.",
        ),
        click.option(
            "--topic-root", default="fg", show_default=True, help="What the topics begin with."
        ),
        click.option(
            "--password-file", type=click.Path(), help="File whose first line is the password."
        ),
        click.option("--username", help="User name at the broker."),
        click.option(name, "broker", callback=host_and_port, metavar="HOST:PORT", **says),
    ):
        decorated = option(decorated)
    return cast("Command", decorated)


def _settings(
    host: str, port: int, username: str | None, password_file: str | None, topic_root: str
) -> BrokerSettings:
    given = {
        "host": host,
        "port": port,
        "username": username,
        "password_file": password_file,
        "topic_root": topic_root,
    }
    try:
        return msgspec.convert(given, BrokerSettings)
    except msgspec.ValidationError as error:
        raise click.UsageError(f"the address or --topic-root is malformed: {error}") from error


def host_and_port(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> tuple[str, int] | None:
    """The two parts of HOST:PORT, as click asks for them; the port may be left out."""
    if text is None:
        return None
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):  # a bare name, or a bare IPv6 address in brackets
        host, port = text, str(PORT)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise click.BadParameter(f"{text!r}: give HOST:PORT, for example mqtt.example.org:1883")
    return host, int(port)


def checked_id(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> IdText | None:
    """An id that can be a part of a topic, as click asks for it."""
    try:
        return msgspec.convert(text, IdText | None)
    except msgspec.ValidationError as error:
        raise click.BadParameter(f"{text!r}: give 1 to 32 letters, digits or hyphens") from error
