"""Due: which orders have ended without any other record that tells it.

Owns when a reading is complete, when an order has waited for too long, and that what it asks for is
so already. Must never end one of whose command the outcome is not known yet: that tells by itself.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from gateway.core.errands import scan_due
from gateway.core.image import Image
from gateway.core.lifecycle import ALREADY_CONNECTED, AWAITING_CONSUMER
from gateway.core.model import INTEGER_MAX, Now, Reading, SupplyState
from gateway.core.orders import Read, Reconnect, Scan
from gateway.core.progress import OrderState, Pending, Progress, Readings, ReadingTaken
from gateway.core.readings import Quality, state_quality
from gateway.core.reconnection import may_close
from gateway.core.records import OrderEnded
from gateway.core.sequence import expired
from gateway.core.waiting import at_least_ms, at_ms, instant_of

READ_WITHIN_MS: Final = 30_000
READ_EACH_MS: Final = 500
"""More for each meter: at 9600 baud state and values of one take up to 200 ms."""
NO_ANSWER: Final = "NO_ANSWER"

LookAgain = Callable[[int], None]


def due(image: Image, now: Now, look_again: LookAgain) -> Iterator[OrderEnded]:
    """Which orders have ended by now; `look_again` is told when (boot clock) others may have."""
    for one in image.kept.orders.values():
        pending = one.pending
        assert pending is not None, "what has ended stands elsewhere"
        match pending.act:
            case Reconnect():
                ended = _reconnect(one, pending, pending.act, image, now, look_again)
            case Read():
                ended = _read(one, pending, pending.act, image, now, look_again)
            case Scan():
                ended = scan_due(one.id, pending, now, look_again)
            case _:
                ended = None
        if ended is not None:
            yield ended


def reads_wanted(image: Image, boot: str) -> Mapping[str, int]:
    """The meters that are to be read at once, and since when (boot clock), by serial number."""
    wanted: dict[str, int] = {}
    for one in image.kept.orders.values():
        pending = one.pending
        if pending is None or not isinstance(pending.act, Read):
            continue
        since_ms = _since_ms(pending, boot)
        for serial in pending.act.meters:
            if not _was_read(image.seen.get(serial), since_ms):
                wanted[serial] = max(since_ms, wanted.get(serial, 0))
    return wanted


def _reconnect(
    one: Progress, pending: Pending, act: Reconnect, image: Image, now: Now, look_again: LookAgain
) -> OrderEnded | None:
    if act.meter in image.kept.closings:
        return None
    reading = image.seen.get(act.meter)
    if reading is not None and state_quality(reading, image.limits, now) is Quality.GOOD:
        if reading.state is SupplyState.CONNECTED:
            return _ended(one, OrderState.SUCCEEDED, ALREADY_CONNECTED)
        if reading.state is SupplyState.READY_FOR_RECONNECTION:
            return _ended(one, OrderState.SUCCEEDED, AWAITING_CONSUMER)
    left_ms = image.limits.promise_ms - at_least_ms(pending.accepted, now)
    if left_ms > 0 and not expired(pending.exp, now):
        look_again(now.mono_ms + min(left_ms, pending.exp - now.wall_low_ms + 1))
        return None
    meter = image.roster.get(act.meter)
    why = "NOT_ON_ROSTER" if meter is None else str(may_close(meter, image, now).verdict)
    return _ended(one, OrderState.TIMED_OUT, why, "it is closed all the same once that may be")


def _read(
    one: Progress, pending: Pending, act: Read, image: Image, now: Now, look_again: LookAgain
) -> OrderEnded | None:
    since_ms = _since_ms(pending, now.boot)
    seen = {serial: image.seen.get(serial) for serial in act.meters}
    missing = tuple(serial for serial in act.meters if not _was_read(seen[serial], since_ms))
    left_ms = READ_WITHIN_MS + len(act.meters) * READ_EACH_MS - at_least_ms(pending.accepted, now)
    if missing and left_ms > 0:
        look_again(now.mono_ms + left_ms)
        return None
    taken = tuple(
        _taken(serial, reading, since_ms, now)
        for serial, reading in seen.items()
        if reading is not None and reading.mono_ms >= since_ms
    )
    result = Readings(readings=taken, missing=missing)
    if not missing:
        return _ended(one, OrderState.SUCCEEDED, result=result)
    detail = f"{len(missing)} of {len(act.meters)} meters were not read in time"
    return _ended(one, OrderState.TIMED_OUT, NO_ANSWER, detail, result)


def _ended(
    one: Progress,
    state: OrderState,
    reason: str = "",
    detail: str = "",
    result: Readings | None = None,
) -> OrderEnded:
    return OrderEnded(order=one.id, state=state, reason=reason, detail=detail, result=result)


def _since_ms(pending: Pending, boot: str) -> int:
    # What is seen was read by this process: all of it after an order of an earlier boot.
    return pending.accepted.mono_ms if pending.accepted.boot == boot else 0


def _was_read(reading: Reading | None, since_ms: int) -> bool:
    """Whether the state was read since then, and the values of a type that shows some."""
    if reading is None or reading.mono_ms < since_ms:
        return False
    if reading.values_ms is None:
        return reading.state is not SupplyState.UNKNOWN
    return reading.values_ms >= since_ms


def _taken(serial: str, reading: Reading, since_ms: int, now: Now) -> ReadingTaken:
    wall_ms = at_ms(instant_of(now), reading.mono_ms).wall_ms
    if reading.values_ms is None or reading.values_ms < since_ms:
        return ReadingTaken(meter=serial, state=reading.state, wall_ms=wall_ms)
    return ReadingTaken(
        meter=serial,
        state=reading.state,
        wall_ms=wall_ms,
        supply_mv=_sayable(reading.supply_mv),
        load_mv=_sayable(reading.load_mv),
        current_ma=_sayable(reading.current_ma),
        power_w=_sayable(reading.power_w),
        energy_wh=_sayable(reading.energy_wh),
    )


def _sayable(value: int | None) -> int | None:
    # A broken meter's number may have forty digits: no JSON carries it, and a record is bounded.
    return None if value is None or abs(value) > INTEGER_MAX else value
