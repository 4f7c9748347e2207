"""Orders on the wire and as values: nothing is lost, nothing unknown taken, mistakes placed."""

from collections.abc import Callable
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.documents import place_and_mend
from gateway.core.model import INTEGER_MAX
from gateway.core.orders import (
    DANGEROUS,
    TARGETS_MAX,
    Act,
    Cancel,
    Config,
    Confirm,
    CutEntry,
    Disconnect,
    EndIsolation,
    ForgetMeter,
    Hold,
    Isolate,
    LogBundle,
    Order,
    Read,
    Rebirth,
    Reconnect,
    ReleaseForce,
    ReleaseHold,
    Resume,
    Scan,
    Wipe,
    keys_needed,
    kind_of,
    order_from,
    plain_order,
)
from gateway.core.records import OrderRefused, Refused
from gateway.core.settings import LEVELS, BrokerChange
from gateway.core.signature import DocumentType, digest_of
from gateway.utility.sign import payload_of
from tests.core.papers import M1, cut, order
from tests.core.world import World
from tests.signing import KEYS, sign_order

accounts = st.from_regex(r"[0-9A-Za-z/_.-]{1,32}", fullmatch=True)
serials = st.from_regex(r"[0-9A-Za-z-]{1,32}", fullmatch=True)
ids = st.from_regex(r"[A-Za-z0-9-]{1,32}", fullmatch=True)
reasons = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)
times = st.integers(0, INTEGER_MAX)
cuts = st.lists(
    st.builds(CutEntry, account=accounts, meter=serials, n=times), min_size=1, max_size=4
)
acts: st.SearchStrategy[Act] = st.one_of(
    st.builds(Disconnect, accounts=cuts.map(tuple)),
    st.builds(ReleaseForce, meters=st.lists(serials, min_size=1, max_size=4).map(tuple)),
    st.builds(Reconnect, account=accounts, meter=serials),
    st.builds(Hold, meter=serials, reason=reasons),
    st.builds(ReleaseHold, meter=serials, reason=reasons),
    st.builds(Isolate, reason=reasons, dt=st.none() | ids),
    st.builds(EndIsolation, reason=reasons, dt=st.none() | ids),
    st.builds(Resume, dt=ids, reason=reasons),
    st.builds(Cancel, order=ids),
    st.builds(
        Config,
        broker=st.none()
        | st.builds(
            BrokerChange,
            host=st.none() | st.text(max_size=9),
            port=st.none() | st.integers(0, 99_999),
            keepalive_s=st.none() | st.integers(0, 9_999),
        ),
        log_level=st.none() | st.sampled_from(LEVELS),
        reset=st.booleans(),
    ),
    st.builds(Confirm, order=ids),
    st.builds(LogBundle),
    st.builds(Scan, bus=ids),
    st.builds(ForgetMeter, meters=st.lists(serials, min_size=1, max_size=4).map(tuple)),
    st.builds(Wipe),
    st.builds(Read, meters=st.lists(serials, min_size=1, max_size=4).map(tuple)),
    st.builds(Rebirth),
)
orders = st.builds(
    Order,
    gateway=ids,
    id=ids,
    seq=times,
    iat=times,
    exp=times,
    act=acts,
    boot=st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64),
)
KINDS = {
    "disconnect": 2,
    "release_force": 2,
    "reconnect": 1,
    "hold": 1,
    "release_hold": 1,
    "isolate": 1,
    "end_isolation": 1,
    "resume": 1,
    "cancel": 1,
    "read": 1,
    "rebirth": 1,
    "config": 1,
    "confirm": 1,
    "log_bundle": 1,
    "scan": 1,
    "forget_meter": 2,
    "wipe": 2,
}


@settings(max_examples=200)
@given(orders)
def test_an_order_comes_off_the_wire_as_it_was_put_on_it(paper: Order) -> None:
    plain = plain_order(paper)
    assert set(plain) == {"gateway", "id", "seq", "kind", "args", "iat", "exp", "boot"}
    assert order_from(plain) == paper
    assert order_from(msgspec.json.decode(msgspec.json.encode(plain))) == paper
    assert order_from(msgspec.json.decode(payload_of(paper))) == paper


@given(acts)
def test_each_kind_needs_its_keys(act: Act) -> None:
    assert keys_needed(act) == KINDS[kind_of(act)]
    assert isinstance(act, DANGEROUS) is (keys_needed(act) == 2)


def test_every_kind_is_told_here() -> None:
    assert {str(act.__struct_config__.tag) for act in get_args(Act)} == set(KINDS)


HOLD = plain_order(order(7, Hold(meter="M1", reason="burnt terminal")))
CUT = plain_order(order(7, cut(1, 2)))
Change = Callable[[dict[str, Any]], object]


def altered(plain: dict[str, Any], change: Change) -> dict[str, Any]:
    copy = msgspec.json.decode(msgspec.json.encode(plain))
    change(copy)
    return dict(copy)


