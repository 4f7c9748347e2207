"""What an order is answered that came before, or that counts as never come."""

import msgspec
import pytest
from hypothesis import given

from gateway.core.admission import admit_document
from gateway.core.fact import Answer, DocumentClaim, Road
from gateway.core.lifecycle import progress_of
from gateway.core.ordering import UNDER_WAY_MAX
from gateway.core.orders import Act, plain_order
from gateway.core.progress import OrderState, Progress
from gateway.core.records import OrderRefused, Refused
from gateway.core.signature import DocumentType
from gateway.core.trust import Revocation
from gateway.utility.sign import SigningKey
from tests.core.cutting import ONE_KEY, begins, head_end_goes
from tests.core.histories import histories, new_world, take
from tests.core.papers import M1, NOON_MS, cut, order
from tests.core.steps import Step
from tests.core.test_lifecycle import READ, how, progress
from tests.core.test_ordering import HOLD, RECONNECT, town
from tests.core.world import World, dark_and_paid
from tests.signing import KEYS, envelope, sign_order


def answer(world: World, raw: bytes, *, road: Road = Road.MQTT, retained: bool = False) -> Answer:
    """What would be answered to some bytes."""
    claim = DocumentClaim(raw=raw, road=road, retained=retained)
    return admit_document(claim, world.image, world.now).answer


def signed(plain: object, by: SigningKey = KEYS.orders[0]) -> bytes:
    """Whatever one says it is, as an order."""
    header = {"alg": "EdDSA", "kid": by.kid, "typ": DocumentType.ORDER}
    return envelope(header, msgspec.json.encode(plain), by)


NEVER_COME: list[tuple[str, Act, bool, Road, str, int]] = [
    ("without its second key", cut(1), False, Road.MQTT, "SECOND_KEY_MISSING", 1),
    ("kept by the broker", HOLD, True, Road.MQTT, "RETAINED_ORDER", 2),
    ("by a road that it may not take", cut(1), False, Road.LOCAL, "ROAD_NOT_ALLOWED", 2),
]


@pytest.mark.parametrize(
    ("act", "retained", "road", "word", "keys"),
    [row[1:] for row in NEVER_COME],
    ids=[row[0] for row in NEVER_COME],
)
def test_an_order_that_counts_as_never_come_is_rejected_and_nothing_is_kept(
    act: Act, retained: bool, road: Road, word: str, keys: int
) -> None:
    world = town()
    paper = order(1, act)
    said = answer(world, sign_order(paper, *KEYS.orders[:keys]), road=road, retained=retained)
    assert said.order is not None
    assert (said.order.id, said.order.state, said.order.reason) == ("order-1", "REJECTED", word)
    assert (said.order.version, said.order.detail) == (0, said.detail)
    world.hand_in(sign_order(paper, *KEYS.orders[:keys]), road, retained=retained)
    assert progress_of("order-1", world.image) is None
    assert world.hand_in(sign_order(paper)) == "ACCEPTED"
    assert progress(world).version >= 1


def test_an_order_of_another_gateway_is_rejected_and_nothing_is_kept() -> None:
    world = town()
    raw = sign_order(order(1, HOLD, gateway="gw-2"))
    said = answer(world, raw)
    assert said.order is not None
    assert (said.order.state, said.order.reason) == ("REJECTED", said.word)
    assert said.word == "WRONG_AUDIENCE"
    world.hand_in(raw)
    assert progress_of("order-1", world.image) is None


def test_an_order_that_is_new_has_its_progress_in_the_image_and_not_in_the_answer() -> None:
    world = town()
    assert answer(world, sign_order(order(1, HOLD))).order is None
    head_end_goes(world)
    assert answer(world, sign_order(order(1, cut(1)))).order is None


