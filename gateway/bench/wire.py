"""The simulated RS-485 line: who speaks when, and what the others hear of it.

Owns the pseudo terminals and the time every character takes between them: half duplex, one
character after the other at the line's baud rate, frames parted by silence, garbage where two speak
at once. Must never share code with the bus room, so that both ends cannot agree on a mistake.
MODBUS over Serial Line V1.02, sections 2.5.1.1 (RTU framing) and 6.2.2 (CRC).

Wire time runs ahead of nobody: bytes that a master hands over at once still leave one after the
other, and gaps are measured between their places on the wire, so that a slow scheduler neither
splits a frame nor joins two.
"""

import asyncio
import contextlib
import os
import pty
import tty
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, Self

from gateway.core.model import Value

FRAME_BYTES_MIN: Final = 4
STEP_S: Final = 0.001
"""Characters that complete within this time are handed over together."""
ROUNDING: Final = 1e-6
"""Of a character: keeps float arithmetic from holding back one that has just left."""


class Slave(Protocol):
    """One unit address on the line."""

    turnaround_s: float
    """From the end of the request to the first character of the answer."""

    def respond(self, request: bytes, now_s: float) -> bytes | None:
        """Answer one PDU (no address, no CRC) at an instant of the boot clock, or stay silent."""


class Timing(Value):
    """How long things take on the wire."""

    baud: int
    character_bits: int = 10
    """Start bit, 8 data bits, and parity or stop bits: 10 for 8N1, 11 for 8E1, 8O1 and 8N2."""

    @property
    def character_s(self) -> float:
        """Time of one character."""
        return self.character_bits / self.baud

    @property
    def silence_s(self) -> float:
        """The silence that ends a frame: 3.5 characters, above 19200 baud fixed at 1.75 ms."""
        return 0.00175 if self.baud > 19_200 else 3.5 * self.character_s

    @property
    def step_characters(self) -> int:
        """Characters that are handed over together, at least one."""
        return max(1, int(STEP_S / self.character_s))


class WireCounts(Value):
    """What has passed on the line since it was built."""

    requests: int = 0
    """Frames of the master with a good CRC."""
    bad_frames: int = 0
    """Frames of the master that no slave could read."""
    answers: int = 0
    collisions: int = 0
    """Transmissions of which at least one character met another speaker's."""
    short_silences: int = 0
    """Requests that began before the line had been silent for as long as a frame's end takes."""


class Port:
    """One raw pseudo terminal: the line's end, and the path that a program opens as its port."""

    def __init__(self, fd: int, far_fd: int) -> None:
        self.fd = fd
        # Held open, so that the line survives a program that closes its end.
        self._far_fd = far_fd
        self.path = os.ttyname(far_fd)

    @classmethod
    def open(cls) -> Self:
        """Make a new pseudo terminal."""
        fd, far_fd = pty.openpty()
        tty.setraw(far_fd)
        os.set_blocking(fd, False)
        return cls(fd, far_fd)

    def read(self) -> bytes:
        """What the program has sent; empty when there is nothing."""
        with contextlib.suppress(BlockingIOError):
            return os.read(self.fd, 4096)
        return b""

    def write(self, data: bytes) -> None:
        """Hand bytes to the program; what it leaves unread beyond the kernel's buffer is lost."""
        with contextlib.suppress(BlockingIOError):
            os.write(self.fd, data)

    def close(self) -> None:
        """Give the terminal back; its path ceases to be."""
        os.close(self.fd)
        os.close(self._far_fd)


class Transmission:
    """What one speaker says in one go: characters that leave back to back."""

    __slots__ = ("_timing", "collided", "data", "heard", "speaker", "start_s")

    def __init__(self, timing: Timing, speaker: Port | None, data: bytes, start_s: float) -> None:
        self._timing = timing
        self.speaker = speaker
        self.data = bytearray(data)
        self.start_s = start_s
        self.heard = 0
        """Characters that the others have got."""
        self.collided = False

    @property
    def end_s(self) -> float:
        """When the last character has left."""
        return self.leaves_s(len(self.data))

    def leaves_s(self, count: int) -> float:
        """When the first `count` characters have left."""
        return self.start_s + count * self._timing.character_s

    def gone(self, now_s: float) -> int:
        """Characters that have left by now."""
        elapsed = (now_s - self.start_s) / self._timing.character_s + ROUNDING
        return min(len(self.data), int(elapsed))


