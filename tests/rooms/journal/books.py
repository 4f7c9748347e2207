"""What the tests of the journal write down: records, documents, and journals that are closed."""

import contextlib
import resource
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from gateway.core.fact import Road
from gateway.core.model import Now
from gateway.core.records import (
    CHAIN_START,
    Body,
    ListInstalled,
    Started,
    Stored,
    record_of,
    store,
)
from gateway.core.signature import DocumentType, digest_of
from gateway.journal.limits import JournalSettings
from gateway.journal.sqlite import SqliteJournal
from gateway.ports import ArchivedDocument, Loaded
from tests.signing import KEYS, envelope

NOW = Now(mono_ms=7, boot="boot", wall_ms=9, wall_low_ms=8)
CHECKOUT = Path(__file__).parents[3]
WRITER = (sys.executable, "-m", "tests.rooms.journal.writer")
"""A daemon that writes for ever, to be started in CHECKOUT."""


def chained(
    count: int, after: Stored | None = None, body: Body | None = None
) -> tuple[Stored, ...]:
    """So many records that continue the chain."""
    records: list[Stored] = []
    number, chain = (0, CHAIN_START) if after is None else (after.number, after.chain)
    for at in range(number + 1, number + count + 1):
        given = Started(version=f"{at}") if body is None else body
        records.append(store(record_of(at, given, NOW), chain))
        chain = records[-1].chain
    return tuple(records)


@contextlib.asynccontextmanager
async def opened(
    path: Path,
    *,
    archive_directory: Path | None = None,
    marks_directory: Path | None = None,
    commissioned: bool = False,
    limits: JournalSettings | None = None,
) -> AsyncIterator[SqliteJournal]:
    journal = await SqliteJournal.open(
        path,
        archive_directory=archive_directory,
        marks_directory=marks_directory,
        commissioned=commissioned,
        limits=limits,
    )
    try:
        yield journal
    finally:
        await journal.close()


async def reopened(path: Path, *, commissioned: bool = False) -> Loaded:
    async with opened(path, commissioned=commissioned) as journal:
        return await journal.load()


def document(
    kind: DocumentType, content: object, *, adds: bool = False, size: int = 0
) -> ArchivedDocument:
    """A document of a type as it came: the envelope is real, what it says is nothing."""
    payload = f'{{"content":"{content}","long":"{"x" * size}"}}'.encode()
    raw = envelope({"alg": "Ed25519", "kid": "k", "typ": kind}, payload, KEYS.list)
    return ArchivedDocument(digest=digest_of(payload), type=kind, raw=raw, adds=adds)


def listed(document: ArchivedDocument, after: Stored | None = None) -> tuple[Stored, ...]:
    """The record of a list, which continues the chain."""
    body = ListInstalled(
        seq=1, digest=document.digest, signer="l", road=Road.MQTT, as_of=1, entries=0
    )
    return chained(1, after, body)


@contextlib.contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """A disk on which no file of this process grows any larger (setrlimit(2))."""
    no_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, no_limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, no_limit)


def names(directory: Path) -> list[str]:
    """What is in a directory."""
    return sorted(path.name for path in directory.iterdir())
