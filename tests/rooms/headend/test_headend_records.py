"""Records from the gateway to the head end: each once, in order, whatever happens between."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from gateway.bench.broker import demo_broker
from gateway.core.image import HEAD_END_SILENT_MS
from gateway.core.records import read_record
from gateway.headend.messages import pack_records, read_records
from gateway.headend.session import BrokerSettings
from gateway.utility.attendance import HEARTBEAT_S
from gateway.utility.collect import Collector
from gateway.utility.collected import Counts
from tests.rooms.brokers import Mosquitto, mosquitto
from tests.rooms.headend.engine_side import GATEWAY, UTILITY, EngineSide
from tests.rooms.headend.other_end import TOPICS, OtherEnd


def head_end(host: str, port: int, folder: Path, heartbeat_s: float = HEARTBEAT_S) -> Collector:
    settings = BrokerSettings(host=host, port=port)
    database = folder / "records.db"
    return Collector(settings, utility=UTILITY, database=database, heartbeat_s=heartbeat_s)


def holds_all(collector: Collector, engine: EngineSide) -> bool:
    """Whether the head end has the very records of the gateway, in order."""
    return collector.records(GATEWAY) == tuple(read_record(r.content) for r in engine.stored)


@contextlib.asynccontextmanager
async def collecting(collector: Collector) -> AsyncIterator[None]:
    await collector.start()
    try:
        yield
    finally:
        await collector.stop()


async def test_every_record_arrives_once_and_in_order(tmp_path: Path) -> None:
    engine = EngineSide()
    async with mosquitto(tmp_path / "broker") as (host, port):
        collector = head_end(host, port, tmp_path)
        async with collecting(collector), engine.running(host, port):
            engine.write(500, padding=900)
            await engine.until(lambda: engine.acked_through == 500)
            engine.write(1)
            await engine.until(lambda: engine.acked_through == 501)
    assert holds_all(collector, engine)
    assert collector.counts(GATEWAY) == Counts(written=501, duplicates=0, gaps=0, refused=0)


async def test_the_head_end_goes_away_and_comes_back_without_a_duplicate(tmp_path: Path) -> None:
    engine = EngineSide()
    async with demo_broker() as (host, port):
        collector = head_end(host, port, tmp_path)
        async with engine.running(host, port):
            async with collecting(collector):
                engine.write(10)
                await engine.until(lambda: engine.acked_through == 10)
                await engine.until_head_end(online=True)
            await engine.until_head_end(online=False)
            engine.write(40)
            async with collecting(collector):
                await engine.until(lambda: engine.acked_through == 50)
    assert holds_all(collector, engine)
    assert collector.counts(GATEWAY) == Counts(written=50, duplicates=0, gaps=0, refused=0)


async def test_nothing_is_sent_while_the_head_end_is_known_to_be_away(tmp_path: Path) -> None:
    engine = EngineSide()
    async with mosquitto(tmp_path / "broker") as (host, port):
        collector = head_end(host, port, tmp_path)
        async with OtherEnd().listening(host, port) as other, engine.running(host, port):
            async with collecting(collector):
                await engine.until_head_end(online=True)
            await engine.until_head_end(online=False)
            engine.write(5)
            await other.until(lambda: b'"records":5' in other.on(TOPICS.status)[-1])
            assert other.on(TOPICS.records) == []


async def test_records_survive_brokers_that_stop_die_and_forget(tmp_path: Path) -> None:
    engine, broker = EngineSide(), Mosquitto(tmp_path / "broker")
    await broker.start()
    collector = head_end(broker.host, broker.port, tmp_path)
    async with collecting(collector), engine.running(broker.host, broker.port):
        for cut in (broker.kill, broker.stop, broker.kill):
            engine.write(100, padding=2000)
            await engine.until(lambda: bool(engine.acked_through))
            await cut()
            engine.write(10)
            await broker.start()
        await engine.until(lambda: engine.acked_through == 330)
    await broker.stop()
    counts = collector.counts(GATEWAY)
    assert holds_all(collector, engine)
    assert (counts.written, counts.refused) == (330, 0)


async def test_a_lost_acknowledgement_is_mended_by_sending_again(tmp_path: Path) -> None:
    engine = EngineSide()
    engine.deaf_to_acks = 1
    async with mosquitto(tmp_path / "broker") as (host, port):
        collector = head_end(host, port, tmp_path)
        async with collecting(collector), engine.running(host, port):
            engine.write(5)
            await engine.until(lambda: engine.acked_through == 5)
    assert holds_all(collector, engine)
    assert collector.counts(GATEWAY) == Counts(written=5, duplicates=5, gaps=0, refused=0)


async def test_that_the_broker_took_a_batch_clears_nothing(tmp_path: Path) -> None:
    engine = EngineSide()
    async with mosquitto(tmp_path / "broker") as (host, port):
        async with OtherEnd().listening(host, port) as other, engine.running(host, port):
            engine.write(5)
            await other.until(lambda: len(other.on(TOPICS.records)) >= 3)
        assert engine.acked_through == 0
        batches = [read_records(payload) for payload in other.on(TOPICS.records)]
        assert [(batch.first, len(batch.records)) for batch in batches[-2:]] == [(1, 5), (1, 5)]


async def test_a_gap_is_refused_and_what_is_missing_comes_again(tmp_path: Path) -> None:
    engine = EngineSide()
    engine.write(6)
    early = pack_records(GATEWAY, engine.stored[3].chain, engine.stored[4:])
    async with mosquitto(tmp_path / "broker") as (host, port):
        collector = head_end(host, port, tmp_path)
        async with collecting(collector), OtherEnd().listening(host, port) as other:
            await other.say(TOPICS.records, early.payload)
            # One as for everybody who is first heard, and one in answer to the batch.
            await other.until(lambda: len(other.on(TOPICS.ack)) == 2)
            assert collector.counts(GATEWAY) == Counts(written=0, duplicates=0, gaps=1, refused=0)
            async with engine.running(host, port):
                await engine.until(lambda: engine.acked_through == 6)
    assert holds_all(collector, engine)


async def test_garbage_for_the_head_end_is_counted_and_harms_nothing(tmp_path: Path) -> None:
    engine = EngineSide()
    async with mosquitto(tmp_path / "broker") as (host, port):
        collector = head_end(host, port, tmp_path)
        async with collecting(collector), OtherEnd().listening(host, port) as other:
            for topic in (TOPICS.records, TOPICS.status, TOPICS.birth, TOPICS.records + "/more"):
                await other.say(topic, b"\xffgarbage")
            await other.say(f"fg/v1/{UTILITY}/not an id/up/records", b"{}")
            async with engine.running(host, port):
                engine.write(3)
                await engine.until(lambda: engine.acked_through == 3)
    assert holds_all(collector, engine)
    assert collector.counts(GATEWAY).refused == 2


async def test_large_batches_travel_compressed(tmp_path: Path) -> None:
    engine = EngineSide()
    async with (
        mosquitto(tmp_path / "broker") as (host, port),
        OtherEnd().listening(host, port) as other,
        engine.running(host, port),
    ):
        engine.write(40, padding=100)
        await other.until(lambda: bool(other.on(TOPICS.records)))
    payload = other.on(TOPICS.records)[-1]
    plain = sum(len(record.content) for record in engine.stored)
    assert payload[:1] == b"\x78"
    assert len(payload) < plain / 4


async def test_a_gateway_that_restarts_hears_at_once_that_the_head_end_is_there(
    tmp_path: Path,
) -> None:
    async with mosquitto(tmp_path / "broker") as (host, port):
        collector = head_end(host, port, tmp_path, heartbeat_s=3_600)
        async with collecting(collector):
            for _ in range(3):
                await _hears_of_it(EngineSide(), host, port)


async def _hears_of_it(engine: EngineSide, host: str, port: int) -> None:
    async with engine.running(host, port):
        await engine.until(lambda: engine.signs_of_life > 0)


async def test_a_gateway_hears_again_and_again_that_the_head_end_is_there(tmp_path: Path) -> None:
    engine = EngineSide()
    async with mosquitto(tmp_path / "broker") as (host, port):
        collector = head_end(host, port, tmp_path, heartbeat_s=0.02)
        async with collecting(collector), engine.running(host, port):
            await engine.until(lambda: engine.signs_of_life >= 10)
        assert not any(word.online is False for word in engine.heard)


def test_the_heartbeat_leaves_room_for_silence_of_five_minutes() -> None:
    assert 4 * HEARTBEAT_S * 1000 < HEAD_END_SILENT_MS
