"""The queue: who waits for supply, in which order, since when, and for how long still.

Owns the order: longest in the dark since payment first. Must never rule: who stands in it may all
the same be refused by `reconnection`.
"""

from gateway.core.image import Image, waits_since
from gateway.core.model import Instant, Meter, Now, SupplyState
from gateway.core.pacing import foretold
from gateway.core.standing import Standing
from gateway.core.waiting import elapsed_ms, instant_of


def in_turn(image: Image) -> tuple[Meter, ...]:
    """The meters that could be closed, longest in the dark since payment first.

    Who has not paid stands behind all who have: only grace can help him.
    """
    kept = image.kept
    deciding = {*kept.closings, *(s for s, task in kept.tasks.items() if task.number is not None)}
    hopeful = kept.proofs.keys() if not _may_give_grace(image) else image.by_account.keys()
    waiting = [
        meter
        for meter in image.roster.values()
        if meter.account in hopeful and meter.serial not in deciding
    ]
    return tuple(sorted(waiting, key=lambda meter: (*_since(meter, image), meter.serial)))


def waited_ms(meter: Meter, image: Image, now: Now) -> int:
    """Milliseconds this consumer has been paid and dark; 0 where no proof of payment is here."""
    at = instant_of(now)
    since = waits_since(image.kept, meter.account, meter.serial, at)
    return 0 if since is None else elapsed_ms(since, at)


def age_ms(instant: Instant, now: Now) -> int:
    """Milliseconds since an instant, also one of an earlier boot."""
    return elapsed_ms(instant, instant_of(now))


def foretold_ms(permitted: tuple[Meter, ...], image: Image, now: Now) -> dict[str, int]:
    """In how many milliseconds each of these meters is likely to be decided, by serial number."""
    wanted = {meter.serial for meter in permitted}
    queue = [meter for meter in in_turn(image) if meter.serial in wanted]
    return {serial: at - now.mono_ms for serial, at in foretold(queue, image, now).items()}


def _may_give_grace(image: Image) -> bool:
    return image.kept.site is not None and image.kept.site.grace is not None


def _since(meter: Meter, image: Image) -> tuple[bool, int, int]:
    """Whether it is unpaid, tries in vain, and since when it is paid and dark.

    Who was tried in vain stands behind who was tried less often: two stuck switches, which stop
    their transformer, would otherwise be the first again after each cool-down.
    """
    word = image.word(meter.account)
    setback = image.kept.setbacks.get(meter.serial)
    tries = 0
    if setback is not None and word is not None and setback.standing_n == word.n:
        tries = setback.count
    supply = image.kept.supply.get(meter.serial)
    dark_ms = 0
    if supply is not None and supply.state is not SupplyState.CONNECTED:
        dark_ms = supply.since.wall_ms
    if word is None or word.standing is not Standing.PAID:
        return True, tries, dark_ms
    return False, tries, max(word.paid_at or word.n, dark_ms)
