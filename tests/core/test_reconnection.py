"""The one rule, as a table: what is given, and what it says. Then the order of its guards."""

from collections.abc import Callable
from itertools import combinations

import msgspec
import pytest

from gateway.core.fact import Outcome, TagKind
from gateway.core.model import Cause, ProfileAbility, SupplyState
from gateway.core.orders import Reconnect
from gateway.core.reconnection import GUARDS, WIRE_GUARDS, Verdict
from gateway.core.terms import Limits, Pacing
from tests.core.papers import HOUR_MS, M1, M2, STATION, entry, meter
from tests.core.world import World, dark_and_paid

M3 = meter(3, dt="T2")
OPEN, CLOSED = SupplyState.DISCONNECTED, SupplyState.CONNECTED
ARMED, UNKNOWN = SupplyState.READY_FOR_RECONNECTION, SupplyState.UNKNOWN
ALONE = Pacing(first_alone_ms=600_000)
"""A transformer is observed for so long that nothing else lapses meanwhile."""
Step = Callable[[World], object]


def leaves_the_roster(world: World) -> None:
    world.site(M2)


def moves_to_another_unit(world: World) -> None:
    world.site(msgspec.structs.replace(M1, unit=99), M2)


def switch_unproven(world: World) -> None:
    profiles = {**STATION.profiles, M1.profile: ProfileAbility(switches=False, proves_serial=True)}
    station = msgspec.structs.replace(STATION, profiles=profiles)
    world.image = msgspec.structs.replace(world.image, station=station)


def its_type_is_not_driven_any_more(world: World) -> None:
    station = msgspec.structs.replace(STATION, profiles={})
    world.image = msgspec.structs.replace(world.image, station=station)


def feeder_isolated(world: World) -> None:
    world.tags(TagKind.ISOLATE_FEEDER)


def dt_isolated(world: World) -> None:
    world.tags(TagKind.ISOLATE_DT, "T1")


def held(world: World) -> None:
    world.tags(TagKind.HOLD, "M1")


def hold_removed(world: World) -> None:
    world.tags(TagKind.HOLD, "M1", place=False)


def neighbours_held(world: World) -> None:
    assert world.tags(TagKind.HOLD, "M2") == "ACCEPTED"
    assert world.tags(TagKind.ISOLATE_DT, "T2") == "ACCEPTED"


def reading_ages(world: World) -> None:
    world.wait(120_001)


def reading_is_just_young_enough(world: World) -> None:
    world.wait(120_000)


def reads_closed(world: World) -> None:
    world.reads("M1", CLOSED)


def reads_armed(world: World) -> None:
    world.reads("M1", ARMED)


def reads_nothing_certain(world: World) -> None:
    world.reads("M1", UNKNOWN)


def falls_off_the_list(world: World) -> None:
    world.lists(as_of=5_000)


def listed_again_as_paid(world: World) -> None:
    world.lists(1_000, entry(1, 900))


def taken_off_and_listed_again(world: World) -> None:
    world.lists(1_000)
    world.lists(2_000, entry(1, 1_900))


def listed_as_cut_for_arrears(world: World) -> None:
    world.lists(1_000, entry(1, 900, cut=True))


def pays_after_that_list(world: World) -> None:
    assert world.pays(1, 9_000) == "ACCEPTED"


def listed_with_a_strangers_meter(world: World) -> None:
    world.lists(3_000, entry(1, 2_900, serial="M77"))


def gets_a_new_meter_in_place_of_m1(world: World) -> None:
    # The consumer of M1 moves to a new meter; what was said about him names the old one.
    world.site(msgspec.structs.replace(M1, serial="M9"), M2, M3)
    world.site(M1, M2, M3)


def a_technician_says_it_was_for_arrears(world: World) -> None:
    assert world.says(Cause.ARREARS) == "ACCEPTED"


def a_technician_says_he_opened_it(world: World) -> None:
    assert world.says(Cause.TECHNICIAN) == "ACCEPTED"


