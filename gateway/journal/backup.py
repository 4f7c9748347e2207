"""Backup: the journal, the archive and the marks in one file, whole or not at all.

Owns the container: a tar (POSIX.1-2001) that begins with `backup.json`. Must never hold the
device's private key unless it is asked for, nor leave anything half-written.
"""

import contextlib
import hashlib
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import BinaryIO

import msgspec

from gateway.core.model import Value
from gateway.core.records import CHAIN_START
from gateway.journal.files import sync_directory, sync_file
from gateway.journal.migrating import check_room, empty_file

FORM = 1
INDEX = "backup.json"
JOURNAL = "journal.db"
KEY = "device.pem"
MEND = "Give a file that `feeder-gateway journal backup` wrote."
INDEX_BYTES_MAX = 64 * 1024 * 1024
CHUNK_BYTES = 1024 * 1024
LAST = "SELECT number, chain FROM records ORDER BY number DESC LIMIT 1"
Content = Path | bytes
"""A member of a backup: what is in a file, or what was in one that is written over."""
Progress = Callable[[int, int], None]
"""Called with how many bytes are done, and of how many."""


class Places(Value):
    """Where the parts of a gateway's memory are."""

    journal: Path
    archive: Path
    marks: Path
    key: Path


class Index(Value, forbid_unknown_fields=True):
    """What a backup says of itself: `number` and `chain` (hexadecimal) of its last record.

    `files`: SHA-256 (hexadecimal) of each member, by its name.
    """

    form: int
    gateway: str
    version: str
    number: int
    chain: str
    files: dict[str, str]


class BackupError(Exception):
    """A backup cannot be made or is none: the path, what is wrong, the mend."""


def write_backup(
    database: sqlite3.Connection,
    places: Places,
    target: Path,
    *,
    gateway: str,
    version: str,
    with_key: bool = False,
    progress: Progress = lambda _done, _all: None,
) -> Index:
    """Write everything into a new file of mode 0600; on return it is on the disk.

    `database` is the journal at rest. Raises `BackupError`, `JournalError` (DISK_FULL, with the
    bytes that are needed), `sqlite3.Error` and `OSError`; then nothing is left.
    """
    if target.exists():
        raise BackupError(f"{target}: is there already. Give the backup a name of its own.")
    others: dict[str, Content] = dict(_members(places.archive, "archive"))
    others |= {name: path.read_bytes() for name, path in _members(places.marks, "marks")}
    if with_key:
        others[KEY] = places.key
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    (page,) = database.execute("PRAGMA page_size").fetchone()
    size = sum(_size(one) + tarfile.BLOCKSIZE for one in others.values())
    check_room(target, 2 * pages * page + 2 * size + CHUNK_BYTES, "the backup")
    part, copy = (target.with_name(f".{target.name}.{word}") for word in ("part", "journal"))
    try:
        empty_file(copy)
        database.execute("VACUUM INTO ?", (str(copy),))
        index = _index({JOURNAL: copy, **others}, copy, gateway, version)
        empty_file(part)
        _write_tar(part, index, {JOURNAL: copy, **others}, progress)
        sync_file(part)
        os.link(part, target)  # unlike a rename it takes nobody's place
    finally:
        for left in (part, copy):
            left.unlink(missing_ok=True)
    sync_directory(target.parent)
    return index


@contextlib.contextmanager
def unpacked(
    source: Path, folder: Path, progress: Progress = lambda _done, _all: None
) -> Iterator[tuple[Index, Path]]:
    """What a backup holds, checked against its index, below `folder` until the block is left.

    Raises `BackupError` and `OSError`.
    """
    place = folder / ".restore"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(mode=0o700, parents=True)
    try:
        with _tar_errors(source):
            index = _unpack(source, place, progress)
        yield index, place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _members(directory: Path, word: str) -> Iterator[tuple[str, Path]]:
    if directory.is_dir():
        for path in sorted(directory.iterdir()):
            if path.is_file() and path.suffix != ".part":
                yield f"{word}/{path.name}", path


def _index(members: dict[str, Content], copy: Path, gateway: str, version: str) -> Index:
    with contextlib.closing(sqlite3.connect(copy)) as database:
        number, chain = database.execute(LAST).fetchone() or (0, CHAIN_START)
    return Index(
        form=FORM,
        gateway=gateway,
        version=version,
        number=number,
        chain=chain.hex(),
        files={name: _digest(content) for name, content in members.items()},
    )


def _write_tar(part: Path, index: Index, members: dict[str, Content], progress: Progress) -> None:
    total = sum(_size(content) for content in members.values())
    done = 0
    with part.open("r+b") as file, tarfile.open(fileobj=file, mode="w") as tar:
        said = msgspec.json.encode(index)
        _add(tar, INDEX, len(said), BytesIO(said))
        for name, content in members.items():
            with _open(content) as opened:
                _add(tar, name, _size(content), opened)
            done += _size(content)
            progress(done, total)


def _add(tar: tarfile.TarFile, name: str, size: int, content: BinaryIO) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    tar.addfile(member, content)


def _unpack(source: Path, place: Path, progress: Progress) -> Index:
    (place / "archive").mkdir(mode=0o700)
    (place / "marks").mkdir(mode=0o700)
    with source.open("rb") as file, tarfile.TarFile(fileobj=file) as tar:
        index = _index_in(tar, source)
        size = source.stat().st_size
        check_room(place, size, "unpacking the backup")
        waited = dict(index.files)
        for member in _next(tar, source):
            digest = waited.pop(member.name, None)
            if digest is None or not _is_ours(member.name) or not member.isfile():
                raise BackupError(f"{source}: {member.name!r} does not belong into a backup.")
            _extract(tar, member, place / member.name)
            if _digest(place / member.name) != digest:
                raise BackupError(f"{source}: {member.name} is damaged. Take another backup.")
            progress(member.offset_data + member.size, size)
    if waited:
        raise BackupError(f"{source}: {min(waited)} is missing. Take another backup.")
    return index


def _index_in(tar: tarfile.TarFile, source: Path) -> Index:
    none = f"{source}: is no backup of a gateway. {MEND}"
    first = next(_next(tar, source), None)
    if first is None or first.name != INDEX or first.size > INDEX_BYTES_MAX:
        raise BackupError(none)
    content = tar.extractfile(first)
    assert content is not None, "it is a file"
    try:
        index = msgspec.json.decode(content.read(), type=Index)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BackupError(none) from error
    if index.form != FORM:
        raise BackupError(f"{source}: is of form {index.form}. Use the release that wrote it.")
    return index


def _next(tar: tarfile.TarFile, source: Path) -> Iterator[tarfile.TarInfo]:
    while (member := tar.next()) is not None:
        if not member.isfile():
            raise BackupError(f"{source}: {member.name!r} does not belong into a backup.")
        yield member


@contextlib.contextmanager
def _tar_errors(source: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise BackupError(f"{source}: is damaged or no backup ({error}). {MEND}") from error


def _is_ours(name: str) -> bool:
    folder, _, file = name.rpartition("/")
    known = name in {JOURNAL, KEY} or folder in {"archive", "marks"}
    return known and file not in {"", ".", ".."}


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    content = tar.extractfile(member)
    assert content is not None, "it is a file"
    empty_file(path)
    with path.open("r+b") as file:
        while chunk := content.read(CHUNK_BYTES):
            file.write(chunk)


def _digest(content: Content) -> str:
    with _open(content) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _open(content: Content) -> BytesIO | BufferedReader:
    return BytesIO(content) if isinstance(content, bytes) else content.open("rb")


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size
