"""What follows from the image: closes begun, taken up again, given up; who comes first."""

import msgspec
import pytest

from gateway.core.fact import Outcome, TagKind
from gateway.core.model import Instant, Now, SupplyState
from gateway.core.plan import Plan, plan
from gateway.core.queue import age_ms, in_turn, waited_ms
from gateway.core.reconnection import Verdict
from gateway.core.records import CloseEnded, CloseIntended
from tests.core.papers import HOUR_MS, LEDGER_MS, M1, M2, MINUTE_MS, entry, meter
from tests.core.told import begins, ends
from tests.core.world import World, dark_and_paid

OPEN, CLOSED = SupplyState.DISCONNECTED, SupplyState.CONNECTED
ELSEWHERE = meter(3, dt="T3")


def intended(planned: Plan) -> CloseIntended:
    (body,) = planned.bodies
    assert isinstance(body, CloseIntended)
    return body


def test_a_close_is_begun_with_its_signed_reason_beside_it() -> None:
    world = dark_and_paid(M1)
    received_ms = world.now.mono_ms
    world.wait(250)
    planned = world.plans()
    body = intended(planned)
    word = world.image.word("A1")
    assert word is not None
    assert (body.close, body.account, body.meter, body.dt, body.attempt) == (1, "A1", "M1", "T1", 1)
    assert (body.standing_n, body.standing_digest) == (LEDGER_MS + 100, word.digest)
    assert body.received_ms == received_ms
    (command,) = planned.commands
    assert (command.number, command.meter, command.resumed) == (1, M1, False)
    assert command.writes_max == 2
    assert planned.deadline_ms is None


def test_a_proof_of_an_earlier_boot_has_no_instant_on_this_ones_clock() -> None:
    world = dark_and_paid(M1)
    world.reboots()
    world.reads("M1", OPEN)
    assert intended(world.plans()).received_ms is None


def test_what_is_under_way_is_not_begun_again() -> None:
    world = dark_and_paid(M1)
    world.plans()
    world.wait(HOUR_MS)
    world.reads("M1", OPEN)
    assert world.plans() == Plan()


@pytest.mark.parametrize(
    "state",
    [state for state in SupplyState if state is not OPEN],
    ids=lambda state: f"reads {state}",
)
def test_only_an_open_switch_is_closed(state: SupplyState) -> None:
    world = dark_and_paid(M1)
    world.reads("M1", state)
    assert plan(world.image, world.now) == Plan()


def test_who_is_on_the_list_before_the_roster_knows_him_is_closed_all_the_same() -> None:
    # Once proofs were noted at the list's installation only, for accounts of the roster of then.
    world = World(M2)
    world.lists(1_000, entry(1, 900, cut=True))
    received_ms = world.now.mono_ms
    world.wait(7 * MINUTE_MS)
    world.site(M1, M2)
    world.reads("M1", OPEN)
    assert intended(world.plans()).received_ms == received_ms


def test_who_left_the_roster_unpaid_and_comes_back_is_not_waited_for() -> None:
    world = World(M1, M2)
    world.pays(1, 100)
    world.site(M2)
    world.lists(1_000)
    world.site(M1, M2)
    assert "A1" not in world.image.kept.proofs
    world.reads("M1", OPEN)
    assert plan(world.image, world.now) == Plan()


def test_who_waits_longest_since_his_payment_comes_first() -> None:
    world = World(M1, M2, ELSEWHERE)
    for one in (M1, M2, ELSEWHERE):
        world.reads(one.serial, OPEN)
    for number, paid_at in ((1, 13 * HOUR_MS), (3, 14 * HOUR_MS), (2, 12 * HOUR_MS + 1)):
        world.pays(number, paid_at)  # it is dark since hour 12 of the ledger
        world.wait(1_000)
    assert [one.serial for one in in_turn(world.image)] == ["M2", "M1", "M3"]
    planned = plan(world.image, world.now)
    assert [body.meter for body in planned.bodies] == ["M2", "M3"], "each on its transformer"


def test_who_paid_early_and_went_dark_late_has_not_waited_longest() -> None:
    world = World(M1, M2)
    world.pays(1, 100)
    world.pays(2, 12 * HOUR_MS + 1)
    world.reads("M2", OPEN)
    world.wait(MINUTE_MS)
    world.reads("M1", OPEN)
    assert [one.serial for one in in_turn(world.image)] == ["M2", "M1"]


def test_of_two_who_wait_equally_long_the_serial_number_decides() -> None:
    world = dark_and_paid(M2, M1)
    assert intended(world.plans()).meter == "M1"


def test_a_permitted_close_waits_for_its_turn_and_the_plan_says_when_to_look() -> None:
    world = dark_and_paid(M1, M2)
    first = begins(world)
    assert plan(world.image, world.now) == Plan(), "the end of the first will be told"
    world.wait(2_000)
    ends(world, first)
    written_ms = world.now.mono_ms - 400
    assert plan(world.image, world.now) == Plan(deadline_ms=written_ms + 5_000)
    world.wait(4_599)
    assert plan(world.image, world.now) == Plan(deadline_ms=written_ms + 5_000)
    world.wait(1)
    assert intended(world.plans()).meter == "M2"


def test_who_is_tried_again_later_keeps_nobody_behind_him_waiting() -> None:
    world = dark_and_paid(M1, M2)
    ends(world, begins(world), Outcome.FAILED, reads=OPEN)
    world.wait(5_000)
    planned = world.plans()
    assert intended(planned).meter == "M2", "M1 has its setback and M2 its turn"
    assert planned.deadline_ms == world.now.mono_ms + 10_000


