"""What the journal keeps, and for how long: what is acknowledged and old goes, oldest first."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from gateway.core.kept import TimeBound
from gateway.core.marks import Mark, Marks
from gateway.core.model import Now, TimeSource
from gateway.core.records import CHAIN_START, Started, Stored, chain_hash, record_of, store
from gateway.core.signature import DocumentType
from gateway.journal.limits import DAY_MS, JournalSettings
from gateway.journal.tidying import Tidying
from gateway.ports import Batch, Loaded
from tests.rooms.journal.books import document, opened

LIMITS = JournalSettings(records_days=30, records_lot=10)
NOON_MS = 1_800_000_000_000
NOW_MS = NOON_MS + 100 * DAY_MS
PAPERS = tuple(document(DocumentType.RECEIPT, at) for at in range(3))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


def written_on(days: Sequence[int], *, trusted: bool = True) -> tuple[Stored, ...]:
    """A record for each: so many days after noon it was written."""
    records: list[Stored] = []
    chain = CHAIN_START
    for number, day in enumerate(days, start=1):
        wall_ms = NOON_MS + day * DAY_MS
        now = Now(
            mono_ms=number,
            boot="boot",
            wall_ms=wall_ms,
            wall_low_ms=wall_ms,
            wall_high_ms=wall_ms if trusted else None,
            source=TimeSource.NETWORK if trusted else TimeSource.NONE,
        )
        records.append(store(record_of(number, Started(version="x"), now), chain))
        chain = records[-1].chain
    return tuple(records)


def continuing(one: tuple[Stored, ...], other: tuple[Stored, ...]) -> tuple[Stored, ...]:
    """The other's records after the one's."""
    records, chain = [*one], one[-1].chain
    for at, record in enumerate(other, start=len(one) + 1):
        content = record.content.replace(b'"number":%d,' % record.number, b'"number":%d,' % at)
        chain = chain_hash(chain, content)
        records.append(Stored(number=at, chain=chain, content=content))
    return tuple(records)


async def kept_of(
    path: Path,
    records: tuple[Stored, ...],
    *,
    acked: int | None = None,
    checkpoints: tuple[int, ...] = (90, 95),
    now_ms: int = NOW_MS,
    limits: JournalSettings = LIMITS,
) -> list[int]:
    """The numbers that are there after these were written, with checkpoints, and tidied."""
    last = records[-1].number
    async with opened(path, limits=limits) as journal:
        for after, upto in zip((0, *checkpoints), (*checkpoints, last), strict=True):
            checkpoint = b"at %d" % upto if upto in checkpoints else None
            await journal.commit(Batch(records=records[after:upto], checkpoint=checkpoint))
        await journal.commit(Batch(acked_through=last if acked is None else acked))
        await journal.tidy(now_ms)
        return [record.number for record in await journal.records_after(0, 10**7)]


async def again(path: Path) -> Loaded:
    async with opened(path, limits=LIMITS) as journal:
        return await journal.load()


async def test_what_is_old_and_acknowledged_goes_in_whole_lots(path: Path) -> None:
    records = written_on(range(100))
    assert await kept_of(path, records) == [*range(71, 101)]


@pytest.mark.parametrize("acked", [0, 9, 10, 34, 69])
async def test_what_is_not_acknowledged_stays_however_old_it_is(path: Path, acked: int) -> None:
    records = written_on(range(100))
    assert await kept_of(path, records, acked=acked) == [*range(acked // 10 * 10 + 1, 101)]


@pytest.mark.parametrize(
    ("checkpoints", "first"),
    [((20, 99), 21), ((19, 99), 11), ((5, 20, 99), 21), ((60,), 1), ((), 1)],
)
async def test_what_a_restart_from_the_older_checkpoint_needs_stays(
    path: Path, checkpoints: tuple[int, ...], first: int
) -> None:
    records = written_on(range(100))
    assert await kept_of(path, records, checkpoints=checkpoints) == [*range(first, 101)]


async def test_the_time_that_nobody_answered_for_is_not_believed(path: Path) -> None:
    # The clock was behind: it was written long after the day that it says.
    records = written_on([0] * 100, trusted=False)
    assert await kept_of(path, records) == [*range(1, 101)]


async def test_what_came_before_a_trusted_time_is_older_than_that(path: Path) -> None:
    records = continuing(
        continuing(written_on([0] * 45, trusted=False), written_on([1])),
        written_on([0] * 54, trusted=False),
    )
    assert await kept_of(path, records) == [*range(41, 101)]


async def test_a_clock_that_is_behind_removes_nothing(path: Path) -> None:
    records = written_on(range(100))
    assert await kept_of(path, records, now_ms=NOON_MS) == [*range(1, 101)]
    assert await kept_of(path.with_name("other.db"), records, now_ms=0) == [*range(1, 101)]


async def test_the_chain_goes_on_from_the_last_that_was_removed(path: Path) -> None:
    records = written_on(range(100))
    await kept_of(path, records)
    async with opened(path, limits=LIMITS) as journal:
        assert await journal.chain_at(70) == records[69].chain
        assert await journal.chain_at(71) == records[70].chain
        assert [await journal.chain_at(at) for at in (1, 69)] == [None, None]
        assert await journal.chain_at(0) == CHAIN_START
        assert await journal.records_after(0, 10**7) == records[70:]
        loaded = await journal.load()
        assert (loaded.number, loaded.checkpoint, loaded.records) == (100, b"at 95", records[95:])
        assert (loaded.acked_through, loaded.lost) == (100, "")


async def test_while_it_is_tidied_others_have_their_turn(path: Path) -> None:
    records = written_on(range(100))
    await kept_of(path, records[:99], now_ms=NOON_MS)
    async with opened(path, limits=LIMITS) as journal:
        tidying = asyncio.create_task(journal.tidy(NOW_MS))
        await asyncio.sleep(0)  # its first step is handed over
        await journal.commit(Batch(records=records[99:]))
        in_between = not tidying.done()
        await tidying
        assert [one.number for one in await journal.records_after(0, 10**7)] == [*range(71, 101)]
    assert in_between


async def test_it_is_tidied_once_and_again(path: Path) -> None:
    records = written_on(range(100))
    await kept_of(path, records, now_ms=NOON_MS)
    async with opened(path, limits=LIMITS) as journal:
        clock = ClockAt(NOW_MS - 50 * DAY_MS)
        tidying = asyncio.create_task(Tidying(journal, clock, after_s=0, every_s=0.01).run())
        async with asyncio.timeout(60):
            while await journal.chain_at(1) is not None:
                await asyncio.sleep(0)
            clock.wall_low_ms = NOW_MS
            while await journal.chain_at(70) is None or await journal.chain_at(69) is not None:
                await asyncio.sleep(0)
        tidying.cancel()
        await asyncio.wait({tidying})
        assert (await journal.records_after(0, 1))[0].number == 71


class ClockAt:
    """A clock that is certain of one time."""

    def __init__(self, wall_low_ms: int) -> None:
        self.wall_low_ms = wall_low_ms

    def now(self) -> Now:
        low_ms = self.wall_low_ms
        return Now(mono_ms=1, boot="boot", wall_ms=low_ms, wall_low_ms=low_ms)

    def raise_low(self, wall_low_ms: int) -> None:
        """It does not go on."""

    def reset_low(self, wall_low_ms: int) -> None:
        """It does not go on."""

    def bound(self, bound: TimeBound | None) -> None:
        """It does not go on."""


async def test_a_damaged_checkpoint_falls_back_to_the_one_before(path: Path) -> None:
    records = written_on(range(100))
    await kept_of(path, records)
    change(path, "UPDATE checkpoints SET content = x'64' WHERE number = 95")
    loaded = await again(path)
    assert (loaded.checkpoint, loaded.records, loaded.lost) == (b"at 90", records[90:], "")


async def test_where_neither_is_sound_and_records_are_gone_it_is_set_aside(path: Path) -> None:
    await kept_of(path, written_on(range(100)))
    async with opened(path, limits=LIMITS) as journal:
        await journal.commit(Batch(documents=PAPERS, marks=Marks(list=Mark(seq=7))))
    change(path, "UPDATE checkpoints SET digest = zeroblob(32)")
    loaded = await again(path)
    assert (loaded.number, loaded.archived) == (0, PAPERS)
    assert loaded.marks == Marks(list=Mark(seq=7))
    assert "no checkpoint is sound, and of the records before 71 nothing is left" in loaded.lost
    assert loaded.lost.startswith("CORRUPT: ")
    assert path.with_name("journal.db.lost-1").exists()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE meta SET removed_through = 69",
        "UPDATE meta SET removed_through = 0",
        "DELETE FROM records WHERE number = 71",
        "DELETE FROM records",
    ],
)
async def test_records_that_somebody_else_removed_are_missed(path: Path, statement: str) -> None:
    await kept_of(path, written_on(range(100)))
    change(path, statement)
    loaded = await again(path)
    assert (loaded.number, loaded.lost.startswith("CORRUPT: ")) == (0, True)


async def test_the_chain_of_the_last_removed_is_what_the_next_continues(path: Path) -> None:
    records = written_on(range(100))
    await kept_of(path, records, checkpoints=(70, 95))
    change(path, "UPDATE meta SET removed_chain = zeroblob(32)")
    change(path, "DELETE FROM checkpoints WHERE number = 95")
    loaded = await again(path)
    assert loaded.lost.startswith("CORRUPT: no checkpoint is sound")


async def test_marks_are_followed_though_the_record_after_which_they_were_written_went(
    path: Path,
) -> None:
    records, marks = written_on(range(100)), Marks(list=Mark(seq=3))
    async with opened(path, limits=LIMITS) as journal:
        await journal.commit(Batch(records=records[:5], marks=marks))
    await kept_of_more(path, records)
    loaded = await again(path)
    assert (loaded.marks, loaded.marks_followed) == (marks, True)
    async with opened(path, limits=LIMITS) as journal:
        assert (await journal.records_after(0, 1))[0].number == 71


async def kept_of_more(path: Path, records: tuple[Stored, ...]) -> None:
    async with opened(path, limits=LIMITS) as journal:
        await journal.load()
        await journal.commit(Batch(records=records[5:90], checkpoint=b"older"))
        await journal.commit(Batch(records=records[90:], checkpoint=b"newer", acked_through=100))
        await journal.tidy(NOW_MS)


async def test_a_large_checkpoint_is_deflated_and_comes_back_whole(path: Path) -> None:
    large = b"account" * 100_000
    async with opened(path) as journal:
        await journal.commit(Batch(records=written_on([1]), checkpoint=large))
        assert (await journal.load()).checkpoint == large
    assert path.stat().st_size < len(large) / 10
    change(path, "UPDATE checkpoints SET deflated = 0")
    assert (await again(path)).checkpoint is None, "what is stored is not what was kept"


async def test_of_checkpoints_the_two_newest_stay(path: Path) -> None:
    records = written_on(range(6))
    async with opened(path) as journal:
        for at in range(6):
            await journal.commit(Batch(records=records[at : at + 1], checkpoint=b"%d" % at))
        await journal.commit(Batch(checkpoint=b"again"))
    with contextlib.closing(sqlite3.connect(path)) as database:
        rows = [*database.execute("SELECT number, content FROM checkpoints ORDER BY number")]
    assert rows == [(5, b"4"), (6, b"again")]


def test_every_limit_has_a_bound_on_both_sides() -> None:
    for field in msgspec.structs.fields(JournalSettings):
        for value in (-1, 2**50):
            with pytest.raises(msgspec.ValidationError):
                msgspec.convert({field.name: value}, JournalSettings)
    assert msgspec.convert({}, JournalSettings) == JournalSettings()


def change(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute(statement)
