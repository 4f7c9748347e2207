"""This gateway's bus room on observed lines, in a process of its own: polls, closes, is asked.

python -m tests.bench.bus.this_gateway '{"mode": "poll", "ports": ["/dev/pts/7"], ...}'
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from functools import partial
from itertools import repeat
from typing import Final, assert_never

import msgspec

from gateway.bus.asking import Priority
from gateway.bus.device import Device, devices_on
from gateway.bus.line import Line
from gateway.bus.port import BusSettings
from gateway.bus.profile import load_profiles
from gateway.bus.reading import state_read
from gateway.bus.room import Buses
from gateway.core.fact import BusSeen, MeterSeen, SwitchReport
from gateway.core.image import Image
from gateway.core.model import Meter
from gateway.host.clock import HostClock, boot_id
from tests.bench.bus.heard import Baud
from tests.rooms.bus.gateway_side import Collected, command, paid_image

PROFILE: Final = "dds238-2-zn-sr"
LULL_S: Final = 0.1
LULL_STEP_S: Final = 0.0137
"""Each lull before a close is so much longer: the closes are not in step with the polling."""


class Mode(StrEnum):
    """What the bus room is to do."""

    POLL = "poll"
    """Poll by itself, as in every day's work."""
    CLOSE = "close"
    """Close one meter after the other while it polls."""
    ASK = "ask"
    """Besides, be asked without pause for the state of every meter that is not parked."""


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What to do, for how long once the first round is over."""

    mode: Mode
    ports: tuple[str, ...]
    baud: Baud
    meters: int
    """On each bus."""
    dead: int = 0
    """Of them the first so many, which the first round waits for in vain."""
    seconds: float = 0.0
    closes: int = 0
    core: int | None = None
    """The one core to run on."""


class Closed(msgspec.Struct, frozen=True, array_like=True):
    """A close, when it was commanded."""

    unit: int
    at_s: float


class Worked(msgspec.Struct, frozen=True, kw_only=True):
    """What was done; instants in seconds of the monotonic clock, after the first round."""

    began_s: float
    ended_s: float
    cpu_s: float
    closes: tuple[Closed, ...] = ()


async def work(task: Work) -> Worked:
    """Let the room poll until it knows everybody, then measure."""
    if task.core is not None:
        os.sched_setaffinity(0, {task.core})
    names = "ABCDEFGH"[: len(task.ports)]
    meters = [_meter(name, unit) for name in names for unit in range(1, task.meters + 1)]
    profiles = load_profiles(None)
    image, inbox = paid_image(tuple(meters), profiles), Collected()
    clock = HostClock(boot_id(), 0)
    settings = tuple(
        BusSettings(name=name, port=port, baud=task.baud)
        for name, port in zip(names, task.ports, strict=True)
    )
    buses = Buses(settings, profiles, inbox, clock)
    lines = [Line(one, profiles, inbox, clock) for one in settings]
    async with _running(lines if task.mode is Mode.ASK else [buses], image):
        for name in names:
            await _known(inbox, name, task)
        began_s, cpu_s = time.monotonic(), time.process_time()
        until_s = began_s + task.seconds
        closes: tuple[Closed, ...] = ()
        match task.mode:
            case Mode.POLL:
                await asyncio.sleep(task.seconds)
            case Mode.CLOSE:
                closes = await _close(buses, inbox, meters[: task.closes])
            case Mode.ASK:
                asked = (devices_on(name, image, profiles) for name in names)
                await asyncio.gather(*(map(_ask, lines, asked, repeat(inbox), repeat(until_s))))
            case _:
                assert_never(task.mode)
        ended_s, spent_s = time.monotonic(), time.process_time() - cpu_s
    return Worked(began_s=began_s, ended_s=ended_s, cpu_s=spent_s, closes=closes)


async def _close(buses: Buses, inbox: Collected, meters: Sequence[Meter]) -> tuple[Closed, ...]:
    closes = []
    for number, meter in enumerate(meters, start=1):
        await asyncio.sleep(LULL_S + number * LULL_STEP_S)
        closes.append(Closed(meter.unit, time.monotonic()))
        buses.switch(command(meter, number=number))
        await inbox.first(SwitchReport, partial(_ends, number))
    return tuple(closes)


def _ends(number: int, report: SwitchReport) -> bool:
    return report.number == number


async def _ask(line: Line, devices: Sequence[Device], inbox: Collected, until_s: float) -> None:
    while time.monotonic() < until_s:
        silent = _silent(inbox)
        for device in devices:
            request = state_read(device)
            assert request is not None
            if device.serial not in silent and time.monotonic() < until_s:
                await line.ask(device, request, Priority.POLL)


async def _known(inbox: Collected, bus: str, task: Work) -> None:
    """Wait until every meter of a bus has answered or is known to be silent."""
    if task.dead:
        await inbox.first(BusSeen, partial(_silent_are, bus, task.dead))
    for unit in range(1 + task.dead, task.meters + 1):
        await inbox.first(MeterSeen, partial(_is_of, _serial(bus, unit)))


def _silent_are(bus: str, count: int, seen: BusSeen) -> bool:
    return seen.bus == bus and len(seen.silent) == count


def _is_of(serial: str, seen: MeterSeen) -> bool:
    return seen.serial == serial


def _silent(inbox: Collected) -> set[str]:
    newest = {seen.bus: seen.silent for seen in inbox.events if isinstance(seen, BusSeen)}
    return {serial for silent in newest.values() for serial in silent}


@contextlib.asynccontextmanager
async def _running(rooms: Sequence[Buses | Line], image: Image) -> AsyncIterator[None]:
    tasks = []
    for room in rooms:
        room.show(image)
        tasks.append(asyncio.create_task(room.run()))
    try:
        yield
        assert not any(task.done() for task in tasks), tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _meter(bus: str, unit: int) -> Meter:
    return Meter(
        account=f"{bus}{unit:04}",
        serial=_serial(bus, unit),
        profile=PROFILE,
        bus=bus,
        unit=unit,
        dt="DT-1",
        second_proof="commissioning sheet",
    )


def _serial(bus: str, unit: int) -> str:
    return f"HK-{bus}{unit}"


if __name__ == "__main__":
    done = asyncio.run(work(msgspec.json.decode(sys.argv[1], type=Work)))
    sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")
