"""The judge: what a killed daemon must not have done, seen by foreign eyes.

Nothing of the product is asked: the wire's witness says which request reached which meter when, the
journal's rows are read as SQLite and JSON, their chain is computed anew, and the broker and the
local socket have told what was acknowledged.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tests.kills.wire import Frame

CHAIN_START = bytes(32)
ON_ITS_WAY_MS = 1_000
"""What had passed every guard when the hold came reaches the meter within this time."""
INTENTS = {"close_intended": "close", "task_intended": "number"}
ENDS = {"close_ended": "close", "task_ended": "number"}


class Fault(StrEnum):
    """What must not be found."""

    NUMBERS_BROKEN = "NUMBERS_BROKEN"
    CHAIN_BROKEN = "CHAIN_BROKEN"
    ACKNOWLEDGED_LOST = "ACKNOWLEDGED_LOST"
    HANDED_OVER_DIFFERS = "HANDED_OVER_DIFFERS"
    """The head end holds other records than the journal."""
    WRITTEN_UNREAD = "WRITTEN_UNREAD"
    """A switch was written in a life that had not read it yet."""
    WRITTEN_TWICE = "WRITTEN_TWICE"
    """A switch was written twice without a read between."""
    WRITTEN_WITHOUT_INTENT = "WRITTEN_WITHOUT_INTENT"
    INTENT_NOT_READ = "INTENT_NOT_READ"
    """An intent without outcome was ended without reading its meter."""
    INTENT_NEVER_ENDED = "INTENT_NEVER_ENDED"
    CLOSED_THOUGH_HELD = "CLOSED_THOUGH_HELD"
    PAID_AND_DARK = "PAID_AND_DARK"
    LIT_UNPAID = "LIT_UNPAID"
    LIT_THOUGH_HELD = "LIT_THOUGH_HELD"
    WITNESS_MISSED = "WITNESS_MISSED"
    """The line knows of other writes than the witness: the judge is not to be believed."""
    ENDED = "ENDED"
    """The daemon ended by itself."""
    SILENT = "SILENT"
    """What was to come about never did."""
    TRACEBACK = "TRACEBACK"


@dataclass(frozen=True)
class Switch:
    """Where a meter's load switch is on the wire, by the maps of its maker."""

    serial: str
    write: tuple[int, int, int]
    """Unit, function, address."""
    read: tuple[int, int, int]
    closes: tuple[int, ...]
    """The values that close it."""

    def written_by(self, frame: Frame) -> bool:
        """Whether a frame changes it."""
        unit, function, address = self.write
        return frame.unit == unit and frame.function == function and frame.covers(address)

    def read_by(self, frame: Frame) -> bool:
        """Whether a frame says where it stands."""
        unit, function, address = self.read
        there = frame.unit == unit and frame.function == function
        return there and frame.good and frame.covers(address)


@dataclass(frozen=True)
class Row:
    """One record as it lies in the file."""

    number: int
    chain: bytes
    content: bytes

    @property
    def plain(self) -> dict[str, Any]:
        """What it says."""
        plain: dict[str, Any] = json.loads(self.content)
        return plain


@dataclass(frozen=True)
class Life:
    """One process: when it began, when it was gone, what the journal then held."""

    moment: str
    began_ms: int
    ended_ms: int
    rows: int
    chain: bytes
    acknowledged: frozenset[str]
    """In this life: of a document the digests of payload and whole, of a tag `hold:SERIAL` or
    `release:SERIAL`."""


@dataclass(frozen=True)
class Held:
    """A hold: from the instant when it was acknowledged until somebody asked for its end."""

    serial: str
    from_ms: int
    until_ms: int | None = None


@dataclass
class Trace:
    """What was seen of one town, from its first daemon to its last."""

    switches: Sequence[Switch]
    frames: list[Frame]
    rows: list[Row]
    lives: list[Life]
    handed_over: list[bytes]
    """What the head end holds."""
    holds: list[Held]
    closed: dict[str, bool]
    """By serial, at the end: where the contact really is."""
    paid: frozenset[str]
    held: frozenset[str]
    """Serials, at the end."""
    opened_under_hold: frozenset[str]
    """Those of them that somebody has opened since."""
    writes_known: dict[str, tuple[int, ...]]
    """When (boot clock) each meter has got a write, by what the line itself knows."""
    log: str = ""


