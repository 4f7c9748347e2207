"""Files that a power cut leaves whole: their rights, and when they are on the disk.

Owns the synchronisation with the disk outside SQLite. Must never know what is in a file.
"""

import contextlib
import os
from pathlib import Path


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
