"""The engine's side of the head-end room: an inbox that answers and a journal in memory.

They do what the engine and the journal do for this room and nothing else: claims are answered,
true acknowledgements move `acked_through`, and every change is shown.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from gateway.core.admitted import JOURNAL_DEGRADED
from gateway.core.fact import (
    AckClaim,
    Answer,
    BrokerSeen,
    Claim,
    DocumentClaim,
    Event,
    HeadEndSeen,
)
from gateway.core.image import Degraded, Image
from gateway.core.model import GatewayId, Now, Station, SupplyState
from gateway.core.noted import NotedReading
from gateway.core.records import CHAIN_START, Started, Stored, record_of, store
from gateway.core.trust import Root
from gateway.headend.dialler import Draw
from gateway.headend.metering import MeterReading
from gateway.headend.mqtt import HeadEnd
from gateway.headend.outbox import OutboxLimits
from gateway.headend.session import BrokerSettings, TlsSettings
from gateway.ports import Reply, StoredReading

GATEWAY = GatewayId("gw-1")
UTILITY = "demo"
PATIENCE_S = 20
QUICK = OutboxLimits(resend_first_s=0.2, resend_max_s=1.0)


def reading(ordinal: int) -> MeterReading:
    """What one of two meters measured, a minute after the reading before."""
    return MeterReading(
        ordinal=ordinal,
        meter=f"M{1 + ordinal % 2}",
        wall_ms=1_795_392_000_000 + ordinal * 60_000,
        trusted=True,
        state=SupplyState.CONNECTED,
        supply_mv=230_000 + ordinal,
        energy_wh=ordinal * 10,
    )


def stored(told: MeterReading) -> StoredReading:
    """A reading as the journal has it that the head end is told like this."""
    noted = msgspec.structs.asdict(told)
    return StoredReading(ordinal=noted.pop("ordinal"), reading=NotedReading(**noted))


class EngineSide:
    """Collects what is posted. `answers` off: nothing is answered, as if a commit never ended."""

    def __init__(self, boot: str = "boot-1") -> None:
        self.events: list[Event] = []
        self.answers = True
        self.deaf_to_acks = 0
        """So many acknowledgements of something new are answered but lost before the commit."""
        self.full_for = 0
        """So many posts are turned away because the inbox is full."""
        self.turned_away = 0
        self.readings: list[MeterReading] = []
        self.room: HeadEnd | None = None
        self._stored: list[Stored] = []
        self._forgotten = 0
        self._boot = boot
        self._image = Image(
            station=Station(gateway=GATEWAY, buses=(), profiles={}),
            root=Root(seq=1, issued_at=0, keys=()),
        )
        self._changed = asyncio.Event()

    @property
    def acked_through(self) -> int:
        """How far the head end has acknowledged, as committed here."""
        return self._image.acked_through

    @property
    def readings_acked_through(self) -> int:
        """Likewise of readings, by ordinal."""
        return self._image.readings_acked_through

    @property
    def stored(self) -> tuple[Stored, ...]:
        """Every record written."""
        return tuple(self._stored)

    @property
    def brokers(self) -> list[BrokerSeen]:
        """What the room said of the broker."""
        return [event for event in self.events if isinstance(event, BrokerSeen)]

    @property
    def documents(self) -> list[bytes]:
        """The documents that came, in order."""
        return [event.raw for event in self.events if isinstance(event, DocumentClaim)]

    @property
    def heard(self) -> list[HeadEndSeen]:
        """The head end's words about itself, in order."""
        return [event for event in self.events if isinstance(event, HeadEndSeen)]

    @property
    def signs_of_life(self) -> int:
        """How often the head end itself said that it is there, and not the broker for it."""
        return sum(word.online and not word.kept_by_broker for word in self.heard)

    def write(self, count: int, *, padding: int = 0) -> None:
        """Write so many more records, each with at least `padding` bytes of text."""
        for _ in range(count):
            number = len(self._stored) + 1
            now = Now(mono_ms=number, boot=self._boot, wall_ms=number, wall_low_ms=number)
            body = Started(version=f"{number}:".ljust(padding, "x"))
            self._stored.append(store(record_of(number, body, now), self._chain(number - 1)))
        self._show(number=len(self._stored), chain=self._chain(len(self._stored)))

    def forgets_through(self, number: int) -> None:
        """The journal keeps the records up to there no longer."""
        self._forgotten = number

    def disk_takes(self, *, nothing: bool) -> None:
        """From now on claims are refused because of the disk, or not any more."""
        degraded = Degraded(trouble="DISK_FULL", since_ms=0, held=0) if nothing else None
        self._show(degraded=degraded)

    def measure(self, count: int, *, thinned: int = 0) -> None:
        """Write so many readings more, of two meters; the first `thinned` are not kept."""
        first = self._image.readings_last + 1
        last = first + count - 1
        self.readings += [reading(ordinal) for ordinal in range(first + thinned, last + 1)]
        self._show(readings_last=last)

    async def readings_after(self, ordinal: int, count_max: int) -> tuple[StoredReading, ...]:
        """`ports.Records`."""
        later = (stored(reading) for reading in self.readings if reading.ordinal > ordinal)
        return tuple(itertools.islice(later, count_max))

    def post(self, event: Event, reply: Reply | None = None) -> bool:
        """`ports.Inbox`."""
        if self.full_for:
            self.full_for -= 1
            self.turned_away += 1
            return False
        self.events.append(event)
        self._changed.set()
        if self.answers:
            asyncio.get_running_loop().call_soon(self._settle, event, reply)
        return True

    async def records_after(self, number: int, bytes_max: int) -> tuple[Stored, ...]:
        """`ports.Records`."""
        taken: list[Stored] = []
        for stored in self._stored[max(number, self._forgotten) :]:
            bytes_max -= len(stored.content)
            if taken and bytes_max < 0:
                break
            taken.append(stored)
        return tuple(taken)

    async def chain_at(self, number: int) -> bytes | None:
        """`ports.Records`."""
        known = number == 0 or self._forgotten <= number <= len(self._stored)
        return self._chain(number) if known else None

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait until something is so; the test fails when it never is."""
        async with asyncio.timeout(PATIENCE_S):
            while not happened():
                self._changed.clear()
                await self._changed.wait()

    async def until_connected(self) -> BrokerSeen:
        """Wait until the newest word on the broker is that it is connected."""
        await self.until(lambda: bool(self.brokers) and self.brokers[-1].connected)
        return self.brokers[-1]

    async def until_head_end(self, *, online: bool) -> None:
        """Wait until the newest word of the head end is this."""
        await self.until(lambda: bool(self.heard) and self.heard[-1].online is online)

    @asynccontextmanager
    async def running(
        self,
        host: str,
        port: int,
        *,
        username: str | None = None,
        password_file: str | None = None,
        tls: TlsSettings | None = None,
        limits: OutboxLimits = QUICK,
        draw: Draw = lambda low, _: max(low, 0.02),
    ) -> AsyncIterator[HeadEnd]:
        """The room at work with a broker."""
        self.room = HeadEnd(
            BrokerSettings(
                host=host, port=port, username=username, password_file=password_file, tls=tls
            ),
            utility=UTILITY,
            gateway=GATEWAY,
            inbox=self,
            records=self,
            status=lambda image: msgspec.json.encode(
                {"gateway": GATEWAY, "online": True, "records": image.number}
            ),
            birth=lambda _: b'{"version":"1"}',
            limits=limits,
            draw=draw,
        )
        self.room.show(self._image)
        task = asyncio.create_task(self.room.run())
        try:
            yield self.room
        finally:
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                task.result()

    def _settle(self, event: Event, reply: Reply | None) -> None:
        answer = Answer(accepted=True, word="ACCEPTED")
        if self._image.degraded is not None and isinstance(event, Claim):
            answer = JOURNAL_DEGRADED
        elif isinstance(event, AckClaim):
            self._acknowledged(event)
        if reply is not None:
            reply(answer)

    def _acknowledged(self, claim: AckClaim) -> None:
        read = self.readings_acked_through
        new = max(claim.through - self.acked_through, (claim.readings or 0) - read)
        if self.deaf_to_acks and new > 0:
            self.deaf_to_acks -= 1
            return
        if claim.chain != self._chain(claim.through).hex():
            return
        self._show(
            acked_through=max(claim.through, self.acked_through),
            readings_acked_through=max(claim.readings or 0, read),
        )

    def _show(self, **changes: object) -> None:
        self._image = msgspec.structs.replace(self._image, **changes)
        self._changed.set()
        if self.room is not None:
            self.room.show(self._image)

    def _chain(self, number: int) -> bytes:
        return self._stored[number - 1].chain if number else CHAIN_START