def the_meter_says_it_tripped(world: World) -> None:
    world.reads("M1", CLOSED)
    world.reads("M1", OPEN, cause=Cause.TRIP)


def the_meter_says_it_opened_at_power_up(world: World) -> None:
    world.reads("M1", CLOSED)
    world.reads("M1", OPEN, cause=Cause.POWER_UP)


def the_head_end_asks_for_it(world: World) -> None:
    assert world.ordered(Reconnect(account="A1", meter="M1")) == "ACCEPTED"


def closed_twice(world: World) -> None:
    for _ in range(2):
        world.closed_before(M1)


def closed_three_times(world: World) -> None:
    for _ in range(3):
        world.closed_before(M1)


def three_closes_failed(world: World) -> None:
    for _ in range(3):
        world.closed_before(M1, Outcome.FAILED)


def an_hour_passes(world: World) -> None:
    world.wait(HOUR_MS)
    world.reads("M1", OPEN)


def neighbour_closed_now(world: World) -> None:
    world.closed_before(M2)


def reboots_and_reads(world: World) -> None:
    world.reboots()
    world.reads("M1", OPEN)


def list_goes_stale(world: World) -> None:
    world.lists(as_of=50)
    world.wait(20_000 * HOUR_MS)
    assert world.image.stale(world.now.wall_low_ms)
    world.reads("M1", OPEN)


GIVEN_DARK_AND_PAID: list[tuple[str, list[Step], Verdict]] = [
    ("it is closed", [], Verdict.PERMIT),
    ("not when it has left the roster", [leaves_the_roster], Verdict.NOT_ON_ROSTER),
    ("not with what the roster said before", [moves_to_another_unit], Verdict.NOT_ON_ROSTER),
    ("not while people work on the feeder", [feeder_isolated], Verdict.FEEDER_ISOLATED),
    ("not while people work on its DT", [dt_isolated], Verdict.DT_ISOLATED),
    ("not while it is held", [held], Verdict.METER_HELD),
    ("not while it is held, also after a reboot", [held, reboots_and_reads], Verdict.METER_HELD),
    ("again when the hold is removed", [held, hold_removed], Verdict.PERMIT),
    ("whatever holds its neighbours", [neighbours_held], Verdict.PERMIT),
    ("not when its reading is too old", [reading_ages], Verdict.STATE_UNKNOWN),
    ("with a reading just young enough", [reading_is_just_young_enough], Verdict.PERMIT),
    ("not when its state cannot be told", [reads_nothing_certain], Verdict.STATE_UNKNOWN),
    ("not when it is closed already", [reads_closed], Verdict.ALREADY_CONNECTED),
    ("not when the consumer must press", [reads_armed], Verdict.AWAITING_CONSUMER),
    ("not when a newer list omits it", [falls_off_the_list], Verdict.NOT_PAID),
    ("when it pays again after that", [falls_off_the_list, pays_after_that_list], Verdict.PERMIT),
    ("also when it is listed after it asked", [listed_again_as_paid], Verdict.PERMIT),
    ("not when nothing says why", [taken_off_and_listed_again], Verdict.CAUSE_UNKNOWN),
    ("when the list says it was cut", [listed_as_cut_for_arrears], Verdict.PERMIT),
    ("when asked for", [taken_off_and_listed_again, pays_after_that_list], Verdict.PERMIT),
    (
        "not when the list names a meter that never was his",
        [listed_with_a_strangers_meter],
        Verdict.METER_MISMATCH,
    ),
    ("also after its meter was exchanged", [gets_a_new_meter_in_place_of_m1], Verdict.PERMIT),
    (
        "when a technician says it was for arrears",
        [taken_off_and_listed_again, a_technician_says_it_was_for_arrears],
        Verdict.PERMIT,
    ),
    (
        "not when a technician says he opened it",
        [taken_off_and_listed_again, a_technician_says_he_opened_it],
        Verdict.CAUSE_UNKNOWN,
    ),
    (
        "not when its meter says it tripped",
        [taken_off_and_listed_again, the_meter_says_it_tripped],
        Verdict.CAUSE_UNKNOWN,
    ),
    (
        "when its meter says it opened at power-up",
        [taken_off_and_listed_again, the_meter_says_it_opened_at_power_up],
        Verdict.PERMIT,
    ),
    (
        "when the head end asks for it",
        [taken_off_and_listed_again, the_head_end_asks_for_it],
        Verdict.PERMIT,
    ),
    ("not when it opened after three closes", [closed_three_times], Verdict.RETRIPPED),
    ("not again an hour later", [closed_three_times, an_hour_passes], Verdict.CAUSE_UNKNOWN),
    (
        "when it asks again an hour later",
        [closed_three_times, an_hour_passes, pays_after_that_list],
        Verdict.PERMIT,
    ),
    ("not by a type whose switch is not known", [switch_unproven], Verdict.SWITCH_UNPROVEN),
    (
        "not by a type that this gateway does not drive any more",
        [its_type_is_not_driven_any_more],
        Verdict.SWITCH_UNPROVEN,
    ),
    ("not at once after two closes", [closed_twice], Verdict.PACED),
    ("not at once after failures", [three_closes_failed], Verdict.PACED),
    ("not in the same instant as its neighbour", [neighbour_closed_now], Verdict.PACED),
    ("with a stale list as with a fresh one", [list_goes_stale], Verdict.PERMIT),
]


