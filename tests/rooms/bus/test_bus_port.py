"""The serial port: when what came is handed over, when it is said to have come, what is refused."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from gateway.bus.port import Baud, BusSettings, SerialPort
from tests.rooms.bus.wire import OtherEnd

PATIENCE_S = 30.0
"""Longer than any of these tests lasts: what is not handed over before then hangs."""
ANSWER = bytes(range(9))
LATER_S = 0.005


@dataclass
class Bench:
    """A port, and the other end."""

    end: OtherEnd
    port: SerialPort
    lost: list[str]

    async def receive(self, expected: int) -> bytes:
        """What comes, where so many bytes are expected."""
        until_s = asyncio.get_running_loop().time() + PATIENCE_S
        return await self.port.receive(until_s, expected)


@contextlib.asynccontextmanager
async def bench(baud: Baud) -> AsyncIterator[Bench]:
    end, lost = OtherEnd(lambda _: []), list[str]()
    settings = BusSettings(name="A", port=end.path, baud=baud)
    port = SerialPort.open(settings, lambda: lost.append("lost"))
    try:
        yield Bench(end, port, lost)
    finally:
        port.close()
        with contextlib.suppress(OSError):
            end.close()


async def first_bytes_read(it: Bench, expected: int) -> "asyncio.Task[bytes]":
    """Let the first byte of an answer come while it is waited for."""
    asked = asyncio.create_task(it.receive(expected))
    await asyncio.sleep(0)
    it.end.say(ANSWER[:1])
    while it.port.heard_s < 0:
        await asyncio.sleep(0)
    return asked


async def test_an_answer_that_comes_byte_by_byte_is_handed_over_at_once() -> None:
    async with bench(1200) as it:
        asked = await first_bytes_read(it, len(ANSWER))
        for at in range(1, len(ANSWER)):
            it.end.say(ANSWER[at : at + 1])
            await asyncio.sleep(0)
        assert await asked == ANSWER


@pytest.mark.parametrize("expected", [6, 9, 255])
async def test_a_shorter_answer_than_the_expected_one_is_handed_over_too(expected: int) -> None:
    async with bench(115200) as it:
        it.end.say(ANSWER[:5])
        assert await it.receive(expected) == ANSWER[:5]


async def test_what_comes_while_nothing_is_expected_is_handed_over_byte_by_byte() -> None:
    async with bench(1200) as it:
        it.end.say(ANSWER[:1])
        assert await it.receive(1) == ANSWER[:1]


async def test_whoever_leaves_while_an_answer_comes_leaves_a_port_that_hears() -> None:
    async with bench(1200) as it:
        asked = await first_bytes_read(it, 255)
        asked.cancel()
        await asyncio.wait((asked,))
        it.port.discard()
        it.end.say(ANSWER)
        assert await it.receive(len(ANSWER)) == ANSWER


async def test_a_port_that_is_unplugged_while_an_answer_comes_is_lost_once() -> None:
    async with bench(1200) as it:
        asked = await first_bytes_read(it, 255)
        it.end.close()
        assert await asked == ANSWER[:1]
        for _ in range(2):
            with pytest.raises(OSError, match=r"."):
                it.port.discard()
        assert it.lost == ["lost"]


async def test_what_came_is_known_to_have_come_before_anybody_asked() -> None:
    loop = asyncio.get_running_loop()
    async with bench(9600) as it:
        said_s = loop.time()
        it.end.say(ANSWER)
        while it.port.heard_s < 0:
            await asyncio.sleep(0)
        asked_s = loop.time()
        await asyncio.sleep(LATER_S)
        assert await it.receive(len(ANSWER)) == ANSWER
        assert said_s <= it.port.heard_s <= asked_s


async def test_a_wait_is_over_when_it_was_said_to_be() -> None:
    loop = asyncio.get_running_loop()
    async with bench(9600) as it:
        until_s = loop.time() + LATER_S
        assert await it.port.receive(until_s) == b""
        assert loop.time() >= until_s
        assert await it.port.receive(until_s) == b""


async def test_a_port_that_cannot_switch_a_transceiver_says_so() -> None:
    end = OtherEnd(lambda _: [])
    settings = BusSettings(name="A", port=end.path, rs485=True)
    with pytest.raises(OSError, match=f"{end.path}: its driver cannot .*rs485 = true.*leave that"):
        SerialPort.open(settings, lambda: None)
    end.close()
