"""Each fault as it is seen on the wire, byte by byte, on a real pseudo terminal."""

import asyncio
import os
import time
from pathlib import Path

import msgspec
import pytest

from gateway.bench.control import Open
from gateway.bench.faults import Faults
from gateway.bench.meters import MeterEntry, MeterType
from tests.rooms.bus.wire import crc, framed
from tests.rooms.line.lines import (
    ACREL,
    DDS238,
    SDM230,
    Observer,
    line_of,
    observed,
    opened,
    settled,
)

EXPORT = framed(bytes.fromhex("05 03 0008 0002"))
"""Reads what is always nought, so that the same bytes are due at any time."""
NOUGHT = framed(bytes.fromhex("05 03 04 0000 0000"))
CLOSE = framed(bytes.fromhex("05 10 001a 0001 02 0001"))
CLOSED = framed(bytes.fromhex("05 10 001a 0001"))
RELAY = framed(bytes.fromhex("05 03 001a 0001"))
OTHER = MeterEntry(type=MeterType.DDS238_2_ZN_SR, unit=6, serial="HK-6", turnaround_ms=5)
SDM_SERIAL = framed(bytes.fromhex("09 03 fc00 0002"))
CONTACTS = framed(bytes.fromhex("64 02 0000 0008"))
CONTACTOR_ON = framed(bytes.fromhex("64 05 0002 ff00"))
CONTACTOR_OFF = framed(bytes.fromhex("64 05 0002 0000"))


def bits_between(one: bytes, other: bytes) -> int:
    """How many bits differ."""
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


async def injected(observer: Observer) -> dict[str, int]:
    """What the line says that it did."""
    told: dict[str, int] = msgspec.to_builtins((await observer.line.control.truth()).injected)
    return {kind: count for kind, count in told.items() if count}


