"""How records and observations change the image, one change at a time."""

import msgspec
import pytest

from gateway.core.changes import UNWRITTEN, apply
from gateway.core.fact import (
    BrokerSeen,
    BusSeen,
    HeadEndSeen,
    MeterSeen,
    Origin,
    Outcome,
    Road,
    TagKind,
)
from gateway.core.image import HEAD_END_SILENT_MS, Image, observe, restored
from gateway.core.kept import ConfigTrial, HeadEndKnown, Kept
from gateway.core.marks import Marks
from gateway.core.model import (
    Account,
    Brake,
    BusId,
    Cause,
    Digest,
    DtId,
    Instant,
    Reading,
    Serial,
    SupplyState,
)
from gateway.core.orders import Rebirth
from gateway.core.records import (
    GraceGranted,
    HeadEndLost,
    PacingResumed,
    PacingStopped,
    Started,
    record_of,
)
from gateway.core.roster import FORMER_MAX
from gateway.core.settings import Overlay, Settings
from gateway.core.terms import CheckMeter, Transformer
from gateway.core.trust_records import JournalLost, Sealed, TimeSet
from gateway.core.waiting import instant_of
from tests.core.papers import BLANK, HOUR_MS, LEDGER_MS, M1, M2, MINUTE_MS, cut, entry, meter
from tests.core.trustees import next_root, signed, trusting
from tests.core.world import World, dark_and_paid

OPEN, CLOSED = SupplyState.DISCONNECTED, SupplyState.CONNECTED
T1 = DtId("T1")
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


def test_what_the_head_end_says_is_a_sign_of_life_unless_it_goes_or_the_broker_kept_it() -> None:
    image = observe(BLANK, HeadEndSeen(online=True, kept_by_broker=True), AT)
    assert (image.head_end_heard_ms, image.head_end_silent_at_ms()) == (None, None)
    image = observe(image, HeadEndSeen(online=True), AT)
    assert image.head_end_heard_ms == AT.mono_ms
    assert image.head_end_silent_at_ms() == AT.mono_ms + HEAD_END_SILENT_MS
    image = observe(image, HeadEndSeen(online=True), LATER)
    assert image.head_end_heard_ms == LATER.mono_ms
    image = observe(image, HeadEndSeen(online=False), LATER)
    assert image.head_end == HeadEndSeen(online=False)
    assert image.head_end_silent_at_ms() is None, "it is silent by its own word"


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
    assert world.image.kept == msgspec.structs.replace(before, wall_low_ms=bound, firm_low_ms=bound)


def test_the_lower_bound_of_time_never_falls() -> None:
    # Once a record from a clock that had lost its source took the bound back with it.
    world = World(M1)
    bound = world.image.kept.wall_low_ms
    earlier = msgspec.structs.replace(world.now, wall_low_ms=bound - HOUR_MS)
    image = apply(world.image, record_of(9, Started(version="1"), earlier), None)
    assert image.kept.wall_low_ms == bound


def test_facts_about_a_meter_go_with_it_and_those_about_people_at_work_stay() -> None:
    world = dark_and_paid(M1, M2)
    world.record(PacingResumed(dt=T1, by="S. Devi", reason="fuse"))
    world.closed_before(M1, Outcome.FAILED)
    world.record(PacingStopped(dt=T1, brake=Brake.FAILURES, detail="M1"))
    world.says(Cause.TECHNICIAN, on="M1")
    world.says(Cause.ARREARS, on="M2")
    world.tags(TagKind.HOLD, "M1")
    world.tags(TagKind.ISOLATE_DT, "T1")
    world.site(msgspec.structs.replace(M2, dt="T2"))
    kept = world.image.kept
    assert (set(kept.supply), set(kept.causes)) == ({"M2"}, {"M2"})
    assert (kept.setbacks, kept.ended) == ({}, {})
    assert (kept.trials, kept.stops, kept.resumed) == ({}, {}, {})
    assert [(tag.kind, tag.target) for tag in kept.tags] == [
        (TagKind.HOLD, "M1"),
        (TagKind.ISOLATE_DT, "T1"),
    ]
    assert set(world.image.roster) == {"M2"}
    assert set(world.image.by_account) == {"A2"}
    assert world.image.feeders == {"T2": "feeder-1"}


def test_the_meters_that_an_account_had_before_are_remembered_up_to_a_number() -> None:
    world = World(M1, M2)
    for number in range(11, 13 + FORMER_MAX):
        world.site(msgspec.structs.replace(M1, serial=f"M{number}"), M2)
        world.site(msgspec.structs.replace(M1, serial=f"M{number}"), M2)
    newest = f"M{12 + FORMER_MAX}"
    assert set(world.image.roster) == {newest, "M2"}
    former = tuple(f"M{number}" for number in range(12, 12 + FORMER_MAX))
    assert world.image.kept.former == {"A1": former}, "the oldest is forgotten, nobody stands twice"
    world.site(M2)
    assert not world.image.kept.former


