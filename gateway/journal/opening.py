"""Opening the journal's file: rights, exclusive use, durability, schema.

Owns everything that must hold before the first record is read or written. Must never leave an
open connection behind when it fails: aiosqlite's thread would keep the process from ending.

Before SQLite 3.51.3 a write-ahead log that two connections use at once can lose frames (the
WAL-reset bug, sqlite.org/wal.html). A connection that is in exclusive locking mode before its first
access takes the file's lock for good and keeps the log's index in its own memory: there is no
second connection.
"""

import asyncio
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import aiosqlite

from gateway.journal.aside import beside, suspect_mark
from gateway.journal.files import make_directory, sync_directory
from gateway.journal.trouble import JournalError, Trouble, named_errors

SCHEMA = Path(__file__).parent / "schema"
APPLICATION_ID = 0x46474A31
"""`FGJ1` in the file's header: this is a feeder gateway's journal."""
SYNCHRONOUS_FULL = 2


async def open_database(path: Path) -> aiosqlite.Connection:
    """A connection that has the file to itself, at the newest schema. Raises `JournalError`."""
    with named_errors(path):
        await asyncio.to_thread(_prepare_file, path)
        database = await aiosqlite.connect(path, isolation_level=None, timeout=0)
        try:
            await _take_exclusively(database, path)
            await _check_ours(database, path)
            await _check_whole(database, path)
            await _make_durable(database, path)
            await _migrate(database, path)
        except BaseException:
            await database.close()
            raise
    return database


def _prepare_file(path: Path) -> None:
    make_directory(path.parent)
    # Made only where it is not: closing a file drops every lock that this process has on it
    # (fcntl(2)), also those of a connection. The log beside it inherits these rights from it.
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if not path.is_file():
            raise FileExistsError(errno.EEXIST, "what stands there is no file") from None
        path.chmod(0o600)
    else:
        for left in beside(path):  # of a file that is gone
            left.unlink(missing_ok=True)
    sync_directory(path.parent)


async def _take_exclusively(database: aiosqlite.Connection, path: Path) -> None:
    # Before the first access: from the transaction on, the lock is held until the file is closed.
    locking = await _pragma(database, "locking_mode=EXCLUSIVE")
    await database.executescript("BEGIN EXCLUSIVE; COMMIT")
    _expect("exclusive", locking, path)


async def _check_ours(database: aiosqlite.Connection, path: Path) -> None:
    application = await _pragma(database, "application_id")
    (row,) = await database.execute_fetchall("SELECT count(*) FROM sqlite_schema")
    if application != APPLICATION_ID and row[0] > 0:
        raise JournalError(Trouble.FOREIGN, path, f"application_id {application}")


async def _check_whole(database: aiosqlite.Connection, path: Path) -> None:
    # Every page is read only where SQLite has stumbled over one: a start must not take minutes.
    suspect = suspect_mark(path)
    if not await asyncio.to_thread(suspect.exists):
        return
    (row, *_) = await database.execute_fetchall("PRAGMA quick_check(1)")
    if row[0] != "ok":
        raise JournalError(Trouble.CORRUPT, path, str(row[0]))
    await asyncio.to_thread(suspect.unlink)


async def _make_durable(database: aiosqlite.Connection, path: Path) -> None:
    _expect("wal", await _pragma(database, "journal_mode=WAL"), path)
    await database.execute("PRAGMA synchronous=FULL")
    _expect(SYNCHRONOUS_FULL, await _pragma(database, "synchronous"), path)


async def _migrate(database: aiosqlite.Connection, path: Path) -> None:
    known = list(_migrations())
    version = int(await _pragma(database, "user_version"))
    if version > len(known):
        raise JournalError(
            Trouble.NEWER_SCHEMA, path, f"schema {version}, this release knows {len(known)}"
        )
    for number, statements in enumerate(known[version:], start=version + 1):
        await database.executescript(
            f"BEGIN EXCLUSIVE; {statements}; PRAGMA application_id={APPLICATION_ID};"
            f" PRAGMA user_version={number}; COMMIT"
        )


def _migrations() -> Iterator[str]:
    for number, path in enumerate(sorted(SCHEMA.glob("[0-9][0-9][0-9].sql")), start=1):
        assert path.stem == f"{number:03}", f"{path}: migrations are numbered without gaps"
        yield path.read_text(encoding="utf-8")


async def _pragma(database: aiosqlite.Connection, text: str) -> str | int:
    (row,) = await database.execute_fetchall(f"PRAGMA {text}")
    value: str | int = row[0]
    return value


def _expect(wanted: str | int, answer: str | int, path: Path) -> None:
    if answer != wanted:
        raise JournalError(
            Trouble.NOT_ACCESSIBLE, path, f"this disk gives {answer} where {wanted} is needed"
        )
