"""The lifecycle of orders: how far each known one has come, after each record.

Owns which record moves an order from which state to which, and how much of those that have ended
is kept. Must never judge an order nor act on it: what is told here was decided elsewhere, and a
restart tells the same from the same records. An order that has ended never changes again.

What ends without a record of its own, by time or by a reading, `due` finds.
"""

from collections.abc import Mapping
from typing import Final, assert_never

import msgspec

from gateway.core.fact import Answer, Outcome
from gateway.core.image import DONE, Image, with_kept
from gateway.core.orders import (
    Act,
    Cancel,
    Config,
    Confirm,
    Disconnect,
    EndIsolation,
    ForgetMeter,
    Hold,
    Isolate,
    LogBundle,
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
from gateway.core.progress import (
    HomeResult,
    Homes,
    OrderNamed,
    OrderState,
    Pending,
    Progress,
    Result,
)
from gateway.core.records import (
    CloseEnded,
    CloseIntended,
    OrderAccepted,
    OrderEnded,
    OrderRefused,
    Record,
    TaskEnded,
    TaskIntended,
)
from gateway.core.waiting import instant_of

ENDED_MAX: Final = 200
"""Orders that have ended and are remembered with their result."""
RESULTS_BYTES_MAX: Final = 256 * 1024
"""Of the results remembered, all together; those of the oldest are forgotten first."""
OPENED: Final = frozenset({Outcome.OPENED_VERIFIED, Outcome.OPENED_UNVERIFIED, Outcome.RELEASED})
ALREADY_CONNECTED: Final = "ALREADY_CONNECTED"
AWAITING_CONSUMER: Final = "AWAITING_CONSUMER"
SUPPLIED: Final = frozenset({ALREADY_CONNECTED, AWAITING_CONSUMER})
"""Verdicts against a close that find what was asked for done already."""
STOPPABLE: Final = (Read, Scan, Config)
"""What ends as it is called off; of what moves switches the records of its homes tell."""
CANCELED: Final = "CANCELED"
EXPIRED: Final = "EXPIRED"
JOURNAL_LOST: Final = "JOURNAL_LOST"


def followed(image: Image, record: Record) -> Image:
    """The image in which every order stands where this record, just applied, has brought it."""
    body = record.body
    match body:
        case OrderAccepted():
            return _begun(image, body, record)
        case OrderRefused():
            return _rejected(image, body, record)
        case OrderEnded():
            return _told(image, body, record)
        case CloseIntended() | CloseEnded():
            return _of_close(image, body, record)
        case TaskIntended() | TaskEnded():
            return _of_task(image, body, record)
        case _:
            return image


def progress_of(order: str, image: Image) -> Progress | None:
    """How far an order has come; None: it is not known, or not any more."""
    return image.kept.orders.get(order) or image.kept.orders_ended.get(order)


def answered(named: OrderNamed, answer: Answer, image: Image) -> Progress:
    """What an order that came is answered, where its answer made no record of it.

    One that is known: how far it has come. One that counts as never come: that it is rejected, and
    nothing is kept of that; `version` 0 says so, and the same order may be accepted yet.
    """
    known = progress_of(named.id, image)
    if known is not None:
        return known
    if answer.accepted:
        detail = "it was accepted once; the journal that knew more is lost"
        return _of_nothing(named, OrderState.FAILED, JOURNAL_LOST, detail)
    return _of_nothing(named, OrderState.REJECTED, answer.word, answer.detail)


def _of_nothing(named: OrderNamed, state: OrderState, reason: str, detail: str) -> Progress:
    return Progress(id=named.id, kind=named.kind, state=state, reason=reason, detail=detail)


def _begun(image: Image, body: OrderAccepted, record: Record) -> Image:
    state = _first_state(body.act, image)
    pending = Pending(act=body.act, accepted=instant_of(record), exp=body.exp)
    new = Progress(
        id=body.id,
        kind=kind_of(body.act),
        state=OrderState.QUEUED,
        digest=body.digest,
        pending=pending,
    )
    image = _with(image, _moved(new, state, record))
    if isinstance(body.act, Cancel):
        return _called_off(image, body.act.order, body.id, record)
    if isinstance(body.act, Confirm):
        return _confirmed(image, body.act.order, body.id, record)
    if isinstance(body.act, Rebirth):
        return with_kept(image, reborn=record.number)
    return image


def _first_state(act: Act, image: Image) -> OrderState:
    match act:
        case Disconnect() | ReleaseForce():
            return OrderState.QUEUED
        case Reconnect():
            closing = act.meter in image.kept.closings
            return OrderState.IN_PROGRESS if closing else OrderState.QUEUED
        case Read() | Config() | Scan():
            return OrderState.IN_PROGRESS
        case Hold() | ReleaseHold() | Isolate() | EndIsolation() | Resume() | Cancel() | Rebirth():
            return OrderState.SUCCEEDED
        case Confirm() | ForgetMeter() | Wipe() | LogBundle():
            return OrderState.SUCCEEDED
        case _:
            assert_never(act)


def _called_off(image: Image, order: str, by: str, record: Record) -> Image:
    """A reading that is called off; of what moves switches the records of its homes tell."""
    one = image.kept.orders.get(order)
    if one is None or one.pending is None or not isinstance(one.pending.act, STOPPABLE):
        return image
    detail = f"by order {by}"
    return _with(image, _moved(one, OrderState.CANCELED, record, CANCELED, detail))


def _confirmed(image: Image, order: str, by: str, record: Record) -> Image:
    """Settings that were on trial stay."""
    one = image.kept.orders[order]  # what is on trial has not ended
    detail = f"confirmed by order {by}"
    return _with(image, _moved(one, OrderState.SUCCEEDED, record, detail=detail))


def _rejected(image: Image, body: OrderRefused, record: Record) -> Image:
    if progress_of(body.id, image) is not None:
        return image  # another order has its id: what is told under that stays true
    new = Progress(id=body.id, kind=body.kind, state=OrderState.QUEUED, digest=body.digest)
    return _with(image, _moved(new, OrderState.REJECTED, record, body.name, body.detail))


def _told(image: Image, body: OrderEnded, record: Record) -> Image:
    one = image.kept.orders.get(body.order)
    if one is None:
        return image
    return _with(image, _moved(one, body.state, record, body.reason, body.detail, body.result))


def _of_close(image: Image, body: CloseIntended | CloseEnded, record: Record) -> Image:
    waiting = [one for one in image.kept.orders.values() if _asks_for(body.meter, one)]
    for one in waiting:
        if isinstance(body, CloseIntended):
            after = _moved(one, OrderState.IN_PROGRESS, record)
        elif body.outcome is Outcome.UNKNOWN:
            # It may have closed: what it reads next says so, or another close is decided.
            after = _moved(one, OrderState.IN_PROGRESS, record, body.outcome, body.why)
        else:
            after = _closed(one, body, record)
        image = _with(image, after)
    return image


def _asks_for(serial: str, one: Progress) -> bool:
    act = None if one.pending is None else one.pending.act
    return isinstance(act, Reconnect) and act.meter == serial


def _closed(one: Progress, body: CloseEnded, record: Record) -> Progress:
    home = _home(body)
    result = Homes(homes=(home,))
    if body.outcome in DONE or home.detail in SUPPLIED:
        reason = home.detail if body.outcome not in DONE else str(body.outcome)
        return _moved(one, OrderState.SUCCEEDED, record, reason, result=result)
    reason = home.detail or str(body.outcome)
    return _moved(one, OrderState.FAILED, record, reason, str(body.outcome), result)


def _of_task(image: Image, body: TaskIntended | TaskEnded, record: Record) -> Image:
    one = image.kept.orders.get(body.order)
    if one is None or one.pending is None:
        return image
    if isinstance(body, TaskIntended):
        return _with(image, _moved(one, OrderState.IN_PROGRESS, record))
    homes = (*one.pending.homes, _home(body))
    if any(task.order == body.order for task in image.kept.tasks.values()):
        pending = msgspec.structs.replace(one.pending, homes=homes)
        return _with(image, msgspec.structs.replace(one, pending=pending))
    state, home = _worst(homes, one.pending.act)
    alike = sum(_state_of(other, one.pending.act) is state for other in homes)
    detail = "" if len(homes) == 1 else f"{alike} of {len(homes)} homes"
    reason = home.detail or home.outcome
    return _with(image, _moved(one, state, record, reason, detail, Homes(homes=homes)))


def _home(body: CloseEnded | TaskEnded) -> HomeResult:
    return HomeResult(
        meter=body.meter,
        outcome=str(body.outcome),
        detail=str(body.verdict or body.why),
        state=body.state,
    )


_WORST_FIRST: Final = (
    OrderState.FAILED,
    OrderState.TIMED_OUT,
    OrderState.CANCELED,
    OrderState.SUCCEEDED,
)


def _worst(homes: tuple[HomeResult, ...], act: Act) -> tuple[OrderState, HomeResult]:
    """How an order ended of which homes ended so, and the first of them that ended like it."""
    by_state = [(_state_of(home, act), home) for home in homes]
    return min(by_state, key=lambda one: _WORST_FIRST.index(one[0]))


def _state_of(home: HomeResult, act: Act) -> OrderState:
    if home.outcome in OPENED:
        return OrderState.SUCCEEDED
    match home.detail:
        case "ALREADY_DISCONNECTED" if isinstance(act, Disconnect):
            return OrderState.SUCCEEDED
        case "CANCELED":
            return OrderState.CANCELED
        case "EXPIRED":
            return OrderState.TIMED_OUT
        case _:
            return OrderState.FAILED


def _moved(
    one: Progress,
    state: OrderState,
    record: Record,
    reason: str = "",
    detail: str = "",
    result: Result | None = None,
) -> Progress:
    """The order in another state, or in the same for another reason; otherwise as it was."""
    assert not one.ended, "what has ended never changes"
    if one.version and (one.state, one.reason, one.detail) == (state, reason, detail):
        return one
    after = msgspec.structs.replace(
        one,
        state=state,
        version=one.version + 1,
        number=record.number,
        at={**one.at, state: one.at.get(state, record.wall_ms)},
        trusted=record.trusted,
        reason=reason,
        detail=detail,
        result=result,
    )
    return msgspec.structs.replace(after, pending=None) if after.ended else after


def _with(image: Image, one: Progress) -> Image:
    kept = image.kept
    if not one.ended:
        return with_kept(image, orders={**kept.orders, one.id: one})
    orders = {name: other for name, other in kept.orders.items() if name != one.id}
    ended = _bounded({**kept.orders_ended, one.id: one})
    return with_kept(image, orders=orders, orders_ended=ended)


def _bounded(ended: Mapping[str, Progress]) -> dict[str, Progress]:
    """The last that have ended, oldest first; the newest results, as far as there is room."""
    newest_first = sorted(ended.values(), key=lambda one: -one.number)[:ENDED_MAX]
    room = RESULTS_BYTES_MAX
    held: list[Progress] = []
    for one in newest_first:
        if one.result is not None:
            room -= len(msgspec.json.encode(one.result))
        held.append(one if room >= 0 else msgspec.structs.replace(one, result=None))
    return {one.id: one for one in reversed(held)}
