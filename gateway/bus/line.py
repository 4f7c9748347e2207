"""One bus: the task that owns its port, and the queue of those who want to speak.

Owns the port's life (opened, lost, opened again), the order of requests (rule B1), the echo probe
(B5) and what is counted and told of the bus. Must never let a caller touch the port: a caller that
is cancelled leaves an exchange on the wire to its end. Must never send a write that is not in the
profile (B7).
"""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from gateway.bus.asking import Priority
from gateway.bus.budget import Intervals, Speed, outlook, outlook_words, told
from gateway.bus.checkup import Checkup, check_up
from gateway.bus.device import Device, device_of, devices_on, units_on
from gateway.bus.frame import Read, Request
from gateway.bus.hints import Sign, hints
from gateway.bus.inquiry import Questions
from gateway.bus.looking import Looking, Wanted
from gateway.bus.polling import Polling
from gateway.bus.port import BusSettings, SerialPort
from gateway.bus.profile import Profile
from gateway.bus.reading import writable
from gateway.bus.rtu import (
    Counters,
    Failure,
    Fault,
    Master,
    MayGo,
    Reply,
    Timing,
    unconditionally,
)
from gateway.bus.switching import carry_out
from gateway.bus.tally import WINDOW_S, Quality, Tally, quality_words
from gateway.core.due import reads_wanted
from gateway.core.errands import scan_until
from gateway.core.fact import BusSeen, SwitchCommand
from gateway.core.image import Image
from gateway.core.model import BusId, Serial
from gateway.ports import Clock, Inbox

logger = logging.getLogger(__name__)

REOPEN_FIRST_S: Final = 0.5
REOPEN_MAX_S: Final = 5.0
PROBE_EVERY_S: Final = 3600.0
TELL_EVERY_S: Final = 5.0
WISHED: Final = Intervals()
UNITS_DOWN: Final = range(247, 0, -1)
WAKE: Final = -1
"""Goes before every request: the port has to be looked at."""


@dataclass(frozen=True, slots=True)
class _Order:
    serial: Serial
    request: Request
    timing: Timing
    may_go: MayGo
    answer: "asyncio.Future[Reply | Fault]"


@dataclass(frozen=True, order=True, slots=True)
class _Job:
    priority: int
    place: int
    order: _Order | None = field(compare=False)


