"""The gateway's identity: a key pair that is made on the device and never leaves it.

Owns the device key (Ed25519, RFC 8032) in its file, what the head end is told of it, and the
signature under a checkpoint. Must never show the private half, nor write over a key: the head end
would take the gateway for another.
"""

import hashlib
import os
from pathlib import Path
from typing import Self

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from gateway.core.documents import Checkpoint
from gateway.core.model import IdText, Value
from gateway.core.signature import DocumentType, base64url, to_sign
from gateway.core.trust import Algorithm
from gateway.host.credentials import credential_mistake


class Enrolment(Value):
    """What the head end is told of a gateway at its commissioning; no secret.

    `public` is base64url of the 32 bytes, `fingerprint` their SHA-256, `root_sha256` that of the
    installed anchor's file: all are compared by eye or by QR code.
    """

    gateway: IdText
    kid: IdText
    alg: Algorithm
    public: str
    fingerprint: str
    root_seq: int
    root_sha256: str


class IdentityError(Exception):
    """The device key's file is not what it should be: the path, what is wrong, the mend."""


class Identity:
    """The device key of one gateway; its kid is the gateway's name."""

    __slots__ = ("_private", "gateway")

    def __init__(self, gateway: str, private: Ed25519PrivateKey) -> None:
        self.gateway = gateway
        self._private = private

    @classmethod
    def make(cls, gateway: str) -> Self:
        """A new key."""
        return cls(gateway, Ed25519PrivateKey.generate())

    def __repr__(self) -> str:
        """Without the key."""
        return f"Identity({self.gateway})"

    @property
    def public(self) -> str:
        """The public half, base64url of 32 bytes."""
        return base64url(self._private.public_key().public_bytes_raw()).decode()

    def enrolment(self, root_seq: int, root_sha256: str) -> Enrolment:
        """What the head end is told."""
        octets = self._private.public_key().public_bytes_raw()
        return Enrolment(
            gateway=self.gateway,
            kid=self.gateway,
            alg=Algorithm.ED25519,
            public=self.public,
            fingerprint=hashlib.sha256(octets).hexdigest(),
            root_seq=root_seq,
            root_sha256=root_sha256,
        )

    def signed(self, checkpoint: Checkpoint) -> str:
        """A checkpoint as `fg-record+jws`, compact."""
        payload = msgspec.json.encode(checkpoint)
        signed = to_sign(self.gateway, Algorithm.ED25519, DocumentType.RECORD, payload)
        return (signed + b"." + base64url(self._private.sign(signed))).decode()

    def save(self, path: Path) -> None:
        """Write the key into a new file, mode 0600, durably. Raises `OSError`."""
        content = self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.unlink(missing_ok=True)
        number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(number)
        try:
            os.link(part, path)  # unlike a rename it takes nobody's place
        finally:
            part.unlink()
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def load_identity(path: Path, gateway: str) -> Identity:
    """The device key in its file. Raises `FileNotFoundError` and `IdentityError`."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(error.errno, error.strerror, str(path)) from error
    except OSError as error:
        raise IdentityError(
            f"{path}: {error.strerror}. Make it readable for the daemon's user."
        ) from error
    mend = "Put the gateway's own key back; a new one has to be enrolled anew."
    try:
        private = load_pem_private_key(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise IdentityError(f"{path}: no private key in it. {mend}") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise IdentityError(f"{path}: not an Ed25519 key. {mend}")
    return Identity(gateway, private)


def identity_at(path: Path, gateway: str) -> tuple[Identity, bool]:
    """The device key in its file, made where there is none; whether it was there before.

    One that systemd should hand over is not made. Raises `IdentityError`.
    """
    missing = credential_mistake(path)
    if missing is not None:
        raise IdentityError(missing)
    try:
        return load_identity(path, gateway), True
    except FileNotFoundError:
        identity = Identity.make(gateway)
    try:
        identity.save(path)
    except OSError as error:
        raise IdentityError(
            f"{path}: cannot make it ({error.strerror}). Give the daemon's user the directory."
        ) from error
    return identity, False