@dataclass
class Verdict:
    """What was found in one town."""

    kills: int = 0
    moments: Counter[str] = field(default_factory=Counter)
    looked_at: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[Fault, str]] = field(default_factory=list)
    controls: int = 0
    """Tampered traces in which the judge has found what was done."""
    toothless: list[str] = field(default_factory=list)
    """What it has not found."""

    @property
    def kinds(self) -> set[Fault]:
        """The kinds of faults that were found."""
        return {fault for fault, _ in self.faults}

    def add(self, other: "Verdict") -> None:
        """Take up what was found in another town."""
        self.kills += other.kills
        self.moments += other.moments
        self.looked_at += other.looked_at
        self.faults += other.faults
        self.controls += other.controls
        self.toothless += other.toothless


def judge(trace: Trace) -> Verdict:
    """Everything that is wrong with a trace."""
    verdict = Verdict(kills=len(trace.lives) - 1)
    verdict.moments.update(life.moment for life in trace.lives[:-1])
    said = (_rows, _acknowledgements, _handed_over, _wire, _intents, _holds, _ending)
    for part in said:
        verdict.faults += part(trace, verdict.looked_at)
    if "Traceback" in trace.log:
        at = trace.log.index("Traceback")
        verdict.faults.append((Fault.TRACEBACK, trace.log[at : at + 2_000]))
    return verdict


Found = Iterator[tuple[Fault, str]]


def unbroken(rows: Sequence[Row]) -> Found:
    """What is wrong with the numbers and the chain of a journal."""
    chain = CHAIN_START
    for number, row in enumerate(rows, start=1):
        if row.number != number or row.plain["number"] != number:
            yield Fault.NUMBERS_BROKEN, f"record {row.number} stands where {number} should"
            return
        chain = hashlib.sha256(chain + row.content).digest()
        if chain != row.chain:
            yield Fault.CHAIN_BROKEN, f"at record {number}"
            return


def _rows(trace: Trace, looked_at: Counter[str]) -> Found:
    looked_at["records"] += len(trace.rows)
    yield from unbroken(trace.rows)
    for life in trace.lives:
        if life.rows and (
            life.rows > len(trace.rows) or trace.rows[life.rows - 1].chain != life.chain
        ):
            yield Fault.CHAIN_BROKEN, f"record {life.rows}, there after {life.moment}, is another"


def _acknowledgements(trace: Trace, looked_at: Counter[str]) -> Found:
    for life in trace.lives:
        there: set[str] = set()
        for row in trace.rows[: life.rows]:
            body = row.plain["body"]
            there |= {str(body.get("digest"))}
            if body["type"] == "tag_placed":
                there |= {f"hold:{body['target']}"}
            if body["type"] == "tag_removed":
                there |= {f"release:{body['target']}"}
        for one in life.acknowledged:
            looked_at["acknowledgements"] += 1
            if there.isdisjoint(one.split()):
                yield Fault.ACKNOWLEDGED_LOST, f"{one} after {life.moment}"


def _handed_over(trace: Trace, looked_at: Counter[str]) -> Found:
    looked_at["handed over"] += len(trace.handed_over)
    ours = [row.content for row in trace.rows[: len(trace.handed_over)]]
    if ours != trace.handed_over:
        yield Fault.HANDED_OVER_DIFFERS, f"in the first {len(trace.handed_over)} records"


