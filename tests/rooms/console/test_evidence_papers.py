"""`evidence --verify --root`: who vouches for the documents that the records name."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.core.documents import AllowList, ListEntry, Site, Time
from gateway.core.fact import Road
from gateway.core.model import Account, DtId, Serial
from gateway.core.orders import Hold, Order
from gateway.core.papers import body_of_list, body_of_receipt, body_of_site
from gateway.core.records import Body, CloseIntended, OrderAccepted, OrderRestored
from gateway.core.signature import FIELD_DOCUMENTS, claimed_by, digest_of, tokens_of, verify
from gateway.core.trust import Revocation, Role, Root
from gateway.core.trust_records import RootInstalled, TimeSet
from gateway.utility.roots import Change, next_root, sign_next
from tests.rooms.console.evidence_files import (
    GATEWAY,
    NOON_MS,
    Written,
    accepted,
    judged,
    receipt,
)
from tests.signing import (
    KEYS,
    ROOT,
    ROOT_RAW,
    key,
    sign_list,
    sign_order,
    sign_receipt,
    sign_site,
    sign_time,
)

NEW = key("receipt-2", Role.RECEIPT)
YEAR_MS = 365 * 86_400_000
SITE = Site(gateway=GATEWAY, seq=1, feeder="F", meters=())
LIST = AllowList(
    gateway=GATEWAY,
    seq=1,
    as_of=NOON_MS,
    stale_after=NOON_MS + YEAR_MS,
    accounts=(ListEntry(account="A1", meter="M1", n=NOON_MS),),
)
ORDER = Order(
    gateway=GATEWAY,
    id="O-1",
    seq=1,
    iat=NOON_MS,
    exp=NOON_MS + 1,
    boot=None,
    act=Hold(meter="M1", reason="theft"),
)


def following(root: Root, **changes: Any) -> tuple[Root, bytes]:
    """The root after that one."""
    new = next_root(root, Change(**changes), NOON_MS, NOON_MS + YEAR_MS)
    return new, sign_next(new, root, KEYS.roots[:2])


SECOND, SECOND_RAW = following(ROOT, add=(NEW.public(),), remove=("receipt-1",))
THIRD, THIRD_RAW = following(SECOND)


def digest(raw: bytes) -> Any:
    return digest_of(claimed_by(tokens_of(raw)[0]).payload)


def installed(root: Root, raw: bytes) -> RootInstalled:
    signers = ("root-1", "root-2")
    return RootInstalled(
        seq=root.seq, digest=digest(raw), signers=signers, road=Road.LOCAL, clock_reset=False
    )


def closes(raw: bytes) -> CloseIntended:
    return CloseIntended(
        close=1,
        account=Account("A1"),
        meter=Serial("M1"),
        dt=DtId("T1"),
        attempt=1,
        standing_n=1,
        standing_digest=digest(raw),
    )


def written(*pairs: tuple[bytes | None, Body]) -> Written:
    """A file of these records, each after its document."""
    file = Written()
    for raw, body in pairs:
        if raw is not None:
            file.document(raw)
        file.record(body)
    file.seal()
    return file


def one_of_each() -> dict[str, tuple[bytes, Body]]:
    site, a_list, paid = sign_site(SITE), sign_list(LIST), sign_receipt(receipt(1))
    order = sign_order(ORDER)
    time = sign_time(Time(nonce="n", now=NOON_MS))
    ordered: dict[str, Any] = {
        "id": ORDER.id,
        "seq": 1,
        "act": ORDER.act,
        "digest": digest(order),
        "signers": ("order-1", "order-2"),
    }
    by_root = {raw: verify(raw, FIELD_DOCUMENTS, ROOT) for raw in (site, a_list, paid)}
    return {
        "site": (site, body_of_site(SITE, by_root[site], Road.MQTT)),
        "list": (a_list, body_of_list(LIST, by_root[a_list], Road.MQTT, adds=True, fresh=True)),
        "receipt": (paid, body_of_receipt(receipt(1), by_root[paid], Road.MQTT)),
        "order": (
            order,
            OrderAccepted(iat=NOON_MS, exp=NOON_MS + 1, boot=None, road=Road.MQTT, **ordered),
        ),
        "restored order": (order, OrderRestored(**ordered)),
        "time": (
            time,
            TimeSet(low_ms=1, high_ms=2, digest=digest(time), signer="time-1", road=Road.MQTT),
        ),
    }


WRONG: dict[str, dict[str, Any]] = {
    "site": {"meters": 5},
    "list": {"as_of": NOON_MS + 1},
    "receipt": {"meter": "M9"},
    "order": {"act": Hold(meter="M9", reason="theft")},
    "restored order": {"signers": ("order-1",)},
    "time": {"signer": "time-2"},
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_document_says_what_its_record_does(tmp_path: Path, kind: str) -> None:
    raw, body = one_of_each()[kind]
    proof = judged(tmp_path, written((raw, body)).lines, roots=(ROOT_RAW,))
    assert (proof.broken, proof.holds, proof.vouched) == ("", True, True)


@pytest.mark.parametrize("kind", WRONG)
def test_a_record_that_says_something_else_is_found(tmp_path: Path, kind: str) -> None:
    raw, body = one_of_each()[kind]
    lines = written((raw, msgspec.structs.replace(body, **WRONG[kind]))).lines
    assert judged(tmp_path, lines).holds, "who signed the document was not asked"
    broken = judged(tmp_path, lines, roots=(ROOT_RAW,)).broken
    assert broken.startswith("the document of record 1 is not vouched for: NOT_AS_RECORDED")


def test_a_document_of_another_kind_is_found_without_the_root(tmp_path: Path) -> None:
    raw = sign_site(SITE)
    broken = judged(tmp_path, written((raw, accepted(1, raw))).lines).broken
    assert broken.startswith("the document of record 1 says that it is 'fg-site+jws', not ")


def test_a_document_that_the_root_does_not_vouch_for(tmp_path: Path) -> None:
    raw = sign_receipt(receipt(1), key("receipt-9", Role.RECEIPT))
    lines = written((raw, accepted(1, raw))).lines
    assert judged(tmp_path, lines).holds
    broken = judged(tmp_path, lines, roots=(ROOT_RAW,)).broken
    assert broken.startswith("the document of record 1 is not vouched for: UNKNOWN_KEY")


def by_second(number: int) -> tuple[bytes, Body]:
    raw = sign_receipt(receipt(number), NEW)
    return raw, msgspec.structs.replace(accepted(number, raw), signer="receipt-2")


def by_first(number: int) -> tuple[bytes, Body]:
    raw = sign_receipt(receipt(number))
    return raw, accepted(number, raw)


def test_each_document_is_judged_by_the_root_of_its_time(tmp_path: Path) -> None:
    handover = (SECOND_RAW, installed(SECOND, SECOND_RAW))
    rightly = written(by_first(1), handover, by_second(2))
    assert judged(tmp_path, rightly.lines, roots=(ROOT_RAW,)).holds
    assert judged(tmp_path, rightly.lines, roots=(ROOT_RAW, SECOND_RAW)).holds
    late = written(handover, by_first(1))
    broken = judged(tmp_path, late.lines, roots=(ROOT_RAW,)).broken
    assert broken.startswith("the document of record 2 is not vouched for: UNKNOWN_KEY")
    early = written(by_second(1), handover)
    assert not judged(tmp_path, early.lines, roots=(ROOT_RAW,)).holds


def test_a_root_follows_the_one_before_and_is_as_recorded(tmp_path: Path) -> None:
    skipped = written((THIRD_RAW, installed(THIRD, THIRD_RAW)))
    broken = judged(tmp_path, skipped.lines, roots=(ROOT_RAW,)).broken
    assert "not vouched for: ROOT_STEP_MISSING: root 3 does not follow 1" in broken
    from_the_middle = judged(tmp_path, skipped.lines, roots=(ROOT_RAW, SECOND_RAW))
    assert from_the_middle.holds
    body = msgspec.structs.replace(installed(SECOND, SECOND_RAW), seq=3)
    broken = judged(tmp_path, written((SECOND_RAW, body)).lines, roots=(ROOT_RAW,)).broken
    assert "NOT_AS_RECORDED: it is root 2, the record says 3" in broken


def test_a_revoked_key_vouches_for_nothing_that_it_signed_later(tmp_path: Path) -> None:
    root, raw = following(ROOT, revoke=(Revocation(kid="receipt-1", after=NOON_MS + 1),))
    handover = (raw, installed(root, raw))
    assert judged(tmp_path, written(handover, by_first(1)).lines, roots=(ROOT_RAW,)).holds
    late = written(handover, by_first(2)).lines
    assert "KEY_REVOKED" in judged(tmp_path, late, roots=(ROOT_RAW,)).broken
    paid, body = by_first(2)
    again = msgspec.structs.replace(body, road=Road.ARCHIVE)
    rebuilt = written(handover, (paid, again)).lines
    assert judged(tmp_path, rebuilt, roots=(ROOT_RAW,)).holds


def test_a_close_rests_on_a_document_of_before_the_file_or_of_the_file(tmp_path: Path) -> None:
    paid, body = by_first(1)
    assert judged(tmp_path, written((paid, closes(paid))).lines, roots=(ROOT_RAW,)).holds
    known = written((paid, body), (None, closes(paid)), (None, closes(paid)))
    proof = judged(tmp_path, known.lines, roots=(ROOT_RAW,))
    assert (proof.holds, proof.documents) == (True, 1)
    forged = sign_receipt(receipt(1), key("receipt-9", Role.RECEIPT))
    lines = written((forged, closes(forged))).lines
    assert "UNKNOWN_KEY" in judged(tmp_path, lines, roots=(ROOT_RAW,)).broken


def test_of_many_missing_documents_the_first_are_named(tmp_path: Path) -> None:
    proof = judged(tmp_path, written(*((None, by_first(at)[1]) for at in range(30))).lines)
    assert (proof.holds, proof.missing_count, len(proof.missing)) == (True, 30, 20)
