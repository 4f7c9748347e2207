"""The simulated RS-485 line: who speaks when, and what the others hear of it.

Owns the time every character takes between the ports: half duplex, one character after the other at
the line's baud rate, frames parted by silence, garbage where two speak at once. Must never share
code with the bus room, so that both ends cannot agree on a mistake.
MODBUS over Serial Line V1.02, section 2.5.1.1 (RTU framing).

Wire time runs ahead of nobody: bytes that a master hands over at once still leave one after the
other, and gaps are measured between their places on the wire, so that a slow scheduler neither
splits a frame nor joins two.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Final

from gateway.bench.answering import Spoken
from gateway.bench.framing import crc
from gateway.bench.port import Port, Timing
from gateway.core.model import Value

FRAME_BYTES_MIN: Final = 4
STEP_S: Final = 0.001
"""Characters that complete within this time are handed over together."""
ROUNDING: Final = 1e-6
"""Of a character: keeps float arithmetic from holding back one that has just left."""
Answer = Callable[[int, bytes, float], Spoken | None]
"""What is said to a unit's PDU (no address, no CRC) at an instant of the boot clock."""


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
    untuned: int = 0
    """Transmissions of a port that is set to another speed or character than the line's."""
    handed: int = 0
    """Characters that the master was given to hear."""
    echoes: int = 0
    """Transmissions that the master heard itself make."""
    unplugged: int = 0
    """Times that the master's port went away."""


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

    Everybody hears everybody but himself, unless the line echoes. All times inside are the event
    loop's; `boot_s` gives the boot clock's for the slaves.
    """

    def __init__(
        self,
        *,
        timing: Timing,
        master: Port,
        taps: Sequence[Port],
        answer: Answer,
        boot_s: Callable[[], float],
    ) -> None:
        self._timing = timing
        self._master = master
        self._ports = (master, *taps)
        self._answer = answer
        self._boot_s = boot_s
        self.echo = False
        """The master hears what it says itself."""
        self._stopped = False
        self._loop: asyncio.AbstractEventLoop
        self._said: list[Transmission] = []
        self._frame = bytearray()
        self._frame_end: asyncio.TimerHandle | None = None
        self._quiet_since_s = 0.0
        self._free_s: dict[int, float] = {}
        """When each unit will have said what it has to say."""
        self._counts = dict.fromkeys(WireCounts.__struct_fields__, 0)

    def start(self) -> None:
        """Begin to listen, on the running event loop."""
        self._loop = asyncio.get_running_loop()
        for port in self._ports:
            if port.plugged:
                self._loop.add_reader(port.fd, self._read, port)

    def stop(self) -> None:
        """Listen and carry no more; the ports stay open."""
        self._stopped = True
        for port in self._ports:
            if port.plugged:
                self._loop.remove_reader(port.fd)

    def unplug(self) -> None:
        """The master's port goes away, with what has not left it yet."""
        self._loop.remove_reader(self._master.fd)
        self._master.unplug()
        self._counts["unplugged"] += 1
        now_s = self._loop.time()
        for it in self._said:
            if it.speaker is self._master:
                del it.data[max(it.heard, it.gone(now_s)) :]

    def plug(self) -> None:
        """The master's port comes back. Raises `OSError`."""
        self._master.plug()
        self._loop.add_reader(self._master.fd, self._read, self._master)

    def counts(self) -> WireCounts:
        """What has passed so far."""
        return WireCounts(**self._counts)

    def _read(self, port: Port) -> None:
        data = port.read()
        speaking = next((it for it in self._said if it.speaker is port), None)
        if speaking is not None and speaking.heard < len(speaking.data):
            speaking.data += data
        elif data:
            self._counts["echoes"] += self.echo and port is self._master
            self._speak(port, data, self._loop.time())

    def _speak(self, speaker: Port | None, data: bytes, start_s: float) -> None:
        if speaker is self._master:
            self._goes_on(start_s)
        for port in self._ports:
            port.ask_tuned()
        self._counts["untuned"] += speaker is not None and not speaker.tuned
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
        if transmission.speaker is self._master and len(self._ports) == 1 and not self.echo:
            return left
        return min(left, max(1, int(STEP_S / self._timing.character_s)))

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
        if transmission.speaker is not None:
            data = transmission.speaker.across(data)
        for port in self._ports:
            if port is not transmission.speaker or (self.echo and port is self._master):
                port.write(data)
                self._counts["handed"] += len(data) * (port is self._master and port.plugged)
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
        unit = frame[0]
        said = self._answer(unit, frame[1:-2], self._boot_s())
        if said is None:
            return
        # A slave cannot know before the silence that the request is over; it speaks once at a time.
        silence_s = self._timing.silence_s
        start_s = ended_s + max(said.after_s, silence_s)
        start_s = max(start_s, self._free_s.get(unit, -math.inf) + silence_s)
        self._free_s[unit] = start_s + len(said.data) * self._timing.character_s
        self._loop.call_at(start_s, self._speak, None, said.data, start_s)
