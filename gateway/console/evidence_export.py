"""Exporting: records, the documents that they name, and the gateway's signature under all of it.

Owns the asking for these and the file that they go into. Must never put down what is not one
unbroken chain, leave a half-written file under the name that was asked for, nor write over one.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO

import click
import msgspec

from gateway.console.asking import ask_at, records_at
from gateway.console.chain import BrokenChain, Follower
from gateway.console.evidence_file import DocumentLine, Line, Named, SealLine, named_by
from gateway.console.local import (
    DOCUMENTS_BYTES_MAX,
    DOCUMENTS_MAX,
    AskCheckpoint,
    AskDocuments,
    RecordLine,
)
from gateway.core.device import claimed_checkpoint
from gateway.core.model import Digest, Value
from gateway.core.records import Record
from gateway.core.signature import (
    LENGTH_MAX,
    DocumentType,
    claimed_by,
    strict_json,
    tokens_of,
)

PAGE = 1_000
"""Records whose documents are asked for together."""


class Exported(Value):
    """What was written: records `first` to `last`, and so many documents."""

    file: str
    bytes: int
    first: int
    last: int
    chain: str
    documents: int
    missing: int
    """Documents that the archive does not hold any more."""
    withheld: int
    """Site documents that say what PINs are checked against."""


def export_at(
    socket: Path, path: Path, *, with_pins: bool, progress: Callable[[int], None]
) -> Exported:
    """Write everything that the daemon's journal proves into a new file of mode 0600.

    Raises `click.ClickException`, and `BrokenChain` where the journal is none.
    """
    seal = ask_at(socket, AskCheckpoint()).checkpoint
    if path.exists():
        raise click.ClickException(f"{path}: it is there already. Name a new file.")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(number, "wb") as file:
                told = _Export(socket, file, with_pins=with_pins).write(seal, progress)
                file.flush()
                os.fsync(number)
            part.replace(path)
            _sync_directory(path.parent)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise click.ClickException(
            f"{path}: {error.strerror}. Check directory, room and rights."
        ) from error
    return msgspec.structs.replace(told, file=str(path), bytes=path.stat().st_size)


class _Export:
    """One file on its way."""

    def __init__(self, socket: Path, file: IO[bytes], *, with_pins: bool) -> None:
        self._socket = socket
        self._file = file
        self._with_pins = with_pins
        self._follower = Follower()
        self._asked: set[Digest] = set()
        self._documents = self._missing = self._withheld = 0

    def write(self, seal: str, progress: Callable[[int], None]) -> Exported:
        """Everything up to the record that the seal names."""
        said = claimed_checkpoint(seal.encode())
        first: int | None = None
        records = self._records_through(said.number)
        while page := list(islice(records, PAGE)):
            first = page[0][0].number if first is None else first
            for lot in _lots(self._unasked(record for record, _ in page)):
                self._put_documents(lot)
            for record, line in page:
                self._put(line)
                progress(record.number)
        chain = b"" if self._follower.chain is None else self._follower.chain
        if first is None or (self._follower.last, chain.hex()) != (said.number, said.chain):
            raise BrokenChain(f"the chain is not the one that is signed up to record {said.number}")
        self._put(SealLine(seal=seal))
        return Exported(
            file="",
            bytes=0,
            first=first,
            last=said.number,
            chain=said.chain,
            documents=self._documents,
            missing=self._missing,
            withheld=self._withheld,
        )

    def _records_through(self, number: int) -> Iterator[tuple[Record, RecordLine]]:
        for line in records_at(self._socket, 0):
            record, _ = self._follower.take(line)
            yield record, line
            if record.number >= number:
                return

    def _unasked(self, records: Iterable[Record]) -> Iterator[Named]:
        for record in records:
            named = named_by(record.body)
            if named is not None and named.digest not in self._asked:
                self._asked.add(named.digest)
                yield named

    def _put_documents(self, lot: tuple[Digest, ...]) -> None:
        found = ask_at(self._socket, AskDocuments(digests=lot)).documents or ()
        self._missing += len(lot) - len(found)
        for document in found:
            if _says_pins(document) and not self._with_pins:
                self._withheld += 1
                continue
            self._documents += 1
            self._put(DocumentLine(document=document))

    def _put(self, line: Line) -> None:
        self._file.write(msgspec.json.encode(line) + b"\n")


def _lots(named: Iterable[Named]) -> Iterator[tuple[Digest, ...]]:
    """As many as one answer holds, however long each of them is."""
    lot: list[Digest] = []
    size = 0
    for one in named:
        length = LENGTH_MAX[one.type or DocumentType.LIST]
        if lot and (len(lot) == DOCUMENTS_MAX or size + length > DOCUMENTS_BYTES_MAX):
            yield tuple(lot)
            lot, size = [], 0
        lot.append(one.digest)
        size += length
    if lot:
        yield tuple(lot)


def _says_pins(document: str) -> bool:
    claimed = claimed_by(tokens_of(document.encode())[0])
    if claimed.type != DocumentType.SITE:
        return False
    return bool(strict_json(claimed.payload).get("technicians"))


def _sync_directory(path: Path) -> None:
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def exported_lines(told: Exported) -> Iterator[str]:
    """What was written, in words."""
    yield (
        f"{told.file}: {told.bytes} bytes, records {told.first} to {told.last}, "
        f"{told.documents} documents, signed by the gateway; chain {told.chain}"
    )
    if told.missing:
        yield f"{told.missing} documents are left out: the archive does not keep them any more"
    if told.withheld:
        yield (
            f"{told.withheld} site documents are left out: they say what technicians' PINs are "
            "checked against; --with-pins"
        )
