"""Thieves: which keys they hold, and what they try with them at a working feeder."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gateway.core.documents import (
    Checkpoint,
    Site,
    Time,
    decode_checkpoint,
)
from gateway.core.model import SupplyState
from gateway.core.orders import Hold, ReleaseForce
from gateway.core.people import Badge, TechnicianRole
from gateway.core.reading import read_badge
from gateway.core.sequence import nonce_of
from gateway.core.signature import DocumentType, Rejected, verify
from gateway.core.terms import Disconnection
from gateway.core.trust import Key, Role, Root
from gateway.utility.sign import SigningKey, payload_of
from tests.core.papers import (
    M1,
    M2,
    NOON_MS,
    allow_list,
    cut,
    entry,
    meter,
    order,
    receipt,
)
from tests.core.world import World
from tests.vectors import keys
from tests.vectors.keys import ANCHOR, together
from tests.vectors.scene import DAY_MS
from tests.vectors.sites import VERIFIER

M3 = msgspec.structs.replace(meter(3), protected=True)
M4 = meter(4)
STOLEN: Mapping[str, tuple[SigningKey, ...]] = {
    "nothing": (keys.STRANGER,),
    "receipt key": (keys.RECEIPT,),
    "list key": (keys.LIST,),
    "site key": (keys.SITE,),
    "one order key": keys.ORDERS[:1],
    "two order keys": keys.ORDERS,
    "badge key": (keys.BADGE,),
    "time key": (keys.TIME,),
    "one root key": keys.ROOTS[:1],
    "two root keys": keys.ROOTS[:2],
    "one recovery key": keys.RECOVERY[:1],
    "recovery set": keys.RECOVERY,
    "gateway's own": (keys.GATEWAY,),
}
THIEF = tuple(keys.key(f"thief-{at}", Role.ROOT) for at in (1, 2))


def feeder() -> World:
    """A gateway at noon: A1 is paid, all are supplied and read, the head end is heard."""
    world = World(M1, M2, M3, M4, disconnection=Disconnection(hour_max=2))
    world.image = msgspec.structs.replace(world.image, root=ANCHOR)
    assert world.lists(500, entry(1, 400)) == "ACCEPTED"
    world.hears()
    for one in (M1, M2, M3, M4):
        world.reads(one.serial, SupplyState.CONNECTED)
    world.image = msgspec.structs.replace(
        world.image, kept=msgspec.structs.replace(world.image.kept, forced=("M2",))
    )
    return world


def signed(kind: DocumentType, document: Any, by: tuple[SigningKey, ...]) -> bytes:
    return together(kind, payload_of(document), *by)


# --- the deeds ------------------------------------------------------------------------------------


def grant(world: World, by: tuple[SigningKey, ...]) -> str:
    return world.hand_in(signed(DocumentType.RECEIPT, receipt(2, 600), by))


def lists(world: World, by: tuple[SigningKey, ...]) -> str:
    return world.hand_in(signed(DocumentType.LIST, allow_list(2, 600, entry(2, 600)), by))


def roster(world: World, by: tuple[SigningKey, ...]) -> str:
    site = Site(gateway="gw-1", seq=2, feeder="feeder-1", meters=(M1,))
    return world.hand_in(signed(DocumentType.SITE, site, by))


def ordered(act: Any) -> Callable[[World, tuple[SigningKey, ...]], str]:
    return lambda world, by: world.hand_in(signed(DocumentType.ORDER, order(1, act), by))


def badge(world: World, by: tuple[SigningKey, ...]) -> str:
    given = Badge(
        id="tech-9", name="Nobody", roles=(TechnicianRole.SUPERVISOR,), iat=NOON_MS,
        exp=NOON_MS + DAY_MS, code=VERIFIER,
    )  # fmt: skip
    raw = signed(DocumentType.BADGE, given, by)
    return _of_another_door(lambda: read_badge(raw, ANCHOR))


def time(world: World, by: tuple[SigningKey, ...]) -> str:
    world.trusts_no_clock()
    said = Time(nonce=nonce_of(world.now), now=NOON_MS + 3_650 * DAY_MS)
    return world.hand_in(signed(DocumentType.TIME, said, by))


def root(world: World, by: tuple[SigningKey, ...]) -> str:
    """All keys are the thief's from now on, but for the recovery set."""
    return world.hand_in(signed(DocumentType.ROOT, root_of_the_thief(), (*by, *THIEF)))


def record(world: World, by: tuple[SigningKey, ...]) -> str:
    said = Checkpoint(gateway="gw-1", number=1, chain="0" * 64, wall_ms=NOON_MS, trusted=True)
    raw = signed(DocumentType.RECORD, said, by)
    taken = frozenset({DocumentType.RECORD})
    return _of_another_door(lambda: decode_checkpoint(verify(raw, taken, keys.ENROLLED)))


def _of_another_door(judged: Callable[[], object]) -> str:
    try:
        judged()
    except Rejected as flaw:
        return str(flaw.flaw)
    return "ACCEPTED"


def root_of_the_thief(recovery: tuple[Key, ...] = ANCHOR.of_role(Role.RECOVERY)) -> Root:
    own = tuple(one.public() for one in THIEF)
    return msgspec.structs.replace(ANCHOR, seq=2, keys=(*own, *recovery), revoked=())


DO: Mapping[str, Callable[[World, tuple[SigningKey, ...]], str]] = {
    "grant": grant,
    "list": lists,
    "roster": roster,
    "hold": ordered(Hold(meter="M1", reason="because")),
    "cut": ordered(cut(4, n=600)),
    "release": ordered(ReleaseForce(meters=("M2",))),
    "badge": badge,
    "time": time,
    "root": root,
    "record": record,
}
