"""The promise clock: how a home came back, whether that was in time, and how often it was.

Owns what a journey is: from the switch seen open and the payment, over proof, decision and write,
to the read-back (`journeys` reads them from records). Must never excuse: a wait under a hold is
counted like any other and only marked.
"""

from collections.abc import Callable, Iterable
from enum import StrEnum

import msgspec

from gateway.core.fact import Outcome, Road
from gateway.core.image import DONE
from gateway.core.model import Account, Digest, Instant, Serial, Value
from gateway.core.terms import Limits


class Paper(StrEnum):
    """What kind of document the signed reason is."""

    RECEIPT = "RECEIPT"
    LIST = "LIST"
    GRACE = "GRACE"
    """The site document's grace: nobody had paid."""
    UNKNOWN = "UNKNOWN"
    """It came before the first of these records."""


class Reason(Value):
    """The signed reason of a close: the document's digest, and the record of its arrival."""

    digest: Digest
    paper: Paper = Paper.UNKNOWN
    number: int | None = None
    road: Road | None = None
    signer: str = ""


class Try(Value):
    """One close: taken up `attempts` times, since the process may have ended on the way."""

    close: int
    attempts: int
    outcome: Outcome | None
    detail: str
    """The verdict or the cause of a try that did not succeed."""
    numbers: tuple[int, ...]


class Journey(Value):
    """How one home came back, or how far that has come. Instants are None where nothing tells.

    Where `outcome` is UNKNOWN, a write of ours may have closed the switch: its outcome could not be
    read, and later the meter was read CONNECTED.
    """

    account: Account
    meter: Serial
    dark_since: Instant | None = None
    """When the switch was read open."""
    paid_at: int | None = None
    """By the utility's ledger, milliseconds since 1970; of a list: the entry's ledger time."""
    received: Instant | None = None
    """When the proof of payment reached the feeder."""
    decided: Instant | None = None
    written: Instant | None = None
    """When the last write was on the wire; None also where the process that wrote it died."""
    verified: Instant | None = None
    """When the second read-back had agreed."""
    ended: Instant | None = None
    """Until when the wait counts; None: it is under way."""
    connected: Instant | None = None
    """When the meter was read CONNECTED: of an armed one, when the consumer had pressed."""
    outcome: Outcome | None = None
    waited_ms: int | None = None
    """Paid and dark, from the proof of payment at the feeder; None: the records begin later."""
    since_payment_ms: int | None = None
    """Paid and dark, from the payment, by the calendar's claim; never less than `waited_ms`."""
    by_calendar: bool = False
    """The wait spans two boots of the machine, so that only the calendar could measure it."""
    clock_trusted: bool = False
    """Whether a trusted source had bounded the calendar when it ended."""
    tagged: bool = False
    """A hold or an isolation forbade closing for a part of the wait."""
    reason: Reason | None = None
    tries: tuple[Try, ...] = ()
    numbers: tuple[int, ...] = ()
    """The records that prove it."""

    @property
    def steps(self) -> tuple[tuple[str, Instant], ...]:
        """What happened after the proof had come, in this order, as far as it is known."""
        named = (
            ("decided", self.decided),
            ("closed", self.written),
            ("verified", self.verified),
        )
        return tuple((name, instant) for name, instant in named if instant is not None)

    def kept_within(self, promise_ms: int) -> bool | None:
        """Whether supply was back in time after the proof; None: it cannot be told."""
        return None if self.waited_ms is None else self.waited_ms <= promise_ms

    def owed_beyond(self, compensation_ms: int) -> bool | None:
        """Whether supply was back too late after the payment; None: it cannot be told."""
        return None if self.since_payment_ms is None else self.since_payment_ms > compensation_ms


class Journeys(Value):
    """Every reconnection in the order of its end, and those under way."""

    ended: tuple[Journey, ...]
    under_way: tuple[Journey, ...]


class Count(Value):
    """How the promise was kept: over everything, or over one day.

    A home whose close could not be proven (`outcome` UNKNOWN) stands under `unproven` only.
    """

    restored: int = 0
    within_promise: int = 0
    late: int = 0
    late_tagged: int = 0
    """Of the late ones: closing was forbidden for a part of the wait."""
    beyond_compensation: int = 0
    unproven: int = 0
    worst_ms: int | None = None
    worst_account: Account | None = None


class Summary(Value):
    """The counts of all days, and of each day on which something ended."""

    total: Count
    days: dict[str, Count]


def summary_of(
    journeys: Iterable[Journey], limits: Limits, day_of: Callable[[int], str]
) -> Summary:
    """Count ended journeys; `day_of` names the day of a calendar claim (milliseconds UTC)."""
    total, days = Count(), dict[str, Count]()
    for journey in journeys:
        assert journey.ended is not None, "what is under way is not counted"
        day = day_of(journey.ended.wall_ms)
        total = _with_one_more(total, journey, limits)
        days[day] = _with_one_more(days.get(day, Count()), journey, limits)
    return Summary(total=total, days=days)


def _with_one_more(count: Count, journey: Journey, limits: Limits) -> Count:
    owed = journey.owed_beyond(limits.compensation_ms) is True
    replace = msgspec.structs.replace
    count = replace(count, beyond_compensation=count.beyond_compensation + owed)
    if journey.outcome not in DONE:
        return replace(count, unproven=count.unproven + 1)
    count = replace(count, restored=count.restored + 1)
    waited_ms = journey.waited_ms
    if waited_ms is None:
        return count
    late = waited_ms > limits.promise_ms
    if count.worst_ms is None or waited_ms > count.worst_ms:
        count = replace(count, worst_ms=waited_ms, worst_account=journey.account)
    return replace(
        count,
        within_promise=count.within_promise + (not late),
        late=count.late + late,
        late_tagged=count.late_tagged + (late and journey.tagged),
    )
