"""The one door: which bytes are a word of the utility, and by what name the others are refused."""

import hashlib
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.documents import Receipt, decode
from gateway.core.signature import (
    FIELD_DOCUMENTS,
    HEADER_MAX,
    LENGTH_MAX,
    SIGNATURES_MAX,
    DocumentType,
    Flaw,
    Rejected,
    digest_of,
    strict_json,
    verify,
)
from gateway.core.trust import Algorithm, Key, Role, Root
from gateway.utility.sign import SigningKey, payload_of
from tests.signing import ISSUED_AT_MS, KEYS, ROOT, envelope, key, sign_receipt

RECEIPT = Receipt(
    account="100200300",
    meter="23014477",
    n=ISSUED_AT_MS,
    paid_at=ISSUED_AT_MS,
    exp=ISSUED_AT_MS + 1,
)
RECEIPTS = frozenset({DocumentType.RECEIPT})
ES256 = key("receipt-2", Role.RECEIPT, alg=Algorithm.ES256)
SECOND = key("receipt-3", Role.RECEIPT)
WIDE_ROOT = msgspec.structs.replace(
    ROOT, keys=(*ROOT.keys, ES256.public(), SECOND.public()), thresholds={}
)
TWO_NEEDED = msgspec.structs.replace(WIDE_ROOT, thresholds={Role.RECEIPT: 2})
HEADER: dict[str, object] = {"alg": "Ed25519", "kid": "receipt-1", "typ": "fg-receipt+jws"}
PAYLOAD = payload_of(RECEIPT)


def flaw_of(raw: bytes, root: Root = WIDE_ROOT) -> Flaw | None:
    """The name under which a receipt is refused; None where it is a word of the utility."""
    try:
        decode(verify(raw, RECEIPTS, root))
    except Rejected as rejected:
        return rejected.flaw
    return None


def with_header(**changes: object) -> bytes:
    return envelope({**HEADER, **changes}, PAYLOAD, KEYS.receipt)


def with_header_text(text: str) -> bytes:
    return envelope(text.encode(), PAYLOAD, KEYS.receipt)


def with_payload(payload: bytes) -> bytes:
    return envelope(HEADER, payload, KEYS.receipt)


def array(*tokens: object) -> bytes:
    return json.dumps([t.decode() if isinstance(t, bytes) else t for t in tokens]).encode()


GOOD = sign_receipt(RECEIPT)
GOOD_ES256 = sign_receipt(RECEIPT, ES256)
HEAD, BODY, SIGNATURE = GOOD.split(b".")
LAST = SIGNATURE[-1:]
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
OTHER_SPELLING = ALPHABET[ALPHABET.index(LAST) + 1 : ALPHABET.index(LAST) + 2]
"""The last character of 86 carries 4 bits only: its neighbour would decode alike."""
FORGED = envelope(HEADER, PAYLOAD, key("stranger"))
LONG_HEADER = json.dumps(HEADER) + " " * HEADER_MAX

TAKEN = [
    ("as the utility signs it", GOOD),
    ("with ES256, for a key of the root that has it", GOOD_ES256),
    ("with the older name of Ed25519", with_header(alg="EdDSA")),
    ("in a list of one signature", array(GOOD)),
    ("twice by one key, where one is enough", array(GOOD, GOOD)),
    ("with members in the payload that nobody knows", with_payload(PAYLOAD[:-1] + b',"x":[{}]}')),
    ("with a whole surrogate pair", with_payload(PAYLOAD[:-1] + b',"ref":"\\ud83d\\ude00"}')),
]

