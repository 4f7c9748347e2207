"""The topics and messages of the head-end link, as AsyncAPI's channels, operations and messages.

Owns what is said of each in a sentence, its quality of service and whether it is retained. Must
never type a topic: the code's own functions name them.
"""

from gateway.core.model import GatewayId, SerialText, Value
from gateway.core.signature import LENGTH_MAX, ROLE_OF, DocumentType
from gateway.headend.messages import COMPRESS_ABOVE, Topics
from gateway.utility.drill import drill_topic
from tests.asyncapi.schemas import ORDER, Plain, ref

TOPICS = Topics(root="{root}", utility="{utility}", gateway=GatewayId("{gateway}"))
SEND, RECEIVE = "send", "receive"
ZLIB = (
    f"As JSON, or as zlib (RFC 1950) where that JSON has more than {COMPRESS_ABOVE} bytes; the "
    "first byte, 0x78, tells."
)


class Channel(Value):
    """One topic. `action`: the gateway's; None where no gateway has a part in it."""

    address: str
    action: str | None
    says: str
    messages: tuple[str, ...]
    retain: bool = False
    qos: int = 1


class Message(Value):
    """One message; `schema` is its payload's."""

    schema: str
    says: str
    document: DocumentType | None = None
    """Of a signed document: its type."""


CHANNELS = {
    "status": Channel(
        address=TOPICS.status,
        action=SEND,
        retain=True,
        messages=("status", "absence"),
        says="How the gateway and its homes fare. The gateway's will says `absence` here.",
    ),
    "birth": Channel(
        address=TOPICS.birth,
        action=SEND,
        retain=True,
        messages=("birth",),
        says="What the gateway is: said when it connects and when an order asks for it.",
    ),
    "records": Channel(
        address=TOPICS.records,
        action=SEND,
        messages=("records",),
        says="The journal, in order. A record is said again until `ack` names it or a later one.",
    ),
    "readings": Channel(
        address=TOPICS.readings,
        action=SEND,
        messages=("readings",),
        says="What meters measured, after all records. Said again until `ack` names the ordinal.",
    ),
    "order": Channel(
        address=TOPICS.order("{order}"),
        action=SEND,
        messages=("order",),
        says="How far one order has come: one message for each change that lasts.",
    ),
    "meter": Channel(
        address=TOPICS.meter(SerialText("{meter}")),
        action=SEND,
        retain=True,
        messages=("meter",),
        says="What was last read of one meter. An empty payload: it has left the roster.",
    ),
    "document": Channel(
        address=TOPICS.document,
        action=RECEIVE,
        messages=(
            "rootDocument",
            "siteDocument",
            "listDocument",
            "receiptDocument",
            "orderDocument",
            "orderDocumentOfTwoKeys",
            "timeDocument",
        ),
        says=(
            "Signed documents, from anybody: the signature counts, not the sender. "
            "Never retained: an order that the broker kept is refused."
        ),
    ),
    "ack": Channel(
        address=TOPICS.ack,
        action=RECEIVE,
        messages=("ack",),
        says="What the head end holds safely. Nothing else clears the gateway's outbox.",
    ),
    "host": Channel(
        address=TOPICS.host,
        action=RECEIVE,
        retain=True,
        qos=0,
        messages=("host",),
        says=(
            "Whether somebody is at the head end, every minute, and the head end's will. It is "
            "published with QoS 1; the gateway subscribes with QoS 0, for an old word would pass "
            "for a new one."
        ),
    ),
    "drill": Channel(
        address=drill_topic("{root}", "{utility}", "{gateway}"),
        action=None,
        messages=("drill",),
        says=(
            "Between the programs of the head end: they are to be away for one gateway. Retained; "
            "an empty payload ends it. No gateway needs a right to it."
        ),
    ),
    "fleetDrill": Channel(
        address=drill_topic("{root}", "{utility}", None),
        action=None,
        messages=("drill",),
        says="Likewise for the whole fleet.",
    ),
}
PARAMETERS: Plain = {
    "root": {
        "description": "The first levels of every topic, `topic_root` of the configuration.",
        "default": "fg",
    },
    "utility": {"description": "The utility: 1 to 32 letters, digits or -.", "examples": ["DEMO"]},
    "gateway": {"description": "One gateway, likewise.", "examples": ["FDR-017"]},
    "order": {"description": "The order's own `id`, likewise.", "examples": ["order-1"]},
    "meter": {"description": "The meter's serial number.", "examples": ["H238190005"]},
}
MESSAGES = {
    "status": Message(schema="Status", says="The gateway is connected, and fares so."),
    "absence": Message(schema="Presence", says="The gateway is not connected."),
    "birth": Message(schema="Birth", says="What the gateway is; public keys only."),
    "records": Message(schema="RecordsBatch", says=f"Records in order. {ZLIB}"),
    "readings": Message(schema="ReadingsBatch", says=f"Readings in order. {ZLIB}"),
    "order": Message(schema="OrderNote", says="How far one order has come."),
    "meter": Message(schema="MeterNote", says="What was last read of one meter."),
    "ack": Message(schema="Ack", says="What the head end holds safely."),
    "host": Message(schema="Host", says="Whether somebody is at the head end."),
    "drill": Message(schema="Drill", says="A rehearsed outage, said again while it lasts."),
    "rootDocument": Message(
        schema="SignedTogether",
        document=DocumentType.ROOT,
        says="The next root of trust; several steps are one a line.",
    ),
    "siteDocument": Message(
        schema="Signed", document=DocumentType.SITE, says="The roster and its terms."
    ),
    "listDocument": Message(schema="Signed", document=DocumentType.LIST, says="Who has paid."),
    "receiptDocument": Message(
        schema="Signed", document=DocumentType.RECEIPT, says="One account's proof of payment."
    ),
    "orderDocument": Message(
        schema="Signed", document=DocumentType.ORDER, says="One instruction that darkens nobody."
    ),
    "orderDocumentOfTwoKeys": Message(
        schema="SignedTogether",
        document=DocumentType.ORDER,
        says="One instruction by which a home may go dark: under two distinct keys.",
    ),
    "timeDocument": Message(
        schema="Signed", document=DocumentType.TIME, says="What time it is, for one boot."
    ),
}
PAYLOADS = {
    DocumentType.ROOT: "Root",
    DocumentType.SITE: "Site",
    DocumentType.LIST: "AllowList",
    DocumentType.RECEIPT: "Receipt",
    DocumentType.ORDER: ORDER,
    DocumentType.TIME: "Time",
}


