"""Ways in which the law once failed: each was found by somebody who tried to break it."""

import msgspec
import pytest

from gateway.core.documents import ENTRIES_MAX
from gateway.core.fact import Move, Outcome, TagKind, Why
from gateway.core.kept import HOUR_MS
from gateway.core.model import Cause, SupplyState
from gateway.core.orders import Isolate, ReleaseForce
from gateway.core.reconnection import Verdict
from gateway.core.records import CloseIntended
from gateway.core.sequence import nonce_of
from gateway.core.standing import Standing
from gateway.core.terms import Disconnection, Grace, Pacing
from tests.core.cutting import begins, forces, is_cut, lit
from tests.core.papers import M1, M2, MINUTE_MS, allow_list, cut, entry, meter, order, receipt
from tests.core.world import World, dark_and_paid
from tests.signing import sign_order

OPEN, CLOSED = SupplyState.DISCONNECTED, SupplyState.CONNECTED
M9 = msgspec.structs.replace(M1, serial="M9")


def test_an_order_that_was_held_back_for_hours_is_not_taken_without_a_clock() -> None:
    world = lit(M1)
    world.trusts_no_clock()
    paper = sign_order(order(1, cut(1), iat=world.now.wall_ms, boot=nonce_of(world.now)))
    lag_ms = 6 * HOUR_MS
    world.now = msgspec.structs.replace(world.now, mono_ms=world.now.mono_ms + lag_ms)
    world.hears()
    world.reads("M1", CLOSED)
    assert world.hand_in(paper) == "CLOCK_UNKNOWN"


def test_what_waits_for_its_turn_does_not_outlive_its_order() -> None:
    world = World(M1, M2, disconnection=Disconnection(gap_ms=600_000, protected=()))
    world.lists(50, entry(1, 10), entry(2, 10))
    world.hears()
    for serial in ("M1", "M2"):
        world.reads(serial, CLOSED)
    world.trusts_no_clock()
    assert world.ordered(cut(1, 2)) == "ACCEPTED"
    assert world.ends(begins(world), state=OPEN)
    # The calendar lags for a day; the boot clock tells all the same.
    for _ in range(3):
        world.now = msgspec.structs.replace(world.now, mono_ms=world.now.mono_ms + 4 * MINUTE_MS)
        world.hears()
        world.reads("M2", CLOSED)
    assert world.plans().commands == ()
    assert world.image.kept.tasks == {}


def test_two_stuck_switches_do_not_keep_their_neighbours_dark() -> None:
    homes = [meter(number) for number in range(1, 9)]
    stuck = {"M1", "M2"}
    world = dark_and_paid(*homes, pacing=Pacing(jitter_percent=0))
    dark = {home.serial for home in homes}
    for _ in range(600):
        for serial in sorted(dark):
            world.reads(serial, OPEN)
        for command in world.plans().commands:
            serial = command.meter.serial
            if serial in stuck:
                world.ends(command, Outcome.FAILED, why=Why.STILL_OPEN, state=OPEN)
            else:
                world.ends(command, state=CLOSED)
                dark.discard(serial)
        world.commands.clear()
        world.wait(5_000)
    assert dark == stuck, "within an hour every switch that can close has closed"


def test_after_a_swap_the_same_list_entry_with_the_new_meter_is_the_same_word() -> None:
    world = World(M1, M2)
    assert world.lists(100, entry(1, 100)) == "ACCEPTED"
    world.site(M9, M2)
    assert world.lists(200, entry(1, 100, serial="M9"), entry(2, 150, cut=True)) == "ACCEPTED"
    assert world.standing("A2") is Standing.PAID


