"""The other end of a line for tests: small slaves on a pseudo terminal, with a CRC of their own.

Shares nothing with the project's Modbus, so that both ends cannot agree on a mistake.
"""

import asyncio
import os
import pty
import struct
import tty
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

Speech = Iterable[tuple[float, bytes]]
"""What is said: bytes, each after so many seconds."""
Behaviour = Callable[[bytes], Speech]
"""What a request makes the other end say."""


def crc(data: bytes) -> bytes:
    """CRC-16/MODBUS, bit by bit, low byte first."""
    register = 0xFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0xA001 if register & 1 else 0)
    return struct.pack("<H", register)


def framed(*parts: int | bytes) -> bytes:
    """A frame of these bytes with its CRC."""
    body = b"".join(bytes((part,)) if isinstance(part, int) else part for part in parts)
    return body + crc(body)


def words(*values: int) -> bytes:
    """Registers as they travel."""
    return struct.pack(f">{len(values)}H", *values)


class OtherEnd:
    """A pseudo terminal whose far end the gateway opens as its port."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.requests: list[bytes] = []
        self.echo = False
        self.fd, self._far_fd = pty.openpty()
        tty.setraw(self._far_fd)
        os.set_blocking(self.fd, False)
        self.path = os.ttyname(self._far_fd)
        self._buffer = b""
        self._came = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.fd, self._readable)

    def say(self, data: bytes) -> None:
        """Put bytes on the line."""
        os.write(self.fd, data)

    async def requested(self, wanted: Callable[[bytes], bool]) -> bytes:
        """Wait for a request, from the first one on."""
        while True:
            self._came.clear()
            for request in self.requests:
                if wanted(request):
                    return request
            await self._came.wait()

    def close(self) -> None:
        """Unplug."""
        self._loop.remove_reader(self.fd)
        os.close(self.fd)
        os.close(self._far_fd)

    def _readable(self) -> None:
        self._buffer += os.read(self.fd, 4096)
        while (size := _request_size(self._buffer)) and len(self._buffer) >= size:
            request, self._buffer = self._buffer[:size], self._buffer[size:]
            assert crc(request[:-2]) == request[-2:]
            self.requests.append(request)
            if self.echo:
                self.say(request)
            for delay_s, data in self.behaviour(request):
                if delay_s:
                    self._loop.call_later(delay_s, self._say_if_open, data)
                else:
                    self.say(data)
            self._came.set()

    def _say_if_open(self, data: bytes) -> None:
        try:
            self.say(data)
        except OSError:
            return


class Bridge:
    """Two pseudo terminals joined, for a slave that wants a port of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._fds: list[int] = []
        one, self.path = self._terminal()
        other, self.far_path = self._terminal()
        self._loop.add_reader(one, lambda: os.write(other, os.read(one, 4096)))
        self._loop.add_reader(other, lambda: os.write(one, os.read(other, 4096)))

    def close(self) -> None:
        """Unplug both."""
        for fd in self._fds:
            self._loop.remove_reader(fd)
            os.close(fd)

    def _terminal(self) -> tuple[int, str]:
        fd, far_fd = pty.openpty()
        tty.setraw(far_fd)
        self._fds += [fd, far_fd]
        return fd, os.ttyname(far_fd)


def _request_size(buffer: bytes) -> int:
    if len(buffer) < 8:
        return 0
    return 9 + buffer[6] if buffer[1] in {15, 16} else 8


@dataclass(slots=True)
class Slave:
    """One unit that holds registers and bits by function code, and obeys writes."""

    tables: dict[int, dict[int, int]] = field(default_factory=dict)
    obey: Callable[[int, int, tuple[int, ...]], None] | None = None
    """Called with function, address and values of a write; by default nothing happens."""
    delay_s: float = 0.0
    dead: bool = False
    writes: list[tuple[int, int, tuple[int, ...]]] = field(default_factory=list)
    unanswered_writes: int = 0
    """So many of the next writes are obeyed in silence."""

    def respond(self, request: bytes) -> bytes | None:
        """The answer's frame."""
        if self.dead:
            return None
        unit, function, address, count = struct.unpack_from(">BBHH", request)
        if function in {1, 2, 3, 4}:
            table = self.tables.get(function, {})
            asked = range(address, address + count)
            if not all(at in table for at in asked):
                return framed(unit, function | 0x80, 2)
            values = [table[at] for at in asked]
            if function in {3, 4}:
                return framed(unit, function, 2 * count, words(*values))
            packed = sum(bit << place for place, bit in enumerate(values))
            data = packed.to_bytes((count + 7) // 8, "little")
            return framed(unit, function, len(data), data)
        written = struct.unpack_from(f">{count}H", request, 7) if function == 16 else (count,)
        self.writes.append((function, address, tuple(written)))
        if self.obey is not None:
            self.obey(function, address, tuple(written))
        if self.unanswered_writes:
            self.unanswered_writes -= 1
            return None
        return framed(request[:6])


def slaves(units: dict[int, Slave]) -> Behaviour:
    """The behaviour of a line with these units."""

    def behave(request: bytes) -> Speech:
        slave = units.get(request[0])
        answer = None if slave is None else slave.respond(request)
        return () if slave is None or answer is None else ((slave.delay_s, answer),)

    return behave


def refusing_writes(units: dict[int, Slave]) -> Behaviour:
    """The behaviour of a line with these units, each of which takes no write of registers."""
    obeying = slaves(units)

    def behave(request: bytes) -> Speech:
        if request[1] == 16:
            return [(0, framed(request[0], 0x90, 4))]
        return obeying(request)

    return behave
