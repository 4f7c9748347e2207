"""How often the disk is synchronised: once for a commit, and not once for each document of many."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.powercut.history import Recorder
from tests.powercut.notes import NOTHING, Began, Opened, Returned, State, note_of
from tests.powercut.recorded import Entry, Kind, build
from tests.powercut.workload import ARCHIVE, JOURNAL, MARKS, Plan

LOG = f"{JOURNAL}-wal"
ONCE, ANEW = (LOG,), (LOG, LOG)
"""A log that begins anew is synchronised once more, for its head."""
WHOLE_DISK = "*"
Commit = tuple[State, State, list[str]]
"""What was before it, what was after it, and what was synchronised in it."""


@pytest.fixture(scope="module")
def commits(tmp_path_factory: pytest.TempPathFactory) -> list[Commit]:
    """Those of an orderly history, but for the first one, which begins a log."""
    place: Path = tmp_path_factory.mktemp("wear")
    plan = Plan(root="", seed=3, steps=120, damages=False, checkpoint_pages=100_000)
    history = Recorder(build(place), place).history("wear", [(plan, 0)])
    return list(commits_in(history.entries, history.root))


def commits_in(entries: tuple[Entry, ...], root: str) -> Iterator[Commit]:
    paths: dict[int, str] = {}
    before, after, first = NOTHING, NOTHING, True
    synced: list[str] = []
    for entry in entries:
        said = note_of(entry.first) if entry.kind is Kind.NOTE else None
        match entry.kind, said:
            case Kind.OPEN, _:
                paths[entry.descriptor] = entry.first.decode().removeprefix(root).strip("/")
            case Kind.SYNC, _:
                synced.append(paths[entry.descriptor])
            case Kind.SYNC_ALL, _:
                synced.append(WHOLE_DISK)
            case _, Opened():
                first = True
            case _, Began(state=state):
                after, synced = state, []
            case _, Returned():
                if not first:
                    yield before, after, synced
                before, first, synced = after, False, []


def test_a_commit_without_documents_is_one_sync(commits: list[Commit]) -> None:
    plain = [
        synced
        for before, after, synced in commits
        if not after.documents and after.marks == before.marks
    ]
    assert len(plain) > 10
    assert {tuple(synced) for synced in plain} <= {(), ONCE, ANEW}
    assert plain.count([*ANEW]) < plain.count([*ONCE]) / 5


def test_marks_that_changed_are_one_more(commits: list[Commit]) -> None:
    changed = [
        synced
        for before, after, synced in commits
        if not after.documents and after.marks != before.marks
    ]
    assert changed
    for synced in changed:
        *of_the_log, of_the_marks = synced
        assert tuple(of_the_log) in {ONCE, ANEW}
        assert of_the_marks.startswith(f"{MARKS}/")


@pytest.mark.parametrize(("fewest", "most"), [(1, 2), (3, 9)])
def test_documents_are_on_the_disk_before_the_record(
    commits: list[Commit], fewest: int, most: int
) -> None:
    few = [
        (len(after.documents), synced)
        for _, after, synced in commits
        if fewest <= len(after.documents) <= most and ARCHIVE in synced
    ]
    assert few
    for count, synced in few:
        of_the_archive = synced[: synced.index(LOG)]
        assert of_the_archive[-1] == ARCHIVE, "their names come last"
        contents = of_the_archive[:-1]
        if count > 2:
            assert contents == [WHOLE_DISK] or len(contents) <= 2, "some of them were there"
        else:
            assert len(contents) <= count
            assert all(path.startswith(f"{ARCHIVE}/") for path in contents)


def test_of_many_documents_the_contents_are_one_sync(commits: list[Commit]) -> None:
    many = [synced for _, after, synced in commits if WHOLE_DISK in synced]
    assert many
    for synced in many:
        assert synced[:3] == [WHOLE_DISK, ARCHIVE, LOG]