class Wire:
    """The line between one master's port, the simulated slaves and the taps of foreign slaves.

    Everybody hears everybody but himself. All times inside are the event loop's; `boot_s` gives
    the boot clock's for the slaves.
    """

    def __init__(
        self,
        *,
        timing: Timing,
        master: Port,
        taps: Sequence[Port],
        slaves: Mapping[int, Slave],
        boot_s: Callable[[], float],
    ) -> None:
        self._timing = timing
        self._master = master
        self._ports = (master, *taps)
        self._slaves = slaves
        self._boot_s = boot_s
        self._stopped = False
        self._loop: asyncio.AbstractEventLoop
        self._said: list[Transmission] = []
        self._frame = bytearray()
        self._frame_end: asyncio.TimerHandle | None = None
        self._quiet_since_s = 0.0
        self._counts = dict.fromkeys(WireCounts.__struct_fields__, 0)

    def start(self) -> None:
        """Begin to listen, on the running event loop."""
        self._loop = asyncio.get_running_loop()
        for port in self._ports:
            self._loop.add_reader(port.fd, self._read, port)

    def stop(self) -> None:
        """Listen and carry no more; the ports stay open."""
        self._stopped = True
        for port in self._ports:
            self._loop.remove_reader(port.fd)

    def counts(self) -> WireCounts:
        """What has passed so far."""
        return WireCounts(**self._counts)

    def _read(self, port: Port) -> None:
        data = port.read()
        speaking = next((it for it in self._said if it.speaker is port), None)
        if speaking is not None and speaking.heard < len(speaking.data):
            speaking.data += data
        elif data:
            self._speak(port, data, self._loop.time())

    def _speak(self, speaker: Port | None, data: bytes, start_s: float) -> None:
        if speaker is self._master:
            self._goes_on(start_s)
        transmission = Transmission(self._timing, speaker, data, start_s)
        # The newest first: a speaker's earlier words stay only as long as they may collide.
        self._said.insert(0, transmission)
        self._carry(transmission)

    def _goes_on(self, start_s: float) -> None:
        """The master speaks (again): its frame is not over, or a new one begins."""
        if self._frame_end is not None:
            self._frame_end.cancel()
            self._frame_end = None
        elif not self._said and start_s - self._quiet_since_s < self._timing.silence_s:
            self._counts["short_silences"] += 1

    def _carry(self, transmission: Transmission) -> None:
        """Let the others hear what has left by now, and come back for the rest."""
        if self._stopped:  # what was still to come found the line gone
            return
        gone = transmission.gone(self._loop.time())
        if gone > transmission.heard:
            self._hear(transmission, self._on_the_wire(transmission, gone))
            transmission.heard = gone
        left = len(transmission.data) - gone
        if left:
            next_s = transmission.leaves_s(gone + self._step(transmission, left))
            self._loop.call_at(next_s, self._carry, transmission)
        else:
            self._finish(transmission)

    def _step(self, transmission: Transmission, left: int) -> int:
        """How many characters to wait for."""
        # Our own slaves get whole frames: without a tap nobody hears the master's single letters.
        if transmission.speaker is self._master and len(self._ports) == 1:
            return left
        return min(left, self._timing.step_characters)

    def _on_the_wire(self, transmission: Transmission, gone: int) -> bytes:
        """The characters up to `gone` that nobody has heard yet, spoilt where others spoke."""
        new = transmission.data[transmission.heard : gone]
        for other in self._said:
            if other is transmission:
                continue
            for place in range(transmission.heard, gone):
                begins_s = transmission.leaves_s(place)
                ends_s = transmission.leaves_s(place + 1)
                if other.start_s < ends_s and other.end_s > begins_s:
                    new[place - transmission.heard] ^= 0xFF
                    transmission.collided = True
        return bytes(new)

    def _hear(self, transmission: Transmission, data: bytes) -> None:
        for port in self._ports:
            if port is not transmission.speaker:
                port.write(data)
        if transmission.speaker is self._master:
            self._frame += data

    def _finish(self, transmission: Transmission) -> None:
        self._quiet_since_s = max(self._quiet_since_s, transmission.end_s)
        self._counts["collisions"] += transmission.collided
        if all(it.heard == len(it.data) for it in self._said):
            self._said.clear()
        if transmission.speaker is not self._master:
            self._counts["answers"] += 1
            return
        silent_s = transmission.end_s + self._timing.silence_s
        self._frame_end = self._loop.call_at(silent_s, self._deliver, transmission.end_s)

    def _deliver(self, ended_s: float) -> None:
        """The master's frame is over: whom it concerns gets it and may answer."""
        frame = bytes(self._frame)
        self._frame.clear()
        self._frame_end = None
        if len(frame) < FRAME_BYTES_MIN or crc(frame[:-2]) != frame[-2:]:
            self._counts["bad_frames"] += 1
            return
        self._counts["requests"] += 1
        slave = self._slaves.get(frame[0])
        if slave is None:
            return
        answer = slave.respond(frame[1:-2], self._boot_s())
        if answer is None:
            return
        body = frame[:1] + answer
        # A slave cannot know before the silence that the request is over.
        start_s = ended_s + max(slave.turnaround_s, self._timing.silence_s)
        self._loop.call_at(start_s, self._speak, None, body + crc(body), start_s)


def crc(data: bytes) -> bytes:
    """The CRC of an RTU frame as it follows the data: polynomial 0xA001, low byte first."""
    register = 0xFFFF
    for byte in data:
        register = register >> 8 ^ _CRC_OF_BYTE[(register ^ byte) & 0xFF]
    return register.to_bytes(2, "little")


def _crc_of_byte(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0xA001 if byte & 1 else 0)
    return byte


_CRC_OF_BYTE = tuple(map(_crc_of_byte, range(256)))
