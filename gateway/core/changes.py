"""Changes: the image after each record.

Owns how a record changes what is kept: documents, words, orders, tags, the head end's silence; what
concerns the switches stands in `switched`. Must never judge: what is applied here was admitted or
decided before, and a restart applies it again with the same result.
"""

from typing import assert_never

import msgspec

from gateway.core.documents import AllowList, Document, Site
from gateway.core.fact import Move
from gateway.core.grace import standing_graces
from gateway.core.image import MINUTE_MS, Image, with_kept, with_roster
from gateway.core.kept import (
    DAY_MS,
    Ask,
    GraceGiven,
    HeadEndKnown,
    Instant,
    Opened,
    Proof,
    Stop,
    Tag,
    Task,
)
from gateway.core.model import Account, Serial
from gateway.core.orders import (
    Cancel,
    Disconnect,
    EndIsolation,
    Hold,
    Isolate,
    Reconnect,
    ReleaseForce,
    ReleaseHold,
    Resume,
)
from gateway.core.records import (
    CauseRecorded,
    CloseEnded,
    CloseIntended,
    GraceGranted,
    HeadEndBack,
    HeadEndLost,
    ListInstalled,
    OrderAccepted,
    OrderRefused,
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
from gateway.core.roster import asks_after, former_after, tags_after
from gateway.core.standing import ListInForce, Standing, Word, in_force_from
from gateway.core.switched import (
    close_ended,
    close_intended,
    overruled,
    supply_changed,
    task_ended,
    task_intended,
)
from gateway.core.waiting import at_least_ms, at_ms, instant_of
from gateway.core.watch import COOL_DOWN

UNWRITTEN = "UNWRITTEN"
"""The tally of refusals that were counted without a record of their own."""


def apply(image: Image, record: Record, document: Document | None) -> Image:
    """The image after one record. `document` is the document that an installation is about."""
    body = record.body
    at = instant_of(record)
    image = with_kept(image, wall_low_ms=max(image.kept.wall_low_ms, record.wall_low_ms))
    match body:
        case Started():
            return image
        case SiteInstalled():
            assert isinstance(document, Site)
            return _site_installed(image, body, document, at)
        case ListInstalled():
            assert isinstance(document, AllowList)
            return _list_installed(image, body, document, at, record.wall_low_ms)
        case ReceiptAccepted():
            return _receipt_accepted(image, body, at)
        case OrderAccepted():
            return _order_accepted(image, body, at)
        case OrderRefused():
            tallied = _tallied(image, body.name)
            return with_kept(tallied, order_seq=body.seq, order_digest=body.digest)
        case Refused():
            return _refused(image, body, at)
        case TagPlaced() | TagRemoved():
            return _tagged(image, body, at)
        case HeadEndLost():
            since = at if body.heard_ms is None else at_ms(at, body.heard_ms)
            return with_kept(image, head_end=HeadEndKnown(heard=False, since=since))
        case HeadEndBack():
            return with_kept(image, head_end=HeadEndKnown(heard=True, since=at))
        case _:
            return _of_switches(image, record, body, at)


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


def _site_installed(image: Image, body: SiteInstalled, site: Site, at: Instant) -> Image:
    # Facts about meters that left the roster go with them; a command that has not ended stays until
    # its outcome is known.
    serials = {meter.serial for meter in site.meters}
    dts = {meter.dt for meter in site.meters}
    kept = image.kept
    after = with_kept(
        image,
        site=site,
        site_digest=body.digest,
        former=former_after(kept, site),
        asks=asks_after(kept, site),
        tags=tags_after(kept, site),
        supply={s: value for s, value in kept.supply.items() if s in serials},
        causes={s: value for s, value in kept.causes.items() if s in serials},
        setbacks={s: value for s, value in kept.setbacks.items() if s in serials},
        ended={s: value for s, value in kept.ended.items() if s in serials},
        trials={dt: value for dt, value in kept.trials.items() if dt in dts},
        stops={dt: value for dt, value in kept.stops.items() if dt in dts},
        resumed={dt: value for dt, value in kept.resumed.items() if dt in dts},
        insisted={dt: value for dt, value in kept.insisted.items() if dt in dts},
    )
    # An account that is new on the roster may have been on the list all along.
    return _with_proofs(with_roster(after), kept.list_received or at)


def _list_installed(
    image: Image, body: ListInstalled, given: AllowList, at: Instant, wall_low_ms: int
) -> Image:
    in_force = in_force_from(
        given, body.digest, body.signer, before=image.kept.list_in_force, wall_low_ms=wall_low_ms
    )
    after = with_kept(image, list_in_force=in_force, list_received=at)
    # A single word that the list has overtaken can never stand again: lists only move forward.
    words = {
        account: word
        for account, word in image.kept.words.items()
        if after.word(account) is word or _still_cut(word, account, in_force)
    }
    return _with_proofs(with_kept(after, words=words), at)


def _still_cut(word: Word, account: str, in_force: ListInForce) -> bool:
    return word.standing is not Standing.PAID and account not in in_force.entries


def _with_proofs(image: Image, received: Instant) -> Image:
    proofs, asks = {**image.kept.proofs}, {**image.kept.asks}
    for account in dict.fromkeys((*image.by_account, *proofs)):
        word = image.word(account)
        known = proofs.get(account)
        if word is None or word.standing is not Standing.PAID:
            proofs.pop(account, None)
            asks.pop(account, None)
        elif known is None or known.n != word.n:
            # Who has asked and still waits has waited since then, however often he is listed.
            waits = known is not None and account in asks and asks[account].fulfilled is None
            since = known.received if known is not None and waits else received
            proofs[account] = Proof(n=word.n, received=since)
    return _with_graces_settled(with_kept(image, proofs=proofs, asks=asks))


def _with_graces_settled(image: Image) -> Image:
    """Who has paid owes his grace no more; a later cut of his is another matter."""
    graces = tuple(
        msgspec.structs.replace(one, settled=True) if one.account in image.kept.proofs else one
        for one in image.kept.graces
    )
    return with_kept(image, graces=graces)


def _receipt_accepted(image: Image, body: ReceiptAccepted, at: Instant) -> Image:
    word = Word(
        standing=Standing.PAID,
        n=body.n,
        meter=body.meter,
        digest=body.digest,
        paid_at=body.paid_at,
        ref=body.ref,
    )
    kept = image.kept
    proof = kept.proofs.get(body.account)
    if proof is None or proof.n != body.n:
        proof = Proof(n=body.n, received=at)
    after = with_kept(
        image,
        words={**kept.words, body.account: word},
        proofs={**kept.proofs, body.account: proof},
    )
    return _with_graces_settled(_asked(after, body.account, body.n, at))


def _asked(image: Image, account: str, n: int, at: Instant) -> Image:
    meter = image.by_account[account].serial
    ask = Ask(n=n, meter=meter, accepted=at)
    return with_kept(image, asks={**image.kept.asks, account: ask})


def _order_accepted(image: Image, body: OrderAccepted, at: Instant) -> Image:
    image = with_kept(image, order_seq=body.seq, order_digest=body.digest)
    act = body.act
    match act:
        case Disconnect():
            return _disconnect(image, body, act, at)
        case ReleaseForce():
            return with_kept(image, tasks={**image.kept.tasks, **tasks_of(body, image, at)})
        case Reconnect():
            before = image.kept.asks.get(act.account)
            n = 0 if before is None else before.n
            return _asked(image, act.account, n, at)
        case Cancel():
            tasks = {
                serial: msgspec.structs.replace(task, cancelled=True)
                if task.order == act.order
                else task
                for serial, task in image.kept.tasks.items()
            }
            return with_kept(image, tasks=tasks)
        case Hold() | ReleaseHold() | Isolate() | EndIsolation() | Resume():
            return image  # the records beside this one do it
        case _:
            assert_never(act)


def _disconnect(image: Image, body: OrderAccepted, act: Disconnect, at: Instant) -> Image:
    kept = image.kept
    words = {
        entry.account: Word(
            standing=Standing.CUT, n=entry.n, meter=entry.meter, digest=body.digest, ref=body.id
        )
        for entry in act.accounts
    }
    cut = {entry.account for entry in act.accounts}
    return with_kept(
        image,
        words={**kept.words, **words},
        tasks={**kept.tasks, **tasks_of(body, image, at)},
        proofs={account: proof for account, proof in kept.proofs.items() if account not in cut},
        asks={account: ask for account, ask in kept.asks.items() if account not in cut},
    )


def tasks_of(body: OrderAccepted, image: Image, at: Instant) -> dict[str, Task]:
    """What an order that moves switches asks of which meter; the wire says which need it."""
    act = body.act
    if isinstance(act, ReleaseForce):
        accounts = {s: image.roster[s].account if s in image.roster else "" for s in act.meters}
        return {s: _task(body, at, Move.RELEASE, accounts[s], s) for s in act.meters}
    assert isinstance(act, Disconnect)
    return {
        entry.meter: _task(body, at, Move.OPEN, entry.account, entry.meter, n=entry.n)
        for entry in act.accounts
    }


def _task(
    body: OrderAccepted, at: Instant, move: Move, account: str, meter: str, n: int = 0
) -> Task:
    return Task(
        move=move,
        order=body.id,
        account=Account(account),
        meter=Serial(meter),
        iat=body.iat,
        exp=body.exp,
        signers=len(body.signers),
        accepted=at,
        boot=body.boot,
        n=n,
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
        if at_least_ms(one.granted, record) < DAY_MS or one in standing_graces(image)
    )
    return with_kept(image, graces=(*kept, given))