class TestAnswers:
    async def test_without_faults_the_answer_is_right(self) -> None:
        async with observed(DDS238) as observer:
            assert await observer.heard(EXPORT) == NOUGHT
            assert await injected(observer) == {}

    async def test_a_crc_error_is_one_bit(self) -> None:
        async with observed(DDS238, faults=["crc"]) as observer:
            for _ in range(3):
                heard = await observer.heard(EXPORT)
                assert bits_between(heard, NOUGHT) == 1
                assert crc(heard[:-2]) != heard[-2:]
            assert await injected(observer) == {"crc": 3}

    async def test_a_truncated_answer_ends_too_soon(self) -> None:
        async with observed(DDS238, faults=["truncated"]) as observer:
            heard = await observer.heard(EXPORT)
            assert NOUGHT.startswith(heard)
            assert 0 < len(heard) < len(NOUGHT)

    async def test_a_doubled_answer_comes_twice(self) -> None:
        async with observed(DDS238, faults=["doubled"]) as observer:
            assert await observer.heard(EXPORT) == NOUGHT * 2

    async def test_noise_stands_around_the_answer_or_alone(self) -> None:
        async with observed(DDS238, faults=["noise"]) as observer:
            heard = await observer.heard(EXPORT)
            assert heard.startswith(NOUGHT) or heard.endswith(NOUGHT)
            assert 1 <= len(heard) - len(NOUGHT) <= 8
            await observer.line.control.fault(Faults(dead=1), "HK-5")
            assert 1 <= len(await observer.heard(EXPORT)) <= 8

    async def test_another_unit_seems_to_answer(self) -> None:
        async with observed(DDS238, faults=["address"]) as observer:
            heard = await observer.heard(EXPORT)
            assert heard[0] != 5
            assert heard == framed(heard[0], NOUGHT[1:-2])

    async def test_an_exception_is_no_obedience(self) -> None:
        async with observed(DDS238, faults=["exception,exception_code=11"]) as observer:
            assert await observer.heard(CLOSE) == framed(bytes.fromhex("05 90 0b"))
            await observer.line.control.fault(Faults(exception_code=4))
            assert await observer.heard(EXPORT) == framed(bytes.fromhex("05 83 04"))
            assert (await observer.line.control.truth()).meter("HK-5").writes == ()

    async def test_busy_is_exception_6(self) -> None:
        async with observed(DDS238, faults=["HK-5:busy"]) as observer:
            assert await observer.heard(EXPORT) == framed(bytes.fromhex("05 83 06"))

    async def test_a_mute_meter_obeys_in_silence(self) -> None:
        async with observed(DDS238, faults=["mute"]) as observer:
            assert await observer.heard(CLOSE, answers=0) == b""
            truth = await settled(observer.line, moves=1)
            assert truth.meter("HK-5").closed
            assert truth.wire.handed == 0

    async def test_a_dead_meter_does_nothing(self) -> None:
        async with observed(DDS238, OTHER, faults=["HK-5:dead"]) as observer:
            assert await observer.heard(CLOSE, answers=0) == b""
            # Its neighbour's answer, asked for after it, is the only thing that comes.
            other = await observer.heard(framed(6, EXPORT[1:-2]))
            assert other == framed(6, NOUGHT[1:-2])
            assert (await observer.line.control.truth()).meter("HK-5").writes == ()
            assert await injected(observer) == {"dead": 1}

    @pytest.mark.parametrize(
        ("fault", "least_s"), [("slow,slow_ms=60", 0.065), ("late,late_ms=100", 0.080)]
    )
    async def test_a_slow_or_late_answer_is_right_and_takes_its_time(
        self, fault: str, least_s: float
    ) -> None:
        async with observed(DDS238, faults=[fault]) as observer:
            begun_s = time.monotonic()
            assert await observer.heard(EXPORT) == NOUGHT
            assert time.monotonic() - begun_s >= least_s

    async def test_a_late_answer_is_heard_after_the_next_request(self) -> None:
        async with observed(DDS238, OTHER, faults=["HK-5:late,late_ms=200"]) as observer:
            assert await observer.heard(EXPORT, answers=0) == b""
            both = await observer.heard(framed(6, EXPORT[1:-2]), answers=2)
            assert both == framed(6, NOUGHT[1:-2]) + NOUGHT

    async def test_a_meter_speaks_once_at_a_time(self) -> None:
        async with observed(DDS238, faults=["late,late_ms=200"]) as observer:
            assert await observer.heard(EXPORT, answers=0) == b""
            assert await observer.heard(RELAY, answers=2) == NOUGHT + framed(
                bytes.fromhex("05 03 02 0000")
            )
            assert (await observer.line.control.truth()).wire.collisions == 0

    async def test_an_echo_comes_before_the_answer(self) -> None:
        async with observed(DDS238, faults=["echo"]) as observer:
            assert await observer.heard(EXPORT) == EXPORT + NOUGHT
            await observer.line.control.fault(Faults(dead=1), "HK-5")
            assert await observer.heard(CLOSE, answers=0) == CLOSE
            await observer.line.control.fault(Faults(echo=False))
            await observer.line.control.fault(Faults(dead=0), "HK-5")
            assert await observer.heard(EXPORT) == NOUGHT
            assert await injected(observer) == {"echo": 2, "dead": 1}

    async def test_the_same_seed_gives_the_same_bytes(self) -> None:
        faults = ["crc=0.3,doubled=0.3,truncated=0.2,noise=0.3,address=0.2,busy=0.2"]
        runs = []
        for seed in (7, 7, 8):
            async with observed(DDS238, faults=faults, seed=seed) as observer:
                runs.append([await observer.heard(EXPORT) for _ in range(12)])
        one, same, other = runs
        assert one == same
        assert one != other