@pytest.mark.parametrize("cause", [Cause.TECHNICIAN, Cause.TRIP])
def test_what_was_opened_for_safety_after_somebody_asked_stays_open(cause: Cause) -> None:
    world = dark_and_paid(M1)
    world.ends(begins(world), state=CLOSED)
    world.wait(10 * MINUTE_MS)
    world.reads("M1", OPEN, cause=cause)
    assert world.rules().verdict is Verdict.CAUSE_UNKNOWN
    world.wait(1_000)
    assert world.pays(1, 900) == "ACCEPTED"
    assert world.rules().verdict is not Verdict.CAUSE_UNKNOWN, "who asks now knows of that"


def test_a_restart_does_not_make_an_old_ask_young() -> None:
    world = World(M1)
    world.reads("M1", CLOSED)
    world.pays(1)
    world.wait(720 * HOUR_MS)
    world.restarts()
    world.reads("M1", OPEN)
    assert world.rules().verdict is Verdict.CAUSE_UNKNOWN


def test_an_untrusted_reboot_does_not_make_a_used_up_ask_young() -> None:
    world = dark_and_paid(M1)
    world.ends(begins(world), state=CLOSED)
    world.trusts_no_clock()
    world.wait(120 * HOUR_MS)
    world.reboots()
    world.reads("M1", OPEN)
    assert world.rules().verdict is Verdict.CAUSE_UNKNOWN


def test_who_asked_at_one_place_did_not_ask_at_another() -> None:
    world = World(M1, M2)
    world.reads("M2", OPEN)
    world.pays(1)
    world.site(msgspec.structs.replace(M2, account="A1"))
    assert world.rules(msgspec.structs.replace(M2, account="A1")).verdict is Verdict.CAUSE_UNKNOWN


def test_who_asked_before_his_meter_was_exchanged_still_asks() -> None:
    world = dark_and_paid(M1)
    world.site(M9)
    world.reads("M9", OPEN)
    assert world.rules(M9).verdict is Verdict.PERMIT


def test_a_hold_goes_on_to_the_meter_in_its_place() -> None:
    world = dark_and_paid(M1)
    world.tags(TagKind.HOLD, "M1")
    world.site(M9)
    world.reads("M9", OPEN)
    assert world.rules(M9).verdict is Verdict.METER_HELD


def test_a_meter_that_is_open_is_not_left_to_its_own_logic() -> None:
    world = lit(M1)
    forces(world)
    is_cut(world, 1)
    world.ordered(Isolate(dt="T1", reason="work"))
    assert world.ordered(ReleaseForce(meters=("M1",))) == "ACCEPTED"
    world.wait(3_000)
    begins(world)
    reading = msgspec.structs.replace(world.image.seen["M1"], mono_ms=world.now.mono_ms)
    assert world.may_write_open(reading) == "ALREADY_DISCONNECTED"


def test_a_paid_home_that_its_own_logic_opens_after_a_release_is_closed_again() -> None:
    world = lit(M1)
    forces(world)
    assert world.ordered(ReleaseForce(meters=("M1",))) == "ACCEPTED"
    world.ends(begins(world), state=OPEN)
    assert world.image.kept.causes["M1"].cause is Cause.PREPAY
    assert begins(world).move is Move.CLOSE


def test_grace_does_not_begin_anew_with_every_boot() -> None:
    grace = Grace(after_h=1, cut_within_days=1, daily_max=2, hours=4)
    world = World(M1, disconnection=Disconnection(protected=()), grace=grace)
    world.lists(50, entry(1, 10))
    world.hears()
    world.reads("M1", CLOSED)
    is_cut(world, 1)
    world.hears(online=False)
    world.plans()
    world.wait(2 * HOUR_MS)
    world.reads("M1", OPEN)
    assert begins(world).move is Move.CLOSE
    world.ends(world.commands.pop(), state=CLOSED)
    world.trusts_no_clock()
    world.wait(50 * HOUR_MS)
    world.reboots()
    world.reads("M1", OPEN)
    assert world.rules().verdict is Verdict.NOT_PAID


