"""Several workers on one database: nothing is lost or doubled, and one of them speaks for all."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.bench.broker import demo_broker
from gateway.core.records import read_record
from gateway.headend.messages import read_ack
from gateway.headend.session import BrokerSettings
from gateway.utility.collect import Collector
from gateway.utility.collecting import (
    BatchAside,
    BatchCollected,
    BrokerLink,
    Collecting,
    Leading,
    RecordsLost,
    StoreLink,
)
from tests.rooms.brokers import mosquitto
from tests.rooms.headend.engine_side import GATEWAY, PATIENCE_S, UTILITY, EngineSide
from tests.rooms.headend.other_end import TOPICS, OtherEnd
from tests.rooms.postgres import Postgres

GROUP = "workers"


class Worker:
    """One collector of the group, and what it told."""

    def __init__(self, host: str, port: int, place: str, *, shared: str | None = GROUP) -> None:
        self.told: list[Collecting] = []
        self._changed = asyncio.Event()
        self.collector = Collector(
            BrokerSettings(host=host, port=port),
            utility=UTILITY,
            database=place,
            report=self._report,
            shared=shared,
            look_s=0.05,
        )

    def count(self, kind: type[Collecting]) -> int:
        return sum(isinstance(event, kind) for event in self.told)

    async def until_told(self, kind: type[Collecting]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not self.count(kind):
                self._changed.clear()
                await self._changed.wait()

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator["Worker"]:
        await self.collector.start()
        try:
            yield self
        finally:
            await self.collector.stop()

    def _report(self, event: Collecting) -> None:
        self.told.append(event)
        self._changed.set()


def holds_all(worker: Worker, engine: EngineSide) -> bool:
    return worker.collector.records(GATEWAY) == tuple(
        read_record(record.content) for record in engine.stored
    )


async def test_two_workers_share_a_gateway_without_losing_or_doubling(
    tmp_path: Path, place: str
) -> None:
    engine = EngineSide()
    async with (
        mosquitto(tmp_path / "broker") as (host, port),
        Worker(host, port, place).working() as one,
        Worker(host, port, place).working() as two,
        engine.running(host, port),
    ):
        await engine.until_head_end(online=True)
        engine.write(600, padding=2000)
        await engine.until(lambda: engine.acked_through == 600)
    assert holds_all(one, engine)
    assert one.collector.counts(GATEWAY).refused == 0
    for worker in (one, two):
        assert worker.count(BatchCollected) + worker.count(BatchAside) > 0
    stored = [
        raw
        for worker in (one, two)
        for event in worker.told
        if isinstance(event, BatchCollected)
        for raw in event.records
    ]
    assert len(stored) == 600


async def test_what_a_worker_acknowledges_only_moves_forward(tmp_path: Path, place: str) -> None:
    engine = EngineSide()
    async with (
        mosquitto(tmp_path / "broker") as (host, port),
        OtherEnd().listening(host, port) as other,
        Worker(host, port, place).working(),
        engine.running(host, port),
    ):
        engine.write(300, padding=3000)
        await engine.until(lambda: engine.acked_through == 300)
        said = [read_ack(payload).through for payload in other.on(TOPICS.ack)]
    assert said == sorted(said)


async def test_the_next_worker_speaks_when_the_first_is_gone(tmp_path: Path, place: str) -> None:
    engine = EngineSide()
    async with mosquitto(tmp_path / "broker") as (host, port), engine.running(host, port):
        async with Worker(host, port, place).working() as first:
            await first.until_told(Leading)
            await engine.until_head_end(online=True)
            second = Worker(host, port, place)
            await second.collector.start()
            engine.write(5)
            await engine.until(lambda: engine.acked_through == 5)
            assert second.count(Leading) == 0
        await second.until_told(Leading)
        await engine.until_head_end(online=True)
        engine.write(5)
        await engine.until(lambda: engine.acked_through == 10)
        await second.collector.stop()
        await engine.until_head_end(online=False)


async def test_workers_need_a_broker_that_can_share(tmp_path: Path) -> None:
    async with demo_broker() as (host, port):
        worker = Worker(host, port, str(tmp_path / "records.db"))
        running = asyncio.create_task(worker.collector.run())
        await worker.until_told(BrokerLink)
        running.cancel()
        await asyncio.wait({running})
    (told,) = worker.told
    assert isinstance(told, BrokerLink)
    assert told.detail.startswith("SHARED_NEEDS_MQTT_5: it speaks MQTT 3.1.1")


@pytest.mark.parametrize("forgotten", [0, 4])
async def test_a_database_that_was_lost_gets_what_the_gateway_still_has(
    tmp_path: Path, place: str, forgotten: int
) -> None:
    engine = EngineSide()
    async with mosquitto(tmp_path / "broker") as (host, port):
        lost = str(tmp_path / "lost.db")
        async with Worker(host, port, lost, shared=None).working(), engine.running(host, port):
            engine.write(7)
            await engine.until(lambda: engine.acked_through == 7)
        engine.forgets_through(forgotten)
        async with (
            Worker(host, port, place, shared=None).working() as worker,
            engine.running(host, port),
        ):
            engine.write(3)
            await engine.until(lambda: engine.acked_through == 10)
    said = [event for event in worker.told if isinstance(event, RecordsLost)]
    assert said == [RecordsLost(gateway=GATEWAY, first=1, through=forgotten)] * (forgotten > 0)
    held = [record.number for record in worker.collector.records(GATEWAY)]
    assert held == [*range(forgotten + 1, 11)]


async def test_a_database_that_holds_a_journal_that_was_replaced_gets_all_of_the_new_one(
    tmp_path: Path, place: str
) -> None:
    async with mosquitto(tmp_path / "broker") as (host, port):
        async with Worker(host, port, place, shared=None).working():
            before = EngineSide(boot="boot-0")
            async with before.running(host, port):
                before.write(4)
                await before.until(lambda: before.acked_through == 4)
        engine = EngineSide()
        elsewhere = str(tmp_path / "elsewhere.db")
        async with Worker(host, port, elsewhere, shared=None).working(), engine.running(host, port):
            engine.write(7)
            await engine.until(lambda: engine.acked_through == 7)
        async with (
            Worker(host, port, place, shared=None).working() as worker,
            engine.running(host, port),
        ):
            engine.write(3)
            await engine.until(lambda: engine.acked_through == 10)
    assert holds_all(worker, engine)
    assert worker.count(RecordsLost) == 0


async def test_a_database_server_that_restarts_is_come_back_to(
    tmp_path: Path, server: Postgres
) -> None:
    engine = EngineSide()
    async with (
        mosquitto(tmp_path / "broker") as (host, port),
        Worker(host, port, server.fresh()).working() as worker,
        engine.running(host, port),
    ):
        engine.write(4)
        await engine.until(lambda: engine.acked_through == 4)
        await engine.until_head_end(online=True)
        await asyncio.to_thread(server.stop)
        engine.write(4)
        await worker.until_told(StoreLink)
        await engine.until_head_end(online=False)
        await asyncio.to_thread(server.start)
        await engine.until(lambda: engine.acked_through == 8)
    assert holds_all(worker, engine)
