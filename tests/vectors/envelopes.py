"""Vectors of the envelope: what makes bytes a receipt of the utility, rule by rule (J1 to J6)."""

import json
from collections.abc import Iterator

from gateway.core.signature import HEADER_MAX, SIGNATURES_MAX, DocumentType
from gateway.utility.sign import payload_of
from tests.core.papers import receipt
from tests.signing import base64url
from tests.vectors import keys
from tests.vectors.keys import array, enveloped, signed
from tests.vectors.scene import WITH_SITE, Scene, Vector

KIND = DocumentType.RECEIPT
PAYLOAD = payload_of(receipt(1, 100, ref="4471"))
GOOD = signed(KIND, PAYLOAD, keys.RECEIPT)
ES256 = signed(KIND, PAYLOAD, keys.RECEIPT_ES256)
HEAD, BODY, SIGNATURE = GOOD.split(b".")
MEMBERS = {"alg": "Ed25519", "kid": "receipt-1", "typ": "fg-receipt+jws"}
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def vectors() -> Iterator[Vector]:
    """Every vector of the envelope."""
    for name, word, why, raw in (*_good(), *_j1(), *_j2(), *_j3_j4(), *_j5(), *_es256()):
        yield Vector(name=name, type=KIND, raw=raw, word=word, why=why, scene=WITH_SITE)
    two = Scene(given=("site",), anchor="anchor-two-receipt-keys.json")
    for name, word, why, raw in _j6():
        yield Vector(name=name, type=KIND, raw=raw, word=word, why=why, scene=two)


Row = tuple[str, str, str, bytes]


def _good() -> Iterator[Row]:
    yield "receipt", "ACCEPTED", "A receipt as it should be, signed with Ed25519.", GOOD
    yield "receipt-es256", "ACCEPTED", "The same, signed with ES256 by a key that has it.", ES256
    yield (
        "receipt-eddsa",
        "ACCEPTED",
        "`EdDSA` is the older name of Ed25519 and means the same.",
        signed(KIND, PAYLOAD, keys.RECEIPT, {"alg": "EdDSA"}),
    )
    yield (
        "receipt-in-array",
        "ACCEPTED",
        "An array of one signature is that signature.",
        array(GOOD),
    )
    spaced = json.dumps(MEMBERS, indent=1).encode()
    yield (
        "receipt-header-spaced",
        "ACCEPTED",
        "White space and the order of members inside the header's JSON are free.",
        enveloped(spaced, PAYLOAD, keys.RECEIPT),
    )
    yield (
        "receipt-payload-spaced",
        "ACCEPTED",
        "White space inside the payload's JSON is free; the bytes as sent are what is signed.",
        signed(KIND, json.dumps(json.loads(PAYLOAD), indent=2).encode(), keys.RECEIPT),
    )
    yield (
        "receipt-unknown-members",
        "ACCEPTED",
        "Members that nobody knows are ignored in everything but orders.",
        with_tail(b'"colour":"red","more":[{"a":null}]'),
    )


def with_tail(members: bytes) -> bytes:
    """The receipt with further members in its payload, rightly signed."""
    return signed(KIND, PAYLOAD[:-1] + b"," + members + b"}", keys.RECEIPT)


