"""People: technicians and badges, and the documents that the door does not take."""

from collections.abc import Callable

import msgspec
import pytest

from gateway.core.documents import Checkpoint, decode, decode_badge, decode_checkpoint
from gateway.core.people import Badge, Technician, TechnicianRole, weak
from gateway.core.signature import DocumentType, Flaw, Rejected, Verified, digest_of
from gateway.core.soundness import Unsound, check_badge

PIN = "$argon2id$v=19$m=19456,t=2,p=1$" + "c" * 22 + "$" + "h" * 43
DEVI = Technician(id="t-1", name="S. Devi", roles=(TechnicianRole.VIEW,), pin=PIN)
CHEAP = msgspec.structs.replace(DEVI, pin=PIN.replace("19456", "19455"))
BADGE = Badge(id="t-9", name="R. Patel", roles=(TechnicianRole.TECHNICIAN,), iat=5, exp=6, code=PIN)
DAY_MS = 86_400_000
UNSOUND_BADGES = [
    ("over before it begins", "EXPIRED_WHEN_ISSUED", {"exp": 5}),
    ("for longer than a week", "LIFE_TOO_LONG", {"exp": 6 + 7 * DAY_MS}),
    ("with a code that is tried out too fast", "WEAK_VERIFIER", {"code": CHEAP.pin}),
]


@pytest.mark.parametrize(
    ("said", "name", "changes"), UNSOUND_BADGES, ids=[row[0] for row in UNSOUND_BADGES]
)
def test_a_badge_is_unsound(said: str, name: str, changes: dict[str, object]) -> None:
    check_badge(BADGE)
    check_badge(msgspec.structs.replace(BADGE, exp=5 + 7 * DAY_MS))
    with pytest.raises(Unsound) as caught:
        check_badge(msgspec.structs.replace(BADGE, **changes))
    assert caught.value.name == name


WEAK = ["", PIN.replace("19456", "0"), PIN.replace("t=2", "t=0"), PIN.replace("p=1", "p=0")]


@pytest.mark.parametrize("verifier", WEAK)
def test_a_verifier_is_weak(verifier: str) -> None:
    assert weak(verifier)
    assert not weak(PIN)


def test_no_verifier_stands_in_a_log() -> None:
    assert PIN not in repr(DEVI)
    assert PIN not in repr(BADGE)


# --- entries of their own ---


def proven(kind: DocumentType, payload: bytes) -> Verified:
    return Verified(type=kind, payload=payload, signers=(), digest=digest_of(payload), raw=payload)


CHECKPOINT = Checkpoint(gateway="gw-1", number=5, chain="a" * 64, wall_ms=7, trusted=False)
ELSEWHERE: list[tuple[DocumentType, object, Callable[[Verified], object]]] = [
    (DocumentType.BADGE, BADGE, decode_badge),
    (DocumentType.RECORD, CHECKPOINT, decode_checkpoint),
]


@pytest.mark.parametrize(("kind", "value", "decoder"), ELSEWHERE, ids=["badge", "record"])
def test_what_the_door_does_not_take_has_an_entry_of_its_own(
    kind: DocumentType, value: object, decoder: Callable[[Verified], object]
) -> None:
    payload = msgspec.json.encode(value)
    assert decoder(proven(kind, payload)) == value
    for asked, given, flaw in (
        (decode, proven(kind, payload), Flaw.WRONG_TYPE),
        (decoder, proven(DocumentType.SITE, payload), Flaw.WRONG_TYPE),
        (decoder, proven(kind, b"{}"), Flaw.MALFORMED_PAYLOAD),
    ):
        with pytest.raises(Rejected) as caught:
            asked(given)
        assert caught.value.flaw is flaw


def test_a_root_is_read_by_its_own_rule() -> None:
    with pytest.raises(Rejected) as caught:
        decode(proven(DocumentType.ROOT, b"{}"))
    assert caught.value.flaw is Flaw.WRONG_TYPE
