"""`scan`: who is on a bus, and how that differs from the roster.

Owns arguments, exit status (0 done, 1 failed or stopped, 2 used wrongly), progress and the readable
form. Must never change anything: neither a meter, nor the roster, nor what the journal holds.
"""

import asyncio
import errno
import math
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Final, get_args

import click
import msgspec

from gateway import BUILD_TIME_MS
from gateway.bus.corrections import Found, Proposal, entries_of, proposals
from gateway.bus.device import devices_on
from gateway.bus.inquiry import Presence, Questions
from gateway.bus.port import Baud, BusSettings
from gateway.bus.scan import Heard, Progress, duration_s
from gateway.bus.scan import scan as scan_bus
from gateway.config import Config, ConfigError, Parts, load_config, load_parts
from gateway.console.asking import CONFIG, JSON
from gateway.core.documents import Site, decode
from gateway.core.image import Image, with_kept, with_roster
from gateway.core.model import Value
from gateway.core.signature import FIELD_DOCUMENTS, Rejected, verify
from gateway.core.soundness import Unsound, check
from gateway.host.clock import HostClock, boot_id
from gateway.journal.sqlite import JournalError, SqliteJournal
from gateway.journal.trouble import Trouble
from gateway.restoring import restore

UNITS: Final = range(1, 248)
PARITIES: Final = {"N": "8N1", "E": "8E1", "O": "8O1"}
TELL_EVERY: Final = 10
"""Addresses between two lines of progress, where the terminal cannot take one back."""


class Told(Value):
    """A scan, as `--json` tells it."""

    bus: str
    complete: bool
    found: tuple[Found, ...]
    silent: tuple[int, ...]
    proposals: tuple[Proposal, ...]


@click.command()
@CONFIG
@JSON
@click.option("--bus", "bus_name", help="Which bus; may be left out where there is one.")
@click.option("--units", default="1-247", show_default=True, help="Addresses, as 1-20,40.")
@click.option("--baud", "bauds", help="Speeds, as 9600,19200. By default the bus's own.")
@click.option("--parity", "parities", help="N, E and O, as N,E. By default the bus's own.")
def scan(
    config_path: Path,
    as_json: bool,
    bus_name: str | None,
    units: str,
    bauds: str | None,
    parities: str | None,
) -> None:
    """Ask a bus who is there.

    Reads only, and writes nothing: what differs from the roster is proposed. The gateway must not
    run meanwhile, for one program alone speaks on a bus. Ctrl-C ends the scan and tells what was
    found by then. A pseudo terminal takes no parity.

    \b
    Examples:
      feeder-gateway scan
      feeder-gateway scan --bus A --units 1-40 --baud 9600,19200 --parity N,E
      feeder-gateway scan --json >found.json
    """
    asked = _units(units)
    try:
        config = load_config(config_path)
        bus = _bus(config, bus_name)
        parts = load_parts(config)
    except ConfigError as error:
        said = "\n".join(f"{config_path}: {mistake}" for mistake in error.mistakes)
        raise click.ClickException(said) from error
    speeds = _speeds(bus, bauds, parities)
    try:
        told = asyncio.run(_told(bus, speeds, asked, config, parts))
    except OSError as error:
        raise click.ClickException(_port_trouble(error)) from error
    if as_json:
        click.echo(msgspec.json.encode(told))
    else:
        for line in _lines(told):
            click.echo(line)
    if not told.complete:
        sys.exit(1)


async def _told(
    bus: BusSettings,
    speeds: Sequence[BusSettings],
    units: Sequence[int],
    config: Config,
    parts: Parts,
) -> Told:
    image = await _installed(config, parts)
    devices = devices_on(bus.name, image, parts.profiles)
    if not devices:
        click.echo(f"bus {bus.name}: the roster has nobody here", err=True)
    questions = Questions(devices, parts.profiles)
    minutes = math.ceil(duration_s(speeds, units, questions) / 60)
    settings = ", ".join(f"{it.baud} {it.format}" for it in speeds)
    words = f"bus {bus.name}: asking {len(units)} of 247 addresses at {settings}, {minutes} min"
    click.echo(f"{words} at most where nobody answers", err=True)
    heard = await _heard(speeds, units, questions)
    entries = entries_of(image, parts.profiles)
    return Told(
        bus=bus.name,
        complete=heard.complete,
        found=heard.found,
        silent=tuple(sorted(heard.silent)),
        proposals=proposals(heard.found, heard.silent, entries, bus),
    )


async def _heard(
    speeds: Sequence[BusSettings], units: Sequence[int], questions: Questions
) -> Heard:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    clock = HostClock(boot_id(), BUILD_TIME_MS)
    heard = await scan_bus(speeds, units, questions, clock=clock, stop=stop, tell=_teller())
    if sys.stderr.isatty():
        click.echo(err=True)
    return heard


