"""Strict JWS: the one door through which bytes become a word of the utility.

Owns the envelope (RFC 7515 compact form, RFC 8037 Ed25519, RFC 7518 ES256). Must never decode a
payload's meaning (`documents` does), judge time or sequence (`admission` does), or believe a key
that the root does not name.

The rules J1 to J6 stand in the order in which they are checked; each has its own refusal.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from gateway.core.model import Digest, KeyId, Value
from gateway.core.trust import Algorithm, Key, Role, Root


class DocumentType(StrEnum):
    """The `typ` of the envelope."""

    ROOT = "fg-root+jws"
    SITE = "fg-site+jws"
    LIST = "fg-list+jws"
    RECEIPT = "fg-receipt+jws"
    ORDER = "fg-order+jws"
    BADGE = "fg-badge+jws"
    TIME = "fg-time+jws"
    RECORD = "fg-record+jws"


ROLE_OF = {
    DocumentType.ROOT: Role.ROOT,
    DocumentType.SITE: Role.SITE,
    DocumentType.LIST: Role.LIST,
    DocumentType.RECEIPT: Role.RECEIPT,
    DocumentType.ORDER: Role.ORDER,
    DocumentType.BADGE: Role.BADGE,
    DocumentType.TIME: Role.TIME,
    DocumentType.RECORD: Role.GATEWAY,
}
LENGTH_MAX = {
    DocumentType.ROOT: 256 * 1024,
    DocumentType.SITE: 256 * 1024,
    DocumentType.LIST: 4 * 1024 * 1024,
    DocumentType.RECEIPT: 4 * 1024,
    DocumentType.ORDER: 64 * 1024,
    DocumentType.BADGE: 4 * 1024,
    DocumentType.TIME: 4 * 1024,
    DocumentType.RECORD: 4 * 1024,
}
"""Bytes of a document as it arrives, by type. An order for many homes comes once for each key."""
HEADER_MAX = 200
SIGNATURES_MAX = 16
FIELD_DOCUMENTS = frozenset(set(DocumentType) - {DocumentType.BADGE, DocumentType.RECORD})
"""What the gateway's door takes. A badge opens the page only; a record is what it says itself."""


_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_SLICE_CHARACTERS = 256 * 1024
"""A multiple of four, so that each slice is base64 by itself."""


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


class Verified(Value):
    """Bytes that are proven to come from the utility. Only `verify` makes one."""

    type: DocumentType
    payload: bytes
    signers: tuple[KeyId, ...]
    digest: Digest
    raw: bytes


class Signed(Value):
    """An envelope whose every signature holds; whether they are enough is not said yet."""

    type: DocumentType
    payload: bytes
    signers: tuple[Key, ...]
    """Distinct keys, in the order of their signatures."""


class _Part(Value):
    type: DocumentType
    key: Key
    payload: bytes


class _Door(Value):
    accepted: frozenset[DocumentType]
    keys: dict[str, Key]
    also: frozenset[Role]


def verify(raw: bytes, accepted: frozenset[DocumentType], root: Root) -> Verified:
    """Check an envelope against the root. Raises `Rejected`.

    `raw` is one compact JWS, or a JSON array of compact JWS over the same payload where a role's
    threshold is above one. `accepted` names the types that this entry point takes.
    """
    signed = check_signatures(raw, accepted, root.keys)
    role = ROLE_OF[signed.type]
    if len(signed.signers) < root.threshold(role):
        raise below_threshold(len(signed.signers), root, role)
    return verified_from(signed, raw)


def check_signatures(
    raw: bytes,
    accepted: frozenset[DocumentType],
    keys: tuple[Key, ...],
    also: frozenset[Role] = frozenset(),
) -> Signed:
    """Check every signature of an envelope, each by one of `keys`. Raises `Rejected`.

    A key signs what its role allows; `also` are further roles that count at this entry point.
    """
    length_max = max(LENGTH_MAX[kind] for kind in accepted)
    if len(raw) > length_max:  # J1, before anything is parsed
        raise Rejected(Flaw.TOO_LONG, f"{len(raw)} bytes, at most {length_max} are taken here")
    door = _Door(accepted=accepted, keys={key.kid: key for key in keys}, also=also)
    parts = [_verify_one(token, len(raw), door) for token in tokens_of(raw)]
    first = parts[0]
    if any(part.payload != first.payload or part.type != first.type for part in parts):
        raise Rejected(Flaw.BELOW_THRESHOLD, "the signatures are not over the same document")
    signers = {part.key.kid: part.key for part in parts}  # J6: distinct keys
    return Signed(type=first.type, payload=first.payload, signers=tuple(signers.values()))


def verified_from(signed: Signed, raw: bytes) -> Verified:
    """What enough keys have signed; only `verify` and `rotation` may say that they are enough."""
    return Verified(
        type=signed.type,
        payload=signed.payload,
        signers=tuple(KeyId(key.kid) for key in signed.signers),
        digest=digest_of(signed.payload),
        raw=raw,
    )


