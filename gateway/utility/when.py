"""Times as people write them: milliseconds since 1970, ISO 8601 with a zone, or a span.

Owns the reading and the showing of times at the command line. Must never guess a zone.
"""

import re
from datetime import UTC, datetime

OUR_DAYS_MS = range(1_000_000_000_000, 10_000_000_000_000)
"""September 2001 to 2286. A time before them is most likely one in seconds."""
_SPAN = re.compile(r"([0-9]{1,6})(min|h|d)")
_UNIT_MS = {"min": 60_000, "h": 3_600_000, "d": 86_400_000}


def parse_time(text: str) -> int:
    """Milliseconds UTC since 1970. Raises `ValueError` with what is wrong and the mend."""
    value = int(text) if text.isdecimal() and text.isascii() else _from_iso(text)
    if value not in OUR_DAYS_MS:
        raise ValueError(
            f"{text!r} is not a time of our days; give milliseconds since 1970, not seconds"
        )
    return value


def parse_span(text: str) -> int:
    """Milliseconds of a span such as 90min, 48h or 30d. Raises `ValueError`."""
    span = _SPAN.fullmatch(text)
    if span is None:
        raise ValueError(f"{text!r} is not a span; say 10min, 48h or 30d")
    return int(span[1]) * _UNIT_MS[span[2]]


def parse_time_or_span(text: str, since_ms: int) -> int:
    """A time, or a span such as 90min, 48h or 30d counted from `since_ms`. Raises `ValueError`."""
    return since_ms + parse_span(text) if _SPAN.fullmatch(text) else parse_time(text)


def show_time(value_ms: int) -> str:
    """ISO 8601 in UTC, with milliseconds where there are any; the number where it is no time."""
    if value_ms not in OUR_DAYS_MS:
        return str(value_ms)
    shown = datetime.fromtimestamp(value_ms / 1000, tz=UTC)
    return shown.isoformat(timespec="milliseconds" if value_ms % 1000 else "seconds")


def _from_iso(text: str) -> int:
    mend = "give milliseconds since 1970 or say 2026-11-19T14:02:00+05:30"
    try:
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a time; {mend}") from error
    if value.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; {mend}")
    since = value - datetime(1970, 1, 1, tzinfo=UTC)
    return round(since.total_seconds() * 1000)