def test_the_same_order_again_is_answered_with_how_far_it_has_come() -> None:
    world = dark_and_paid(M1)
    raw = sign_order(order(1, RECONNECT))
    assert world.hand_in(raw) == "ACCEPTED"
    world.ends(begins(world))
    said = answer(world, raw)
    assert (said.accepted, said.word) == (True, "DUPLICATE")
    assert said.order == progress(world)
    assert said.order.state is OrderState.SUCCEEDED


def test_an_old_order_that_is_known_comes_again_after_newer_ones_without_a_record() -> None:
    world = town()
    raw = sign_order(order(1, HOLD))
    assert world.hand_in(raw) == "ACCEPTED"
    world.orders = 1
    assert world.ordered(READ) == "ACCEPTED"
    number = world.image.number
    assert world.hand_in(raw) == "DUPLICATE"
    assert world.image.number == number
    assert answer(world, raw).order == progress(world)


def test_an_order_that_was_refused_is_refused_again_with_what_was_told() -> None:
    world = town()
    head_end_goes(world)
    raw = sign_order(order(1, cut(1)))
    assert world.hand_in(raw) == "HEAD_END_SILENT"
    world.orders = 1
    assert world.ordered(HOLD) == "ACCEPTED"
    said = answer(world, raw)
    assert (said.accepted, said.word) == (False, "HEAD_END_SILENT")
    assert said.order == progress(world)


def test_a_known_order_without_its_signature_is_answered_with_what_is_known() -> None:
    world = town()
    paper = order(1, cut(1))
    assert world.hand_in(sign_order(paper)) == "ACCEPTED"
    said = answer(world, sign_order(paper, *ONE_KEY))
    assert said.word == "SECOND_KEY_MISSING"
    assert said.order == progress(world)


def test_another_order_under_a_known_id_is_used_up_and_changes_nothing_that_was_told() -> None:
    world = town()
    assert world.ordered(HOLD) == "ACCEPTED"
    before = progress(world)
    raw = sign_order(msgspec.structs.replace(order(2, READ), id="order-1"))
    assert answer(world, raw).order == before
    assert world.hand_in(raw) == "ID_USED"
    assert isinstance(world.journal[-1][0].body, OrderRefused)
    assert world.image.kept.newest.order.seq == 2
    assert progress(world) == before


def test_an_order_whose_journal_is_lost_is_told_as_failed_for_that() -> None:
    world = town()
    raw = sign_order(order(1, RECONNECT))
    assert world.hand_in(raw) == "ACCEPTED"
    kept = msgspec.structs.replace(world.image.kept, orders={})
    world.image = msgspec.structs.replace(world.image, kept=kept)
    said = answer(world, raw)
    assert (said.accepted, said.word) == (True, "DUPLICATE")
    assert said.order is not None
    assert (said.order.state, said.order.reason) == ("FAILED", "JOURNAL_LOST")
    assert said.order.version == 0


def test_an_order_that_was_refused_in_a_lost_journal_is_refused_again_by_its_mark() -> None:
    world = town()
    head_end_goes(world)
    raw = sign_order(order(1, cut(1)))
    assert world.hand_in(raw) == "HEAD_END_SILENT"
    kept = msgspec.structs.replace(world.image.kept, orders_ended={})
    world.image = msgspec.structs.replace(world.image, kept=kept)
    said = answer(world, raw)
    assert (said.accepted, said.word) == (False, "HEAD_END_SILENT")
    assert said.order is not None
    assert (said.order.state, said.order.reason) == ("REJECTED", "HEAD_END_SILENT")
    assert said.order.version == 0


# --- what is not understood ---

PLAIN = plain_order(order(1, HOLD))


def test_an_unknown_kind_is_rejected_under_its_id() -> None:
    said = answer(town(), signed({**PLAIN, "kind": "dance"}))
    assert (said.accepted, said.word) == (False, "MALFORMED_PAYLOAD")
    assert said.order is not None
    assert (said.order.id, said.order.kind, said.order.state) == ("order-1", "dance", "REJECTED")
    assert said.order.reason == "MALFORMED_PAYLOAD"
    assert "not a kind of order" in said.order.detail


