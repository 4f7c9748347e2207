"""Setting aside: a journal that cannot be trusted any more makes room for a new one.

Owns the names beside the journal's file, how another file takes its place, and how many lost ones
are kept for those who look into it. Must never judge whether a journal is lost: that is said by
who reads it.
"""

import re
from pathlib import Path

from gateway.journal.files import sync_directory, sync_file

LOST_MAX = 3
"""How many that were set aside are kept, the newest."""


def beside(path: Path) -> tuple[Path, ...]:
    """Where SQLite keeps what belongs to a database's file: its log, and that log's index."""
    return (path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm"))


def suspect_mark(path: Path) -> Path:
    """The empty file that says: this database was found damaged while it was in use."""
    return path.with_name(path.name + ".suspect")


def failing_mark(path: Path) -> Path:
    """The empty file that says: the disk failed at this file, and not at others beside it."""
    return path.with_name(path.name + ".failing")


def successor(path: Path) -> Path:
    """The whole and synchronised file that is to take the place of the one at `path`."""
    return path.with_name(path.name + ".next")


def unfinished(path: Path) -> Path:
    """What a successor is called until it is whole."""
    return path.with_name(path.name + ".next.part")


def set_aside(path: Path) -> str:
    """Rename the file at `path` and what belongs to it; the new name. Raises `OSError`.

    The file goes first: a log without its file is nothing, a file without its log an older journal.
    """
    lost = lost_ones(path)
    number = max(lost, default=0) + 1
    aside = path.with_name(f"{path.name}.lost-{number}")
    path.rename(aside)
    for old, new in zip(beside(path), beside(aside), strict=True):
        if old.exists():
            old.rename(new)
    suspect_mark(path).unlink(missing_ok=True)
    failing_mark(path).unlink(missing_ok=True)
    for gone in sorted(lost)[: max(0, len(lost) + 1 - LOST_MAX)]:
        for one in (lost[gone], *beside(lost[gone])):
            one.unlink(missing_ok=True)
    sync_directory(path.parent)
    return aside.name


def finish(path: Path) -> None:
    """Write the `unfinished` one down for good. Raises `OSError`.

    From here on it takes the place, whatever happens: see `take_place`.
    """
    sync_file(unfinished(path))
    unfinished(path).rename(successor(path))
    sync_directory(path.parent)


def take_place(path: Path) -> None:
    """Let the successor, where there is one, take the place of the file at `path`.

    What stands there is set aside. Done again after a power cut it ends what was begun. Raises
    `OSError`.
    """
    if not successor(path).exists():
        unfinished(path).unlink(missing_ok=True)
        return
    if path.exists():
        set_aside(path)
    for left in beside(path):  # the power went off between a file and its log
        left.unlink(missing_ok=True)
    successor(path).rename(path)
    sync_directory(path.parent)


def lost_ones(path: Path) -> dict[int, Path]:
    """Those that were set aside and are still there, by their numbers. Raises `OSError`."""
    name = re.compile(re.escape(path.name) + r"\.lost-([0-9]+)")
    found = ((name.fullmatch(one.name), one) for one in path.parent.iterdir())
    return {int(match[1]): one for match, one in found if match is not None}
