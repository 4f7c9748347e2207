"""The master is as fast as the wire lets it be, and never breaks the silence between frames."""

from random import Random

import msgspec
import pytest

from gateway.bus.frame import Function, Read, answer_bytes, encode
from gateway.bus.rtu import Counters, Fault, Master, Reply, Timing
from tests.campaign.line import VirtualPort
from tests.campaign.meter import CodedMeter
from tests.campaign.rtu import TIMING
from tests.campaign.traffic import CLEAN, Traffic
from tests.campaign.virtual_time import LoopClock, in_virtual_time, until, virtual_loop

ROUNDS = 100
HANDED_OVER_LATE_S = 0.002
"""Less than the silence at 9600 baud."""
ASKED = Read(unit=5, function=Function.READ_HOLDING, address=0x0C, count=2)
DEAD = Read(unit=6, function=Function.READ_HOLDING, address=0x0C, count=2)


async def of_the_limit(
    baud: int,
    turnaround_s: float,
    timing: Timing = TIMING,
    *,
    port: type[VirtualPort] = VirtualPort,
    step: int = 1,
) -> float:
    """The least time that the wire takes for some reads, of what the master took."""
    traffic = line(baud, turnaround_s, step)
    master = Master(port(traffic), LoopClock(), Counters(), baud=baud, character_bits=10)
    characters = len(encode(ASKED)) + answer_bytes(ASKED)
    least_s = traffic.silence_s + characters * traffic.character_s + turnaround_s
    begun_s = virtual_loop().now_s
    for _ in range(ROUNDS):
        assert isinstance(await master.exchange(ASKED, timing), Reply)
    assert not traffic.short_silences
    return ROUNDS * least_s / (virtual_loop().now_s - begun_s)


def line(baud: int, turnaround_s: float, step: int = 1) -> Traffic:
    """A line without faults on which unit 5 answers and unit 6 is dead."""
    meters = {5: CodedMeter(5), 6: CodedMeter(6)}
    meters[6].dead = True
    faults = msgspec.structs.replace(CLEAN, turnaround_s=(turnaround_s, turnaround_s))
    return Traffic(meters, faults, Random(0), baud=baud, step=step)


@pytest.mark.parametrize("baud", [1200, 9600, 19200, 38400, 115200])
@pytest.mark.parametrize("turnaround_ms", [5, 20, 50])
def test_it_adds_nothing_to_what_the_wire_takes(baud: int, turnaround_ms: int) -> None:
    turnaround_s = max(turnaround_ms / 1000, line(baud, 0).silence_s)
    ratio = in_virtual_time(of_the_limit(baud, turnaround_s))
    assert 0.999 < ratio <= 1.000001


class SlowPort(VirtualPort):
    """Its system is so busy that what came is handed over only a while later."""

    async def receive(self, until_s: float, expected: int = 1) -> bytes:
        """What has come, or comes until then."""
        heard = await super().receive(until_s, expected)
        if heard:
            await until(virtual_loop().now_s + HANDED_OVER_LATE_S)
        return heard


def test_the_silence_counts_from_what_came_not_from_when_it_was_handed_over() -> None:
    ratio = in_virtual_time(of_the_limit(9600, 0.020, port=SlowPort, step=300))
    assert 0.999 < ratio <= 1.000001


def test_a_meter_that_needs_a_longer_pause_gets_it() -> None:
    pause = msgspec.structs.replace(TIMING, gap_ms=30)
    silence_s = line(9600, 0).silence_s
    ratio = in_virtual_time(of_the_limit(9600, 0.020, pause))
    least_s = silence_s + (8 + 9) * 10 / 9600 + 0.020
    assert ratio == pytest.approx(least_s / (least_s - silence_s + 0.030), rel=1e-3)


def test_an_answer_that_begins_at_the_very_time_out_is_in_time() -> None:
    assert in_virtual_time(of_the_limit(1200, TIMING.timeout_ms / 1000)) > 0.999


def test_after_a_dead_meter_the_line_is_quiet_until_it_cannot_answer_any_more() -> None:
    async def asked() -> float:
        traffic = line(9600, 0.020)
        master = Master(VirtualPort(traffic), LoopClock(), Counters(), baud=9600, character_bits=10)
        assert isinstance(await master.exchange(DEAD, TIMING), Fault)
        dead_s = traffic.ends_s
        assert isinstance(await master.exchange(ASKED, TIMING), Reply)
        return traffic.ends_s - 8 * traffic.character_s - dead_s

    quiet_s = in_virtual_time(asked())
    latest_s = (TIMING.timeout_ms + TIMING.turnaround_max_ms) / 1000
    assert latest_s < quiet_s < latest_s + 0.1


def test_what_came_while_nobody_asked_is_no_answer() -> None:
    async def asked() -> None:
        traffic = line(9600, 0.020, step=300)
        master = Master(VirtualPort(traffic), LoopClock(), Counters(), baud=9600, character_bits=10)
        traffic.faults = msgspec.structs.replace(traffic.faults, doubled=1)
        first = await master.exchange(ASKED, TIMING)
        await until(virtual_loop().now_s + 1)
        second = await master.exchange(ASKED, TIMING)
        assert isinstance(first, Reply)
        assert isinstance(second, Reply)
        assert first.values != second.values
        assert traffic.come == traffic.serial

    in_virtual_time(asked())
