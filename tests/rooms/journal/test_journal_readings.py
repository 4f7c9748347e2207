"""Readings: kept in the order in which they were taken, thinned where room is short."""

import contextlib
import sqlite3
from pathlib import Path

import msgspec
import pytest

from gateway.core.model import Serial, SupplyState
from gateway.core.noted import MINUTE_MS, NotedReading
from gateway.journal.limits import DAY_MS, JournalSettings
from gateway.journal.trouble import JournalError, Trouble
from gateway.ports import Batch, StoredReading
from tests.rooms.journal.books import chained, opened, reopened

NOON_MS = 1_800_000_000_000 // DAY_MS * DAY_MS
QUARTER_MS = 15 * MINUTE_MS
HOUR_MS = 60 * MINUTE_MS
SHORT = JournalSettings(bytes_max=0, room_min_bytes=0, readings_lot=50)
"""The journal is always too large."""
ROOMY = JournalSettings(readings_days=10, readings_lot=50, room_min_bytes=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


def reading(at: int, meter: str = "M1", *, wall_ms: int | None = None) -> NotedReading:
    """The one of that quarter of an hour."""
    return NotedReading(
        meter=Serial(meter),
        wall_ms=NOON_MS + at * QUARTER_MS if wall_ms is None else wall_ms,
        trusted=True,
        state=SupplyState.CONNECTED,
        energy_wh=at,
    )


def numbered(*readings: NotedReading, after: int = 0) -> tuple[StoredReading, ...]:
    return tuple(
        StoredReading(ordinal=at, reading=one) for at, one in enumerate(readings, start=after + 1)
    )


async def stored(path: Path, limits: JournalSettings | None = None) -> tuple[StoredReading, ...]:
    async with opened(path, limits=limits) as journal:
        return await journal.readings_after(0, 10**6)


async def tidied(
    path: Path, limits: JournalSettings, now_ms: int = NOON_MS + 1_000 * DAY_MS
) -> tuple[StoredReading, ...]:
    async with opened(path, limits=limits) as journal:
        await journal.tidy(now_ms)
        return await journal.readings_after(0, 10**6)


async def write(path: Path, *readings: NotedReading, acked: int | None = None) -> None:
    async with opened(path) as journal:
        await journal.commit(Batch(readings=readings, readings_acked_through=acked))


async def test_every_value_comes_back_as_it_was_noted(path: Path) -> None:
    readings = [
        NotedReading(
            meter=Serial("M1"),
            wall_ms=NOON_MS,
            trusted=False,
            state=SupplyState.UNKNOWN,
            supply_mv=231_000,
            load_mv=0,
            current_ma=40_000,
            power_w=-3_000,
            energy_wh=2**40,
        ),
        *(
            NotedReading(meter=Serial(f"M{at}"), wall_ms=at, trusted=True, state=state)
            for at, state in enumerate(SupplyState)
        ),
    ]
    await write(path, *readings)
    assert await stored(path) == numbered(*readings)


async def test_they_are_handed_over_in_their_order_so_many_at_once(path: Path) -> None:
    readings = numbered(*(reading(at, f"M{at % 3}") for at in range(100)))
    async with opened(path) as journal:
        await journal.commit(Batch(readings=tuple(one.reading for one in readings)))
        assert await journal.readings_after(0, 10) == readings[:10]
        assert await journal.readings_after(95, 10) == readings[95:]
        assert await journal.readings_after(100, 10) == ()


async def test_they_go_along_with_records_or_alone(path: Path) -> None:
    async with opened(path) as journal:
        await journal.commit(Batch(records=chained(1), readings=(reading(0),)))
        await journal.commit(Batch(readings=(reading(1), reading(2))))
        await journal.commit(Batch(readings_acked_through=2))
    loaded = await reopened(path)
    assert (loaded.number, loaded.readings_last, loaded.readings_acked_through) == (1, 3, 2)
    assert await stored(path) == numbered(reading(0), reading(1), reading(2))


@pytest.mark.parametrize("acked", [0, 5])
async def test_an_acknowledgement_that_cannot_be_is_refused_whole(path: Path, acked: int) -> None:
    async with opened(path) as journal:
        await journal.commit(Batch(readings=(reading(0), reading(1)), readings_acked_through=1))
        batch = Batch(readings=(reading(2),), readings_acked_through=acked)
        with pytest.raises(JournalError) as caught:
            await journal.commit(batch)
        assert caught.value.trouble is Trouble.DISCONTINUOUS
    assert await stored(path) == numbered(reading(0), reading(1))


async def test_ordinals_are_never_used_again(path: Path) -> None:
    await write(path, *(reading(at) for at in range(50)), acked=50)
    assert await tidied(path, ROOMY) == ()
    await write(path, reading(50))
    assert await stored(path) == numbered(reading(50), after=50)


async def test_what_is_acknowledged_is_kept_so_many_days(path: Path) -> None:
    days = [reading(0, wall_ms=NOON_MS + at * DAY_MS // 10) for at in range(400)]
    await write(path, *days, acked=400)
    left = await tidied(path, ROOMY, NOON_MS + 40 * DAY_MS)
    assert left == numbered(*days)[300:]


async def test_what_is_not_acknowledged_stays_until_room_is_short(path: Path) -> None:
    days = [reading(0, wall_ms=NOON_MS + at * DAY_MS // 10) for at in range(400)]
    await write(path, *days, acked=120)
    assert await tidied(path, ROOMY) == numbered(*days)[100:]


async def test_a_time_that_nobody_answered_for_is_not_believed(path: Path) -> None:
    doubtful = [msgspec.structs.replace(reading(at), trusted=False) for at in range(60)]
    later = [reading(at, wall_ms=NOON_MS + 30 * DAY_MS) for at in range(60)]
    await write(path, *doubtful, *later, acked=120)
    assert len(await tidied(path, ROOMY, NOON_MS + 31 * DAY_MS)) == 120
    assert len(await tidied(path, ROOMY, NOON_MS + 41 * DAY_MS)) == 20


async def test_where_room_is_short_the_first_of_an_hour_stays_then_of_a_day(path: Path) -> None:
    # Four days of two meters in turn; of the last one nothing is thinned.
    readings = numbered(*(reading(at // 2, f"M{at % 2}") for at in range(2 * 4 * 96)))
    await write(path, *(one.reading for one in readings))
    left = await tidied(path, SHORT)
    until_ms = readings[-1].reading.wall_ms - DAY_MS
    old = [one for one in left if one.reading.wall_ms < until_ms]
    midnights = [one for one in readings if one.reading.wall_ms % DAY_MS == 0]
    assert old == midnights[: len(old)]
    assert len(old) == 6
    assert left[6:] == tuple(one for one in readings if one.reading.wall_ms >= until_ms)


async def test_it_is_thinned_no_further_than_room_is_short(path: Path) -> None:
    readings = numbered(*(reading(at // 50, f"M{at % 50}") for at in range(50 * 5 * 96)))
    await write(path, *(one.reading for one in readings))
    full = pages(path)
    limits = JournalSettings(bytes_max=full * 1024 * 8 // 10, room_min_bytes=0, readings_lot=200)
    left = await tidied(path, limits)
    assert 0.7 * full < pages(path) <= 0.8 * full + 1
    hourly = [one.ordinal for one in readings if one.reading.wall_ms % HOUR_MS == 0]
    ordinals = {one.ordinal for one in left}
    assert ordinals.issuperset(hourly), "nothing was thinned to a day"
    first_whole = next(
        one for one in readings if one.ordinal not in hourly and one.ordinal in ordinals
    )
    assert [one.ordinal for one in readings[first_whole.ordinal :]] == [
        one.ordinal for one in left if one.ordinal > first_whole.ordinal
    ], "the oldest went first"


async def test_where_the_disk_is_short_free_pages_are_given_back(path: Path) -> None:
    await write(path, *(reading(at // 50, f"M{at % 50}") for at in range(50 * 10 * 96)))
    before = path.stat().st_size
    await tidied(path, JournalSettings(room_min_bytes=2**60))
    assert path.stat().st_size < before / 3


async def test_where_there_is_room_free_pages_are_used_again(path: Path) -> None:
    await write(path, *(reading(at, wall_ms=NOON_MS) for at in range(20_000)), acked=20_000)
    before = path.stat().st_size
    assert await tidied(path, JournalSettings(room_min_bytes=0)) == ()
    assert path.stat().st_size == before
    await write(path, *(reading(at) for at in range(15_000)))
    assert path.stat().st_size == before


async def test_a_serial_number_is_written_once(path: Path) -> None:
    await write(path, *(reading(at, "METER-OF-LONG-NAME") for at in range(1_000)))
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert [*database.execute("SELECT count(*) FROM meters")] == [(1,)]
    assert path.read_bytes().count(b"METER-OF-LONG-NAME") == 2, "the table and its index"
    assert path.stat().st_size < 50 * 1_000 + 30_000


async def test_a_reading_that_is_none_is_a_damage_like_any_other(path: Path) -> None:
    await write(path, reading(0))
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        database.execute("UPDATE readings SET state = 9")
    async with opened(path) as journal:
        with pytest.raises(JournalError) as caught:
            await journal.readings_after(0, 1)
    assert caught.value.trouble is Trouble.CORRUPT
    assert path.with_name("journal.db.suspect").exists()


def pages(path: Path) -> int:
    """Those that are in use."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        ((count,),) = database.execute("PRAGMA page_count")
        ((free,),) = database.execute("PRAGMA freelist_count")
    return int(count) - int(free)
