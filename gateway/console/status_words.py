"""The status in words: for a technician who looks in, or is called.

Owns the readable form of the summary. Must never add a judgement: every word in it is a verdict, a
count or an age of `core.status`.
"""

from collections.abc import Iterator

from gateway.console.words import (
    ALARMS,
    BRAKES,
    CAUSES,
    MEANING,
    clock_time,
    date_and_time,
    day_of,
    duration,
    ended_in_words,
)
from gateway.core.errands import SettingsStatus
from gateway.core.fact import CertificateEnd, Holder, Outcome, PollingSeen
from gateway.core.image import Degraded
from gateway.core.model import Brake, Cause, TimeSource
from gateway.core.status import GraceStatus, MeterStatus, RootStatus, Status, StopStatus

INDENT = " " * 10
"""Under what is said of a meter."""
DAY_MS = 24 * 3_600_000
HOLDERS: dict[Holder, str] = {
    Holder.GATEWAY: "this gateway's",
    Holder.BROKER: "the broker's",
    Holder.AUTHORITY: "the CA's",
}
"""Whose certificate it is."""
CLOCKS: dict[TimeSource, str] = {
    TimeSource.NONE: "no time source has answered",
    TimeSource.NETWORK: "the time daemon is synchronised",
    TimeSource.RTC: "the battery clock never stopped",
    TimeSource.DOCUMENT: "a time document of this boot says so",
}
"""Who answers for the calendar time."""


def status_lines(status: Status) -> Iterator[str]:
    """The summary, readable."""
    yield f"gateway   {status.gateway}; {clock_time(status.wall_ms)}, clock {_clock(status)}"
    yield f"nonce     {status.nonce}, for a document that has to echo it within 15 minutes"
    yield f"head end  {_head_end(status)}"
    yield f"root      {_root(status.root)}"
    yield f"site      {'none yet' if status.site_seq is None else status.site_seq}"
    yield f"list      {_list(status)}"
    for bus in status.buses:
        state = "open" if bus.open else "DOWN"
        yield (
            f"bus {bus.bus:<5} {state}, {bus.good} good, {bus.refused} refused, "
            f"{bus.crc_errors} CRC errors, {bus.timeouts} time-outs, {bus.mismatched} of others, "
            f"{bus.late} late, {bus.echo} echoed, {len(bus.silent)} meters silent"
            + (f"; {bus.detail}" if bus.detail else "")
        )
        if bus.polling is not None:
            yield f"{INDENT}{_polling(bus.polling)}"
    if status.settings is not None:
        yield f"settings  {_settings(status.settings)}"
    counts = ", ".join(f"{name} {count}" for name, count in status.supply.items() if count)
    yield f"supply    {status.meters} meters: {counts or 'none'}"
    yield f"read      {_read('states', status.read.states, status.read.oldest_ms)}"
    yield f"{INDENT}{_read('values', status.read.values, status.read.values_oldest_ms)}"
    yield f"waiting   {_waiting(status)}"
    restored = status.restored
    yield (
        f"restored  {restored.total} since the journal began, {restored.within_promise} within "
        f"the promise, {restored.late} late, longest {duration(restored.worst_ms)}"
    )
    yield f"tags      {status.holds} holds, {status.isolations} isolations"
    yield (
        f"orders    last {status.order_seq or 'none'}; {status.tasks} openings or releases of "
        "theirs have not ended"
    )
    yield f"records   {status.records}, {status.outbox} not yet at the head end"
    if status.degraded is not None:
        yield f"journal   {_degraded(status.degraded, status.mono_ms)}"
    if status.refusals:
        names = ", ".join(f"{name} {count}" for name, count in sorted(status.refusals.items()))
        yield f"refused   {names}"
    if status.forced:
        yield f"forced    {', '.join(status.forced)}: release once the head end has taken over"
    for stop in status.stops:
        yield f"stopped   {_stop(stop, status.wall_ms)}"
    for grace in status.graces:
        yield f"grace     {_grace(grace)}"
    for meter in status.dark:
        yield from _meter_lines(meter)
    for alarm in status.alarms:
        yield f"ALARM     {alarm}: {ALARMS[alarm]}"


def _degraded(degraded: Degraded, mono_ms: int) -> str:
    """Why the disk takes nothing, and what waits for it."""
    more = "; no more are held, and nothing more is closed" if degraded.full else ""
    return (
        f"{degraded.trouble} for {duration(mono_ms - degraded.since_ms)}: {degraded.held} records "
        f"are held in memory until the disk takes them{more}"
    )


def _polling(seen: PollingSeen) -> str:
    """What reading takes of a bus, and how often that is."""
    stretched = ""
    if seen.wished_percent > seen.share_percent:
        stretched = f"; as often as wished would take {seen.wished_percent}%"
    return (
        f"reading {seen.devices} devices takes {seen.share_percent}% of its time: states every "
        f"{duration(seen.connected_ms)}, {duration(seen.waiting_ms)} where somebody waits, values "
        f"every {duration(seen.values_ms)}{stretched}"
    )


