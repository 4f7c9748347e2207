"""Judging: whether a root, or a gateway's own key, vouches for a document.

Owns the walk along a chain of roots at the command line. Must never say OK to what a gateway with
that root would refuse whatever it has in force; the checks are those of `core`.
"""

from pathlib import Path

from gateway.core.device import Device, device_from, read_checkpoint
from gateway.core.documents import decode
from gateway.core.model import Digest, Value
from gateway.core.papers import issued_at_ms, unrevoked
from gateway.core.reading import read_badge
from gateway.core.rotation import root_from
from gateway.core.signature import (
    FIELD_DOCUMENTS,
    DocumentType,
    Flaw,
    Rejected,
    Verified,
    claimed_by,
    digest_of,
    tokens_of,
    verify,
)
from gateway.core.soundness import Unsound
from gateway.core.trust import Root
from gateway.utility.files import Mistake, read_whole
from gateway.utility.roots import follow
from gateway.utility.show import summary
from gateway.utility.soundness import check_in_itself, check_signers

BY_ROOT = FIELD_DOCUMENTS | {DocumentType.BADGE}


class Judgement(Value):
    """What a gateway with this root would say before it looks at what it has in force."""

    word: str
    """OK, or the refusal's name."""
    detail: str
    digest: str
    """What a gateway's journal names it by."""


class Judge:
    """Judges documents in their order: a root that follows is the one for those after it."""

    def __init__(self, root: Root | None, device: Device | None) -> None:
        """`root` is the anchor."""
        self._root = root
        self._device = device
        self._followed: dict[Digest, Verified] = {}

    def judge(self, raw: bytes) -> Judgement:
        """Whether a document is vouched for, and whether it makes sense in itself."""
        try:
            detail, verified = self._judged(raw)
        except Rejected as flaw:
            return Judgement(word=flaw.flaw, detail=flaw.detail, digest=digest_of(raw))
        except Unsound as unsound:
            return Judgement(word=unsound.name, detail=unsound.detail, digest=digest_of(raw))
        signers = f"signed by {', '.join(verified.signers)}"
        return Judgement(word="OK", detail=f"{detail}, {signers}", digest=verified.digest)

    def _judged(self, raw: bytes) -> tuple[str, Verified]:
        claimed = claimed_by(tokens_of(raw)[0])
        if self._device is not None and (claimed.type == DocumentType.RECORD or self._root is None):
            return _checkpoint(raw, self._device)
        assert self._root is not None, "wrong use otherwise"
        if claimed.type == DocumentType.RECORD:
            raise Rejected(Flaw.UNKNOWN_KEY, "no root names a gateway's own key: give --device")
        if claimed.type == DocumentType.ROOT:
            return self._follow(raw, self._root, claimed.payload)
        verified = verify(raw, BY_ROOT, self._root)
        if verified.type is DocumentType.BADGE:
            badge = read_badge(raw, self._root)
            return f"{verified.type} {summary(badge)}", verified
        document = decode(verified)
        check_in_itself(document)
        verified = unrevoked(issued_at_ms(document), verified, self._root)
        check_signers(document, len(verified.signers))
        return f"{verified.type} {summary(document)}", verified

    def _follow(self, raw: bytes, in_force: Root, payload: bytes) -> tuple[str, Verified]:
        before = self._followed.get(digest_of(payload))
        if before is not None:
            return f"{before.type} {summary(root_from(payload))}, followed before", before
        root, verified = follow(raw, in_force)
        self._followed[verified.digest] = verified
        self._root = root
        return f"{verified.type} {summary(root)}", verified


def read_device(path: Path) -> Device:
    """A gateway's enrolment, as its `init --json` says it. Raises `Mistake`."""
    mend = "give what the gateway's `init --json` printed"
    try:
        return device_from(read_whole(path))
    except Rejected as flaw:
        raise Mistake(path, f"not an enrolment ({flaw.detail})", mend) from flaw


def _checkpoint(raw: bytes, device: Device) -> tuple[str, Verified]:
    checkpoint, verified = read_checkpoint(raw, device)
    return f"{verified.type} {summary(checkpoint)}", verified
