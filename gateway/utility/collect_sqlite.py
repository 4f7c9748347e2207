"""The head end's SQLite file: for a pilot, and for workers on one machine.

Owns the file and its transactions. Must never answer before what it says is on disk.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.core.model import GatewayId
from gateway.headend.metering import MeterReading
from gateway.utility import collect_reading_rows, collect_rows
from gateway.utility.collect_reading_rows import SqlReadingRows
from gateway.utility.collect_readings import OfferedReadings, TakenReadings, take_readings
from gateway.utility.collect_rows import SqlRows
from gateway.utility.collected import (
    Counts,
    Offered,
    Position,
    Row,
    StoreFailed,
    Taken,
    take,
)

BUSY_S = 30.0
"""How long a worker waits for the others' transactions; each takes milliseconds."""


class SqliteStore:
    """The open file (`collected.Store`)."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._lead: int | None = None

    @classmethod
    def open(cls, path: Path) -> "SqliteStore":
        """Open or make the file. Raises `StoreFailed`."""
        with _told(path):
            connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_S)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            schema = collect_rows.TABLES + collect_reading_rows.TABLES + collect_rows.VIEW
            words = {"or_replace": "", "if_not_exists": "IF NOT EXISTS"}
            connection.executescript(
                schema.format(bytes="BLOB", without_rowid="WITHOUT ROWID", **words)
            )
        return cls(path, connection)

    def close(self) -> None:
        """`collected.Store`."""
        if self._lead is not None:
            os.close(self._lead)
        self._connection.close()

    def take(self, offered: Sequence[Offered]) -> list[Taken]:
        """`collected.Store`."""
        with _told(self._path), self._transaction():
            return [take(self._rows(one.gateway), one.gateway, one.batch) for one in offered]

    def take_readings(self, offered: Sequence[OfferedReadings]) -> list[TakenReadings]:
        """`collected.Store`."""
        with _told(self._path), self._transaction():
            return [
                take_readings(self._reading_rows(one.gateway), one.gateway, one.batch)
                for one in offered
            ]

    def refuse(self, gateway: GatewayId) -> None:
        """`collected.Store`."""
        with _told(self._path), self._transaction():
            self._rows(gateway).count(refused=1)

    def position(self, gateway: GatewayId) -> Position:
        """`collected.Store`."""
        with _told(self._path):
            return collect_rows.position(self._execute, gateway)

    def lead(self) -> bool:
        """`collected.Store`. Who leads holds the lock of a file beside the database."""
        if self._lead is not None:
            return True
        with _told(self._path):
            # Not the database itself: closing it a second time would end SQLite's own locks.
            number = os.open(f"{self._path}-lead", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(number)
                return False
        self._lead = number
        return True

    def contents(self, gateway: str) -> tuple[bytes, ...]:
        """`collected.Store`."""
        with _told(self._path):
            return collect_rows.contents(self._execute, gateway)

    def readings(self, gateway: str) -> tuple[MeterReading, ...]:
        """`collected.Store`."""
        with _told(self._path):
            return collect_reading_rows.readings(self._execute, gateway)

    def counts(self, gateway: str) -> Counts:
        """`collected.Store`."""
        with _told(self._path):
            return collect_rows.counts(self._execute, gateway)

    def _rows(self, gateway: GatewayId) -> SqlRows:
        return SqlRows(self._execute, self._add, gateway, "")

    def _reading_rows(self, gateway: GatewayId) -> SqlReadingRows:
        self._rows(gateway)
        return SqlReadingRows(self._execute, self._execute_many, gateway)

    def _execute_many(self, statement: str, rows: Sequence[Sequence[object]]) -> int:
        return self._connection.executemany(statement, rows).rowcount if rows else 0

    def _execute(self, statement: str, values: Sequence[object]) -> Sequence[Sequence[Any]]:
        return self._connection.execute(statement, tuple(values)).fetchall()

    def _add(self, gateway: str, life: int, rows: Sequence[Row]) -> None:
        self._connection.executemany(
            "INSERT INTO record VALUES (?, ?, ?, ?, ?)", [(gateway, life, *row) for row in rows]
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Failures as the one kind, with the file's name."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreFailed(f"{path}: {error}; check path, rights and room") from error
