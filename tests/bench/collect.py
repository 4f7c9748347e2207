"""Figures of the head end: records stored and acknowledged, by database and number of workers.

    python -m tests.bench.collect [--json] [--gateways N] [--records N]

Owns the measuring only. Each figure is a median of several runs over a real Mosquitto: the time
runs from the first batch of all gateways to the last acknowledgement. Each worker is a process.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import click

from gateway.core.model import GatewayId, Now
from gateway.core.records import CHAIN_START, HeadEndBack, Started, Stored, record_of, store
from gateway.headend.dialler import Dialler, Role
from gateway.headend.messages import Topics, pack_records, read_ack
from gateway.headend.session import BrokerSettings, Message, Session
from gateway.utility.collect import Collector
from tests.rooms.brokers import mosquitto
from tests.rooms.postgres import postgres

RUNS = 3
UTILITY = "bench"
WORKERS = (1, 2)
WINDOW = 20
"""Batches of one gateway that are under way, as in its outbox."""
BATCH = 200


class Sender:
    """One gateway's batches, sent in its window until all are acknowledged."""

    def __init__(self, name: str, stored: list[Stored]) -> None:
        self.topics = Topics(root="fg", utility=UTILITY, gateway=GatewayId(name))
        self._batches = [
            pack_records(
                self.topics.gateway,
                stored[first - 1].chain if first else CHAIN_START,
                stored[first : first + BATCH],
            )
            for first in range(0, len(stored), BATCH)
        ]
        self._sent = 0
        self._last = len(stored)
        self._acked = 0

    @property
    def done(self) -> bool:
        """Whether everything is acknowledged."""
        return self._acked >= self._last

    def acked(self, through: int, session: Session) -> None:
        """Move the window."""
        self._acked = max(self._acked, through)
        while self._sent < len(self._batches) and self._sent * BATCH < self._acked + WINDOW * BATCH:
            session.publish(self.topics.records, self._batches[self._sent].payload)
            self._sent += 1


def chained(count: int) -> list[Stored]:
    """So many records as a gateway writes them."""
    found: list[Stored] = []
    for number in range(1, count + 1):
        now = Now(mono_ms=number, boot="bench", wall_ms=number, wall_low_ms=number)
        body = Started(version="1.0") if number == 1 else HeadEndBack()
        found.append(store(record_of(number, body, now), found[-1].chain if found else CHAIN_START))
    return found


async def serve(host: str, port: int, place: str, shared: str | None) -> None:
    """One worker, until killed; it says when it is ready."""
    settings = BrokerSettings(host=host, port=port)
    collector = Collector(settings, utility=UTILITY, database=place, shared=shared)
    await collector.start()
    print("ready", flush=True)
    await asyncio.Event().wait()


@asynccontextmanager
async def worker(*arguments: str) -> AsyncIterator[None]:
    """A worker's process for the time of the context."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.collect", "--worker", *arguments,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def one_run(place: str, workers: int, gateways: int, stored: list[Stored]) -> float:
    """Seconds until everything is acknowledged."""
    senders = [Sender(f"gw-{at}", stored) for at in range(gateways)]
    by_topic = {sender.topics.ack: sender for sender in senders}
    done = asyncio.Event()

    def hear(session: Session, message: Message) -> None:
        session.acknowledge(message)
        by_topic[message.topic].acked(read_ack(message.payload).through, session)
        if all(sender.done for sender in senders):
            done.set()

    with TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            host, port = await stack.enter_async_context(mosquitto(Path(folder)))
            for _ in range(workers):
                shared = "bench" if workers > 1 else ""
                await stack.enter_async_context(worker(host, str(port), place, shared))
            role = Role(
                client_id="senders", lasting=False, filters=(f"fg/v1/{UTILITY}/+/down/ack",)
            )
            session = await Dialler(BrokerSettings(host=host, port=port), role).dial(hear)
            begin = time.perf_counter()
            for sender in senders:
                sender.acked(0, session)
            await done.wait()
            took_s = time.perf_counter() - begin
            await session.close()
    return took_s


async def measured(gateways: int, records: int) -> dict[str, int]:
    """Records a second by database and workers."""
    stored = chained(records)
    rows: dict[str, int] = {}
    with postgres() as server, TemporaryDirectory() as folder:
        for database in ("SQLite", "PostgreSQL"):
            for workers in WORKERS:
                click.echo(f"{database}, {workers} workers: {RUNS} runs", err=True)
                files = [f"{folder}/{workers}-{run}.db" for run in range(RUNS)]
                places = files if database == "SQLite" else [server.fresh() for _ in files]
                took_s = [await one_run(place, workers, gateways, stored) for place in places]
                rows[f"{database}, {workers}"] = round(gateways * records / median(took_s))
    return rows


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--gateways", default=10, show_default=True, help="How many send at once.")
@click.option("--records", default=10_000, show_default=True, help="How many each of them has.")
@click.option("--worker", "place", nargs=4, hidden=True)
def main(
    as_json: bool, gateways: int, records: int, place: tuple[str, str, str, str] | None
) -> None:
    """Measure how many records a second the head end stores and acknowledges.

    \b
    Example:
      python -m tests.bench.collect
    """
    if place is not None:
        host, port, database, shared = place
        asyncio.run(serve(host, int(port), database, shared or None))
        return
    rows = asyncio.run(measured(gateways, records))
    if as_json:
        click.echo(json.dumps(rows))
        return
    click.echo(f"{'database, workers':<24}{'records/s':>12}")
    for name, figure in rows.items():
        click.echo(f"{name:<24}{figure:>12,}")


if __name__ == "__main__":
    main()
