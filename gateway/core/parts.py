"""Parts: several documents in one text, and documents too large for one QR code in several.

Owns how the documents of a file or of a paste stand beside each other, and the form of a part. Must
never repair a document, nor say that one is genuine: the digest of a part only tells which belong
together.

A part is `FGQ1:<index>/<count>:<8 hexadecimal digits>:<chunk>`: its place from 1 on, how many there
are, the beginning of the SHA-256 of the whole, and a piece of it. The whole is the documents, each
on one line without white space, with a space between two.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from enum import StrEnum

from gateway.core.model import Value
from gateway.core.signature import tokens_of

MARK = "FGQ1:"
PARTS_MAX = 512
"""A chain of roots as long as one document may be, in codes of version 25, has 271."""
HEAD_MAX = len(f"{MARK}{PARTS_MAX}/{PARTS_MAX}:01234567:")
_PART = re.compile(
    rf"{MARK}(?P<index>[1-9][0-9]{{0,2}})/(?P<count>[1-9][0-9]{{0,2}}):(?P<digest>[0-9a-f]{{8}}):"
    r"(?P<chunk>.+)"
)


class PartFlaw(StrEnum):
    """Why parts are no whole."""

    MALFORMED_PART = "MALFORMED_PART"
    FOREIGN_PART = "FOREIGN_PART"
    MISSING_PART = "MISSING_PART"
    WRONG_DIGEST = "WRONG_DIGEST"
    TOO_MANY_PARTS = "TOO_MANY_PARTS"


class Unjoinable(Exception):  # noqa: N818 - a judgement of a text, not an error of ours
    """Parts that make no whole, or a whole that makes no parts. `detail` has the mend in it."""

    def __init__(self, name: PartFlaw, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name
        self.detail = detail


class Found(Value):
    """A document of a text, and its place there: `line 3`."""

    place: str
    text: str


class _Part(Value):
    index: int
    count: int
    digest: str
    chunk: str


def split(documents: Sequence[str], size_max: int) -> tuple[str, ...]:
    """The documents as parts of at most `size_max` characters each. Raises `Unjoinable`.

    The documents are on one line each (see `on_one_line`).
    """
    whole = " ".join(documents)
    step = size_max - HEAD_MAX
    assert step > 0, "a part has room for its head"
    chunks = [whole[at : at + step] for at in range(0, len(whole), step)]
    if len(chunks) > PARTS_MAX:
        raise Unjoinable(
            PartFlaw.TOO_MANY_PARTS,
            f"{len(chunks)} parts, at most {PARTS_MAX} are taken; carry the file itself",
        )
    digest = _digest_of(whole)
    return tuple(
        f"{MARK}{at}/{len(chunks)}:{digest}:{chunk}" for at, chunk in enumerate(chunks, start=1)
    )


def join(lines: Iterable[str]) -> tuple[str, ...]:
    """The documents of a set of parts, in whatever order, repeated or not. Raises `Unjoinable`."""
    parts = [_read(line) for line in lines]
    if not parts:
        raise Unjoinable(PartFlaw.MISSING_PART, "there is none; scan them all")
    first = parts[0]
    chunks: dict[int, str] = {}
    for part in parts:
        same_set = (part.count, part.digest) == (first.count, first.digest)
        if not same_set or chunks.setdefault(part.index, part.chunk) != part.chunk:
            raise Unjoinable(
                PartFlaw.FOREIGN_PART,
                f"part {part.index}/{part.count} of {part.digest} is not of the set of "
                f"{first.count} of {first.digest}; leave it out, or scan it again",
            )
    missing = [str(at) for at in range(1, first.count + 1) if at not in chunks]
    if missing:
        raise Unjoinable(
            PartFlaw.MISSING_PART, f"{', '.join(missing)} of {first.count}; scan these too"
        )
    whole = "".join(chunks[at] for at in sorted(chunks))
    if _digest_of(whole) != first.digest:
        raise Unjoinable(
            PartFlaw.WRONG_DIGEST, f"together they are not {first.digest}; scan them again"
        )
    return tuple(whole.split(" "))


def documents_of(text: str) -> tuple[Found, ...]:
    """The documents of a text, in their order; a set of parts stands where its first one does.

    One stands on each line. What begins with `[` goes on to the line that ends with `]`, for what
    several keys have signed may take more than one. Raises `Unjoinable`.
    """
    found: list[Found] = []
    parts: list[str] = []
    parts_at: tuple[int, int] | None = None
    for at, line in _entries(text):
        if not line.startswith(MARK):
            found.append(Found(place=f"line {at}", text=line))
            continue
        parts_at = parts_at or (len(found), at)
        parts.append(line)
    if parts_at is None:
        return tuple(found)
    where, at = parts_at
    joined = join(parts)
    several = len(joined) > 1
    found[where:where] = [
        Found(place=f"line {at}, document {number}" if several else f"line {at}", text=document)
        for number, document in enumerate(joined, start=1)
    ]
    return tuple(found)


def on_one_line(document: str) -> str:
    """A document as it stands on a line of its own. Raises `signature.Rejected` where it is none.

    Between the signatures of an array white space means nothing; they themselves have none.
    """
    if not document.startswith("["):
        return document
    tokens = [token.decode() for token in tokens_of(document.encode())]
    return json.dumps(tokens, separators=(",", ":"))


def _entries(text: str) -> Iterable[tuple[int, str]]:
    begun: list[str] = []
    begun_at = 0
    for at, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        if not stripped:
            continue
        if not begun:
            begun_at = at
        begun.append(stripped)
        if not begun[0].startswith("[") or stripped.endswith("]"):
            yield begun_at, "\n".join(begun)
            begun = []
    if begun:
        yield begun_at, "\n".join(begun)


def _read(line: str) -> _Part:
    match = _PART.fullmatch(line)
    if match is None:
        raise Unjoinable(
            PartFlaw.MALFORMED_PART, f"{line[:40]!r} is none; hand in what the code says, all of it"
        )
    part = _Part(
        index=int(match["index"]),
        count=int(match["count"]),
        digest=match["digest"],
        chunk=match["chunk"],
    )
    if not part.index <= part.count <= PARTS_MAX:
        raise Unjoinable(
            PartFlaw.MALFORMED_PART,
            f"{part.index}/{part.count} is no place among at most {PARTS_MAX}; scan it again",
        )
    return part


def _digest_of(whole: str) -> str:
    return hashlib.sha256(whole.encode()).hexdigest()[:8]
