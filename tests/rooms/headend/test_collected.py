"""What the head end holds, in both databases: each record once, no gap, one chain."""

from collections.abc import Iterator, Sequence

import msgspec
import pytest

from gateway.core import records
from gateway.core.marks import Marks
from gateway.core.model import GatewayId, Now
from gateway.core.records import CHAIN_START, HeadEndBack, Started, Stored, record_of
from gateway.core.trust_records import JournalLost
from gateway.headend.messages import RecordsBatch, pack_records, read_records
from gateway.utility.collect_store import open_store, opened_store
from gateway.utility.collected import (
    ASIDE_MAX,
    BatchRefusal,
    Counts,
    Lost,
    Offered,
    Position,
    Store,
    StoreFailed,
    Taken,
)
from tests.rooms.postgres import Postgres, postgres

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
        found.append(records.store(record_of(number, body, now), previous))
    return found


STORED = chained(9)
CONTENTS = tuple(stored.content for stored in STORED)


def batch(
    first: int, last: int, stored: Sequence[Stored] = STORED, none_after: int | None = None
) -> RecordsBatch:
    previous = stored[first - 2].chain if first > 1 else CHAIN_START
    packed = pack_records(GATEWAY, previous, stored[first - 1 : last], none_after)
    return read_records(packed.payload)


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    with opened_store(place) as opened:
        yield opened


def take(store: Store, batch: RecordsBatch, gateway: GatewayId = GATEWAY) -> Taken:
    (taken,) = store.take([Offered(gateway=gateway, batch=batch)])
    return taken


def test_batches_in_order_are_stored(store: Store) -> None:
    assert take(store, batch(1, 4)).new == 4
    taken = take(store, batch(5, 9))
    assert taken.position == Position(through=9, chain=STORED[8].chain)
    assert store.contents(GATEWAY) == CONTENTS
    assert store.counts(GATEWAY) == Counts(written=9, duplicates=0, gaps=0, refused=0)


def test_what_came_before_is_counted_and_not_stored_again(store: Store) -> None:
    take(store, batch(1, 5))
    taken = take(store, batch(3, 7))
    assert (taken.new, taken.duplicates, taken.refusal) == (2, 3, None)
    again = take(store, batch(1, 7))
    assert (again.new, again.duplicates, again.position.through) == (0, 7, 7)
    assert store.contents(GATEWAY) == CONTENTS[:7]
    assert store.counts(GATEWAY) == Counts(written=7, duplicates=10, gaps=0, refused=0)


def test_what_comes_early_is_kept_aside_and_the_position_stays(store: Store) -> None:
    take(store, batch(1, 2))
    taken = take(store, batch(4, 5))
    assert (taken.aside, taken.refusal) == (True, None)
    assert taken.position == Position(through=2, chain=STORED[1].chain)
    assert store.counts(GATEWAY) == Counts(written=2, duplicates=0, gaps=1, refused=0)


def test_what_was_kept_aside_is_taken_in_by_what_was_missing(store: Store, place: str) -> None:
    for first in (8, 4, 6):
        assert take(store, batch(first, first + 1)).aside
    with opened_store(place) as another_worker:
        taken = take(another_worker, batch(1, 3))
    assert taken.records == CONTENTS
    assert take(store, batch(1, 9)).duplicates == 9
    assert store.contents(GATEWAY) == CONTENTS


def test_the_longer_of_two_early_batches_is_kept(store: Store) -> None:
    for last in (5, 9, 6):
        take(store, batch(4, last))
    assert take(store, batch(1, 4)).position.through == 9


def test_what_was_kept_aside_and_does_not_continue_is_left_out(store: Store) -> None:
    assert take(store, other_history(4, 5)).aside
    assert take(store, batch(1, 3)).position.through == 3
    assert take(store, batch(4, 9)).new == 6
    assert store.contents(GATEWAY) == CONTENTS


def test_only_so_much_is_kept_aside(store: Store) -> None:
    many = chained(ASIDE_MAX + 3)
    early = [take(store, batch(at, at, many)) for at in range(2, ASIDE_MAX + 3)]
    assert [taken.aside for taken in early] == [True] * ASIDE_MAX + [False]
    assert early[-1].refusal is BatchRefusal.GAP
    assert take(store, batch(1, 1, many)).position.through == ASIDE_MAX + 1


def test_a_database_that_was_lost_waits_for_what_the_gateway_has(store: Store) -> None:
    early = take(store, batch(6, 7))
    assert (early.aside, early.position) == (True, Position(through=0, chain=CHAIN_START))
    again = take(store, batch(6, 9))
    assert (again.aside, again.lost) == (True, None), "it may have been under way"
    assert take(store, batch(1, 5)).new == 9
    assert store.contents(GATEWAY) == CONTENTS
    assert store.counts(GATEWAY).lost == 0


def test_what_the_gateway_has_no_more_is_lost(store: Store) -> None:
    take(store, batch(6, 7))
    taken = take(store, batch(6, 7, none_after=0))
    assert taken.lost == Lost(first=1, through=5)
    assert (taken.new, taken.position.through) == (2, 7)
    again = take(store, batch(6, 9, none_after=0))
    assert (again.lost, again.duplicates, again.new) == (None, 2, 2)
    assert store.contents(GATEWAY) == CONTENTS[5:]
    assert store.counts(GATEWAY).lost == 5


def test_a_database_that_was_put_back_says_what_is_missing_between(store: Store) -> None:
    take(store, batch(1, 3))
    assert take(store, batch(8, 8)).aside, "record 7 is only late"
    assert take(store, batch(7, 7, none_after=3)).lost == Lost(first=4, through=6)
    assert store.contents(GATEWAY) == CONTENTS[:3] + CONTENTS[6:8]


