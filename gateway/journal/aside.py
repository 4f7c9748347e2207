"""Setting aside: a journal that cannot be trusted any more makes room for a new one.

Owns the names beside the journal's file, and how many lost ones are kept for those who look into
it. Must never judge whether a journal is lost: that is said by who reads it.
"""

import re
from pathlib import Path

from gateway.journal.files import sync_directory

LOST_MAX = 3
"""How many that were set aside are kept, the newest."""


def beside(path: Path) -> tuple[Path, ...]:
    """Where SQLite keeps what belongs to a database's file: its log, and that log's index."""
    return (path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm"))


def suspect_mark(path: Path) -> Path:
    """The empty file that says: SQLite found this database damaged while it was in use."""
    return path.with_name(path.name + ".suspect")


def set_aside(path: Path) -> str:
    """Rename the file at `path` and what belongs to it; the new name. Raises `OSError`.

    The file goes first: a log without its file is nothing, a file without its log an older journal.
    """
    lost = _lost(path)
    number = max(lost, default=0) + 1
    aside = path.with_name(f"{path.name}.lost-{number}")
    path.rename(aside)
    for old, new in zip(beside(path), beside(aside), strict=True):
        if old.exists():
            old.rename(new)
    suspect_mark(path).unlink(missing_ok=True)
    for gone in sorted(lost)[: max(0, len(lost) + 1 - LOST_MAX)]:
        for one in (lost[gone], *beside(lost[gone])):
            one.unlink(missing_ok=True)
    sync_directory(path.parent)
    return aside.name


def _lost(path: Path) -> dict[int, Path]:
    name = re.compile(re.escape(path.name) + r"\.lost-([0-9]+)")
    found = ((name.fullmatch(one.name), one) for one in path.parent.iterdir())
    return {int(match[1]): one for match, one in found if match is not None}
