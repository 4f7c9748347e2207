"""A disk that takes nothing, as the engine meets it."""

from enum import StrEnum

from gateway.holding import RETRY_FIRST_MS
from gateway.ports import NotWritten, Remedy
from tests.core.corridor import (
    OPEN,
    SITE,
    Corridor,
    document,
    seen,
)
from tests.core.papers import receipt


class Trouble(StrEnum):
    """What the disk says."""

    DISK_FULL = "DISK_FULL"
    READ_ONLY = "READ_ONLY"
    CORRUPT = "CORRUPT"


class DiskFails(NotWritten):
    """What the journal raises."""

    def __init__(self, remedy: Remedy = Remedy.WAIT, trouble: Trouble = Trouble.DISK_FULL) -> None:
        super().__init__(trouble)
        self.remedy = remedy
        self.trouble = trouble


async def paid(**settings: int) -> Corridor:
    """M1 has paid and has not been read yet; all that is on disk."""
    corridor = Corridor(**settings)
    await corridor.engine.start()
    assert await corridor.tick(SITE, document(receipt(1, 100))) == ["ACCEPTED", "ACCEPTED"]
    return corridor


async def degraded(**settings: int) -> Corridor:
    """The disk takes nothing any more, and then M1 is read open."""
    corridor = await paid(**settings)
    corridor.journal.breaks = DiskFails()
    await corridor.tick(seen(corridor, "M1", OPEN))
    return corridor


def mended(corridor: Corridor) -> None:
    corridor.journal.breaks = None
    corridor.clock.wait(RETRY_FIRST_MS)
