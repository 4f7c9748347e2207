"""The configuration: one TOML file, frozen settings, and every mistake named with its place.

Owns the file's shape and what can be checked before anything runs. Must never start anything, nor
hold a secret: passwords and keys stay in files of their own.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec

from gateway.bus.profile import Profile, ProfileError, load_profiles
from gateway.bus.room import BusSettings
from gateway.core.documents import Site, Unsound, check_site, decode
from gateway.core.model import GatewayId, IdText, Station
from gateway.core.signature import FIELD_DOCUMENTS, Rejected, Root, load_root, verify
from gateway.headend.session import BrokerSettings


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one gateway. Relative paths are relative to the file's folder."""

    gateway: IdText
    utility: IdText
    state_directory: Path
    trust_root: Path
    bus: Annotated[tuple[BusSettings, ...], msgspec.Meta(min_length=1, max_length=8)]
    broker: BrokerSettings | None = None
    profiles_directory: Path | None = None
    documents: tuple[Path, ...] = ()
    """Handed in at every start, through the same door as any other; a duplicate changes nothing."""
    local_socket: Path | None = None

    @property
    def socket(self) -> Path:
        """Where the local socket is; by default inside the state directory."""
        return self.local_socket or self.state_directory / "gateway.sock"

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.state_directory / "journal.db"


class ConfigError(Exception):
    """A mistake in the configuration: one line with the file, the place and the mend."""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration names, loaded: the root of trust, the meter types, the station."""

    root: Root
    profiles: dict[str, Profile]
    station: Station


def load_config(path: Path) -> Config:
    """Read the file. Raises `ConfigError`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}. Name a readable file.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start}: not UTF-8. Save it as UTF-8.") from error
    try:
        config = msgspec.convert(tomllib.loads(text), Config, dec_hook=_path)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}. Correct the TOML there.") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_in_words(str(error))}") from error
    names = [bus.name for bus in config.bus]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{path}: bus: two are named {name}. Give each bus its own name.")
    ports = [bus.port for bus in config.bus]
    for port in ports:
        if ports.count(port) > 1:
            raise ConfigError(f"{path}: bus: two use port {port}. One port carries one bus.")
    return _absolute(config, path.resolve().parent)


def load_parts(config: Config) -> Parts:
    """Load what the configuration names. Raises `ConfigError`."""
    try:
        profiles = load_profiles(config.profiles_directory)
    except ProfileError as error:
        raise ConfigError(str(error)) from error
    station = Station(
        gateway=GatewayId(config.gateway),
        buses=tuple(bus.name for bus in config.bus),
        profiles={name: profile.ability for name, profile in profiles.items()},
    )
    return Parts(root=_load_root(config.trust_root), profiles=profiles, station=station)


def mistakes(config: Config) -> Iterator[str]:
    """Everything that would keep this configuration from working here, one line each."""
    try:
        parts = load_parts(config)
    except ConfigError as error:
        yield str(error)
        return
    for at, bus in enumerate(config.bus):
        if not Path(bus.port).exists():
            yield (
                f"bus[{at}].port: {bus.port} does not exist. Plug the adapter in, or name its "
                "stable path under /dev/serial/by-path."
            )
    if config.broker is not None and config.broker.password_file is not None:
        password = Path(config.broker.password_file)
        try:
            password.read_bytes()
        except OSError as error:
            yield f"broker.password_file: {password}: {error.strerror}. Make it readable."
    for at, document in enumerate(config.documents):
        yield from _document_mistakes(document, f"documents[{at}]", parts)


def _document_mistakes(path: Path, where: str, parts: Parts) -> Iterator[str]:
    try:
        document = decode(verify(path.read_bytes().strip(), FIELD_DOCUMENTS, parts.root))
        if isinstance(document, Site):
            check_site(document, parts.station)
    except OSError as error:
        yield f"{where}: {path}: {error.strerror}. Name a readable file."
    except (Rejected, Unsound) as flaw:
        yield f"{where}: {path}: {flaw}. Have it signed anew for this gateway."


def _load_root(path: Path) -> Root:
    try:
        return load_root(path.read_bytes().strip())
    except OSError as error:
        raise ConfigError(
            f"trust_root: {path}: {error.strerror}. Copy the utility's root.json there."
        ) from error
    except Rejected as flaw:
        raise ConfigError(
            f"trust_root: {path}: {flaw}. Copy the utility's root.json there again."
        ) from flaw


def _absolute(config: Config, folder: Path) -> Config:
    broker = config.broker
    if broker is not None and broker.password_file is not None:
        broker = msgspec.structs.replace(broker, password_file=str(folder / broker.password_file))
    return msgspec.structs.replace(
        config,
        broker=broker,
        state_directory=folder / config.state_directory,
        trust_root=folder / config.trust_root,
        profiles_directory=_under(folder, config.profiles_directory),
        documents=tuple(folder / document for document in config.documents),
        local_socket=_under(folder, config.local_socket),
    )


def _under(folder: Path, path: Path | None) -> Path | None:
    return None if path is None else folder / path


def _path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError


def _in_words(error: str) -> str:
    # msgspec says "Expected `int`, got `str` - at `$.bus[0].baud`": the place first, then the mend.
    message, _, place = error.partition(" - at ")
    where = place.strip("`").removeprefix("$").removeprefix(".") or "top level"
    if found := re.fullmatch(r"Object missing required field `(\w+)`", message):
        return f"{where}: {found[1]} is missing. Add it."
    if found := re.fullmatch(r"Object contains unknown field `(\w+)`", message):
        return f"{where}: {found[1]} is not a setting. Remove it, or correct its name."
    return f"{where}: {message}. Correct the value."
