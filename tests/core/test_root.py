"""The root of trust: which anchor files are loaded, and by what name the others are refused."""

import msgspec
import pytest

from gateway.core.rotation import load_root
from gateway.core.signature import DocumentType, Flaw, Rejected
from gateway.core.trust import Algorithm, Role, Root
from gateway.utility.sign import SigningKey, payload_of, sign_together
from tests.signing import KEYS, ROOT, ROOT_RAW, envelope, key

HEADER: dict[str, object] = {"alg": "Ed25519", "kid": "root-1", "typ": "fg-root+jws"}


def root_raw(root: Root, by: tuple[SigningKey, ...] = KEYS.roots[:2]) -> bytes:
    return sign_together(by, DocumentType.ROOT, payload_of(root))


def changed_root(**changes: object) -> bytes:
    return root_raw(msgspec.structs.replace(ROOT, **changes))


def with_key(**changes: object) -> bytes:
    changed = msgspec.structs.replace(KEYS.site.public(), **changes)
    return changed_root(keys=(*ROOT.keys[:3], changed))


STRANGER = key("root-9", Role.ROOT)
TWIN = msgspec.structs.replace(KEYS.orders[0].public(), kid="order-9")
FALSE_ROOT = SigningKey("root-1", Algorithm.ED25519, (Role.ROOT,), bytes(32))
ROOTS_REFUSED = [
    ("too long", Flaw.TOO_LONG, b"[" + b" " * 262_144),
    ("two parts", Flaw.MALFORMED_ENVELOPE, b"a.b"),
    ("no payload", Flaw.MALFORMED_ENVELOPE, b"a..c"),
    ("no key at all", Flaw.MALFORMED_PAYLOAD, envelope(HEADER, b'{"seq":1}', KEYS.site)),
    ("two keys of one name", Flaw.MALFORMED_PAYLOAD, changed_root(keys=ROOT.keys + ROOT.keys[:1])),
    ("one key of two names", Flaw.MALFORMED_PAYLOAD, changed_root(keys=(*ROOT.keys, TWIN))),
    ("a role that nobody knows", Flaw.MALFORMED_PAYLOAD, changed_root(thresholds={"king": 1})),
    ("a threshold of none", Flaw.MALFORMED_PAYLOAD, changed_root(thresholds={"list": 0})),
    ("an Ed25519 key of 31 bytes", Flaw.MALFORMED_PAYLOAD, with_key(public="A" * 42)),
    (
        "a point off the curve",
        Flaw.MALFORMED_PAYLOAD,
        with_key(alg=Algorithm.ES256, public="B" + "A" * 86),
    ),
    ("a key that is no base64url", Flaw.MALFORMED_ENVELOPE, with_key(public="=")),
    ("a name with a line end", Flaw.MALFORMED_PAYLOAD, with_key(kid="site-1\n")),
    ("one of two signatures", Flaw.BELOW_THRESHOLD, root_raw(ROOT, KEYS.roots[:1])),
    ("a stranger's signature", Flaw.UNKNOWN_KEY, root_raw(ROOT, (STRANGER,) * 2)),
    ("another type", Flaw.WRONG_TYPE, KEYS.site.sign(DocumentType.SITE, payload_of(ROOT))),
    ("another key's signature", Flaw.BAD_SIGNATURE, root_raw(ROOT, (FALSE_ROOT, KEYS.roots[1]))),
]


def test_the_root_of_trust_is_loaded() -> None:
    assert load_root(ROOT_RAW) == ROOT
    assert ROOT.threshold(Role.ROOT) == 2
    assert ROOT.threshold(Role.LIST) == 1
    assert ROOT.key("list-1") == KEYS.list.public()
    assert ROOT.key("list-9") is None


def test_a_root_of_es256_keys_is_loaded() -> None:
    roots = tuple(key(f"root-{at}", Role.ROOT, alg=Algorithm.ES256) for at in (1, 2))
    root = msgspec.structs.replace(ROOT, keys=tuple(each.public() for each in roots))
    assert load_root(root_raw(root, roots)) == root


@pytest.mark.parametrize(("said", "flaw", "raw"), ROOTS_REFUSED, ids=[r[0] for r in ROOTS_REFUSED])
def test_a_root_is_refused_with(said: str, flaw: Flaw, raw: bytes) -> None:
    with pytest.raises(Rejected) as caught:
        load_root(raw)
    assert caught.value.flaw is flaw
