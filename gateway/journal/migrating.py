"""Migrations: numbered steps of the schema, forward only, and a copy of the file before them.

Owns the copies beside the journal and how long they are kept. Must never change a file of which
there is no copy: a step that fails or is torn leaves the file as it was, and one that turns out to
be wrong leaves the copy.
"""

import asyncio
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import aiosqlite
import msgspec

from gateway.core.records import read_record
from gateway.journal.files import sync_directory, sync_file
from gateway.journal.trouble import JournalError, Trouble, trouble_of

SCHEMA = Path(__file__).parent / "schema"
APPLICATION_ID = 0x46474A31
"""`FGJ1` in the file's header: this is a feeder gateway's journal."""
COPY_KEPT_MS = 30 * 24 * 3_600_000
"""By the records' own certain time: at the first start after that, a copy is removed."""
ROOM_BESIDES_BYTES = 1024 * 1024
"""What a step may write besides the copy."""


async def check_ours(database: aiosqlite.Connection, path: Path) -> None:
    """Refuse another program's database. Raises `JournalError` (FOREIGN)."""
    application = await _number(database, "application_id")
    (row,) = await database.execute_fetchall("SELECT count(*) FROM sqlite_schema")
    if application != APPLICATION_ID and row[0] > 0:
        raise JournalError(Trouble.FOREIGN, path, f"application_id {application}")


async def migrate(
    database: aiosqlite.Connection, path: Path, schema: Path = SCHEMA, *, copies: bool = True
) -> None:
    """Bring a file to the newest schema, one step after the other.

    `copies`: the file is copied before, as the release before left it. Raises `JournalError`:
    NEWER_SCHEMA; MIGRATION_FAILED; DISK_FULL where there is no room for the copy, with the bytes
    that are needed.
    """
    known = list(_migrations(schema))
    version = await _number(database, "user_version")
    if version > len(known):
        said = f"schema {version}, this release knows {len(known)}"
        raise JournalError(Trouble.NEWER_SCHEMA, path, said)
    if copies and 0 < version < len(known):
        await _copy(database, path, version)
    for number, statements in enumerate(known[version:], start=version + 1):
        try:
            await database.executescript(
                f"BEGIN EXCLUSIVE; {statements}; PRAGMA application_id={APPLICATION_ID};"
                f" PRAGMA user_version={number}; COMMIT"
            )
        except sqlite3.Error as error:
            if trouble_of(error) is not Trouble.MISTAKE:
                raise
            said = f"schema {number}: {error}"
            raise JournalError(Trouble.MIGRATION_FAILED, path, said) from error


async def forget_copies(database: aiosqlite.Connection, path: Path) -> None:
    """Remove the copies that are old enough, now that the newest schema was opened well."""
    copies = await asyncio.to_thread(lambda: [*copies_of(path).values()])
    if not copies:
        return
    now_ms = await _certain_ms(database)
    for copy in copies:
        if now_ms - copy.stat().st_mtime_ns // 1_000_000 >= COPY_KEPT_MS:
            await asyncio.to_thread(copy.unlink, missing_ok=True)


def copies_of(path: Path) -> dict[int, Path]:
    """The copies that are there, by the number of their schema. Raises `OSError`."""
    name = re.compile(re.escape(path.name) + r"\.schema-([0-9]+)")
    found = ((name.fullmatch(one.name), one) for one in path.parent.iterdir())
    return {int(match[1]): one for match, one in found if match is not None}


async def _copy(database: aiosqlite.Connection, path: Path, number: int) -> None:
    pages = await _number(database, "page_count") - await _number(database, "freelist_count")
    needed = pages * await _number(database, "page_size") + ROOM_BESIDES_BYTES
    check_room(path, needed, f"a copy of schema {number}")
    copy = path.with_name(f"{path.name}.schema-{number}")
    part = copy.with_name(copy.name + ".part")
    await asyncio.to_thread(empty_file, part)
    await database.execute("VACUUM INTO ?", (str(part),))
    # A time that was certain when it was made: the disk's own clock may be wrong at a start.
    certain_s = await _certain_ms(database) / 1000
    await asyncio.to_thread(_put, part, copy, certain_s)


def check_room(path: Path, needed: int, what: str) -> None:
    """Refuse what the disk at `path` has no room for. Raises `JournalError` (DISK_FULL)."""
    disk = os.statvfs(path.parent)
    free = disk.f_bavail * disk.f_frsize
    if free < needed:
        said = f"{what} needs {needed} bytes, {free} are free"
        raise JournalError(Trouble.DISK_FULL, path, said, bytes_needed=needed)


def empty_file(path: Path) -> None:
    """A new file of mode 0600 for SQLite to write a copy into."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _put(part: Path, copy: Path, modified_s: float) -> None:
    os.utime(part, (modified_s, modified_s))
    sync_file(part)
    part.rename(copy)
    sync_directory(copy.parent)


async def _certain_ms(database: aiosqlite.Connection) -> int:
    for row in await database.execute_fetchall(
        "SELECT content FROM records ORDER BY number DESC LIMIT 1"
    ):
        try:
            return read_record(row[0]).wall_low_ms
        except (msgspec.DecodeError, TypeError):
            break  # damaged, or of another release: what is not known lies in the past
    return 0


def _migrations(schema: Path) -> Iterator[str]:
    for number, path in enumerate(sorted(schema.glob("[0-9][0-9][0-9].sql")), start=1):
        assert path.stem == f"{number:03}", f"{path}: migrations are numbered without gaps"
        yield path.read_text(encoding="utf-8")


async def _number(database: aiosqlite.Connection, name: str) -> int:
    (row,) = await database.execute_fetchall(f"PRAGMA {name}")
    return int(row[0])
