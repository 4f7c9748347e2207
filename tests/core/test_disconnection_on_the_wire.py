"""From an accepted order to the write: what stops an opening, and when that is asked again."""

import msgspec
import pytest

from gateway.core.disconnection import (
    OPEN_WIRE_GUARDS,
    OpenVerdict,
)
from gateway.core.fact import Move, Outcome
from gateway.core.image import with_kept
from gateway.core.kept import MoveMark
from gateway.core.model import Reading, Serial, SupplyState
from gateway.core.orders import Cancel
from gateway.core.standing import Standing
from gateway.core.waiting import instant_of
from tests.core.cutting import (
    AGAINST,
    CLOSED,
    OPEN,
    Flaw,
    Step,
    begins,
    begun,
    day_is_protected,
    head_end_goes,
    is_changed,
    is_listed_as_paid,
    last_task,
    leaves_the_roster,
    list_goes_stale,
    lit,
    ordered,
    pays,
    sets_terms,
)
from tests.core.papers import M1, MINUTE_MS, meter
from tests.core.world import World

ARMED, UNKNOWN = SupplyState.READY_FOR_RECONNECTION, SupplyState.UNKNOWN


def read(world: World, state: SupplyState = CLOSED, serial: str = "M1") -> Reading:
    """What is read on the bus just before the write."""
    return Reading(state=state, mono_ms=world.now.mono_ms, serial=Serial(serial))


# --- between the order and the decision ---


def expires(world: World) -> None:
    world.wait(10 * MINUTE_MS + 1_001)
    world.hears()


def is_called_off(world: World) -> None:
    assert world.ordered(Cancel(order="order-1")) == "ACCEPTED"


def reboots_without_a_clock(world: World) -> None:
    world.reboots()
    world.trusts_no_clock()
    world.hears()
    world.reads("M1", CLOSED)


MEANWHILE: list[tuple[str, Step, Standing, str]] = [
    ("it is paid", pays, Standing.PAID, "NEWER_PAID"),
    ("it is listed as paid", is_listed_as_paid, Standing.PAID, "NEWER_PAID"),
    ("it is called off", is_called_off, Standing.CUT, "CANCELED"),
    ("it expires", expires, Standing.CUT, "EXPIRED"),
    ("the list goes stale", list_goes_stale, Standing.CUT, "LIST_STALE"),
    ("the head end goes", head_end_goes, Standing.CUT, "HEAD_END_SILENT"),
    ("a protected day begins", day_is_protected, Standing.CUT, "PROTECTED_TIME"),
    ("it leaves the roster", leaves_the_roster, Standing.CUT, "NOT_ON_ROSTER"),
    ("nothing bounds the time any more", World.trusts_no_clock, Standing.CUT, "CLOCK_UNKNOWN"),
    ("the machine starts anew", reboots_without_a_clock, Standing.CUT, "EXPIRED"),
]


@pytest.mark.parametrize(
    ("step", "standing", "verdict"),
    [row[1:] for row in MEANWHILE],
    ids=[f"{row[0]} before it is opened: {row[3]}" for row in MEANWHILE],
)
def test_an_opening_that_is_not_begun_any_more(
    step: Step, standing: Standing, verdict: str
) -> None:
    world = ordered()
    step(world)
    planned = world.plans()
    assert planned.commands == ()
    body = last_task(world)
    assert (body.number, body.move, body.order) == (None, Move.OPEN, "order-1")
    assert (body.outcome, body.verdict, body.writes) == (Outcome.REFUSED, verdict, 0)
    assert world.standing() is standing
    assert world.image.kept.tasks == {}
    assert "M1" not in world.image.kept.ended
    assert "M1" not in world.image.kept.causes


def test_an_echo_of_this_boot_carries_an_order_over_the_loss_of_the_clock() -> None:
    world = ordered(boot=True)
    world.trusts_no_clock()
    assert begins(world).move is Move.OPEN


def test_an_order_outlives_a_restart_of_the_process_but_not_what_was_seen_before_it() -> None:
    world = ordered()
    world.restarts()
    world.hears()
    world.reads("M1", CLOSED)
    assert begins(world).move is Move.OPEN


# --- between the decision and the write ---


@pytest.mark.parametrize(
    ("move", "verdict", "flaw"),
    [(move, *one) for move, against in AGAINST.items() for one in against[:-2]],
    ids=lambda of: str(of) if isinstance(of, str) else "",
)
def test_every_guard_is_asked_again_at_the_wire(
    move: Move, verdict: OpenVerdict, flaw: Flaw
) -> None:
    world = begun(move)
    assert world.may_write_open(read(world)) is OpenVerdict.PERMIT
    task = flaw(world, world.image.kept.tasks["M1"])
    world.image = with_kept(world.image, tasks={"M1": task})
    meter = world.image.roster["M1"]
    assert world.may_write_open(read(world), meter) is verdict


