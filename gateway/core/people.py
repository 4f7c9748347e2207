"""People: technicians, what they may do, and how one who is not on the roster is known.

Owns the shapes of a technician and of a badge, and what makes one sound. Must never hold a PIN or a
code: only what one is checked against (argon2id, RFC 9106).
"""

import re
from enum import StrEnum
from typing import Annotated

import msgspec

from gateway.core.model import IdText, TimeMs, Value

BADGE_LIFE_MAX_MS = 7 * 86_400_000
MEMORY_KIB_MIN = 19_456
"""19 MiB: below it a stolen verifier is tried out too fast (OWASP Password Storage, argon2id)."""
_PARAMETERS = re.compile(r"\$m=(\d+),t=(\d+),p=(\d+)\$")


class TechnicianRole(StrEnum):
    """What a person at the page may do; each may do what those before it may."""

    VIEW = "view"
    TECHNICIAN = "technician"
    SUPERVISOR = "supervisor"


NameText = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
VerifierText = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^\$argon2id\$v=19\$m=[0-9]{1,7},t=[0-9]{1,3},p=[0-9]{1,2}"
        r"\$[A-Za-z0-9+/]{22,43}\$[A-Za-z0-9+/]{43,86}\Z"
    ),
]
"""An argon2id hash in PHC string form."""
RolesOf = Annotated[tuple[TechnicianRole, ...], msgspec.Meta(min_length=1, max_length=3)]


class Technician(Value):
    """A person of the roster; `pin` is what the PIN is checked against."""

    id: IdText
    name: NameText
    roles: RolesOf
    pin: VerifierText

    def __repr__(self) -> str:
        """Without the verifier: it has no business in a log."""
        return f"Technician({self.id})"


class Badge(Value):
    """`fg-badge+jws`: a technician who is not on this gateway's roster, for some days.

    `code` is what the random code is checked against that he gets by another road: whoever
    photographs the badge cannot try out a short PIN at home.
    """

    id: IdText
    name: NameText
    roles: RolesOf
    iat: TimeMs
    exp: TimeMs
    code: VerifierText

    def __repr__(self) -> str:
        """Without the verifier: it has no business in a log."""
        return f"Badge({self.id})"


def weak(verifier: str) -> bool:
    """Whether a verifier costs whoever tries codes too little (RFC 9106, section 4)."""
    found = _PARAMETERS.search(verifier)
    if found is None:
        return True
    memory_kib, passes, lanes = (int(part) for part in found.groups())
    return memory_kib < MEMORY_KIB_MIN or passes < 1 or lanes < 1
