"""One serial port on the event loop: opened exclusively, read without a thread.

Owns the file descriptor, the bytes that came and were not taken yet, and when they came. Must never
know a frame, nor open again by itself (`line` does).
"""

import asyncio
import contextlib
import errno
import math
import os
import select
import termios
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Final, Literal, Self

import msgspec
import serial
import serial.rs485

from gateway.bus.alarm import Alarm
from gateway.core.model import IdText, Value

READ_BYTES: Final = 4096
HEARD_MAX_BYTES: Final = 4096
"""What came and nobody took; more than any answer has. Of more, the newest is kept."""
REASONS: Final = {
    errno.ENOENT: "it does not exist: plug the adapter in, or name another port",
    errno.EACCES: "this user may not open it: add the user to the group that owns it",
    errno.EAGAIN: "another program has it open: stop that one",
}

Baud = Literal[1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200]
Format = Literal["8N1", "8N2", "8E1", "8O1"]


class BusSettings(Value, forbid_unknown_fields=True):
    """One bus of the configuration. `port` is best a path under /dev/serial/by-path."""

    name: IdText
    port: Annotated[str, msgspec.Meta(min_length=1)]
    baud: Baud = 9600
    format: Format = "8N1"
    rs485: bool = False
    """The kernel switches the transceiver to sending and back (DE/RE by RTS). Most adapters do so
    by themselves."""

    @property
    def character_bits(self) -> int:
        """Start bit, 8 data bits, parity and stop bits."""
        return 10 if self.format == "8N1" else 11

    @property
    def character_s(self) -> float:
        """Seconds of one character."""
        return self.character_bits / self.baud


class _Gate(Enum):
    """Whether what comes wakes this process."""

    OPEN = "OPEN"
    SHUT = "SHUT"
    OPEN_AGAIN = "OPEN_AGAIN"


@dataclass(slots=True)
class _Waiting:
    over: "asyncio.Future[None]"
    until_s: float
    expected: int
    gate: _Gate = _Gate.OPEN


