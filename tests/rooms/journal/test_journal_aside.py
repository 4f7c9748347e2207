"""A journal that is damaged is set aside, and what the archive and the marks hold goes on."""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.core.marks import Mark, Marks
from gateway.core.records import Stored, chain_hash
from gateway.core.signature import DocumentType
from gateway.journal.sqlite import SqliteJournal
from gateway.journal.trouble import JournalError, Trouble
from gateway.ports import ArchivedDocument, Batch, Loaded
from tests.rooms.journal.books import chained, document, listed, names, opened, reopened

MARKS = Marks(list=Mark(seq=1))
PAPERS = tuple(document(DocumentType.RECEIPT, at) for at in range(3))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


def change(path: Path, statement: str, *values: object) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute(statement, values)


async def written(path: Path) -> Loaded:
    """A journal of 2,000 records with a checkpoint in the middle, its archive and its marks."""
    records = chained(2_000)
    async with opened(path) as journal:
        await journal.commit(
            Batch(records=records[:1_000], documents=PAPERS, checkpoint=b"c", marks=MARKS)
        )
        await journal.commit(Batch(records=records[1_000:], acked_through=7))
    return await reopened(path)


def anew(lost: str) -> Loaded:
    """What is left of it: the documents and the marks."""
    return Loaded(
        checkpoint=None,
        records=(),
        documents={paper.digest: paper for paper in PAPERS},
        number=0,
        chain=bytes(32),
        acked_through=0,
        lost=lost,
        marks=MARKS,
        archived=PAPERS,
        new=False,
    )


def garbage(path: Path) -> None:
    path.write_bytes(b"garbage " * 1_000)


def bad_header(path: Path) -> None:
    path.write_bytes(bytes(16) + path.read_bytes()[16:])


def bad_schema(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:100] + bytes([255]) * 3_000 + content[3_100:])


def half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) // 2))


def short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:10_000])


def changed_content(path: Path) -> None:
    change(path, "UPDATE records SET content = x'7b7d' WHERE number = 1500")


def changed_chain(path: Path) -> None:
    change(path, "UPDATE records SET chain = zeroblob(32) WHERE number = 2000")


def missing_record(path: Path) -> None:
    change(path, "DELETE FROM records WHERE number = 1500")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (garbage, "file is not a database"),
        (bad_header, "file is not a database"),
        (bad_schema, "database disk image is malformed"),
        (half, "database disk image is malformed"),
        (short, "database disk image is malformed"),
        (changed_content, "the chain breaks at record 1500"),
        (changed_chain, "the chain breaks at record 2000"),
        (missing_record, "the chain breaks at record 1500"),
    ],
)
async def test_what_is_damaged_is_set_aside_and_said(
    path: Path, damage: Callable[[Path], None], says: str
) -> None:
    assert (await written(path)).number == 2_000
    damage(path)
    damaged = path.read_bytes()
    loaded = await reopened(path)
    assert loaded == anew(loaded.lost)
    assert loaded.lost.startswith(f"CORRUPT: {says}")
    assert loaded.lost.endswith("; it was set aside as journal.db.lost-1")
    assert path.with_name("journal.db.lost-1").read_bytes() == damaged
    assert names(path.parent) == ["archive", "journal.db", "journal.db.lost-1", "marks"]
    assert await reopened(path) == loaded, "until the engine has written it down"
    async with opened(path) as journal:
        await journal.commit(Batch(records=chained(1)))
    after = await reopened(path)
    assert (after.number, after.lost, after.archived, after.new) == (1, "", (), False)


async def test_the_log_goes_with_its_file(path: Path) -> None:
    await written(path)
    missing_record(path)
    keeps_open = sqlite3.connect(path)
    keeps_open.execute("PRAGMA journal_mode=WAL")
    keeps_open.execute("UPDATE meta SET acked_through = 9")
    keeps_open.commit()
    files = {one: one.read_bytes() for one in path.parent.iterdir() if one.is_file()}
    assert len(files) == 3, "the file, its log and the log's index"
    keeps_open.close()
    for one, content in files.items():
        one.write_bytes(content)
    assert "journal.db.lost-1" in (await reopened(path)).lost
    with contextlib.closing(sqlite3.connect(path.with_name("journal.db.lost-1"))) as lost:
        assert lost.execute("SELECT acked_through FROM meta").fetchall() == [(9,)]


