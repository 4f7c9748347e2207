"""Keys in a token: SoftHSM signs what a gateway takes, and the private half is nowhere else."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pkcs11
import pytest
from pkcs11 import Attribute, ObjectClass
from pkcs11.exceptions import AttributeSensitive

from gateway.core.documents import Receipt, decode
from gateway.core.orders import Order
from gateway.core.rotation import load_root
from gateway.core.signature import FIELD_DOCUMENTS, verify
from gateway.core.trust import Algorithm, Root
from gateway.utility.in_token import PIN_VARIABLE
from gateway.utility.sign import SigningKey
from tests.rooms.utility.desk import Desk

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "73914628"
OTHER_PIN = "55550000"


@pytest.fixture(params=list(Algorithm))
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    """A desk with two tokens of its own and its keys in files; the PIN is in the environment."""
    desk = Desk(tmp_path, request.param)
    desk.environment = {"SOFTHSM2_CONF": str(tmp_path / "softhsm2.conf"), PIN_VARIABLE: PIN}
    (desk / "tokens").mkdir()
    (desk / "softhsm2.conf").write_text(
        f"directories.tokendir = {desk / 'tokens'}\nobjectstore.backend = file\n"
    )
    for token, pin in (("desk", PIN), ("safe", OTHER_PIN)):
        given = ("--label", token, "--pin", pin, "--so-pin", "12345678")
        command = ["softhsm2-util", "--init-token", "--free", *given]
        subprocess.run(command, env=desk.environment, check=True, capture_output=True)
    yield desk.equip()
    pkcs11.unload(MODULE)  # the next test's tokens are others


def in_token(
    desk: Desk, kid: str, role: str, *options: object, token: str = "desk"
) -> tuple[object, ...]:
    alg = desk.root().keys[0].alg
    where = ("--module", MODULE, "--token", token, "--out", desk / f"keys/{kid}.json")
    return ("key", "--kid", kid, "--role", role, "--alg", alg, *where, *options)


def root_with(desk: Desk, *kids: str) -> Root:
    """The root after root.json that names these keys too."""
    added = tuple(part for kid in kids for part in ("--add", desk / f"keys/{kid}.json"))
    keys = tuple(part for at in (1, 2) for part in ("--key", desk / f"keys/root-{at}.json"))
    old = ("--root", desk / "keys/root.json")
    desk.run("root", "rotate", *old, *added, *keys, "--out", desk / "two.json")
    return load_root((desk / "two.json").read_bytes())


def test_a_key_is_made_in_the_token_and_signs_a_receipt(desk: Desk) -> None:
    said = desk.run(*in_token(desk, "receipt-2", "receipt"))
    assert "key receipt-2 of role receipt (the private half is in the token)" in said
    file = json.loads((desk / "keys/receipt-2.json").read_bytes())
    place = {"module": MODULE, "token": "desk", "label": "receipt-2"}
    assert (file["pkcs11"], "private" in file) == (place, False)
    root = root_with(desk, "receipt-2")
    signed = desk.run(*desk.receipt(key="receipt-2"))
    document = decode(verify((desk / "out").read_bytes(), FIELD_DOCUMENTS, root))
    assert isinstance(document, Receipt)
    assert PIN not in said + signed


def test_the_private_half_cannot_be_read_from_the_token(desk: Desk) -> None:
    desk.run(*in_token(desk, "receipt-2", "receipt"))
    token = pkcs11.lib(MODULE).get_token(token_label="desk")
    with token.open(user_pin=PIN) as session:
        private = session.get_key(object_class=ObjectClass.PRIVATE_KEY, label="receipt-2")
        assert private[Attribute.SENSITIVE]
        assert private[Attribute.NEVER_EXTRACTABLE]
        with pytest.raises(AttributeSensitive):
            private[Attribute.VALUE]


def test_many_signatures_of_the_token_are_all_taken(desk: Desk) -> None:
    desk.run(*in_token(desk, "receipt-2", "receipt"))
    root = root_with(desk, "receipt-2")
    for account in range(20):
        desk.run(*desk.receipt("--account", str(account), key="receipt-2"))
        verify((desk / "out").read_bytes(), FIELD_DOCUMENTS, root)


def test_root_keys_in_a_token_sign_the_next_root(desk: Desk) -> None:
    for at in (4, 5):
        desk.run(*in_token(desk, f"root-{at}", "root"))
    root_with(desk, "root-4", "root-5")
    both = tuple(part for at in (4, 5) for part in ("--key", desk / f"keys/root-{at}.json"))
    old = ("--root", desk / "two.json", "--remove", "root-1")
    desk.run("root", "rotate", *old, *both, "--out", desk / "three.json")
    three = load_root((desk / "three.json").read_bytes())
    assert three.seq == 3


def test_a_key_that_is_in_the_token_already_is_taken(desk: Desk) -> None:
    desk.run(*in_token(desk, "receipt-2", "receipt"))
    again = ("--label", "receipt-2", "--out", desk / "again.json")
    desk.run(*in_token(desk, "receipt-3", "receipt", *again))
    one, other = (
        SigningKey.load(path).public()
        for path in (desk / "keys/receipt-2.json", desk / "again.json")
    )
    assert one.public == other.public
    wrong = "ES256" if one.alg is Algorithm.ED25519 else "Ed25519"
    said = desk.refuses(*in_token(desk, "x", "receipt", "--label", "receipt-2", "--alg", wrong))
    assert said == (
        f"key receipt-2 in token desk: it is an {one.alg} key; say --alg {one.alg}, or another --la"
        "bel"
    )


def test_two_people_with_two_tokens_sign_one_order(desk: Desk) -> None:
    desk.run(*in_token(desk, "order-3", "order"))
    desk.environment[PIN_VARIABLE] = OTHER_PIN
    desk.run(*in_token(desk, "order-4", "order", token="safe"))
    root = root_with(desk, "order-3", "order-4")
    del desk.environment[PIN_VARIABLE]
    release = ("release-force", "--meter", "23014477")
    order = desk.order(*release, keys=("order-3", "order-4"))
    said = desk.run(*order, typed=f"{PIN}\n{OTHER_PIN}\n")
    assert "PIN for key order-3 in token desk: \n" in said
    assert "PIN for key order-4 in token safe: \n" in said
    assert PIN not in said
    assert OTHER_PIN not in said
    verified = verify((desk / "out").read_bytes(), FIELD_DOCUMENTS, root)
    assert isinstance(decode(verified), Order)
    assert verified.signers == ("order-3", "order-4")


def test_a_wrong_pin_signs_nothing_and_is_not_shown(desk: Desk) -> None:
    desk.run(*in_token(desk, "receipt-2", "receipt"))
    desk.environment[PIN_VARIABLE] = OTHER_PIN
    said = desk.refuses(*desk.receipt(key="receipt-2"))
    assert said == (
        "key receipt-2 in token desk: PinIncorrect: the token refuses the PIN; correct it; unset "
        f"{PIN_VARIABLE} to be asked for each token"
    )
    del desk.environment[PIN_VARIABLE]
    none = desk.run(*desk.receipt(key="receipt-2"), status=1)
    assert f"no PIN was given; type it, or set {PIN_VARIABLE}" in none
    assert not (desk / "out").exists()


def test_a_key_file_that_names_another_key_of_the_token_signs_nothing(desk: Desk) -> None:
    desk.run(*in_token(desk, "receipt-2", "receipt"))
    desk.run(*in_token(desk, "receipt-3", "receipt"))
    path = desk / "keys/receipt-3.json"
    path.write_text(path.read_text().replace('"label": "receipt-3"', '"label": "receipt-2"'))
    said = desk.refuses(*desk.receipt(key="receipt-3"))
    assert said.startswith("key receipt-3: the token's signature is not by the key that the file")
    assert "BAD_SIGNATURE" in said
    assert not (desk / "out").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ((r'"token": "\w+"', '"token": "lost"'), "key receipt-2 in token lost: NoSuchToken"),
        ((r'"label": "[\w-]+"', '"label": "lost"'), "key lost in token desk: NoSuchKey"),
        ((r'"module": "[^"]+"', '"module": "no.so"'), "key receipt-2 in token desk: "),
    ],
)
def test_what_is_not_there_is_named(desk: Desk, change: tuple[str, str], says: str) -> None:
    desk.run(*in_token(desk, "receipt-2", "receipt"))
    path = desk / "keys/receipt-2.json"
    path.write_text(re.sub(change[0], change[1], path.read_text(), count=1))
    said = desk.refuses(*desk.receipt(key="receipt-2"))
    assert said.startswith(says)
    assert said.endswith("; check module, token and label of the key file")


def test_a_token_key_that_is_used_wrongly_is_said(desk: Desk) -> None:
    said = desk.run(
        *("key", "--kid", "x", "--role", "list", "--module", MODULE, "--out", desk / "x.json"),
        status=2,
    )
    assert "--module and --token belong together, --label to them." in said
    assert not (desk / "x.json").exists()
