"""The back door of the simulated line: its words, a client, and a helper that runs a line.

Owns the control messages: JSON lines over a Unix socket, one answer to each request, in order. Must
never reach a meter by the wire: what is asked here is the truth, what the daemon sees is Modbus.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final, Self

import msgspec

from gateway.bench.faults import Faults, Injected
from gateway.bench.meters import MeterEntry, MeterTruth
from gateway.bench.wire import WireCounts
from gateway.core.model import SerialText, Tagged, Value

MESSAGE_BYTES_MAX: Final = 16 * 1024 * 1024
STOP_WAIT_S: Final = 5.0


class Request(Tagged, tag_field="do", forbid_unknown_fields=True):
    """What the line is asked; `serial` is always the one of the meters file."""


class Open(Request, tag="open"):
    """The utility's own system cuts this home, as systems without a feeder gateway do."""

    serial: SerialText


class Close(Request, tag="close"):
    """The utility's own system reconnects this home."""

    serial: SerialText


class TellTruth(Request, tag="truth"):
    """Say what is really the case."""


class Befall(Request, tag="fault"):
    """Let faults befall the line or one meter, beside those there are."""

    faults: Faults
    serial: SerialText | None = None


class Clear(Request, tag="clear"):
    """End all faults, or those that one meter has of its own."""

    serial: SerialText | None = None


class Vend(Request, tag="vend"):
    """Credit is bought, or used up, at a meter that keeps some; what forces it stays."""

    serial: SerialText
    credit: bool


class Supply(Request, tag="supply"):
    """The voltage ahead of this meter is held at a value; without one it swings by itself."""

    serial: SerialText
    volts: Annotated[float, msgspec.Meta(ge=0, le=500)] | None = None


AnyRequest = Open | Close | TellTruth | Befall | Clear | Vend | Supply


class Done(Tagged, tag_field="answer", tag="done"):
    """It has been done."""


class Refused(Tagged, tag_field="answer", tag="refused"):
    """It was not done, and why."""

    reason: str


class Truth(Tagged, tag_field="answer", tag="truth"):
    """What is really the case, at `mono_ms` of the boot clock."""

    mono_ms: int
    meters: tuple[MeterTruth, ...]
    wire: WireCounts
    injected: Injected
    faults: Faults
    """What befalls the line."""

    def meter(self, serial: str) -> MeterTruth:
        """The meter of this serial number (of the meters file)."""
        return next(it for it in self.meters if it.serial == serial)


AnyAnswer = Done | Refused | Truth


class Ready(Value):
    """What the line process says on its standard output when it can be used."""

    pty: str
    """The master's port: a path that stays while terminals come and go behind it."""
    control: str | None
    taps: tuple[str, ...]
    """Ports for foreign slaves on the same wire."""


class Ended(Value):
    """What the line process says on its standard output when it ends."""

    wire: WireCounts
    injected: Injected


class ControlError(Exception):
    """The line refused a request, or went away."""


class LineControl:
    """A client of one line's control socket; not for two tasks at once."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._answers: msgspec.json.Decoder[AnyAnswer] = msgspec.json.Decoder(AnyAnswer)

    @classmethod
    async def connect(cls, path: str) -> Self:
        """Connect to a line's control socket."""
        return cls(*await asyncio.open_unix_connection(path, limit=MESSAGE_BYTES_MAX))

    async def open(self, serial: str) -> None:
        """The utility's own system cuts this home."""
        await self.ask(Open(serial=serial))

    async def close_switch(self, serial: str) -> None:
        """The utility's own system reconnects this home."""
        await self.ask(Close(serial=serial))

    async def fault(self, faults: Faults, serial: str | None = None) -> None:
        """Let faults befall the line or one meter, beside those there are."""
        await self.ask(Befall(faults=faults, serial=serial))

    async def clear(self, serial: str | None = None) -> None:
        """End all faults, or those that one meter has of its own."""
        await self.ask(Clear(serial=serial))

    async def vend(self, serial: str, *, credit: bool) -> None:
        """Credit is bought, or used up."""
        await self.ask(Vend(serial=serial, credit=credit))

    async def supply(self, serial: str, volts: float | None) -> None:
        """Hold the voltage ahead of a meter at a value; None: let it swing by itself."""
        await self.ask(Supply(serial=serial, volts=volts))

    async def truth(self) -> Truth:
        """What is really the case."""
        answer = await self.ask(TellTruth())
        if not isinstance(answer, Truth):
            raise ControlError(f"the line answered {answer} when asked for the truth")
        return answer

    async def close(self) -> None:
        """Let go of the line."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def ask(self, request: AnyRequest) -> Done | Truth:
        """Put one request. Raises `ControlError`."""
        self._writer.write(msgspec.json.encode(request) + b"\n")
        await self._writer.drain()
        line = await self._reader.readline()
        if not line:
            raise ControlError("the line went away")
        answer = self._answers.decode(line)
        if isinstance(answer, Refused):
            raise ControlError(answer.reason)
        return answer


class SimulatedLine:
    """A running line: its ports and its back door."""

    def __init__(self, ready: Ready, control: LineControl) -> None:
        self.pty = ready.pty
        self.taps = ready.taps
        self.control = control


@contextlib.asynccontextmanager
async def simulated_line(
    meters: Sequence[MeterEntry],
    *,
    baud: int = 9600,
    character: str = "8N1",
    taps: int = 0,
    faults: Sequence[str] = (),
    seed: int = 0,
) -> AsyncIterator[SimulatedLine]:
    """Run a line with these meters in a process of its own, until the block is left."""
    with TemporaryDirectory(prefix="feeder-line-") as directory:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.bench.line"),
            *("--meters", _meters_file(directory, meters), "--baud", str(baud)),
            *("--format", character, "--tap", str(taps), "--seed", str(seed)),
            *(f"--fault={it}" for it in faults),
            *("--link", Path(directory, "port"), "--control", Path(directory, "control")),
            *("--json", "--with-parent"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Out of reach of the terminal's Ctrl-C: whoever started the line ends it, in order.
            start_new_session=True,
        )
        try:
            ready = await _ready(process)
            control = await LineControl.connect(str(ready.control))
            try:
                yield SimulatedLine(ready, control)
            finally:
                await control.close()
        finally:
            await _stop(process)


def _meters_file(directory: str, meters: Sequence[MeterEntry]) -> Path:
    path = Path(directory, "meters.json")
    path.write_bytes(msgspec.json.encode(meters))
    return path


async def _ready(process: asyncio.subprocess.Process) -> Ready:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise ControlError(f"the line ended at once, exit status {await process.wait()}")
    return msgspec.json.decode(line, type=Ready)


async def _stop(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_WAIT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
