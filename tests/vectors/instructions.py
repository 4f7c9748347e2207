"""Vectors of orders: each kind, its keys, its hour, its road, and what speaks against it."""

from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.core.orders import (
    Act,
    Cancel,
    Disconnect,
    EndIsolation,
    Hold,
    Isolate,
    Order,
    Read,
    Rebirth,
    Reconnect,
    ReleaseForce,
    ReleaseHold,
    Resume,
)
from gateway.core.sequence import SEQ_JUMP_MAX
from gateway.core.signature import DocumentType
from gateway.core.trust import Role
from gateway.utility.sign import SigningKey, payload_of
from tests.core.papers import LEDGER_MS, MINUTE_MS, NOON_MS, cut, order
from tests.vectors import keys
from tests.vectors.keys import REVOKED, REVOKED_AFTER_MS, signed, together
from tests.vectors.scene import DAY_MS, NONCE, WITH_SITE, Scene, Vector

KIND = DocumentType.ORDER
READY = Scene(given=("site", "list"))
"""A list is in force: A1 is paid at 400, A2 at 300, nobody else."""
HOLD = Hold(meter="M1", reason="fault on the service line")
ISOLATE = Isolate(reason="work on the line")
NIGHT_MS = NOON_MS + 9 * 60 * MINUTE_MS
Row = tuple[str, str, str, Order, tuple[SigningKey, ...], Scene]


def vectors() -> Iterator[Vector]:
    """Every vector of orders."""
    for name, word, why, given, by, scene in (
        *_kinds(),
        *_sequence(),
        *_hour(),
        *_cuts(),
        *_cuts_refused(),
    ):
        raw = together(KIND, payload_of(given), *by)
        yield Vector(name=f"order-{name}", type=KIND, raw=raw, word=word, why=why, scene=scene)
    yield from _schema()


ONE = keys.ORDERS[:1]
BOTH = keys.ORDERS


def _at(seq: int, act: Act, **changes: Any) -> Order:
    return order(seq, act, **changes)


def _kinds() -> Iterator[Row]:
    told = Scene(given=("site", "order-hold"))
    shut = Scene(given=("site", "order-isolate"))
    waits = Scene(given=("site", "list", "order-disconnect"))
    elsewhere = Scene(given=("site",), held=("M1",))
    end = EndIsolation(reason="work is over")
    release = ReleaseHold(meter="M1", reason="mended")
    rows: tuple[tuple[str, str, str, Act, Scene], ...] = (
        ("hold", "ACCEPTED", "M1 must not be closed although paid.", HOLD, WITH_SITE),
        ("hold-again", "DUPLICATE", "The same order again.", HOLD, told),
        ("release-hold", "ACCEPTED", "The head end's own hold is over.", release, told),
        ("release-hold-elsewhere", "PLACED_ELSEWHERE", "A technician's hold is his to take away.",
         release, elsewhere),
        ("hold-nobody", "NOT_ON_ROSTER", "No meter of here.",
         msgspec.structs.replace(HOLD, meter="M99"), WITH_SITE),
        ("hold-no-reason", "NAME_OR_REASON_MISSING", "A blank is no reason.",
         msgspec.structs.replace(HOLD, reason=" "), WITH_SITE),
        ("isolate", "ACCEPTED", "People are at work on the feeder.", ISOLATE, WITH_SITE),
        ("isolate-dt", "ACCEPTED", "People are at work on one DT.",
         msgspec.structs.replace(ISOLATE, dt="T1"), WITH_SITE),
        ("end-isolation", "ACCEPTED", "The head end's own isolation is over.", end, shut),
        ("resume", "ACCEPTED", "A stopped DT may go on; one that is not stopped, too.",
         Resume(dt="T1", reason="looked at it"), WITH_SITE),
        ("resume-nobody", "NOT_ON_ROSTER", "No such DT here.",
         Resume(dt="T9", reason="looked at it"), WITH_SITE),
        ("reconnect", "ACCEPTED", "Supply is asked for; it grants nothing by itself.",
         Reconnect(account="A1", meter="M1"), READY),
        ("reconnect-nobody", "NOT_ON_ROSTER", "No account of here.",
         Reconnect(account="A99", meter="M1"), READY),
        ("reconnect-other-meter", "METER_MISMATCH", "Another account's meter.",
         Reconnect(account="A1", meter="M2"), READY),
        ("read", "ACCEPTED", "Two meters are read at once.", Read(meters=("M1", "M2")), WITH_SITE),
        ("read-nobody", "NOT_ON_ROSTER", "No meter of here.", Read(meters=("M99",)), WITH_SITE),
        ("read-twice", "NAMED_TWICE", "A meter stands twice.", Read(meters=("M1", "M1")),
         WITH_SITE),
        ("rebirth", "ACCEPTED", "The gateway says again what it is.", Rebirth(), WITH_SITE),
        ("cancel", "ACCEPTED", "What an order asked for and has not begun is not done.",
         Cancel(order="order-1"), waits),
        ("cancel-nothing", "NOTHING_TO_CANCEL", "Nothing of that order waits.",
         Cancel(order="order-77"), READY),
    )  # fmt: skip
    first = {"hold", "hold-again", "isolate"}
    for name, word, why, act, scene in rows:
        yield name, word, why, _at(1 if name in first else 2, act), ONE, scene
    es256 = (keys.ORDER_ES256,)
    yield "hold-es256", "ACCEPTED", "Signed with ES256.", _at(1, HOLD), es256, WITH_SITE


