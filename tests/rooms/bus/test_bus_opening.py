"""The opening sequence of the room, against small meters of each type on a pseudo terminal."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from gateway.core.fact import MeterSeen, Move, Outcome, SwitchReport, Why
from gateway.core.image import Image, with_kept
from gateway.core.model import Meter, SupplyState
from tests.rooms.bus.gateway_side import command, paid_since
from tests.rooms.bus.small_town import (
    ACREL,
    COIL_OFF,
    DDS,
    FORCE_OPEN,
    RELAY_OFF,
    SDM,
    amperes,
    ordered_town,
    volts,
)
from tests.rooms.bus.wire import Slave, Speech, slaves


async def test_an_acrel_is_opened_by_force_and_verified_by_its_status_word(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, ACREL) as it:
        report = await it.report(command(ACREL, move=Move.OPEN))
        assert (report.move, report.outcome, report.why) == (
            Move.OPEN,
            Outcome.OPENED_VERIFIED,
            Why.NONE,
        )
        assert report.forced
        assert it.acrel.writes == [FORCE_OPEN]
        assert report.writes == 1
        assert report.written_ms is not None
        assert report.verified_ms is not None
        assert report.written_ms < report.verified_ms
        assert report.reading is not None
        assert report.reading.serial == "220315000001"
        assert (report.reading.state, report.reading.current_ma) == (SupplyState.DISCONNECTED, 0)


async def test_a_dds238_is_verified_by_the_current_that_has_stopped(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, DDS) as it:
        report = await it.report(command(DDS, move=Move.OPEN))
        assert report.outcome is Outcome.OPENED_VERIFIED
        assert not report.forced
        assert it.dds.writes == [RELAY_OFF]


async def test_a_dds238_that_carried_nothing_cannot_show_it(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, DDS) as it:
        it.dds.tables[3][0x0D] = 0
        report = await it.report(command(DDS, move=Move.OPEN))
        assert (report.outcome, report.why) == (Outcome.OPENED_UNVERIFIED, Why.NONE)


async def test_a_relay_board_is_verified_by_its_contact_and_the_voltage(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, SDM) as it:
        report = await it.report(command(SDM, move=Move.OPEN))
        assert report.outcome is Outcome.OPENED_VERIFIED
        assert it.board.writes == [COIL_OFF]
        assert it.sdm.writes == []
        assert report.reading is not None
        assert (report.reading.load_mv, report.reading.current_ma) == (0, 0)


@pytest.mark.parametrize("still_there", [volts(229.0), amperes(0.4)], ids=["voltage", "current"])
async def test_an_open_contact_behind_which_something_is_live_is_not_called_verified(
    tmp_path: Path, still_there: dict[int, int]
) -> None:
    async with ordered_town(tmp_path, SDM) as it:

        def contact_only(_: int, address: int, __: tuple[int, ...]) -> None:
            it.board.tables[2][address] = 0
            it.sdm.tables[4] |= {**volts(0), **amperes(0), **still_there}

        it.board.obey = contact_only
        report = await it.report(command(SDM, move=Move.OPEN))
        assert (report.outcome, report.why) == (Outcome.OPENED_UNVERIFIED, Why.READS_DISAGREE)


async def test_a_meter_that_still_shows_what_it_measured_before_is_measured_again(
    tmp_path: Path,
) -> None:
    async with ordered_town(tmp_path, SDM) as it:
        obeying, measured = slaves(it.units), 0

        def contact_only(_: int, address: int, __: tuple[int, ...]) -> None:
            it.board.tables[2][address] = 0

        def late(request: bytes) -> Speech:
            nonlocal measured
            measured += bool(it.board.writes) and request[1] == 4
            if measured > 2:
                it.sdm.tables[4] |= {**volts(0), **amperes(0)}
            return obeying(request)

        it.board.obey, it.end.behaviour = contact_only, late
        report = await it.report(command(SDM, move=Move.OPEN))
        assert report.outcome is Outcome.OPENED_VERIFIED


async def test_a_contactor_that_takes_its_time_is_read_after_it_has_settled(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, SDM) as it:
        opens = it.board.obey
        assert opens is not None

        def takes_its_time(function: int, address: int, values: tuple[int, ...]) -> None:
            asyncio.get_running_loop().call_later(0.1, opens, function, address, values)

        it.board.obey = takes_its_time
        report = await it.report(command(SDM, move=Move.OPEN))
        assert report.outcome is Outcome.OPENED_VERIFIED


async def test_the_steps_stand_in_their_order_with_one_write_and_two_read_backs(
    tmp_path: Path,
) -> None:
    async with ordered_town(tmp_path, SDM) as it:
        await it.inbox.first(MeterSeen)
        begun = len(it.end.requests)
        await it.report(command(SDM, move=Move.OPEN))
        steps = [(request[0], request[1]) for request in it.end.requests[begun:]]
        before, written, after = [(3, 3), (40, 2), (3, 4), (3, 4)], (40, 5), [(40, 2), (40, 2)]
        assert steps == [*before, written, *after, (3, 4), (3, 4)]


async def test_a_swapped_meter_is_not_written(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, ACREL) as it:
        it.acrel.tables[3][0x45] = 0x9999
        report = await it.report(command(ACREL, move=Move.OPEN))
        assert (report.outcome, report.verdict) == (Outcome.REFUSED, "WRONG_METER")
        assert it.acrel.writes == []


async def test_an_open_switch_is_not_written(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, DDS) as it:
        it.dds.tables[3][0x1A] = 0
        report = await it.report(command(DDS, move=Move.OPEN))
        assert (report.outcome, report.verdict) == (Outcome.REFUSED, "ALREADY_DISCONNECTED")
        assert it.dds.writes == []


async def test_a_state_that_makes_no_sense_is_not_written(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, DDS) as it:
        it.dds.tables[3][0x1A] = 7
        report = await it.report(command(DDS, move=Move.OPEN))
        assert (report.outcome, report.verdict) == (Outcome.REFUSED, "STATE_UNKNOWN")
        assert it.dds.writes == []


async def test_a_meter_that_could_not_be_closed_again_is_not_written(tmp_path: Path) -> None:
    unproven = msgspec.structs.replace(DDS, second_proof=None)
    async with ordered_town(tmp_path, unproven) as it:
        report = await it.report(command(unproven, move=Move.OPEN))
        assert (report.outcome, report.verdict) == (Outcome.REFUSED, "CLOSE_UNPROVEN")
        assert it.dds.writes == []


def canceled(image: Image, meter: Meter) -> Image:
    task = msgspec.structs.replace(image.kept.tasks[meter.serial], cancelled=True)
    return with_kept(image, tasks={meter.serial: task})


@pytest.mark.parametrize(("news", "verdict"), [(paid_since, "NEWER_PAID"), (canceled, "CANCELED")])
async def test_news_that_come_while_the_opening_was_under_way_stop_the_write(
    tmp_path: Path, news: Callable[[Image, Meter], Image], verdict: str
) -> None:
    async with ordered_town(tmp_path, ACREL) as it:
        it.acrel.delay_s = 0.05
        it.buses.switch(command(ACREL, move=Move.OPEN))
        await it.end.requested(lambda request: request[3] == 0x43)
        it.buses.show(news(it.image, ACREL))
        report = await it.inbox.first(SwitchReport)
        assert (report.outcome, report.verdict) == (Outcome.REFUSED, verdict)
        assert it.acrel.writes == []


async def test_a_payment_that_comes_while_the_write_waits_for_the_line_stops_it(
    tmp_path: Path,
) -> None:
    other = msgspec.structs.replace(DDS, account="1004", serial="H2", unit=4)
    async with ordered_town(tmp_path, DDS, other) as it:
        it.units[4] = Slave({3: {0x0C: 2310, 0x0D: 0, 0x1A: 1}}, delay_s=0.1)
        await it.inbox.first(MeterSeen, lambda one: one.serial == "H2")
        it.buses.switch(command(DDS, number=1, move=Move.OPEN))
        it.buses.switch(command(other, number=2, move=Move.OPEN))
        begun = len(it.end.requests)
        # The write of the first has its turn after the values of the second.
        await it.end.requested(lambda _: [r[0] for r in it.end.requests[begun:]] == [2, 4, 2, 4])
        it.buses.show(paid_since(it.image, DDS))
        report = await it.ended(1)
        assert (report.outcome, report.verdict) == (Outcome.REFUSED, "NEWER_PAID")
        assert report.writes == 0
        assert it.dds.writes == []
