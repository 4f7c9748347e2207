"""What the commands sign is what a gateway takes, and what a stranger's tools vouch for."""

import base64
import json
import re
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image

from gateway.core.documents import AllowList, Document, Receipt, Site, decode
from gateway.core.signature import FIELD_DOCUMENTS, verify
from gateway.core.soundness import check_list, check_site
from gateway.core.trust import Algorithm, Key, Role, Root
from gateway.utility.receipt import qr_code
from tests.rooms.utility.desk import STATION, Desk, openssl
from tests.signing import base64url, key

SPKI_PREFIX = {
    Algorithm.ED25519: bytes.fromhex("302a300506032b6570032100"),
    Algorithm.ES256: bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200"),
}
"""SubjectPublicKeyInfo (RFC 8410, RFC 5480) up to the key's own bytes."""


@pytest.fixture(params=list(Algorithm))
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    return Desk(tmp_path, request.param).equip()


def taken(desk: Desk) -> Document:
    return decode(verify((desk / "out").read_bytes(), FIELD_DOCUMENTS, desk.root()))


def test_a_site_from_a_roster(desk: Desk) -> None:
    said = desk.run(*desk.site())
    site = taken(desk)
    assert isinstance(site, Site)
    check_site(site, STATION)
    assert (site.gateway, site.feeder, site.seq) == ("rewa-7", "F11", 5)
    assert [(meter.account, meter.unit, meter.phase) for meter in site.meters] == [
        ("100200300", 11, "L1"),
        ("100200301", 12, "L2"),
    ]
    assert site.meters[0].second_proof is None
    assert (site.meters[1].switch_unit, site.meters[1].switch_channel) == (100, 0)
    assert site.meters[1].second_proof == "sheet 7, line 3"
    assert "seq 5 for gateway rewa-7, 2 meters of feeder F11, signed by site-1" in said
    assert verify((desk / "out").read_bytes(), FIELD_DOCUMENTS, desk.root()).digest in said


def test_a_list_from_a_table(desk: Desk) -> None:
    desk.run(*desk.list(**{"as-of": "2026-11-20T00:00:00Z", "stale-after": "36h"}))
    allow_list = taken(desk)
    assert isinstance(allow_list, AllowList)
    check_list(allow_list, STATION)
    assert allow_list.as_of == 1_795_132_800_000
    assert allow_list.stale_after - allow_list.as_of == 36 * 3_600_000
    assert [(entry.n, entry.cut) for entry in allow_list.accounts] == [
        (1_795_077_120_000, True),
        (1_790_000_000_000, False),
    ]


def test_a_list_stands_for_now_unless_told(desk: Desk) -> None:
    (desk / "paid.csv").write_text("account,meter,n\n")
    desk.run(*desk.list(), "--empty")
    allow_list = taken(desk)
    assert isinstance(allow_list, AllowList)
    assert allow_list.as_of > 1_790_000_000_000
    assert allow_list.stale_after - allow_list.as_of == 48 * 3_600_000
    assert allow_list.accounts == ()


def test_a_receipt(desk: Desk) -> None:
    made = json.loads(desk.run(*desk.receipt("--ref", "4471", "--json")))
    assert taken(desk) == Receipt(
        account="100200300",
        meter="23014477",
        n=1_795_077_120_000,
        paid_at=1_795_077_120_000,
        exp=4_102_444_800_000,
        ref="4471",
    )
    raw = (desk / "out").read_bytes()
    assert (made["size"], made["digest"]) == (
        len(raw),
        verify(raw, FIELD_DOCUMENTS, desk.root()).digest,
    )
    assert made["signed_by"] == ["receipt-1"]


def test_a_receipt_for_one_gateway_paid_before_it_was_booked(desk: Desk) -> None:
    desk.run(*desk.receipt("--gateway", "rewa-7", "--paid-at", "1795077000000"))
    receipt = taken(desk)
    assert isinstance(receipt, Receipt)
    assert (receipt.gateway, receipt.paid_at) == ("rewa-7", 1_795_077_000_000)


def test_documents_are_replaced_in_one_step_and_private(desk: Desk) -> None:
    desk.run(*desk.list(seq=5))
    desk.run(*desk.list(seq=6))
    assert (desk / "out").stat().st_mode & 0o777 == 0o600
    names = {path.name for path in desk.directory.iterdir()}
    assert names == {"keys", "out", "paid.csv", "roster.csv"}
    assert desk.run("verify", desk / "out", "--root", desk / "keys/root.json").count("seq 6") == 1


def test_openssl_vouches_for_each_document(desk: Desk) -> None:
    for command in (desk.site(), desk.list(), desk.receipt()):
        desk.run(*command)
        signed, _, signature = (desk / "out").read_bytes().rpartition(b".")
        kid = json.loads(_unbase64(signed.partition(b".")[0]))["kid"]
        public = desk.root().key(kid)
        assert public is not None
        _openssl_verifies(desk, public, signed, _unbase64(signature))


def test_a_document_that_openssl_signed_is_taken(tmp_path: Path) -> None:
    for alg, options in (
        (Algorithm.ED25519, ("ed25519",)),
        (Algorithm.ES256, ("EC", "-pkeyopt", "ec_paramgen_curve:P-256")),
    ):
        openssl(tmp_path, "genpkey", "-out", "key.pem", "-algorithm", *options)
        der = openssl(tmp_path, "pkey", "-in", "key.pem", "-pubout", "-outform", "DER")
        public = base64url(der.removeprefix(SPKI_PREFIX[alg])).decode()
        named = Key(kid="hsm-1", alg=alg, public=public, roles=(Role.RECEIPT,))
        header = json.dumps({"typ": "fg-receipt+jws", "kid": "hsm-1", "alg": alg}).encode()
        payload = b'{"account":"1","meter":"A1","n":1,"paid_at":1,"exp":1}'
        signed = base64url(header) + b"." + base64url(payload)
        (tmp_path / "signed").write_bytes(signed)
        signature = _openssl_signs(tmp_path, alg)
        root = Root(seq=1, issued_at=0, keys=(named,))
        verified = verify(signed + b"." + base64url(signature), FIELD_DOCUMENTS, root)
        assert verified.payload == payload


