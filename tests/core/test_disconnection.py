"""Disconnection, as a table: what is given, and what it says. Then the order of its guards."""

from collections.abc import Callable
from itertools import combinations

import msgspec
import pytest

from gateway.core.disconnection import (
    OPEN_GUARDS,
    OPEN_WIRE_GUARDS,
    RELEASE_GUARDS,
    OpenVerdict,
    guards_of,
    may_open,
)
from gateway.core.fact import Move
from gateway.core.image import with_kept
from gateway.core.marks import Mark
from gateway.core.orders import Act
from gateway.core.records import OrderAccepted, OrderRefused, Refused
from gateway.core.sequence import nonce_of
from gateway.core.standing import Standing
from gateway.core.waiting import instant_of
from tests.core.cutting import (
    ACTS,
    AGAINST,
    CLOSED,
    M3,
    ONE_KEY,
    OPEN,
    Flaw,
    Step,
    cannot_be_read,
    ceiling_is_used_up,
    close_failed,
    close_succeeded,
    comes,
    day_is_protected,
    disk_takes_nothing,
    forces,
    head_end_goes,
    is_changed,
    is_listed_as_paid,
    is_protected,
    leaves_the_roster,
    list_goes_stale,
    lit,
    moves_to_another_account,
    neighbour_was_cut,
    newer_documents_were_lost,
    nothing,
    pays,
    sets_terms,
    task_of,
    trusts_no_clock,
    type_cannot_close,
    type_cannot_open,
    type_cannot_release,
    type_is_unnamed,
    was_never_forced,
)
from tests.core.papers import LEDGER_MS, M1, M2, MINUTE_MS, allow_list, cut, entry
from tests.core.world import World

Comes = Callable[[World, Act], str]
ACCEPTED = "ACCEPTED"


def in_order(world: World, act: Act) -> str:
    return comes(world, act)


def under_one_key(world: World, act: Act) -> str:
    return comes(world, act, *ONE_KEY)


def under_one_key_twice(world: World, act: Act) -> str:
    return comes(world, act, *ONE_KEY, *ONE_KEY)


def living_longest(world: World, act: Act) -> str:
    return comes(world, act, life_ms=15 * MINUTE_MS)


def living_too_long(world: World, act: Act) -> str:
    return comes(world, act, life_ms=15 * MINUTE_MS + 1)


def at_its_very_end(world: World, act: Act) -> str:
    age_ms = world.now.wall_ms - world.now.wall_low_ms + 60_000
    return comes(world, act, age_ms=age_ms, life_ms=60_000)


def just_too_late(world: World, act: Act) -> str:
    age_ms = world.now.wall_ms - world.now.wall_low_ms + 60_001
    return comes(world, act, age_ms=age_ms, life_ms=60_000)


def from_a_clock_just_ahead(world: World, act: Act) -> str:
    return comes(world, act, age_ms=-1_000)


def from_a_clock_too_far_ahead(world: World, act: Act) -> str:
    return comes(world, act, age_ms=-1_001)


def echoing_this_boot(world: World, act: Act) -> str:
    return comes(world, act, boot=nonce_of(world.now))


def issued_when_the_list_is_stale(world: World, act: Act) -> str:
    return comes(world, act, age_ms=-2 * MINUTE_MS, boot=nonce_of(world.now))


def echoing_another_boot(world: World, act: Act) -> str:
    return comes(world, act, boot="boot-0")


def reached_15_minutes_ago(world: World) -> None:
    world.wait(15 * MINUTE_MS)
    world.hears()


def reached_longer_ago(world: World) -> None:
    world.wait(15 * MINUTE_MS + 1)
    world.hears()


def heard_5_minutes_ago(world: World) -> None:
    world.wait(5 * MINUTE_MS)


def heard_longer_ago(world: World) -> None:
    world.wait(5 * MINUTE_MS + 1)


def heard_from_the_broker_only(world: World) -> None:
    heard_longer_ago(world)
    world.hears(kept_by_broker=True)