def _j1() -> Iterator[Row]:
    word = "MALFORMED_ENVELOPE"
    for name, why, raw in (
        ("empty", "Nothing.", b""),
        ("one-part", "A compact JWS has three parts.", HEAD),
        ("two-parts", "The signature is missing.", HEAD + b"." + BODY),
        ("four-parts", "One part too many.", GOOD + b"." + SIGNATURE),
        ("no-header", "The header is empty.", b"." + BODY + b"." + SIGNATURE),
        ("no-payload", "The payload is empty (detached content).", HEAD + b".." + SIGNATURE),
        ("no-signature", "The signature is empty.", HEAD + b"." + BODY + b"."),
        ("padding", "Base64url is without padding here.", GOOD + b"=="),
        ("line-end", "A line end is no base64url: strip it.", GOOD + b"\n"),
        ("space", "White space before it.", b" " + GOOD),
        ("plain-base64", "The alphabet of plain base64.", b"+/+/." + BODY + b"." + SIGNATURE),
        ("not-canonical", "The last character has bits that mean nothing.", _respelled(GOOD)),
        ("beyond-ascii", "Bytes beyond ASCII.", "\u00e9".encode() + GOOD),
        ("byte-order-mark", "A byte order mark before it.", b"\xef\xbb\xbf" + GOOD),
        ("empty-array", "No signature at all is not enough for anything.", b"[]"),
        ("array-of-numbers", "An array of something else.", b"[1]"),
        ("array-in-array", "An array in an array.", b"[" + array(GOOD) + b"]"),
        ("array-cut-off", "An array that breaks off.", array(GOOD)[:-1]),
        (
            "array-too-many",
            f"More than {SIGNATURES_MAX} signatures.",
            array(*[GOOD] * (SIGNATURES_MAX + 1)),
        ),
        ("json-serialization", "JWS JSON serialization (RFC 7515, 7.2) is not taken.", _general()),
    ):
        yield f"j1-{name}", word, why, raw
    long = signed(KIND, PAYLOAD + b" " * 4096, keys.RECEIPT)
    yield "j1-too-long", "TOO_LONG", "A receipt has at most 4096 bytes as it travels.", long


def _respelled(token: bytes) -> bytes:
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    at = alphabet.index(token[-1:])
    return token[:-1] + alphabet[at + 1 : at + 2]


def _general() -> bytes:
    one = {"protected": HEAD.decode(), "signature": SIGNATURE.decode()}
    return json.dumps({"payload": BODY.decode(), "signatures": [one]}).encode()


def _j2() -> Iterator[Row]:
    extra: tuple[tuple[str, str, object], ...] = (
        ("crit", "A critical extension: nobody here understands one.", ["exp"]),
        ("b64", "An unencoded payload (RFC 7797).", False),
        ("jwk", "A key that the document brings itself.", {"kty": "OKP"}),
        ("jku", "An address to fetch a key from.", "https://example.org/keys"),
        ("x5u", "An address to fetch a certificate from.", "https://example.org/cert"),
        ("x5c", "A certificate that the document brings itself.", ["MIIB"]),
        ("zip", "A compressed payload.", "DEF"),
        ("cty", "One member more than alg, kid and typ, however harmless.", "json"),
    )
    for name, why, value in extra:
        yield (
            f"j2-{name}",
            "MALFORMED_HEADER",
            why,
            signed(KIND, PAYLOAD, keys.RECEIPT, {name: value}),
        )
    long = json.dumps(MEMBERS).encode() + b" " * HEADER_MAX
    texts: tuple[tuple[str, str, bytes], ...] = (
        ("no-json", "The header is no JSON.", b"{"),
        ("a-list", "The header is a list.", b'["alg","kid","typ"]'),
        ("no-kid", "The header names no key.", b'{"alg":"Ed25519","typ":"fg-receipt+jws"}'),
        (
            "alg-twice",
            "A name stands twice; which one counts is not guessed.",
            b'{"alg":"none","alg":"Ed25519","kid":"receipt-1","typ":"fg-receipt+jws"}',
        ),
        ("too-long", f"A header has at most {HEADER_MAX} bytes.", long),
        ("kid-number", "alg, kid and typ are texts.", json.dumps({**MEMBERS, "kid": 1}).encode()),
        ("alg-null", "alg, kid and typ are texts.", json.dumps({**MEMBERS, "alg": None}).encode()),
    )
    for name, why, head in texts:
        yield f"j2-{name}", "MALFORMED_HEADER", why, enveloped(head, PAYLOAD, keys.RECEIPT)


