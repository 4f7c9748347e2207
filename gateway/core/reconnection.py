"""THE ONE RULE: whether a load switch may be closed, and whether the write may go out.

Owns every verdict about a closing, as one ordered list of guards; default is refusal. Must never
be copied: a second place that decides a closing is a bug. Receipts, lists, orders, technicians and
grace all pass here.

Each guard says in its docstring what it asks: `feeder-gateway rules` prints them from here.
"""

from collections.abc import Callable
from enum import StrEnum

from gateway.core.fact import TagKind
from gateway.core.grace import FOR_ARREARS, grace_applies
from gateway.core.image import Image
from gateway.core.kept import HOUR_MS
from gateway.core.model import Brake, Cause, Meter, Now, Reading, SupplyState, Value
from gateway.core.pacing import Pacer
from gateway.core.standing import Standing
from gateway.core.waiting import at_least_ms, at_most_ms

BACKFEED_MV = 50_000
"""Load-side voltage of an open switch that means another source feeds it: 50 V is the upper bound
of extra-low voltage for AC (IEC 61140), above what an idle line couples over."""
SETTLED = FOR_ARREARS | {Cause.POWER_UP}
"""Causes for which a paid consumer gets his supply back without being asked."""


class Verdict(StrEnum):
    """The words of the one rule, used alike in code, journal, page, message and test."""

    NOT_ON_ROSTER = "NOT_ON_ROSTER"
    SWITCH_UNPROVEN = "SWITCH_UNPROVEN"
    FEEDER_ISOLATED = "FEEDER_ISOLATED"
    DT_ISOLATED = "DT_ISOLATED"
    METER_HELD = "METER_HELD"
    STATE_UNKNOWN = "STATE_UNKNOWN"
    ALREADY_CONNECTED = "ALREADY_CONNECTED"
    AWAITING_CONSUMER = "AWAITING_CONSUMER"
    NOT_PAID = "NOT_PAID"
    METER_MISMATCH = "METER_MISMATCH"
    CAUSE_UNKNOWN = "CAUSE_UNKNOWN"
    RETRIPPED = "RETRIPPED"
    PACED = "PACED"
    PERMIT = "PERMIT"
    WRONG_METER = "WRONG_METER"
    IDENTITY_UNPROVEN = "IDENTITY_UNPROVEN"
    BACKFEED = "BACKFEED"


class Ruling(Value):
    """A verdict; for PACED the instant (boot clock) when its turn comes, and what holds it."""

    verdict: Verdict
    not_before_ms: int | None = None
    brake: Brake | None = None


Guard = Callable[[Meter, Image, Now], bool]
WireGuard = Callable[[Meter, Reading, Image], bool]


def may_close(meter: Meter, image: Image, now: Now, pacer: Pacer | None = None) -> Ruling:
    """Whether this meter's switch may be closed now, all things considered but the wire.

    `pacer` is of the same image and instant, for who asks about many meters.
    """
    for verdict, stands_against in GUARDS:
        if stands_against(meter, image, now):
            return Ruling(verdict=verdict)
    turn = (pacer or Pacer(image, now)).turn(meter, now.mono_ms)
    if turn.not_before_ms > now.mono_ms:
        return Ruling(verdict=Verdict.PACED, not_before_ms=turn.not_before_ms, brake=turn.brake)
    return Ruling(verdict=Verdict.PERMIT)


def may_write(meter: Meter, reading: Reading, image: Image, now: Now) -> Verdict:
    """Whether the one write may go out, with what was just read on the bus.

    What may have changed since the decision is asked again first: a hold that was placed while the
    command waited for the bus stops it here.
    """
    for verdict, stands_against in STANDING_GUARDS:
        if stands_against(meter, image, now):
            return verdict
    if meter.dt in image.kept.stops:
        return Verdict.PACED
    for verdict, speaks_against in WIRE_GUARDS:
        if speaks_against(meter, reading, image):
            return verdict
    return Verdict.PERMIT


def cause_known(meter: Meter, image: Image, now: Now) -> bool:
    """Whether it is known that the switch is open for arrears, or its closing was asked for.

    An ask is used up an hour after a close fulfilled it: until then an opening is a retrip, later
    it may have been for safety.
    """
    opened = image.kept.causes.get(meter.serial)
    if _asked_for(meter, image, now):
        return True
    if opened is not None:
        return opened.cause in SETTLED
    word = image.word(meter.account)
    return word is not None and word.cut


def _asked_for(meter: Meter, image: Image, now: Now) -> bool:
    ask = image.kept.asks.get(meter.account)
    if ask is None or ask.meter != meter.serial or ask.overruled:
        return False
    if ask.fulfilled is None:
        return True
    since_ms = at_most_ms(ask.fulfilled, now)
    return since_ms is not None and since_ms < HOUR_MS


def not_on_roster(meter: Meter, image: Image, _: Now) -> bool:
    """The signed site document does not know this meter."""
    return image.roster.get(meter.serial) != meter


def wrong_meter(meter: Meter, reading: Reading, image: Image) -> bool:
    """The serial number read is not the roster's."""
    if not image.station.profiles[meter.profile].proves_serial:
        return False
    return reading.serial != meter.serial


def identity_unproven(meter: Meter, _: Reading, image: Image) -> bool:
    """Its type has no serial register, and no second proof is on file."""
    ability = image.station.profiles[meter.profile]
    return not ability.proves_serial and meter.second_proof is None