def channels() -> Plain:
    """Every channel, by name."""
    return {name: _channel(channel) for name, channel in CHANNELS.items()}


def operations() -> Plain:
    """What a gateway does on the channels, by name."""
    return {
        f"{channel.action}{name[0].upper()}{name[1:]}": {
            "action": channel.action,
            "channel": {"$ref": f"#/channels/{name}"},
            "summary": channel.says,
            "messages": [
                {"$ref": f"#/channels/{name}/messages/{message}"} for message in channel.messages
            ],
            "bindings": {
                "mqtt": {"qos": channel.qos, "retain": channel.retain, "bindingVersion": "0.2.0"}
            },
        }
        for name, channel in CHANNELS.items()
        if channel.action is not None
    }


def messages(examples: Plain) -> Plain:
    """Every message with its example, by name."""
    assert set(examples) == set(MESSAGES)
    return {
        name: {
            "name": name,
            **_kind(message),
            "payload": ref(message.schema),
            "examples": [{"name": name, "payload": examples[name]}],
        }
        for name, message in MESSAGES.items()
    }


def _channel(channel: Channel) -> Plain:
    spoken = [name for name in PARAMETERS if f"{{{name}}}" in channel.address]
    return {
        "address": channel.address,
        "description": channel.says,
        "parameters": {name: {"$ref": f"#/components/parameters/{name}"} for name in spoken},
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in channel.messages},
    }


def _kind(message: Message) -> Plain:
    """A signed document says whose word it is and what its payload is; others are plain JSON."""
    kind = message.document
    if kind is None:
        return {"contentType": "application/json", "summary": message.says}
    compact = message.schema == "Signed"
    signers = "a key" if compact else "distinct keys"
    return {
        "contentType": "application/jose" if compact else "application/json",
        "summary": message.says,
        "description": (
            f"`{kind}`, signed by {signers} of the role `{ROLE_OF[kind]}`, as it is or as zlib "
            f"(RFC 1950), at most {LENGTH_MAX[kind]} bytes before. What its payload says once the "
            "signature has been checked is at `x-jws`."
        ),
        "x-jws": {"typ": str(kind), "payload": ref(PAYLOADS[kind])},
    }
