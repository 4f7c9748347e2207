"""The room of the head-end link against a real broker: documents in, status out."""

import asyncio
import contextlib
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from gateway.bench.broker import demo_broker
from gateway.core.fact import AckClaim, BadMessage, BrokerSeen, DocumentClaim, HeadEndSeen, Road
from gateway.headend.messages import DOCUMENT_MAX, pack_ack, pack_host
from tests.rooms.brokers import Mosquitto, mosquitto
from tests.rooms.headend.engine_side import PATIENCE_S, EngineSide
from tests.rooms.headend.other_end import TOPICS, OtherEnd

HASH = bytes(32)


def online(payload: bytes) -> bool:
    return bool(msgspec.json.decode(payload)["online"])


@contextlib.asynccontextmanager
async def linked(tmp_path: Path) -> AsyncIterator[tuple[EngineSide, OtherEnd]]:
    """A room with a Mosquitto, and somebody at the other end."""
    engine = EngineSide()
    async with (
        mosquitto(tmp_path) as (host, port),
        OtherEnd().listening(host, port) as other,
        engine.running(host, port),
    ):
        await engine.until_connected()
        yield engine, other


async def test_mosquitto_is_spoken_to_in_mqtt_5(tmp_path: Path) -> None:
    async with linked(tmp_path) as (engine, _):
        assert engine.brokers == [BrokerSeen(connected=True, protocol="MQTT 5")]


async def test_amqtt_is_spoken_to_in_3_1_1() -> None:
    engine = EngineSide()
    async with demo_broker() as (host, port), engine.running(host, port):
        assert await engine.until_connected() == BrokerSeen(connected=True, protocol="MQTT 3.1.1")


async def test_a_document_is_posted_as_it_came_with_its_road(tmp_path: Path) -> None:
    async with linked(tmp_path) as (engine, other):
        await other.say(TOPICS.document, b"eyJ.one")
        await other.say(TOPICS.document, zlib.compress(b"eyJ.two"))
        await engine.until(lambda: len(engine.documents) == 2)
        assert [event for event in engine.events if isinstance(event, DocumentClaim)] == [
            DocumentClaim(raw=b"eyJ.one", road=Road.MQTT),
            DocumentClaim(raw=b"eyJ.two", road=Road.MQTT),
        ]


async def test_a_retained_document_is_flagged(tmp_path: Path) -> None:
    engine = EngineSide()
    async with mosquitto(tmp_path) as (host, port), OtherEnd().listening(host, port) as other:
        await other.say(TOPICS.document, b"eyJ.kept", retain=True)
        async with engine.running(host, port):
            await engine.until(lambda: bool(engine.documents))
    assert DocumentClaim(raw=b"eyJ.kept", road=Road.MQTT, retained=True) in engine.events


async def test_a_10_mb_document_is_posted_cut_so_that_its_length_is_refused(tmp_path: Path) -> None:
    async with linked(tmp_path) as (engine, other):
        await other.say(TOPICS.document, b"e" * 10_000_000)
        await other.say(TOPICS.document, zlib.compress(bytes(100_000_000)))
        await other.say(TOPICS.document, b"eyJ.after")
        await engine.until(lambda: len(engine.documents) == 3)
        assert [len(raw) for raw in engine.documents] == [DOCUMENT_MAX + 1, DOCUMENT_MAX + 1, 9]
        assert len(engine.brokers) == 1


async def test_a_document_is_delivered_again_until_it_was_answered(tmp_path: Path) -> None:
    unanswered, answered, later = EngineSide(), EngineSide(), EngineSide()
    unanswered.answers = False
    async with mosquitto(tmp_path) as (host, port), OtherEnd().listening(host, port) as other:
        async with unanswered.running(host, port):
            await unanswered.until_connected()
            await other.say(TOPICS.document, b"eyJ.first")
            await unanswered.until(lambda: unanswered.documents == [b"eyJ.first"])
        async with answered.running(host, port):
            await answered.until(lambda: answered.documents == [b"eyJ.first"])
        async with later.running(host, port):
            await later.until_connected()
            await other.say(TOPICS.document, b"eyJ.second")
            await later.until(lambda: bool(later.documents))
            assert later.documents == [b"eyJ.second"]


