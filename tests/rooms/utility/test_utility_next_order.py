"""The number and the nonce of an order come from what the gateway itself says, by a real broker."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.core.documents import decode
from gateway.core.orders import Isolate, Order
from gateway.core.signature import FIELD_DOCUMENTS, verify
from gateway.headend.messages import pack_absence
from gateway.headend.session import BrokerSettings
from gateway.utility.files import Mistake
from gateway.utility.next_order import NextOrder, next_order
from gateway.utility.publish import publish_document
from tests.rooms.brokers import LOOPBACK, free_port, mosquitto
from tests.rooms.headend.engine_side import GATEWAY, UTILITY
from tests.rooms.headend.other_end import TOPICS, OtherEnd
from tests.rooms.utility.desk import Desk

NONCE = "boot-7@900"
STATUS = {"gateway": GATEWAY, "online": True, "order_seq": 41, "nonce": NONCE, "records": 900}


@asynccontextmanager
async def said_of_itself(
    tmp_path: Path, status: bytes | None
) -> AsyncIterator[tuple[BrokerSettings, OtherEnd]]:
    """A broker that keeps this status of the gateway, and somebody who hears everything."""
    async with (
        mosquitto(tmp_path / "broker") as (host, port),
        OtherEnd().listening(host, port) as other,
    ):
        if status is not None:
            await other.say(TOPICS.status, status, retain=True)
        yield BrokerSettings(host=host, port=port), other


def asking(settings: BrokerSettings) -> tuple[str, ...]:
    address = f"{settings.host}:{settings.port}"
    return ("--gateway", GATEWAY, "--ask-broker", address, "--utility", UTILITY)


async def ask(settings: BrokerSettings) -> NextOrder:
    return await next_order(settings, UTILITY, GATEWAY, answer_s=0.5)


async def test_the_next_order_follows_the_newest_and_echoes_the_nonce(tmp_path: Path) -> None:
    async with said_of_itself(tmp_path, json.dumps(STATUS).encode()) as (settings, _):
        assert await ask(settings) == NextOrder(seq=42, nonce=NONCE)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (None, "gateway gw-1: the broker holds nothing on fg/v1/demo/gw-1/up/status; check"),
        (pack_absence(GATEWAY), "gateway gw-1: it is not connected, and what is signed for now"),
        (b'{"online": true}', "gateway gw-1: its status says nothing of orders; give --seq"),
        (b'{"online": 1}', "gateway gw-1: MALFORMED_STATUS: Expected `bool`"),
        (b"\xff", "gateway gw-1: MALFORMED_STATUS: "),
    ],
)
async def test_a_gateway_that_does_not_say_is_not_guessed_at(
    tmp_path: Path, status: bytes | None, says: str
) -> None:
    async with said_of_itself(tmp_path, status) as (settings, _):
        with pytest.raises(Mistake) as raised:
            await ask(settings)
    assert str(raised.value).startswith(says)


async def test_a_broker_that_cannot_be_reached_is_named() -> None:
    settings = BrokerSettings(host=LOOPBACK, port=free_port())
    with pytest.raises(Mistake, match=f"broker {LOOPBACK}:{settings.port}: .*cannot be reached"):
        await ask(settings)


async def test_an_order_is_signed_for_this_boot_and_published_unkept(tmp_path: Path) -> None:
    desk = Desk(tmp_path).equip()
    async with said_of_itself(tmp_path, json.dumps(STATUS).encode()) as (settings, other):
        order = desk.order("isolate", "--reason", "line work", *asking(settings))
        await asyncio.to_thread(desk.run, *order)
        raw = (desk / "out").read_bytes()
        signed = decode(verify(raw, FIELD_DOCUMENTS, desk.root()))
        assert isinstance(signed, Order)
        assert (signed.seq, signed.boot) == (42, NONCE)
        assert signed.act == Isolate(reason="line work")
        await publish_document(raw, settings, utility=UTILITY, gateway=GATEWAY)
        await other.until(lambda: other.on(TOPICS.document) == [raw])
        async with OtherEnd().listening(settings.host, settings.port) as late:
            await late.until(lambda: bool(late.heard))
            await late.say(TOPICS.ack, b"{}")
            await late.until(lambda: bool(late.on(TOPICS.ack)))
            assert late.on(TOPICS.document) == []


async def test_a_refusal_is_one_line(tmp_path: Path) -> None:
    desk = Desk(tmp_path).equip()
    async with said_of_itself(tmp_path, pack_absence(GATEWAY)) as (settings, _):
        order = desk.order("isolate", "--reason", "line work", *asking(settings))
        said = await asyncio.to_thread(desk.refuses, *order)
    assert said.startswith("gateway gw-1: it is not connected")
    assert not (desk / "out").exists()
