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

from gateway import __version__, cli_bus, cli_journal, cli_scan, cli_trust
from gateway.bus.fitting import Fit
from gateway.config import Config, ConfigError, fits, load_config, load_parts, mistakes
from gateway.console import by_people
from gateway.console.asking import CONFIG, JSON, ask_at, records_at, say_answer
from gateway.console.evidence import evidence
from gateway.console.local import RECORD_NUMBER_MAX, AskStatus, Submit
from gateway.console.record_words import record_line
from gateway.console.rules import rules
from gateway.console.status_words import status_lines
from gateway.core.parts import Unjoinable, documents_of
from gateway.core.records import read_record
from gateway.journal.sqlite import JournalError

HANDED_IN = click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True)


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
    config = _config(config_path)
    logging.getLogger("gateway").setLevel(logging.DEBUG if verbose else str(config.log_level))
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

    Each stands on a line of its own, with its place and the mend; then the exit status is 1. Where
    a site document is named, it is also said how much of each bus's time its meters take, and what
    does not suit them. The gateway need not run, and nothing is changed.

    \b
    Examples:
      feeder-gateway check
      feeder-gateway check --config gateway.toml --json
    """
    buses: tuple[Fit, ...] = ()
    try:
        config = load_config(config_path)
        found = [f"{config_path}: {mistake}" for mistake in mistakes(config)]
        buses = fits(config)
    except ConfigError as error:
        found = list(error.mistakes)
    if as_json:
        told = {"config": str(config_path), "mistakes": found, "buses": buses}
        click.echo(msgspec.json.encode(told))
    else:
        for mistake in found:
            click.echo(mistake)
        for one in buses:
            click.echo(one.budget)
            for warning in one.warnings:
                click.echo(f"warning: {warning}")
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
    for line in status_lines(reply.status):
        click.echo(line)


@main.command()
@CONFIG
@JSON
@click.argument("files", nargs=-1, required=True, type=HANDED_IN)
def submit(config_path: Path, as_json: bool, files: tuple[str, ...]) -> None:
    """Hand in signed documents.

    Each file holds documents, one a line: a site, a list, an order, a root with those that follow
    it, receipts; or the texts of a set of QR codes. "-" is standard input. What is refused is said
    by name, and then the exit status is 1.

    \b
    Examples:
      feeder-gateway submit list.jws
      echo eyJhbGciOi... | feeder-gateway submit -
    """
    config = _config(config_path)
    in_order = True
    for file in files:
        with click.open_file(file, "rb") as opened:
            content = opened.read()
        documents = _documents_in(content.decode("utf-8", "replace"), file)
        for place, document in documents:
            reply = ask_at(config.socket, Submit(document=document))
            in_order &= say_answer(reply, place, as_json)
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
        click.echo(msgspec.json.encode(line) if as_json else record_line(record))


for command in (
    *by_people.COMMANDS,
    *cli_bus.COMMANDS,
    *cli_trust.COMMANDS,
    cli_journal.journal,
    cli_scan.scan,
    evidence,
    rules,
):
    main.add_command(command)


def _documents_in(text: str, file: str) -> list[tuple[str, str]]:
    """The documents of a file, each with its place. Raises `click.ClickException`."""
    try:
        found = documents_of(text)
    except Unjoinable as unjoinable:
        raise click.ClickException(f"{file}: {unjoinable}") from unjoinable
    if not found:
        raise click.ClickException(f"{file}: it is empty; give a signed document")
    several = len(found) > 1
    return [(f"{file}: {one.place}" if several else file, one.text) for one in found]


def _config(path: Path) -> Config:
    try:
        return load_config(path)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error


def _socket(path: Path) -> Path:
    return _config(path).socket
