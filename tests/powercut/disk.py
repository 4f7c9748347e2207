"""A disk under a process: what is on it for good, what it was only told, and what a cut leaves.

Data of a file is on it for good once an fsync on the file has returned, the names of a directory
once one on the directory has, and all there is once a syncfs has. Of what was written since, a
power cut leaves each write, drops it or tears it between two sectors, whatever became of the writes
around it; a write that is dropped may have lengthened its file all the same. Of the names that were
changed since, it leaves those up to one of the changes, in each directory apart from the others.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from random import Random

from tests.powercut.recorded import Entry, Kind, RecorderError

SECTOR = 512
WHOLE = "*"
"""In the place of a path: all that is on the disk."""
Tree = dict[str, bytes | None]
"""What is on a disk by its path below the root; a directory has no bytes."""
Lies = Callable[[str], bool]
"""Whether the card only says that it has synchronised what is at this path."""


def honest(path: str) -> bool:
    """A card that never lies."""
    return False


class File:
    """Bytes: those on the disk for good, those that the process sees, the changes in between."""

    def __init__(self, content: bytes = b"") -> None:
        self.durable = content
        self.seen = bytearray(content)
        self.pending: list[tuple[int, bytes | None]] = []
        """Offset and bytes of a write; the new length and None of a truncation."""

    def write(self, at: int, content: bytes) -> None:
        _put(self.seen, at, content)
        self.pending.append((at, content))

    def truncate(self, length: int) -> None:
        _resize(self.seen, length)
        self.pending.append((length, None))

    def sync(self) -> None:
        if self.pending:
            self.durable = bytes(self.seen)
            self.pending.clear()

    def after_cut(self, chance: Random) -> bytes:
        """One of the contents that a cut at this instant may leave."""
        if not self.pending:
            return self.durable
        share = chance.choice((0.0, 0.2, 0.5, 0.8, 1.0))
        content = bytearray(self.durable)
        for at, written in self.pending:
            kept = chance.random() < share
            if written is None and kept:
                _resize(content, at)
            elif written is not None and kept:
                _put(content, at, written)
            elif written is not None:
                _put_partly(content, at, written, chance)
        return bytes(content)


class Directory:
    """Names: those on the disk for good, those that the process sees, the changes in between."""

    def __init__(self) -> None:
        self.durable: dict[str, Node] = {}
        self.seen: dict[str, Node] = {}
        self.pending: list[tuple[str, Node | None, str | None]] = []
        """A name, what it stands for from then on (None: nothing), and the name it had before."""

    def change(self, name: str, node: "Node | None", was: str | None = None) -> None:
        change = (name, node, was)
        _rename(self.seen, change)
        self.pending.append(change)

    def sync(self) -> None:
        if self.pending:
            self.durable = dict(self.seen)
            self.pending.clear()

    def after_cut(self, chance: Random) -> "dict[str, Node]":
        """The names that a cut at this instant leaves: the changes up to one of them."""
        if not self.pending:
            return self.durable
        left = dict(self.durable)
        for change in self.pending[: chance.randint(0, len(self.pending))]:
            _rename(left, change)
        return left


Node = File | Directory


class Disk:
    """The files below one directory, as the entries of a log change them."""

    def __init__(self, root: str, before: Mapping[str, bytes | None]) -> None:
        """`before` is on it for good; directories stand in it before what is in them."""
        self._root = root
        self._top = Directory()
        self._open: dict[int, tuple[str, Node]] = {}
        for path, content in before.items():
            directory, name = self._place(f"{root}/{path}")
            directory.change(name, Directory() if content is None else File(content))
            directory.sync()

    def follow(self, entry: Entry, lies: Lies = honest) -> None:
        """Do what an entry says."""
        match entry.kind:
            case Kind.PROCESS:
                self._open.clear()
            case Kind.OPEN:
                self._follow_open(entry)
            case Kind.CLOSE:
                del self._open[entry.descriptor]
            case Kind.WRITE:
                self._file(entry).write(entry.number, entry.first)
            case Kind.TRUNCATE:
                self._file(entry).truncate(entry.number)
            case Kind.SYNC:
                path, node = self._open[entry.descriptor]
                if not lies(path):
                    node.sync()
            case Kind.SYNC_ALL:
                if not lies(WHOLE):
                    _sync_all(self._top)
            case Kind.RENAME:
                self._follow_rename(entry.first.decode(), entry.second.decode())
            case Kind.UNLINK:
                directory, name = self._place(entry.first.decode())
                directory.change(name, None)
            case Kind.MAKE_DIRECTORY:
                directory, name = self._place(entry.first.decode())
                directory.change(name, Directory())
            case Kind.NOTE | Kind.NOT_UNDERSTOOD:
                pass

    def seen(self) -> Tree:
        """What a process sees now."""
        return dict(_tree(self._top, lambda one: one.seen, lambda one: bytes(one.seen)))

    def files(self, path: str) -> dict[str, File]:
        """The files that a process sees now in a directory below the root; none without it."""
        node: Node | None = self._top
        for name in path.split("/"):
            node = node.seen.get(name) if isinstance(node, Directory) else None
        names = node.seen if isinstance(node, Directory) else {}
        return {name: one for name, one in names.items() if isinstance(one, File)}

    def after_cut(self, chance: Random) -> Tree:
        """What is on the disk when the power comes back after a cut at this instant."""
        return dict(
            _tree(self._top, lambda one: one.after_cut(chance), lambda one: one.after_cut(chance))
        )

    def _follow_open(self, entry: Entry) -> None:
        path, flags = entry.first.decode(), entry.number
        if path.rstrip("/") == self._root:
            self._open[entry.descriptor] = (".", self._top)
            return
        directory, name = self._place(path)
        node = directory.seen.get(name)
        if node is None:
            node = File()
            directory.change(name, node)
        elif flags & os.O_TRUNC and isinstance(node, File):
            node.truncate(0)
        self._open[entry.descriptor] = (path.removeprefix(f"{self._root}/"), node)

    def _follow_rename(self, old: str, new: str) -> None:
        directory, was = self._place(old)
        target, name = self._place(new)
        if directory is not target:
            raise RecorderError(f"{old} moves to another directory, which disk.py cannot follow")
        directory.change(name, directory.seen[was], was)

    def _place(self, path: str) -> tuple[Directory, str]:
        *parents, name = path.removeprefix(f"{self._root}/").split("/")
        directory = self._top
        for parent in parents:
            below = directory.seen[parent]
            assert isinstance(below, Directory), path
            directory = below
        return directory, name

    def _file(self, entry: Entry) -> File:
        _, node = self._open[entry.descriptor]
        assert isinstance(node, File), entry
        return node


def _sync_all(node: Node) -> None:
    node.sync()
    if isinstance(node, Directory):
        for below in node.seen.values():
            _sync_all(below)


def tree_at(root: Path) -> Tree:
    """What is really in a directory."""
    return {
        str(path.relative_to(root)): None if path.is_dir() else path.read_bytes()
        for path in sorted(root.rglob("*"))
    }


def lay_out(tree: Tree, root: Path) -> None:
    """Make a directory what a tree says; it is made new."""
    root.mkdir()
    for path, content in tree.items():
        if content is None:
            os.mkdir(f"{root}/{path}")  # noqa: PTH102 - thousands of times a second
            continue
        number = os.open(f"{root}/{path}", os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(number, content)
        os.close(number)


def _tree(
    directory: Directory,
    names_of: Callable[[Directory], dict[str, Node]],
    content_of: Callable[[File], bytes],
    below: str = "",
) -> Iterator[tuple[str, bytes | None]]:
    for name, node in sorted(names_of(directory).items()):
        if isinstance(node, File):
            yield below + name, content_of(node)
            continue
        yield below + name, None
        yield from _tree(node, names_of, content_of, f"{below}{name}/")


def _rename(names: dict[str, Node], change: tuple[str, Node | None, str | None]) -> None:
    name, node, was = change
    if was is not None:
        names.pop(was, None)
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def _resize(content: bytearray, length: int) -> None:
    if length < len(content):
        del content[length:]
    else:
        content.extend(bytes(length - len(content)))


def _put(content: bytearray, at: int, written: bytes) -> None:
    if at > len(content):
        _resize(content, at)
    content[at : at + len(written)] = written


def _put_partly(content: bytearray, at: int, written: bytes, chance: Random) -> None:
    fate = chance.random()
    if fate < 0.1:
        _resize(content, max(len(content), at + len(written)))
    if fate < 0.5:
        return
    first = SECTOR - at % SECTOR
    edges = [0, *range(first, len(written), SECTOR), len(written)]
    sectors = list(pairwise(edges))
    if fate < 0.75:  # the head went in, up to one of them
        kept = sectors[: chance.randint(0, len(sectors))]
    else:
        kept = [sector for sector in sectors if chance.random() < 0.5]
    for begin, end in kept:
        _put(content, at + begin, written[begin:end])
