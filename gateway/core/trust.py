"""Trust: who may sign what, how many must, and whose word no longer counts.

Owns the shape of the root of trust and what makes one sound. Must never check a signature
(`signature` does) nor decide which root follows which (`rotation` does).
"""

from collections.abc import Mapping
from enum import StrEnum

from gateway.core.model import Count, IdText, TimeMs, Value


class Role(StrEnum):
    """What a key may sign. Power is narrow on purpose: a receipt key can grant one account."""

    ROOT = "root"
    RECOVERY = "recovery"
    """A sealed set that can put a root in its place when the root keys are lost or stolen."""
    SITE = "site"
    LIST = "list"
    RECEIPT = "receipt"
    ORDER = "order"
    BADGE = "badge"
    TIME = "time"
    GATEWAY = "gateway"
    """The gateway's own key. No root names one: the head end learns it at the enrolment."""


class Algorithm(StrEnum):
    """Signature algorithms; a key has exactly one."""

    ED25519 = "Ed25519"
    ES256 = "ES256"


class Key(Value):
    """A public key of the root. `public` is base64url: 32 bytes (Ed25519) or 65 (P-256 point)."""

    kid: IdText
    alg: Algorithm
    public: str
    roles: tuple[Role, ...]


class Revocation(Value):
    """What this key signed with a time of issue after the instant counts for nothing."""

    kid: IdText
    after: TimeMs


class Root(Value):
    """`fg-root+jws`: every key that counts, and how many of them a role needs (default 1).

    `expires` only raises an alarm: grants go on, for nobody in the dark can mend it.
    """

    seq: Count
    issued_at: TimeMs
    keys: tuple[Key, ...]
    thresholds: Mapping[str, int] = {}
    expires: TimeMs | None = None
    revoked: tuple[Revocation, ...] = ()

    def key(self, kid: str) -> Key | None:
        """The key of that name, or None."""
        return next((key for key in self.keys if key.kid == kid), None)

    def threshold(self, role: Role) -> int:
        """How many distinct keys of the role must sign."""
        return self.thresholds.get(role, 1)

    def of_role(self, role: Role) -> tuple[Key, ...]:
        """The keys of a role."""
        return tuple(key for key in self.keys if role in key.roles)

    def revoked_after(self, kid: str) -> int | None:
        """Since when (issue, milliseconds UTC) a key's word does not count; None: it counts."""
        return min((one.after for one in self.revoked if one.kid == kid), default=None)


def flaw_of(root: Root) -> str | None:
    """What keeps a root from being one, in words; None: nothing does."""
    names = [key.kid for key in root.keys]
    if len(set(names)) != len(names):
        return "two keys have one kid"
    if len({key.public for key in root.keys}) != len(names):
        # Under two names one private key would count as two (J6).
        return "two kids have one public key"
    if any(count < 1 for count in root.thresholds.values()) or set(root.thresholds) - set(Role):
        return "thresholds: a known role and a count above zero"
    if any(Role.GATEWAY in key.roles for key in root.keys):
        return "a gateway's own key is no key of the root"
    if any(Role.RECOVERY in key.roles and len(key.roles) > 1 for key in root.keys):
        return "a recovery key is sealed away: it has no other role"
    for role in Role:
        if 0 < len(root.of_role(role)) < root.threshold(role):
            return f"role {role} needs {root.threshold(role)} keys and has fewer"
    return None
