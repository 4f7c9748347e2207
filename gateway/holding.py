"""Holding: what waits in memory until it may go, or can go, to disk.

Owns the records of a gateway whose disk takes nothing, and the readings that are written down
together. Must never hold more than its bounds, nor anything that was claimed from outside: a
document that is not on disk is not believed.
"""

from collections.abc import Sequence

import msgspec

from gateway.core.fact import MeterSeen
from gateway.core.image import Degraded, Image
from gateway.core.model import Digest, Now
from gateway.core.noted import NotedReading, noted
from gateway.core.records import (
    Body,
    CauseRecorded,
    CloseEnded,
    CloseIntended,
    GraceGranted,
    HeadEndBack,
    HeadEndLost,
    PacingResumed,
    PacingStopped,
    Record,
    Stored,
    SupplyChanged,
    TaskEnded,
    TaskIntended,
    read_record,
)
from gateway.core.trust_records import JournalMended
from gateway.ports import Batch, NotWritten

RETRY_FIRST_MS = 2_000
RETRY_MAX_MS = 60_000
READINGS_TOGETHER_MS = 60_000
"""Readings wait so long at most for a record, or for each other."""
READINGS_MAX = 20_000
CARRIED = (
    SupplyChanged,
    CauseRecorded,
    GraceGranted,
    CloseIntended,
    CloseEnded,
    TaskIntended,
    TaskEnded,
    PacingStopped,
    PacingResumed,
    HeadEndLost,
    HeadEndBack,
)
"""What happened here, and so is told in another journal too; what documents say is in these."""


class Held:
    """Records in the order in which they were made, while the disk takes none."""

    def __init__(self, failure: NotWritten, now: Now, held_max: int) -> None:
        self.records: list[Stored] = []
        self.retry_ms = now.mono_ms + RETRY_FIRST_MS
        """When (boot clock) the disk is tried again."""
        self._wait_ms = RETRY_FIRST_MS
        self._trouble = str(failure.trouble)
        self._since_ms = now.mono_ms
        self._held_max = held_max
        self._checkpoint_due = False
        self._remember = False
        self._forget: Digest | None = None

    @property
    def seen(self) -> Degraded:
        """What everybody is told of it."""
        return Degraded(
            trouble=self._trouble,
            since_ms=self._since_ms,
            held=len(self.records),
            full=len(self.records) >= self._held_max,
        )

    def take(self, batch: Batch) -> None:
        """Hold what a tick would have written down."""
        assert not batch.documents, "what is not on disk is not believed"
        self.records += batch.records
        self._checkpoint_due |= batch.checkpoint is not None
        self._remember |= batch.marks is not None
        self._forget = batch.forget or self._forget

    def told(self, now: Now) -> Body:
        """The record that follows those that were held."""
        lasted_ms = now.mono_ms - self._since_ms
        return JournalMended(trouble=self._trouble, held=len(self.records), lasted_ms=lasted_ms)

    def batch(
        self, last: Sequence[Stored], image: Image, readings: tuple[NotedReading, ...]
    ) -> Batch:
        """All of it and the `last`, as it stands after them."""
        return Batch(
            records=(*self.records, *last),
            checkpoint=msgspec.json.encode(image.kept) if self._checkpoint_due else None,
            marks=image.marks if self._remember else None,
            readings=readings,
            forget=self._forget,
        )

    def failed(self, failure: NotWritten, now: Now) -> None:
        """The disk was tried and still takes nothing."""
        self._trouble = str(failure.trouble)
        self._wait_ms = min(2 * self._wait_ms, RETRY_MAX_MS)
        self.retry_ms = now.mono_ms + self._wait_ms


def carried(stored: list[Stored]) -> tuple[Record, ...]:
    """Of what one journal did not take, what the next one has to tell."""
    records = (read_record(one.content) for one in stored)
    return tuple(record for record in records if isinstance(record.body, CARRIED))


class Notebook:
    """One reading of each meter and period, until they are written down together."""

    def __init__(self, every_ms: int) -> None:
        """Periods follow the calendar; 0: nothing is noted."""
        self._every_ms = every_ms
        self._periods: dict[str, int] = {}
        self._waiting: list[NotedReading] = []
        self._since_ms = 0

    def take(self, seen: MeterSeen, now: Now) -> None:
        """Note what was read, where its period has no reading yet."""
        if self._every_ms == 0 or seen.reading.values_ms is None:
            return
        one = noted(seen.serial, seen.reading, now)
        period = one.wall_ms // self._every_ms
        if self._periods.get(seen.serial) == period:
            return
        self._periods[seen.serial] = period
        if not self._waiting:
            self._since_ms = now.mono_ms
        self._waiting.append(one)
        del self._waiting[:-READINGS_MAX]

    def due_ms(self) -> int | None:
        """When (boot clock) they are written down, whatever else is; None: there are none."""
        return self._since_ms + READINGS_TOGETHER_MS if self._waiting else None

    def waiting(self, now: Now, *, along: bool) -> tuple[NotedReading, ...]:
        """Those to write now: all, where it is time or they go `along` with something."""
        due_ms = self.due_ms()
        if due_ms is None or not (along or now.mono_ms >= due_ms):
            return ()
        return tuple(self._waiting)

    def written(self) -> None:
        """All of them are on disk."""
        self._waiting.clear()
