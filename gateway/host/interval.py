"""The interval in which the time lies: from what is certain, and from whoever answered for it.

Owns how bounds age on the boot clock, which source is believed, and which names the result. Must
never ask the time: what the machine said is an argument (`clock` asks it).
"""

from collections.abc import Iterator

import msgspec

from gateway.core.kept import TimeBound
from gateway.core.model import Now, TimeSource, Value
from gateway.core.sequence import ECHO_AGE_MAX_MS

DRIFT_PPM = 200
"""How wrong the boot clock may run: a crystal on a hot pole has 100, an ageing one more."""
JUMP_MAX_MS = 400 * 86_400_000
"""How far beyond what is certain a calendar is believed; more takes a time document."""
NETWORK_MARGIN_MS = 16_000
"""The kernel calls a clock synchronised as long as it may be off by 16 s (NTP_PHASE_LIMIT)."""
RTC_MARGIN_MS = 300_000
"""A DS3231 drifts 2 ppm at most (data sheet), 63 s a year: good for more than four years."""


class Bounds(Value):
    """Between which times the present lies, in the word of one source."""

    source: TimeSource
    low_ms: int
    high_ms: int


class Heard(Value):
    """What the machine says at one instant.

    `mono_ms` is the boot clock, `claimed_ms` the calendar; `disciplined`: a time daemon stands
    behind that; `rtc_ms`: the battery clock, where it is fit to be believed.
    """

    mono_ms: int
    claimed_ms: int
    disciplined: bool = False
    rtc_ms: int | None = None


class Since(Value):
    """A time that had certainly come at an instant of the boot clock."""

    low_ms: int
    mono_ms: int

    def at(self, mono_ms: int) -> int:
        """What is certain at another instant: the boot clock may have run fast."""
        elapsed_ms = mono_ms - self.mono_ms
        return self.low_ms + elapsed_ms - drift_ms(elapsed_ms)


class Reckoning(Value):
    """What is known of the time beside what the machine says.

    `told` is what records and documents say; `certain` is at least that, and what trusted sources
    have said since.
    """

    boot: str
    build_ms: int
    told: Since
    certain: Since
    bound: TimeBound | None = None


def reckoning(boot: str, build_ms: int, mono_ms: int) -> Reckoning:
    """What is known at first: that it was built."""
    built = Since(low_ms=build_ms, mono_ms=mono_ms)
    return Reckoning(boot=boot, build_ms=build_ms, told=built, certain=built)


def raised(known: Reckoning, low_ms: int, mono_ms: int) -> Reckoning:
    """Somebody says that it is certainly not before this; what is known already is no news.

    Nor does it move what calendars are measured by: one that lies could climb on its own word.
    """
    if low_ms <= known.certain.at(mono_ms):
        return known
    since = Since(low_ms=low_ms, mono_ms=mono_ms)
    return msgspec.structs.replace(known, told=since, certain=since)


def reset(known: Reckoning, low_ms: int, mono_ms: int) -> Reckoning:
    """Nothing counts but this, and the day of the build."""
    since = Since(low_ms=max(low_ms, known.build_ms), mono_ms=mono_ms)
    return msgspec.structs.replace(known, told=since, certain=since)


def bounded(known: Reckoning, bound: TimeBound | None) -> Reckoning:
    """A time document says between which times an instant of this boot lay; None: none does."""
    ours = bound if bound is not None and bound.boot == known.boot else None
    return msgspec.structs.replace(known, bound=ours)


def present(known: Reckoning, heard: Heard) -> tuple[Now, Reckoning]:
    """The present, and what is known henceforth: what a trusted source says once stays certain."""
    mono_ms = heard.mono_ms
    low_ms, high_ms, source = interval(
        known.certain.at(mono_ms),
        known.told.at(mono_ms) + JUMP_MAX_MS,
        *_said(known.bound, heard),
    )
    now = Now(
        mono_ms=mono_ms,
        boot=known.boot,
        wall_ms=_within(heard.claimed_ms, low_ms, high_ms),
        wall_low_ms=low_ms,
        wall_high_ms=high_ms,
        source=source,
    )
    if source is not TimeSource.NONE:
        since = Since(low_ms=low_ms, mono_ms=mono_ms)
        known = msgspec.structs.replace(known, certain=since)
    return now, known


def interval(
    low_ms: int, believed_max_ms: int, *said: Bounds
) -> tuple[int, int | None, TimeSource]:
    """The bounds of the present and who answers for them; `said` is in order, the best first.

    `low_ms` is certain; a calendar that begins after `believed_max_ms` is not believed: a wrong
    server would make every receipt look expired for ever. Who contradicts what is certain, or one
    before him, is left aside.
    """
    high_ms: int | None = None
    best = TimeSource.NONE
    for one in said:
        too_far = one.source is not TimeSource.DOCUMENT and one.low_ms > believed_max_ms
        after = high_ms is not None and one.low_ms > high_ms
        if too_far or after or one.high_ms < low_ms:
            continue
        low_ms = max(low_ms, one.low_ms)
        high_ms = one.high_ms if high_ms is None else min(high_ms, one.high_ms)
        best = one.source if best is TimeSource.NONE else best
    return low_ms, high_ms, best


def drift_ms(elapsed_ms: int) -> int:
    """By how much the boot clock may be wrong after so long, rounded up."""
    return -(-elapsed_ms * DRIFT_PPM // 1_000_000)


def _said(bound: TimeBound | None, heard: Heard) -> Iterator[Bounds]:
    if heard.disciplined:
        yield _around(heard.claimed_ms, TimeSource.NETWORK, NETWORK_MARGIN_MS)
    if bound is not None:
        elapsed_ms = heard.mono_ms - bound.mono_ms
        # The age of its echo, by which core bounded it from above, was the boot clock's word, too.
        slow_ms = drift_ms(elapsed_ms + ECHO_AGE_MAX_MS)
        yield Bounds(
            source=TimeSource.DOCUMENT,
            low_ms=bound.low_ms + elapsed_ms - drift_ms(elapsed_ms),
            high_ms=bound.high_ms + elapsed_ms + slow_ms,
        )
    rtc_ms = heard.rtc_ms
    if rtc_ms is not None and abs(heard.claimed_ms - rtc_ms) <= RTC_MARGIN_MS:
        # Where the two disagree somebody has set one of them: which one, nobody knows.
        yield _around(rtc_ms, TimeSource.RTC, RTC_MARGIN_MS)


def _around(at_ms: int, source: TimeSource, margin_ms: int) -> Bounds:
    return Bounds(source=source, low_ms=at_ms - margin_ms, high_ms=at_ms + margin_ms)


def _within(claimed_ms: int, low_ms: int, high_ms: int | None) -> int:
    """The calendar's claim, or the nearest time to it that it can be."""
    at_least_ms = max(claimed_ms, low_ms)
    return at_least_ms if high_ms is None else min(at_least_ms, high_ms)
