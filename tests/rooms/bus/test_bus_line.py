"""One line over a pseudo terminal: who goes first, what is counted, an adapter that comes back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from gateway.bus.line import Line
from gateway.bus.port import BusSettings
from gateway.bus.profile import load_profiles
from gateway.bus.rtu import Failure
from gateway.bus.tally import Counts
from gateway.core.fact import BusSeen, MeterSeen, Outcome, SwitchReport
from gateway.core.model import Meter, Serial, SupplyState
from gateway.host.clock import HostClock, boot_id
from tests.rooms.bus.gateway_side import Collected, command, paid_image, running, site_profiles
from tests.rooms.bus.small_town import ACREL
from tests.rooms.bus.wire import Behaviour, OtherEnd, Slave, Speech, framed, slaves, words

PROFILES = load_profiles(None)


def dds(unit: int) -> Meter:
    return Meter(
        account=f"10{unit:02}",
        serial=f"H{unit}",
        profile="dds238-2-zn-sr",
        bus="A",
        unit=unit,
        dt="DT-1",
        second_proof="sheet",
    )


def opened(*, delay_s: float = 0.0, dead: bool = False) -> Slave:
    energy = dict.fromkeys(range(0x12), 0)
    slave = Slave({3: {**energy, 0x0C: 2310, 0x1A: 0}}, delay_s=delay_s, dead=dead)

    def obeys(_: int, __: int, values: tuple[int, ...]) -> None:
        slave.tables[3] |= {0x1A: values[0], 0x0D: 130}

    slave.obey = obeys
    return slave


@dataclass
class OneLine:
    """A line at work, its other end, and what it has told."""

    line: Line
    end: OtherEnd
    inbox: Collected


@contextlib.asynccontextmanager
async def one_line(behaviour: Behaviour, *meters: Meter) -> AsyncIterator[OneLine]:
    end, inbox = OtherEnd(behaviour), Collected()
    settings = BusSettings(name="A", port=end.path)
    line = Line(settings, PROFILES, inbox, HostClock(boot_id(), 0))
    line.show(paid_image(meters, PROFILES))
    work = asyncio.create_task(line.run())
    try:
        yield OneLine(line, end, inbox)
        assert not work.done(), work
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        with contextlib.suppress(OSError):
            end.close()


@pytest.mark.parametrize("in_flight", [2, 7, 11])
@pytest.mark.parametrize("dead", [False, True], ids=["answering", "silent"])
async def test_a_close_waits_for_at_most_the_exchange_in_flight(in_flight: int, dead: bool) -> None:
    units = {unit: opened(delay_s=0.02) for unit in range(1, 21)}
    units[in_flight].dead = dead
    meters = tuple(dds(unit) for unit in units)
    async with one_line(slaves(units), *meters) as it:
        await it.end.requested(lambda request: request[0] == in_flight)
        begun = len(it.end.requests)
        assert it.end.requests[-1][0] == in_flight
        it.line.switch(command(meters[19]))
        assert (await it.inbox.first(SwitchReport)).outcome is Outcome.CLOSED_VERIFIED
        # What is in flight has been sent: the very next request is the command's, then its write.
        asked = it.end.requests[begun:]
        assert [request[0] for request in asked[:2]] == [20, 20]
        assert asked[1][1] == 16


async def test_while_a_command_is_under_way_no_silent_meter_is_asked() -> None:
    units = {1: opened(dead=True), 2: opened(dead=True), 3: opened()}
    meters = tuple(dds(unit) for unit in units)
    async with one_line(slaves(units), *meters) as it:
        await it.inbox.first(BusSeen, lambda bus: len(bus.silent) == 2)
        begun = len(it.end.requests)
        it.line.switch(command(meters[2]))
        await it.inbox.first(SwitchReport)
        first = next(at for at in range(begun, 999) if it.end.requests[at][0] == 3)
        write = next(at for at in range(first, 999) if it.end.requests[at][1] == 16)
        assert {request[0] for request in it.end.requests[first : write + 2]} == {3}


async def test_a_technicians_test_goes_before_polls_and_reads_five_times() -> None:
    units = {unit: opened(delay_s=0.02) for unit in range(1, 21)}
    async with one_line(slaves(units), *(dds(unit) for unit in units)) as it:
        await it.end.requested(lambda request: request[0] == 2)
        begun = len(it.end.requests)
        found = await it.line.test("H20")
        assert found is not None
        assert (found.serial, found.unit, found.answered) == ("H20", 20, 5)
        assert {trial.state for trial in found.trials} == {SupplyState.DISCONNECTED}
        assert all(trial.took_ms >= 15 for trial in found.trials)
        asked = [request[0] for request in it.end.requests[begun:]]
        assert asked[:5] == [20] * 5
        assert units[20].writes == []


async def test_a_close_goes_before_a_technicians_test() -> None:
    units = {1: opened(delay_s=0.05), 2: opened(delay_s=0.05)}
    async with one_line(slaves(units), dds(1), dds(2)) as it:
        await it.inbox.first(MeterSeen, lambda seen: seen.serial == "H2")
        testing = asyncio.create_task(it.line.test("H2"))
        begun = len(it.end.requests)
        await it.end.requested(lambda _: len(it.end.requests) > begun)
        it.line.switch(command(dds(1)))
        sent = len(it.end.requests)
        await it.inbox.first(SwitchReport)
        assert [request[0] for request in it.end.requests[sent : sent + 2]] == [1, 1]
        assert (await testing) is not None


async def test_a_test_of_a_silent_meter_says_so_and_one_of_a_stranger_is_none() -> None:
    units = {1: opened(dead=True), 2: opened()}
    async with one_line(slaves(units), dds(1), dds(2)) as it:
        await it.inbox.first(MeterSeen)
        found = await it.line.test("H1")
        assert found is not None
        assert found.answered == 0
        assert {trial.failure for trial in found.trials} == {Failure.NO_ANSWER}
        assert await it.line.test("X9") is None


async def test_a_test_reads_the_serial_number_where_the_type_has_one(tmp_path: Path) -> None:
    profiles = site_profiles(tmp_path)
    acrel = Slave({3: {0x43: 0x2203, 0x44: 0x1500, 0x45: 0x0001, 0x165: 0x0400}})
    end, inbox = OtherEnd(slaves({1: acrel})), Collected()
    async with running({"A": end.path}, profiles, inbox) as buses:
        buses.show(paid_image((ACREL,), profiles))
        await inbox.first(MeterSeen)
        found = await buses.test(ACREL.serial)
        assert found is not None
        assert {trial.serial for trial in found.trials} == {ACREL.serial}
        assert await buses.test("X9") is None
    end.close()


async def test_what_happens_on_the_line_is_counted_by_meter() -> None:
    obeying = slaves({1: opened(), 3: Slave()})

    def mixed(request: bytes) -> Speech:
        if request[0] == 2:
            return [(0, b"\x02\x03\x02\x00\x01\xff\xff")]
        return obeying(request)

    async with one_line(mixed, dds(1), dds(2), dds(3), dds(4)) as it:
        told = await it.inbox.first(BusSeen, lambda bus: set(bus.silent) == {"H2", "H4"})
        found = it.line.quality
    assert (told.crc_errors, told.timeouts) == (2, 2)
    assert (told.late, told.mismatched, told.echo) == (0, 0, 0)
    assert told.good > 0
    assert told.refused > 0
    assert found.meters[Serial("H1")].failed == 0
    assert found.meters[Serial("H1")].good > 0
    assert found.meters[Serial("H2")] == Counts(crc_errors=2)
    assert found.meters[Serial("H3")].refused > 0
    assert found.meters[Serial("H4")] == Counts(timeouts=2)
    assert found.worst == ("H2", "H4")


async def test_a_late_answer_is_counted_at_the_meter_that_gave_it() -> None:
    obeying = slaves({1: opened(), 2: opened()})
    late = 0

    def slow(request: bytes) -> Speech:
        nonlocal late
        if request[0] == 1 and late < 1:
            late += 1
            return [(0.45, framed(1, 3, 2, words(0)))]
        return obeying(request)

    async with one_line(slow, dds(1), dds(2)) as it:
        await it.inbox.first(MeterSeen, lambda seen: seen.serial == "H1")
        meters = it.line.quality.meters
    assert (meters[Serial("H1")].late, meters[Serial("H1")].timeouts) == (1, 1)
    assert meters[Serial("H2")].late == 0


async def test_a_silent_meter_is_told_with_what_to_look_at() -> None:
    units = {1: opened(dead=True), 2: opened()}
    async with one_line(slaves(units), dds(1), dds(2)) as it:
        told = await it.inbox.first(BusSeen, lambda bus: bus.silent == ("H1",))
    assert told.detail == "meter H1 does not answer: look at address, wiring and power there"


async def test_the_budget_is_logged_when_the_meters_are_known(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    async with one_line(slaves({1: opened()}), dds(1)) as it:
        await it.inbox.first(MeterSeen)
    (said,) = [one for one in caplog.records if "of the line's time" in one.message]
    assert said.message.startswith("bus A: 1 devices, ")
    assert said.levelname == "INFO"


async def test_after_an_unplug_another_meter_at_the_address_is_not_closed(tmp_path: Path) -> None:
    # The adapters were swapped: the path is the same, the street behind it is not.
    profiles = site_profiles(tmp_path)
    there = {0x44: 0x1500, 0x45: 0x0001, 0x0B: 2300, 0x0C: 0, 0x165: 0x0400}
    ours, other = Slave({3: {**there, 0x43: 0x2203}}), Slave({3: {**there, 0x43: 0x9999}})
    first, inbox = OtherEnd(slaves({1: ours})), Collected()
    path = tmp_path / "by-path-usb-0"
    path.symlink_to(first.path)
    async with running({"A": str(path)}, profiles, inbox) as buses:
        buses.show(paid_image((ACREL,), profiles))
        await inbox.first(MeterSeen)
        first.close()
        await inbox.first(BusSeen, lambda bus: not bus.open and "lost" in bus.detail)
        second = OtherEnd(slaves({1: other}))
        path.unlink()
        path.symlink_to(second.path)
        before = len(inbox.events)
        await inbox.first(BusSeen, lambda bus: bus.open and bus in inbox.events[before:])
        buses.switch(command(ACREL))
        report = await inbox.first(SwitchReport)
        assert (report.outcome, report.verdict) == (Outcome.REFUSED, "WRONG_METER")
        assert other.writes == []
        second.close()


async def test_a_late_answer_from_before_an_unplug_is_not_taken(tmp_path: Path) -> None:
    first, inbox = OtherEnd(slaves({1: opened(dead=True)})), Collected()
    path = tmp_path / "by-path-usb-0"
    path.symlink_to(first.path)
    async with running({"A": str(path)}, PROFILES, inbox) as buses:
        buses.show(paid_image((dds(1),), PROFILES))
        await first.requested(lambda request: request[0] == 1)
        second = OtherEnd(slaves({1: opened(delay_s=0.2)}))
        # Within the late window, and when the port has been opened again.
        asyncio.get_running_loop().call_later(0.58, second.say, framed(1, 3, 2, words(1)))
        first.close()
        path.unlink()
        path.symlink_to(second.path)
        seen = await inbox.first(MeterSeen)
        assert seen.reading.state is SupplyState.DISCONNECTED
        second.close()


async def test_a_command_to_an_unplugged_line_ends_and_says_so() -> None:
    async with one_line(slaves({1: opened()}), dds(1)) as it:
        await it.inbox.first(MeterSeen)
        it.end.close()
        await it.inbox.first(BusSeen, lambda bus: not bus.open and "lost" in bus.detail)
        it.line.switch(msgspec.structs.replace(command(dds(1)), number=7))
        report = await it.inbox.first(SwitchReport)
        assert (report.number, report.outcome, report.writes) == (7, Outcome.FAILED, 0)
