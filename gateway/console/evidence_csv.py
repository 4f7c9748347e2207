"""The utility's table of restorations: CSV (RFC 4180), one line for each home that came back.

Owns its columns and how a cell is written. Must never leave a cell out: what the records do not say
is empty.
"""

import csv
import io
from collections.abc import Iterable, Iterator

from gateway.console.words import date_and_time
from gateway.core.model import Instant
from gateway.core.promise import Journey
from gateway.core.terms import Limits

COLUMNS = (
    "account", "meter", "dark_since", "paid_at", "received", "decided", "closed", "verified",
    "outcome", "waited_s", "within_promise", "since_payment_s", "within_compensation_limit",
    "measured_by", "clock_trusted", "held_or_isolated", "paper", "reason", "records",
)  # fmt: skip


def csv_lines(journeys: Iterable[Journey], limits: Limits) -> Iterator[str]:
    """A head line and one line for each journey, which has ended."""
    yield _csv_line(COLUMNS)
    for journey in journeys:
        yield _csv_line(_row(journey, limits))


def _row(journey: Journey, limits: Limits) -> tuple[object, ...]:
    owed = journey.owed_beyond(limits.compensation_ms)
    return (
        journey.account,
        journey.meter,
        instant_text(journey.dark_since),
        "" if journey.paid_at is None else date_and_time(journey.paid_at),
        instant_text(journey.received),
        instant_text(journey.decided),
        instant_text(journey.written),
        instant_text(journey.verified),
        journey.outcome,
        _seconds(journey.waited_ms),
        _yes_or_no(journey.kept_within(limits.promise_ms)),
        _seconds(journey.since_payment_ms),
        _yes_or_no(None if owed is None else not owed),
        "calendar" if journey.by_calendar else "boot clock",
        _yes_or_no(journey.clock_trusted),
        _yes_or_no(journey.tagged),
        "" if journey.reason is None else journey.reason.paper,
        "" if journey.reason is None else journey.reason.digest,
        " ".join(str(number) for number in journey.numbers),
    )


def _csv_line(cells: Iterable[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def _seconds(ms: int | None) -> str:
    return "" if ms is None else f"{ms / 1000:.3f}"


def _yes_or_no(said: bool | None) -> str:
    return "" if said is None else "yes" if said else "no"


def instant_text(instant: Instant | None) -> str:
    """The calendar's claim of an instant; empty where nothing tells."""
    return "" if instant is None else date_and_time(instant.wall_ms)
