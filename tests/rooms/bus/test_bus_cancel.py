"""The cancel of a close that a meter refused, where it may remember and carry it out later."""

from pathlib import Path

import msgspec
import pytest

from gateway.core.fact import MeterSeen, Outcome, SwitchReport, Why
from tests.rooms.bus.gateway_side import command, held
from tests.rooms.bus.small_town import ACREL, DDS, FORCE_CLOSED, RELAY_ON, Town, town
from tests.rooms.bus.wire import Behaviour, Speech, framed, slaves

REMEMBERS = """
extends = "dds238-2-zn-sr"
[cancel]
writes = [{ function = 16, address = 0x0020, values = [9] }]
evidence = "manual"
source = "this site's meters"
"""
REMEMBERS_BY_NUMBER = """
extends = "acrel-ddsy1352"
[state]
address = 0x0165
[cancel]
writes = [{ function = 16, address = 0x0057, values = [0, 0] }]
evidence = "manual"
source = "this site's meters"
"""
FORGET = (16, 0x0020, (9,))
METER = msgspec.structs.replace(DDS, profile="dds-remembers")


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    (tmp_path / "dds-remembers.toml").write_text(REMEMBERS)
    return tmp_path


async def test_a_close_that_the_meter_refused_is_cancelled_once(profiles: Path) -> None:
    async with town(profiles, METER) as it:
        it.end.behaviour = refusing(it, RELAY_ON)
        report = await it.report(command(METER))
        assert (report.outcome, report.why) == (Outcome.FAILED, Why.EXCEPTION)
        assert report.writes == 1
        assert it.dds.writes == [RELAY_ON, FORGET]


async def test_a_close_that_had_no_effect_is_cancelled_after_the_last_write(
    profiles: Path,
) -> None:
    async with town(profiles, METER) as it:
        it.dds.obey = None
        report = await it.report(command(METER))
        assert (report.outcome, report.why) == (Outcome.FAILED, Why.STILL_OPEN)
        assert report.writes == 2
        assert it.dds.writes == [RELAY_ON, RELAY_ON, FORGET]


async def test_a_cancel_that_fails_is_warned_of_and_changes_no_outcome(
    profiles: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with town(profiles, METER) as it:
        it.end.behaviour = refusing(it, RELAY_ON, FORGET)
        report = await it.report(command(METER))
        assert (report.outcome, report.why) == (Outcome.FAILED, Why.EXCEPTION)
        assert it.dds.writes == [RELAY_ON, FORGET]
    (warning,) = [one for one in caplog.records if "cancel" in one.message]
    assert warning.levelname == "WARNING"
    assert METER.serial in warning.message


async def test_a_close_that_a_hold_stops_before_its_second_write_is_cancelled(
    profiles: Path,
) -> None:
    async with town(profiles, METER) as it:

        def is_lost(_: int, __: int, ___: tuple[int, ...]) -> None:
            it.buses.show(held(it.image, METER.serial))

        it.dds.obey = is_lost
        report = await it.report(command(METER))
        assert (report.outcome, report.verdict, report.writes) == (
            Outcome.REFUSED,
            "METER_HELD",
            1,
        )
        assert it.dds.writes == [RELAY_ON, FORGET]


async def test_what_was_never_sent_or_has_closed_is_not_cancelled(profiles: Path) -> None:
    async with town(profiles, METER) as it:
        it.buses.show(held(it.image, METER.serial))
        first = await it.report(command(METER, number=1))
        it.buses.show(it.image)
        second = await it.report(command(METER, number=2))
        assert (first.outcome, second.outcome) == (Outcome.REFUSED, Outcome.CLOSED_VERIFIED)
        assert it.dds.writes == [RELAY_ON]


async def test_a_switch_that_does_not_read_open_any_more_is_not_cancelled(profiles: Path) -> None:
    async with town(profiles, METER) as it:
        await it.inbox.first(MeterSeen)
        obeying, reads = slaves(it.units), 0

        def makes_no_sense_later(request: bytes) -> Speech:
            nonlocal reads
            reads += bool(it.dds.writes) and request[3] == 0x1A and request[1] == 3
            if reads > 2:
                it.dds.tables[3][0x1A] = 7
            return obeying(request)

        it.dds.obey, it.end.behaviour = None, makes_no_sense_later
        report = await it.report(command(METER))
        assert (report.outcome, report.verdict) == (Outcome.REFUSED, "STATE_UNKNOWN")
        assert it.dds.writes == [RELAY_ON]


async def test_another_meter_that_was_put_in_its_place_is_not_cancelled(tmp_path: Path) -> None:
    (tmp_path / "acrel-remembers.toml").write_text(REMEMBERS_BY_NUMBER)
    numbered = msgspec.structs.replace(ACREL, profile="acrel-remembers")
    async with town(tmp_path, numbered) as it:

        def is_swapped(_: int, __: int, ___: tuple[int, ...]) -> None:
            it.acrel.tables[3][0x45] = 0x9999

        it.acrel.obey = is_swapped
        report = await it.report(command(numbered))
        assert (report.outcome, report.verdict) == (Outcome.REFUSED, "WRONG_METER")
        assert it.acrel.writes == [FORCE_CLOSED]


async def test_a_close_that_was_taken_up_again_only_reads(profiles: Path) -> None:
    async with town(profiles, METER) as it:
        report: SwitchReport = await it.report(command(METER, resumed=True, writes_max=0))
        assert (report.outcome, report.why) == (Outcome.FAILED, Why.STILL_OPEN)
        assert it.dds.writes == []


def refusing(it: Town, *writes: tuple[int, int, tuple[int, ...]]) -> Behaviour:
    """The meter takes these writes with an exception and does nothing."""
    obeying = slaves(it.units)
    it.dds.obey = None

    def behave(request: bytes) -> Speech:
        said = obeying(request)
        refused = request[1] == 16 and it.dds.writes[-1] in writes
        return [(0, framed(request[0], 0x90, 4))] if refused else said

    return behave
