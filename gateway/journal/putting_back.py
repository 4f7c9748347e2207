"""Putting a backup back: what would change, and the change itself.

Owns the order in which archive, marks and journal are put in place: after a power cut anywhere the
same can be done again. Must never let a mark fall, drop a document, or remove the journal that was
there: that one is set aside.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from gateway.core.marks import Marks, Tag, larger
from gateway.core.model import Value
from gateway.journal.aside import finish, take_place, unfinished
from gateway.journal.backup import JOURNAL, KEY, LAST, BackupError, Index, Places
from gateway.journal.checking import check_file, readable
from gateway.journal.files import make_directory, sync_directory, sync_file, write_synced
from gateway.journal.marks import MarksPair
from gateway.journal.migrating import empty_file

COPY_BYTES = 1024 * 1024


class Side(Value):
    """One of the two: its last record; what of records and documents only it has."""

    last: int
    records_only_here: int
    documents_only_here: dict[str, int]
    """By type."""
    root_seq: int
    site_seq: int
    list_seq: int
    order_seq: int
    tags_only_here: tuple[Tag, ...]
    """Holds and isolations."""


class Difference(Value):
    """What is here against what the backup holds. `common`: the last record that both have.

    `here_unreadable`: why the journal that is here could not be compared; empty: it was.
    """

    backup: str
    gateway: str
    common: int
    here: Side
    there: Side
    here_unreadable: str = ""
    brings_key: bool = False
    """There is no device key here, and the backup holds one."""


def difference(index: Index, place: Path, places: Places, source: Path) -> Difference:
    """Compare an unpacked backup with what is here; neither is in use.

    Raises `BackupError` where the backup's journal is damaged.
    """
    backup = place / JOURNAL
    with closing(_open(backup)) as there:
        _expect_whole(there, source)
        there_last = _last(there)
        try:
            (here_last, common), unreadable = _compared(places.journal, there, there_last), ""
        except sqlite3.Error as error:
            (here_last, common), unreadable = (0, 0), str(error)
    marks_here = MarksPair(places.marks).read() or Marks()
    marks_there = MarksPair(place / "marks").read() or Marks()
    files_here, files_there = _names_in(places.archive), _names_in(place / "archive")
    return Difference(
        backup=str(source),
        gateway=index.gateway,
        common=common,
        here=_side(here_last, common, marks_here, marks_there, files_here, files_there),
        there=_side(there_last, common, marks_there, marks_here, files_there, files_here),
        here_unreadable=unreadable,
        brings_key=(place / KEY).exists() and not places.key.exists(),
    )


def put_back(place: Path, places: Places) -> None:
    """Put an unpacked backup in place; on return it is on the disk. Raises `OSError`.

    Nobody may have the journal open. The archive keeps every document of both: those that only it
    has come after the backup's, and are taken up again at the next start. The marks are the larger
    of both: a backup that is older than what was in force is BEHIND them. A device key that is here
    stays.
    """
    _put_archive(place / "archive", places.archive)
    if (place / KEY).exists() and not places.key.exists():
        make_directory(places.key.parent)
        _copy(place / KEY, part := places.key.with_name(f".{places.key.name}.part"))
        sync_file(part)
        part.rename(places.key)
        sync_directory(places.key.parent)
    marks = MarksPair(places.marks)
    before = marks.read() or Marks()
    marks.write(larger(before, MarksPair(place / "marks").read() or Marks()))
    part = unfinished(places.journal)
    make_directory(part.parent)
    _copy(place / JOURNAL, part)
    finish(places.journal)
    take_place(places.journal)


def _copy(source: Path, target: Path) -> None:
    empty_file(target)
    with source.open("rb") as read, target.open("r+b") as written:
        while chunk := read.read(COPY_BYTES):
            written.write(chunk)


def _put_archive(source: Path, archive: Path) -> None:
    make_directory(archive)
    here, there = _names_in(archive), _names_in(source)
    for digest, name in there.items():
        if here.get(digest) != name:
            part = archive / (name + ".part")
            write_synced(part, (source / name).read_bytes())
            part.rename(archive / name)
    for old, new in _renumbered(here, there):
        (archive / old).rename(archive / new)
    for digest in here.keys() & there.keys():
        if here[digest] != there[digest]:
            (archive / here[digest]).unlink()
    for name in there.values():
        sync_file(archive / name)
    sync_directory(archive)


def _names_in(archive: Path) -> dict[str, str]:
    """The names of an archive's documents, by digest, in the order of arrival."""
    paths = sorted(archive.iterdir()) if archive.is_dir() else []
    return {path.stem.rsplit("-", 1)[-1]: path.name for path in paths if path.suffix == ".jws"}