def _j3_j4() -> Iterator[Row]:
    changes: tuple[tuple[str, str, str, dict[str, object]], ...] = (
        ("j3-kid-unknown", "UNKNOWN_KEY", "The root names no such key.", {"kid": "receipt-9"}),
        ("j3-kid-path", "UNKNOWN_KEY", "A path is no kid.", {"kid": "../../receipt-1"}),
        ("j3-kid-empty", "UNKNOWN_KEY", "An empty kid.", {"kid": ""}),
        ("j3-kid-case", "UNKNOWN_KEY", "A kid is compared by its bytes.", {"kid": "RECEIPT-1"}),
        ("j3-kid-nul", "UNKNOWN_KEY", "A kid is compared whole.", {"kid": "receipt-1\x00"}),
        ("j3-alg-none", "WRONG_ALGORITHM", "No algorithm is no signature.", {"alg": "none"}),
        ("j3-alg-None", "WRONG_ALGORITHM", "Nor is it in another case.", {"alg": "NoNe"}),
        ("j3-alg-hs256", "WRONG_ALGORITHM", "A public key is no shared secret.", {"alg": "HS256"}),
        ("j3-alg-other", "WRONG_ALGORITHM", "The key has the other one.", {"alg": "ES256"}),
        ("j3-alg-case", "WRONG_ALGORITHM", "alg is compared by its bytes.", {"alg": "ed25519"}),
        ("j4-typ-unknown", "WRONG_TYPE", "Nobody knows this type.", {"typ": "fg-wish+jws"}),
        ("j4-typ-jwt", "WRONG_TYPE", "A general token is none of ours.", {"typ": "JWT"}),
        ("j4-typ-badge", "WRONG_TYPE", "A badge opens the page only.", {"typ": "fg-badge+jws"}),
        ("j4-typ-record", "WRONG_TYPE", "A gateway takes no record.", {"typ": "fg-record+jws"}),
        ("j4-typ-list", "ROLE_NOT_ALLOWED", "A receipt key signs no list.", {"typ": "fg-list+jws"}),
        (
            "j4-typ-order", "ROLE_NOT_ALLOWED", "A receipt key gives no order.",
            {"typ": "fg-order+jws"},
        ),
    )  # fmt: skip
    for name, word, why, header in changes:
        yield name, word, why, signed(KIND, PAYLOAD, keys.RECEIPT, header)
    for by in (keys.LIST, keys.SITE, keys.ORDERS[0], keys.TIME, keys.BADGE, keys.ROOTS[0]):
        role = by.roles[0]
        why = f"A key of role {role} signs no receipt."
        yield f"j4-by-{role}-key", "ROLE_NOT_ALLOWED", why, signed(KIND, PAYLOAD, by)


def _j5() -> Iterator[Row]:
    forged = signed(KIND, PAYLOAD, keys.STRANGER, {"kid": "receipt-1"})
    other = base64url(PAYLOAD.replace(b"M1", b"M2"))
    bad: tuple[tuple[str, str, bytes], ...] = (
        ("forged", "A stranger's signature under a known kid.", forged),
        ("other-payload", "The payload was changed after it was signed.",
         HEAD + b"." + other + b"." + SIGNATURE),
        ("other-header", "The header is signed too: another name for the algorithm is another one.",
         signed(KIND, PAYLOAD, keys.RECEIPT, {"alg": "EdDSA"}).split(b".")[0] + b"." + BODY + b"."
         + SIGNATURE),
        ("short", "A signature has 64 bytes.", HEAD + b"." + BODY + b".AAAA"),
        ("zeros", "A signature of zeros.", HEAD + b"." + BODY + b"." + base64url(bytes(64))),
        ("good-and-forged", "One bad signature spoils the array.", array(GOOD, forged)),
    )  # fmt: skip
    for name, why, raw in bad:
        yield f"j5-{name}", "BAD_SIGNATURE", why, raw
    payloads: tuple[tuple[str, str, bytes], ...] = (
        ("no-json", "The payload is no JSON.", b"paid"),
        ("not-utf8", "The payload is UTF-8.", PAYLOAD.replace(b"4471", b"44\xff1")),
        ("byte-order-mark", "JSON begins without a byte order mark.", b"\xef\xbb\xbf" + PAYLOAD),
        ("array", "A receipt is one object.", b"[" + PAYLOAD + b"]"),
        ("member-missing", "A receipt names the meter.", PAYLOAD.replace(b'"meter"', b'"metre"')),
        ("member-twice", "A name stands twice.", PAYLOAD[:-1] + b',"n":1}'),
        ("fraction", "Integers only.", PAYLOAD[:-1] + b',"x":1.5}'),
        ("exponent", "Integers only, also where the value is whole.", PAYLOAD[:-1] + b',"x":1e3}'),
        ("nan", "Not a number.", PAYLOAD[:-1] + b',"x":NaN}'),
        ("time-as-text", "Times are integers, milliseconds UTC.", _n_as(b'"1795377600100"')),
        ("time-negative", "Times count from 1970.", _n_as(b"-1")),
        ("time-too-large", "No integer beyond 2^53 - 1.", _n_as(b"9007199254740992")),
        ("half-a-character", "Half a surrogate pair.", PAYLOAD.replace(b"4471", b"\\ud800")),
        ("nul", "A bare control character.", PAYLOAD.replace(b"4471", b"44\x0071")),
        ("depth", "Nested without end.", b"[" * 2_000),
        ("account", "An account has no spaces.", PAYLOAD.replace(b'"A1"', b'"A 1"')),
    )  # fmt: skip
    for name, why, payload in payloads:
        raw = signed(KIND, payload, keys.RECEIPT)
        yield f"schema-{name}", "MALFORMED_PAYLOAD", why, raw


