"""The shim: a daemon's calls that change its files are counted, fail, or are its last.

Built from `shim.c` with the C compiler and preloaded into the daemon. What it is to do is told
through a mapped file, at any time and without the daemon's knowledge.
"""

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from tests.compiled import library_of

SOURCE = Path(__file__).parent / "shim.c"
FOR_EVER = 2**62
WORD_MAX = 64


class ShimError(Exception):
    """The shim cannot be built."""


class Deed(IntEnum):
    """What is done at a call that is hit."""

    FAIL = 0
    KILL_BEFORE = 1
    KILL_AFTER = 2
    KILL_SYNCED = 3
    """After the first sync from there on."""


class Call(NamedTuple):
    """One call that changes files: the how many-th, its name, the path it is about."""

    number: int
    name: str
    path: str


class _Control(ctypes.LittleEndianStructure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("calls", "at", "through", "error", "deed", "torn")),
        *((name, ctypes.c_int64) for name in ("hits", "delay", "word_size")),
        ("word", ctypes.c_char * WORD_MAX),
    )


class Shim:
    """The shim of one daemon, over all its lives: calls are counted on from life to life."""

    def __init__(self, library: Path, root: Path, folder: Path, shared: mmap.mmap) -> None:
        """`root`: the directory whose files it watches. See `shim_in`."""
        self._library = library
        self._root = root
        self._folder = folder
        self._control = _Control.from_buffer(shared)

    @property
    def environment(self) -> dict[str, str]:
        """What the daemon's environment gets besides."""
        return {
            "LD_PRELOAD": str(self._library),
            "SHIM_ROOT": str(self._root),
            "SHIM_CONTROL": str(self._folder / "control"),
            "SHIM_LOG": str(self._folder / "calls"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    @property
    def calls(self) -> int:
        """So many were made."""
        return int(self._control.calls)

    @property
    def hits(self) -> int:
        """So many have failed."""
        return int(self._control.hits)

    def fail(self, after: int, error: int, *, lasting: bool, torn: bool = False) -> None:
        """Let the call fail that is so many after the last one (from 1); `lasting`: those behind it
        too, until `mend`. `torn`: where it is a write it does half of its work before."""
        self._tell(deed=Deed.FAIL, error=error, torn=torn)
        at = self.calls + after
        self._control.through = FOR_EVER if lasting else at
        self._control.at = at

    def fail_at_word(self, word: bytes, delay: int, error: int, *, lasting: bool) -> None:
        """The same, so many calls after the one that writes this word, or has it in its path.

        A path ends with a NUL.
        """
        self._tell(deed=Deed.FAIL, error=error)
        self._wait_for(word, delay, lasting=lasting)

    def kill(self, after: int, deed: Deed) -> None:
        """End the process at the call that is so many after the last one (from 1)."""
        self._tell(deed=deed)
        at = self.calls + after
        self._control.through = FOR_EVER
        self._control.at = at

    def kill_at_word(self, word: bytes, delay: int, deed: Deed) -> None:
        """The same, so many calls after the one with this word: see `fail_at_word`."""
        self._tell(deed=deed)
        self._wait_for(word, delay, lasting=True)

    def mend(self) -> None:
        """All calls do what they should again."""
        self._tell()

    def made(self, after: int = 0) -> Iterator[Call]:
        """The calls with a higher number, oldest first."""
        for line in (self._folder / "calls").read_text(encoding="utf-8").splitlines():
            number, name, path = line.split(" ", 2)
            if int(number) > after:
                yield Call(int(number), name, path)

    def _wait_for(self, word: bytes, delay: int, *, lasting: bool) -> None:
        assert len(word) <= WORD_MAX
        self._control.through = FOR_EVER if lasting else 0
        self._control.delay = delay
        self._control.word = word
        self._control.word_size = len(word)

    def _tell(self, *, deed: Deed = Deed.FAIL, error: int = 0, torn: bool = False) -> None:
        control = self._control
        control.at = control.word_size = 0
        control.through = control.delay = 0
        control.deed, control.error, control.torn = deed, error, torn


@contextmanager
def shim_in(folder: Path, library: Path, root: Path) -> Iterator[Shim]:
    """A shim for a daemon whose state is below `root`, until the block is left."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "calls").touch()
    (folder / "control").write_bytes(bytes(ctypes.sizeof(_Control)))
    with (folder / "control").open("r+b") as file:
        shared = mmap.mmap(file.fileno(), ctypes.sizeof(_Control))
        shim = Shim(library, root, folder, shared)
        try:
            yield shim
        finally:
            shim.mend()
            del shim._control  # which keeps the map from being closed
            shared.close()


def build(directory: Path) -> Path:
    """The shim as a library in that directory. Raises `ShimError`."""
    return library_of(SOURCE, directory, ShimError)
