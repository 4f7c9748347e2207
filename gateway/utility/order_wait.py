"""Waiting for an order: published to its gateway, and followed until it has ended.

Owns the way from a signed order to its end, as `up/order/{id}` tells it. Must never take an order
for done because the broker has it, nor because nothing is heard any more.

The link may break meanwhile, or the broker forget what it held for the gateway. So the same order
is published again with each connection, and whenever the gateway says that it has come: one that
knows its id does nothing and tells how far it has come.
"""

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

import click
import msgspec

from gateway.core.model import GatewayId, IdText, Value
from gateway.core.progress import UNDER_WAY, OrderState
from gateway.headend.dialler import BackOff, Dialler, Role
from gateway.headend.messages import BadPayload, Topics, pack_document
from gateway.headend.notes import OrderNote, read_order
from gateway.headend.session import BrokerSettings, DialFailed, Message, Session
from gateway.utility.files import Mistake
from gateway.utility.when import show_time

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


class Follow(Value):
    """An order that is to be followed. `within_s`: how long its end is waited for."""

    settings: BrokerSettings
    utility: IdText
    gateway: IdText
    order: IdText
    within_s: float


async def follow(wanted: Follow, document: bytes, report: Callable[[OrderNote], None]) -> OrderNote:
    """Publish an order and wait for its end; `report` is told of each state. Raises `Mistake`."""
    newest: list[OrderNote] = []

    def heard(note: OrderNote) -> bool:
        # What is told again after the link broke is no news; nor is what came out of turn.
        if newest and note.version <= newest[-1].version:
            return False
        newest.append(note)
        report(note)
        return note.state not in UNDER_WAY

    try:
        async with asyncio.timeout(wanted.within_s):
            return await _follow(wanted, document, heard)
    except TimeoutError as error:
        last = f"last it was {newest[-1].state}" if newest else "the gateway said nothing of it"
        place = f"order {wanted.order}"
        mend = "it stands until it expires: ask again later with the same --id, or cancel it"
        raise Mistake(place, f"no end within {wanted.within_s:.0f} s, {last}", mend) from error


async def _follow(wanted: Follow, document: bytes, heard: Callable[[OrderNote], bool]) -> OrderNote:
    back_off = BackOff()
    while True:
        note = await _follow_once(wanted, document, heard)
        if note is not None:
            return note
        await asyncio.sleep(back_off.next_s())


async def _follow_once(
    wanted: Follow, document: bytes, heard: Callable[[OrderNote], bool]
) -> OrderNote | None:
    """One connection; None where it ended before the order did."""
    settings = wanted.settings
    topics = Topics(
        root=settings.topic_root, utility=wanted.utility, gateway=GatewayId(wanted.gateway)
    )
    ended: asyncio.Future[OrderNote] = asyncio.Future()

    def hear(session: Session, message: Message) -> None:
        session.acknowledge(message)
        if message.topic == topics.birth:
            if not message.retained:
                session.publish(topics.document, pack_document(document))
            return
        note = _note(message.payload, wanted)
        if note is not None and heard(note) and not ended.done():
            ended.set_result(note)

    name = f"fg-order-{secrets.token_hex(4)}"
    filters, fleeting = (topics.order(wanted.order),), (topics.birth,)
    role = Role(client_id=name, lasting=False, filters=filters, fleeting=fleeting)
    try:
        session = await Dialler(settings, role).dial(hear)
    except DialFailed as failed:
        place = f"broker {settings.host}:{settings.port}"
        if failed.permanent:
            raise Mistake(place, failed.detail, "check --ask-broker and the rights") from failed
        return None
    try:
        session.publish(topics.document, pack_document(document))
        ends: set[asyncio.Future[Any]] = {ended, session.lost}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        return ended.result() if ended.done() else None
    finally:
        await session.close()


def _note(payload: bytes, wanted: Follow) -> OrderNote | None:
    """What is said of this order; what cannot be read says nothing of it."""
    try:
        note = read_order(payload)
    except BadPayload:
        return None
    return note if (note.gateway, note.id) == (wanted.gateway, wanted.order) else None


def follow_to_the_end(wanted: Follow, document: bytes, *, as_json: bool) -> int:
    """The same for a person; gives the exit status: 0 only where the order succeeded.

    Raises `Mistake`.
    """

    def report(note: OrderNote) -> None:
        if as_json:
            click.echo(msgspec.json.encode(note))
            return
        at_ms = note.at.get(note.state)
        when = "" if at_ms is None else f"{show_time(at_ms)}  "
        why = "".join(f"; {said}" for said in (note.reason, note.detail) if said)
        click.echo(f"{when}{note.id}: {note.state}{why}")

    try:
        note = asyncio.run(follow(wanted, document, report))
    except KeyboardInterrupt:
        click.echo(f"order {wanted.order}: no longer waited for; it stands", err=True)
        return INTERRUPTED
    return 0 if note.state is OrderState.SUCCEEDED else 1
