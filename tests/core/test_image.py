"""How records and observations change the image, one change at a time."""

import msgspec
import pytest

from gateway.core.fact import (
    BrokerSeen,
    BusSeen,
    CloseEnded,
    HeadEndSeen,
    MeterSeen,
    Outcome,
    Started,
    TagKind,
    record_of,
)
from gateway.core.image import UNWRITTEN, Image, apply, observe, restored
from gateway.core.kept import Instant, Kept
from gateway.core.model import BusId, Reading, Serial, SupplyState
from tests.core.world import (
    BLANK,
    HOUR_MS,
    LEDGER_MS,
    M1,
    M2,
    MINUTE_MS,
    World,
    dark_and_paid,
    entry,
    meter,
)

OPEN, CLOSED = SupplyState.DISCONNECTED, SupplyState.CONNECTED
AT = Instant(boot="boot-1", mono_ms=1_000, wall_ms=2_000)
LATER = Instant(boot="boot-1", mono_ms=3_000, wall_ms=4_000)


def seen(state: SupplyState, mono_ms: int) -> MeterSeen:
    return MeterSeen(serial=Serial("M1"), reading=Reading(state=state, mono_ms=mono_ms))


# --- observations ---


def test_the_newest_reading_of_a_meter_counts_whichever_comes_last() -> None:
    image = observe(BLANK, seen(OPEN, 500), AT)
    image = observe(image, seen(CLOSED, 900), AT)
    image = observe(image, seen(OPEN, 700), AT)
    assert image.seen["M1"] == seen(CLOSED, 900).reading


def test_of_two_readings_of_one_instant_the_last_counts() -> None:
    image = observe(observe(BLANK, seen(OPEN, 500), AT), seen(CLOSED, 500), AT)
    assert image.seen["M1"].state is CLOSED


def test_a_bus_and_the_broker_are_as_last_seen() -> None:
    image = observe(BLANK, BusSeen(bus=BusId("bus-1"), open=False), AT)
    image = observe(image, BusSeen(bus=BusId("bus-1"), open=True, good=7), AT)
    image = observe(image, BrokerSeen(connected=True, protocol="5"), AT)
    assert image.buses == {"bus-1": BusSeen(bus=BusId("bus-1"), open=True, good=7)}
    assert image.broker == BrokerSeen(connected=True, protocol="5")


def test_the_head_end_is_up_since_it_first_said_so() -> None:
    image = observe(BLANK, HeadEndSeen(online=True), AT)
    image = observe(image, HeadEndSeen(online=True), LATER)
    assert image.head_end_since == AT
    image = observe(image, HeadEndSeen(online=False), LATER)
    assert image.head_end_since == LATER


def test_observations_never_touch_what_is_kept() -> None:
    world = dark_and_paid(M1)
    image = observe(world.image, seen(CLOSED, world.now.mono_ms), AT)
    assert image.kept is world.image.kept


# --- records ---


def test_a_start_changes_nothing_but_the_lower_bound_of_time() -> None:
    world = dark_and_paid(M1)
    before = world.image.kept
    world.wait(5_000)
    world.record(Started(version="1"))
    bound = world.now.wall_low_ms
    assert world.image.kept == msgspec.structs.replace(before, wall_low_ms=bound)


def test_the_lower_bound_of_time_never_falls() -> None:
    # Once a record from a clock that had lost its source took the bound back with it.
    world = World(M1)
    bound = world.image.kept.wall_low_ms
    earlier = msgspec.structs.replace(world.now, wall_low_ms=bound - HOUR_MS)
    image = apply(world.image, record_of(9, Started(version="1"), earlier), None)
    assert image.kept.wall_low_ms == bound


def test_facts_about_a_meter_go_with_it_and_those_about_people_at_work_stay() -> None:
    world = dark_and_paid(M1, M2)
    world.closed_before(M1, Outcome.FAILED)
    world.plans()
    world.tags(TagKind.HOLD, "M1")
    world.tags(TagKind.ISOLATE_DT, "T1")
    world.site(msgspec.structs.replace(M2, dt="T2"))
    kept = world.image.kept
    assert set(kept.supply) == {"M2"}
    assert not kept.setbacks
    assert not kept.ended
    assert set(kept.holds) == {"M1"}
    assert set(kept.dt_isolations) == {"T1"}
    assert set(world.image.roster) == {"M2"}
    assert set(world.image.by_account) == {"A2"}