@pytest.mark.parametrize(
    ("steps", "verdict"),
    [(steps, verdict) for _, steps, verdict in GIVEN_DARK_AND_PAID],
    ids=[f"a dark paid meter is closed {sentence}" for sentence, _, _ in GIVEN_DARK_AND_PAID],
)
def test_a_dark_paid_meter(steps: list[Step], verdict: Verdict) -> None:
    world = dark_and_paid(M1, M2, M3)
    for step in steps:
        step(world)
    assert world.rules().verdict is verdict


def reads_open(world: World) -> None:
    world.reads("M1", OPEN)


def listed_as_paid(world: World) -> None:
    world.lists(1_000, entry(1, 900))


def pays(world: World) -> None:
    world.pays(1)


FROM_NOTHING: list[tuple[str, list[Step], Verdict]] = [
    ("a meter of which nothing is known", [], Verdict.STATE_UNKNOWN),
    ("a paid meter that was never read", [pays], Verdict.STATE_UNKNOWN),
    ("an open meter about which nobody said anything", [reads_open], Verdict.NOT_PAID),
    ("an open meter that is on the list only", [reads_open, listed_as_paid], Verdict.CAUSE_UNKNOWN),
    (
        "an open meter that is listed as cut",
        [reads_open, listed_as_cut_for_arrears],
        Verdict.PERMIT,
    ),
    ("an open meter with a receipt", [reads_open, pays], Verdict.PERMIT),
]


@pytest.mark.parametrize(
    ("steps", "verdict"),
    [(steps, verdict) for _, steps, verdict in FROM_NOTHING],
    ids=[f"{sentence}: {verdict}" for sentence, _, verdict in FROM_NOTHING],
)
def test_from_nothing(steps: list[Step], verdict: Verdict) -> None:
    world = World(M1, M2)
    for step in steps:
        step(world)
    assert world.rules().verdict is verdict


def test_without_a_site_document_no_meter_is_known() -> None:
    assert World().rules().verdict is Verdict.NOT_ON_ROSTER


