"""Collectors as processes of their own: the real command on one queue and one database.

Owns the processes and what they told. Must never read the database: whoever judges does.
"""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from gateway.utility.collecting import BatchAside, BatchCollected, BrokerLink, Collecting
from tests.rooms.fleet.gateway import UTILITY

LINE_MAX = 16 * 1024 * 1024
"""Bytes of one event: it has the records of a batch in it."""


class Worker:
    """One collector; `told` is everything it said but the records themselves."""

    def __init__(self, process: Process) -> None:
        self.told: list[Collecting] = []
        self._process = process
        self._changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @property
    def batches(self) -> int:
        """How many batches it has stored, early ones among them."""
        return sum(isinstance(event, BatchCollected | BatchAside) for event in self.told)

    @property
    def connected(self) -> bool:
        """What it said last of its link."""
        links = [event.connected for event in self.told if isinstance(event, BrokerLink)]
        return bool(links) and links[-1]

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait until it has told something. Raises `EOFError` where it ended before."""
        while not happened():
            if self._reading.done():
                raise EOFError(f"the collector ended after {self.told[-3:]}")
            self._changed.clear()
            await self._changed.wait()

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it; its exit status. Nothing where it has ended."""
        if self._process.returncode is None:
            self._process.send_signal(number)
        await self._reading
        return await self._process.wait()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            while line := await self._process.stdout.readline():
                event = msgspec.json.decode(line, type=Collecting)
                if isinstance(event, BatchCollected):
                    event = msgspec.structs.replace(event, records=())
                self.told.append(event)
                self._changed.set()
        finally:
            self._changed.set()


@asynccontextmanager
async def worker(
    urls: Sequence[str], database: str, password_file: Path, *, username: str
) -> AsyncIterator[Worker]:
    """A collector for the time of the context; it is not connected yet."""
    nodes = [part for url in urls for part in ("--amqp", url)]
    says = ("--username", username, "--password-file", str(password_file), "--json")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gateway", "utility", "collect", "--utility", UTILITY, "--into", database),
        *nodes,
        *says,
        stdout=PIPE,
        limit=LINE_MAX,
    )
    one = Worker(process)
    try:
        yield one
    finally:
        await one.end()
