"""A fleet drains through a RabbitMQ cluster after an outage, while the cluster breaks.

    python -m tests.campaign.fleet --gateways 200 --records 500 --kill

Owns the story and the judgement. 200 gateways, each with the real engine, journal and head-end
room, have written records while the head end was away. Two collectors store what comes, as
processes of their own on one queue and one database. In the middle one node is killed, and one
collector after it; the node comes back. Then every record that a gateway wrote has to be held once
and in order.
"""

import asyncio
import random
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from gateway.core.model import GatewayId, Value
from gateway.headend.session import BrokerSettings
from gateway.utility.collect_store import opened_store
from tests.rooms.fleet.gateway import SmallGateway
from tests.rooms.fleet.relay import Relay, relay
from tests.rooms.fleet.workers import Worker, worker
from tests.rooms.rabbitmq_cluster import PASSWORD, USER, Cluster, rabbitmq_cluster

BACKLOG = 0.6
"""The share of the records that is written before anybody connects."""
WHILE_DOWN = 0.2
"""The share that is written while a node is away; the rest follows when it is back."""
KILL_AFTER = 0.25
"""The share of the fleet that is through when the node is killed."""


class Verdict(Value):
    """Of one gateway: what is wrong with what the head end holds."""

    lost: int = 0
    doubled: int = 0
    misplaced: int = 0
    """Records that stand where another one belongs."""


@dataclass(slots=True)
class Tally:
    """What a campaign has come to."""

    records: int = 0
    lost: int = 0
    doubled: int = 0
    misplaced: int = 0
    dialled: int = 0
    """Connections of the fleet; a gateway that asks for MQTT 5 first makes two."""
    through_at_kill: int = 0
    """Gateways that had nothing left to say when the node was killed."""
    batches: tuple[int, ...] = ()
    """Stored by each collector."""


def judge(written: Sequence[bytes], held: Sequence[bytes]) -> Verdict:
    """Compare the records that a gateway wrote, in order, with those that are held of it."""
    return Verdict(
        lost=len(set(written) - set(held)),
        doubled=len(held) - len(set(held)),
        misplaced=sum(mine != theirs for mine, theirs in zip(written, held, strict=False)),
    )


@dataclass(slots=True)
class Campaign:
    """The story's numbers; `say` is told how it goes."""

    gateways: int
    records: int
    """Of each gateway, besides those that it writes of its own accord."""
    kill: bool = True
    seed: int = 0
    say: Callable[[str], None] = lambda _: None

    async def run(self, folder: Path) -> Tally:
        """The whole story, in an empty folder."""
        self.say(f"starting the cluster; seed {self.seed}")
        async with rabbitmq_cluster(folder / "cluster") as cluster:
            return await self.through(cluster, folder)

    async def through(self, cluster: Cluster, folder: Path) -> Tally:
        """The same through a cluster that is there."""
        tally = Tally()
        database = str(folder / "records.db")
        async with (
            self._fleet(folder) as fleet,
            relay([(node.host, node.mqtt_port) for node in cluster.nodes]) as door,
            _workers(cluster, database, folder) as workers,
        ):
            self.say(f"{len(fleet)} gateways have written {BACKLOG:.0%} of their records")
            async with self._linked(fleet, door):
                await self._story(cluster, fleet, workers, tally)
            tally.dialled = door.accepted
            tally.batches = tuple(one.batches for one in workers)
            await self._judge(fleet, database, tally)
        return tally

    async def _story(
        self,
        cluster: Cluster,
        fleet: Sequence[SmallGateway],
        workers: Sequence[Worker],
        tally: Tally,
    ) -> None:
        if self.kill:
            await _drained(fleet, int(KILL_AFTER * len(fleet)))
            node = cluster.nodes[self.seed % len(cluster.nodes)]
            await node.kill()
            tally.through_at_kill = sum(one.drained for one in fleet)
            self.say(f"{node.name} is killed; {tally.through_at_kill} gateways are through")
            await _write(fleet, round(self.records * WHILE_DOWN))
            await _drained(fleet, len(fleet))
            self.say("all are through on two nodes; it comes back, and a collector is killed")
            await asyncio.gather(cluster.start_node(node), workers[0].end(signal.SIGKILL))
        else:
            await _write(fleet, round(self.records * WHILE_DOWN))
        await _write(fleet, round(self.records * (1 - BACKLOG - WHILE_DOWN)))
        while not all(one.drained for one in fleet):
            await _drained(fleet, len(fleet))
        self.say("all are through")

    @asynccontextmanager
    async def _fleet(self, folder: Path) -> AsyncIterator[list[SmallGateway]]:
        async with AsyncExitStack() as opened:
            fleet: list[SmallGateway] = []
            for at in range(self.gateways):
                name = GatewayId(f"gw-{at:04}")
                (folder / name).mkdir()
                one = SmallGateway.opened(name, folder / name)
                fleet.append(await opened.enter_async_context(one))
            await _write(fleet, round(self.records * BACKLOG))
            yield fleet

    @asynccontextmanager
    async def _linked(self, fleet: Sequence[SmallGateway], door: Relay) -> AsyncIterator[None]:
        settings = BrokerSettings(host=door.host, port=door.port)
        draws = random.Random(self.seed)
        async with AsyncExitStack() as links:
            for one in fleet:
                await links.enter_async_context(one.linked(settings, draw=draws.uniform))
            yield

    async def _judge(self, fleet: Sequence[SmallGateway], database: str, tally: Tally) -> None:
        with opened_store(database) as store:
            for one in fleet:
                written = await one.contents()
                verdict = judge(written, store.contents(one.name))
                tally.records += len(written)
                tally.lost += verdict.lost
                tally.doubled += verdict.doubled
                tally.misplaced += verdict.misplaced


