"""Pacing: how fast the load of a returning feeder may be picked up, and when to try again.

Owns the instant at which a permitted close has its turn. Must never permit anything by itself:
`reconnection` asks here last, after every guard.

After hours in the dark load comes back at a multiple of normal (cold load pick-up), so the first
close of a transformer is alone and observed, then they follow with a gap, under a ceiling for the
whole gateway.
"""

from itertools import islice

from gateway.core.image import MINUTE_MS, Image
from gateway.core.kept import CloseMark, Setback
from gateway.core.model import Meter, Now, Pacing

SETBACK_FIRST_MS = 15_000
SETBACK_MAX_MS = 300_000
"""A close that did not succeed is tried again after 15 s, 30 s, ... at most 5 minutes: well inside
the 20 minutes, and few enough writes and records for a meter that will never close."""


def turn_ms(meter: Meter, image: Image, now: Now) -> int:
    """When (boot clock) this meter's close has its turn; not after now: at once."""
    pacing = Pacing() if image.kept.site is None else image.kept.site.pacing
    newest_first = image.kept.decided[::-1]
    on_dt = (_at_ms(mark, now) for mark in newest_first if mark.dt == meter.dt)
    return max(
        _dt_turn_ms(tuple(islice(on_dt, 2)), pacing),
        _ceiling_turn_ms(newest_first, pacing, now),
        _setback_turn_ms(meter, image, now),
    )


def _at_ms(mark: CloseMark, now: Now) -> int:
    return now.mono_ms - now.since_ms(mark.boot, mark.mono_ms)


def _dt_turn_ms(newest_two: tuple[int, ...], pacing: Pacing) -> int:
    match newest_two:
        case (newest, before) if newest - before < pacing.quiet_ms:
            return newest + pacing.gap_ms
        case (newest, *_):
            return newest + pacing.first_alone_ms  # the first since the DT was last quiet
        case _:
            return 0


def _ceiling_turn_ms(newest_first: tuple[CloseMark, ...], pacing: Pacing, now: Now) -> int:
    if len(newest_first) < pacing.minute_max:
        return 0
    return _at_ms(newest_first[pacing.minute_max - 1], now) + MINUTE_MS


def _setback_turn_ms(meter: Meter, image: Image, now: Now) -> int:
    setback = image.kept.setbacks.get(meter.serial)
    word = image.word(meter.account)
    if setback is None or word is None or word.n != setback.standing_n:
        return 0  # a newer proof of payment is tried at once
    return now.mono_ms - now.since_ms(setback.last.boot, setback.last.mono_ms) + wait_ms(setback)


def wait_ms(setback: Setback) -> int:
    """How long after a setback the next try waits."""
    doubled = SETBACK_FIRST_MS << min(setback.count - 1, 10)
    return min(doubled, SETBACK_MAX_MS)
