"""What the head end has collected: every record of every gateway, once, in order.

Owns the head end's SQLite file. Must never take a record whose predecessor it does not hold, nor
one that does not continue the chain: what is acknowledged from here is cleared over there.

A gateway whose journal was lost, or put back from an old card, begins another life: its records
part from those that are held where one of its processes began. Both lives are kept; the newest is
the one that goes on.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import msgspec

from gateway.core.model import GatewayId, Value
from gateway.core.records import CHAIN_START, chain_hash
from gateway.headend.messages import RecordsBatch

_Result = TypeVar("_Result")

SCHEMA = """
CREATE TABLE IF NOT EXISTS record (
    gateway TEXT NOT NULL,
    life INTEGER NOT NULL,
    number INTEGER NOT NULL,
    chain BLOB NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (gateway, life, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gateway (
    id TEXT PRIMARY KEY,
    life INTEGER NOT NULL DEFAULT 1,
    duplicates INTEGER NOT NULL DEFAULT 0,
    gaps INTEGER NOT NULL DEFAULT 0,
    refused INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
-- The records of the life that goes on.
CREATE VIEW IF NOT EXISTS newest AS
    SELECT record.* FROM record JOIN gateway
    ON gateway.id = record.gateway AND gateway.life = record.life;
"""


BEGINNINGS = frozenset({"started", "journal_lost", "marks_ahead"})
"""The kinds of record with which a process begins: only there another life may part."""


class BatchRefusal(StrEnum):
    """Why a batch was not taken."""

    GAP = "GAP"
    """Records before it are missing; the gateway will send them again."""
    CHAIN_MISMATCH = "CHAIN_MISMATCH"
    """It does not continue, or contradicts, what is held."""
    WRONG_NUMBER = "WRONG_NUMBER"
    """A record does not bear the number of its place."""
    WRONG_GATEWAY = "WRONG_GATEWAY"
    """It was sent on another gateway's topic."""


class Position(Value):
    """The last record held of a gateway, and its chain hash."""

    through: int
    chain: bytes


class Taken(Value):
    """What became of one batch, and where the gateway stands afterwards."""

    position: Position
    new: int = 0
    duplicates: int = 0
    refusal: BatchRefusal | None = None
    parted_after: int | None = None
    """Another life began after that record: the journal was lost, or an old one put back."""


class Counts(Value):
    """Of one gateway: records written, records received again, batches refused."""

    written: int
    duplicates: int
    gaps: int
    refused: int
    lives: int = 1


class _Kind(msgspec.Struct, frozen=True):
    type: str


class _Numbered(msgspec.Struct, frozen=True):
    # No more is read: a head end must keep records of kinds that it does not know yet.
    number: int
    body: _Kind


class Collected:
    """The open file; belongs to the one thread that opened it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> "Collected":
        """Open or make the file. Raises `sqlite3.Error`."""
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(SCHEMA)
        return cls(connection)

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def take(self, gateway: GatewayId, batch: RecordsBatch) -> Taken:
        """Store what is new of a batch, durably; all of it or nothing. Raises `sqlite3.Error`."""
        with self._transaction():
            taken = self._judge(gateway, batch)
            self._count(
                gateway,
                duplicates=taken.duplicates,
                gaps=taken.refusal is BatchRefusal.GAP,
                refused=taken.refusal not in {None, BatchRefusal.GAP},
            )
        return taken

    def refuse(self, gateway: GatewayId) -> None:
        """Count a message that was no batch at all."""
        with self._transaction():
            self._count(gateway, refused=1)

    def position(self, gateway: GatewayId) -> Position:
        """How far the records of a gateway are held. Raises `sqlite3.Error`."""
        row = self._connection.execute(
            "SELECT number, chain FROM record WHERE gateway = ? AND life = ?"
            " ORDER BY number DESC LIMIT 1",
            (gateway, self._life(gateway)),
        ).fetchone()
        if row is None:
            return Position(through=0, chain=CHAIN_START)
        return Position(through=row[0], chain=row[1])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def _judge(self, gateway: GatewayId, batch: RecordsBatch) -> Taken:
        held = self.position(gateway)
        if batch.gateway != gateway:
            return Taken(position=held, refusal=BatchRefusal.WRONG_GATEWAY)
        if batch.first > held.through + 1:
            return Taken(position=held, refusal=BatchRefusal.GAP)
        chain = bytes.fromhex(batch.prev)
        if chain != self._chain(gateway, batch.first - 1):
            return Taken(position=held, refusal=BatchRefusal.CHAIN_MISMATCH)
        rows: list[tuple[int, bytes, bytes]] = []
        parted_after: int | None = None
        for number, raw in enumerate(batch.records, batch.first):
            content = bytes(raw)
            chain = chain_hash(chain, content)
            said = _said(content)
            if said is None or said.number != number:
                return Taken(position=held, refusal=BatchRefusal.WRONG_NUMBER)
            known = number <= held.through and parted_after is None
            if known and chain == self._chain(gateway, number):
                continue
            if known and said.body.type not in BEGINNINGS:
                return Taken(position=held, refusal=BatchRefusal.CHAIN_MISMATCH)
            if known:
                parted_after = number - 1
            rows.append((number, chain, content))
        if parted_after is not None:
            self._part(gateway, parted_after)
        life = self._life(gateway)
        self._connection.executemany(
            "INSERT INTO record VALUES (?, ?, ?, ?, ?)", [(gateway, life, *row) for row in rows]
        )
        return Taken(
            position=Position(through=rows[-1][0], chain=rows[-1][1]) if rows else held,
            new=len(rows),
            duplicates=len(batch.records) - len(rows),
            parted_after=parted_after,
        )

    def _part(self, gateway: GatewayId, after: int) -> None:
        # The life before stays as it is: what it says was acknowledged once.
        life = self._life(gateway)
        self._connection.execute(
            "INSERT INTO record SELECT gateway, life + 1, number, chain, content FROM record"
            " WHERE gateway = ? AND life = ? AND number <= ?",
            (gateway, life, after),
        )
        self._connection.execute("INSERT OR IGNORE INTO gateway (id) VALUES (?)", (gateway,))
        self._connection.execute("UPDATE gateway SET life = life + 1 WHERE id = ?", (gateway,))

    def _life(self, gateway: GatewayId) -> int:
        row = self._connection.execute(
            "SELECT life FROM gateway WHERE id = ?", (gateway,)
        ).fetchone()
        return 1 if row is None else int(row[0])

    def _chain(self, gateway: GatewayId, number: int) -> bytes | None:
        if number == 0:
            return CHAIN_START
        row = self._connection.execute(
            "SELECT chain FROM record WHERE gateway = ? AND life = ? AND number = ?",
            (gateway, self._life(gateway), number),
        ).fetchone()
        return None if row is None else bytes(row[0])

    def _count(
        self, gateway: GatewayId, *, duplicates: int = 0, gaps: int = 0, refused: int = 0
    ) -> None:
        self._connection.execute("INSERT OR IGNORE INTO gateway (id) VALUES (?)", (gateway,))
        self._connection.execute(
            "UPDATE gateway SET duplicates = duplicates + ?, gaps = gaps + ?,"
            " refused = refused + ? WHERE id = ?",
            (duplicates, gaps, refused, gateway),
        )


class Keeper:
    """The file on a thread of its own, for the event loop."""

    def __init__(self, thread: ThreadPoolExecutor, file: Collected) -> None:
        self._thread = thread
        self._file = file

    @classmethod
    @asynccontextmanager
    async def opened(cls, path: Path) -> AsyncIterator["Keeper"]:
        """Open the file for a while. Raises `sqlite3.Error`."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="collected") as thread:
            file = await loop.run_in_executor(thread, Collected.open, path)
            try:
                yield cls(thread, file)
            finally:
                await loop.run_in_executor(thread, file.close)

    async def do(self, work: Callable[[Collected], _Result]) -> _Result:
        """Have something done with the file. Raises what that raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, self._file)


def contents_of(path: Path, gateway: str) -> tuple[bytes, ...]:
    """The canonical bytes of a gateway's records, in order. Raises `sqlite3.Error`."""
    with closing(_reading(path)) as connection:
        rows = connection.execute(
            "SELECT content FROM newest WHERE gateway = ? ORDER BY number", (gateway,)
        )
        return tuple(bytes(content) for (content,) in rows)


def counts_of(path: Path, gateway: str) -> Counts:
    """How many records of a gateway are held, and what else came. Raises `sqlite3.Error`."""
    with closing(_reading(path)) as connection:
        (written,) = connection.execute(
            "SELECT count(*) FROM newest WHERE gateway = ?", (gateway,)
        ).fetchone()
        row = connection.execute(
            "SELECT duplicates, gaps, refused, life FROM gateway WHERE id = ?", (gateway,)
        ).fetchone()
    duplicates, gaps, refused, lives = row or (0, 0, 0, 1)
    return Counts(written=written, duplicates=duplicates, gaps=gaps, refused=refused, lives=lives)


def _reading(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def _said(content: bytes) -> _Numbered | None:
    try:
        return msgspec.json.decode(content, type=_Numbered)
    except msgspec.DecodeError:
        return None
