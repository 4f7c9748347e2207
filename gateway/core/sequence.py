"""Sequence and freshness: whether a document is the next of its kind, and an order of this hour.

Owns the rules of order and replay (design 2) that many documents share. Must never look at what a
document says.
"""

from gateway.core.marks import Mark
from gateway.core.model import Digest, Now
from gateway.core.soundness import Unsound

SEQ_JUMP_MAX = 2**20
LEDGER_AHEAD_MAX_MS = 86_400_000
"""A billing ledger may count its day ahead of ours."""
CLOCK_LAG_MAX_MS = 402 * 86_400_000
"""A gateway without a clock may have lain in a store for 400 days, after a list told it the time
less a day; and the ledger may be a day ahead."""
ECHO_AGE_MAX_MS = 900_000
"""An order echoes what the gateway said at most 15 minutes ago."""
ECHO_DIGITS_MAX = 16


def is_duplicate(mark: Mark, seq: int, digest: Digest, in_force: Digest | None) -> bool:
    """Whether it is the one in force; otherwise it is the next of its kind. Raises `Unsound`.

    Where the journal was lost the mark may be ahead of what is in force: then the very document
    that made the mark is the next.
    """
    if seq == mark.seq and mark.digest:
        if digest != mark.digest:
            raise Unsound("EQUIVOCATION", f"seq {seq} is known with other content")
        return digest == in_force
    if seq <= mark.seq:
        raise Unsound("SEQ_OLD", f"seq {seq} is before {mark.seq}, which is known")
    if seq - mark.seq > SEQ_JUMP_MAX:
        raise Unsound("SEQ_JUMP", f"seq {seq} is more than {SEQ_JUMP_MAX} beyond {mark.seq}")
    return False


def in_the_future(ledger_ms: int, now: Now) -> bool:
    """Whether a ledger time is yet to come: it would stand against everything until then."""
    if now.wall_high_ms is not None:
        return ledger_ms > now.wall_high_ms + LEDGER_AHEAD_MAX_MS
    return ledger_ms > now.wall_low_ms + CLOCK_LAG_MAX_MS


def expired(exp: int, now: Now) -> bool:
    """Whether it is certainly past its expiry."""
    return exp < now.wall_low_ms


def not_yet_valid(iat: int, now: Now) -> bool:
    """Whether it is certainly before its issue."""
    return now.wall_high_ms is not None and now.wall_high_ms < iat


def nonce_of(now: Now) -> str:
    """What the gateway says of this instant, for an order to echo: its boot and boot clock."""
    return f"{now.boot}@{now.mono_ms}"


def clock_unknown(echo: str | None, now: Now) -> bool:
    """Whether nothing says that it is of our time: no trusted clock, nor an echo of late."""
    return not now.trusted and echo_age_ms(echo, now) is None


def echo_age_ms(echo: str | None, now: Now) -> int | None:
    """How long ago the gateway said what is echoed; None: not at all, or too long ago.

    By the boot clock: a calendar that lags would let an order wait for hours on its way.
    """
    boot, _, at = (echo or "").rpartition("@")
    if boot != now.boot or not (at.isascii() and at.isdecimal() and len(at) <= ECHO_DIGITS_MAX):
        return None
    age_ms = now.mono_ms - int(at)
    return age_ms if 0 <= age_ms <= ECHO_AGE_MAX_MS else None
