"""A backup: everything in one file or nothing, and put back without a mark that falls."""

import asyncio
import contextlib
import io
import os
import shutil
import signal
import sqlite3
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.core.fact import Origin, TagKind
from gateway.core.marks import Mark, Marks, Tag
from gateway.core.model import Instant
from gateway.core.signature import DocumentType
from gateway.journal.backup import BackupError, Index, Places, unpacked, write_backup
from gateway.journal.checking import check_file, readable
from gateway.journal.putting_back import Difference, difference, put_back
from gateway.journal.resting import LOG_BYTES_MAX
from gateway.journal.stats import stats_of
from gateway.ports import Batch
from tests.faults.shim import Deed, build, shim_in
from tests.rooms.journal.books import CHECKOUT, chained, document, listed, names, opened, reopened

RECORDS = chained(40)
EARLY, LATE = (document(DocumentType.RECEIPT, at) for at in range(2))
LIST = document(DocumentType.LIST, "list")
HOLD = Tag(
    kind=TagKind.HOLD,
    target="M-1",
    origin=Origin.TECHNICIAN,
    by="Sunita",
    reason="broken seal",
    since=Instant(boot="boot", mono_ms=1, wall_ms=2),
)
OLD_MARKS = Marks(list=Mark(seq=1), order=Mark(seq=7))
NEW_MARKS = Marks(list=Mark(seq=2), tags=(HOLD,))
KILLS_MAX = 16


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "usb" / "gw-1.tar"


def places(path: Path) -> Places:
    return Places(
        journal=path,
        archive=path.with_name("archive"),
        marks=path.with_name("marks"),
        key=path.with_name("device.pem"),
    )


def back_up(path: Path, target: Path, *, with_key: bool = False) -> Index:
    """A backup of the journal at rest."""
    target.parent.mkdir(exist_ok=True)
    with contextlib.closing(sqlite3.connect(readable(path), uri=True)) as database:
        return write_backup(
            database, places(path), target, gateway="gw-1", version="1", with_key=with_key
        )


async def early_and_late(path: Path, target: Path) -> None:
    """20 records that are backed up, and then as many more, with newer marks and one document."""
    async with opened(path) as journal:
        await journal.commit(Batch(records=RECORDS[:20], documents=(EARLY,), marks=OLD_MARKS))
        assert await journal.rest()
        back_up(path, target)
        assert await journal.end_rest()
        await journal.commit(Batch(records=RECORDS[20:], documents=(LATE,), marks=NEW_MARKS))


def compared(path: Path, target: Path) -> Difference:
    with unpacked(target, path.parent) as (index, place):
        return difference(index, place, places(path), target)


def restored(path: Path, target: Path) -> None:
    with unpacked(target, path.parent) as (_, place):
        put_back(place, places(path))


async def test_nothing_waits_for_a_backup(path: Path, target: Path) -> None:
    async with opened(path) as journal:
        await journal.commit(Batch(records=RECORDS[:20], documents=(EARLY,), marks=OLD_MARKS))
        assert await journal.rest()
        assert not await journal.rest(), "one at a time"
        await journal.commit(Batch(records=RECORDS[20:30]))
        index = back_up(path, target)
        await journal.commit(Batch(records=RECORDS[30:]))
        assert await journal.end_rest()
        assert not await journal.end_rest()
    assert (index.number, index.chain) == (20, RECORDS[19].chain.hex())
    assert names(target.parent) == [target.name]
    assert target.stat().st_mode & 0o777 == 0o600
    with tarfile.open(target) as tar:
        assert tar.getnames() == [
            "backup.json",
            "journal.db",
            f"archive/000000000001-receipt-{EARLY.digest}.jws",
            "marks/marks.a",
        ]
    assert (await reopened(path)).records == RECORDS


async def test_the_private_key_is_in_it_only_when_asked(path: Path, target: Path) -> None:
    await reopened(path)
    places(path).key.write_text("secret", encoding="utf-8")
    back_up(path, target)
    assert b"secret" not in target.read_bytes()
    target.unlink()
    back_up(path, target, with_key=True)
    with tarfile.open(target) as tar:
        content = tar.extractfile("device.pem")
        assert content is not None
        assert content.read() == b"secret"
    for there, kept in (("new", "new"), ("", "secret")):
        places(path).key.unlink()
        if there:
            places(path).key.write_text(there, encoding="utf-8")
        assert compared(path, target).brings_key is not bool(there)
        restored(path, target)
        assert places(path).key.read_text(encoding="utf-8") == kept
    assert places(path).key.stat().st_mode & 0o777 == 0o600