def test_what_was_not_asked_for_may_still_come(store: Store) -> None:
    take(store, batch(1, 2))
    assert take(store, batch(7, 9, none_after=4)).aside, "of 3 and 4 it says nothing"
    assert take(store, batch(3, 6)).position.through == 9
    assert store.counts(GATEWAY).lost == 0


def test_a_late_batch_of_the_life_before_is_no_loss(store: Store) -> None:
    take(store, batch(1, 9))
    card = continued(STORED[:5], 6, "2.0", starts=(6,))
    assert take(store, batch(6, 6, card)).parted_after == 5
    late = take(store, batch(9, 9, none_after=5))
    assert (late.lost, late.new) == (None, 0)
    assert store.position(GATEWAY) == Position(through=6, chain=card[5].chain, life=2)


def test_batches_of_many_gateways_are_taken_together(store: Store) -> None:
    other = GatewayId("gw-0")
    of_other = msgspec.structs.replace(batch(1, 2), gateway=other)
    offered = [
        Offered(gateway=GATEWAY, batch=batch(1, 3)),
        Offered(gateway=other, batch=of_other),
        Offered(gateway=GATEWAY, batch=batch(4, 9)),
    ]
    assert [taken.position.through for taken in store.take(offered)] == [3, 2, 9]
    assert store.contents(GATEWAY) == CONTENTS


def test_one_worker_speaks_for_all_until_it_ends(place: str) -> None:
    with opened_store(place) as second:
        with opened_store(place) as first:
            assert (first.lead(), first.lead(), second.lead()) == (True, True, False)
        # A server notices a moment after a connection is closed.
        while not second.lead():
            continue


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
    store: Store, bad: RecordsBatch, refusal: BatchRefusal
) -> None:
    take(store, batch(1, 3))
    taken = take(store, bad)
    assert taken.refusal is refusal
    assert taken.position.through == 3
    assert store.contents(GATEWAY) == CONTENTS[:3]
    assert store.counts(GATEWAY) == Counts(written=3, duplicates=0, gaps=0, refused=1)


def test_a_journal_that_was_lost_begins_another_life(store: Store) -> None:
    take(store, batch(1, 9))
    now = Now(mono_ms=1, boot="boot-2", wall_ms=1, wall_low_ms=1)
    lost = JournalLost(trouble="CORRUPT", marks=Marks(), amnesia=False)
    first = records.store(record_of(1, lost, now), CHAIN_START)
    again = continued([first], 4, "2.0", starts=(2,))
    taken = take(store, batch(1, 4, again))
    assert (taken.new, taken.parted_after, taken.refusal) == (4, 0, None)
    assert store.position(GATEWAY) == Position(through=4, chain=again[3].chain, life=2)
    assert store.contents(GATEWAY) == tuple(stored.content for stored in again)
    assert store.counts(GATEWAY).lives == 2
    late = take(store, batch(3, 9))
    assert late.refusal is BatchRefusal.CHAIN_MISMATCH, "of the life before, nothing more counts"


def test_an_old_card_that_was_put_back_goes_on_from_where_it_was(store: Store) -> None:
    take(store, batch(1, 9))
    card = continued(STORED[:5], 8, "2.0", starts=(6,))
    taken = take(store, batch(4, 7, card))
    assert (taken.new, taken.duplicates, taken.parted_after) == (2, 2, 5)
    assert take(store, batch(8, 8, card)).new == 1
    assert store.contents(GATEWAY) == tuple(stored.content for stored in card)


def test_gateways_do_not_mix(store: Store) -> None:
    other = GatewayId("gw-2")
    take(store, batch(1, 3))
    take(store, msgspec.structs.replace(batch(1, 2), gateway=other), other)
    assert store.position(GATEWAY).through == 3
    assert store.position(other).through == 2
    assert store.counts("gw-3") == Counts(written=0, duplicates=0, gaps=0, refused=0)


def test_it_goes_on_where_it_was_after_reopening(place: str) -> None:
    with opened_store(place) as first:
        take(first, batch(1, 3))
    with opened_store(place) as second:
        assert take(second, batch(4, 9)).new == 6
        assert second.contents(GATEWAY) == CONTENTS


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("missing/records.db", "missing/records.db: unable to open"),
        ("mysql://here/records", "mysql://: unknown; give a file, or postgresql://HOST/DATABASE"),
        ("postgresql:///x?host=/nowhere", "postgresql:///x: connection is bad"),
        ("postgresql://a:secret@/x?host=/nowhere", "postgresql:///x: connection is bad"),
        ("postgresql://[", "postgresql://[: "),
    ],
)
def test_what_cannot_be_opened_is_named_without_its_password(place: str, said: str) -> None:
    with pytest.raises(StoreFailed) as failed:
        open_store(place)
    assert str(failed.value).startswith(said)
    assert "secret" not in str(failed.value)


def test_a_server_that_forgets_at_a_power_cut_is_refused() -> None:
    with postgres() as running:
        running.stop()
        running.start("fsync=off")
        with pytest.raises(StoreFailed, match="NOT_DURABLE"):
            open_store(running.fresh())


def test_a_server_that_goes_away_is_told_from_one_that_never_was(server: Postgres) -> None:
    with opened_store(server.fresh()) as opened:
        take(opened, batch(1, 3))
        server.stop()
        server.start()
        with pytest.raises(StoreFailed) as failed:
            take(opened, batch(4, 9))
    assert failed.value.passing