REFUSED = [
    # J1: length, parts, base64url
    ("longer than a receipt may be", Flaw.TOO_LONG, b"a" * 4097),
    ("empty", Flaw.MALFORMED_ENVELOPE, b""),
    ("one part", Flaw.MALFORMED_ENVELOPE, b"abc"),
    ("two parts", Flaw.MALFORMED_ENVELOPE, HEAD + b"." + BODY),
    ("four parts", Flaw.MALFORMED_ENVELOPE, GOOD + b"." + SIGNATURE),
    ("an empty header", Flaw.MALFORMED_ENVELOPE, b"." + BODY + b"." + SIGNATURE),
    ("an empty payload", Flaw.MALFORMED_ENVELOPE, HEAD + b".." + SIGNATURE),
    ("an empty signature", Flaw.MALFORMED_ENVELOPE, HEAD + b"." + BODY + b"."),
    ("padding", Flaw.MALFORMED_ENVELOPE, GOOD + b"=="),
    ("a line end after it", Flaw.MALFORMED_ENVELOPE, GOOD + b"\n"),
    ("white space before it", Flaw.MALFORMED_ENVELOPE, b" " + GOOD),
    ("the plain base64 alphabet", Flaw.MALFORMED_ENVELOPE, b"++++." + BODY + b"." + SIGNATURE),
    ("another last character", Flaw.MALFORMED_ENVELOPE, GOOD[:-1] + OTHER_SPELLING),
    ("bytes beyond ASCII", Flaw.MALFORMED_ENVELOPE, b"\xff." + BODY + b"." + SIGNATURE),
    ("a list without signatures", Flaw.MALFORMED_ENVELOPE, b"[]"),
    ("a list of numbers", Flaw.MALFORMED_ENVELOPE, b"[1]"),
    ("a list of a list", Flaw.MALFORMED_ENVELOPE, array([GOOD.decode()])),
    ("a list that breaks off", Flaw.MALFORMED_ENVELOPE, array(GOOD)[:-1]),
    ("a list of half a character", Flaw.MALFORMED_ENVELOPE, b'["\\ud800"]'),
    ("too many signatures", Flaw.MALFORMED_ENVELOPE, array(*["a"] * (SIGNATURES_MAX + 1))),
    ("JSON serialization", Flaw.MALFORMED_ENVELOPE, b'{"payload":"","signatures":[]}'),
    # J2: the header
    ("a header that is too long", Flaw.MALFORMED_HEADER, with_header_text(LONG_HEADER)),
    ("a header that is no JSON", Flaw.MALFORMED_HEADER, with_header_text("{")),
    ("a header that is a list", Flaw.MALFORMED_HEADER, with_header_text("[]")),
    ("a header without kid", Flaw.MALFORMED_HEADER, with_header_text('{"alg":"a","typ":"t"}')),
    ("a critical extension", Flaw.MALFORMED_HEADER, with_header(crit=["b64"], b64=False)),
    ("a key that it brings itself", Flaw.MALFORMED_HEADER, with_header(jwk={})),
    ("a compressed payload", Flaw.MALFORMED_HEADER, with_header(zip="DEF")),
    ("a number for a name", Flaw.MALFORMED_HEADER, with_header(kid=1)),
    (
        "a name that stands twice",
        Flaw.MALFORMED_HEADER,
        with_header_text('{"alg":"none","alg":"Ed25519","kid":"receipt-1","typ":"fg-receipt+jws"}'),
    ),
    # J3: the key
    ("a key that the root does not name", Flaw.UNKNOWN_KEY, with_header(kid="receipt-9")),
    ("a kid that is a path", Flaw.UNKNOWN_KEY, with_header(kid="../receipt-1")),
    ("no algorithm", Flaw.WRONG_ALGORITHM, with_header(alg="none")),
    ("the other algorithm", Flaw.WRONG_ALGORITHM, with_header(alg="ES256")),
    ("a shared-secret algorithm", Flaw.WRONG_ALGORITHM, with_header(alg="HS256")),
    ("Ed25519 for an ES256 key", Flaw.WRONG_ALGORITHM, with_header(kid="receipt-2")),
    # J4: the type
    ("a type that nobody knows", Flaw.WRONG_TYPE, with_header(typ="fg-wish+jws")),
    ("a type that this door does not take", Flaw.WRONG_TYPE, with_header(typ="fg-list+jws")),
    ("an order at this door", Flaw.WRONG_TYPE, with_header(typ="fg-order+jws")),
    ("the key of another role", Flaw.ROLE_NOT_ALLOWED, with_header(kid="list-1")),
    ("a key that orders", Flaw.ROLE_NOT_ALLOWED, with_header(kid="order-1")),
    # J5: the signature
    ("another payload", Flaw.BAD_SIGNATURE, HEAD + b"." + BODY[:-4] + b"AAAA." + SIGNATURE),
    ("a signature that is too short", Flaw.BAD_SIGNATURE, HEAD + b"." + BODY + b".AAAA"),
    ("a stranger's signature under a known name", Flaw.BAD_SIGNATURE, FORGED),
    ("an ES256 signature of zeros", Flaw.BAD_SIGNATURE, GOOD_ES256[:-86] + b"A" * 86),
    ("a good signature and a forged one", Flaw.BAD_SIGNATURE, array(GOOD, FORGED)),
    # J5: the schema
    ("a payload that is no JSON", Flaw.MALFORMED_PAYLOAD, with_payload(b"paid")),
    ("a payload in another encoding", Flaw.MALFORMED_PAYLOAD, with_payload(b'{"a":"\xff"}')),
    ("a member that is missing", Flaw.MALFORMED_PAYLOAD, with_payload(b'{"account":"1"}')),
    ("a member twice", Flaw.MALFORMED_PAYLOAD, with_payload(PAYLOAD[:-1] + b',"n":1}')),
    ("a fraction", Flaw.MALFORMED_PAYLOAD, with_payload(PAYLOAD[:-1] + b',"x":1.0}')),
    ("not a number", Flaw.MALFORMED_PAYLOAD, with_payload(PAYLOAD[:-1] + b',"x":NaN}')),
    ("half a character", Flaw.MALFORMED_PAYLOAD, with_payload(PAYLOAD[:-1] + b',"x":"\\ud800"}')),
    ("a number of 5000 digits", Flaw.MALFORMED_PAYLOAD, with_payload(b"1" * 2900)),
    ("depth without end", Flaw.MALFORMED_PAYLOAD, with_payload(b"[" * 2900)),
]


