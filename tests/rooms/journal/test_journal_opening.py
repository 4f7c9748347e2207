"""Opening the journal: alone, and at the newest schema, with a copy of what was there before."""

import asyncio
import contextlib
import os
import shutil
import signal
import sqlite3
import sys
from pathlib import Path

import pytest

from gateway.core.records import Stored
from gateway.journal.aside import successor, suspect_mark, unfinished
from gateway.journal.migrating import SCHEMA, check_room, copies_of
from gateway.journal.opening import has_wal_reset_bug, open_database
from gateway.journal.trouble import JournalError, Trouble
from gateway.ports import Batch
from tests.faults.shim import Deed, build, shim_in
from tests.rooms.journal.books import CHECKOUT, chained, names, opened, reopened

RECORDS = chained(50)
KILLS_MAX = 24
"""Points at which a migration is killed, spread over all of them."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


@pytest.fixture
def first_release(tmp_path: Path) -> Path:
    """The schema as the first release had it."""
    return schema_of(tmp_path / "first", 1)


def schema_of(folder: Path, steps: int, *further: str) -> Path:
    folder.mkdir()
    for step in sorted(SCHEMA.glob("*.sql"))[:steps]:
        shutil.copy(step, folder)
    for number, statements in enumerate(further, start=steps + 1):
        (folder / f"{number:03}.sql").write_text(statements, encoding="utf-8")
    return folder


async def written_by(path: Path, schema: Path, records: tuple[Stored, ...] = RECORDS) -> None:
    """A journal of the release that had this schema."""
    database = await open_database(path, schema)
    try:
        await database.execute("UPDATE meta SET new = 1")
        await database.executemany(
            "INSERT INTO records VALUES (?, ?, ?)",
            [(record.number, record.chain, record.content) for record in records],
        )
    finally:
        await database.close()


def schema_in(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        number: int = database.execute("PRAGMA user_version").fetchone()[0]
    return number


def records_in(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as database:
        count: int = database.execute("SELECT count(*) FROM records").fetchone()[0]
    return count


@pytest.mark.parametrize(
    ("version", "bug"),
    [
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 9), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
        ((4, 0, 0), False),
    ],
)
def test_which_sqlite_has_the_wal_reset_bug(version: tuple[int, int, int], bug: bool) -> None:
    assert has_wal_reset_bug(version) is bug


def refusal_of(uri: str) -> str:
    """Why SQLite lets nobody read the records of that database."""
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=0)) as second:
        with pytest.raises(sqlite3.OperationalError) as caught:
            second.execute("SELECT * FROM records").fetchall()
        return str(caught.value.sqlite_errorname)


async def test_a_second_connection_is_refused_while_ours_is_open(path: Path) -> None:
    database = await open_database(path)
    try:
        (row,) = await database.execute_fetchall("PRAGMA locking_mode")
        assert row[0] == "exclusive"
        for uri in (path.as_uri(), path.as_uri() + "?mode=ro"):
            assert refusal_of(uri) == "SQLITE_BUSY"
        assert not path.with_name("journal.db-shm").exists(), "the log's index is ours alone"
        await database.execute("UPDATE meta SET new = 1")  # our lock is still there
    finally:
        await database.close()


async def test_a_release_goes_on_with_the_journal_of_the_one_before(
    path: Path, first_release: Path
) -> None:
    await written_by(path, first_release)
    loaded = await reopened(path)
    assert loaded.records == RECORDS
    assert schema_in(path) == len(list(SCHEMA.glob("*.sql")))
    assert names(path.parent) == ["archive", "journal.db", "journal.db.schema-1"]
    copy = path.with_name("journal.db.schema-1")
    assert (schema_in(copy), records_in(copy)) == (1, len(RECORDS))
    assert copy.stat().st_mode & 0o777 == 0o600


async def test_the_release_before_goes_on_with_the_copy(path: Path, first_release: Path) -> None:
    await written_by(path, first_release)
    await reopened(path)
    with pytest.raises(JournalError) as caught:
        await open_database(path, first_release)
    assert caught.value.trouble is Trouble.NEWER_SCHEMA
    path.with_name("journal.db.schema-1").rename(path)
    await (await open_database(path, first_release)).close()
    assert records_in(path) == len(RECORDS)


async def test_a_copy_goes_once_the_records_are_30_days_on(path: Path, first_release: Path) -> None:
    await written_by(path, first_release)
    await reopened(path)
    copy = copies_of(path)[1]
    day_s = 24 * 3_600
    certain_s = copy.stat().st_mtime  # that of the last record
    for days, there in ((29, True), (30, False)):
        os.utime(copy, (certain_s - days * day_s,) * 2)
        await reopened(path)
        assert copy.exists() is there, f"after {days} days"


async def test_a_new_journal_needs_no_copy(path: Path) -> None:
    await reopened(path)
    assert names(path.parent) == ["archive", "journal.db"]


@pytest.mark.parametrize(
    "statements", ["nonsense", "CREATE TABLE a (b); CREATE TABLE a (b)", "DELETE FROM nowhere"]
)
async def test_a_migration_that_fails_leaves_the_journal_as_it_was(
    path: Path, tmp_path: Path, statements: str
) -> None:
    newest = len(list(SCHEMA.glob("*.sql")))
    async with opened(path) as journal:
        await journal.commit(Batch(records=RECORDS))
    with pytest.raises(JournalError) as caught:
        await open_database(path, schema_of(tmp_path / "next", newest, statements))
    assert caught.value.trouble is Trouble.MIGRATION_FAILED
    assert f"schema {newest + 1}: " in str(caught.value)
    assert "install the release before again" in str(caught.value)
    assert (await reopened(path)).records == RECORDS
    assert schema_in(path) == newest


async def test_without_room_for_a_copy_it_is_said_how_much_is_needed(path: Path) -> None:
    await reopened(path)
    needed = 2**62
    with pytest.raises(JournalError) as caught:
        check_room(path, needed, "a copy of schema 1")
    assert caught.value.trouble is Trouble.DISK_FULL
    assert caught.value.bytes_needed == needed
    assert f"a copy of schema 1 needs {needed} bytes, " in str(caught.value)


async def test_killed_at_any_step_of_a_migration_either_release_goes_on(
    path: Path, tmp_path: Path, first_release: Path
) -> None:
    library = build(tmp_path)
    prepared = tmp_path / "prepared"
    await written_by(prepared / path.name, first_release)

    async def migrate(kill_after: int | None) -> tuple[int, int]:
        """Its exit status, and how many calls it made."""
        shutil.rmtree(path.parent, ignore_errors=True)
        shutil.copytree(prepared, path.parent)
        with shim_in(tmp_path / f"shim-{kill_after}", library, path.parent) as shim:
            if kill_after is not None:
                shim.kill(kill_after, Deed.KILL_BEFORE)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.rooms.journal.migrating", str(path)),
                cwd=CHECKOUT,
                env={**os.environ, **shim.environment},
            )
            return await process.wait(), shim.calls

    status, calls = await migrate(None)
    assert status == 0
    assert calls > 10, "the shim saw it"
    for at in range(1, calls + 1, 1 + calls // KILLS_MAX):
        status, _ = await migrate(at)
        assert status == -signal.SIGKILL
        with contextlib.closing(sqlite3.connect(path)) as database:
            (schema,) = database.execute("PRAGMA user_version").fetchone()
        if schema == 1:
            await (await open_database(path, first_release)).close()
        else:
            copy = path.with_name("journal.db.schema-1")
            assert (schema_in(copy), records_in(copy)) == (1, len(RECORDS))
        assert (await reopened(path)).records == RECORDS


async def test_what_waits_to_take_the_place_does_so_at_the_next_opening(path: Path) -> None:
    async with opened(path) as journal:
        await journal.commit(Batch(records=RECORDS[:10]))
    shutil.copy(path, path.with_name("other"))
    async with opened(path) as journal:
        await journal.commit(Batch(records=RECORDS[10:]))
    path.with_name("other").rename(successor(path))
    assert (await reopened(path)).number == 10
    assert records_in(path.with_name("journal.db.lost-1")) == len(RECORDS)


async def test_what_was_never_finished_takes_no_place(path: Path) -> None:
    async with opened(path) as journal:
        await journal.commit(Batch(records=RECORDS))
    unfinished(path).write_bytes(b"half")
    assert (await reopened(path)).number == len(RECORDS)
    assert not unfinished(path).exists()


async def test_a_suspect_journal_is_checked_record_by_record(path: Path) -> None:
    async with opened(path) as journal:
        await journal.commit(Batch(records=RECORDS[:40], checkpoint=b"c"))
        await journal.commit(Batch(records=RECORDS[40:], checkpoint=b"c"))
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE records SET content = x'00' WHERE number = 7")
    assert (await reopened(path)).number == len(RECORDS), "a start does not read all of them"
    suspect_mark(path).touch()
    loaded = await reopened(path)
    assert loaded.number == 0
    assert "the chain breaks at record 7" in loaded.lost
    assert not suspect_mark(path).exists()
