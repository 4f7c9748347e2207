"""What is said on a faulty RS-485 line, character by character, as a master's port gets it.

Written apart from the master: framing and CRC are the bench's. Nothing here waits or asks a clock:
every call is told the time, so that the same line stands in virtual time and on a real port.

The line does what a line can do and a master can see through. It makes no damage that leaves the
CRC good, and no meter answers later than its profile says: against those there is no remedy.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

from gateway.bench.wire import Timing, crc
from gateway.core.model import Value
from tests.campaign.meter import CodedMeter

ROUNDING: Final = 1e-6
"""Of a character; see there how the bench needs it."""
STRANGER: Final = 250
"""A unit address that the master never asks."""
BITS: Final = (1, 2)
READS: Final = (1, 2, 3, 4)
FUNCTION_EXCEPTION: Final = 0x80
COIL_ON: Final = 0xFF00


class Faults(Value):
    """How often what happens to a request and its answer, of 1."""

    turnaround_s: tuple[float, float] = (0.0, 0.020)
    """Between these the answers begin that are not slow; never before the silence is over."""
    slow: float = 0.10
    """The answer begins anywhere up to `late_s`, across the time-out."""
    late_s: float = 0.0
    """From the end of the request; what the profile promises: time-out and largest turnaround."""
    request_spoilt: float = 0.01
    answer_spoilt: float = 0.02
    doubled: float = 0.01
    truncated: float = 0.01
    noise: float = 0.10
    """A burst of one to three bytes, so that about one byte in a hundred is noise."""
    stranger: float = 0.01
    """Another unit speaks, with a good CRC."""
    beside: float = 0.01
    """The meter says something else than its answer, with a good CRC."""
    exception: float = 0.02
    echo_spoilt: float = 0.02


CLEAN: Final = Faults(
    slow=0, request_spoilt=0, answer_spoilt=0, doubled=0, truncated=0, noise=0, stranger=0,
    beside=0, exception=0, echo_spoilt=0,
)  # fmt: skip


@dataclass(slots=True, eq=False)
class Sound:
    """Characters that one speaker says back to back."""

    start_s: float
    end_s: float
    data: bytearray
    serial: int = 0
    """The request that it answers, while it is whole; 0: none."""
    audible: bool = True
    """Whether the master's port hears it."""
    heard: int = 0
    """Characters that the port has handed over."""