def test_what_was_taken_off_the_roster_or_moved_on_it_is_not_written_to() -> None:
    world = begun()
    is_changed(world, unit=99)
    assert world.may_write_open(read(world)) is OpenVerdict.NOT_ON_ROSTER
    leaves_the_roster(world)
    assert world.may_write_open(read(world)) is OpenVerdict.NOT_ON_ROSTER


def test_what_no_order_asked_for_is_not_written_to() -> None:
    world = lit(M1)
    assert world.may_write_open(read(world)) is OpenVerdict.NOT_ON_ROSTER


def test_isolation_of_the_head_end_is_seen_at_the_wire_as_soon_as_it_is_certain() -> None:
    world = begun()
    world.wait(5 * MINUTE_MS)
    assert world.may_write_open(read(world)) is OpenVerdict.PERMIT
    world.wait(1)
    assert world.may_write_open(read(world)) is OpenVerdict.HEAD_END_SILENT


def test_an_order_expires_between_decision_and_write() -> None:
    world = begun()
    for _ in range(2):
        world.wait(5 * MINUTE_MS)
        world.hears()
    assert world.may_write_open(read(world)) is OpenVerdict.PERMIT
    world.wait(1)
    assert world.may_write_open(read(world)) is OpenVerdict.EXPIRED


def test_the_ceiling_does_not_count_an_opening_against_itself() -> None:
    world = begun()
    sets_terms(world, hour_max=1)
    assert world.may_write_open(read(world)) is OpenVerdict.PERMIT
    mark = MoveMark(number=7, at=instant_of(world.now))
    world.image = with_kept(world.image, moved=(*world.image.kept.moved, mark))
    assert world.may_write_open(read(world)) is OpenVerdict.BULK_CEILING


def test_the_turn_of_an_opening_is_not_asked_again_at_the_wire() -> None:
    world = begun()
    sets_terms(world, gap_ms=600_000)
    assert world.may_write_open(read(world)) is OpenVerdict.PERMIT


def test_the_words_of_the_wire_stand_in_their_order() -> None:
    assert [verdict for verdict, _ in OPEN_WIRE_GUARDS] == [
        OpenVerdict.WRONG_METER,
        OpenVerdict.IDENTITY_UNPROVEN,
        OpenVerdict.STATE_UNKNOWN,
        OpenVerdict.ALREADY_DISCONNECTED,
    ]


BOTH = (Move.OPEN, Move.RELEASE)
ON_THE_WIRE: list[tuple[str, tuple[Move, ...], SupplyState, str, OpenVerdict]] = [
    ("it reads closed", BOTH, CLOSED, "M1", OpenVerdict.PERMIT),
    ("it reads armed", BOTH, ARMED, "M1", OpenVerdict.PERMIT),
    ("another meter answers", BOTH, CLOSED, "M2", OpenVerdict.WRONG_METER),
    ("its state cannot be told", BOTH, UNKNOWN, "M1", OpenVerdict.STATE_UNKNOWN),
    ("it reads open", BOTH, OPEN, "M1", OpenVerdict.ALREADY_DISCONNECTED),
    ("another one answers, open", BOTH, OPEN, "M2", OpenVerdict.WRONG_METER),
]


@pytest.mark.parametrize(
    ("move", "state", "serial", "verdict"),
    [(move, *row[2:]) for row in ON_THE_WIRE for move in row[1]],
    ids=[f"{move}: {row[0]}: {row[4]}" for row in ON_THE_WIRE for move in row[1]],
)
def test_with_fresh_readings(
    move: Move, state: SupplyState, serial: str, verdict: OpenVerdict
) -> None:
    world = begun(move)
    assert world.may_write_open(read(world, state, serial)) is verdict


def test_a_type_without_a_serial_register_needs_its_second_proof_also_here() -> None:
    guards = dict(OPEN_WIRE_GUARDS)
    unnamed = meter(1, profile="no-serial")
    proven = msgspec.structs.replace(unnamed, second_proof="sheet 7")
    world = World(unnamed)
    reading = read(world, serial="M2")
    asks = guards[OpenVerdict.IDENTITY_UNPROVEN]
    assert asks(unnamed, reading, world.image)
    assert not asks(proven, reading, world.image)
    assert not guards[OpenVerdict.WRONG_METER](proven, reading, world.image)
