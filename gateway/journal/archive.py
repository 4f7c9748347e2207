"""The archive: every verified document as it arrived, a file each, in the order of arrival.

Owns the names of the files and how many are kept. Must never judge a document: each is signed, and
passes the one door again whenever it is taken out.

They are the truth of which the journal's tables are a cache (design 2), so they lie beside it as
plain files: what the journal's file loses they keep, and `utility verify` reads each of them.
"""

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from gateway.core.model import Digest
from gateway.core.signature import DocumentType, Rejected, claimed_by, digest_of, tokens_of
from gateway.journal.files import make_directory, sync_directory, write_all_synced
from gateway.journal.limits import JournalSettings
from gateway.journal.trouble import named_errors
from gateway.ports import ArchivedDocument

logger = logging.getLogger(__name__)

NAMED_MAX = 5
"""Files that one line of the log names."""
_ADDS = "list-adds"
_WORDS = {
    DocumentType.ROOT: "root",
    DocumentType.SITE: "site",
    DocumentType.LIST: "list",
    DocumentType.RECEIPT: "receipt",
    DocumentType.ORDER: "order",
    DocumentType.TIME: "time",
}
_TYPES = {word: kind for kind, word in _WORDS.items()} | {_ADDS: DocumentType.LIST}
_NAME = re.compile(rf"([0-9]{{12}})-({'|'.join(_TYPES)})-([0-9a-f]{{64}})\.jws")
_OF_THEIR_MINUTE = frozenset({_WORDS[DocumentType.ORDER], _WORDS[DocumentType.TIME]})
_PART = ".part"
_OF_MANY = frozenset({DocumentType.RECEIPT, DocumentType.TIME})


@dataclass(frozen=True, slots=True)
class _Entry:
    """One file: the how many-th it is, the word of its type, what it is known by."""

    ordinal: int
    word: str
    digest: Digest

    @property
    def name(self) -> str:
        return f"{self.ordinal:012}-{self.word}-{self.digest}.jws"

    @property
    def counted_as(self) -> DocumentType:
        kind = _TYPES[self.word]
        return DocumentType.RECEIPT if kind is DocumentType.ORDER else kind


