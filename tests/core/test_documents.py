"""What a verified payload says, and the names of what makes no sense in it."""

import inspect
import re
from typing import get_args

import msgspec
import pytest

from gateway.core import soundness
from gateway.core.documents import (
    ENTRIES_MAX,
    METERS_MAX,
    AllowList,
    Document,
    ListEntry,
    Receipt,
    Site,
    decode,
)
from gateway.core.model import GatewayId, Meter, ProfileAbility, Station
from gateway.core.orders import (
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
    kind_of,
)
from gateway.core.people import Technician
from gateway.core.settings import BrokerChange
from gateway.core.signature import (
    FIELD_DOCUMENTS,
    DocumentType,
    Flaw,
    Rejected,
    Verified,
    digest_of,
    verify,
)
from gateway.core.soundness import Unsound
from gateway.core.soundness import check as check_at
from gateway.utility.sign import payload_of
from tests.core.test_people import CHEAP, DEVI, UNSOUND_BADGES
from tests.core.test_soundness import UNSOUND as UNSOUND_SITES
from tests.core.test_soundness import UNSOUND_ORDERS
from tests.signing import ROOT, ROOT_RAW, sign_list, sign_order, sign_receipt, sign_site

STATION = Station(
    gateway=GatewayId("rewa-7"),
    buses=("bus1", "bus2"),
    profiles={
        "prepaid": ProfileAbility(switches=True, proves_serial=True),
        "board": ProfileAbility(switches=True, proves_serial=False, needs_switch_unit=True),
    },
)
ONE = Meter(account="1", serial="A1", profile="prepaid", bus="bus1", unit=1, dt="DT-1")
TWO = Meter(account="2", serial="A2", profile="prepaid", bus="bus1", unit=2, dt="DT-1")
BOARD = Meter(
    account="3",
    serial="A3",
    profile="board",
    bus="bus1",
    unit=3,
    dt="DT-2",
    phase="L3",
    switch_unit=100,
    switch_channel=0,
    second_proof="sheet 7",
)
BESIDE = Meter(
    account="4",
    serial="A4",
    profile="board",
    bus="bus1",
    unit=4,
    dt="DT-2",
    switch_unit=100,
    switch_channel=1,
)
SITE = Site(gateway="rewa-7", seq=1, feeder="F11", meters=(ONE, TWO, BOARD, BESIDE))
LIST = AllowList(
    gateway="rewa-7",
    seq=1,
    as_of=1_000,
    stale_after=2_000,
    accounts=(ListEntry(account="1", meter="A1", n=1_000), ListEntry(account="2", meter="A2", n=9)),
)
ORDER = Order(
    gateway="rewa-7",
    id="order-1",
    seq=1,
    iat=1,
    exp=2,
    act=Disconnect(accounts=(CutEntry(account="1", meter="A1", n=1),)),
    boot="boot-1",
)
RECEIPT = Receipt(
    account="1",
    meter="A1",
    n=1,
    paid_at=2,
    exp=3,
    gateway="rewa-7",
    ref="\u0930\u0938\u0940\u0926 7",
)


def altered(meter: Meter, **changes: object) -> Meter:
    return msgspec.structs.replace(meter, **changes)


def site_of(*meters: Meter, gateway: str = "rewa-7") -> Site:
    return msgspec.structs.replace(SITE, meters=meters, gateway=gateway)


def list_of(*accounts: ListEntry, gateway: str = "rewa-7") -> AllowList:
    return msgspec.structs.replace(LIST, accounts=accounts, gateway=gateway)


def check(document: Document) -> None:
    check_at(document, STATION)


def staffed(*technicians: Technician) -> Site:
    return msgspec.structs.replace(SITE, technicians=technicians)


SOUND = [
    ("a site with a technician", staffed(DEVI)),
    ("a roster of two meter types", SITE),
    ("an empty roster", site_of()),
    ("one address on two buses", site_of(ONE, altered(TWO, unit=1, bus="bus2"))),
    (
        "a board's number that is a meter's on the other bus",
        site_of(altered(ONE, unit=100, bus="bus2"), BOARD),
    ),
    ("a list", LIST),
    ("an empty list", list_of()),
    ("an entry of the list's own instant", list_of(ListEntry(account="1", meter="A", n=1_000))),
    ("a receipt for this gateway", RECEIPT),
    ("a receipt for any gateway", msgspec.structs.replace(RECEIPT, gateway=None)),
]

