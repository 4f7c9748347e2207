"""A gateway's own key, as the head end has enrolled it, and the word that it signs.

Owns who may speak for one gateway's journal. Must never hold a private key, nor take a key from the
document that it is to check.
"""

import msgspec

from gateway.core.documents import Checkpoint, decode_checkpoint, place_and_mend
from gateway.core.image import Image
from gateway.core.model import IdText, Now, Value
from gateway.core.signature import (
    DocumentType,
    Flaw,
    Rejected,
    Verified,
    claimed_by,
    public_key,
    strict_json,
    verify,
)
from gateway.core.soundness import Unsound
from gateway.core.trust import Algorithm, Key, Role, Root

BY_DEVICE = frozenset({DocumentType.RECORD})


class Device(Value):
    """A gateway's own key, as its enrolment says it; other members are not looked at."""

    gateway: IdText
    kid: IdText
    alg: Algorithm
    public: str


def device_from(content: bytes) -> Device:
    """A gateway's enrolment, as its `init --json` says it. Raises `Rejected`."""
    try:
        device = msgspec.convert(strict_json(content), Device)
    except msgspec.ValidationError as error:
        raise Rejected(Flaw.MALFORMED_PAYLOAD, str(error)) from error
    public_key(_key_of(device))
    return device


def checkpoint_of(image: Image, now: Now) -> Checkpoint:
    """What the gateway says of its journal up to the last record, to be signed."""
    return Checkpoint(
        gateway=image.station.gateway,
        number=image.number,
        chain=image.chain.hex(),
        wall_ms=now.wall_ms,
        trusted=now.trusted,
    )


def read_checkpoint(raw: bytes, device: Device) -> tuple[Checkpoint, Verified]:
    """The gateway's word for its own journal. Raises `Rejected`, `Unsound` (WRONG_AUDIENCE)."""
    # The one key of a root that no gateway would ever be given.
    verified = verify(raw, BY_DEVICE, Root(seq=1, issued_at=0, keys=(_key_of(device),)))
    checkpoint = decode_checkpoint(verified)
    if checkpoint.gateway != device.gateway:
        raise Unsound(
            "WRONG_AUDIENCE", f"gateway {device.gateway} speaks here for {checkpoint.gateway}"
        )
    return checkpoint, verified


def claimed_checkpoint(raw: bytes) -> Checkpoint:
    """What a checkpoint says, unproven. Raises `Rejected`."""
    try:
        return msgspec.convert(strict_json(claimed_by(raw).payload), Checkpoint)
    except msgspec.ValidationError as error:
        raise Rejected(Flaw.MALFORMED_PAYLOAD, place_and_mend(error)) from error


def _key_of(device: Device) -> Key:
    return Key(kid=device.kid, alg=device.alg, public=device.public, roles=(Role.GATEWAY,))
