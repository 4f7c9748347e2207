"""The journal against real SQLite files: what was committed is there, whatever happens after."""

import asyncio
import random
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.core.fact import Road
from gateway.core.marks import Mark, Marks
from gateway.core.records import CHAIN_START, SiteInstalled, Stored, chain_hash
from gateway.core.signature import DocumentType
from gateway.journal.sqlite import SqliteJournal
from gateway.journal.trouble import JournalError, Trouble
from gateway.ports import Batch, Loaded
from tests.rooms.journal.books import (
    CHECKOUT,
    WRITER,
    chained,
    document,
    files_up_to,
    listed,
    opened,
    reopened,
)

KILLS = 24


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite"


async def test_a_new_journal_is_empty(path: Path) -> None:
    assert await reopened(path) == Loaded(
        checkpoint=None, records=(), documents={}, number=0, chain=bytes(32), acked_through=0
    )


async def test_a_restart_returns_what_was_committed(path: Path) -> None:
    site, allow_list, receipt = (
        document(DocumentType.SITE, "a"),
        document(DocumentType.LIST, "b", adds=True),
        document(DocumentType.RECEIPT, "c"),
    )
    site_installed = SiteInstalled(
        seq=1, digest=site.digest, signer="s", road=Road.INSTALLED, meters=1
    )
    records = chained(1, body=site_installed)
    records += listed(allow_list, records[-1])
    records += chained(1, records[-1])
    marks = Marks(list=Mark(seq=1, digest=allow_list.digest), wall_low_ms=7)
    async with opened(path) as journal:
        batch = Batch(records=records[:2], documents=(site, allow_list), acked_through=1)
        await journal.commit(batch)
        await journal.commit(Batch(records=records[2:], documents=(receipt, site), marks=marks))
    assert await reopened(path) == Loaded(
        checkpoint=None,
        records=records,
        documents={each.digest: each for each in (site, allow_list)},
        number=3,
        chain=records[-1].chain,
        acked_through=1,
        marks=marks,
        marks_followed=True,
        new=False,
    )


async def test_only_what_follows_the_newest_checkpoint_is_loaded(path: Path) -> None:
    records = chained(6)
    earlier, later = document(DocumentType.LIST, "earlier"), document(DocumentType.LIST, "later")
    installed = listed(later, records[-1])
    async with opened(path) as journal:
        await journal.commit(Batch(records=records[:2], checkpoint=b"first"))
        await journal.commit(
            Batch(records=records[2:4], documents=(earlier,), checkpoint=b"second")
        )
        await journal.commit(
            Batch(records=records[4:] + installed, documents=(later,), acked_through=5)
        )
        before = await journal.load()
    loaded = await reopened(path)
    assert loaded == before
    assert (loaded.checkpoint, loaded.records) == (b"second", records[4:] + installed)
    assert (loaded.number, loaded.chain) == (7, installed[0].chain)
    assert loaded.acked_through == 5
    assert loaded.documents == {later.digest: later}


async def test_a_checkpoint_may_come_before_the_first_record(path: Path) -> None:
    async with opened(path) as journal:
        await journal.commit(Batch(checkpoint=b"nothing yet"))
        assert (await journal.load()).checkpoint == b"nothing yet"


async def test_records_are_read_within_a_size_and_at_least_one(path: Path) -> None:
    records = chained(100)
    size = len(records[0].content) + 32
    async with opened(path) as journal:
        await journal.commit(Batch(records=records))
        assert await journal.records_after(0, 1) == records[:1]
        assert await journal.records_after(3, 3 * size + 10) == records[3:6]
        assert await journal.records_after(90, 10**6) == records[90:]
        assert await journal.records_after(100, 10**6) == ()


async def test_the_chain_can_be_asked_for(path: Path) -> None:
    records = chained(3)
    async with opened(path) as journal:
        await journal.commit(Batch(records=records))
        assert await journal.chain_at(0) == bytes(32)
        assert await journal.chain_at(2) == records[1].chain
        assert await journal.chain_at(4) is None
        assert await journal.chain_at(-1) is None


def without_first(records: tuple[Stored, ...]) -> Batch:
    return Batch(records=records[1:])


def doubled(records: tuple[Stored, ...]) -> Batch:
    return Batch(records=(records[0], records[0]))


def with_hole(records: tuple[Stored, ...]) -> Batch:
    return Batch(records=(records[0], records[2]))


def altered(records: tuple[Stored, ...]) -> Batch:
    first = records[0]
    return Batch(records=(Stored(number=first.number, chain=first.chain, content=b"{}"),))


def acknowledged_beyond(records: tuple[Stored, ...]) -> Batch:
    return Batch(records=records, acked_through=records[-1].number + 1)


def acknowledged_less(records: tuple[Stored, ...]) -> Batch:
    return Batch(records=records, acked_through=0)


