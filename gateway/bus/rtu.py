"""The RTU master: one request, one answer, and the silences between.

Owns the discipline of the line: strict silence before a request, the input flushed before it,
nothing sent while a late answer may still come (rule B3), the echo of the line told from an answer
(B5), no retry of its own (B8). Must never decide what to send, nor take anything for an answer that
`frame` does not.

MODBUS over Serial Line V1.02, section 2.5.1.1: 3.5 characters of silence, 1.75 ms above 19200 baud.
Time for waiting is the event loop's, so that a loop in virtual time runs this file unchanged.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, Protocol

import msgspec

from gateway.bus.frame import (
    REPEATING,
    Answer,
    Exceptional,
    Function,
    Read,
    Request,
    answer_bytes,
    answer_in,
    encode,
    frames_in,
    missing_bytes,
)
from gateway.core.model import Value
from gateway.ports import Clock

ADAPTER_S: Final = 0.020
"""USB adapters hand over what they received every 16 ms by default."""
BABBLE_MAX_S: Final = 1.0
"""A line on which somebody talks without end is given up after this."""
HEARD_MAX_BYTES: Final = 1024
PROBES_MAX: Final = 3
"""So often an echo is probed for, where noise spoils what comes back."""
SHORT_SILENCE_S: Final = 0.00175
MayGo = Callable[[], bool]
"""Asked when the line is free, directly before the first byte goes out."""

Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=10_000)]


class Timing(Value, forbid_unknown_fields=True):
    """How fast a meter answers."""

    timeout_ms: Annotated[int, msgspec.Meta(ge=20, le=5_000)]
    """How long its first character is waited for, from the end of the request."""
    turnaround_max_ms: Milliseconds
    """How late it may still answer after that time-out: nothing is sent for so long."""
    gap_ms: Milliseconds = 0
    """Silence that it needs before a request, where that is more than 3.5 characters."""


class Failure(StrEnum):
    """What came instead of an answer."""

    NO_ANSWER = "NO_ANSWER"
    GARBLED = "GARBLED"
    """Bytes without a good CRC."""
    MISMATCHED = "MISMATCHED"
    """A good frame that is not the answer to this request."""
    EXCEPTION = "EXCEPTION"
    BUS_DOWN = "BUS_DOWN"
    WITHHELD = "WITHHELD"
    """It was not to be sent any more when its turn came."""


class Reply(Value):
    """An answer. Registers, or bits as 0 and 1; empty for a write. Times on the boot clock."""

    values: tuple[int, ...]
    sent_ms: int
    heard_ms: int


class Fault(Value):
    """No answer. `sent_ms` is None where nothing went out: then nothing can have had an effect."""

    failure: Failure
    sent_ms: int | None = None
    code: int = 0
    """Of the Modbus exception."""
    detail: str = ""


@dataclass(slots=True)
class Counters:
    """What happened on one bus since the start of the process."""

    good: int = 0
    refused: int = 0
    """Answered with an exception."""
    crc_errors: int = 0
    timeouts: int = 0
    late: int = 0
    mismatched: int = 0
    echo: int = 0
    """Requests that the line gave back."""

    @property
    def answers(self) -> int:
        """Those that refuse are answers too."""
        return self.good + self.refused


class Stream(Protocol):
    """A half-duplex line of bytes. Everything raises `OSError` when the line is gone."""

    @property
    def heard_s(self) -> float:
        """When the newest byte was there, at the latest; on the loop's clock, as all times here."""

    def send(self, data: bytes) -> None:
        """Put bytes on the line."""

    async def receive(self, until_s: float, expected: int = 1) -> bytes:
        """What has come, at once or as soon as it comes; empty at `until_s`.

        Where so many bytes are `expected`, the first ones may be handed over with the last.
        """

    def discard(self) -> int:
        """Throw away what has come; how many bytes that was."""


def unconditionally() -> bool:
    """What is only asked for may always go out."""
    return True


