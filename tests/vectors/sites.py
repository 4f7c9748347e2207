"""Vectors of site documents: what is sound in itself and for this station."""

from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.core.documents import Site
from gateway.core.model import Meter
from gateway.core.people import Technician, TechnicianRole
from gateway.core.sequence import SEQ_JUMP_MAX
from gateway.core.signature import DocumentType
from gateway.core.terms import CheckMeter, Disconnection, Transformer, Window
from gateway.core.trust import Role
from gateway.utility.sign import payload_of
from tests.core.papers import meter
from tests.vectors import keys
from tests.vectors.keys import REVOKED, signed
from tests.vectors.scene import WITH_SITE, Scene, Vector

VERIFIER = "$argon2id$v=19$m=19456,t=2,p=1$" + "c2FsdHNhbHRzYWx0c2FsdA" + "$" + "A" * 43
WEAK_VERIFIER = VERIFIER.replace("19456", "1024")
ANIL = Technician(id="tech-7", name="Anil", roles=(TechnicianRole.TECHNICIAN,), pin=VERIFIER)


def _with(number: int, **changes: Any) -> Meter:
    return msgspec.structs.replace(meter(number), **changes)


METERS = (
    meter(1),
    meter(2),
    _with(3, protected=True),
    meter(4, profile="no-serial"),
    meter(5, profile="closes-only"),
    _with(6, profile="no-serial", second_proof="sheet 14"),
    meter(7),
)
"""M1 to M7 of accounts A1 to A7: which is which is in the site document of `site`."""
FIRST = Site(
    gateway="gw-1",
    seq=1,
    feeder="feeder-1",
    meters=METERS,
    disconnection=Disconnection(hour_max=2),
    helpdesk_phone="1912",
    technicians=(ANIL,),
)


def vectors() -> Iterator[Vector]:
    """Every vector of site documents."""
    kind = DocumentType.SITE
    for name, word, why, site, scene in (*_sequence(), *_unsound()):
        raw = signed(kind, payload_of(site), keys.SITE)
        yield Vector(name=name, type=kind, raw=raw, word=word, why=why, scene=scene)
    payload = payload_of(FIRST)
    others: tuple[tuple[str, str, str, bytes], ...] = (
        ("site-es256", "ACCEPTED", "Signed with ES256.", signed(kind, payload, keys.SITE_ES256)),
        (
            "site-revoked", "KEY_REVOKED",
            "A site document does not say when it was issued: none of a revoked key counts.",
            signed(kind, payload, REVOKED[Role.SITE]),
        ),
        (
            "site-unknown-members", "ACCEPTED",
            "Members that nobody knows are ignored in everything but orders.",
            signed(kind, payload[:-1] + b',"colour":"red"}', keys.SITE),
        ),
        (
            "site-no-feeder", "MALFORMED_PAYLOAD", "A member is missing.",
            signed(kind, payload.replace(b'"feeder"', b'"feeding"'), keys.SITE),
        ),
        (
            "site-by-list-key", "ROLE_NOT_ALLOWED", "A list key says nothing about the site.",
            signed(kind, payload, keys.LIST),
        ),
    )  # fmt: skip
    for name, word, why, raw in others:
        yield Vector(name=name, type=kind, raw=raw, word=word, why=why)


def _next(**changes: Any) -> Site:
    return msgspec.structs.replace(FIRST, seq=2, **changes)


def _sequence() -> Iterator[tuple[str, str, str, Site, Scene]]:
    yield "site", "ACCEPTED", "The roster and the terms of gateway gw-1.", FIRST, Scene()
    yield "site-again", "DUPLICATE", "The site document in force again.", FIRST, WITH_SITE
    yield "site-next", "ACCEPTED", "The next one.", _next(helpdesk_phone="1800"), WITH_SITE
    other = msgspec.structs.replace(FIRST, helpdesk_phone="1800")
    yield (
        "site-equivocation",
        "EQUIVOCATION",
        "Another of a number that is known.",
        other,
        WITH_SITE,
    )
    old = msgspec.structs.replace(FIRST, seq=0)
    yield "site-seq-old", "SEQ_OLD", "One from before.", old, WITH_SITE
    far = msgspec.structs.replace(FIRST, seq=2 + SEQ_JUMP_MAX)
    yield "site-seq-jump", "SEQ_JUMP", "Too far ahead: nothing could follow it.", far, WITH_SITE
    eight = _meters(*METERS, meter(8))
    yield "site-eight", "ACCEPTED", "One home more, M8 of A8.", eight, WITH_SITE
    elsewhere = _next(gateway="gw-2")
    yield "site-elsewhere", "WRONG_AUDIENCE", "For another gateway.", elsewhere, WITH_SITE


