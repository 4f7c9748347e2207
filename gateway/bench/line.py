"""`bench line`: simulated meters on a paced RS-485 line, in a process of their own.

Owns the process: options, the meters file, the ports, start and end. Must never be imported by the
daemon.
"""

import asyncio
import contextlib
import selectors
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click
import msgspec

from gateway.bench.answering import Answering
from gateway.bench.control import Ended, Ready
from gateway.bench.door import Door, Line
from gateway.bench.faults import FaultError, Faults, parse
from gateway.bench.meters import LineError, read_meters
from gateway.bench.port import BAUDS, Port, Timing
from gateway.bench.street import Street
from gateway.bench.wire import Wire
from gateway.core.model import Value

CHARACTER_BITS: Final = {"8N1": 10, "8N2": 11}
EXAMPLES = """\b
Examples:
  echo '[{"type": "dds238-2-zn-sr", "unit": 5, "serial": "HK-5", "state": "open"}]' > m.json
  feeder-gateway bench line --meters m.json --baud 9600
  feeder-gateway bench line --meters m.json --fault late=0.05,crc=0.01 --fault HK-5:stuck
  feeder-gateway bench line --meters m.json --link ./port --control ./line.sock
  mbpoll -m rtu -b 9600 -P none -a 5 -t 4 -0 -r 12 -1 ./port

\b
Shares of answers: slow, late, mute, busy, exception, address, crc, truncated, doubled, noise.
Shares of meters: dead, stuck, lies, backfeed. Of one meter: swapped=SERIAL, exchanged=SERIAL.
Of the line: echo, unplugged. With them: slow_ms, late_ms, exception_code, backfeed_v.
While it runs, `bench fault` changes them and `bench status` shows what is the case.
"""


class Setting(Value):
    """What the options say of the line itself."""

    timing: Timing
    link: Path | None
    control: Path | None
    taps: int
    with_parent: bool


def _format(_: click.Context, __: click.Parameter, value: str) -> int:
    value = value.upper()
    if value in {"8E1", "8O1"}:
        raise click.BadParameter(
            f"{value}: a pseudo terminal refuses parity; use 8N2, whose characters are as long"
        )
    if value not in CHARACTER_BITS:
        raise click.BadParameter(f"{value}: use 8N1, or 8N2 for characters of 11 bits")
    return CHARACTER_BITS[value]


def _faults(
    _: click.Context, __: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str | None, Faults], ...]:
    try:
        return tuple(parse(value) for value in values)
    except FaultError as mistake:
        raise click.BadParameter(str(mistake)) from None


@click.command(epilog=EXAMPLES)
@click.option(
    "--meters",
    "meters_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="JSON list of meters: type, unit, serial, and what else differs from an ordinary home.",
)
@click.option(
    "--baud",
    type=click.Choice([str(it) for it in BAUDS]),
    default="9600",
    show_default=True,
    help="A program that sets its port to another speed is not understood.",
)
@click.option(
    "--format",
    "character_bits",
    callback=_format,
    metavar="8N1|8N2",
    default="8N1",
    show_default=True,
    help="8N2 stands in for 8E1: its characters are as long, and a pseudo terminal takes it.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    callback=_faults,
    metavar="[SERIAL:]NAME[=VALUE][,MORE]",
    help="What goes wrong, on the line or at one meter. May be given repeatedly.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="One seed, one run: the nth request to a unit meets the same fate.",
)
@click.option(
    "--link",
    type=click.Path(path_type=Path),
    help="The port's stable path; without it, one in a temporary folder.",
)
@click.option(
    "--control",
    "control_path",
    type=click.Path(path_type=Path),
    help="Unix socket to make, for `bench fault`, `bench status` and JSON lines.",
)
@click.option(
    "--tap",
    "taps",
    type=click.IntRange(0, 64),
    default=0,
    show_default=True,
    help="Further ports on the same wire, for slaves of other makers.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines instead of words.")
@click.option("--with-parent", is_flag=True, help="End when standard input closes.")
def line(
    meters_file: Path,
    baud: str,
    character_bits: int,
    faults: tuple[tuple[str | None, Faults], ...],
    seed: int,
    link: Path | None,
    control_path: Path | None,
    taps: int,
    as_json: bool,
    with_parent: bool,
) -> None:
    """Simulate meters on a pseudo terminal.

    They answer at the pace of the real wire. Prints the path of the port when it is ready, runs
    until Ctrl-C or SIGTERM, and then prints what has passed.
    """
    try:
        street = Street(read_meters(meters_file.read_bytes()), boot_s(), seed)
    except LineError as mistake:
        raise click.BadParameter(f"{meters_file}: {mistake}", param_hint="--meters") from None
    try:
        for serial, said in faults:
            street.befall(said, serial)
    except LineError as mistake:
        raise click.BadParameter(str(mistake), param_hint="--fault") from None
    setting = Setting(
        timing=Timing(baud=int(baud), character_bits=character_bits),
        link=link,
        control=control_path,
        taps=taps,
        with_parent=with_parent,
    )
    say = _say_json if as_json else _say_words
    try:
        with asyncio.Runner(loop_factory=_exact_loop) as runner:
            runner.run(_run(street, Answering(street, seed), setting, say))
    except OSError as failure:
        reason = f"{failure.filename}: {failure.strerror}" if failure.filename else str(failure)
        raise click.ClickException(f"the line cannot run: {reason}") from None


def boot_s() -> float:
    """Seconds of the boot clock, which the daemon's records use too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _exact_loop() -> asyncio.AbstractEventLoop:
    # select() takes its time-out in microseconds, epoll in milliseconds: a character lasts one.
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


async def _run(
    street: Street,
    answering: Answering,
    setting: Setting,
    say: Callable[[Ready | Ended], None],
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    if setting.with_parent:
        loop.add_reader(sys.stdin, stop.set)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        link = setting.link or Path(
            stack.enter_context(TemporaryDirectory(prefix="feeder-line-")), "port"
        )
        master, *taps = (
            stack.enter_context(_port(setting.timing, at))
            for at in (link, *(None for _ in range(setting.taps)))
        )
        wire = Wire(
            timing=setting.timing, master=master, taps=taps, answer=answering.answer, boot_s=boot_s
        )
        wire.start()
        stack.callback(wire.stop)
        running = Line(street, answering, wire, master, boot_s)
        running.befall(Faults(), None)
        if setting.control is not None:
            door = Door(running)
            await door.open(setting.control)
            stack.callback(setting.control.unlink, missing_ok=True)
            stack.push_async_callback(door.close)
        control = None if setting.control is None else str(setting.control)
        say(Ready(pty=master.path, control=control, taps=tuple(port.path for port in taps)))
        await stop.wait()
        say(running.ended())


@contextmanager
def _port(timing: Timing, link: Path | None) -> Iterator[Port]:
    port = Port(timing, link).plug()
    try:
        yield port
    finally:
        port.unplug()


def _say_json(said: Ready | Ended) -> None:
    click.echo(msgspec.json.encode(said))


def _say_words(said: Ready | Ended) -> None:
    if isinstance(said, Ready):
        click.echo(said.pty)
        for path in said.taps:
            click.echo(f"tap {path}")
        return
    for heading, counts in (("passed", said.wire), ("faults", said.injected)):
        click.echo(f"{heading}: {counted(counts)}")


def counted(counts: Value) -> str:
    """The counters that have counted something, in words."""
    told = [
        f"{name.replace('_', ' ')} {count}"
        for name, count in msgspec.structs.asdict(counts).items()
        if count
    ]
    return ", ".join(told) or "none"


if __name__ == "__main__":
    line()
