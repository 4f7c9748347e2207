"""Who waits, in which order, and whether what is foretold is what then happens."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.fact import Outcome
from gateway.core.model import Meter
from gateway.core.pacing import CLOSE_TAKES_MS
from gateway.core.queue import foretold_ms, in_turn, waited_ms
from gateway.core.terms import Grace, Pacing, Transformer
from tests.core.cutting import ANYTIME, CLOSED, OPEN, begins, lit
from tests.core.papers import HOUR_MS, LEDGER_MS, M1, M2, MINUTE_MS, cut, entry, meter, receipt
from tests.core.world import World, dark_and_paid

M3, M4 = meter(3, dt="T2"), meter(4, dt="T2")
GRACE = Grace(after_h=1, cut_within_days=1, daily_max=1, hours=1)
SINCE_NOON = 12 * HOUR_MS
"""Ledger times of the tests count from midnight; the homes get dark at noon."""


def serials(world: World) -> list[str]:
    return [one.serial for one in in_turn(world.image)]


# --- the order ---


def test_who_paid_first_comes_first() -> None:
    world = World(M1, M2, M3)
    for one in (M1, M2, M3):
        world.reads(one.serial, OPEN)
    for number, after in ((1, 300), (2, 100), (3, 200)):
        world.pays(number, SINCE_NOON + after)
    assert serials(world) == ["M2", "M3", "M1"]


def test_who_paid_while_he_had_supply_waits_since_he_is_dark() -> None:
    world = World(M1, M2)
    world.pays(1, 100)
    world.reads("M1", CLOSED)
    world.reads("M2", OPEN)
    world.wait(MINUTE_MS)
    world.pays(2, SINCE_NOON + MINUTE_MS)
    world.wait(MINUTE_MS)
    world.reads("M1", OPEN)
    assert serials(world) == ["M2", "M1"]


def test_the_payment_counts_and_not_when_its_proof_arrived() -> None:
    world = World(M1, M2)
    for one in (M1, M2):
        world.reads(one.serial, OPEN)
    world.pays(2, SINCE_NOON + 200)
    world.wait(MINUTE_MS)
    world.lists(SINCE_NOON + 300, entry(1, SINCE_NOON + 100), entry(2, SINCE_NOON + 200))
    assert serials(world) == ["M1", "M2"]
    assert waited_ms(M1, world.image, world.now) == 0
    assert waited_ms(M2, world.image, world.now) == MINUTE_MS


def test_when_somebody_paid_counts_and_not_the_ledgers_order() -> None:
    world = World(M1, M2)
    for one, n, paid in ((M1, 200, 300), (M2, 250, 100)):
        world.reads(one.serial, OPEN)
        paper = receipt(int(one.account[1:]), SINCE_NOON + n)
        paid_at = LEDGER_MS + SINCE_NOON + paid
        assert world.gets(msgspec.structs.replace(paper, paid_at=paid_at)) == "ACCEPTED"
    assert serials(world) == ["M2", "M1"]


def test_of_two_who_wait_equally_long_the_serial_number_decides() -> None:
    assert serials(dark_and_paid(M3, M1, M2)) == ["M1", "M2", "M3"]


def test_who_has_not_paid_stands_in_it_only_where_grace_may_be_given() -> None:
    world = dark_and_paid(M2)
    world.site(M1, M2)
    world.reads("M1", OPEN)
    assert serials(world) == ["M2"]
    assert world.site(M1, M2, grace=GRACE) == "ACCEPTED"
    assert serials(world) == ["M2", "M1"]


def test_whose_switch_is_being_moved_stands_in_it_no_more() -> None:
    world = dark_and_paid(M1, M2)
    begins(world)
    assert serials(world) == ["M2"]
    world.ends(world.commands[0], Outcome.FAILED)
    assert serials(world) == ["M2", "M1"], "who was tried in vain stands behind who was not"


def fails(world: World, on: Meter, times: int = 1) -> None:
    """So many closes of this meter have just failed."""
    for _ in range(times):
        world.closed_before(on, Outcome.FAILED)


def test_who_was_tried_in_vain_and_paid_anew_counts_as_never_tried() -> None:
    world = dark_and_paid(M1, M2)
    fails(world, M1)
    assert serials(world) == ["M2", "M1"]
    world.pays(1, SINCE_NOON + 200)
    world.pays(2, SINCE_NOON + 300)
    assert serials(world) == ["M1", "M2"]


def test_who_was_tried_in_vain_stands_behind_who_was_tried_less_often_whoever_paid_first() -> None:
    world = dark_and_paid(M1, M2)
    world.pays(1, SINCE_NOON + 100)
    world.pays(2, SINCE_NOON + 200)
    assert serials(world) == ["M1", "M2"]
    fails(world, M1)
    assert serials(world) == ["M2", "M1"]
    fails(world, M2, times=2)
    assert serials(world) == ["M1", "M2"]


def test_who_paid_stands_before_who_did_not_however_often_he_was_tried_in_vain() -> None:
    world = World(M1, M2, M3, M4, grace=GRACE)
    for serial in ("M1", "M4", "M3", "M2"):
        world.reads(serial, OPEN)
        world.wait(1_000)
    world.lists(50)
    world.pays(2)
    fails(world, M2, times=3)
    assert serials(world) == ["M2", "M1", "M4", "M3"], "of the others who is dark for longest"
    fails(world, M1)
    assert serials(world) == ["M2", "M4", "M3", "M1"], "and last of all who was tried in vain"


def test_who_has_no_word_of_the_utility_has_a_place_also_after_he_was_tried_in_vain() -> None:
    world = World(M1, M2, grace=GRACE)
    fails(world, M1)
    assert set(serials(world)) == {"M1", "M2"}


def test_whose_cut_only_waits_for_its_turn_stands_in_it_as_soon_as_he_pays() -> None:
    world = lit(M1, M2)
    assert world.ordered(cut(1, 2)) == "ACCEPTED"
    begins(world)
    world.pays(2, 200)
    assert serials(world) == ["M2"]


def test_who_is_being_cut_and_pays_stands_in_it_when_that_has_ended() -> None:
    world = World(M1, M2, disconnection=ANYTIME)
    world.lists(50, entry(1, 10), entry(2, 10))
    world.hears()
    world.reads("M1", CLOSED)
    assert world.ordered(cut(1)) == "ACCEPTED"
    command = begins(world)
    world.pays(1, 200)
    assert serials(world) == ["M2"]
    world.ends(command, state=OPEN)
    assert "M1" in serials(world)


def test_nobody_stands_in_it_before_a_site_document_came() -> None:
    assert serials(World()) == []


# --- what is foretold ---

PACINGS = st.builds(
    Pacing,
    first_alone_ms=st.sampled_from([0, 1_000, 5_000, 20_000]),
    gap_ms=st.sampled_from([0, 1_000, 2_000, 7_000]),
    jitter_percent=st.sampled_from([0, 50, 90]),
    dt_minute_max=st.integers(1, 5),
    feeder_minute_max=st.integers(1, 5),
    minute_max=st.integers(1, 6),
    quiet_ms=st.sampled_from([0, 10_000, 900_000]),
)
DTS = ("T1", "T2", "T3")
FEEDERS = (
    Transformer(id="T1", feeder="feeder-1"),
    Transformer(id="T2", feeder="feeder-1"),
    Transformer(id="T3", feeder="feeder-2"),
)
homes = st.lists(st.sampled_from(DTS), min_size=1, max_size=9)


def waiting(dts: list[str], ranks: list[int], pacing: Pacing) -> World:
    """A home on each of these DTs is dark and has paid, in the order of the ranks."""
    meters = [meter(number, dt=dt) for number, dt in enumerate(dts, start=1)]
    named = tuple(one for one in FEEDERS if one.id in dts)
    world = World(*meters, pacing=pacing, transformers=named)
    for one, rank in zip(meters, ranks, strict=False):
        world.reads(one.serial, OPEN)
        world.pays(int(one.account[1:]), SINCE_NOON + 1 + rank)
    return world


def played(world: World, dark: set[str]) -> dict[str, int]:
    """When each of these is decided, where every close ends well in the time that is foretold."""
    began: dict[str, int] = {}
    ends: list[tuple[int, Meter]] = []
    while len(began) < len(dark) or ends:
        while ends and ends[0][0] == world.now.mono_ms:
            _, on = ends.pop(0)
            command = next(one for one in world.commands if one.meter == on)
            assert world.ends(command, state=CLOSED)
        for serial in dark - began.keys():
            world.reads(serial, OPEN)
        planned = world.plans()
        for command in planned.commands:
            began[command.meter.serial] = world.now.mono_ms
            ends.append((world.now.mono_ms + CLOSE_TAKES_MS, command.meter))
        following = [at for at in (planned.deadline_ms, *(at for at, _ in ends)) if at is not None]
        if not following:
            break
        world.wait(max(1, min(following) - world.now.mono_ms))
    return began


@settings(max_examples=60, deadline=None)
@given(homes, st.permutations(range(9)), PACINGS)
def test_what_is_foretold_is_what_happens(dts: list[str], ranks: list[int], pacing: Pacing) -> None:
    world = waiting(dts, ranks, pacing)
    now_ms = world.now.mono_ms
    told = foretold_ms(in_turn(world.image), world.image, world.now)
    assert {serial: now_ms + after for serial, after in told.items()} == played(world, set(told))


@settings(max_examples=40, deadline=None)
@given(homes, st.permutations(range(9)), PACINGS, st.integers(1, 40_000))
def test_also_in_the_midst_of_it(
    dts: list[str], ranks: list[int], pacing: Pacing, after_ms: int
) -> None:
    """Some time into it, and with closes that have already ended, the rest comes as foretold."""
    world = waiting(dts, ranks, pacing)
    for _ in range(2):
        for command in world.plans().commands:
            world.wait(CLOSE_TAKES_MS)
            assert world.ends(command, state=CLOSED)
    world.wait(after_ms)
    left = in_turn(world.image)
    left = tuple(one for one in left if world.image.seen[one.serial].state is OPEN)
    now_ms = world.now.mono_ms
    told = foretold_ms(left, world.image, world.now)
    world.commands.clear()
    begun = played(world, {one.serial for one in left})
    assert {serial: now_ms + after for serial, after in told.items()} == begun


def test_a_close_that_is_under_way_is_waited_for() -> None:
    world = dark_and_paid(M1, M2, pacing=Pacing(first_alone_ms=0, gap_ms=0))
    begins(world)
    world.wait(1_000)
    told = foretold_ms(in_turn(world.image), world.image, world.now)
    assert told == {"M2": CLOSE_TAKES_MS}


def test_only_whom_nothing_forbids_is_foretold() -> None:
    world = dark_and_paid(M1, M2, M3)
    assert set(foretold_ms((M1, M3), world.image, world.now)) == {"M1", "M3"}
    assert foretold_ms((), world.image, world.now) == {}


def test_who_failed_just_now_is_foretold_behind_who_did_not() -> None:
    world = dark_and_paid(M1, M2, pacing=Pacing(first_alone_ms=0, gap_ms=0, jitter_percent=0))
    world.ends(begins(world), Outcome.FAILED)
    told = foretold_ms(in_turn(world.image), world.image, world.now)
    assert told == {"M2": 0, "M1": 15_000}


def test_who_may_be_tried_again_before_others_is_foretold_before_them() -> None:
    world = dark_and_paid(M1, M2, pacing=Pacing(first_alone_ms=0, gap_ms=0, jitter_percent=0))
    fails(world, M2, times=2)
    world.wait(25_000)
    fails(world, M1)
    told = foretold_ms(in_turn(world.image), world.image, world.now)
    assert serials(world) == ["M1", "M2"], "he was tried less often"
    assert told == {"M2": 5_000, "M1": 15_000}


def test_of_those_who_may_be_tried_again_now_the_queue_says_who_is_first() -> None:
    world = dark_and_paid(M1, M2, pacing=Pacing(first_alone_ms=0, gap_ms=0, jitter_percent=0))
    fails(world, M2)
    world.wait(1_000)
    fails(world, M1)
    world.wait(MINUTE_MS)
    assert serials(world) == ["M1", "M2"]
    told = foretold_ms(in_turn(world.image), world.image, world.now)
    assert told == {"M1": 0, "M2": CLOSE_TAKES_MS}
