"""Real brokers for tests: Mosquitto on a free loopback port, stopped, killed and started."""

import asyncio
import os
import re
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

PROGRAM = "/usr/sbin/mosquitto"
LOOPBACK = "127.0.0.1"
PATIENCE_S = 10
CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"
"""MQTT 3.1.1, a clean session without a name."""
CONNACK = b"\x20\x02\x00\x00"
SUBSCRIPTION = re.compile(rb"\t(\S+) \(QoS \d\)")
"""How its log names one."""


class Mosquitto:
    """One broker with its own folder; it keeps its port, and its sessions across `stop`.

    `options` are lines of its configuration. Those of TLS are about `port`; that it serves is seen
    at another, plain one.
    """

    def __init__(self, folder: Path, *, options: tuple[str, ...] = ()) -> None:
        self.host = LOOPBACK
        self.port = free_port()
        self._plain_port = free_port()
        self._folder = folder
        self._options = options
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._subscribed: set[str] = set()
        self._heard = asyncio.Event()

    async def start(self) -> None:
        """Return when it serves."""
        self._folder.mkdir(parents=True, exist_ok=True)
        config = self._folder / "mosquitto.conf"
        config.write_text("\n".join(self._lines()) + "\n", encoding="ascii")
        self._process = await asyncio.create_subprocess_exec(
            PROGRAM, "-v", "-c", str(config), stderr=asyncio.subprocess.PIPE
        )
        listens = asyncio.Event()
        self._reader = asyncio.create_task(self._read(self._process, listens))
        async with asyncio.timeout(PATIENCE_S):
            await listens.wait()
            # It says so just before its loop begins, and forgets a SIGTERM that comes between.
            reader, writer = await asyncio.open_connection(self.host, self._plain_port)
            writer.write(CONNECT)
            await reader.readexactly(len(CONNACK))
            writer.close()
            await writer.wait_closed()

    async def until_subscribed(self, topics: str) -> None:
        """Return when somebody has subscribed to this filter."""
        async with asyncio.timeout(PATIENCE_S):
            while topics not in self._subscribed:
                self._heard.clear()
                await self._heard.wait()

    async def stop(self) -> None:
        """End it in order; it writes its sessions to disk."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """End it as a power cut would."""
        await self._end(signal.SIGKILL)

    def read_again(self) -> None:
        """It reads its configuration and its certificates again, and keeps its connections."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def freeze(self) -> None:
        """It keeps its connections and does nothing more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    async def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        await process.wait()
        assert self._reader is not None
        await self._reader

    async def _read(self, process: asyncio.subprocess.Process, listens: asyncio.Event) -> None:
        assert process.stderr is not None
        while line := await process.stderr.readline():
            if b" running" in line:
                listens.set()
            if found := SUBSCRIPTION.search(line):
                self._subscribed.add(found[1].decode())
                self._heard.set()

    def _lines(self) -> list[str]:
        lines = [
            f"listener {self._plain_port} {LOOPBACK}",
            f"listener {self.port} {LOOPBACK}",
            "persistence true",
            f"persistence_location {self._folder}/",
            *(self._options or ("allow_anonymous true",)),
        ]
        if os.getuid() == 0:
            lines.append("user root")  # otherwise it becomes a user who may not write here
        return lines


@asynccontextmanager
async def mosquitto(folder: Path) -> AsyncIterator[tuple[str, int]]:
    """A broker for the time of the context; gives host and port."""
    broker = Mosquitto(folder)
    await broker.start()
    try:
        yield broker.host, broker.port
    finally:
        await broker.stop()


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