@pytest.mark.parametrize(
    "raw",
    [
        signed({**PLAIN, "kind": "dance", "id": "a/b"}),
        signed({**PLAIN, "kind": "dance", "id": 5}),
        signed({**PLAIN, "kind": "Dance!"}),
        signed([PLAIN]),
        signed({**PLAIN, "kind": "dance"}, by=KEYS.list),
        signed(PLAIN)[:-4] + b"AAAA",
        b"e" * 1_000_000,
        envelope(
            {"alg": "EdDSA", "kid": "list-1", "typ": DocumentType.LIST},
            msgspec.json.encode(PLAIN),
            KEYS.list,
        ),
    ],
    ids=[
        "an id that is no id",
        "an id that is a number",
        "a kind that is none",
        "a list",
        "a key of another role",
        "a broken signature",
        "a megabyte of nothing",
        "a list's document",
    ],
)
def test_what_no_key_stands_for_as_an_order_is_refused_without_an_echo(raw: bytes) -> None:
    said = answer(town(), raw)
    assert not said.accepted
    assert said.order is None


@pytest.mark.parametrize("plain", [PLAIN, {**PLAIN, "kind": "dance"}], ids=["known", "unknown"])
def test_the_order_of_a_revoked_key_is_refused_without_an_echo(plain: object) -> None:
    world = town()
    revoked = Revocation(kid=KEYS.orders[0].kid, after=NOON_MS - 1)
    root = msgspec.structs.replace(world.image.root, revoked=(revoked,))
    world.image = msgspec.structs.replace(world.image, root=root)
    said = answer(world, signed(plain))
    assert not said.accepted
    assert said.order is None


# --- bounds ---


@pytest.mark.parametrize(("act", "kind"), [(READ, "read"), (RECONNECT, "reconnect")])
def test_only_so_many_orders_of_a_kind_are_under_way(act: Act, kind: str) -> None:
    world = town()
    assert world.ordered(act) == "ACCEPTED"
    one = progress(world)
    ceiling = UNDER_WAY_MAX[kind]
    others = {f"other-{at}": msgspec.structs.replace(one, id=f"other-{at}")
              for at in range(ceiling - 1)}  # fmt: skip
    world.image = msgspec.structs.replace(
        world.image, kept=msgspec.structs.replace(world.image.kept, orders=others)
    )
    assert world.ordered(act) == "ACCEPTED"
    assert world.ordered(act) == "TOO_MANY_ORDERS"
    assert how(world, "order-3") == ("REJECTED", "TOO_MANY_ORDERS")
    assert world.ordered(HOLD) == "ACCEPTED"


def test_a_refusal_without_a_name_of_an_order_has_no_progress() -> None:
    world = town()
    world.hand_in(b"garbage")
    assert isinstance(world.journal[-1][0].body, Refused)
    assert world.image.kept.orders == world.image.kept.orders_ended == {}


# --- whatever happens ---


def known(world: World) -> dict[str, Progress]:
    return {**world.image.kept.orders, **world.image.kept.orders_ended}


@given(histories)
def test_an_end_never_changes_and_a_version_rises_by_one_with_each_change(
    history: tuple[Step, ...],
) -> None:
    world = new_world()
    before: dict[str, Progress] = {}
    for step in history:
        take(world, step)
        after = known(world)
        for name, was in before.items():
            now = after[name]
            told_otherwise = (was.state, was.reason, was.detail) != (
                now.state, now.reason, now.detail)  # fmt: skip
            assert not (was.ended and told_otherwise)
            assert now.version >= was.version + told_otherwise
            assert now.version == was.version or now.number > was.number
            assert now.at.items() >= was.at.items()
        before = after
    assert all(one.ended is (one.pending is None) for one in before.values())
    assert all(not one.ended for one in world.image.kept.orders.values())
    assert all(one.ended for one in world.image.kept.orders_ended.values())
