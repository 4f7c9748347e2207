"""Who vouches for a document: a root, those that follow it, or a gateway's own key."""

import hashlib
import json
from pathlib import Path

import msgspec
import pytest

from gateway.core.documents import Checkpoint, Time
from gateway.core.people import Badge, TechnicianRole
from gateway.core.trust import Algorithm, Revocation, Role, Root
from gateway.host.identity import Identity
from gateway.utility.people import verifier_of
from tests.rooms.utility.desk import Desk
from tests.rooms.utility.test_utility_show import RECEIPT
from tests.signing import (
    KEYS,
    ROOT,
    ROOT_RAW,
    key,
    sign_badge,
    sign_receipt,
    sign_root,
    sign_time,
)

N = RECEIPT.n
DAY_MS = 86_400_000
BADGE = Badge(
    id="relief-2",
    name="Relief crew 2",
    roles=(TechnicianRole.TECHNICIAN,),
    iat=N,
    exp=N + DAY_MS,
    code=verifier_of("K7Q2M9XTRB"),
)
DEVICE = Identity.make("rewa-7")
CHECKPOINT = Checkpoint(
    gateway="rewa-7", number=900, chain=hashlib.sha256(b"").hexdigest(), wall_ms=N, trusted=True
)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    (desk / "root.json").write_bytes(ROOT_RAW)
    (desk / "rewa-7.json").write_bytes(msgspec.json.encode(DEVICE.enrolment(1, "0" * 64)))
    return desk


def verify(desk: Desk, *raw: bytes, by: str = "--root", status: int = 0) -> list[str]:
    """What is said of these documents, one a line, without the file's name."""
    (desk / "doc").write_bytes(b"\n".join(raw))
    anchor = desk / ("root.json" if by == "--root" else "rewa-7.json")
    lines = desk.run("verify", desk / "doc", by, anchor, status=status).splitlines()
    return [line.removeprefix(f"{desk / 'doc'}: ") for line in lines]


def after(root: Root, **changes: object) -> Root:
    return msgspec.structs.replace(root, seq=root.seq + 1, **changes)


def test_a_badge(desk: Desk) -> None:
    (said,) = verify(desk, sign_badge(BADGE))
    assert said == (
        "OK: fg-badge+jws badge relief-2 of Relief crew 2, technician, "
        "valid 2026-11-19T08:32:00+00:00 to 2026-11-20T08:32:00+00:00, signed by badge-1"
    )
    shown = desk.run("show", desk / "doc")
    assert "code (a verifier, not shown)" in shown
    assert BADGE.code not in shown


def test_a_badge_that_no_page_would_take(desk: Desk) -> None:
    for change, says in (
        ({"exp": N + 8 * DAY_MS}, "LIFE_TOO_LONG: exp: more than 7 days"),
        ({"exp": N}, "EXPIRED_WHEN_ISSUED: exp"),
        ({"code": BADGE.code.replace("m=19456", "m=64")}, "WEAK_VERIFIER: code: argon2id"),
        ({"code": "K7Q2M9XTRB"}, "MALFORMED_PAYLOAD: code: "),
    ):
        raw = sign_badge(msgspec.structs.replace(BADGE, **change))
        assert verify(desk, raw, status=1)[0].startswith(says)
    by_another = sign_badge(BADGE, key("badge-1", Role.BADGE, alg=Algorithm.ES256))
    assert verify(desk, by_another, status=1)[0].startswith("WRONG_ALGORITHM: ")


def test_the_time(desk: Desk) -> None:
    (said,) = verify(desk, sign_time(Time(nonce="boot-7@900", now=N)))
    assert said == (
        "OK: fg-time+jws 2026-11-19T08:32:00+00:00 for nonce boot-7@900, signed by time-1"
    )
    assert f"  now {N} (2026-11-19T08:32:00+00:00)" in desk.run("show", desk / "doc").splitlines()


def test_a_chain_is_walked_and_the_rest_judged_by_its_end(desk: Desk) -> None:
    two = after(ROOT, keys=tuple(k for k in ROOT.keys if k.kid != "receipt-1"))
    three = after(two, keys=(*two.keys, key("receipt-2", Role.RECEIPT).public()))
    by_new = sign_receipt(RECEIPT, key("receipt-2", Role.RECEIPT))
    lines = (ROOT_RAW, sign_root(two), sign_root(three), sign_root(two), by_new)
    said = verify(desk, *lines, sign_receipt(RECEIPT), status=1)
    assert said[0] == "line 1: OK: fg-root+jws seq 1, 12 keys, signed by root-1, root-2"
    assert said[1] == "line 2: OK: fg-root+jws seq 2, 11 keys, signed by root-1, root-2"
    assert said[2] == "line 3: OK: fg-root+jws seq 3, 12 keys, signed by root-1, root-2"
    assert said[3].startswith("line 4: OK: fg-root+jws seq 2, 11 keys, followed before")
    assert said[4].startswith("line 5: OK: fg-receipt+jws for account 1")
    assert said[5] == "line 6: UNKNOWN_KEY: the root names no key 'receipt-1'"
    assert desk.run("verify", desk / "doc", "--root", desk / "root.json", "--json", status=1).count(
        '"word":"OK"'
    ) == len(lines)


