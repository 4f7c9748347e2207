"""How long a paid consumer waited: the one way of counting it.

Owns the arithmetic between instants of one or of several boots, and the count of homes that came
back. Must never look at documents or meters: it is told which instants count.
"""

import msgspec

from gateway.core.fact import Record
from gateway.core.kept import Instant, Restored
from gateway.core.model import Now


def instant_of(moment: Now | Record) -> Instant:
    """The present, or when a record was made, as a point from which durations are counted."""
    return Instant(boot=moment.boot, mono_ms=moment.mono_ms, wall_ms=moment.wall_ms)


def at_ms(beside: Instant, mono_ms: int) -> Instant:
    """Another instant of the same boot, on the same calendar claim."""
    wall_ms = beside.wall_ms + mono_ms - beside.mono_ms
    return Instant(boot=beside.boot, mono_ms=mono_ms, wall_ms=wall_ms)


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
