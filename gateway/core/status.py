"""The status: what the image says to people and to the head end.

Owns the one summary that the local socket, the status topic and the page show. Must never decide:
every word in it is the one rule's or a count.
"""

from gateway.core.alarms import Alarm
from gateway.core.certificates import certificate_alarm
from gateway.core.errands import SettingsStatus, settings_status
from gateway.core.fact import BrokerSeen, BusSeen, Move, Outcome, TagKind, Why
from gateway.core.grace import standing_graces
from gateway.core.image import Degraded, Image
from gateway.core.kept import HOUR_MS, Restored
from gateway.core.marks import Memory
from gateway.core.model import Meter, Now, SupplyState, TimeSource, Value
from gateway.core.pacing import Pacer
from gateway.core.queue import age_ms, foretold_ms, waited_ms
from gateway.core.readings import ReadingStatus, ReadStatus, read_status, readings_of
from gateway.core.reconnection import Ruling, Verdict, may_close
from gateway.core.records import CloseEnded, TaskEnded
from gateway.core.sequence import nonce_of
from gateway.core.standing import Standing, standing_of
from gateway.core.waiting import at_least_ms

IN_PROGRESS = "IN_PROGRESS"
"""In place of a verdict: a close is under way."""
OF_SERVICE = frozenset({Alarm.NO_SITE, Alarm.NO_LIST, Alarm.BEHIND, Alarm.PACING_STOPPED})
"""Alarms that say nothing more of a gateway that is out of service."""
HOPEFUL = frozenset({Verdict.PERMIT, Verdict.PACED})
"""Only its turn is missing."""
TAGGED = frozenset({Verdict.FEEDER_ISOLATED, Verdict.DT_ISOLATED, Verdict.METER_HELD})
"""Somebody forbade closing: the promise is for unheld consumers."""


class RootStatus(Value):
    """The root of trust in force. `steps`: from the installation's anchor."""

    seq: int
    steps: int
    expires: int | None
    revoked: int


class ListStatus(Value):
    """The allow-list in force. `age_ms` is since it was received."""

    seq: int
    as_of: int
    stale_after: int
    stale: bool
    entries: int
    signer: str
    age_ms: int


class MeterStatus(Value):
    """One meter that is not connected, and why: a verdict of the one rule, or IN_PROGRESS."""

    account: str
    meter: str
    dt: str
    state: SupplyState
    standing: Standing
    verdict: str
    waited_ms: int = 0
    cause: str | None = None
    """What opened it, where that is known."""
    brake: str | None = None
    """For PACED: what holds it."""
    wait_ms: int | None = None
    """For PACED: until the earliest turn."""
    foretold_ms: int | None = None
    """Of one for which only its turn is missing: until it is likely to be closed."""
    last_move: Move | None = None
    """What its switch was last told to do."""
    last_outcome: str | None = None
    last_detail: str = ""


class HeadEndStatus(Value):
    """The head end as it says of itself; None where it never said anything."""

    online: bool
    since_ms: int


class StopStatus(Value):
    """A transformer that is not loaded any further for now. `over_ms`: until it goes on."""

    dt: str
    brake: str
    detail: str
    over_ms: int


class GraceStatus(Value):
    """Supply without proof of payment; `over_ms` not above zero: its hours are over."""

    account: str
    over_ms: int


class Status(Value):
    """The whole summary. Durations in milliseconds."""

    gateway: str
    boot: str
    nonce: str
    """What an order has to echo where the clock is not trusted."""
    mono_ms: int
    wall_ms: int
    clock_trusted: bool
    clock_source: TimeSource
    """Who answers for the calendar time."""
    online: bool
    clock_low_ms: int
    """It is certainly not before this (milliseconds UTC)."""
    clock_high_ms: int | None
    """Nor after this; None: nobody who is trusted has said."""
    root: RootStatus
    memory: Memory
    site_seq: int | None
    meters: int
    list: ListStatus | None
    standing: dict[str, int]
    supply: dict[str, int]
    read: ReadStatus
    readings: tuple[ReadingStatus, ...]
    waiting: int
    longest_wait_ms: int
    foretold_finish_ms: int | None
    """Until the last of those who wait is likely to be closed; None: nobody can be."""
    promise_ms: int
    promise_broken: int
    compensation_ms: int
    restored: Restored
    dark: tuple[MeterStatus, ...]
    holds: int
    isolations: int
    stops: tuple[StopStatus, ...]
    graces: tuple[GraceStatus, ...]
    order_seq: int
    """Of the last order; the next one has more."""
    tasks: int
    """Openings and releases that orders asked for and have not ended."""
    records: int
    acked_through: int
    outbox: int
    degraded: Degraded | None
    """None: what is written down reaches the disk."""
    refusals: dict[str, int]
    forced: tuple[str, ...]
    settings: SettingsStatus | None
    """What was changed from afar; None: all is as the installer wrote it."""
    buses: tuple[BusSeen, ...]
    broker: BrokerSeen | None
    head_end: HeadEndStatus | None
    alarms: tuple[Alarm, ...]


