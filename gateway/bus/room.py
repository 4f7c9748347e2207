"""The bus room: all buses side by side, one line each.

Owns which line a command goes to. Must never let one bus wait for another, nor lose a report.
Implements `gateway.ports.Bus`.
"""

import asyncio
from collections.abc import Mapping

from gateway.bus.checkup import Checkup
from gateway.bus.line import Line
from gateway.bus.port import BusSettings
from gateway.bus.profile import Profile
from gateway.bus.switching import unasked
from gateway.core.fact import Outcome, SwitchCommand, Why
from gateway.core.image import Image
from gateway.ports import Clock, Inbox

__all__ = ["BusSettings", "Buses"]


class Buses:
    """The meters of all buses."""

    def __init__(
        self,
        settings: tuple[BusSettings, ...],
        profiles: Mapping[str, Profile],
        inbox: Inbox,
        clock: Clock,
    ) -> None:
        self._inbox = inbox
        self._lines = {one.name: Line(one, profiles, inbox, clock) for one in settings}
        self._stray: asyncio.Queue[SwitchCommand] = asyncio.Queue()

    async def run(self) -> None:
        """Run every line until cancelled."""
        async with asyncio.TaskGroup() as group:
            for line in self._lines.values():
                group.create_task(line.run())
            group.create_task(self._report_stray())

    def show(self, image: Image) -> None:
        """Take the newest image, read-only. Returns at once."""
        for line in self._lines.values():
            line.show(image)

    def switch(self, command: SwitchCommand) -> None:
        """Queue one command to a load switch ahead of polling. Returns at once."""
        line = self._lines.get(command.meter.bus)
        if line is None:
            self._stray.put_nowait(command)
        else:
            line.switch(command)

    async def test(self, serial: str) -> Checkup | None:
        """Read one meter several times at once, before any poll; None: no bus has it."""
        for line in self._lines.values():
            found = await line.test(serial)
            if found is not None:
                return found
        return None

    async def _report_stray(self) -> None:
        # The site in force may name a bus that this configuration does not have any more.
        while True:
            command = await self._stray.get()
            await self._inbox.put(unasked(command, Outcome.FAILED, why=Why.BUS_DOWN))
