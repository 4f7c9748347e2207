"""Topics and messages of the head-end link: values to bytes and back.

Owns the names of the topics and the form of every message but the documents' own. Must never do
I/O, ask the time or judge a document: what comes on `down/document` goes on as it came.

Topics follow MQTT 5.0 and 3.1.1, section 4.7; compression is zlib (RFC 1950), told from JSON by
its first byte. Whatever comes from outside is measured before it is parsed or inflated.
"""

import re
import zlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, TypeVar

import msgspec

from gateway.core.model import Count, GatewayId, IdText, SerialText, TimeMs, Value
from gateway.core.records import Stored
from gateway.core.signature import FIELD_DOCUMENTS, LENGTH_MAX

VERSION = "v1"
ID = "[A-Za-z0-9-]{1,32}"
RECORDS_MAX = 64 * 1024
"""Bytes of a batch of records, as JSON and on the wire."""
COMPRESS_ABOVE = 1024
NOTE_MAX = 1024
"""Bytes of `down/ack` and `down/host`."""
DOCUMENT_MAX = max(LENGTH_MAX[kind] for kind in FIELD_DOCUMENTS)
ENVELOPE_MAX = 256
"""Bytes of a batch besides its records."""
ZLIB_MARK = b"\x78"

HashText = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


class MessageFlaw(StrEnum):
    """Why a message is not what its topic takes."""

    TOO_LONG = "TOO_LONG"
    MALFORMED_ACK = "MALFORMED_ACK"
    MALFORMED_HOST = "MALFORMED_HOST"
    MALFORMED_RECORDS = "MALFORMED_RECORDS"
    MALFORMED_READINGS = "MALFORMED_READINGS"
    MALFORMED_STATUS = "MALFORMED_STATUS"
    MALFORMED_ORDER = "MALFORMED_ORDER"
    MALFORMED_METER = "MALFORMED_METER"


class BadPayload(Exception):  # noqa: N818 - a judgement of bytes, not an error of ours
    """Raised by the decoders: `flaw` is the name, `detail` says what is wrong."""

    def __init__(self, flaw: MessageFlaw, detail: str) -> None:
        super().__init__(f"{flaw}: {detail}")
        self.flaw = flaw
        self.detail = detail


class Topics(Value):
    """The topics of one gateway. `up` leads to the head end, `down` to the gateway."""

    root: str
    utility: IdText
    gateway: GatewayId

    @property
    def status(self) -> str:
        """Retained; also the will."""
        return self._topic("up/status")

    @property
    def birth(self) -> str:
        """Retained; what this gateway is and can do."""
        return self._topic("up/birth")

    @property
    def records(self) -> str:
        """Batches of records."""
        return self._topic("up/records")

    @property
    def readings(self) -> str:
        """Batches of what meters measured."""
        return self._topic("up/readings")

    def order(self, order: IdText) -> str:
        """How far one order has come. Not retained."""
        return self._topic(f"up/order/{order}")

    def meter(self, serial: SerialText) -> str:
        """What was last read of one meter. Retained; empty once it has left the roster."""
        return self._topic(f"up/meter/{serial}")

    @property
    def document(self) -> str:
        """Signed documents, as they are or as zlib."""
        return self._topic("down/document")

    @property
    def ack(self) -> str:
        """What the head end holds safely."""
        return self._topic("down/ack")

    @property
    def host(self) -> str:
        """Whether the head end itself is there. Retained."""
        return self._topic("down/host")

    def _topic(self, leaf: str) -> str:
        return f"{self.root}/{VERSION}/{self.utility}/{self.gateway}/{leaf}"


class RecordsBatch(Value, omit_defaults=True):
    """Records in order: the first has number `first` and continues from chain hash `prev`.

    `none_after`: the sender was asked for what follows that record, and has nothing before `first`
    any more.
    """

    gateway: IdText
    first: Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
    prev: HashText
    records: Annotated[tuple[msgspec.Raw, ...], msgspec.Meta(min_length=1)]
    none_after: Count | None = None


class Ack(Value, omit_defaults=True):
    """Every record up to `through`, ending in hash `chain`, is safe at the head end.

    `readings`: so is every reading up to that ordinal, of the journal that has this record.
    """

    through: Count
    chain: HashText
    readings: Count | None = None


class Host(Value):
    """What the head end says of itself. `ts`: when, in milliseconds UTC since 1970."""

    online: bool
    ts: TimeMs


class Presence(Value):
    """The part of `up/status` that its will has too."""

    gateway: IdText
    online: bool


class Packed(Value):
    """A batch ready for the wire, and the number of its last record."""

    last: int
    payload: bytes


_encode = msgspec.json.Encoder(order="deterministic").encode
_Kind = TypeVar("_Kind", bound=Value)


def up_filter(root: str, utility: str, leaf: str = "#") -> str:
    """The subscription for everything that the gateways of a utility say, or for one kind of it."""
    return f"{root}/{VERSION}/{utility}/+/up/{leaf}"


