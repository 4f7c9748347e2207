"""Readings over the link: after the records, in batches, each once, until they are acknowledged."""

from pathlib import Path

import msgspec
import pytest

from gateway.headend.batches import READINGS_BATCHES_MAX
from gateway.headend.messages import BadPayload, MessageFlaw, pack_ack, read_ack
from gateway.headend.metering import (
    COUNT_MAX,
    READINGS_MAX,
    MeterReading,
    Place,
    pack_readings,
    read_readings,
)
from tests.rooms.brokers import Mosquitto, mosquitto
from tests.rooms.headend.engine_side import GATEWAY, EngineSide, reading
from tests.rooms.headend.other_end import TOPICS, OtherEnd
from tests.rooms.headend.test_headend_records import collecting, head_end

PLACE = Place(number=7, chain="ab" * 32)


def packed(first: int, last: int) -> bytes:
    readings = [reading(ordinal) for ordinal in range(first, last + 1)]
    return pack_readings(GATEWAY, PLACE, first - 1, first - 1, readings, last).payload


def test_a_batch_says_what_was_read_and_after_which_record() -> None:
    batch = read_readings(packed(3, 5))
    assert (batch.gateway, batch.first, batch.last, batch.acked) == (GATEWAY, 3, 5, 2)
    assert batch.after == PLACE
    assert batch.readings == (reading(3), reading(4), reading(5))


def test_a_batch_holds_as_many_as_a_message_takes_and_says_how_far_it_goes() -> None:
    readings = [reading(ordinal) for ordinal in range(1, COUNT_MAX + 1)]
    first = pack_readings(GATEWAY, PLACE, 0, 0, readings, COUNT_MAX)
    batch = read_readings(first.payload)
    assert batch.last == first.last == len(batch.readings) < COUNT_MAX
    assert first.payload[:1] == b"\x78"
    assert len(msgspec.json.encode(batch)) <= READINGS_MAX
    short = MeterReading(ordinal=1, meter="M", wall_ms=1, trusted=True, state=reading(1).state)
    assert COUNT_MAX * len(msgspec.json.encode(short)) > READINGS_MAX


def test_a_batch_without_readings_says_that_there_are_none() -> None:
    none = pack_readings(GATEWAY, PLACE, 4, 4, [], 9)
    batch = read_readings(none.payload)
    assert (batch.first, batch.last, batch.readings) == (5, 9, ())


def changed(**members: object) -> bytes:
    batch = read_readings(packed(3, 5))
    return msgspec.json.encode(msgspec.structs.replace(batch, **members))


@pytest.mark.parametrize(
    ("payload", "flaw"),
    [
        (b"{}", MessageFlaw.MALFORMED_READINGS),
        (b"\x78garbage", MessageFlaw.MALFORMED_READINGS),
        (b"x" * (READINGS_MAX + 1), MessageFlaw.MALFORMED_READINGS),
        (b" " * (READINGS_MAX + 1), MessageFlaw.TOO_LONG),
        (changed(first=4), MessageFlaw.MALFORMED_READINGS),
        (changed(last=4), MessageFlaw.MALFORMED_READINGS),
        (changed(acked=3), MessageFlaw.MALFORMED_READINGS),
        (changed(readings=(reading(4), reading(3))), MessageFlaw.MALFORMED_READINGS),
        (changed(readings=(reading(4), reading(4))), MessageFlaw.MALFORMED_READINGS),
        (changed(first=6, last=4, readings=()), MessageFlaw.MALFORMED_READINGS),
    ],
)
def test_what_is_no_batch_is_refused_by_name(payload: bytes, flaw: MessageFlaw) -> None:
    with pytest.raises(BadPayload) as bad:
        read_readings(payload)
    assert bad.value.flaw is flaw


def test_an_acknowledgement_may_say_how_far_readings_are_held() -> None:
    assert read_ack(pack_ack(7, bytes(32), 12)).readings == 12
    assert read_ack(pack_ack(7, bytes(32))).readings is None
    assert b"readings" not in pack_ack(7, bytes(32))


