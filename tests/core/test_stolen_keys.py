"""What a stolen key can do, and what the gateway refuses to it: the damage of each is bounded."""

from typing import Any

import msgspec
import pytest

from gateway.core.documents import (
    AllowList,
    Time,
)
from gateway.core.model import SupplyState
from gateway.core.orders import Hold, Isolate, Reconnect, Resume
from gateway.core.reconnection import Verdict
from gateway.core.sequence import nonce_of
from gateway.core.signature import DocumentType
from gateway.core.standing import Standing
from gateway.core.trust import Role
from gateway.core.trust_records import RootInstalled
from tests.core.papers import (
    HOUR_MS,
    LEDGER_MS,
    M1,
    MINUTE_MS,
    NOON_MS,
    allow_list,
    cut,
    order,
    receipt,
)  # fmt: skip
from tests.core.thieves import (
    DO,
    M4,
    STOLEN,
    THIEF,
    feeder,
    grant,
    ordered,
    root,
    root_of_the_thief,
    signed,
    time,
)
from tests.vectors import keys
from tests.vectors.keys import ANCHOR
from tests.vectors.scene import DAY_MS

DEEDS = ("grant", "list", "roster", "hold", "cut", "release", "badge", "time", "root", "record")
TABLE = """
                   grant  list  roster  hold  cut  release  badge  time  root  record
nothing              .      .      .      .    .      .       .      .     .      .
receipt key          x      .      .      .    .      .       .      .     .      .
list key             .      x      .      .    .      .       .      .     .      .
site key             .      .      x      .    .      .       .      .     .      .
one order key        .      .      .      x    .      .       .      .     .      .
two order keys       .      .      .      x    x      x       .      .     .      .
badge key            .      .      .      .    .      .       x      .     .      .
time key             .      .      .      .    .      .       .      x     .      .
one root key         .      .      .      .    .      .       .      .     .      .
two root keys        .      .      .      .    .      .       .      .     x      .
one recovery key     .      .      .      .    .      .       .      .     .      .
recovery set         .      .      .      .    .      .       .      .     x      .
gateway's own        .      .      .      .    .      .       .      .     .      x
"""
"""x: it can; a dot: it is refused, and nothing changes."""


def cells() -> list[tuple[str, str, bool]]:
    """The table: who, what, and whether he can."""
    heading, *rows = TABLE.strip("\n").splitlines()
    assert tuple(heading.split()) == DEEDS == tuple(DO)
    found = []
    for row in rows:
        who, marks = row[:18].strip(), row[18:].split()
        found += [(who, deed, mark == "x") for deed, mark in zip(DEEDS, marks, strict=True)]
    return found


@pytest.mark.parametrize(("who", "deed", "can"), cells())
def test_what_a_thief_can_do_with(who: str, deed: str, can: bool) -> None:
    world = feeder()
    before = world.image.kept
    word = DO[deed](world, STOLEN[who])
    if can:
        assert word == "ACCEPTED"
        return
    assert word in {"UNKNOWN_KEY", "ROLE_NOT_ALLOWED", "BELOW_THRESHOLD", "SECOND_KEY_MISSING"}
    left = msgspec.structs.replace(world.image.kept, refusals={}, newest=before.newest)
    assert left == before, "a refusal changes nothing else"


def test_the_table_knows_every_role_and_every_type() -> None:
    assert {who for who, _, _ in cells()} == set(STOLEN)
    roles = {role for by in STOLEN.values() for one in by for role in one.roles}
    assert roles == set(Role)


# --- within its power, the damage is bounded ------------------------------------------------------


def test_a_receipt_key_grants_one_account_of_the_roster_at_its_own_meter() -> None:
    world, by = feeder(), (keys.RECEIPT,)
    kind = DocumentType.RECEIPT
    assert world.hand_in(signed(kind, receipt(77, 600), by)) == "NOT_ON_ROSTER"
    assert world.hand_in(signed(kind, receipt(2, 600, serial="M1"), by)) == "METER_MISMATCH"
    far = receipt(2, NOON_MS - LEDGER_MS + 2 * DAY_MS)
    assert world.hand_in(signed(kind, far, by)) == "N_IN_FUTURE"
    low_ms = world.image.kept.wall_low_ms
    assert grant(world, by) == "ACCEPTED"
    assert world.image.kept.wall_low_ms == low_ms, "it sets no clock"
    paid = [name for name in world.image.by_account if world.standing(name) is Standing.PAID]
    assert paid == ["A1", "A2"]


def test_a_receipt_key_closes_nothing_that_is_held() -> None:
    world = feeder()
    assert DO["hold"](world, keys.ORDERS[:1]) == "ACCEPTED"
    world.reads("M1", SupplyState.DISCONNECTED)
    raw = signed(DocumentType.RECEIPT, receipt(1, 600), (keys.RECEIPT,))
    assert world.hand_in(raw) == "ACCEPTED"
    assert world.rules(M1).verdict is Verdict.METER_HELD
    assert not world.plans().commands


def test_a_list_key_opens_no_switch() -> None:
    world = feeder()
    empty = signed(DocumentType.LIST, allow_list(2, 600), (keys.LIST,))
    assert world.hand_in(empty) == "ACCEPTED"
    assert world.standing("A1") is Standing.NONE
    assert not world.plans().commands
    assert not world.image.kept.tasks


