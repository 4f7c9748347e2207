"""The next order: which number a gateway waits for, and the nonce that an order has to echo.

Owns the question to the broker. Must never guess: a gateway that is away, or says nothing of its
orders, is asked again when it is back.
"""

import asyncio
import secrets

import msgspec

from gateway.core.model import Count, GatewayId, IdText, Value
from gateway.headend.dialler import Dialler, Role
from gateway.headend.messages import Topics
from gateway.headend.session import BrokerSettings, DialFailed, Message, Session
from gateway.utility.files import Mistake

ANSWER_S = 5.0
"""A retained status comes with the subscription; whoever has none by then has none."""


class NextOrder(Value):
    """What the next order to a gateway says of itself."""

    seq: Count
    nonce: str | None


class _Said(Value):
    """The part of `up/status` that is about orders; a will has none of it."""

    online: bool
    order_seq: Count | None = None
    nonce: str | None = None


async def next_order(
    settings: BrokerSettings, utility: IdText, gateway: IdText, *, answer_s: float = ANSWER_S
) -> NextOrder:
    """Ask the broker for the newest status of a gateway. Raises `Mistake`."""
    topics = Topics(root=settings.topic_root, utility=utility, gateway=GatewayId(gateway))
    place = f"gateway {gateway}"
    payload = await _newest_status(settings, topics.status, answer_s)
    if payload is None:
        raise Mistake(
            place,
            f"the broker holds nothing on {topics.status}",
            "check --gateway, --utility and --topic-root, or give --seq",
        )
    try:
        said = msgspec.json.decode(payload, type=_Said)
    except msgspec.DecodeError as error:
        wrong = f"MALFORMED_STATUS: {error}"
        raise Mistake(place, wrong, "see what else publishes there, or give --seq") from error
    if not said.online:
        raise Mistake(
            place,
            "it is not connected, and an order would run out before it is",
            "wait until it is back, or give --seq",
        )
    if said.order_seq is None or said.nonce is None:
        raise Mistake(place, "its status says nothing of orders", "give --seq and --nonce")
    return NextOrder(seq=said.order_seq + 1, nonce=said.nonce)


async def _newest_status(settings: BrokerSettings, topic: str, answer_s: float) -> bytes | None:
    status: asyncio.Future[bytes] = asyncio.Future()

    def hear(session: Session, message: Message) -> None:
        session.acknowledge(message)
        if not status.done():
            status.set_result(message.payload)

    role = Role(client_id=f"fg-ask-{secrets.token_hex(4)}", lasting=False, filters=(topic,))
    try:
        session = await Dialler(settings, role).dial(hear)
    except DialFailed as failed:
        place = f"broker {settings.host}:{settings.port}"
        raise Mistake(place, failed.detail, "check --ask-broker, or give --seq") from failed
    try:
        async with asyncio.timeout(answer_s):
            return await status
    except TimeoutError:
        return None
    finally:
        await session.close()
