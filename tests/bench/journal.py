"""Figures of the journal: how fast it commits, how much it writes, how long a start takes.

    python -m tests.bench.journal [--quick] [--json]

Owns the measuring only. What is compared stands side by side in one run: this journal, the same
with pages of 4,096 bytes, `sqlite3` as it comes, and one commit for each reading. Bytes are those
that reach the device, where this machine lets us have one (see `device`).
"""

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import click

from gateway.core.image import Image
from gateway.core.noted import NotedReading
from gateway.engine import Engine
from gateway.host.clock import HostClock, boot_id
from gateway.inbox import BoundedInbox
from gateway.journal.limits import DAY_MS, JournalSettings
from gateway.journal.sqlite import SqliteJournal
from gateway.ports import Batch
from tests.bench.device import Device, device
from tests.bench.journal_loads import (
    METERS,
    NOON_MS,
    Chain,
    Paper,
    a_closing,
    a_day,
    a_reading,
    a_receipts_batch,
    lists,
)
from tests.bench.papers import HOMES, STATION, NoBus, a_list, a_receipt, a_site, claim
from tests.signing import ISSUED_AT_MS, ROOT

Row = dict[str, Any]
DAY_COMMITS = 2_300
"""About so many are a day's."""
READINGS_TOGETHER = METERS // 15
"""That come within a minute, where each meter is read every 15 minutes."""


def commits(place: Device, count: int, runs: int) -> list[Row]:
    """One record a commit: a closing's, written by each way."""
    ways = {"this journal": 1024, "with pages of 4,096 bytes": 4096, "sqlite3 as it comes": None}
    found: dict[str, list[Row]] = {way: [] for way in ways}
    for run in range(runs):
        for at, (way, page_bytes) in enumerate(ways.items()):
            directory = place.root / f"commits-{run}-{at}"
            directory.mkdir()
            before, begin = place.written_bytes(), time.perf_counter()
            if page_bytes is None:
                _plainly(directory / "plain.db", count)
            else:
                asyncio.run(_by_the_journal(directory / "journal.db", count, page_bytes))
            took_s = time.perf_counter() - begin
            size = sum(one.stat().st_size for one in directory.glob("*.db"))
            found[way].append(
                {
                    "commits_s": count / took_s,
                    "device_bytes": (place.written_bytes() - before) / count,
                    "file_bytes": size / count,
                }
            )
    return [_medians(way, rows) for way, rows in found.items()]


def readings(place: Device, count: int) -> list[Row]:
    """Readings of a minute in one commit, and each in one of its own."""
    rows = []
    for name, together in (("a minute's together", READINGS_TOGETHER), ("one a commit", 1)):
        taken = [a_reading(at, NOON_MS + at) for at in range(count)]
        before, begin = place.written_bytes(), time.perf_counter()
        path = place.root / f"readings-{together}" / "journal.db"
        asyncio.run(_readings(path, taken, together))
        took_s = time.perf_counter() - begin
        rows.append(
            {
                "name": name,
                "readings_s": count / took_s,
                "device_bytes": (place.written_bytes() - before) / count,
                "file_bytes": path.stat().st_size / count,
            }
        )
    return rows


