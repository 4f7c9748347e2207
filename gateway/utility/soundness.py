"""What a gateway would refuse in a document whatever is installed there.

Owns the presumption of a station that a document is made for. Must never decide by itself: the
checks are those of `core.documents`.
"""

from gateway.core.documents import Document, Site, check
from gateway.core.model import GatewayId, ProfileAbility, Station


def check_in_itself(document: Document) -> None:
    """Whether some station could take the document. Raises `Unsound`."""
    check(document, _station_for(document))


def _station_for(document: Document) -> Station:
    # A meter type is taken at the roster's word: it has a relay board where one is given.
    meters = document.meters if isinstance(document, Site) else ()
    return Station(
        gateway=GatewayId(document.gateway or ""),
        buses=tuple(sorted({meter.bus for meter in meters})),
        profiles={
            meter.profile: ProfileAbility(
                switches=True,
                proves_serial=True,
                needs_switch_unit=meter.switch_unit is not None,
            )
            for meter in meters
        },
    )