def test_an_unfinished_close_outlives_the_roster_until_its_outcome_is_known() -> None:
    world = dark_and_paid(M1, M2)
    world.plans()
    command = world.commands.pop()
    world.site(M2)
    assert set(world.image.kept.closings) == {"M1"}
    assert world.ends(command, state=CLOSED)
    assert not world.image.kept.closings
    assert world.image.kept.ended["M1"].dt == ""
    assert "M1" not in world.image.kept.supply


def test_a_list_forgets_the_receipts_that_it_has_overtaken_and_keeps_the_others() -> None:
    world = World(M1, M2, meter(3), meter(4), meter(5))
    for number, n in ((1, 100), (2, 200), (3, 300), (4, 400), (5, 350)):
        world.pays(number, n)
    world.lists(350, entry(2, 200), entry(3, 320))
    assert set(world.image.kept.words) == {"A2", "A4"}, "one word is the list's own, one is newer"


def test_the_proof_of_an_account_is_dated_by_the_word_that_stands() -> None:
    world = World(M1)
    world.pays(1, 100)
    receipt_at = world.now.mono_ms
    world.wait(MINUTE_MS)
    world.lists(500, entry(1, 100))
    assert world.image.kept.proofs["A1"].received.mono_ms == receipt_at, "the same word"
    world.lists(600, entry(1, 550))
    proof = world.image.kept.proofs["A1"]
    assert proof.received.mono_ms == receipt_at, "it asked then and still waits"
    world.closed_before(M1)
    world.lists(700, entry(1, 650))
    assert world.image.kept.proofs["A1"].received.mono_ms == world.now.mono_ms
    world.wait(MINUTE_MS)
    world.pays(1, 650)
    proof = world.image.kept.proofs["A1"]
    assert proof.received.mono_ms == world.now.mono_ms - MINUTE_MS, "the same word by receipt"
    assert proof.n == LEDGER_MS + 650
    world.lists(800)
    assert not world.image.kept.proofs


@pytest.mark.parametrize(
    ("outcome", "done"),
    [
        (Outcome.CLOSED_VERIFIED, True),
        (Outcome.CLOSED_UNVERIFIED, True),
        (Outcome.ARMED, True),
        (Outcome.REFUSED, False),
        (Outcome.FAILED, False),
        (Outcome.UNKNOWN, False),
    ],
)
def test_an_outcome_is_either_a_close_or_a_setback(outcome: Outcome, done: bool) -> None:
    world = dark_and_paid(M1)
    world.plans()
    assert set(world.image.kept.closings) == {"M1"}
    assert world.ends(world.commands.pop(), outcome)
    kept = world.image.kept
    assert not kept.closings
    assert not world.image.in_flight
    assert [mark.serial for mark in kept.closed] == (["M1"] if done else [])
    assert set(kept.setbacks) == (set() if done else {"M1"})
    assert kept.ended["M1"].outcome is outcome


def test_setbacks_in_a_row_are_counted_and_a_success_ends_the_row() -> None:
    world = World(M1)
    for _ in range(3):
        world.closed_before(M1, Outcome.UNKNOWN)
    assert world.image.kept.setbacks["M1"].count == 3
    assert world.image.kept.setbacks["M1"].standing_n == 0, "nothing stood about the account"
    world.closed_before(M1)
    assert not world.image.kept.setbacks
    world.closed_before(M1, Outcome.FAILED)
    assert world.image.kept.setbacks["M1"].count == 1


def test_a_meter_that_was_forced_is_listed_once() -> None:
    world = dark_and_paid(M1)
    for _ in range(2):
        world.plans()
        assert world.ends(world.commands.pop(), forced=True)
        world.wait(6_000)
        world.reads("M1", OPEN)
    assert world.image.kept.forced == ("M1",)


def test_closes_are_remembered_for_an_hour() -> None:
    world = World(M1, M2)
    world.closed_before(M1)
    world.wait(HOUR_MS - 1)
    world.closed_before(M2)
    assert [mark.serial for mark in world.image.kept.closed] == ["M1", "M2"]
    world.wait(1)
    world.closed_before(M2)
    assert [mark.serial for mark in world.image.kept.closed] == ["M2", "M2"]
    assert [mark.serial for mark in world.image.kept.decided] == ["M2", "M2"]


