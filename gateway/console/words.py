"""What the words of the rule mean, for people: one sentence each, and the mend where there is one.

Owns the sentences and the readable forms of status and records. Must never add a judgement: it
only says in words what a verdict, an outcome or a count already is.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import assert_never

from gateway.core.fact import (
    CloseEnded,
    CloseIntended,
    ListInstalled,
    ReceiptAccepted,
    Record,
    Refused,
    SiteInstalled,
    Started,
    SupplyChanged,
    TagPlaced,
    TagRemoved,
)
from gateway.core.reconnection import Verdict
from gateway.core.status import IN_PROGRESS, MeterStatus, Status

MEANING: dict[str, str] = {
    Verdict.NOT_ON_ROSTER: "the signed site document does not know this meter",
    Verdict.SWITCH_UNPROVEN: "its meter type has no switch that is known well enough to write",
    Verdict.FEEDER_ISOLATED: "people are at work on the feeder",
    Verdict.DT_ISOLATED: "people are at work on this transformer",
    Verdict.METER_HELD: "a hold forbids closing this meter",
    Verdict.STATE_UNKNOWN: "the meter has not been read lately; check its wiring and address",
    Verdict.ALREADY_CONNECTED: "the switch is closed",
    Verdict.AWAITING_CONSUMER: "armed: the consumer must press the meter's button",
    Verdict.NOT_PAID: "no proof of payment has reached this feeder; hand in a receipt",
    Verdict.CAUSE_UNKNOWN: "nobody recorded that it was opened for arrears; a receipt settles it",
    Verdict.RETRIPPED: "closed several times within the hour and open again; look for a fault",
    Verdict.PACED: "permitted, its turn has not come",
    Verdict.PERMIT: "it may be closed",
    Verdict.WRONG_METER: "another meter answers at this address; correct the roster or the wiring",
    Verdict.IDENTITY_UNPROVEN: "nothing proves which meter answers here; put a proof on file",
    Verdict.BACKFEED: "there is voltage behind the open switch: another source feeds the house",
    IN_PROGRESS: "being closed now",
}


def clock_time(wall_ms: int) -> str:
    """Local time of day of a calendar claim."""
    return datetime.fromtimestamp(wall_ms / 1000, UTC).astimezone().strftime("%H:%M:%S")


def duration(ms: int) -> str:
    """A duration as minutes and seconds, with days and hours where there are any."""
    seconds = ms // 1000
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, seconds = divmod(rest, 60)
    days_text = f"{days} d " if days else ""
    hours_text = f"{hours}:" if hours or days else ""
    return f"{days_text}{hours_text}{minutes:02}:{seconds:02}"


def meter_line(meter: MeterStatus) -> str:
    """One meter that is not connected, and why."""
    verdict = meter.verdict
    if meter.wait_ms is not None:
        verdict += f" ({duration(max(0, meter.wait_ms))} to go)"
    last = ""
    if meter.last_outcome not in {None, "CLOSED_VERIFIED"}:
        detail = meter.last_detail
        meaning = f" ({MEANING[detail]})" if detail in MEANING else ""
        last = f"; last try {meter.last_outcome} {detail}{meaning}".rstrip()
    waited = f", waiting {duration(meter.waited_ms)}" if meter.waited_ms else ""
    return (
        f"account {meter.account}  meter {meter.meter}  {meter.state}  {meter.standing}  "
        f"{verdict}: {MEANING[meter.verdict]}{waited}{last}"
    )


def status_lines(status: Status) -> Iterator[str]:
    """The summary, readable."""
    clock = "trusted" if status.clock_trusted else "not trusted: no time source has answered"
    yield f"gateway   {status.gateway}; {clock_time(status.wall_ms)}, clock {clock}"
    yield f"head end  {_head_end(status)}"
    yield f"list      {_list(status)}"
    for bus in status.buses:
        state = "open" if bus.open else "DOWN"
        yield (
            f"bus {bus.bus:<5} {state}, {bus.good} good, {bus.crc_errors} CRC errors, "
            f"{bus.timeouts} time-outs, {bus.late} late, {len(bus.silent)} meters silent"
            + (f"; {bus.detail}" if bus.detail else "")
        )
    counts = ", ".join(f"{name} {count}" for name, count in status.supply.items() if count)
    yield f"supply    {status.meters} meters: {counts or 'none'}"
    yield (
        f"waiting   {status.waiting} paid and dark, longest {duration(status.longest_wait_ms)} "
        f"of {duration(status.promise_ms)}"
    )
    restored = status.restored
    yield (
        f"restored  {restored.total} since the journal began, {restored.within_promise} within "
        f"the promise, {restored.late} late, longest {duration(restored.worst_ms)}"
    )
    yield f"tags      {status.holds} holds, {status.isolations} isolations"
    yield f"records   {status.records}, {status.outbox} not yet at the head end"
    if status.refusals:
        names = ", ".join(f"{name} {count}" for name, count in sorted(status.refusals.items()))
        yield f"refused   {names}"
    if status.forced:
        yield f"forced    {', '.join(status.forced)}: release once the head end has taken over"
    for meter in status.dark:
        yield f"dark      {meter_line(meter)}"
    for alarm in status.alarms:
        yield f"ALARM     {alarm}"


def record_line(record: Record) -> str:
    """One record, readable."""
    return f"{record.number:>6}  {clock_time(record.wall_ms)}  {_said(record)}"


def _said(record: Record) -> str:
    body = record.body
    match body:
        case Started():
            return f"daemon started, version {body.version}"
        case SiteInstalled():
            return f"site document {body.seq} in force: {body.meters} meters ({body.road})"
        case ListInstalled():
            return f"list {body.seq} in force: {body.entries} paid accounts ({body.road})"
        case ReceiptAccepted():
            return f"account {body.account} paid: receipt {body.ref or body.n} ({body.road})"
        case Refused():
            return f"refused {body.name}: {body.detail} ({body.road})"
        case SupplyChanged():
            return f"meter {body.serial}: {body.before} -> {body.after}"
        case CloseIntended():
            again = f", taken up again ({body.attempt})" if body.attempt > 1 else ""
            return f"account {body.account}: close {body.close} decided{again}"
        case CloseEnded():
            why = body.verdict or body.why
            seen = f", {body.load_mv / 1000:.0f} V" if body.load_mv is not None else ""
            return (
                f"account {body.account}: close {body.close} {body.outcome} {why}".rstrip() + seen
            )
        case TagPlaced():
            return f"{body.kind} {body.target} placed by {body.by}: {body.reason}"
        case TagRemoved():
            return f"{body.kind} {body.target} removed by {body.by}: {body.reason}"
        case _:
            assert_never(body)


def _head_end(status: Status) -> str:
    broker = status.broker
    if broker is None:
        link = "broker not tried yet"
    elif broker.connected:
        link = f"broker connected ({broker.protocol})"
    else:
        link = f"broker not connected: {broker.detail}"
    said = status.head_end
    if said is None:
        return f"{link}; the head end has not been heard"
    state = "online" if said.online else "DOWN"
    return f"{link}; head end {state} for {duration(said.since_ms)}"


def _list(status: Status) -> str:
    in_force = status.list
    if in_force is None:
        return "none yet"
    stale = ", STALE" if in_force.stale else ""
    return (
        f"{in_force.seq} by {in_force.signer}: {in_force.entries} paid accounts, received "
        f"{duration(in_force.age_ms)} ago{stale}"
    )
