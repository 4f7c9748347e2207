"""Switching: one command to a load switch, from what it asks for to its one report.

Owns which sequence carries out which command, and the report where there is none or the meter
cannot be read. Must never drop a command: each gets exactly one report, unless it is cancelled.
"""

from collections.abc import Awaitable, Callable
from typing import assert_never

from gateway.bus.asking import Ask
from gateway.bus.blocks import Close, Motion, Open
from gateway.bus.closing import close
from gateway.bus.device import Device, as_permitted
from gateway.bus.opening import open_
from gateway.bus.releasing import release
from gateway.bus.steps import Steps, Unanswered
from gateway.core.disconnection import OpenVerdict
from gateway.core.fact import Move, Outcome, SwitchCommand, SwitchReport, Why
from gateway.core.image import Image
from gateway.core.model import Serial
from gateway.core.reconnection import Verdict
from gateway.ports import Clock


async def carry_out(
    command: SwitchCommand,
    device: Device | None,
    *,
    ask: Ask,
    image: Callable[[], Image],
    clock: Clock,
) -> SwitchReport:
    """Do it, and say how it ended. Cancelled, it says nothing: the intent stays open."""
    if device is None:
        return _unproven(command)
    device = as_permitted(device, command.meter, image())
    motion = device.profile.motion(command.move, trusting=device.trusting)
    if motion is None:
        return _unproven(command)
    steps = Steps(
        command, device, motion, forces=_forces(motion), ask=ask, image=image, clock=clock
    )
    try:
        return await _sequence(command.move)(steps)
    except Unanswered as silent:
        outcome = Outcome.UNKNOWN if steps.touched else Outcome.FAILED
        return steps.report(outcome, why=silent.why)


def unasked(
    command: SwitchCommand, outcome: Outcome, *, verdict: str = "", why: Why = Why.NONE
) -> SwitchReport:
    """The report on a command for which no line was asked."""
    return SwitchReport(
        number=command.number,
        move=command.move,
        serial=Serial(command.meter.serial),
        outcome=outcome,
        verdict=verdict,
        why=why,
    )


def _sequence(move: Move) -> Callable[[Steps], Awaitable[SwitchReport]]:
    match move:
        case Move.CLOSE:
            return close
        case Move.OPEN:
            return open_
        case Move.RELEASE:
            return release
        case _:
            assert_never(move)


def _unproven(command: SwitchCommand) -> SwitchReport:
    match command.move:
        case Move.CLOSE:
            return unasked(command, Outcome.REFUSED, verdict=Verdict.SWITCH_UNPROVEN)
        case Move.OPEN:
            verdict = OpenVerdict.OPEN_UNPROVEN
        case Move.RELEASE:
            verdict = OpenVerdict.RELEASE_UNPROVEN
        case _:
            assert_never(command.move)
    # One that may have been sent while the type was still known has not been refused.
    outcome = Outcome.UNKNOWN if command.resumed else Outcome.REFUSED
    return unasked(command, outcome, verdict=verdict)


def _forces(motion: Motion) -> bool:
    return isinstance(motion, Close | Open) and motion.forces
