"""What the signing commands share: their arguments, their one kind of failure, what they print.

Owns the options that mean the same in every command. Must never decide what a document says.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec

import click
import msgspec

from gateway.core.documents import Document
from gateway.core.model import Value
from gateway.core.signature import digest_of
from gateway.utility.broker import checked_id
from gateway.utility.files import PRIVATE, Mistake, write_whole
from gateway.utility.show import summary
from gateway.utility.sign import SigningKey, payload_of
from gateway.utility.when import parse_time, parse_time_or_span

P = ParamSpec("P")
FILE = click.Path(path_type=Path)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")
GATEWAY = click.option(
    "--gateway", callback=checked_id, required=True, help="The gateway that it is for."
)
SEQ = click.option("--seq", type=click.IntRange(min=1), required=True, help="Above the last one's.")
KEY = click.option("--key", "key_path", type=FILE, required=True, help="Key file to sign with.")
OUT = click.option("--out", type=FILE, required=True, help="File to write.")
TIME = "milliseconds since 1970, or ISO 8601 with a zone"


class Signed(Value):
    """What a signing command has made."""

    file: str
    says: str
    signed_by: tuple[str, ...]
    size: int
    digest: str
    """What a gateway's journal names the document by."""


def tells_mistakes(command: Callable[P, None]) -> Callable[P, None]:
    """Turn a `Mistake` into one line and exit status 1."""

    @functools.wraps(command)
    def telling(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except Mistake as mistake:
            raise click.ClickException(str(mistake)) from mistake

    return telling


def time_of(option: str, text: str, since_ms: int | None = None) -> int:
    """The time that an option gives, or a span after `since_ms`. Raises `click.UsageError`."""
    try:
        return parse_time(text) if since_ms is None else parse_time_or_span(text, since_ms)
    except ValueError as error:
        raise click.UsageError(f"{option}: {error}") from error


def put(
    out: Path, raw: bytes, document: Document, keys: tuple[SigningKey, ...], as_json: bool
) -> None:
    """Write a signed document and say what it is. Raises `Mistake`."""
    write_whole(out, raw, PRIVATE)
    signed = Signed(
        file=str(out),
        says=summary(document),
        signed_by=tuple(key.kid for key in keys),
        size=len(raw),
        digest=digest_of(payload_of(document)),
    )
    if as_json:
        click.echo(msgspec.json.encode(signed))
    else:
        kids = ", ".join(signed.signed_by)
        click.echo(f"{out}: {signed.says}, signed by {kids}, {signed.size} bytes")
        click.echo(f"digest {signed.digest}")
