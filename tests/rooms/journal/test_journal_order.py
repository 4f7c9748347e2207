"""What reaches the disk first: the documents, then the journal, then the marks."""

from pathlib import Path

import pytest

from gateway.core.marks import Mark, Marks
from gateway.core.signature import DocumentType
from gateway.journal.marks import MarksPair
from gateway.journal.trouble import JournalError, Trouble
from gateway.ports import Batch
from tests.rooms.journal.books import (
    chained,
    document,
    files_up_to,
    listed,
    names,
    opened,
    reopened,
)

BEFORE, AFTER = Marks(list=Mark(seq=1)), Marks(list=Mark(seq=2))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


async def test_a_document_that_does_not_fit_leaves_no_record(path: Path) -> None:
    large = document(DocumentType.LIST, "large", size=60_000)
    async with opened(path) as journal:
        await journal.commit(Batch(records=chained(1), marks=BEFORE))
        with files_up_to(40_000), pytest.raises(JournalError) as caught:
            await journal.commit(
                Batch(records=listed(large, chained(1)[0]), documents=(large,), marks=AFTER)
            )
        assert caught.value.trouble is Trouble.DISK_ERROR
        assert caught.value.path == path.parent / "archive"
        assert names(path.parent / "archive") == [], "what is unfinished takes no room"
    loaded = await reopened(path)
    assert (loaded.number, loaded.marks) == (1, BEFORE)
    assert names(path.parent / "archive") == []


async def test_a_record_that_does_not_fit_leaves_the_document_and_no_marks(path: Path) -> None:
    paper = document(DocumentType.LIST, "small")
    records = chained(1) + listed(paper, chained(1)[0])
    records += chained(400, records[-1])
    batch = Batch(records=records[1:], documents=(paper,), checkpoint=b"c", marks=AFTER)
    async with opened(path) as journal:
        await journal.commit(Batch(records=records[:1], marks=BEFORE))
        with files_up_to(40_000), pytest.raises(JournalError) as caught:
            await journal.commit(batch)
        assert (caught.value.trouble, caught.value.path) == (Trouble.DISK_ERROR, path)
    loaded = await reopened(path)
    assert (loaded.records, loaded.marks) == (records[:1], BEFORE)
    (name,) = names(path.parent / "archive")
    assert name == f"000000000001-list-{paper.digest}.jws"
    async with opened(path) as journal:
        await journal.commit(batch)
    loaded = await reopened(path)
    assert (loaded.number, loaded.marks) == (402, AFTER)
    assert names(path.parent / "archive") == [name]


async def test_marks_that_cannot_be_written_are_due_before_the_next_record(path: Path) -> None:
    (path.parent / "marks" / "marks.b").mkdir(parents=True)
    paper = document(DocumentType.LIST, "small")
    records = chained(1) + listed(paper, chained(1)[0])
    async with opened(path) as journal:
        await journal.commit(Batch(records=records[:1], marks=BEFORE))
        # It is on the disk: nobody is told that it is not.
        await journal.commit(Batch(records=records[1:], documents=(paper,), marks=AFTER))
        with pytest.raises(JournalError) as caught:
            await journal.commit(Batch(records=chained(1, records[-1])))
        assert caught.value.path == path.parent / "marks" / "marks.b"
    loaded = await reopened(path)
    assert (loaded.number, loaded.marks) == (2, BEFORE)
    assert loaded.documents == {paper.digest: paper}


async def test_a_batch_that_does_not_continue_leaves_nothing_at_all(path: Path) -> None:
    paper = document(DocumentType.RECEIPT, 1)
    async with opened(path) as journal:
        with pytest.raises(JournalError, match="DISCONTINUOUS"):
            await journal.commit(Batch(records=chained(2)[1:], documents=(paper,), marks=AFTER))
    assert names(path.parent / "archive") == []
    assert not (path.parent / "marks").exists()


async def test_when_a_commit_returns_all_of_it_is_there(path: Path, tmp_path: Path) -> None:
    first, second = (document(DocumentType.LIST, at) for at in (1, 2))
    async with opened(
        path, archive_directory=tmp_path / "papers", marks_directory=tmp_path / "apart"
    ) as journal:
        records = listed(first)
        await journal.commit(Batch(records=records, documents=(first,), marks=BEFORE))
        records = listed(second, records[0])
        await journal.commit(Batch(records=records, documents=(second,), marks=AFTER))
        assert names(tmp_path / "papers") == [f"000000000002-list-{second.digest}.jws"]
        assert MarksPair(tmp_path / "apart").read() == AFTER
    assert names(path.parent) == ["journal.db"]


async def test_a_journal_that_holds_the_record_of_its_marks_follows_them(path: Path) -> None:
    marks = path.parent / "marks" / "marks.a"
    async with opened(path) as journal:
        await journal.commit(Batch(records=chained(3), marks=BEFORE))
    of_three = marks.read_bytes()
    async with opened(path) as journal:
        assert (await journal.load()).marks_followed
        await journal.commit(Batch(records=chained(1, chained(3)[-1])))
    assert (await reopened(path)).marks_followed
    path.unlink()
    assert not (await reopened(path)).marks_followed
    async with opened(path) as journal:
        await journal.commit(Batch(records=chained(2), marks=AFTER))
    (path.parent / "marks" / "marks.b").unlink()
    marks.write_bytes(of_three)
    assert not (await reopened(path)).marks_followed, "an older card under newer marks"