UNSOUND = [
    ("DUPLICATE_TECHNICIAN", "one id for two", staffed(DEVI, DEVI)),
    ("WEAK_VERIFIER", "a PIN that is tried out too fast", staffed(CHEAP)),
    ("WRONG_AUDIENCE", "site of another gateway", site_of(gateway="rewa-8")),
    ("WRONG_AUDIENCE", "list of another gateway", list_of(gateway="rewa-8")),
    ("WRONG_AUDIENCE", "name in other letters", list_of(gateway="Rewa-7")),
    (
        "WRONG_AUDIENCE",
        "receipt of another gateway",
        msgspec.structs.replace(RECEIPT, gateway="rewa-8"),
    ),
    ("DUPLICATE_ACCOUNT", "an account at two meters", site_of(ONE, altered(TWO, account="1"))),
    ("DUPLICATE_METER", "a meter of two accounts", site_of(ONE, altered(TWO, serial="A1"))),
    ("UNKNOWN_BUS", "a bus that is not here", site_of(altered(ONE, bus="bus3"))),
    ("UNKNOWN_PROFILE", "a meter type that is not here", site_of(altered(ONE, profile="new"))),
    ("SWITCH_ADDRESS_MISSING", "no board", site_of(altered(BOARD, switch_unit=None))),
    ("SWITCH_ADDRESS_MISSING", "no channel", site_of(altered(BOARD, switch_channel=None))),
    ("SWITCH_ADDRESS_UNUSED", "a board for none", site_of(altered(ONE, switch_unit=100))),
    ("SWITCH_ADDRESS_UNUSED", "a channel for none", site_of(altered(ONE, switch_channel=1))),
    ("DUPLICATE_ADDRESS", "two meters of one unit", site_of(ONE, altered(TWO, unit=1))),
    ("DUPLICATE_ADDRESS", "two of one channel", site_of(BOARD, altered(BESIDE, switch_channel=0))),
    ("DUPLICATE_ADDRESS", "a board that is a meter", site_of(altered(ONE, unit=100), BOARD)),
    ("DUPLICATE_ADDRESS", "a board that is a later meter", site_of(BOARD, altered(ONE, unit=100))),
    ("DUPLICATE_ADDRESS", "a board that is its own meter", site_of(altered(BOARD, unit=100))),
    (
        "DUPLICATE_ACCOUNT",
        "an account twice on the list",
        list_of(*LIST.accounts, LIST.accounts[0]),
    ),
    (
        "ENTRY_AFTER_AS_OF",
        "an entry younger than the list",
        list_of(ListEntry(account="1", meter="A1", n=1_001)),
    ),
]


@pytest.mark.parametrize(("said", "document"), SOUND, ids=[row[0] for row in SOUND])
def test_a_document_is_sound(said: str, document: Document) -> None:
    check(document)


@pytest.mark.parametrize(
    ("name", "said", "document"), UNSOUND, ids=[f"{row[0]}-{row[1]}" for row in UNSOUND]
)
def test_a_document_is_unsound_with(name: str, said: str, document: Document) -> None:
    with pytest.raises(Unsound) as caught:
        check(document)
    assert caught.value.name == name
    assert str(caught.value) == f"{name}: {caught.value.detail}"


def test_every_name_is_seen_here_or_in_test_soundness() -> None:
    names = set(re.findall(r'"([A-Z]+(?:_[A-Z]+)+)"', inspect.getsource(soundness)))
    here, there = {row[0] for row in UNSOUND}, {row[2] for row in UNSOUND_SITES}
    badges = {row[1] for row in UNSOUND_BADGES}
    assert names == here | there | badges | {row[3] for row in UNSOUND_ORDERS}


def test_the_place_is_named() -> None:
    with pytest.raises(Unsound, match=r"^DUPLICATE_ADDRESS: meters\[1\]: unit 1 of bus bus1 is"):
        check(site_of(ONE, altered(TWO, unit=1)))
    with pytest.raises(Unsound, match=r"meters\[1\]: unit 100 channel 0 of bus bus1 is also"):
        check(site_of(BOARD, altered(BESIDE, switch_channel=0)))


@pytest.mark.parametrize(
    ("document", "raw"),
    [(SITE, sign_site(SITE)), (LIST, sign_list(LIST)), (RECEIPT, sign_receipt(RECEIPT))],
    ids=["site", "list", "receipt"],
)
def test_what_was_signed_is_what_is_read(document: Document, raw: bytes) -> None:
    assert decode(verify(raw, FIELD_DOCUMENTS, ROOT)) == document


