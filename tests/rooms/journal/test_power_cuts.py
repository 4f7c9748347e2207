"""Power cuts at any instant of what the real journal does: nothing acknowledged is ever lost.

The simulator is `tests/powercut`; `python -m tests.powercut --cuts 1000000` cuts more often.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random

import pytest

from gateway.journal.trouble import Trouble
from gateway.ports import Batch
from tests.powercut.campaign import (
    CONTROLS,
    HANDFUL,
    LYING_HANDFUL,
    Setting,
    Tally,
    campaign,
    control,
    honest_cuts,
    lying_cuts,
    prepared,
)
from tests.powercut.disk import SECTOR, Disk, File, lay_out
from tests.powercut.history import Recorder, cuts_of
from tests.powercut.notes import Opened, Returned, note_of
from tests.powercut.recorded import Entry, Kind, RecorderError, entries_in
from tests.powercut.verdicts import Ending
from tests.powercut.workload import ARCHIVE, JOURNAL, MARKS, Plan, open_journal
from tests.rooms.journal.books import chained, opened, reopened

SEED = 6
CUTS = 5_000
"""For each of four seeds."""
LYING_CUTS = 1_500
CALLS_THAT_FAIL = 5
"""At most so many in a first start: what it removes is not there."""

Bench = tuple[Setting, ProcessPoolExecutor]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with prepared(SEED, os.cpu_count() or 1) as ready:
        yield ready


# --- the campaign ---


@pytest.mark.parametrize("seed", range(SEED, SEED + 4))
def test_a_cut_at_any_instant_loses_nothing_that_was_acknowledged(bench: Bench, seed: int) -> None:
    setting, pool = bench
    (*_, found) = campaign(honest_cuts, HANDFUL, CUTS, Setting(seed, setting.library), pool)
    assert (found.cuts, found.examples, dict(found.faults)) == (CUTS, [], {})
    assert set(found.endings) == {Ending.NEW, Ending.WHOLE, Ending.REBUILT}


@pytest.mark.parametrize("name", CONTROLS)
def test_whatever_is_left_out_is_missed(bench: Bench, name: str) -> None:
    setting, pool = bench
    found: Tally = pool.submit(control, setting, name).result()
    assert found.faults[CONTROLS[name]] > 0, "or the simulator has no teeth"


def test_a_card_that_lies_makes_nothing_stand_that_nobody_said_and_no_paid_home_refused(
    bench: Bench,
) -> None:
    setting, pool = bench
    (*_, found) = campaign(lying_cuts, LYING_HANDFUL, LYING_CUTS, setting, pool)
    assert (found.cuts, found.examples, dict(found.faults)) == (LYING_CUTS, [], {})
    assert found.endings[Ending.EARLIER] > 0, "it has lied in vain"
    assert found.endings[Ending.REBUILT] > 0


# --- what they have found ---


def test_a_start_puts_on_the_disk_what_a_killed_process_may_not_have(
    bench: Bench, tmp_path: Path
) -> None:
    killed = Plan(root="", seed=SEED, steps=10, closes=False, damages=False)
    after = Plan(root="", seed=SEED, process=1, steps=1)
    recorder = Recorder(bench[0].library, tmp_path)
    history = recorder.history("killed", [(killed, 0), (after, 0)])
    before_any_answer = synced_before_an_answer(history.entries, history.root)
    parents = {str(Path(path).parent) for path in (ARCHIVE, MARKS, JOURNAL)}
    slots = {f"{MARKS}/marks.a", f"{MARKS}/marks.b"}
    assert before_any_answer >= {ARCHIVE, MARKS, *parents, *slots}


async def test_a_gateway_of_which_nothing_was_acknowledged_is_new_after_a_kill_and_a_cut(
    bench: Bench, tmp_path: Path
) -> None:
    plan = Plan(root="", seed=SEED, steps=1)
    recorder = Recorder(bench[0].library, tmp_path)
    sync = sync_before_opened(recorder.history("first", [(plan, 0)]).entries)
    lived = set()
    # The process counts calls that fail as well, of which the log says nothing.
    for dies_at in range(sync, sync + CALLS_THAT_FAIL + 1):
        history = recorder.history("killed", [(plan, dies_at), (plan, 0)])
        lived.add([one.kind for one in history.entries].index(Kind.PROCESS, 1))
        instants = [opened_at(history.entries) + 1] * 20
        for number, cut in enumerate(cuts_of(history, instants, Random(SEED))):
            root = tmp_path / f"cut-{dies_at}-{number}"
            lay_out(cut.left, root)
            journal = await open_journal(root, commissioned=True)
            loaded = await journal.load()
            await journal.close()
            assert (loaded.new, loaded.number) == (True, 0), "a process that was killed had said so"
    assert sync in lived, "none was killed between what it said and the sync of that"


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE meta SET acked_through = 9", "of 2 records meta says"),
        ("DELETE FROM meta", "of 2 records meta says"),
        ("UPDATE records SET content = NULL", "the chain breaks at record 1"),
        ("UPDATE records SET chain = 7", "the chain breaks at record 1"),
    ],
)
async def test_a_page_of_nonsense_is_a_damage_like_any_other(
    tmp_path: Path, statement: str, says: str
) -> None:
    path = tmp_path / "journal.db"
    async with opened(path) as journal:
        await journal.commit(Batch(records=chained(2)))
    without_its_types(path, statement)
    loaded = await reopened(path)
    assert loaded.number == 0
    assert loaded.lost.startswith(f"{Trouble.CORRUPT}: ")
    assert says in loaded.lost


async def test_a_checkpoint_of_nonsense_is_one_that_is_not_sound(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with opened(path) as journal:
        await journal.commit(Batch(records=chained(2), checkpoint=b"c"))
    without_its_types(path, "UPDATE checkpoints SET content = NULL")
    loaded = await reopened(path)
    assert (loaded.checkpoint, loaded.number, loaded.lost) == (None, 2, "")


# --- the simulator itself ---


def test_what_was_synchronised_is_left_and_what_was_not_is_left_in_every_way() -> None:
    file = File(bytes(3 * SECTOR))
    file.write(0, b"a" * SECTOR)
    file.sync()
    file.write(SECTOR, b"b" * 2 * SECTOR)
    left = {file.after_cut(Random(at)) for at in range(200)}
    assert all(content.startswith(b"a" * SECTOR) for content in left)
    sectors = {(content[SECTOR], content[2 * SECTOR]) for content in left}
    assert sectors == {(0, 0), (98, 0), (0, 98), (98, 98)}, "kept, dropped, and torn both ways"


def test_a_file_may_be_longer_than_what_reached_it() -> None:
    file = File()
    file.write(0, b"x" * 100)
    left = {file.after_cut(Random(at)) for at in range(200)}
    assert left == {b"", bytes(100), b"x" * 100}


def test_of_names_those_up_to_one_of_the_changes_are_left() -> None:
    disk = Disk("/disk", {"kept": b"1"})
    for entry in (
        Entry(Kind.OPEN, 3, os.O_CREAT, b"/disk/new", b""),
        Entry(Kind.RENAME, -1, 0, b"/disk/new", b"/disk/named"),
        Entry(Kind.UNLINK, -1, 0, b"/disk/kept", b""),
    ):
        disk.follow(entry)
    left = {tuple(disk.after_cut(Random(at))) for at in range(100)}
    assert left == {("kept",), ("kept", "new"), ("kept", "named"), ("named",)}
    disk.follow(Entry(Kind.OPEN, 4, 0, b"/disk", b""))
    disk.follow(Entry(Kind.SYNC, 4, 0, b"", b""))
    assert {tuple(disk.after_cut(Random(at))) for at in range(100)} == {("named",)}


def test_after_a_sync_of_the_whole_disk_all_is_left_but_what_came_later() -> None:
    disk = Disk("/disk", {})
    for entry in (
        Entry(Kind.MAKE_DIRECTORY, -1, 0, b"/disk/below", b""),
        Entry(Kind.OPEN, 3, os.O_CREAT, b"/disk/below/file", b""),
        Entry(Kind.WRITE, 3, 0, b"content", b""),
        Entry(Kind.SYNC_ALL, 3, 0, b"", b""),
        Entry(Kind.WRITE, 3, 7, b", more", b""),
    ):
        disk.follow(entry)
    left = {disk.after_cut(Random(at))["below/file"] for at in range(100)}
    assert left == {b"content", b"content\0\0\0\0\0\0", b"content, more"}


def test_what_the_recorder_does_not_understand_is_not_passed_over() -> None:
    log = b"!" + (-1).to_bytes(4, "little", signed=True) + bytes(8) + b"\4\0\0\0" + bytes(4)
    with pytest.raises(RecorderError, match="mmap"):
        list(entries_in(log + b"mmap"))


def synced_before_an_answer(entries: tuple[Entry, ...], root: str) -> set[str]:
    """The paths that the last process has synchronised before its first commit began to return."""
    paths: dict[int, str] = {}
    synced: set[str] = set()
    answered = False
    for entry in entries:
        match entry.kind:
            case Kind.PROCESS:
                synced, answered = set(), False
            case Kind.OPEN:
                path = entry.first.decode().removeprefix(root).strip("/")
                paths[entry.descriptor] = path or "."
            case Kind.SYNC if not answered:
                synced.add(paths[entry.descriptor])
            case Kind.NOTE:
                answered |= isinstance(note_of(entry.first), Returned)
    return synced


def opened_at(entries: tuple[Entry, ...]) -> int:
    """Which of them notes for the first time that the journal is open."""
    notes = (at for at, entry in enumerate(entries) if entry.kind is Kind.NOTE)
    return next(at for at in notes if isinstance(note_of(entries[at].first), Opened))


def sync_before_opened(entries: tuple[Entry, ...]) -> int:
    """Which of them puts on the disk what the first process says last before it is open."""
    opened = opened_at(entries)
    writes = (at for at in range(opened) if entries[at].kind is Kind.WRITE)
    syncs = (at for at in range(max(writes), opened) if entries[at].kind is Kind.SYNC)
    return next(syncs)


def without_its_types(path: Path, statement: str) -> None:
    """Change a journal's tables as a damaged page does, which keeps to no type."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA writable_schema = ON")
        database.execute(
            "UPDATE sqlite_schema SET sql = replace(replace(sql, 'NOT NULL', ''), ') STRICT', ')')"
        )
        database.execute("PRAGMA writable_schema = RESET")
        database.execute("PRAGMA ignore_check_constraints = ON")
        database.execute(statement)
