"""A gateway with one meter and no bus: the real engine, journal and head-end room.

Owns what a fleet has many of in one process. Must never do what those three do themselves: the
meter's contact goes to and fro, and every change is a record that the engine writes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from gateway.core.documents import Site
from gateway.core.fact import DocumentClaim, MeterSeen, Road, SwitchCommand
from gateway.core.image import Image
from gateway.core.model import (
    GatewayId,
    Meter,
    ProfileAbility,
    Reading,
    Station,
    SupplyState,
)
from gateway.core.status import status_of
from gateway.engine import Engine
from gateway.headend.dialler import SYSTEM_DRAW, Draw
from gateway.headend.mqtt import HeadEnd
from gateway.headend.session import BrokerSettings
from gateway.host.clock import HostClock, boot_id
from gateway.inbox import BoundedInbox
from gateway.journal.sqlite import SqliteJournal
from tests.signing import ISSUED_AT_MS, ROOT, sign_site

UTILITY = "demo"
PROFILE, BUS = "sdm230", "bus-1"
SERIAL = "23014000"
READ_BYTES = 1024 * 1024
TO_AND_FRO = (SupplyState.DISCONNECTED, SupplyState.CONNECTED)


class SmallGateway:
    """One gateway; use `SmallGateway.opened`."""

    def __init__(self, name: GatewayId, journal: SqliteJournal) -> None:
        self.name = name
        self._journal = journal
        self._inbox = BoundedInbox()
        self._clock = HostClock(boot_id(), ISSUED_AT_MS)
        self._image = Image(
            station=Station(
                gateway=name,
                buses=(BUS,),
                profiles={PROFILE: ProfileAbility(switches=False, proves_serial=True)},
            ),
            root=ROOT,
        )
        self._moves = 0
        self._room: HeadEnd | None = None
        self._changed = asyncio.Event()
        self._engine = Engine(
            self._image,
            inbox=self._inbox,
            journal=journal,
            bus=_NoBus(),
            watchers=(self,),
            clock=self._clock,
        )

    @classmethod
    @asynccontextmanager
    async def opened(cls, name: GatewayId, folder: Path) -> AsyncIterator["SmallGateway"]:
        """Its engine at work for a while, without a link. The journal stays in the folder."""
        journal = await SqliteJournal.open(folder / "journal.db")
        try:
            gateway = cls(name, journal)
            engine = gateway._engine
            await engine.start()
            running = asyncio.create_task(engine.run())
            try:
                if not engine.image.roster:
                    await gateway._install()
                yield gateway
            finally:
                engine.stop()
                await running
        finally:
            await journal.close()

    @property
    def number(self) -> int:
        """Its last record."""
        return self._image.number

    @property
    def chain(self) -> bytes:
        """The chain hash of its last record."""
        return self._image.chain

    @property
    def acked_through(self) -> int:
        """The last record of which it knows that the head end holds it."""
        return self._image.acked_through

    @property
    def drained(self) -> bool:
        """Whether it knows that the head end holds all of its records."""
        return self.acked_through == self.number

    async def contents(self) -> list[bytes]:
        """All of its records, as they are in the journal."""
        found: list[bytes] = []
        while len(found) < self.number:
            stored = await self._journal.records_after(len(found), READ_BYTES)
            found.extend(record.content for record in stored)
        return found

    def show(self, image: Image) -> None:
        """`ports.Room`, for the engine: the head end's room gets the image on."""
        self._image = image
        self._changed.set()
        if self._room is not None:
            self._room.show(image)

    async def run(self) -> None:
        """`ports.Room`: the engine does not call it."""

    async def write(self, records: int) -> None:
        """Have so many more records written."""
        until = self.number + records
        for _ in range(records):
            self._moves += 1
            state = TO_AND_FRO[self._moves % 2]
            reading = Reading(state=state, mono_ms=self._clock.now().mono_ms)
            await self._inbox.put(MeterSeen(serial=SERIAL, reading=reading))
        await self.until(lambda: self.number >= until)

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait until something of the image is so."""
        while not happened():
            self._changed.clear()
            await self._changed.wait()

    @asynccontextmanager
    async def linked(
        self, settings: BrokerSettings, *, draw: Draw = SYSTEM_DRAW
    ) -> AsyncIterator[None]:
        """Its link at work for a while."""
        self._room = HeadEnd(
            settings,
            utility=UTILITY,
            gateway=self.name,
            inbox=self._inbox,
            records=self._journal,
            status=lambda image: msgspec.json.encode(status_of(image, self._clock.now())),
            birth=lambda _: msgspec.json.encode({"gateway": self.name}),
            draw=draw,
        )
        self._room.show(self._image)
        task = asyncio.create_task(self._room.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            self._room = None
            if not task.cancelled():
                task.result()

    async def _install(self) -> None:
        meter = Meter(account="1", serial=SERIAL, profile=PROFILE, bus=BUS, unit=1, dt="T1")
        site = sign_site(Site(gateway=self.name, seq=1, feeder="F1", meters=(meter,)))
        answer = await self._inbox.ask(DocumentClaim(raw=site, road=Road.LOCAL))
        assert answer.accepted, answer


class _NoBus:
    async def run(self) -> None:
        """There is nothing to do."""

    def show(self, image: Image) -> None:
        """Nobody looks."""

    def switch(self, command: SwitchCommand) -> None:
        """No meter of this fleet has a switch of ours."""
        raise AssertionError(command)