def test_a_step_that_is_none_is_named(desk: Desk) -> None:
    two = after(ROOT, issued_at=ROOT.issued_at + 1)
    for root, by, word in (
        (after(two), (), "ROOT_STEP_MISSING: root 3 does not follow 1; root 2 comes first"),
        (msgspec.structs.replace(two, seq=1), (), "EQUIVOCATION: root 1 is in force with other"),
        (two, KEYS.roots[:1], "BELOW_THRESHOLD: 1 of 2 keys of role root signed"),
        (two, KEYS.recovery, "BELOW_THRESHOLD: too few of the root keys that it names"),
    ):
        assert verify(desk, sign_root(root, *by), status=1)[0].startswith(word)
    lines = (sign_root(two), sign_root(msgspec.structs.replace(ROOT, issued_at=1)))
    assert "line 2: SEQ_OLD: root 1 is before 2" in verify(desk, *lines, status=1)[1]
    recovered = sign_root(two, *KEYS.recovery, *KEYS.roots[1:])
    assert verify(desk, recovered)[0].startswith("OK: fg-root+jws seq 2")


def test_a_revoked_key_vouches_for_what_it_signed_before(desk: Desk) -> None:
    kids = ("receipt-1", "badge-1", "time-1")
    ended = tuple(Revocation(kid=kid, after=N) for kid in kids)
    root = sign_root(after(ROOT, revoked=ended))
    late = msgspec.structs.replace(RECEIPT, n=N + 1)
    later = msgspec.structs.replace(BADGE, iat=N + 1)
    in_time = (sign_receipt(RECEIPT), sign_badge(BADGE), sign_time(Time(nonce="b@1", now=N)))
    assert [line.split()[2] for line in verify(desk, root, *in_time)] == ["OK:"] * 4
    too_late = (sign_receipt(late), sign_badge(later), sign_time(Time(nonce="b@1", now=N + 1)))
    said = verify(desk, root, *too_late, status=1)
    assert said[0].startswith("line 1: OK: fg-root+jws seq 2, 12 keys, 3 revocations")
    assert [line.split(": ", 1)[1] for line in said[1:]] == [
        f"KEY_REVOKED: the word of key {kid} does not count any more" for kid in kids
    ]


def test_a_checkpoint_is_its_gateways_own_word(desk: Desk) -> None:
    raw = DEVICE.signed(CHECKPOINT).encode()
    (said,) = verify(desk, raw, by="--device")
    assert said == (
        f"OK: fg-record+jws gateway rewa-7, records up to 900, chain hash {CHECKPOINT.chain}, "
        "at 2026-11-19T08:32:00+00:00 by a trusted clock, signed by rewa-7"
    )
    assert desk.run("show", desk / "doc").startswith("fg-record+jws, NOT VERIFIED")
    (desk / "both").write_bytes(b"\n".join((raw, sign_receipt(RECEIPT))))
    anchors = ("--root", desk / "root.json", "--device", desk / "rewa-7.json")
    assert desk.run("verify", desk / "both", *anchors).count(": OK: ") == 2


def test_a_checkpoint_that_is_another_gateways_is_refused(desk: Desk) -> None:
    raw = DEVICE.signed(CHECKPOINT).encode()
    assert verify(desk, raw, status=1) == [
        "UNKNOWN_KEY: no root names a gateway's own key: give --device"
    ]
    other = Identity.make("rewa-7").signed(CHECKPOINT).encode()
    assert verify(desk, other, by="--device", status=1)[0].startswith("BAD_SIGNATURE: ")
    stranger = Identity.make("rewa-8").signed(CHECKPOINT).encode()
    assert verify(desk, stranger, by="--device", status=1)[0].startswith("UNKNOWN_KEY: ")
    for_other = DEVICE.signed(msgspec.structs.replace(CHECKPOINT, gateway="rewa-8")).encode()
    assert verify(desk, for_other, by="--device", status=1) == [
        "WRONG_AUDIENCE: gateway rewa-7 speaks here for rewa-8"
    ]
    by_root = sign_receipt(RECEIPT)
    assert verify(desk, by_root, by="--device", status=1)[0].startswith("UNKNOWN_KEY: ")


def test_what_is_no_enrolment_is_named(desk: Desk) -> None:
    good = {"gateway": "rewa-7", "kid": "rewa-7", "alg": "Ed25519", "public": DEVICE.public}
    (desk / "doc").write_bytes(DEVICE.signed(CHECKPOINT).encode())
    for change, says in (
        ({}, None),
        ({"public": "AAAA"}, "not an enrolment (key rewa-7: "),
        ({"alg": "RSA"}, "not an enrolment (Invalid enum value 'RSA'"),
        ({"kid": None}, "not an enrolment (Expected `str`"),
    ):
        (desk / "device.json").write_text(json.dumps({**good, **change}))
        command = ("verify", desk / "doc", "--device", desk / "device.json")
        if says is None:
            desk.run(*command)
        else:
            said = desk.refuses(*command)
            assert f"device.json: {says}" in said
            assert said.endswith("; give what the gateway's `init --json` printed")


def test_without_anything_to_believe_nothing_is_judged(desk: Desk) -> None:
    (desk / "doc").write_bytes(sign_receipt(RECEIPT))
    said = desk.run("verify", desk / "doc", status=2)
    assert "Missing option '--root'; for a checkpoint '--device'." in said
