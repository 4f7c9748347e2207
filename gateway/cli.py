"""The commands of the daemon and of people at its machine.

Owns arguments, exit status (0 done, 1 failed, 2 used wrongly) and the readable forms. Must never
decide: every command either starts the daemon or asks it.
"""

import asyncio
import logging
import sys
from pathlib import Path
from typing import IO

import click
import msgspec

from gateway import __version__
from gateway.config import Config, ConfigError, load_config, load_parts, mistakes
from gateway.console import words
from gateway.console.local import (
    Ask,
    AskRecords,
    AskStatus,
    LocalClient,
    PlaceTag,
    RecordLine,
    Reply,
    Submit,
)
from gateway.core.fact import Answer, TagClaim, TagKind, read_record
from gateway.journal.sqlite import JournalError

CONFIG = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=Path("/etc/feeder-gateway/gateway.toml"),
    show_default=True,
    help="The gateway's configuration file.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="feeder-gateway")
def main() -> None:
    """Bring paid homes back to supply from the feeder itself.

    \b
    Examples:
      feeder-gateway demo
      feeder-gateway check --config gateway.toml
      feeder-gateway run --config gateway.toml
      feeder-gateway status --config gateway.toml --json
    """


@main.command()
@CONFIG
@click.option("--verbose", is_flag=True, help="Log account numbers and every exchange.")
def run(config_path: Path, verbose: bool) -> None:
    """Run the daemon until SIGTERM or Ctrl-C."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(levelname)s %(name)s: %(message)s",
    )
    if verbose:
        logging.getLogger("gateway").setLevel(logging.DEBUG)
    config = _config(config_path)
    from gateway import daemon  # noqa: PLC0415 - only this command pays for its imports

    try:
        parts = load_parts(config)
        asyncio.run(daemon.run(config, parts))
    except ConfigError as error:
        raise click.ClickException(f"{config_path}: {error}") from error
    except JournalError as error:
        raise click.ClickException(str(error)) from error


@main.command()
@CONFIG
@JSON
def check(config_path: Path, as_json: bool) -> None:
    """Say every mistake in a configuration, each with its place and the mend."""
    try:
        found = list(mistakes(load_config(config_path)))
    except ConfigError as error:
        found = [str(error)]
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
    """Say how the running gateway and its consumers fare."""
    reply = _ask(_config(config_path), AskStatus())
    assert reply.status is not None
    if as_json:
        click.echo(msgspec.json.encode(reply.status))
        return
    for line in words.status_lines(reply.status):
        click.echo(line)


@main.command()
@CONFIG
@JSON
@click.argument("files", nargs=-1, required=True, type=click.File("rb"))
def submit(config_path: Path, as_json: bool, files: tuple[IO[bytes], ...]) -> None:
    """Hand in signed documents: a site, a list, or receipts one per line. "-" is standard input.

    \b
    Examples:
      feeder-gateway submit list.jws
      echo eyJhbGciOi... | feeder-gateway submit -
    """
    config = _config(config_path)
    refused = 0
    for file in files:
        for document in file.read().split():
            text = document.decode("utf-8", "replace")
            answer = _ask(config, Submit(document=text)).answer
            assert answer is not None
            refused += not answer.accepted
            _say(answer, file.name, as_json)
    if refused:
        sys.exit(1)


@main.command()
@CONFIG
@JSON
@click.option("--after", default=0, help="Only records numbered above this.")
def log(config_path: Path, as_json: bool, after: int) -> None:
    """Print the journal's records, oldest first."""
    config = _config(config_path)
    while lines := _ask(config, AskRecords(after=after)).records:
        for line in lines:
            record = read_record(bytes(line.record))
            click.echo(_json_line(line) if as_json else words.record_line(record))
            after = record.number


def _tag_command(name: str, kind: TagKind, place: bool, target: str, said: str) -> None:
    def command(config_path: Path, as_json: bool, by: str, reason: str, on: str = "") -> None:
        claim = TagClaim(kind=kind, target=on, place=place, by=by, reason=reason)
        answer = _ask(_config(config_path), PlaceTag(claim=claim)).answer
        assert answer is not None
        _say(answer, f"{name} {on}".strip(), as_json)
        if not answer.accepted:
            sys.exit(1)

    command.__doc__ = said
    command = click.option("--reason", required=True, help="Why.")(command)
    command = click.option("--by", required=True, help="Who answers for it.")(command)
    if target:
        command = click.argument("on", metavar=target)(command)
    main.command(name)(CONFIG(JSON(command)))


_tag_command("hold", TagKind.HOLD, True, "METER", "Forbid closing one meter, although paid.")
_tag_command("release-hold", TagKind.HOLD, False, "METER", "Take a hold away.")
_tag_command("isolate-dt", TagKind.ISOLATE_DT, True, "DT", "People work on a transformer.")
_tag_command("end-dt", TagKind.ISOLATE_DT, False, "DT", "The work on a transformer is over.")
_tag_command("isolate", TagKind.ISOLATE_FEEDER, True, "", "People work on the feeder.")
_tag_command("end-isolation", TagKind.ISOLATE_FEEDER, False, "", "The work on it is over.")


def _config(path: Path) -> Config:
    try:
        return load_config(path)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error


def _ask(config: Config, ask: Ask) -> Reply:
    try:
        reply = asyncio.run(LocalClient(config.socket).ask(ask))
    except OSError as error:
        raise click.ClickException(
            f"{config.socket}: {error.strerror or error}. Is the gateway running?"
        ) from error
    if reply.kind == "error":
        raise click.ClickException(reply.error)
    return reply


def _say(answer: Answer, what: str, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(answer))
    else:
        click.echo(f"{what}: {answer.word}" + (f": {answer.detail}" if answer.detail else ""))


def _json_line(line: RecordLine) -> str:
    return msgspec.json.encode(line).decode()