async def test_the_last_three_are_kept(path: Path) -> None:
    await written(path)
    for at in range(1, 6):
        path.write_bytes(b"damaged %d" % at * 100)
        assert f"lost-{at}" in (await reopened(path)).lost
    lost = {name: path.with_name(name).read_bytes()[8:9] for name in names(path.parent)[2:-1]}
    assert lost == {
        "journal.db.lost-3": b"3",
        "journal.db.lost-4": b"4",
        "journal.db.lost-5": b"5",
    }


async def test_a_journal_that_is_gone_is_made_from_the_whole_archive(path: Path) -> None:
    await written(path)
    path.unlink()
    path.with_name("journal.db-wal").write_bytes(b"of the one that is gone")
    assert await reopened(path) == anew("")


async def test_one_of_no_length_is_as_one_that_is_gone(path: Path) -> None:
    await written(path)
    path.write_bytes(b"")
    assert await reopened(path) == anew("")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE checkpoints SET digest = zeroblob(32)",
        "UPDATE checkpoints SET content = x'64'",
        "UPDATE checkpoints SET number = 999",
        "UPDATE checkpoints SET number = 99999",
    ],
)
async def test_without_a_sound_checkpoint_every_record_is_loaded(
    path: Path, statement: str
) -> None:
    before = await written(path)
    change(path, statement)
    loaded = await reopened(path)
    assert (loaded.checkpoint, loaded.number, loaded.lost) == (None, 2_000, "")
    assert (loaded.chain, loaded.acked_through) == (before.chain, 7)
    assert loaded.records == chained(2_000)
    async with opened(path) as journal:
        after = chained(1, loaded.records[-1])
        await journal.commit(Batch(records=after, checkpoint=b"anew"))
    assert (await reopened(path)).checkpoint == b"anew"


async def lists(path: Path, *papers: ArchivedDocument) -> tuple[Stored, ...]:
    """A journal that installed these, and a checkpoint that is not what was once written."""
    records: tuple[Stored, ...] = ()
    async with opened(path) as journal:
        for paper in papers:
            record = listed(paper, records[-1] if records else None)
            records += record
            await journal.commit(Batch(records=record, documents=(paper,), checkpoint=b"c"))
    change(path, "UPDATE checkpoints SET content = x'64'")
    return records


async def test_every_record_comes_with_the_documents_that_it_installed(path: Path) -> None:
    first, second = document(DocumentType.LIST, 1), document(DocumentType.LIST, 2, adds=True)
    records = await lists(path, first, second)
    loaded = await reopened(path)
    assert (loaded.checkpoint, loaded.records) == (None, records)
    assert loaded.documents == {paper.digest: paper for paper in (first, second)}


async def test_records_whose_documents_are_no_longer_kept_make_room_for_the_archive(
    path: Path,
) -> None:
    first, second = document(DocumentType.LIST, 1), document(DocumentType.LIST, 2)
    await lists(path, first, second)
    loaded = await reopened(path)
    assert (loaded.number, loaded.archived) == (0, (second,))
    assert f"installed document {first.digest[:12]}, which the archive does not" in loaded.lost


async def test_so_do_records_whose_document_is_damaged(path: Path) -> None:
    paper = document(DocumentType.LIST, 1)
    await lists(path, paper)
    (file,) = (path.parent / "archive").iterdir()
    file.write_bytes(b"")
    loaded = await reopened(path)
    assert (loaded.number, loaded.archived) == (0, ())
    assert f"installed document {paper.digest[:12]}" in loaded.lost


