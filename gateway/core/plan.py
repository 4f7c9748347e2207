"""The plan: what follows from the image now.

Owns which closes, openings and releases are begun, taken up again or given up, in which order, and
when to look again. Must never act or remember: it looks at what is, so a lost or doubled message
costs one tick, not a consumer. Whether a switch may be closed is asked of `reconnection`, whether
it may be opened of `disconnection`, nowhere else.
"""

import msgspec

from gateway.core.changes import apply
from gateway.core.disconnection import OpenVerdict, may_open
from gateway.core.due import due
from gateway.core.errands import unconfirmed
from gateway.core.fact import Move, Outcome, SwitchCommand, Why
from gateway.core.grace import cut_as_of, may_be_given, silent_ms
from gateway.core.image import Image
from gateway.core.kept import Closing, Task
from gateway.core.model import Account, Brake, DtId, Meter, Now, Serial, Value
from gateway.core.pacing import Pacer
from gateway.core.queue import in_turn
from gateway.core.reconnection import Verdict, may_close
from gateway.core.records import (
    Body,
    CloseEnded,
    CloseIntended,
    GraceGranted,
    TaskEnded,
    TaskIntended,
    record_of,
)
from gateway.core.standing import Standing
from gateway.core.watch import watched

WRITES_MAX = 2
"""Writes for one close: a second only after the first brought no answer and a read said open."""
TOLD = frozenset({Brake.UNDER_WAY, Brake.FAILURES, Brake.UNDERVOLTAGE})
"""What ends by something that is seen or written down, not by the time alone."""
OPENING_WRITES_MAX = 1
"""An opening that did not succeed is the head end's to ask for again."""


class Plan(Value):
    """What to write down, what to do once it is on disk, and when to look again (boot clock)."""

    bodies: tuple[Body, ...] = ()
    commands: tuple[SwitchCommand, ...] = ()
    deadline_ms: int | None = None


def plan(image: Image, now: Now) -> Plan:
    """Everything that is due. Pure; equal input gives an equal plan."""
    draft = _Draft(image, now)
    for body in watched(image, now, draft.look_again):
        draft.write(body)
    for serial, closing in sorted(draft.image.kept.closings.items()):
        if closing.close not in image.in_flight:
            draft.take_up_close(serial, closing)
    tasks = draft.image.kept.tasks.values()
    for task in sorted(tasks, key=lambda one: (one.number is None, one.meter)):
        if not draft.do_task(task):
            break  # its turn has not come, and so it is for those behind it
    draft.begin_closes()
    for ended in (
        *unconfirmed(draft.image, now, draft.look_again),
        *due(draft.image, now, draft.look_again),
    ):
        draft.write(ended)
    return Plan(
        bodies=tuple(draft.bodies),
        commands=tuple(draft.commands),
        deadline_ms=min(draft.deadlines, default=None),
    )


