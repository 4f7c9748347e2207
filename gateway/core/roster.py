"""The roster changes: what is kept of accounts whose meter is another one now.

Owns what goes on with an account, what with the place behind its meter, and what ends. Must never
judge whether a roster is right: it is signed.

An account whose new meter stood nowhere here before got it in place of the old one; one whose new
meter was somebody else's has moved.
"""

import msgspec

from gateway.core.documents import Site
from gateway.core.fact import TagKind
from gateway.core.kept import Ask, Kept
from gateway.core.marks import Tag

FORMER_MAX = 8
"""Meters of an account that are remembered after it got another one."""


def _swapped(kept: Kept, site: Site) -> dict[str, str]:
    """The new meter by the old one, where an account got one that stood nowhere here before."""
    before = () if kept.site is None else kept.site.meters
    known = {meter.serial for meter in before}
    now = {meter.account: meter.serial for meter in site.meters}
    return {
        old.serial: now[old.account]
        for old in before
        if old.account in now and now[old.account] not in known
    }


def asks_after(kept: Kept, site: Site) -> dict[str, Ask]:
    """What was asked for at a meter is asked for at the one in its place, not at another's."""
    swapped = _swapped(kept, site)
    serials = {meter.account: meter.serial for meter in site.meters}
    asks = {
        account: msgspec.structs.replace(ask, meter=swapped.get(ask.meter, ask.meter))
        for account, ask in kept.asks.items()
    }
    return {a: ask for a, ask in asks.items() if serials.get(a, ask.meter) == ask.meter}


def tags_after(kept: Kept, site: Site) -> tuple[Tag, ...]:
    """A hold is on what stands behind the meter: it goes on to the one in its place."""
    swapped = _swapped(kept, site)
    moved = tuple(
        msgspec.structs.replace(tag, target=swapped[tag.target])
        for tag in kept.tags
        if tag.kind is TagKind.HOLD and tag.target in swapped
    )
    return (*kept.tags, *moved)


def former_after(kept: Kept, site: Site) -> dict[str, tuple[str, ...]]:
    """The meters that accounts had before: the account moves to its new one, papers and all."""
    former = {}
    before = {} if kept.site is None else {meter.account: meter for meter in kept.site.meters}
    for meter in site.meters:
        known = kept.former.get(meter.account, ())
        if meter.account in before:
            known = (*known, before[meter.account].serial)
        others = tuple(serial for serial in dict.fromkeys(known) if serial != meter.serial)
        if others:
            former[meter.account] = others[-FORMER_MAX:]
    return former
