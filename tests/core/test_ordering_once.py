"""An order is taken once: its keys, its road, its number and its time."""

import inspect
import re

import pytest

from gateway.core import ordering, sequence
from gateway.core.admission import admit_document
from gateway.core.fact import DocumentClaim, Road
from gateway.core.orders import (
    Act,
    Disconnect,
    ReleaseForce,
)
from gateway.core.records import Refused
from gateway.core.sequence import nonce_of
from gateway.utility.sign import SigningKey
from tests.core.cutting import (
    ONE_KEY,
    Step,
    comes,
    head_end_goes,
    list_goes_stale,
    nothing,
    trusts_no_clock,
)
from tests.core.papers import HOUR_MS, cut, order
from tests.core.test_ordering import HOLD, REFUSALS, RELEASE_FORCE, RESUME, targets, tasks, town
from tests.core.world import World
from tests.signing import sign_order


def test_one_key_is_enough_for_what_darkens_nobody() -> None:
    world = town()
    assert world.ordered(HOLD, *ONE_KEY) == "ACCEPTED"


@pytest.mark.parametrize("keys", [ONE_KEY, ONE_KEY * 2], ids=["one key", "one key twice"])
@pytest.mark.parametrize("act", [cut(1), RELEASE_FORCE], ids=["disconnect", "release_force"])
def test_what_can_darken_a_home_takes_two_distinct_keys(
    act: Disconnect | ReleaseForce, keys: tuple[SigningKey, ...]
) -> None:
    world = town()
    before = world.image.kept.newest.order
    assert world.ordered(act, *keys) == "SECOND_KEY_MISSING"
    assert isinstance(world.journal[-1][0].body, Refused)
    assert tasks(world) == {}
    assert world.image.kept.newest.order == before, "whoever took a signature off used nothing up"


def test_the_whole_order_is_taken_after_somebody_handed_it_in_with_a_signature_less() -> None:
    world = town()
    paper = order(1, cut(1), iat=world.now.wall_ms)
    assert world.hand_in(sign_order(paper, *ONE_KEY)) == "SECOND_KEY_MISSING"
    assert world.hand_in(sign_order(paper)) == "ACCEPTED"
    assert tasks(world) == {"M1": "OPEN"}


def test_an_order_that_was_refused_is_refused_again_and_one_that_was_taken_is_known() -> None:
    world = town()
    head_end_goes(world)
    raw = sign_order(order(1, cut(1), iat=world.now.wall_ms))
    assert world.hand_in(raw) == "HEAD_END_SILENT"
    world.hears()
    number = world.image.number
    claim = DocumentClaim(raw=raw, road=Road.MQTT)
    again = admit_document(claim, world.image, world.now).answer
    assert (again.accepted, again.word) == (False, "HEAD_END_SILENT")
    assert "used up" in again.detail
    assert world.hand_in(raw) == "HEAD_END_SILENT"
    assert world.image.number == number, "nothing is written twice"
    taken = sign_order(order(2, HOLD, iat=world.now.wall_ms))
    assert [world.hand_in(taken), world.hand_in(taken)] == ["ACCEPTED", "DUPLICATE"]


@pytest.mark.parametrize("act", [cut(1), RELEASE_FORCE, HOLD], ids=lambda act: type(act).__name__)
def test_an_order_that_the_broker_kept_counts_as_never_come(act: Act) -> None:
    world = town()
    raw = sign_order(order(1, act))
    assert world.hand_in(raw, retained=True) == "RETAINED_ORDER"
    assert isinstance(world.journal[-1][0].body, Refused)
    assert world.image.kept.newest.order.seq == 0
    assert world.hand_in(raw) == "ACCEPTED"


@pytest.mark.parametrize("road", [Road.LOCAL, Road.INSTALLED], ids=str)
@pytest.mark.parametrize("act", [cut(1), RELEASE_FORCE], ids=["disconnect", "release_force"])
def test_what_can_darken_a_home_comes_by_mqtt_or_counts_as_never_come(act: Act, road: Road) -> None:
    world = town()
    raw = sign_order(order(1, act))
    assert world.hand_in(raw, road) == "ROAD_NOT_ALLOWED"
    assert (tasks(world), world.image.kept.newest.order.seq) == ({}, 0)
    assert world.hand_in(raw) == "ACCEPTED"


