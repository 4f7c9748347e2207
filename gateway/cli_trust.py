"""`init` and `checkpoint`: who this gateway is, and its own word for its journal.

Owns both commands and their readable forms. Must never show a private key, nor make a new one where
there is one.
"""

import asyncio
import io
from pathlib import Path

import click
import msgspec
import segno

from gateway.config import Config, ConfigError, Parts, load_config, load_parts
from gateway.console.asking import CONFIG, JSON, SocketOf, ask_at
from gateway.console.local import AskCheckpoint
from gateway.daemon import open_journal
from gateway.host.identity import Enrolment, IdentityError, identity_at
from gateway.journal.sqlite import JournalError

QUIET_MODULES = 4
SVG_SCALE = 4


@click.command()
@CONFIG
@JSON
@click.option(
    "--svg", type=click.Path(path_type=Path), help="File to write the enrolment's QR code to."
)
@click.option("--qr", is_flag=True, help="Show the QR code on this terminal.")
def init(config_path: Path, as_json: bool, svg: Path | None, qr: bool) -> None:
    """Make this gateway's own key and show its enrolment.

    The enrolment is what the head end is to be told: the public half, no secret. The private half
    never leaves the device. Where there is a key it stays: the same command shows the enrolment
    again. Run it as the daemon's user, who has to read the key.

    \b
    Examples:
      feeder-gateway init --qr
      feeder-gateway init --json > rewa-7.enrolment.json
    """
    try:
        config = load_config(config_path)
        parts = _parts(config_path, config)
        asyncio.run(_begin_journal(config))
        identity, was_there = identity_at(config.identity, config.gateway)
    except ConfigError as error:
        raise click.ClickException("\n".join(error.mistakes)) from error
    except (IdentityError, JournalError) as error:
        raise click.ClickException(str(error)) from error
    enrolment = identity.enrolment(parts.root.seq, parts.root_sha256)
    text = msgspec.json.encode(enrolment).decode()
    code = segno.make_qr(text, error="m", mode="byte")
    if svg is not None:
        picture = io.BytesIO()
        code.save(picture, kind="svg", scale=SVG_SCALE, border=QUIET_MODULES, light="white")
        _write(svg, picture.getvalue())
    if as_json:
        click.echo(text)
    else:
        for line in _lines(enrolment, config, was_there=was_there):
            click.echo(line)
    if qr:
        out = io.StringIO()
        code.terminal(out=out, border=QUIET_MODULES, compact=True)
        click.echo(out.getvalue(), err=as_json)


@click.command()
@CONFIG
@click.option("--out", type=click.Path(path_type=Path), help="File to write it to.")
@click.pass_obj
def checkpoint(socket_of: SocketOf, config_path: Path, out: Path | None) -> None:
    """Print the gateway's signed word for its journal.

    It names the last record and the chain's hash there. Whoever holds the enrolment can check it
    anywhere: `feeder-gateway utility verify --device`.

    \b
    Examples:
      feeder-gateway checkpoint --out rewa-7.checkpoint.jws
      feeder-gateway checkpoint | feeder-gateway utility verify - --device rewa-7.enrolment.json
    """
    reply = ask_at(socket_of(config_path), AskCheckpoint())
    if out is None:
        click.echo(reply.checkpoint)
        return
    _write(out, f"{reply.checkpoint}\n".encode())


def _parts(path: Path, config: Config) -> Parts:
    try:
        return load_parts(config)
    except ConfigError as error:
        raise ConfigError(*(f"{path}: {mistake}" for mistake in error.mistakes)) from error


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}. Name a place to write.") from error
    click.echo(f"{path}: written", err=True)


async def _begin_journal(config: Config) -> None:
    # A device key without a journal says that a journal was lost: so the journal is made first.
    if not config.identity.exists():
        await (await open_journal(config)).close()


def _lines(enrolment: Enrolment, config: Config, *, was_there: bool) -> tuple[str, ...]:
    groups = [enrolment.fingerprint[at : at + 4] for at in range(0, 64, 4)]
    return (
        f"gateway      {enrolment.gateway}",
        f"device key   {config.identity} ({'was there' if was_there else 'made'}, private)",
        f"public half  {enrolment.alg} {enrolment.public}",
        f"fingerprint  {' '.join(groups[:8])}",
        f"             {' '.join(groups[8:])}",
        f"root         seq {enrolment.root_seq}, SHA-256 {enrolment.root_sha256}",
        "Compare the root with the print in the enclosure; enrol the public half at the head end.",
    )


COMMANDS = (init, checkpoint)
