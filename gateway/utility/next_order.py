"""The next order: which number a gateway waits for, and the nonce that a document has to echo.

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
    said = await _asked(settings, utility, gateway, answer_s, "--seq")
    if said.order_seq is None or said.nonce is None:
        raise Mistake(
            f"gateway {gateway}", "its status says nothing of orders", "give --seq and --nonce"
        )
    return NextOrder(seq=said.order_seq + 1, nonce=said.nonce)


async def newest_nonce(
    settings: BrokerSettings, utility: IdText, gateway: IdText, *, answer_s: float = ANSWER_S
) -> str:
    """The nonce of the newest status of a gateway. Raises `Mistake`."""
    said = await _asked(settings, utility, gateway, answer_s, "--nonce")
    if said.nonce is None:
        raise Mistake(f"gateway {gateway}", "its status gives no nonce", "give --nonce")
    return said.nonce


async def _asked(
    settings: BrokerSettings, utility: IdText, gateway: IdText, answer_s: float, instead: str
) -> _Said:
    topics = Topics(root=settings.topic_root, utility=utility, gateway=GatewayId(gateway))
    place = f"gateway {gateway}"
    payload = await _newest_status(settings, topics.status, answer_s, instead)
    if payload is None:
        raise Mistake(
            place,
            f"the broker holds nothing on {topics.status}",
            f"check --gateway, --utility and --topic-root, or give {instead}",
        )
    try:
        said = msgspec.json.decode(payload, type=_Said)
    except msgspec.DecodeError as error:
        wrong = f"MALFORMED_STATUS: {error}"
        raise Mistake(place, wrong, f"see what else publishes there, or give {instead}") from error
    if not said.online:
        raise Mistake(
            place,
            "it is not connected, and what is signed for now would be too old when it is",
            f"wait until it is back, or give {instead}",
        )
    return said


async def _newest_status(
    settings: BrokerSettings, topic: str, answer_s: float, instead: str
) -> bytes | None:
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
        raise Mistake(place, failed.detail, f"check --ask-broker, or give {instead}") from failed
    try:
        async with asyncio.timeout(answer_s):
            return await status
    except TimeoutError:
        return None
    finally:
        await session.close()
