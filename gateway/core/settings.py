"""Settings that the head end may change from afar: where its broker is, and how much is logged.

Owns what they are, their bounds, and which of two words about one counts. Must never hold a secret,
a path or a serial port: what could cut this gateway off its meters, or let somebody else in, only
the installer writes.

The installer's file stays as it was written; what was changed lies over it. Where the installer has
changed the same part since, his is the newer word.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import msgspec

from gateway.core.model import Tagged, Value

HOST: Final = re.compile(r"[^\s/:]+|[0-9A-Fa-f.]*(:[0-9A-Fa-f.]*){2,7}(%\w+)?")
"""A name or an IPv4 address, or an IPv6 address; not yet that it exists."""
HOST_MAX: Final = 253
PORTS: Final = range(1, 65_536)
KEEPALIVE_S: Final = range(5, 3_601)
CONFIRM_WITHIN_MS: Final = 120_000
"""What was changed from afar and is not confirmed by then is taken back."""


class LogLevel(StrEnum):
    """How much is logged: from here on upwards."""

    DEBUG = "DEBUG"
    """Account numbers and every exchange too."""
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


LEVELS: Final = tuple(str(level) for level in LogLevel)


class BrokerPlace(Value):
    """Where the broker is, and how often it is shown that this gateway is there."""

    host: str
    port: int
    keepalive_s: int


class Settings(Value):
    """What may be changed from afar, as it is. `broker` is None where none is configured."""

    broker: BrokerPlace | None = None
    log_level: LogLevel = LogLevel.INFO


class BrokerChange(Value, forbid_unknown_fields=True):
    """Another place of the broker; what is None stays."""

    host: str | None = None
    port: int | None = None
    keepalive_s: int | None = None


class Change(Value, forbid_unknown_fields=True):
    """What is to be otherwise; what is None stays."""

    broker: BrokerChange | None = None
    log_level: str | None = None


class Overlay(Value):
    """What an order has changed: it lies over the settings that the installer had given then."""

    order: str
    settings: Settings
    over: Settings


class ConfigTried(Tagged, tag="config_tried"):
    """The record of a change: it counts from now on, until it is confirmed or taken back."""

    overlay: Overlay


class Altered(Value):
    """One setting that is not as the installer wrote it."""

    name: str
    now: str
    installed: str


def flaws_of(change: Change, *, reset: bool) -> Iterator[str]:
    """What no setting may be, each with its place and the mend; `reset` asks for something too."""
    if change in {Change(), Change(broker=BrokerChange())} and not reset:
        yield "args: nothing is to change; give broker, log_level or reset"
    broker = change.broker or BrokerChange()
    host, port, keepalive_s = broker.host, broker.port, broker.keepalive_s
    if host is not None and not (HOST.fullmatch(host) and len(host) <= HOST_MAX):
        yield (
            f"args.broker.host: {host[:40]!r} is neither a host name nor an address; give it "
            "alone, the port has a setting of its own"
        )
    if port is not None and port not in PORTS:
        yield f"args.broker.port: {port} is no port; give one from {PORTS[0]} to {PORTS[-1]}"
    if keepalive_s is not None and keepalive_s not in KEEPALIVE_S:
        span = f"{KEEPALIVE_S[0]} to {KEEPALIVE_S[-1]}"
        yield f"args.broker.keepalive_s: {keepalive_s} is out of bounds; give {span} seconds"
    if change.log_level is not None and change.log_level not in LEVELS:
        words = ", ".join(LEVELS)
        yield f"args.log_level: {change.log_level[:40]!r} is no level; give one of {words}"


def changed(settings: Settings, change: Change) -> Settings:
    """The settings with a sound change applied; that of a broker only where there is one."""
    broker, level = settings.broker, settings.log_level
    if broker is not None and change.broker is not None:
        broker = msgspec.structs.replace(broker, **_given(change.broker))
    if change.log_level is not None:
        level = LogLevel(change.log_level)
    return Settings(broker=broker, log_level=level)


def laid_over(installed: Settings, overlay: Overlay | None) -> Settings:
    """What counts: of the broker as a whole and of the level, what was changed last."""
    if overlay is None:
        return installed
    over, above = overlay.over, overlay.settings
    return Settings(
        broker=above.broker if installed.broker == over.broker else installed.broker,
        log_level=above.log_level if installed.log_level == over.log_level else installed.log_level,
    )


def altered(settings: Settings, installed: Settings) -> Iterator[Altered]:
    """Where they differ, setting by setting."""
    now, wrote = _plain(settings), _plain(installed)
    for name in sorted(now.keys() & wrote.keys()):
        if now[name] != wrote[name]:
            yield Altered(name=name, now=now[name], installed=wrote[name])


def _given(change: BrokerChange) -> dict[str, object]:
    return {name: value for name, value in msgspec.to_builtins(change).items() if value is not None}


def _plain(settings: Settings) -> dict[str, str]:
    broker = {} if settings.broker is None else msgspec.to_builtins(settings.broker)
    said = {f"broker.{name}": str(value) for name, value in broker.items()}
    return {**said, "log_level": str(settings.log_level)}
