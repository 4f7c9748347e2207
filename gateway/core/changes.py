"""Changes: the image after each record.

Owns how a record changes what is kept: documents, words, orders, tags, the head end's silence; what
concerns the switches stands in `switched`. Must never judge: what is applied here was admitted or
decided before, and a restart applies it again with the same result.
"""

from typing import assert_never

import msgspec

from gateway.core.documents import Document
from gateway.core.errands import config_tried, order_ended
from gateway.core.grace import stands
from gateway.core.image import MINUTE_MS, Image, with_kept
from gateway.core.installed import marks_known, paper_installed
from gateway.core.kept import DAY_MS, GraceGiven, HeadEndKnown, Opened, Stop
from gateway.core.lifecycle import JOURNAL_LOST, followed
from gateway.core.marks import Tag
from gateway.core.model import Instant
from gateway.core.ordered import order_accepted, order_restored, used_up
from gateway.core.records import (
    CauseRecorded,
    CloseEnded,
    CloseIntended,
    GraceGranted,
    HeadEndBack,
    HeadEndLost,
    ListInstalled,
    OrderAccepted,
    OrderEnded,
    OrderRefused,
    OrderRestored,
    PacingResumed,
    PacingStopped,
    ReceiptAccepted,
    Record,
    Refused,
    SiteInstalled,
    Started,
    SupplyChanged,
    TagPlaced,
    TagRemoved,
    TaskEnded,
    TaskIntended,
)
from gateway.core.settings import ConfigTried
from gateway.core.switched import (
    close_ended,
    close_intended,
    overruled,
    supply_changed,
    task_ended,
    task_intended,
)
from gateway.core.trust_records import (
    JournalLost,
    JournalMended,
    KeyRevoked,
    MarksAhead,
    RootInstalled,
    Sealed,
    TimeNoted,
    TimeSet,
)
from gateway.core.waiting import at_least_ms, at_ms, instant_of
from gateway.core.watch import COOL_DOWN

UNWRITTEN = "UNWRITTEN"
"""The tally of refusals that were counted without a record of their own."""


def apply(image: Image, record: Record, document: Document | None) -> Image:
    """The image after one record. `document` is the document that an installation is about."""
    return followed(_applied(image, record, document), record)


def _applied(image: Image, record: Record, document: Document | None) -> Image:
    body = record.body
    at = instant_of(record)
    image = _at_least(image, record)
    match body:
        case Started() | KeyRevoked() | TimeNoted() | JournalMended():
            return image
        case Sealed():
            return with_kept(image, sealed=at)
        case RootInstalled() | SiteInstalled() | ListInstalled() | ReceiptAccepted() | TimeSet():
            return paper_installed(image, body, document, at)
        case JournalLost() | MarksAhead():
            return _grave(marks_known(image, body, at), JOURNAL_LOST, record)
        case OrderAccepted() | OrderRestored() | OrderRefused() | OrderEnded() | ConfigTried():
            return _ordered(image, body, at)
        case Refused(name="EQUIVOCATION"):
            return _grave(_refused(image, body, at), body.name, record)
        case Refused():
            return _refused(image, body, at)
        case TagPlaced() | TagRemoved():
            return _tagged(image, body, at)
        case HeadEndLost() | HeadEndBack():
            return with_kept(image, head_end=_head_end(body, at))
        case _:
            return _of_switches(image, record, body, at)


def _ordered(
    image: Image,
    body: OrderAccepted | OrderRestored | OrderRefused | OrderEnded | ConfigTried,
    at: Instant,
) -> Image:
    match body:
        case OrderAccepted():
            return order_accepted(image, body, at)
        case OrderRestored():
            return order_restored(image, body, at)
        case OrderRefused():
            return used_up(_tallied(image, body.name), body.seq, body.digest, body.name)
        case OrderEnded():
            return order_ended(image, body)
        case ConfigTried():
            return config_tried(image, body, at)
        case _:
            assert_never(body)


