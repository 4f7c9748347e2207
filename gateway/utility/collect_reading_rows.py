"""The tables of readings, and what both databases are asked of them in the same words.

Owns the SQL of readings: it is what SQLite and PostgreSQL both understand, `?` standing for a
value. Must never begin or end a transaction: whoever opened the database does.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from gateway.core.model import SupplyState
from gateway.headend.metering import MeterReading, Place
from gateway.utility.collect_readings import Span
from gateway.utility.collect_rows import Execute

TABLES = """
CREATE TABLE IF NOT EXISTS reading (
    gateway TEXT NOT NULL,
    life INTEGER NOT NULL,
    ordinal BIGINT NOT NULL,
    meter TEXT NOT NULL,
    wall_ms BIGINT NOT NULL,
    trusted INTEGER NOT NULL,
    state TEXT NOT NULL,
    supply_mv BIGINT,
    load_mv BIGINT,
    current_ma BIGINT,
    power_w BIGINT,
    energy_wh BIGINT,
    PRIMARY KEY (gateway, life, ordinal)
) {without_rowid};
-- Of which ordinals everything is held; where readings were thinned there are fewer rows.
CREATE TABLE IF NOT EXISTS readings_held (
    gateway TEXT NOT NULL,
    life INTEGER NOT NULL,
    first BIGINT NOT NULL,
    last BIGINT NOT NULL,
    PRIMARY KEY (gateway, life, first)
) {without_rowid};
"""

ExecuteMany = Callable[[str, Sequence[Sequence[object]]], int]
"""Runs one statement with each of the values; gives how many rows it changed."""


class SqlReadingRows:
    """`collect_readings.ReadingRows` of one gateway, whose row is locked for the transaction."""

    def __init__(self, execute: Execute, execute_many: ExecuteMany, gateway: str) -> None:
        self._execute = execute
        self._execute_many = execute_many
        self._gateway = gateway

    def life_with(self, place: Place) -> int | None:
        """`collect_readings.ReadingRows`."""
        chain = bytes.fromhex(place.chain)
        ((life,),) = self._execute(
            "SELECT max(life) FROM ("
            " SELECT life FROM record WHERE gateway = ? AND number = ? AND chain = ?"
            " UNION ALL SELECT life FROM lost WHERE gateway = ? AND through = ? AND chain = ?"
            ") AS found",
            (self._gateway, place.number, chain) * 2,
        )
        return None if life is None else int(life)

    def spans(self, life: int) -> list[Span]:
        """`collect_readings.ReadingRows`."""
        found = self._execute(
            "SELECT first, last FROM readings_held WHERE gateway = ? AND life = ? ORDER BY first",
            (self._gateway, life),
        )
        return [(first, last) for first, last in found]

    def set_spans(self, life: int, spans: Sequence[Span]) -> None:
        """`collect_readings.ReadingRows`."""
        self._execute(
            "DELETE FROM readings_held WHERE gateway = ? AND life = ?", (self._gateway, life)
        )
        self._execute_many(
            "INSERT INTO readings_held VALUES (?, ?, ?, ?)",
            [(self._gateway, life, *span) for span in spans],
        )

    def highest(self) -> int:
        """`collect_readings.ReadingRows`."""
        ((last,),) = self._execute(
            "SELECT coalesce(max(last), 0) FROM readings_held WHERE gateway = ? AND first = 1",
            (self._gateway,),
        )
        return int(last)

    def add(self, life: int, readings: Sequence[MeterReading]) -> int:
        """`collect_readings.ReadingRows`."""
        return self._execute_many(
            "INSERT INTO reading VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            [(self._gateway, life, *_row_of(reading)) for reading in readings],
        )


def readings(execute: Execute, gateway: str) -> tuple[MeterReading, ...]:
    """What is held of a gateway's readings in its newest life, in order."""
    rows = execute(
        "SELECT ordinal, meter, wall_ms, trusted, state, supply_mv, load_mv, current_ma, power_w,"
        " energy_wh FROM reading JOIN gateway ON gateway.id = reading.gateway"
        " AND gateway.life = reading.life WHERE gateway.id = ? ORDER BY ordinal",
        (gateway,),
    )
    return tuple(_reading_in(row) for row in rows)


def _row_of(reading: MeterReading) -> tuple[object, ...]:
    at = reading
    values = (at.supply_mv, at.load_mv, at.current_ma, at.power_w, at.energy_wh)
    return (at.ordinal, at.meter, at.wall_ms, int(at.trusted), str(at.state), *values)


def _reading_in(row: Sequence[Any]) -> MeterReading:
    ordinal, meter, wall_ms, trusted, state, *values = row
    first = (ordinal, meter, wall_ms, bool(trusted), SupplyState(state))
    names = MeterReading.__struct_fields__
    return msgspec.convert(dict(zip(names, (*first, *values), strict=True)), MeterReading)