def _unsound() -> Iterator[tuple[str, str, str, Site, Scene]]:
    one = METERS[0]
    relay = _with(9, profile="relay")
    check = CheckMeter(serial="C1", profile="measures", bus="bus-1", unit=99)
    t1, t2 = Transformer(id="T1", check_meter=check), Transformer(id="T2")
    rows: tuple[tuple[str, str, str, Site], ...] = (
        ("relay", "ACCEPTED", "A relay board with an address of its own.",
         _meters(one, msgspec.structs.replace(relay, switch_unit=50, switch_channel=0))),
        ("check-meter", "ACCEPTED", "A transformer with a check meter.", _next(transformers=(t1,))),
        ("bus", "UNKNOWN_BUS", "No such bus here.", _meters(_with(1, bus="bus-2"))),
        ("profile", "UNKNOWN_PROFILE", "No such profile here.", _meters(_with(1, profile="odd"))),
        ("account-twice", "DUPLICATE_ACCOUNT", "An account has one meter.",
         _meters(one, _with(2, account="A1"))),
        ("meter-twice", "DUPLICATE_METER", "A meter belongs to one account.",
         _meters(one, _with(2, serial="M1"))),
        ("address-twice", "DUPLICATE_ADDRESS", "One answers at an address.",
         _meters(one, _with(2, unit=1))),
        ("relay-at-a-meter", "DUPLICATE_ADDRESS", "A board is no meter.",
         _meters(one, msgspec.structs.replace(relay, switch_unit=1, switch_channel=0))),
        ("relay-without-address", "SWITCH_ADDRESS_MISSING", "Where is its switch?",
         _meters(relay)),
        ("switch-address-unused", "SWITCH_ADDRESS_UNUSED", "This meter is its own switch.",
         _meters(_with(1, switch_unit=50, switch_channel=0))),
        ("channel-beyond-the-board", "NO_SUCH_CHANNEL", "A board of 8 has channels 0 to 7.",
         _meters(one, msgspec.structs.replace(relay, switch_unit=50, switch_channel=8))),
        ("permission", "ACCEPTED", "A meter type whose closing one source tells of may be written.",
         _next(unproven_profiles=("closes-only",))),
        ("permission-unused", "UNUSED_PROFILE", "No meter is of that type.",
         _next(unproven_profiles=("odd",))),
        ("permission-twice", "DUPLICATE_PROFILE", "A type stands twice.",
         _next(unproven_profiles=("closes-only", "closes-only"))),
        ("dt-twice", "DUPLICATE_DT", "A transformer stands twice.", _next(transformers=(t1, t1))),
        ("dt-unused", "UNUSED_DT", "No meter is on it.", _next(transformers=(t1, t2))),
        ("dt-unknown", "UNKNOWN_DT", "Where any is named, all are.",
         _next(meters=(*METERS, meter(8, dt="T9")), transformers=(t1,))),
        ("window-empty", "EMPTY_WINDOW", "From 17:00 to 09:00 is no time of one day.",
         _windows(Window(weekdays=(1,), start="17:00", end="09:00"))),
        ("windows-overlap", "OVERLAPPING_WINDOWS", "Two windows over one hour.",
         _windows(Window(weekdays=(1,), start="08:00", end="10:00"),
                  Window(weekdays=(1, 2), start="09:00", end="11:00"))),
        ("no-such-day", "NO_SUCH_DAY", "February has no 30th.", _days("2027-02-30")),
        ("day-twice", "DUPLICATE_DAY", "A day stands twice.", _days("2027-01-26", "2027-01-26")),
        ("technician-twice", "DUPLICATE_TECHNICIAN", "One id is one person.",
         _next(technicians=(ANIL, ANIL))),
        ("pin-weak", "WEAK_VERIFIER", "argon2id with 1 MiB is tried out too fast.",
         _next(technicians=(msgspec.structs.replace(ANIL, pin=WEAK_VERIFIER),))),
        ("pin-plain", "MALFORMED_PAYLOAD", "A PIN itself never stands in a document.",
         _next(technicians=(msgspec.structs.replace(ANIL, pin="1234"),))),
        ("phase", "MALFORMED_PAYLOAD", "There is no phase L4.", _meters(_with(1, phase="L4"))),
        ("unit", "MALFORMED_PAYLOAD", "Modbus has units 1 to 247.", _meters(_with(1, unit=248))),
    )  # fmt: skip
    for name, word, why, site in rows:
        yield f"site-{name}", word, why, site, WITH_SITE


def _meters(*meters: Meter) -> Site:
    return _next(meters=meters)


def _windows(*windows: Window) -> Site:
    return _next(disconnection=Disconnection(protected=windows))


def _days(*days: str) -> Site:
    return _next(disconnection=Disconnection(protected_days=days))