def test_closes_of_earlier_boots_are_forgotten_when_this_one_is_an_hour_old() -> None:
    # Once they were kept for ever: every boot added its own to the image.
    world = World(M1)
    for _ in range(5):
        world.closed_before(M1)
        world.reboots(mono_ms=0)
    assert len(world.image.kept.decided) == 5
    world.wait(HOUR_MS)
    world.closed_before(M1)
    assert len(world.image.kept.decided) == 1
    assert len(world.image.kept.closed) == 1


def test_refusals_are_tallied_by_name_and_those_without_a_record_together() -> None:
    world = World()
    for _ in range(30):
        world.refuses("GARBAGE")
    assert world.image.kept.refusals == {"GARBAGE": 20}
    assert world.image.unwritten_refusals == 10
    world.wait(MINUTE_MS)
    world.refuses("OTHER")
    assert world.image.kept.refusals == {"GARBAGE": 20, "OTHER": 1, UNWRITTEN: 10}
    assert world.image.unwritten_refusals == 0
    assert world.image.written_refusals == (world.now.mono_ms,)


@pytest.mark.parametrize(
    ("kind", "target", "part"),
    [
        (TagKind.HOLD, "M1", "holds"),
        (TagKind.ISOLATE_DT, "T1", "dt_isolations"),
        (TagKind.ISOLATE_FEEDER, "", "feeder_isolation"),
    ],
)
def test_a_tag_is_placed_and_removed_by_name(kind: TagKind, target: str, part: str) -> None:
    world = World(M1)
    untouched = getattr(world.image.kept, part)
    world.tags(kind, target, by="S. Devi", reason="pole down")
    placed = getattr(world.image.kept, part)
    tag = placed[target] if target else placed
    assert (tag.by, tag.reason, tag.since.mono_ms) == ("S. Devi", "pole down", world.now.mono_ms)
    world.tags(kind, target, place=False)
    assert getattr(world.image.kept, part) == untouched


# --- what survives ---


def full_world() -> World:
    """A world in which every member of `Kept` says something."""
    world = dark_and_paid(M1, M2)
    world.lists(1_000, entry(1, 900, cut=True), entry(2, 100))
    world.refuses("GARBAGE", "some detail")
    world.closed_before(M2)
    world.closed_before(M2, Outcome.FAILED)
    world.wait(MINUTE_MS)
    world.plans()
    assert world.ends(world.commands.pop(), forced=True)
    world.wait(MINUTE_MS)
    world.reads("M1", OPEN)
    world.plans()
    world.tags(TagKind.HOLD, "M2")
    world.tags(TagKind.ISOLATE_DT, "T1")
    world.tags(TagKind.ISOLATE_FEEDER)
    return world


def test_everything_that_is_kept_comes_back_from_its_bytes() -> None:
    kept = full_world().image.kept
    for part in kept.__struct_fields__:
        assert getattr(kept, part) not in (None, {}, (), 0, ""), f"{part} says nothing"
    raw = msgspec.json.encode(kept)
    back = msgspec.json.decode(raw, type=Kept)
    assert back == kept
    assert msgspec.json.encode(back) == raw


def test_what_was_seen_is_not_believed_after_a_restart() -> None:
    world = full_world()
    image = restored(BLANK, world.image.kept)
    assert image.roster == world.image.roster
    assert image.by_account == world.image.by_account
    assert (image.seen, image.buses, image.in_flight) == ({}, {}, frozenset())
    assert (image.broker, image.head_end, image.head_end_since) == (None, None, None)


def test_without_a_list_everything_is_stale_and_with_one_from_its_instant_on() -> None:
    assert Image(station=BLANK.station, root=BLANK.root).stale(0)
    world = World(M1)
    world.lists(100)
    in_force = world.image.kept.list_in_force
    assert in_force is not None
    assert not world.image.stale(in_force.stale_after)
    assert world.image.stale(in_force.stale_after + 1)


def test_a_doubled_end_of_a_close_is_no_news() -> None:
    world = dark_and_paid(M1)
    world.plans()
    command = world.commands.pop()
    assert world.ends(command, state=CLOSED)
    before = world.image
    assert not world.ends(command, Outcome.FAILED)
    assert world.image == before
    assert isinstance(world.journal[-2][0].body, CloseEnded)
