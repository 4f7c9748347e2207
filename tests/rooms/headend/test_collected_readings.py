"""What the head end holds of readings, in both databases: each once, by life and ordinal."""

import itertools
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.records import Stored
from gateway.headend.metering import MeterReading, Place, ReadingsBatch
from gateway.utility.collect_readings import (
    SPANS_MAX,
    OfferedReadings,
    ReadingsRefusal,
    TakenReadings,
    merged,
)
from gateway.utility.collect_store import opened_store
from gateway.utility.collected import Position, Store
from tests.rooms.headend.engine_side import reading
from tests.rooms.headend.test_collected import GATEWAY, STORED, batch, chained, continued, take

LAST = STORED[8]


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    """One that holds nine records of the gateway."""
    with opened_store(place) as opened:
        take(opened, batch(1, 9))
        yield opened


def after(stored: Stored) -> Place:
    return Place(number=stored.number, chain=stored.chain.hex())


def readings(first: int, last: int) -> tuple[MeterReading, ...]:
    return tuple(reading(ordinal) for ordinal in range(first, last + 1))


def offer(
    store: Store,
    first: int,
    last: int,
    *,
    acked: int = 0,
    held: Stored = LAST,
    kept: Sequence[MeterReading] | None = None,
    said_by: str = GATEWAY,
) -> TakenReadings:
    said = ReadingsBatch(
        gateway=said_by,
        first=first,
        last=last,
        acked=acked,
        after=after(held),
        readings=readings(first, last) if kept is None else tuple(kept),
    )
    (taken,) = store.take_readings([OfferedReadings(gateway=GATEWAY, batch=said)])
    return taken


def test_batches_in_order_are_stored_and_stand_in_the_position(store: Store) -> None:
    assert offer(store, 1, 4) == TakenReadings(through=4, new=4)
    assert offer(store, 5, 9) == TakenReadings(through=9, new=5)
    assert store.readings(GATEWAY) == readings(1, 9)
    assert store.position(GATEWAY) == Position(through=9, chain=LAST.chain, readings=9)


def test_what_comes_again_is_stored_once(store: Store) -> None:
    offer(store, 1, 6)
    assert offer(store, 1, 6) == TakenReadings(through=6, new=0)
    assert offer(store, 3, 8) == TakenReadings(through=8, new=2)
    assert store.readings(GATEWAY) == readings(1, 8)


def test_readings_that_were_thinned_are_no_gap(store: Store) -> None:
    assert offer(store, 1, 9, kept=[reading(4), reading(9)]) == TakenReadings(through=9, new=2)
    assert offer(store, 10, 15, kept=[]) == TakenReadings(through=15, new=0)
    assert store.readings(GATEWAY) == (reading(4), reading(9))


def test_what_comes_early_is_stored_and_counts_when_the_rest_is_there(
    store: Store, place: str
) -> None:
    assert offer(store, 7, 9) == TakenReadings(through=0, new=3)
    with opened_store(place) as another_worker:
        assert offer(another_worker, 4, 6) == TakenReadings(through=0, new=3)
    assert offer(store, 1, 3) == TakenReadings(through=9, new=3)
    assert store.readings(GATEWAY) == readings(1, 9)


def test_only_so_many_stretches_wait(store: Store) -> None:
    for at in range(SPANS_MAX):
        assert offer(store, 3 + 2 * at, 3 + 2 * at).refusal is None
    too_far = 3 + 2 * SPANS_MAX
    assert offer(store, too_far, too_far).refusal is ReadingsRefusal.GAP
    assert offer(store, 1, 2).through == 3


def test_a_database_that_was_lost_says_what_does_not_come_back(store: Store) -> None:
    offer(store, 1, 2)
    assert offer(store, 8, 9, acked=5) == TakenReadings(through=5, new=2, lost=(3, 5))
    assert offer(store, 6, 7, acked=5) == TakenReadings(through=9, new=2)


def test_after_a_lost_journal_ordinals_begin_at_one_in_another_life(store: Store) -> None:
    offer(store, 1, 5)
    other = chained(3, "2.0")
    assert take(store, batch(1, 3, other)).parted_after == 0
    assert store.position(GATEWAY).readings == 0
    assert offer(store, 1, 2, held=other[-1]) == TakenReadings(through=2, new=2)
    assert store.readings(GATEWAY) == readings(1, 2)
    # A late one of the life before is taken there and moves nothing here.
    assert offer(store, 6, 7) == TakenReadings(through=7, new=2)
    assert store.position(GATEWAY).readings == 2


def test_a_journal_that_was_put_back_misses_nothing_that_the_life_before_has(store: Store) -> None:
    offer(store, 1, 5)
    other = continued(STORED[:4], 6, "2.0", starts=(5,))
    assert take(store, batch(5, 6, other)).parted_after == 4
    assert offer(store, 4, 6, acked=3, held=other[-1]) == TakenReadings(through=6, new=3)
    assert store.position(GATEWAY).readings == 6


def test_readings_of_a_journal_that_is_not_known_wait_for_its_records(store: Store) -> None:
    stranger = chained(3, "2.0")[-1]
    assert offer(store, 1, 2, held=stranger).refusal is ReadingsRefusal.LIFE_UNKNOWN
    assert store.readings(GATEWAY) == ()


def test_readings_under_another_gateways_name_are_refused(store: Store) -> None:
    assert offer(store, 1, 2, said_by="gw-2").refusal is ReadingsRefusal.WRONG_GATEWAY


def test_a_database_without_records_knows_their_life_once_the_next_came(place: str) -> None:
    with opened_store(place) as store:
        assert offer(store, 1, 2, held=STORED[6]).refusal is ReadingsRefusal.LIFE_UNKNOWN
        take(store, batch(8, 9, none_after=0))
        assert offer(store, 1, 2, held=STORED[6]).new == 2


SPANS = st.lists(
    st.tuples(st.integers(1, 40), st.integers(0, 9)).map(lambda at: (at[0], at[0] + at[1])),
    max_size=12,
)


@given(SPANS)
def test_stretches_are_merged_to_the_same_ordinals(spans: list[tuple[int, int]]) -> None:
    found = merged(spans)
    assert {n for first, last in found for n in range(first, last + 1)} == {
        n for first, last in spans for n in range(first, last + 1)
    }
    assert all(one[1] + 1 < other[0] for one, other in itertools.pairwise(found))
