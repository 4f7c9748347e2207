"""Which root follows which: the handover, the recovery set, and what a revocation leaves."""

from collections.abc import Callable

import msgspec
import pytest

from gateway.core.fact import Road
from gateway.core.handover import ACCOUNTS_NAMED_MAX, claims_a_root
from gateway.core.image import restored
from gateway.core.kept import DAY_MS
from gateway.core.marks import Mark, Marks, Memory
from gateway.core.rotation import STEPS_MAX, load_root
from gateway.core.signature import LENGTH_MAX, DocumentType, digest_of
from gateway.core.trust import Revocation, Role, Root
from gateway.core.trust_records import JournalLost, KeyRevoked, RootInstalled
from gateway.utility.sign import SigningKey, payload_of
from tests.core.cutting import lit
from tests.core.papers import LEDGER_MS, M1, M2, NOON_MS, allow_list, cut, entry, meter, receipt
from tests.core.trustees import (
    FIRST,
    HOLDERS,
    NEW_ROOTS,
    RECOVERY,
    ROOTS,
    TIME,
    array,
    next_root,
    signed,
    trusting,
)
from tests.core.world import World
from tests.signing import KEYS, ROOT, ROOT_RAW, key, sign_list, sign_receipt, sign_site

LOST = ("root-1", "root-2", "root-3")
ALL_NEW = next_root(out=LOST, new=NEW_ROOTS)
OTHER_RECOVERY = tuple(key(f"recovery-{at}", Role.RECOVERY) for at in (3, 4))
TWIN = SigningKey("receipt-1", KEYS.receipt.alg, (Role.RECEIPT,), bytes(range(32)))
UNSIGNED = msgspec.structs.replace(FIRST, seq=2)

STEPS: list[tuple[str, bytes, str]] = [
    ("the next, by two of its keys", signed(next_root()), "ACCEPTED"),
    ("other root keys, by old and new", signed(ALL_NEW, *ROOTS[:2], *NEW_ROOTS[:2]), "ACCEPTED"),
    ("other root keys, by the recovery set and new", signed(ALL_NEW, *RECOVERY, *NEW_ROOTS[:2]),
     "ACCEPTED"),
    ("other recovery keys, by the recovery set",
     signed(next_root(out=("recovery-1", "recovery-2"), new=OTHER_RECOVERY), *RECOVERY,
            *ROOTS[:2]), "ACCEPTED"),
    ("other root keys, by the new alone", signed(ALL_NEW, *NEW_ROOTS[:2]), "BELOW_THRESHOLD"),
    ("other root keys, by the old alone", signed(ALL_NEW, *ROOTS[:2]), "BELOW_THRESHOLD"),
    ("other root keys, by one old and the new", signed(ALL_NEW, ROOTS[0], *NEW_ROOTS[:2]),
     "BELOW_THRESHOLD"),
    ("other root keys, by one recovery key and the new",
     signed(ALL_NEW, RECOVERY[0], *NEW_ROOTS[:2]), "BELOW_THRESHOLD"),
    ("other root keys, by one recovery key twice and the new",
     signed(ALL_NEW, RECOVERY[0], RECOVERY[0], *NEW_ROOTS[:2]), "BELOW_THRESHOLD"),
    ("the next, by one root key", signed(next_root(), ROOTS[0]), "BELOW_THRESHOLD"),
    ("the next, by one root key twice", signed(next_root(), ROOTS[0], ROOTS[0]),
     "BELOW_THRESHOLD"),
    ("the next, by the recovery set alone", signed(next_root(), *RECOVERY), "BELOW_THRESHOLD"),
    ("the next, by the list key too", signed(next_root(), *ROOTS[:2], KEYS.list),
     "ROLE_NOT_ALLOWED"),
    ("the next, by a stranger too", signed(next_root(), *ROOTS[:2], key("root-9", Role.ROOT)),
     "UNKNOWN_KEY"),
    ("another recovery set, by the root keys",
     signed(next_root(out=("recovery-1",), new=OTHER_RECOVERY[:1])), "ROLE_NOT_ALLOWED"),
    ("no recovery set, by the root keys",
     signed(next_root(out=("recovery-1", "recovery-2"))), "ROLE_NOT_ALLOWED"),
    ("a revoked root key's signature for it",
     signed(next_root(revoked=(Revocation(kid="root-1", after=0),))), "BELOW_THRESHOLD"),
    ("another key of a known name", signed(next_root(out=("receipt-1",), new=(TWIN,))),
     "MALFORMED_PAYLOAD"),
    ("a role with too few keys",
     signed(msgspec.structs.replace(UNSIGNED, thresholds={"root": 2, "recovery": 2, "list": 2})),
     "MALFORMED_PAYLOAD"),
    ("a gateway's own key",
     signed(next_root(new=(key("gw-1", Role.GATEWAY),))), "MALFORMED_PAYLOAD"),
    ("a recovery key in use",
     signed(next_root(new=(key("both-1", Role.RECOVERY, Role.LIST),))), "MALFORMED_PAYLOAD"),
    ("a payload that is no root, rightly signed",
     array(b'{"seq":2}', *ROOTS[:2]), "MALFORMED_PAYLOAD"),
    ("a payload that is no root, by a stranger",
     array(b'{"seq":2}', key("root-9", Role.ROOT)), "UNKNOWN_KEY"),
    ("one step too far", signed(next_root(seq=3)), "ROOT_STEP_MISSING"),
    ("an older one", signed(next_root(seq=0)), "SEQ_OLD"),
    ("another one of its number", signed(next_root(seq=1, issued_at=5)), "EQUIVOCATION"),
    ("the anchor itself", signed(FIRST), "DUPLICATE"),
    ("a long one", signed(next_root())[:-1] + b" " * LENGTH_MAX[DocumentType.ROOT] + b"]",
     "TOO_LONG"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "raw", "word"), STEPS, ids=[row[0] for row in STEPS])