def _renumbered(here: dict[str, str], there: dict[str, str]) -> list[tuple[str, str]]:
    """Old and new names, so that what only is here comes after all that the backup knows.

    The last comes first: ended in between and done again, the order stays what it was.
    """
    known = max(map(_ordinal, there.values()), default=0)
    only = sorted((name for digest, name in here.items() if digest not in there), key=_ordinal)
    if not only or _ordinal(only[0]) > known:
        return []
    base = max(known, _ordinal(only[-1]))
    new = [f"{base + at:012}-{name.split('-', 1)[1]}" for at, name in enumerate(only, start=1)]
    return [*zip(only, new, strict=True)][::-1]


def _ordinal(name: str) -> int:
    return int(name.split("-", 1)[0])


def _open(path: Path) -> sqlite3.Connection:
    # At rest its log is empty: see `cli_journal`, which has the journal closed before.
    return sqlite3.connect(readable(path), uri=True)


def _expect_whole(database: sqlite3.Connection, source: Path) -> None:
    try:
        damage = check_file(database).damage
    except sqlite3.Error as error:
        damage = str(error)
    if damage:
        raise BackupError(f"{source}: its journal is damaged ({damage}). Take another backup.")


def _last(database: sqlite3.Connection) -> int:
    row = database.execute(LAST).fetchone()
    return 0 if row is None else int(row[0])


def _compared(journal: Path, there: sqlite3.Connection, there_last: int) -> tuple[int, int]:
    """The last record here, and the last that both have."""
    if not journal.exists():
        return 0, 0
    with closing(_open(journal)) as here:
        here_last = _last(here)
        return here_last, _common(here, there, min(here_last, there_last))


def _common(here: sqlite3.Connection, there: sqlite3.Connection, last: int) -> int:
    # A record's chain tells of all before it: they part once, and never meet again. Of records that
    # retention has removed from one of them nothing can be said.
    first = max(_first(here), _first(there))
    if first > last or _chain(here, first) != _chain(there, first):
        return 0
    low, high = first, last
    while low < high:
        middle = (low + high + 1) // 2
        if _chain(here, middle) == _chain(there, middle):
            low = middle
        else:
            high = middle - 1
    return low


def _first(database: sqlite3.Connection) -> int:
    number = database.execute("SELECT min(number) FROM records").fetchone()[0]
    return 1 if number is None else int(number)


def _chain(database: sqlite3.Connection, number: int) -> bytes | None:
    row = database.execute("SELECT chain FROM records WHERE number = ?", (number,)).fetchone()
    return None if row is None else bytes(row[0])


def _side(
    last: int,
    common: int,
    marks: Marks,
    other: Marks,
    files: dict[str, str],
    others: dict[str, str],
) -> Side:
    only: dict[str, int] = {}
    for digest in sorted(files.keys() - others.keys()):
        word = files[digest].split("-", 1)[1].rsplit("-", 1)[0]
        only[word] = only.get(word, 0) + 1
    return Side(
        last=last,
        records_only_here=last - common,
        documents_only_here=only,
        root_seq=marks.root.seq,
        site_seq=marks.site.seq,
        list_seq=marks.list.seq,
        order_seq=marks.order.seq,
        tags_only_here=tuple(tag for tag in marks.tags if tag not in other.tags),
    )
