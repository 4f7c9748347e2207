"""Controls: traces that were tampered with, so that it is seen that the judge sees.

Each takes a sound trace of a real town and does to it what a faulty daemon would have done.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import replace

from tests.kills.judging import Fault, Held, Switch, Trace, judge
from tests.kills.wire import Frame

Tampers = Callable[[Trace], None]


def toothless(trace: Trace) -> list[str]:
    """The controls that the judge has let pass; none in a sound run."""
    assert not judge(trace).faults, "a control begins with a sound trace"
    return [fault for fault, tamper in CONTROLS.items() if fault not in _judged(trace, tamper)]


def _judged(trace: Trace, tamper: Tampers) -> set[Fault]:
    changed = copy(trace)
    changed.frames = [*trace.frames]
    changed.rows, changed.lives = [*trace.rows], [*trace.lives]
    tamper(changed)
    return judge(changed).kinds


def _written(trace: Trace) -> tuple[int, Frame, Switch]:
    return next(
        (at, frame, switch)
        for at, frame in enumerate(trace.frames)
        for switch in trace.switches
        if switch.written_by(frame) and frame.values == switch.closes
    )


def _write_twice(trace: Trace) -> None:
    at, frame, _ = _written(trace)
    trace.frames.insert(at + 1, replace(frame))


def _write_unread(trace: Trace) -> None:
    _, frame, switch = _written(trace)
    begun_ms = max(one.began_ms for one in trace.lives if one.began_ms <= frame.heard_ms)
    trace.frames = [
        one
        for one in trace.frames
        if not (switch.read_by(one) and begun_ms <= one.heard_ms <= frame.heard_ms)
    ]
    # It was read before that life, so it is not a second write without a read between.
    read = next(one for one in trace.frames if switch.read_by(one))
    trace.frames.insert(0, replace(read, heard_ms=begun_ms - 1))


def _lose_a_record(trace: Trace) -> None:
    del trace.rows[len(trace.rows) // 2]


def _change_a_record(trace: Trace) -> None:
    at = len(trace.rows) // 2
    row = trace.rows[at]
    trace.rows[at] = replace(row, content=row.content.replace(b'"trusted":', b'"trusted": '))


def _lose_the_acknowledged(trace: Trace) -> None:
    at = next(at for at, life in enumerate(trace.lives) if life.acknowledged)
    life = trace.lives[at]
    trace.lives[at] = replace(life, acknowledged=life.acknowledged | {"0" * 64})


def _hand_over_another(trace: Trace) -> None:
    trace.handed_over = [*trace.handed_over[:-1], b"{}"]


def _write_of_its_own_accord(trace: Trace) -> None:
    _, _, switch = _written(trace)
    known = (*trace.writes_known[switch.serial], trace.lives[-1].ended_ms)
    trace.writes_known = {**trace.writes_known, switch.serial: known}


def _close_though_held(trace: Trace) -> None:
    _, frame, switch = _written(trace)
    trace.holds = [*trace.holds, Held(switch.serial, frame.heard_ms - 2_000)]


def _leave_dark(trace: Trace) -> None:
    serial = next(iter(trace.paid - trace.held))
    trace.closed = {**trace.closed, serial: False}


def _light_unpaid(trace: Trace) -> None:
    trace.closed = dict.fromkeys(trace.closed, True)


def _miss_a_write(trace: Trace) -> None:
    del trace.frames[_written(trace)[0]]


CONTROLS: dict[Fault, Tampers] = {
    Fault.WRITTEN_TWICE: _write_twice,
    Fault.WRITTEN_UNREAD: _write_unread,
    Fault.WRITTEN_WITHOUT_INTENT: _write_of_its_own_accord,
    Fault.NUMBERS_BROKEN: _lose_a_record,
    Fault.CHAIN_BROKEN: _change_a_record,
    Fault.ACKNOWLEDGED_LOST: _lose_the_acknowledged,
    Fault.HANDED_OVER_DIFFERS: _hand_over_another,
    Fault.CLOSED_THOUGH_HELD: _close_though_held,
    Fault.PAID_AND_DARK: _leave_dark,
    Fault.LIT_UNPAID: _light_unpaid,
    Fault.LIT_THOUGH_HELD: _light_unpaid,
    Fault.WITNESS_MISSED: _miss_a_write,
}
"""What is done to a trace, by the fault that has to be found then."""