ACTS: tuple[Act, ...] = (
    ORDER.act,
    ReleaseForce(meters=("A1", "A2")),
    Reconnect(account="1", meter="A1"),
    Hold(meter="A1", reason="\u091c\u0932\u093e"),
    ReleaseHold(meter="A1", reason="mended"),
    Isolate(reason="storm"),
    Isolate(dt="DT-1", reason="pole down"),
    EndIsolation(reason="over"),
    Resume(dt="DT-1", reason="fuse"),
    Cancel(order="order-0"),
    Read(meters=("A1", "A2")),
    Rebirth(),
    Config(broker=BrokerChange(host="mqtt2.example", port=1884), log_level="ERROR"),
    Config(reset=True),
    Confirm(order="order-0"),
    LogBundle(),
    Scan(bus="bus1"),
    ForgetMeter(meters=("A1", "A2")),
    Wipe(),
)


@pytest.mark.parametrize("act", ACTS, ids=kind_of)
@pytest.mark.parametrize("boot", [None, "boot-1"], ids=["without an echo", "with an echo"])
def test_an_order_that_was_signed_is_the_one_that_is_read(act: Act, boot: str | None) -> None:
    document = msgspec.structs.replace(ORDER, act=act, boot=boot)
    raw = sign_order(document)
    assert decode(verify(raw, FIELD_DOCUMENTS, ROOT)) == document
    said = msgspec.json.decode(payload_of(document))
    assert said["kind"] == kind_of(act)
    assert "kind" not in said["args"], "it is said once"


def test_every_kind_of_order_is_read_here() -> None:
    assert {type(act) for act in ACTS} == set(get_args(Act))


def proven(kind: DocumentType, payload: bytes) -> Verified:
    """A payload as if its envelope had been checked: the tests of the envelope are elsewhere."""
    return Verified(type=kind, payload=payload, signers=(), digest=digest_of(payload), raw=payload)


def changed(document: Document, **changes: object) -> bytes:
    values = msgspec.json.decode(payload_of(document))
    return msgspec.json.encode({**values, **changes})


def meter_with(**changes: object) -> bytes:
    return changed(SITE, meters=[{**msgspec.to_builtins(ONE), **changes}])


def without(document: Document, member: str) -> bytes:
    values = msgspec.json.decode(payload_of(document))
    del values[member]
    return msgspec.json.encode(values)


def with_args(**changes: object) -> bytes:
    args = msgspec.json.decode(payload_of(ORDER))["args"]
    return changed(ORDER, args={**args, **changes})


