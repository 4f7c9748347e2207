"""A disk that fails: what it still takes, and what can be carried from a file that it fails at.

Owns the probe beside the journal. Must never touch the journal's own file but to read it.
"""

import asyncio
import contextlib
import errno
import os
import sqlite3
from pathlib import Path

from gateway.journal.aside import failing_mark, finish, suspect_mark, unfinished
from gateway.journal.files import write_synced
from gateway.journal.migrating import check_room, empty_file
from gateway.journal.opening import read_only
from gateway.journal.trouble import JournalError, Trouble, named_errors
from gateway.ports import Remedy

ERRORS_MAX = 3
"""Commits in a row that fail at this file, while one beside it is written: it is given up."""
PROBE = ".probe"
PROBE_BYTES = 64 * 1024
IN_MEMORY_BYTES_MAX = 256 * 1024 * 1024
"""Of a journal that is read into memory, with its log."""


def probe(directory: Path) -> None:
    """Write, synchronise and remove a small file. Raises `OSError`."""
    path = directory / PROBE
    try:
        write_synced(path, bytes(PROBE_BYTES))
    finally:
        path.unlink(missing_ok=True)


def takes_writes(directory: Path) -> bool:
    """Whether a directory takes a small file."""
    try:
        probe(directory)
    except OSError:
        return False
    return True


class Disk:
    """How the disk of the journal at `path` takes what is written there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._errors = 0

    def works(self) -> None:
        """Something was committed."""
        self._errors = 0

    async def judged(self, error: JournalError) -> JournalError:
        """An error under its right name, and with RENEW where the journal has to be given up.

        Why it ends is written down for the next opening.
        """
        if error.path != self._path:
            return error
        if error.trouble is Trouble.CORRUPT:
            await self.suspect()
        if error.trouble is not Trouble.DISK_ERROR or error.remedy is Remedy.RENEW:
            return error
        error = await asyncio.to_thread(_told_by_the_disk, error)
        if error.trouble is not Trouble.DISK_ERROR:
            return error
        self._errors += 1
        beside = await asyncio.to_thread(takes_writes, self._path.parent)
        if self._errors < ERRORS_MAX or not beside:
            return error
        await self._leave(failing_mark(self._path))
        return JournalError(error.trouble, error.path, error.detail, Remedy.RENEW)

    async def suspect(self) -> None:
        """Let the next opening check the whole file."""
        await self._leave(suspect_mark(self._path))

    @staticmethod
    async def _leave(mark: Path) -> None:
        with contextlib.suppress(OSError):  # what is told to the caller matters more
            await asyncio.to_thread(mark.touch, mode=0o600)

    async def still_waits(self, waits: JournalError) -> JournalError:
        """Of a journal that is in memory: that it waits, or (RENEW) that it need not any more."""
        if waits.trouble is Trouble.CORRUPT:
            return waits
        return await asyncio.to_thread(_still_waits, self._path, waits)


def _still_waits(path: Path, waits: JournalError) -> JournalError:
    try:
        with named_errors(path):
            if path.exists():
                os.close(os.open(path, os.O_RDWR))
            probe(path.parent)
            check_room(path, waits.bytes_needed, "opening it")
    except JournalError as error:
        return error
    return JournalError(waits.trouble, path, "it is over", Remedy.RENEW)


def _told_by_the_disk(error: JournalError) -> JournalError:
    # SQLite names all that the disk refuses an I/O error. An error of this file alone stays one.
    try:
        probe(error.path.parent)
    except OSError as refused:
        for number, trouble in (
            (errno.EROFS, Trouble.READ_ONLY),
            (errno.ENOSPC, Trouble.DISK_FULL),
        ):
            if refused.errno == number:
                return JournalError(trouble, error.path, error.detail)
    return error


def check_size(path: Path, waits: JournalError) -> None:
    """Refuse what is too large for the memory. Raises `JournalError`, with what it waits for."""
    log = path.with_name(path.name + "-wal")
    size = sum(one.stat().st_size for one in (path, log) if one.exists())
    if size > IN_MEMORY_BYTES_MAX:
        said = f"{waits.detail}; {size} bytes, and at most {IN_MEMORY_BYTES_MAX} fit in memory"
        raise JournalError(waits.trouble, path, said)


async def carry_over(path: Path) -> None:
    """Copy what can be read into a new file, which the next opening puts in its place.

    Raises `JournalError`.
    """
    with named_errors(path):
        await asyncio.to_thread(_carry_over, path)


def _carry_over(path: Path) -> None:
    part = unfinished(path)
    check_room(path, path.stat().st_size, "a copy of the file")
    empty_file(part)
    with contextlib.closing(
        sqlite3.connect(read_only(path), uri=True, isolation_level=None)
    ) as source:
        source.execute("PRAGMA locking_mode=EXCLUSIVE")
        source.execute("VACUUM INTO ?", (str(part),))
    finish(path)
