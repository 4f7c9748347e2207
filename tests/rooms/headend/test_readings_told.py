"""Readings go from the bus to the journal, to the head end, and are let go of when it has them."""

from pathlib import Path

from gateway.core.model import SupplyState
from gateway.headend.messages import pack_ack
from gateway.headend.metering import ReadingsBatch, read_readings
from tests.core.papers import MINUTE_MS
from tests.rooms.headend.whole_gateway import TOPICS, Head, WholeGateway, whole


def batches(head: Head) -> list[ReadingsBatch]:
    return [read_readings(raw) for raw in head.on(TOPICS.readings)]


def ack_of_all(ours: WholeGateway, readings: int | None = None) -> bytes:
    image = ours.image
    return pack_ack(image.number, image.chain, readings)


async def test_what_was_measured_reaches_the_head_end_once_it_has_every_record(
    tmp_path: Path,
) -> None:
    async with whole(tmp_path) as (ours, head):
        await ours.closes()
        ours.clock.wait(15 * MINUTE_MS)
        await ours.reads("M1", SupplyState.CONNECTED, energy_wh=1_234)
        ours.clock.wait(MINUTE_MS)
        await ours.reads("M2", SupplyState.CONNECTED, energy_wh=77)
        await ours.until(lambda: ours.image.readings_last >= 3)
        assert batches(head) == [], "records go first"
        await head.say(TOPICS.ack, ack_of_all(ours))
        await head.until(lambda: bool(batches(head)))
        told = [(one.meter, one.energy_wh) for batch in batches(head) for one in batch.readings]
        assert ("M1", 1_234) in told
        assert ("M2", 77) in told
        last = ours.image.readings_last
        await head.say(TOPICS.ack, ack_of_all(ours, last))
        await ours.until(lambda: ours.image.readings_acked_through == last)
