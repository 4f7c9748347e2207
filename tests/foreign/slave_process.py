"""Runs `libmodbus_slave.py` for a test and talks with it."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Collection, Mapping
from pathlib import Path

import msgspec

from tests.foreign.libmodbus_slave import Command, Said, UnitTruth

SCRIPT = Path(__file__).with_name("libmodbus_slave.py")


class ForeignSlave:
    """A running slave of another maker."""

    def __init__(self, stdin: asyncio.StreamWriter, stdout: asyncio.StreamReader) -> None:
        self._stdin = stdin
        self._stdout = stdout

    async def open(self, unit: int) -> None:
        """The utility's own system cuts this home."""
        await self._ask(Command(do="open", unit=unit))

    async def close_switch(self, unit: int) -> None:
        """The utility's own system reconnects this home."""
        await self._ask(Command(do="close", unit=unit))

    async def truth(self) -> dict[int, UnitTruth]:
        """What is really the case, by unit address."""
        return await self._ask(Command(do="truth"))

    async def _ask(self, command: Command) -> dict[int, UnitTruth]:
        self._stdin.write(msgspec.json.encode(command) + b"\n")
        await self._stdin.drain()
        return await self.heard("truth")

    async def heard(self, event: str) -> dict[int, UnitTruth]:
        """Wait until the slave says `ready`, `changed` or `truth`; what else it says is dropped."""
        while line := await self._stdout.readline():
            said = msgspec.json.decode(line, type=Said)
            if said.event == event:
                return {it.unit: it for it in said.units}
        raise AssertionError(f"the foreign slave ended before it said {event}")


@contextlib.asynccontextmanager
async def foreign_slave(
    units: Mapping[int, str], *, opened: Collection[int] = (), baud: int = 9600, coils: int = 0
) -> AsyncIterator[ForeignSlave]:
    """Run units (address to port) by libmodbus until the block is left."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        SCRIPT,
        *(f"--unit={unit}={path}" for unit, path in units.items()),
        *(f"--opened={unit}" for unit in opened),
        f"--baud={baud}",
        f"--coils={coils}",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    slave = ForeignSlave(process.stdin, process.stdout)
    try:
        await slave.heard("ready")
        yield slave
    finally:
        process.stdin.close()
        await process.wait()
