"""A paced RS-485 line with an observer, in a process of its own.

    python -m tests.bench.bus.paced '{"baud": 9600, "units": 64, "turnaround_s": 0.02}'

Shares no code with the gateway's bus room nor with the simulated line of `gateway.bench`: own CRC,
own pacing, own framing. Every character leaves at its own time, garbage where two speak at once,
and it is kept when each request began, relative to the end of the last speech. Says the ports as
JSON, and everything heard once standard input is closed.
"""

import asyncio
import ctypes
import os
import pty
import selectors
import sys
import tty
from typing import Final

import msgspec

from tests.bench.bus.heard import Heard, Log, Ready, Wiring, register

PR_SET_TIMERSLACK: Final = 29
READ_HOLDING, WRITE_REGISTERS = 3, 16
RELAY, VOLTAGE, CURRENT = 0x001A, 0x000C, 0x000D
"""Of a DDS238-2 ZN/SR."""
SPEECHES_KEPT: Final = 8


class Speech:
    """Characters that one speaker says back to back."""

    __slots__ = ("begin_s", "character_s", "data")

    def __init__(self, begin_s: float, data: bytes, character_s: float) -> None:
        self.begin_s = begin_s
        self.data = bytearray(data)
        self.character_s = character_s

    @property
    def end_s(self) -> float:
        """When its last character has left."""
        return self.leaves_s(len(self.data))

    def leaves_s(self, count: int) -> float:
        """When its first characters have left."""
        return self.begin_s + count * self.character_s


class Request(Speech):
    """A speech of the master."""

    __slots__ = ("answer", "gap_s", "handed_s")

    def __init__(
        self, begin_s: float, data: bytes, character_s: float, gap_s: float | None
    ) -> None:
        super().__init__(begin_s, data, character_s)
        self.gap_s = gap_s
        self.answer: Speech | None = None
        self.handed_s: float | None = None

    def heard(self) -> Heard:
        """As the observer keeps it."""
        head = bytes(self.data[:4]).ljust(4, b"\0")
        return Heard(
            unit=head[0],
            function=head[1],
            address=int.from_bytes(head[2:4], "big"),
            begin_s=self.begin_s,
            end_s=self.end_s,
            gap_s=self.gap_s,
            answer_begin_s=None if self.answer is None else self.answer.begin_s,
            answer_end_s=None if self.answer is None else self.answer.end_s,
            handed_s=self.handed_s,
        )


class Line:
    """One pseudo terminal with meters behind it."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._fd, self._far_fd = pty.openpty()
        tty.setraw(self._far_fd)
        os.set_blocking(self._fd, False)
        self.port = os.ttyname(self._far_fd)
        self.requests: list[Request] = []
        self._relays = dict.fromkeys(range(1, wiring.units + 1), 0)
        self._speeches: list[Speech] = []
        self._open: Request | None = None
        self._over: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._readable)

    def _readable(self) -> None:
        data = os.read(self._fd, 4096)
        now_s = self._loop.time()
        if self._open is None:
            ends = [one.end_s for one in self._speeches]
            gap_s = now_s - max(ends) if ends else None
            self._open = Request(now_s, data, self._wiring.character_s, gap_s)
            self.requests.append(self._open)
            self._begun(self._open)
        else:
            self._open.data += data
        if self._over is not None:
            self._over.cancel()
        over_s = self._open.end_s + self._wiring.silence_s
        self._over = self._loop.call_at(over_s, self._request_over, self._open)

    def _begun(self, speech: Speech) -> None:
        self._speeches.append(speech)
        del self._speeches[:-SPEECHES_KEPT]

    def _request_over(self, request: Request) -> None:
        self._open = self._over = None
        frame = bytes(request.data)
        if self._spoilt(request, 0, len(frame)) or len(frame) < 4 or crc(frame[:-2]) != frame[-2:]:
            return
        unit = frame[0]
        if unit not in self._relays or unit in self._wiring.dead:
            return
        body = self._answer(unit, frame)
        turnaround_s = max(self._wiring.turnaround_s, self._wiring.silence_s)
        begin_s = request.end_s + turnaround_s
        if unit in self._wiring.after_s:
            begin_s = request.begin_s + self._wiring.after_s[unit]
        answer = Speech(begin_s, body + crc(body), self._wiring.character_s)
        self._loop.call_at(begin_s, self._answer_begins, request, answer)

    def _answer_begins(self, request: Request, answer: Speech) -> None:
        self._begun(answer)
        request.answer = answer
        self._say(request, answer, 0)

    def _say(self, request: Request, answer: Speech, said: int) -> None:
        """Hand over what has left by now, and come back for the next character."""
        now_s = self._loop.time()
        gone = min(len(answer.data), int((now_s - answer.begin_s) / answer.character_s + 1e-6))
        new = bytearray(answer.data[said:gone])
        for place in range(said, gone):
            if self._spoilt(answer, place, place + 1):
                new[place - said] ^= 0xFF
        if new:
            os.write(self._fd, new)
        if gone == len(answer.data):
            request.handed_s = now_s
        else:
            self._loop.call_at(answer.leaves_s(gone + 1), self._say, request, answer, gone)

    def _spoilt(self, speech: Speech, first: int, last: int) -> bool:
        """Whether somebody else spoke during these characters."""
        begin_s, end_s = speech.leaves_s(first), speech.leaves_s(last)
        others = (one for one in self._speeches if one is not speech)
        return any(one.begin_s < end_s and one.end_s > begin_s for one in others)

    def _answer(self, unit: int, frame: bytes) -> bytes:
        address, count = int.from_bytes(frame[2:4], "big"), int.from_bytes(frame[4:6], "big")
        if frame[1] == WRITE_REGISTERS and address == RELAY and count == 1:
            self._relays[unit] = int.from_bytes(frame[7:9], "big")
            return frame[:6]
        if frame[1] != READ_HOLDING:
            return bytes((unit, frame[1] | 0x80, 1))
        values = (self._register(unit, at) for at in range(address, address + count))
        data = b"".join(value.to_bytes(2, "big") for value in values)
        return bytes((unit, READ_HOLDING, len(data))) + data

    def _register(self, unit: int, address: int) -> int:
        if not self._wiring.relays:
            return register(unit, address)
        relay = self._relays[unit]
        return {RELAY: relay, VOLTAGE: 2300, CURRENT: 130 * relay}.get(address, 0)


def crc(data: bytes) -> bytes:
    """CRC-16/MODBUS, bit by bit, low byte first."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value.to_bytes(2, "little")


async def serve(wiring: Wiring) -> None:
    """Serve the lines until standard input is closed."""
    closed = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, closed.set)
    lines = [Line(wiring) for _ in range(wiring.lines)]
    say(Ready(tuple(line.port for line in lines)))
    await closed.wait()
    say(Log(tuple(tuple(one.heard() for one in line.requests) for line in lines)))


def say(what: Ready | Log) -> None:
    """One line of JSON on standard output."""
    sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
    sys.stdout.buffer.flush()


def exact_loop() -> asyncio.AbstractEventLoop:
    """An event loop that wakes within tens of microseconds of the time asked for."""
    # select() takes microseconds where epoll takes milliseconds; the kernel would add 50 us slack.
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1)
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=exact_loop) as runner:
        runner.run(serve(msgspec.json.decode(sys.argv[1], type=Wiring)))
