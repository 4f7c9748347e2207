"""The head end's tables, and what both databases are asked in the same words.

Owns the SQL: it is what SQLite and PostgreSQL both understand, `?` standing for a value. Must never
begin or end a transaction: whoever opened the database does.
"""

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from gateway.core.model import GatewayId
from gateway.core.records import CHAIN_START
from gateway.headend.messages import RecordsBatch, read_records
from gateway.utility.collected import ASIDE_MAX, Counts, Lost, Position, Row

TABLES = """
CREATE TABLE IF NOT EXISTS record (
    gateway TEXT NOT NULL,
    life INTEGER NOT NULL,
    number BIGINT NOT NULL,
    chain {bytes} NOT NULL,
    content {bytes} NOT NULL,
    PRIMARY KEY (gateway, life, number)
) {without_rowid};
CREATE TABLE IF NOT EXISTS gateway (
    id TEXT PRIMARY KEY,
    life INTEGER NOT NULL DEFAULT 1,
    duplicates BIGINT NOT NULL DEFAULT 0,
    gaps BIGINT NOT NULL DEFAULT 0,
    refused BIGINT NOT NULL DEFAULT 0
) {without_rowid};
-- Batches that came before their turn.
CREATE TABLE IF NOT EXISTS aside (
    gateway TEXT NOT NULL,
    first BIGINT NOT NULL,
    last BIGINT NOT NULL,
    batch {bytes} NOT NULL,
    PRIMARY KEY (gateway, first)
) {without_rowid};
-- Records that another database had acknowledged; chain is the hash of the last of them.
CREATE TABLE IF NOT EXISTS lost (
    gateway TEXT NOT NULL,
    life INTEGER NOT NULL,
    first BIGINT NOT NULL,
    through BIGINT NOT NULL,
    chain {bytes} NOT NULL,
    PRIMARY KEY (gateway, life, through)
) {without_rowid};
"""
VIEW = """
-- The records of the life that goes on.
CREATE {or_replace} VIEW {if_not_exists} newest AS
    SELECT record.* FROM record JOIN gateway
    ON gateway.id = record.gateway AND gateway.life = record.life;
"""

Execute = Callable[[str, Sequence[object]], Sequence[Sequence[Any]]]
"""Runs one statement with its values; gives the rows that it answers with."""
AddRows = Callable[[str, int, Sequence[Row]], None]
"""Stores records of a gateway's life, as fast as the database can."""