def _sequence() -> Iterator[Row]:
    told = Scene(given=("site", "order-hold"))
    rows: tuple[tuple[str, str, str, int, Scene], ...] = (
        ("equivocation", "EQUIVOCATION", "Another order of a number that is known.", 1, told),
        ("seq-old", "SEQ_OLD", "A number from before.", 0, told),
        ("seq-jump", "SEQ_JUMP", "Too far ahead: nothing could follow it.", 2 + SEQ_JUMP_MAX, told),
        ("retained", "RETAINED_ORDER", "The broker had kept it: nobody knows for how long.", 1,
         Scene(given=("site",), retained=True)),
    )  # fmt: skip
    for name, word, why, seq, scene in rows:
        yield name, word, why, _at(seq, ISOLATE), ONE, scene
    same_id = msgspec.structs.replace(_at(2, ISOLATE), id="order-1")
    yield "id-used", "ID_USED", "Another order has this id.", same_id, ONE, told
    elsewhere = order(1, HOLD, gateway="gw-2")
    yield "elsewhere", "WRONG_AUDIENCE", "For another gateway.", elsewhere, ONE, WITH_SITE
    late = order(1, HOLD, iat=REVOKED_AFTER_MS + 1, exp=NOON_MS + MINUTE_MS)
    by = (REVOKED[Role.ORDER],)
    yield "revoked", "KEY_REVOKED", "Issued after its key was revoked.", late, by, WITH_SITE


def _hour() -> Iterator[Row]:
    unsure = Scene(given=("site",), clock="noon, no trusted source")
    gone = order(1, HOLD, iat=NOON_MS - DAY_MS, exp=NOON_MS - 1_001)
    early = order(1, HOLD, iat=NOON_MS + 1_001)
    never = order(1, HOLD, exp=NOON_MS)
    echo = order(1, HOLD, boot=NONCE)
    other = order(1, HOLD, boot="boot-0@18000000")
    yield "expired", "EXPIRED", "It had to be here before.", gone, ONE, WITH_SITE
    yield "early", "NOT_YET_VALID", "Issued after the present.", early, ONE, WITH_SITE
    yield "never", "EXPIRED_WHEN_ISSUED", "It expires when it is issued.", never, ONE, WITH_SITE
    yield (
        "no-clock", "CLOCK_UNKNOWN", "Nobody knows the time, and it echoes nothing.",
        order(1, HOLD), ONE, unsure,
    )  # fmt: skip
    yield (
        "no-clock-echo",
        "ACCEPTED",
        "It echoes a status of just now.",
        echo,
        ONE,
        unsure,
    )
    yield "no-clock-other-echo", "CLOCK_UNKNOWN", "It echoes another boot.", other, ONE, unsure


def _cuts() -> Iterator[Row]:
    """What can darken a home: all guards that a document or its hour can meet."""
    a7 = _cut(7)
    act = ReleaseForce(meters=("M7",))
    told = Scene(given=("site", "list", "order-disconnect"))
    yield (
        "disconnect",
        "ACCEPTED",
        "Two keys, one home, at noon.",
        _at(1, a7),
        BOTH,
        READY,
    )
    yield "disconnect-again", "DUPLICATE", "The same order again.", _at(1, a7), BOTH, told
    yield (
        "disconnect-es256", "ACCEPTED", "Two keys of either algorithm.", _at(1, a7),
        (keys.ORDERS[0], keys.ORDER_ES256), READY,
    )  # fmt: skip
    forced = Scene(given=("site", "list"), forced=("M6", "M7"))
    yield (
        "release-force",
        "ACCEPTED",
        "A forced meter goes back to its own logic.",
        _at(1, act),
        BOTH,
        forced,
    )
    one = "One key where two are needed."
    yield "disconnect-one-key", "SECOND_KEY_MISSING", one, _at(1, a7), ONE, READY
    yield "release-one-key", "SECOND_KEY_MISSING", one, _at(1, act), ONE, forced
    twice = keys.ORDERS[0], keys.ORDERS[0]
    yield "disconnect-key-twice", "SECOND_KEY_MISSING", "One key twice.", _at(1, a7), twice, READY