def state_unreadable(_: Meter, reading: Reading, __: Image) -> bool:
    """Where the switch stands could not be read."""
    return reading.state is SupplyState.UNKNOWN


def _switch_unproven(meter: Meter, image: Image, _: Now) -> bool:
    """Its type has no load switch that is known well enough to write."""
    ability = image.ability(meter.profile)
    return ability is None or not ability.switches


def _feeder_isolated(_: Meter, image: Image, __: Now) -> bool:
    """People are at work on the feeder."""
    return image.tagged(TagKind.ISOLATE_FEEDER)


def _dt_isolated(meter: Meter, image: Image, _: Now) -> bool:
    """People are at work on its transformer."""
    return image.tagged(TagKind.ISOLATE_DT, meter.dt)


def _meter_held(meter: Meter, image: Image, _: Now) -> bool:
    """A hold forbids closing this meter."""
    return image.tagged(TagKind.HOLD, meter.serial)


def _state_unknown(meter: Meter, image: Image, now: Now) -> bool:
    """No reading of its state is younger than the limit."""
    reading = image.seen.get(meter.serial)
    if reading is None or reading.state is SupplyState.UNKNOWN:
        return True
    return now.mono_ms - reading.mono_ms > image.limits.state_age_max_ms


def _already_connected(meter: Meter, image: Image, _: Now) -> bool:
    """The switch is closed."""
    return image.seen[meter.serial].state is SupplyState.CONNECTED


def _awaiting_consumer(meter: Meter, image: Image, _: Now) -> bool:
    """It is armed: the consumer must press; nothing is sent again."""
    return image.seen[meter.serial].state is SupplyState.READY_FOR_RECONNECTION


def _not_paid(meter: Meter, image: Image, now: Now) -> bool:
    """The account's standing is not PAID, and grace does not apply."""
    word = image.word(meter.account)
    paid = word is not None and word.standing is Standing.PAID
    return not paid and not grace_applies(meter, image, now)


def _meter_mismatch(meter: Meter, image: Image, _: Now) -> bool:
    """The word that grants it names a meter that never was this account's."""
    word = image.word(meter.account)
    if word is None or word.standing is not Standing.PAID:
        return False
    return not image.names_the_meter(word, meter)


def _cause_unknown(meter: Meter, image: Image, now: Now) -> bool:
    """Nothing says that it was opened for arrears, and neither a receipt nor an order asks."""
    return not cause_known(meter, image, now)


def _retripped(meter: Meter, image: Image, now: Now) -> bool:
    """Closed as often as is allowed within the last hour, and open again."""
    marks = image.done_marks(meter.serial)
    closed = sum(at_least_ms(mark.at, now) < HOUR_MS for mark in marks)
    return closed >= image.limits.retrip_max


def _backfeed(_: Meter, reading: Reading, __: Image) -> bool:
    """There is voltage on the load side of the open switch."""
    opened = reading.state is not SupplyState.CONNECTED
    return opened and reading.load_mv is not None and reading.load_mv >= BACKFEED_MV


def _reads_connected(_: Meter, reading: Reading, __: Image) -> bool:
    """The switch reads closed."""
    return reading.state is SupplyState.CONNECTED


def _reads_armed(_: Meter, reading: Reading, __: Image) -> bool:
    """It reads armed: the consumer must press."""
    return reading.state is SupplyState.READY_FOR_RECONNECTION


GUARDS: tuple[tuple[Verdict, Guard], ...] = (
    (Verdict.NOT_ON_ROSTER, not_on_roster),
    (Verdict.SWITCH_UNPROVEN, _switch_unproven),
    (Verdict.FEEDER_ISOLATED, _feeder_isolated),
    (Verdict.DT_ISOLATED, _dt_isolated),
    (Verdict.METER_HELD, _meter_held),
    (Verdict.STATE_UNKNOWN, _state_unknown),
    (Verdict.ALREADY_CONNECTED, _already_connected),
    (Verdict.AWAITING_CONSUMER, _awaiting_consumer),
    (Verdict.NOT_PAID, _not_paid),
    (Verdict.METER_MISMATCH, _meter_mismatch),
    (Verdict.CAUSE_UNKNOWN, _cause_unknown),
    (Verdict.RETRIPPED, _retripped),
)
"""The guards of `may_close` in their order; PACED follows them, then PERMIT."""

_MAY_CHANGE_ON_THE_WAY = (
    Verdict.NOT_ON_ROSTER,
    Verdict.SWITCH_UNPROVEN,
    Verdict.FEEDER_ISOLATED,
    Verdict.DT_ISOLATED,
    Verdict.METER_HELD,
    Verdict.NOT_PAID,
    Verdict.METER_MISMATCH,
    Verdict.CAUSE_UNKNOWN,
)
STANDING_GUARDS = tuple(guard for guard in GUARDS if guard[0] in _MAY_CHANGE_ON_THE_WAY)

WIRE_GUARDS: tuple[tuple[Verdict, WireGuard], ...] = (
    (Verdict.WRONG_METER, wrong_meter),
    (Verdict.IDENTITY_UNPROVEN, identity_unproven),
    (Verdict.STATE_UNKNOWN, state_unreadable),
    (Verdict.BACKFEED, _backfeed),
    (Verdict.ALREADY_CONNECTED, _reads_connected),
    (Verdict.AWAITING_CONSUMER, _reads_armed),
)
"""The guards of `may_write`, after those of `may_close` that may have changed on the way."""
