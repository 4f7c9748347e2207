"""The fleet as its gateways tell of it: one row each, who needs somebody first.

Owns what is known of every gateway from `up/status`, and its readable form. Must never show as fine
what was not heard, or not lately: what a gateway that is gone said last is not what is.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

import msgspec

from gateway.console.words import duration
from gateway.core.fact import Outcome
from gateway.core.model import Value

OLD_MS = 180_000
"""A gateway that is there says so every minute: this one has missed it three times."""
COLUMNS_MAX = 100
NAME_MAX = 20
HEAD = (
    f"{'gateway':<{NAME_MAX}} {'online':<13} {'list':>8} {'of':>11} {'waiting':>7} "
    f"{'longest':>11} {'failed':>6} {'outbox':>7} {'clock':<5}"
)
UNSUCCESSFUL = frozenset({Outcome.FAILED, Outcome.UNKNOWN, Outcome.REFUSED})


class Online(StrEnum):
    """Whether a gateway is there, as far as is known; in the order in which they need somebody."""

    NEVER_SEEN = "NEVER SEEN"
    """The broker holds nothing of it."""
    UNREADABLE = "UNREADABLE"
    """Something else than a status stands on its topic."""
    GONE = "GONE"
    OLD = "OLD"
    """It should have said something since."""
    YES = "yes"


class _List(Value):
    seq: int
    age_ms: int


class _Dark(Value):
    last_outcome: str | None = None


class _Said(Value):
    """The part of `up/status` that is shown; a will has the first two only."""

    gateway: str
    online: bool
    wall_ms: int | None = None
    list: _List | None = None
    waiting: int = 0
    longest_wait_ms: int = 0
    outbox: int = 0
    clock_trusted: bool | None = None
    dark: tuple[_Dark, ...] = ()
    alarms: tuple[str, ...] = ()


class Row(Value):
    """One gateway. `age_ms`: of what is told; None where nothing is, or its age is not known.

    What stands behind `age_ms` is None where it was never heard; of a gateway that is gone or old
    it is what it said last.
    """

    gateway: str
    online: Online
    age_ms: int | None = None
    list_seq: int | None = None
    list_age_ms: int | None = None
    waiting: int | None = None
    longest_wait_ms: int | None = None
    failed: int | None = None
    outbox: int | None = None
    clock_trusted: bool | None = None
    alarms: tuple[str, ...] = ()


class _Known:
    """What was heard of one gateway. Seconds are the event loop's."""

    def __init__(self) -> None:
        self.online = Online.NEVER_SEEN
        self.said: _Said | None = None
        self.old_ms: int | None = None
        """How old it was when it was heard."""
        self.heard_s = 0.0


class Fleet:
    """What is known of the gateways; those that are `expected` are shown before they are heard."""

    def __init__(self, expected: Iterable[str] = ()) -> None:
        self._known = {gateway: _Known() for gateway in expected}
        self._only = frozenset(self._known)

    @property
    def complete(self) -> bool:
        """Whether something was heard of everybody who is expected."""
        return bool(self._only) and all(
            known.online is not Online.NEVER_SEEN for known in self._known.values()
        )

    def hear(
        self, gateway: str, payload: bytes, *, retained: bool, at_s: float, wall_ms: int
    ) -> bool:
        """Take in what stands on the status topic of a gateway. Returns whether it is watched."""
        if self._only and gateway not in self._only:
            return False
        known = self._known.setdefault(gateway, _Known())
        known.heard_s = at_s
        try:
            said = msgspec.json.decode(payload, type=_Said)
        except msgspec.DecodeError:
            known.online, known.old_ms = Online.UNREADABLE, None
            return True
        known.online = Online.YES if said.online else Online.GONE
        # Only the calendars can tell how long the broker has kept it.
        known.old_ms = 0
        if retained:
            known.old_ms = None if said.wall_ms is None else max(0, wall_ms - said.wall_ms)
        if said.online or known.said is None:
            known.said = said
        return True

    def row(self, gateway: str, at_s: float) -> Row:
        """What is known of one gateway now."""
        known = self._known[gateway]
        age_ms = None
        if known.old_ms is not None:
            age_ms = known.old_ms + round(1000 * (at_s - known.heard_s))
        online = known.online
        if online is Online.YES and (age_ms is None or age_ms > OLD_MS):
            online = Online.OLD
        said = known.said
        if said is None or said.wall_ms is None:
            return Row(gateway=gateway, online=online, age_ms=age_ms)
        return Row(
            gateway=gateway,
            online=online,
            age_ms=age_ms,
            list_seq=None if said.list is None else said.list.seq,
            list_age_ms=None if said.list is None else said.list.age_ms,
            waiting=said.waiting,
            longest_wait_ms=said.longest_wait_ms,
            failed=sum(dark.last_outcome in UNSUCCESSFUL for dark in said.dark),
            outbox=said.outbox,
            clock_trusted=said.clock_trusted,
            alarms=said.alarms,
        )

    def rows(self, at_s: float) -> list[Row]:
        """Every gateway, who needs somebody first."""
        return sorted((self.row(gateway, at_s) for gateway in self._known), key=_need)


def _need(row: Row) -> tuple[object, ...]:
    return (
        list(Online).index(row.online),
        -len(row.alarms),
        -(row.failed or 0),
        -(row.longest_wait_ms or 0),
        -(row.waiting or 0),
        row.gateway,
    )


def table(rows: Sequence[Row]) -> Iterator[str]:
    """The rows for a person, none wider than `COLUMNS_MAX`; the alarms stand below their row."""
    yield HEAD
    for row in rows:
        yield _line(row).rstrip()
        if row.alarms:
            yield from _wrapped(row.alarms)


def _line(row: Row) -> str:
    name = row.gateway if len(row.gateway) <= NAME_MAX else f"{row.gateway[: NAME_MAX - 1]}~"
    online = str(row.online)
    if row.online is Online.OLD and row.age_ms is not None:
        online = f"OLD {_short(row.age_ms)}"
    clock = {None: "-", True: "good", False: "BAD"}[row.clock_trusted]
    return (
        f"{name:<{NAME_MAX}} {online:<13} {_cell(row.list_seq):>8} {_age(row.list_age_ms):>11} "
        f"{_cell(row.waiting):>7} {_age(row.longest_wait_ms):>11} {_cell(row.failed):>6} "
        f"{_cell(row.outbox):>7} {clock:<5}"
    )


def _wrapped(alarms: tuple[str, ...]) -> Iterator[str]:
    line = "  ALARM"
    for alarm in alarms:
        if len(line) + 1 + len(alarm) > COLUMNS_MAX:
            yield line
            line = "       "
        line += f" {alarm}"
    yield line


def _cell(number: int | None) -> str:
    return "-" if number is None else str(number)


def _age(ms: int | None) -> str:
    return "-" if ms is None else _short(ms)


def _short(ms: int) -> str:
    """A duration in at most nine characters: from 100 days on, the days alone."""
    days = ms // 86_400_000
    return duration(ms) if days == 0 else f"{days} d"
