"""What a document says, for people.

Owns the reading of documents at the command line. Must never present an unproven document as a
proven one, nor show what a PIN or a code is checked against.
"""

import base64
import binascii
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, assert_never

from gateway.core.documents import AllowList, Checkpoint, Receipt, Site, Time
from gateway.core.model import Value
from gateway.core.orders import Order, kind_of, plain_order
from gateway.core.parts import Unjoinable, documents_of
from gateway.core.people import Badge
from gateway.core.signature import Rejected, digest_of, strict_json
from gateway.core.trust import Root
from gateway.utility.files import INPUT_BYTES_MAX, Mistake, mistake_in, read_whole
from gateway.utility.sign import Paper
from gateway.utility.when import OUR_DAYS_MS, show_time

TIMES = frozenset(
    {"n", "as_of", "stale_after", "paid_at", "iat", "exp", "issued_at", "expires", "after", "now"}
    | {"wall_ms"}
)
VERIFIERS = frozenset({"pin", "code"})
STDIN = Path("-")


class Unproven(Value):
    """What an envelope claims to hold; nobody has checked a signature."""

    type: str
    signed_by: tuple[str, ...]
    digest: str
    """What a gateway's journal names it by: SHA-256 of the payload."""
    size: int
    """Bytes as it arrived."""
    payload: dict[str, Any]


def documents_in(path: Path) -> list[tuple[str, bytes]]:
    """The documents of a file (`-`: standard input) with the place of each.

    Raises `Mistake`.
    """
    content = sys.stdin.buffer.read(INPUT_BYTES_MAX) if path == STDIN else read_whole(path)
    try:
        # A byte that is no text stays itself: it is the verifier's to refuse.
        found = documents_of(content.decode("utf-8", "surrogateescape"))
    except Unjoinable as unjoinable:
        wrong = f"{unjoinable.name}: {unjoinable.detail}"
        raise mistake_in(path, wrong, "scan the codes again") from unjoinable
    if not found:
        raise Mistake(path, "the file is empty", "give a signed document")
    several = len(found) > 1
    return [
        (
            f"{path}: {one.place}" if several else str(path),
            one.text.encode(errors="surrogateescape"),
        )
        for one in found
    ]


def read_unproven(place: str, raw: bytes) -> Unproven:
    """What an envelope claims to hold. Raises `Mistake`."""
    try:
        tokens = [token.encode() for token in strict_json(raw)] if raw[:1] == b"[" else [raw]
        headers = [_part(token, 0) for token in tokens]
        return Unproven(
            type=str(headers[0]["typ"]),
            signed_by=tuple(str(header["kid"]) for header in headers),
            digest=digest_of(_octets(tokens[0], 1)),
            size=len(raw),
            payload=_part(tokens[0], 1),
        )
    except (Rejected, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise Mistake(place, f"not a signed document ({error})", "give one") from error


def unproven_lines(unproven: Unproven) -> Iterator[str]:
    """The claims of an envelope, a line each."""
    yield f"{plain(unproven.type)}, NOT VERIFIED: see `verify`"
    yield f"  signed_by {', '.join(plain(kid) for kid in unproven.signed_by)}"
    yield f"  digest {unproven.digest}, {unproven.size} bytes"
    for name, value in unproven.payload.items():
        yield from _member_lines(plain(name), value, name)


def summary(document: Paper) -> str:
    """A document in one line."""
    match document:
        case Site():
            meters = f"{len(document.meters)} meters of feeder {document.feeder}"
            return f"seq {document.seq} for gateway {document.gateway}, {meters}"
        case AllowList():
            accounts = f"{len(document.accounts)} accounts as of {show_time(document.as_of)}"
            return f"seq {document.seq} for gateway {document.gateway}, {accounts}"
        case Receipt():
            exp = show_time(document.exp)
            return f"for account {document.account}, meter {document.meter}, hand in by {exp}"
        case Order():
            what = f"{kind_of(document.act)} order {document.id}{_named(document)}"
            valid = f"valid {show_time(document.iat)} to {show_time(document.exp)}"
            return f"{what}, seq {document.seq} for gateway {document.gateway}, {valid}"
        case Root():
            revoked = f", {len(document.revoked)} revocations" if document.revoked else ""
            ends = "" if document.expires is None else f", expires {show_time(document.expires)}"
            return f"seq {document.seq}, {len(document.keys)} keys{revoked}{ends}"
        case Time():
            return f"{show_time(document.now)} for nonce {plain(document.nonce)}"
        case Badge():
            who = f"badge {document.id} of {plain(document.name)}, {', '.join(document.roles)}"
            return f"{who}, valid {show_time(document.iat)} to {show_time(document.exp)}"
        case Checkpoint():
            clock = (
                "by a trusted clock" if document.trusted else "by a clock that nobody vouches for"
            )
            upto = f"records up to {document.number}, chain hash {document.chain}"
            return f"gateway {document.gateway}, {upto}, at {show_time(document.wall_ms)} {clock}"
        case _:
            assert_never(document)


def plain(text: str) -> str:
    """A text from outside without control characters, which could write over the screen."""
    return text if text.isprintable() else json.dumps(text)


def _named(order: Order) -> str:
    """Whom an order names: the one, or how many."""
    args = plain_order(order)["args"]
    for name in ("accounts", "meters"):
        if name in args:
            return f" of {len(args[name])} {name}"
    said = [
        f"{name} {args[name]}" for name in ("account", "meter", "dt", "order") if args.get(name)
    ]
    return f" of {', '.join(said)}" if said else ""


def _part(token: bytes, at: int) -> dict[str, Any]:
    part = strict_json(_octets(token, at))
    if not isinstance(part, dict):
        raise TypeError("not a JSON object")
    return part


def _octets(token: bytes, at: int) -> bytes:
    piece = token.split(b".")[at]
    try:
        return base64.b64decode(piece + b"=" * (-len(piece) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error


def _member_lines(place: str, value: object, name: str) -> Iterator[str]:
    match value:
        case dict():
            for member, part in value.items():
                yield from _member_lines(f"{place}.{plain(member)}", part, member)
        case list():
            for at, entry in enumerate(value):
                yield f"  {place}[{at}] {_in_line(entry)}"
        case _:
            yield f"  {place} {_in_line(value, name)}"


def _in_line(value: object, name: str = "") -> str:
    match value:
        case dict():
            return ", ".join(f"{plain(n)} {_in_line(part, n)}" for n, part in value.items())
        case list():
            return " ".join(_in_line(part) for part in value)
        case str() if name in VERIFIERS and value.startswith("$"):
            return "(a verifier, not shown)"
        case str():
            return plain(value)
        case int() if name in TIMES and value in OUR_DAYS_MS:
            return f"{value} ({show_time(value)})"
        case _:
            return json.dumps(value)
