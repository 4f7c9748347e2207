"""Files that a power cut leaves whole: their rights, and when they are on the disk.

Owns the synchronisation with the disk outside SQLite. Must never know what is in a file.
"""

import contextlib
import ctypes
import os
from collections.abc import Mapping
from pathlib import Path

SYNCFS_FROM = 3
"""From so many files on one syncfs(2) is cheaper than an fsync(2) of each."""
_libc = ctypes.CDLL(None, use_errno=True)


def make_directory(path: Path) -> None:
    """A directory that is there for good, readable for the daemon's user alone where it is new.

    So is every one above it.
    """
    if not path.is_dir():
        make_directory(path.parent)
        path.mkdir(mode=0o700)
    # Also where it is not new: who made it may have been killed before its name was on the disk.
    with contextlib.suppress(PermissionError):  # what may not be read was made by somebody else
        sync_directory(path.parent)


def write_synced(path: Path, content: bytes) -> None:
    """Write a file with mode 0600; on return its content is on the disk, its name not yet."""
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(number, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(number)


def write_all_synced(directory: Path, contents: Mapping[Path, bytes]) -> None:
    """Write files of one directory with mode 0600; on return their contents are on the disk.

    Where that fails none of them is left: of a full disk they would take the rest. Where they are
    many, one syncfs(2) does it, which waits for whatever else that file system has to write as
    well: each fsync(2) costs a card a write of the file system's own journal.
    """
    try:
        if len(contents) < SYNCFS_FROM:
            for path, content in contents.items():
                write_synced(path, content)
        else:
            _write_and_sync_whole(directory, contents)
    except OSError:
        for path in contents:
            path.unlink(missing_ok=True)
        raise


def _write_and_sync_whole(directory: Path, contents: Mapping[Path, bytes]) -> None:
    for path, content in contents.items():
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(number, "wb") as file:
            file.write(content)
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _libc.syncfs(number) != 0:
            trouble = ctypes.get_errno()
            raise OSError(trouble, os.strerror(trouble), str(directory))
    finally:
        os.close(number)


def lengthen(path: Path, size: int) -> None:
    """Write zeros after the end of a file until it is so long; a longer one stays as it is."""
    number = os.open(path, os.O_WRONLY)
    try:
        at = os.fstat(number).st_size
        if at < size:
            os.pwrite(number, bytes(size - at), at)
            os.fsync(number)
    finally:
        os.close(number)


def sync_file(path: Path) -> None:
    """Put the content of a file on the disk, whoever wrote it."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def sync_directory(path: Path) -> None:
    """Put the names in a directory on the disk."""
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
