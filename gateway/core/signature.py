"""Strict JWS: the one door through which bytes become a word of the utility.

Owns the envelope (RFC 7515 compact form, RFC 8037 Ed25519, RFC 7518 ES256) and the root of trust
that says which key may sign what. Must never decode a payload's meaning (`documents` does), judge
time or sequence (`admission` does), or believe a key that the root does not name.

The rules J1 to J6 stand in the order in which they are checked; each has its own refusal.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from gateway.core.model import Count, Digest, IdText, KeyId, TimeMs, Value


class Role(StrEnum):
    """What a key may sign. Power is narrow on purpose: a receipt key can grant one account."""

    ROOT = "root"
    SITE = "site"
    LIST = "list"
    RECEIPT = "receipt"
    ORDER = "order"


class DocumentType(StrEnum):
    """The `typ` of the envelope."""

    ROOT = "fg-root+jws"
    SITE = "fg-site+jws"
    LIST = "fg-list+jws"
    RECEIPT = "fg-receipt+jws"
    ORDER = "fg-order+jws"


ROLE_OF = {
    DocumentType.ROOT: Role.ROOT,
    DocumentType.SITE: Role.SITE,
    DocumentType.LIST: Role.LIST,
    DocumentType.RECEIPT: Role.RECEIPT,
    DocumentType.ORDER: Role.ORDER,
}
LENGTH_MAX = {
    DocumentType.ROOT: 256 * 1024,
    DocumentType.SITE: 256 * 1024,
    DocumentType.LIST: 4 * 1024 * 1024,
    DocumentType.RECEIPT: 4 * 1024,
    DocumentType.ORDER: 64 * 1024,
}
"""Bytes of a document as it arrives, by type. An order for many homes comes once for each key."""
HEADER_MAX = 200
SIGNATURES_MAX = 16
FIELD_DOCUMENTS = frozenset(set(DocumentType) - {DocumentType.ROOT})
"""What may arrive in the field. The root comes with the installation."""


class Algorithm(StrEnum):
    """Signature algorithms; a key has exactly one."""

    ED25519 = "Ed25519"
    ES256 = "ES256"


class Flaw(StrEnum):
    """Why bytes are not a word of the utility."""

    TOO_LONG = "TOO_LONG"
    MALFORMED_ENVELOPE = "MALFORMED_ENVELOPE"
    MALFORMED_HEADER = "MALFORMED_HEADER"
    UNKNOWN_KEY = "UNKNOWN_KEY"
    WRONG_ALGORITHM = "WRONG_ALGORITHM"
    WRONG_TYPE = "WRONG_TYPE"
    ROLE_NOT_ALLOWED = "ROLE_NOT_ALLOWED"
    BAD_SIGNATURE = "BAD_SIGNATURE"
    BELOW_THRESHOLD = "BELOW_THRESHOLD"
    MALFORMED_PAYLOAD = "MALFORMED_PAYLOAD"


class Rejected(Exception):  # noqa: N818 - a judgement of bytes, not an error of ours
    """Raised by the verifier: `flaw` is the name, `detail` says where and what."""

    def __init__(self, flaw: Flaw, detail: str) -> None:
        super().__init__(f"{flaw}: {detail}")
        self.flaw = flaw
        self.detail = detail


class Key(Value):
    """A public key of the root. `public` is base64url: 32 bytes (Ed25519) or 65 (P-256 point)."""

    kid: IdText
    alg: Algorithm
    public: str
    roles: tuple[Role, ...]


class Root(Value):
    """The root of trust: every key that counts, and how many of them a role needs (default 1)."""

    seq: Count
    issued_at: TimeMs
    keys: tuple[Key, ...]
    thresholds: Mapping[str, int] = {}

    def key(self, kid: str) -> Key | None:
        """The key of that name, or None."""
        return next((key for key in self.keys if key.kid == kid), None)

    def threshold(self, role: Role) -> int:
        """How many distinct keys of the role must sign."""
        return self.thresholds.get(role, 1)


class Verified(Value):
    """Bytes that are proven to come from the utility. Only `verify` makes one."""

    type: DocumentType
    payload: bytes
    signers: tuple[KeyId, ...]
    digest: Digest
    raw: bytes


class _Part(Value):
    type: DocumentType
    key: Key
    payload: bytes


def verify(raw: bytes, accepted: frozenset[DocumentType], root: Root) -> Verified:
    """Check an envelope against the root. Raises `Rejected`.

    `raw` is one compact JWS, or a JSON array of compact JWS over the same payload where a role's
    threshold is above one. `accepted` names the types that this entry point takes.
    """
    length_max = max(LENGTH_MAX[kind] for kind in accepted)
    if len(raw) > length_max:  # J1, before anything is parsed
        raise Rejected(Flaw.TOO_LONG, f"{len(raw)} bytes, at most {length_max} are taken here")
    parts = [_verify_one(token, len(raw), accepted, root) for token in _tokens(raw)]
    first = parts[0]
    role = ROLE_OF[first.type]
    if any(part.payload != first.payload or part.type != first.type for part in parts):
        raise Rejected(Flaw.BELOW_THRESHOLD, "the signatures are not over the same document")
    signers = tuple(dict.fromkeys(part.key.kid for part in parts))  # J6: distinct keys
    needed = root.threshold(role)
    if len(signers) < needed:
        raise Rejected(
            Flaw.BELOW_THRESHOLD, f"{len(signers)} of {needed} keys of role {role} signed"
        )
    return Verified(
        type=first.type,
        payload=first.payload,
        signers=tuple(KeyId(kid) for kid in signers),
        digest=digest_of(first.payload),
        raw=raw,
    )


def digest_of(content: bytes) -> Digest:
    """SHA-256 in hexadecimal: of a verified document's payload, of a refused one's bytes.

    The payload is what was signed: one document may come in several envelopes.
    """
    return Digest(hashlib.sha256(content).hexdigest())


def load_root(raw: bytes) -> Root:
    """The root of trust from the installation's anchor file. Raises `Rejected`.

    The anchor is believed because it was installed with the gateway; its own signatures are
    checked all the same, so that a damaged or half-edited file is found at the start.
    """
    if len(raw) > LENGTH_MAX[DocumentType.ROOT]:
        raise Rejected(Flaw.TOO_LONG, f"{len(raw)} bytes, a root has at most 262144")
    pieces = _tokens(raw)[0].split(b".")
    if len(pieces) != 3:
        raise Rejected(Flaw.MALFORMED_ENVELOPE, "not three parts")
    try:
        root = msgspec.convert(strict_json(_unbase64(pieces[1])), Root)
    except msgspec.ValidationError as error:
        raise Rejected(Flaw.MALFORMED_PAYLOAD, str(error)) from error
    names = [key.kid for key in root.keys]
    if len(set(names)) != len(names):
        raise Rejected(Flaw.MALFORMED_PAYLOAD, "two keys have one kid")
    if len({key.public for key in root.keys}) != len(names):
        # Under two names one private key would count as two (J6).
        raise Rejected(Flaw.MALFORMED_PAYLOAD, "two kids have one public key")
    unknown = sorted(set(root.thresholds) - set(Role))
    if unknown or any(count < 1 for count in root.thresholds.values()):
        raise Rejected(Flaw.MALFORMED_PAYLOAD, "thresholds: a known role and a count above zero")
    for key in root.keys:
        _public(key)
    verify(raw, frozenset({DocumentType.ROOT}), root)
    return root


def strict_json(payload: bytes) -> Any:
    """JSON with duplicate names, floats and non-finite numbers refused. Raises `Rejected`."""
    try:
        plain = json.loads(
            payload.decode("utf-8"),
            object_pairs_hook=_distinct,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
        return _of_whole_characters(plain, payload)
    except (ValueError, RecursionError) as error:
        raise Rejected(Flaw.MALFORMED_PAYLOAD, str(error) or type(error).__name__) from error


def _tokens(raw: bytes) -> list[bytes]:
    if not raw.startswith(b"["):
        return [raw]
    try:
        tokens = strict_json(raw)
    except Rejected as error:
        raise Rejected(Flaw.MALFORMED_ENVELOPE, error.detail) from error
    if not 0 < len(tokens) <= SIGNATURES_MAX or not all(isinstance(t, str) for t in tokens):
        raise Rejected(Flaw.MALFORMED_ENVELOPE, f"not a list of 1 to {SIGNATURES_MAX} signatures")
    return [token.encode() for token in tokens]


def _verify_one(token: bytes, total: int, accepted: frozenset[DocumentType], root: Root) -> _Part:
    pieces = token.split(b".")
    if len(pieces) != 3:
        raise Rejected(Flaw.MALFORMED_ENVELOPE, "not three parts")
    head, payload, signature = (_unbase64(piece) for piece in pieces)  # J1
    header = _header(head)  # J2
    key = root.key(header["kid"])  # J3
    if key is None:
        raise Rejected(Flaw.UNKNOWN_KEY, f"the root names no key {header['kid'][:40]!r}")
    names = {"EdDSA", "Ed25519"} if key.alg is Algorithm.ED25519 else {"ES256"}
    if header["alg"] not in names:
        raise Rejected(Flaw.WRONG_ALGORITHM, f"key {key.kid} signs with {key.alg}")
    kind = next((kind for kind in accepted if kind == header["typ"]), None)  # J4
    if kind is None:
        raise Rejected(Flaw.WRONG_TYPE, f"{header['typ'][:40]!r} is not taken here")
    if total > LENGTH_MAX[kind]:
        raise Rejected(Flaw.TOO_LONG, f"{total} bytes, {kind} has at most {LENGTH_MAX[kind]}")
    if ROLE_OF[kind] not in key.roles:
        raise Rejected(Flaw.ROLE_NOT_ALLOWED, f"key {key.kid} may not sign {kind}")
    if not _signature_holds(key, pieces[0] + b"." + pieces[1], signature):  # J5
        raise Rejected(Flaw.BAD_SIGNATURE, f"the signature is not key {key.kid}'s over these bytes")
    return _Part(type=kind, key=key, payload=payload)


def _header(text: bytes) -> dict[str, str]:
    if len(text) > HEADER_MAX:
        raise Rejected(Flaw.MALFORMED_HEADER, f"{len(text)} bytes, at most {HEADER_MAX}")
    try:
        header = strict_json(text)
    except Rejected as error:
        raise Rejected(Flaw.MALFORMED_HEADER, error.detail) from error
    if not isinstance(header, dict) or set(header) != {"alg", "kid", "typ"}:
        raise Rejected(Flaw.MALFORMED_HEADER, "the members are not exactly alg, kid and typ")
    if not all(isinstance(value, str) for value in header.values()):
        raise Rejected(Flaw.MALFORMED_HEADER, "alg, kid and typ are texts")
    return header


def _unbase64(piece: bytes) -> bytes:
    # Strict base64url (RFC 7515, appendix C): no padding, no white space, and one spelling only.
    try:
        value = base64.b64decode(piece + b"=" * (-len(piece) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise Rejected(Flaw.MALFORMED_ENVELOPE, "not base64url") from error
    if not value or base64.urlsafe_b64encode(value).rstrip(b"=") != piece:
        raise Rejected(Flaw.MALFORMED_ENVELOPE, "base64url that is padded, empty or not canonical")
    return value


def _public(key: Key) -> ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey:
    value = _unbase64(key.public.encode())
    try:
        if key.alg is Algorithm.ED25519:
            return ed25519.Ed25519PublicKey.from_public_bytes(value)
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), value)
    except ValueError as error:
        raise Rejected(Flaw.MALFORMED_PAYLOAD, f"key {key.kid}: {error}") from error


def _signature_holds(key: Key, signed: bytes, signature: bytes) -> bool:
    public = _public(key)
    if len(signature) != 64:
        return False
    try:
        if isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(signature, signed)
        else:
            halves = (int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
            public.verify(encode_dss_signature(*halves), signed, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def _distinct(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for name, value in pairs:
        if name in names:
            raise ValueError(f"the name {name[:40]!r} stands twice")
        names[name] = value
    return names


def _of_whole_characters(plain: Any, payload: bytes) -> Any:
    # An escape can spell half a surrogate pair (RFC 8259, section 8.2): it is no character, and
    # could not be written down again.
    if b"\\u" in payload:
        json.dumps(plain, ensure_ascii=False).encode()
    return plain


def _refuse_number(text: str) -> None:
    raise ValueError(f"{text[:40]} is not an integer")
