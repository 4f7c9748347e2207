"""The journal's file: whose it is, and what is said where it is not what it should be."""

import asyncio
import contextlib
import gc
import sqlite3
import sys
import threading
from pathlib import Path

import pytest

from gateway.core.marks import Marks
from gateway.core.records import Stored, chain_hash
from gateway.core.signature import DocumentType
from gateway.journal.opening import open_database
from gateway.journal.sqlite import SqliteJournal
from gateway.journal.trouble import JournalError, Trouble
from gateway.ports import Batch
from tests.rooms.journal.books import CHECKOUT, WRITER, chained, document, names, opened, reopened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite"


async def trouble_of(path: Path) -> JournalError:
    with pytest.raises(JournalError) as caught:
        await reopened(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


def change(path: Path, statement: str, *values: object) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute(statement, values)


async def test_nobody_else_may_read_it(path: Path) -> None:
    async with opened(path) as journal:
        await journal.commit(Batch(records=chained(1)))
        paper = document(DocumentType.RECEIPT, 1)
        await journal.commit(Batch(documents=(paper,), marks=Marks()))
        modes = {
            each.relative_to(path.parent): each.stat().st_mode & 0o777
            for each in path.parent.rglob("*")
        }
    assert modes == {
        Path("journal.sqlite"): 0o600,
        Path("journal.sqlite-wal"): 0o600,
        Path("archive"): 0o700,
        Path(f"archive/000000000001-receipt-{paper.digest}.jws"): 0o600,
        Path("marks"): 0o700,
        Path("marks/marks.a"): 0o600,
    }
    assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_rights_that_were_loosened_are_tightened(path: Path) -> None:
    await reopened(path)
    path.chmod(0o644)
    await reopened(path)
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_commit_waits_for_the_disk(path: Path) -> None:
    database = await open_database(path)
    try:
        answers = [
            tuple(row)
            for name in ("journal_mode", "synchronous")
            for row in await database.execute_fetchall(f"PRAGMA {name}")
        ]
    finally:
        await database.close()
    assert answers == [("wal",), (2,)]  # 2: FULL, the log is synchronised at each commit


async def test_it_is_exclusive(path: Path) -> None:
    async with opened(path) as journal:
        await journal.commit(Batch(records=chained(1)))
        # In exclusive mode before the first access the log's index is not shared: no -shm file.
        assert names(path.parent) == ["archive", "journal.sqlite", "journal.sqlite-wal"]
        reader = f"import sqlite3; sqlite3.connect({str(path)!r}, timeout=0).execute('{{}}')"
        for statement in ("SELECT * FROM records", "PRAGMA journal_mode", "BEGIN EXCLUSIVE"):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", reader.format(statement), stderr=asyncio.subprocess.PIPE
            )
            _, said = await process.communicate()
            assert b"database is locked" in said


async def test_a_second_daemon_is_told_so(path: Path) -> None:
    async with opened(path) as journal:
        # In this process and twice, as locks of one process are easily lost.
        for _ in range(2):
            assert (await trouble_of(path)).trouble is Trouble.LOCKED
        process = await asyncio.create_subprocess_exec(
            *WRITER, str(path), cwd=CHECKOUT, stderr=asyncio.subprocess.PIPE
        )
        _, said = await process.communicate()
        assert process.returncode == 1
        assert b"LOCKED" in said
        assert b"another daemon has it open" in said
        await journal.commit(Batch(records=chained(1)))


async def test_a_whole_record_that_cannot_be_read_is_a_newer_releases(path: Path) -> None:
    content = b'{"kind":"of another release"}'
    unknown = Stored(number=1, chain=chain_hash(bytes(32), content), content=content)
    async with opened(path) as journal:
        await journal.commit(Batch(records=(unknown,)))
    error = await trouble_of(path)
    assert error.trouble is Trouble.NEWER_SCHEMA
    assert "record 1 cannot be read" in str(error)
    assert (await trouble_of(path)).trouble is Trouble.NEWER_SCHEMA, "it was not set aside"


async def test_another_programs_database_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    change(path, "CREATE TABLE theirs (a)")
    before = path.read_bytes()
    assert (await trouble_of(path)).trouble is Trouble.FOREIGN
    assert path.read_bytes() == before
    assert names(path.parent) == [path.name]


async def test_a_newer_schema_is_refused(path: Path) -> None:
    await reopened(path)
    change(path, "PRAGMA user_version=99")
    error = await trouble_of(path)
    assert error.trouble is Trouble.NEWER_SCHEMA
    assert "schema 99, this release knows 2" in str(error)


async def test_a_directory_in_its_place_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    assert (await trouble_of(path)).trouble is Trouble.NOT_ACCESSIBLE


async def test_a_file_in_the_directorys_place_is_refused(path: Path) -> None:
    path.parent.write_text("a file")
    assert (await trouble_of(path)).trouble is Trouble.NOT_ACCESSIBLE


@pytest.mark.parametrize("turns", [1, 2, 4, 8])
def test_a_loop_that_ends_without_closing_leaves_no_thread(path: Path, turns: int) -> None:
    commits: list[asyncio.Task[None]] = []

    async def forgetful() -> None:
        journal = await SqliteJournal.open(path)
        await journal.commit(Batch(records=chained(1)))
        batch = Batch(records=chained(20, chained(1)[0]), checkpoint=b"c")
        commits.append(asyncio.create_task(journal.commit(batch)))
        for _ in range(turns):
            await asyncio.sleep(0)

    before = set(threading.enumerate())
    asyncio.run(forgetful())
    assert commits.pop().cancelled()
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=10)
        assert not thread.is_alive()
    gc.collect()  # the cancelled tasks' tracebacks may hold a statement, and so the file's lock
    loaded = asyncio.run(reopened(path))
    assert (loaded.number, loaded.checkpoint) in {(1, None), (21, b"c")}
