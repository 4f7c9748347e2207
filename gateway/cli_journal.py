"""`journal`: a copy of everything, putting one back, figures, and a check of the whole.

Owns these commands and their readable forms. Must never hold a commit of the daemon up: its file
stands still while it is read, and its records go into the log meanwhile.
"""

import asyncio
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

import click
import msgspec

from gateway import __version__
from gateway.config import Config, ConfigError, load_config
from gateway.console.asking import CONFIG, JSON, NotRunning, at_rest
from gateway.console.words import date_and_time
from gateway.core.marks import Tag
from gateway.journal.backup import BackupError, Index, Places, unpacked, write_backup
from gateway.journal.checking import Checked, check_file, readable
from gateway.journal.opening import open_database
from gateway.journal.putting_back import Difference, Side, difference, put_back
from gateway.journal.stats import Stats, stats_of
from gateway.journal.trouble import JournalError, Trouble

T = TypeVar("T")
FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def journal() -> None:
    """Copy, restore, measure and check the journal.

    \b
    Examples:
      feeder-gateway journal stats
      feeder-gateway journal backup /media/usb/rewa-7.tar
      feeder-gateway journal restore /media/usb/rewa-7.tar --dry-run
      feeder-gateway journal verify
    """


@journal.command()
@CONFIG
@JSON
@click.argument("file", type=FILE)
@click.option("--with-key", is_flag=True, help="The device's private key too. Keep it locked away.")
def backup(config_path: Path, as_json: bool, file: Path, with_key: bool) -> None:
    """Copy journal, archive and marks into one new file.

    The daemon may run: nothing waits for the copy. The file has mode 0600; it holds everything that
    was accepted until the command began, and nothing secret but with --with-key.

    \b
    Examples:
      feeder-gateway journal backup rewa-7.tar
      feeder-gateway journal backup /media/usb/rewa-7.tar --json
    """
    config = _config(config_path)

    def copied(database: sqlite3.Connection, _written: int | None) -> Index:
        return write_backup(
            database,
            _places(config),
            file,
            gateway=config.gateway,
            version=__version__,
            with_key=with_key,
            progress=_progress("bytes copied"),
        )

    index = _with_the_file(config, copied)
    size = file.stat().st_size
    if as_json:
        told = {"file": str(file), "bytes": size, "number": index.number, "chain": index.chain}
        click.echo(msgspec.json.encode(told))
    else:
        click.echo(f"{file}: {size} bytes, records up to {index.number}, chain {index.chain}")


@journal.command()
@CONFIG
@JSON
@click.argument("file", type=FILE)
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
def restore(config_path: Path, as_json: bool, file: Path, dry_run: bool) -> None:
    """Put a backup back.

    The daemon must be stopped, but for --dry-run. First it is said what only is here, and what only
    the backup has. The journal that is here is set aside, no document is dropped, and no mark
    falls: where a newer list or order was in force, the gateway knows that it is behind, and waits
    for it.

    \b
    Examples:
      feeder-gateway journal restore rewa-7.tar --dry-run
      feeder-gateway journal restore rewa-7.tar
    """
    config = _config(config_path)
    places = _places(config)
    with (
        _in_words(),
        unpacked(file, config.state_directory, _progress("bytes read")) as (index, place),
    ):
        if index.gateway != config.gateway:
            said = f"is of gateway {index.gateway}, this is {config.gateway}. Take its own."
            raise BackupError(f"{file}: {said}")
        found = _compared(config, dry_run, lambda: difference(index, place, places, file))
        if not dry_run:
            put_back(place, places)
            asyncio.run(_settled(config.journal))
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    for line in _difference_lines(found):
        click.echo(line)
    click.echo("nothing was changed" if dry_run else f"{config.journal}: put back")


@journal.command()
@CONFIG
@JSON
def stats(config_path: Path, as_json: bool) -> None:
    """Say what the journal holds, and what room it takes.

    \b
    Examples:
      feeder-gateway journal stats
      feeder-gateway journal stats --json
    """
    config = _config(config_path)

    def counted(database: sqlite3.Connection, written: int | None) -> Stats:
        found = stats_of(database, config.journal, config.archive)
        return msgspec.structs.replace(found, written_bytes=written)

    found = _with_the_file(config, counted)
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    for line in _stats_lines(found):
        click.echo(line)


@journal.command()
@CONFIG
@JSON
def verify(config_path: Path, as_json: bool) -> None:
    """Read every page and every record, and say what is damaged.

    The daemon may run: nothing waits for it. Where something is damaged the exit status is 1; the
    running daemon finds it too, sets the journal aside and makes a new one from the archive.

    \b
    Examples:
      feeder-gateway journal verify
      feeder-gateway journal verify --json
    """
    config = _config(config_path)
    show = _progress("records checked")
    found = _with_the_file(config, lambda database, _: check_file(database, show))
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        click.echo(f"{config.journal}: {_checked_words(found)}")
    if found.damage:
        sys.exit(1)


