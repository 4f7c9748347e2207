"""The archive of documents: whole files in the order of arrival, and no more than are needed."""

from pathlib import Path

import pytest

from gateway.core.signature import DocumentType
from gateway.journal.archive import Archive
from gateway.journal.limits import JournalSettings
from gateway.journal.trouble import JournalError, Trouble
from gateway.ports import ArchivedDocument
from tests.rooms.journal.books import document, files_up_to, names

ROOT, SITE, LIST = DocumentType.ROOT, DocumentType.SITE, DocumentType.LIST
RECEIPT, ORDER, TIME = DocumentType.RECEIPT, DocumentType.ORDER, DocumentType.TIME


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state" / "archive"


def opened(directory: Path) -> Archive:
    archive = Archive(directory)
    archive.open()
    return archive


def kept(archive: Archive, *documents: ArchivedDocument) -> tuple[ArchivedDocument, ...]:
    """What is there after these have come one after the other."""
    for one in documents:
        archive.keep((one,))
        archive.prune()
    return archive.read_all()


def test_each_is_a_file_that_says_what_it_is(directory: Path) -> None:
    papers = [document(kind, kind) for kind in (ROOT, SITE, LIST, RECEIPT, ORDER, TIME)]
    papers.append(document(LIST, "stale", adds=True))
    archive = opened(directory)
    archive.keep(papers)
    words = ("root", "site", "list", "receipt", "order", "time", "list-adds")
    assert names(directory) == [
        f"{at:012}-{word}-{paper.digest}.jws"
        for at, (word, paper) in enumerate(zip(words, papers, strict=True), start=1)
    ]
    assert [path.read_bytes() for path in sorted(directory.iterdir())] == [p.raw for p in papers]
    again = opened(directory)
    assert again.read_all() == archive.read_all() == tuple(papers)
    assert len(again) == 7


def test_of_what_came_before_a_document_only_the_roots_are_left(directory: Path) -> None:
    root, site, list_, before, wipe, after = (
        document(kind, at)
        for at, kind in enumerate((ROOT, SITE, LIST, ORDER, ORDER, ORDER), start=1)
    )
    archive = opened(directory)
    archive.keep((root, site, list_, before, wipe, after))
    for _ in range(2):
        archive.forget_before(wipe.digest)
        assert archive.read_all() == opened(directory).read_all() == (root, wipe, after)
        assert len(names(directory)) == 3


def test_nothing_is_forgotten_for_a_document_that_has_no_file(directory: Path) -> None:
    site = document(SITE, 1)
    archive = opened(directory)
    archive.keep((site,))
    archive.forget_before(document(ORDER, 2).digest)
    assert archive.read_all() == (site,)


def test_one_with_a_damaged_signature_is_written_again_when_it_comes_again(
    directory: Path,
) -> None:
    paper = document(LIST, 1)
    assert kept(opened(directory), paper) == (paper,)
    (file,) = directory.iterdir()
    file.write_bytes(paper.raw[:-6] + b"AAAAAA")
    assert kept(opened(directory), paper) == (paper,)
    assert len(names(directory)) == 1


def test_one_that_is_there_is_not_written_again(directory: Path) -> None:
    first, second = document(RECEIPT, 1), document(RECEIPT, 2)
    opened(directory).keep((first, first, second))
    before = {path: path.stat().st_mtime_ns for path in directory.iterdir()}
    archive = opened(directory)
    archive.keep((second, first))
    assert {path: path.stat().st_mtime_ns for path in directory.iterdir()} == before
    archive.keep((document(RECEIPT, 3),))
    assert names(directory)[-1].startswith("000000000003-receipt-")


def test_single_ones_are_read_by_digest(directory: Path) -> None:
    papers = [document(RECEIPT, at) for at in range(4)]
    opened(directory).keep(papers)
    archive = opened(directory)
    asked = [papers[2].digest, papers[0].digest, "0" * 64]
    assert archive.read(asked) == {paper.digest: paper for paper in (papers[2], papers[0])}
    assert papers[3].digest in archive
    assert "0" * 64 not in archive


def test_the_numbers_go_on_after_the_newest(directory: Path) -> None:
    archive = opened(directory)
    kept(archive, *(document(SITE, at) for at in range(20)))
    again = opened(directory)
    kept(again, document(SITE, 20))
    assert [name[:12] for name in names(directory)] == [f"{at:012}" for at in range(6, 22)]


def test_what_a_power_cut_left_is_removed(directory: Path) -> None:
    paper = document(RECEIPT, 1)
    opened(directory).keep((paper,))
    part = directory / f"000000000002-receipt-{'0' * 64}.jws.part"
    part.write_bytes(paper.raw[:50])
    (directory / "notes.txt").write_text("somebody else's")
    archive = opened(directory)
    assert archive.read_all() == (paper,)
    assert names(directory) == [f"000000000001-receipt-{paper.digest}.jws", "notes.txt"]


