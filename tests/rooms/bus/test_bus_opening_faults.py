"""What goes wrong during an opening, and how its one report says so. It is never written twice."""

import asyncio
import contextlib
from pathlib import Path

import msgspec
import pytest

from gateway.bus.profile import load_profiles
from gateway.bus.room import Buses, BusSettings
from gateway.core.fact import Move, Outcome, SwitchReport, Why
from gateway.core.model import SupplyState
from gateway.host.clock import HostClock, boot_id
from tests.rooms.bus.gateway_side import Collected, command, ordered_image, paid_since, running
from tests.rooms.bus.small_town import (
    ACREL,
    COIL_OFF,
    DDS,
    FORCE_OPEN,
    RELAY_OFF,
    SDM,
    ordered_town,
)
from tests.rooms.bus.wire import OtherEnd, Speech, refusing_writes, slaves, words


async def test_a_stuck_relay_is_written_once_and_is_still_closed(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, SDM) as it:
        it.board.obey = None
        report = await it.report(command(SDM, move=Move.OPEN))
        assert (report.outcome, report.why) == (Outcome.FAILED, Why.STILL_CLOSED)
        assert it.board.writes == [COIL_OFF]
        assert report.writes == 1
        assert report.reading is not None
        assert report.reading.state is SupplyState.CONNECTED


async def test_a_write_without_an_answer_that_took_effect_is_verified(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, ACREL) as it:
        it.acrel.unanswered_writes = 1
        report = await it.report(command(ACREL, move=Move.OPEN))
        assert report.outcome is Outcome.OPENED_VERIFIED
        assert it.acrel.writes == [FORCE_OPEN]


async def test_a_write_that_was_lost_is_not_sent_again(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, SDM) as it:
        it.board.obey, it.board.unanswered_writes = None, 1
        report = await it.report(command(SDM, move=Move.OPEN))
        assert (report.outcome, report.why) == (Outcome.FAILED, Why.STILL_CLOSED)
        assert it.board.writes == [COIL_OFF]


async def test_a_switch_that_is_armed_afterwards_is_not_called_opened(tmp_path: Path) -> None:
    (tmp_path / "dds-arms.toml").write_text('extends = "dds238-2-zn-sr"\n[state]\nready = 2\n')
    arms = msgspec.structs.replace(DDS, profile="dds-arms")
    async with ordered_town(tmp_path, arms) as it:

        def is_armed(_: int, __: int, ___: tuple[int, ...]) -> None:
            it.dds.tables[3][0x1A] = 2

        it.dds.obey = is_armed
        report = await it.report(command(arms, move=Move.OPEN))
        assert (report.outcome, report.why) == (Outcome.FAILED, Why.STILL_CLOSED)
        assert it.dds.writes == [RELAY_OFF]


async def test_a_meter_that_refuses_the_write_has_failed(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, DDS) as it:
        it.end.behaviour = refusing_writes(it.units)
        report = await it.report(command(DDS, move=Move.OPEN))
        assert (report.outcome, report.why) == (Outcome.FAILED, Why.EXCEPTION)
        assert report.writes == 1


async def test_a_meter_that_falls_silent_after_the_write_is_unknown(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, ACREL) as it:

        def dies(_: int, __: int, ___: tuple[int, ...]) -> None:
            it.acrel.dead = True

        it.acrel.obey = dies
        report = await it.report(command(ACREL, move=Move.OPEN))
        assert (report.outcome, report.why) == (Outcome.UNKNOWN, Why.NO_ANSWER)
        assert report.writes == 1
        assert report.forced


async def test_a_silent_meter_fails_without_a_write(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, ACREL) as it:
        it.acrel.dead = True
        report = await it.report(command(ACREL, move=Move.OPEN))
        assert (report.outcome, report.why) == (Outcome.FAILED, Why.NO_ANSWER)
        assert not report.forced
        assert it.acrel.writes == []


async def test_a_missing_port_fails_the_opening_at_once() -> None:
    inbox, profiles = Collected(), load_profiles(None)
    async with running({"A": "/dev/no-such-adapter"}, profiles, inbox) as buses:
        buses.show(ordered_image((DDS,), profiles))
        buses.switch(command(DDS, move=Move.OPEN))
        report = await inbox.first(SwitchReport)
        assert (report.outcome, report.why) == (Outcome.FAILED, Why.BUS_DOWN)


async def test_a_state_that_will_not_stay_the_same_is_unknown(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, DDS) as it:
        obeying, reads = slaves(it.units), 0

        def flutters(request: bytes) -> Speech:
            nonlocal reads
            if it.dds.writes and request[:6] == bytes((2, 3)) + words(0x1A, 1):
                reads += 1
                it.dds.tables[3][0x1A] = reads % 2
            return obeying(request)

        it.end.behaviour = flutters
        report = await it.report(command(DDS, move=Move.OPEN))
        assert (report.outcome, report.why) == (Outcome.UNKNOWN, Why.READS_DISAGREE)
        assert it.dds.writes == [RELAY_OFF]