class SqlRows:
    """`collected.Rows` of one gateway, whose row is locked for the transaction."""

    def __init__(self, execute: Execute, add_rows: AddRows, gateway: GatewayId, lock: str) -> None:
        """`lock`: what the database wants to hear at the end of the question for that row."""
        self._execute = execute
        self._add_rows = add_rows
        self._gateway = gateway
        execute("INSERT INTO gateway (id) VALUES (?) ON CONFLICT DO NOTHING", (gateway,))
        execute(f"SELECT life FROM gateway WHERE id = ? {lock}", (gateway,))  # noqa: S608

    def position(self) -> Position:
        """`collected.Rows`."""
        return position(self._execute, self._gateway)

    def chains(self, life: int, first: int, last: int) -> dict[int, bytes]:
        """`collected.Rows`."""
        found = self._execute(
            "SELECT number, chain FROM record"
            " WHERE gateway = ? AND life = ? AND number BETWEEN ? AND ?"
            " UNION ALL SELECT through, chain FROM lost"
            " WHERE gateway = ? AND life = ? AND through BETWEEN ? AND ?",
            (self._gateway, life, first, last) * 2,
        )
        return {number: bytes(chain) for number, chain in found}

    def knows(self, number: int, chain: bytes) -> bool:
        """`collected.Rows`."""
        found = self._execute(
            "SELECT 1 FROM record JOIN gateway ON gateway.id = record.gateway"
            " WHERE record.gateway = ? AND record.life <= gateway.life AND number = ? AND chain = ?"
            " LIMIT 1",
            (self._gateway, number, chain),
        )
        return bool(found)

    def add(self, life: int, rows: Sequence[Row]) -> None:
        """`collected.Rows`."""
        self._add_rows(self._gateway, life, rows)

    def part(self, life: int, after: int) -> None:
        """`collected.Rows`. The life before stays as it is: what it says was acknowledged once."""
        self._execute(
            "INSERT INTO record SELECT gateway, life + 1, number, chain, content FROM record"
            " WHERE gateway = ? AND life = ? AND number <= ?",
            (self._gateway, life, after),
        )
        self._execute(
            "INSERT INTO lost SELECT gateway, life + 1, first, through, chain FROM lost"
            " WHERE gateway = ? AND life = ? AND through <= ?",
            (self._gateway, life, after),
        )
        self._execute("UPDATE gateway SET life = life + 1 WHERE id = ?", (self._gateway,))
        self._execute("DELETE FROM aside WHERE gateway = ?", (self._gateway,))

    def lose(self, life: int, lost: Lost, chain: bytes) -> None:
        """`collected.Rows`."""
        self._execute(
            "INSERT INTO lost VALUES (?, ?, ?, ?, ?)",
            (self._gateway, life, lost.first, lost.through, chain),
        )

    def put_aside(self, batch: RecordsBatch, last: int) -> bool:
        """`collected.Rows`."""
        ((waiting, same),) = self._execute(
            "SELECT count(*), count(CASE WHEN first = ? THEN 1 END) FROM aside WHERE gateway = ?",
            (batch.first, self._gateway),
        )
        if waiting >= ASIDE_MAX and not same:
            return False
        content = zlib.compress(msgspec.json.encode(batch))
        self._execute(
            "INSERT INTO aside VALUES (?, ?, ?, ?) ON CONFLICT (gateway, first) DO UPDATE"
            " SET last = excluded.last, batch = excluded.batch WHERE excluded.last > aside.last",
            (self._gateway, batch.first, last, content),
        )
        return True

    def next_aside(self, first_max: int) -> RecordsBatch | None:
        """`collected.Rows`."""
        found = self._execute(
            "SELECT first, batch FROM aside WHERE gateway = ? AND first <= ?"
            " ORDER BY first LIMIT 1",
            (self._gateway, first_max),
        )
        if not found:
            return None
        ((first, content),) = found
        self._execute("DELETE FROM aside WHERE gateway = ? AND first = ?", (self._gateway, first))
        return read_records(bytes(content))

    def count(self, *, duplicates: int = 0, gaps: int = 0, refused: int = 0) -> None:
        """`collected.Rows`."""
        if duplicates or gaps or refused:
            self._execute(
                "UPDATE gateway SET duplicates = duplicates + ?, gaps = gaps + ?,"
                " refused = refused + ? WHERE id = ?",
                (duplicates, int(gaps), int(refused), self._gateway),
            )


def position(execute: Execute, gateway: str) -> Position:
    """How far the records of a gateway are held, in the life that goes on."""
    life = next((life for (life,) in execute(_LIFE, (gateway,))), 1)
    found = execute(
        "SELECT number, chain FROM record WHERE gateway = ? AND life = ?"
        " ORDER BY number DESC LIMIT 1",
        (gateway, life),
    )
    held = execute(_READINGS, (gateway, life))
    readings = next((int(last) for (last,) in held), 0)
    for through, chain in found:
        return Position(through=through, chain=bytes(chain), life=life, readings=readings)
    return Position(through=0, chain=CHAIN_START, life=life, readings=readings)


def contents(execute: Execute, gateway: str) -> tuple[bytes, ...]:
    """The canonical bytes of a gateway's records, in order."""
    rows = execute("SELECT content FROM newest WHERE gateway = ? ORDER BY number", (gateway,))
    return tuple(bytes(content) for (content,) in rows)


def counts(execute: Execute, gateway: str) -> Counts:
    """How many records of a gateway are held, and what else came."""
    ((written,),) = execute("SELECT count(*) FROM newest WHERE gateway = ?", (gateway,))
    ((lost,),) = execute(
        "SELECT coalesce(sum(through - first + 1), 0) FROM lost WHERE gateway = ?", (gateway,)
    )
    for duplicates, gaps, refused, life in execute(
        "SELECT duplicates, gaps, refused, life FROM gateway WHERE id = ?", (gateway,)
    ):
        return Counts(
            written=written,
            duplicates=duplicates,
            gaps=gaps,
            refused=refused,
            lives=life,
            lost=int(lost),
        )
    return Counts(written=0, duplicates=0, gaps=0, refused=0)


_LIFE = "SELECT life FROM gateway WHERE id = ?"
_READINGS = "SELECT last FROM readings_held WHERE gateway = ? AND life = ? AND first = 1"
