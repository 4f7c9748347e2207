"""Tidying: once an hour what is kept no longer goes.

Owns when. Must never keep anybody waiting: see `retention`. Implements `ports.Room`.
"""

import asyncio

from gateway.core.image import Image
from gateway.ports import Clock, Journal

AFTER_S = 60.0
"""From the start on, and after whatever went wrong."""
EVERY_S = 3_600.0


class Tidying:
    """The one who asks the journal for it."""

    def __init__(
        self, journal: Journal, clock: Clock, *, after_s: float = AFTER_S, every_s: float = EVERY_S
    ) -> None:
        """Nothing is done here: see `run`."""
        self._journal = journal
        self._clock = clock
        self._after_s = after_s
        self._every_s = every_s

    async def run(self) -> None:
        """Go on until cancelled. Raises `NotWritten`."""
        await asyncio.sleep(self._after_s)
        while True:
            await self._journal.tidy(self._clock.now().wall_low_ms)
            await asyncio.sleep(self._every_s)

    def show(self, image: Image) -> None:
        """What is known does not matter: records say their own time."""