def test_who_is_under_way_keeps_those_behind_him_waiting_however_long_it_takes() -> None:
    world = dark_and_paid(M1, M2)
    world.plans()
    world.wait(HOUR_MS)
    world.reads("M2", OPEN)
    assert plan(world.image, world.now) == Plan()


def test_of_several_turns_the_next_one_is_looked_at() -> None:
    world = dark_and_paid(M1, M2, ELSEWHERE)
    world.closed_before(M2)
    world.closed_before(ELSEWHERE, Outcome.FAILED)
    assert plan(world.image, world.now) == Plan(deadline_ms=world.now.mono_ms + 5_000)


@pytest.mark.parametrize("restarts", [1, 2, 7])
def test_an_open_close_is_taken_up_again_by_reading_only(restarts: int) -> None:
    world = dark_and_paid(M1)
    decided = intended(world.plans())
    for _ in range(restarts):
        world.restarts()
        planned = world.plans()
    body = intended(planned)
    assert (body.close, body.attempt, body.received_ms) == (decided.close, 1 + restarts, None)
    (command,) = planned.commands
    assert (command.number, command.resumed, command.writes_max) == (1, True, 0)


def test_taken_up_again_it_was_decided_when_it_first_was() -> None:
    world = dark_and_paid(M1)
    world.plans()
    before = world.image.kept.closings["M1"].decided
    world.wait(9_000)
    world.restarts()
    world.plans()
    assert world.image.kept.closings["M1"].decided == before


def test_an_open_close_of_a_meter_that_left_the_roster_is_given_up() -> None:
    world = dark_and_paid(M1, M2)
    world.plans()
    world.site(M2)
    world.restarts()
    (body, *_) = world.plans().bodies
    assert isinstance(body, CloseEnded)
    assert (body.close, body.outcome) == (1, Outcome.UNKNOWN)
    assert body.verdict == Verdict.NOT_ON_ROSTER
    assert (body.writes, body.forced, body.written_ms) == (0, False, None), "nothing is claimed"
    assert not world.image.kept.closings


def test_an_open_close_of_a_meter_that_is_a_strangers_now_is_read_as_what_it_was() -> None:
    world = dark_and_paid(M1)
    world.plans()
    stranger = msgspec.structs.replace(M1, account="A7")
    world.site(stranger)
    world.restarts()
    planned = world.plans()
    body = intended(planned)
    assert (body.close, body.account, body.attempt) == (1, "A1", 2), "for whom it was begun"
    (command,) = planned.commands
    assert (command.meter, command.resumed, command.writes_max) == (stranger, True, 0)
    assert world.ends(command, Outcome.FAILED, state=OPEN, writes=0)
    assert world.plans().commands == (), "the stranger has not paid"


def test_after_a_close_ended_without_success_it_is_tried_again_later() -> None:
    world = dark_and_paid(M1)
    world.plans()
    assert world.ends(world.commands.pop(), Outcome.FAILED)
    again = plan(world.image, world.now)
    assert again == Plan(deadline_ms=world.now.mono_ms + 15_000)
    world.wait(15_000)
    world.reads("M1", OPEN)
    assert intended(world.plans()).close == 2


def test_a_hold_that_comes_before_the_turn_leaves_nothing_due() -> None:
    world = dark_and_paid(M1)
    world.tags(TagKind.HOLD, "M1")
    assert plan(world.image, world.now) == Plan()


# --- how long he has been waiting ---


def test_nobody_waits_without_proof_of_payment() -> None:
    world = World(M1)
    world.reads("M1", OPEN)
    world.wait(HOUR_MS)
    assert waited_ms(M1, world.image, world.now) == 0


def test_who_pays_in_the_dark_waits_since_his_proof_came() -> None:
    world = World(M1)
    world.reads("M1", OPEN)
    world.wait(HOUR_MS)
    world.pays(1)
    world.wait(MINUTE_MS)
    assert waited_ms(M1, world.image, world.now) == MINUTE_MS


def test_who_was_paid_all_along_waits_since_it_went_dark() -> None:
    world = World(M1)
    world.pays(1)
    world.reads("M1", CLOSED)
    world.wait(HOUR_MS)
    world.reads("M1", OPEN)
    world.wait(MINUTE_MS)
    assert waited_ms(M1, world.image, world.now) == MINUTE_MS


def test_who_was_never_read_waits_since_his_proof_came() -> None:
    world = World(M1)
    world.pays(1)
    world.wait(MINUTE_MS)
    assert waited_ms(M1, world.image, world.now) == MINUTE_MS


AGES = [
    ("of this boot, by its clock alone", "boot-2", 4_000, 10_000, 6_000),
    ("of another boot, by the calendar", "boot-1", 4_000, 90_000, 85_000),
    ("of another boot, at least this boot's age", "boot-1", 4_000, 6_000, 10_000),
]


@pytest.mark.parametrize(
    ("boot", "then_mono_ms", "wall_ms", "age"),
    [row[1:] for row in AGES],
    ids=[f"an instant {sentence}" for sentence, *_ in AGES],
)
def test_the_age_of_an_instant(boot: str, then_mono_ms: int, wall_ms: int, age: int) -> None:
    then = Instant(boot=boot, mono_ms=then_mono_ms, wall_ms=5_000)
    now = Now(boot="boot-2", mono_ms=10_000, wall_ms=wall_ms, wall_low_ms=0)
    assert age_ms(then, now) == age
