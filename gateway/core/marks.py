"""Marks: what must not be forgotten even where the journal is lost.

Owns the high-water marks of every sequence, beside them who forbade closing what, and what it means
that they are ahead of what is in force. Must never fall: of two the larger counts (design 2).

They are written twice: in the journal, and in a small file of their own elsewhere. Holds and
isolations are in them because no document can bring back those that were placed at the feeder, and
people may be at work behind one.
"""

from enum import StrEnum

from gateway.core.fact import Origin, TagKind
from gateway.core.model import Count, Digest, Instant, TimeMs, Value


class Tag(Value):
    """Who forbade closing what, why and since when."""

    kind: TagKind
    target: str
    origin: Origin
    by: str
    reason: str
    since: Instant


class Mark(Value):
    """The newest document of a kind: its sequence number, and what it was."""

    seq: Count = 0
    digest: Digest = Digest("")
    refusal: str | None = None
    """Of an order: the word with which it was refused; None: it was accepted."""


class Marks(Value):
    """The newest of each kind that was ever in force, and the tags that stood."""

    root: Mark = Mark()
    site: Mark = Mark()
    list: Mark = Mark()
    order: Mark = Mark()
    tags: tuple[Tag, ...] = ()
    wall_low_ms: TimeMs = 0
    """Time was certainly not before this when they were written."""


class Memory(StrEnum):
    """Whether what is in force is the newest that was."""

    WHOLE = "WHOLE"
    BEHIND = "BEHIND"
    """A newer one was here: it is waited for, and grants go on meanwhile."""
    AMNESIA = "AMNESIA"
    """Journal and marks are lost: any list may be an old one, and tags are forgotten."""


def larger(one: Marks, other: Marks) -> Marks:
    """Of each kind the newer mark; the tags of both, those of `one` where both name the same."""
    named = {(tag.kind, tag.target, tag.origin): tag for tag in (*other.tags, *one.tags)}
    return Marks(
        root=_larger(one.root, other.root),
        site=_larger(one.site, other.site),
        list=_larger(one.list, other.list),
        order=_larger(one.order, other.order),
        tags=tuple(named[key] for key in sorted(named)),
        wall_low_ms=max(one.wall_low_ms, other.wall_low_ms),
    )


def _larger(one: Mark, other: Mark) -> Mark:
    return one if one.seq >= other.seq else other
