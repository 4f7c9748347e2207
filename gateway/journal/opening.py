"""Opening the journal's file: rights, exclusive use, durability, schema.

Owns everything that must hold before the first record is read or written. Must never leave an
open connection behind when it fails: aiosqlite's thread would keep the process from ending.

A connection that is in exclusive locking mode before its first access takes the file's lock for
good and keeps the log's index in its own memory: there is no second connection. Where SQLite has
the WAL-reset bug (sqlite.org/wal.html) that is tried, not believed: with a second connection the
log could lose frames.
"""

import asyncio
import errno
import os
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import aiosqlite

from gateway.journal.aside import beside, failing_mark, suspect_mark, take_place
from gateway.journal.checking import damage_of_chain, damage_of_pages
from gateway.journal.files import make_directory, sync_directory, sync_file
from gateway.journal.migrating import SCHEMA, check_ours, forget_copies, migrate
from gateway.journal.reading import chain_at, records_after
from gateway.journal.trouble import JournalError, Trouble, named_errors

PAGE_BYTES = 1_024
"""Of a new file. A commit writes whole pages: 4,096 bytes write a quarter more in a day."""
LOG_BYTES = 2**20
"""The log is moved into the file at so many bytes of pages. A longer one writes no less."""
LOG_BYTES_KEPT = 2 * 2**20
"""A longer log is cut to this once it was moved."""
SYNCHRONOUS_FULL = 2
WAL_RESET_FIXED = (3, 51, 3)
WAL_RESET_FIXED_SINCE = {(3, 50): 7, (3, 44): 6}
"""The releases that got the mend later, by major and minor number: from this patch on."""


async def open_database(path: Path, schema: Path = SCHEMA) -> aiosqlite.Connection:
    """A connection that has the file to itself, at the newest schema. Raises `JournalError`."""
    with named_errors(path):
        await asyncio.to_thread(_prepare_file, path)
        database = await aiosqlite.connect(path, isolation_level=None, timeout=0)
        try:
            await _take_exclusively(database, path)
            await check_ours(database, path)
            suspect = await asyncio.to_thread(suspect_mark(path).exists)
            if suspect:
                await _check_pages(database, path)
            await _make_durable(database, path)
            await migrate(database, path, schema)
            if suspect:
                await _check_chain(database, path)
            await forget_copies(database, path)
        except BaseException:
            await database.close()
            raise
    return database


async def open_copy(
    path: Path, *, empty: bool = False, schema: Path = SCHEMA
) -> aiosqlite.Connection:
    """What can be read of the file, in memory, at the newest schema; nothing where it is `empty`.

    For a disk that takes nothing: not even a lock. Raises `JournalError`, NEWER_SCHEMA too.
    """
    with named_errors(path):
        database = await aiosqlite.connect(":memory:", isolation_level=None)
        try:
            if not empty and await asyncio.to_thread(_holds_anything, path):
                await _read_into(database, path)
            await check_ours(database, path)
            await migrate(database, path, schema, copies=False)
        except BaseException:
            await database.close()
            raise
    return database


def read_only(path: Path) -> str:
    """SQLite's name of the file for who only reads it, takes no lock and writes nothing beside.

    In exclusive locking mode its log is read too. Nobody else may write meanwhile.
    """
    # Where there is no log SQLite would make one, unless it is told that nobody will write.
    log = beside(path)[0]
    logged = log.exists() and log.stat().st_size > 0
    return path.absolute().as_uri() + f"?mode=ro&{'vfs=unix-none' if logged else 'immutable=1'}"


def has_wal_reset_bug(version: tuple[int, ...]) -> bool:
    """Whether this release of SQLite can lose frames of a log that two connections use."""
    since = WAL_RESET_FIXED_SINCE.get((version[0], version[1]))
    return version < WAL_RESET_FIXED and (since is None or version[2] < since)


def _prepare_file(path: Path) -> None:
    make_directory(path.parent)
    take_place(path)
    # Made only where it is not: closing a file drops every lock that this process has on it
    # (fcntl(2)), also those of a connection. The log beside it inherits these rights from it.
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if not path.is_file():
            raise FileExistsError(errno.EEXIST, "what stands there is no file") from None
        path.chmod(0o600)
        # A process that was killed may have left commits that are read now and not on the disk yet.
        if beside(path)[0].exists():
            sync_file(beside(path)[0])
    else:
        for left in beside(path):  # of a file that is gone
            left.unlink(missing_ok=True)
    sync_directory(path.parent)
    if failing_mark(path).exists():
        raise JournalError(Trouble.DISK_ERROR, path, "the disk failed at it while it was in use")


async def _take_exclusively(database: aiosqlite.Connection, path: Path) -> None:
    # Before the first access: from the transaction on, the lock is held until the file is closed.
    locking = await _pragma(database, "locking_mode=EXCLUSIVE")
    if await _pragma(database, "page_count") == 0:
        await database.execute(f"PRAGMA page_size={PAGE_BYTES}")
        await database.execute("PRAGMA auto_vacuum=INCREMENTAL")
    await database.executescript("BEGIN EXCLUSIVE; COMMIT")
    _expect("exclusive", locking, path)


async def _check_pages(database: aiosqlite.Connection, path: Path) -> None:
    # Every page is read only where one was found damaged: a start must not take minutes.
    damage = damage_of_pages(await database.execute_fetchall("PRAGMA quick_check(1)"))
    if damage:
        raise JournalError(Trouble.CORRUPT, path, damage)


async def _check_chain(database: aiosqlite.Connection, path: Path) -> None:
    damage = await damage_of_chain(partial(records_after, database), partial(chain_at, database))
    if damage:
        raise JournalError(Trouble.CORRUPT, path, damage)
    await asyncio.to_thread(suspect_mark(path).unlink)


async def _make_durable(database: aiosqlite.Connection, path: Path) -> None:
    _expect("wal", await _pragma(database, "journal_mode=WAL"), path)
    await database.execute("PRAGMA synchronous=FULL")
    pages = LOG_BYTES // int(await _pragma(database, "page_size"))
    await database.execute(f"PRAGMA wal_autocheckpoint={pages}")
    await database.execute_fetchall(f"PRAGMA journal_size_limit={LOG_BYTES_KEPT}")
    # Debian's SQLite overwrites what was deleted with zeros: here that is a write for nothing.
    await database.execute_fetchall("PRAGMA secure_delete=OFF")
    _expect(SYNCHRONOUS_FULL, await _pragma(database, "synchronous"), path)
    if has_wal_reset_bug(sqlite3.sqlite_version_info):
        _expect("refused", await asyncio.to_thread(_second_connection, path), path)


def _second_connection(path: Path) -> str:
    with closing(sqlite3.connect(path, timeout=0)) as second:
        try:
            second.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname == "SQLITE_BUSY":
                return "refused"
            raise
    return "a second connection"


def _holds_anything(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


async def _read_into(database: aiosqlite.Connection, path: Path) -> None:
    source = await aiosqlite.connect(read_only(path), uri=True, isolation_level=None)
    try:
        await _pragma(source, "locking_mode=EXCLUSIVE")
        await source.backup(database)
    finally:
        await source.close()


async def _pragma(database: aiosqlite.Connection, text: str) -> str | int:
    (row,) = await database.execute_fetchall(f"PRAGMA {text}")
    value: str | int = row[0]
    return value


def _expect(wanted: str | int, answer: str | int, path: Path) -> None:
    if answer != wanted:
        raise JournalError(
            Trouble.NOT_ACCESSIBLE, path, f"this disk gives {answer} where {wanted} is needed"
        )