async def _installed(config: Config, parts: Parts) -> Image:
    """The roster in force, or that of a newer site document which the next start hands in."""
    image = Image(station=parts.station, root=parts.root)
    if config.journal.exists():
        image = await _in_force(image, config.journal)
    for path in config.documents:
        try:
            document = decode(verify(path.read_bytes().strip(), FIELD_DOCUMENTS, parts.root))
            check(document, parts.station)
        except OSError as error:
            said = f"{path}: {error.strerror}. Name a readable file."
            raise click.ClickException(said) from error
        except (Rejected, Unsound) as flaw:
            raise click.ClickException(f"{path}: {flaw}. Have it signed anew.") from flaw
        in_force = image.kept.site
        if isinstance(document, Site) and (in_force is None or document.seq > in_force.seq):
            image = with_roster(with_kept(image, site=document))
    return image


async def _in_force(blank: Image, path: Path) -> Image:
    try:
        journal = await SqliteJournal.open(path)
        try:
            return restore(blank, await journal.load())
        finally:
            await journal.close()
    except JournalError as error:
        if error.trouble is Trouble.LOCKED:
            said = f"{path}: the gateway runs, and the bus is its own. Stop it first."
            raise click.ClickException(said) from error
        raise click.ClickException(str(error)) from error


def _teller() -> Callable[[Progress], None]:
    """Progress on standard error: one line that changes, or lines where it is no terminal."""
    changes = sys.stderr.isatty()

    def tell(at: Progress) -> None:
        speed = f"{at.settings.baud} {at.settings.format}"
        words = f"{at.done} of {at.total}: unit {at.unit} at {speed}, {at.found} found"
        if changes:
            click.echo(f"\r{words}\x1b[K", nl=False, err=True)
        elif at.done % TELL_EVERY == 0:
            click.echo(words, err=True)

    return tell


def _lines(told: Told) -> Iterator[str]:
    for found in sorted(told.found, key=lambda it: it.unit):
        yield f"unit {found.unit} at {found.baud} {found.format}: {_who(found)}"
    yield f"bus {told.bus}: found {len(told.found)}, silent {len(told.silent)}"
    if not told.complete:
        yield "stopped: not every address was asked"
    if told.proposals:
        yield "the roster differs; nothing was changed:"
    for one in told.proposals:
        yield f"  {one.correction}: {one.words}"


def _who(found: Found) -> str:
    if found.presence is Presence.CROWDED:
        return "cannot be read"
    if found.serial is None:
        return "no serial number" if found.profile is None else f"{found.profile}, without number"
    return f"serial {found.serial} ({found.profile})"


def _port_trouble(error: OSError) -> str:
    in_use = isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EAGAIN
    return f"{error}: the gateway has it while it runs" if in_use else str(error)


def _bus(config: Config, name: str | None) -> BusSettings:
    names = ", ".join(bus.name for bus in config.bus)
    if name is None and len(config.bus) > 1:
        raise click.UsageError(f"there are several buses: give --bus, one of {names}")
    for bus in config.bus:
        if name in {None, bus.name}:
            return bus
    raise click.BadParameter(f"there is none named {name}: give one of {names}", param_hint="--bus")


def _units(text: str) -> tuple[int, ...]:
    found: dict[int, None] = {}
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        try:
            span = range(int(first), int(last if dash else first) + 1)
        except ValueError:
            span = range(0)
        if not span or span[0] not in UNITS or span[-1] not in UNITS:
            said = f"{part.strip()!r} is no address: give numbers from 1 to 247, as 1-20,40"
            raise click.BadParameter(said, param_hint="--units")
        found |= dict.fromkeys(span)
    return tuple(found)


def _speeds(bus: BusSettings, bauds: str | None, parities: str | None) -> tuple[BusSettings, ...]:
    """Every pair of what is asked for, the bus's own settings first."""
    own = (bus.baud, bus.format)
    rates: list[int] = (
        [bus.baud] if bauds is None else [_baud(one.strip()) for one in bauds.split(",")]
    )
    formats: list[str] = [bus.format]
    if parities is not None:
        formats = [_format(one.strip().upper(), bus) for one in parities.split(",")]
    pairs = sorted(dict.fromkeys(product(rates, formats)), key=lambda pair: pair != own)
    return tuple(
        msgspec.convert({**msgspec.to_builtins(bus), "baud": baud, "format": format_}, BusSettings)
        for baud, format_ in pairs
    )


def _baud(text: str) -> int:
    known = [str(one) for one in get_args(Baud)]
    if text not in known:
        said = f"{text!r}: give some of {', '.join(known)}"
        raise click.BadParameter(said, param_hint="--baud")
    return int(text)


def _format(parity: str, bus: BusSettings) -> str:
    if parity not in PARITIES:
        raise click.BadParameter(f"{parity!r}: give some of N, E, O", param_hint="--parity")
    return bus.format if bus.format[1] == parity else PARITIES[parity]
