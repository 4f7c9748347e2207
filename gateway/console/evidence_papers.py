"""Evidence papers: whether a document is the one that a record names, and who vouches for it.

Owns the comparison of a record with what the document of its digest says, and the roots that came
into force along the records. Must never take a signer's word by a root that the file alone names.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from gateway.console.evidence_file import named_by
from gateway.core.documents import AllowList, FieldDocument, Receipt, Site, Time, decode
from gateway.core.fact import Road
from gateway.core.model import Digest
from gateway.core.orders import Order
from gateway.core.papers import body_of_list, body_of_receipt, body_of_site, issued_at_ms, unrevoked
from gateway.core.parts import Unjoinable, documents_of
from gateway.core.records import (
    Body,
    CloseIntended,
    ListInstalled,
    OrderAccepted,
    OrderRestored,
    ReceiptAccepted,
    SiteInstalled,
)
from gateway.core.rotation import load_root, root_from, verify_root
from gateway.core.signature import (
    FIELD_DOCUMENTS,
    Flaw,
    Rejected,
    Verified,
    claimed_by,
    tokens_of,
    verify,
)
from gateway.core.soundness import Unsound
from gateway.core.trust import Root
from gateway.core.trust_records import RootInstalled, TimeSet

T = TypeVar("T")
NOT_AS_RECORDED = "NOT_AS_RECORDED"


def roots_of(content: bytes) -> tuple[Root, ...]:
    """An anchor, and the roots that follow it where more lines do. Raises `Rejected`, `Unsound`."""
    try:
        first, *others = documents_of(content.decode("utf-8", "surrogateescape"))
    except (Unjoinable, ValueError) as error:
        raise Rejected(Flaw.MALFORMED_ENVELOPE, "no root stands there") from error
    roots = [load_root(first.text.encode(errors="surrogateescape"))]
    for one in others:
        roots.append(_next(one.text.encode(errors="surrogateescape"), roots[-1]))
    return tuple(roots)


class Papers:
    """The root of trust along the records, and what it says of their documents.

    Until the records name a root, each of those that were given may have been in force.
    """

    def __init__(self, given: tuple[Root, ...]) -> None:
        self._given = given
        self._in_force = given
        self._known = given
        self._vouched: set[Digest] = set()

    def check(self, body: Body, raw: bytes) -> None:
        """Whether the document is vouched for and says what the record does.

        Raises `Rejected` and `Unsound`.
        """
        named = named_by(body)
        assert named is not None, "asked about records that name one"
        match body:
            case RootInstalled():
                self._follow(body, raw)
            case CloseIntended() if named.digest not in self._vouched:
                # It came before the first record that is here.
                _by_any(self._known, lambda root: verify(raw, FIELD_DOCUMENTS, root))
            case CloseIntended():
                pass
            case _:
                _by_any(self._in_force, lambda root: _check_field(body, raw, root))
        self._vouched.add(named.digest)

    def _follow(self, body: RootInstalled, raw: bytes) -> None:
        root = root_from(claimed_by(tokens_of(raw)[0]).payload)
        if root not in self._given:
            root = _by_any(self._in_force, lambda old: _next(raw, old))
        if root.seq != body.seq:
            raise Unsound(NOT_AS_RECORDED, f"it is root {root.seq}, the record says {body.seq}")
        # A newer anchor may have been installed since.
        self._in_force = (*(one for one in self._given if one.seq > root.seq), root)
        self._known = (*self._known, root)


def _next(raw: bytes, old: Root) -> Root:
    root, _ = verify_root(raw, old)
    if root.seq != old.seq + 1:
        raise Unsound("ROOT_STEP_MISSING", f"root {root.seq} does not follow {old.seq}")
    return root


def _by_any(roots: tuple[Root, ...], judge: Callable[[Root], T]) -> T:
    """What the newest root says that does not refuse; where all do, why the newest does."""
    refusals: list[Rejected | Unsound] = []
    for root in reversed(roots):
        try:
            return judge(root)
        except (Rejected, Unsound) as refusal:
            refusals.append(refusal)
    raise refusals[0]


def _check_field(body: Body, raw: bytes, root: Root) -> None:
    verified = verify(raw, FIELD_DOCUMENTS, root)
    document = decode(verified)
    # What a rebuilt journal took up again, it took up as it had been admitted once.
    if getattr(body, "road", Road.ARCHIVE) is not Road.ARCHIVE:
        verified = unrevoked(issued_at_ms(document), verified, root)
    if _recorded_as(body, document, verified) != body:
        raise Unsound(NOT_AS_RECORDED, "the record says something else than the document")


def _recorded_as(body: Body, document: FieldDocument, verified: Verified) -> Body | None:
    """How the document would have been written down; None: not in such a record."""
    signers = tuple(verified.signers)
    match body, document:
        case SiteInstalled(), Site():
            return body_of_site(document, verified, body.road)
        case ListInstalled(), AllowList():
            return body_of_list(document, verified, body.road, adds=body.adds, fresh=body.fresh)
        case ReceiptAccepted(), Receipt():
            return body_of_receipt(document, verified, body.road)
        case OrderAccepted(), Order():
            return msgspec.structs.replace(
                body,
                id=document.id,
                seq=document.seq,
                act=document.act,
                iat=document.iat,
                exp=document.exp,
                boot=document.boot,
                signers=signers,
            )
        case OrderRestored(), Order():
            return msgspec.structs.replace(
                body, id=document.id, seq=document.seq, act=document.act, signers=signers
            )
        case TimeSet(), Time():
            return msgspec.structs.replace(body, signer=verified.signers[0])
        case _:
            return None
