"""What the journal holds, in figures.

Owns their names and where each comes from. Must never write, nor be asked of a file that is not at
rest.
"""

import os
import re
import sqlite3
from collections import Counter
from pathlib import Path

from gateway.core.model import Value
from gateway.journal.aside import beside, lost_ones
from gateway.journal.migrating import copies_of

WRITTEN = re.compile(rb"^write_bytes: ([0-9]+)$", re.MULTILINE)


class Aside(Value):
    """A file beside the journal's: one that was set aside, or a copy before a migration.

    `written_ms`: when it was last written (milliseconds UTC), `renamed_ms`: when it got its name;
    both by the clock of the machine then.
    """

    name: str
    bytes: int
    written_ms: int
    renamed_ms: int


class Stats(Value):
    """The journal in figures. `written_bytes`: by the whole daemon since it started; None: it does
    not run. `fragmented`: pages of the file that hold nothing, of all; they are used again.
    """

    schema: int
    first: int
    last: int
    acked_through: int
    unacked: int
    checkpoints: tuple[int, ...]
    """The records after which they stand."""
    readings: int
    readings_acked_through: int
    bytes: int
    log_bytes: int
    page_bytes: int
    fragmented: float
    free_bytes: int
    """Of the file system, for this user."""
    archive: dict[str, int]
    """Files by type."""
    archive_bytes: int
    asides: tuple[Aside, ...]
    written_bytes: int | None = None


def stats_of(database: sqlite3.Connection, path: Path, archive: Path) -> Stats:
    """The figures of an open journal. Raises `sqlite3.Error` and `OSError`."""
    first, last = _row(
        database, "SELECT coalesce(min(number), 0), coalesce(max(number), 0) FROM records"
    )
    acked, readings_acked = _row(database, "SELECT acked_through, readings_acked_through FROM meta")
    pages, free = (_row(database, f"PRAGMA {name}")[0] for name in ("page_count", "freelist_count"))
    files = [one for one in archive.iterdir() if one.suffix == ".jws"] if archive.is_dir() else []
    disk = os.statvfs(path.parent)
    log = beside(path)[0]
    asides = (*lost_ones(path).values(), *copies_of(path).values())
    return Stats(
        schema=_row(database, "PRAGMA user_version")[0],
        first=first,
        last=last,
        acked_through=acked,
        unacked=last - acked,
        checkpoints=tuple(
            row[0] for row in database.execute("SELECT number FROM checkpoints ORDER BY number")
        ),
        readings=_row(database, "SELECT count(*) FROM readings")[0],
        readings_acked_through=readings_acked,
        bytes=path.stat().st_size,
        log_bytes=log.stat().st_size if log.exists() else 0,
        page_bytes=_row(database, "PRAGMA page_size")[0],
        fragmented=round(free / max(1, pages), 4),
        free_bytes=disk.f_bavail * disk.f_frsize,
        archive=dict(sorted(Counter(one.name.split("-", 1)[1][:-69] for one in files).items())),
        archive_bytes=sum(one.stat().st_size for one in files),
        asides=tuple(_aside(one) for one in sorted(asides)),
    )


def written_bytes() -> int | None:
    """What this process has sent to its disks since it began: proc(5), `io`; None: not known."""
    try:
        found = WRITTEN.search(Path("/proc/self/io").read_bytes())
    except OSError:
        return None
    return None if found is None else int(found[1])


def _aside(path: Path) -> Aside:
    found = path.stat()
    return Aside(
        name=path.name,
        bytes=found.st_size,
        written_ms=found.st_mtime_ns // 1_000_000,
        renamed_ms=found.st_ctime_ns // 1_000_000,
    )


def _row(database: sqlite3.Connection, statement: str) -> tuple[int, ...]:
    row: tuple[int, ...] = database.execute(statement).fetchone()
    return row
