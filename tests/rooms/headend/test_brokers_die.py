"""Brokers, gateways and collectors that end or are killed: the same judgement as for a cut."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.campaign.link_world import World
from tests.rooms.headend.cutting_proxy import Kind, Packet, Way

FORGETS = ("allow_anonymous true", "persistence false")
KEEPS = ("allow_anonymous true",)
both = pytest.mark.parametrize("options", [KEEPS, FORGETS], ids=["keeps its sessions", "forgets"])


@both
async def test_a_broker_ends_and_is_killed_while_orders_are_under_way(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    async with World.opened(tmp_path / "world", homes=20, options=options) as world:
        for end in (world.broker.stop, world.broker.kill) * 3:
            ordered = asyncio.create_task(world.order())
            await world.gateway.writes(5)
            await end()
            await world.gateway.writes(5)
            await world.broker.start()
            assert await ordered == ""
        assert await world.faults() == []


@both
async def test_what_was_published_while_the_gateway_was_away_comes_though_the_broker_ended(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    async with World.opened(tmp_path / "world", homes=2, options=options) as world:
        await world.drained()
        order = await world.wanted()
        await world.gateway.stop()
        await world.published(order)
        await world.broker.stop()
        await world.broker.start()
        await world.gateway.start(world.near.host, world.near.port)
        if options is FORGETS:
            assert await world.followed(order) == ""  # the head end publishes until it is told
        await world.gateway.until(lambda: not world.gateway.image.kept.orders)
        await world.gateway.until(lambda: order.id in world.gateway.image.kept.orders_ended)
        assert await world.faults() == []
        assert world.deliveries[order.id] == 1 or options is FORGETS


KILLED_AT: dict[str, Callable[[Packet], bool]] = {
    "an order has come": lambda one: (
        (one.kind, one.way) == (Kind.PUBLISH, Way.DOWN) and one.topic.endswith("/down/document")
    ),
    "its end is told": lambda one: b"SUCCEEDED" in one.payload and "/up/order/" in one.topic,
    "records are acknowledged": lambda one: (
        (one.kind, one.way) == (Kind.PUBLISH, Way.DOWN) and one.topic.endswith("/down/ack")
    ),
    "it acknowledges": lambda one: (one.kind, one.way) == (Kind.PUBACK, Way.UP),
}


@pytest.mark.parametrize("when", KILLED_AT)
async def test_a_gateway_is_killed_and_nothing_is_lost_or_done_twice(
    tmp_path: Path, when: str
) -> None:
    async with World.opened(tmp_path / "world", homes=4) as world:
        await world.drained()
        await world.gateway.stop()
        world.within = False
        for _ in range(2):
            async with _gateway_process(world) as process:
                order = await world.wanted(lambda serial: _dark(process, serial))
                _kills(world, process, KILLED_AT[when])
                ordered = asyncio.create_task(world.followed(order))
                await process.wait()
            async with _gateway_process(world):
                assert await ordered == ""
        await world.gateway.start(world.near.host, world.near.port)
        assert await world.faults() == []


COLLECTOR_KILLED_AT: dict[str, Callable[[Packet], bool]] = {
    "records come": lambda one: (
        (one.kind, one.way) == (Kind.PUBLISH, Way.DOWN) and one.topic.endswith("/up/records")
    ),
    "they are acknowledged": lambda one: (
        (one.kind, one.way) == (Kind.PUBLISH, Way.UP) and one.topic.endswith("/down/ack")
    ),
}


@pytest.mark.parametrize("when", COLLECTOR_KILLED_AT)
async def test_a_collector_is_killed_and_every_record_is_there_once(
    tmp_path: Path, when: str
) -> None:
    async with World.opened(tmp_path / "world", homes=4, collects=False) as world:
        for _ in range(3):
            async with _collector_process(world) as process:
                _kills(world, process, COLLECTOR_KILLED_AT[when])
                await world.gateway.writes(20)
                await process.wait()
        async with _collector_process(world):
            assert await world.order() == ""
            assert await world.faults() == []


async def test_a_database_that_lost_its_tail_gets_it_again(tmp_path: Path) -> None:
    async with World.opened(tmp_path / "world", homes=4) as world:
        await world.gateway.writes(100)
        assert await world.order() == ""
        await world.drained()
        await world.collect_no_more()
        world.loses_after(20)
        await world.collect()
        await world.gateway.writes(10)
        assert await world.order() == ""
        assert await world.faults() == []


@both
@pytest.mark.parametrize("number", [20, 0])
async def test_a_database_that_lost_records_gets_them_again_from_a_gateway_that_comes_later(
    tmp_path: Path, options: tuple[str, ...], number: int
) -> None:
    async with World.opened(tmp_path / "world", homes=4, options=options) as world:
        await world.gateway.writes(100)
        assert await world.order() == ""
        await world.drained()
        await world.gateway.stop()
        await world.collect_no_more()
        world.loses_after(number)
        await world.broker.stop()
        await world.broker.start()
        await world.collect()
        await world.gateway.start(world.near.host, world.near.port)
        assert await world.order() == ""
        assert await world.faults() == []


def _kills(world: World, process: Process, at: Callable[[Packet], bool]) -> None:
    """Kill a process when such a packet is about to pass."""

    def see(packet: Packet) -> None:
        if process.returncode is None and at(packet):
            process.kill()
            world.see = lambda _: None

    world.see = see


@asynccontextmanager
async def _process(*arguments: str, stdout: int = PIPE) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments, stdin=PIPE, stdout=stdout
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _gateway_process(world: World) -> AbstractAsyncContextManager[Process]:
    ours, near = world.gateway, world.near
    where = (str(ours.folder), "demo", str(ours.homes), near.host, str(near.port))
    return _process("tests.rooms.headend.linked_gateway", *where)


def _collector_process(world: World) -> AbstractAsyncContextManager[Process]:
    far = world.far
    at = ("--utility", "demo", "--broker", f"{far.host}:{far.port}")
    into = ("--into", str(world.database))
    return _process("gateway", "utility", "collect", *at, *into, stdout=DEVNULL)


async def _dark(process: Process, serial: str) -> None:
    """Tell a gateway that is a process of its own."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{serial}\n".encode())
    assert await process.stdout.readline() == f"dark {serial}\n".encode()
