"""Starts paced lines with an observer, and brings back what it heard."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

import msgspec

from tests.bench.bus.heard import Heard, Log, Ready, Wiring
from tests.bench.bus.peers import CHECKOUT

LOG_BYTES_MAX = 64 * 1024 * 1024


class Observed:
    """Lines under observation. `lines` is what was heard, once the block is left."""

    def __init__(self, ports: tuple[str, ...]) -> None:
        self.ports = ports
        self.lines: tuple[tuple[Heard, ...], ...] = ()

    @property
    def heard(self) -> tuple[Heard, ...]:
        """What was heard on the only line."""
        (heard,) = self.lines
        return heard


@contextlib.asynccontextmanager
async def observed(wiring: Wiring) -> AsyncIterator[Observed]:
    """Run lines in a process of their own until the block is left."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.bus.paced", msgspec.json.encode(wiring)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=CHECKOUT,
        limit=LOG_BYTES_MAX,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        ready = msgspec.json.decode(await process.stdout.readline(), type=Ready)
        lines = Observed(ready.ports)
        yield lines
        process.stdin.close()
        log = msgspec.json.decode(await process.stdout.readline(), type=Log)
        lines.lines = log.lines
    finally:
        process.stdin.close()
        await process.wait()
