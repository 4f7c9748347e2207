"""Roots: the first one, each that follows, and the chain file that takes a gateway along them.

Owns what a new root changes and who has to sign it. Must never write a root that a gateway would
refuse: every one is asked of `core.rotation` before.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from gateway.core.model import Value
from gateway.core.parts import on_one_line
from gateway.core.rotation import STEPS_MAX, load_root, verify_root
from gateway.core.signature import DocumentType, Rejected, Verified, claimed_by, tokens_of
from gateway.core.soundness import Unsound
from gateway.core.trust import Key, Revocation, Role, Root, flaw_of
from gateway.utility.files import PUBLIC, Mistake, write_whole
from gateway.utility.show import documents_in
from gateway.utility.sign import SigningKey, payload_of, sign_together

ROOT_THRESHOLD = 2
RECOVERY_THRESHOLD = 2
PLACE = "the root"
MENDS = {
    "BELOW_THRESHOLD": "name more root keys with --key: enough of the old root's and of the new's",
    "ROLE_NOT_ALLOWED": "use `root recover`, with the recovery keys",
    "UNKNOWN_KEY": "sign with keys of the old root or of the new one",
    "MALFORMED_ENVELOPE": "name fewer keys with --key",
}


class Change(Value):
    """What a root changes in the one before it."""

    add: tuple[Key, ...] = ()
    remove: tuple[str, ...] = ()
    revoke: tuple[Revocation, ...] = ()
    thresholds: tuple[tuple[Role, int], ...] = ()


def first_root(
    keys: Iterable[Key],
    issued_at_ms: int,
    expires_ms: int | None,
    thresholds: Sequence[tuple[Role, int]] = (),
) -> Root:
    """The first root over these keys; two root keys have to agree, and two recovery keys.

    Raises `Mistake` where it is none.
    """
    named = tuple(keys)
    wanted = {Role.ROOT: ROOT_THRESHOLD, Role.RECOVERY: RECOVERY_THRESHOLD}
    has = {role for key in named for role in key.roles}
    counts = {role: count for role, count in wanted.items() if role in has} | dict(thresholds)
    root = Root(
        seq=1,
        issued_at=issued_at_ms,
        keys=named,
        thresholds={str(role): count for role, count in counts.items()},
        expires=expires_ms,
    )
    if Role.ROOT not in has:
        raise Mistake(PLACE, "no root key among them", "name root keys with --key")
    return _sound(root)


def sign_first(root: Root, keys: tuple[SigningKey, ...]) -> bytes:
    """The first root as it travels, on one line. Raises `Mistake`."""
    roots = tuple(key for key in keys if Role.ROOT in key.roles)
    if not roots:
        raise Mistake(PLACE, "nobody signs it", "name root keys with their private half")
    raw = sign_together(roots, DocumentType.ROOT, payload_of(root))
    try:
        load_root(raw)
    except Rejected as flaw:
        raise _refused(flaw) from flaw
    return raw


def next_root(old: Root, change: Change, issued_at_ms: int, expires_ms: int) -> Root:
    """The root after this one. Raises `Mistake`."""
    known = {key.kid for key in old.keys}
    for kid in change.remove:
        if kid not in known:
            raise Mistake("--remove", f"the old root names no key {kid}", _kids(old))
    for one in change.revoke:
        _check_revocation(one, old)
    kept = tuple(key for key in old.keys if key.kid not in change.remove)
    for key in change.add:
        if key.kid in known:
            raise Mistake("--add", f"{key.kid} is a key of the old root", "give it a new name")
    counts = dict(old.thresholds) | {str(role): count for role, count in change.thresholds}
    return _sound(
        Root(
            seq=old.seq + 1,
            issued_at=max(issued_at_ms, old.issued_at),
            keys=(*kept, *change.add),
            thresholds=counts,
            expires=expires_ms,
            revoked=(*old.revoked, *change.revoke),
        )
    )


def sign_next(root: Root, old: Root, keys: tuple[SigningKey, ...]) -> bytes:
    """That root as it travels, on one line, if a gateway at `old` would take it.

    Raises `Mistake`.
    """
    raw = sign_together(keys, DocumentType.ROOT, payload_of(root))
    try:
        verify_root(raw, old)
    except Rejected as flaw:
        raise _refused(flaw) from flaw
    return raw


def without_signers(root: Root, old: Root) -> tuple[Role, ...]:
    """The roles whose documents nobody could sign any more although somebody could before."""
    revoked = {one.kid for one in root.revoked}

    def enough(of: Root, role: Role) -> bool:
        able = [key for key in of.of_role(role) if key.kid not in revoked]
        return len(able) >= of.threshold(role)

    return tuple(role for role in Role if old.of_role(role) and not enough(root, role))


class Chain(Value):
    """The root in force at the end of a chain."""

    root: Root
    lines: tuple[str, ...]
    """The chain file's roots, those that follow the anchor."""


