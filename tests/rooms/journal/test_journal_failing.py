"""A disk that is read-only, full or fails, at the start and while the journal is in use."""

import asyncio
import contextlib
import errno
import os
import shutil
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.core.marks import Mark, Marks
from gateway.core.signature import DocumentType
from gateway.journal.aside import beside, failing_mark
from gateway.journal.failing import ERRORS_MAX, IN_MEMORY_BYTES_MAX
from gateway.journal.trouble import JournalError, Trouble
from gateway.ports import Batch, Remedy
from tests.faults.shim import Shim, build, shim_in
from tests.rooms.journal.books import CHECKOUT, chained, document, names, opened, reopened
from tests.rooms.journal.shelf import Answer, Shelf, shelf

RECORDS = chained(30)
PAPER = document(DocumentType.RECEIPT, 1)
MARKS = Marks(list=Mark(seq=1))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("shim"))


@pytest_asyncio.fixture
async def disk(tmp_path: Path, library: Path, path: Path) -> AsyncIterator[tuple[Shim, Shelf]]:
    """A journal of 20 records whose log still holds them, and a process on a disk to break."""
    await writing_killed(path)
    with shim_in(tmp_path / "shim", library, path.parent) as shim:
        async with shelf(path, shim.environment) as served:
            yield shim, served


async def writing_killed(path: Path) -> None:
    """Write 20 records, and leave the files as a killed process leaves them."""
    kept = path.with_name("kept")
    async with opened(path) as journal:
        await journal.commit(Batch(records=RECORDS[:20], documents=(PAPER,), marks=MARKS))
        kept.mkdir()
        for one in (path, beside(path)[0]):
            shutil.copy(one, kept)
    for one in kept.iterdir():
        one.rename(path.with_name(one.name))
    kept.rmdir()


def files(path: Path) -> dict[str, bytes]:
    return {
        str(one.relative_to(path.parent)): one.read_bytes()
        for one in path.parent.rglob("*")
        if one.is_file()
    }


@pytest.mark.parametrize("logged", [True, False])
@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (errno.EROFS, Trouble.READ_ONLY),
        (errno.ENOSPC, Trouble.DISK_FULL),
        (errno.EIO, Trouble.DISK_ERROR),
    ],
)
async def test_a_start_on_a_disk_that_takes_nothing_reads_it_and_waits(
    path: Path, disk: tuple[Shim, Shelf], error: int, trouble: Trouble, logged: bool
) -> None:
    shim, served = disk
    if not logged:
        await reopened(path)  # closed well, it leaves no log
    assert beside(path)[0].exists() is logged
    before = files(path)
    shim.fail(1, error, lasting=True)
    assert await served.open() == Answer(number=20)
    assert await served.commit(20, 1) == Answer(trouble=trouble, remedy=Remedy.WAIT)
    assert await served.read(0) == Answer(number=20)
    assert files(path) == before, "nothing was written"
    shim.mend()
    assert await served.commit(20, 1) == Answer(trouble=trouble, remedy=Remedy.RENEW)
    assert await served.open() == Answer(number=20)
    assert await served.commit(20, 1) == Answer(number=21)
    await served.close()
    assert names(path.parent) == ["archive", "journal.db", "marks"], "nothing was set aside"
    loaded = await reopened(path)
    assert loaded.records == RECORDS[:21]
    assert loaded.marks == MARKS


async def test_a_first_start_on_a_full_disk_begins_in_memory(
    path: Path, disk: tuple[Shim, Shelf]
) -> None:
    shim, served = disk
    for one in (path, *beside(path)):
        one.unlink(missing_ok=True)
    shutil.rmtree(path.with_name("archive"))
    shutil.rmtree(path.with_name("marks"))
    shim.fail(1, errno.ENOSPC, lasting=True)
    assert await served.open() == Answer(number=0, new=True)
    assert await served.commit(0, 1) == Answer(trouble=Trouble.DISK_FULL, remedy=Remedy.WAIT)
    shim.mend()
    assert await served.commit(0, 1) == Answer(trouble=Trouble.DISK_FULL, remedy=Remedy.RENEW)
    assert await served.open() == Answer(number=0, new=True)
    assert await served.commit(0, 1) == Answer(number=1)