def _n_as(text: bytes) -> bytes:
    head, _, tail = PAYLOAD.partition(b'"n":')
    return head + b'"n":' + text + tail[tail.index(b",") :]


def _es256() -> Iterator[Row]:
    content = ES256.rpartition(b".")[0]
    raw_signature = keys.signature(keys.RECEIPT_ES256, content)
    r, s = raw_signature[:32], raw_signature[32:]
    mirrored = (P256_ORDER - int.from_bytes(s)).to_bytes(32)
    yield (
        "es256-mirrored",
        "ACCEPTED",
        "ECDSA: (r, n - s) signs the same bytes as (r, s) does. It is the same document.",
        content + b"." + base64url(r + mirrored),
    )
    der = b"\x30\x44\x02\x20" + (r[0] & 0x7F).to_bytes() + r[1:] + b"\x02\x20" + s
    bad: tuple[tuple[str, str, bytes], ...] = (
        ("der", "JOSE writes r and s as 64 bytes, not as DER.", der),
        ("swapped", "s before r.", s + r),
        ("r-zero", "r is not zero.", bytes(32) + s),
        ("s-zero", "s is not zero.", r + bytes(32)),
        ("r-order", "r is below the order of the curve.", P256_ORDER.to_bytes(32) + s),
        ("s-too-large", "s is below the order of the curve.", r + b"\xff" * 32),
    )
    for name, why, signature in bad:
        yield f"es256-{name}", "BAD_SIGNATURE", why, content + b"." + base64url(signature)
    yield (
        "es256-by-ed25519-key",
        "BAD_SIGNATURE",
        "An Ed25519 signature under the kid and the algorithm of an ES256 key.",
        signed(KIND, PAYLOAD, keys.RECEIPT, {"alg": "ES256", "kid": "receipt-2"}),
    )
    yield (
        "es256-key-named-ed25519",
        "WRONG_ALGORITHM",
        "The key says the algorithm, the header only repeats it.",
        signed(KIND, PAYLOAD, keys.RECEIPT_ES256, {"alg": "Ed25519"}),
    )


def _j6() -> Iterator[Row]:
    other = signed(KIND, payload_of(receipt(1, 200)), keys.RECEIPT_ES256)
    eddsa = signed(KIND, PAYLOAD, keys.RECEIPT, {"alg": "EdDSA"})
    word = "BELOW_THRESHOLD"
    yield "j6-two-keys", "ACCEPTED", "Two keys are asked for, two signed.", array(GOOD, ES256)
    yield "j6-three-of-two", "ACCEPTED", "One of them twice does no harm.", array(GOOD, ES256, GOOD)
    yield "j6-one-key", word, "Two keys are asked for, one signed.", GOOD
    yield "j6-one-key-twice", word, "One key twice is one key.", array(GOOD, GOOD)
    yield (
        "j6-one-key-two-names",
        word,
        "One key under both names of its algorithm is one.",
        array(GOOD, eddsa),
    )
    yield "j6-two-payloads", word, "Two keys, each over another document.", array(GOOD, other)
    yield (
        "j6-two-spellings",
        word,
        "The same JSON with other white space is another document.",
        array(GOOD, signed(KIND, PAYLOAD + b" ", keys.RECEIPT_ES256)),
    )
