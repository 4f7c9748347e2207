"""The master's discipline on a line (rules B2, B3, B5), against a hand-made other end."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from gateway.bus.frame import Function, Read, Write
from gateway.bus.port import HEARD_MAX_BYTES, BusSettings, SerialPort
from gateway.bus.rtu import Counters, Failure, Fault, Master, Reply, Timing
from gateway.host.clock import HostClock, boot_id
from tests.rooms.bus.wire import Behaviour, OtherEnd, Slave, framed, slaves, words

TIMING = Timing(timeout_ms=60, turnaround_max_ms=100)
STATE = Read(unit=5, function=Function.READ_HOLDING, address=0x1A, count=1)
VOLTAGE = Read(unit=5, function=Function.READ_HOLDING, address=0x0C, count=1)
OTHER = Read(unit=6, function=Function.READ_HOLDING, address=0x1A, count=1)
COIL = Write(unit=5, function=Function.WRITE_COIL, address=0, values=(1,))
GOOD = framed(5, 3, 2, words(1))


@dataclass
class Bench:
    """A master, the port it speaks on, and the other end."""

    end: OtherEnd
    master: Master
    counters: Counters
    lost: asyncio.Event


@contextlib.asynccontextmanager
async def bench(behaviour: Behaviour, baud: int = 9600) -> AsyncIterator[Bench]:
    end, lost, counters = OtherEnd(behaviour), asyncio.Event(), Counters()
    settings = BusSettings(name="A", port=end.path)
    port = SerialPort.open(settings, lost.set)
    master = Master(port, HostClock(boot_id(), 0), counters, baud=baud, character_bits=10)
    try:
        yield Bench(end, master, counters, lost)
    finally:
        port.close()
        with contextlib.suppress(OSError):
            end.close()


def values(outcome: Reply | Fault) -> tuple[int, ...]:
    assert isinstance(outcome, Reply), outcome
    return outcome.values


def failure(outcome: Reply | Fault) -> Failure:
    assert isinstance(outcome, Fault), outcome
    return outcome.failure


async def test_an_answer_is_read_and_counted() -> None:
    async with bench(lambda _: [(0, GOOD)]) as it:
        assert values(await it.master.exchange(STATE, TIMING)) == (1,)
        assert it.counters == Counters(good=1)


async def test_an_answer_in_pieces_after_noise_is_read() -> None:
    async with bench(lambda _: [(0, b"\xff\x05\x03"), (0.01, GOOD[:3]), (0.02, GOOD[3:])]) as it:
        assert values(await it.master.exchange(STATE, TIMING)) == (1,)


async def test_an_exception_is_an_answer_and_says_its_code() -> None:
    async with bench(lambda _: [(0, framed(5, 0x83, 2))]) as it:
        outcome = await it.master.exchange(STATE, TIMING)
        assert failure(outcome) is Failure.EXCEPTION
        assert isinstance(outcome, Fault)
        assert outcome.code == 2
        assert it.counters == Counters(refused=1)


@pytest.mark.parametrize(
    ("said", "expected", "counted"),
    [
        (b"", Failure.NO_ANSWER, Counters(timeouts=1)),
        (GOOD[:-1] + b"\x00", Failure.GARBLED, Counters(crc_errors=1)),
        (GOOD[:4], Failure.GARBLED, Counters(crc_errors=1)),
        (framed(5, 3, 8, words(1, 2, 3, 4)), Failure.MISMATCHED, Counters(mismatched=1)),
        (framed(9, 3, 2, words(1)), Failure.MISMATCHED, Counters(mismatched=1)),
    ],
    ids=["silence", "bad CRC", "cut short", "byte count", "another unit"],
)
async def test_what_is_no_answer_is_named(
    said: bytes, expected: Failure, counted: Counters
) -> None:
    async with bench(lambda _: [(0, said)] if said else []) as it:
        assert failure(await it.master.exchange(STATE, TIMING)) is expected
        assert it.counters == counted


async def test_a_late_answer_is_not_taken_for_the_next_requests() -> None:
    # The same unit, function and length: on the wire nothing tells the two answers apart.
    def late_once(request: bytes) -> list[tuple[float, bytes]]:
        asked = request[3]
        return [(0.14, framed(5, 3, 2, words(2301)))] if asked == 0x0C else [(0, GOOD)]

    async with bench(late_once) as it:
        assert failure(await it.master.exchange(VOLTAGE, TIMING)) is Failure.NO_ANSWER
        assert values(await it.master.exchange(STATE, TIMING)) == (1,)
        assert it.counters == Counters(good=1, timeouts=1, late=1)


async def test_a_late_answer_to_a_read_is_not_taken_for_a_writes() -> None:
    def late(request: bytes) -> list[tuple[float, bytes]]:
        return [(0.14, GOOD)] if request[1] == 3 else []

    async with bench(late) as it:
        assert failure(await it.master.exchange(STATE, TIMING)) is Failure.NO_ANSWER
        assert failure(await it.master.exchange(COIL, TIMING)) is Failure.NO_ANSWER
        assert it.counters.late == 1


async def test_what_came_while_nobody_asked_is_thrown_away() -> None:
    async with bench(slaves({5: Slave({3: {0x1A: 1}})})) as it:
        assert values(await it.master.exchange(STATE, TIMING)) == (1,)
        it.end.say(framed(5, 3, 2, words(0)))
        assert values(await it.master.exchange(STATE, TIMING)) == (1,)


async def test_a_doubled_answer_does_not_answer_the_next_request() -> None:
    def twice_once(request: bytes) -> list[tuple[float, bytes]]:
        return [(0, framed(request[0], 3, 2, words(request[3]))) for _ in range(2)]

    async with bench(twice_once) as it:
        assert values(await it.master.exchange(STATE, TIMING)) == (0x1A,)
        assert values(await it.master.exchange(VOLTAGE, TIMING)) == (0x0C,)


async def test_a_line_that_is_never_silent_is_given_up() -> None:
    async with bench(lambda _: [], baud=1200) as it:

        async def babble() -> None:
            while True:
                it.end.say(b"\x55")
                await asyncio.sleep(0.001)

        babbling = asyncio.create_task(babble())
        outcome = await it.master.exchange(STATE, TIMING)
        babbling.cancel()
        assert failure(outcome) is Failure.GARBLED
        assert isinstance(outcome, Fault)
        assert outcome.sent_ms is None
        assert it.end.requests == []


async def test_a_babbling_line_that_nobody_reads_does_not_fill_the_memory() -> None:
    end = OtherEnd(lambda _: [])
    port = SerialPort.open(BusSettings(name="A", port=end.path), lambda: None)
    babble, heard = b"\x55" * 100_000 + GOOD, b""
    while babble:
        with contextlib.suppress(BlockingIOError):
            babble = babble[os.write(end.fd, babble) :]
        await asyncio.sleep(0)
    while not heard.endswith(GOOD):
        chunk = await port.receive(asyncio.get_running_loop().time() + 1)
        assert len(chunk) <= HEARD_MAX_BYTES
        heard += chunk
    port.close()
    end.close()


async def test_on_an_echoing_line_the_echo_is_no_answer() -> None:
    async with bench(slaves({6: Slave({3: {0x1A: 1}})})) as it:
        it.end.echo = True
        await it.master.probe_echo(247)
        assert it.master.echo
        assert failure(await it.master.exchange(COIL, TIMING)) is Failure.NO_ANSWER
        assert values(await it.master.exchange(OTHER, TIMING)) == (1,)
        assert it.counters == Counters(good=1, timeouts=1, echo=2)


async def test_on_an_echoing_line_a_live_meter_can_be_written() -> None:
    slave = Slave()
    async with bench(slaves({5: slave})) as it:
        it.end.echo = True
        await it.master.probe_echo(247)
        assert values(await it.master.exchange(COIL, TIMING)) == ()
        assert slave.writes == [(5, 0, (0xFF00,))]


async def test_an_echo_is_noticed_by_any_read() -> None:
    async with bench(slaves({6: Slave({3: {0x1A: 1}})})) as it:
        it.end.echo = True
        assert values(await it.master.exchange(OTHER, TIMING)) == (1,)
        assert it.master.echo
        assert failure(await it.master.exchange(COIL, TIMING)) is Failure.NO_ANSWER


async def test_an_echo_is_noticed_behind_noise() -> None:
    def echoing(request: bytes) -> list[tuple[float, bytes]]:
        own = [] if request[1] == 5 else [(0, framed(6, 3, 2, words(1)))]
        return [(0, b"\x00" + request), *own]

    async with bench(echoing) as it:
        assert values(await it.master.exchange(OTHER, TIMING)) == (1,)
        assert failure(await it.master.exchange(COIL, TIMING)) is Failure.NO_ANSWER


async def test_where_noise_spoils_the_echo_the_probe_is_sent_again() -> None:
    def spoilt_once(request: bytes) -> list[tuple[float, bytes]]:
        return [(0, request[:-1] + b"\x00" if len(it.end.requests) == 1 else request)]

    async with bench(spoilt_once) as it:
        await it.master.probe_echo(247)
        assert it.master.echo
        assert len(it.end.requests) == 2


async def test_noise_in_the_probe_is_no_echo() -> None:
    def noisy_once(_: bytes) -> list[tuple[float, bytes]]:
        return [(0, b"\x55")] if len(it.end.requests) == 1 else []

    async with bench(noisy_once) as it:
        await it.master.probe_echo(247)
        assert not it.master.echo
        assert len(it.end.requests) == 2


async def test_where_the_probe_is_never_clear_a_repeated_write_is_not_believed() -> None:
    def spoilt(request: bytes) -> list[tuple[float, bytes]]:
        return [(0, request if request[1] == 5 else b"\x55")]

    async with bench(spoilt) as it:
        await it.master.probe_echo(247)
        assert len(it.end.requests) == 3
        assert failure(await it.master.exchange(COIL, TIMING)) is Failure.NO_ANSWER


async def test_a_cancelled_exchange_leaves_the_line_usable() -> None:
    def slow_five(request: bytes) -> list[tuple[float, bytes]]:
        return [(0.05 if request[0] == 5 else 0, framed(request[0], 3, 2, words(request[0])))]

    async with bench(slow_five) as it:
        asked = asyncio.create_task(it.master.exchange(STATE, TIMING))
        await it.end.requested(lambda request: request[0] == 5)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert values(await it.master.exchange(OTHER, TIMING)) == (6,)
        assert it.counters.late == 1


async def test_an_unplugged_port_is_a_fault_and_is_told() -> None:
    async with bench(lambda _: []) as it:
        asked = asyncio.create_task(it.master.exchange(STATE, TIMING))
        await it.end.requested(lambda _: True)
        it.end.close()
        outcome = await asked
        assert failure(outcome) is Failure.BUS_DOWN
        assert isinstance(outcome, Fault)
        assert outcome.sent_ms is not None
        await it.lost.wait()
        outcome = await it.master.exchange(STATE, TIMING)
        assert isinstance(outcome, Fault)
        assert outcome.sent_ms is None


@pytest.mark.parametrize(
    ("path", "words_"),
    [("/dev/no-such-adapter", "does not exist"), ("/dev/null", "ioctl")],
)
async def test_a_port_that_cannot_be_opened_says_why(path: str, words_: str) -> None:
    with pytest.raises(OSError, match=f"{path}.*{words_}"):
        SerialPort.open(BusSettings(name="A", port=path), lambda: None)


async def test_a_port_belongs_to_one_program() -> None:
    async with bench(lambda _: []) as it:
        with pytest.raises(OSError, match="another program has it open"):
            SerialPort.open(BusSettings(name="B", port=it.end.path), lambda: None)


@pytest.mark.parametrize("format_", ["8E1", "8O1"])
async def test_a_pseudo_terminal_refuses_parity(format_: str) -> None:
    end = OtherEnd(lambda _: [])
    settings = BusSettings(name="A", port=end.path, format="8E1" if format_ == "8E1" else "8O1")
    with pytest.raises(OSError, match=f"does not take format {format_}: .*8N2 stands in"):
        SerialPort.open(settings, lambda: None)
    end.close()