@pytest.mark.parametrize(
    "wrong",
    [without_first, doubled, with_hole, altered, acknowledged_beyond, acknowledged_less],
)
async def test_a_batch_that_does_not_continue_is_refused_whole(
    path: Path, wrong: Callable[[tuple[Stored, ...]], Batch]
) -> None:
    before = chained(2)
    after = chained(3, before[-1])
    async with opened(path) as journal:
        await journal.commit(Batch(records=before, acked_through=1))
        with pytest.raises(JournalError) as caught:
            await journal.commit(wrong(after))
        assert caught.value.trouble is Trouble.DISCONTINUOUS
        assert (await journal.load()).records == before
        await journal.commit(Batch(records=after))
    assert (await reopened(path)).records == before + after


async def test_a_disk_that_fails_is_named_and_costs_only_the_batch(path: Path) -> None:
    records = chained(400)
    async with opened(path) as journal:
        await journal.commit(Batch(records=records[:1]))
        with files_up_to(40_000), pytest.raises(JournalError) as caught:
            await journal.commit(Batch(records=records[1:], checkpoint=b"c"))
        assert caught.value.trouble is Trouble.DISK_ERROR
        assert (await journal.load()).records == records[:1]
        await journal.commit(Batch(records=records[1:]))
    assert (await reopened(path)).records == records


async def test_an_empty_batch_writes_nothing(path: Path) -> None:
    async with opened(path) as journal:
        await journal.commit(Batch(records=chained(1)))
        log = path.with_name(path.name + "-wal")
        before = log.stat()
        await journal.commit(Batch())
        assert log.stat() == before


async def test_two_callers_do_not_mix(path: Path) -> None:
    # The second caller's batch continues nothing until the first's is there: it is refused alone,
    # though both are handed over before either has begun.
    first = chained(50)
    gap = chained(2, first[-1])[1:]
    async with opened(path) as journal:
        outcomes = await asyncio.gather(
            journal.commit(Batch(records=first)),
            journal.commit(Batch(records=gap)),
            journal.records_after(0, 10**6),
            journal.commit(Batch(records=chained(1, first[-1]))),
            return_exceptions=True,
        )
    assert isinstance(outcomes[1], JournalError)
    assert outcomes[2] == first
    assert outcomes[0] is None
    assert outcomes[3] is None
    assert (await reopened(path)).number == 51


@pytest.mark.parametrize("turns", range(8))
async def test_a_cancelled_caller_cancels_no_transaction(path: Path, turns: int) -> None:
    records = chained(40)
    async with opened(path) as journal:
        task = asyncio.create_task(journal.commit(Batch(records=records, checkpoint=b"c")))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        handed_over = turns > 0
        loaded = await journal.load()  # waits for its turn behind the cancelled caller's
        assert loaded.checkpoint == (b"c" if handed_over else None)
        assert loaded.number == (40 if handed_over else 0)
        after = records[-1] if handed_over else None
        await journal.commit(Batch(records=chained(1, after)))


async def test_closing_finishes_what_was_handed_over(path: Path) -> None:
    journal = await SqliteJournal.open(path)
    commit = asyncio.create_task(journal.commit(Batch(records=chained(30))))
    await asyncio.sleep(0)
    await journal.close()
    await journal.close()
    await commit
    with pytest.raises(JournalError, match="CLOSED"):
        await journal.load()
    assert (await reopened(path)).number == 30


async def test_who_comes_after_the_closing_is_turned_away(path: Path) -> None:
    journal = await SqliteJournal.open(path)
    closing = asyncio.create_task(journal.close())
    await asyncio.sleep(0)
    with pytest.raises(JournalError, match="CLOSED"):
        await journal.load()
    await closing


def test_nothing_printed_as_committed_is_lost_to_a_kill(path: Path) -> None:
    chance = random.Random(20)
    committed = 0
    for _ in range(KILLS):
        lines = chance.randrange(1, 20)
        with subprocess.Popen([*WRITER, path], cwd=CHECKOUT, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            opening = writer.stdout.readline().split()
            assert opening[0] == b"opened"
            assert int(opening[1]) >= committed
            for _ in range(lines):
                committed = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            for line in writer.stdout:  # what it still said before it died
                committed = int(line)
        loaded = asyncio.run(reopened(path))
        assert loaded.number >= committed
        assert loaded.number % 2 == 0  # no half batch
        assert loaded.checkpoint == ((loaded.number // 10) * 10).to_bytes(8)
    assert asyncio.run(whole_chain_holds(path))


async def whole_chain_holds(path: Path) -> bool:
    async with opened(path) as journal:
        number, chain = 0, CHAIN_START
        while records := await journal.records_after(number, 65_536):
            for record in records:
                assert record.number == number + 1
                chain = chain_hash(chain, record.content)
                assert record.chain == chain
                number = record.number
        return number == (await journal.load()).number
