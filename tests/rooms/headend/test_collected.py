"""The head end's file: each record once, no gap, one chain."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from gateway.core.marks import Marks
from gateway.core.model import GatewayId, Now
from gateway.core.records import CHAIN_START, HeadEndBack, Started, Stored, record_of, store
from gateway.core.trust_records import JournalLost
from gateway.headend.messages import RecordsBatch, pack_records, read_records
from gateway.utility.collected import (
    BatchRefusal,
    Collected,
    Counts,
    Position,
    contents_of,
    counts_of,
)

GATEWAY = GatewayId("gw-1")


def chained(count: int, version: str = "1.0", *, starts: tuple[int, ...] = (1,)) -> list[Stored]:
    return continued([], count, version, starts=starts)


def continued(
    before: list[Stored], count: int, version: str, *, starts: tuple[int, ...]
) -> list[Stored]:
    """Records up to `count`; at `starts` a process begins, else the head end comes back."""
    found = list(before)
    for number in range(len(found) + 1, count + 1):
        now = Now(mono_ms=number, boot=version, wall_ms=number, wall_low_ms=number)
        previous = found[-1].chain if found else CHAIN_START
        body = Started(version=version) if number in starts else HeadEndBack()
        found.append(store(record_of(number, body, now), previous))
    return found


STORED = chained(9)
CONTENTS = tuple(stored.content for stored in STORED)


def batch(first: int, last: int, stored: Sequence[Stored] = STORED) -> RecordsBatch:
    previous = stored[first - 2].chain if first > 1 else CHAIN_START
    return read_records(pack_records(GATEWAY, previous, stored[first - 1 : last]).payload)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.db"


@pytest.fixture
def collected(path: Path) -> Iterator[Collected]:
    opened = Collected.open(path)
    yield opened
    opened.close()


def test_batches_in_order_are_stored(collected: Collected, path: Path) -> None:
    assert collected.take(GATEWAY, batch(1, 4)).new == 4
    taken = collected.take(GATEWAY, batch(5, 9))
    assert taken.position == Position(through=9, chain=STORED[8].chain)
    assert contents_of(path, GATEWAY) == CONTENTS
    assert counts_of(path, GATEWAY) == Counts(written=9, duplicates=0, gaps=0, refused=0)


def test_what_came_before_is_counted_and_not_stored_again(collected: Collected, path: Path) -> None:
    collected.take(GATEWAY, batch(1, 5))
    taken = collected.take(GATEWAY, batch(3, 7))
    assert (taken.new, taken.duplicates, taken.refusal) == (2, 3, None)
    again = collected.take(GATEWAY, batch(1, 7))
    assert (again.new, again.duplicates, again.position.through) == (0, 7, 7)
    assert contents_of(path, GATEWAY) == CONTENTS[:7]
    assert counts_of(path, GATEWAY) == Counts(written=7, duplicates=10, gaps=0, refused=0)


def test_a_gap_is_refused_and_the_position_stays(collected: Collected, path: Path) -> None:
    collected.take(GATEWAY, batch(1, 2))
    taken = collected.take(GATEWAY, batch(4, 5))
    assert taken.refusal is BatchRefusal.GAP
    assert taken.position == Position(through=2, chain=STORED[1].chain)
    assert counts_of(path, GATEWAY) == Counts(written=2, duplicates=0, gaps=1, refused=0)


def other_history(first: int, last: int) -> RecordsBatch:
    return batch(first, last, chained(9, version="2.0", starts=()))


@pytest.mark.parametrize(
    ("bad", "refusal"),
    [
        (other_history(4, 5), BatchRefusal.CHAIN_MISMATCH),
        (other_history(1, 5), BatchRefusal.CHAIN_MISMATCH),
        (other_history(2, 3), BatchRefusal.CHAIN_MISMATCH),
        (
            msgspec.structs.replace(batch(4, 4), records=batch(5, 5).records),
            BatchRefusal.WRONG_NUMBER,
        ),
        (
            msgspec.structs.replace(batch(4, 4), records=(msgspec.Raw(b'{"n":4}'),)),
            BatchRefusal.WRONG_NUMBER,
        ),
        (
            msgspec.structs.replace(batch(4, 5), gateway="gw-2"),
            BatchRefusal.WRONG_GATEWAY,
        ),
    ],
)
def test_what_does_not_continue_the_chain_is_refused_whole(
    collected: Collected, path: Path, bad: RecordsBatch, refusal: BatchRefusal
) -> None:
    collected.take(GATEWAY, batch(1, 3))
    taken = collected.take(GATEWAY, bad)
    assert taken.refusal is refusal
    assert taken.position.through == 3
    assert contents_of(path, GATEWAY) == CONTENTS[:3]
    assert counts_of(path, GATEWAY) == Counts(written=3, duplicates=0, gaps=0, refused=1)


def test_a_journal_that_was_lost_begins_another_life(collected: Collected, path: Path) -> None:
    collected.take(GATEWAY, batch(1, 9))
    now = Now(mono_ms=1, boot="boot-2", wall_ms=1, wall_low_ms=1)
    lost = JournalLost(trouble="CORRUPT", marks=Marks(), amnesia=False)
    first = store(record_of(1, lost, now), CHAIN_START)
    again = continued([first], 4, "2.0", starts=(2,))
    taken = collected.take(GATEWAY, batch(1, 4, again))
    assert (taken.new, taken.parted_after, taken.refusal) == (4, 0, None)
    assert collected.position(GATEWAY) == Position(through=4, chain=again[3].chain)
    assert contents_of(path, GATEWAY) == tuple(stored.content for stored in again)
    assert counts_of(path, GATEWAY).lives == 2
    late = collected.take(GATEWAY, batch(3, 9))
    assert late.refusal is BatchRefusal.CHAIN_MISMATCH, "of the life before, nothing more counts"


def test_an_old_card_that_was_put_back_goes_on_from_where_it_was(
    collected: Collected, path: Path
) -> None:
    collected.take(GATEWAY, batch(1, 9))
    card = continued(STORED[:5], 8, "2.0", starts=(6,))
    taken = collected.take(GATEWAY, batch(4, 7, card))
    assert (taken.new, taken.duplicates, taken.parted_after) == (2, 2, 5)
    assert collected.take(GATEWAY, batch(8, 8, card)).new == 1
    assert contents_of(path, GATEWAY) == tuple(stored.content for stored in card)


def test_gateways_do_not_mix(collected: Collected, path: Path) -> None:
    other = GatewayId("gw-2")
    collected.take(GATEWAY, batch(1, 3))
    collected.take(other, msgspec.structs.replace(batch(1, 2), gateway=other))
    assert collected.position(GATEWAY).through == 3
    assert collected.position(other).through == 2
    assert counts_of(path, "gw-3") == Counts(written=0, duplicates=0, gaps=0, refused=0)


def test_it_goes_on_where_it_was_after_reopening(path: Path) -> None:
    first = Collected.open(path)
    first.take(GATEWAY, batch(1, 3))
    first.close()
    second = Collected.open(path)
    assert second.take(GATEWAY, batch(4, 9)).new == 6
    second.close()
    assert contents_of(path, GATEWAY) == CONTENTS