def _wire(trace: Trace, looked_at: Counter[str]) -> Found:
    begun_ms = [life.began_ms for life in trace.lives]
    for switch in trace.switches:
        writes, read_ms, read_since = 0, -1, False
        for frame in trace.frames:
            if switch.read_by(frame):
                read_ms, read_since = frame.heard_ms, True
            if not switch.written_by(frame):
                continue
            writes += 1
            where = f"{switch.serial} at {frame.heard_ms} ms"
            if not read_since:
                yield Fault.WRITTEN_TWICE if writes > 1 else Fault.WRITTEN_UNREAD, where
            elif read_ms < max(at_ms for at_ms in begun_ms if at_ms <= frame.heard_ms):
                yield Fault.WRITTEN_UNREAD, where
            read_since = False
        looked_at["writes"] += writes
        known = len(trace.writes_known[switch.serial])
        if writes != known:
            yield Fault.WITNESS_MISSED, f"{switch.serial}: {writes} heard, {known} made"


def _intents(trace: Trace, looked_at: Counter[str]) -> Found:
    intended: list[tuple[str, str, int, int, int | None, int]] = []
    ends: dict[tuple[str, int], tuple[int, int]] = {}
    plain = [row.plain for row in trace.rows]
    for record in plain:
        body = record["body"]
        if (key := ENDS.get(body["type"])) and body[key] is not None:
            ends[key, body[key]] = record["number"], record["mono_ms"]
    for record in plain:
        body = record["body"]
        if key := INTENTS.get(body["type"]):
            number, mono_ms = ends.get((key, body[key]), (0, None))
            made = record["number"], record["mono_ms"]
            intended.append((body["meter"], f"{key} {body[key]}", *made, mono_ms, number))
    switches = {switch.serial: switch for switch in trace.switches}
    for serial, name, _, _, end_ms, number in intended:
        if end_ms is None:
            yield Fault.INTENT_NEVER_ENDED, f"{name} of {serial}"
        elif number:
            looked_at["intents"] += 1
    yield from _taken_up(trace, intended, switches, looked_at)
    for switch in trace.switches:
        spans = [
            (from_ms, end_ms)
            for serial, _, _, from_ms, end_ms, _ in intended
            if serial == switch.serial
        ]
        for at_ms in trace.writes_known[switch.serial]:
            if not any(
                from_ms <= at_ms and (end_ms is None or at_ms <= end_ms)
                for from_ms, end_ms in spans
            ):
                yield Fault.WRITTEN_WITHOUT_INTENT, f"{switch.serial} at {at_ms} ms"


def _taken_up(
    trace: Trace,
    intended: Sequence[tuple[str, str, int, int, int | None, int]],
    switches: dict[str, Switch],
    looked_at: Counter[str],
) -> Found:
    for life, after in zip(trace.lives, trace.lives[1:], strict=False):
        for serial, name, begun, _, _, ended in intended:
            if begun > life.rows or ended <= life.rows or ended > after.rows:
                continue
            looked_at["intents taken up"] += 1
            until_ms = after.ended_ms
            frames = (one for one in trace.frames if after.began_ms <= one.heard_ms < until_ms)
            if not any(switches[serial].read_by(frame) for frame in frames):
                yield Fault.INTENT_NOT_READ, f"{name} of {serial} after {life.moment}"


def _holds(trace: Trace, looked_at: Counter[str]) -> Found:
    switches = {switch.serial: switch for switch in trace.switches}
    for hold in trace.holds:
        looked_at["holds"] += 1
        switch = switches[hold.serial]
        for frame in trace.frames:
            late = hold.until_ms is not None and frame.heard_ms >= hold.until_ms
            if late or frame.heard_ms < hold.from_ms + ON_ITS_WAY_MS:
                continue
            if switch.written_by(frame) and frame.values == switch.closes:
                yield Fault.CLOSED_THOUGH_HELD, f"{hold.serial} at {frame.heard_ms} ms"


def _ending(trace: Trace, looked_at: Counter[str]) -> Found:
    for serial, closed in trace.closed.items():
        looked_at["meters at the end"] += 1
        if serial in trace.held:
            if closed and serial in trace.opened_under_hold:
                yield Fault.LIT_THOUGH_HELD, serial
        elif serial in trace.paid and not closed:
            yield Fault.PAID_AND_DARK, serial
        elif serial not in trace.paid and closed:
            yield Fault.LIT_UNPAID, serial