def test_to_the_first_root_comes(said: str, raw: bytes, word: str) -> None:
    world = trusting(World(M1))
    assert world.hand_in(raw) == word
    assert world.image.root.seq == (2 if word == "ACCEPTED" else 1)
    assert len(world.image.kept.roots) == world.image.root.seq - 1
    if word == "ACCEPTED":
        assert world.hand_in(raw) == "DUPLICATE"


def test_a_long_way_is_walked_offline_and_walked_again_in_vain() -> None:
    world, root, steps = trusting(World(M1)), FIRST, []
    for _ in range(30):
        root = next_root(root)
        steps.append(signed(root))
    assert {world.hand_in(step, Road.LOCAL) for step in steps} == {"ACCEPTED"}
    assert world.image.root == root
    assert {world.hand_in(step, Road.LOCAL) for step in steps} == {"DUPLICATE"}


def test_after_so_many_steps_a_newer_anchor_has_to_be_installed() -> None:
    world = trusting(World(M1))
    kept = msgspec.structs.replace(world.image.kept, roots=("d",) * STEPS_MAX)
    world.image = msgspec.structs.replace(world.image, kept=kept)
    assert world.hand_in(signed(next_root())) == "TOO_MANY_STEPS"


def test_a_root_that_came_by_a_handover_serves_as_an_anchor() -> None:
    assert load_root(signed(ALL_NEW, *ROOTS[:2], *NEW_ROOTS[:2])) == ALL_NEW
    assert load_root(signed(ALL_NEW, *RECOVERY, *NEW_ROOTS[:2])) == ALL_NEW
    assert load_root(ROOT_RAW) == ROOT


def test_the_root_in_force_and_its_documents_outlive_a_restart() -> None:
    world = trusting(World(M1))
    assert world.hand_in(signed(next_root(out=("list-1",), new=()))) == "ACCEPTED"
    world.restarts()
    assert world.image.root.seq == 2
    assert world.gets(allow_list(1, 100)) == "UNKNOWN_KEY"