@pytest.mark.parametrize(("said", "raw"), TAKEN, ids=[row[0] for row in TAKEN])
def test_a_receipt_is_taken(said: str, raw: bytes) -> None:
    assert flaw_of(raw) is None


@pytest.mark.parametrize(("said", "flaw", "raw"), REFUSED, ids=[row[0] for row in REFUSED])
def test_a_receipt_is_refused_with(said: str, flaw: Flaw, raw: bytes) -> None:
    assert flaw_of(raw) == flaw


def test_a_refusal_says_its_name_and_what_is_wrong() -> None:
    with pytest.raises(Rejected, match=r"^UNKNOWN_KEY: the root names no key 'receipt-9'$"):
        verify(with_header(kid="receipt-9"), RECEIPTS, ROOT)


def test_what_is_verified_carries_its_proof() -> None:
    verified = verify(GOOD, FIELD_DOCUMENTS, ROOT)
    assert verified.type is DocumentType.RECEIPT
    assert verified.payload == PAYLOAD
    assert verified.signers == ("receipt-1",)
    assert verified.digest == digest_of(PAYLOAD) == hashlib.sha256(PAYLOAD).hexdigest()
    assert verified.raw == GOOD


def test_the_limit_of_its_own_type_holds_where_longer_ones_are_taken() -> None:
    raw = with_payload(PAYLOAD + b" " * LENGTH_MAX[DocumentType.RECEIPT])
    with pytest.raises(Rejected) as caught:
        verify(raw, FIELD_DOCUMENTS, ROOT)
    assert caught.value.flaw is Flaw.TOO_LONG


@pytest.mark.parametrize("raw", [GOOD, GOOD_ES256], ids=["Ed25519", "ES256"])
def test_no_character_can_be_changed_or_lost(raw: bytes) -> None:
    for at, character in enumerate(raw):
        other = b"B" if character == ord("A") else b"A"
        assert flaw_of(raw[:at] + other + raw[at + 1 :]) is not None
        assert flaw_of(raw[:at] + raw[at + 1 :]) is not None
        assert flaw_of(raw[:at]) is not None


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda tail: b"[" + tail))
def test_garbage_is_refused_by_name(raw: bytes) -> None:
    assert flaw_of(raw) is not None


@given(st.text(max_size=60).map(lambda text: json.dumps([text]).encode()))
def test_garbage_in_a_list_is_refused_by_name(raw: bytes) -> None:
    assert flaw_of(raw) is not None


# --- thresholds: J6 -------------------------------------------------------------------------------

FIRST_SIGNED = GOOD
SECOND_SIGNED = sign_receipt(RECEIPT, SECOND)
ANOTHER = sign_receipt(msgspec.structs.replace(RECEIPT, n=1), SECOND)
THRESHOLD = [
    ("two keys over one payload", None, array(FIRST_SIGNED, SECOND_SIGNED)),
    ("three signatures of two keys", None, array(FIRST_SIGNED, SECOND_SIGNED, FIRST_SIGNED)),
    ("a key of either algorithm", None, array(FIRST_SIGNED, GOOD_ES256)),
    ("one key", Flaw.BELOW_THRESHOLD, FIRST_SIGNED),
    ("one key twice", Flaw.BELOW_THRESHOLD, array(FIRST_SIGNED, FIRST_SIGNED)),
    ("one key under both names", Flaw.BELOW_THRESHOLD, array(GOOD, with_header(alg="EdDSA"))),
    ("one ES256 key, twice signed", Flaw.BELOW_THRESHOLD, array(GOOD_ES256, GOOD_ES256)),
    ("two payloads", Flaw.BELOW_THRESHOLD, array(FIRST_SIGNED, ANOTHER)),
]


