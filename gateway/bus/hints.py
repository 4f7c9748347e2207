"""What the counts of a bus suggest to whoever stands before it.

Owns the judgement of the counts, and its words. Must never count, or know how a line is driven.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final

from gateway.bus.tally import Counts, Quality
from gateway.core.model import Serial, Value

EVENTS_MIN: Final = 3
"""Fewer of a kind are chance."""
CRC_SHARE: Final = 0.02
"""Of what was heard at all."""
LATE_SHARE: Final = 0.01
MISMATCHED_SHARE: Final = 0.01
REFUSED_SHARE: Final = 0.5
"""Of one meter's exchanges: so much is no passing fault."""
ONE_METER_SHARE: Final = 0.8
"""Of the CRC errors of a bus: the cable that all share is not their cause."""
NAMED_MAX: Final = 3


class Sign(StrEnum):
    """What is the matter with a bus."""

    ALL_SILENT = "ALL_SILENT"
    ALL_GARBLED = "ALL_GARBLED"
    ECHO = "ECHO"
    CRC_ERRORS = "CRC_ERRORS"
    CRC_ERRORS_OF_ONE = "CRC_ERRORS_OF_ONE"
    FOREIGN_FRAMES = "FOREIGN_FRAMES"
    LATE = "LATE"
    REFUSED = "REFUSED"
    SILENT = "SILENT"


class Hint(Value):
    """One thing that is the matter, and in words what to look at."""

    sign: Sign
    words: str


def hints(
    quality: Quality, *, meters: int, silent: Sequence[Serial], echo: bool
) -> tuple[Hint, ...]:
    """What is the matter with a bus of so many meters, what concerns most of them first."""
    return tuple(_found(quality, meters, silent, echo))


def _found(quality: Quality, meters: int, silent: Sequence[Serial], echo: bool) -> Iterator[Hint]:
    if echo:
        yield _hint(
            Sign.ECHO, "the line gives back what is sent", "it is stripped; look at the transceiver"
        )
    if meters and len(silent) == meters:
        yield _all_silent(quality.bus)
        return
    yield from _crc_errors(quality, meters)
    yield from _foreign_frames(quality)
    yield from _late(quality)
    yield from _refused(quality)
    if silent:
        does = "does" if len(silent) == 1 else "do"
        yield _hint(
            Sign.SILENT,
            f"{_named(silent)} {does} not answer",
            "look at address, wiring and power there",
        )


def _all_silent(bus: Counts) -> Hint:
    if bus.crc_errors + bus.mismatched > bus.timeouts:
        return _hint(
            Sign.ALL_GARBLED,
            "what the meters answer cannot be read",
            "look at baud rate and parity, A and B swapped, termination",
        )
    return _hint(
        Sign.ALL_SILENT,
        "no meter answers",
        "look at A and B swapped, power, termination, baud rate",
    )


def _crc_errors(quality: Quality, meters: int) -> Iterator[Hint]:
    bus = quality.bus
    heard = bus.exchanges - bus.timeouts
    if bus.crc_errors < EVENTS_MIN or bus.crc_errors < CRC_SHARE * heard:
        return
    share = f"CRC errors in {bus.crc_errors / heard:.0%} of what is heard"
    by_meter = {serial: one.crc_errors for serial, one in quality.meters.items() if one.crc_errors}
    worst = sorted(by_meter, key=lambda serial: (-by_meter[serial], serial))
    if meters > 1 and by_meter[worst[0]] >= ONE_METER_SHARE * bus.crc_errors:
        yield _hint(
            Sign.CRC_ERRORS_OF_ONE,
            f"{share}, nearly all of {worst[0]}",
            "look at its wiring, and whether another meter has the same address",
        )
    else:
        yield _hint(
            Sign.CRC_ERRORS,
            f"{share}, most of {_named(worst)}",
            "look at termination, ground, baud rate",
        )


def _foreign_frames(quality: Quality) -> Iterator[Hint]:
    bus = quality.bus
    if bus.mismatched < EVENTS_MIN or bus.mismatched < MISMATCHED_SHARE * bus.exchanges:
        return
    whose = [serial for serial, one in quality.meters.items() if one.mismatched]
    yield _hint(
        Sign.FOREIGN_FRAMES,
        f"frames that nobody asked for, when {_named(whose)} should answer",
        "look for a second master, or two meters at one address",
    )


def _late(quality: Quality) -> Iterator[Hint]:
    bus = quality.bus
    if bus.late < EVENTS_MIN or bus.late < LATE_SHARE * bus.exchanges:
        return
    whose = [serial for serial, one in quality.meters.items() if one.late]
    yield _hint(
        Sign.LATE,
        f"answers of {_named(whose)} come after the time-out",
        "raise timing.timeout_ms in the profile, or look at the adapter",
    )


def _refused(quality: Quality) -> Iterator[Hint]:
    whose = [
        serial
        for serial, one in quality.meters.items()
        if one.refused >= EVENTS_MIN and one.share(one.refused) >= REFUSED_SHARE
    ]
    if whose:
        yield _hint(
            Sign.REFUSED,
            f"{_named(whose)} answer with exceptions",
            "look whether their type is the roster's",
        )


def _hint(sign: Sign, found: str, mend: str) -> Hint:
    return Hint(sign=sign, words=f"{found}: {mend}")


def _named(serials: Sequence[Serial]) -> str:
    named = ", ".join(serials[:NAMED_MAX])
    more = len(serials) - NAMED_MAX
    noun = "meter" if len(serials) == 1 else "meters"
    return f"{noun} {named}" + (f" and {more} more" if more > 0 else "")