SITE_TYPE, LIST_TYPE = DocumentType.SITE, DocumentType.LIST
RECEIPT_TYPE, ORDER_TYPE = DocumentType.RECEIPT, DocumentType.ORDER
NO_END = {"protected": [{"weekdays": [1], "start": "17:00"}]}
GRACE = {"after_h": 24, "cut_within_days": 30, "daily_max": 5, "hours": 48}
NO_NUMBER = {"id": "DT-1", "check_meter": {"profile": "prepaid", "bus": "bus1", "unit": 9}}
ENTRY = {"account": "1", "meter": "A1", "n": 1}
MALFORMED = [
    ("a list instead of an object", SITE_TYPE, b"[]"),
    ("nothing", RECEIPT_TYPE, b"null"),
    ("a receipt as a site", SITE_TYPE, payload_of(RECEIPT)),
    ("a site as a list", LIST_TYPE, payload_of(SITE)),
    ("an account of 33 characters", RECEIPT_TYPE, changed(RECEIPT, account="1" * 33)),
    ("an account with a line end", RECEIPT_TYPE, changed(RECEIPT, account="1\n")),
    ("a meter with a line end", RECEIPT_TYPE, changed(RECEIPT, meter="A1\n")),
    ("a gateway with a line end", RECEIPT_TYPE, changed(RECEIPT, gateway="rewa-7\n")),
    ("a gateway that is a topic", RECEIPT_TYPE, changed(RECEIPT, gateway="rewa/#")),
    ("a time before 1970", RECEIPT_TYPE, changed(RECEIPT, n=-1)),
    ("a time that not every JSON carries", RECEIPT_TYPE, changed(RECEIPT, exp=2**53)),
    ("a time as text", RECEIPT_TYPE, changed(RECEIPT, n="1")),
    ("yes for a time", RECEIPT_TYPE, changed(RECEIPT, n=True)),
    ("a reference of 65 characters", RECEIPT_TYPE, changed(RECEIPT, ref="7" * 65)),
    ("a sequence below zero", LIST_TYPE, changed(LIST, seq=-1)),
    ("no accounts", LIST_TYPE, changed(LIST, accounts=None)),
    ("too many accounts", LIST_TYPE, changed(LIST, accounts=[ENTRY] * (ENTRIES_MAX + 1))),
    ("an account that is none", LIST_TYPE, changed(LIST, accounts=[{**ENTRY, "account": ""}])),
    ("a number for cut", LIST_TYPE, changed(LIST, accounts=[{**ENTRY, "cut": 1}])),
    ("unit 0, the broadcast", SITE_TYPE, meter_with(unit=0)),
    ("unit 248", SITE_TYPE, meter_with(unit=248)),
    ("a fourth phase", SITE_TYPE, meter_with(phase="L4")),
    ("a channel beyond any board", SITE_TYPE, meter_with(switch_channel=64)),
    ("an empty proof", SITE_TYPE, meter_with(second_proof="")),
    ("a profile that is a path", SITE_TYPE, meter_with(profile="../x")),
    (
        "too many meters",
        SITE_TYPE,
        changed(SITE, meters=[msgspec.to_builtins(ONE)] * (METERS_MAX + 1)),
    ),
    ("no close a minute", SITE_TYPE, changed(SITE, pacing={"minute_max": 0})),
    ("a promise of a second", SITE_TYPE, changed(SITE, limits={"promise_ms": 1_000})),
    ("a telephone number of 33", SITE_TYPE, changed(SITE, helpdesk_phone="1" * 33)),
    ("a jitter as long as the gap", SITE_TYPE, changed(SITE, pacing={"jitter_percent": 100})),
    ("a DT that nothing stops", SITE_TYPE, changed(SITE, pacing={"failures_max": 11})),
    ("a window without an end", SITE_TYPE, changed(SITE, disconnection=NO_END)),
    ("a grace that says nothing", SITE_TYPE, changed(SITE, grace={})),
    ("a grace without end", SITE_TYPE, changed(SITE, grace={**GRACE, "hours": 721})),
    ("a check meter without a number", SITE_TYPE, changed(SITE, transformers=[NO_NUMBER])),
    ("an order without a kind", ORDER_TYPE, without(ORDER, "kind")),
    ("an order without an expiry", ORDER_TYPE, without(ORDER, "exp")),
    ("an order of a later release", ORDER_TYPE, changed(ORDER, kind="dance", args={})),
    ("an order with a member of a later release", ORDER_TYPE, changed(ORDER, urgent=True)),
    ("arguments of another kind", ORDER_TYPE, changed(ORDER, kind="hold")),
    ("arguments that name a kind", ORDER_TYPE, with_args(kind="disconnect")),
    ("an argument of a later release", ORDER_TYPE, with_args(slowly=True)),
    ("arguments that are a list", ORDER_TYPE, changed(ORDER, args=[])),
    ("nobody to cut", ORDER_TYPE, with_args(accounts=[])),
    ("too many to cut", ORDER_TYPE, with_args(accounts=[ENTRY] * (TARGETS_MAX + 1))),
    ("an entry of a later release", ORDER_TYPE, with_args(accounts=[{**ENTRY, "why": "arrears"}])),
    ("an empty echo", ORDER_TYPE, changed(ORDER, boot="")),
    ("an order's id with a line end", ORDER_TYPE, changed(ORDER, id="order-1\n")),
    ("a receipt as an order", ORDER_TYPE, payload_of(RECEIPT)),
    ("a list instead of an order", ORDER_TYPE, b"[]"),
]


@pytest.mark.parametrize(("said", "kind", "payload"), MALFORMED, ids=[r[0] for r in MALFORMED])
def test_a_payload_is_malformed(said: str, kind: DocumentType, payload: bytes) -> None:
    with pytest.raises(Rejected) as caught:
        decode(proven(kind, payload))
    assert caught.value.flaw is Flaw.MALFORMED_PAYLOAD


def test_what_a_later_release_adds_is_passed_over() -> None:
    payload = changed(
        SITE,
        linemen=[{"name": "S. Devi"}],
        meters=[{**msgspec.to_builtins(ONE), "x": 1}],
        disconnection={**msgspec.to_builtins(SITE.disconnection), "x": 1},
    )
    assert decode(proven(DocumentType.SITE, payload)) == site_of(ONE)


def test_a_root_comes_by_no_road() -> None:
    root = verify(ROOT_RAW, frozenset({DocumentType.ROOT}), ROOT)
    with pytest.raises(Rejected) as caught:
        decode(root)
    assert caught.value.flaw is Flaw.WRONG_TYPE