def _read(what: str, counts: dict[str, int], oldest_ms: int | None) -> str:
    """How lately something was read of everybody."""
    said = ", ".join(f"{count} {quality}" for quality, count in counts.items() if count)
    oldest = "" if oldest_ms is None else f"; the oldest {duration(oldest_ms)} ago"
    return f"{what}: {said or 'none'}{oldest}"


def _meter_lines(meter: MeterStatus) -> Iterator[str]:
    """One meter that is not connected: where it is, and why it is so for how long."""
    waited = f", waiting {duration(meter.waited_ms)}" if meter.waited_ms else ""
    yield (
        f"dark      account {meter.account}  meter {meter.meter}  {meter.dt}  {meter.state}  "
        f"{meter.standing}{waited}"
    )
    likely = "" if meter.foretold_ms is None else f"; likely in {duration(meter.foretold_ms)}"
    yield f"{INDENT}{_verdict(meter)}{likely}"
    if meter.cause is not None:
        yield f"{INDENT}opened {CAUSES[Cause(meter.cause)]}"
    if meter.last_outcome not in {None, Outcome.CLOSED_VERIFIED}:
        ended = ended_in_words(Outcome(meter.last_outcome), meter.last_detail)
        yield f"{INDENT}last command {meter.last_move} {ended}"


def _verdict(meter: MeterStatus) -> str:
    said = f"{meter.verdict}: {MEANING[meter.verdict]}"
    if meter.brake is not None:
        said = f"{meter.verdict} by {meter.brake}: {BRAKES[Brake(meter.brake)]}"
    if meter.wait_ms is not None:
        said += f"; {duration(max(0, meter.wait_ms))} to go"
    return said


def _waiting(status: Status) -> str:
    said = (
        f"{status.waiting} paid and dark, longest {duration(status.longest_wait_ms)} "
        f"of {duration(status.promise_ms)}"
    )
    if not status.waiting:
        return said
    if status.foretold_finish_ms is None:
        return f"{said}; none of them can be closed now"
    return f"{said}; the last is likely in {duration(status.foretold_finish_ms)}"


def _stop(stop: StopStatus, wall_ms: int) -> str:
    until = "until its voltage is back"
    if stop.over_ms:
        until = f"until {clock_time(wall_ms + stop.over_ms)} (in {duration(stop.over_ms)})"
    return f"{stop.dt} {until}, {stop.brake}: {stop.detail}"


def _grace(grace: GraceStatus) -> str:
    if grace.over_ms > 0:
        rest = f"for {duration(grace.over_ms)} more"
    else:
        rest = f"over since {duration(-grace.over_ms)}: the head end decides"
    return f"account {grace.account} has supply without proof of payment, {rest}"


def _clock(status: Status) -> str:
    if status.clock_high_ms is None:
        after = date_and_time(status.clock_low_ms)
        return f"not trusted: {CLOCKS[status.clock_source]}; certainly after {after}"
    seconds = -(-(status.clock_high_ms - status.clock_low_ms) // 1000)
    width = duration(seconds * 1000)
    return f"trusted within {width}, {status.clock_source}: {CLOCKS[status.clock_source]}"


def _head_end(status: Status) -> str:
    broker = status.broker
    if broker is None:
        link = "broker not tried yet"
    elif broker.connected:
        link = f"broker connected ({broker.protocol})"
    else:
        link = f"broker not connected: {broker.detail}"
    if broker is not None and broker.certificate is not None:
        link += f"; {_certificate(broker.certificate, status)}"
    known = status.head_end
    if known is None:
        return f"{link}; the head end has not been heard"
    state = "online" if known.online else "DOWN"
    return f"{link}; head end {state} for {duration(known.since_ms)}"


def _settings(found: SettingsStatus) -> str:
    """What was changed from afar, and for how long."""
    said = ", ".join(f"{one.name} {one.now} instead of {one.installed}" for one in found.altered)
    changed = f"by order {found.order}: {said or 'as the installer wrote them'}"
    if found.trial_ms is None:
        return changed
    return f"{changed}; taken back in {duration(found.trial_ms)} unless it is confirmed"


def _certificate(end: CertificateEnd, status: Status) -> str:
    left_ms = end.at_ms - status.wall_ms
    said = f"{HOLDERS[end.whose]} certificate is good until {day_of(end.at_ms)}"
    if not status.clock_trusted:
        return said
    return f"{said}, EXPIRED" if left_ms <= 0 else f"{said}, {left_ms // DAY_MS} days"


def _root(root: RootStatus) -> str:
    steps = f", {root.steps} steps from the anchor" if root.steps else ""
    revoked = f", {root.revoked} keys revoked" if root.revoked else ""
    return f"seq {root.seq}{steps}{revoked}"


def _list(status: Status) -> str:
    in_force = status.list
    if in_force is None:
        return "none yet"
    stale = ", STALE" if in_force.stale else ""
    return (
        f"{in_force.seq} by {in_force.signer}: {in_force.entries} paid accounts, received "
        f"{duration(in_force.age_ms)} ago{stale}"
    )