async def a_day_of_a_feeder(place: Device, papers: Sequence[Paper], page_bytes: int) -> Row:
    """Everything that a feeder of 250 meters writes in 24 hours."""
    journal = await _opened(place.root / f"day-{page_bytes}" / "journal.db", page_bytes)
    before = at = place.written_bytes()
    of_lists = 0
    slowest_ms = 0.0
    for number, (kind, batch) in enumerate(a_day(papers)):
        if number % (DAY_COMMITS // 24) == 0:
            await journal.tidy(NOON_MS)
        if kind in {"list", "checkpoint"}:
            at = place.written_bytes()
        begin = time.perf_counter()
        await journal.commit(batch)
        slowest_ms = max(slowest_ms, 1000 * (time.perf_counter() - begin))
        if kind in {"list", "checkpoint"}:
            of_lists += place.written_bytes() - at
    await journal.close()
    total = place.written_bytes() - before
    return {
        "name": f"pages of {page_bytes} bytes",
        "commits": number + 1,
        "megabytes": total / 1e6,
        "of_lists_megabytes": of_lists / 1e6,
        "slowest_commit_ms": slowest_ms,
    }


async def a_start(directory: Path, records: int, runs: int) -> Row:
    """Open and load a journal of so many records, none of it in memory, and in memory."""
    path = directory / "start" / "journal.db"
    chain = Chain()
    journal = await _opened(path)
    while chain.number < records:
        bodies = [body for at in range(1_000) for body in a_closing(at)]
        upto = chain.number + len(bodies)
        checkpoint = b"{}" if upto >= records - len(bodies) else None
        await journal.commit(Batch(records=chain.records(*bodies), checkpoint=checkpoint))
    await journal.commit(Batch(records=chain.records(*a_closing(1))))
    await journal.close()
    took: dict[str, list[float]] = {"from the disk": [], "from memory": []}
    for way in (*took,) * runs:
        if way == "from the disk":
            _forget(path)
        begin = time.perf_counter()
        again = await SqliteJournal.open(path)
        loaded = await again.load()
        took[way].append(time.perf_counter() - begin)
        await again.close()
        assert loaded.number == chain.number
    return {
        "records": chain.number,
        "file_megabytes": path.stat().st_size / 1e6,
        "bytes_a_record": path.stat().st_size / chain.number,
        **{f"s_{way.replace(' ', '_')}": round(median(each), 4) for way, each in took.items()},
    }


async def tidying(directory: Path, records: int, count: int) -> Row:
    """How long a commit takes while nothing else goes on, and while old ones are removed."""
    limits = JournalSettings(records_days=30, readings_days=1)
    journal = await SqliteJournal.open(directory / "tidy" / "journal.db", limits=limits)
    chain = Chain()
    while chain.number < records:
        bodies = [body for at in range(300) for body in a_closing(at)]
        await journal.commit(Batch(records=chain.records(*bodies), checkpoint=b"{}"))
    taken = tuple(a_reading(at, NOON_MS) for at in range(count))
    await journal.commit(
        Batch(readings=taken, readings_acked_through=count, acked_through=chain.number)
    )
    alone = [await _commit_ms(journal, chain) for _ in range(100)]
    beside = []
    begin = time.perf_counter()
    at_work = asyncio.create_task(journal.tidy(NOON_MS + 400 * DAY_MS))
    await asyncio.sleep(0)
    while not at_work.done():
        beside.append(await _commit_ms(journal, chain))
    took_s = time.perf_counter() - begin
    await journal.close()
    return {
        "removed_s": took_s,
        "commits_meanwhile": len(beside),
        "alone_median_ms": median(alone),
        "alone_max_ms": max(alone),
        "beside_median_ms": median(beside),
        "beside_max_ms": max(beside),
    }


async def held_by_a_list(directory: Path, accounts: int) -> Row:
    """How long the engine is kept from anything else while it takes a list, and until it has."""
    inbox = BoundedInbox()
    journal = await SqliteJournal.open(directory / "journal.db")
    clock = HostClock(boot_id(), ISSUED_AT_MS)
    engine = Engine(
        Image(station=STATION, root=ROOT),
        inbox=inbox,
        journal=journal,
        bus=NoBus(),
        watchers=(),
        clock=clock,
    )
    await engine.start()
    running = asyncio.create_task(engine.run())
    assert (await inbox.ask(claim(a_site()))).accepted
    raw = a_list(accounts)
    begin = time.perf_counter()
    taken = asyncio.create_task(inbox.ask(claim(raw)))
    waits = []
    for at in range(HOMES):
        asked = time.perf_counter()
        await inbox.ask(claim(a_receipt(at)))
        waits.append(1000 * (time.perf_counter() - asked))
        if taken.done():
            break
    assert (await taken).accepted
    took_ms = 1000 * (time.perf_counter() - begin)
    engine.stop()
    await running
    await journal.close()
    return {"taken_ms": took_ms, "longest_gap_ms": max(waits), "usual_ms": median(waits)}


async def many_receipts(place: Device, count: int) -> Row:
    """Receipts that come in one tick."""
    chain = Chain()
    batches = [a_receipts_batch(chain, at) for at in range(count)]
    journal = await _opened(place.root / "receipts" / "journal.db")
    before, begin = place.written_bytes(), time.perf_counter()
    await journal.commit(
        Batch(
            records=tuple(one for batch in batches for one in batch.records),
            documents=tuple(one for batch in batches for one in batch.documents),
        )
    )
    took_ms = 1000 * (time.perf_counter() - begin)
    written = place.written_bytes() - before
    await journal.close()
    return {"receipts": count, "took_ms": took_ms, "device_bytes": written / count}


async def _opened(path: Path, page_bytes: int = 1024) -> SqliteJournal:
    path.parent.mkdir(parents=True, exist_ok=True)
    if page_bytes != 1024:  # an empty file with pages of that size stays one
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute(f"PRAGMA page_size={page_bytes}")
            database.execute("PRAGMA auto_vacuum=INCREMENTAL")
            database.execute("CREATE TABLE t (a)")
            database.execute("DROP TABLE t")
    journal = await SqliteJournal.open(path)
    await journal.tidy(0)  # as the daemon does once it is up: the log gets its length
    return journal


async def _by_the_journal(path: Path, count: int, page_bytes: int) -> None:
    journal = await _opened(path, page_bytes)
    chain = Chain()
    for at in range(count):
        await journal.commit(Batch(records=chain.records(a_closing(at)[1])))
    await journal.close()


def _plainly(path: Path, count: int) -> None:
    chain = Chain()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE records (number INTEGER PRIMARY KEY, chain, content)")
        for at in range(count):
            (record,) = chain.records(a_closing(at)[1])
            values = (record.number, record.chain, record.content)
            database.execute("INSERT INTO records VALUES (?, ?, ?)", values)
            database.commit()


async def _readings(path: Path, taken: Sequence[NotedReading], together: int) -> None:
    journal = await _opened(path)
    for at in range(0, len(taken), together):
        await journal.commit(Batch(readings=tuple(taken[at : at + together])))
    await journal.close()


async def _commit_ms(journal: SqliteJournal, chain: Chain) -> float:
    begin = time.perf_counter()
    await journal.commit(Batch(records=chain.records(a_closing(1)[0])))
    return 1000 * (time.perf_counter() - begin)


def _forget(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(number)


def _medians(name: str, rows: list[Row]) -> Row:
    return {"name": name, **{key: median(row[key] for row in rows) for key in rows[0]}}


def _plain(value: float) -> str:
    return f"{value:,.3f}" if 0 < value < 1 else f"{value:,.1f}".removesuffix(".0")


def measured(quick: bool, tell: Callable[[str], None]) -> dict[str, Any]:
    """All of it, one after the other."""
    count, runs = (200, 1) if quick else (1_000, 5)
    found: dict[str, Any] = {}
    with device() as place:
        found["bytes_are"] = place.what
        tell("commits")
        found["commits"] = commits(place, count, runs)
        tell("readings")
        found["readings"] = readings(place, count)
        tell("256 receipts in one tick")
        found["receipts"] = asyncio.run(many_receipts(place, 256))
        tell("a day of a feeder")
        papers = lists(*((2, 3_000) if quick else ()))
        sizes = (1024, 4096)
        found["day"] = [asyncio.run(a_day_of_a_feeder(place, papers, size)) for size in sizes]
        tell("a list while closings go on")
        accounts = 3_000 if quick else 30_000
        rows = []
        for run in range(runs):
            directory = place.root / f"held-{run}"
            rows.append(asyncio.run(held_by_a_list(directory, accounts)))
        found["list"] = {"accounts": accounts, **_medians("", rows)}
        tell("removing what is old")
        found["tidying"] = asyncio.run(
            tidying(place.root, *((3_000, 5_000) if quick else (30_000, 100_000)))
        )
        tell("a start")
        found["start"] = asyncio.run(a_start(place.root, 30_000 if quick else 1_000_000, 3))
    return found


@click.command()
@click.option("--quick", is_flag=True, help="A tenth of everything: whether it runs at all.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def main(quick: bool, as_json: bool) -> None:
    """Measure the journal beside what one would do without it.

    \b
    Example:
      python -m tests.bench.journal --quick
    """
    found = measured(quick, lambda what: click.echo(what, err=True))
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for part, rows in found.items():
        if isinstance(rows, str):
            click.echo(rows)
            continue
        click.echo(f"\n{part}")
        for row in rows if isinstance(rows, list) else [rows]:
            said = (f"{key} {_plain(value)}" for key, value in row.items() if key != "name")
            click.echo(f"  {row.get('name', ''):<28}" + ", ".join(said))


if __name__ == "__main__":
    main()
