"""What tests of the simulated line share: a running line, its port, and a foreign master on it.

The port is watched byte by byte; the CRC is another one than the line's.
"""

import asyncio
import os
import termios
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from gateway.bench.control import SimulatedLine, Truth, simulated_line
from gateway.bench.meters import MeterEntry, MeterType, Position
from gateway.bench.wire import WireCounts

WAIT_S = 30.0
LOOK_EVERY_S = 0.005
ACREL = MeterEntry(
    type=MeterType.ACREL_DDSY1352, unit=1, serial="202301010001", account="A-1", turnaround_ms=5
)
DDS238 = MeterEntry(
    type=MeterType.DDS238_2_ZN_SR, unit=5, serial="HK-5", state=Position.OPEN, turnaround_ms=5
)
SDM230 = MeterEntry(
    type=MeterType.SDM230_RELAY,
    unit=9,
    serial="20239999",
    switch_unit=100,
    switch_channel=2,
    turnaround_ms=5,
)
CHECK = MeterEntry(type=MeterType.EASTRON_SDM230, unit=30, serial="777", turnaround_ms=5)


@asynccontextmanager
async def line_of(
    *meters: MeterEntry, taps: int = 0, faults: Sequence[str] = (), seed: int = 0
) -> AsyncIterator[SimulatedLine]:
    """A line at 19200 baud until the block is left."""
    async with (
        asyncio.timeout(WAIT_S),
        simulated_line(meters, baud=19200, taps=taps, faults=faults, seed=seed) as line,
    ):
        yield line


@contextmanager
def opened(path: str) -> Iterator[int]:
    """The port as the line has set it."""
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        yield fd
    finally:
        os.close(fd)


class Observer:
    """Sees every byte on a line's port."""

    def __init__(self, line: SimulatedLine, port: int) -> None:
        self.line = line
        self.port = port

    async def heard(self, request: bytes, *, answers: int = 1) -> bytes:
        """What comes after a request, once the line has spoken so often; 0: once it was heard."""
        before = (await self.line.control.truth()).wire
        os.write(self.port, request)
        counts = await self.counted(
            lambda now: (
                now.requests + now.bad_frames > before.requests + before.bad_frames
                and now.answers >= before.answers + answers
            )
        )
        # The kernel takes its time from one end of the terminal to the other.
        return await asyncio.to_thread(self.read, counts.handed - before.handed)

    async def counted(self, enough: Callable[[WireCounts], bool]) -> WireCounts:
        """Ask the line until it has counted enough."""
        while not enough(counts := (await self.line.control.truth()).wire):
            await asyncio.sleep(LOOK_EVERY_S)
        return counts

    def read(self, count: int) -> bytes:
        """So many bytes, as soon as they are there."""
        data = b""
        while len(data) < count:
            data += os.read(self.port, count - len(data))
        return data


@asynccontextmanager
async def observed(
    *meters: MeterEntry, faults: Sequence[str] = (), seed: int = 0
) -> AsyncIterator[Observer]:
    """A line and whoever watches its port."""
    async with line_of(*meters, faults=faults, seed=seed) as line:
        with opened(line.pty) as port:
            yield Observer(line, port)


async def settled(line: SimulatedLine, *, moves: int) -> Truth:
    """What is the case once every contact has moved so often."""
    truth = await line.control.truth()
    while not all(it.moves == moves for it in truth.meters):
        await asyncio.sleep(LOOK_EVERY_S)
        truth = await line.control.truth()
    return truth


async def mbpoll(line: SimulatedLine, *options: str, values: Sequence[str] = ()) -> str:
    """What the foreign master read, or said in refusal."""
    process = await asyncio.create_subprocess_exec(
        *("mbpoll", "-m", "rtu", "-b", "19200", "-P", "none", "-0", "-1", "-o", "0.3", "-q"),
        *options,
        line.pty,
        *values,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    with opened(line.pty) as port:
        # A real port forgets what nobody read when it is closed; a pseudo terminal does not.
        termios.tcflush(port, termios.TCIFLUSH)
    return (errors if process.returncode else output).decode()


def values_of(output: str) -> list[str]:
    """The values in what mbpoll prints: `[12]: <tab>2300`."""
    return [it.split("\t")[1].split()[0] for it in output.splitlines() if it.startswith("[")]
