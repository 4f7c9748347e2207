"""What becomes of the image when a switch moved or was to be moved.

Owns the marks, trials, setbacks and counts that later decisions look back on. Must never judge:
`plan` decided and the bus did what is applied here.
"""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from gateway.core.fact import Move, Outcome, Why
from gateway.core.image import DONE, Image, waits_since, with_kept
from gateway.core.kept import (
    HOUR_MS,
    Ask,
    CloseMark,
    Closing,
    Kept,
    MoveMark,
    Opened,
    Setback,
    Supply,
    Task,
    Trial,
)
from gateway.core.model import FOR_SAFETY, Cause, Instant, SupplyState
from gateway.core.pacing import gap_after_ms
from gateway.core.records import (
    CloseEnded,
    CloseIntended,
    Record,
    SupplyChanged,
    TaskEnded,
    TaskIntended,
)
from gateway.core.waiting import (
    at_least_ms,
    at_most_ms,
    at_ms,
    elapsed_ms,
    instant_of,
    with_one_more,
)

TRIALS = 10
"""Closes of a DT that are looked back on."""
_V = TypeVar("_V")


def supply_changed(image: Image, body: SupplyChanged, record: Record) -> Image:
    """A meter is read in another supply state."""
    kept, at = image.kept, instant_of(record)
    asks, ask = kept.asks, kept.asks.get(body.account)
    causes = kept.causes
    if body.after is SupplyState.CONNECTED:
        asks = _fulfilled(asks, body.account, at)
        causes = _without(causes, body.serial)
    elif body.before is SupplyState.CONNECTED:
        causes = _opened_by(causes, body, record)
        if ask is not None and _asked_while_lit(ask, body, record):
            asks = _fulfilled(asks, body.account, ask.accepted)
    elif body.cause is not None:
        causes = {**causes, body.serial: Opened(cause=body.cause, at=at)}
    supply = {**kept.supply, body.serial: Supply(state=body.after, since=at)}
    if body.cause is not None:
        asks = overruled(asks, body.account, body.cause)
    return with_kept(image, supply=supply, asks=asks, causes=causes)


def overruled(asks: Mapping[str, Ask], account: str, cause: Cause) -> Mapping[str, Ask]:
    """What is asked for after a switch was opened: nothing, where that was for safety."""
    ask = asks.get(account)
    if ask is None or cause not in FOR_SAFETY:
        return asks
    return {**asks, account: msgspec.structs.replace(ask, overruled=True)}


def close_intended(image: Image, body: CloseIntended, record: Record) -> Image:
    """A close is decided, or taken up again."""
    kept, at = image.kept, instant_of(record)
    # Taken up again after a restart, it is the same close: it was decided when it first was.
    before = kept.closings.get(body.meter)
    marks = _marks_of_the_hour(kept, record)
    if before is None:
        waits = waits_since(kept, body.account, body.meter, at)
        gap_ms = gap_after_ms(image.pacing, image.station.gateway, body.close)
        mark = CloseMark(close=body.close, serial=body.meter, dt=body.dt, at=at, gap_ms=gap_ms)
        marks = (*marks, mark)
    else:
        waits = before.waits_since
    closing = Closing(
        close=body.close,
        account=body.account,
        attempt=body.attempt,
        decided=at if before is None else before.decided,
        standing_n=body.standing_n,
        standing_digest=body.standing_digest,
        grace=body.grace,
        waits_since=waits,
    )
    return with_kept(
        image,
        closings={**kept.closings, body.meter: closing},
        moves=max(kept.moves, body.close),
        marks=marks,
    )


