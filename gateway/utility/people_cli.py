"""The commands about technicians: what a PIN is checked against, and badges.

Owns their arguments and how a secret is asked for and told. Must never take a PIN from the command
line, where other users and the shell's history see it, nor write one to a file.
"""

import sys
from pathlib import Path

import click
import msgspec

from gateway.core.model import IdText
from gateway.core.people import Badge, TechnicianRole
from gateway.core.signature import DocumentType
from gateway.host.clock import wall_ms
from gateway.utility.arguments import (
    JSON,
    KEY,
    OUT,
    Signed,
    signed_as,
    signed_lines,
    tells_mistakes,
)
from gateway.utility.broker import checked_id
from gateway.utility.files import PRIVATE, Mistake, write_whole
from gateway.utility.people import checked_badge, checked_pin, new_code, verifier_of
from gateway.utility.sign import SigningKey, payload_of
from gateway.utility.when import parse_span


class BadgeMade(Signed):
    """A badge that was signed, and the code that goes with it by another road."""

    code: str


@click.command()
@click.option("--id", "badge_id", callback=checked_id, required=True, help="The technician's id.")
@click.option("--name", required=True, help="The technician's name.")
@click.option(
    "--role",
    "roles",
    type=click.Choice([role.value for role in TechnicianRole]),
    multiple=True,
    required=True,
    help="What he may do at the page.",
)
@click.option("--life", default="1d", show_default=True, help="Valid for, say 12h or 7d at most.")
@KEY
@OUT
@JSON
@tells_mistakes
def badge(
    badge_id: IdText,
    name: str,
    roles: tuple[str, ...],
    life: str,
    key_path: Path,
    out: Path,
    as_json: bool,
) -> None:
    """Sign a badge for a technician who is on no gateway's roster.

    It comes with a random code, which is shown here and nowhere else. Tell it by another road than
    the badge's, on the telephone for instance: whoever has both is let in.

    \b
    Example:
      feeder-gateway utility badge --id relief-2 --name "Relief crew 2" --role technician \\
          --life 3d --key keys/badge-1.json --out badge.jws
    """
    try:
        life_ms = parse_span(life)
    except ValueError as error:
        raise click.UsageError(f"--life: {error}") from error
    issued_at_ms = wall_ms()
    code = new_code()
    document = checked_badge(
        Badge(
            id=badge_id,
            name=name,
            roles=tuple(TechnicianRole(role) for role in roles),
            iat=issued_at_ms,
            exp=issued_at_ms + life_ms,
            code=verifier_of(code),
        )
    )
    signer = SigningKey.load(key_path)
    raw = signer.sign(DocumentType.BADGE, payload_of(document))
    write_whole(out, raw, PRIVATE)
    signed = signed_as(out, raw, document, (signer,))
    if as_json:
        made = BadgeMade(**msgspec.structs.asdict(signed), code=code)
        click.echo(msgspec.json.encode(made))
        return
    for line in signed_lines(signed):
        click.echo(line)
    click.echo(f"code {code} (told once, here: pass it on by another road than the badge)")


@click.command()
@JSON
@tells_mistakes
def pin(as_json: bool) -> None:
    """Print what a technician's PIN is checked against.

    The PIN is asked for without echo, twice; where standard input is no terminal, its first line is
    taken. The answer goes into the site's terms file, under [[technicians]].

    \b
    Example:
      feeder-gateway utility pin
    """
    verifier = verifier_of(checked_pin(_pin_given()))
    click.echo(msgspec.json.encode({"pin": verifier}) if as_json else verifier)


def _pin_given() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    try:
        given: str = click.prompt("PIN", hide_input=True, confirmation_prompt=True, err=True)
    except click.Abort as error:
        raise Mistake("the PIN", "none was given", "type it twice") from error
    return given