class Master:
    """The only speaker of one line. Callers take turns: one exchange at a time."""

    def __init__(
        self,
        stream: Stream,
        clock: Clock,
        counters: Counters,
        *,
        baud: int,
        character_bits: int,
        quiet_until_s: float = -math.inf,
    ) -> None:
        """`quiet_until_s` is that of the master who spoke on this line before."""
        self.echo = False
        """Whether the line gives back what is sent."""
        self._stream = stream
        self._clock = clock
        self._counters = counters
        self._character_s = character_bits / baud
        self._silence_s = SHORT_SILENCE_S if baud > 19_200 else 3.5 * self._character_s
        self._last_s = asyncio.get_running_loop().time()
        self.quiet_until_s = quiet_until_s
        """Till then a late answer may come, and nothing is sent."""
        self._late_expected = quiet_until_s > self._last_s

    async def exchange(
        self, request: Request, timing: Timing, may_go: MayGo = unconditionally
    ) -> Reply | Fault:
        """Send one request once and wait for its answer.

        Cancelled in the midst, the master keeps the line quiet until the answer cannot come any
        more before it sends the next request.
        """
        sent_ms: int | None = None
        try:
            # Before the silence, so that it is not made any longer.
            frame = encode(request)
            if not await self._silent(timing.gap_ms / 1000):
                return Fault(failure=Failure.GARBLED, detail="the line is never silent")
            if not may_go():
                return Fault(failure=Failure.WITHHELD)
            ends_s = self._send(frame)
            sent_ms = self._clock.now().mono_ms
            answer_s = answer_bytes(request) * self._character_s + ADAPTER_S
            deadline_s = ends_s + timing.timeout_ms / 1000 + answer_s
            self._stay_quiet(deadline_s + timing.turnaround_max_ms / 1000 + answer_s)
            answer = await self._listen(request, frame, deadline_s)
        except OSError as error:
            return Fault(failure=Failure.BUS_DOWN, sent_ms=sent_ms, detail=str(error))
        self._counters.echo += self.echo
        if isinstance(answer, Failure):
            return Fault(failure=answer, sent_ms=sent_ms)
        self.quiet_until_s, self._late_expected = self._last_s, False
        if isinstance(answer, Exceptional):
            self._counters.refused += 1
            return Fault(failure=Failure.EXCEPTION, sent_ms=sent_ms, code=answer.code)
        self._counters.good += 1
        heard_ms = self._clock.now().mono_ms
        return Reply(values=answer.values, sent_ms=sent_ms, heard_ms=heard_ms)

    async def probe_echo(self, unit: int) -> None:
        """Ask an address that nobody has; what comes back then is our own voice.

        Only silence proves that there is none. Where it is never silent nor clear, an echo is
        assumed: a write that it could confirm is then not believed. Raises `OSError`.
        """
        frame = encode(Read(unit=unit, function=Function.READ_HOLDING, address=0, count=1))
        for _ in range(PROBES_MAX):
            if not await self._silent(0):
                break
            heard = await self._heard_back(frame)
            if not heard or frame in heard:
                self.echo = bool(heard)
                return
        self.echo = True

    async def _heard_back(self, frame: bytes) -> bytes:
        deadline_s = self._send(frame) + ADAPTER_S
        heard = bytearray()
        while len(heard) < HEARD_MAX_BYTES and frame not in heard:
            chunk = await self._receive(deadline_s)
            if not chunk:
                break
            heard += chunk
        return bytes(heard)

    async def _silent(self, gap_s: float) -> bool:
        silence_s = max(self._silence_s, gap_s)
        loop = asyncio.get_running_loop()
        give_up_s = max(loop.time(), self.quiet_until_s) + BABBLE_MAX_S
        while loop.time() < give_up_s:
            if self._stream.discard():
                self._hear()
                self._note_late()
            free_s = max(self.quiet_until_s, self._last_s + silence_s)
            if loop.time() >= free_s:
                return True
            if await self._receive(free_s):
                self._note_late()
        return False

    def _send(self, frame: bytes) -> float:
        self._stream.send(frame)
        self._last_s = asyncio.get_running_loop().time() + len(frame) * self._character_s
        return self._last_s

    async def _receive(self, until_s: float, expected: int = 1) -> bytes:
        chunk = await self._stream.receive(until_s, expected)
        if chunk:
            self._hear()
        return chunk

    def _hear(self) -> None:
        self._last_s = max(self._last_s, self._stream.heard_s)

    def _stay_quiet(self, until_s: float) -> None:
        self.quiet_until_s, self._late_expected = until_s, True

    def _note_late(self) -> None:
        if self._late_expected:
            self._late_expected = False
            self._counters.late += 1

    async def _listen(
        self, request: Request, frame: bytes, deadline_s: float
    ) -> Answer | Exceptional | Failure:
        heard, expected = bytearray(), answer_bytes(request)
        while len(heard) < HEARD_MAX_BYTES:
            chunk = await self._receive(deadline_s, expected)
            if not chunk:
                break
            heard += chunk
            if request.function not in REPEATING and frame in heard:
                self.echo = True
            others = self._without_echo(bytes(heard), frame)
            answer = answer_in(others, request)
            if answer is not None:
                return answer
            expected = missing_bytes(others, request) or answer_bytes(request)
        return self._judged(self._without_echo(bytes(heard), frame))

    def _without_echo(self, heard: bytes, frame: bytes) -> bytes:
        if not self.echo:
            return heard
        # The first copy of the request is our own, however much noise precedes it: where the
        # answer is a second copy, a single one is no answer, whoever it came from.
        _, ours, rest = heard.partition(frame)
        return rest if ours else heard

    def _judged(self, heard: bytes) -> Failure:
        if not heard:
            self._counters.timeouts += 1
            return Failure.NO_ANSWER
        if next(frames_in(heard), None) is not None:
            self._counters.mismatched += 1
            return Failure.MISMATCHED
        self._counters.crc_errors += 1
        return Failure.GARBLED