async def test_another_file_is_never_written_over(path: Path, target: Path) -> None:
    await reopened(path)
    target.parent.mkdir()
    target.write_text("mine", encoding="utf-8")
    with pytest.raises(BackupError, match="is there already"):
        back_up(path, target)
    assert target.read_text(encoding="utf-8") == "mine"


async def test_a_backup_that_fails_leaves_nothing(path: Path, target: Path) -> None:
    await reopened(path)
    places(path).archive.joinpath("000000000001-list-.jws").mkdir()
    shutil.rmtree(places(path).archive)
    with pytest.raises(FileNotFoundError):
        back_up(path, target, with_key=True)  # there is no key
    assert names(target.parent) == []


async def test_a_rest_ends_by_itself_when_the_log_grows_too_large(path: Path) -> None:
    async with opened(path) as journal:
        await journal.commit(Batch(records=RECORDS[:1]))
        assert await journal.rest()
        large = os.urandom(LOG_BYTES_MAX + 1)
        await journal.commit(Batch(records=RECORDS[1:2], checkpoint=large))
        assert not await journal.end_rest()
        assert await journal.rest()
        assert await journal.end_rest()


async def test_what_would_change_is_said_and_nothing_is_changed(path: Path, target: Path) -> None:
    await early_and_late(path, target)
    before = {one: one.read_bytes() for one in path.parent.rglob("*") if one.is_file()}
    found = compared(path, target)
    assert {one: one.read_bytes() for one in path.parent.rglob("*") if one.is_file()} == before
    assert (found.common, found.here.last, found.there.last) == (20, 40, 20)
    assert (found.here.records_only_here, found.there.records_only_here) == (20, 0)
    assert (found.here.documents_only_here, found.there.documents_only_here) == ({"receipt": 1}, {})
    assert (found.here.list_seq, found.there.list_seq) == (2, 1)
    assert (found.here.tags_only_here, found.there.tags_only_here) == ((HOLD,), ())


async def test_an_old_backup_is_behind_the_marks_and_no_document_is_lost(
    path: Path, target: Path
) -> None:
    await early_and_late(path, target)
    restored(path, target)
    loaded = await reopened(path)
    assert loaded.records == RECORDS[:20]
    assert loaded.marks == Marks(list=Mark(seq=2), order=Mark(seq=7), tags=(HOLD,))
    assert not loaded.marks_followed
    assert loaded.archived == (LATE,), "it came later, and is taken up again"
    with contextlib.closing(sqlite3.connect(path.with_name("journal.db.lost-1"))) as lost:
        assert check_file(lost).last == 40
    assert compared(path, target).there.records_only_here == 0


async def test_after_two_lives_the_last_record_in_common_is_found(path: Path, target: Path) -> None:
    await early_and_late(path, target)
    restored(path, target)
    other = chained(5, RECORDS[19])
    assert other[0] == RECORDS[20]
    apart = listed(LIST, RECORDS[24])
    async with opened(path) as journal:
        await journal.commit(Batch(records=(*other, *apart), documents=(LIST,)))
        assert await journal.rest()
        back_up(path, second := target.with_name("second.tar"))
    path.unlink()
    path.with_name("journal.db.lost-1").rename(path)
    found = compared(path, second)
    assert (found.common, found.here.last, found.there.last) == (25, 40, 26)


async def test_on_an_empty_disk_everything_comes_back(path: Path, target: Path) -> None:
    await early_and_late(path, target)
    shutil.rmtree(path.parent)
    assert compared(path, target).common == 0
    restored(path, target)
    loaded = await reopened(path)
    assert (loaded.records, loaded.marks) == (RECORDS[:20], OLD_MARKS)
    assert names(places(path).archive) == [f"000000000001-receipt-{EARLY.digest}.jws"]


async def test_documents_of_another_life_come_after_the_backups(path: Path, target: Path) -> None:
    await early_and_late(path, target)
    shutil.rmtree(path.parent)
    async with opened(path, commissioned=True) as journal:
        await journal.commit(Batch(records=RECORDS[:1], documents=(LATE, LIST)))
    restored(path, target)
    assert names(places(path).archive) == [
        f"000000000001-receipt-{EARLY.digest}.jws",
        f"000000000003-receipt-{LATE.digest}.jws",
        f"000000000004-list-{LIST.digest}.jws",
    ]
    assert (await reopened(path)).archived == (LATE, LIST)


