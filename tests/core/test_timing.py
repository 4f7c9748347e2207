"""What a signed time is believed for: the nonce, the bounds, what it can not contradict."""

import msgspec
import pytest

from gateway.core.documents import Time
from gateway.core.image import with_kept
from gateway.core.installed import BELIEVED_MAX_MS, not_before
from gateway.core.kept import DAY_MS
from gateway.core.model import Now
from gateway.core.sequence import ECHO_AGE_MAX_MS, nonce_of
from gateway.core.signature import DocumentType
from gateway.core.trust_records import TimeSet
from gateway.utility.sign import payload_of
from tests.core.papers import HOUR_MS, LEDGER_MS, M1, MINUTE_MS, NOON_MS, cut, entry, order
from tests.core.trustees import TIME, trusting
from tests.core.world import World
from tests.signing import sign_order

YEARS_MS = 3_000 * DAY_MS


def without_a_clock() -> World:
    """A gateway whose calendar says 1970."""
    world = trusting(World(M1))
    world.now = msgspec.structs.replace(world.now, wall_ms=0, wall_high_ms=None)
    return world


def says(world: World, now_ms: int, nonce: str) -> str:
    raw = TIME.sign(DocumentType.TIME, payload_of(Time(nonce=nonce, now=now_ms)))
    return world.hand_in(raw)


def test_a_signed_time_bounds_the_calendar_by_the_age_of_the_nonce() -> None:
    world = without_a_clock()
    nonce = nonce_of(world.now)
    world.wait(2 * MINUTE_MS)
    assert says(world, NOON_MS + YEARS_MS, nonce) == "ACCEPTED"
    assert world.now.trusted
    assert world.now.wall_low_ms == NOON_MS + YEARS_MS
    assert world.now.wall_high_ms == NOON_MS + YEARS_MS + 2 * MINUTE_MS
    body = world.journal[-1][0].body
    assert isinstance(body, TimeSet)
    assert body.signer == "time-1"
    assert world.image.kept.firm_low_ms == NOON_MS + YEARS_MS, "further than documents are believed"


def test_the_bound_is_of_its_boot() -> None:
    world = without_a_clock()
    assert says(world, NOON_MS, nonce_of(world.now)) == "ACCEPTED"
    bound = world.image.kept.bound
    assert bound is not None
    assert (bound.boot, bound.mono_ms) == (world.now.boot, world.now.mono_ms)


NONCES = [
    ("that is too old", lambda now: nonce_of(at(now, -ECHO_AGE_MAX_MS - 1))),
    ("that is yet to come", lambda now: nonce_of(at(now, 1))),
    ("of another boot", lambda now: nonce_of(now).replace("boot-1", "boot-0")),
    ("that nobody gave", lambda _: "x"),
]


def at(now: Now, ms: int) -> Now:
    return msgspec.structs.replace(now, mono_ms=now.mono_ms + ms)


@pytest.mark.parametrize(("said", "nonce"), NONCES, ids=[row[0] for row in NONCES])
def test_a_time_is_refused_for_a_nonce(said: str, nonce: object) -> None:
    world = without_a_clock()
    assert callable(nonce)
    assert says(world, NOON_MS, nonce(world.now)) == "NONCE_UNKNOWN"
    assert not world.now.trusted


def test_a_nonce_of_15_minutes_ago_still_counts() -> None:
    world = without_a_clock()
    nonce = nonce_of(world.now)
    world.wait(ECHO_AGE_MAX_MS)
    assert says(world, NOON_MS, nonce) == "ACCEPTED"


def test_time_does_not_fall_by_a_signature() -> None:
    world = without_a_clock()
    low_ms = world.now.wall_low_ms
    assert says(world, low_ms - 1, nonce_of(world.now)) == "TIME_FELL"
    assert says(world, low_ms, nonce_of(world.now)) == "ACCEPTED"


def test_what_was_asked_before_and_answered_since_counts_from_what_is_certain() -> None:
    world = without_a_clock()
    nonce, low_ms = nonce_of(world.now), world.now.wall_low_ms
    world.wait(MINUTE_MS)
    assert says(world, low_ms, nonce) == "ACCEPTED"
    assert world.now.wall_low_ms == low_ms + MINUTE_MS


def test_a_trusted_clock_is_not_contradicted() -> None:
    world = trusting(World(M1))
    assert world.now.wall_high_ms is not None
    nonce = nonce_of(world.now)
    assert says(world, world.now.wall_high_ms + 1, nonce) == "TIME_CONTRADICTED"
    assert says(world, world.now.wall_high_ms, nonce) == "ACCEPTED"


def test_a_time_key_signs_nothing_else() -> None:
    world = without_a_clock()
    raw = TIME.sign(DocumentType.TIME, b"{}")
    assert world.hand_in(raw) == "MALFORMED_PAYLOAD"


# --- what other documents say of the time ---


def test_a_list_says_what_time_it_is_but_for_a_day() -> None:
    world = without_a_clock()
    as_of = 30 * DAY_MS
    assert world.lists(as_of, entry(1, 5)) == "ACCEPTED"
    assert world.image.kept.wall_low_ms == LEDGER_MS + as_of - DAY_MS


def test_an_order_says_what_time_it_is() -> None:
    world = without_a_clock()
    iat = NOON_MS + 5 * HOUR_MS
    issued = order(1, cut(1), iat=iat, exp=iat + MINUTE_MS, boot=nonce_of(world.now))
    refused = world.hand_in(sign_order(issued))
    assert refused == "LIST_STALE"
    assert world.image.kept.wall_low_ms < iat, "it is used up, and otherwise as if never come"


def test_a_receipt_does_not_say_what_time_it_is() -> None:
    world = without_a_clock()
    low_ms = world.now.wall_low_ms
    assert world.pays(1, n=300 * DAY_MS) == "ACCEPTED"
    assert world.image.kept.wall_low_ms == low_ms


def test_documents_are_believed_so_far_beyond_a_trusted_source() -> None:
    world = without_a_clock()
    firm_ms = world.image.kept.firm_low_ms
    assert not_before(world.image, firm_ms + YEARS_MS).kept.wall_low_ms == firm_ms + BELIEVED_MAX_MS
    lower = with_kept(world.image, wall_low_ms=firm_ms)
    assert not_before(lower, 5).kept.wall_low_ms == firm_ms, "it never falls"
