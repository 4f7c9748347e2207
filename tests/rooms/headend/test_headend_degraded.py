"""While the disk takes nothing documents stay with the broker, and come again when it is mended."""

from pathlib import Path

from gateway.headend.messages import pack_ack, pack_host
from tests.rooms.brokers import mosquitto
from tests.rooms.headend.engine_side import EngineSide
from tests.rooms.headend.other_end import TOPICS, OtherEnd

DOCUMENTS = [b"eyJ.%d" % number for number in range(30)]


async def test_documents_are_not_lost_and_the_head_end_is_heard_meanwhile(tmp_path: Path) -> None:
    engine = EngineSide()
    async with (
        mosquitto(tmp_path) as (host, port),
        OtherEnd().listening(host, port) as other,
        engine.running(host, port),
    ):
        await engine.until_connected()
        engine.disk_takes(nothing=True)
        for raw in DOCUMENTS:
            await other.say(TOPICS.document, raw)
        await engine.until(lambda: len(engine.documents) > 0)
        before = engine.signs_of_life
        await other.say(TOPICS.host, pack_host(online=True, ts=1))
        await engine.until(lambda: engine.signs_of_life > before)
        engine.disk_takes(nothing=False)
        refused = len(engine.documents)
        await engine.until(lambda: engine.documents[refused:] == DOCUMENTS)
        assert len(engine.brokers) == 3, "it was left and dialled once more"


async def test_an_acknowledgement_is_not_kept_back(tmp_path: Path) -> None:
    engine = EngineSide()
    async with (
        mosquitto(tmp_path) as (host, port),
        OtherEnd().listening(host, port) as other,
        engine.running(host, port),
    ):
        await engine.until_connected()
        engine.write(1)
        engine.disk_takes(nothing=True)
        await other.say(TOPICS.ack, pack_ack(1, engine.stored[0].chain))
        await engine.until(lambda: len(engine.events) > 1)
        engine.disk_takes(nothing=False)
        assert engine.acked_through == 0
        await other.say(TOPICS.ack, pack_ack(1, engine.stored[0].chain))
        await engine.until(lambda: engine.acked_through == 1)
        assert len(engine.brokers) == 1
