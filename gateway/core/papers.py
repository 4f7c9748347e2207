"""Papers: the records of documents, and whose signatures on them count.

Owns what an admitted document is written down as, and what a revocation takes from one. Must never
decide whether a document is news (`admission` does).
"""

from typing import assert_never

import msgspec

from gateway.core.documents import AllowList, FieldDocument, Receipt, Site, Time
from gateway.core.fact import Road
from gateway.core.model import Account, KeyId, Serial
from gateway.core.orders import Order
from gateway.core.records import ListInstalled, ReceiptAccepted, SiteInstalled
from gateway.core.signature import ROLE_OF, Verified
from gateway.core.soundness import Unsound
from gateway.core.trust import Root

KEY_REVOKED = "KEY_REVOKED"


def unrevoked(issued_ms: int | None, verified: Verified, root: Root) -> Verified:
    """The document with those signers whose word counts. Raises `Unsound` (KEY_REVOKED).

    `issued_ms`: by what it says of itself (milliseconds UTC); None: it does not say.
    """
    counted: list[KeyId] = []
    revoked: list[KeyId] = []
    for kid in verified.signers:
        after_ms = root.revoked_after(kid)
        # What does not say when it was issued cannot show that it was before the instant.
        counts = after_ms is None or (issued_ms is not None and issued_ms <= after_ms)
        (counted if counts else revoked).append(kid)
    if len(counted) < root.threshold(ROLE_OF[verified.type]):
        raise Unsound(KEY_REVOKED, f"the word of key {revoked[0]} does not count any more")
    return msgspec.structs.replace(verified, signers=tuple(counted))


def issued_at_ms(document: FieldDocument) -> int | None:
    """When it was issued, by what it says of itself; None: it does not say."""
    match document:
        case Site():
            return None
        case AllowList():
            return document.as_of
        case Receipt():
            return document.n
        case Order():
            return document.iat
        case Time():
            return document.now
        case _:
            assert_never(document)


def body_of_site(site: Site, verified: Verified, road: Road) -> SiteInstalled:
    """The record of a site document."""
    return SiteInstalled(
        seq=site.seq,
        digest=verified.digest,
        signer=verified.signers[0],
        road=road,
        meters=len(site.meters),
    )


def body_of_list(
    allow_list: AllowList, verified: Verified, road: Road, *, adds: bool, fresh: bool
) -> ListInstalled:
    """The record of a list."""
    return ListInstalled(
        seq=allow_list.seq,
        digest=verified.digest,
        signer=verified.signers[0],
        road=road,
        as_of=allow_list.as_of,
        entries=len(allow_list.accounts),
        adds=adds,
        fresh=fresh,
    )


def body_of_receipt(receipt: Receipt, verified: Verified, road: Road) -> ReceiptAccepted:
    """The record of a receipt."""
    return ReceiptAccepted(
        account=Account(receipt.account),
        meter=Serial(receipt.meter),
        n=receipt.n,
        paid_at=receipt.paid_at,
        digest=verified.digest,
        signer=verified.signers[0],
        road=road,
        ref=receipt.ref,
    )