def follow(raw: bytes, in_force: Root) -> tuple[Root, Verified]:
    """The root after this one, or this one again. Raises `Rejected` and `Unsound`."""
    root, verified = verify_root(raw, in_force)
    known = in_force.seq
    if root == in_force or root.seq == known + 1:
        return root, verified
    if root.seq == known:
        raise Unsound("EQUIVOCATION", f"root {known} is in force with other content")
    if root.seq < known:
        raise Unsound("SEQ_OLD", f"root {root.seq} is before {known}, which is in force")
    raise Unsound(
        "ROOT_STEP_MISSING",
        f"root {root.seq} does not follow {known}; root {known + 1} comes first",
    )


def read_root(path: Path) -> Root:
    """The root that a file says, believed without another; of several lines the last.

    Raises `Mistake`.
    """
    (_, first), *others = documents_in(path)
    try:
        root = load_root(first)
    except Rejected as flaw:
        raise Mistake(path, str(flaw), "give the root.json that `keys` made") from flaw
    return _walk(root, others)


def read_chain(anchor: Path, chain: Path | None) -> Chain:
    """The root in force after an anchor and a chain file, which need not be there yet.

    Raises `Mistake`.
    """
    root = read_root(anchor)
    if chain is None or not chain.exists():
        return Chain(root=root, lines=())
    steps = documents_in(chain)
    payload = payload_of(root)
    known = [at for at, (_, raw) in enumerate(steps, start=1) if _says(raw) == payload]
    root = _walk(root, steps[max(known, default=0) :])
    if len(steps) >= STEPS_MAX:
        raise Mistake(
            chain,
            f"TOO_MANY_STEPS: a gateway follows {STEPS_MAX} from its anchor",
            "install a newer anchor, and begin a new chain after it",
        )
    return Chain(root=root, lines=tuple(on_one_line(raw.decode()) for _, raw in steps))


def write_chain(path: Path, lines: tuple[str, ...]) -> None:
    """Put a chain file in its place, one root a line. Raises `Mistake`."""
    write_whole(path, "".join(f"{line}\n" for line in lines).encode(), PUBLIC)


def _walk(root: Root, steps: Iterable[tuple[str, bytes]]) -> Root:
    for place, raw in steps:
        try:
            root, _ = follow(raw, root)
        except (Rejected, Unsound) as refusal:
            raise Mistake(place, str(refusal), "give the whole chain in its order") from refusal
    return root


def _says(raw: bytes) -> bytes | None:
    try:
        return claimed_by(tokens_of(raw)[0]).payload
    except Rejected:
        return None


def _check_revocation(one: Revocation, old: Root) -> None:
    key = old.key(one.kid)
    if key is None:
        raise Mistake("--kid", f"the old root names no key {one.kid}", _kids(old))
    before = old.revoked_after(one.kid)
    if before is not None and before <= one.after:
        raise Mistake(
            "--after", f"{one.kid} is revoked since {before} already", "give an earlier time"
        )


def _sound(root: Root) -> Root:
    try:
        root = msgspec.convert(msgspec.to_builtins(root), Root)
    except msgspec.ValidationError as error:
        raise Mistake(PLACE, str(error), "correct it") from error
    flaw = flaw_of(root)
    if flaw is not None:
        raise Mistake(PLACE, flaw, "change which keys it names, or --threshold")
    if root.expires is not None and root.expires <= root.issued_at:
        raise Mistake("--expires", "every gateway would alarm at once", "give a later time")
    return root


def _kids(root: Root) -> str:
    return f"it has {', '.join(key.kid for key in root.keys)}"


def _refused(flaw: Rejected) -> Mistake:
    return Mistake(PLACE, str(flaw), MENDS.get(flaw.flaw, "correct it"))
