"""Who holds which key of the utility, and the roots that they hand on."""

import msgspec

from gateway.core.signature import DocumentType
from gateway.core.trust import Key, Revocation, Role, Root
from gateway.utility.sign import SigningKey, payload_of
from tests.core.world import World
from tests.signing import ISSUED_AT_MS, KEYS, envelope, key

TIME = key("time-1", Role.TIME)
RECOVERY = tuple(key(f"recovery-{at}", Role.RECOVERY) for at in (1, 2))
ROOTS = KEYS.roots
NEW_ROOTS = tuple(key(f"root-{at}", Role.ROOT) for at in (4, 5, 6))
HOLDERS = (*ROOTS, KEYS.site, KEYS.list, KEYS.receipt, *KEYS.orders, TIME, *RECOVERY)
FIRST = Root(
    seq=1,
    issued_at=ISSUED_AT_MS,
    keys=tuple(one.public() for one in HOLDERS),
    thresholds={Role.ROOT: 2, Role.RECOVERY: 2},
)


def next_root(
    before: Root = FIRST,
    *,
    out: tuple[str, ...] = (),
    new: tuple[SigningKey, ...] = (),
    revoked: tuple[Revocation, ...] = (),
    seq: int | None = None,
    issued_at: int | None = None,
) -> Root:
    """The root after one, without some keys and with others."""
    stay = tuple(one for one in before.keys if one.kid not in out)
    added: tuple[Key, ...] = tuple(one.public() for one in new)
    return msgspec.structs.replace(
        before,
        seq=before.seq + 1 if seq is None else seq,
        issued_at=before.issued_at if issued_at is None else issued_at,
        keys=(*stay, *added),
        revoked=(*before.revoked, *revoked),
    )


def signed(root: Root, *by: SigningKey) -> bytes:
    """A root as it travels, signed by two root keys where none is named."""
    return array(payload_of(root), *(by or ROOTS[:2]))


def array(payload: bytes, *by: SigningKey) -> bytes:
    """A payload under whatever keys, whether they may sign a root or not."""
    headers = ({"alg": one.alg, "kid": one.kid, "typ": DocumentType.ROOT} for one in by)
    tokens = [
        envelope(header, payload, one).decode() for header, one in zip(headers, by, strict=True)
    ]
    return msgspec.json.encode(tokens)


def trusting(world: World, root: Root = FIRST) -> World:
    """That world with another anchor."""
    world.image = msgspec.structs.replace(world.image, root=root)
    return world