def parse_up(topic: str, root: str, utility: str) -> tuple[GatewayId, str] | None:
    """The gateway and the leaf (`records`, `status`...) of an `up` topic; None where it is none."""
    found = re.fullmatch(
        rf"{re.escape(f'{root}/{VERSION}/{utility}')}/(?P<gateway>{ID})/up/(?P<leaf>.+)", topic
    )
    return None if found is None else (GatewayId(found["gateway"]), found["leaf"])


def pack_records(
    gateway: GatewayId,
    previous_chain: bytes,
    stored: Sequence[Stored],
    none_after: int | None = None,
) -> Packed:
    """A batch of as many of the records, from the first, as `RECORDS_MAX` holds."""
    taken: list[Stored] = []
    room = RECORDS_MAX - ENVELOPE_MAX
    for record in stored:
        room -= len(record.content) + 1
        if room < 0:
            break
        taken.append(record)
    assert taken, "records are bounded where they are made, far below the size of a batch"
    batch = RecordsBatch(
        gateway=gateway,
        first=taken[0].number,
        prev=previous_chain.hex(),
        records=tuple(msgspec.Raw(record.content) for record in taken),
        none_after=none_after,
    )
    return Packed(last=taken[-1].number, payload=compressed(_encode(batch)))


def read_records(payload: bytes) -> RecordsBatch:
    """A batch of records. Raises `BadPayload`."""
    plain = inflated(payload, RECORDS_MAX, MessageFlaw.MALFORMED_RECORDS)
    return decoded(plain, RecordsBatch, MessageFlaw.MALFORMED_RECORDS)


def pack_document(raw: bytes) -> bytes:
    """A signed document for the wire."""
    return compressed(raw)


def read_document(payload: bytes) -> bytes:
    """The document, cut after one byte more than any may have.

    What cannot be inflated goes on as it came: it is no document either way, and the verifier has
    the word for it.
    """
    if not payload.startswith(ZLIB_MARK):
        return payload[: DOCUMENT_MAX + 1]
    try:
        return zlib.decompressobj().decompress(payload, DOCUMENT_MAX + 1)
    except zlib.error:
        return payload[: DOCUMENT_MAX + 1]


def pack_ack(through: int, chain: bytes, readings: int | None = None) -> bytes:
    """The acknowledgement of every record up to `through`, and of readings up to an ordinal."""
    return _encode(Ack(through=through, chain=chain.hex(), readings=readings))


def read_ack(payload: bytes) -> Ack:
    """An acknowledgement. Raises `BadPayload`."""
    return decoded(_note(payload), Ack, MessageFlaw.MALFORMED_ACK)


def pack_host(*, online: bool, ts: int) -> bytes:
    """The head end's word about itself."""
    return _encode(Host(online=online, ts=ts))


def read_host(payload: bytes) -> Host:
    """The head end's word about itself. Raises `BadPayload`."""
    return decoded(_note(payload), Host, MessageFlaw.MALFORMED_HOST)


def pack_absence(gateway: GatewayId) -> bytes:
    """The status of a gateway that is not connected."""
    return _encode(Presence(gateway=gateway, online=False))


def read_presence(payload: bytes) -> Presence:
    """Whether a gateway says that it is connected. Raises `BadPayload`."""
    return decoded(payload, Presence, MessageFlaw.MALFORMED_STATUS)


def compressed(plain: bytes) -> bytes:
    """For the wire: as it is, or as zlib where that is worth it."""
    return zlib.compress(plain) if len(plain) > COMPRESS_ABOVE else plain


def inflated(payload: bytes, length_max: int, malformed: MessageFlaw) -> bytes:
    """What `compressed` was given, measured on the way. Raises `BadPayload`."""
    plain = payload
    if payload.startswith(ZLIB_MARK):
        inflater = zlib.decompressobj()
        try:
            plain = inflater.decompress(payload, length_max + 1)
        except zlib.error as error:
            raise BadPayload(malformed, str(error)) from error
        if len(plain) <= length_max and (not inflater.eof or inflater.unused_data):
            raise BadPayload(malformed, "the compressed data are cut off or something follows")
    if len(plain) > length_max:
        raise BadPayload(MessageFlaw.TOO_LONG, f"more than {length_max} bytes")
    return plain


def _note(payload: bytes) -> bytes:
    if len(payload) > NOTE_MAX:
        raise BadPayload(MessageFlaw.TOO_LONG, f"{len(payload)} bytes, at most {NOTE_MAX}")
    return payload


def decoded(plain: bytes, kind: type[_Kind], malformed: MessageFlaw) -> _Kind:
    """A message from JSON that was measured before. Raises `BadPayload`."""
    try:
        return msgspec.json.decode(plain, type=kind)
    except msgspec.DecodeError as error:
        raise BadPayload(malformed, str(error)) from error
