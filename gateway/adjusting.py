"""Adjusting: the settings that count, applied to what runs.

Owns when the link to the head end is made anew, and how much is logged. Must never decide which
settings count (core does), nor write them anywhere: the records have them.

A link is made anew with every change, also of what is not its own: that the head end is heard over
it is the proof that this gateway still works.
"""

import asyncio
import logging
from collections.abc import Callable

from gateway.core.image import Image
from gateway.core.settings import Settings
from gateway.ports import Room

MakeLink = Callable[[Settings, str], Room | None]
"""A link with these settings; beside them the order that they come from, empty for none. None:
there is no broker to speak to."""

log = logging.getLogger(__name__)


class Adjusted:
    """The link to the head end with the settings that count (`ports.Room`)."""

    def __init__(self, installed: Settings, make_link: MakeLink) -> None:
        """Nothing is made here: see `run`."""
        self._make_link = make_link
        self._image: Image | None = None
        self._changed = asyncio.Event()
        self._link: Room | None = None
        self._of: tuple[Settings, str] | None = None
        """What the link was made with."""
        self._level = installed.log_level

    def show(self, image: Image) -> None:
        """Take the newest image. Returns at once."""
        self._image = image
        self._adjust_log(image.settings)
        if _wanted(image) != self._of:
            self._changed.set()
        elif self._link is not None:
            self._link.show(image)

    async def run(self) -> None:
        """Keep the link of the settings that count until cancelled."""
        while self._image is None:
            self._changed.clear()
            await self._changed.wait()
        try:
            while True:
                await self._keep(self._image)
        finally:
            self._link, self._of = None, None

    async def _keep(self, image: Image) -> None:
        """One link, until others count or it fails."""
        self._changed.clear()
        self._of = _wanted(image)
        settings, order = self._of
        link = self._link = self._make_link(settings, order)
        if link is None:
            await self._changed.wait()
            return
        link.show(image)
        works = asyncio.create_task(link.run(), name="link")
        waits = asyncio.create_task(self._changed.wait(), name="settings")
        try:
            await asyncio.wait({works, waits}, return_when=asyncio.FIRST_COMPLETED)
            if not works.done():
                log.info("other settings count now; the link to the head end is made anew")
        finally:
            await _ended(waits)
            await _ended(works)
        if not works.cancelled():
            works.result()  # a mistake of ours in the room

    def _adjust_log(self, settings: Settings) -> None:
        # Whoever started the program may have asked for more: that stays until an order says else.
        if settings.log_level is not self._level:
            self._level = settings.log_level
            logging.getLogger("gateway").setLevel(str(self._level))
            log.warning("logging from %s upwards", self._level)


def _wanted(image: Image) -> tuple[Settings, str]:
    overlay = image.overlay
    return image.settings, "" if overlay is None else overlay.order


async def _ended(task: "asyncio.Task[object]") -> None:
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