def status_of(image: Image, now: Now) -> Status:
    """The summary of one image at one instant."""
    kept = image.kept
    dark = _dark(image, now)
    waiting = [meter for meter in dark if _waits(meter)]
    foretold = [meter.foretold_ms for meter in waiting if meter.foretold_ms is not None]
    readings = readings_of(image, now)
    promise_ms = image.limits.promise_ms
    promise_broken = sum(meter.waited_ms > promise_ms for meter in waiting)
    return Status(
        gateway=image.station.gateway,
        boot=now.boot,
        nonce=nonce_of(now),
        mono_ms=now.mono_ms,
        wall_ms=now.wall_ms,
        clock_trusted=now.trusted,
        clock_source=now.source if now.trusted else TimeSource.NONE,
        online=True,
        clock_low_ms=now.wall_low_ms,
        clock_high_ms=now.wall_high_ms,
        root=RootStatus(
            seq=image.root.seq,
            steps=len(kept.roots),
            expires=image.root.expires,
            revoked=len(image.root.revoked),
        ),
        memory=image.memory,
        site_seq=None if kept.site is None else kept.site.seq,
        meters=len(image.roster),
        list=_list_status(image, now),
        standing=_standing_counts(image),
        supply=_supply_counts(image),
        read=read_status(readings, image),
        readings=readings,
        waiting=len(waiting),
        longest_wait_ms=max((meter.waited_ms for meter in waiting), default=0),
        foretold_finish_ms=max(foretold, default=None),
        promise_ms=promise_ms,
        promise_broken=promise_broken,
        compensation_ms=image.limits.compensation_ms,
        restored=kept.restored,
        dark=dark,
        holds=sum(tag.kind is TagKind.HOLD for tag in kept.tags),
        isolations=sum(tag.kind is not TagKind.HOLD for tag in kept.tags),
        stops=_stops(image, now),
        graces=_graces(image, now),
        order_seq=kept.newest.order.seq,
        tasks=len(kept.tasks),
        records=image.written,
        acked_through=image.acked_through,
        outbox=image.written - image.acked_through,
        degraded=image.degraded,
        refusals=dict(kept.refusals),
        forced=kept.forced,
        settings=settings_status(image, now),
        buses=tuple(image.buses[name] for name in sorted(image.buses)),
        broker=image.broker,
        head_end=_head_end_status(image, now),
        alarms=_alarms(image, dark, now, promise_broken),
    )


def notable(image: Image) -> tuple[object, ...]:
    """What a new status is worth sending for: everything but ages, readings and counters."""
    buses = tuple((name, bus.open, bus.silent) for name, bus in sorted(image.buses.items()))
    trouble = None if image.degraded is None else image.degraded.trouble
    return (image.number, image.acked_through, image.broker, image.head_end, buses, trouble)


def _waits(meter: MeterStatus) -> bool:
    """Whether the promise counts for it: paid, and nobody's tag forbids closing."""
    return meter.standing is Standing.PAID and meter.verdict not in TAGGED


def state_of(meter: Meter, image: Image) -> SupplyState:
    """The supply state last read, whatever its age."""
    supply = image.kept.supply.get(meter.serial)
    return SupplyState.UNKNOWN if supply is None else supply.state


def _dark(image: Image, now: Now) -> tuple[MeterStatus, ...]:
    pacer = Pacer(image, now)
    meters = [m for m in image.roster.values() if state_of(m, image) is not SupplyState.CONNECTED]
    rulings = {meter.serial: may_close(meter, image, now, pacer) for meter in meters}
    hopeful = tuple(meter for meter in meters if rulings[meter.serial].verdict in HOPEFUL)
    foretold = foretold_ms(hopeful, image, now)
    return tuple(
        _meter_status(meter, rulings[meter.serial], foretold.get(meter.serial), image, now)
        for meter in meters
    )


def _meter_status(
    meter: Meter, ruling: Ruling, foretold: int | None, image: Image, now: Now
) -> MeterStatus:
    closing = meter.serial in image.kept.closings
    ended = image.kept.ended.get(meter.serial)
    opened = image.kept.causes.get(meter.serial)
    turn = ruling.not_before_ms
    return MeterStatus(
        account=meter.account,
        meter=meter.serial,
        dt=meter.dt,
        state=state_of(meter, image),
        standing=standing_of(image.word(meter.account)),
        verdict=IN_PROGRESS if closing else ruling.verdict,
        waited_ms=waited_ms(meter, image, now),
        cause=None if opened is None else opened.cause,
        brake=None if closing else ruling.brake,
        wait_ms=None if turn is None or closing else turn - now.mono_ms,
        foretold_ms=None if closing else foretold,
        last_move=None if ended is None else move_of(ended),
        last_outcome=None if ended is None else ended.outcome,
        last_detail="" if ended is None else ended.verdict or ended.why,
    )