@pytest.mark.parametrize(("said", "flaw", "raw"), THRESHOLD, ids=[row[0] for row in THRESHOLD])
def test_where_two_keys_are_needed(said: str, flaw: Flaw | None, raw: bytes) -> None:
    assert flaw_of(raw, TWO_NEEDED) == flaw


def test_the_distinct_signers_are_named_in_order() -> None:
    raw = array(SECOND_SIGNED, FIRST_SIGNED, SECOND_SIGNED)
    assert verify(raw, RECEIPTS, TWO_NEEDED).signers == ("receipt-3", "receipt-1")


def test_signatures_of_one_payload_as_two_types_are_not_of_one_document() -> None:
    both = key("both-1", Role.LIST, Role.RECEIPT)
    root = msgspec.structs.replace(WIDE_ROOT, keys=(both.public(),))
    raw = array(*(both.sign(kind, b"{}") for kind in (DocumentType.LIST, DocumentType.RECEIPT)))
    with pytest.raises(Rejected) as caught:
        verify(raw, FIELD_DOCUMENTS, root)
    assert caught.value.flaw is Flaw.BELOW_THRESHOLD


# --- the order of the rules -----------------------------------------------------------------------


@dataclass
class Draft:
    """A receipt on its way to being wrong."""

    header: dict[str, object] = field(default_factory=lambda: dict(HEADER))
    payload: bytes = PAYLOAD
    tail: bytes = b""
    by: SigningKey = KEYS.receipt
    root: Root = WIDE_ROOT


def too_long(draft: Draft) -> None:
    draft.payload += b" " * LENGTH_MAX[DocumentType.RECEIPT]


def padded(draft: Draft) -> None:
    draft.tail = b"=="


def critical(draft: Draft) -> None:
    draft.header["crit"] = ["exp"]


def unknown_key(draft: Draft) -> None:
    draft.header["kid"] = "receipt-9"


def wrong_algorithm(draft: Draft) -> None:
    draft.header["alg"] = "RS256"


def wrong_type(draft: Draft) -> None:
    draft.header["typ"] = "fg-order+jws"


def wrong_role(draft: Draft) -> None:
    draft.header["kid"] = "list-1"


def forged(draft: Draft) -> None:
    draft.by = key("stranger")


def one_of_two(draft: Draft) -> None:
    draft.root = TWO_NEEDED


def nonsense(draft: Draft) -> None:
    draft.payload = b"{}"


Fault = tuple[Flaw, Callable[[Draft], None]]
FAULTS: list[Fault] = [
    (Flaw.TOO_LONG, too_long),
    (Flaw.MALFORMED_ENVELOPE, padded),
    (Flaw.MALFORMED_HEADER, critical),
    (Flaw.UNKNOWN_KEY, unknown_key),
    (Flaw.WRONG_ALGORITHM, wrong_algorithm),
    (Flaw.WRONG_TYPE, wrong_type),
    (Flaw.ROLE_NOT_ALLOWED, wrong_role),
    (Flaw.BAD_SIGNATURE, forged),
    (Flaw.BELOW_THRESHOLD, one_of_two),
    (Flaw.MALFORMED_PAYLOAD, nonsense),
]
"""In the order in which they are refused."""


def test_every_flaw_has_its_place_in_the_order() -> None:
    assert [flaw for flaw, _ in FAULTS] == list(Flaw)


@pytest.mark.parametrize(
    ("first", "later"),
    list(itertools.combinations_with_replacement(FAULTS, 2)),
    ids=lambda fault: fault[0],
)
def test_of_two_faults_the_first_is_named(first: Fault, later: Fault) -> None:
    draft = Draft()
    later[1](draft)
    if first != later:
        first[1](draft)
    raw = envelope(draft.header, draft.payload, draft.by) + draft.tail
    assert flaw_of(raw, draft.root) == first[0]


def test_a_key_of_the_root_is_a_point_or_nothing() -> None:
    # Without load_root in between, a key that is none still proves nothing.
    broken = Key(kid="receipt-1", alg=Algorithm.ED25519, public="AAAA", roles=(Role.RECEIPT,))
    root = msgspec.structs.replace(ROOT, keys=(broken,))
    assert flaw_of(GOOD, root) is Flaw.MALFORMED_PAYLOAD


def test_strict_json_keeps_what_is_plain() -> None:
    assert strict_json(b'{"a":[1,-2,"\\u0939",true,null]}') == {"a": [1, -2, "\u0939", True, None]}