@asynccontextmanager
async def _workers(cluster: Cluster, database: str, folder: Path) -> AsyncIterator[list[Worker]]:
    """Two collectors that are connected, each to another node first."""
    password_file = folder / "password"
    password_file.write_text(PASSWORD, encoding="ascii")
    password_file.chmod(0o600)
    urls = [node.amqp_url for node in cluster.nodes]
    async with AsyncExitStack() as started:
        workers = [
            await started.enter_async_context(
                worker(urls[at:] + urls[:at], database, password_file, username=USER)
            )
            for at in range(2)
        ]
        for one in workers:
            await one.until(lambda one=one: one.connected)
        yield workers


async def _write(fleet: Sequence[SmallGateway], records: int) -> None:
    await asyncio.gather(*(one.write(records) for one in fleet))


async def _drained(fleet: Sequence[SmallGateway], many: int) -> None:
    """Wait until so many have nothing left to say."""
    waiting = [asyncio.create_task(one.until(lambda one=one: one.drained)) for one in fleet]
    for done in islice(asyncio.as_completed(waiting), many):
        await done
    for task in waiting:
        task.cancel()


@click.command()
@click.option("--gateways", default=200, show_default=True)
@click.option("--records", default=500, show_default=True, help="Of each gateway.")
@click.option("--kill", is_flag=True, help="Kill a node in the middle, and a collector after it.")
@click.option("--seed", type=int, help="Which node, and the waiting times; else a new one.")
def main(gateways: int, records: int, kill: bool, seed: int | None) -> None:
    """Let a fleet drain through a cluster of three RabbitMQ nodes.

    \b
    Example:
      python -m tests.campaign.fleet --gateways 50 --records 100 --kill --seed 7
    """
    begin_s = time.monotonic()

    def say(what: str) -> None:
        click.echo(f"{time.monotonic() - begin_s:6.1f} s  {what}")

    campaign = Campaign(
        gateways=gateways,
        records=records,
        kill=kill,
        seed=secrets.randbits(32) if seed is None else seed,
        say=say,
    )
    with TemporaryDirectory(prefix="fleet-") as folder:
        tally = asyncio.run(campaign.run(Path(folder)))
    say(
        f"{tally.records:,} records: {tally.lost} lost, {tally.doubled} doubled, "
        f"{tally.misplaced} misplaced; batches by collector: {tally.batches}; "
        f"{tally.dialled} connections"
    )
    raise SystemExit(1 if tally.lost or tally.doubled or tally.misplaced else 0)


if __name__ == "__main__":
    main()
