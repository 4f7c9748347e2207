"""The journal over SQLite: one connection, and one task that alone uses it.

Owns the transactions. Must never be cancelled inside one, nor mix two callers' statements:
aiosqlite runs a statement whose caller was cancelled all the same, and the statements of two tasks
on one connection fall into one transaction. So callers hand a request over and await a shielded
answer.

Implements `ports.Journal`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self, TypeVar

import aiosqlite
import msgspec

from gateway.core.model import Digest
from gateway.core.records import (
    CHAIN_START,
    ListInstalled,
    ReceiptAccepted,
    SiteInstalled,
    Stored,
    chain_hash,
    read_record,
)
from gateway.core.signature import DocumentType
from gateway.journal.opening import open_database
from gateway.journal.trouble import JournalError, Trouble, named_errors
from gateway.ports import ArchivedDocument, Batch, Loaded

__all__ = ["JournalError", "SqliteJournal"]

T = TypeVar("T")
Work = Callable[[aiosqlite.Connection], Awaitable[T]]


@dataclass(frozen=True, slots=True)
class _Request:
    work: Work[Any]
    done: asyncio.Future[Any]


class SqliteJournal:
    """The durable truth, in one file that this process has to itself."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened here: see `open`."""
        self._path = path
        self._requests: asyncio.Queue[_Request | None] = asyncio.Queue()
        self._owner: asyncio.Task[None] | None = None
        self._number = 0
        self._chain = CHAIN_START
        self._acked_through = 0

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open the file at `path`, or make it with mode 0600. Raises `JournalError`."""
        journal = cls(path)
        database = await open_database(path)
        try:
            with named_errors(path):
                await journal._read_position(database)
        except BaseException:
            await database.close()
            raise
        journal._owner = asyncio.create_task(journal._own(database), name="journal")
        return journal

    async def load(self) -> Loaded:
        """The newest checkpoint, the records after it and the documents that these name.

        Raises `JournalError`: CORRUPT where a record does not continue the chain.
        """
        return await self._ask(self._load)

    async def commit(self, batch: Batch) -> None:
        """Write a batch in one transaction; returns when it is on disk.

        Raises `JournalError`: DISCONTINUOUS where the batch does not continue what is written down.
        """
        await self._ask(lambda database: self._commit(database, batch))

    async def records_after(self, number: int, bytes_max: int) -> tuple[Stored, ...]:
        """Records numbered above `number`, oldest first, up to `bytes_max` (at least one)."""
        return await self._ask(lambda database: _records_after(database, number, bytes_max))

    async def chain_at(self, number: int) -> bytes | None:
        """The chain hash of a record (of 0: 32 zero bytes); None where there is no such record."""
        return await self._ask(lambda database: _chain_at(database, number))

    async def close(self) -> None:
        """Finish what was begun and release the file. Closing again changes nothing."""
        if self._owner is not None:
            self._requests.put_nowait(None)
            await asyncio.shield(self._owner)

    async def _ask(self, work: Work[T]) -> T:
        if self._owner is None or self._owner.done():
            raise self._error(Trouble.CLOSED, "it was closed")
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._requests.put_nowait(_Request(work=work, done=done))
        # A caller that is cancelled stops waiting; its statement runs to its end all the same.
        return await asyncio.shield(done)

    async def _own(self, database: aiosqlite.Connection) -> None:
        try:
            while (request := await self._requests.get()) is not None:
                await self._serve(request, database)
        finally:
            await database.close()
            while not self._requests.empty():
                late = self._requests.get_nowait()
                if late is not None:
                    late.done.set_exception(self._error(Trouble.CLOSED, "it was closed"))

    async def _serve(self, request: _Request, database: aiosqlite.Connection) -> None:
        try:
            with named_errors(self._path):
                request.done.set_result(await request.work(database))
        except asyncio.CancelledError:
            request.done.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - it is the caller's, who gets it
            request.done.set_exception(error)

    async def _read_position(self, database: aiosqlite.Connection) -> None:
        for row in await database.execute_fetchall(
            "SELECT number, chain FROM records ORDER BY number DESC LIMIT 1"
        ):
            self._number, self._chain = row
        (row,) = await database.execute_fetchall("SELECT acked_through FROM meta")
        self._acked_through = row[0]

    async def _commit(self, database: aiosqlite.Connection, batch: Batch) -> None:
        if batch == Batch():
            return
        number, chain = self._continued(batch)
        acked_through = self._acked_through if batch.acked_through is None else batch.acked_through
        if not self._acked_through <= acked_through <= number:
            self._refuse(f"acknowledged {acked_through} of {number}, {self._acked_through} before")
        async with _transaction(database):
            await database.executemany(
                "INSERT INTO records (number, chain, content) VALUES (?, ?, ?)",
                [(record.number, record.chain, record.content) for record in batch.records],
            )
            await database.executemany(
                "INSERT INTO documents (digest, type, raw) VALUES (?, ?, ?)"
                " ON CONFLICT (digest) DO NOTHING",
                [(document.digest, document.type, document.raw) for document in batch.documents],
            )
            if batch.checkpoint is not None:
                await database.execute("DELETE FROM checkpoints")
                await database.execute(
                    "INSERT INTO checkpoints (number, content) VALUES (?, ?)",
                    (number, batch.checkpoint),
                )
            if acked_through != self._acked_through:
                await database.execute("UPDATE meta SET acked_through = ?", (acked_through,))
        self._number, self._chain, self._acked_through = number, chain, acked_through

    def _continued(self, batch: Batch) -> tuple[int, bytes]:
        number, chain = self._number, self._chain
        for record in batch.records:
            if record.number != number + 1:
                self._refuse(f"record {record.number} after record {number}")
            if record.chain != chain_hash(chain, record.content):
                self._refuse(f"the chain of record {record.number} does not continue")
            number, chain = record.number, record.chain
        return number, chain

    async def _load(self, database: aiosqlite.Connection) -> Loaded:
        checkpoint, number = None, 0
        for row in await database.execute_fetchall("SELECT number, content FROM checkpoints"):
            number, checkpoint = row
        chain = await _chain_at(database, number)
        if chain is None:
            raise self._error(Trouble.CORRUPT, f"a checkpoint after record {number}, which is not")
        records = []
        for row in await database.execute_fetchall(
            "SELECT number, chain, content FROM records WHERE number > ? ORDER BY number", (number,)
        ):
            record = Stored(number=row[0], chain=row[1], content=row[2])
            number += 1
            if record.number != number or record.chain != chain_hash(chain, record.content):
                raise self._error(Trouble.CORRUPT, f"the chain breaks at record {number}")
            chain = record.chain
            records.append(record)
        return Loaded(
            checkpoint=checkpoint,
            records=tuple(records),
            documents=await self._documents_of(database, records),
            number=number,
            chain=chain,
            acked_through=self._acked_through,
        )

    async def _documents_of(
        self, database: aiosqlite.Connection, records: list[Stored]
    ) -> dict[str, ArchivedDocument]:
        # What they say is not checked here: each is signed, and passes the one door again.
        try:
            bodies = [read_record(record.content).body for record in records]
        except msgspec.DecodeError as error:
            raise self._error(Trouble.CORRUPT, f"a record cannot be read ({error})") from error
        digests = [
            body.digest
            for body in bodies
            if isinstance(body, SiteInstalled | ListInstalled | ReceiptAccepted)
        ]
        rows = await database.execute_fetchall(
            "SELECT digest, type, raw FROM documents"
            " WHERE digest IN (SELECT value FROM json_each(?))",
            (msgspec.json.encode(digests).decode(),),
        )
        return {
            digest: ArchivedDocument(digest=Digest(digest), type=DocumentType(kind), raw=raw)
            for digest, kind, raw in rows
        }

    def _refuse(self, detail: str) -> NoReturn:
        raise self._error(Trouble.DISCONTINUOUS, detail)

    def _error(self, trouble: Trouble, detail: str) -> JournalError:
        return JournalError(trouble, self._path, detail)


@asynccontextmanager
async def _transaction(database: aiosqlite.Connection) -> AsyncIterator[None]:
    await database.execute("BEGIN IMMEDIATE")
    try:
        yield
        await database.execute("COMMIT")
    except Exception:
        # SQLite has rolled back by itself after a full disk or an I/O error.
        if database.in_transaction:
            await database.execute("ROLLBACK")
        raise


async def _records_after(
    database: aiosqlite.Connection, number: int, bytes_max: int
) -> tuple[Stored, ...]:
    records: list[Stored] = []
    size = 0
    async with database.execute(
        "SELECT number, chain, content FROM records WHERE number > ? ORDER BY number", (number,)
    ) as cursor:
        async for row in cursor:
            record = Stored(number=row[0], chain=row[1], content=row[2])
            size += len(record.chain) + len(record.content)
            if records and size > bytes_max:
                break
            records.append(record)
    return tuple(records)


async def _chain_at(database: aiosqlite.Connection, number: int) -> bytes | None:
    if number == 0:
        return CHAIN_START
    for row in await database.execute_fetchall(
        "SELECT chain FROM records WHERE number = ?", (number,)
    ):
        return bytes(row[0])
    return None
