"""What the status says of reading: how often, at what cost to each bus, and how lately."""

from typing import Any

import msgspec

from gateway.console.status_words import status_lines
from gateway.core.fact import BusSeen, PollingSeen
from gateway.core.image import Image
from gateway.core.model import BusId, GatewayId, Now, Station
from gateway.core.readings import ReadStatus
from gateway.core.status import status_of
from tests.signing import ROOT

NOW = Now(mono_ms=900_000, boot="boot-1", wall_ms=1_795_400_000_000, wall_low_ms=0)
STRETCHED = PollingSeen(
    devices=64,
    share_percent=50,
    wished_percent=74,
    waiting_ms=2_000,
    connected_ms=10_000,
    checked_ms=5_000,
    values_ms=61_000,
)


def shown(**told: Any) -> str:
    """The status of a gateway to which nothing has come, but for what is told."""
    station = Station(gateway=GatewayId("gw-1"), buses=(), profiles={})
    blank = status_of(Image(station=station, root=ROOT), NOW)
    return "\n".join(status_lines(msgspec.structs.replace(blank, **told)))


def bus(polling: PollingSeen | None) -> tuple[BusSeen, ...]:
    return (BusSeen(bus=BusId("A"), open=True, polling=polling),)


def test_how_often_a_bus_is_read_is_said_with_what_that_takes() -> None:
    said = shown(buses=bus(STRETCHED))
    assert "reading 64 devices takes 50% of its time: states every 00:10, 00:02 where" in said
    assert "values every 01:01; as often as wished would take 74%" in said


def test_what_fits_is_read_as_wished() -> None:
    fits = msgspec.structs.replace(STRETCHED, wished_percent=50)
    assert "as wished" not in shown(buses=bus(fits))


def test_nothing_is_said_of_a_bus_that_is_not_read_yet() -> None:
    assert "reading" not in shown(buses=bus(None))


def test_how_lately_everybody_was_read_is_said() -> None:
    read = ReadStatus(
        states={"GOOD": 62, "STALE": 1, "UNREAD": 0},
        oldest_ms=130_000,
        values={"GOOD": 0, "STALE": 0, "UNREAD": 63},
        values_oldest_ms=None,
    )
    said = shown(read=read)
    assert "read      states: 62 GOOD, 1 STALE; the oldest 02:10 ago\n" in said
    assert "          values: 63 UNREAD\n" in said
    assert "states: none\n" in shown()
