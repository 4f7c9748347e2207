"""Records in words: one line each, for the log and for evidence.

Owns the readable form of every kind of record and of every act of an order. Must never say more
than the record does.
"""

from collections.abc import Sequence
from typing import assert_never

from gateway.console.words import (
    CAUSES,
    MEANING,
    clock_time,
    date_and_time,
    duration,
    ended_in_words,
)
from gateway.core.fact import Move, TagKind
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
from gateway.core.settings import BrokerChange, ConfigTried, altered
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

NAMED_MAX = 5
"""Homes of one record that are named in a line; of more only their number is said."""
MOVES = {Move.CLOSE: "close", Move.OPEN: "opening", Move.RELEASE: "release"}
_Trust = (
    RootInstalled
    | KeyRevoked
    | TimeSet
    | TimeNoted
    | JournalLost
    | JournalMended
    | MarksAhead
    | Sealed
)
_Papers = (
    _Trust
    | SiteInstalled
    | ListInstalled
    | ReceiptAccepted
    | OrderAccepted
    | OrderRestored
    | OrderRefused
    | OrderEnded
    | ConfigTried
    | Refused
)
_Commands = GraceGranted | CloseIntended | CloseEnded | TaskIntended | TaskEnded


def record_line(record: Record) -> str:
    """One record, readable."""
    return f"{record.number:>6}  {clock_time(record.wall_ms)}  {_said(record)}"


def _said(record: Record) -> str:
    body = record.body
    match body:
        case Started():
            return f"daemon started, version {body.version}"
        case HeadEndLost():
            heard_ms = body.heard_ms
            last = "before this boot"
            if heard_ms is not None:
                last = f"{duration(record.mono_ms - heard_ms)} before"
            return f"the head end is lost, last heard {last}"
        case HeadEndBack():
            return "the head end is heard"
        case SupplyChanged():
            opened = f", opened {CAUSES[body.cause]}" if body.cause is not None else ""
            return f"meter {body.serial}: {body.before} -> {body.after}{opened}"
        case CauseRecorded():
            opened = f"opened {CAUSES[body.cause]}"
            return f"meter {body.serial} was {opened}, says {body.by}: {body.reason}"
        case TagPlaced():
            return f"{_tag(body)} placed by {body.by} ({body.origin}): {body.reason}"
        case TagRemoved():
            return f"{_tag(body)} removed by {body.by} ({body.origin}): {body.reason}"
        case PacingStopped():
            return f"transformer {body.dt} stopped, {body.brake}: {body.detail}"
        case PacingResumed():
            return f"transformer {body.dt} goes on, by {body.by}: {body.reason}"
        case GraceGranted() | CloseIntended() | CloseEnded() | TaskIntended() | TaskEnded():
            return f"account {body.account}: {_of_command(body)}"
        case _:
            return _of_paper(body)


def _of_paper(body: _Papers) -> str:
    match body:
        case OrderRestored():
            return f"order {body.id} was here: {act_in_words(body.act)}; not done again"
        case SiteInstalled():
            return f"site document {body.seq} in force: {body.meters} meters ({body.road})"
        case ListInstalled():
            return f"list {body.seq} in force: {body.entries} paid accounts ({body.road})"
        case ReceiptAccepted():
            return f"account {body.account} paid: receipt {body.ref or body.n} ({body.road})"
        case OrderAccepted():
            return f"order {body.id}: {act_in_words(body.act)} ({_signed(body)})"
        case OrderRefused():
            meaning = f"{MEANING[body.name]}; " if body.name in MEANING else ""
            said = f"order {body.id} ({body.kind}) refused {body.name}: {meaning}{body.detail}"
            return f"{said} ({_signed(body)})"
        case OrderEnded():
            said = " ".join(part for part in (str(body.state), body.reason) if part)
            return f"order {body.order} {said}" + (f": {body.detail}" if body.detail else "")
        case ConfigTried():
            over = body.overlay
            other = [f"{one.name} {one.now}" for one in altered(over.settings, over.over)]
            return f"order {over.order} on trial: {', '.join(other) or 'what the installer wrote'}"
        case Refused():
            return f"refused {body.name}: {body.detail} ({body.road})"
        case _:
            return _of_trust(body)


def _of_trust(body: _Trust) -> str:
    match body:
        case RootInstalled():
            return f"root of trust {body.seq} in force, signed by {', '.join(body.signers)}"
        case KeyRevoked():
            return _revoked(body)
        case TimeSet():
            return f"time set to {date_and_time(body.low_ms)} by key {body.signer} ({body.road})"
        case TimeNoted():
            return "a quiet day has gone by"
        case JournalLost():
            known = "nothing is known of before" if body.amnesia else "rebuilt from the archive"
            return f"the journal was lost ({body.trouble or 'it is not there'}): {known}"
        case JournalMended():
            lasted = duration(body.lasted_ms)
            held = f"{body.held} records before this one were held in memory"
            return f"the disk takes records again after {lasted} of {body.trouble}: {held}"
        case Sealed():
            return "the gateway signed for all records before this one"
        case MarksAhead():
            return "newer documents than the journal's were here: send them again"
        case _:
            assert_never(body)


