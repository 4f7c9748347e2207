"""The two ways from the traffic to a master: in virtual time, and through a real serial port."""

import asyncio
import contextlib
import math
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from gateway.bench.port import Port, Timing
from gateway.bus.port import BusSettings, SerialPort
from gateway.bus.rtu import Stream
from tests.campaign.traffic import Traffic
from tests.campaign.virtual_time import until

BAUD = 9_600
Attach = Callable[[Traffic], AbstractAsyncContextManager[Stream]]
"""Gives a master a port at which it hears this traffic."""


class VirtualPort:
    """A port without a system under it: what is handed over is there at once."""

    def __init__(self, traffic: Traffic) -> None:
        self.heard_s = -math.inf
        self._traffic = traffic
        self._loop = asyncio.get_running_loop()

    def send(self, data: bytes) -> None:
        """Put bytes on the line."""
        self._traffic.begin(data, self._loop.time())

    async def receive(self, until_s: float, _expected: int = 1) -> bytes:
        """What has come, or comes until then (loop time); empty after that."""
        while True:
            data = self._take()
            if data or self._loop.time() >= until_s:
                return data
            await until(min(until_s, self._traffic.next_s()))

    def discard(self) -> int:
        """Throw away what has come; how many bytes that was."""
        return len(self._take())

    def _take(self) -> bytes:
        data = self._traffic.take(self._loop.time())
        if data:
            self.heard_s = self._loop.time()
        return data


class TerminalPort:
    """The daemon's own serial port on a pseudo terminal, with the traffic at its far end."""

    def __init__(self, traffic: Traffic, end: Port, port: SerialPort) -> None:
        self._traffic = traffic
        self._end = end
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._sent = bytearray()
        self._arrived = bytearray()
        self._loop.add_reader(end.fd, self._arrive)

    @property
    def heard_s(self) -> float:
        """When the newest byte was there, at the latest."""
        return self._port.heard_s

    def send(self, data: bytes) -> None:
        """Put bytes on the line. The traffic goes by when they left, not by the system's delay."""
        self._port.send(data)
        self._sent += data
        self._traffic.begin(data, self._loop.time())
        self._say()

    async def receive(self, until_s: float, expected: int = 1) -> bytes:
        """What has come, or comes until then (loop time); empty after that."""
        return await self._port.receive(until_s, expected)

    def discard(self) -> int:
        """Throw away what has come; how many bytes that was."""
        return self._port.discard()

    def close(self) -> None:
        """Carry no more."""
        self._loop.remove_reader(self._end.fd)
        if self._timer is not None:
            self._timer.cancel()
        assert self._sent.startswith(self._arrived), "what was sent is what arrived"

    def _arrive(self) -> None:
        self._arrived += self._end.read()

    def _say(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        data = self._traffic.take(self._loop.time())
        if data:
            os.write(self._end.fd, data)
        next_s = self._traffic.next_s()
        if next_s < float("inf"):
            self._timer = self._loop.call_at(next_s, self._say)


@contextlib.asynccontextmanager
async def in_the_same_loop(traffic: Traffic) -> AsyncIterator[Stream]:
    """A port of the virtual loop."""
    yield VirtualPort(traffic)


@contextlib.asynccontextmanager
async def over_a_terminal(traffic: Traffic) -> AsyncIterator[Stream]:
    """A serial port in real time."""
    end = Port(Timing(baud=BAUD)).plug()
    serial = SerialPort.open(BusSettings(name="A", port=end.path, baud=BAUD), lambda: None)
    port = TerminalPort(traffic, end, serial)
    try:
        yield port
    finally:
        port.close()
        serial.close()
        end.unplug()
