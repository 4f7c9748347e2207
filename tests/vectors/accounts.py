"""Vectors of receipts and lists: what they say, for whom, in which order, and when."""

from collections.abc import Iterator

import msgspec

from gateway.core.documents import AllowList, ListEntry, Receipt
from gateway.core.sequence import SEQ_JUMP_MAX
from gateway.core.signature import DocumentType
from gateway.core.trust import Role
from gateway.utility.sign import SigningKey, payload_of
from tests.core.papers import LEDGER_MS, NOON_MS, allow_list, entry, receipt
from tests.vectors import keys
from tests.vectors.keys import REVOKED, REVOKED_AFTER_MS, signed
from tests.vectors.scene import DAY_MS, NONCE, WITH_SITE, Scene, Vector

WITH_LIST = Scene(given=("site", "list"))
WITH_RECEIPT = Scene(given=("site", "receipt"))
LIST_5 = allow_list(5, 500, entry(1, 400), entry(2, 300, cut=True))


def vectors() -> Iterator[Vector]:
    """Every vector of receipts and lists beyond the envelope."""
    for name, word, why, paper, scene in _receipts():
        yield _vector(name, word, why, paper, scene, keys.RECEIPT)
    for name, word, why, list_, scene in _lists():
        yield _vector(name, word, why, list_, scene, keys.LIST)
    yield from _of_revoked_keys()
    yield Vector(
        name="list-unknown-members",
        type=DocumentType.LIST,
        raw=signed(DocumentType.LIST, payload_of(LIST_5)[:-1] + b',"note":"March"}', keys.LIST),
        word="ACCEPTED",
        why="Members that nobody knows are ignored in everything but orders.",
        scene=WITH_SITE,
    )


def _vector(
    name: str, word: str, why: str, paper: Receipt | AllowList, scene: Scene, by: SigningKey
) -> Vector:
    kind = DocumentType.RECEIPT if isinstance(paper, Receipt) else DocumentType.LIST
    raw = signed(kind, payload_of(paper), by)
    return Vector(name=name, type=kind, raw=raw, word=word, why=why, scene=scene)


def _receipts() -> Iterator[tuple[str, str, str, Receipt, Scene]]:
    first, late = receipt(1, 100, ref="4471"), receipt(1, 100, exp=NOON_MS - 1_001)
    yield "receipt-again", "DUPLICATE", "The same receipt again.", first, WITH_RECEIPT
    yield "receipt-newer", "ACCEPTED", "The next payment.", receipt(1, 101), WITH_RECEIPT
    yield (
        "receipt-older", "OLDER_THAN_STANDING", "A newer payment is known.", receipt(1, 99),
        WITH_RECEIPT,
    )  # fmt: skip
    yield (
        "receipt-older-than-list", "OLDER_THAN_STANDING", "The list knows a newer word.",
        receipt(1, 399), WITH_LIST,
    )  # fmt: skip
    yield (
        "receipt-newer-than-list", "ACCEPTED", "Paid after the list was made.", receipt(2, 501),
        WITH_LIST,
    )  # fmt: skip
    yield "receipt-here", "ACCEPTED", "For this gateway.", receipt(1, 1, gateway="gw-1"), WITH_SITE
    yield (
        "receipt-elsewhere", "WRONG_AUDIENCE", "For another gateway.",
        receipt(1, 1, gateway="gw-2"), WITH_SITE,
    )  # fmt: skip
    yield (
        "receipt-no-roster", "NOT_ON_ROSTER", "Without a site document nobody is known.", first,
        Scene(),
    )  # fmt: skip
    yield "receipt-nobody", "NOT_ON_ROSTER", "No account of here.", receipt(77, 1), WITH_SITE
    yield (
        "receipt-other-meter", "METER_MISMATCH", "Another account's meter.",
        receipt(1, 1, serial="M2"), WITH_SITE,
    )  # fmt: skip
    yield "receipt-expired", "EXPIRED", "It had to be handed in before.", late, WITH_SITE
    yield (
        "receipt-expired-no-clock",
        "EXPIRED",
        "A lower bound of the time is enough to say that it is too late.",
        late,
        Scene(given=("site",), clock="noon, no trusted source"),
    )
    yield (
        "receipt-1970", "ACCEPTED", "A calendar of 1970 is no reason: it is not past its expiry.",
        first, Scene(given=("site",), clock="1970 on the calendar"),
    )  # fmt: skip
    yield (
        "receipt-2038", "ACCEPTED", "An untrusted calendar of 2038 is no reason either.", first,
        Scene(given=("site",), clock="2038 on the calendar, not trusted"),
    )  # fmt: skip
    yield (
        "receipt-ten-years-on", "EXPIRED", "Ten years later, and that is certain.", first,
        Scene(given=("site",), clock="ten years on, trusted"),
    )  # fmt: skip
    ahead = receipt(1, NOON_MS - LEDGER_MS + DAY_MS + 1_000)
    yield "receipt-a-day-ahead", "ACCEPTED", "A ledger may be a day ahead.", ahead, WITH_SITE
    yield (
        "receipt-in-future",
        "N_IN_FUTURE",
        "More than a day ahead, it would stand against all that is to come.",
        msgspec.structs.replace(ahead, n=ahead.n + 1),
        WITH_SITE,
    )


