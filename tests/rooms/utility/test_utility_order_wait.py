"""An order that is waited for: each state as it is told, and the exit status of its end."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.core.documents import decode
from gateway.core.orders import Order
from gateway.core.progress import OrderState, Progress
from gateway.core.signature import FIELD_DOCUMENTS, verify
from gateway.headend.notes import pack_order
from tests.rooms.brokers import Mosquitto, mosquitto
from tests.rooms.headend.engine_side import GATEWAY, PATIENCE_S, UTILITY
from tests.rooms.headend.other_end import TOPICS, OtherEnd
from tests.rooms.utility.desk import Desk

PROGRAM = "from gateway.utility.cli import utility; utility()"
AT = {OrderState.QUEUED: 1_795_077_120_000, OrderState.SUCCEEDED: 1_795_077_123_000}
ORDER = "isolate-7"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path).equip()


@asynccontextmanager
async def a_gateway(tmp_path: Path) -> AsyncIterator[tuple[OtherEnd, str]]:
    """A broker, its address, and somebody who answers for the gateway."""
    async with (
        mosquitto(tmp_path / "broker") as (host, port),
        OtherEnd().listening(host, port) as other,
    ):
        yield other, f"{host}:{port}"


async def waiting(desk: Desk, address: str, *options: object) -> asyncio.subprocess.Process:
    said = desk.order(
        "isolate", "--reason", "line work", "--gateway", GATEWAY, "--id", ORDER, "--wait",
        "--ask-broker", address, "--utility", UTILITY, "--seq", "8", *options,
    )  # fmt: skip
    words = [str(word) for word in said]
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, *words, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    async with asyncio.timeout(PATIENCE_S):
        said, wrong = await process.communicate()
    return process.returncode, said.decode(), wrong.decode()


async def tell(other: OtherEnd, state: OrderState, version: int, **more: str) -> None:
    at = {name: when for name, when in AT.items() if name is state}
    progress = Progress(id=ORDER, kind="isolate", state=state, version=version, at=at, **more)
    await other.say(TOPICS.order(ORDER), pack_order(GATEWAY, progress))


async def test_an_order_is_published_and_followed_until_it_succeeded(
    desk: Desk, tmp_path: Path
) -> None:
    async with a_gateway(tmp_path) as (other, address):
        process = await waiting(desk, address)
        await other.until(lambda: bool(other.on(TOPICS.document)))
        raw = other.on(TOPICS.document)[0]
        order = decode(verify(raw, FIELD_DOCUMENTS, desk.root()))
        assert isinstance(order, Order)
        assert (order.id, order.seq) == (ORDER, 8)
        for state, version in ((OrderState.QUEUED, 1), (OrderState.QUEUED, 1)):
            await tell(other, state, version)
        await tell(other, OrderState.SUCCEEDED, 2)
        status, said, _ = await ended(process)
    assert status == 0
    lines = said.splitlines()[-2:]
    assert lines[0] == "2026-11-19T08:32:00+00:00  isolate-7: QUEUED"
    assert lines[1] == "2026-11-19T08:32:03+00:00  isolate-7: SUCCEEDED"


@pytest.mark.parametrize(
    "state", [OrderState.FAILED, OrderState.TIMED_OUT, OrderState.REJECTED, OrderState.CANCELED]
)
async def test_every_other_end_is_a_failure_with_its_reason(
    desk: Desk, tmp_path: Path, state: OrderState
) -> None:
    async with a_gateway(tmp_path) as (other, address):
        process = await waiting(desk, address, "--json")
        await other.until(lambda: bool(other.on(TOPICS.document)))
        await tell(other, state, 0, reason="WRONG_BOOT", detail="it echoes another boot")
        status, said, _ = await ended(process)
    note = json.loads(said.splitlines()[-1])
    assert status == 1
    assert (note["state"], note["reason"]) == (state, "WRONG_BOOT")


async def test_a_broken_link_is_mended_by_publishing_the_same_order_again(
    desk: Desk, tmp_path: Path
) -> None:
    broker = Mosquitto(tmp_path / "broker")
    await broker.start()
    async with OtherEnd().listening(broker.host, broker.port) as other:
        process = await waiting(desk, f"{broker.host}:{broker.port}")
        await other.until(lambda: bool(other.on(TOPICS.document)))
        await other.say(TOPICS.order(ORDER), b"\xffgarbage")
        await tell(other, OrderState.QUEUED, 1)
    await broker.kill()
    await broker.start()
    async with OtherEnd().listening(broker.host, broker.port) as other:
        await other.until(lambda: bool(other.on(TOPICS.document)))
        await tell(other, OrderState.QUEUED, 1)
        await tell(other, OrderState.SUCCEEDED, 2)
        status, said, _ = await ended(process)
    await broker.stop()
    assert status == 0
    assert said.count("QUEUED") == 1


async def test_who_waits_no_longer_leaves_the_order_as_it_is(desk: Desk, tmp_path: Path) -> None:
    async with a_gateway(tmp_path) as (other, address):
        process = await waiting(desk, address)
        await other.until(lambda: bool(other.on(TOPICS.document)))
        process.send_signal(signal.SIGINT)
        status, _, wrong = await ended(process)
    assert status == 130
    assert wrong == "order isolate-7: no longer waited for; it stands\n"


def test_waiting_wants_a_broker_and_a_span(desk: Desk) -> None:
    order = desk.order("isolate", "--reason", "line work")
    for options, said in (
        (("--wait",), "'--ask-broker', which --wait needs"),
        (("--within", "5min"), "--within says how long --wait waits"),
        (("--wait", "--within", "soon", "--ask-broker", "localhost", "--utility", "demo"), "span"),
    ):
        assert said in desk.run(*order, *options, status=2)