class TestMeters:
    async def test_a_stuck_contact_stays_and_says_so(self) -> None:
        async with observed(SDM230, faults=["stuck"]) as observer:
            assert await observer.heard(CONTACTOR_OFF) == CONTACTOR_OFF
            assert await observer.heard(CONTACTS) == framed(bytes.fromhex("64 02 01 04"))
            truth = (await observer.line.control.truth()).meter(SDM230.serial)
            assert (truth.stuck, truth.closed, truth.moves) == (True, True, 0)
            await observer.line.control.fault(Faults(stuck=0))
            assert await observer.heard(CONTACTOR_OFF) == CONTACTOR_OFF
            assert not (await settled(observer.line, moves=1)).meter(SDM230.serial).closed
            assert await injected(observer) == {"resisted": 1}

    async def test_a_lying_contact_stays_and_says_otherwise(self) -> None:
        async with observed(ACREL, faults=["lies"]) as observer:
            await observer.line.control.ask(Open(serial=ACREL.serial))
            status = await observer.heard(framed(bytes.fromhex("01 03 0165 0001")))
            assert status == framed(bytes.fromhex("01 03 02 0000"))
            truth = (await observer.line.control.truth()).meter(ACREL.serial)
            assert (truth.lies, truth.closed, truth.moves) == (True, True, 0)
            current = await observer.heard(framed(bytes.fromhex("01 03 000c 0001")))
            assert current[3:5] > bytes((0, 100))

    async def test_backfeed_is_a_voltage_behind_an_open_contact(self) -> None:
        volts = framed(bytes.fromhex("09 04 0000 0002"))
        dark = msgspec.structs.replace(SDM230, state="open")
        async with observed(dark) as observer:
            assert await observer.heard(volts) == framed(bytes.fromhex("09 04 04 00000000"))
            await observer.line.control.fault(Faults(backfeed=1, backfeed_v=110))
            assert await observer.heard(volts) == framed(bytes.fromhex("09 04 04 42dc0000"))
            amperes = await observer.heard(framed(bytes.fromhex("09 04 0006 0002")))
            assert amperes == framed(bytes.fromhex("09 04 04 00000000"))

    async def test_a_swapped_meter_answers_with_its_own_number(self) -> None:
        async with observed(SDM230, ACREL) as observer:
            assert (await observer.heard(SDM_SERIAL))[3:7] == (20239999).to_bytes(4, "big")
            await observer.line.control.fault(Faults(swapped="777"), SDM230.serial)
            await observer.line.control.fault(Faults(swapped="42"), ACREL.serial)
            assert (await observer.heard(SDM_SERIAL))[3:7] == (777).to_bytes(4, "big")
            identity = await observer.heard(framed(bytes.fromhex("01 03 0043 0003")))
            assert identity[3:9] == bytes.fromhex("000000000042")
            assert (await observer.line.control.truth()).meter(ACREL.serial).answers_serial == "42"
            await observer.line.control.clear()
            assert (await observer.heard(SDM_SERIAL))[3:7] == (20239999).to_bytes(4, "big")

    async def test_exchanged_meters_answer_at_each_others_address(self) -> None:
        closed = msgspec.structs.replace(OTHER, state="closed")
        async with observed(DDS238, closed, faults=["HK-5:exchanged=HK-6"]) as observer:
            assert await observer.heard(RELAY) == framed(bytes.fromhex("05 03 02 0001"))
            at_6 = await observer.heard(framed(bytes.fromhex("06 03 001a 0001")))
            assert at_6 == framed(bytes.fromhex("06 03 02 0000"))


class TestPort:
    async def test_an_unplugged_port_hangs_up_and_comes_back_under_its_path(self) -> None:
        async with line_of(DDS238) as line:
            with opened(line.pty) as port:
                observer = Observer(line, port)
                assert await observer.heard(EXPORT) == NOUGHT
                await line.control.fault(Faults(unplugged=True))
                with pytest.raises(OSError, match="Input/output error"):
                    os.write(port, EXPORT)
                assert os.read(port, 100) == b""
            assert not os.path.lexists(line.pty)
            await line.control.fault(Faults(unplugged=False))
            assert Path(line.pty).is_symlink()
            with opened(line.pty) as port:
                observer = Observer(line, port)
                assert await observer.heard(EXPORT) == NOUGHT
                assert await injected(observer) == {"unplugged": 1}

    async def test_a_write_that_was_leaving_when_the_port_went_is_no_frame(self) -> None:
        long = framed(bytes.fromhex("05 10 001a 007b f6") + bytes(246))
        async with line_of(DDS238, faults=["echo"]) as line:
            with opened(line.pty) as port:
                os.write(port, long)
                assert await asyncio.to_thread(os.read, port, 1) == long[:1]
                await line.control.fault(Faults(unplugged=True))
            await line.control.clear()
            with opened(line.pty) as port:
                observer = Observer(line, port)
                await observer.counted(lambda wire: wire.bad_frames == 1)
                assert await observer.heard(EXPORT) == NOUGHT
            assert (await line.control.truth()).meter("HK-5").writes == ()

    async def test_a_line_can_begin_unplugged(self) -> None:
        async with line_of(DDS238, faults=["unplugged"]) as line:
            assert not os.path.lexists(line.pty)
            await line.control.clear()
            with opened(line.pty) as port:
                assert await Observer(line, port).heard(EXPORT) == NOUGHT
