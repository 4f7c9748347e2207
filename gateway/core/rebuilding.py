"""Rebuilding: what the archived documents of a lost journal still say.

Owns which records each archived document makes again. Must never ask the time of a document that
was admitted once, nor carry out anything: an order that had asked for something is not done twice.
"""

from typing import assert_never

from gateway.core.admitted import ACCEPTED, Admission
from gateway.core.documents import AllowList, Receipt, Site, Time, decode
from gateway.core.fact import Origin, Road
from gateway.core.handover import bodies_of_root
from gateway.core.image import Image
from gateway.core.model import Value
from gateway.core.ordered import tag_of
from gateway.core.orders import EndIsolation, Hold, Isolate, Order, ReleaseHold
from gateway.core.papers import body_of_list, body_of_receipt, body_of_site
from gateway.core.records import Body, OrderRestored, TagPlaced, TagRemoved
from gateway.core.rotation import verify_root
from gateway.core.signature import FIELD_DOCUMENTS, DocumentType, Verified, verify
from gateway.core.soundness import Unsound, check


class Archived(Value):
    """A document of the archive. `adds`: a list that was stale when it came."""

    type: DocumentType
    raw: bytes
    adds: bool = False


def readmit(archived: Archived, image: Image) -> Admission:
    """What an archived document says again. Raises `Rejected` and `Unsound`.

    Hand them in in the order in which they had come: each is verified with the root that the ones
    before it have put in force.
    """
    if archived.type is DocumentType.ROOT:
        root, verified = verify_root(archived.raw, image.root)
        if root.seq != image.root.seq + 1:
            raise Unsound("SEQ_OLD", f"root {root.seq} does not follow {image.root.seq}")
        bodies = bodies_of_root(root, verified, Road.ARCHIVE, image)
        return Admission(answer=ACCEPTED, bodies=bodies, document=root, verified=verified)
    verified = verify(archived.raw, FIELD_DOCUMENTS - {DocumentType.ROOT}, image.root)
    document = decode(verified)
    check(document, image.station)
    match document:
        case Site():
            bodies = (body_of_site(document, verified, Road.ARCHIVE),)
        case AllowList():
            adds = archived.adds
            bodies = (body_of_list(document, verified, Road.ARCHIVE, adds=adds, fresh=False),)
        case Receipt():
            bodies = _of_receipt(document, verified, image)
        case Order():
            bodies = _of_order(document, verified, image)
        case Time():
            bodies = ()  # it was of its minute
        case _:
            assert_never(document)
    return Admission(answer=ACCEPTED, bodies=bodies, document=document, verified=verified)


def _of_receipt(receipt: Receipt, verified: Verified, image: Image) -> tuple[Body, ...]:
    stands = image.word(receipt.account)
    if receipt.account not in image.by_account or (stands is not None and stands.n > receipt.n):
        return ()
    return (body_of_receipt(receipt, verified, Road.ARCHIVE),)


def _of_order(order: Order, verified: Verified, image: Image) -> tuple[Body, ...]:
    act, kept = order.act, image.kept
    unanswered = kept.amnesia is None and order.seq > kept.newest.order.seq
    if unanswered and isinstance(act, ReleaseHold | EndIsolation):
        # Archived, and then the power failed: its sender never heard of it and may have thought
        # better of it. What keeps people safe ends by an order that comes through the door.
        return ()
    restored = OrderRestored(
        id=order.id,
        seq=order.seq,
        act=act,
        digest=verified.digest,
        signers=tuple(verified.signers),
    )
    if not isinstance(act, Hold | ReleaseHold | Isolate | EndIsolation):
        return (restored,)
    kind, target = tag_of(act)
    tagged = TagPlaced if isinstance(act, Hold | Isolate) else TagRemoved
    by = f"order {order.id}"
    tag = tagged(kind=kind, target=target, by=by, reason=act.reason, origin=Origin.ORDER)
    return (restored, tag)