def restarts(world: World) -> None:
    world.restarts()


def restarts_and_reads(world: World) -> None:
    world.restarts()
    world.reads("M1", CLOSED)


def restarts_reads_and_hears(world: World) -> None:
    restarts_and_reads(world)
    world.hears()


def close_failed_and_then_succeeded(world: World) -> None:
    close_failed(world)
    close_succeeded(world)


def neighbour_is_protected(world: World) -> None:
    world.site(M1, msgspec.structs.replace(M2, protected=True), M3)


def no_list_ever_came(world: World) -> None:
    kept = world.image.kept
    newest = msgspec.structs.replace(kept.newest, list=Mark())
    world.image = with_kept(world.image, list_in_force=None, newest=newest)


def nothing_is_known_of_before(world: World) -> None:
    world.image = with_kept(world.image, amnesia=instant_of(world.now))


def type_is_not_driven_any_more(world: World) -> None:
    station = msgspec.structs.replace(world.image.station, profiles={})
    world.image = msgspec.structs.replace(world.image, station=station)


def a_sheet_proves_its_identity(world: World) -> None:
    type_is_unnamed(world)
    is_changed(world, second_proof="sheet 7")


def no_clock_and_a_list_for_a_minute(world: World) -> None:
    trusts_no_clock(world)
    fresh = allow_list(9, 60, entry(1, 10), stale_after=world.now.wall_ms + MINUTE_MS)
    assert world.gets(fresh) == ACCEPTED


def no_clock_in_a_protected_hour(world: World) -> None:
    trusts_no_clock(world)
    day_is_protected(world)