def test_a_newer_anchor_takes_the_place_of_what_was_kept() -> None:
    world = trusting(World(M1))
    assert world.hand_in(signed(next_root())) == "ACCEPTED"
    far = next_root(next_root(next_root()))
    kept = world.image.kept
    blank = trusting(World(), far).image
    assert restored(blank, kept).root == far


def test_a_newer_anchor_makes_room_for_as_many_steps_again() -> None:
    world = trusting(World(M1))
    second = next_root()
    assert world.hand_in(signed(second)) == "ACCEPTED"
    many = msgspec.structs.replace(world.image.kept, roots=("d",) * STEPS_MAX)
    world.image = restored(trusting(World(), second).image, many)
    third = next_root(second)
    assert world.hand_in(signed(third)) == "ACCEPTED"
    assert (world.image.root, len(world.image.kept.roots)) == (third, 1)


def test_in_place_of_a_lost_root_only_that_one_comes_back() -> None:
    world = trusting(World(M1))
    mark = Mark(seq=2, digest=digest_of(payload_of(next_root())))
    world.record(JournalLost(trouble="CORRUPT", marks=Marks(root=mark), amnesia=False))
    assert world.hand_in(signed(next_root(issued_at=5))) == "EQUIVOCATION"
    assert (world.image.root.seq, world.image.memory) == (1, Memory.BEHIND)
    assert world.hand_in(signed(next_root())) == "ACCEPTED"
    assert (world.image.root.seq, world.image.memory) == (2, Memory.WHOLE)


def test_an_expired_root_still_counts_and_can_be_followed() -> None:
    world = trusting(World(M1), msgspec.structs.replace(FIRST, expires=1))
    assert world.pays(1) == "ACCEPTED"
    assert world.hand_in(signed(next_root(world.image.root))) == "ACCEPTED"


# --- revocation ---


def revoked(world: World, kid: str, after: int, *out: str) -> KeyRevoked:
    root = next_root(out=out, revoked=(Revocation(kid=kid, after=LEDGER_MS + after),))
    assert world.hand_in(signed(root, *ROOTS[:2])) == "ACCEPTED"
    installed, flagged = (record.body for record, _ in world.journal[-2:])
    assert isinstance(installed, RootInstalled)
    assert isinstance(flagged, KeyRevoked)
    return flagged


def test_what_a_revoked_key_has_granted_since_is_flagged_and_stands() -> None:
    world = trusting(World(M1, M2))
    assert world.pays(1, n=100) == "ACCEPTED"
    assert world.pays(2, n=200) == "ACCEPTED"
    before = world.standings()
    flagged = revoked(world, "receipt-1", 100)
    assert (flagged.kid, flagged.after) == ("receipt-1", LEDGER_MS + 100)
    assert (flagged.accounts, flagged.more, flagged.list) == (("A2",), 0, None)
    assert world.standings() == before


def test_a_list_of_a_revoked_key_is_flagged_by_its_digest() -> None:
    world = trusting(World(M1))
    assert world.lists(500, entry(1, 400)) == "ACCEPTED"
    in_force = world.image.kept.list_in_force
    assert in_force is not None
    assert revoked(world, "list-1", 499).list == in_force.digest


@pytest.mark.parametrize(("kid", "after"), [("list-1", 500), ("receipt-1", 0)])
def test_a_list_of_before_or_of_another_key_is_not_flagged(kid: str, after: int) -> None:
    world = trusting(World(M1))
    assert world.lists(500, entry(1, 400)) == "ACCEPTED"
    assert revoked(world, kid, after).list is None


def test_of_many_accounts_the_first_are_named_and_the_others_counted() -> None:
    count = ACCOUNTS_NAMED_MAX + 3
    world = trusting(World())
    meters = tuple(meter(at) for at in range(1, 248))
    assert world.site(*meters) == "ACCEPTED"
    for at in range(1, count + 1):
        assert world.pays(at) == "ACCEPTED"
    flagged = revoked(world, "receipt-1", 0)
    assert (len(flagged.accounts), flagged.more) == (ACCOUNTS_NAMED_MAX, 3)


