"""Keys: made once, readable by their owner only, and never shown."""

import json
import re
from pathlib import Path

import pytest

from gateway.core.rotation import load_root
from gateway.core.signature import DocumentType, digest_of
from gateway.core.trust import Algorithm, Role
from gateway.utility.files import Mistake
from gateway.utility.sign import SigningKey
from tests.rooms.utility.desk import Desk

NAMES = {
    *("root-1", "root-2", "root-3", "site-1", "list-1", "receipt-1"),
    *("order-1", "order-2", "badge-1", "time-1", "recovery-1", "recovery-2"),
}


@pytest.fixture(params=list(Algorithm))
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    return Desk(tmp_path, request.param).equip()


def test_only_their_owner_can_read_them(desk: Desk) -> None:
    assert (desk / "keys").stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in (desk / "keys").iterdir()}
    assert modes == {f"{name}.json": 0o600 for name in NAMES} | {"root.json": 0o644}


def test_the_root_names_them_all_and_needs_two_of_three(desk: Desk) -> None:
    root = desk.root()
    assert {key.kid: key.roles for key in root.keys} == {
        name: (Role(name.split("-", maxsplit=1)[0]),) for name in NAMES
    }
    assert root.thresholds == {Role.ROOT: 2, Role.RECOVERY: 2}
    assert len({key.public for key in root.keys}) == len(NAMES)
    for key in root.keys:
        assert SigningKey.load(desk / "keys" / f"{key.kid}.json").public() == key


def test_the_digest_of_the_root_is_told(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    in_words = desk.run("keys", "--dir", desk / "one")
    assert f"SHA-256 of the file: {digest_of((desk / 'one/root.json').read_bytes())}" in in_words
    made = json.loads(desk.run("keys", "--dir", desk / "two", "--json"))
    assert made["root_sha256"] == digest_of(Path(made["root"]).read_bytes())
    assert set(made["keys"]) == NAMES
    assert made["seal_away"] == [str(desk / f"two/recovery-{at}.json") for at in (1, 2)]


def test_it_is_told_to_seal_the_recovery_keys_away(tmp_path: Path) -> None:
    said = Desk(tmp_path).run("keys", "--dir", tmp_path / "keys").splitlines()[-1]
    assert said.startswith(f"Seal away, and delete here: {tmp_path / 'keys/recovery-1.json'} and ")


def test_the_root_runs_out_after_five_years_unless_told(tmp_path: Path) -> None:
    desk = Desk(tmp_path).equip()
    root = desk.root()
    assert root.expires == root.issued_at + 1_826 * 86_400_000
    desk.run("keys", "--dir", desk / "two", "--expires", "2030-01-01T00:00:00Z")
    assert load_root((desk / "two/root.json").read_bytes()).expires == 1_893_456_000_000
    said = desk.run("keys", "--dir", desk / "three", "--expires", "soon", status=2)
    assert "--expires: 'soon' is not a time" in said


def test_an_empty_directory_is_taken_and_a_full_one_left_alone(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    (desk / "keys").mkdir()
    desk.run("keys", "--dir", desk / "keys")
    before = {path: path.read_bytes() for path in (desk / "keys").iterdir()}
    said = desk.refuses("keys", "--dir", desk / "keys")
    assert f"{desk / 'keys'}: cannot make the keys there (Directory not empty)" in said
    assert "never written over" in said
    assert {path: path.read_bytes() for path in (desk / "keys").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]  # nothing half made beside it


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    said = Desk(tmp_path).refuses("keys", "--dir", tmp_path / "no" / "such")
    assert "No such file or directory" in said


def test_the_private_part_is_never_shown(desk: Desk) -> None:
    path = desk / "keys" / "site-1.json"
    private = json.loads(path.read_bytes())["private"]
    key = SigningKey.load(path)
    assert f"{key!r} {key}" == "SigningKey(site-1) SigningKey(site-1)"
    signed = desk.run(*desk.site())
    assert private not in signed + desk.run("show", desk / "out")
    path.write_text(path.read_text().replace('"kid"', '"king"'))
    assert private not in desk.refuses(*desk.site())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ((r'"private": "..', '"private": "AA'), "the public part does not belong to the private"),
        ((r'"private": "[\w-]{8}', '"private": "'), "not a key file (a private key has 32 bytes)"),
        ((r'"alg": "\w+"', '"alg": "RSA"'), "not a key file (Invalid enum value 'RSA'"),
        ((r'"kid": "site-1",', ""), "Object missing required field `kid`"),
        ((r"\{", '{ "kid": "site-1",'), "the name 'kid' stands twice"),
        ((r"\}", ""), "not a key file"),
    ],
)
def test_a_damaged_key_file_signs_nothing(desk: Desk, change: tuple[str, str], says: str) -> None:
    path = desk / "keys" / "site-1.json"
    path.write_text(re.sub(change[0], change[1], path.read_text(), count=1))
    assert says in desk.refuses(*desk.site())
    assert not (desk / "out").exists()