Row = tuple[str, Step, Comes, str]
EVERY_ORDER: list[Row] = [
    ("as it should be", nothing, in_order, ACCEPTED),
    ("when it has left the roster", leaves_the_roster, in_order, "NOT_ON_ROSTER"),
    ("when it has left the roster and it is too late", leaves_the_roster, just_too_late,
     "NOT_ON_ROSTER"),
    ("under one key", nothing, under_one_key, "SECOND_KEY_MISSING"),
    ("under one key twice", nothing, under_one_key_twice, "SECOND_KEY_MISSING"),
    ("for 15 minutes", nothing, living_longest, ACCEPTED),
    ("for longer than 15 minutes", nothing, living_too_long, "LIFE_TOO_LONG"),
    ("when it may have expired", nothing, at_its_very_end, ACCEPTED),
    ("when it has certainly expired", nothing, just_too_late, "EXPIRED"),
    ("when it may have been issued", nothing, from_a_clock_just_ahead, ACCEPTED),
    ("before it was issued", nothing, from_a_clock_too_far_ahead, "NOT_YET_VALID"),
    ("with an unknown clock", trusts_no_clock, in_order, "CLOCK_UNKNOWN"),
    ("with an unknown clock and this boot", trusts_no_clock, echoing_this_boot, ACCEPTED),
    ("with an unknown clock and another boot", trusts_no_clock, echoing_another_boot,
     "CLOCK_UNKNOWN"),
    ("with a known clock and another boot", nothing, echoing_another_boot, ACCEPTED),
    ("issued ahead of an unknown clock", trusts_no_clock, from_a_clock_too_far_ahead,
     "CLOCK_UNKNOWN"),
    ("with a stale list", list_goes_stale, in_order, "LIST_STALE"),
    ("with a list that is stale when it is issued", no_clock_and_a_list_for_a_minute,
     issued_when_the_list_is_stale, "LIST_STALE"),
    ("when a newer list was lost", newer_documents_were_lost, in_order, "MEMORY_LOST"),
    ("when all was lost", nothing_is_known_of_before, in_order, "MEMORY_LOST"),
    ("while the disk takes nothing", disk_takes_nothing, in_order, "JOURNAL_DEGRADED"),
    ("without any list", no_list_ever_came, in_order, "LIST_STALE"),
    ("read 15 minutes ago", reached_15_minutes_ago, in_order, ACCEPTED),
    ("read longer ago", reached_longer_ago, in_order, "NOT_REACHED"),
    ("that cannot be read", cannot_be_read, in_order, "NOT_REACHED"),
    ("not read since a restart", restarts, in_order, "NOT_REACHED"),
    ("with a head end heard 5 minutes ago", heard_5_minutes_ago, in_order, ACCEPTED),
    ("with a head end heard longer ago", heard_longer_ago, in_order, "HEAD_END_SILENT"),
    ("with a head end that says it goes", head_end_goes, in_order, "HEAD_END_SILENT"),
    ("heard from the broker only", heard_from_the_broker_only, in_order, "HEAD_END_SILENT"),
    ("not heard since a restart", restarts_and_reads, in_order, "HEAD_END_SILENT"),
    ("heard again after a restart", restarts_reads_and_hears, in_order, ACCEPTED),
    ("of a type that we cannot close", type_cannot_close, in_order, "CLOSE_UNPROVEN"),
    ("of a type that is not driven any more", type_is_not_driven_any_more, in_order,
     "CLOSE_UNPROVEN"),
    ("whose identity nothing proves", type_is_unnamed, in_order, "CLOSE_UNPROVEN"),
    ("whose identity a sheet proves", a_sheet_proves_its_identity, in_order, ACCEPTED),
    ("whose last close failed", close_failed, in_order, "CLOSE_UNPROVEN"),
    ("whose last close succeeded", close_failed_and_then_succeeded, in_order, ACCEPTED),
    ("on a protected day", day_is_protected, in_order, "PROTECTED_TIME"),
    ("on a protected day by an unknown clock", no_clock_in_a_protected_hour, echoing_this_boot,
     "PROTECTED_TIME"),
    ("that is protected", is_protected, in_order, "PROTECTED_ACCOUNT"),
    ("whose neighbour is protected", neighbour_is_protected, in_order, ACCEPTED),
    ("when the hour's openings are used up", ceiling_is_used_up, in_order, "BULK_CEILING"),
    ("right after its neighbour", neighbour_was_cut, in_order, ACCEPTED),
]  # fmt: skip
"""What holds for openings and for releases alike."""
OPENINGS: list[Row] = [
    ("whose account has another meter", moves_to_another_account, in_order, "NOT_ON_ROSTER"),
    ("with a newer receipt", pays, in_order, "NEWER_PAID"),
    ("with a newer entry in the list", is_listed_as_paid, in_order, "NEWER_PAID"),
    ("of a type that we cannot open", type_cannot_open, in_order, "OPEN_UNPROVEN"),
    ("of a type that we cannot release", type_cannot_release, in_order, ACCEPTED),
    ("that nothing forces", was_never_forced, in_order, ACCEPTED),
]
RELEASES: list[Row] = [
    ("whose account has another meter", moves_to_another_account, in_order, ACCEPTED),
    ("with a newer receipt", pays, in_order, ACCEPTED),
    ("of a type that we cannot release", type_cannot_release, in_order, "RELEASE_UNPROVEN"),
    ("of a type that we cannot open", type_cannot_open, in_order, ACCEPTED),
    ("that nothing forces", was_never_forced, in_order, "NOT_FORCED"),
]
TABLE = [("cut", ACTS[Move.OPEN], row) for row in (*EVERY_ORDER, *OPENINGS)]
TABLE += [("released", ACTS[Move.RELEASE], row) for row in (*EVERY_ORDER, *RELEASES)]


def given(step: Step) -> World:
    """M1 has supply, is forced, reached, unprotected and not paid any more; then the step."""
    world = lit(M1, M2, M3)
    forces(world)
    step(world)
    return world