async def test_documents_wait_at_the_broker_while_the_gateway_is_away(tmp_path: Path) -> None:
    before, after = EngineSide(), EngineSide()
    broker = Mosquitto(tmp_path)
    await broker.start()
    async with before.running(broker.host, broker.port):
        await before.until_connected()
    async with OtherEnd().listening(broker.host, broker.port) as other:
        for number in range(30):
            await other.say(TOPICS.document, b"eyJ.%d" % number)
    await broker.stop()
    await broker.start()
    async with after.running(broker.host, broker.port):
        await after.until(lambda: len(after.documents) == 30)
    await broker.stop()
    assert after.documents == [b"eyJ.%d" % number for number in range(30)]


async def test_a_full_inbox_loses_nothing_and_keeps_the_order(tmp_path: Path) -> None:
    async with linked(tmp_path) as (engine, other):
        engine.full_for = 5
        for number in range(40):
            await other.say(TOPICS.document, b"eyJ.%d" % number)
        await engine.until(lambda: len(engine.documents) == 40)
        assert engine.documents == [b"eyJ.%d" % number for number in range(40)]
        assert engine.turned_away == 5


async def test_garbage_on_every_topic_is_refused_by_name_and_changes_nothing(
    tmp_path: Path,
) -> None:
    garbage = b"\x00\xff garbage"
    async with linked(tmp_path) as (engine, other):
        await other.say(TOPICS.document, garbage)
        await other.say(TOPICS.ack, garbage)
        await other.say(TOPICS.host, garbage)
        await other.say(TOPICS.ack, b" " * 5000)
        await other.say(TOPICS.document.replace("document", "other"), garbage)
        await other.say(TOPICS.ack, pack_ack(0, HASH))
        await engine.until(lambda: AckClaim(through=0, chain=HASH.hex()) in engine.events)
        named = [event.name for event in engine.events if isinstance(event, BadMessage)]
        assert named == ["MALFORMED_ACK", "MALFORMED_HOST", "TOO_LONG"]
        assert engine.documents == [garbage]
        assert len(engine.brokers) == 1


async def test_the_head_ends_own_word_is_told(tmp_path: Path) -> None:
    async with linked(tmp_path) as (engine, other):
        await other.say(TOPICS.host, pack_host(online=True, ts=1), retain=True)
        await other.say(TOPICS.host, pack_host(online=False, ts=2), retain=True)
        await engine.until_head_end(online=False)
        assert engine.heard == [HeadEndSeen(online=True), HeadEndSeen(online=False)]


async def test_what_the_broker_kept_of_the_head_end_is_no_sign_of_life(tmp_path: Path) -> None:
    before, after = EngineSide(), EngineSide()
    async with mosquitto(tmp_path) as (host, port), OtherEnd().listening(host, port) as other:
        async with before.running(host, port):
            await before.until_connected()
            await other.say(TOPICS.host, pack_host(online=True, ts=1), retain=True)
            await before.until(lambda: before.heard == [HeadEndSeen(online=True)])
        for ts in (2, 3, 4):  # said to nobody: the broker keeps the last one only
            await other.say(TOPICS.host, pack_host(online=True, ts=ts), retain=True)
        await other.say(TOPICS.document, b"eyJ.last")
        async with after.running(host, port):
            await after.until(lambda: bool(after.heard and after.documents))
            assert after.heard == [HeadEndSeen(online=True, kept_by_broker=True)]
            assert after.signs_of_life == 0
            await other.say(TOPICS.host, pack_host(online=True, ts=5), retain=True)
            await after.until(lambda: after.signs_of_life == 1)