async def test_readings_follow_when_every_record_is_held(tmp_path: Path) -> None:
    engine = EngineSide()
    engine.write(60, padding=2_000)
    engine.measure(1_500)
    async with mosquitto(tmp_path / "broker") as (host, port):
        collector = head_end(host, port, tmp_path)
        async with OtherEnd().listening(host, port) as other:
            async with collecting(collector), engine.running(host, port):
                await engine.until(lambda: engine.readings_acked_through == 1_500)
                engine.measure(3)
                await engine.until(lambda: engine.readings_acked_through == 1_503)
            heard = [message.topic for message in other.heard]
        assert TOPICS.records not in heard[heard.index(TOPICS.readings) :]
    assert collector.readings(GATEWAY) == tuple(engine.readings)


async def test_no_more_readings_are_under_way_than_the_window_takes(tmp_path: Path) -> None:
    engine = EngineSide()
    engine.write(1)
    engine.measure(5_000)
    async with (
        mosquitto(tmp_path / "broker") as (host, port),
        OtherEnd().listening(host, port) as other,
        engine.running(host, port),
    ):
        await other.until(lambda: bool(other.on(TOPICS.records)))
        assert other.on(TOPICS.readings) == []
        await other.say(TOPICS.ack, pack_ack(1, engine.stored[0].chain))
        # The fifth is the first one again: nobody has acknowledged it.
        await other.until(lambda: len(other.on(TOPICS.readings)) > READINGS_BATCHES_MAX)
    said = [read_readings(raw) for raw in other.on(TOPICS.readings)]
    window = said[:READINGS_BATCHES_MAX]
    assert [one.first for one in window] == [1, *(one.last + 1 for one in window[:-1])]
    assert said[READINGS_BATCHES_MAX].first == 1


async def test_what_was_thinned_away_does_not_hold_the_rest_up(tmp_path: Path) -> None:
    engine = EngineSide()
    engine.write(1)
    engine.measure(10, thinned=4)
    engine.measure(5, thinned=5)
    async with mosquitto(tmp_path / "broker") as (host, port):
        collector = head_end(host, port, tmp_path)
        async with collecting(collector), engine.running(host, port):
            await engine.until(lambda: engine.readings_acked_through == 15)
    assert [one.ordinal for one in collector.readings(GATEWAY)] == [5, 6, 7, 8, 9, 10]


async def test_readings_survive_a_broker_that_dies_and_lost_acknowledgements(
    tmp_path: Path,
) -> None:
    engine, broker = EngineSide(), Mosquitto(tmp_path / "broker")
    engine.write(1)
    await broker.start()
    collector = head_end(broker.host, broker.port, tmp_path)
    async with collecting(collector), engine.running(broker.host, broker.port):
        await engine.until(lambda: engine.acked_through == 1)
        engine.deaf_to_acks = 1
        engine.measure(2_000)
        await engine.until(lambda: engine.readings_acked_through > 0)
        await broker.kill()
        engine.measure(500)
        await broker.start()
        await engine.until(lambda: engine.readings_acked_through == 2_500)
    await broker.stop()
    assert collector.readings(GATEWAY) == tuple(engine.readings)


async def test_what_is_no_batch_is_counted_and_holds_nothing_up(tmp_path: Path) -> None:
    engine = EngineSide()
    engine.write(1)
    engine.measure(2)
    async with mosquitto(tmp_path / "broker") as (host, port):
        collector = head_end(host, port, tmp_path)
        async with collecting(collector), OtherEnd().listening(host, port) as other:
            await other.say(TOPICS.readings, b"garbage")
            await other.say(TOPICS.readings, packed(1, 9))
            async with engine.running(host, port):
                await engine.until(lambda: engine.readings_acked_through == 2)
    assert collector.counts(GATEWAY).refused == 1
    assert collector.readings(GATEWAY) == tuple(engine.readings)