def below_threshold(count: int, root: Root, role: Role) -> Rejected:
    """The refusal of too few signatures."""
    detail = f"{count} of {root.threshold(role)} keys of role {role} signed"
    return Rejected(Flaw.BELOW_THRESHOLD, detail)


def digest_of(content: bytes) -> Digest:
    """SHA-256 in hexadecimal: of a verified document's payload, of a refused one's bytes.

    The payload is what was signed: one document may come in several envelopes.
    """
    return Digest(hashlib.sha256(content).hexdigest())


def tokens_of(raw: bytes) -> list[bytes]:
    """The compact JWS of an envelope: it alone, or those of an array. Raises `Rejected` (J1)."""
    if not raw.startswith(b"["):
        return [raw]
    try:
        tokens = strict_json(raw)
    except Rejected as error:
        raise Rejected(Flaw.MALFORMED_ENVELOPE, error.detail) from error
    if not 0 < len(tokens) <= SIGNATURES_MAX or not all(isinstance(t, str) for t in tokens):
        raise Rejected(Flaw.MALFORMED_ENVELOPE, f"not a list of 1 to {SIGNATURES_MAX} signatures")
    return [token.encode() for token in tokens]


class Claimed(Value):
    """What a compact JWS says of itself; nothing of it is proven."""

    kid: str
    type: str
    payload: bytes


def claimed_by(token: bytes) -> Claimed:
    """What a compact JWS says of itself, unproven. Raises `Rejected` (J1, J2)."""
    head, payload, _ = (_unbase64(piece) for piece in _pieces_of(token))
    header = _header(head)
    return Claimed(kid=header["kid"], type=header["typ"], payload=payload)


def claimed_type(raw: bytes) -> str:
    """The `typ` that an envelope claims; empty where it can not be read."""
    try:
        return _header(_unbase64(_pieces_of(tokens_of(raw)[0])[0]))["typ"]
    except Rejected:
        return ""


def to_sign(kid: str, alg: Algorithm, kind: DocumentType, payload: bytes) -> bytes:
    """What a signature of a document is over: header and payload (RFC 7515, section 5.1)."""
    header = json.dumps({"alg": alg, "kid": kid, "typ": kind}, separators=(",", ":"))
    return base64url(header.encode()) + b"." + base64url(payload)


def base64url(value: bytes) -> bytes:
    """Base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(value).rstrip(b"=")


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


def public_key(key: Key) -> ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey:
    """A key of the root, ready to verify with. Raises `Rejected` where it is none."""
    value = _unbase64(key.public.encode())
    try:
        if key.alg is Algorithm.ED25519:
            return ed25519.Ed25519PublicKey.from_public_bytes(value)
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), value)
    except ValueError as error:
        raise Rejected(Flaw.MALFORMED_PAYLOAD, f"key {key.kid}: {error}") from error


def _pieces_of(token: bytes) -> list[bytes]:
    pieces = token.split(b".")
    if len(pieces) != 3:
        raise Rejected(Flaw.MALFORMED_ENVELOPE, "not three parts")
    return pieces


def _verify_one(token: bytes, total: int, door: _Door) -> _Part:
    pieces = _pieces_of(token)
    head, payload, signature = (_unbase64(piece) for piece in pieces)  # J1
    header = _header(head)  # J2
    key = door.keys.get(header["kid"])  # J3
    if key is None:
        raise Rejected(Flaw.UNKNOWN_KEY, f"the root names no key {header['kid'][:40]!r}")
    names = {"EdDSA", "Ed25519"} if key.alg is Algorithm.ED25519 else {"ES256"}
    if header["alg"] not in names:
        raise Rejected(Flaw.WRONG_ALGORITHM, f"key {key.kid} signs with {key.alg}")
    kind = next((kind for kind in door.accepted if kind == header["typ"]), None)  # J4
    if kind is None:
        raise Rejected(Flaw.WRONG_TYPE, f"{header['typ'][:40]!r} is not taken here")
    if total > LENGTH_MAX[kind]:
        raise Rejected(Flaw.TOO_LONG, f"{total} bytes, {kind} has at most {LENGTH_MAX[kind]}")
    if not {ROLE_OF[kind], *door.also}.intersection(key.roles):
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
    # In slices: whole, a long list would hold the interpreter for tens of milliseconds.
    if not piece or len(piece) % 4 == 1 or piece.translate(None, _ALPHABET):
        raise Rejected(Flaw.MALFORMED_ENVELOPE, "not base64url, or padded, or empty")
    standard = piece.translate(_TO_STANDARD) + b"=" * (-len(piece) % 4)
    slices = range(0, len(standard), _SLICE_CHARACTERS)
    value = b"".join(binascii.a2b_base64(standard[at : at + _SLICE_CHARACTERS]) for at in slices)
    odd = len(value) % 3
    if odd and base64url(value[-odd:]) != piece[-odd - 1 :]:
        raise Rejected(Flaw.MALFORMED_ENVELOPE, "base64url that is not canonical")
    return value


def _signature_holds(key: Key, signed: bytes, signature: bytes) -> bool:
    public = public_key(key)
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
