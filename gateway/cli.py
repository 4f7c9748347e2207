"""The commands of the daemon and of people at its machine.

Owns arguments, exit status (0 done, 1 failed, 2 used wrongly) and the readable forms. Must never
decide: every command either starts the daemon or asks it.
"""

import asyncio
import logging
import sys
from pathlib import Path

import click
import msgspec

from gateway import __version__
from gateway.config import Config, ConfigError, load_config, load_parts, mistakes
from gateway.console import words
from gateway.console.asking import CONFIG, JSON, ask_at, records_at
from gateway.console.evidence import evidence
from gateway.console.local import RECORD_NUMBER_MAX, AskStatus, PlaceTag, Reply, Submit
from gateway.core.fact import Answer, TagClaim, TagKind, read_record
from gateway.journal.sqlite import JournalError

HANDED_IN = click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True)


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one document or tag: `what` is its place, or the command and its target."""

    what: str
    answer: Answer


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="feeder-gateway")
@click.pass_context
def main(context: click.Context) -> None:
    """Bring paid homes back to supply from the feeder itself.

    \b
    Examples:
      feeder-gateway demo
      feeder-gateway check --config gateway.toml
      feeder-gateway run --config gateway.toml
      feeder-gateway status --config gateway.toml --json
    """
    context.obj = _socket  # how a command of the console finds the daemon


@main.command()
@CONFIG
@click.option("--verbose", is_flag=True, help="Log account numbers and every exchange.")
def run(config_path: Path, verbose: bool) -> None:
    """Run the daemon until SIGTERM or Ctrl-C.

    \b
    Example:
      feeder-gateway run --config gateway.toml
    """
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(levelname)s %(name)s: %(message)s",
    )
    if verbose:
        logging.getLogger("gateway").setLevel(logging.DEBUG)
    config = _config(config_path)
    try:
        parts = load_parts(config)
    except ConfigError as error:
        said = "\n".join(f"{config_path}: {mistake}" for mistake in error.mistakes)
        raise click.ClickException(said) from error
    from gateway import daemon  # noqa: PLC0415 - only this command pays for its imports

    try:
        asyncio.run(daemon.run(config, parts))
    except JournalError as error:
        raise click.ClickException(str(error)) from error


@main.command()
@CONFIG
@JSON
def check(config_path: Path, as_json: bool) -> None:
    """Say every mistake in the configuration.

    Each stands on a line of its own, with its place and the mend; then the exit status is 1. The
    gateway need not run, and nothing is changed.

    \b
    Examples:
      feeder-gateway check
      feeder-gateway check --config gateway.toml --json
    """
    try:
        found = [f"{config_path}: {mistake}" for mistake in mistakes(load_config(config_path))]
    except ConfigError as error:
        found = list(error.mistakes)
    if as_json:
        click.echo(msgspec.json.encode({"config": str(config_path), "mistakes": found}))
    else:
        for mistake in found:
            click.echo(mistake)
        if not found:
            click.echo(f"{config_path}: no mistakes found")
    if found:
        sys.exit(1)


@main.command()
@CONFIG
@JSON
def status(config_path: Path, as_json: bool) -> None:
    """Say how the gateway and its consumers fare.

    \b
    Examples:
      feeder-gateway status
      feeder-gateway status --json
    """
    reply = ask_at(_socket(config_path), AskStatus())
    assert reply.status is not None
    if as_json:
        click.echo(msgspec.json.encode(reply.status))
        return
    for line in words.status_lines(reply.status):
        click.echo(line)


@main.command()
@CONFIG
@JSON
@click.argument("files", nargs=-1, required=True, type=HANDED_IN)
def submit(config_path: Path, as_json: bool, files: tuple[str, ...]) -> None:
    """Hand in signed documents.

    Each file holds a site, a list, or receipts one per line; "-" is standard input. What is refused
    is said by name, and then the exit status is 1.

    \b
    Examples:
      feeder-gateway submit list.jws
      echo eyJhbGciOi... | feeder-gateway submit -
    """
    config = _config(config_path)
    in_order = True
    for file in files:
        with click.open_file(file, "rb") as opened:
            lines = opened.read().strip().split(b"\n")
        if not any(lines):
            raise click.ClickException(f"{file}: it is empty; give a signed document")
        for at, line in enumerate(map(bytes.strip, lines), start=1):
            if not line:
                continue
            place = f"{file}: line {at}" if len(lines) > 1 else file
            reply = ask_at(config.socket, Submit(document=line.decode("utf-8", "replace")))
            in_order &= _say(reply, place, as_json)
    if not in_order:
        sys.exit(1)


@main.command()
@CONFIG
@JSON
@click.option(
    "--after",
    type=click.IntRange(0, RECORD_NUMBER_MAX),
    default=0,
    metavar="NUMBER",
    help="Only records numbered above this.",
)
def log(config_path: Path, as_json: bool, after: int) -> None:
    """Print the journal's records, oldest first.

    \b
    Examples:
      feeder-gateway log
      feeder-gateway log --after 120 --json
    """
    for line in records_at(_socket(config_path), after):
        record = read_record(bytes(line.record))
        click.echo(msgspec.json.encode(line) if as_json else words.record_line(record))


def _tag_command(name: str, kind: TagKind, place: bool, target: str, says: str) -> None:
    def command(config_path: Path, as_json: bool, by: str, reason: str, on: str = "") -> None:
        claim = TagClaim(kind=kind, target=on, place=place, by=by, reason=reason)
        if not _say(ask_at(_socket(config_path), PlaceTag(claim=claim)), f"{name} {on}", as_json):
            sys.exit(1)

    called = f"feeder-gateway {name} {target}".rstrip()
    command.__doc__ = f"{says}\n\n\b\nExample:\n  {called} --by NAME --reason WHY"
    command = click.option("--reason", required=True, metavar="WHY", help="Why.")(command)
    by = click.option("--by", required=True, metavar="NAME", help="Who answers for it.")
    command = by(command)
    if target:
        command = click.argument("on", metavar=target)(command)
    main.command(name)(CONFIG(JSON(command)))


_tag_command("hold", TagKind.HOLD, True, "METER", "Forbid closing one meter, although paid.")
_tag_command("release-hold", TagKind.HOLD, False, "METER", "Take a hold away.")
_tag_command("isolate-dt", TagKind.ISOLATE_DT, True, "DT", "People are at work on a transformer.")
_tag_command("end-dt", TagKind.ISOLATE_DT, False, "DT", "The work on a transformer is over.")
_tag_command("isolate", TagKind.ISOLATE_FEEDER, True, "", "People are at work on the feeder.")
_tag_command("end-isolation", TagKind.ISOLATE_FEEDER, False, "", "The work on the feeder is over.")


main.add_command(evidence)


def _config(path: Path) -> Config:
    try:
        return load_config(path)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error


def _socket(path: Path) -> Path:
    return _config(path).socket


def _say(reply: Reply, what: str, as_json: bool) -> bool:
    """Print the answer to a claim. Returns whether it was accepted."""
    answer = reply.answer
    assert answer is not None
    if as_json:
        click.echo(msgspec.json.encode(Answered(what=what.rstrip(), answer=answer)))
    else:
        detail = f": {answer.detail}" if answer.detail else ""
        click.echo(f"{what.rstrip()}: {answer.word}{detail}")
    return answer.accepted
