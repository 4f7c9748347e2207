"""Histories: what processes did to a disk, and at each instant what a power cut may not take.

A history is recorded once and cut at as many instants as one likes. It begins on an empty disk, or
on what a cut of another history has left.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import msgspec

from tests.powercut.disk import Disk, Lies, Tree, honest, lay_out, tree_at
from tests.powercut.notes import NOTHING, Began, Damaged, Note, Opened, Returned, State, note_of
from tests.powercut.recorded import (
    Entry,
    Kind,
    RecorderError,
    entries_in,
    run_recorded,
)
from tests.powercut.workload import ARCHIVE, Plan, key_of

DIGEST = re.compile(r"-([0-9a-f]{64})\.jws\Z")
"""The end of a file's name in the archive."""
WORKLOAD = "tests.powercut.workload"


@dataclass(frozen=True)
class Known:
    """What is known at an instant of that which is on the disk."""

    states: tuple[State, ...] = (NOTHING,)
    """The acknowledged one, and those whose commit has begun since: it is one of them."""
    commissioned: bool = False
    """The journal was opened at some time."""
    acknowledged: bool = False
    """A commit has returned at some time."""
    damaged: bool = False
    """The journal's file was written over since the last acknowledgement."""
    documents: Mapping[str, bytes] = field(default_factory=dict)
    """Files of the archive that were acknowledged and that nobody has removed since, by name."""
    said: frozenset[str] = frozenset()
    """Digests of documents that came with an acknowledged commit."""
    past: tuple[State, ...] = (NOTHING,)
    """Every state that ever was."""


@dataclass(frozen=True)
class History:
    """Entries over a disk that was `before`, at which `known` was known."""

    name: str
    root: str
    entries: tuple[Entry, ...]
    before: Tree = field(default_factory=dict)
    known: Known = field(default_factory=Known)


@dataclass(frozen=True)
class Cut:
    """What a cut before the entry number `at` has left, and what is known then."""

    at: int
    left: Tree
    known: Known


class Recorder:
    """Runs processes over disks in one directory, and makes histories of what they do."""

    def __init__(self, library: Path, directory: Path) -> None:
        self._library = library
        self._directory = directory
        self._count = 0

    def history(
        self,
        name: str,
        plans: Sequence[tuple[Plan, int]],
        after: Cut | None = None,
    ) -> History:
        """Processes one after the other over one disk, each with the entry at which it dies or 0.

        The plans' root is set here. Raises `RecorderError`.
        """
        self._count += 1
        root = self._directory / f"disk-{self._count}"
        log = self._directory / f"log-{self._count}"
        left: Tree = {} if after is None else after.left
        known = Known() if after is None else after.known
        lay_out(left, root)
        if known.commissioned:
            key_of(root).touch()
        for plan, dies_at in plans:
            given = msgspec.json.encode(msgspec.structs.replace(plan, root=str(root))).decode()
            run_recorded(self._library, root, log, WORKLOAD, (given,), dies_at)
        entries = tuple(entries_in(log.read_bytes()))
        history = History(name, str(root), entries, left, known)
        _check_complete(history, tree_at(root))
        return history


def cuts_of(
    history: History, instants: Sequence[int], chance: Random, lies: Lies = honest
) -> Iterator[Cut]:
    """Cuts before the entries of those numbers, which ascend; the last one is after all."""
    disk = Disk(history.root, history.before)
    known = history.known
    at = 0
    for instant in instants:
        while at < instant:
            entry = history.entries[at]
            disk.follow(entry, lies)
            if entry.kind is Kind.NOTE:
                known = _known_after(note_of(entry.first), known, disk)
            at += 1
        there = disk.files(ARCHIVE)
        documents = {name: raw for name, raw in known.documents.items() if name in there}
        yield Cut(at, disk.after_cut(chance), replace(known, documents=documents))


def _known_after(note: Note, known: Known, disk: Disk) -> Known:
    match note:
        case Opened():
            return replace(known, commissioned=True)
        case Began(state=state):
            return replace(known, states=(*known.states, state), past=(*known.past, state))
        case Returned():
            state = known.states[-1]
            files = disk.files(ARCHIVE)
            digests = {digest_in(name) for name in files}
            assert digests.issuperset(state.documents), "its document was never written"
            known_before = known.documents
            documents = {
                name: known_before.get(name) or bytes(file.seen) for name, file in files.items()
            }
            return replace(
                known,
                states=(state,),
                acknowledged=True,
                damaged=False,
                documents=documents,
                said=known.said.union(state.documents),
            )
        case Damaged():
            return replace(known, damaged=True)


def digest_in(name: str) -> str:
    """What a file of the archive says that it holds; nothing where it is none."""
    found = DIGEST.search(name)
    return "" if found is None else found[1]


def _check_complete(history: History, really: Tree) -> None:
    """Whether the entries say all that was done. Raises `RecorderError`."""
    disk = Disk(history.root, history.before)
    for entry in history.entries:
        disk.follow(entry)
    seen = disk.seen()
    if seen != really:
        differ = sorted(path for path in {**seen, **really} if seen.get(path) != really.get(path))
        raise RecorderError(f"the recorder has missed what was done to {', '.join(differ)}")
