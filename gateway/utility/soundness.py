"""What a gateway would refuse in a document whatever is installed there.

Owns the presumption of a station that a document is made for. Must never decide by itself: the
checks are those of `core.documents`.
"""

from typing import assert_never

from gateway.core.documents import (
    AllowList,
    Document,
    Receipt,
    Site,
    check_list,
    check_receipt,
    check_site,
)
from gateway.core.model import GatewayId, ProfileAbility, Station


def check_in_itself(document: Document) -> None:
    """Whether some station could take the document. Raises `Unsound`."""
    match document:
        case Site():
            check_site(document, _station_for(document))
        case AllowList():
            check_list(document, _station_named(document.gateway))
        case Receipt():
            check_receipt(document, _station_named(document.gateway or ""))
        case _:
            assert_never(document)


def _station_named(gateway: str) -> Station:
    return Station(gateway=GatewayId(gateway), buses=(), profiles={})


def _station_for(site: Site) -> Station:
    # A meter type is taken at the roster's word: it has a relay board where one is given.
    return Station(
        gateway=GatewayId(site.gateway),
        buses=tuple(sorted({meter.bus for meter in site.meters})),
        profiles={
            meter.profile: ProfileAbility(
                switches=True,
                proves_serial=True,
                needs_switch_unit=meter.switch_unit is not None,
            )
            for meter in site.meters
        },
    )
