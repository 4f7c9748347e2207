"""Key files: a key with its name and its roles, and where its private half lies.

Owns the shape of these files. Must never hold a PIN, nor give out a private half that others on
this machine can read.
"""

from pathlib import Path

import msgspec

from gateway.core.model import IdText, Value
from gateway.core.signature import Rejected, public_key, strict_json
from gateway.core.trust import Algorithm, Key, Role
from gateway.utility.files import PRIVATE, Mistake, read_whole, write_whole

MEND = "give a key file that `keys` or `key` made"


class TokenPlace(Value):
    """Where a private key lies that never leaves its token (PKCS #11)."""

    module: str
    """Path of the maker's library."""
    token: str
    """The token's label."""
    label: str
    """The key's label."""

    def __str__(self) -> str:
        return f"key {self.label} in token {self.token}"


class KeyFile(Value):
    """A key file; one that has neither `private` nor `pkcs11` names the public half only."""

    kid: IdText
    alg: Algorithm
    roles: tuple[Role, ...]
    public: str
    private: str | None = None
    pkcs11: TokenPlace | None = None

    def __repr__(self) -> str:
        """The name only: a private key is never shown."""
        return f"KeyFile({self.kid})"

    def key(self) -> Key:
        """The public half, as a root names it."""
        return Key(kid=self.kid, alg=self.alg, public=self.public, roles=self.roles)


def read_key_file(path: Path) -> KeyFile:
    """A key file, its private half not yet looked at. Raises `Mistake`."""
    content = read_whole(path)
    try:
        file = msgspec.convert(strict_json(content), KeyFile)
        public_key(file.key())
    except (Rejected, msgspec.ValidationError) as error:
        raise Mistake(path, f"not a key file ({error})", MEND) from error
    if file.private is not None and path.stat().st_mode & 0o077:
        raise Mistake(path, "other users can read this private key", f"chmod 600 {path}")
    return file


def write_key_file(path: Path, file: KeyFile) -> None:
    """Write a key file, readable JSON, mode 0600. Raises `Mistake`."""
    plain = {name: part for name, part in msgspec.to_builtins(file).items() if part is not None}
    write_whole(path, msgspec.json.format(msgspec.json.encode(plain), indent=2) + b"\n", PRIVATE)
