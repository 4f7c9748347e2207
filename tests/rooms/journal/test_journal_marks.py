"""The marks' own files: whatever a power cut leaves of one, the other still says what was."""

from pathlib import Path

import pytest

from gateway.core.fact import Origin, TagKind
from gateway.core.marks import Mark, Marks, Tag
from gateway.core.model import Digest, Instant
from gateway.journal.marks import GENERATIONS, MarksPair, Slot, content_of
from gateway.journal.trouble import JournalError, Trouble
from tests.rooms.journal.books import files_up_to, names

HELD = Tag(
    kind=TagKind.HOLD,
    target="M2",
    origin=Origin.TECHNICIAN,
    by="S. Devi",
    reason="burnt\nअधजला",
    since=Instant(mono_ms=1, boot="b", wall_ms=2),
)


def marks_at(seq: int, *tags: Tag) -> Marks:
    return Marks(list=Mark(seq=seq, digest=Digest(f"{seq:064}")), tags=tags, wall_low_ms=seq)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "elsewhere" / "marks"


def written(directory: Path, *said: Marks) -> None:
    """A process that writes these, and ends."""
    pair = MarksPair(directory)
    for marks in said:
        pair.write(marks)


def read(directory: Path) -> Marks | None:
    return MarksPair(directory).read()


def test_there_are_none_before_the_first(directory: Path) -> None:
    pair = MarksPair(directory)
    assert (pair.there, pair.read()) == (False, None)
    assert not directory.exists()
    pair.write(marks_at(1))
    assert pair.there
    assert names(directory) == ["marks.a"]


@pytest.mark.parametrize("count", range(1, 6))
def test_the_last_that_was_written_is_read(directory: Path, count: int) -> None:
    said = [marks_at(seq, HELD) for seq in range(1, count + 1)]
    written(directory, *said)
    assert read(directory) == said[-1]


@pytest.mark.parametrize("count", range(1, 6))
def test_so_it_is_over_restarts(directory: Path, count: int) -> None:
    for seq in range(1, count + 1):
        written(directory, marks_at(seq))
        assert read(directory) == marks_at(seq)


@pytest.mark.parametrize("before", [1, 2, 3])
def test_a_write_torn_at_any_byte_leaves_the_ones_before(directory: Path, before: int) -> None:
    written(directory, *(marks_at(seq, HELD) for seq in range(1, before + 1)))
    kept = {path: path.read_bytes() for path in directory.iterdir()}
    written(directory, marks_at(before + 1, HELD))
    (torn,) = (path for path in directory.iterdir() if kept.get(path) != path.read_bytes())
    whole = torn.read_bytes()
    for length in range(len(whole)):
        for rest in (b"", bytes(len(whole) - length), kept.get(torn, b"")[length:]):
            torn.write_bytes(whole[:length] + rest)
            assert read(directory) in (marks_at(before, HELD), marks_at(before + 1, HELD))
            if torn.read_bytes() != whole:
                assert read(directory) == marks_at(before, HELD)
    torn.write_bytes(whole[:-7])
    written(directory, marks_at(9))
    assert read(directory) == marks_at(9), "the torn one is written over, not the good one"
    assert torn.read_bytes() != whole[:-7]


def test_any_changed_byte_is_seen(directory: Path) -> None:
    written(directory, marks_at(1), marks_at(2, HELD))
    newest = directory / "marks.b"
    whole = newest.read_bytes()
    for at in range(len(whole)):
        newest.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert read(directory) == marks_at(1)


def test_of_two_bad_ones_nothing_is_known_but_that_they_were(directory: Path) -> None:
    written(directory, marks_at(1), marks_at(2))
    for path in directory.iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    pair = MarksPair(directory)
    assert (pair.there, pair.read()) == (True, None)
    pair.write(marks_at(3))
    assert read(directory) == marks_at(3)


def test_one_that_is_no_file_is_a_bad_one(directory: Path) -> None:
    (directory / "marks.a").mkdir(parents=True)
    assert read(directory) is None
    with pytest.raises(JournalError, match=r"marks\.a: NOT_ACCESSIBLE"):
        written(directory, marks_at(1))
    assert read(directory) is None


@pytest.mark.parametrize("swapped", [False, True])
def test_the_count_of_generations_may_begin_again(directory: Path, swapped: bool) -> None:
    directory.mkdir(parents=True)
    slots = [directory / "marks.a", directory / "marks.b"]
    if swapped:
        slots.reverse()
    for slot, generation in zip(slots, (GENERATIONS - 2, GENERATIONS - 1), strict=True):
        said = Slot(generation=generation, marks=marks_at(generation - GENERATIONS + 3))
        slot.write_bytes(content_of(said))
    assert read(directory) == marks_at(2)
    for seq in range(3, 7):
        written(directory, marks_at(seq))
        assert read(directory) == marks_at(seq)


def test_what_does_not_fit_leaves_the_ones_before(directory: Path) -> None:
    written(directory, marks_at(1), marks_at(2))
    pair = MarksPair(directory)
    with files_up_to(500), pytest.raises(JournalError) as caught:
        pair.write(marks_at(3, *[HELD] * 9))
    assert caught.value.trouble is Trouble.DISK_ERROR
    assert read(directory) == marks_at(2)
    pair.write(marks_at(3))
    assert read(directory) == marks_at(3)
