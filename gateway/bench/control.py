"""The back door of the simulated line: its words, a client, and a helper that runs a line.

Owns the control messages: JSON lines over a Unix socket, one answer to each request, in order. Must
never reach a meter by the wire: what is asked here is the truth, what the daemon sees is Modbus.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final, Self

import msgspec

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


class FaultKind(StrEnum):
    """What may befall a meter."""

    DEAD = "dead"
    """It answers nothing more."""
    ALIVE = "alive"
    STUCK = "stuck"
    """Its contact stays where it is, whatever is commanded."""
    UNSTUCK = "unstuck"
    """Its contact obeys the next command."""
    SWAP = "swap"
    """Another meter of its type is put in its place: it answers `serial_answered`."""


class Fault(Request, tag="fault"):
    """Let something befall a meter."""

    serial: SerialText
    kind: FaultKind
    serial_answered: SerialText | None = None


class Vend(Request, tag="vend"):
    """Credit is bought, or used up, at a meter that keeps some; what forces it stays."""

    serial: SerialText
    credit: bool


class Supply(Request, tag="supply"):
    """The voltage ahead of this meter is held at a value; without one it swings by itself."""

    serial: SerialText
    volts: Annotated[float, msgspec.Meta(ge=0, le=500)] | None = None


AnyRequest = Open | Close | TellTruth | Fault | Vend | Supply


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

    def meter(self, serial: str) -> MeterTruth:
        """The meter of this serial number (of the meters file)."""
        return next(it for it in self.meters if it.serial == serial)


AnyAnswer = Done | Refused | Truth


class Ready(Value):
    """What the line process says on its standard output when it can be used."""

    pty: str
    """The master's port."""
    control: str | None
    taps: tuple[str, ...]
    """Ports for foreign slaves on the same wire."""


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
        await self._ask(Open(serial=serial))

    async def close_switch(self, serial: str) -> None:
        """The utility's own system reconnects this home."""
        await self._ask(Close(serial=serial))

    async def fault(
        self, serial: str, kind: FaultKind, *, serial_answered: str | None = None
    ) -> None:
        """Let something befall a meter."""
        await self._ask(Fault(serial=serial, kind=kind, serial_answered=serial_answered))

    async def vend(self, serial: str, *, credit: bool) -> None:
        """Credit is bought, or used up."""
        await self._ask(Vend(serial=serial, credit=credit))

    async def supply(self, serial: str, volts: float | None) -> None:
        """Hold the voltage ahead of a meter at a value; None: let it swing by itself."""
        await self._ask(Supply(serial=serial, volts=volts))

    async def truth(self) -> Truth:
        """What is really the case."""
        answer = await self._ask(TellTruth())
        if not isinstance(answer, Truth):
            raise ControlError(f"the line answered {answer} when asked for the truth")
        return answer

    async def close(self) -> None:
        """Let go of the line."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _ask(self, request: AnyRequest) -> Done | Truth:
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
    meters: Sequence[MeterEntry], *, baud: int = 9600, taps: int = 0
) -> AsyncIterator[SimulatedLine]:
    """Run a line with these meters in a process of its own, until the block is left."""
    with TemporaryDirectory(prefix="feeder-line-") as directory:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.bench.line"),
            *("--meters", _meters_file(directory, meters), "--baud", str(baud)),
            *("--control", Path(directory, "control"), "--tap", str(taps), "--with-parent"),
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