async def test_birth_and_status_are_retained_and_follow_the_image(tmp_path: Path) -> None:
    engine = EngineSide()
    async with mosquitto(tmp_path) as (host, port), engine.running(host, port):
        async with OtherEnd().listening(host, port) as other:
            await other.until(lambda: bool(other.on(TOPICS.birth) and other.on(TOPICS.status)))
            engine.write(3)
            await other.until(lambda: b'"records":3' in other.on(TOPICS.status)[-1])
        async with OtherEnd().listening(host, port) as late:
            await late.until(lambda: bool(late.on(TOPICS.birth) and late.on(TOPICS.status)))
            assert all(message.retained for message in late.heard)


async def test_leaving_in_order_is_said(tmp_path: Path) -> None:
    engine = EngineSide()
    async with mosquitto(tmp_path) as (host, port), OtherEnd().listening(host, port) as other:
        async with engine.running(host, port):
            await other.until(lambda: [*map(online, other.on(TOPICS.status))][-1:] == [True])
        await other.until(lambda: not online(other.on(TOPICS.status)[-1]))


async def test_the_will_is_said_when_the_gateway_is_killed(tmp_path: Path) -> None:
    async with mosquitto(tmp_path) as (host, port), OtherEnd().listening(host, port) as other:
        module = "tests.rooms.headend.lone_gateway"
        with subprocess.Popen([sys.executable, "-m", module, host, str(port)]) as process:
            await other.until(lambda: [*map(online, other.on(TOPICS.status))][-1:] == [True])
            process.kill()
        await other.until(lambda: not online(other.on(TOPICS.status)[-1]))


async def test_a_wrong_password_is_said_and_the_right_one_connects(tmp_path: Path) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("correct horse\n", encoding="utf-8")
    wrong.write_text("battery staple\n", encoding="utf-8")
    passwords = tmp_path / "passwords"
    tool = ["mosquitto_passwd", "-b", "-c", str(passwords), "gw-1", "correct horse"]
    subprocess.run(tool, check=True)
    options = ("allow_anonymous false", f"password_file {passwords}")
    broker = Mosquitto(tmp_path / "broker", options=options)
    await broker.start()
    barred, admitted = EngineSide(), EngineSide()
    async with barred.running(broker.host, broker.port, username="gw-1", password_file=str(wrong)):
        await barred.until(lambda: bool(barred.brokers))
    async with admitted.running(
        broker.host, broker.port, username="gw-1", password_file=str(right)
    ):
        await admitted.until_connected()
    await broker.stop()
    assert not barred.brokers[0].connected
    assert barred.brokers[0].detail == "the broker refuses: Not authorized"


async def test_a_broker_that_comes_late_goes_and_comes_back(tmp_path: Path) -> None:
    engine, broker = EngineSide(), Mosquitto(tmp_path)
    async with engine.running(broker.host, broker.port):
        await engine.until(lambda: bool(engine.brokers))
        assert "cannot be reached" in engine.brokers[0].detail
        await broker.start()
        await engine.until_connected()
        await broker.kill()
        await engine.until(lambda: not engine.brokers[-1].connected)
        await broker.start()
        await engine.until_connected()
    await broker.stop()


async def test_leaving_does_not_wait_for_a_broker_that_is_stuck(tmp_path: Path) -> None:
    engine, broker = EngineSide(), Mosquitto(tmp_path)
    await broker.start()
    async with asyncio.timeout(PATIENCE_S), engine.running(broker.host, broker.port):
        await engine.until_connected()
        broker.freeze()
    broker.thaw()
    await broker.stop()


async def test_a_topic_that_the_broker_does_not_take_is_said(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.write_text(f"topic write {TOPICS.status}\ntopic read fg/#\n", encoding="ascii")
    engine, broker = (
        EngineSide(),
        Mosquitto(tmp_path / "broker", options=("allow_anonymous true", f"acl_file {rules}")),
    )
    await broker.start()
    async with engine.running(broker.host, broker.port):
        await engine.until(lambda: len(engine.brokers) == 2)
    await broker.stop()
    assert engine.brokers[1].connected
    assert engine.brokers[1].detail == f"the broker does not take {TOPICS.birth}: Not authorized"
