"""Vectors that are wrong in two ways at once: the earlier rule names them."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gateway.core.signature import DocumentType
from gateway.core.trust import Role
from gateway.utility.sign import SigningKey, payload_of
from tests.core.papers import NOON_MS, receipt
from tests.vectors import keys
from tests.vectors.keys import enveloped
from tests.vectors.scene import Scene, Vector

KIND = DocumentType.RECEIPT


@dataclass
class Draft:
    """A receipt on its way to being wrong."""

    says: dict[str, Any] = field(
        default_factory=lambda: dict(msgspec.json.decode(payload_of(receipt(1, 600))))
    )
    header: dict[str, Any] = field(
        default_factory=lambda: {"alg": "Ed25519", "kid": "receipt-1", "typ": str(KIND)}
    )
    by: SigningKey = keys.RECEIPT
    tail: bytes = b""
    anchor: str = "anchor.json"

    def raw(self) -> bytes:
        """The draft as it travels."""
        head = msgspec.json.encode(self.header)
        return enveloped(head, msgspec.json.encode(self.says), self.by) + self.tail


def padded(draft: Draft) -> None:
    """J1."""
    draft.tail = b"=="


def critical(draft: Draft) -> None:
    """J2."""
    draft.header["crit"] = ["exp"]


def unknown(draft: Draft) -> None:
    """J3."""
    draft.header["kid"] = "receipt-9"


def other_algorithm(draft: Draft) -> None:
    """J3."""
    draft.header["alg"] = "RS256"


def other_type(draft: Draft) -> None:
    """J4."""
    draft.header["typ"] = "fg-record+jws"


def long(draft: Draft) -> None:
    """J1, at a door that takes longer types as well: as soon as its type is known."""
    draft.says["note"] = "x" * 4096


def other_role(draft: Draft) -> None:
    """J4: of a key of lists, revoked like the one of receipts below."""
    draft.by = keys.REVOKED[Role.LIST]
    draft.header["kid"] = draft.by.kid


def forged(draft: Draft) -> None:
    """J5."""
    draft.by = keys.STRANGER


def too_few(draft: Draft) -> None:
    """J6."""
    draft.anchor = "anchor-two-receipt-keys.json"


def no_meter(draft: Draft) -> None:
    """J5, schema."""
    del draft.says["meter"]


def revoked(draft: Draft) -> None:
    """P4."""
    draft.by = keys.REVOKED[Role.RECEIPT]
    draft.header["kid"] = draft.by.kid


def elsewhere(draft: Draft) -> None:
    """J5, audience."""
    draft.says["gateway"] = "gw-2"


def older(draft: Draft) -> None:
    """J5, sequence; still after the instant from which its key is revoked."""
    draft.says["n"] -= 300


def late(draft: Draft) -> None:
    """J5, time."""
    draft.says["exp"] = NOON_MS - 3_600_000


Fault = tuple[str, Callable[[Draft], None]]
FAULTS: tuple[Fault, ...] = (
    ("MALFORMED_ENVELOPE", padded),
    ("MALFORMED_HEADER", critical),
    ("UNKNOWN_KEY", unknown),
    ("WRONG_ALGORITHM", other_algorithm),
    ("WRONG_TYPE", other_type),
    ("TOO_LONG", long),
    ("ROLE_NOT_ALLOWED", other_role),
    ("BAD_SIGNATURE", forged),
    ("BELOW_THRESHOLD", too_few),
    ("MALFORMED_PAYLOAD", no_meter),
    ("KEY_REVOKED", revoked),
    ("WRONG_AUDIENCE", elsewhere),
    ("OLDER_THAN_STANDING", older),
    ("EXPIRED", late),
)
"""In the order in which they are named."""
NOT_TOGETHER = {(unknown, other_role), (unknown, revoked), (other_role, revoked)}
"""A key that nobody knows has no role and is not revoked; `other_role` is revoked as it is."""


def vectors() -> Iterator[Vector]:
    """Every two faults that one document can have."""
    for (first, one), (second, other) in itertools.combinations(FAULTS, 2):
        if (one, other) in NOT_TOGETHER:
            continue
        draft = Draft()
        # Whose key it is comes first, what is done with it last.
        for fault in sorted((one, other), key=lambda fault: fault is forged):
            fault(draft)
        name = f"{first}-and-{second}".lower().replace("_", "-")
        yield Vector(
            name=f"pair-{name}",
            type=KIND,
            raw=draft.raw(),
            word=first,
            why=f"Wrong in two ways: {first} is found before {second}.",
            scene=Scene(given=("site", "list"), anchor=draft.anchor),
        )