def test_a_transformer_is_on_its_own_feeder_or_on_the_sites() -> None:
    check_meter = CheckMeter(serial="C1", profile="measures", bus="bus-1", unit=200)
    world = World(
        M1,
        meter(3, dt="T3"),
        transformers=(
            Transformer(id="T1", check_meter=check_meter),
            Transformer(id="T3", feeder="feeder-9"),
        ),
    )
    assert world.image.feeders == {"T1": "feeder-1", "T3": "feeder-9"}
    assert world.image.check_meters == {"T1": check_meter}


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
    ("kind", "target"),
    [(TagKind.HOLD, "M1"), (TagKind.ISOLATE_DT, "T1"), (TagKind.ISOLATE_FEEDER, "")],
)
def test_a_tag_is_placed_and_removed_by_name(kind: TagKind, target: str) -> None:
    world = World(M1)
    world.tags(kind, target, by="S. Devi", reason="pole down")
    (tag,) = world.image.tags(kind, target)
    assert (tag.by, tag.reason, tag.since.mono_ms) == ("S. Devi", "pole down", world.now.mono_ms)
    assert (tag.kind, tag.target, tag.origin) == (kind, target, Origin.TECHNICIAN)
    assert world.image.kept.tags == (tag,)
    assert not world.image.tags(kind, "elsewhere")
    world.tags(kind, target, place=False)
    assert not world.image.kept.tags


def test_the_head_end_is_known_to_be_heard_or_lost_since_an_instant() -> None:
    world = World(M1)
    world.hears()
    world.plans()
    first = instant_of(world.now)
    world.wait(MINUTE_MS)
    world.hears()
    world.plans()
    last = instant_of(world.now)
    assert world.image.kept.head_end == HeadEndKnown(heard=True, since=first)
    world.wait(MINUTE_MS)
    world.hears(online=False)
    world.plans()
    assert world.image.kept.head_end == HeadEndKnown(heard=False, since=last)
    world.hears()
    world.plans()
    assert world.image.kept.head_end == HeadEndKnown(heard=True, since=instant_of(world.now))
    world.restarts()
    world.record(HeadEndLost(heard_ms=None))
    lost = HeadEndKnown(heard=False, since=instant_of(world.now))
    assert world.image.kept.head_end == lost, "from when this process has not heard it"


# --- what survives ---


D = Digest("d" * 64)


def full_world() -> World:
    """A world in which every member of `Kept` says something."""
    world = trusting(dark_and_paid(M1, M2))
    assert world.hand_in(signed(next_root())) == "ACCEPTED"
    world.hears()
    before = meter(5)
    world.site(M1, M2, meter(3, dt="T3"), meter(4, dt="T3"), before)
    world.site(
        M1, M2, meter(3, dt="T3"), meter(4, dt="T3"), msgspec.structs.replace(before, serial="M9")
    )
    world.lists(1_000, entry(1, 900, cut=True), entry(2, 100))
    world.refuses("GARBAGE", "some detail")
    world.closed_before(M2)
    world.closed_before(M2, Outcome.FAILED)
    world.wait(MINUTE_MS)
    world.plans()
    assert world.ends(world.commands.pop(), forced=True)
    world.wait(MINUTE_MS)
    assert world.ordered(Rebirth()) == "ACCEPTED"
    world.reads("M1", OPEN)
    world.reads("M3", CLOSED)
    world.reads("M4", CLOSED)
    world.hears()
    assert world.ordered(cut(3, 4, n=2_000)) == "ACCEPTED"
    world.plans()
    world.record(
        GraceGranted(account=Account("A5"), meter=Serial("M9"), n=0, hours=48, silent_ms=HOUR_MS)
    )
    assert world.says(Cause.ARREARS) == "ACCEPTED"
    world.record(PacingResumed(dt=T1, by="S. Devi", reason="fuse"))
    world.closed_before(M2, Outcome.FAILED)
    world.record(PacingStopped(dt=T1, brake=Brake.FAILURES, detail="M2"))
    world.tags(TagKind.HOLD, "M2")
    world.tags(TagKind.ISOLATE_DT, "T1")
    world.tags(TagKind.ISOLATE_FEEDER)
    world.record(TimeSet(low_ms=1, high_ms=2**52, digest=D, signer="time-1", road=Road.LOCAL))
    assert world.lists(900, seq=1) == "EQUIVOCATION"
    world.record(JournalLost(trouble="", marks=Marks(), amnesia=True))
    world.record(Sealed(checkpoint="eyJ"))
    return world


def test_everything_that_is_kept_comes_back_from_its_bytes() -> None:
    world = full_world()
    at = instant_of(world.now)
    overlay = Overlay(order="order-1", settings=Settings(), over=Settings())
    trial = ConfigTrial(overlay=overlay, since=at)
    kept = msgspec.structs.replace(
        world.image.kept, overlay=overlay, trial=trial, wiped=Digest("a" * 64)
    )
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
    assert (image.feeders, image.check_meters) == (world.image.feeders, world.image.check_meters)
    assert (image.broker, image.head_end, image.head_end_heard_ms) == (None, None, None)


def test_without_a_list_everything_is_stale_and_with_one_from_its_instant_on() -> None:
    assert Image(station=BLANK.station, root=BLANK.root).stale(0)
    world = World(M1)
    world.lists(100)
    in_force = world.image.kept.list_in_force
    assert in_force is not None
    assert not world.image.stale(in_force.stale_after)
    assert world.image.stale(in_force.stale_after + 1)
