"""The plan: what follows from the image now.

Owns which closes are begun, taken up again or given up, in which order, and when to look again.
Must never act or remember: it looks at what is, so a lost or doubled message costs one tick, not a
consumer. Whether a switch may be closed is asked of `reconnection`, nowhere else.
"""

from collections.abc import Iterator

import msgspec

from gateway.core.fact import CloseCommand, CloseEnded, CloseIntended, Outcome, Why, record_of
from gateway.core.image import Image, apply, waits_since
from gateway.core.kept import Closing, Instant
from gateway.core.model import Account, DtId, Meter, Now, Serial, Value
from gateway.core.reconnection import Verdict, may_close
from gateway.core.waiting import elapsed_ms, instant_of

WRITES_MAX = 2
"""Writes for one close: a second only after the first brought no answer and a read said open."""


class Plan(Value):
    """What to write down, what to do once it is on disk, and when to look again (boot clock)."""

    bodies: tuple[CloseIntended | CloseEnded, ...] = ()
    commands: tuple[CloseCommand, ...] = ()
    deadline_ms: int | None = None


def plan(image: Image, now: Now) -> Plan:
    """Everything that is due. Pure; equal input gives an equal plan."""
    bodies: list[CloseIntended | CloseEnded] = []
    commands: list[CloseCommand] = []
    for serial, closing in sorted(image.kept.closings.items()):
        if closing.close not in image.in_flight:
            body, command = _taken_up_again(serial, closing, image)
            bodies.append(body)
            commands.extend(command)
    deadlines: list[int] = []
    for meter in _waiting(image, now):
        ruling = may_close(meter, image, now)
        if ruling.verdict is Verdict.PERMIT:
            body, command = _begun(meter, image, now)
            bodies.append(body)
            commands.extend(command)
            # The next one in the queue is judged with this one decided: pacing counts it.
            image = apply(image, record_of(image.number + 1, body, now), None)
        elif ruling.not_before_ms is not None:
            deadlines.append(ruling.not_before_ms)
    return Plan(
        bodies=tuple(bodies), commands=tuple(commands), deadline_ms=min(deadlines, default=None)
    )


def waited_ms(meter: Meter, image: Image, now: Now) -> int:
    """Milliseconds this consumer has been paid and dark; 0 where no proof of payment is here."""
    at = instant_of(now)
    since = waits_since(image.kept, meter.account, meter.serial, at)
    return 0 if since is None else elapsed_ms(since, at)


def age_ms(instant: Instant, now: Now) -> int:
    """Milliseconds since an instant, also one of an earlier boot."""
    return elapsed_ms(instant, instant_of(now))


def _waiting(image: Image, now: Now) -> Iterator[Meter]:
    waiting = [
        meter
        for meter in image.roster.values()
        if meter.account in image.kept.proofs and meter.serial not in image.kept.closings
    ]
    yield from sorted(waiting, key=lambda meter: (-waited_ms(meter, image, now), meter.serial))


def _begun(meter: Meter, image: Image, now: Now) -> tuple[CloseIntended, tuple[CloseCommand, ...]]:
    close = image.kept.close_count + 1
    received = image.kept.proofs[meter.account].received
    body = msgspec.structs.replace(
        _intent(meter, close, 1, image),
        received_ms=received.mono_ms if received.boot == now.boot else None,
        received_wall_ms=received.wall_ms,
    )
    command = CloseCommand(close=close, meter=meter, resumed=False, writes_max=WRITES_MAX)
    return body, (command,)


def _taken_up_again(
    serial: str, closing: Closing, image: Image
) -> tuple[CloseIntended | CloseEnded, tuple[CloseCommand, ...]]:
    meter = image.roster.get(serial)
    if meter is None:
        return _given_up(serial, closing, Verdict.NOT_ON_ROSTER), ()
    if image.word(meter.account) is None:
        return _given_up(serial, closing, Verdict.NOT_PAID), ()
    attempt = closing.attempt + 1
    body = _intent(meter, closing.close, attempt, image)
    # How many writes were sent before is not known, so this one only reads: a switch that still
    # is open gets a close of its own.
    command = CloseCommand(close=closing.close, meter=meter, resumed=True, writes_max=0)
    return body, (command,)


def _intent(meter: Meter, close: int, attempt: int, image: Image) -> CloseIntended:
    word = image.word(meter.account)
    assert word is not None
    return CloseIntended(
        close=close,
        account=Account(meter.account),
        meter=Serial(meter.serial),
        dt=DtId(meter.dt),
        attempt=attempt,
        standing_n=word.n,
        standing_digest=word.digest,
    )


def _given_up(serial: str, closing: Closing, verdict: Verdict) -> CloseEnded:
    # The roster changed while the outcome was unknown: the meter left it, or is another account's
    # about which nothing was ever said.
    return CloseEnded(
        close=closing.close,
        account=closing.account,
        meter=Serial(serial),
        dt=DtId(""),
        outcome=Outcome.UNKNOWN,
        verdict=verdict,
        why=Why.NONE,
        writes=0,
        forced=False,
        decided_ms=0,
    )
