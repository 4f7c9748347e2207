"""Reading: a claim's bytes become a document, apart from everything that is in force.

Owns the part of an admission that needs the root and nothing else, so that a long list can be read
beside the corridor. Must never judge what a document says (`admission` does).
"""

from typing import Annotated

import msgspec

from gateway.core.documents import FieldDocument, decode, decode_badge
from gateway.core.fact import DocumentClaim
from gateway.core.handover import claims_a_root
from gateway.core.model import IdText, TimeMs, Value
from gateway.core.papers import unrevoked
from gateway.core.people import Badge
from gateway.core.progress import OrderNamed
from gateway.core.signature import (
    FIELD_DOCUMENTS,
    DocumentType,
    Rejected,
    Verified,
    strict_json,
    verify,
)
from gateway.core.soundness import Unsound, check_badge
from gateway.core.trust import Root

READ_APART_ABOVE = 64 * 1024
"""Bytes of a document that is read beside the corridor: a long list takes some 100 ms."""


class Refusal(Value):
    """Why a claim is not believed: the refusal's word, and where and what."""

    name: str
    detail: str
    order: OrderNamed | None = None
    """Of an order: its name, where the signature on that holds."""


class _Heading(Value):
    id: IdText
    iat: TimeMs
    kind: Annotated[str, msgspec.Meta(pattern=r"^[a-z_]{1,32}\Z")]


class DocumentRead(Value):
    """A claim and what it says, by a root: a document, or why it is none."""

    claim: DocumentClaim
    root: Root
    said: tuple[FieldDocument, Verified] | Refusal


def takes_long(claim: DocumentClaim) -> bool:
    """Whether it is better read beside the corridor; a root cannot be: see `handover`."""
    return len(claim.raw) > READ_APART_ABOVE and not claims_a_root(claim.raw)


def read(claim: DocumentClaim, root: Root) -> DocumentRead:
    """What a claim says. Pure; for a list of 30,000 accounts it takes some 100 ms."""
    said: tuple[FieldDocument, Verified] | Refusal
    verified: Verified | None = None
    try:
        verified = verify(claim.raw, FIELD_DOCUMENTS, root)
        said = (decode(verified), verified)
    except Rejected as flaw:
        order = None if verified is None else _order_named(verified, root)
        said = Refusal(name=str(flaw.flaw), detail=flaw.detail, order=order)
    return DocumentRead(claim=claim, root=root, said=said)


def _order_named(verified: Verified, root: Root) -> OrderNamed | None:
    """The name of an order that cannot be understood; None: no key that counts has given one."""
    if verified.type is not DocumentType.ORDER:
        return None
    try:
        heading = msgspec.convert(strict_json(verified.payload), _Heading)
        unrevoked(heading.iat, verified, root)
    except (msgspec.ValidationError, Rejected, Unsound):
        return None
    return OrderNamed(id=heading.id, kind=heading.kind)


def read_badge(raw: bytes, root: Root) -> Badge:
    """The badge that somebody shows, for the page alone. Raises `Rejected` and `Unsound`.

    Whether it is of today is for whoever knows the time.
    """
    verified = verify(raw, frozenset({DocumentType.BADGE}), root)
    badge = decode_badge(verified)
    unrevoked(badge.iat, verified, root)
    check_badge(badge)
    return badge
