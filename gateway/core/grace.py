"""Grace: supply without proof of payment while the head end is silent, as the site document allows.

Owns when that applies. Must never close anything itself: `reconnection` asks here in place of a
payment, and every other guard stands as for anybody else. It is never taken back locally: when its
hours are over no new one is given for the same cut, and the head end decides.

What an age permits is counted from below and what it forbids from above: where the clock cannot
tell, there is no grace.
"""

from gateway.core.image import Image
from gateway.core.kept import DAY_MS, HOUR_MS, GraceGiven
from gateway.core.model import Cause, Meter, Now
from gateway.core.standing import Standing
from gateway.core.terms import Grace
from gateway.core.waiting import at_least_ms, at_most_ms

FOR_ARREARS = frozenset({Cause.ORDER, Cause.ARREARS, Cause.PREPAY})
"""What opened the switch because of money."""


def grace_applies(meter: Meter, image: Image, now: Now) -> bool:
    """Whether grace stands in for a payment: given and not over yet, or to be given now."""
    return running_grace(meter, image, now) is not None or may_be_given(meter, image, now)


def running_grace(meter: Meter, image: Image, now: Now) -> GraceGiven | None:
    """The grace that was given for the account's present standing and is not over."""
    given = _given(meter, image)
    since_ms = None if given is None else at_most_ms(given.granted, now)
    if given is None or since_ms is None or since_ms >= given.hours * HOUR_MS:
        return None
    return given


def may_be_given(meter: Meter, image: Image, now: Now) -> bool:
    """Whether grace may be given to this meter's account now, for the first time."""
    site = image.kept.site
    if site is None or site.grace is None or _given(meter, image) is not None:
        return False
    if image.degraded is not None:
        return False  # a power cut would forget it, and it would be given twice
    word = image.word(meter.account)
    if word is not None and word.standing is Standing.PAID:
        return False
    return (
        silent_ms(image, now) > site.grace.after_h * HOUR_MS
        and _cut_lately(meter, image, now, site.grace)
        and image.given_today(now) < site.grace.daily_max
    )


def silent_ms(image: Image, now: Now) -> int:
    """How long the head end has been silent at least; 0 where it is heard or never was."""
    known = image.kept.head_end
    if known is None or known.heard:
        return 0
    return at_least_ms(known.since, now)


def standing_graces(image: Image) -> tuple[GraceGiven, ...]:
    """Those of accounts that have not paid since, and are cut as they were then."""
    return tuple(one for one in image.kept.graces if stands(one, image))


def stands(given: GraceGiven, image: Image) -> bool:
    """Whether its account has not paid since, and is cut as it was then."""
    return not given.settled and given.n == cut_as_of(given.account, image)


def cut_as_of(account: str, image: Image) -> int:
    """The ledger time of the order that cut an account; 0 where none did."""
    word = image.kept.words.get(account)
    return 0 if word is None or word.standing is not Standing.CUT else word.n


def _given(meter: Meter, image: Image) -> GraceGiven | None:
    return next((one for one in image.graces_of(meter.account) if stands(one, image)), None)


def _cut_lately(meter: Meter, image: Image, now: Now, grace: Grace) -> bool:
    opened = image.kept.causes.get(meter.serial)
    if opened is None or opened.cause not in FOR_ARREARS:
        return False
    age_ms = at_most_ms(opened.at, now)
    return age_ms is not None and age_ms <= grace.cut_within_days * DAY_MS
