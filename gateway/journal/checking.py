"""Checking a journal's file as a whole: every page, and the chain of every record.

Owns what counts as damage and how it is said. Must never be asked before a start: a million records
take many seconds. What becomes of a damaged file is said elsewhere.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from gateway.core.model import Value
from gateway.core.records import CHAIN_START, Stored, chain_hash

RECORDS_A_STEP = 1_000
BYTES_A_STEP = 64 * 1024
RecordsAfter = Callable[[int, int], Awaitable[tuple[Stored, ...]]]
Progress = Callable[[int, int], None]
"""Called with how many records were checked, and of how many."""


class Checked(Value):
    """What a check found: records `first` to `last`; no `damage`: all is what was written."""

    first: int
    last: int
    damage: str


class ChainCheck:
    """Takes a journal's records in their order and says where they are not what was written."""

    def __init__(self, number: int = 0, chain: bytes | None = CHAIN_START) -> None:
        """`number` and `chain` of the record before the first; None: that one is not known."""
        self.number = number
        self._chain = chain

    def take(self, record: Stored) -> str:
        """What is wrong with the next record; empty: nothing."""
        if record.number != self.number + 1:
            return f"record {record.number} follows record {self.number}"
        if self._chain is not None and record.chain != chain_hash(self._chain, record.content):
            return f"the chain breaks at record {record.number}"
        self.number, self._chain = record.number, record.chain
        return ""


async def damage_of_chain(
    records_after: RecordsAfter, chain_at: Callable[[int], Awaitable[bytes | None]]
) -> str:
    """Check the chain in small steps, between which others have their turn.

    Both are as of `ports.Records`. What retention removes meanwhile is no damage.
    """
    check = ChainCheck()
    while records := await records_after(check.number, BYTES_A_STEP):
        first = records[0].number
        if first != check.number + 1 and (chain := await chain_at(first - 1)) is not None:
            check = ChainCheck(first - 1, chain)
        for record in records:
            if damage := check.take(record):
                return damage
    return ""


def damage_of_pages(answer: Iterable[Any]) -> str:
    """What `PRAGMA quick_check` answers, in words; empty: nothing is wrong."""
    said = "; ".join(str(row[0]) for row in answer)
    return "" if said == "ok" else said


def check_file(
    database: sqlite3.Connection, progress: Progress = lambda _done, _all: None
) -> Checked:
    """Check every page, then every record. Raises `sqlite3.Error` where it cannot be read."""
    damage = damage_of_pages(database.execute("PRAGMA quick_check(3)"))
    if damage:
        return Checked(first=0, last=0, damage=damage)
    first, last = database.execute("SELECT min(number), max(number) FROM records").fetchone()
    if first is None:
        return Checked(first=0, last=0, damage="")
    chain = ChainCheck(first - 1, chain_before(database, first))
    for record in _records(database):
        if damage := chain.take(record):
            break
        if record.number % RECORDS_A_STEP == 0:
            progress(record.number - first, last - first)
    return Checked(first=first, last=last, damage=damage)


def readable(path: Path) -> str:
    """SQLite's name of a journal's file that stands still, for who only reads it.

    What its log holds is not read. To be closed in another process than the daemon's: closing it
    there would drop the daemon's lock (fcntl(2)).
    """
    return path.absolute().as_uri() + "?mode=ro&immutable=1"


def chain_before(database: sqlite3.Connection, first: int) -> bytes | None:
    """The chain hash of the record before the first one; None where it is not known."""
    if first == 1:
        return CHAIN_START
    columns = {row[1] for row in database.execute("PRAGMA table_info(meta)")}
    if not {"removed_through", "removed_chain"} <= columns:
        return None
    number, chain = database.execute("SELECT removed_through, removed_chain FROM meta").fetchone()
    return bytes(chain) if number == first - 1 else None


def _records(database: sqlite3.Connection) -> Iterator[Stored]:
    rows = database.execute("SELECT number, chain, content FROM records ORDER BY number")
    for number, chain, content in rows:
        yield Stored(number=number, chain=chain, content=content)
