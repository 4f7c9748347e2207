"""One serial port on the event loop: opened exclusively, read without a thread.

Owns the file descriptor and the bytes that came and were not taken yet. Must never know a frame,
nor open again by itself (`line` does).
"""

import asyncio
import contextlib
import errno
import os
import termios
from collections.abc import Callable
from typing import Annotated, Final, Literal, Self

import msgspec
import serial

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

    @property
    def character_bits(self) -> int:
        """Start bit, 8 data bits, parity and stop bits."""
        return 10 if self.format == "8N1" else 11


class SerialPort:
    """An open port. `lost` is called once, in the event loop, when the other end is gone."""

    def __init__(self, device: serial.Serial, lost: Callable[[], None]) -> None:
        self._device = device
        self._fd = device.fileno()
        self._lost = lost
        self._heard = bytearray()
        self._error: OSError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()

    @classmethod
    def open(cls, settings: BusSettings, lost: Callable[[], None]) -> Self:
        """Open the port for this process alone. Raises `OSError` with the place and the mend."""
        device = _opened(settings)
        try:
            _carry_parity(device.fileno(), settings)
            _wait_for_data(device.fileno())
        except termios.error as error:  # the port went away meanwhile; it is no OSError by itself
            device.close()
            raise OSError(*error.args) from error
        except BaseException:
            device.close()
            raise
        # Where the adapter's driver can, it hands over at once instead of every 16 ms.
        with contextlib.suppress(ValueError, NotImplementedError, OSError):
            device.set_low_latency_mode(True)
        port = cls(device, lost)
        port._loop.add_reader(port._fd, port._readable)
        return port

    def close(self) -> None:
        """Give the port back."""
        self._loop.remove_reader(self._fd)
        self._device.close()

    def send(self, data: bytes) -> None:
        """Put bytes on the line. Raises `OSError`."""
        self._check()
        if os.write(self._fd, data) != len(data):
            raise OSError("the port takes no more bytes")

    async def receive(self, until_s: float) -> bytes:
        """What has come, or comes until then (loop time); empty after that. Raises `OSError`."""
        if not self._heard and self._error is None:
            await self._wait(until_s)
        if not self._heard:
            self._check()
        chunk = bytes(self._heard)
        self._heard.clear()
        return chunk

    def discard(self) -> int:
        """Throw away what has come; how many bytes that was. Raises `OSError`."""
        self._read()
        self._check()
        discarded = len(self._heard)
        self._heard.clear()
        return discarded

    async def _wait(self, until_s: float) -> None:
        waiter = self._loop.create_future()
        timer = self._loop.call_at(until_s, _wake, waiter)
        self._waiter = waiter
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _readable(self) -> None:
        self._read()
        if self._waiter is not None:
            _wake(self._waiter)

    def _read(self) -> None:
        while self._error is None:
            try:
                chunk = os.read(self._fd, READ_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                self._fail(error)
                return
            if not chunk:
                self._fail(OSError("the port hung up"))
                return
            self._heard += chunk
            del self._heard[:-HEARD_MAX_BYTES]

    def _fail(self, error: OSError) -> None:
        self._error = error
        self._loop.remove_reader(self._fd)
        self._lost()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


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


def _not_taken(settings: BusSettings) -> str:
    return (
        f"{settings.port}: it does not take format {settings.format}: use 8N1, or a serial port "
        "that carries parity (a pseudo terminal does not)"
    )


def _wait_for_data(fd: int) -> None:
    # With VMIN 1 an empty read means that the other end hung up, and nothing else.
    attributes = termios.tcgetattr(fd)
    attributes[6][termios.VMIN] = 1
    termios.tcsetattr(fd, termios.TCSANOW, attributes)