def close_ended(image: Image, body: CloseEnded, record: Record) -> Image:
    """The outcome of a close is known."""
    kept, at = image.kept, instant_of(record)
    setbacks = _without(kept.setbacks, body.meter)
    asks, restored = kept.asks, kept.restored
    if body.outcome in DONE:
        asks = _fulfilled(asks, body.account, at)
        restored = with_one_more(restored, _waited_ms(body, kept, at), image.limits.promise_ms)
    else:
        before = kept.setbacks.get(body.meter)
        word = image.word(body.account)
        setback = Setback(
            count=1 if before is None else before.count + 1,
            last=at,
            standing_n=0 if word is None else word.n,
            sent=_resumed(kept, body)
            or not _sent_nothing(body)
            or (before is not None and before.sent),
        )
        setbacks = {**setbacks, body.meter: setback}
    after = with_kept(
        image,
        closings=_without(kept.closings, body.meter),
        marks=_with_end(kept, body, record),
        trials=_with_trial(kept.trials, body),
        setbacks=setbacks,
        asks=asks,
        ended={**kept.ended, body.meter: body},
        forced=_forced(kept, body.meter) if body.forced else kept.forced,
        restored=restored,
    )
    return msgspec.structs.replace(after, in_flight=after.in_flight - {body.close})


def task_intended(image: Image, body: TaskIntended, record: Record) -> Image:
    """An opening or a release is decided, or taken up again."""
    kept = image.kept
    task = kept.tasks[body.meter]
    decided = msgspec.structs.replace(task, number=body.number, attempt=body.attempt)
    moved = tuple(
        mark for mark in kept.moved if not mark.ended or at_least_ms(mark.at, record) < HOUR_MS
    )
    if task.number is None:
        moved = (*moved, MoveMark(number=body.number, at=instant_of(record)))
    return with_kept(
        image,
        tasks={**kept.tasks, body.meter: decided},
        moves=max(kept.moves, body.number),
        moved=moved,
    )


def task_ended(image: Image, body: TaskEnded, at: Instant) -> Image:
    """The outcome of an opening or a release is known, or it was not begun."""
    kept = image.kept
    causes, forced = kept.causes, kept.forced
    if body.move is Move.OPEN and _may_have_moved(body):
        causes = {**causes, body.meter: Opened(cause=Cause.ORDER, at=at, by=body.order)}
    if body.forced:
        forced = _forced(kept, body.meter)
    elif body.outcome is Outcome.RELEASED:
        forced = tuple(serial for serial in forced if serial != body.meter)
        if body.state is SupplyState.DISCONNECTED:
            causes = {**causes, body.meter: Opened(cause=Cause.PREPAY, at=at, by=body.order)}
    tasks: Mapping[str, Task] = _without(kept.tasks, body.meter)
    ended = kept.ended if body.number is None else {**kept.ended, body.meter: body}
    resumed = kept.tasks[body.meter].attempt > 1
    moved = tuple(
        _move_ended(mark, body, at) if mark.number == body.number else mark
        for mark in kept.moved
        if mark.number != body.number or resumed or not _sent_nothing(body)
    )
    after = with_kept(image, tasks=tasks, causes=causes, forced=forced, ended=ended, moved=moved)
    return msgspec.structs.replace(after, in_flight=after.in_flight - {body.number or 0})


def _opened_by(
    causes: Mapping[str, Opened], body: SupplyChanged, record: Record
) -> Mapping[str, Opened]:
    known = causes.get(body.serial)
    # An opening of ours whose effect is only seen now is the cause, unless the meter itself tells
    # of safety; an old one that had none is not: it may have been opened for safety since.
    age_ms = None if known is None else at_most_ms(known.at, record)
    ours = age_ms is not None and age_ms < HOUR_MS
    if ours and body.cause not in FOR_SAFETY:
        return causes
    if body.cause is None:
        return _without(causes, body.serial)
    return {**causes, body.serial: Opened(cause=body.cause, at=instant_of(record))}