def test_the_ledger_time_of_an_account_does_not_fall_by_a_newer_list() -> None:
    world = World(M1, M2)
    world.lists(300, entry(1, 200))
    world.lists(400, entry(1, 120))
    word = world.image.word("A1")
    assert word is not None
    assert word.n == entry(1, 200).n


@pytest.mark.parametrize(
    ("paper", "word"),
    [
        (allow_list(1, 2**53 - 1 - entry(1, 0).n), "AS_OF_IN_FUTURE"),
        (receipt(1, 2**53 - 1 - entry(1, 0).n), "N_IN_FUTURE"),
    ],
)
def test_nothing_is_said_for_all_times_to_come(paper: object, word: str) -> None:
    for world in (World(M1), World(M1)):
        assert world.gets(paper) == word  # type: ignore[arg-type]
        world.trusts_no_clock()
        assert world.gets(paper) == word  # type: ignore[arg-type]


def test_stale_lists_do_not_add_up_without_bound() -> None:
    world = World(M1)
    half = ENTRIES_MAX // 2 + 1
    some = [entry(number, 1) for number in range(half)]
    others = [entry(number, 2) for number in range(half, 2 * half)]
    assert world.gets(allow_list(1, 10, *some, stale_after=1)) == "ACCEPTED"
    assert world.gets(allow_list(2, 20, *others, stale_after=1)) == "TOO_MANY_ENTRIES"
    assert world.gets(allow_list(2, 20, *some, stale_after=1)) == "ACCEPTED"


def test_the_first_of_a_kind_leaves_room_for_the_next() -> None:
    world = lit(M1)
    far = order(2**53 - 1, Isolate(reason="work"), boot=nonce_of(world.now))
    assert world.hand_in(sign_order(far)) == "SEQ_JUMP"


def test_an_opening_counts_from_its_write_on() -> None:
    world = lit(M1, M2)
    world.site(M1, M2, disconnection=Disconnection(hour_max=1, gap_ms=0, protected=()))
    assert world.ordered(cut(1)) == "ACCEPTED"
    command = begins(world)
    world.wait(9 * MINUTE_MS)
    world.ends(command, state=OPEN)
    world.wait(HOUR_MS - 9 * MINUTE_MS)
    for serial in ("M1", "M2"):
        world.reads(serial, CLOSED if serial == "M2" else OPEN)
    world.hears()
    assert world.ordered(cut(2)) == "ACCEPTED"


def test_a_dt_that_was_stopped_takes_no_write_that_was_on_its_way() -> None:
    world = dark_and_paid(M1, M2, meter(3))
    (first,) = world.plans().commands
    for failing in (M2, meter(3)):
        world.closed_before(failing, Outcome.FAILED, Why.STILL_OPEN)
    world.plans()
    reading = msgspec.structs.replace(world.image.seen["M1"], mono_ms=world.now.mono_ms)
    assert first.meter == M1
    assert world.may_write(reading) is Verdict.PACED


def test_a_close_that_was_taken_up_again_may_have_been_written_before() -> None:
    world = dark_and_paid(M1, M2)
    world.plans()
    world.restarts()
    (again,) = world.plans().commands
    assert again.resumed
    world.ends(again, Outcome.REFUSED, verdict="STATE_UNKNOWN", writes=0)
    assert world.image.kept.setbacks["M1"].sent
    assert len(world.image.kept.marks) == 1
    decided = [b for b in (r.body for r, _ in world.journal) if isinstance(b, CloseIntended)]
    assert [body.attempt for body in decided] == [1, 2]


def test_a_relay_that_follows_late_has_opened_by_order() -> None:
    world = lit(M1)
    assert world.ordered(cut(1)) == "ACCEPTED"
    world.ends(begins(world), Outcome.FAILED, why=Why.STILL_CLOSED, state=CLOSED)
    world.wait(2_000)
    world.reads("M1", OPEN)
    assert world.image.kept.causes["M1"].cause is Cause.ORDER
    world.lists(5_000, entry(1, 4_000))
    assert begins(world).move is Move.CLOSE