def test_a_list_key_stands_against_nothing_that_is_to_come() -> None:
    world = feeder()
    far: AllowList = allow_list(2, NOON_MS - LEDGER_MS + 2 * DAY_MS)
    assert world.hand_in(signed(DocumentType.LIST, far, (keys.LIST,))) == "AS_OF_IN_FUTURE"
    world.trusts_no_clock()
    assert world.hand_in(signed(DocumentType.LIST, far, (keys.LIST,))) == "ACCEPTED"
    assert world.image.kept.wall_low_ms <= far.as_of


@pytest.mark.parametrize(
    "act",
    [
        Hold(meter="M1", reason="because"),
        Isolate(reason="because"),
        Resume(dt="T1", reason="because"),
        Reconnect(account="A2", meter="M2"),
    ],
    ids=lambda act: type(act).__name__,
)
def test_one_order_key_can_only_ask_for_what_darkens_nobody(act: Any) -> None:
    world = feeder()
    assert ordered(act)(world, keys.ORDERS[:1]) == "ACCEPTED"
    planned = world.plans()
    assert all(command.move == "CLOSE" for command in planned.commands)
    assert not world.image.kept.tasks
    assert world.standing("A2") is Standing.NONE, "it grants nothing"


def test_two_order_keys_cut_few_an_hour_by_day_and_nobody_protected() -> None:
    world, by = feeder(), keys.ORDERS
    kind = DocumentType.ORDER
    orders = iter(range(1, 20))

    def cuts(*numbers: int, n: int = 600) -> str:
        now_ms = world.now.wall_ms
        given = order(next(orders), cut(*numbers, n=n), iat=now_ms, boot=nonce_of(world.now))
        return world.hand_in(signed(kind, given, by))

    assert cuts(3) == "PROTECTED_ACCOUNT"
    assert cuts(1, n=400) == "EQUIVOCATION"
    assert cuts(1, n=399) == "NEWER_PAID"
    assert cuts(1, 2, 4) == "BULK_CEILING"
    assert cuts(2, 4) == "ACCEPTED"
    assert cuts(1) == "BULK_CEILING"
    world.wait(9 * HOUR_MS)
    world.hears()
    world.reads("M1", SupplyState.CONNECTED)
    assert cuts(1) == "PROTECTED_TIME"


def test_who_pays_comes_back_whatever_two_order_keys_have_done() -> None:
    world = feeder()
    assert DO["cut"](world, keys.ORDERS) == "ACCEPTED"
    assert world.standing("A4") is Standing.CUT
    [command] = world.plans().commands
    world.ends(command, state=SupplyState.DISCONNECTED)
    world.wait(2 * MINUTE_MS)
    assert world.pays(4, 700) == "ACCEPTED"
    assert world.rules(M4).verdict is Verdict.PERMIT


def test_a_time_key_sets_no_clock_that_a_trusted_source_knows_better() -> None:
    world = feeder()
    said = Time(nonce=nonce_of(world.now), now=NOON_MS + DAY_MS)
    raw = signed(DocumentType.TIME, said, (keys.TIME,))
    assert world.hand_in(raw) == "TIME_CONTRADICTED"


def test_what_a_time_key_has_done_ends_when_it_is_exchanged() -> None:
    world = feeder()
    assert time(world, (keys.TIME,)) == "ACCEPTED"
    assert world.image.kept.wall_low_ms == NOON_MS + 3_650 * DAY_MS
    assert world.standing("A1") is Standing.PAID, "no grant is lost to any clock"
    others = tuple(key for key in ANCHOR.keys if Role.TIME not in key.roles)
    following = msgspec.structs.replace(
        ANCHOR, seq=2, issued_at=NOON_MS, keys=(*others, keys.NEW_TIME.public()), revoked=()
    )
    assert world.hand_in(signed(DocumentType.ROOT, following, keys.ROOTS[:2])) == "ACCEPTED"
    installed = world.journal[-1][0].body
    assert isinstance(installed, RootInstalled)
    assert installed.clock_reset
    assert world.image.kept.wall_low_ms == NOON_MS
    assert world.image.kept.bound is None


def test_two_root_keys_cannot_get_rid_of_the_recovery_set_which_takes_everything_back() -> None:
    world, thieves = feeder(), STOLEN["two root keys"]
    own = tuple(keys.key(f"sealed-{at}", Role.RECOVERY).public() for at in (1, 2))
    rid = signed(DocumentType.ROOT, root_of_the_thief(own), (*thieves, *THIEF))
    assert world.hand_in(rid) == "ROLE_NOT_ALLOWED"
    assert root(world, thieves) == "ACCEPTED"
    assert grant(world, (keys.RECEIPT,)) == "UNKNOWN_KEY"
    mended = msgspec.structs.replace(
        ANCHOR,
        seq=3,
        keys=(
            *(key for key in ANCHOR.keys if Role.ROOT not in key.roles),
            *(one.public() for one in keys.NEW_ROOTS),
        ),
    )
    back = signed(DocumentType.ROOT, mended, (*keys.RECOVERY, *keys.NEW_ROOTS[:2]))
    assert world.hand_in(back) == "ACCEPTED"
    assert grant(world, (keys.RECEIPT,)) == "ACCEPTED"
    assert root(world, thieves) == "DUPLICATE", "it was followed once, and is not again"
    assert world.image.root == mended