AGAINST: tuple[tuple[Verdict, Step], ...] = (
    (Verdict.NOT_ON_ROSTER, leaves_the_roster),
    (Verdict.SWITCH_UNPROVEN, switch_unproven),
    (Verdict.FEEDER_ISOLATED, feeder_isolated),
    (Verdict.DT_ISOLATED, dt_isolated),
    (Verdict.METER_HELD, held),
    (Verdict.STATE_UNKNOWN, reading_ages),
    (Verdict.ALREADY_CONNECTED, reads_closed),
    (Verdict.AWAITING_CONSUMER, reads_armed),
    (Verdict.NOT_PAID, falls_off_the_list),
    (Verdict.METER_MISMATCH, listed_with_a_strangers_meter),
    (Verdict.CAUSE_UNKNOWN, taken_off_and_listed_again),
    (Verdict.RETRIPPED, closed_three_times),
    (Verdict.PACED, neighbour_closed_now),
)
"""In the order of design document 1, each with something that calls for it."""
ONE_AT_A_TIME = (
    {Verdict.ALREADY_CONNECTED, Verdict.AWAITING_CONSUMER},
    {Verdict.NOT_PAID, Verdict.METER_MISMATCH},
)
"""A meter cannot read closed and armed at once, nor an account be paid and not."""


def test_the_guards_stand_in_the_order_of_the_design() -> None:
    assert [verdict for verdict, _ in GUARDS] == [verdict for verdict, _ in AGAINST[:-1]]


@pytest.mark.parametrize(
    ("first", "second"),
    [pair for pair in combinations(AGAINST, 2) if {pair[0][0], pair[1][0]} not in ONE_AT_A_TIME],
    ids=lambda against: against[0],
)
def test_of_two_things_against_it_the_first_has_the_word(
    first: tuple[Verdict, Step], second: tuple[Verdict, Step]
) -> None:
    world = dark_and_paid(M1, M2, pacing=ALONE)
    # The later one first, so that what is seen last is not what decides.
    second[1](world)
    assert world.rules().verdict is second[0]
    first[1](world)
    guards = dict(GUARDS)
    for verdict in {first[0], second[0]} - {Verdict.PACED}:
        assert guards[verdict](M1, world.image, world.now), f"{verdict} does not stand any more"
    assert world.rules().verdict is first[0]


def test_a_paced_close_says_when_its_turn_comes() -> None:
    world = dark_and_paid(M1, M2)
    neighbour_closed_now(world)
    ruling = world.rules()
    assert ruling.verdict is Verdict.PACED
    assert ruling.not_before_ms is not None
    world.wait(ruling.not_before_ms - world.now.mono_ms - 1)
    assert world.rules().verdict is Verdict.PACED
    world.wait(1)
    assert world.rules().verdict is Verdict.PERMIT


def test_the_limits_are_those_of_the_site_document() -> None:
    world = World(M1, M2, limits=Limits(state_age_max_ms=1_000, retrip_max=1))
    world.pays(1)
    world.reads("M1", OPEN, age_ms=1_001)
    assert world.rules().verdict is Verdict.STATE_UNKNOWN
    world.reads("M1", OPEN)
    world.closed_before(M1)
    assert world.rules().verdict is Verdict.RETRIPPED


def test_closes_of_an_earlier_boot_count_as_of_the_beginning_of_this_one() -> None:
    world = dark_and_paid(M1)
    world.trusts_no_clock()
    closed_three_times(world)
    world.reboots()
    world.reads("M1", OPEN)
    assert world.rules().verdict is Verdict.CAUSE_UNKNOWN, "nobody knows how old the ask is"
    assert world.pays(1, 8_000) == "ACCEPTED"
    assert world.rules().verdict is Verdict.RETRIPPED
    world.wait(HOUR_MS - world.now.mono_ms)
    world.reads("M1", OPEN)
    pays_after_that_list(world)
    assert world.rules().verdict is Verdict.PERMIT


def test_where_the_clock_is_trusted_a_reboot_starts_no_hour_anew() -> None:
    world = dark_and_paid(M1)
    closed_three_times(world)
    world.wait(HOUR_MS + 2_000)
    world.reboots()
    pays_after_that_list(world)
    world.reads("M1", OPEN)
    assert world.rules().verdict is Verdict.PERMIT


def test_every_verdict_is_seen_in_these_tables() -> None:
    seen = {row[-1] for table in (GIVEN_DARK_AND_PAID, FROM_NOTHING) for row in table}
    wire = {verdict for verdict, _ in WIRE_GUARDS}
    assert seen | wire == set(Verdict)
