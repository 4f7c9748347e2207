"""What goes wrong during a close, and how its one report says so."""

import asyncio
import contextlib
from pathlib import Path

import msgspec

from gateway.bus.profile import load_profiles
from gateway.bus.room import Buses, BusSettings
from gateway.core.fact import MeterSeen, Outcome, SwitchReport, Why
from gateway.core.model import SupplyState
from gateway.host.clock import HostClock, boot_id
from tests.rooms.bus.gateway_side import Collected, command, held, paid_image, running
from tests.rooms.bus.small_town import ACREL, COIL_ON, DDS, FORCE_CLOSED, RELAY_ON, SDM, town
from tests.rooms.bus.wire import OtherEnd, Slave, Speech, framed, refusing_writes, slaves


async def test_a_stuck_relay_is_written_twice_and_no_more(tmp_path: Path) -> None:
    async with town(tmp_path, SDM) as it:
        it.board.obey = None
        report = await it.report(command(SDM))
        assert (report.outcome, report.why) == (Outcome.FAILED, Why.STILL_OPEN)
        assert it.board.writes == [COIL_ON, COIL_ON]
        assert report.writes == 2
        assert report.reading is not None
        assert report.reading.state is SupplyState.DISCONNECTED


async def test_a_write_without_an_answer_that_took_effect_is_not_repeated(
    tmp_path: Path,
) -> None:
    async with town(tmp_path, ACREL) as it:
        it.acrel.unanswered_writes = 1
        report = await it.report(command(ACREL))
        assert report.outcome is Outcome.CLOSED_VERIFIED
        assert it.acrel.writes == [FORCE_CLOSED]


async def test_a_write_that_was_lost_is_sent_once_more(tmp_path: Path) -> None:
    async with town(tmp_path, SDM) as it:
        obeys = it.board.obey
        it.board.unanswered_writes = 1

        def second_time(function: int, address: int, values: tuple[int, ...]) -> None:
            if len(it.board.writes) == 2 and obeys is not None:
                obeys(function, address, values)

        it.board.obey = second_time
        report = await it.report(command(SDM))
        assert report.outcome is Outcome.CLOSED_VERIFIED
        assert report.writes == 2


async def test_a_meter_that_falls_silent_after_the_write_is_unknown(tmp_path: Path) -> None:
    async with town(tmp_path, ACREL) as it:

        def dies(_: int, __: int, ___: tuple[int, ...]) -> None:
            it.acrel.dead = True

        it.acrel.obey = dies
        report = await it.report(command(ACREL))
        assert (report.outcome, report.why) == (Outcome.UNKNOWN, Why.NO_ANSWER)
        assert report.writes == 1
        assert report.forced


async def test_a_silent_meter_fails_without_a_write(tmp_path: Path) -> None:
    async with town(tmp_path, ACREL) as it:
        it.acrel.dead = True
        report = await it.report(command(ACREL))
        assert (report.outcome, report.why) == (Outcome.FAILED, Why.NO_ANSWER)
        assert it.acrel.writes == []


async def test_on_an_echoing_line_a_dead_board_is_never_confirmed(tmp_path: Path) -> None:
    async with town(tmp_path, SDM) as it:
        it.end.echo = True

        def dies(_: int, __: int, ___: tuple[int, ...]) -> None:
            it.board.dead = True

        it.board.obey = dies
        it.board.unanswered_writes = 2
        report = await it.report(command(SDM))
        assert (report.outcome, report.why) == (Outcome.UNKNOWN, Why.NO_ANSWER)


async def test_a_meter_that_refuses_the_write_has_failed(tmp_path: Path) -> None:
    async with town(tmp_path, DDS) as it:
        it.end.behaviour = refusing_writes(it.units)
        report = await it.report(command(DDS))
        assert (report.outcome, report.why) == (Outcome.FAILED, Why.EXCEPTION)
        assert report.writes == 1


async def test_a_meter_that_gives_one_value_at_a_time_still_proves_its_close(
    tmp_path: Path,
) -> None:
    async with town(tmp_path, DDS) as it:
        together = it.end.behaviour

        def behave(request: bytes) -> Speech:
            if request[1] == 3 and request[5] > 1:
                return [(0, framed(request[0], 0x83, 2))]
            return together(request)

        it.end.behaviour = behave
        report = await it.report(command(DDS))
        assert report.outcome is Outcome.CLOSED_VERIFIED
        assert report.reading is not None
        assert report.reading.current_ma


async def test_a_resumed_close_that_is_done_is_not_written_again(tmp_path: Path) -> None:
    async with town(tmp_path, ACREL) as it:
        it.acrel.tables[3][0x165] = 0x2000
        report = await it.report(command(ACREL, resumed=True))
        assert report.outcome is Outcome.CLOSED_VERIFIED
        assert report.writes == 0
        assert report.forced
        assert it.acrel.writes == []


async def test_a_resumed_close_that_may_only_read_says_that_it_is_open(tmp_path: Path) -> None:
    async with town(tmp_path, ACREL) as it:
        report = await it.report(command(ACREL, resumed=True, writes_max=0))
        assert (report.outcome, report.why) == (Outcome.FAILED, Why.STILL_OPEN)
        assert it.acrel.writes == []


async def test_a_resumed_close_of_a_swapped_meter_is_refused(tmp_path: Path) -> None:
    async with town(tmp_path, ACREL) as it:
        it.acrel.tables[3] |= {0x45: 0x9999, 0x165: 0x2000}
        report = await it.report(command(ACREL, resumed=True))
        assert (report.outcome, report.verdict) == (Outcome.REFUSED, "WRONG_METER")


