"""Vectors of roots, times, badges and records: who may sign, when it is, who somebody is."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from gateway.core.documents import Checkpoint, Time
from gateway.core.people import Badge, TechnicianRole
from gateway.core.signature import DocumentType
from gateway.core.trust import Revocation, Role, Root
from gateway.utility.sign import SigningKey, payload_of
from tests.core.papers import NOON_MS
from tests.vectors import keys
from tests.vectors.keys import ANCHOR, NEW_ROOTS, RECOVERY, REVOKED, ROOTS, signed, together
from tests.vectors.scene import DAY_MS, NONCE, Scene, Vector
from tests.vectors.sites import VERIFIER, WEAK_VERIFIER


def vectors() -> Iterator[Vector]:
    """Every vector of roots, times, badges and records."""
    yield from _roots()
    yield from _bad_roots()
    yield from _times()
    yield from _badges()
    yield from _records()


def _next(seq: int = 2, **changes: Any) -> Root:
    return msgspec.structs.replace(ANCHOR, seq=seq, issued_at=ANCHOR.issued_at + DAY_MS, **changes)


def _without(*roles: Role) -> tuple[Any, ...]:
    return tuple(key for key in ANCHOR.keys if not set(roles) & set(key.roles))


def _public(*given: SigningKey) -> tuple[Any, ...]:
    return tuple(key.public() for key in given)


AFTER_2 = Scene(given=("root-2",))
NEW_KEYS = (*_without(Role.ROOT), *_public(*NEW_ROOTS))
OTHER_RECOVERY = (*_without(Role.RECOVERY), keys.REVOKED[Role.RECOVERY].public())
Row = tuple[str, str, str, Root, tuple[SigningKey, ...], Scene]


def _roots() -> Iterator[Vector]:
    two, both = ROOTS[:2], (*ROOTS[:2], *NEW_ROOTS[:2])
    third = _next(3, keys=NEW_KEYS)
    revoking = _next(3, revoked=(*ANCHOR.revoked, Revocation(kid="receipt-1", after=NOON_MS)))
    fewer = {**keys.THRESHOLDS, Role.RECOVERY: 1}
    anchor = Scene()
    rows: tuple[Row, ...] = (
        ("2", "ACCEPTED", "Root 2, signed by two root keys of the anchor.", _next(), two,
         anchor),
        ("2-again", "DUPLICATE", "A root that was followed already.", _next(), two, AFTER_2),
        ("1-again", "DUPLICATE", "The anchor itself, still in force.", ANCHOR, two, anchor),
        ("2-other", "EQUIVOCATION", "Another root 2.", _next(expires=NOON_MS), two, AFTER_2),
        ("3-skips-2", "ROOT_STEP_MISSING", "Root 3 before root 2.", third, both, anchor),
        ("3-new-keys", "ACCEPTED", "The root keys are exchanged: the old and the new ones sign.",
         third, both, AFTER_2),
        ("3-new-keys-alone", "BELOW_THRESHOLD", "The new keys cannot bring themselves in.", third,
         NEW_ROOTS[:2], AFTER_2),
        ("3-old-keys-alone", "BELOW_THRESHOLD", "The new keys have to sign as well.", third, two,
         AFTER_2),
        ("3-by-recovery", "ACCEPTED", "The recovery set in place of the root keys.", third,
         (*RECOVERY, *NEW_ROOTS[:2]), AFTER_2),
        ("3-by-one-recovery", "BELOW_THRESHOLD", "One key of the recovery set is not the set.",
         third, (RECOVERY[0], *NEW_ROOTS[:2]), AFTER_2),
        ("2-after-3", "SEQ_OLD", "A root from before that was never followed.",
         _next(expires=NOON_MS), two, Scene(given=("root-2", "root-3-revokes"))),
        ("3-revokes", "ACCEPTED", "Key receipt-1 is revoked.", revoking, two, AFTER_2),
        ("2-one-key", "BELOW_THRESHOLD", "One root key where two are needed.", _next(), ROOTS[:1],
         anchor),
        ("2-one-key-twice", "BELOW_THRESHOLD", "One root key twice.", _next(),
         (ROOTS[0], ROOTS[0]), anchor),
        ("2-by-others", "ROLE_NOT_ALLOWED", "Order keys sign no root.", _next(), keys.ORDERS,
         anchor),
        ("2-other-recovery", "ROLE_NOT_ALLOWED",
         "Root keys exchange the recovery set: only it may do that itself.",
         _next(keys=OTHER_RECOVERY, thresholds=fewer), two, anchor),
        ("2-expired", "ACCEPTED", "An expired root is an alarm, no reason to refuse it.",
         _next(expires=NOON_MS - DAY_MS), two, anchor),
        ("2-unsigned-by-revoked", "BELOW_THRESHOLD", "A key that it revokes does not sign it.",
         _next(revoked=(Revocation(kid="root-1", after=NOON_MS),)), two, anchor),
    )  # fmt: skip
    for name, word, why, root, by, scene in rows:
        yield _root_vector(name, word, why, payload_of(root), by, scene)


def _root_vector(
    name: str, word: str, why: str, payload: bytes, by: tuple[SigningKey, ...], scene: Scene
) -> Vector:
    raw = together(DocumentType.ROOT, payload, *by)
    return Vector(
        name=f"root-{name}", type=DocumentType.ROOT, raw=raw, word=word, why=why, scene=scene
    )


def _bad_roots() -> Iterator[Vector]:
    twin = msgspec.structs.replace(keys.RECEIPT.public(), kid="receipt-7")
    renamed = msgspec.structs.replace(keys.STRANGER.public(), kid="receipt-1")
    wide = msgspec.structs.replace(RECOVERY[0].public(), roles=(Role.RECOVERY, Role.RECEIPT))
    mine = keys.GATEWAY.public()
    plain: Mapping[str, Any] = msgspec.to_builtins(_next())
    rows: tuple[tuple[str, str, bytes], ...] = (
        ("kid-twice", "Two keys have one kid.",
         payload_of(_next(keys=(*ANCHOR.keys, ANCHOR.keys[0])))),
        ("key-twice", "One key under two kids would count as two.",
         payload_of(_next(keys=(*ANCHOR.keys, twin)))),
        ("kid-reused", "A known kid for another key.",
         payload_of(_next(keys=(*(k for k in ANCHOR.keys if k.kid != "receipt-1"), renamed)))),
        ("no-threshold", "A threshold of nothing.",
         payload_of(_next(thresholds={**keys.THRESHOLDS, "order": 0}))),
        ("unknown-role", "A role that is none.",
         payload_of(_next(thresholds={**keys.THRESHOLDS, "king": 1}))),
        ("too-few", "Fewer keys than its own threshold.",
         payload_of(_next(thresholds={**keys.THRESHOLDS, "root": 4}))),
        ("gateway-key", "A gateway's own key.", payload_of(_next(keys=(*ANCHOR.keys, mine)))),
        ("recovery-used", "A recovery key is sealed away: it has no other role.",
         payload_of(_next(keys=(*_without(Role.RECOVERY), wide, RECOVERY[1].public())))),
        ("no-point", "A public key that is none.",
         msgspec.json.encode({**plain, "keys": [{**plain["keys"][0], "public": "AAAA"}]})),
        ("no-keys", "The keys are missing.", msgspec.json.encode({**plain, "keys": None})),
    )  # fmt: skip
    for name, why, payload in rows:
        yield _root_vector(f"2-{name}", "MALFORMED_PAYLOAD", why, payload, ROOTS[:2], Scene())
    unknown = payload_of(_next())[:-1] + b',"colour":"red"}'
    why = "Members that nobody knows are ignored in everything but orders."
    yield _root_vector("2-unknown-members", "ACCEPTED", why, unknown, ROOTS[:2], Scene())


def _times() -> Iterator[Vector]:
    kind = DocumentType.TIME
    unsure = Scene(clock="noon, no trusted source")
    other = "boot-0@18000000"
    old = keys.REVOKED_AFTER_MS + 1
    rows: tuple[tuple[str, str, str, Time, SigningKey, Scene], ...] = (
        ("", "ACCEPTED", "The time, for a nonce that the gateway has just given.",
         Time(nonce=NONCE, now=NOON_MS), keys.TIME, unsure),
        ("-far", "ACCEPTED", "A time document may lead farther ahead than any other.",
         Time(nonce=NONCE, now=NOON_MS + 4_000 * DAY_MS), keys.TIME, unsure),
        ("-other-boot", "NONCE_UNKNOWN", "For a nonce of another boot.",
         Time(nonce=other, now=NOON_MS), keys.TIME, unsure),
        ("-no-nonce", "NONCE_UNKNOWN", "For a nonce that nobody gave.",
         Time(nonce="now", now=NOON_MS), keys.TIME, unsure),
        ("-fell", "TIME_FELL", "It was certainly later already.",
         Time(nonce=NONCE, now=NOON_MS - 1_001), keys.TIME, unsure),
        ("-contradicted", "TIME_CONTRADICTED", "A trusted source says otherwise.",
         Time(nonce=NONCE, now=NOON_MS + 1_001), keys.TIME, Scene()),
        ("-revoked", "KEY_REVOKED", "Signed after its key was revoked.",
         Time(nonce=NONCE, now=old), REVOKED[Role.TIME], unsure),
        ("-by-list-key", "ROLE_NOT_ALLOWED", "A list key sets no clock.",
         Time(nonce=NONCE, now=NOON_MS), keys.LIST, unsure),
    )  # fmt: skip
    for name, word, why, time, by, scene in rows:
        raw = signed(kind, payload_of(time), by)
        yield Vector(name=f"time{name}", type=kind, raw=raw, word=word, why=why, scene=scene)
    payload = b'{"nonce":"' + NONCE.encode() + b'","now":1795420800.0}'
    raw = signed(kind, payload, keys.TIME)
    yield Vector(
        name="time-fraction", type=kind, raw=raw, word="MALFORMED_PAYLOAD",
        why="Times are integers, milliseconds UTC.", scene=unsure,
    )  # fmt: skip


GIVEN_BADGE = Badge(
    id="tech-9",
    name="Meena",
    roles=(TechnicianRole.TECHNICIAN,),
    iat=NOON_MS,
    exp=NOON_MS + 7 * DAY_MS,
    code=VERIFIER,
)


def _badges() -> Iterator[Vector]:
    kind, page = DocumentType.BADGE, Scene(door="badge")
    good = GIVEN_BADGE

    def changed(**changes: Any) -> bytes:
        return payload_of(msgspec.structs.replace(good, **changes))

    rows: tuple[tuple[str, str, str, bytes, SigningKey], ...] = (
        ("", "ACCEPTED", "Of elsewhere, for seven days.", payload_of(good), keys.BADGE),
        ("-long", "LIFE_TOO_LONG", "More than seven days.", changed(exp=good.exp + 1), keys.BADGE),
        ("-never", "EXPIRED_WHEN_ISSUED", "It expires when it is issued.", changed(exp=good.iat),
         keys.BADGE),
        ("-weak", "WEAK_VERIFIER", "argon2id with 1 MiB is tried out too fast.",
         changed(code=WEAK_VERIFIER), keys.BADGE),
        ("-plain-code", "MALFORMED_PAYLOAD", "The code itself never stands in a badge.",
         changed(code="7GQ4-K2"), keys.BADGE),
        ("-no-roles", "MALFORMED_PAYLOAD", "It says what its bearer may do.", changed(roles=()),
         keys.BADGE),
        ("-revoked", "KEY_REVOKED", "Issued after its key was revoked.", payload_of(good),
         keys.REVOKED[Role.BADGE]),
        ("-by-order-key", "ROLE_NOT_ALLOWED", "An order key makes no technician.", payload_of(good),
         keys.ORDERS[0]),
    )  # fmt: skip
    for name, word, why, payload, by in rows:
        raw = signed(kind, payload, by)
        yield Vector(name=f"badge{name}", type=kind, raw=raw, word=word, why=why, scene=page)
    raw = signed(DocumentType.TIME, payload_of(good), keys.BADGE)
    yield Vector(
        name="badge-as-time", type=kind, raw=raw, word="WRONG_TYPE",
        why="The page takes badges only.", scene=page,
    )  # fmt: skip


GIVEN_RECORD = Checkpoint(
    gateway="gw-1", number=4_711, chain="5e" * 32, wall_ms=NOON_MS, trusted=True
)


def _records() -> Iterator[Vector]:
    kind, desk = DocumentType.RECORD, Scene(door="record", anchor="enrolled.json")
    payload = payload_of(GIVEN_RECORD)
    rows: tuple[tuple[str, str, str, bytes, SigningKey], ...] = (
        ("", "ACCEPTED", "The gateway's word for its journal up to record 4711.", payload,
         keys.GATEWAY),
        ("-short-chain", "MALFORMED_PAYLOAD", "A chain hash has 64 digits.",
         payload.replace(b'5e5e"', b'5e"'), keys.GATEWAY),
        ("-by-a-receipt-key", "UNKNOWN_KEY", "No key of the utility speaks for a gateway.", payload,
         keys.RECEIPT),
    )  # fmt: skip
    for name, word, why, content, by in rows:
        raw = signed(kind, content, by)
        yield Vector(name=f"record{name}", type=kind, raw=raw, word=word, why=why, scene=desk)
    raw = signed(kind, payload, keys.GATEWAY)[:-4] + b"AAAA"
    yield Vector(
        name="record-forged", type=kind, raw=raw, word="BAD_SIGNATURE",
        why="Its signature was changed.", scene=desk,
    )  # fmt: skip
