"""Retention: what is kept no longer goes, in steps that are too small to be waited for.

Owns which records and readings go, in which order, and how long the log is. Must never ask the
time, which is handed in, nor remove a record that the head end has not acknowledged or that a
restart may need.

A record is as old as the first one, itself or after it, whose time a time source answered for:
without one it may have been written long after the time that it says. So is a reading.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import aiosqlite
import msgspec

from gateway.core.model import Value
from gateway.journal.aside import beside
from gateway.journal.files import lengthen
from gateway.journal.limits import DAY_MS, JournalSettings
from gateway.journal.opening import LOG_BYTES, PAGE_BYTES
from gateway.journal.reading import Position, chain_at, older_checkpoint, records_after
from gateway.journal.readings import Aged, Slot, Thinned, aged, remove_lot, thin
from gateway.journal.transaction import transaction
from gateway.journal.trouble import JournalError, Trouble

FRAME_HEAD_BYTES = 24
"""Beside each page in the log (sqlite.org/walformat.html)."""
SCAN_BYTES = 65_536
"""Of records whose times are looked at in one step."""

Step = Callable[[aiosqlite.Connection, Position], Awaitable[Position | None]]


class _Taken(Value):
    """What is looked at of a record's content."""

    wall_ms: int
    trusted: bool


_decode = msgspec.json.Decoder(_Taken).decode


@dataclass
class _Search:
    """On the way to the newest that is known to be old."""

    at: int = 0
    old_through: int = 0
    ended: bool = False

    def note(self, found: Aged) -> None:
        self.at = found.last or self.at
        self.old_through = found.old_through or self.old_through
        self.ended = found.last is None or found.young


