"""Ages and waits: how long ago something was, and how long a paid consumer waited.

Owns the arithmetic between instants of one or of several boots, and the count of homes that came
back. Must never look at documents or meters: it is told which instants count.
"""

import msgspec

from gateway.core.kept import Restored
from gateway.core.model import Instant, Now, TimeSource
from gateway.core.records import Record

CLAIM_MARGIN_MS = 60_000
"""What the calendar's claim of a record may be before the truth, where it was trusted."""


def instant_of(moment: Now | Record) -> Instant:
    """The present, or when a record was made, as a point from which durations are counted.

    Its calendar counts where the network stood behind it: a battery clock may be minutes off, and
    so may a signed time.
    """
    source = moment.source if isinstance(moment, Now) else moment.clock
    return Instant(
        boot=moment.boot,
        mono_ms=moment.mono_ms,
        wall_ms=moment.wall_ms,
        trusted=moment.trusted and source is TimeSource.NETWORK,
    )


def at_ms(beside: Instant, mono_ms: int) -> Instant:
    """Another instant of the same boot, on the same calendar claim."""
    wall_ms = beside.wall_ms + mono_ms - beside.mono_ms
    return Instant(boot=beside.boot, mono_ms=mono_ms, wall_ms=wall_ms, trusted=beside.trusted)


def at_least_ms(since: Instant, now: Now | Record) -> int:
    """How long ago something was, at least: for what an age permits.

    Across boots only two trusted calendars tell; otherwise it is this boot's age.
    """
    if since.boot == now.boot:
        return now.mono_ms - since.mono_ms
    if since.trusted and now.trusted:
        return max(now.mono_ms, now.wall_low_ms - since.wall_ms)
    return now.mono_ms


def at_most_ms(since: Instant, now: Now | Record) -> int | None:
    """How long ago something was, at most: for what an age forbids. None: nothing bounds it."""
    if since.boot == now.boot:
        return now.mono_ms - since.mono_ms
    high_ms = now.wall_high_ms if isinstance(now, Now) else now.wall_ms + CLAIM_MARGIN_MS
    if not since.trusted or not now.trusted or high_ms is None:
        return None
    return max(now.mono_ms, high_ms - since.wall_ms)


def elapsed_ms(since: Instant, until: Instant) -> int:
    """Milliseconds between two instants, also of two boots."""
    if since.boot == until.boot:
        return until.mono_ms - since.mono_ms
    # Another boot's clock says nothing here; the calendar's claim and this boot's age bound it.
    return max(until.mono_ms, until.wall_ms - since.wall_ms)


def paid_and_dark_since(received: Instant, dark: Instant | None, at: Instant) -> Instant:
    """Since when a consumer has been both paid and dark, seen from `at`: the later of the two."""
    if dark is None or elapsed_ms(received, at) <= elapsed_ms(dark, at):
        return received
    return dark


def with_one_more(restored: Restored, waited_ms: int | None, promise_ms: int) -> Restored:
    """The count with one more home; `waited_ms` is None where no proof of payment was known."""
    if waited_ms is None:
        return msgspec.structs.replace(restored, total=restored.total + 1)
    kept = waited_ms <= promise_ms
    return Restored(
        total=restored.total + 1,
        within_promise=restored.within_promise + kept,
        late=restored.late + (not kept),
        worst_ms=max(restored.worst_ms, waited_ms),
    )
