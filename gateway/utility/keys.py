"""A set of keys for one utility, and the root of trust that names them.

Owns which keys there are. Must never write over a key: what
was signed with the old one could not be proven any more.
"""

import os
import shutil
from pathlib import Path
from typing import Self

from gateway.core.model import Digest, Value
from gateway.core.signature import digest_of
from gateway.core.trust import Algorithm, Role, Root
from gateway.journal.files import sync_directory
from gateway.utility.files import PUBLIC, Mistake, write_whole
from gateway.utility.roots import RECOVERY_THRESHOLD, ROOT_THRESHOLD, first_root, sign_first
from gateway.utility.sign import SigningKey

ROOT_KEYS = 3
RECOVERY_KEYS = RECOVERY_THRESHOLD
"""Sealed away, all of them are needed: a third would be one more to be stolen."""
ORDER_KEYS = 2
"""A dangerous order takes two distinct keys: give them to two people."""
ROOT_FILE = "root.json"


class KeySet(Value):
    """Three root keys, a recovery set, and for each kind of document as many as it takes."""

    roots: tuple[SigningKey, ...]
    site: SigningKey
    list: SigningKey
    receipt: SigningKey
    orders: tuple[SigningKey, ...]
    badge: SigningKey
    time: SigningKey
    recovery: tuple[SigningKey, ...]

    @classmethod
    def make(cls, alg: Algorithm) -> Self:
        """A new set; the keys are named `root-1`, `site-1` and so on."""
        return cls(
            roots=_several(ROOT_KEYS, alg, Role.ROOT),
            site=SigningKey.make("site-1", alg, (Role.SITE,)),
            list=SigningKey.make("list-1", alg, (Role.LIST,)),
            receipt=SigningKey.make("receipt-1", alg, (Role.RECEIPT,)),
            orders=_several(ORDER_KEYS, alg, Role.ORDER),
            badge=SigningKey.make("badge-1", alg, (Role.BADGE,)),
            time=SigningKey.make("time-1", alg, (Role.TIME,)),
            recovery=_several(RECOVERY_KEYS, alg, Role.RECOVERY),
        )

    def all(self) -> tuple[SigningKey, ...]:
        """Every key of the set, those of the root first, the sealed ones last."""
        one_each = (self.site, self.list, self.receipt, *self.orders, self.badge, self.time)
        return (*self.roots, *one_each, *self.recovery)

    def root(self, issued_at_ms: int, expires_ms: int | None = None) -> Root:
        """The first root of trust over these keys."""
        return first_root((key.public() for key in self.all()), issued_at_ms, expires_ms)

    def signed_root(self, issued_at_ms: int, expires_ms: int | None = None) -> bytes:
        """That root, signed by as many root keys as it takes."""
        return sign_first(self.root(issued_at_ms, expires_ms), self.roots[:ROOT_THRESHOLD])

    def save(self, directory: Path, issued_at_ms: int, expires_ms: int | None = None) -> Digest:
        """Write `KID.json` for each key and `root.json` into a new directory, all or nothing.

        Answers the SHA-256 of `root.json`. Raises `Mistake`, also where the directory holds
        anything already.
        """
        root = self.signed_root(issued_at_ms, expires_ms)
        part = directory.with_name(f".{directory.name}.{os.getpid()}.part")
        try:
            part.mkdir(mode=0o700)
            try:
                for key in self.all():
                    key.save(part / f"{key.kid}.json")
                write_whole(part / ROOT_FILE, root, PUBLIC)
                part.rename(directory)  # takes an empty directory's place, never a full one's
                sync_directory(directory.parent)
            finally:
                shutil.rmtree(part, ignore_errors=True)
        except OSError as error:
            raise Mistake(
                directory,
                f"cannot make the keys there ({error.strerror})",
                "name a new directory in one that exists; keys are never written over",
            ) from error
        return digest_of(root)


def _several(count: int, alg: Algorithm, role: Role) -> tuple[SigningKey, ...]:
    return tuple(SigningKey.make(f"{role}-{at}", alg, (role,)) for at in range(1, count + 1))
