"""Looking at documents: anything that can be read is shown as unproven; only a root proves."""

import json
from pathlib import Path

import msgspec
import pytest

from gateway.core.documents import Receipt
from gateway.core.orders import CutEntry, Disconnect, Order
from gateway.core.signature import DocumentType
from gateway.utility.sign import SigningKey, payload_of
from tests.rooms.utility.desk import Desk
from tests.signing import KEYS, envelope, sign_order, sign_receipt

RECEIPT = Receipt(
    account="1", meter="A1", n=1_795_077_120_000, paid_at=1_795_077_120_001, exp=2**53 - 1
)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path).equip()


@pytest.fixture
def signer(desk: Desk) -> SigningKey:
    return SigningKey.load(desk / "keys" / "receipt-1.json")


def verify(desk: Desk, *options: str, status: int = 0) -> str:
    return desk.run(
        "verify", desk / "doc", "--root", desk / "keys/root.json", *options, status=status
    )


def test_each_type_is_shown_and_verified(desk: Desk) -> None:
    hold = desk.order("hold", "--meter", "23014477", "--reason", "theft", "--id", "h-1")
    for command, says in (
        (hold, "fg-order+jws hold order h-1 of meter 23014477, seq 8 for gateway rewa-7, valid 2"),
        (desk.site(), "fg-site+jws seq 5 for gateway rewa-7, 2 meters of feeder F11"),
        (desk.list(), "fg-list+jws seq 5 for gateway rewa-7, 2 accounts as of"),
        (desk.receipt(), "fg-receipt+jws for account 100200300, meter 23014477, hand in by 2100"),
    ):
        desk.run(*command)
        (desk / "out").rename(desk / "doc")
        shown = desk.run("show", desk / "doc")
        assert shown.startswith(f"{says.split()[0]}, NOT VERIFIED")
        assert verify(desk).startswith(f"{desk / 'doc'}: OK: {says}")


def test_times_are_shown_as_people_read_them(desk: Desk, signer: SigningKey) -> None:
    (desk / "doc").write_bytes(sign_receipt(RECEIPT, signer))
    shown = desk.run("show", desk / "doc").splitlines()
    assert "  n 1795077120000 (2026-11-19T08:32:00+00:00)" in shown
    assert "  paid_at 1795077120001 (2026-11-19T08:32:00.001+00:00)" in shown
    assert "  exp 9007199254740991" in shown
    assert "hand in by 9007199254740991" in verify(desk)


def test_the_root_is_shown_and_verified(desk: Desk) -> None:
    shown = desk.run("show", desk / "keys/root.json")
    assert shown.startswith("fg-root+jws, NOT VERIFIED")
    assert "signed_by root-1, root-2\n" in shown
    assert "keys[5] kid receipt-1, alg Ed25519" in shown
    (desk / "keys/root.json").rename(desk / "doc")
    (desk / "keys/root.json").write_bytes((desk / "doc").read_bytes())
    said = verify(desk)
    assert "OK: fg-root+jws seq 1, 12 keys, expires 20" in said
    assert said.endswith(", signed by root-1, root-2\n")


def test_a_forgery_is_shown_but_not_verified(desk: Desk) -> None:
    (desk / "doc").write_bytes(sign_receipt(RECEIPT))  # of another utility's receipt-1
    assert "account 1\n" in desk.run("show", desk / "doc")
    assert f"{desk / 'doc'}: BAD_SIGNATURE: " in verify(desk, status=1)


def test_receipts_one_a_line_are_judged_each(desk: Desk, signer: SigningKey) -> None:
    lines = [sign_receipt(RECEIPT, signer), b"", sign_receipt(RECEIPT), b""]
    (desk / "doc").write_bytes(b"\r\n".join(lines))
    said = verify(desk, status=1).splitlines()
    assert len(said) == 2
    assert said[0].startswith(f"{desk / 'doc'}: line 1: OK: ")
    assert said[1].startswith(f"{desk / 'doc'}: line 3: BAD_SIGNATURE: ")
    assert desk.run("show", desk / "doc").count("NOT VERIFIED") == 2


def test_json_says_the_same(desk: Desk, signer: SigningKey) -> None:
    (desk / "doc").write_bytes(sign_receipt(RECEIPT, signer))
    shown = json.loads(desk.run("show", desk / "doc", "--json"))
    assert shown["payload"]["n"] == RECEIPT.n
    judged = json.loads(verify(desk, "--json"))
    assert (judged["word"], judged["digest"]) == ("OK", shown["digest"])


