"""Signing: a private key and the documents that it makes.

Owns the private half of the envelope that `core.signature` verifies (RFC 7515 compact form with
RFC 8037 Ed25519 or RFC 7518 ES256). Must never show a private key in a message, a log or a
traceback, nor sign what no gateway would take: another role's type, or too many bytes.
"""

import base64
from pathlib import Path
from typing import Protocol, Self, assert_never

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.core.documents import Checkpoint, Document
from gateway.core.orders import Order, plain_order
from gateway.core.people import Badge
from gateway.core.signature import (
    LENGTH_MAX,
    ROLE_OF,
    DocumentType,
    Rejected,
    base64url,
    check_signatures,
    to_sign,
)
from gateway.core.trust import Algorithm, Key, Role
from gateway.utility.files import Mistake
from gateway.utility.key_file import MEND, KeyFile, TokenPlace, read_key_file, write_key_file

PRIVATE_BYTES = 32
ALSO_SIGNS = {DocumentType.ROOT: frozenset({Role.RECOVERY})}
"""Roles that may sign a type beside its own."""
Paper = Document | Badge | Checkpoint
"""Whatever somebody signs, for whatever door."""


class PrivateHalf(Protocol):
    """What a key signs with, wherever that lies."""

    def public_octets(self) -> bytes:
        """The public half: 32 bytes (Ed25519) or the 65 of a P-256 point."""

    def signature(self, signed: bytes) -> bytes:
        """The 64 bytes of a JWS signature over these bytes. Raises `Mistake`."""

    def in_file(self) -> str | TokenPlace:
        """What its file says: the private key itself, or its place in a token."""


class SoftHalf:
    """A private half in memory."""

    __slots__ = ("_private",)

    def __init__(self, alg: Algorithm, private: bytes) -> None:
        """`private` is 32 bytes: the Ed25519 seed, or the P-256 scalar, big-endian."""
        self._private = _from_bytes(alg, private)

    def public_octets(self) -> bytes:
        """The public half: 32 bytes (Ed25519) or the 65 of a P-256 point."""
        public = self._private.public_key()
        if isinstance(public, ed25519.Ed25519PublicKey):
            return public.public_bytes_raw()
        return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def signature(self, signed: bytes) -> bytes:
        """The 64 bytes of a JWS signature over these bytes."""
        if isinstance(self._private, ed25519.Ed25519PrivateKey):
            return self._private.sign(signed)
        halves = decode_dss_signature(self._private.sign(signed, ec.ECDSA(SHA256())))
        return b"".join(half.to_bytes(32) for half in halves)

    def in_file(self) -> str:
        """The private key, base64url."""
        if isinstance(self._private, ed25519.Ed25519PrivateKey):
            private = self._private.private_bytes_raw()
        else:
            private = self._private.private_numbers().private_value.to_bytes(PRIVATE_BYTES)
        return base64url(private).decode()


class SigningKey:
    """A private key with its name and the roles it may sign for."""

    __slots__ = ("_half", "alg", "kid", "roles")

    def __init__(
        self, kid: str, alg: Algorithm, roles: tuple[Role, ...], private: bytes | PrivateHalf
    ) -> None:
        """`private` is what `SoftHalf` takes, or a half that lies elsewhere."""
        self.kid = kid
        self.alg = alg
        self.roles = roles
        self._half = SoftHalf(alg, private) if isinstance(private, bytes) else private

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
        """The key of a file. Raises `Mistake`; a token is asked only when it is to sign."""
        file = read_key_file(path)
        if file.pkcs11 is not None:
            return cls(file.kid, file.alg, file.roles, _half_in_token(file.pkcs11, file))
        if file.private is None:
            raise Mistake(path, "it holds the public half only", "give the file of its owner")
        try:
            key = cls(file.kid, file.alg, file.roles, _unbase64(file.private))
        except ValueError as error:
            raise Mistake(path, f"not a key file ({error})", MEND) from error
        if key.public().public != file.public:
            raise Mistake(path, "the public part does not belong to the private part", MEND)
        return key

    def save(self, path: Path) -> None:
        """Write the key with its private part or its place, mode 0600. Raises `Mistake`."""
        kept = self._half.in_file()
        file = KeyFile(
            kid=self.kid,
            alg=self.alg,
            roles=self.roles,
            public=self.public().public,
            private=kept if isinstance(kept, str) else None,
            pkcs11=kept if isinstance(kept, TokenPlace) else None,
        )
        write_key_file(path, file)

    def public(self) -> Key:
        """The public half, as a root names it."""
        octets = base64url(self._half.public_octets()).decode()
        return Key(kid=self.kid, alg=self.alg, public=octets, roles=self.roles)

    def sign(self, kind: DocumentType, payload: bytes) -> bytes:
        """One compact JWS over a payload (see `payload_of`). Raises `Mistake`."""
        also = ALSO_SIGNS.get(kind, frozenset[Role]())
        if not {ROLE_OF[kind], *also}.intersection(self.roles):
            roles = ", ".join(self.roles)
            raise Mistake(
                f"key {self.kid}",
                f"a key of role {roles} may not sign {kind}",
                f"give a key of role {ROLE_OF[kind]}",
            )
        signed = to_sign(self.kid, self.alg, kind, payload)
        raw = _within_length(kind, signed + b"." + base64url(self.signature(signed)))
        if not isinstance(self._half, SoftHalf):
            self._check_foreign(raw, kind, also)
        return raw

    def signature(self, signed: bytes) -> bytes:
        """The 64 bytes of a JWS signature over these bytes. Raises `Mistake`."""
        return self._half.signature(signed)

    def _check_foreign(self, raw: bytes, kind: DocumentType, also: frozenset[Role]) -> None:
        # The file says which key the token holds under that label; only a signature proves it.
        try:
            check_signatures(raw, frozenset({kind}), (self.public(),), also)
        except Rejected as flaw:
            raise Mistake(
                f"key {self.kid}",
                f"the token's signature is not by the key that the file names ({flaw})",
                "make the key file anew with `key`",
            ) from flaw


def sign_together(keys: tuple[SigningKey, ...], kind: DocumentType, payload: bytes) -> bytes:
    """One payload signed by each key: a compact JWS, or of several a JSON array on one line."""
    if len(keys) == 1:
        return keys[0].sign(kind, payload)
    tokens = [key.sign(kind, payload).decode() for key in keys]
    return _within_length(kind, msgspec.json.encode(tokens))


def payload_of(document: Paper) -> bytes:
    """The payload's JSON; members that say nothing are left out."""
    plain = plain_order(document) if isinstance(document, Order) else msgspec.to_builtins(document)
    return msgspec.json.encode(_without_none(plain))


def distinct_keys(keys: list[SigningKey]) -> tuple[SigningKey, ...]:
    """Each key once: given twice, or under two names, it is still one."""
    return tuple({key.public().public: key for key in keys}.values())


def _half_in_token(place: TokenPlace, file: KeyFile) -> PrivateHalf:
    try:
        # Only who has a token needs that library.
        from gateway.utility.in_token import TokenHalf  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise no_token_library(place) from error
    return TokenHalf(place, file.alg, _unbase64(file.public))


def no_token_library(place: TokenPlace) -> Mistake:
    """What is missing on a machine that has never signed with a token."""
    return Mistake(
        place, "python-pkcs11 is not installed here", "pip install 'feeder-gateway[pkcs11]'"
    )


def _from_bytes(
    alg: Algorithm, private: bytes
) -> ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey:
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


def _unbase64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