def _asked_while_lit(ask: Ask, body: SupplyChanged, record: Record) -> bool:
    """Asked for while there was supply: what opened the switch later is another matter."""
    lit_ms = body.before_seen_ms
    if lit_ms is None:
        # The process is too young to know; an hour after the ask it was lit in between.
        return at_least_ms(ask.accepted, record) >= HOUR_MS
    return ask.accepted.boot != record.boot or ask.accepted.mono_ms < lit_ms


def _fulfilled(asks: Mapping[str, Ask], account: str, at: Instant) -> Mapping[str, Ask]:
    ask = asks.get(account)
    if ask is None or ask.fulfilled is not None:
        return asks
    return {**asks, account: msgspec.structs.replace(ask, fulfilled=at)}


def _waited_ms(body: CloseEnded, kept: Kept, at: Instant) -> int | None:
    closing = kept.closings.get(body.meter)
    if closing is None or closing.waits_since is None:
        return None
    until = at if body.verified_ms is None else at_ms(at, body.verified_ms)
    return elapsed_ms(closing.waits_since, until)


def _marks_of_the_hour(kept: Kept, record: Record) -> tuple[CloseMark, ...]:
    # One that has not ended is looked back on however long that takes.
    return tuple(
        mark for mark in kept.marks if not mark.ended or at_least_ms(mark.at, record) < HOUR_MS
    )


def _with_end(kept: Kept, body: CloseEnded, record: Record) -> tuple[CloseMark, ...]:
    marks = _marks_of_the_hour(kept, record)
    if _sent_nothing(body) and not _resumed(kept, body):
        return tuple(mark for mark in marks if mark.close != body.close)
    at = instant_of(record)
    return tuple(_ended(mark, body, at) if mark.close == body.close else mark for mark in marks)


def _resumed(kept: Kept, body: CloseEnded) -> bool:
    """Whether a process that is gone may have sent something for this close."""
    closing = kept.closings.get(body.meter)
    return closing is not None and closing.attempt > 1


def _sent_nothing(body: CloseEnded | TaskEnded) -> bool:
    """Whether this process sent nothing, for the rule forbade it."""
    return body.writes == 0 and body.outcome is Outcome.REFUSED


def _may_have_moved(body: TaskEnded) -> bool:
    if body.number is None or body.outcome is Outcome.REFUSED:
        return False
    if body.outcome is Outcome.FAILED:
        # A relay may follow later than it was looked at.
        return body.writes > 0 and body.why is not Why.EXCEPTION
    return True


def _move_ended(mark: MoveMark, body: TaskEnded, at: Instant) -> MoveMark:
    on_the_wire = mark.at if body.written_ms is None else at_ms(at, body.written_ms)
    return msgspec.structs.replace(mark, at=on_the_wire, ended=True)


def _ended(mark: CloseMark, body: CloseEnded, at: Instant) -> CloseMark:
    on_the_wire = mark.at if body.written_ms is None else at_ms(at, body.written_ms)
    return msgspec.structs.replace(mark, at=on_the_wire, ended=True, done=body.outcome in DONE)


def _with_trial(
    trials: Mapping[str, tuple[Trial, ...]], body: CloseEnded
) -> Mapping[str, tuple[Trial, ...]]:
    if body.writes == 0:
        return trials
    trial = Trial(serial=body.meter, unexplained=_unexplained(body))
    return {**trials, body.dt: (*trials.get(body.dt, ()), trial)[-TRIALS:]}


def _unexplained(body: CloseEnded) -> bool:
    """Whether a close was sent and nothing says why there is no supply."""
    if body.outcome is Outcome.CLOSED_UNVERIFIED:
        return body.why is Why.READS_DISAGREE
    return body.outcome in {Outcome.FAILED, Outcome.UNKNOWN} and body.why is not Why.EXCEPTION


def _forced(kept: Kept, meter: str) -> tuple[str, ...]:
    return kept.forced if meter in kept.forced else (*kept.forced, meter)


def _without(mapping: Mapping[str, _V], name: str) -> Mapping[str, _V]:
    return {key: value for key, value in mapping.items() if key != name}
