"""The device's own key, and the word that it signs for its journal."""

import msgspec
import pytest

from gateway.core.device import Device, claimed_checkpoint, device_from, read_checkpoint
from gateway.core.documents import Checkpoint
from gateway.core.signature import DocumentType, Rejected
from gateway.core.soundness import Unsound
from gateway.core.trust import Algorithm, Role
from gateway.utility.sign import SigningKey, payload_of
from tests.signing import key

OWN = key("gw-1", Role.GATEWAY)
PUBLIC = OWN.public().public
DEVICE = Device(gateway="gw-1", kid="gw-1", alg=Algorithm.ED25519, public=PUBLIC)
CHECKPOINT = Checkpoint(gateway="gw-1", number=7, chain="0" * 64, wall_ms=5, trusted=True)


def signed(checkpoint: Checkpoint = CHECKPOINT, by: SigningKey = OWN) -> bytes:
    return by.sign(DocumentType.RECORD, payload_of(checkpoint))


def test_an_enrolment_names_the_device_whatever_else_it_says() -> None:
    told = {"gateway": "gw-1", "kid": "gw-1", "alg": "Ed25519", "public": PUBLIC, "root_seq": 1}
    assert device_from(msgspec.json.encode(told)) == DEVICE


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[1]",
        msgspec.json.encode(msgspec.structs.replace(DEVICE, public="AAAA")),
        msgspec.json.encode(msgspec.structs.replace(DEVICE, gateway="no name")),
    ],
)
def test_what_is_no_enrolment_is_refused(content: bytes) -> None:
    with pytest.raises(Rejected, match="MALFORMED_PAYLOAD"):
        device_from(content)


def test_a_checkpoint_of_the_device_is_its_word() -> None:
    checkpoint, verified = read_checkpoint(signed(), DEVICE)
    assert checkpoint == claimed_checkpoint(signed()) == CHECKPOINT
    assert verified.signers == ("gw-1",)


def test_a_checkpoint_of_another_device_is_refused() -> None:
    stranger = SigningKey.make("gw-1", Algorithm.ED25519, (Role.GATEWAY,))
    with pytest.raises(Rejected, match="BAD_SIGNATURE"):
        read_checkpoint(signed(by=stranger), DEVICE)


def test_a_device_speaks_for_its_own_gateway_alone() -> None:
    with pytest.raises(Unsound, match="WRONG_AUDIENCE: gateway gw-1 speaks here for gw-2"):
        read_checkpoint(signed(msgspec.structs.replace(CHECKPOINT, gateway="gw-2")), DEVICE)


def test_what_claims_nothing_of_a_journal_is_no_checkpoint() -> None:
    with pytest.raises(Rejected, match="MALFORMED_PAYLOAD: number is missing"):
        claimed_checkpoint(OWN.sign(DocumentType.RECORD, b'{"gateway":"gw-1"}'))
