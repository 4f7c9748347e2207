"""What can be wrong with the journal, by name, with the path and the mend.

Owns the translation of SQLite's result codes (sqlite.org/rescode.html) and of the file system's
(errno(3)). Must never decide what follows from it.
"""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import assert_never

from gateway.ports import NotWritten, Remedy


class Trouble(StrEnum):
    """Why the journal does not do what was asked."""

    LOCKED = "LOCKED"
    CORRUPT = "CORRUPT"
    FOREIGN = "FOREIGN"
    NEWER_SCHEMA = "NEWER_SCHEMA"
    MIGRATION_FAILED = "MIGRATION_FAILED"
    """This release could not bring the file to its schema: our own fault."""
    MISTAKE = "MISTAKE"
    """A statement that the file does not take: our own fault."""
    DISK_FULL = "DISK_FULL"
    READ_ONLY = "READ_ONLY"
    NOT_ACCESSIBLE = "NOT_ACCESSIBLE"
    DISK_ERROR = "DISK_ERROR"
    DISCONTINUOUS = "DISCONTINUOUS"
    """A batch that does not continue what is written down: our own fault."""
    CLOSED = "CLOSED"


class JournalError(NotWritten):
    """Raised by the journal: `trouble` is the name; the text names the path and the mend."""

    def __init__(
        self,
        trouble: Trouble,
        path: Path,
        detail: str,
        remedy: Remedy | None = None,
        bytes_needed: int = 0,
    ) -> None:
        mend = "it is opened anew by itself" if remedy is Remedy.RENEW else _mend(trouble)
        super().__init__(f"{path}: {trouble}: {detail}; {mend}")
        self.trouble: Trouble = trouble
        self.remedy = remedy or _REMEDIES.get(trouble, Remedy.REPORT)
        self.path = path
        self.detail = detail
        self.bytes_needed = bytes_needed
        """Of room, where that is known."""


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite and of the file system into the journal's words."""
    try:
        yield
    except sqlite3.Error as error:
        raise JournalError(trouble_of(error), path, f"{error} ({_name_of(error)})") from error
    except OSError as error:
        trouble = _BY_ERRNO.get(error.errno or 0, Trouble.NOT_ACCESSIBLE)
        raise JournalError(trouble, path, str(error.strerror)) from error


def trouble_of(error: sqlite3.Error) -> Trouble:
    """The journal's word for an error of SQLite."""
    # Extended codes (SQLITE_IOERR_FSYNC, SQLITE_CORRUPT_INDEX, ...) begin with their primary code.
    for prefix, trouble in _BY_CODE:
        if _name_of(error).startswith(prefix):
            return trouble
    return Trouble.DISK_ERROR


def _name_of(error: sqlite3.Error) -> str:
    # What Python's module finds wrong by itself has no name of SQLite's.
    return str(getattr(error, "sqlite_errorname", "SQLITE_MISUSE"))


_BY_CODE = (
    ("SQLITE_BUSY", Trouble.LOCKED),
    ("SQLITE_CORRUPT", Trouble.CORRUPT),
    ("SQLITE_NOTADB", Trouble.CORRUPT),
    ("SQLITE_FULL", Trouble.DISK_FULL),
    ("SQLITE_READONLY", Trouble.READ_ONLY),
    ("SQLITE_CANTOPEN", Trouble.NOT_ACCESSIBLE),
    ("SQLITE_PERM", Trouble.NOT_ACCESSIBLE),
    ("SQLITE_ERROR", Trouble.MISTAKE),
    ("SQLITE_CONSTRAINT", Trouble.MISTAKE),
    ("SQLITE_MISMATCH", Trouble.MISTAKE),
    ("SQLITE_MISUSE", Trouble.MISTAKE),
    ("SQLITE_RANGE", Trouble.MISTAKE),
)
_BY_ERRNO = {
    errno.ENOSPC: Trouble.DISK_FULL,
    errno.EDQUOT: Trouble.DISK_FULL,
    errno.EROFS: Trouble.READ_ONLY,
    errno.EIO: Trouble.DISK_ERROR,
    errno.EFBIG: Trouble.DISK_ERROR,
}
_REMEDIES = {
    Trouble.CORRUPT: Remedy.RENEW,
    Trouble.DISK_FULL: Remedy.WAIT,
    Trouble.READ_ONLY: Remedy.WAIT,
    Trouble.NOT_ACCESSIBLE: Remedy.WAIT,
    Trouble.DISK_ERROR: Remedy.WAIT,
}


def _mend(trouble: Trouble) -> str:
    match trouble:
        case Trouble.LOCKED:
            return "another daemon has it open: stop that one, or give this one another path"
        case Trouble.CORRUPT:
            return "start again: it is set aside, and made anew from the archive"
        case Trouble.FOREIGN:
            return "it is another program's database: give the journal another path"
        case Trouble.NEWER_SCHEMA:
            return "a newer release wrote it: install that release"
        case Trouble.MIGRATION_FAILED:
            return "install the release before again: the file is as it was; and report this"
        case Trouble.DISK_FULL:
            return "make room on the disk"
        case Trouble.READ_ONLY:
            return "mount the disk writable and give the daemon's user the right to write"
        case Trouble.NOT_ACCESSIBLE:
            return "give the daemon's user the directory and the right to write in it"
        case Trouble.DISK_ERROR:
            return "look for disk errors in the kernel's log"
        case Trouble.DISCONTINUOUS | Trouble.MISTAKE:
            return "restart the daemon and report this"
        case Trouble.CLOSED:
            return "open it again"
        case _:
            assert_never(trouble)