def _of_switches(
    image: Image,
    record: Record,
    body: SupplyChanged
    | CauseRecorded
    | GraceGranted
    | CloseIntended
    | CloseEnded
    | TaskIntended
    | TaskEnded
    | PacingStopped
    | PacingResumed,
    at: Instant,
) -> Image:
    kept = image.kept
    match body:
        case SupplyChanged():
            return supply_changed(image, body, record)
        case CloseIntended():
            return close_intended(image, body, record)
        case CloseEnded():
            return close_ended(image, body, record)
        case TaskIntended():
            return task_intended(image, body, record)
        case TaskEnded():
            return task_ended(image, body, at)
        case CauseRecorded():
            opened = Opened(cause=body.cause, at=at, by=body.by)
            return with_kept(
                image,
                causes={**kept.causes, body.serial: opened},
                asks=overruled(kept.asks, body.account, body.cause),
            )
        case GraceGranted():
            return _grace_granted(image, body, record)
        case PacingStopped():
            stop = Stop(brake=body.brake, since=at, detail=body.detail)
            return with_kept(image, stops={**kept.stops, body.dt: stop})
        case PacingResumed():
            return with_kept(
                image,
                stops={dt: stop for dt, stop in kept.stops.items() if dt != body.dt},
                trials={dt: trials for dt, trials in kept.trials.items() if dt != body.dt},
                resumed={**kept.resumed, body.dt: at},
                insisted=kept.insisted if body.by == COOL_DOWN else {**kept.insisted, body.dt: at},
            )
        case _:
            assert_never(body)


def _head_end(body: HeadEndLost | HeadEndBack, at: Instant) -> HeadEndKnown:
    if isinstance(body, HeadEndBack):
        return HeadEndKnown(heard=True, since=at)
    since = at if body.heard_ms is None else at_ms(at, body.heard_ms)
    return HeadEndKnown(heard=False, since=since)


def _grave(image: Image, word: str, record: Record) -> Image:
    return with_kept(image, grave={**image.kept.grave, word: record.number})


def _at_least(image: Image, record: Record) -> Image:
    kept, low_ms = image.kept, record.wall_low_ms
    firm = record.trusted or kept.firm_low_ms == 0  # at the very first, the day of the build
    return with_kept(
        image,
        wall_low_ms=max(kept.wall_low_ms, low_ms),
        firm_low_ms=max(kept.firm_low_ms, low_ms) if firm else kept.firm_low_ms,
    )


def _tallied(image: Image, name: str, count: int = 1) -> Image:
    tallies = image.kept.refusals
    return with_kept(image, refusals={**tallies, name: tallies.get(name, 0) + count})


def _refused(image: Image, body: Refused, at: Instant) -> Image:
    image = _tallied(image, body.name)
    if body.more:
        image = _tallied(image, UNWRITTEN, body.more)
    recent = (ms for ms in image.written_refusals if at.mono_ms - ms < MINUTE_MS)
    return msgspec.structs.replace(
        image,
        written_refusals=(*recent, at.mono_ms),
        unwritten_refusals=0,
    )


def _tagged(image: Image, body: TagPlaced | TagRemoved, at: Instant) -> Image:
    same = (body.kind, body.target, body.origin)
    tags = tuple(tag for tag in image.kept.tags if (tag.kind, tag.target, tag.origin) != same)
    if isinstance(body, TagPlaced):
        tag = Tag(
            kind=body.kind,
            target=body.target,
            origin=body.origin,
            by=body.by,
            reason=body.reason,
            since=at,
        )
        tags = (*tags, tag)
    return with_kept(image, tags=tags)


def _grace_granted(image: Image, body: GraceGranted, record: Record) -> Image:
    given = GraceGiven(account=body.account, n=body.n, granted=instant_of(record), hours=body.hours)
    # Those of the last day count against the daily ceiling; an older one as long as its account
    # stands as it did then, so that one cut is never met with grace twice.
    kept = tuple(
        one
        for one in image.kept.graces
        if at_least_ms(one.granted, record) < DAY_MS or stands(one, image)
    )
    return with_kept(image, graces=(*kept, given))
