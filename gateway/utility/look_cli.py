"""The commands that look at documents: what one claims, who vouches for it, its QR codes.

Owns their arguments and readable forms. Must never believe a document that nothing vouches for.
"""

import sys
from pathlib import Path

import click
import msgspec

from gateway.core.model import Value
from gateway.utility.arguments import FILE, JSON, tells_mistakes
from gateway.utility.codes import write_codes
from gateway.utility.judging import Judge, read_device
from gateway.utility.roots import read_root
from gateway.utility.show import documents_in, read_unproven, unproven_lines


class Judged(Value):
    """A judgement with the place of the document."""

    place: str
    word: str
    detail: str
    digest: str
    """What a gateway's journal names the document by."""


@click.command()
@click.argument("file", type=FILE)
@JSON
@tells_mistakes
def show(file: Path, as_json: bool) -> None:
    """Say what a document claims, without believing it.

    The file holds one, or one a line, or the texts of a set of QR codes; "-" is standard input.

    \b
    Example:
      feeder-gateway utility show receipt.jws
    """
    for place, raw in documents_in(file):
        unproven = read_unproven(place, raw)
        if as_json:
            click.echo(msgspec.json.encode(unproven))
        for line in () if as_json else unproven_lines(unproven):
            click.echo(line)


@click.command("verify")
@click.argument("file", type=FILE)
@click.option("--root", "anchor", type=FILE, help="The root.json that gateways have.")
@click.option(
    "--device",
    "enrolment",
    type=FILE,
    help="For checkpoints: what the gateway's `init --json` printed.",
)
@JSON
@tells_mistakes
def verify_command(file: Path, anchor: Path | None, enrolment: Path | None, as_json: bool) -> None:
    """Say whether a root vouches for a document.

    It says OK and what the document is, or the refusal's name, then with exit status 1. A chain of
    roots is walked, one a line; what stands after it is judged by its last. A checkpoint is a
    gateway's own word: --device says which gateway's. "-" is standard input.

    \b
    Examples:
      feeder-gateway utility verify list.jws --root keys/root.json
      feeder-gateway utility verify chain.jws --root keys/root.json
      feeder-gateway utility verify rewa-7.checkpoint.jws --device rewa-7.enrolment.json
    """
    if anchor is None and enrolment is None:
        raise click.UsageError("Missing option '--root'; for a checkpoint '--device'.")
    judge = Judge(
        None if anchor is None else read_root(anchor),
        None if enrolment is None else read_device(enrolment),
    )
    judged = [
        Judged(place=place, word=found.word, detail=found.detail, digest=found.digest)
        for place, raw in documents_in(file)
        for found in [judge.judge(raw)]
    ]
    for each in judged:
        if as_json:
            click.echo(msgspec.json.encode(each))
        else:
            click.echo(f"{each.place}: {each.word}: {each.detail}")
    if any(each.word != "OK" for each in judged):
        sys.exit(1)


@click.command()
@click.argument("file", type=FILE)
@click.option("--dir", "directory", type=FILE, required=True, help="New directory for the codes.")
@JSON
@tells_mistakes
def qr(file: Path, directory: Path, as_json: bool) -> None:
    """Draw the QR codes of a document, as many as it takes.

    What is too large for one code is cut into parts that a gateway joins in any order; a chain of
    roots is one set. Beside the pictures (SVG) stands a text file with what they say, a line each:
    that file can be handed in as well.

    \b
    Example:
      feeder-gateway utility qr chain.jws --dir codes
    """
    codes = write_codes(file, directory)
    if as_json:
        click.echo(msgspec.json.encode(codes))
        return
    for picture in codes.pictures:
        click.echo(picture)
    click.echo(f"{codes.text}: what they say, a line each")