async def test_a_page_that_a_start_does_not_read_is_found_at_the_start_after(path: Path) -> None:
    await written(path)
    content = bytearray(path.read_bytes())
    with contextlib.closing(sqlite3.connect(path)) as database:
        ((size,),) = database.execute("PRAGMA page_size")
    first = content.index(b'"version":"300"') // size * size
    content[first : first + size] = bytes([255]) * size
    path.write_bytes(content)
    async with opened(path) as journal:
        assert (await journal.load()).number == 2_000
        with pytest.raises(JournalError) as caught:
            await journal.records_after(0, 10**7)
        assert caught.value.trouble is Trouble.CORRUPT
    assert path.with_name("journal.db.suspect").exists()
    loaded = await reopened(path)
    assert loaded == anew(loaded.lost)
    assert not path.with_name("journal.db.suspect").exists()


async def test_one_that_was_suspected_wrongly_stays(path: Path) -> None:
    before = await written(path)
    suspect = path.with_name("journal.db.suspect")
    suspect.touch()
    assert await reopened(path) == before
    assert not suspect.exists()


async def test_one_that_cannot_be_restored_is_set_aside_too(path: Path) -> None:
    await written(path)
    async with opened(path) as journal:
        assert (await journal.load()).number == 2_000
        loaded = await journal.begin_anew("BAD_SIGNATURE")
        assert loaded == anew("CORRUPT: BAD_SIGNATURE; it was set aside as journal.db.lost-1")
        await journal.commit(Batch(records=chained(1)))
    assert (await reopened(path)).number == 1


# --- whether it is a new gateway ---


async def test_where_nothing_was_the_gateway_is_new_until_its_first_record(path: Path) -> None:
    assert (await reopened(path)).new
    # Its key is there by now: what died before its first record was new all the same.
    assert (await reopened(path, commissioned=True)).new
    async with opened(path) as journal:
        await journal.commit(Batch(records=chained(1)))
    assert not (await reopened(path)).new


async def test_a_gateway_that_ran_before_is_not_new(path: Path) -> None:
    assert not (await reopened(path, commissioned=True)).new
    assert not (await reopened(path)).new


async def test_where_an_archive_is_left_it_is_not_new(path: Path) -> None:
    await written(path)
    path.unlink()
    (path.parent / "marks" / "marks.a").unlink()
    loaded = await reopened(path)
    assert (loaded.new, loaded.marks, loaded.archived) == (False, None, PAPERS)


async def test_where_marks_are_left_it_is_not_new_readable_or_not(path: Path) -> None:
    await written(path)
    for content in ((path.parent / "marks" / "marks.a").read_bytes(), b"torn"):
        path.unlink()
        for file in (path.parent / "archive").iterdir():
            file.unlink()
        (path.parent / "marks" / "marks.a").write_bytes(content)
        loaded = await reopened(path)
        assert (loaded.new, loaded.archived) == (False, ())
        assert loaded.marks == (None if content == b"torn" else MARKS)


async def test_a_damaged_one_alone_is_not_new(path: Path) -> None:
    path.parent.mkdir()
    garbage(path)
    loaded = await reopened(path)
    assert (loaded.new, loaded.archived, loaded.marks) == (False, (), None)
    assert loaded.lost


# --- what is not set aside ---


async def test_what_another_daemon_has_open_stays(path: Path) -> None:
    async with opened(path) as journal:
        await journal.commit(Batch(records=chained(1)))
        with pytest.raises(JournalError, match="LOCKED"):
            await SqliteJournal.open(path)
    assert names(path.parent) == ["archive", "journal.db"]


async def test_a_chain_of_a_checkpoint_is_the_journals_own(path: Path) -> None:
    await written(path)
    with contextlib.closing(sqlite3.connect(path)) as database:
        (row,) = database.execute(
            "SELECT digest, content, chain FROM checkpoints NATURAL JOIN"
            " (SELECT number, chain FROM records)"
        )
    assert row[0] == chain_hash(row[2], row[1])
