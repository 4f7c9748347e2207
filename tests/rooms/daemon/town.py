"""The demo's town with a real daemon on it, for tests of the whole: no story, every door open."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.publish

from gateway.bench.control import SimulatedLine, simulated_line
from gateway.bench.demo_world import BAUD, GATEWAY, UTILITY, Daemon, Home, Papers, install, town
from gateway.console.local import Ask, AskRecords, AskStatus, LocalClient, Reply, Submit
from gateway.core.fact import Answer
from gateway.core.model import SupplyState
from gateway.core.records import Record, read_record
from gateway.core.status import Status
from gateway.host.clock import wall_ms
from tests.rooms.brokers import mosquitto

LOOK_EVERY_S = 0.02
PATIENCE_S = 60
TOPICS = f"fg/v1/{UTILITY}/{GATEWAY}"
Signs = Callable[[tuple[Home, ...], Papers], bytes]
Commissions = Callable[[Path, Papers, SimulatedLine], Awaitable[object]]


@dataclass(frozen=True)
class Town:
    """A running town and its doors."""

    homes: tuple[Home, ...]
    papers: Papers
    line: SimulatedLine
    broker: tuple[str, int]
    daemon: Daemon
    config: Path

    @property
    def topics(self) -> str:
        """What this gateway's topics begin with."""
        return TOPICS

    async def ask(self, ask: Ask) -> Reply:
        """One exchange over the local socket, once the daemon is there."""
        client = LocalClient(self.config.parent / "state" / "gateway.sock")
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with contextlib.suppress(OSError):
                    return await client.ask(ask)
                await asyncio.sleep(LOOK_EVERY_S)

    async def submit(self, document: bytes) -> Answer:
        """Hand a document in by the local socket."""
        answer = (await self.ask(Submit(document=document.decode()))).answer
        assert answer is not None
        return answer

    async def status(self) -> Status:
        """The daemon's summary."""
        status = (await self.ask(AskStatus())).status
        assert status is not None
        return status

    async def records(self, after: int = 0) -> list[Record]:
        """Everything in the journal above a number."""
        found: list[Record] = []
        while lines := (await self.ask(AskRecords(after=after))).records:
            found += [read_record(bytes(line.record)) for line in lines]
            after = found[-1].number
        return found

    async def until(self, happened: Callable[[Status], bool]) -> Status:
        """Wait until the status says so; the test fails when it never does."""
        async with asyncio.timeout(PATIENCE_S):
            while not happened(status := await self.status()):
                await asyncio.sleep(LOOK_EVERY_S)
        return status


@contextlib.asynccontextmanager
async def running_town(
    folder: Path, *, kept: Signs | None = None, commission: Commissions | None = None
) -> AsyncIterator[Town]:
    """The twelve homes, a Mosquitto and the daemon, with every meter read.

    `kept` signs a document that the broker keeps for the gateway since before it came up;
    `commission` is what somebody does with installation and line before that.
    """
    homes = town()
    papers = Papers(homes, wall_ms())
    async with (
        mosquitto(folder / "broker") as broker,
        simulated_line([home.entry for home in homes], baud=BAUD) as line,
    ):
        if kept is not None:
            await _let_keep(kept(homes, papers), *broker)
        config = install(folder, papers, pty=line.pty, broker=broker)
        if commission is not None:
            await commission(config, papers, line)
        daemon = Daemon(config, folder / "daemon.log")
        task = asyncio.create_task(daemon.keep_running())
        found = Town(
            homes=homes, papers=papers, line=line, broker=broker, daemon=daemon, config=config
        )
        try:
            await found.until(lambda s: s.meters > 0 and not s.supply[SupplyState.UNKNOWN])
            yield found
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _let_keep(document: bytes, host: str, port: int) -> None:
    await asyncio.to_thread(
        paho.mqtt.publish.single,
        f"{TOPICS}/down/document",
        document,
        qos=1,
        retain=True,
        hostname=host,
        port=port,
    )