def test_a_key_that_others_can_read_signs_nothing(desk: Desk) -> None:
    path = desk / "keys" / "site-1.json"
    path.chmod(0o640)
    assert f"chmod 600 {path}" in desk.refuses(*desk.site())
    path.chmod(0o600)
    desk.run(*desk.site())


def test_one_more_key_is_made_and_never_written_over(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    command = ("key", "--kid", "receipt-2", "--role", "receipt", "--out", desk / "new.json")
    assert "Ed25519 key receipt-2 of role receipt (private, mode 0600)" in desk.run(*command)
    assert (desk / "new.json").stat().st_mode & 0o777 == 0o600
    made = SigningKey.load(desk / "new.json")
    before = (desk / "new.json").read_bytes()
    assert "keys are never written over" in desk.refuses(*command)
    assert (desk / "new.json").read_bytes() == before
    assert made.public().roles == (Role.RECEIPT,)
    other = (*command[:-1], desk / "two.json", "--role", "list", "--alg", "ES256", "--json")
    told = json.loads(desk.run(*other))
    assert told == {
        "file": str(desk / "two.json"),
        "kid": "receipt-2",
        "alg": "ES256",
        "roles": ["receipt", "list"],
        "public": SigningKey.load(desk / "two.json").public().public,
        "in_token": False,
    }


def test_a_public_half_alone_signs_nothing(desk: Desk) -> None:
    path = desk / "keys" / "site-1.json"
    file = json.loads(path.read_bytes())
    del file["private"]
    path.write_text(json.dumps(file))
    assert "site-1.json: it holds the public half only; give" in desk.refuses(*desk.site())


def test_a_key_signs_for_its_own_role_only(desk: Desk) -> None:
    key = SigningKey.load(desk / "keys" / "receipt-1.json")
    key.sign(DocumentType.RECEIPT, b"{}")
    for kind in set(DocumentType) - {DocumentType.RECEIPT}:
        with pytest.raises(Mistake, match="a key of role receipt may not sign"):
            key.sign(kind, b"{}")
    SigningKey.load(desk / "keys" / "recovery-1.json").sign(DocumentType.ROOT, b"{}")


def test_more_than_a_gateway_takes_is_not_signed(desk: Desk) -> None:
    key = SigningKey.load(desk / "keys" / "receipt-1.json")
    with pytest.raises(Mistake, match="a gateway takes at most 4096"):
        key.sign(DocumentType.RECEIPT, b"x" * 4096)


def test_a_root_with_a_changed_key_is_not_loaded(desk: Desk) -> None:
    raw = (desk / "keys" / "root.json").read_bytes()
    assert load_root(raw) == desk.root()
    assert "BAD_SIGNATURE" in desk.run(
        "verify", _changed(desk, raw), "--root", desk / "keys" / "root.json", status=1
    )
    said = desk.refuses("verify", desk / "keys" / "root.json", "--root", desk / "changed.json")
    assert "changed.json: BAD_SIGNATURE" in said


def _changed(desk: Desk, raw: bytes) -> Path:
    one, two = (token.split(".") for token in json.loads(raw))
    path = desk / "changed.json"
    path.write_text(json.dumps([".".join([*one[:2], two[2]]), ".".join(two)]))
    return path