class _Draft:
    """A plan while it is made: each body is applied, so that what follows is judged with it."""

    def __init__(self, image: Image, now: Now) -> None:
        self.image = image
        self.now = now
        self.bodies: list[Body] = []
        self.commands: list[SwitchCommand] = []
        self.deadlines: list[int] = []

    def write(self, body: Body) -> None:
        """Take down a body."""
        self.bodies.append(body)
        self.image = apply(self.image, record_of(self.image.number + 1, body, self.now), None)

    def look_again(self, at_ms: int) -> None:
        """Something changes by itself at that instant (boot clock)."""
        self.deadlines.append(at_ms)

    def take_up_close(self, serial: str, closing: Closing) -> None:
        """A close without an outcome, of a process that is gone."""
        meter = self.image.roster.get(serial)
        if meter is None:
            # The roster changed while the outcome was unknown: the meter left it.
            self.write(_given_up(serial, closing))
            return
        self.write(
            CloseIntended(
                close=closing.close,
                account=closing.account,
                meter=Serial(serial),
                dt=DtId(meter.dt),
                attempt=closing.attempt + 1,
                standing_n=closing.standing_n,
                standing_digest=closing.standing_digest,
                grace=closing.grace,
            )
        )
        # How many writes were sent before is not known, so this one only reads: a switch that
        # still is open gets a close of its own.
        self._command(closing.close, Move.CLOSE, meter, resumed=True, writes_max=0)

    def do_task(self, task: Task) -> bool:
        """An opening or a release that an order asked for; False: its turn has not come."""
        if task.number is not None:
            if task.number not in self.image.in_flight:
                self._take_up_task(task, task.number)
            return True
        if task.meter in self.image.kept.closings:
            return True  # what that close did is known first
        ruling = may_open(task, self.image, self.now)
        match ruling.verdict:
            case OpenVerdict.PERMIT:
                number = self.image.kept.moves + 1
                meter = self.image.roster[task.meter]
                self.write(_task_intent(task, meter, number, 1))
                self._command(
                    number, task.move, meter, resumed=False, writes_max=OPENING_WRITES_MAX
                )
            case OpenVerdict.PACED:
                assert ruling.not_before_ms is not None
                self.look_again(ruling.not_before_ms)
                return False
            case verdict:
                self.write(_not_done(task, Outcome.REFUSED, verdict))
        return True

    def begin_closes(self) -> None:
        """Every close whose turn has come, longest waiting first."""
        pacer = Pacer(self.image, self.now)
        waiting_dts: set[str] = set()
        for meter in in_turn(self.image):
            if meter.dt in waiting_dts:
                continue
            ruling = may_close(meter, self.image, self.now, pacer)
            if ruling.verdict is Verdict.PERMIT:
                self._begin_close(meter)
                pacer.take(meter, self.now.mono_ms, self.image.kept.moves)
            elif ruling.not_before_ms is not None:
                if ruling.brake not in TOLD:
                    self.look_again(ruling.not_before_ms)
                if ruling.brake is not Brake.SETBACK:
                    waiting_dts.add(meter.dt)  # as it is for everybody there

    def _begin_close(self, meter: Meter) -> None:
        if may_be_given(meter, self.image, self.now):
            self.write(_grace(meter, self.image, self.now))
        intent = _intent(meter, self.image.kept.moves + 1, self.image)
        proof = self.image.kept.proofs.get(meter.account)
        if proof is not None and not intent.grace:
            same_boot = proof.received.boot == self.now.boot
            intent = msgspec.structs.replace(
                intent,
                received_ms=proof.received.mono_ms if same_boot else None,
                received_wall_ms=proof.received.wall_ms,
            )
        self.write(intent)
        self._command(intent.close, Move.CLOSE, meter, resumed=False, writes_max=WRITES_MAX)

    def _take_up_task(self, task: Task, number: int) -> None:
        meter = self.image.roster.get(task.meter)
        if meter is None:
            self.write(_not_done(task, Outcome.UNKNOWN, OpenVerdict.NOT_ON_ROSTER))
            return
        self.write(_task_intent(task, meter, number, task.attempt + 1))
        self._command(number, task.move, meter, resumed=True, writes_max=0)

    def _command(
        self, number: int, move: Move, meter: Meter, *, resumed: bool, writes_max: int
    ) -> None:
        self.commands.append(
            SwitchCommand(
                number=number, move=move, meter=meter, resumed=resumed, writes_max=writes_max
            )
        )


def _intent(meter: Meter, close: int, image: Image) -> CloseIntended:
    word = image.word(meter.account)
    by_word = word is not None and word.standing is Standing.PAID
    digest = word.digest if word is not None and by_word else image.kept.site_digest
    assert digest is not None
    return CloseIntended(
        close=close,
        account=Account(meter.account),
        meter=Serial(meter.serial),
        dt=DtId(meter.dt),
        attempt=1,
        standing_n=0 if word is None else word.n,
        standing_digest=digest,
        grace=not by_word,
    )


def _grace(meter: Meter, image: Image, now: Now) -> GraceGranted:
    assert image.kept.site is not None
    assert image.kept.site.grace is not None
    return GraceGranted(
        account=Account(meter.account),
        meter=Serial(meter.serial),
        n=cut_as_of(meter.account, image),
        hours=image.kept.site.grace.hours,
        silent_ms=silent_ms(image, now),
    )


def _given_up(serial: str, closing: Closing) -> CloseEnded:
    return CloseEnded(
        close=closing.close,
        account=closing.account,
        meter=Serial(serial),
        dt=DtId(""),
        outcome=Outcome.UNKNOWN,
        verdict=Verdict.NOT_ON_ROSTER,
        why=Why.NONE,
        writes=0,
        forced=False,
    )


def _task_intent(task: Task, meter: Meter, number: int, attempt: int) -> TaskIntended:
    return TaskIntended(
        number=number,
        move=task.move,
        order=task.order,
        account=task.account,
        meter=task.meter,
        dt=DtId(meter.dt),
        attempt=attempt,
    )


def _not_done(task: Task, outcome: Outcome, verdict: OpenVerdict) -> TaskEnded:
    return TaskEnded(
        number=task.number,
        move=task.move,
        order=task.order,
        account=task.account,
        meter=task.meter,
        dt=DtId(""),
        outcome=outcome,
        verdict=verdict,
        why=Why.NONE,
        writes=0,
        forced=False,
    )