class Archive:
    """The files of one directory. Every call may wait for the disk."""

    def __init__(self, directory: Path, limits: JournalSettings | None = None) -> None:
        """Nothing is read here: see `open`. `limits`: how many files of a type are kept."""
        self._directory = directory
        self._limits = limits or JournalSettings()
        self._entries: dict[DocumentType, dict[Digest, _Entry]] = {}
        self._by_digest: dict[Digest, _Entry] = {}
        self._surplus: list[_Entry] = []
        self._last = 0

    def open(self, *, writable: bool = True) -> None:
        """Make the directory or look what is in it, and remove what was never finished.

        Where it is not `writable`, it is only looked at. Raises `JournalError`.
        """
        self._entries = {kind: {} for kind in _WORDS if kind is not DocumentType.ORDER}
        self._by_digest.clear()
        self._surplus.clear()
        with named_errors(self._directory):
            if writable:
                make_directory(self._directory)
            there = self._directory.is_dir()
            names = sorted(path.name for path in self._directory.iterdir()) if there else []
            for name in names:
                if found := _NAME.fullmatch(name):
                    self._add(_Entry(int(found[1]), found[2], Digest(found[3])))
                elif name.endswith(_PART) and writable:
                    (self._directory / name).unlink()
            if writable:
                # Who was killed in `keep` may have left a name that is not on the disk yet.
                sync_directory(self._directory)

    def __len__(self) -> int:
        """How many documents are kept."""
        return len(self._by_digest)

    def __contains__(self, digest: object) -> bool:
        """Whether a document is kept, as far as the names of the files say."""
        return digest in self._by_digest

    def keep(self, documents: Sequence[ArchivedDocument]) -> None:
        """Write those that are not there; on return they are on the disk. Raises `JournalError`.

        A list that is there, and comes as one that adds only because it had not come into force,
        is written once more: it has to be taken up as it was.
        """
        new = {document.digest: document for document in documents if self._is_new(document)}
        if not new:
            return
        with named_errors(self._directory):
            entries = [
                _Entry(self._last + at, _word_of(document), document.digest)
                for at, document in enumerate(new.values(), start=1)
            ]
            parts = [self._directory / _written_as(entry) for entry in entries]
            raws = (document.raw for document in new.values())
            write_all_synced(self._directory, dict(zip(parts, raws, strict=True)))
            for entry, part in zip(entries, parts, strict=True):
                if part.name != entry.name:
                    part.rename(self._directory / entry.name)
                self._add(entry)
            sync_directory(self._directory)

    def prune(self) -> None:
        """Remove the files that are no longer needed to make the journal anew.

        Raises `JournalError`.
        """
        for kind, entries in self._entries.items():
            for entry in _old_ones(kind, entries, self._limits.files_max(kind)):
                self._forget(entry)
                self._surplus.append(entry)
        with named_errors(self._directory):
            while self._surplus:
                (self._directory / self._surplus[-1].name).unlink(missing_ok=True)
                self._surplus.pop()

    def forget_before(self, digest: Digest) -> None:
        """Remove the file of every document before this one, but for roots. Raises `JournalError`.

        Oldest first: what is left by a power cut never lacks what came after it. Where this one
        has no file, nothing is removed.
        """
        until = self._by_digest.get(digest)
        if until is None:
            return
        entries = sorted(self._by_digest.values(), key=lambda entry: entry.ordinal)
        with named_errors(self._directory):
            for entry in (*self._surplus, *entries):
                if entry.ordinal >= until.ordinal or entry.counted_as is DocumentType.ROOT:
                    continue
                (self._directory / entry.name).unlink(missing_ok=True)
                if self._by_digest.get(entry.digest) is entry:
                    self._forget(entry)
            sync_directory(self._directory)

    def read(self, digests: Iterable[str]) -> dict[str, ArchivedDocument]:
        """Those documents, as far as they are readable."""
        entries = [self._by_digest[Digest(one)] for one in digests if one in self._by_digest]
        return {document.digest: document for document in self._read(entries)}

    @property
    def last(self) -> int:
        """The ordinal of the document that came last."""
        return self._last

    def read_after(self, ordinal: int) -> tuple[ArchivedDocument, ...]:
        """The readable documents that came after that one, in the order of arrival.

        Without orders and times, which are of their minute: whoever had no answer says them again.
        """
        entries = sorted(self._by_digest.values(), key=lambda entry: entry.ordinal)
        late = [entry for entry in entries if entry.ordinal > ordinal]
        return tuple(self._read([one for one in late if one.word not in _OF_THEIR_MINUTE]))

    def read_all(self) -> tuple[ArchivedDocument, ...]:
        """Every readable document, in the order of arrival."""
        entries = sorted(self._by_digest.values(), key=lambda entry: entry.ordinal)
        return tuple(self._read(entries))

    def _is_new(self, document: ArchivedDocument) -> bool:
        known = self._by_digest.get(document.digest)
        if known is None or known.word != _word_of(document):
            return True
        # The name tells of the payload alone: the signature beside it may be damaged.
        return _raw_of(self._directory / known.name, known.digest) != document.raw

    def _add(self, entry: _Entry) -> None:
        before = self._by_digest.get(entry.digest)
        if before is not None:
            self._forget(before)
            self._surplus.append(before)
        self._by_digest[entry.digest] = entry
        self._entries[entry.counted_as][entry.digest] = entry
        self._last = entry.ordinal

    def _forget(self, entry: _Entry) -> None:
        del self._by_digest[entry.digest]
        del self._entries[entry.counted_as][entry.digest]

    def _read(self, entries: list[_Entry]) -> Iterator[ArchivedDocument]:
        bad: list[str] = []
        for entry in entries:
            raw = _raw_of(self._directory / entry.name, entry.digest)
            if raw is None:
                bad.append(entry.name)
                self._forget(entry)  # it is written anew when it comes again
                continue
            yield ArchivedDocument(
                digest=entry.digest, type=_TYPES[entry.word], raw=raw, adds=entry.word == _ADDS
            )
        if bad:
            logger.warning(
                "%s: %d files are not what their names say and are left out: %s",
                self._directory,
                len(bad),
                ", ".join(bad[:NAMED_MAX]),
            )


def _written_as(entry: _Entry) -> str:
    # A file that a power cut tears must not count as the newest of its type, for which older ones
    # are removed. One of many may be torn: it is left out, and its name spares the disk a rename.
    return entry.name if entry.counted_as in _OF_MANY else entry.name + _PART


def _word_of(document: ArchivedDocument) -> str:
    return _ADDS if document.adds else _WORDS[document.type]


def _old_ones(
    kind: DocumentType, entries: dict[Digest, _Entry], files_max: int | None
) -> list[_Entry]:
    """Of one type, in the order of arrival, those that nothing is made of any more."""
    before: list[_Entry] = []
    base = 0
    if kind is DocumentType.LIST:
        # What came before a list that says who is off counts no more; what came after adds to it.
        lists = [*entries.values()]
        whole = [at for at, entry in enumerate(lists) if entry.word != _ADDS]
        if whole:
            before, base = lists[: whole[-1]], 1
    first = len(before) + base
    over = 0 if files_max is None else len(entries) - len(before) - files_max
    return [*before, *islice(entries.values(), first, first + max(0, over))]


def _raw_of(path: Path, digest: Digest) -> bytes | None:
    """What is in a file; None where it cannot be read, or its payload is not the one of its name.

    A damaged file must not stand against the others.
    """
    try:
        raw = path.read_bytes()
        payload = claimed_by(tokens_of(raw)[0]).payload
    except (OSError, Rejected):
        return None
    return raw if digest_of(payload) == digest else None
