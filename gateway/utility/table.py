"""Tables from spreadsheets: CSV (RFC 4180) with a header line, read strictly.

Owns where in a file something is wrong: line and column. Must never guess: a table that may be cut
off would take paid homes off the list.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from gateway.core.documents import place_and_mend
from gateway.core.model import Value
from gateway.core.soundness import Unsound
from gateway.utility.files import Mistake, mistake_in, read_whole

T = TypeVar("T")
YES_NO = {"": False, "0": False, "no": False, "false": False, "1": True, "yes": True, "true": True}
_ENTRY = re.compile(r"\b(?:meters|accounts)\[(?P<at>[0-9]+)\](?:\.(?P<column>\w+))?")


class Row(Value):
    """One line of a table: cells by column, empty ones left out."""

    path: Path
    line: int
    cells: dict[str, str]

    def mistake(self, column: str, wrong: str, mend: str) -> Mistake:
        """What is wrong with one cell."""
        return Mistake(f"{self.path}: line {self.line}, column {column}", wrong, mend)

    def number(self, column: str) -> int:
        """A cell that holds a whole number. Raises `Mistake`."""
        text = self.cells[column]
        if not (text.isascii() and text.isdecimal() and len(text) <= 16):
            raise self.mistake(column, f"{text!r} is not a number", "give digits only")
        return int(text)

    def yes_no(self, column: str) -> bool:
        """A cell that holds yes or no; no where it is empty. Raises `Mistake`."""
        text = self.cells.get(column, "")
        if text.lower() not in YES_NO:
            raise self.mistake(column, f"{text!r} is neither yes nor no", "give yes, no or nothing")
        return YES_NO[text.lower()]

    def as_value(self, values: dict[str, object], kind: type[T]) -> T:
        """The row's values as a checked structure of that kind. Raises `Mistake`."""
        try:
            return msgspec.convert(values, kind)
        except msgspec.ValidationError as error:
            column, _, said = place_and_mend(error).partition(": ")
            cell = self.cells.get(column, "")
            place = f"{self.path}: line {self.line}, column {column}: {cell!r}"
            raise mistake_in(place, said, "correct the cell") from error


def read_table(path: Path, needed: tuple[str, ...], optional: tuple[str, ...]) -> list[Row]:
    """The lines of a CSV file whose header names the columns, in any order. Raises `Mistake`."""
    try:
        text = read_whole(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Mistake(path, f"not UTF-8 at byte {error.start}", "save it as UTF-8 CSV") from error
    lines = _lines(path, text)
    line, header = next(lines, (1, []))
    _check_header(path, line, header, needed, optional)
    return [_row(path, line, header, cells, needed) for line, cells in lines]


def place_of(
    rows: list[Row],
    path: Path,
    unsound: Unsound,
    columns: Mapping[str, str],
    other: Path | None = None,
) -> Mistake:
    """What a gateway would refuse, with the line that it is about, or the member of `other`.

    `columns` names the column that a refusal is about where it does not say so itself.
    """

    def line(found: re.Match[str]) -> str:
        return f"line {rows[int(found['at'])].line} of {path.name}"

    where, _, said = unsound.detail.partition(": ")
    said = f"{unsound.name}: {_ENTRY.sub(line, said)}"
    entry = _ENTRY.fullmatch(where)
    if entry is None:
        return mistake_in(f"{other or path}: {where}", said, "correct it")
    place = f"{path}: line {rows[int(entry['at'])].line}"
    column = entry["column"] or columns.get(unsound.name)
    return mistake_in(f"{place}, column {column}" if column else place, said, "correct the table")


def _lines(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        place = f"{path}: line {reader.line_num}"
        raise Mistake(place, f"not CSV ({error})", "close the quotation mark") from error
    if text and not text.endswith("\n"):
        raise Mistake(
            f"{path}: line {reader.line_num}",
            "the last line has no line end, so the file may be cut off",
            "export it again; if it is whole, add a line end",
        )


def _check_header(
    path: Path, line: int, header: list[str], needed: tuple[str, ...], optional: tuple[str, ...]
) -> None:
    place = f"{path}: line {line}"
    mend = f"the header is {','.join(needed + optional)}"
    missing = [name for name in needed if name not in header]
    if missing:
        raise Mistake(place, f"no column {missing[0]}", mend)
    for at, name in enumerate(header):
        if name not in needed + optional:
            raise Mistake(place, f"unknown column {name!r}", mend)
        if name in header[:at]:
            raise Mistake(place, f"column {name} stands twice", mend)


def _row(
    path: Path, line: int, header: list[str], cells: list[str], needed: tuple[str, ...]
) -> Row:
    if len(cells) != len(header):
        raise Mistake(
            f"{path}: line {line}, column {header[min(len(cells), len(header) - 1)]}",
            f"{len(cells)} cells where the header has {len(header)}",
            "complete the line; if it is the last, the file may be cut off: export it again",
        )
    filled = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    row = Row(path=path, line=line, cells={name: cell for name, cell in filled.items() if cell})
    for name in needed:
        if name not in row.cells:
            raise row.mistake(name, "it is empty", "fill the cell")
    return row