async def test_a_damaged_journal_on_a_read_only_disk_is_begun_anew_in_memory(
    path: Path, disk: tuple[Shim, Shelf]
) -> None:
    shim, served = disk
    path.write_bytes(b"garbage " * 1_000)
    beside(path)[0].unlink()
    shim.fail(1, errno.EROFS, lasting=True)
    opened_so = await served.open()
    assert (opened_so.number, opened_so.new) == (0, False)
    assert opened_so.lost.startswith("CORRUPT: file is not a database")
    assert await served.commit(0, 1) == Answer(trouble=Trouble.READ_ONLY, remedy=Remedy.WAIT)
    shim.mend()
    assert (await served.commit(0, 1)).remedy is Remedy.RENEW
    assert (await served.open()).lost.endswith("; it was set aside as journal.db.lost-1")
    assert await served.commit(0, 1) == Answer(number=1)


async def test_what_is_too_large_for_the_memory_is_refused_with_its_size(
    path: Path, disk: tuple[Shim, Shelf]
) -> None:
    shim, served = disk
    os.truncate(path, IN_MEMORY_BYTES_MAX + 1)  # a sparse file: it takes no room
    shim.fail(1, errno.EROFS, lasting=True)
    refused = await served.open()
    assert refused.trouble is Trouble.READ_ONLY
    assert f"at most {IN_MEMORY_BYTES_MAX} fit in memory" in refused.said


async def test_a_file_that_the_disk_fails_at_is_carried_over_whole(
    path: Path, disk: tuple[Shim, Shelf]
) -> None:
    shim, served = disk
    assert await served.open() == Answer(number=20)
    for _ in range(ERRORS_MAX - 1):
        shim.fail(1, errno.EIO, lasting=False)
        refused = await served.commit(20, 1)
        assert (refused.trouble, refused.remedy) == (Trouble.DISK_ERROR, Remedy.WAIT)
    shim.fail(1, errno.EIO, lasting=False)
    refused = await served.commit(20, 1)
    assert (refused.trouble, refused.remedy) == (Trouble.DISK_ERROR, Remedy.RENEW)
    assert failing_mark(path).exists()
    assert await served.open() == Answer(number=20)
    assert await served.commit(20, 1) == Answer(number=21)
    await served.close()
    assert names(path.parent) == ["archive", "journal.db", "journal.db.lost-1", "marks"]
    assert (await reopened(path)).records == RECORDS[:21]


async def test_errors_with_a_commit_between_are_forgiven(
    path: Path, disk: tuple[Shim, Shelf]
) -> None:
    shim, served = disk
    assert await served.open() == Answer(number=20)
    for at in range(20, 20 + ERRORS_MAX + 1):
        shim.fail(1, errno.EIO, lasting=False)
        assert (await served.commit(at, 1)).remedy is Remedy.WAIT
        assert await served.commit(at, 1) == Answer(number=at + 1)
    assert not failing_mark(path).exists()


async def test_a_failing_file_that_cannot_be_read_is_set_aside(path: Path) -> None:
    async with opened(path) as journal:
        await journal.commit(Batch(records=RECORDS, documents=(PAPER,), marks=MARKS))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) // 2))
    failing_mark(path).touch()
    loaded = await reopened(path)
    assert (loaded.number, loaded.marks, loaded.archived) == (0, MARKS, (PAPER,))
    assert loaded.lost == (
        "DISK_ERROR: the disk failed at it while it was in use; "
        "it was set aside as journal.db.lost-1"
    )


async def test_damage_that_is_found_in_use_ends_the_journal(path: Path) -> None:
    async with opened(path) as journal:
        await journal.commit(Batch(records=RECORDS[:20], checkpoint=b"c"))
        await journal.commit(Batch(records=RECORDS[20:25], checkpoint=b"c"))
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE records SET content = x'00' WHERE number = 7")
    async with opened(path) as journal:
        assert await journal.look_through() == "the chain breaks at record 7"
        with pytest.raises(JournalError, match="CORRUPT: the chain breaks at record 7") as caught:
            await journal.commit(Batch(records=RECORDS[25:]))
        assert caught.value.remedy is Remedy.RENEW
    assert "the chain breaks at record 7" in (await reopened(path)).lost


async def test_a_whole_journal_is_looked_through_while_it_is_written(path: Path) -> None:
    async with opened(path) as journal:
        await journal.commit(Batch(records=RECORDS[:20]))
        assert await journal.look_through() == ""
        await journal.commit(Batch(records=RECORDS[20:]))
        assert await journal.look_through() == ""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.rooms.journal.migrating", str(path)),
            cwd=CHECKOUT,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
        assert b"LOCKED" in said, "the journal's lock is still held"
    assert (await reopened(path)).number == len(RECORDS)