async def test_on_an_echoing_line_a_dead_board_is_never_confirmed(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, SDM) as it:
        it.end.echo = True

        def dies(_: int, __: int, ___: tuple[int, ...]) -> None:
            it.board.dead = True

        it.board.obey, it.board.unanswered_writes = dies, 1
        report = await it.report(command(SDM, move=Move.OPEN))
        assert (report.outcome, report.why) == (Outcome.UNKNOWN, Why.NO_ANSWER)
        assert it.board.writes == [COIL_OFF]


async def test_on_an_echoing_line_a_live_board_is_opened(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, SDM) as it:
        it.end.echo = True
        report = await it.report(command(SDM, move=Move.OPEN))
        assert report.outcome is Outcome.OPENED_VERIFIED
        assert it.board.writes == [COIL_OFF]


async def test_a_resumed_opening_that_is_done_is_verified_whatever_has_come_since(
    tmp_path: Path,
) -> None:
    async with ordered_town(tmp_path, ACREL) as it:
        it.acrel.tables[3] |= {0x165: 0x0400, 12: 0}
        it.buses.show(paid_since(it.image, ACREL))
        report = await it.report(command(ACREL, move=Move.OPEN, resumed=True, writes_max=0))
        assert (report.outcome, report.writes) == (Outcome.OPENED_VERIFIED, 0)
        assert report.forced
        assert it.acrel.writes == []


async def test_a_resumed_opening_that_cannot_show_it_is_unverified(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, DDS) as it:
        it.dds.tables[3] |= {0x1A: 0, 0x0D: 0}
        report = await it.report(command(DDS, move=Move.OPEN, resumed=True, writes_max=0))
        assert (report.outcome, report.why) == (Outcome.OPENED_UNVERIFIED, Why.NONE)


async def test_a_resumed_opening_of_a_closed_switch_has_failed_and_is_not_written(
    tmp_path: Path,
) -> None:
    async with ordered_town(tmp_path, ACREL) as it:
        report = await it.report(command(ACREL, move=Move.OPEN, resumed=True))
        assert (report.outcome, report.why) == (Outcome.FAILED, Why.STILL_CLOSED)
        assert not report.forced
        assert it.acrel.writes == []


async def test_a_resumed_opening_of_a_swapped_meter_is_refused(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, ACREL) as it:
        it.acrel.tables[3] |= {0x45: 0x9999, 0x165: 0x0400}
        report = await it.report(command(ACREL, move=Move.OPEN, resumed=True, writes_max=0))
        assert (report.outcome, report.verdict) == (Outcome.REFUSED, "WRONG_METER")


async def test_a_resumed_opening_of_a_silent_meter_is_unknown(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, ACREL) as it:
        it.acrel.dead = True
        report = await it.report(command(ACREL, move=Move.OPEN, resumed=True, writes_max=0))
        assert (report.outcome, report.why) == (Outcome.UNKNOWN, Why.NO_ANSWER)


@pytest.mark.parametrize(
    ("resumed", "outcome"), [(False, Outcome.REFUSED), (True, Outcome.UNKNOWN)]
)
async def test_a_type_that_is_not_known_well_enough_is_never_opened(
    tmp_path: Path, resumed: bool, outcome: Outcome
) -> None:
    weak = 'extends = "dds238-2-zn-sr"\n[open]\nevidence = "single-source"\n'
    (tmp_path / "dds-closes-only.toml").write_text(weak)
    closes_only = msgspec.structs.replace(DDS, profile="dds-closes-only")
    async with ordered_town(tmp_path, closes_only) as it:
        report = await it.report(command(closes_only, move=Move.OPEN, resumed=resumed))
        assert (report.outcome, report.verdict) == (outcome, "OPEN_UNPROVEN")
        assert it.dds.writes == []


async def test_a_room_that_stopped_in_the_midst_takes_the_opening_up_by_reading(
    tmp_path: Path,
) -> None:
    async with ordered_town(tmp_path, ACREL) as it:
        end = OtherEnd(slaves(it.units))
        settings = (BusSettings(name="A", port=end.path),)
        buses = Buses(settings, it.profiles, it.inbox, HostClock(boot_id(), 0))
        buses.show(it.image)
        work = asyncio.create_task(buses.run())
        buses.switch(command(ACREL, move=Move.OPEN))
        await end.requested(lambda request: request[1] == 16)
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        work = asyncio.create_task(buses.run())
        report = await it.inbox.first(SwitchReport)
        work.cancel()
        assert (report.outcome, report.writes) == (Outcome.OPENED_VERIFIED, 0)
        assert it.acrel.writes == [FORCE_OPEN]
        end.close()
