"""After a key is revoked: what it had granted stands and is flagged, nothing new of it counts."""

import msgspec
import pytest

from gateway.core.signature import DocumentType, digest_of
from gateway.core.standing import Standing
from gateway.core.trust import Revocation
from gateway.core.trust_records import KeyRevoked
from gateway.utility.sign import payload_of
from tests.core.papers import (
    LEDGER_MS,
    allow_list,
    entry,
    receipt,
)  # fmt: skip
from tests.core.thieves import DO, STOLEN, feeder, signed
from tests.core.world import World
from tests.vectors import keys
from tests.vectors.keys import ANCHOR


def revoking(kid: str, after: int, seq: int = 2) -> bytes:
    root = msgspec.structs.replace(
        ANCHOR, seq=seq, revoked=(*ANCHOR.revoked, Revocation(kid=kid, after=after))
    )
    return signed(DocumentType.ROOT, root, keys.ROOTS[:2])


def flagged(world: World) -> KeyRevoked:
    [body] = [one.body for one, _ in world.journal if isinstance(one.body, KeyRevoked)]
    return body


def test_what_a_receipt_key_granted_since_it_was_stolen_stands_and_is_flagged() -> None:
    world, by = feeder(), (keys.RECEIPT,)
    for number, n in ((2, 600), (3, 800), (4, 801)):
        assert world.hand_in(signed(DocumentType.RECEIPT, receipt(number, n), by)) == "ACCEPTED"
    assert world.hand_in(revoking("receipt-1", LEDGER_MS + 700)) == "ACCEPTED"
    assert flagged(world).accounts == ("A3", "A4")
    assert flagged(world).kid == "receipt-1"
    assert all(world.standing(account) is Standing.PAID for account in ("A2", "A3", "A4"))


def test_a_revoked_receipt_key_counts_for_what_it_signed_before() -> None:
    world, by = feeder(), (keys.RECEIPT,)
    assert world.hand_in(revoking("receipt-1", LEDGER_MS + 700)) == "ACCEPTED"
    kind = DocumentType.RECEIPT
    assert world.hand_in(signed(kind, receipt(2, 701), by)) == "KEY_REVOKED"
    assert world.hand_in(signed(kind, receipt(2, 700), by)) == "ACCEPTED"


def test_the_list_of_a_revoked_key_is_flagged_and_the_next_one_of_another_key_heals_it() -> None:
    world = feeder()
    raw = signed(DocumentType.LIST, given := allow_list(2, 800, entry(2, 800)), (keys.LIST,))
    assert world.hand_in(raw) == "ACCEPTED"
    assert world.hand_in(revoking("list-1", LEDGER_MS + 700)) == "ACCEPTED"
    assert flagged(world).list == digest_of(payload_of(given))
    assert world.standing("A2") is Standing.PAID
    again = signed(DocumentType.LIST, allow_list(3, 900), (keys.LIST,))
    assert world.hand_in(again) == "KEY_REVOKED"


@pytest.mark.parametrize(
    ("kid", "deed"),
    [("order-1", "hold"), ("site-1", "roster"), ("time-1", "time"), ("list-1", "list")],
)
def test_nothing_new_of_a_revoked_key_counts(kid: str, deed: str) -> None:
    world = feeder()
    assert world.hand_in(revoking(kid, LEDGER_MS)) == "ACCEPTED"
    by = next(one for by in STOLEN.values() for one in by if one.kid == kid)
    assert DO[deed](world, (by,)) == "KEY_REVOKED"


def test_one_revoked_of_two_order_keys_cuts_nobody() -> None:
    world = feeder()
    assert world.hand_in(revoking("order-2", LEDGER_MS)) == "ACCEPTED"
    assert DO["cut"](world, keys.ORDERS) == "SECOND_KEY_MISSING"
