"""What is said of a payload that is none: the place in it, what is wrong, what to write instead."""

import inspect
import re

import msgspec
import pytest

from gateway.core import documents, model, orders, terms
from gateway.core.documents import Document, Receipt, Site, decode
from gateway.core.orders import Order, ReleaseForce
from gateway.core.signature import DocumentType, Rejected, Verified, digest_of
from gateway.utility.sign import payload_of
from tests.core.papers import M1, receipt

SITE = Site(gateway="gw-1", seq=1, feeder="feeder-1", meters=(M1,))
RECEIPT = receipt(1, 1)
ORDER = Order(
    gateway="gw-1", id="order-1", seq=1, iat=1, exp=2, act=ReleaseForce(meters=("M1", "M2"))
)
TYPES = {
    Site: DocumentType.SITE,
    Receipt: DocumentType.RECEIPT,
    Order: DocumentType.ORDER,
}


def said_of(document: Document, **changes: object) -> str:
    """What is said of a document that differs so much from a good one; None leaves a member out."""
    whole = {**msgspec.json.decode(payload_of(document)), **changes}
    given = {name: value for name, value in whole.items() if value is not None}
    payload = msgspec.json.encode(given)
    verified = Verified(
        type=TYPES[type(document)],
        payload=payload,
        signers=(),
        digest=digest_of(payload),
        raw=payload,
    )
    with pytest.raises(Rejected) as caught:
        decode(verified)
    return caught.value.detail


def meter_with(**changes: object) -> list[object]:
    return [msgspec.to_builtins(M1), {**msgspec.to_builtins(M1), **changes}]


def protected(**changes: object) -> dict[str, object]:
    window = {"weekdays": [1], "start": "17:00", "end": "24:00"}
    return {"protected": [{**window, **changes}]}


MISTAKES: list[tuple[Document, dict[str, object], str]] = [
    (
        RECEIPT,
        {"account": "no 1"},
        "account: not an account; write 1 to 32 of letters, digits, / _ . -",
    ),
    (
        SITE,
        {"meters": meter_with(serial="M 1")},
        "meters[1].serial: not a serial number; write 1 to 32 of letters, digits, -",
    ),
    (SITE, {"feeder": "F/1"}, "feeder: not an id; write 1 to 32 of letters, digits, -"),
    (
        SITE,
        {"meters": meter_with(profile="SDM")},
        "meters[1].profile: not a profile's name; write 1 to 48 of small letters, digits, -",
    ),
    (
        SITE,
        {"meters": meter_with(phase="R")},
        "meters[1].phase: not a phase; write L1, L2, L3 or L123",
    ),
    (
        SITE,
        {"disconnection": protected(start="24:00")},
        "disconnection.protected[0].start: not a time of day; write 00:00 to 23:59",
    ),
    (
        SITE,
        {"disconnection": protected(end="5 pm")},
        "disconnection.protected[0].end: not a time of day; write 00:01 to 24:00",
    ),
    (
        SITE,
        {"disconnection": {"protected_days": ["26.1.2027"]}},
        "disconnection.protected_days[0]: not a day; write it as 2027-01-26",
    ),
    (
        SITE,
        {"disconnection": {"hour_max": 0}},
        "disconnection.hour_max: Expected int >= 1",
    ),
    (RECEIPT, {"exp": None}, "exp is missing; add it"),
    (ORDER, {"urgent": True}, "urgent is not a member; leave it out"),
    (ORDER, {"args": {"meters": ["M1"], "now": 1}}, "args: now is not a member; leave it out"),
    (ORDER, {"args": {}}, "args: meters is missing; add it"),
    (
        ORDER,
        {"args": {"meters": ["M1", "M 2"]}},
        "args.meters[1]: not a serial number; write 1 to 32 of letters, digits, -",
    ),
    (ORDER, {"seq": -1}, "seq: Expected int >= 0"),
    (
        ORDER,
        {"kind": "dance"},
        (
            "kind: not a kind of order; write one of disconnect, release_force, reconnect, hold, "
            "release_hold, isolate, end_isolation, resume, cancel, config, confirm, log_bundle, "
            "scan, forget_meter, wipe, read, rebirth"
        ),
    ),
]


@pytest.mark.parametrize(
    ("document", "changes", "said"), MISTAKES, ids=[said for _, _, said in MISTAKES]
)
def test_a_mistake_is_told_with_its_place_and_its_mend(
    document: Document, changes: dict[str, object], said: str
) -> None:
    assert said_of(document, **changes) == said


def test_no_pattern_is_told_as_such() -> None:
    asked = "".join(inspect.getsource(module) for module in (model, terms, orders, documents))
    patterns = set(re.findall(r'pattern=(r"[^"]+")', asked))
    in_words = set(re.findall(r'^    (r"[^"]+"): "', asked, re.MULTILINE))
    assert patterns == in_words
