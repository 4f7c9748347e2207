"""Sequence and freshness: whether a document is the next of its kind, and an order of this hour.

Owns the rules of order and replay (design 2) that many documents share. Must never look at what a
document says.
"""

from gateway.core.model import Digest, Now
from gateway.core.soundness import Unsound

SEQ_JUMP_MAX = 2**20


def is_duplicate(seq: int, digest: Digest, seq_known: int, digest_known: Digest | None) -> bool:
    """Whether it is the one in force; otherwise it follows it. Raises `Unsound`."""
    if seq == seq_known:
        if digest == digest_known:
            return True
        raise Unsound("EQUIVOCATION", f"seq {seq} is in force with other content")
    if seq < seq_known:
        raise Unsound("SEQ_OLD", f"seq {seq} is before {seq_known}, which is in force")
    if seq - seq_known > SEQ_JUMP_MAX:
        raise Unsound("SEQ_JUMP", f"seq {seq} is more than {SEQ_JUMP_MAX} beyond {seq_known}")
    return False


def expired(exp: int, now: Now) -> bool:
    """Whether it is certainly past its expiry."""
    return exp < now.wall_low_ms


def not_yet_valid(iat: int, now: Now) -> bool:
    """Whether it is certainly before its issue."""
    return now.wall_high_ms is not None and now.wall_high_ms < iat


def clock_unknown(boot: str | None, now: Now) -> bool:
    """Whether nothing says that it is of our time: no trusted clock, nor an echo of this boot."""
    return not now.trusted and boot != now.boot