def test_where_one_does_not_fit_none_of_its_batch_is_a_file(directory: Path) -> None:
    small, large = document(RECEIPT, 1), document(LIST, 2, size=5_000)
    archive = opened(directory)
    with files_up_to(1_000), pytest.raises(JournalError) as caught:
        archive.keep((small, large))
    assert caught.value.trouble is Trouble.DISK_ERROR
    assert str(directory) in str(caught.value)
    assert names(directory) == []
    archive.keep((small, large))
    assert archive.read_all() == opened(directory).read_all() == (small, large)


@pytest.mark.parametrize("damage", [b"", b"x", b"eyJ.eyJ.eyJ", b"[]"])
def test_a_damaged_one_is_left_out_and_named(
    directory: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    papers = [document(RECEIPT, at) for at in range(3)]
    opened(directory).keep(papers)
    bad = directory / f"000000000002-receipt-{papers[1].digest}.jws"
    bad.write_bytes(damage)
    archive = opened(directory)
    assert archive.read_all() == (papers[0], papers[2])
    (said,) = caplog.messages
    assert f"1 files are not what their names say and are left out: {bad.name}" in said
    assert kept(archive, papers[1]) == (papers[0], papers[2], papers[1]), "it came again"
    assert opened(directory).read_all() == (papers[0], papers[2], papers[1])


def test_one_under_anothers_name_is_left_out(directory: Path) -> None:
    papers = [document(RECEIPT, at) for at in range(2)]
    opened(directory).keep(papers)
    first, second = sorted(directory.iterdir())
    first.write_bytes(second.read_bytes())
    assert opened(directory).read([papers[0].digest]) == {}


def test_of_an_array_of_signatures_the_payload_counts(directory: Path) -> None:
    one = document(ORDER, 1)
    both = ArchivedDocument(
        digest=one.digest, type=ORDER, raw=b'["' + one.raw + b'","' + one.raw + b'"]'
    )
    opened(directory).keep((both,))
    assert opened(directory).read_all() == (both,)


def test_every_root_is_kept(directory: Path) -> None:
    roots = [document(ROOT, at) for at in range(80)]
    assert kept(opened(directory), *roots) == tuple(roots)


def test_of_sites_and_times_the_newest_are_kept(directory: Path) -> None:
    papers = [document(kind, (kind, at)) for at in range(20) for kind in (SITE, TIME)]
    assert kept(opened(directory), *papers) == tuple(papers[-32:])


def test_receipts_and_orders_are_counted_together(directory: Path) -> None:
    directory.mkdir(parents=True)
    most = JournalSettings().receipts_max
    old = [document(ORDER if at % 3 else RECEIPT, at) for at in range(5)]
    archive = opened(directory)
    archive.keep(old)
    for at in range(6, most + 6):
        (directory / f"{at:012}-order-{at:064}.jws").touch()
    archive = opened(directory)
    assert len(archive) == most + 5
    archive.prune()
    assert len(archive) == most
    assert not any(paper.digest in archive for paper in old)
    last = document(RECEIPT, "last")
    archive.keep((last,))
    archive.prune()
    assert len(archive) == len(names(directory)) == most
    assert names(directory)[-1] == f"{most + 6:012}-receipt-{last.digest}.jws"


def test_lists_are_kept_since_the_last_that_says_who_is_off(directory: Path) -> None:
    first, second = document(LIST, 1), document(LIST, 2)
    adds = [document(LIST, at, adds=True) for at in range(3, 6)]
    third = document(LIST, 6)
    archive = opened(directory)
    assert kept(archive, first, second) == (second,)
    assert kept(archive, *adds) == (second, *adds)
    assert opened(directory).read_all() == (second, *adds)
    assert kept(archive, third) == (third,)


def test_what_many_stale_lists_add_to_is_kept_longest(directory: Path) -> None:
    whole = document(LIST, "whole")
    adds = [document(LIST, at, adds=True) for at in range(80)]
    assert kept(opened(directory), whole, *adds) == (whole, *adds[-63:])


def test_stale_lists_that_add_to_none_are_bounded_too(directory: Path) -> None:
    adds = [document(LIST, at, adds=True) for at in range(80)]
    assert kept(opened(directory), *adds) == tuple(adds[-64:])


def test_a_list_that_came_into_force_later_than_it_was_written_is_kept_as_it_did(
    directory: Path,
) -> None:
    # A power cut between the archive and the journal; when it comes again it is stale.
    first, late = document(LIST, 1), document(LIST, 2)
    kept(opened(directory), first)
    opened(directory).keep((late,))
    stale = ArchivedDocument(digest=late.digest, type=LIST, raw=late.raw, adds=True)
    assert kept(opened(directory), stale) == (first, stale)
    assert opened(directory).read_all() == (first, stale)
    assert len(names(directory)) == 2
