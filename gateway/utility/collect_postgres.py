"""The head end's PostgreSQL database: for workers on several machines.

Owns the connection and its transactions. Must never answer before what it says is on disk: a server
that is set up to forget at a power cut is refused.
"""

import functools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

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

CONNECT_S = 10
LOCK_MAKING = 7_003_601
"""Advisory lock of whoever makes the tables; any numbers will do, and they are these."""
LOCK_LEAD = 7_003_602
WATCHED = (
    "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
    " -c statement_timeout=60s -c synchronous_commit=on"
)
"""A worker whose machine is gone leads no longer after a minute; a commit is on disk."""


class PostgresStore:
    """The open connection (`collected.Store`)."""

    def __init__(self, place: str, connection: "psycopg.Connection[Any]") -> None:
        self._place = place
        self._connection = connection
        self._leads = False

    @classmethod
    def open(cls, url: str) -> "PostgresStore":
        """Connect, and make the tables where they are missing. Raises `StoreFailed`."""
        place = shown(url)
        try:
            said = str(conninfo_to_dict(url).get("options") or "")
            options = f"{WATCHED} {said}".strip()
            connection = psycopg.connect(
                url, autocommit=True, connect_timeout=CONNECT_S, options=options
            )
        except psycopg.Error as error:
            raise StoreFailed(_line(place, error), passing=True) from error
        store = cls(place, connection)
        try:
            store._make()
        except BaseException:
            connection.close()
            raise
        return store

    def close(self) -> None:
        """`collected.Store`."""
        self._connection.close()

    def take(self, offered: Sequence[Offered]) -> list[Taken]:
        """`collected.Store`."""
        taken: list[Taken | None] = [None] * len(offered)
        with self._told(), self._connection.transaction():
            # Everybody locks gateways in this order, so that no two wait for each other.
            for at in sorted(range(len(offered)), key=lambda at: offered[at].gateway):
                one = offered[at]
                taken[at] = take(self._rows(one.gateway), one.gateway, one.batch)
        return [one for one in taken if one is not None]

    def take_readings(self, offered: Sequence[OfferedReadings]) -> list[TakenReadings]:
        """`collected.Store`."""
        taken: list[TakenReadings | None] = [None] * len(offered)
        with self._told(), self._connection.transaction():
            for at in sorted(range(len(offered)), key=lambda at: offered[at].gateway):
                one = offered[at]
                rows = self._reading_rows(one.gateway)
                taken[at] = take_readings(rows, one.gateway, one.batch)
        return [one for one in taken if one is not None]

    def refuse(self, gateway: GatewayId) -> None:
        """`collected.Store`."""
        with self._told(), self._connection.transaction():
            self._rows(gateway).count(refused=1)

    def position(self, gateway: GatewayId) -> Position:
        """`collected.Store`."""
        with self._told():
            return collect_rows.position(self._execute, gateway)

    def lead(self) -> bool:
        """`collected.Store`. Who leads holds an advisory lock for as long as it is connected."""
        question = "SELECT true" if self._leads else f"SELECT pg_try_advisory_lock({LOCK_LEAD})"
        with self._told():
            ((self._leads,),) = self._execute(question, ())
        return self._leads

    def contents(self, gateway: str) -> tuple[bytes, ...]:
        """`collected.Store`."""
        with self._told():
            return collect_rows.contents(self._execute, gateway)

    def readings(self, gateway: str) -> tuple[MeterReading, ...]:
        """`collected.Store`."""
        with self._told():
            return collect_reading_rows.readings(self._execute, gateway)

    def counts(self, gateway: str) -> Counts:
        """`collected.Store`."""
        with self._told():
            return collect_rows.counts(self._execute, gateway)

    def _make(self) -> None:
        with self._told():
            ((fsync,),) = self._execute("SELECT current_setting('fsync')", ())
            if fsync != "on":
                wrong = "NOT_DURABLE: this server has fsync off, and forgets at a power cut"
                raise StoreFailed(f"{self._place}: {wrong}; set fsync = on")
            with self._connection.transaction():
                self._execute("SELECT pg_advisory_xact_lock(?)", (LOCK_MAKING,))
                words = {"or_replace": "OR REPLACE", "if_not_exists": ""}
                tables = collect_rows.TABLES + collect_reading_rows.TABLES
                tables = tables.format(bytes="BYTEA", without_rowid="")
                self._connection.execute(tables)
                self._connection.execute(collect_rows.VIEW.format(**words))

    def _rows(self, gateway: GatewayId) -> SqlRows:
        return SqlRows(self._execute, self._add, gateway, "FOR UPDATE")

    def _reading_rows(self, gateway: GatewayId) -> SqlReadingRows:
        self._rows(gateway)
        return SqlReadingRows(self._execute, self._execute_many, gateway)

    def _execute_many(self, statement: str, rows: Sequence[Sequence[object]]) -> int:
        with self._connection.cursor() as cursor:
            cursor.executemany(_translated(statement), rows)
            return max(0, cursor.rowcount)

    def _execute(self, statement: str, values: Sequence[object]) -> Sequence[Sequence[Any]]:
        cursor = self._connection.execute(_translated(statement), values)
        return () if cursor.description is None else cursor.fetchall()

    def _add(self, gateway: str, life: int, rows: Sequence[Row]) -> None:
        self._connection.execute(
            "INSERT INTO record"
            " SELECT %s, %s, * FROM unnest(%b::bigint[], %b::bytea[], %b::bytea[])",
            (gateway, life, *(list(column) for column in zip(*rows, strict=True))),
        )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Failures as the one kind, with the server's name; never the password."""
        try:
            yield
        except psycopg.Error as error:
            passing = self._connection.closed or isinstance(error, psycopg.OperationalError)
            raise StoreFailed(_line(self._place, error), passing=passing) from error


def shown(url: str) -> str:
    """The address without what is secret in it."""
    return re.sub(r"//[^/]*@", "//", url.partition("?")[0])


@functools.cache
def _translated(statement: str) -> str:
    return statement.replace("?", "%s")


def _line(place: str, error: psycopg.Error) -> str:
    said = " ".join(str(error).split()) or type(error).__name__
    return f"{place}: {said}; check the address, the rights and the server's own log"
