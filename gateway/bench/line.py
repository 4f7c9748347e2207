"""`bench line`: simulated meters on a paced RS-485 line, in a process of their own.

Owns the process: the meters file, the ports, the control socket, start and end. Must never be
imported by the daemon. Faults of the line itself belong into `wire.py`, those of a meter into
`meters.py`; here and in `control.py` they only get their names.
"""

import asyncio
import contextlib
import selectors
import signal
import sys
import time
from pathlib import Path
from typing import assert_never

import click
import msgspec

from gateway.bench.control import (
    AnyAnswer,
    AnyRequest,
    Close,
    Done,
    Fault,
    FaultKind,
    Open,
    Ready,
    Refused,
    Supply,
    TellTruth,
    Truth,
    Vend,
)
from gateway.bench.house import boot_ms
from gateway.bench.meters import AcrelDdsy1352, LineError, Meter, MeterEntry
from gateway.bench.street import Street
from gateway.bench.wire import Port, Timing, Wire

EXAMPLE = """\b
Example:
  echo '[{"type": "dds238-2-zn-sr", "unit": 5, "serial": "HK-5", "state": "open"}]' > m.json
  feeder-gateway bench line --meters m.json --baud 9600
"""


@click.command(epilog=EXAMPLE)
@click.option(
    "--meters",
    "meters_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="JSON list of meters: type, unit, serial, and what else differs from an ordinary home.",
)
@click.option("--baud", type=click.IntRange(300, 115_200), default=9600, show_default=True)
@click.option(
    "--stop-bits",
    type=click.IntRange(1, 2),
    default=1,
    show_default=True,
    help="2 makes a character as long as parity does, which a pseudo terminal refuses.",
)
@click.option(
    "--control",
    "control_path",
    type=click.Path(path_type=Path),
    help='Unix socket to make, for JSON lines such as {"do": "truth"}.',
)
@click.option(
    "--tap",
    "taps",
    type=click.IntRange(0, 64),
    default=0,
    show_default=True,
    help="Further ports on the same wire, for slaves of other makers.",
)
@click.option("--with-parent", is_flag=True, help="End when standard input closes.")
def line(
    meters_file: Path,
    baud: int,
    stop_bits: int,
    control_path: Path | None,
    taps: int,
    with_parent: bool,
) -> None:
    """Simulate meters on a pseudo terminal.

    They answer at the pace of the real wire. Prints one line of JSON with the paths of the ports
    when it is ready, and runs until Ctrl-C or SIGTERM.
    """
    try:
        entries = msgspec.json.decode(meters_file.read_bytes(), type=list[MeterEntry])
        street = Street(entries, boot_s())
    except (msgspec.DecodeError, LineError) as mistake:
        raise click.BadParameter(f"{meters_file}: {mistake}", param_hint="--meters") from None
    timing = Timing(baud=baud, character_bits=9 + stop_bits)
    try:
        with asyncio.Runner(loop_factory=_exact_loop) as runner:
            runner.run(_run(street, timing, control_path, taps, with_parent=with_parent))
    except OSError as failure:
        raise click.ClickException(f"the line cannot run: {failure}") from None


def boot_s() -> float:
    """Seconds of the boot clock, which the daemon's records use too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _exact_loop() -> asyncio.AbstractEventLoop:
    # select() takes its time-out in microseconds, epoll in milliseconds: a character lasts one.
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


async def _run(
    street: Street, timing: Timing, control_path: Path | None, taps: int, *, with_parent: bool
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    if with_parent:
        loop.add_reader(sys.stdin, stop.set)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        master, *tap_ports = (
            stack.enter_context(contextlib.closing(Port.open())) for _ in range(1 + taps)
        )
        wire = Wire(
            timing=timing, master=master, taps=tap_ports, slaves=street.slaves, boot_s=boot_s
        )
        wire.start()
        stack.callback(wire.stop)
        if control_path is not None:
            door = Door(street, wire)
            await door.open(control_path)
            stack.callback(control_path.unlink, missing_ok=True)
            stack.push_async_callback(door.close)
        ready = Ready(
            pty=master.path,
            control=None if control_path is None else str(control_path),
            taps=tuple(port.path for port in tap_ports),
        )
        click.echo(msgspec.json.encode(ready))
        await stop.wait()


class Door:
    """Serves the control socket."""

    def __init__(self, street: Street, wire: Wire) -> None:
        self._street = street
        self._wire = wire
        self._requests = msgspec.json.Decoder(AnyRequest)
        self._server: asyncio.Server
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def open(self, path: Path) -> None:
        """Make the socket and wait for clients. Raises `OSError` with the path."""
        try:
            self._server = await asyncio.start_unix_server(self._greet, path)
        except OSError as failure:
            raise OSError(f"no socket {path}: {failure.strerror or failure}") from failure

    async def close(self) -> None:
        """Send all clients away."""
        self._server.close()
        for writer in self._clients.values():
            writer.close()
        await asyncio.gather(*self._clients)

    def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._clients[task] = writer
        task.add_done_callback(self._clients.pop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readline():
                writer.write(msgspec.json.encode(self._answer(request)) + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            # The client vanished, or sent a line without end.
            pass
        finally:
            writer.close()

    def _answer(self, request: bytes) -> AnyAnswer:
        try:
            return self._obey(self._requests.decode(request), boot_s())
        except (msgspec.DecodeError, LineError) as mistake:
            return Refused(reason=str(mistake))

    def _obey(self, request: AnyRequest, now_s: float) -> AnyAnswer:
        match request:
            case Open(serial=serial):
                self._meter(serial).utility_switches(False, now_s)
            case Close(serial=serial):
                self._meter(serial).utility_switches(True, now_s)
            case Fault(serial=serial):
                befall(self._meter(serial), request)
            case Vend(serial=serial, credit=credit):
                prepaid(self._meter(serial)).vend(credit, now_s)
            case Supply(serial=serial, volts=volts):
                self._meter(serial).home.set_supply(volts)
            case TellTruth():
                return Truth(
                    mono_ms=boot_ms(now_s),
                    meters=self._street.truth(now_s),
                    wire=self._wire.counts(),
                )
            case _:
                assert_never(request)
        return Done()

    def _meter(self, serial: str) -> Meter:
        meter = self._street.meters.get(serial)
        if meter is None:
            raise LineError(f"no meter {serial} on this line")
        return meter


def prepaid(meter: Meter) -> AcrelDdsy1352:
    """A meter that keeps credit. `LineError` where it is none."""
    if not isinstance(meter, AcrelDdsy1352):
        raise LineError(f"serial {meter.entry.serial}: its type keeps no credit")
    return meter


def befall(meter: Meter, fault: Fault) -> None:
    """Let a fault befall a meter. `LineError` where it cannot."""
    match fault.kind:
        case FaultKind.DEAD | FaultKind.ALIVE:
            meter.dead = fault.kind is FaultKind.DEAD
        case FaultKind.STUCK | FaultKind.UNSTUCK:
            meter.switch.stuck = fault.kind is FaultKind.STUCK
        case FaultKind.SWAP:
            if fault.serial_answered is None:
                raise LineError("swap needs serial_answered")
            meter.swap(fault.serial_answered)
        case _:
            assert_never(fault.kind)


if __name__ == "__main__":
    line()
