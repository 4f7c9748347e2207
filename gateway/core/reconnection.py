"""THE ONE RULE: whether a load switch may be closed, and whether the write may go out.

Owns every verdict about a closing, as one ordered list of guards; default is refusal. Must never
be copied: a second place that decides a closing is a bug. Receipts, lists, orders, technicians and
grace all pass here.
"""

from collections.abc import Callable
from enum import StrEnum

from gateway.core.image import Image
from gateway.core.kept import HOUR_MS
from gateway.core.model import Meter, Now, Reading, SupplyState, Value
from gateway.core.pacing import turn_ms
from gateway.core.standing import Standing

BACKFEED_MV = 50_000
"""Load-side voltage of an open switch that means another source feeds it: 50 V is the upper bound
of extra-low voltage for AC (IEC 61140), above what an idle line couples over."""


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
    CAUSE_UNKNOWN = "CAUSE_UNKNOWN"
    RETRIPPED = "RETRIPPED"
    PACED = "PACED"
    PERMIT = "PERMIT"
    WRONG_METER = "WRONG_METER"
    IDENTITY_UNPROVEN = "IDENTITY_UNPROVEN"
    BACKFEED = "BACKFEED"


class Ruling(Value):
    """A verdict, and for PACED the instant (boot clock) when its turn comes."""

    verdict: Verdict
    not_before_ms: int | None = None


Guard = Callable[[Meter, Image, Now], bool]


def may_close(meter: Meter, image: Image, now: Now) -> Ruling:
    """Whether this meter's switch may be closed now, all things considered but the wire."""
    for verdict, stands_against in GUARDS:
        if stands_against(meter, image, now):
            return Ruling(verdict=verdict)
    turn = turn_ms(meter, image, now)
    if turn > now.mono_ms:
        return Ruling(verdict=Verdict.PACED, not_before_ms=turn)
    return Ruling(verdict=Verdict.PERMIT)


def may_write(meter: Meter, reading: Reading, image: Image, now: Now) -> Verdict:
    """Whether the one write may go out, with what was just read on the bus.

    What may have changed since the decision is asked again first: a hold that was placed while the
    command waited for the bus stops it here.
    """
    for verdict, stands_against in STANDING_GUARDS:
        if stands_against(meter, image, now):
            return verdict
    for verdict, speaks_against in WIRE_GUARDS:
        if speaks_against(meter, reading, image):
            return verdict
    return Verdict.PERMIT


def cause_known(meter: Meter, image: Image, now: Now) -> bool:
    """Whether it is known that the switch is open for arrears, or its closing was asked for.

    An ask is used up an hour after a close fulfilled it: until then an opening is a retrip, later
    it may have been for safety.
    """
    ask = image.kept.asks.get(meter.account)
    if ask is not None:
        done = ask.fulfilled
        if done is None or now.since_ms(done.boot, done.mono_ms) < HOUR_MS:
            return True
    word = image.word(meter.account)
    return word is not None and word.cut


def _not_on_roster(meter: Meter, image: Image, _: Now) -> bool:
    return image.roster.get(meter.serial) != meter


def _switch_unproven(meter: Meter, image: Image, _: Now) -> bool:
    ability = image.station.profiles.get(meter.profile)
    return ability is None or not ability.switches


def _feeder_isolated(_: Meter, image: Image, __: Now) -> bool:
    return image.kept.feeder_isolation is not None


def _dt_isolated(meter: Meter, image: Image, _: Now) -> bool:
    return meter.dt in image.kept.dt_isolations


def _meter_held(meter: Meter, image: Image, _: Now) -> bool:
    return meter.serial in image.kept.holds


def _state_unknown(meter: Meter, image: Image, now: Now) -> bool:
    reading = image.seen.get(meter.serial)
    if reading is None or reading.state is SupplyState.UNKNOWN:
        return True
    return now.mono_ms - reading.mono_ms > image.limits.state_age_max_ms


def _already_connected(meter: Meter, image: Image, _: Now) -> bool:
    return image.seen[meter.serial].state is SupplyState.CONNECTED


def _awaiting_consumer(meter: Meter, image: Image, _: Now) -> bool:
    return image.seen[meter.serial].state is SupplyState.READY_FOR_RECONNECTION


def _not_paid(meter: Meter, image: Image, _: Now) -> bool:
    word = image.word(meter.account)
    return word is None or word.standing is not Standing.PAID


def _cause_unknown(meter: Meter, image: Image, now: Now) -> bool:
    return not cause_known(meter, image, now)


def _retripped(meter: Meter, image: Image, now: Now) -> bool:
    closed = (
        1
        for mark in image.kept.closed
        if mark.serial == meter.serial and now.since_ms(mark.boot, mark.mono_ms) < HOUR_MS
    )
    return sum(closed) >= image.limits.retrip_max


def _wrong_meter(meter: Meter, reading: Reading, image: Image) -> bool:
    if not image.station.profiles[meter.profile].proves_serial:
        return False
    return reading.serial != meter.serial


def _identity_unproven(meter: Meter, _: Reading, image: Image) -> bool:
    ability = image.station.profiles[meter.profile]
    return not ability.proves_serial and meter.second_proof is None


def _backfeed(_: Meter, reading: Reading, __: Image) -> bool:
    opened = reading.state is not SupplyState.CONNECTED
    return opened and reading.load_mv is not None and reading.load_mv >= BACKFEED_MV


def _wire_state_unknown(_: Meter, reading: Reading, __: Image) -> bool:
    return reading.state is SupplyState.UNKNOWN


def _wire_connected(_: Meter, reading: Reading, __: Image) -> bool:
    return reading.state is SupplyState.CONNECTED


def _wire_armed(_: Meter, reading: Reading, __: Image) -> bool:
    return reading.state is SupplyState.READY_FOR_RECONNECTION


GUARDS: tuple[tuple[Verdict, Guard], ...] = (
    (Verdict.NOT_ON_ROSTER, _not_on_roster),
    (Verdict.SWITCH_UNPROVEN, _switch_unproven),
    (Verdict.FEEDER_ISOLATED, _feeder_isolated),
    (Verdict.DT_ISOLATED, _dt_isolated),
    (Verdict.METER_HELD, _meter_held),
    (Verdict.STATE_UNKNOWN, _state_unknown),
    (Verdict.ALREADY_CONNECTED, _already_connected),
    (Verdict.AWAITING_CONSUMER, _awaiting_consumer),
    (Verdict.NOT_PAID, _not_paid),
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
    Verdict.CAUSE_UNKNOWN,
)
STANDING_GUARDS = tuple(guard for guard in GUARDS if guard[0] in _MAY_CHANGE_ON_THE_WAY)

WIRE_GUARDS: tuple[tuple[Verdict, Callable[[Meter, Reading, Image], bool]], ...] = (
    (Verdict.WRONG_METER, _wrong_meter),
    (Verdict.IDENTITY_UNPROVEN, _identity_unproven),
    (Verdict.STATE_UNKNOWN, _wire_state_unknown),
    (Verdict.BACKFEED, _backfeed),
    (Verdict.ALREADY_CONNECTED, _wire_connected),
    (Verdict.AWAITING_CONSUMER, _wire_armed),
)
