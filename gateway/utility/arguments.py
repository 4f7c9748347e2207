"""What the signing commands share: their arguments, their one kind of failure, what they print.

Owns the options that mean the same in every command. Must never decide what a document says.
"""

import asyncio
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ParamSpec

import click
import msgspec

from gateway.core.model import IdText, Value
from gateway.core.signature import digest_of
from gateway.core.trust import Algorithm
from gateway.headend.session import BrokerSettings
from gateway.utility.broker import checked_id
from gateway.utility.files import PRIVATE, Mistake, write_whole
from gateway.utility.next_order import newest_nonce
from gateway.utility.show import summary
from gateway.utility.sign import Paper, SigningKey, payload_of
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
EXPIRES = click.option(
    "--expires",
    default="1826d",
    show_default=True,
    help="When a newer root should be in force, a span or a time; afterwards there is an alarm.",
)
ALG = click.option(
    "--alg",
    type=click.Choice([alg.value for alg in Algorithm]),
    default=Algorithm.ED25519.value,
    show_default=True,
    help="ES256 where the utility's platform has no Ed25519.",
)
TIME = "milliseconds since 1970, or ISO 8601 with a zone"
NONCE_MAX = 64


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
    out: Path, raw: bytes, document: Paper, keys: tuple[SigningKey, ...], as_json: bool
) -> None:
    """Write a signed document and say what it is. Raises `Mistake`."""
    write_whole(out, raw, PRIVATE)
    signed = signed_as(out, raw, document, keys)
    if as_json:
        click.echo(msgspec.json.encode(signed))
        return
    for line in signed_lines(signed):
        click.echo(line)


def signed_as(out: Path, raw: bytes, document: Paper, keys: tuple[SigningKey, ...]) -> Signed:
    """What has been made."""
    return Signed(
        file=str(out),
        says=summary(document),
        signed_by=tuple(key.kid for key in keys),
        size=len(raw),
        digest=digest_of(payload_of(document)),
    )


def signed_lines(signed: Signed) -> Iterator[str]:
    """The same in words."""
    kids = ", ".join(signed.signed_by)
    yield f"{signed.file}: {signed.says}, signed by {kids}, {signed.size} bytes"
    yield f"digest {signed.digest}, by which journals name it"


def nonce_from(
    nonce: str | None,
    gateway: IdText | None,
    settings: BrokerSettings | None,
    utility: IdText | None,
) -> str | None:
    """The nonce that was given, or the gateway's newest where the broker is to be asked.

    Raises `Mistake` and `click.UsageError`.
    """
    if settings is None:
        return None if nonce is None else checked_nonce(nonce)
    if nonce is not None:
        raise click.UsageError("--ask-broker finds --nonce: leave one of them out.")
    if utility is None:
        raise click.UsageError("Missing option '--utility', which --ask-broker needs.")
    if gateway is None:
        raise click.UsageError("Missing option '--gateway', which --ask-broker needs.")
    return asyncio.run(newest_nonce(settings, utility, gateway))


def checked_nonce(nonce: str) -> str:
    """A nonce, if it is of the form in which gateways give them. Raises `Mistake`."""
    boot, _, at = nonce.rpartition("@")
    if not boot or not (at.isascii() and at.isdecimal()) or len(nonce) > NONCE_MAX:
        raise Mistake(
            "--nonce",
            f"NONCE_UNKNOWN: no gateway gives {nonce[:NONCE_MAX]!r}",
            "give the nonce of its status, say 2f0c9a@81000",
        )
    return nonce