def _revoked(body: KeyRevoked) -> str:
    said = f"key {body.kid} revoked, what it signed after {date_and_time(body.after)} is refused"
    stands = [f"account {_several(body.accounts, body.more)}"] if body.accounts else []
    if body.list is not None:
        stands.append("the list in force")
    if not stands:
        return said
    return f"{said}; granted later and left standing: {', '.join(stands)}; look into that"


def _of_command(body: _Commands) -> str:
    match body:
        case GraceGranted():
            silent = duration(body.silent_ms)
            return f"grace for {body.hours} h, nobody had paid; the head end silent for {silent}"
        case CloseIntended():
            grace = " by grace" if body.grace else ""
            return f"close {body.close} decided{grace}{_again(body.attempt)}"
        case CloseEnded():
            return f"close {body.close} {_ended(body)}"
        case TaskIntended():
            decided = f"{MOVES[body.move]} {body.number} decided for order {body.order}"
            return decided + _again(body.attempt)
        case TaskEnded(number=None):
            return f"{MOVES[body.move]} for order {body.order} not begun: {_ended(body)}"
        case TaskEnded():
            return f"{MOVES[body.move]} {body.number} for order {body.order} {_ended(body)}"
        case _:
            assert_never(body)


def act_in_words(act: Act) -> str:
    """What an order asks for."""
    match act:
        case Disconnect():
            return f"cut account {_several([entry.account for entry in act.accounts])}"
        case ReleaseForce():
            return f"give meter {_several(act.meters)} back to its own prepay logic"
        case Reconnect():
            return f"supply of account {act.account} is asked for"
        case Hold():
            return f"hold meter {act.meter}: {act.reason}"
        case ReleaseHold():
            return f"release the hold on meter {act.meter}: {act.reason}"
        case Isolate():
            return f"isolate {_place(act.dt)}: {act.reason}"
        case EndIsolation():
            return f"end the isolation of {_place(act.dt)}: {act.reason}"
        case Resume():
            return f"let transformer {act.dt} go on: {act.reason}"
        case Cancel():
            return f"call off what order {act.order} has not begun"
        case Read():
            return f"read meter {_several(act.meters)}"
        case _:
            return _errand(act)


def _errand(act: Config | Confirm | LogBundle | Scan | ForgetMeter | Wipe | Rebirth) -> str:
    match act:
        case Config():
            return f"set {_changes(act)}"
        case Confirm():
            return f"keep what order {act.order} has set"
        case LogBundle():
            return "send what support needs to know"
        case Scan():
            return f"look around bus {act.bus}"
        case ForgetMeter():
            return f"forget meter {_several(act.meters)}"
        case Wipe():
            return "take this gateway out of service"
        case Rebirth():
            return "say again what this gateway is"
        case _:
            assert_never(act)


def _changes(act: Config) -> str:
    broker = act.broker or BrokerChange()
    given = {
        "broker.host": broker.host,
        "broker.port": broker.port,
        "broker.keepalive_s": broker.keepalive_s,
        "log_level": act.log_level,
    }
    said = [f"{name} {value}" for name, value in given.items() if value is not None]
    return ", ".join([*(["back what the installer wrote"] if act.reset else []), *said])


def _several(names: Sequence[str], more: int = 0) -> str:
    more += max(0, len(names) - NAMED_MAX)
    said = ", ".join(names[:NAMED_MAX])
    return f"{said} and {more} more" if more else said


def _place(dt: str | None) -> str:
    return "the feeder" if dt is None else f"transformer {dt}"


def _tag(body: TagPlaced | TagRemoved) -> str:
    match body.kind:
        case TagKind.HOLD:
            return f"{body.kind} of meter {body.target}"
        case TagKind.ISOLATE_DT | TagKind.ISOLATE_FEEDER:
            return f"{body.kind} {body.target}".rstrip()
        case _:
            assert_never(body.kind)


def _signed(body: OrderAccepted | OrderRefused) -> str:
    return f"{body.road}, signed by {', '.join(body.signers)}"


def _again(attempt: int) -> str:
    return f", taken up again ({attempt})" if attempt > 1 else ""


def _ended(body: CloseEnded | TaskEnded) -> str:
    seen = f", {body.load_mv / 1000:.0f} V" if body.load_mv is not None else ""
    return ended_in_words(body.outcome, body.verdict or body.why) + seen