class SerialPort:
    """An open port. `lost` is called once, in the event loop, when the other end is gone."""

    def __init__(
        self,
        device: serial.Serial,
        gate: select.epoll,
        lost: Callable[[], None],
        *,
        character_s: float,
    ) -> None:
        self.heard_s = -math.inf
        """When the newest byte was there, at the latest; the loop's time."""
        self._device = device
        self._fd = device.fileno()
        self._gate = gate
        """Stands between the event loop and the port: to shut it takes one call, and no time."""
        self._alarm: Alarm
        self._lost = lost
        self._character_s = character_s
        self._heard = bytearray()
        self._error: OSError | None = None
        self._waiting: _Waiting | None = None
        self._loop = asyncio.get_running_loop()

    @classmethod
    def open(cls, settings: BusSettings, lost: Callable[[], None]) -> Self:
        """Open the port for this process alone. Raises `OSError` with the place and the mend."""
        device = _opened(settings)
        try:
            _carry_parity(device.fileno(), settings)
            _switch_direction(device, settings)
            _wait_for_data(device.fileno())
            port = cls(device, select.epoll(), lost, character_s=settings.character_s)
            port._alarm = Alarm.open(port._ring)
        except termios.error as error:  # the port went away meanwhile; it is no OSError by itself
            device.close()
            raise OSError(*error.args) from error
        except BaseException:
            device.close()
            raise
        # Where the adapter's driver can, it hands over at once instead of every 16 ms.
        with contextlib.suppress(ValueError, NotImplementedError, OSError):
            device.set_low_latency_mode(True)
        port._gate.register(port._fd, select.EPOLLIN)
        port._loop.add_reader(port._gate, port._readable)
        return port

    def close(self) -> None:
        """Give the port back."""
        self._loop.remove_reader(self._gate)
        self._gate.close()
        self._alarm.close()
        self._device.close()

    def send(self, data: bytes) -> None:
        """Put bytes on the line. Raises `OSError`."""
        self._check()
        if os.write(self._fd, data) != len(data):
            raise OSError("the port takes no more bytes")

    async def receive(self, until_s: float, expected: int = 1) -> bytes:
        """What has come, or comes until then (loop time); empty after that. Raises `OSError`.

        Where a line hands over byte by byte, each would wake this process. So once the first of
        those `expected` has come, it sleeps until the last one is about to; what is there then is
        handed over.
        """
        if not self._heard and self._error is None:
            await self._wait(until_s, expected)
        if not self._heard:
            self._check()
        chunk = bytes(self._heard)
        self._heard.clear()
        return chunk

    def discard(self) -> int:
        """Throw away what has come; how many bytes that was. Raises `OSError`."""
        while self._read():
            pass
        self._check()
        discarded = len(self._heard)
        self._heard.clear()
        return discarded

    async def _wait(self, until_s: float, expected: int) -> None:
        waiting = self._waiting = _Waiting(self._loop.create_future(), until_s, expected)
        self._alarm.set(until_s)
        try:
            await waiting.over
        finally:
            self._waiting = None
            if waiting.gate is _Gate.SHUT:
                self._gate.modify(self._fd, select.EPOLLIN)

    def _readable(self) -> None:
        if self._read() or self._error is not None:
            self._look()

    def _ring(self) -> None:
        waiting = self._waiting
        if waiting is None or waiting.over.done():
            return
        if waiting.gate is not _Gate.SHUT:
            waiting.over.set_result(None)
            return
        waiting.gate = _Gate.OPEN_AGAIN
        self._gate.modify(self._fd, select.EPOLLIN)
        self._read()
        self._look()

    def _look(self) -> None:
        waiting = self._waiting
        if waiting is None or waiting.over.done():
            return
        left = 0 if self._error is not None else waiting.expected - len(self._heard)
        if left == 1:
            # It may not come: what did can be a shorter answer than the expected one.
            self._alarm.set(min(self.heard_s + 2 * self._character_s, waiting.until_s))
        elif left > 1 and waiting.gate is _Gate.OPEN:
            waiting.gate = _Gate.SHUT
            self._gate.modify(self._fd, 0)
            last_begins_s = self.heard_s + (left - 1) * self._character_s
            self._alarm.set(min(last_begins_s + self._character_s / 2, waiting.until_s))
        else:
            waiting.over.set_result(None)

    def _read(self) -> bool:
        """Take what has come, if anything has."""
        if self._error is not None:
            return False
        try:
            chunk = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return False
        except OSError as error:
            self._fail(error)
            return False
        if not chunk:
            self._fail(OSError("the port hung up"))
            return False
        self.heard_s = self._loop.time()
        self._heard += chunk
        del self._heard[:-HEARD_MAX_BYTES]
        return True

    def _fail(self, error: OSError) -> None:
        self._error = error
        self._loop.remove_reader(self._gate)
        self._lost()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error


def _opened(settings: BusSettings) -> serial.Serial:
    try:
        return serial.Serial(
            settings.port,
            settings.baud,
            parity=settings.format[1],
            stopbits=int(settings.format[2]),
            timeout=0,
            exclusive=True,
        )
    except termios.error as error:
        # Some systems refuse the parity outright, others forget it silently: see _carry_parity.
        raise OSError(_not_taken(settings)) from error
    except OSError as error:
        reason = REASONS.get(error.errno or 0, str(error))
        raise OSError(f"{settings.port}: {reason}") from error


def _carry_parity(fd: int, settings: BusSettings) -> None:
    carries = bool(termios.tcgetattr(fd)[2] & termios.PARENB)
    if carries != (settings.format[1] != "N"):
        raise OSError(_not_taken(settings))


def _switch_direction(device: serial.Serial, settings: BusSettings) -> None:
    if not settings.rs485:
        return
    try:
        device.rs485_mode = serial.rs485.RS485Settings()
    except ValueError as error:
        raise OSError(
            f"{settings.port}: its driver cannot switch a transceiver (rs485 = true): leave that "
            "out if the adapter does so by itself, or name a port that can"
        ) from error


def _not_taken(settings: BusSettings) -> str:
    return (
        f"{settings.port}: it does not take format {settings.format}: use a serial port that "
        "carries parity; a pseudo terminal does not, there 8N2 stands in for it"
    )


def _wait_for_data(fd: int) -> None:
    # With VMIN 1 an empty read means that the other end hung up, and nothing else.
    attributes = termios.tcgetattr(fd)
    attributes[6][termios.VMIN] = 1
    termios.tcsetattr(fd, termios.TCSANOW, attributes)
