"""Signing: a private key and the documents that it makes.

Owns the private half of the envelope that `core.signature` verifies (RFC 7515 compact form with
RFC 8037 Ed25519 or RFC 7518 ES256). Must never show a private key in a message, a log or a
traceback, nor sign what no gateway would take: another role's type, or too many bytes.
"""

import base64
from pathlib import Path
from typing import Self, assert_never

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.core.documents import Document
from gateway.core.model import IdText, Value
from gateway.core.orders import Order, plain_order
from gateway.core.signature import (
    LENGTH_MAX,
    ROLE_OF,
    Algorithm,
    DocumentType,
    Key,
    Rejected,
    Role,
    Root,
    strict_json,
)
from gateway.utility.files import PRIVATE, Mistake, read_whole, write_whole

PRIVATE_BYTES = 32
_Private = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey


class SigningKey:
    """A private key with its name and the roles it may sign for."""

    __slots__ = ("_private", "alg", "kid", "roles")

    def __init__(self, kid: str, alg: Algorithm, roles: tuple[Role, ...], private: bytes) -> None:
        """`private` is 32 bytes: the Ed25519 seed, or the P-256 scalar, big-endian."""
        self.kid = kid
        self.alg = alg
        self.roles = roles
        self._private = _from_bytes(alg, private)

    def __repr__(self) -> str:
        """The name only: a private key is never shown."""
        return f"SigningKey({self.kid})"

    @classmethod
    def make(cls, kid: str, alg: Algorithm, roles: tuple[Role, ...]) -> Self:
        """A new key from the operating system's randomness."""
        match alg:
            case Algorithm.ED25519:
                private = ed25519.Ed25519PrivateKey.generate().private_bytes_raw()
            case Algorithm.ES256:
                number = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
                private = number.to_bytes(PRIVATE_BYTES)
            case _:
                assert_never(alg)
        return cls(kid, alg, roles, private)

    @classmethod
    def load(cls, path: Path) -> Self:
        """The key of a file that `save` wrote. Raises `Mistake`."""
        content = read_whole(path)
        if path.stat().st_mode & 0o077:
            raise Mistake(path, "other users can read this private key", f"chmod 600 {path}")
        mend = "give a key file that `keys` made"
        try:
            file = msgspec.convert(strict_json(content), _KeyFile)
            key = cls(file.kid, file.alg, file.roles, _unbase64(file.private))
        except (Rejected, msgspec.ValidationError, ValueError) as error:
            raise Mistake(path, f"not a key file ({error})", mend) from error
        if key.public().public != file.public:
            raise Mistake(path, "the public part does not belong to the private part", mend)
        return key

    def save(self, path: Path) -> None:
        """Write the key with its private part, readable JSON, mode 0600. Raises `Mistake`."""
        file = _KeyFile(
            kid=self.kid,
            alg=self.alg,
            roles=self.roles,
            public=self.public().public,
            private=_base64(self._private_bytes()),
        )
        content = msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"
        write_whole(path, content, PRIVATE)

    def public(self) -> Key:
        """The public half, as a root names it."""
        public = self._private.public_key()
        if isinstance(public, ed25519.Ed25519PublicKey):
            value = public.public_bytes_raw()
        else:
            value = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return Key(kid=self.kid, alg=self.alg, public=_base64(value), roles=self.roles)

    def sign(self, kind: DocumentType, payload: bytes) -> bytes:
        """One compact JWS over a payload (see `payload_of`). Raises `Mistake`."""
        if ROLE_OF[kind] not in self.roles:
            roles = ", ".join(self.roles)
            raise Mistake(
                f"key {self.kid}",
                f"a key of role {roles} may not sign {kind}",
                f"give a key of role {ROLE_OF[kind]}",
            )
        header = msgspec.json.encode({"alg": self.alg, "kid": self.kid, "typ": kind})
        signed = f"{_base64(header)}.{_base64(payload)}".encode()
        return _within_length(kind, signed + b"." + _base64(self.signature(signed)).encode())

    def signature(self, signed: bytes) -> bytes:
        """The 64 bytes of a JWS signature over these bytes."""
        if isinstance(self._private, ed25519.Ed25519PrivateKey):
            return self._private.sign(signed)
        halves = decode_dss_signature(self._private.sign(signed, ec.ECDSA(SHA256())))
        return b"".join(half.to_bytes(32) for half in halves)

    def _private_bytes(self) -> bytes:
        if isinstance(self._private, ed25519.Ed25519PrivateKey):
            return self._private.private_bytes_raw()
        return self._private.private_numbers().private_value.to_bytes(PRIVATE_BYTES)


def sign_together(keys: tuple[SigningKey, ...], kind: DocumentType, payload: bytes) -> bytes:
    """One payload signed by each key: a compact JWS, or of several a JSON array of them."""
    if len(keys) == 1:
        return keys[0].sign(kind, payload)
    tokens = [key.sign(kind, payload).decode() for key in keys]
    return _within_length(kind, msgspec.json.format(msgspec.json.encode(tokens), indent=1))


def payload_of(document: Document | Root) -> bytes:
    """The payload's JSON; members that say nothing are left out."""
    plain = plain_order(document) if isinstance(document, Order) else msgspec.to_builtins(document)
    return msgspec.json.encode(_without_none(plain))


class _KeyFile(Value):
    kid: IdText
    alg: Algorithm
    roles: tuple[Role, ...]
    public: str
    private: str

    def __repr__(self) -> str:
        return f"_KeyFile({self.kid})"


def _from_bytes(alg: Algorithm, private: bytes) -> _Private:
    if len(private) != PRIVATE_BYTES:
        raise ValueError(f"a private key has {PRIVATE_BYTES} bytes")
    match alg:
        case Algorithm.ED25519:
            return ed25519.Ed25519PrivateKey.from_private_bytes(private)
        case Algorithm.ES256:
            return ec.derive_private_key(int.from_bytes(private), ec.SECP256R1())
        case _:
            assert_never(alg)


def _within_length(kind: DocumentType, raw: bytes) -> bytes:
    if len(raw) > LENGTH_MAX[kind]:
        raise Mistake(
            f"the {kind} document",
            f"{len(raw)} bytes signed, a gateway takes at most {LENGTH_MAX[kind]}",
            "give this gateway fewer entries",
        )
    return raw


def _without_none(value: object) -> object:
    match value:
        case dict():
            return {name: _without_none(part) for name, part in value.items() if part is not None}
        case list() | tuple():
            return [_without_none(part) for part in value]
        case _:
            return value


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _unbase64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
