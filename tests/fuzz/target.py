"""What the fuzzer drives: one input at one door, and what must hold whatever it is.

The first byte says which healthy document it starts from, and so the door; the second how the rest
is used: as the bytes that come (0), as a payload that the right key signs (1), or as a header that
it signs (2). So the fuzzer gets behind the signature, where chance alone would never come.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tests.mutants.campaign import TAKEN, root_at
from tests.mutants.herd import NAMES, Healthy, doubts, herd, unbase64
from tests.signing import base64url
from tests.vectors.book import Door, Library
from tests.vectors.keys import signature

CORPUS = Path(__file__).parent / "corpus"
WAYS = ("raw", "payload", "header")
NAME = re.compile(r"[A-Z][A-Z0-9_]+")


class NotHeldError(AssertionError):
    """Something that must hold for every input does not."""


@cache
def doors() -> Mapping[str, Door]:
    """The real door of each healthy document."""
    library = Library()
    return {one.line.name: library.door_of(one.line) for one in herd()}


def one_input(content: bytes) -> None:
    """Try one input. Raises `NotHeldError`, or whatever breaks."""
    if len(content) < 2:
        return
    one = herd()[content[0] % len(NAMES)]
    way = WAYS[content[1] % len(WAYS)]
    raw = _document(one, way, content[2:])
    check(one, way, raw, doors()[one.line.name](raw))


def check(one: Healthy, way: str, raw: bytes, word: str) -> None:
    """Whether a door may give this word. Raises `NotHeldError`."""
    if word not in TAKEN:
        if not NAME.fullmatch(word):
            raise NotHeldError(f"refused without a name: {word!r}")
        return
    if way == "payload":
        payload = raw.split(b".")[1]
        _check_strict(payload)
        return
    doubt = doubts(raw, one, root_at(one.line.name))
    if doubt is not None and one.line.name != "root-2-again":
        raise NotHeldError(f"{word}: {doubt}: {raw!r}")


def seeds() -> Mapping[str, bytes]:
    """Inputs to start from: every healthy document in every way."""
    found = {}
    for at, one in enumerate(herd()):
        head = json.dumps(dict(one.header)).encode()
        for way, rest in zip(range(len(WAYS)), (one.raw, one.payload, head), strict=True):
            found[f"{one.line.name}-{WAYS[way]}"] = bytes([at, way]) + rest
    return found


def _document(one: Healthy, way: str, rest: bytes) -> bytes:
    if way == "raw":
        return rest
    header = json.dumps(dict(one.header)).encode()
    head, payload = (rest, one.payload) if way == "header" else (header, rest)
    content = base64url(head) + b"." + base64url(payload)
    return content + b"." + base64url(signature(one.by, content))


def _check_strict(piece: bytes) -> None:
    """What was taken as a payload is strict JSON, by another reading than the verifier's."""
    text = unbase64(piece).decode("utf-8")
    json.loads(text, object_pairs_hook=_once, parse_float=_never, parse_constant=_never)


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    given = list(pairs)
    if len({name for name, _ in given}) != len(given):
        raise NotHeldError("a name stood twice and was taken")
    return dict(given)


def _never(text: str) -> None:
    raise NotHeldError(f"{text} is no integer and was taken")
