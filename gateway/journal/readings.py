"""The readings' tables: what was read of each meter, by the ordinal in which it was written down.

Owns the columns of a reading and how readings are thinned to one an hour or a day. Must never say
when: that is retention's. A reading is about 40 bytes of the file; a meter's serial number is
written once.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import aiosqlite
import msgspec

from gateway.core.model import SupplyState, Value
from gateway.core.noted import NotedReading
from gateway.journal.trouble import JournalError, Trouble
from gateway.ports import StoredReading

STATES = (
    SupplyState.UNKNOWN,
    SupplyState.CONNECTED,
    SupplyState.DISCONNECTED,
    SupplyState.READY_FOR_RECONNECTION,
)
"""By the number that is written down: see `schema/002.sql`."""
_NUMBERS = {state: number for number, state in enumerate(STATES)}
_NAMES = (
    "meter", "wall_ms", "trusted", "state",
    "supply_mv", "load_mv", "current_ma", "power_w", "energy_wh",
)  # fmt: skip


class Slot(Enum):
    """How far apart readings are once they are thinned."""

    HOUR = (3_600_000, "UPDATE meta SET hourly_through = ?")
    DAY = (86_400_000, "UPDATE meta SET daily_through = ?")

    def __init__(self, ms: int, statement: str) -> None:
        self.ms = ms
        self.statement = statement


class Thinned(Value):
    """Up to which ordinal readings are thinned to one a slot, and each meter's last slot there."""

    slot: Slot
    through: int
    slots: Mapping[int, int] = {}
    """By the meter's key. After a restart one reading of a slot may be kept too many."""


class Aged(Value):
    """What is known of the age of readings that follow each other; None: there are none."""

    last: int | None
    old_through: int | None
    """Up to here they are from before the time: a time source answered for this one's."""
    young: bool
    """One of them is not from before."""


async def append(
    database: aiosqlite.Connection, last: int, readings: Sequence[NotedReading]
) -> None:
    """Write readings down with the ordinals after `last`, in the transaction that is open."""
    serials = {reading.meter: None for reading in readings}
    await database.executemany(
        "INSERT OR IGNORE INTO meters (serial) VALUES (?)", [(serial,) for serial in serials]
    )
    await database.executemany(
        "INSERT INTO readings VALUES (?, (SELECT key FROM meters WHERE serial = ?),"
        " ?, ?, ?, ?, ?, ?, ?, ?)",
        [(last + at, *_row_of(reading)) for at, reading in enumerate(readings, start=1)],
    )


async def readings_after(
    database: aiosqlite.Connection, path: Path, ordinal: int, count_max: int
) -> tuple[StoredReading, ...]:
    """Readings with a higher ordinal, oldest first. Raises `JournalError` (CORRUPT)."""
    rows = await database.execute_fetchall(
        "SELECT ordinal, serial, wall_ms, trusted, state, supply_mv, load_mv, current_ma, power_w,"
        " energy_wh FROM readings JOIN meters ON key = meter WHERE ordinal > ?"
        " ORDER BY ordinal LIMIT ?",
        (ordinal, count_max),
    )
    return tuple(_reading_in(tuple(row), path) for row in rows)


async def last_ordinal(database: aiosqlite.Connection) -> int:
    """The highest ordinal that is there; 0: there is no reading."""
    (row,) = await database.execute_fetchall("SELECT max(ordinal) FROM readings")
    return row[0] or 0


async def aged(
    database: aiosqlite.Connection, after: int, through: int, before_ms: int, count_max: int
) -> Aged:
    """Look at the next readings after one ordinal and up to another."""
    (row,) = await database.execute_fetchall(
        "SELECT max(ordinal), max(ordinal) FILTER (WHERE trusted AND wall_ms < ?1),"
        " max(trusted AND wall_ms >= ?1) FROM (SELECT ordinal, trusted, wall_ms FROM readings"
        " WHERE ordinal > ?2 AND ordinal <= ?3 ORDER BY ordinal LIMIT ?4)",
        (before_ms, after, through, count_max),
    )
    return Aged(last=row[0], old_through=row[1], young=bool(row[2]))


async def remove_lot(database: aiosqlite.Connection, through: int, count: int) -> bool:
    """Remove the oldest readings up to an ordinal, in the transaction that is open.

    False: there are fewer than so many, which stay.
    """
    for row in await database.execute_fetchall(
        "SELECT ordinal FROM readings WHERE ordinal <= ? ORDER BY ordinal LIMIT 1 OFFSET ?",
        (through, count - 1),
    ):
        await database.execute("DELETE FROM readings WHERE ordinal <= ?", (row[0],))
        return True
    return False


async def thin(
    database: aiosqlite.Connection, before: Thinned, until_ms: int, count_max: int
) -> Thinned:
    """Of the next readings leave the first of each meter's slot, in the transaction that is open.

    What comes back is where that went on to; where that is no further, there are no more from
    before `until_ms`.
    """
    rows = [
        tuple(row)
        for row in await database.execute_fetchall(
            "SELECT ordinal, meter, wall_ms FROM readings WHERE ordinal > ?"
            " ORDER BY ordinal LIMIT ?",
            (before.through, count_max),
        )
    ]
    while rows and rows[-1][2] >= until_ms:
        rows.pop()
    if not rows:
        return before
    surplus, slots = [], dict(before.slots)
    for ordinal, meter, wall_ms in rows:
        slot = wall_ms // before.slot.ms
        if slots.get(meter) == slot:
            surplus.append((ordinal,))
        slots[meter] = slot
    through = rows[-1][0]
    await database.executemany("DELETE FROM readings WHERE ordinal = ?", surplus)
    await database.execute(before.slot.statement, (through,))
    return Thinned(slot=before.slot, through=through, slots=slots)


def _row_of(reading: NotedReading) -> tuple[object, ...]:
    return (
        reading.meter,
        reading.wall_ms,
        reading.trusted,
        _NUMBERS[reading.state],
        reading.supply_mv,
        reading.load_mv,
        reading.current_ma,
        reading.power_w,
        reading.energy_wh,
    )


def _reading_in(row: tuple[Any, ...], path: Path) -> StoredReading:
    ordinal, *values = row
    said = dict(zip(_NAMES, values, strict=True))
    try:
        said |= {"trusted": bool(said["trusted"]), "state": STATES[said["state"]]}
        return msgspec.convert({"ordinal": ordinal, "reading": said}, StoredReading)
    except (LookupError, TypeError, msgspec.ValidationError) as error:
        raise JournalError(Trouble.CORRUPT, path, f"reading {ordinal}: {error}") from error