class Traffic:
    """The meters' end of a line, and everything on its way to the master."""

    def __init__(
        self,
        meters: Mapping[int, CodedMeter],
        faults: Faults,
        chance: Random,
        *,
        baud: int,
        step: int,
    ) -> None:
        """`step` characters at a time are handed over, and the rest when the speaker ends."""
        timing = Timing(baud=baud)
        self.character_s = timing.character_s
        self.silence_s = timing.silence_s
        self.faults = faults
        self.serial = 0
        """Requests so far: each is known by its number."""
        self.request = b""
        self.ends_s = 0.0
        """When the newest request's last character leaves."""
        self.echo = False
        self.told: bytes | None = None
        """The PDU with which a meter answers the newest request, whatever becomes of it."""
        self.come = 0
        """The newest request whose answer has been handed over whole."""
        self.short_silences = 0
        """Requests that began too soon after a character that the master had been handed."""
        self._meters = meters
        self._chance = chance
        self._step = step
        self._sounds: list[Sound] = []
        self._last_s = 0.0

    def begin(self, frame: bytes, now_s: float) -> None:
        """The master sends a request."""
        self.serial += 1
        self.request, self.told = frame, None
        if now_s - self._last_s < self.silence_s * (1 - ROUNDING):
            self.short_silences += 1
        echo = self._say(now_s, frame, audible=self.echo)
        self.ends_s = self._last_s = echo.end_s
        if self._happens(self.faults.noise):
            self._make_noise()
        if self._happens(self.faults.stranger):
            self._interrupt()
        arrived = bytes(echo.data)
        if self._happens(self.faults.echo_spoilt):
            self._spoil(echo, self._chance.randrange(len(frame)))
        if self._happens(self.faults.request_spoilt) or not _good(arrived):
            return
        self._answer(arrived)

    def take(self, now_s: float) -> bytes:
        """What the port hands over by now."""
        taken = b""
        for sound in self._sounds:
            gone = self._gone(sound, now_s)
            if gone == sound.heard:
                continue
            if sound.audible:
                taken += sound.data[sound.heard : gone]
                self._last_s = max(self._last_s, sound.start_s + gone * self.character_s)
            sound.heard = gone
            if gone == len(sound.data):
                self.come = max(self.come, sound.serial)
        if taken:
            self._sounds = [it for it in self._sounds if it.heard < len(it.data)]
        return taken

    def next_s(self) -> float:
        """When there is more to hand over."""
        return min(map(self._next_s, self._sounds), default=float("inf"))

    def _next_s(self, sound: Sound) -> float:
        if not sound.audible:
            return float("inf")
        upto = min(len(sound.data), sound.heard + self._step)
        return sound.start_s + upto * self.character_s

    def _gone(self, sound: Sound, now_s: float) -> int:
        gone = int((now_s - sound.start_s) / self.character_s + ROUNDING)
        if gone >= len(sound.data):
            return len(sound.data)
        return max(sound.heard, gone - gone % self._step)

    def _happens(self, odds: float) -> bool:
        return self._chance.random() < odds

    def _say(self, start_s: float, data: bytes, *, serial: int = 0, audible: bool = True) -> Sound:
        end_s = start_s + len(data) * self.character_s
        sound = Sound(start_s, end_s, bytearray(data), serial, audible)
        for other in self._sounds:
            if other.start_s < end_s and start_s < other.end_s:
                self._collide(sound, other)
                self._collide(other, sound)
        self._sounds.append(sound)
        return sound

    def _collide(self, one: Sound, other: Sound) -> None:
        for place in range(one.heard, len(one.data)):
            begins_s = one.start_s + place * self.character_s
            if other.start_s < begins_s + self.character_s and begins_s < other.end_s:
                self._spoil(one, place)

    def _spoil(self, sound: Sound, place: int) -> None:
        sound.serial = 0
        sound.data[place] ^= self._chance.randrange(1, 256)
        if len(sound.data) > 2 and _good(bytes(sound.data)):
            sound.data[place] ^= 0xFF

    def _answer(self, request: bytes) -> None:
        meter = self._meters.get(request[0])
        if meter is None or meter.dead:
            return
        meter.serial = self.serial
        if self._happens(self.faults.exception):
            code = self._chance.choice((1, 2, 3, 4, 6))
            self.told = bytes((request[1] | FUNCTION_EXCEPTION, code))
        else:
            self.told = meter.respond(request[1:-2], self.ends_s)
        assert self.told is not None, "a meter that is not dead says something"
        answer = self.told
        if self._happens(self.faults.beside):
            answer, self.told = self._miss_the_point(request), None
        self._deliver(framed(request[0], answer))

    def _deliver(self, frame: bytes) -> None:
        from_s, upto_s = self.faults.turnaround_s
        if self._happens(self.faults.slow):
            from_s, upto_s = self.silence_s, self.faults.late_s
        begun_s = self.ends_s + max(self.silence_s, self._chance.uniform(from_s, upto_s))
        if self._happens(self.faults.truncated):
            self._say(begun_s, frame[: self._chance.randrange(1, len(frame))])
            return
        serial = self.serial if self.told is not None else 0
        sound = self._say(begun_s, frame, serial=serial)
        if self._happens(self.faults.answer_spoilt):
            self._spoil(sound, self._chance.randrange(len(frame)))
        if self._happens(self.faults.doubled):
            gap_s = self._chance.uniform(0, 0.4) * self.character_s
            self._say(sound.end_s + gap_s, frame, serial=serial)

    def _make_noise(self) -> None:
        unit, function = self.request[:2]
        likely = (unit, function, *self._chance.randbytes(4))
        data = bytes(self._chance.choices(likely, k=self._chance.randint(1, 3)))
        soon_s = 2 * self.faults.turnaround_s[1]
        upto_s = self._chance.choice((self.silence_s, soon_s, self.faults.late_s))
        self._say(self.ends_s + self._chance.uniform(-self.silence_s, upto_s), data)

    def _interrupt(self) -> None:
        """Somebody speaks whom nobody asked; but for the unit it would be an answer."""
        function, _, count = struct.unpack_from(">BHH", self.request, 1)
        told = self.request[1:6]
        if function in READS:
            size = (count + 7) // 8 if function in BITS else 2 * count
            told = bytes((function, size)) + self._chance.randbytes(size)
        start_s = self.ends_s + self._chance.uniform(
            self.silence_s, 2 * self.faults.turnaround_s[1]
        )
        self._say(start_s, framed(STRANGER, told))

    def _miss_the_point(self, request: bytes) -> bytes:
        """What the meter says instead of its answer, with a good CRC."""
        function, address, count = struct.unpack_from(">BHH", request, 1)
        return self._chance.choice(
            (
                bytes((4 if function == 3 else 3, 2)) + self._chance.randbytes(2),
                bytes((function, 6)) + self._chance.randbytes(6),
                bytes((3, 254)) + self._chance.randbytes(254),
                struct.pack(">BHH", 16, address + 1, count),
                struct.pack(">BHH", 5, address + 1, COIL_ON),
                bytes((function ^ 1 | FUNCTION_EXCEPTION, 2)),
            )
        )


def framed(unit: int, pdu: bytes) -> bytes:
    """A PDU as it goes over the line."""
    body = bytes((unit,)) + pdu
    return body + crc(body)


def _good(frame: bytes) -> bool:
    return crc(frame[:-2]) == frame[-2:]