def test_the_qr_code_says_exactly_the_receipt(desk: Desk) -> None:
    said = desk.run(*desk.receipt("--ref", "4471", "--svg", desk / "qr.svg", "--qr"))
    raw = (desk / "out").read_bytes()
    assert read_qr(picture_of_svg((desk / "qr.svg").read_text())) == raw.decode()
    assert 12 <= int(qr_code(raw).version) <= 13
    blocks = [line for line in said.splitlines() if set(line) <= set("█▀▄ ") and line.strip()]
    assert read_qr(_picture_of_blocks(blocks)) == raw.decode()


def test_a_longer_receipt_still_fits_a_code(desk: Desk) -> None:
    desk.run(*desk.receipt("--gateway", "g" * 32, "--ref", "\u0930" * 64, "--svg", desk / "qr.svg"))
    said = read_qr(picture_of_svg((desk / "qr.svg").read_text()))
    assert said == (desk / "out").read_text()


def test_the_code_goes_beside_json(desk: Desk) -> None:
    said = desk.run(*desk.receipt("--qr", "--json"))
    assert json.loads(next(line for line in said.splitlines() if line.startswith("{")))


def test_a_signature_holds_leading_zeros(tmp_path: Path) -> None:
    # One in 128 ES256 signatures has a half that begins with a zero byte.
    signer = key("receipt-2", Role.RECEIPT, alg=Algorithm.ES256)
    signatures = (signer.signature(b"x") for _ in range(5_000))
    signature = next(s for s in signatures if 0 in (s[0], s[32]))
    assert len(signature) == 64
    _openssl_verifies(Desk(tmp_path), signer.public(), b"x", signature)


def _openssl_verifies(desk: Desk, public: Key, signed: bytes, signature: bytes) -> None:
    der = SPKI_PREFIX[public.alg] + _unbase64(public.public.encode())
    (desk / "public.der").write_bytes(der)
    (desk / "signed").write_bytes(signed)
    options: tuple[str, ...] = ("-rawin",)
    if public.alg is Algorithm.ES256:
        signature = _der_of(signature)
        options = ("-rawin", "-digest", "sha256")
    (desk / "signature").write_bytes(signature)
    said = openssl(
        desk.directory,
        *("pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", "public.der"),
        *(*options, "-in", "signed", "-sigfile", "signature"),
    )
    assert said.strip() == b"Signature Verified Successfully"


def _openssl_signs(directory: Path, alg: Algorithm) -> bytes:
    options = ("-digest", "sha256") if alg is Algorithm.ES256 else ()
    openssl(
        directory,
        *("pkeyutl", "-sign", "-rawin", *options),
        *("-inkey", "key.pem", "-in", "signed", "-out", "signature"),
    )
    signature = (directory / "signature").read_bytes()
    return _halves_of(signature) if alg is Algorithm.ES256 else signature


def _der_of(signature: bytes) -> bytes:
    # ECDSA-Sig-Value (RFC 3279): a sequence of two integers, spelled without a library.
    numbers = b""
    for half in (signature[:32], signature[32:]):
        digits = half.lstrip(b"\0") or b"\0"
        digits = b"\0" * (digits[0] >> 7) + digits
        numbers += bytes((2, len(digits))) + digits
    return bytes((0x30, len(numbers))) + numbers


def _halves_of(der: bytes) -> bytes:
    first_end = 4 + der[3]
    halves = (der[4:first_end], der[first_end + 2 :])
    return b"".join(half.lstrip(b"\0").rjust(32, b"\0") for half in halves)


def _unbase64(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"==")


def read_qr(picture: Image.Image) -> str:
    # Among so many modules a decoder of all formats now and then finds a bar code by chance.
    (found,) = zxingcpp.read_barcodes(picture, formats=zxingcpp.BarcodeFormat.QRCode)
    assert found.format == zxingcpp.BarcodeFormat.QRCode
    return str(found.text)


def picture_of_svg(svg: str) -> Image.Image:
    """The strokes of segno's path: M x y, then h (drawn) and m (moved) in whole modules."""
    side = int(re.search(r'width="(\d+)"', svg)[1]) // 4  # type: ignore[index]
    path = re.search(r'stroke="#000" d="([^"]+)"', svg)
    assert path is not None
    picture = Image.new("L", (side, side), 255)
    x = y = 0.0
    for command, one, two in re.findall(r"([Mmh])(-?[\d.]+)(?: (-?[\d.]+))?", path[1]):
        if command == "M":
            x, y = float(one), float(two)
        elif command == "m":
            x, y = x + float(one), y + float(two)
        else:
            picture.paste(0, (int(x), int(y), int(x) + int(one), int(y) + 1))
            x += int(one)
    return picture.resize((side * 4, side * 4), Image.Resampling.NEAREST)


def _picture_of_blocks(lines: list[str]) -> Image.Image:
    picture = Image.new("L", (len(lines[0]), 2 * len(lines)), 0)
    for y, line in enumerate(lines):
        for x, block in enumerate(line):
            picture.putpixel((x, 2 * y), 255 * (block in "█▀"))
            picture.putpixel((x, 2 * y + 1), 255 * (block in "█▄"))
    return picture.resize((picture.width * 4, picture.height * 4), Image.Resampling.NEAREST)