KNOWN = (
    "disconnect, release_force, reconnect, hold, release_hold, isolate, end_isolation, resume, "
    "cancel, config, confirm, log_bundle, scan, forget_meter, wipe, read, rebirth"
)
MISTAKES: list[tuple[str, dict[str, Any], Change, str]] = [
    ("an unknown member", HOLD, lambda o: o.update(until=5),
     "until is not a member; leave it out"),
    ("an unknown argument", HOLD, lambda o: o["args"].update(until=5),
     "args: until is not a member; leave it out"),
    ("an unknown member of a cut", CUT, lambda o: o["args"]["accounts"][1].update(cut=True),
     "args.accounts[1]: cut is not a member; leave it out"),
    ("an argument of another kind", HOLD, lambda o: o["args"].update(dt="T1"),
     "args: dt is not a member; leave it out"),
    ("an unknown kind", HOLD, lambda o: o.update(kind="explode"),
     f"kind: not a kind of order; write one of {KNOWN}"),
    ("a kind among the arguments", HOLD, lambda o: o["args"].update(kind="hold"),
     f"kind: not a kind of order; write one of {KNOWN}"),
    ("no kind", HOLD, lambda o: o.pop("kind"), "kind is missing; add it"),
    ("no arguments", HOLD, lambda o: o.pop("args"), "args is missing; add it"),
    ("no expiry", HOLD, lambda o: o.pop("exp"), "exp is missing; add it"),
    ("an argument that is missing", HOLD, lambda o: o["args"].pop("meter"),
     "args: meter is missing; add it"),
    ("an account of 33 characters", CUT,
     lambda o: o["args"]["accounts"][1].update(account="9" * 33),
     "args.accounts[1].account: not an account; write 1 to 32 of letters, digits, / _ . -"),
    ("a serial number with a blank", HOLD, lambda o: o["args"].update(meter="M 1"),
     "args.meter: not a serial number; write 1 to 32 of letters, digits, -"),
    ("a DT with a dot", altered(HOLD, lambda o: o.update(kind="isolate")),
     lambda o: o.update(args={"reason": "work", "dt": "T.1"}),
     "args.dt: not an id; write 1 to 32 of letters, digits, -"),
    ("an id with a slash", HOLD, lambda o: o.update(id="7/8"),
     "id: not an id; write 1 to 32 of letters, digits, -"),
    ("a cut of nobody", CUT, lambda o: o["args"].update(accounts=[]),
     "args.accounts: Expected array of length >= 1"),
    ("a cut of too many", CUT,
     lambda o: o["args"].update(accounts=o["args"]["accounts"][:1] * (TARGETS_MAX + 1)),
     f"args.accounts: Expected array of length <= {TARGETS_MAX}"),
    ("a reason of nothing", HOLD, lambda o: o["args"].update(reason=""),
     "args.reason: Expected str of length >= 1"),
    ("a reason of 201 characters", HOLD, lambda o: o["args"].update(reason="y" * 201),
     "args.reason: Expected str of length <= 200"),
    ("a time before 1970", HOLD, lambda o: o.update(iat=-1), "iat: Expected int >= 0"),
    ("a sequence beyond all integers", HOLD, lambda o: o.update(seq=INTEGER_MAX + 1),
     f"seq: Expected int <= {INTEGER_MAX}"),
    ("a boot of nothing", HOLD, lambda o: o.update(boot=""),
     "boot: Expected str of length >= 1"),
    ("arguments in a row", HOLD, lambda o: o.update(args=["M1"]),
     "args: Expected object, got array"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("plain", "change", "said"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES]
)
def test_a_mistake_is_refused_with_its_place_and_the_mend(
    plain: dict[str, Any], change: Change, said: str
) -> None:
    wrong = altered(plain, change)
    with pytest.raises(msgspec.ValidationError) as refused:
        order_from(wrong)
    assert place_and_mend(refused.value) == said
    world = World(M1)
    payload = msgspec.json.encode(wrong)
    raw = KEYS.orders[0].sign(DocumentType.ORDER, payload)
    assert world.hand_in(raw) == "MALFORMED_PAYLOAD"
    body = world.journal[-1][0].body
    assert isinstance(body, Refused)
    assert (body.detail, body.digest) == (said, digest_of(raw))
    assert world.image.kept.newest.order.seq == 0


def test_an_order_of_the_greatest_size_is_taken_as_one_document() -> None:
    names = [f"{number:032}" for number in range(TARGETS_MAX)]
    entries = (CutEntry(account=name, meter=name, n=1) for name in names)
    raw = sign_order(order(1, Disconnect(accounts=tuple(entries))))
    world = World(M1)
    assert world.hand_in(raw) == "NOT_ON_ROSTER"
    assert isinstance(world.journal[-1][0].body, OrderRefused)