def _with_the_file(config: Config, work: Callable[[sqlite3.Connection, int | None], T]) -> T:
    """What `work` makes of the journal at rest, whether the daemon runs or not.

    Its second argument are the bytes that the daemon has written; None: it does not run.
    """

    def reading(written: int | None) -> T:
        with closing(sqlite3.connect(readable(config.journal), uri=True)) as database:
            return work(database, written)

    with _in_words():
        try:
            return at_rest(config.socket, lambda reply: reading(reply.written_bytes))
        except NotRunning:
            if not config.journal.exists():
                said = f"{config.journal}: there is none yet. Start the gateway once."
                raise click.ClickException(said) from None
            return asyncio.run(_offline(config.journal, lambda: reading(None)))


def _compared(config: Config, dry_run: bool, compare: Callable[[], Difference]) -> Difference:
    if dry_run:
        try:
            return at_rest(config.socket, lambda _: compare())
        except NotRunning:
            pass  # whoever has it open all the same, the next lines find out
    if config.journal.exists():
        asyncio.run(_settled(config.journal))
    return compare()


async def _offline(path: Path, work: Callable[[], T]) -> T:
    database = await open_database(path)  # so that no daemon begins to write meanwhile
    try:
        await database.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
        return work()
    finally:
        await database.close()


async def _settled(path: Path) -> None:
    """See that nobody has it open, and that its log is empty; a damaged one may be replaced."""
    try:
        await (await open_database(path)).close()
    except JournalError as error:
        if error.trouble not in {Trouble.CORRUPT, Trouble.DISK_ERROR, Trouble.NEWER_SCHEMA}:
            raise


@contextmanager
def _in_words() -> Iterator[None]:
    """Turns what can be wrong with files into one line and exit status 1."""
    try:
        yield
    except (JournalError, BackupError) as error:
        raise click.ClickException(str(error)) from error
    except sqlite3.Error as error:
        raise click.ClickException(f"the journal cannot be read: {error}") from error
    except OSError as error:
        place = error.filename or "the disk"
        raise click.ClickException(f"{place}: {error.strerror}. Mend that first.") from error


def _progress(what: str) -> Callable[[int, int], None]:
    """A line that is written over, on a terminal only."""
    if not sys.stderr.isatty():
        return lambda _done, _all: None

    def show(done: int, whole: int) -> None:
        end = "\n" if done >= whole else ""
        click.echo(f"\r{what}: {100 * done // max(1, whole)} %", err=True, nl=False)
        click.echo(end, err=True, nl=False)

    return show


def _checked_words(found: Checked) -> str:
    if found.damage:
        return f"DAMAGED: {found.damage}"
    if found.last == 0:
        return "every page is whole; no records yet"
    return f"every page is whole, records {found.first} to {found.last} are one unbroken chain"


def _difference_lines(found: Difference) -> Iterator[str]:
    if found.here_unreadable:
        yield f"the journal here cannot be read: {found.here_unreadable}"
    yield f"both        records up to {found.common}"
    yield from _side_lines("only here", found.here, found)
    yield from _side_lines("only there", found.there, found)
    for name in ("root", "site", "list", "order"):
        here, there = (getattr(side, f"{name}_seq") for side in (found.here, found.there))
        behind = "; stays at the higher one" if there < here else ""
        yield f"{name:<10}  seq {here} here, {there} in the backup{behind}"
    if found.brings_key:
        yield "device key  none here, the backup's is put back"


def _side_lines(word: str, side: Side, found: Difference) -> Iterator[str]:
    records = f"records {found.common + 1} to {side.last}" if side.records_only_here else "none"
    yield f"{word:<10}  records: {records}"
    documents = ", ".join(f"{count} {kind}" for kind, count in side.documents_only_here.items())
    yield f"            documents: {documents or 'none'}"
    for tag in side.tags_only_here:
        yield f"            {_tag_words(tag)}"


def _tag_words(tag: Tag) -> str:
    return f"{tag.kind} {tag.target} by {tag.by}: {tag.reason}"


def _stats_lines(found: Stats) -> Iterator[str]:
    yield f"records      {found.first} to {found.last}, {found.unacked} not acknowledged"
    yield f"checkpoints  {', '.join(f'after record {at}' for at in found.checkpoints) or 'none'}"
    yield f"readings     {found.readings}, acknowledged through {found.readings_acked_through}"
    archive = ", ".join(f"{count} {kind}" for kind, count in found.archive.items())
    yield f"archive      {archive or 'empty'}; {found.archive_bytes} bytes"
    unused = f"{100 * found.fragmented:.1f} % of its pages hold nothing"
    yield f"file         {found.bytes} bytes, schema {found.schema}, {unused}"
    yield f"log          {found.log_bytes} bytes"
    yield f"free room    {found.free_bytes} bytes"
    if found.written_bytes is not None:
        yield f"written      {found.written_bytes} bytes since the daemon started"
    for aside in found.asides:
        times = f"written {date_and_time(aside.written_ms)}"
        put = f"put there {date_and_time(aside.renamed_ms)}"
        yield f"beside it    {aside.name}, {aside.bytes} bytes, {times}, {put}"


def _places(config: Config) -> Places:
    return Places(
        journal=config.journal,
        archive=config.archive,
        marks=config.marks,
        key=config.identity,
    )


def _config(path: Path) -> Config:
    try:
        return load_config(path)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
