"""What the line says to a request: the slave's answer, and what befalls it on the way.

Owns the faults of single answers, drawn from a seed: the nth request to a unit meets the same fate
in every run. Must never know a register, nor when a byte leaves.
"""

from collections import Counter
from random import Random
from typing import Final

from gateway.bench.faults import (
    EXCEPTION_CODE,
    LATE_MS,
    LATE_SPAN,
    OF_ANSWERS,
    SLOW_MS,
    Faults,
    Injected,
)
from gateway.bench.framing import framed
from gateway.bench.slave import ExceptionCode
from gateway.bench.street import Street
from gateway.core.model import Value

NOISE_BYTES_MAX: Final = 8
UNITS: Final = 247


class Spoken(Value):
    """Bytes, and how long after the request's end they begin."""

    after_s: float
    data: bytes


class Mishap:
    """What befalls one answer. Its chances do not depend on which other faults are wanted."""

    def __init__(self, seed: str, faults: Faults) -> None:
        chance = Random(seed)
        draws = {name: chance.random() for name in OF_ANSWERS}
        self.kinds = {name for name, it in draws.items() if it < (getattr(faults, name) or 0.0)}
        self.faults = faults
        self._where = chance.random()
        self._when = chance.random()
        self._noise = chance.randbytes(chance.randint(1, NOISE_BYTES_MAX))
        self._noise_first = chance.random() < 0.5

    def exception(self) -> int | None:
        """The code that the meter answers instead of obeying."""
        if "mute" in self.kinds:
            return None
        if "busy" in self.kinds:
            return ExceptionCode.BUSY
        if "exception" in self.kinds:
            return self.faults.exception_code or EXCEPTION_CODE
        return None

    def after_s(self, turnaround_s: float) -> float:
        """From the end of the request to the answer."""
        if "late" in self.kinds:
            first, last = LATE_SPAN
            late_ms = LATE_MS if self.faults.late_ms is None else self.faults.late_ms
            return late_ms * (first + self._when * (last - first)) / 1000
        if "slow" in self.kinds:
            slow_ms = SLOW_MS if self.faults.slow_ms is None else self.faults.slow_ms
            return turnaround_s + slow_ms / 1000
        return turnaround_s

    def spoilt(self, unit: int, pdu: bytes) -> bytes:
        """The answer as it comes to be on the wire; empty where none does."""
        if "mute" in self.kinds:
            return b""
        if "address" in self.kinds:
            unit = 1 + (unit + int(self._where * (UNITS - 1))) % UNITS
        frame = framed(bytes((unit,)) + pdu)
        if "crc" in self.kinds:
            frame = _turned_over(frame, int(self._where * 8 * len(frame)))
        if "truncated" in self.kinds:
            frame = frame[: 1 + int(self._where * (len(frame) - 1))]
        return frame * 2 if "doubled" in self.kinds else frame

    def noisy(self, frame: bytes) -> bytes:
        """The answer, if any, with what comes from nobody."""
        if "noise" not in self.kinds:
            return frame
        return self._noise + frame if self._noise_first else frame + self._noise

    def shown(self) -> set[str]:
        """Those of the kinds that show: one may leave no place for another."""
        if "mute" in self.kinds:
            return self.kinds & {"mute", "noise"}
        hidden = {"exception"} if "busy" in self.kinds else set()
        hidden |= {"slow"} if "late" in self.kinds else set()
        return self.kinds - hidden


class Answering:
    """The far end of the line for one request after the other."""

    def __init__(self, street: Street, seed: int) -> None:
        self._street = street
        self._seed = seed
        self._asked: Counter[int] = Counter()
        self._injected: Counter[str] = Counter()

    def injected(self, *, echo: int, unplugged: int) -> Injected:
        """What has befallen the line so far; `wire` counts its own share."""
        resisted = self._street.resisted()
        return Injected(**self._injected, resisted=resisted, echo=echo, unplugged=unplugged)

    def answer(self, unit: int, pdu: bytes, now_s: float) -> Spoken | None:
        """What is said to a request with a good CRC at an instant of the boot clock."""
        self._street.pass_time(now_s)
        slave = self._street.slaves.get(unit)
        faults = self._street.line_faults if slave is None else slave.faults
        self._asked[unit] += 1
        mishap = Mishap(f"{self._seed}/{unit}/{self._asked[unit]}", faults)
        frame, after_s = b"", 0.0
        if slave is None or slave.dead:
            happened = mishap.kinds & {"noise"} | ({"dead"} if slave is not None else set())
        else:
            after_s = mishap.after_s(slave.turnaround_s)
            code = mishap.exception()
            answer = slave.respond(pdu, now_s) if code is None else bytes((pdu[0] | 0x80, code))
            frame = mishap.spoilt(unit, answer) if answer is not None else b""
            happened = mishap.shown()
        self._injected.update(happened)
        said = mishap.noisy(frame)
        return Spoken(after_s=after_s, data=said) if said else None


def _turned_over(frame: bytes, bit: int) -> bytes:
    spoilt = bytearray(frame)
    spoilt[bit // 8] ^= 1 << bit % 8
    return bytes(spoilt)