@pytest.mark.parametrize(
    ("act", "step", "ordered", "answer"),
    [(act, *row[1:]) for _, act, row in TABLE],
    ids=[f"a meter is to be {verb} {row[0]}: {row[3]}" for verb, _, row in TABLE],
)
def test_an_order_comes(act: Act, step: Step, ordered: Comes, answer: str) -> None:
    world = given(step)
    before, commands = world.image.kept, tuple(world.commands)
    assert ordered(world, act) == answer
    kept = world.image.kept
    body = world.journal[-1][0].body
    if answer == ACCEPTED:
        assert isinstance(body, OrderAccepted)
        assert kept.tasks["M1"].order == body.id
        assert (world.standing() is Standing.CUT) is (act == ACTS[Move.OPEN])
    else:
        never_come = answer == "SECOND_KEY_MISSING"
        assert isinstance(body, Refused if never_come else OrderRefused)
        assert body.name == answer
        assert (kept.tasks, kept.words, kept.proofs) == (before.tasks, before.words, before.proofs)
    assert tuple(world.commands) == commands


# --- the order of the guards ---


ONE_AT_A_TIME = (
    {OpenVerdict.EXPIRED, OpenVerdict.NOT_YET_VALID},
    {OpenVerdict.NOT_YET_VALID, OpenVerdict.CLOCK_UNKNOWN},
)
"""A time cannot be too late and too early, nor too early where nothing bounds it from above."""
PAIRS = [
    (move, first, second)
    for move, against in AGAINST.items()
    for first, second in combinations(against, 2)
    if {first[0], second[0]} not in ONE_AT_A_TIME
]


@pytest.mark.parametrize("move", AGAINST, ids=str)
def test_the_guards_stand_in_the_order_of_the_design(move: Move) -> None:
    assert [verdict for verdict, _ in guards_of(move)] == [
        verdict for verdict, _ in AGAINST[move][:-1]
    ]


@pytest.mark.parametrize(
    ("move", "first", "second"),
    PAIRS,
    ids=[f"{move}: {first[0]} before {second[0]}" for move, first, second in PAIRS],
)
def test_of_two_things_against_it_the_first_has_the_word(
    move: Move, first: tuple[OpenVerdict, Flaw], second: tuple[OpenVerdict, Flaw]
) -> None:
    world = lit(M1, M2, M3)
    forces(world)
    sets_terms(world, gap_ms=600_000)
    task = task_of(world, ACTS[move])
    assert may_open(task, world.image, world.now).verdict is OpenVerdict.PERMIT
    # The later one first, so that what is seen last is not what decides.
    task = second[1](world, task)
    assert may_open(task, world.image, world.now).verdict is second[0]
    task = first[1](world, task)
    guards = dict(guards_of(move))
    for verdict in {first[0], second[0]} - {OpenVerdict.PACED}:
        assert guards[verdict](task, world.image, world.now), f"{verdict} does not stand any more"
    assert may_open(task, world.image, world.now).verdict is first[0]


def test_a_payment_as_new_as_the_cut_stands_against_it() -> None:
    world = lit(M1)
    task = task_of(world, cut(1, n=201))
    assert world.pays(1, 202) == ACCEPTED
    says_no = dict(OPEN_GUARDS)[OpenVerdict.NEWER_PAID]
    for n, stands in ((201, True), (202, True), (203, False)):
        task = msgspec.structs.replace(task, n=LEDGER_MS + n)
        assert says_no(task, world.image, world.now) is stands


def test_whether_a_meter_is_open_already_is_read_when_its_turn_comes() -> None:
    # What was read minutes ago may have been closed by hand since.
    world = lit(M1, M2)
    world.reads("M1", OPEN)
    assert world.ordered(cut(1, 2)) == ACCEPTED
    assert set(world.image.kept.tasks) == {"M1", "M2"}
    assert world.standing("A1") is Standing.CUT


def test_every_verdict_is_seen_in_these_tables() -> None:
    seen = {verdict for against in AGAINST.values() for verdict, _ in against}
    wire = {verdict for verdict, _ in OPEN_WIRE_GUARDS}
    assert seen | wire | {OpenVerdict.PERMIT} == set(OpenVerdict)
    named = {verdict for verdict, _ in (*OPEN_GUARDS, *RELEASE_GUARDS)} - {OpenVerdict.CANCELED}
    assert named <= {answer for _, _, (*_, answer) in TABLE}
