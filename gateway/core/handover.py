"""Handover: what becomes of a root document.

Owns every reason for which the next root is not taken, and what is flagged when a key is revoked.
Must never take back what a revoked key has granted: the head end looks into it (design 2, P4).
"""

from gateway.core.admitted import ACCEPTED, DUPLICATE, Admission
from gateway.core.fact import DocumentClaim, Road
from gateway.core.image import Image
from gateway.core.model import Account, Digest
from gateway.core.records import Body
from gateway.core.rotation import STEPS_MAX, verify_root
from gateway.core.signature import (
    LENGTH_MAX,
    DocumentType,
    Verified,
    claimed_by,
    claimed_type,
    digest_of,
    tokens_of,
)
from gateway.core.soundness import Unsound
from gateway.core.trust import Revocation, Role, Root
from gateway.core.trust_records import KeyRevoked, RootInstalled

ACCOUNTS_NAMED_MAX = 200
"""In one record: it has to fit into one message."""


def claims_a_root(raw: bytes) -> bool:
    """Whether bytes say that they are a root; nothing of them is proven, nor well-formed."""
    return len(raw) <= LENGTH_MAX[DocumentType.ROOT] and claimed_type(raw) == DocumentType.ROOT


def judge_root(claim: DocumentClaim, image: Image) -> Admission:
    """What becomes of a root document. Raises `Rejected` and `Unsound`.

    One that was followed before is known by what it says: the keys that signed it may be gone.
    """
    if digest_of(claimed_by(tokens_of(claim.raw)[0]).payload) in image.kept.roots:
        return Admission(answer=DUPLICATE)
    root, verified = verify_root(claim.raw, image.root)
    if root == image.root:
        return Admission(answer=DUPLICATE)  # the anchor itself
    _check_next(root, verified.digest, image)
    bodies = bodies_of_root(root, verified, claim.road, image)
    return Admission(answer=ACCEPTED, bodies=bodies, document=root, verified=verified)


def bodies_of_root(root: Root, verified: Verified, road: Road, image: Image) -> tuple[Body, ...]:
    """The records of a handover to a root."""
    before = set(image.root.revoked)
    installed = RootInstalled(
        seq=root.seq,
        digest=verified.digest,
        signers=tuple(verified.signers),
        road=road,
        clock_reset=_time_keys(root) != _time_keys(image.root),
    )
    return (installed, *(_flags(one, image) for one in root.revoked if one not in before))


def _check_next(root: Root, digest: Digest, image: Image) -> None:
    known, mark = image.root.seq, image.kept.newest.root
    # Where it was lost, only the very root that made the mark comes back in its place.
    other = root.seq == mark.seq and mark.digest not in {"", digest}
    if other and root.seq > known:
        raise Unsound("EQUIVOCATION", f"root {root.seq} was in force here with other content")
    if root.seq == known:
        raise Unsound("EQUIVOCATION", f"root {root.seq} is in force with other content")
    if root.seq < known:
        raise Unsound("SEQ_OLD", f"root {root.seq} is before {known}, which is in force")
    if root.seq > known + 1:
        raise Unsound(
            "ROOT_STEP_MISSING",
            f"root {root.seq} does not follow {known}; hand in root {known + 1} first",
        )
    if len(image.kept.roots) >= STEPS_MAX:
        raise Unsound("TOO_MANY_STEPS", f"{STEPS_MAX} steps from the anchor; install a newer one")


def _flags(revoked: Revocation, image: Image) -> KeyRevoked:
    kept = image.kept
    accounts = [
        Account(account)
        for account, word in sorted(kept.words.items())
        if revoked.kid in word.signers and word.n > revoked.after
    ]
    listed = kept.list_in_force
    by_list = listed is not None and listed.signer == revoked.kid and listed.as_of > revoked.after
    return KeyRevoked(
        kid=revoked.kid,
        after=revoked.after,
        accounts=tuple(accounts[:ACCOUNTS_NAMED_MAX]),
        more=max(0, len(accounts) - ACCOUNTS_NAMED_MAX),
        list=listed.digest if listed is not None and by_list else None,
    )


def _time_keys(root: Root) -> frozenset[str]:
    return frozenset(key.public for key in root.of_role(Role.TIME))
