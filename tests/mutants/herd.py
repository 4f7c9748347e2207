"""The healthy documents that mutants are made of, the keys, and what really counts as signed."""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from gateway.core.signature import HEADER_MAX, SIGNATURES_MAX, tokens_of
from gateway.core.trust import Root
from gateway.utility.sign import SigningKey
from tests.vectors import keys
from tests.vectors.book import Library
from tests.vectors.scene import Line

NAMES = (
    "receipt", "receipt-es256", "receipt-eddsa", "j6-two-keys", "list", "site-next", "site-es256",
    "order-hold", "order-hold-es256", "order-disconnect", "order-reconnect", "root-2",
    "root-3-new-keys", "root-3-by-recovery", "root-2-again", "time", "badge", "record",
)  # fmt: skip
"""Vectors that are accepted, of every type, both algorithms, with one key and with several."""


@dataclass(frozen=True)
class Healthy:
    """A document as it should be: its tokens, and what is signed."""

    line: Line
    raw: bytes
    tokens: tuple[bytes, ...]
    header: Mapping[str, str]
    payload: bytes
    by: SigningKey
    """Who signed it first."""


@cache
def herd() -> tuple[Healthy, ...]:
    """The healthy documents."""
    library = Library()
    return tuple(_healthy(library, name) for name in NAMES)


@cache
def minted() -> Mapping[str, SigningKey]:
    """Every key of the vectors by its kid, also the stranger's."""
    named = (value for value in vars(keys).values())
    found: dict[str, SigningKey] = {}
    for value in named:
        several = value.values() if isinstance(value, Mapping) else value
        several = several if isinstance(several, tuple) else (several,)
        found |= {one.kid: one for one in several if isinstance(one, SigningKey)}
    found |= {one.kid: one for one in keys.REVOKED.values()}
    return found


def unbase64(piece: bytes) -> bytes:
    """Base64url without padding, read without any check."""
    return base64.urlsafe_b64decode(piece + b"=" * (-len(piece) % 4))


def _healthy(library: Library, name: str) -> Healthy:
    line = library.line(name)
    raw = library.read(line.file)
    tokens = tuple(tokens_of(raw))
    head, payload, _ = tokens[0].split(b".")
    header = json.loads(unbase64(head))
    by = minted()[header["kid"]]
    return Healthy(line, raw, tokens, header, unbase64(payload), by)


# --- the second opinion ---------------------------------------------------------------------------

_PIECE = re.compile(rb"[A-Za-z0-9_-]+")
NEEDED = {
    "j6-two-keys": 2, "order-disconnect": 2, "root-2": 2, "root-2-again": 2, "root-3-new-keys": 4,
    "root-3-by-recovery": 4,
}  # fmt: skip
"""How many distinct keys have to sign; one where nothing stands here."""


def doubts(raw: bytes, healthy: Healthy, root: Root) -> str | None:
    """Why bytes that a door has taken should not have been; None: they are a healthy document.

    Written anew on purpose, with nothing of the verifier's: a second opinion is no copy.
    """
    try:
        texts = json.loads(raw) if raw[:1] == b"[" else [raw.decode("ascii")]
        said = [_said(text.encode(), root) for text in texts]
    except (AttributeError, KeyError, ValueError) as error:
        return f"not a signed document: {error}"
    if len(said) > SIGNATURES_MAX:
        return "more signatures than are counted"
    documents = {(kind, payload) for _, kind, payload in said}
    whole = {(one.header["typ"], one.payload) for one in herd()}
    if len(documents) != 1 or not documents <= whole:
        return "another document than any that was signed"
    signers = {kid for kid, _, _ in said}
    if len(signers) < NEEDED.get(healthy.line.name, 1):
        return f"only {len(signers)} signed"
    return None


def _said(token: bytes, root: Root) -> tuple[str, str, bytes]:
    """Key, type and payload of a signature. Raises `ValueError` where it is none."""
    pieces = token.split(b".")
    if len(pieces) != 3 or not all(_PIECE.fullmatch(piece) for piece in pieces):
        raise ValueError("not three parts of base64url")
    head, payload, signature = map(unbase64, pieces)
    if any(base64.urlsafe_b64encode(unbase64(p)).rstrip(b"=") != p for p in pieces):
        raise ValueError("not canonical")
    pairs = json.loads(head, object_pairs_hook=list)
    if len(head) > HEADER_MAX:
        raise ValueError("a header that is too long")
    if sorted(name for name, _ in pairs) != ["alg", "kid", "typ"]:
        raise ValueError("a header of other members")
    header = dict(pairs)
    if not _signed(header, pieces[0] + b"." + pieces[1], signature, root):
        raise ValueError(f"not signed by {header['kid']}")
    return header["kid"], header["typ"], payload


def _signed(header: Mapping[str, str], content: bytes, signature: bytes, root: Root) -> bool:
    key = next((one for one in root.keys if one.kid == header["kid"]), None)
    role = str(header["typ"]).removeprefix("fg-").removesuffix("+jws").replace("record", "gateway")
    also = {"recovery"} if role == "root" else set()
    if key is None or not {role, *also} & set(key.roles) or len(signature) != 64:
        return False
    public = unbase64(key.public.encode())
    try:
        if header["alg"] in {"Ed25519", "EdDSA"} and len(public) == 32:
            ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, content)
            return True
        if header["alg"] == "ES256" and len(public) == 65:
            point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
            halves = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
            point.verify(encode_dss_signature(*halves), content, ec.ECDSA(SHA256()))
            return True
    except InvalidSignature:
        return False
    return False
