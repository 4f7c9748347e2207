"""The closing sequence of the room, against small meters of each type on a pseudo terminal."""

from pathlib import Path

import msgspec

from gateway.core.fact import MeterSeen, Outcome, SwitchReport, Why
from tests.rooms.bus.gateway_side import command, held
from tests.rooms.bus.small_town import ACREL, COIL_ON, DDS, FORCE_CLOSED, RELAY_ON, SDM, town, volts


async def test_an_acrel_is_closed_by_force_and_verified_by_its_status_word(tmp_path: Path) -> None:
    async with town(tmp_path, ACREL) as it:
        report = await it.report(command(ACREL))
        assert (report.outcome, report.why) == (Outcome.CLOSED_VERIFIED, Why.NONE)
        assert report.forced
        assert it.acrel.writes == [FORCE_CLOSED]
        assert report.writes == 1
        assert report.written_ms is not None
        assert report.verified_ms is not None
        assert report.written_ms < report.verified_ms
        assert report.reading is not None
        assert report.reading.serial == "220315000001"
        assert report.reading.supply_mv == 230_000


async def test_a_dds238_under_load_is_verified_by_the_current(tmp_path: Path) -> None:
    async with town(tmp_path, DDS) as it:
        report = await it.report(command(DDS))
        assert report.outcome is Outcome.CLOSED_VERIFIED
        assert not report.forced
        assert it.dds.writes == [RELAY_ON]
        assert report.reading is not None
        assert report.reading.current_ma == 1_300


async def test_a_dds238_without_load_cannot_show_it(tmp_path: Path) -> None:
    async with town(tmp_path, DDS) as it:

        def closes_without_load(_: int, __: int, values: tuple[int, ...]) -> None:
            it.dds.tables[3][0x1A] = values[0]

        it.dds.obey = closes_without_load
        report = await it.report(command(DDS))
        assert (report.outcome, report.why) == (Outcome.CLOSED_UNVERIFIED, Why.NONE)


async def test_a_relay_board_is_verified_by_its_contact_and_the_voltage(tmp_path: Path) -> None:
    async with town(tmp_path, SDM) as it:
        report = await it.report(command(SDM))
        assert report.outcome is Outcome.CLOSED_VERIFIED
        assert it.board.writes == [COIL_ON]
        assert it.sdm.writes == []
        assert report.reading is not None
        assert report.reading.load_mv == 231_000


async def test_a_contact_that_lies_is_not_called_verified(tmp_path: Path) -> None:
    async with town(tmp_path, SDM) as it:

        def contact_only(_: int, address: int, __: tuple[int, ...]) -> None:
            it.board.tables[2][address] = 1

        it.board.obey = contact_only
        report = await it.report(command(SDM))
        assert (report.outcome, report.why) == (Outcome.CLOSED_UNVERIFIED, Why.READS_DISAGREE)


async def test_the_steps_stand_in_their_order_with_one_write_and_two_read_backs(
    tmp_path: Path,
) -> None:
    async with town(tmp_path, SDM) as it:
        await it.inbox.first(MeterSeen)
        await it.report(command(SDM))
        steps = [(request[0], request[1]) for request in it.end.requests]
        before, written, after = [(3, 3), (40, 2), (3, 4)], (40, 5), [(40, 2), (40, 2)]
        assert steps[-8:] == [*before, written, *after, (3, 4), (3, 4)]
        assert steps.count(written) == 1


async def test_a_swapped_meter_is_not_written(tmp_path: Path) -> None:
    async with town(tmp_path, ACREL) as it:
        it.acrel.tables[3][0x45] = 0x9999
        report = await it.report(command(ACREL))
        assert (report.outcome, report.verdict) == (Outcome.REFUSED, "WRONG_METER")
        assert it.acrel.writes == []
        assert report.reading is not None
        assert report.reading.serial == "220315009999"


async def test_a_meter_without_a_number_needs_a_second_proof(tmp_path: Path) -> None:
    unproven = msgspec.structs.replace(DDS, second_proof=None)
    async with town(tmp_path, unproven) as it:
        report = await it.report(command(unproven))
        assert (report.outcome, report.verdict) == (Outcome.REFUSED, "IDENTITY_UNPROVEN")
        assert it.dds.writes == []


async def test_a_back_fed_home_is_not_written(tmp_path: Path) -> None:
    async with town(tmp_path, SDM) as it:
        it.sdm.tables[4] |= volts(229.0)
        report = await it.report(command(SDM))
        assert (report.outcome, report.verdict) == (Outcome.REFUSED, "BACKFEED")
        assert it.board.writes == []


async def test_a_closed_switch_is_not_written(tmp_path: Path) -> None:
    async with town(tmp_path, DDS) as it:
        it.dds.tables[3][0x1A] = 1
        report = await it.report(command(DDS))
        assert (report.outcome, report.verdict) == (Outcome.REFUSED, "ALREADY_CONNECTED")
        assert it.dds.writes == []


async def test_a_state_that_makes_no_sense_is_not_written(tmp_path: Path) -> None:
    async with town(tmp_path, DDS) as it:
        it.dds.tables[3][0x1A] = 7
        report = await it.report(command(DDS))
        assert (report.outcome, report.verdict) == (Outcome.REFUSED, "STATE_UNKNOWN")


async def test_a_hold_placed_while_the_close_was_under_way_stops_the_write(
    tmp_path: Path,
) -> None:
    async with town(tmp_path, ACREL) as it:
        it.acrel.delay_s = 0.05
        it.buses.switch(command(ACREL))
        await it.end.requested(lambda request: request[3] == 0x43)
        it.buses.show(held(it.image, ACREL.serial))
        report = await it.inbox.first(SwitchReport)
        assert (report.outcome, report.verdict) == (Outcome.REFUSED, "METER_HELD")
        assert it.acrel.writes == []