class Line:
    """One bus. `run` may be called again after it failed: commands are taken up again."""

    def __init__(
        self, settings: BusSettings, profiles: Mapping[str, Profile], inbox: Inbox, clock: Clock
    ) -> None:
        self._settings = settings
        self._profiles = profiles
        self._inbox = inbox
        self._clock = clock
        self._counters = Counters()
        self._tally = Tally()
        self._asked_last: Serial | None = None
        self._late = 0
        """Of the late answers counted, those whose meter is noted."""
        self._places = itertools.count()
        self._jobs: asyncio.PriorityQueue[_Job] = asyncio.PriorityQueue()
        self._commands: asyncio.Queue[SwitchCommand] = asyncio.Queue()
        self._unreported: dict[int, SwitchCommand] = {}
        self._begun: set[int] = set()
        self._image: Image | None = None
        self._units: frozenset[int] = frozenset()
        self._up = asyncio.Event()
        self._still = asyncio.Event()
        """No command to a switch waits or is under way."""
        self._still.set()
        self._down = ""
        """Why the port is not open; empty while it is, and before it was tried."""
        self._echo = False
        self._quiet_until_s = float("-inf")
        """Till then what was asked last may answer, be the port another one by then."""
        self._probe_due_s = float("-inf")
        self._signs: frozenset[Sign] = frozenset()
        self._told: BusSeen | None = None
        self._told_s = float("-inf")
        self._told_standing: tuple[object, ...] = ()
        self._summed_s = float("-inf")
        self._polling = Polling(
            self.ask,
            self._up,
            self._tell,
            inbox,
            clock,
            speed=Speed(baud=settings.baud, character_bits=settings.character_bits),
            wished=WISHED,
        )

        self._looking = Looking(self.ask, self._up, self._still, inbox, clock)

    @property
    def quality(self) -> Quality:
        """How the last quarter of an hour went, by meter."""
        return self._tally.quality(asyncio.get_running_loop().time())

    def show(self, image: Image) -> None:
        """Take the newest image; the meters of this bus are polled from now on."""
        before, self._image = self._image, image
        if before is None or not _same_site(before, image):
            self._take(image)
        self._look(image)
        if image.kept.orders:
            self._polling.read_at_once(reads_wanted(image, self._clock.now().boot))

    def switch(self, command: SwitchCommand) -> None:
        """Queue one command; the same one again changes nothing."""
        if command.number in self._unreported:
            return
        self._unreported[command.number] = command
        self._still.clear()
        self._commands.put_nowait(command)

    async def run(self) -> None:
        """Own the port until cancelled."""
        self._take_up_again()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._own())
            group.create_task(self._polling.run())
            group.create_task(self._looking.run())
            while True:
                group.create_task(self._switch(await self._commands.get()))

    async def ask(
        self,
        device: Device,
        request: Request,
        priority: Priority,
        may_go: MayGo = unconditionally,
    ) -> Reply | Fault:
        """One exchange in its turn; at once BUS_DOWN while the port is not open."""
        assert isinstance(request, Read) or request in writable(device)
        if self._down:
            return Fault(failure=Failure.BUS_DOWN, detail=self._down)
        answer: asyncio.Future[Reply | Fault] = asyncio.get_running_loop().create_future()
        order = _Order(device.serial, request, device.profile.timing, may_go, answer)
        self._jobs.put_nowait(_Job(priority, next(self._places), order))
        return await answer

    async def test(self, serial: str) -> Checkup | None:
        """Read one meter several times at once, before any poll; None: it is not on this bus."""
        target = self._polling.turns.of(serial)
        return None if target is None else await check_up(target.device, self.ask)

    def _look(self, image: Image) -> None:
        name = self._settings.name
        found = scan_until(name, image)
        wanted = None if found is None else Wanted(order=found[0], until_ms=found[1])
        if wanted != self._looking.wanted:
            devices = devices_on(name, image, self._profiles)
            self._looking.want(wanted, Questions(devices, self._profiles))

    def _take(self, image: Image) -> None:
        self._units = units_on(self._settings.name, image)
        devices = devices_on(self._settings.name, image, self._profiles)
        found = outlook(devices, self._polling.turns.speed, WISHED)
        level = logging.INFO if found.fits else logging.WARNING
        logger.log(level, "bus %s: %s", self._settings.name, outlook_words(found))
        self._polling.take(devices)

    async def _switch(self, command: SwitchCommand) -> None:
        self._begun.add(command.number)
        self._polling.switching(command.meter.serial, begins=True)
        try:
            report = await carry_out(
                command,
                device_of(command.meter, self._profiles),
                ask=self.ask,
                image=self._newest_image,
                clock=self._clock,
            )
            await self._inbox.put(report)
            self._begun.remove(command.number)
            del self._unreported[command.number]
            if not self._unreported:
                self._still.set()
        finally:
            self._polling.switching(command.meter.serial, begins=False)

    def _newest_image(self) -> Image:
        assert self._image is not None, "the engine shows before it commands"
        return self._image

    def _take_up_again(self) -> None:
        self._up.clear()
        self._down = ""
        self._jobs = asyncio.PriorityQueue()
        self._commands = asyncio.Queue()
        for number in self._begun:
            # How far it had come is not known any more: as after a restart, it only reads.
            command = self._unreported[number]
            self._unreported[number] = msgspec.structs.replace(command, resumed=True, writes_max=0)
        for command in self._unreported.values():
            self._commands.put_nowait(command)

    async def _own(self) -> None:
        wait_s = REOPEN_FIRST_S
        while True:
            answers = self._counters.answers
            try:
                port = SerialPort.open(self._settings, self._wake)
            except OSError as error:
                self._went_down(str(error))
            else:
                with contextlib.closing(port):
                    await self._master_it(port)
                self._went_down(f"{self._settings.port}: the port is lost: see to the adapter")
            if answers != self._counters.answers:
                wait_s = REOPEN_FIRST_S
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, REOPEN_MAX_S)

    async def _master_it(self, port: SerialPort) -> None:
        master = Master(
            port,
            self._clock,
            self._counters,
            baud=self._settings.baud,
            character_bits=self._settings.character_bits,
            quiet_until_s=self._quiet_until_s,
        )
        try:
            await self._serve(master)
        finally:
            self._quiet_until_s = master.quiet_until_s

    async def _serve(self, master: Master) -> None:
        """Carry out one order after the other until the port is lost."""
        self._came_up()
        self._summed_s = asyncio.get_running_loop().time()
        while True:
            job = await self._jobs.get()
            order = job.order
            if order is None:
                return
            if order.answer.done():
                continue  # whoever asked has gone, and nothing was sent yet
            await self._probe_echo(master, job.priority)
            outcome = await self._exchanged(master, order)
            if not order.answer.done():
                order.answer.set_result(outcome)
            self._tell()
            self._sum_up()
            if isinstance(outcome, Fault) and outcome.failure is Failure.BUS_DOWN:
                return
            # Whoever got this answer queues what follows from it before the next is chosen: a
            # command goes on at once, however many polls are waiting.
            await asyncio.sleep(0)

    def _wake(self) -> None:
        self._jobs.put_nowait(_Job(WAKE, next(self._places), None))

    async def _probe_echo(self, master: Master, priority: int) -> None:
        now_s = asyncio.get_running_loop().time()
        never = self._probe_due_s == float("-inf")
        unused = next((unit for unit in UNITS_DOWN if unit not in self._units), None)
        if now_s < self._probe_due_s or unused is None or not (never or priority == Priority.POLL):
            return
        self._probe_due_s = now_s + PROBE_EVERY_S
        # A port that is lost meanwhile is told by the exchange that follows.
        with contextlib.suppress(OSError):
            await master.probe_echo(unused)

    async def _exchanged(self, master: Master, order: _Order) -> Reply | Fault:
        outcome = await master.exchange(order.request, order.timing, order.may_go)
        now_s = asyncio.get_running_loop().time()
        # What came before this request was sent is the answer to the one before it.
        if self._counters.late > self._late and self._asked_last is not None:
            self._tally.late(self._asked_last, now_s)
        self._late = self._counters.late
        self._tally.exchanged(order.serial, outcome, now_s)
        self._echo = master.echo
        if outcome.sent_ms is not None:
            self._asked_last = order.serial
            if master.echo:
                self._tally.echoed(order.serial, now_s)
        return outcome

    def _came_up(self) -> None:
        logger.info("bus %s: %s is open", self._settings.name, self._settings.port)
        self._down = ""
        self._up.set()
        self._probe_due_s = float("-inf")
        self._tell()

    def _went_down(self, reason: str) -> None:
        if reason != self._down:
            logger.warning("bus %s: %s", self._settings.name, reason)
        self._down = reason
        self._up.clear()
        while not self._jobs.empty():
            order = self._jobs.get_nowait().order
            if order is not None and not order.answer.done():
                order.answer.set_result(Fault(failure=Failure.BUS_DOWN, detail=reason))
        self._tell()

    def _tell(self) -> None:
        now_s = asyncio.get_running_loop().time()
        silent = self._polling.turns.silent
        standing = (self._up.is_set(), self._down, self._echo, silent)
        if standing == self._told_standing and now_s - self._told_s < TELL_EVERY_S:
            return
        counters = self._counters
        seen = BusSeen(
            bus=BusId(self._settings.name),
            open=self._up.is_set(),
            good=counters.good,
            refused=counters.refused,
            crc_errors=counters.crc_errors,
            timeouts=counters.timeouts,
            late=counters.late,
            mismatched=counters.mismatched,
            echo=counters.echo,
            silent=silent,
            detail=self._down or self._suggested(),
            polling=told(self._polling.turns.budget) if len(self._polling.turns) else None,
        )
        if seen == self._told or self._inbox.post(seen):
            self._told, self._told_s, self._told_standing = seen, now_s, standing

    def _sum_up(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._summed_s >= WINDOW_S:
            self._summed_s = now_s
            logger.info("bus %s: %s", self._settings.name, quality_words(self.quality))

    def _suggested(self) -> str:
        found = hints(
            self.quality,
            meters=len(self._polling.turns),
            silent=self._polling.turns.silent,
            echo=self._echo,
        )
        for hint in found:
            if hint.sign not in self._signs:
                logger.warning("bus %s: %s", self._settings.name, hint.words)
        self._signs = frozenset(hint.sign for hint in found)
        return "; ".join(hint.words for hint in found)


def _same_site(one: Image, other: Image) -> bool:
    return one.roster is other.roster and one.check_meters is other.check_meters