async def test_a_resumed_close_of_a_silent_meter_is_unknown(tmp_path: Path) -> None:
    async with town(tmp_path, ACREL) as it:
        it.acrel.dead = True
        report = await it.report(command(ACREL, resumed=True))
        assert (report.outcome, report.why) == (Outcome.UNKNOWN, Why.NO_ANSWER)


async def test_a_switch_that_is_not_known_well_enough_is_never_written(tmp_path: Path) -> None:
    bundled = msgspec.structs.replace(ACREL, profile="acrel-ddsy1352")
    async with town(tmp_path, bundled) as it:
        report = await it.report(command(bundled))
        assert (report.outcome, report.verdict) == (Outcome.REFUSED, "SWITCH_UNPROVEN")
        assert it.acrel.writes == []


async def test_a_report_is_not_lost_to_a_full_inbox_nor_told_twice(tmp_path: Path) -> None:
    async with town(tmp_path, DDS) as it:
        it.buses.switch(command(DDS))
        await it.end.requested(lambda request: request[1] == 16)
        it.inbox.room.clear()
        await it.end.requested(lambda _: it.end.requests[-1][3] == 0x0C)
        it.buses.switch(command(DDS))
        it.inbox.room.set()
        report = await it.inbox.first(SwitchReport)
        assert report.outcome is Outcome.CLOSED_VERIFIED
        second = await it.report(command(DDS, number=2))
        assert second.verdict == "ALREADY_CONNECTED"
        assert [one.number for one in it.inbox.events if isinstance(one, SwitchReport)] == [1, 2]
        assert it.dds.writes == [RELAY_ON]


async def test_closes_of_several_meters_each_end_once(tmp_path: Path) -> None:
    async with town(tmp_path, ACREL, DDS, SDM) as it:
        for at, meter in enumerate((ACREL, DDS, SDM), start=1):
            it.buses.switch(command(meter, number=at))
        for at in (1, 2, 3):
            assert (await it.ended(at)).outcome is Outcome.CLOSED_VERIFIED
        writes = [*it.acrel.writes, *it.dds.writes, *it.board.writes]
        assert writes == [FORCE_CLOSED, RELAY_ON, COIL_ON]


async def test_a_hold_placed_while_the_write_waits_for_the_line_stops_it(tmp_path: Path) -> None:
    other = msgspec.structs.replace(DDS, account="1004", serial="H2", unit=4)
    async with town(tmp_path, DDS, other) as it:
        it.units[4] = Slave({3: {0x0C: 2310, 0x0D: 0, 0x1A: 1}}, delay_s=0.1)
        await it.inbox.first(MeterSeen, lambda one: one.serial == "H2")
        # Both states are asked for before either is answered, so the write of the first has its
        # turn after the state of the second.
        it.buses.switch(command(DDS, number=1))
        it.buses.switch(command(other, number=2))
        begun = len(it.end.requests)
        await it.end.requested(lambda _: [r[0] for r in it.end.requests[begun:]] == [2, 4])
        it.buses.show(held(it.image, DDS.serial))
        report = await it.ended(1)
        assert (report.outcome, report.verdict) == (Outcome.REFUSED, "METER_HELD")
        assert report.writes == 0
        assert it.dds.writes == []


async def test_a_missing_port_fails_the_close_at_once(tmp_path: Path) -> None:
    inbox, profiles = Collected(), load_profiles(None)
    async with running({"A": "/dev/no-such-adapter"}, profiles, inbox) as buses:
        buses.show(paid_image((DDS,), profiles))
        buses.switch(command(DDS))
        report = await inbox.first(SwitchReport)
        assert (report.outcome, report.why) == (Outcome.FAILED, Why.BUS_DOWN)


async def test_a_bus_that_is_not_configured_any_more_fails_the_close(tmp_path: Path) -> None:
    async with town(tmp_path, DDS) as it:
        report = await it.report(command(msgspec.structs.replace(DDS, bus="gone")))
        assert (report.outcome, report.why) == (Outcome.FAILED, Why.BUS_DOWN)


async def test_a_line_unplugged_after_the_write_leaves_it_unknown(tmp_path: Path) -> None:
    async with town(tmp_path, ACREL) as it:

        def unplugs(_: int, __: int, ___: tuple[int, ...]) -> None:
            asyncio.get_running_loop().call_soon(it.end.close)

        it.acrel.obey = unplugs
        it.acrel.unanswered_writes = 1
        report = await it.report(command(ACREL))
        assert (report.outcome, report.why) == (Outcome.UNKNOWN, Why.BUS_DOWN)
        assert report.writes == 1


async def test_a_room_that_stopped_in_the_midst_takes_the_close_up_by_reading(
    tmp_path: Path,
) -> None:
    async with town(tmp_path, ACREL) as it:
        end = OtherEnd(slaves(it.units))
        settings = (BusSettings(name="A", port=end.path),)
        buses = Buses(settings, it.profiles, it.inbox, HostClock(boot_id(), 0))
        buses.show(it.image)
        work = asyncio.create_task(buses.run())
        buses.switch(command(ACREL))
        await end.requested(lambda request: request[1] == 16)
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        assert not [one for one in it.inbox.events if isinstance(one, SwitchReport)]
        work = asyncio.create_task(buses.run())
        report = await it.inbox.first(SwitchReport)
        work.cancel()
        assert (report.outcome, report.writes) == (Outcome.CLOSED_VERIFIED, 0)
        assert it.acrel.writes == [FORCE_CLOSED]
        end.close()