def move_of(ended: CloseEnded | TaskEnded) -> Move:
    """What an outcome is the outcome of."""
    return ended.move if isinstance(ended, TaskEnded) else Move.CLOSE


def _stops(image: Image, now: Now) -> tuple[StopStatus, ...]:
    cool_down_ms = image.pacing.cool_down_ms
    return tuple(
        StopStatus(
            dt=dt,
            brake=stop.brake,
            detail=stop.detail,
            over_ms=max(0, cool_down_ms - at_least_ms(stop.since, now)),
        )
        for dt, stop in sorted(image.kept.stops.items())
    )


def _graces(image: Image, now: Now) -> tuple[GraceStatus, ...]:
    return tuple(
        GraceStatus(
            account=one.account, over_ms=one.hours * HOUR_MS - at_least_ms(one.granted, now)
        )
        for one in standing_graces(image)
    )


def _list_status(image: Image, now: Now) -> ListStatus | None:
    in_force, received = image.kept.list_in_force, image.kept.list_received
    if in_force is None or received is None:
        return None
    return ListStatus(
        seq=in_force.seq,
        as_of=in_force.as_of,
        stale_after=in_force.stale_after,
        stale=image.stale(now.wall_low_ms),
        entries=len(in_force.entries),
        signer=in_force.signer,
        age_ms=age_ms(received, now),
    )


def _standing_counts(image: Image) -> dict[str, int]:
    counts = {str(standing): 0 for standing in Standing}
    for account in image.by_account:
        counts[standing_of(image.word(account))] += 1
    return counts


def _supply_counts(image: Image) -> dict[str, int]:
    counts = {str(state): 0 for state in SupplyState}
    for meter in image.roster.values():
        counts[state_of(meter, image)] += 1
    return counts


def _head_end_status(image: Image, now: Now) -> HeadEndStatus | None:
    known = image.kept.head_end
    if known is None:
        return None
    return HeadEndStatus(online=known.heard, since_ms=age_ms(known.since, now))


def _alarms(
    image: Image, dark: tuple[MeterStatus, ...], now: Now, promise_broken: int
) -> tuple[Alarm, ...]:
    unsuccessful = {Outcome.FAILED, Outcome.UNKNOWN, Outcome.REFUSED}
    standing = {
        Alarm.WIPED: image.kept.wiped is not None,
        Alarm.NO_SITE: image.kept.site is None,
        Alarm.NO_LIST: image.kept.list_in_force is None,
        Alarm.LIST_STALE: image.kept.list_in_force is not None and image.stale(now.wall_low_ms),
        Alarm.BUS_DOWN: any(not bus.open for bus in image.buses.values()),
        Alarm.METERS_SILENT: any(bus.silent for bus in image.buses.values()),
        Alarm.PROMISE_BROKEN: promise_broken > 0,
        Alarm.CLOSE_FAILED: any(
            meter.last_move is Move.CLOSE and meter.last_outcome in unsuccessful for meter in dark
        ),
        Alarm.CLOSED_WITHOUT_SUPPLY: any(
            ended.outcome is Outcome.CLOSED_UNVERIFIED and ended.why is Why.READS_DISAGREE
            for ended in image.kept.ended.values()
        ),
    }
    expires = image.root.expires
    certificate = certificate_alarm(image.broker, now)
    standing |= {
        Alarm.ROOT_EXPIRED: expires is not None and expires < now.wall_low_ms,
        Alarm.EQUIVOCATION: _untold(Alarm.EQUIVOCATION, image),
        Alarm.JOURNAL_LOST: _untold(Alarm.JOURNAL_LOST, image),
        Alarm.JOURNAL_DEGRADED: image.degraded is not None,
        Alarm.BEHIND: image.memory is Memory.BEHIND,
        Alarm.AMNESIA: image.memory is Memory.AMNESIA,
        Alarm.PROMISE_AT_RISK: any(_at_risk(meter, image) for meter in dark),
        Alarm.CERTIFICATE_EXPIRED: certificate is Alarm.CERTIFICATE_EXPIRED,
        Alarm.CERTIFICATE_EXPIRES: certificate is Alarm.CERTIFICATE_EXPIRES,
        Alarm.PACING_STOPPED: bool(image.kept.stops),
        Alarm.GRACE_OVER: any(grace.over_ms <= 0 for grace in _graces(image, now)),
    }
    unneeded = OF_SERVICE if standing[Alarm.WIPED] else frozenset[Alarm]()
    return tuple(alarm for alarm, raised in standing.items() if raised and alarm not in unneeded)


def _untold(alarm: Alarm, image: Image) -> bool:
    """Whether the head end does not hold the last record of it yet."""
    return image.kept.grave.get(alarm, 0) > image.acked_through


def _at_risk(meter: MeterStatus, image: Image) -> bool:
    """Whether it is not too late yet, and will be."""
    if meter.foretold_ms is None or not _waits(meter):
        return False
    promise_ms = image.limits.promise_ms
    return meter.waited_ms <= promise_ms < meter.waited_ms + meter.foretold_ms
