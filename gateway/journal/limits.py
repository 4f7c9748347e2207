"""The limits of the journal: how much is kept, and for how long.

Owns the settings with their units, defaults and bounds. Must never act on them.
"""

from typing import Annotated

import msgspec

from gateway.core.model import Value
from gateway.core.signature import DocumentType

MIB = 2**20
DAY_MS = 86_400_000

Days = Annotated[int, msgspec.Meta(ge=1, le=3_650)]
Lot = Annotated[int, msgspec.Meta(ge=16, le=10_000)]
Files = Annotated[int, msgspec.Meta(ge=1, le=1_000)]


class JournalSettings(Value, forbid_unknown_fields=True):
    """The table `[journal]` of the configuration."""

    records_days: Annotated[int, msgspec.Meta(ge=30, le=3_650)] = 180
    """Records are kept so long, or until the head end has acknowledged them, whichever is later."""
    held_records_max: Annotated[int, msgspec.Meta(ge=1_000, le=1_000_000)] = 50_000
    """Held in memory while the disk takes nothing; a close makes two or three, of 400 octets each.

    Above this nothing more is begun.
    """
    readings_every_s: Annotated[int, msgspec.Meta(ge=0, le=86_400)] = 900
    """A reading of each meter is kept so often, by the calendar; 0: none is."""
    readings_days: Days = 100
    """Readings that the head end has acknowledged are kept so long."""
    room_min_bytes: Annotated[int, msgspec.Meta(ge=16 * MIB, le=2**40)] = 256 * MIB
    """Where less is free on the file system, readings are thinned."""
    bytes_max: Annotated[int, msgspec.Meta(ge=32 * MIB, le=2**40)] = 512 * MIB
    """Where the journal's file holds more, readings are thinned; records never are."""
    records_lot: Lot = 128
    """Old records go so many at once, which nobody waits long for; fewer wait for each other."""
    readings_lot: Lot = 1_000
    """So do readings, whether they are old or thinned."""
    pages_lot: Lot = 256
    """So are free pages of the file given back where room is short."""
    sites_max: Files = 16
    """Files of the archive: the newest of a type are kept. Of roots every one is."""
    lists_max: Files = 64
    """Of lists, those since the last one that says who is off."""
    receipts_max: Annotated[int, msgspec.Meta(ge=1_000, le=1_000_000)] = 20_000
    """Orders are counted together with receipts."""
    times_max: Files = 16

    def files_max(self, kind: DocumentType) -> int | None:
        """How many files of a type the archive keeps; None: all."""
        return {
            DocumentType.SITE: self.sites_max,
            DocumentType.LIST: self.lists_max,
            DocumentType.RECEIPT: self.receipts_max,
            DocumentType.TIME: self.times_max,
        }.get(kind)