async def test_a_journal_that_cannot_be_read_is_replaced_all_the_same(
    path: Path, target: Path
) -> None:
    await early_and_late(path, target)
    path.write_bytes(b"garbage " * 1_000)
    assert compared(path, target).here_unreadable == "file is not a database"
    restored(path, target)
    assert (await reopened(path)).number == 20


def damaged(content: bytes) -> Iterator[bytes]:
    yield b""
    yield b"no backup"
    yield content[:600]
    yield content[: len(content) // 2]
    for at in range(0, len(content), 37):
        if content[at] != 0:  # most of a small journal's pages is empty
            yield content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


async def test_a_damaged_backup_is_refused_or_still_the_same(path: Path, target: Path) -> None:
    await early_and_late(path, target)
    whole = target.read_bytes()
    with unpacked(target, path.parent) as (index, place):
        content = {str(one): one.read_bytes() for one in place.rglob("*") if one.is_file()}
    refused = 0
    for changed in damaged(whole):
        target.write_bytes(changed)
        try:
            with unpacked(target, path.parent) as (read, place):
                # A bit of the tar's own headers that nobody looks at, or of its index.
                there = {str(one): one.read_bytes() for one in place.rglob("*") if one.is_file()}
                assert (there, read.files) == (content, index.files)
        except BackupError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "archive/../../escaped", "other"])
def test_a_backup_writes_nowhere_else(tmp_path: Path, target: Path, name: str) -> None:
    target.parent.mkdir()
    said = b'{"form":1,"gateway":"g","version":"1","number":0,"chain":"","files":{"%s":"0"}}'
    with tarfile.open(target, "w") as tar:
        for member, content in (("backup.json", said % name.encode()), (name, b"x")):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    with (
        pytest.raises(BackupError, match="does not belong into a backup"),
        unpacked(target, tmp_path / "state"),
    ):
        pass
    assert names(tmp_path) == ["state", "usb"]
    assert names(tmp_path / "state") == []


async def test_killed_at_any_step_it_can_be_put_back_again(
    path: Path, target: Path, tmp_path: Path
) -> None:
    await early_and_late(path, target)
    library = build(tmp_path)
    prepared = tmp_path / "prepared"
    path.parent.rename(prepared)

    async def put(kill_after: int | None) -> tuple[int, int]:
        """Its exit status, and how many calls it made."""
        shutil.rmtree(path.parent, ignore_errors=True)
        shutil.copytree(prepared, path.parent)
        with shim_in(tmp_path / f"shim-{kill_after}", library, path.parent) as shim:
            if kill_after is not None:
                shim.kill(kill_after, Deed.KILL_BEFORE)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.rooms.journal.putting", str(path), str(target)),
                cwd=CHECKOUT,
                env={**os.environ, **shim.environment},
            )
            return await process.wait(), shim.calls

    status, calls = await put(None)
    assert status == 0
    for at in range(1, calls + 1, 1 + calls // KILLS_MAX):
        status, _ = await put(at)
        assert status == -signal.SIGKILL
        loaded = await reopened(path)
        assert loaded.records in {RECORDS, RECORDS[:20]}, "one of both, whole"
        assert loaded.marks is not None
        assert loaded.marks.list.seq == 2
        restored(path, target)
        loaded = await reopened(path)
        assert loaded.records == RECORDS[:20]
        assert loaded.archived == (LATE,)


async def test_the_figures_of_a_journal(path: Path) -> None:
    async with opened(path) as journal:
        await journal.commit(Batch(records=RECORDS, documents=(EARLY, LIST), checkpoint=b"c"))
        await journal.commit(Batch(acked_through=30))
        path.with_name("journal.db.lost-4").write_bytes(bytes(99))
        assert await journal.rest()
        with contextlib.closing(sqlite3.connect(readable(path), uri=True)) as database:
            found = stats_of(database, path, places(path).archive)
        written = journal.written_bytes()
    assert (found.first, found.last, found.acked_through, found.unacked) == (1, 40, 30, 10)
    assert found.checkpoints == (40,)
    assert found.archive == {"list": 1, "receipt": 1}
    assert found.archive_bytes == len(EARLY.raw) + len(LIST.raw)
    assert found.bytes == path.stat().st_size
    assert found.log_bytes == 0
    assert [(one.name, one.bytes) for one in found.asides] == [("journal.db.lost-4", 99)]
    assert found.free_bytes > 0
    assert written is not None
    assert written >= 0
