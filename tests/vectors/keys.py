"""The keys of the vectors and the anchors that name them; every byte follows from their names."""

import hashlib
from collections.abc import Mapping

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from gateway.core.signature import DocumentType
from gateway.core.trust import Algorithm, Revocation, Role, Root
from gateway.utility.sign import SigningKey, payload_of
from tests.core.papers import HOUR_MS, NOON_MS
from tests.signing import ISSUED_AT_MS, base64url, key

ROOTS = tuple(key(f"root-{at}", Role.ROOT) for at in (1, 2, 3))
NEW_ROOTS = tuple(key(f"root-{at}", Role.ROOT) for at in (4, 5, 6))
RECOVERY = tuple(key(f"recovery-{at}", Role.RECOVERY) for at in (1, 2))
SITE = key("site-1", Role.SITE)
SITE_ES256 = key("site-2", Role.SITE, alg=Algorithm.ES256)
LIST = key("list-1", Role.LIST)
RECEIPT = key("receipt-1", Role.RECEIPT)
RECEIPT_ES256 = key("receipt-2", Role.RECEIPT, alg=Algorithm.ES256)
ORDERS = (key("order-1", Role.ORDER), key("order-2", Role.ORDER))
ORDER_ES256 = key("order-3", Role.ORDER, alg=Algorithm.ES256)
BADGE = key("badge-1", Role.BADGE)
TIME = key("time-1", Role.TIME)
NEW_TIME = key("time-2", Role.TIME)
GATEWAY = key("gw-1", Role.GATEWAY)
"""The gateway's own; its public half reaches the head end at the enrolment."""
STRANGER = key("stranger", Role.RECEIPT)
REVOKED = {role: key(f"{role}-0", role) for role in Role if role not in {Role.ROOT, Role.GATEWAY}}
"""A key of each role whose word does not count since REVOKED_AFTER_MS."""
REVOKED_AFTER_MS = NOON_MS - 24 * HOUR_MS

_IN_FORCE = (
    *ROOTS, *RECOVERY, SITE, SITE_ES256, LIST, RECEIPT, RECEIPT_ES256, *ORDERS, ORDER_ES256, BADGE,
    TIME,
)  # fmt: skip
THRESHOLDS: Mapping[str, int] = {Role.ROOT: 2, Role.RECOVERY: 2}


def root_of(*keys: SigningKey, seq: int = 1, thresholds: Mapping[str, int] = THRESHOLDS) -> Root:
    """A root over these keys; those of REVOKED among them are revoked."""
    gone = {one.kid for one in REVOKED.values()}
    return Root(
        seq=seq,
        issued_at=ISSUED_AT_MS,
        keys=tuple(one.public() for one in keys),
        thresholds=thresholds,
        revoked=tuple(
            Revocation(kid=one.kid, after=REVOKED_AFTER_MS) for one in keys if one.kid in gone
        ),
    )


_REVOKED = tuple(one for role, one in REVOKED.items() if role is not Role.RECOVERY)
ANCHOR = root_of(*_IN_FORCE, *_REVOKED)
TWO_RECEIPT_KEYS = root_of(*_IN_FORCE, *_REVOKED, thresholds={**THRESHOLDS, Role.RECEIPT: 2})
ENROLLED = Root(seq=1, issued_at=ISSUED_AT_MS, keys=(GATEWAY.public(),))
"""What a head end believes about the gateway's own word."""


def signed(
    kind: str, payload: bytes, by: SigningKey, header: Mapping[str, object] | None = None
) -> bytes:
    """A compact JWS; `header` replaces members of it, right or wrong."""
    members = {"alg": str(by.alg), "kid": by.kid, "typ": str(kind), **(header or {})}
    return enveloped(msgspec.json.encode(members), payload, by)


def enveloped(head: bytes, payload: bytes, by: SigningKey) -> bytes:
    """A compact JWS with a header of these bytes."""
    content = base64url(head) + b"." + base64url(payload)
    return content + b"." + base64url(signature(by, content))


def signature(by: SigningKey, content: bytes) -> bytes:
    """The 64 bytes of a JWS signature; ES256 is without chance here (RFC 6979)."""
    if by.alg is not Algorithm.ES256:
        return by.signature(content)
    number = int.from_bytes(hashlib.sha256(by.kid.encode()).digest())  # as tests.signing makes it
    private = ec.derive_private_key(number, ec.SECP256R1())
    der = private.sign(content, ec.ECDSA(SHA256(), deterministic_signing=True))
    return b"".join(half.to_bytes(32) for half in decode_dss_signature(der))


def array(*tokens: bytes) -> bytes:
    """Several compact JWS as one document."""
    return msgspec.json.encode([token.decode() for token in tokens])


def together(kind: str, payload: bytes, *by: SigningKey) -> bytes:
    """One payload signed by each key, as it travels."""
    tokens = [signed(kind, payload, one) for one in by]
    return tokens[0] if len(tokens) == 1 else array(*tokens)


def anchor_file(root: Root) -> bytes:
    """What an installation's anchor file holds."""
    return together(DocumentType.ROOT, payload_of(root), *ROOTS[:2])
