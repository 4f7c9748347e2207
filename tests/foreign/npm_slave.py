"""Runs `modbus_serial_slave.cjs` for a test and asks what was written to it."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

SCRIPT = Path(__file__).with_name("modbus_serial_slave.cjs")
NODE_MODULES = Path(__file__).parents[2] / ".venv" / "npm" / "node_modules"
Writes = list[tuple[int, int, int]]
"""Unit, address and value of each."""


class NpmSlave:
    """The running slave."""

    def __init__(self, stdin: asyncio.StreamWriter, stdout: asyncio.StreamReader) -> None:
        self._stdin = stdin
        self._stdout = stdout

    async def writes(self) -> Writes:
        """Everything that was written to it, in order."""
        self._stdin.write(b"\n")
        await self._stdin.drain()
        return msgspec.json.decode(await self.said(), type=Writes)

    async def said(self) -> bytes:
        """The next line that it says."""
        line = await self._stdout.readline()
        assert line, "the foreign slave ended"
        return line


@contextlib.asynccontextmanager
async def npm_slave(path: str) -> AsyncIterator[NpmSlave]:
    """Run it on a port until the block is left."""
    here = (NODE_MODULES / "modbus-serial").is_dir()
    assert here, f"modbus-serial is not in {NODE_MODULES}: tests/run installs it with npm"
    process = await asyncio.create_subprocess_exec(
        "node",
        SCRIPT,
        path,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "NODE_PATH": str(NODE_MODULES)},
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    slave = NpmSlave(process.stdin, process.stdout)
    try:
        assert await slave.said() == b'"ready"\n'
        yield slave
    finally:
        process.stdin.close()
        await process.wait()
