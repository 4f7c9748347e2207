"""The configuration: one TOML file, frozen settings, and every mistake named with its place.

Owns the file's shape and what can be checked before anything runs. Must never start anything, nor
hold a secret: passwords and keys stay in files of their own.
"""

import os
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec

from gateway.bus.device import devices_on
from gateway.bus.fitting import Fit, fit
from gateway.bus.flaws import TOP, Flaw, flaws_of
from gateway.bus.profile import Profile, ProfileError, load_profiles
from gateway.bus.room import BusSettings
from gateway.core.documents import Site, decode
from gateway.core.image import Image, with_kept, with_roster
from gateway.core.model import Digest, GatewayId, IdText, Station
from gateway.core.rotation import load_root
from gateway.core.settings import HOST, BrokerPlace, LogLevel, Settings
from gateway.core.signature import FIELD_DOCUMENTS, Rejected, digest_of, verify
from gateway.core.soundness import Unsound, check
from gateway.core.trust import Root
from gateway.headend.session import BrokerSettings, TlsSettings
from gateway.headend.tls import file_flaws
from gateway.host.credentials import credential_mistake, exposure, located
from gateway.host.identity import IdentityError, load_identity
from gateway.journal.limits import JournalSettings

BUSES = msgspec.Meta(min_length=1, max_length=8)
SOCKET_BYTES_MAX = 107
"""Bytes of a local socket's path: unix(7), without the closing NUL."""

SECRETS = frozenset({"password_file", "tls.key_file"})
"""Of the broker's files, those that nobody else on the machine may read."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one gateway. Relative paths are relative to the file's folder.

    `device_key` and the files of `broker` may be credentials, `credential:NAME` (systemd.exec(5)).
    """

    gateway: IdText
    utility: IdText
    state_directory: Path
    trust_root: Path
    bus: Annotated[tuple[BusSettings, ...], BUSES]
    broker: BrokerSettings | None = None
    log_level: LogLevel = LogLevel.INFO
    """How much is logged, from here on upwards. An order may change it, and the broker's place."""
    profiles_directory: Path | None = None
    documents: tuple[Path, ...] = ()
    """Handed in at every start, through the same door as any other; a duplicate changes nothing."""
    local_socket: Path | None = None
    device_key: Path | None = None
    """This gateway's own private key; made at `init`, by default inside the state directory."""
    marks_directory: Path | None = None
    """Best on another partition than the state directory, inside which it is by default."""
    journal_limits: JournalSettings = msgspec.field(default=JournalSettings(), name="journal")
    """What the journal keeps and for how long."""

    @property
    def socket(self) -> Path:
        """Where the local socket is; by default inside the state directory."""
        return self.local_socket or self.state_directory / "gateway.sock"

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.state_directory / "journal.db"

    @property
    def archive(self) -> Path:
        """Where the signed documents are, a file each."""
        return self.state_directory / "archive"

    @property
    def marks(self) -> Path:
        """Where the marks are, beside the journal or elsewhere."""
        return self.marks_directory or self.state_directory / "marks"

    @property
    def identity(self) -> Path:
        """The device key's file."""
        return self.device_key or self.state_directory / "device.pem"


class ConfigError(Exception):
    """Mistakes in the configuration, each in one line with the place and the mend."""

    def __init__(self, *mistakes: str) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration names, loaded: the root of trust, the meter types, the station."""

    root: Root
    root_sha256: Digest
    """Of the anchor's file: what is printed in the enclosure."""
    profiles: dict[str, Profile]
    station: Station


