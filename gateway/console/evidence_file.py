"""Evidence in a file: what stands on its lines.

Owns the one form in which records, documents and the gateway's signatures leave it together: JSON,
one thing a line. Must never judge what it reads (`chain` and `evidence_verify` do).

A record stands as `log --json` prints it. A document stands before the first record that names it;
a seal stands after the last record that it signs.
"""

from collections.abc import Iterator
from typing import IO

import msgspec

from gateway.console.chain import BrokenChain
from gateway.console.local import LINE_MAX, RecordLine
from gateway.core.model import Digest
from gateway.core.records import (
    Body,
    CloseIntended,
    ListInstalled,
    OrderAccepted,
    OrderRestored,
    ReceiptAccepted,
    SiteInstalled,
)
from gateway.core.signature import DocumentType
from gateway.core.trust_records import RootInstalled, TimeSet


class DocumentLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A document as it arrived."""

    document: str


class SealLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The gateway's signed word for all records above it: compact `fg-record+jws`."""

    seal: str


class Named(msgspec.Struct, frozen=True):
    """A document that a record names; `type` is None where any may stand there."""

    digest: Digest
    type: DocumentType | None


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    chain: str | None = None
    record: msgspec.Raw = msgspec.Raw()
    document: str | None = None
    seal: str | None = None


Line = RecordLine | DocumentLine | SealLine
_decode = msgspec.json.Decoder(_Line).decode


def lines_in(file: IO[bytes]) -> Iterator[Line]:
    """What a file says, line by line. Raises `BrokenChain` where a line is none of these."""
    at = 0
    while content := file.readline(LINE_MAX + 1):
        at += 1
        if len(content) > LINE_MAX:
            raise BrokenChain(f"line {at} is no record, document or seal (it is too long)")
        if content.strip():
            yield _line(content, at)


def records_in(file: IO[bytes]) -> Iterator[RecordLine]:
    """Its records alone. Raises `BrokenChain`."""
    return (line for line in lines_in(file) if isinstance(line, RecordLine))


def named_by(body: Body) -> Named | None:
    """The document that a record says has come into force, or that a close rests on."""
    match body:
        case RootInstalled():
            return Named(digest=body.digest, type=DocumentType.ROOT)
        case SiteInstalled():
            return Named(digest=body.digest, type=DocumentType.SITE)
        case ListInstalled():
            return Named(digest=body.digest, type=DocumentType.LIST)
        case ReceiptAccepted():
            return Named(digest=body.digest, type=DocumentType.RECEIPT)
        case OrderAccepted() | OrderRestored():
            return Named(digest=body.digest, type=DocumentType.ORDER)
        case TimeSet():
            return Named(digest=body.digest, type=DocumentType.TIME)
        case CloseIntended():
            return Named(digest=body.standing_digest, type=None)
        case _:
            return None


def _line(content: bytes, at: int) -> Line:
    try:
        line = _decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BrokenChain(f"line {at} is no record, document or seal ({error})") from error
    match line:
        case _Line(chain=str(chain), document=None, seal=None) if bytes(line.record):
            return RecordLine(chain=chain, record=line.record)
        case _Line(chain=None, document=str(document), seal=None) if not bytes(line.record):
            return DocumentLine(document=document)
        case _Line(chain=None, document=None, seal=str(seal)) if not bytes(line.record):
            return SealLine(seal=seal)
        case _:
            raise BrokenChain(f"line {at} is no record, document or seal")