def _lists() -> Iterator[tuple[str, str, str, AllowList, Scene]]:
    yield "list", "ACCEPTED", "The full list of paid accounts.", LIST_5, WITH_SITE
    yield "list-again", "DUPLICATE", "The list in force again.", LIST_5, WITH_LIST
    yield (
        "list-empty",
        "ACCEPTED",
        "Nobody is cut by it.",
        _next(6, 600),
        WITH_LIST,
    )
    yield (
        "list-nonce", "ACCEPTED", "It echoes what this gateway said of late.",
        msgspec.structs.replace(_next(6, 600), nonce=NONCE), WITH_LIST,
    )  # fmt: skip
    yield (
        "list-equivocation", "EQUIVOCATION", "Another list of a number that is known.",
        _next(5, 600), WITH_LIST,
    )  # fmt: skip
    yield "list-seq-old", "SEQ_OLD", "A list from before.", _next(4, 600), WITH_LIST
    yield (
        "list-seq-jump", "SEQ_JUMP", "Too far ahead: nothing could follow it.",
        _next(6 + SEQ_JUMP_MAX, 600), WITH_LIST,
    )  # fmt: skip
    yield (
        "list-seq-farthest", "ACCEPTED", "As far ahead as a list may be.",
        _next(5 + SEQ_JUMP_MAX, 600), WITH_LIST,
    )  # fmt: skip
    yield (
        "list-as-of-fell",
        "AS_OF_FELL",
        "A newer list of an older ledger.",
        _next(6, 499),
        WITH_LIST,
    )
    far = allow_list(6, NOON_MS - LEDGER_MS + DAY_MS + 1_001)
    yield "list-in-future", "AS_OF_IN_FUTURE", "Of a ledger day that is to come.", far, WITH_LIST
    yield (
        "list-elsewhere", "WRONG_AUDIENCE", "For another gateway.",
        allow_list(1, 500, gateway="gw-2"), WITH_SITE,
    )  # fmt: skip
    yield (
        "list-account-twice", "DUPLICATE_ACCOUNT", "An account stands twice.",
        _next(6, 600, entry(1, 500), entry(1, 501)), WITH_LIST,
    )  # fmt: skip
    yield (
        "list-entry-after-as-of", "ENTRY_AFTER_AS_OF", "A payment after the list was made.",
        _next(6, 600, entry(1, 601)), WITH_LIST,
    )  # fmt: skip
    yield (
        "list-entry-equivocation", "EQUIVOCATION",
        "The same ledger time names another meter than the receipt did.",
        allow_list(5, 500, entry(1, 100, serial="M9")), WITH_RECEIPT,
    )  # fmt: skip
    yield (
        "list-stale", "ACCEPTED", "Past its stale_after it still grants; it takes nobody off.",
        allow_list(6, 600, entry(1, 500), stale_after=NOON_MS - 2_000), WITH_LIST,
    )  # fmt: skip


def _next(seq: int, as_of: int, *entries: ListEntry) -> AllowList:
    return allow_list(seq, as_of, *entries)


def _of_revoked_keys() -> Iterator[Vector]:
    before = REVOKED_AFTER_MS - LEDGER_MS
    for name, n, word, why in (
        ("before", before, "ACCEPTED", "What a key signed before it was revoked counts."),
        ("after", before + 1, "KEY_REVOKED", "What it signed since then does not."),
    ):
        by = REVOKED[Role.RECEIPT]
        yield _vector(f"receipt-revoked-{name}", word, why, receipt(1, n), WITH_SITE, by)
        by = REVOKED[Role.LIST]
        yield _vector(f"list-revoked-{name}", word, why, allow_list(5, n), WITH_SITE, by)
    raw = keys.together(
        DocumentType.RECEIPT,
        payload_of(receipt(1, 100)),
        REVOKED[Role.RECEIPT],
        keys.RECEIPT,
    )
    yield Vector(
        name="receipt-revoked-and-another",
        type=DocumentType.RECEIPT,
        raw=raw,
        word="ACCEPTED",
        why="One of its two keys is revoked; the other is as many as it takes.",
        scene=WITH_SITE,
    )