def load_config(path: Path) -> Config:
    """Read the file. Raises `ConfigError` with every mistake of its shape."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}. Name a readable file.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start}: not UTF-8. Save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}. Correct the TOML there.") from error
    flaws = [_in_words(flaw) for flaw in flaws_of(table, Config, dec_hook=_path)]
    if not flaws:
        config = _absolute(msgspec.convert(table, Config, dec_hook=_path), path.resolve().parent)
        flaws = [*_contradictions(config)]
    if flaws:
        raise ConfigError(*(f"{path}: {flaw}" for flaw in flaws))
    return config


def installed_settings(config: Config) -> Settings:
    """What the file says of the settings that an order may change."""
    broker, place = config.broker, None
    if broker is not None:
        place = BrokerPlace(host=broker.host, port=broker.port, keepalive_s=broker.keepalive_s)
    return Settings(broker=place, log_level=config.log_level)


def load_parts(config: Config) -> Parts:
    """Load what the configuration names. Raises `ConfigError`."""
    flaws = []
    try:
        profiles = load_profiles(config.profiles_directory)
    except ProfileError as error:
        flaws.append(f"profiles_directory: {error}")
    anchor = f"trust_root: {config.trust_root}"
    try:
        anchor_file = config.trust_root.read_bytes()
        root = load_root(anchor_file.strip())
    except OSError as error:
        flaws.append(f"{anchor}: {error.strerror}. Copy the utility's root.json there.")
    except Rejected as flaw:
        flaws.append(f"{anchor}: {flaw}. Copy the utility's root.json there again.")
    if flaws:
        raise ConfigError(*flaws)
    station = Station(
        gateway=GatewayId(config.gateway),
        buses=tuple(bus.name for bus in config.bus),
        profiles={name: profile.ability for name, profile in profiles.items()},
    )
    return Parts(root=root, root_sha256=digest_of(anchor_file), profiles=profiles, station=station)


def mistakes(config: Config) -> Iterator[str]:
    """Everything that would keep this configuration from working here, one line each.

    Documents are looked at once the root of trust and the profiles are what they should be.
    """
    yield from _folder_mistakes(config.state_directory, "state_directory")
    if config.marks_directory is not None:
        yield from _folder_mistakes(config.marks_directory, "marks_directory")
    yield from _identity_mistakes(config)
    for at, bus in enumerate(config.bus):
        yield from _port_mistakes(Path(bus.port), f"bus[{at}].port")
    if config.broker is not None:
        yield from _broker_mistakes(config.broker)
    try:
        parts = load_parts(config)
    except ConfigError as error:
        yield from error.mistakes
        return
    for at, document in enumerate(config.documents):
        yield from _document_mistakes(document, f"documents[{at}]", parts)


def fits(config: Config) -> tuple[Fit, ...]:
    """How each bus suits the newest site document named here; nothing where there is none.

    What keeps that from being known is among the `mistakes`.
    """
    try:
        parts = load_parts(config)
    except ConfigError:
        return ()
    sites = [site for path in config.documents for site in _sites(path, parts)]
    if not sites:
        return ()
    blank = Image(station=parts.station, root=parts.root)
    image = with_roster(with_kept(blank, site=max(sites, key=lambda site: site.seq)))
    return tuple(fit(bus, devices_on(bus.name, image, parts.profiles)) for bus in config.bus)


def _sites(path: Path, parts: Parts) -> Iterator[Site]:
    try:
        document = decode(verify(path.read_bytes().strip(), FIELD_DOCUMENTS, parts.root))
        check(document, parts.station)
    except (OSError, Rejected, Unsound):
        return
    if isinstance(document, Site):
        yield document


def _folder_mistakes(directory: Path, place: str) -> Iterator[str]:
    # The daemon makes what is missing: the nearest that is there decides.
    there = next(path for path in (directory, *directory.parents) if path.exists())
    if not there.is_dir():
        yield f"{place}: {there} is not a directory. Name another place."
    elif not os.access(there, os.W_OK | os.X_OK):
        yield (
            f"{place}: this user may not write in {there}. Give it the right, or say "
            "check as the daemon's user."
        )


def _identity_mistakes(config: Config) -> Iterator[str]:
    mistake = credential_mistake(config.identity) or exposure(config.identity)
    if mistake is not None:
        yield f"device_key: {mistake}"
        return
    try:
        load_identity(config.identity, config.gateway)
    except FileNotFoundError:
        pass  # `init` makes it, or else the first start
    except IdentityError as error:
        yield f"device_key: {error}"


def _broker_mistakes(broker: BrokerSettings) -> Iterator[str]:
    tls = broker.tls or TlsSettings()
    files = {f"tls.{name}": getattr(tls, name) for name in tls.__struct_fields__}
    files["password_file"] = broker.password_file
    said = set()
    for place, file in files.items():
        if file is None:
            continue
        mistake = credential_mistake(Path(file))
        if mistake is None and place in SECRETS:
            mistake = exposure(Path(file))
        if mistake is not None:
            said.add(place)
            yield f"broker.{place}: {mistake}"
    if broker.password_file is not None and "password_file" not in said:
        yield from _unreadable(Path(broker.password_file), "broker.password_file")
    for flaw in file_flaws(tls):
        if f"tls.{flaw.setting}" not in said:
            yield f"broker.tls.{flaw.setting}: {flaw}"


def _unreadable(path: Path, where: str) -> Iterator[str]:
    try:
        path.read_bytes()
    except OSError as error:
        yield f"{where}: {path}: {error.strerror}. Make it readable."


def _port_mistakes(port: Path, where: str) -> Iterator[str]:
    if not port.exists():
        yield (
            f"{where}: {port} does not exist. Plug the adapter in, or name its stable path under "
            "/dev/serial/by-path."
        )
    elif not port.is_char_device():
        yield f"{where}: {port} is not a serial port. Name one, best under /dev/serial/by-path."
    elif not os.access(port, os.R_OK | os.W_OK):
        yield (
            f"{where}: this user may not open {port}. Add it to the group that owns it, or say "
            "check as the daemon's user."
        )


def _document_mistakes(path: Path, where: str, parts: Parts) -> Iterator[str]:
    try:
        document = decode(verify(path.read_bytes().strip(), FIELD_DOCUMENTS, parts.root))
        check(document, parts.station)
    except OSError as error:
        yield f"{where}: {path}: {error.strerror}. Name a readable file."
    except (Rejected, Unsound) as flaw:
        yield f"{where}: {path}: {flaw}. Have it signed anew for this gateway."


def _absolute(config: Config, folder: Path) -> Config:
    return msgspec.structs.replace(
        config,
        broker=None if config.broker is None else _broker_under(folder, config.broker),
        state_directory=folder / config.state_directory,
        trust_root=folder / config.trust_root,
        profiles_directory=_under(folder, config.profiles_directory),
        documents=tuple(folder / document for document in config.documents),
        local_socket=_under(folder, config.local_socket),
        device_key=None if config.device_key is None else located(str(config.device_key), folder),
        marks_directory=_under(folder, config.marks_directory),
    )


def _broker_under(folder: Path, broker: BrokerSettings) -> BrokerSettings:
    tls = broker.tls
    if tls is not None:
        written = {name: getattr(tls, name) for name in tls.__struct_fields__}
        tls = TlsSettings(**{name: _located(path, folder) for name, path in written.items()})
    password_file = _located(broker.password_file, folder)
    return msgspec.structs.replace(broker, password_file=password_file, tls=tls)


def _located(written: str | None, folder: Path) -> str | None:
    return None if written is None else str(located(written, folder))


def _under(folder: Path, path: Path | None) -> Path | None:
    return None if path is None else folder / path


def _path(kind: type, value: object) -> object:
    if kind is not Path:
        raise NotImplementedError
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("Expected a path")
    return Path(value)


def _in_words(flaw: Flaw) -> str:
    place = "" if flaw.place == TOP else f"{flaw.place}: "
    return f"{place}{flaw.problem}. {flaw.mend}."


def _contradictions(config: Config) -> Iterator[str]:
    for name, count in Counter(bus.name for bus in config.bus).items():
        if count > 1:
            yield f"bus: {count} are named {name}. Give each bus its own name."
    for port, count in Counter(bus.port for bus in config.bus).items():
        if count > 1:
            yield f"bus: {count} use port {port}. One port carries one bus."
    if config.broker is not None and not HOST.fullmatch(config.broker.host):
        yield (
            f"broker.host: {config.broker.host!r} is neither a host name nor an address. Give it "
            "alone: the port has a setting of its own."
        )
    if len(os.fsencode(config.socket)) > SOCKET_BYTES_MAX:
        yield (
            f"local_socket: {config.socket} is longer than {SOCKET_BYTES_MAX} bytes, which no "
            "socket's path may be. Give a shorter one."
        )
