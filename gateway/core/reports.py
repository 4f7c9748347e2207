"""Reports: what the bus has read and done becomes records.

Owns which reading and which outcome is worth a record. Must never judge an outcome: it is taken
down as the bus saw it.
"""

from typing import Any

from gateway.core.fact import MeterSeen, Move, SwitchReport
from gateway.core.image import Image
from gateway.core.model import Account, DtId, Meter, SupplyState
from gateway.core.records import Body, CauseRecorded, CloseEnded, SupplyChanged, TaskEnded

BY_METER = "METER"
"""Who says what opened a switch, where nobody does by name."""


def admit_report(report: SwitchReport, image: Image) -> Body | None:
    """The record of a command's outcome; None where no such command is open (a doubled report)."""
    if report.move is Move.CLOSE:
        closing = image.kept.closings.get(report.serial)
        if closing is None or closing.close != report.number:
            return None
        return CloseEnded(close=report.number, account=closing.account, **_told(report, image))
    task = image.kept.tasks.get(report.serial)
    if task is None or task.number != report.number:
        return None
    return TaskEnded(
        number=report.number,
        move=report.move,
        order=task.order,
        account=task.account,
        **_told(report, image),
    )


def admit_reading(seen: MeterSeen, image: Image) -> Body | None:
    """The record of a change of supply state, or of its cause; None where nothing is news."""
    meter = image.roster.get(seen.serial)
    after = seen.reading.state
    if meter is None or after is SupplyState.UNKNOWN or image.overtaken(seen):
        return None
    known = image.kept.supply.get(seen.serial)
    before = SupplyState.UNKNOWN if known is None else known.state
    if before is after:
        return _late_cause(seen, meter, image)
    last = image.seen.get(seen.serial)
    return SupplyChanged(
        serial=seen.serial,
        account=Account(meter.account),
        before=before,
        after=after,
        before_seen_ms=last.mono_ms if last is not None and last.state is before else None,
        cause=None if after is SupplyState.CONNECTED else seen.reading.cause,
    )


def _late_cause(seen: MeterSeen, meter: Meter, image: Image) -> Body | None:
    """The record of what opened a switch, where the meter could only be asked later."""
    cause = seen.reading.cause
    opened = seen.reading.state is not SupplyState.CONNECTED
    if cause is None or not opened or meter.serial in image.kept.causes:
        return None
    return CauseRecorded(
        serial=seen.serial,
        account=Account(meter.account),
        cause=cause,
        by=BY_METER,
        reason="read from it",
    )


def _told(report: SwitchReport, image: Image) -> dict[str, Any]:
    meter, reading = image.roster.get(report.serial), report.reading
    return {
        "meter": report.serial,
        "dt": DtId("" if meter is None else meter.dt),
        "outcome": report.outcome,
        "verdict": report.verdict,
        "why": report.why,
        "writes": report.writes,
        "forced": report.forced,
        "written_ms": report.written_ms,
        "verified_ms": report.verified_ms,
        "state": SupplyState.UNKNOWN if reading is None else reading.state,
        "load_mv": None if reading is None else reading.load_mv,
        "supply_mv": None if reading is None else reading.supply_mv,
        "current_ma": None if reading is None else reading.current_ma,
    }
