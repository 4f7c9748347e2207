"""What a gateway would refuse in a document whatever is installed there.

Owns the presumption of a station that a document is made for, and what an order needs before any
gateway looks at its homes. Must never decide by itself: the checks are those of `core.soundness`,
the words and bounds those of `core.disconnection`.
"""

from gateway.core.disconnection import LIFE_MAX_MS, OpenVerdict
from gateway.core.documents import Document, FieldDocument, Site, Time
from gateway.core.model import GatewayId, ProfileAbility, Station
from gateway.core.orders import DANGEROUS, Order, keys_needed, kind_of
from gateway.core.soundness import Unsound, check
from gateway.core.trust import Root


def check_in_itself(document: Document) -> None:
    """Whether some station could take the document. Raises `Unsound`."""
    if isinstance(document, Root):
        return  # what makes a root sound, `core.rotation` has asked
    check(document, _station_for(document))
    if not isinstance(document, Order) or not isinstance(document.act, DANGEROUS):
        return
    life_ms = document.exp - document.iat
    if life_ms > LIFE_MAX_MS:
        raise Unsound(
            OpenVerdict.LIFE_TOO_LONG,
            f"exp: {life_ms / 60_000:g} minutes after iat; give it {LIFE_MAX_MS // 60_000} at most",
        )


def check_signers(document: Document, count: int) -> None:
    """Whether so many distinct keys are enough for it. Raises `Unsound`."""
    if isinstance(document, Order) and count < keys_needed(document.act):
        raise Unsound(
            OpenVerdict.SECOND_KEY_MISSING,
            f"signed by {count} key; a {kind_of(document.act)} order takes "
            f"{keys_needed(document.act)} distinct ones: sign it with another too",
        )


def _station_for(document: FieldDocument) -> Station:
    # A meter type is taken at the roster's word: it has a relay board where one is given.
    meters = document.meters if isinstance(document, Site) else ()
    transformers = document.transformers if isinstance(document, Site) else ()
    checks = [one.check_meter for one in transformers if one.check_meter is not None]
    measuring = {check.profile: _ability(needs_switch_unit=False) for check in checks}
    return Station(
        gateway=GatewayId("" if isinstance(document, Time) else document.gateway or ""),
        buses=tuple(sorted({meter.bus for meter in meters} | {check.bus for check in checks})),
        profiles=measuring
        | {
            meter.profile: _ability(needs_switch_unit=meter.switch_unit is not None)
            for meter in meters
        },
    )


def _ability(*, needs_switch_unit: bool) -> ProfileAbility:
    return ProfileAbility(switches=True, proves_serial=True, needs_switch_unit=needs_switch_unit)
