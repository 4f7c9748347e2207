"""The device key: made once, kept private, and its word under a checkpoint is the gateway's."""

import base64
import hashlib
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.core.documents import Checkpoint, decode_checkpoint
from gateway.core.signature import DocumentType, Flaw, Rejected, verify
from gateway.core.trust import Algorithm, Key, Role, Root
from gateway.host.identity import Identity, IdentityError, identity_at, load_identity

RECORD = frozenset({DocumentType.RECORD})
CHECKPOINT = Checkpoint(gateway="rewa-7", number=41, chain="a" * 64, wall_ms=5, trusted=True)


def known_as(identity: Identity) -> Root:
    """What the head end makes of an enrolment."""
    said = identity.enrolment(1, "")
    key = Key(kid=said.kid, alg=said.alg, public=said.public, roles=(Role.GATEWAY,))
    return Root(seq=0, issued_at=0, keys=(key,))


def test_a_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "state" / "device.pem"
    made, was_there = identity_at(path, "rewa-7")
    assert not was_there
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["device.pem"]
    again, was_there = identity_at(path, "rewa-7")
    assert was_there
    assert again.public == made.public
    assert "PRIVATE" not in f"{made!r} {made}"


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "device.pem"
    identity_at(path, "rewa-7")
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        Identity.make("rewa-7").save(path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["device.pem"]


def test_what_a_killed_process_left_half_written_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / ".device.pem.part").write_bytes(b"half")
    _, was_there = identity_at(tmp_path / "device.pem", "rewa-7")
    assert not was_there
    assert [one.name for one in tmp_path.iterdir()] == ["device.pem"]


def test_the_fingerprint_is_of_the_public_half() -> None:
    said = Identity.make("rewa-7").enrolment(3, "f" * 64)
    octets = base64.urlsafe_b64decode(said.public + "=")
    assert len(octets) == 32
    assert said.fingerprint == hashlib.sha256(octets).hexdigest()
    assert (said.gateway, said.kid, said.alg) == ("rewa-7", "rewa-7", Algorithm.ED25519)
    assert (said.root_seq, said.root_sha256) == (3, "f" * 64)


def test_a_checkpoint_is_known_by_the_enrolled_key_and_no_other() -> None:
    identity = Identity.make("rewa-7")
    raw = identity.signed(CHECKPOINT).encode()
    assert decode_checkpoint(verify(raw, RECORD, known_as(identity))) == CHECKPOINT
    with pytest.raises(Rejected) as caught:
        verify(raw, RECORD, known_as(Identity.make("rewa-7")))
    assert caught.value.flaw is Flaw.BAD_SIGNATURE


def test_a_key_file_that_is_none_is_named_with_the_mend(tmp_path: Path) -> None:
    path = tmp_path / "device.pem"
    other = generate_private_key(SECP256R1())
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for content, said in ((b"x", "no private key"), (pem, "not an Ed25519 key")):
        path.write_bytes(content)
        with pytest.raises(IdentityError, match=said) as caught:
            load_identity(path, "rewa-7")
        assert "enrolled anew" in str(caught.value)
    path.unlink()
    path.mkdir()
    with pytest.raises(IdentityError, match="readable"):
        load_identity(path, "rewa-7")


def test_where_it_cannot_be_made_that_is_said() -> None:
    with pytest.raises(IdentityError, match="cannot make it"):
        identity_at(Path("/proc/nobody-makes-this/device.pem"), "rewa-7")
