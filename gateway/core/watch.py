"""The watch: what changes by itself as time goes by, and has to be written down.

Owns when the head end counts as lost and back, and when a transformer is stopped and goes on. Must
never close or open anything.
"""

from collections.abc import Callable, Iterator

from gateway.core.image import HEAD_END_SILENT_MS, Image
from gateway.core.kept import DAY_MS
from gateway.core.model import Brake, DtId, Now
from gateway.core.records import Body, HeadEndBack, HeadEndLost, PacingResumed, PacingStopped
from gateway.core.trust_records import TimeNoted
from gateway.core.waiting import at_least_ms, at_most_ms

CHECKED_WITHIN_MS = 60_000
"""A check meter's reading older than this says nothing any more."""
DEAD_PERCENT = 20
COOL_DOWN = "COOL_DOWN"
"""Who lets a stopped DT go on, where nobody did before."""


def watched(image: Image, now: Now, look_again: Callable[[int], None]) -> Iterator[Body]:
    """What has changed by now; `look_again` is told when (boot clock) more may have."""
    yield from _time(image, now)
    yield from _head_end(image, now, look_again)
    for dt in sorted({meter.dt for meter in image.roster.values()}):
        yield from _transformer(dt, image, now, look_again)


def seal_due(image: Image, now: Now) -> bool:
    """Whether the gateway has not signed for its journal in this boot, or not for a day.

    Whoever has something to write looks: a gateway that runs writes at least once a day.
    """
    sealed = image.kept.sealed
    return sealed is None or sealed.boot != now.boot or at_least_ms(sealed, now) >= DAY_MS


def _time(image: Image, now: Now) -> Iterator[Body]:
    # A gateway that has had nothing to write for months must not wake from a power failure in the
    # belief that it is the day of its last record. Any reading brings it to look: no deadline.
    if now.wall_low_ms - image.kept.wall_low_ms >= DAY_MS:
        yield TimeNoted()


def _head_end(image: Image, now: Now, look_again: Callable[[int], None]) -> Iterator[Body]:
    known, heard_ms = image.kept.head_end, image.head_end_heard_ms
    gone = image.head_end is not None and not image.head_end.online
    lost_ms = (image.watching_since_ms if heard_ms is None else heard_ms) + HEAD_END_SILENT_MS
    if not gone and now.mono_ms <= lost_ms:
        look_again(lost_ms + 1)
        if heard_ms is not None and (known is None or not known.heard):
            yield HeadEndBack()
    elif known is not None and known.heard:
        yield HeadEndLost(heard_ms=heard_ms)


def _transformer(
    dt: str, image: Image, now: Now, look_again: Callable[[int], None]
) -> Iterator[Body]:
    terms = image.pacing
    stop = image.kept.stops.get(dt)
    low_mv = _undervoltage_mv(dt, image, now)
    if stop is None:
        stopped = _stopped_by(dt, low_mv, image, now)
        if stopped is not None:
            look_again(now.mono_ms + terms.cool_down_ms)
            yield stopped
        return
    over_ms = now.mono_ms - at_least_ms(stop.since, now) + terms.cool_down_ms
    if now.mono_ms < over_ms:
        look_again(over_ms)
    elif low_mv is None:
        yield PacingResumed(dt=DtId(dt), by=COOL_DOWN, reason="the cool-down is over")


def _insisted(dt: str, image: Image, now: Now) -> bool:
    """Whether somebody has lately let it go on by name, who could see its check meter."""
    at = image.kept.insisted.get(dt)
    since_ms = None if at is None else at_most_ms(at, now)
    return since_ms is not None and since_ms < image.pacing.cool_down_ms


def _stopped_by(dt: str, low_mv: int | None, image: Image, now: Now) -> PacingStopped | None:
    failed = _failed_on(dt, image)
    if len(failed) >= image.pacing.failures_max:
        detail = f"closes failed unexplained: {', '.join(failed)}"
        return PacingStopped(dt=DtId(dt), brake=Brake.FAILURES, detail=detail)
    if low_mv is not None and not _insisted(dt, image, now):
        detail = f"the check meter reads {low_mv / 1000:.0f} V"
        return PacingStopped(dt=DtId(dt), brake=Brake.UNDERVOLTAGE, detail=detail)
    return None


def _failed_on(dt: str, image: Image) -> list[str]:
    """The meters of a DT whose close failed unexplained lately; one stuck switch counts once."""
    trials = image.kept.trials.get(dt, ())
    return sorted({trial.serial for trial in trials if trial.unexplained})


def _undervoltage_mv(dt: str, image: Image, now: Now) -> int | None:
    """What the check meter reads, where that is too little; None: it is not, or not known."""
    check_meter = image.check_meters.get(dt)
    reading = None if check_meter is None else image.seen.get(check_meter.serial)
    if reading is None or reading.supply_mv is None:
        return None
    if now.mono_ms - reading.mono_ms > CHECKED_WITHIN_MS:
        return None
    terms = image.pacing
    percent = reading.supply_mv * 100 // terms.nominal_mv
    # What reads next to nothing is a dead phase or a dead check meter: no load pulls it there.
    return reading.supply_mv if DEAD_PERCENT <= percent < terms.undervoltage_percent else None