def test_what_darkens_nobody_may_also_be_carried_in() -> None:
    world = town()
    assert world.hand_in(sign_order(order(1, HOLD)), Road.LOCAL) == "ACCEPTED"


AGAIN = ["at once", "after a restart", "after a reboot"]
SEQUENCE: list[tuple[str, int, Act, str]] = [
    ("the next number", 8, HOLD, "ACCEPTED"),
    ("a number further on", 7 + 2**20, HOLD, "ACCEPTED"),
    ("a number too far on", 8 + 2**20, HOLD, "SEQ_JUMP"),
    ("the same number again", 7, RESUME, "DUPLICATE"),
    ("the same number with other content", 7, HOLD, "EQUIVOCATION"),
    ("an old number", 6, HOLD, "SEQ_OLD"),
]


@pytest.mark.parametrize("again", [nothing, World.restarts, World.reboots], ids=AGAIN)
@pytest.mark.parametrize(
    ("seq", "act", "word"), [row[1:] for row in SEQUENCE], ids=[row[0] for row in SEQUENCE]
)
def test_orders_come_in_their_sequence(seq: int, act: Act, word: str, again: Step) -> None:
    world = town()
    assert world.hand_in(sign_order(order(7, RESUME))) == "ACCEPTED"
    again(world)
    assert world.hand_in(sign_order(order(seq, act))) == word
    assert world.image.kept.newest.order.seq == (seq if word == "ACCEPTED" else 7)
    assert bool(targets(world)) is (word == "ACCEPTED")


TIMES: list[tuple[str, Step, int, int, bool, str]] = [
    ("in its time", nothing, 0, 600_000, False, "ACCEPTED"),
    ("with a long life", nothing, 0, 100 * HOUR_MS, False, "ACCEPTED"),
    ("when it may have expired", nothing, 61_000, 60_000, False, "ACCEPTED"),
    ("when it has certainly expired", nothing, 61_001, 60_000, False, "EXPIRED"),
    ("when it may have been issued", nothing, -1_000, 60_000, False, "ACCEPTED"),
    ("before it was issued", nothing, -1_001, 60_000, False, "NOT_YET_VALID"),
    ("with an unknown clock", trusts_no_clock, 0, 60_000, False, "CLOCK_UNKNOWN"),
    ("with an unknown clock, too late", trusts_no_clock, 61_001, 60_000, True, "EXPIRED"),
    ("with an unknown clock and this boot", trusts_no_clock, 0, 60_000, True, "ACCEPTED"),
    ("with a stale list", list_goes_stale, 0, 60_000, False, "ACCEPTED"),
    ("from a head end that goes", head_end_goes, 0, 60_000, False, "ACCEPTED"),
]


@pytest.mark.parametrize(
    ("step", "age_ms", "life_ms", "echo", "word"),
    [row[1:] for row in TIMES],
    ids=[f"a hold comes {row[0]}: {row[5]}" for row in TIMES],
)
def test_a_harmless_order_has_its_time_too(
    step: Step, age_ms: int, life_ms: int, echo: bool, word: str
) -> None:
    world = town()
    step(world)
    boot = nonce_of(world.now) if echo else None
    assert comes(world, HOLD, *ONE_KEY, age_ms=age_ms, life_ms=life_ms, boot=boot) == word
    assert world.image.kept.newest.order.seq == 1


def test_every_refusal_of_an_order_is_seen_in_these_tables() -> None:
    source = inspect.getsource(ordering) + inspect.getsource(sequence)
    named = set(re.findall(r'Unsound\(\s*"([A-Z_]+)"', source))
    seen = {row[3] for row in REFUSALS} | {row[3] for row in SEQUENCE}
    known = {"RETAINED_ORDER", "ROAD_NOT_ALLOWED", "ID_USED", "TOO_MANY_ORDERS"}
    assert named <= seen | known
    assert "PLACED_ELSEWHERE" in seen