def test_what_makes_no_sense_in_itself_is_named(desk: Desk) -> None:
    entry = {"account": "1", "meter": "A1", "n": 2}
    values = {"gateway": "g", "seq": 1, "as_of": 2, "stale_after": 3, "accounts": [entry, entry]}
    signer = SigningKey.load(desk / "keys" / "list-1.json")
    (desk / "doc").write_bytes(signer.sign(DocumentType.LIST, json.dumps(values).encode()))
    assert "DUPLICATE_ACCOUNT: accounts[1]" in verify(desk, status=1)
    (desk / "doc").write_bytes(signer.sign(DocumentType.LIST, b"{}"))
    assert "MALFORMED_PAYLOAD: " in verify(desk, status=1)


ORDER = Order(
    gateway="rewa-7",
    id="d-1",
    seq=8,
    iat=1_795_077_120_000,
    exp=1_795_077_720_000,
    act=Disconnect(accounts=(CutEntry(account="1", meter="A1", n=1_795_077_000_000),)),
)


def test_an_order_is_shown_with_everybody_it_names(desk: Desk) -> None:
    (desk / "doc").write_bytes(sign_order(ORDER))
    shown = desk.run("show", desk / "doc").splitlines()
    assert "  signed_by order-1, order-2" in shown
    assert "  kind disconnect" in shown
    assert (
        "  args.accounts[0] account 1, meter A1, n 1795077000000 (2026-11-19T08:30:00+00:00)"
        in (shown)
    )
    assert "  exp 1795077720000 (2026-11-19T08:42:00+00:00)" in shown


def test_an_order_is_judged_as_a_gateway_would(desk: Desk) -> None:
    one, two = (SigningKey.load(desk / "keys" / f"order-{at}.json") for at in (1, 2))
    said = "disconnect order d-1 of 1 accounts, seq 8 for gateway rewa-7, valid 2026-11-19T08:32"
    (desk / "doc").write_bytes(sign_order(ORDER, one, two))
    assert f"OK: fg-order+jws {said}" in verify(desk)
    for by in ((one,), (one, one)):
        (desk / "doc").write_bytes(sign_order(ORDER, *by))
        assert "SECOND_KEY_MISSING: signed by 1 key" in verify(desk, status=1)
    long = msgspec.structs.replace(ORDER, exp=ORDER.iat + 15 * 60_000 + 1)
    (desk / "doc").write_bytes(sign_order(long, one, two))
    assert "LIFE_TOO_LONG: exp: " in verify(desk, status=1)


def test_nothing_from_outside_writes_over_the_screen(desk: Desk) -> None:
    header = {"alg": "Ed25519", "kid": "\x1b[2J", "typ": "\x9b2J"}
    payload = {"ref": "\x1b]0;x\x07", "\x1b": [{"\x1b": 1.5}], "known": None}
    raw = envelope(header, json.dumps(payload).replace("1.5", "1").encode(), KEYS.receipt)
    (desk / "doc").write_bytes(raw)
    shown = desk.run("show", desk / "doc")
    assert "\\u001b" in shown
    assert shown.replace("\n", "").isprintable()
    assert verify(desk, status=1).replace("\n", "").isprintable()


@pytest.mark.parametrize(
    "content",
    [b"hello", b"a.b.c", b"[1]", b"[]", b"[", b"W10.W10.W10", b"\xff\xfe", b"e30.e30.e30", b"e30."],
)
def test_what_is_no_document_is_not_shown(desk: Desk, content: bytes) -> None:
    (desk / "doc").write_bytes(content)
    assert "not a signed document" in desk.refuses("show", desk / "doc")
    assert ": MALFORMED_" in verify(desk, status=1)


def test_a_document_by_standard_input(desk: Desk, signer: SigningKey) -> None:
    raw = sign_receipt(RECEIPT, signer).decode()
    assert "NOT VERIFIED" in desk.run("show", "-", typed=raw)
    said = desk.run("verify", "-", "--root", desk / "keys/root.json", typed=raw)
    assert said.startswith("-: OK: fg-receipt+jws for account 1")
    assert desk.refuses("show", "-") == "-: the file is empty; give a signed document"


def test_an_empty_file_is_no_document(desk: Desk) -> None:
    (desk / "doc").write_bytes(b"\n")
    assert "the file is empty" in desk.refuses("show", desk / "doc")


def test_the_anchor_must_be_one(desk: Desk) -> None:
    (desk / "doc").write_bytes(payload_of(RECEIPT))
    said = desk.refuses("verify", desk / "doc", "--root", desk / "roster.csv")
    assert "roster.csv: MALFORMED_ENVELOPE" in said
