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
from gateway.headend.session import PORT, PORT_TLS, BrokerSettings, TlsSettings
from gateway.headend.tls import file_flaws

PORTS_HELP = f"The MQTT broker; PORT is {PORT}, with TLS {PORT_TLS}, where it is left out."
Command = TypeVar("Command", bound=Callable[..., Any])


def broker_options(command: Command) -> Command:
    """The options that say where the broker is and whose topics are meant.

    The command gets them as `settings` and `utility`.
    """
    says = {"default": "localhost", "show_default": True, "help": PORTS_HELP}
    return _with_broker(command, "--broker", says, needed=True)


def ask_options(command: Command) -> Command:
    """The same for a command that may ask the broker; without `--ask-broker` both are None."""
    says = {"help": "Ask the MQTT broker for the gateway's newest status."}
    return _with_broker(command, "--ask-broker", says, needed=False)


def _with_broker(command: Command, name: str, says: dict[str, Any], *, needed: bool) -> Command:
    @functools.wraps(command)
    def with_settings(
        *args: Any,
        broker: tuple[str, int | None] | None,
        username: str | None,
        password_file: str | None,
        topic_root: str,
        tls: bool,
        tls_ca: str | None,
        tls_certificate: str | None,
        tls_key: str | None,
        **others: Any,
    ) -> Any:
        settings = None
        if broker is not None:
            given: dict[str, object] = {
                "host": broker[0],
                "port": broker[1],
                "username": username,
                "password_file": password_file,
                "topic_root": topic_root,
                "tls": _tls(tls, tls_ca, tls_certificate, tls_key),
            }
            settings = _settings(given)
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
        *_TLS_OPTIONS,
        click.option(
            "--password-file", type=click.Path(), help="File whose first line is the password."
        ),
        click.option("--username", help="User name at the broker."),
        click.option(name, "broker", callback=_either_port, metavar="HOST:PORT", **says),
    ):
        decorated = option(decorated)
    return cast("Command", decorated)


_TLS_OPTIONS = (
    click.option("--tls-key", type=click.Path(), help="The private key of --tls-certificate."),
    click.option(
        "--tls-certificate", type=click.Path(), help="Certificate to show to the broker, PEM."
    ),
    click.option(
        "--tls-ca", type=click.Path(), help="The broker's CA, PEM; otherwise the system's count."
    ),
    click.option("--tls", is_flag=True, help="Speak TLS; the other --tls options imply it."),
)


def _tls(
    wanted: bool, ca: str | None, certificate: str | None, key: str | None
) -> TlsSettings | None:
    if not wanted and (ca, certificate, key) == (None, None, None):
        return None
    if (certificate is None) is not (key is None):
        raise click.UsageError("--tls-certificate and --tls-key go together: give both.")
    settings = TlsSettings(ca_file=ca, certificate_file=certificate, key_file=key)
    for flaw in file_flaws(settings):
        option = _OPTION_OF[flaw.setting]
        raise click.UsageError(f"{option}: {flaw}")
    return settings


_OPTION_OF = {
    "ca_file": "--tls-ca",
    "certificate_file": "--tls-certificate",
    "key_file": "--tls-key",
}


def _settings(given: dict[str, object]) -> BrokerSettings:
    try:
        return msgspec.convert(
            {name: value for name, value in given.items() if value is not None}, BrokerSettings
        )
    except msgspec.ValidationError as error:
        raise click.UsageError(f"the address or --topic-root is malformed: {error}") from error


def host_and_port(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> tuple[str, int] | None:
    """The two parts of HOST:PORT, as click asks for them; the port may be left out."""
    if text is None:
        return None
    host, port = _parts(text)
    return host, PORT if port is None else port


def _either_port(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> tuple[str, int | None] | None:
    return None if text is None else _parts(text)


def _parts(text: str) -> tuple[str, int | None]:
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):  # a bare name, or a bare IPv6 address in brackets
        host, colon, port = text, "", ""
    host = host.removeprefix("[").removesuffix("]")
    sound = port.isascii() and port.isdigit() and 0 < int(port) < 65_536
    if not host or (colon and not sound):
        raise click.BadParameter(f"{text!r}: give HOST:PORT, for example mqtt.example.org:1883")
    return host, int(port) if colon else None


def checked_id(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> IdText | None:
    """An id that can be a part of a topic, as click asks for it."""
    try:
        return msgspec.convert(text, IdText | None)
    except msgspec.ValidationError as error:
        raise click.BadParameter(f"{text!r}: give 1 to 32 letters, digits or hyphens") from error


def checked_ids(
    context: click.Context, option: click.Parameter, texts: tuple[str, ...]
) -> tuple[IdText, ...]:
    """The same for an option that may be repeated."""
    found = (checked_id(context, option, text) for text in texts)
    return tuple(text for text in found if text is not None)
