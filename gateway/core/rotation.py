"""Rotation: which root follows which, from the installation's anchor on.

Owns the anchor and every step from root N to root N+1. Must never ask the clock: an expired root is
an alarm, no reason to refuse its successor.

A step takes the threshold of N and the threshold of N+1, as in The Update Framework (specification
1.0.33, section 5.3.4): who holds the old keys hands over to the new ones. Where the old keys are
lost or stolen, the recovery set of N takes their place; it has to outlive them for that, so nobody
but itself can change it.
"""

import msgspec

from gateway.core.signature import (
    LENGTH_MAX,
    DocumentType,
    Flaw,
    Rejected,
    Verified,
    below_threshold,
    check_signatures,
    claimed_by,
    public_key,
    strict_json,
    tokens_of,
    verified_from,
)
from gateway.core.trust import Key, Role, Root, flaw_of

ROOT_ONLY = frozenset({DocumentType.ROOT})
STEPS_MAX = 1_024
"""Steps from the anchor to the root in force."""


def load_root(raw: bytes) -> Root:
    """The root of trust from the installation's anchor file. Raises `Rejected`.

    The anchor is believed because it was installed with the gateway; its own signatures are
    checked all the same, so that a damaged or half-edited file is found at the start.
    """
    _check_length(raw)
    tokens = tokens_of(raw)
    claims = [claimed_by(token) for token in tokens]
    root = root_from(claims[0].payload)
    # A root that came by a rotation also bears signatures of the one before it: not its own.
    names = {key.kid for key in root.of_role(Role.ROOT)}
    own = [token for token, said in zip(tokens, claims, strict=True) if said.kid in names]
    signed = check_signatures(_array(own) if own else raw, ROOT_ONLY, root.keys)
    if not _enough(root, Role.ROOT, {key.kid for key in signed.signers}):
        raise below_threshold(len(signed.signers), root, Role.ROOT)
    return root


def root_from(payload: bytes) -> Root:
    """The root that a payload says, sound in itself. Raises `Rejected` (MALFORMED_PAYLOAD)."""
    try:
        root = msgspec.convert(strict_json(payload), Root)
    except msgspec.ValidationError as error:
        raise Rejected(Flaw.MALFORMED_PAYLOAD, str(error)) from error
    flaw = flaw_of(root)
    if flaw is not None:
        raise Rejected(Flaw.MALFORMED_PAYLOAD, flaw)
    for key in root.keys:
        public_key(key)
    return root


def verify_root(raw: bytes, in_force: Root) -> tuple[Root, Verified]:
    """A root that the root in force, or its recovery set, vouches for. Raises `Rejected`.

    Whether it is the next one is `admission`'s to say.
    """
    _check_length(raw)
    try:
        root = root_from(claimed_by(tokens_of(raw)[0]).payload)
    except Rejected:
        # Signature before schema (J5): who signed it is said first, as far as that can be known.
        check_signatures(raw, ROOT_ONLY, in_force.keys, frozenset({Role.RECOVERY}))
        raise
    signed = check_signatures(
        raw, ROOT_ONLY, _keys_of_both(in_force, root), frozenset({Role.RECOVERY})
    )
    kids = {key.kid for key in signed.signers}
    recovers = _enough(in_force, Role.RECOVERY, kids) and bool(in_force.of_role(Role.RECOVERY))
    if not recovers and not _enough(in_force, Role.ROOT, kids):
        raise below_threshold(len(_among(in_force, Role.ROOT, kids)), in_force, Role.ROOT)
    if not _enough(root, Role.ROOT, kids):
        raise Rejected(Flaw.BELOW_THRESHOLD, "too few of the root keys that it names signed it")
    if not recovers and _recovery_set(root) != _recovery_set(in_force):
        raise Rejected(Flaw.ROLE_NOT_ALLOWED, "only the recovery set itself may change it")
    return root, verified_from(signed, raw)


def _check_length(raw: bytes) -> None:
    length_max = LENGTH_MAX[DocumentType.ROOT]
    if len(raw) > length_max:
        raise Rejected(Flaw.TOO_LONG, f"{len(raw)} bytes, a root has at most {length_max}")


def _array(tokens: list[bytes]) -> bytes:
    return msgspec.json.encode([token.decode() for token in tokens])


def _keys_of_both(in_force: Root, root: Root) -> tuple[Key, ...]:
    for key in root.keys:
        known = in_force.key(key.kid)
        if known is not None and known.public != key.public:
            # Old documents by that name would suddenly be another key's.
            raise Rejected(Flaw.MALFORMED_PAYLOAD, f"kid {key.kid} is another key's already")
    new = (key for key in root.keys if in_force.key(key.kid) is None)
    return (*in_force.keys, *new)


def _among(root: Root, role: Role, kids: set[str]) -> list[Key]:
    # A root has no older issue than its own: a revoked key never signs one.
    revoked = {one.kid for one in root.revoked}
    return [key for key in root.of_role(role) if key.kid in kids and key.kid not in revoked]


def _enough(root: Root, role: Role, kids: set[str]) -> bool:
    return len(_among(root, role, kids)) >= root.threshold(role)


def _recovery_set(root: Root) -> tuple[int, frozenset[str]]:
    keys = frozenset(key.public for key in root.of_role(Role.RECOVERY))
    return root.threshold(Role.RECOVERY), keys