def _cuts_refused() -> Iterator[Row]:
    a7 = _cut(7)
    act = ReleaseForce(meters=("M7",))
    forced = Scene(given=("site", "list"), forced=("M6", "M7"))
    told = Scene(given=("site", "list", "order-disconnect"))
    paid = _cut(1, n=399)
    day = _at(1, a7, iat=NIGHT_MS)
    long = _at(1, a7, exp=NOON_MS + 15 * MINUTE_MS + 1)
    to_come = _cut(7, n=NOON_MS + 1 - LEDGER_MS)
    old = _at(1, a7, iat=NOON_MS - 20 * MINUTE_MS)
    early = _at(1, a7, iat=NOON_MS + 1_001)
    unsure = msgspec.structs.replace(READY, clock="noon, no trusted source")
    night = msgspec.structs.replace(READY, clock="night")
    lost = msgspec.structs.replace(READY, memory_lost=True)
    dark = msgspec.structs.replace(READY, meters_read=False)
    silent = msgspec.structs.replace(READY, head_end_heard=False)
    here = msgspec.structs.replace(READY, road="LOCAL")
    rows: tuple[tuple[str, str, str, Order, Scene], ...] = (
        ("disconnect-by-hand", "ROAD_NOT_ALLOWED", "It comes by MQTT only.", _at(1, a7), here),
        ("disconnect-nobody", "NOT_ON_ROSTER", "No meter of here.", _at(1, _cut(77)), READY),
        ("disconnect-paid", "NEWER_PAID", "A word as new says PAID.", _at(1, paid), READY),
        ("disconnect-equivocation", "EQUIVOCATION", "At this ledger time the list says PAID.",
         _at(1, _cut(1, n=400)), READY),
        ("disconnect-older", "OLDER_THAN_STANDING", "The list that does not name it is newer.",
         _at(1, _cut(7, n=499)), READY),
        ("disconnect-long", "LIFE_TOO_LONG", "More than 15 minutes from iat to exp.", long, READY),
        ("disconnect-expired", "EXPIRED", "It had to be here before.", old, READY),
        ("disconnect-early", "NOT_YET_VALID", "Issued after the present.", early, READY),
        ("disconnect-no-clock", "CLOCK_UNKNOWN", "Nobody knows the time.", _at(1, a7), unsure),
        ("disconnect-memory", "MEMORY_LOST", "A newer list was here.", _at(1, a7), lost),
        ("disconnect-no-list", "LIST_STALE", "No list: who has paid is not known.", _at(1, a7),
         WITH_SITE),
        ("disconnect-unread", "NOT_REACHED", "The meter was not read of late.", _at(1, a7), dark),
        ("disconnect-silent", "HEAD_END_SILENT", "Nobody could take it back.", _at(1, a7), silent),
        ("disconnect-no-proof", "CLOSE_UNPROVEN", "Nothing proves which meter answers there.",
         _at(1, _cut(4)), READY),
        ("disconnect-unproven", "OPEN_UNPROVEN", "How this type is opened is not known.",
         _at(1, _cut(5)), READY),
        ("disconnect-night", "PROTECTED_TIME", "Nobody is cut at night.", day, night),
        ("disconnect-protected", "PROTECTED_ACCOUNT", "Nobody cuts life support.", _at(1, _cut(3)),
         READY),
        ("disconnect-bulk", "BULK_CEILING", "Three homes, two an hour are allowed.",
         _at(1, _cut(7, 6, 8)), Scene(given=("site", "site-eight", "list"))),
        ("disconnect-twice", "NAMED_TWICE", "An account stands twice.", _at(1, _cut(7, 7)), READY),
        ("disconnect-to-come", "N_AFTER_ISSUE", "As of a ledger time that is to come.",
         _at(1, to_come), READY),
        ("disconnect-under-way", "TASK_UNDER_WAY", "An earlier order is still at this meter.",
         _at(2, _cut(7, n=601)), told),
        ("release-unforced", "NOT_FORCED", "No command of ours forces it.", _at(1, act), READY),
        ("release-unproven", "RELEASE_UNPROVEN", "How this type is released is not known.",
         _at(1, ReleaseForce(meters=("M6",))), forced),
    )  # fmt: skip
    for name, word, why, given, scene in rows:
        yield name, word, why, given, BOTH, scene


def _cut(*numbers: int, n: int = 600) -> Disconnect:
    return cut(*numbers, n=n)


def _schema() -> Iterator[Vector]:
    payload = payload_of(order(1, HOLD))
    rows: tuple[tuple[str, str, bytes], ...] = (
        ("unknown-member", "An order that says more than is understood is not carried out.",
         payload[:-1] + b',"note":"x"}'),
        ("unknown-argument", "Nor one whose arguments say more.",
         payload.replace(b'"reason"', b'"until":5,"reason"')),
        ("unknown-kind", "Nobody here knows this kind.", payload.replace(b'"hold"', b'"dance"')),
        ("no-arguments", "A hold names its meter.", payload.replace(b'"meter":"M1",', b"")),
        ("no-homes", "An order names somebody.", payload_of(order(1, _cut()))),
        ("kind-in-arguments", "The kind stands in one place.",
         payload.replace(b'"reason"', b'"kind":"hold","reason"')),
    )  # fmt: skip
    for name, why, content in rows:
        yield Vector(
            name=f"order-{name}",
            type=KIND,
            raw=signed(KIND, content, keys.ORDERS[0]),
            word="MALFORMED_PAYLOAD",
            why=why,
            scene=WITH_SITE,
        )
