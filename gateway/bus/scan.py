"""A scan of one bus: every address is asked at every speed, reading only.

Owns the port while it runs, so the daemon must not; and what was found so far when it is stopped.
Must never write: it only asks what `inquiry` has, and `inquiry` has only reads.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence

from gateway.bus.budget import Speed
from gateway.bus.corrections import Found
from gateway.bus.inquiry import Presence, Put, Question, Questions, resident_at
from gateway.bus.port import BusSettings, SerialPort
from gateway.bus.rtu import Counters, Failure, Fault, Master, Reply
from gateway.core.model import Value
from gateway.ports import Clock


class Progress(Value):
    """An address is about to be asked."""

    settings: BusSettings
    unit: int
    done: int
    """Addresses asked, of `total`; one counts at each speed."""
    total: int
    found: int


class Heard(Value):
    """What a scan has heard. `silent`: addresses where nobody answered at any speed."""

    found: tuple[Found, ...]
    silent: frozenset[int]
    complete: bool
    """Not stopped before its end."""


Tell = Callable[[Progress], None]


class _Stopped(Exception):  # noqa: N818 - somebody's wish, not an error
    """The scan is to end."""


async def scan(
    speeds: Sequence[BusSettings],
    units: Sequence[int],
    questions: Questions,
    *,
    clock: Clock,
    stop: asyncio.Event,
    tell: Tell,
) -> Heard:
    """Ask every address (1 to 247), at each of these settings of one port.

    Ends after the exchange in flight once `stop` is set. Raises `OSError` with the place and the
    mend where the port cannot be had or is lost.
    """
    scanning = _Scan(units, questions, total=len(units) * len(speeds), stop=stop, tell=tell)
    complete = True
    for settings in speeds:
        # What the port does not take is said before the first address, not after the last.
        SerialPort.open(settings, lambda: None).close()
    try:
        for settings in speeds:
            await scanning.at(settings, clock)
    except _Stopped:
        complete = False
    found = tuple(scanning.found)
    heard = {it.unit for it in found}
    silent = {unit for unit in units if scanning.asked[unit] == len(speeds)} - heard
    return Heard(found=found, silent=frozenset(silent), complete=complete)


def duration_s(speeds: Sequence[BusSettings], units: Sequence[int], questions: Questions) -> float:
    """How long a scan takes where nobody answers, in seconds; those who answer are quicker."""
    line = [Speed(baud=it.baud, character_bits=it.character_bits) for it in speeds]
    return sum(questions.silent_s(unit, speed) for speed in line for unit in units)


class _Scan:
    """What has been asked and found."""

    def __init__(
        self,
        units: Sequence[int],
        questions: Questions,
        *,
        total: int,
        stop: asyncio.Event,
        tell: Tell,
    ) -> None:
        self.found: list[Found] = []
        self.asked = Counter[int]()
        self._units = units
        self._questions = questions
        self._total = total
        self._stop = stop
        self._tell = tell

    async def at(self, settings: BusSettings, clock: Clock) -> None:
        """Ask all addresses at one speed. Raises `_Stopped` and `OSError`."""
        port = SerialPort.open(settings, lambda: None)
        with contextlib.closing(port):
            bits = settings.character_bits
            master = Master(port, clock, Counters(), baud=settings.baud, character_bits=bits)
            for unit in self._units:
                await self._ask(unit, settings, master)

    async def _ask(self, unit: int, settings: BusSettings, master: Master) -> None:
        done, found = self.asked.total(), len(self.found)
        self._tell(
            Progress(settings=settings, unit=unit, done=done, total=self._total, found=found)
        )
        known = {it.unit for it in self.found if it.presence is Presence.ANSWERS}
        if unit not in known:
            resident = await resident_at(unit, self._questions, self._putting(settings, master))
            if resident.presence is not Presence.SILENT:
                self.found.append(
                    Found(
                        unit=unit,
                        baud=settings.baud,
                        format=settings.format,
                        presence=resident.presence,
                        serial=resident.serial,
                        profile=resident.profile,
                    )
                )
        self.asked[unit] += 1

    def _putting(self, settings: BusSettings, master: Master) -> Put:
        async def put(question: Question) -> Reply | Fault:
            if self._stop.is_set():
                raise _Stopped
            answer = await master.exchange(question.request, question.timing)
            if isinstance(answer, Fault) and answer.failure is Failure.BUS_DOWN:
                raise OSError(f"{settings.port}: the port is lost: see to the adapter")
            return answer

        return put