class Retention:
    """Rounds over one journal: each is so many steps, of which none is more than a transaction."""

    def __init__(
        self, path: Path, limits: JournalSettings, follow: Callable[[int], Awaitable[None]]
    ) -> None:
        """`follow` is told through which record the next step removes, before it does."""
        self._path = path
        self._limits = limits
        self._follow = follow
        self._thinned: dict[Slot, Thinned] = {}
        self._left: list[Step] = []

    def begin(self, wall_low_ms: int) -> None:
        """Begin a round at a time that is certainly not before this (milliseconds UTC)."""
        self._wall_low_ms = wall_low_ms
        self._records, self._readings = _Search(), _Search()
        self._given_back = False
        self._left = [
            self._lengthen_log,
            self._look_at_records,
            self._remove_records,
            self._look_at_readings,
            self._remove_readings,
            self._thin,
            self._give_back,
        ]

    async def step(self, database: aiosqlite.Connection, at: Position) -> Position | None:
        """Do one thing; where the journal stands then. None: this round has ended."""
        while self._left:
            after = await self._left[0](database, at)
            if after is not None:
                return after
            self._left.pop(0)
        return None

    async def _lengthen_log(self, _: aiosqlite.Connection, at: Position) -> Position | None:
        # While the log grows, each commit costs the file system one of its own; once it is as long
        # as it gets, it is written over. Not at a start, of which there may be many in a row.
        log = beside(self._path)[0]
        size = LOG_BYTES + LOG_BYTES // PAGE_BYTES * FRAME_HEAD_BYTES
        if (await asyncio.to_thread(log.stat)).st_size >= size:
            return None
        await asyncio.to_thread(lengthen, log, size)
        return at

    async def _look_at_records(
        self, database: aiosqlite.Connection, at: Position
    ) -> Position | None:
        through = min(at.acked_through, await older_checkpoint(database))
        search, before_ms = self._records, self._before_ms(self._limits.records_days)
        first = max(search.at, at.removed_through)
        if search.ended or first >= through:
            return None
        found = Aged(last=None, old_through=None, young=False)
        for record in await records_after(database, first, SCAN_BYTES):
            if record.number > through:
                break
            taken = _taken(record.content)
            old = taken is not None and taken.trusted and taken.wall_ms < before_ms
            found = Aged(
                last=record.number,
                old_through=record.number if old else found.old_through,
                young=taken is None or (taken.trusted and not old),
            )
            if found.young:
                break
        search.note(found)
        return at

    async def _remove_records(
        self, database: aiosqlite.Connection, at: Position
    ) -> Position | None:
        through = at.removed_through + self._limits.records_lot
        if through > self._records.old_through:
            return None
        await self._follow(through)
        chain = await chain_at(database, through)
        if chain is None:
            raise JournalError(Trouble.CORRUPT, self._path, f"record {through} is not there")
        async with transaction(database):
            await database.execute("DELETE FROM records WHERE number <= ?", (through,))
            await database.execute(
                "UPDATE meta SET removed_through = ?, removed_chain = ?", (through, chain)
            )
        return replace(at, removed_through=through)

    async def _look_at_readings(
        self, database: aiosqlite.Connection, at: Position
    ) -> Position | None:
        if self._readings.ended:
            return None
        before_ms = self._before_ms(self._limits.readings_days)
        found = await aged(
            database, self._readings.at, at.readings_acked, before_ms, self._limits.readings_lot
        )
        self._readings.note(found)
        return at

    async def _remove_readings(
        self, database: aiosqlite.Connection, at: Position
    ) -> Position | None:
        async with transaction(database):
            removed = await remove_lot(
                database, self._readings.old_through, self._limits.readings_lot
            )
        return at if removed else None

    async def _thin(self, database: aiosqlite.Connection, at: Position) -> Position | None:
        if not await self._is_short(database):
            return None
        until_ms = await _newest_ms(database) - DAY_MS
        for slot in Slot:
            before = self._thinned.get(slot) or await thinned(database, slot)
            async with transaction(database):
                after = await thin(database, before, until_ms, self._limits.readings_lot)
            self._thinned[slot] = after
            if after != before:
                return at
        return None

    async def _give_back(self, database: aiosqlite.Connection, at: Position) -> Position | None:
        lot, free_pages = self._limits.pages_lot, await _number(database, "freelist_count")
        if free_pages >= lot and await self._free() < self._limits.room_min_bytes:
            await database.execute_fetchall(f"PRAGMA incremental_vacuum({lot})")
            if await _number(database, "freelist_count") < free_pages:
                self._given_back = True
                return at
        if self._given_back:  # the file is shorter once the log is in it
            self._given_back = False
            await database.execute_fetchall("PRAGMA wal_checkpoint(PASSIVE)")
            return at
        return None

    async def _is_short(self, database: aiosqlite.Connection) -> bool:
        page_bytes = await _number(database, "page_size")
        free_bytes = await _number(database, "freelist_count") * page_bytes
        used_bytes = await _number(database, "page_count") * page_bytes - free_bytes
        if used_bytes > self._limits.bytes_max:
            return True
        return await self._free() + free_bytes < self._limits.room_min_bytes

    async def _free(self) -> int:
        disk = await asyncio.to_thread(os.statvfs, self._path.parent)
        return disk.f_bavail * disk.f_frsize

    def _before_ms(self, days: int) -> int:
        return self._wall_low_ms - days * DAY_MS


async def thinned(database: aiosqlite.Connection, slot: Slot) -> Thinned:
    """How far readings were thinned, as it is written down."""
    (row,) = await database.execute_fetchall("SELECT hourly_through, daily_through FROM meta")
    return Thinned(slot=slot, through=row[0] if slot is Slot.HOUR else row[1])


def _taken(content: bytes) -> _Taken | None:
    try:
        return _decode(content)
    except msgspec.DecodeError:
        return None  # whoever reads it says what is wrong; nothing is removed from here on


async def _newest_ms(database: aiosqlite.Connection) -> int:
    for row in await database.execute_fetchall(
        "SELECT wall_ms FROM readings ORDER BY ordinal DESC LIMIT 1"
    ):
        return int(row[0])
    return 0


async def _number(database: aiosqlite.Connection, name: str) -> int:
    (row,) = await database.execute_fetchall(f"PRAGMA {name}")
    return int(row[0])
