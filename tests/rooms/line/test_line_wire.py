"""The wire itself: framing, pace, collisions. A real pseudo terminal, the line in its process."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU

from gateway.bench.control import SimulatedLine, simulated_line
from gateway.bench.framing import crc
from gateway.bench.meters import MeterEntry, MeterType
from gateway.bench.port import Timing
from gateway.bench.wire import WireCounts
from tests.rooms.line.lines import opened

DDS238 = MeterEntry(type=MeterType.DDS238_2_ZN_SR, unit=5, serial="HK-5", turnaround_ms=20)
SDM230 = MeterEntry(
    type=MeterType.SDM230_RELAY, unit=9, serial="20239999", switch_unit=100, switch_channel=2
)
READ_SIX = bytes.fromhex("05 03 000c 0006")
READ_LONG = bytes.fromhex("09 04 0000 007d")
WAIT_S = 20.0


def framed(body: bytes) -> bytes:
    return body + crc(body)


@asynccontextmanager
async def line_of(
    *meters: MeterEntry, baud: int = 9600, character: str = "8N1"
) -> AsyncIterator[tuple[SimulatedLine, int]]:
    async with (
        asyncio.timeout(WAIT_S),
        simulated_line(meters, baud=baud, character=character) as line,
    ):
        with opened(line.pty) as port:
            yield line, port


def read_blocking(port: int, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += os.read(port, count - len(data))
    return data


async def exchange(port: int, request: bytes, count: int) -> bytes:
    os.write(port, request)
    return await asyncio.to_thread(read_blocking, port, count)


async def counts_when_heard(line: SimulatedLine, frames: int) -> WireCounts:
    """The line tells nobody that a frame ended which concerned no meter: ask until it did."""
    while True:
        counts = (await line.control.truth()).wire
        if counts.requests + counts.bad_frames >= frames:
            return counts
        await asyncio.sleep(0.005)


def test_crc_of_the_standards_example() -> None:
    assert crc(bytes.fromhex("0207")) == bytes.fromhex("4112")


@given(st.binary(max_size=256))
def test_crc_agrees_with_another_makers(data: bytes) -> None:
    assert int.from_bytes(crc(data), "big") == FramerRTU.compute_CRC(data)


def test_silence_is_fixed_above_19200() -> None:
    assert Timing(baud=9600).silence_s == 35 / 9600
    assert Timing(baud=19200, character_bits=11).silence_s == 3.5 * 11 / 19200
    assert Timing(baud=38400).silence_s == 0.00175


async def test_an_exchange_takes_its_time_on_the_wire() -> None:
    async with line_of(DDS238) as (line, port):
        for _ in range(3):
            begun_s = time.monotonic()
            answer = await exchange(port, framed(READ_SIX), 17)
            took_s = time.monotonic() - begun_s
            assert answer == framed(answer[:-2])
            # 8 characters, the turnaround, 17 characters: no machine is faster than its wire.
            assert took_s >= (8 + 17) * 10 / 9600 + 0.020
        assert (await line.control.truth()).wire.answers == 3


async def test_characters_of_eleven_bits_take_longer() -> None:
    async with line_of(DDS238, baud=1200, character="8N2") as (_, port):
        begun_s = time.monotonic()
        answer = await exchange(port, framed(READ_SIX), 17)
        assert time.monotonic() - begun_s >= (8 + 3.5 + 17) * 11 / 1200
        assert answer == framed(answer[:-2])


async def test_the_answer_comes_character_by_character() -> None:
    async with line_of(SDM230, baud=1200) as (_, port):
        os.write(port, framed(bytes.fromhex("09 03 fc00 0002")))
        reads: list[bytes] = []
        while sum(map(len, reads)) < 9:
            reads.append(await asyncio.to_thread(os.read, port, 256))
        assert len(reads) > 1
        assert b"".join(reads) == framed(bytes.fromhex("09 03 04 0134 d67f"))


async def test_who_speaks_into_an_answer_gets_garbage() -> None:
    async with line_of(SDM230, baud=2400) as (line, port):
        first = await exchange(port, framed(READ_LONG), 1)
        answer = first + await exchange(port, framed(READ_LONG), 254)
        assert first == b"\x09"
        assert answer != framed(answer[:-2])
        counts = await counts_when_heard(line, 2)
        assert (counts.requests, counts.bad_frames, counts.collisions) == (1, 1, 2)
        answer = await exchange(port, framed(READ_LONG), 255)
        assert answer == framed(answer[:-2])


async def test_frames_without_silence_between_them_are_one_unreadable_frame() -> None:
    async with line_of(DDS238) as (line, port):
        os.write(port, framed(READ_SIX) * 2)
        counts = await counts_when_heard(line, 1)
        assert (counts.requests, counts.bad_frames, counts.answers) == (0, 1, 0)


async def test_a_frame_in_two_pieces_is_one_frame() -> None:
    async with line_of(DDS238, baud=300) as (_, port):
        request = framed(READ_SIX)
        os.write(port, request[:4])
        answer = await exchange(port, request[4:], 17)
        assert answer == framed(answer[:-2])


async def test_what_concerns_nobody_is_met_with_silence() -> None:
    broadcast = framed(bytes.fromhex("00 10 001a 0001 02 0000"))
    absent = framed(bytes.fromhex("06 03 000c 0006"))
    bad_crc = READ_SIX + b"\0\0"
    async with line_of(DDS238) as (line, port):
        for number, request in enumerate((broadcast, absent, bad_crc, b"\x05\x03\x00"), 1):
            os.write(port, request)
            await counts_when_heard(line, number)
        truth = await line.control.truth()
        assert (truth.wire.requests, truth.wire.bad_frames, truth.wire.answers) == (2, 2, 0)
        assert truth.meter("HK-5").closed
        assert truth.meter("HK-5").writes == ()
        answer = await exchange(port, framed(READ_SIX), 17)
        assert answer == framed(answer[:-2])


async def test_a_hasty_master_is_answered_and_counted() -> None:
    async with line_of(DDS238, baud=300) as (line, port):
        for _ in range(2):
            # At 300 baud the silence lasts 117 ms: this comes well before.
            answer = await exchange(port, framed(READ_SIX), 17)
            assert answer == framed(answer[:-2])
        assert (await line.control.truth()).wire.short_silences == 1
