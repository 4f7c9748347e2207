"""The network between gateway, broker and head end is cut at MQTT packets, 60 of them in a run."""

from pathlib import Path

import pytest

from tests.campaign.link import Campaign, points_of
from tests.campaign.link_world import World
from tests.rooms.headend.cutting_proxy import Kind, Manner, Moment, Packets, Way

POINTS, SEED = 60, 7
CONNECT_5 = bytes.fromhex("10 0f 0004 4d515454 05 02 003c 00 0002 6777")
PUBLISH_5 = bytes.fromhex("32 0d 0003 612f62 0007 02 0101 7b7d 20")
PUBLISH_311 = bytes.fromhex("32 0a 0003 612f62 0007 7b7d 20")


@pytest.mark.timeout(280)
async def test_wherever_the_network_is_cut_nothing_is_lost_and_nothing_happens_twice(
    tmp_path: Path,
) -> None:
    points = points_of(POINTS, SEED)
    found = await Campaign(points).run(tmp_path)
    assert found.faults == ()
    assert sorted(map(str, found.points)) == sorted(map(str, points))
    assert found.doubled > 0, "documents that were delivered again were among them"
    assert any("before it was on disk" in fault for fault in found.careless)
    assert any("not at the head end" in fault for fault in found.careless)


def test_the_points_of_a_run_are_of_every_kind() -> None:
    points = points_of(POINTS, SEED)
    assert {(point.near, point.cut.way, point.cut.kind) for point in points} >= {
        (near, way, kind)
        for near in (True, False)
        for way, kind in (
            (Way.UP, Kind.CONNECT),
            (Way.DOWN, Kind.CONNACK),
            (Way.UP, Kind.SUBSCRIBE),
            (Way.UP, Kind.PUBLISH),
            (Way.DOWN, Kind.PUBLISH),
            (Way.UP, Kind.PUBACK),
            (Way.DOWN, Kind.PUBACK),
            (Way.UP, Kind.DISCONNECT),
        )
    }
    assert {point.cut.moment for point in points} == set(Moment)
    assert {point.cut.manner for point in points} == set(Manner)
    assert points == points_of(POINTS, SEED)
    assert points != points_of(POINTS, SEED + 1)


@pytest.mark.parametrize(("raw", "level"), [(PUBLISH_5, 5), (PUBLISH_311, 4)])
def test_packets_are_told_apart_wherever_the_bytes_are_parted(raw: bytes, level: int) -> None:
    raw = raw[:1] + bytes([len(raw) - 2]) + raw[2:]
    stream = CONNECT_5 + raw + b"\x40\x02\x00\x07"
    for size in range(1, len(stream) + 1):
        packets = Packets(Way.UP)
        found = [
            packet
            for at in range(0, len(stream), size)
            for packet in packets.take(stream[at : at + size], level)
        ]
        assert [one.kind for one in found] == [Kind.CONNECT, Kind.PUBLISH, Kind.PUBACK]
        assert b"".join(one.raw for one in found) == stream
        assert [one.mid for one in found] == [0, 7, 7]
        assert (found[1].topic, found[1].payload) == ("a/b", raw[-3:])


async def test_the_judge_sees_an_order_that_was_carried_out_twice(tmp_path: Path) -> None:
    async with World.opened(tmp_path / "world", homes=1) as world:
        assert await world.order() == ""
        assert await world.faults() == []
        with world.gateway.contacts_file.open("a", encoding="ascii") as file:
            file.write("closed M1\n")
        assert await world.faults() == ["1 orders made 2 closes: Counter({'closed M1': 2})"]