def test_the_same_revocation_in_a_later_root_flags_nothing_again() -> None:
    world = trusting(World(M1))
    assert world.pays(1, n=100) == "ACCEPTED"
    revoked(world, "receipt-1", 0)
    number = len(world.journal)
    assert world.hand_in(signed(next_root(world.image.root))) == "ACCEPTED"
    assert [type(record.body) for record, _ in world.journal[number:]] == [RootInstalled]


Comes = Callable[[World], str]


def a_receipt(n: int) -> Comes:
    return lambda world: world.hand_in(sign_receipt(receipt(1, n)))


def a_list(as_of: int) -> Comes:
    return lambda world: world.hand_in(sign_list(allow_list(2, as_of, entry(1, 50))))


def a_site(world: World) -> str:
    before = world.image.kept.site
    assert before is not None
    return world.hand_in(sign_site(msgspec.structs.replace(before, seq=before.seq + 1)))


AFTER: list[tuple[str, str, Comes, str]] = [
    ("a receipt of the instant", "receipt-1", a_receipt(1_000), "ACCEPTED"),
    ("a receipt of after", "receipt-1", a_receipt(1_001), "KEY_REVOKED"),
    ("a receipt, while another key is revoked", "list-1", a_receipt(1_001), "ACCEPTED"),
    ("a list of the instant", "list-1", a_list(1_000), "ACCEPTED"),
    ("a list of after", "list-1", a_list(1_001), "KEY_REVOKED"),
    ("a site, which has no time of issue", "site-1", a_site, "KEY_REVOKED"),
]


@pytest.mark.parametrize(("said", "kid", "comes", "word"), AFTER, ids=[row[0] for row in AFTER])
def test_after_a_revocation_comes(said: str, kid: str, comes: Comes, word: str) -> None:
    world = trusting(World(M1))
    revoked(world, kid, 1_000)
    assert comes(world) == word


def test_one_of_two_signatures_by_a_revoked_key_does_not_cut() -> None:
    world = trusting(lit(M1, M2))
    revoked(world, "order-2", 0)
    assert world.ordered(cut(1)) == "SECOND_KEY_MISSING"


def test_the_earliest_of_two_revocations_of_a_key_counts() -> None:
    root: Root = msgspec.structs.replace(
        FIRST,
        revoked=(Revocation(kid="list-1", after=9), Revocation(kid="list-1", after=4)),
    )
    assert root.revoked_after("list-1") == 4
    assert root.revoked_after("site-1") is None


# --- the clock's keys ---


def test_the_exchange_of_the_time_keys_takes_back_what_they_said() -> None:
    world = trusting(World(M1))
    world.trusts_no_clock()
    far = msgspec.structs.replace(world.now, wall_low_ms=NOON_MS + 9_000 * DAY_MS)
    world.now = far  # whoever stole the time key put the clock far ahead
    root = next_root(out=("time-1",), new=(key("time-2", Role.TIME),), issued_at=NOON_MS)
    assert world.hand_in(signed(root)) == "ACCEPTED"
    assert world.image.kept.wall_low_ms == NOON_MS
    assert world.image.kept.firm_low_ms == NOON_MS
    assert world.now.wall_low_ms == NOON_MS


def test_a_handover_that_leaves_the_time_keys_leaves_the_clock() -> None:
    world = trusting(World(M1))
    low_ms = world.now.wall_low_ms
    assert world.hand_in(signed(next_root())) == "ACCEPTED"
    assert world.image.kept.wall_low_ms == low_ms


def test_every_holder_is_one_of_the_first_root() -> None:
    assert {one.kid for one in HOLDERS} == {one.kid for one in FIRST.keys}
    assert FIRST.of_role(Role.TIME) == (TIME.public(),)


@pytest.mark.parametrize("raw", [b"[]", b"x", b"a.b.c", b"[1]"])
def test_what_can_not_be_read_is_no_root(raw: bytes) -> None:
    assert not claims_a_root(raw)
    assert World().hand_in(raw) == "MALFORMED_ENVELOPE"
