"""The wire's own witness: every request on the line and its answer, heard on a port of its own.

Shares no code with the bus room nor with the line. A line without faults answers every request to a
unit that is there exactly once, so what follows a request is its answer.
MODBUS over Serial Line V1.02, section 2.5.1; MODBUS Application Protocol V1.1b3, section 6.
"""

import asyncio
import os
import select
import struct
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

READS = frozenset({1, 2, 3, 4})
SINGLE_WRITES = frozenset({5, 6})
WRITES = frozenset({5, 6, 15, 16})
EXCEPTION_BYTES = 5
REQUEST_BYTES = 8
LOOK_EVERY_S = 0.1


@dataclass
class Frame:
    """One request, and what was answered; instants in milliseconds of the boot clock.

    `values` of a write: registers, or coils as 0 and 1.
    """

    heard_ms: int
    unit: int
    function: int
    address: int
    count: int
    values: tuple[int, ...] = ()
    answer: bytes | None = None
    """The answer's PDU; None: none."""

    @property
    def writes(self) -> bool:
        """Whether it asks for a change."""
        return self.function in WRITES

    @property
    def good(self) -> bool:
        """Whether it was answered, and not by an exception."""
        return self.answer is not None and not self.answer[0] & 0x80

    def covers(self, address: int) -> bool:
        """Whether this register or coil is among those it is about."""
        return self.address <= address < self.address + self.count


Hears = Callable[[Frame], None]


class Tap:
    """Listens on a port of the line, in a thread of its own: nothing else makes it late."""

    def __init__(self, descriptor: int) -> None:
        self.frames: list[Frame] = []
        self.strays = 0
        """Bytes that belonged to no frame."""
        self.on_request: Hears | None = None
        """Called in the event loop, as `on_answer` is."""
        self.on_answer: Hears | None = None
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._bytes = bytearray()
        self._open: Frame | None = None
        self._stops = False

    @classmethod
    @contextmanager
    def on(cls, path: str) -> Iterator[Self]:
        """Listen until the block is left."""
        descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(descriptor)
        tap = cls(descriptor)
        thread = threading.Thread(target=tap._listen, name="tap", daemon=True)
        thread.start()
        try:
            yield tap
        finally:
            tap._stops = True
            thread.join()
            os.close(descriptor)

    def _listen(self) -> None:
        while not self._stops:
            ready, _, _ = select.select([self._descriptor], [], [], LOOK_EVERY_S)
            if ready:
                self.hear(os.read(self._descriptor, 4096), clock_ms())

    def _tell(self, hears: Hears | None, frame: Frame) -> None:
        if hears is not None:
            self._loop.call_soon_threadsafe(hears, frame)

    def hear(self, data: bytes, now_ms: int) -> None:
        """Take what was said, as far as it makes frames."""
        self._bytes += data
        while self._bytes:
            if self._answered():
                continue
            taken = self._request(now_ms)
            if taken is None:
                return  # there may be more of it to come
            if taken == 0:
                del self._bytes[0]
                self.strays += 1

    def _answered(self) -> bool:
        request = self._open
        if request is None or self._bytes[0] != request.unit or len(self._bytes) < 2:
            return False
        size = EXCEPTION_BYTES if self._bytes[1] & 0x80 else REQUEST_BYTES
        if request.function in READS and not self._bytes[1] & 0x80:
            bits = request.function in {1, 2}
            size = 5 + ((request.count + 7) // 8 if bits else 2 * request.count)
        said = bytes(self._bytes[:size])
        if len(said) < size or said[1] & 0x7F != request.function or not sound(said):
            return False
        del self._bytes[:size]
        request.answer, self._open = said[1:-2], None
        self._tell(self.on_answer, request)
        return True

    def _request(self, now_ms: int) -> int | None:
        """The length of the request at the front; 0: there is none; None: it has not ended."""
        if len(self._bytes) < REQUEST_BYTES:
            return None
        unit, function, address, count = struct.unpack_from(">BBHH", self._bytes)
        if function not in READS | WRITES:
            return 0
        several = function in WRITES - SINGLE_WRITES
        size = 9 + self._bytes[6] if several else REQUEST_BYTES
        if len(self._bytes) < size:
            return None
        said = bytes(self._bytes[:size])
        if not sound(said):
            # An answer whose end is still to come looks like a request that is none.
            return None if self._open is not None and len(said) < 256 and unit else 0
        del self._bytes[:size]
        values: tuple[int, ...] = ()
        if function == 16:
            values = struct.unpack_from(f">{count}H", said, 7)
        elif function == 15:
            values = tuple(said[7 + at // 8] >> at % 8 & 1 for at in range(count))
        elif function in SINGLE_WRITES:
            values, count = (int(count == 0xFF00) if function == 5 else count,), 1
        self._open = Frame(now_ms, unit, function, address, count, values)
        self.frames.append(self._open)
        self._tell(self.on_request, self._open)
        return size


def clock_ms() -> int:
    """Milliseconds of the boot clock, which is that of the records."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * 1000)


def sound(frame: bytes) -> bool:
    """Whether its last two bytes are its CRC-16 (V1.02, section 6.2.2)."""
    crc = 0xFFFF
    for byte in frame[:-2]:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc == int.from_bytes(frame[-2:], "little")
