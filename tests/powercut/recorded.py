"""The recorder: what a child process did to the files below a directory, entry by entry.

Built from `recorder.c` with the C compiler and preloaded into the child; SQLite is the library that
Python brings, so its calls are seen where they reach the C library.
"""

import os
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from tests.compiled import library_of

SOURCE = Path(__file__).parent / "recorder.c"
CHECKOUT = Path(__file__).parents[2]
DIED = 137
"""The exit status of a child that ended before the entry that it was to die at."""
_HEAD = struct.Struct("<ciqII")


class Kind(StrEnum):
    """What an entry says. `descriptor`, `number` and the texts are those of the call."""

    PROCESS = "P"
    """A new process begins: no descriptor of the one before is open."""
    OPEN = "O"
    """`number`: the flags of open(2); `first`: the path."""
    CLOSE = "C"
    WRITE = "W"
    """`number`: the offset; `first`: what was written."""
    TRUNCATE = "T"
    """`number`: the new length."""
    SYNC = "S"
    SYNC_ALL = "Y"
    """Of the whole file system: syncfs(2)."""
    RENAME = "R"
    UNLINK = "U"
    MAKE_DIRECTORY = "M"
    NOTE = "N"
    NOT_UNDERSTOOD = "!"


class Entry(NamedTuple):
    """One operation, or a note of the workload between two of them."""

    kind: Kind
    descriptor: int
    number: int
    first: bytes
    second: bytes


class RecorderError(Exception):
    """The recorder cannot be built, or the child that it records has failed."""


def build(directory: Path) -> Path:
    """The recorder as a library in that directory. Raises `RecorderError`."""
    return library_of(SOURCE, directory, RecorderError)


def run_recorded(
    library: Path, root: Path, log: Path, module: str, arguments: Sequence[str], dies_at: int = 0
) -> int:
    """Run a module of this checkout and append what it does below `root` to `log`.

    Returns how it ended: 0, or `DIED` where it was to. Raises `RecorderError`.
    """
    done = subprocess.run(
        (sys.executable, "-m", module, *arguments),
        cwd=CHECKOUT,
        env={
            **os.environ,
            "LD_PRELOAD": str(library),
            "RECORDER_ROOT": str(root),
            "RECORDER_LOG": str(log),
            "RECORDER_DIES_AT": str(dies_at),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode not in ((0, DIED) if dies_at else (0,)):
        raise RecorderError(f"{module} ended with {done.returncode}: {done.stderr}")
    return done.returncode


def entries_in(log: bytes) -> Iterator[Entry]:
    """The entries of a log. Raises `RecorderError` where one is not understood."""
    at = 0
    while at < len(log):
        kind, descriptor, number, first_bytes, second_bytes = _HEAD.unpack_from(log, at)
        at += _HEAD.size
        first = log[at : at + first_bytes]
        at += first_bytes
        second = log[at : at + second_bytes]
        at += second_bytes
        entry = Entry(Kind(kind.decode()), descriptor, number, first, second)
        if entry.kind is Kind.NOT_UNDERSTOOD:
            raise RecorderError(f"the workload calls {first.decode()}, which disk.py cannot follow")
        yield entry
