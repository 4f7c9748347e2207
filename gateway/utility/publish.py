"""Publishing: one signed document to one gateway.

Owns the way of a document to the broker. Must never retain it: a retained document would be said
again at every connection, and a retained order would act again. Whether the gateway takes it, its
records say.
"""

import asyncio
import secrets
from pathlib import Path

import click
import msgspec

from gateway.core.model import GatewayId, IdText
from gateway.headend.dialler import Dialler, Role
from gateway.headend.messages import DOCUMENT_MAX, Topics, pack_document
from gateway.headend.session import BrokerSettings, DialFailed, Message, Session
from gateway.utility.broker import broker_options, checked_id
from gateway.utility.files import Mistake
from gateway.utility.show import documents_in

CONFIRM_TIMEOUT_S = 30.0


class NotPublished(Exception):  # noqa: N818 - the world's answer, not an error of ours
    """The broker did not take the document; the message says why."""


async def publish_document(
    document: bytes, settings: BrokerSettings, *, utility: str, gateway: str
) -> None:
    """Send a document to a gateway's `down/document`, QoS 1, and wait until the broker has it.

    Raises `NotPublished`, and `msgspec.ValidationError` where an id is malformed.
    """
    if len(document) > DOCUMENT_MAX:
        raise NotPublished(f"{len(document)} bytes; no gateway takes more than {DOCUMENT_MAX}")
    topics = Topics(
        root=settings.topic_root,
        utility=msgspec.convert(utility, IdText),
        gateway=GatewayId(msgspec.convert(gateway, IdText)),
    )
    session = await _dial(settings)
    try:
        async with asyncio.timeout(CONFIRM_TIMEOUT_S):
            why_not = await session.publish(topics.document, pack_document(document))
    except TimeoutError as error:
        waited = f"the broker did not confirm within {CONFIRM_TIMEOUT_S:.0f} s"
        raise NotPublished(waited) from error
    finally:
        await session.close()
    if why_not:
        raise NotPublished(why_not)


@click.command()
@broker_options
@click.option("--gateway", callback=checked_id, required=True, help="The gateway that it is for.")
@click.argument("file", type=click.Path(path_type=Path))
def publish(settings: BrokerSettings, utility: IdText, gateway: IdText, file: Path) -> None:
    """Send a file's signed documents to one gateway by MQTT.

    Returns when the broker has taken them. The gateway answers with a record: see collect.

    \b
    Example:
      feeder-gateway utility publish --broker localhost --utility demo --gateway gw-7 list.jws
    """
    try:
        documents = documents_in(file)
    except Mistake as mistake:
        raise click.ClickException(str(mistake)) from mistake
    for place, document in documents:
        try:
            asyncio.run(publish_document(document, settings, utility=utility, gateway=gateway))
        except NotPublished as failed:
            raise click.ClickException(f"{place}: not published: {failed}") from failed
        click.echo(f"{place}: the broker has it for gateway {gateway} ({len(document)} bytes)")


async def _dial(settings: BrokerSettings) -> Session:
    role = Role(client_id=f"fg-publish-{secrets.token_hex(4)}", lasting=False)

    def ignore(_session: Session, _message: Message) -> None:
        """Nothing is subscribed."""

    try:
        return await Dialler(settings, role).dial(ignore)
    except DialFailed as failed:
        raise NotPublished(failed.detail) from failed
