"""A gateway with all that the head end hears of: engine, journal and link; only its bus is told.

The tests say what the bus has read and done.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from gateway.core.documents import Site
from gateway.core.fact import DocumentClaim, Event, HeadEndSeen, MeterSeen, Road, SwitchCommand
from gateway.core.image import Image
from gateway.core.model import GatewayId, Meter, Reading, Serial, SupplyState
from gateway.core.orders import Act
from gateway.engine import Engine
from gateway.headend.messages import Topics
from gateway.headend.mqtt import HeadEnd
from gateway.headend.notes import MeterNote, OrderNote, read_meter, read_order
from gateway.headend.session import BrokerSettings
from gateway.inbox import BoundedInbox
from gateway.journal.sqlite import SqliteJournal
from gateway.utility.sign import SigningKey
from tests.core.corridor import NONCE, OPEN, HandClock, ended
from tests.core.papers import BLANK, M1, M2, MINUTE_MS, order, receipt
from tests.rooms.brokers import Mosquitto
from tests.rooms.headend.engine_side import GATEWAY, PATIENCE_S, QUICK, UTILITY
from tests.rooms.headend.other_end import OtherEnd
from tests.signing import sign_order, sign_receipt, sign_site

TOPICS = Topics(root="fg", utility=UTILITY, gateway=GATEWAY)


class WholeGateway:
    """Running while `running` is; `image` is what it holds true."""

    def __init__(self, folder: Path, clock: HandClock | None = None) -> None:
        self.clock = clock or HandClock()
        self.inbox = BoundedInbox()
        self.commands: list[SwitchCommand] = []
        self._folder = folder
        self._engine: Engine | None = None
        self._changed = asyncio.Event()

    @property
    def image(self) -> Image:
        """What it holds true now."""
        assert self._engine is not None
        return self._engine.image

    def show(self, _: Image) -> None:
        """`ports.Room`: it is its own bus."""
        self._changed.set()

    def switch(self, command: SwitchCommand) -> None:
        """`ports.Bus`."""
        self.commands.append(command)
        self._changed.set()

    async def run(self) -> None:
        """`ports.Room`: the engine does not call it."""

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait until something of it is so; the test fails when it never is."""
        async with asyncio.timeout(PATIENCE_S):
            while not happened():
                self._changed.clear()
                await self._changed.wait()

    async def has(self, event: Event) -> None:
        """Something comes, by no wire."""
        await self.inbox.put(event)

    async def reads(self, serial: str, state: SupplyState, **values: int) -> None:
        """A meter is read now."""
        mono_ms = self.clock.instant.mono_ms
        reading = Reading(state=state, mono_ms=mono_ms, values_ms=mono_ms, **values)
        await self.has(MeterSeen(serial=Serial(serial), reading=reading))

    async def closes(self) -> None:
        """The close that was commanded last ends well."""
        await self.until(lambda: bool(self.commands))
        await self.has(ended(self.commands.pop()))

    @asynccontextmanager
    async def running(self, host: str, port: int, *meters: Meter) -> AsyncIterator["WholeGateway"]:
        """At work with a broker; by default M1 and M2 are on its roster, M1 dark and paid."""
        self._folder.mkdir(exist_ok=True)
        journal = await SqliteJournal.open(self._folder / "journal.db")
        room = self._room(host, port, journal)
        self._engine = Engine(
            BLANK,
            inbox=self.inbox,
            journal=journal,
            bus=self,
            watchers=[room],
            clock=self.clock,
            readings_every_ms=15 * MINUTE_MS,
        )
        await self._engine.start()
        tasks = [asyncio.create_task(self._engine.run()), asyncio.create_task(room.run())]
        try:
            await self._installed(meters or (M1, M2))
            yield self
        finally:
            self._engine.stop()
            tasks[1].cancel()
            await asyncio.wait(tasks)
            await journal.close()
            tasks[0].result()

    def _room(self, host: str, port: int, journal: SqliteJournal) -> HeadEnd:
        return HeadEnd(
            BrokerSettings(host=host, port=port),
            utility=UTILITY,
            gateway=GatewayId(GATEWAY),
            inbox=self.inbox,
            records=journal,
            status=lambda image: msgspec.json.encode(
                {"gateway": GATEWAY, "online": True, "records": image.number}
            ),
            birth=lambda image: msgspec.json.encode({"meters": len(image.roster)}),
            clock=self.clock,
            limits=QUICK,
            draw=lambda low, _: max(low, 0.02),
        )

    async def _installed(self, meters: tuple[Meter, ...]) -> None:
        site = sign_site(Site(gateway=GATEWAY, seq=1, feeder="feeder-1", meters=meters))
        answer = await self.inbox.ask(DocumentClaim(raw=site, road=Road.LOCAL))
        if answer.word == "DUPLICATE":
            return
        assert answer.accepted, answer
        paid = await self.inbox.ask(
            DocumentClaim(raw=sign_receipt(receipt(1, 100)), road=Road.LOCAL)
        )
        assert paid.accepted, paid
        await self.reads("M1", OPEN)
        await self.has(HeadEndSeen(online=True))


class Head(OtherEnd):
    """The head end: what it was told of orders and meters, and how it orders."""

    def told(self, order_id: str = "order-1") -> list[OrderNote]:
        """What was said of an order, in order."""
        return [read_order(raw) for raw in self.on(TOPICS.order(order_id))]

    def states(self, order_id: str = "order-1") -> list[str]:
        """The states that were told, in order."""
        return [str(note.state) for note in self.told(order_id)]

    def meter(self, serial: str) -> list[MeterNote]:
        """What was said of a meter, in order."""
        return [read_meter(raw) for raw in self.on(TOPICS.meter(serial)) if raw]

    async def orders(
        self, seq: int, act: Act, *by: SigningKey, retain: bool = False, **members: Any
    ) -> bytes:
        """An order for this gateway is published; its bytes."""
        paper = msgspec.structs.replace(order(seq, act, boot=NONCE), **members)
        raw = sign_order(paper, *by)
        await self.say(TOPICS.document, raw, retain=retain)
        return raw

    async def until_told(self, state: str, order_id: str = "order-1") -> OrderNote:
        """Wait until an order was said to be so."""
        await self.until(lambda: state in self.states(order_id))
        return next(note for note in self.told(order_id) if note.state == state)


@asynccontextmanager
async def whole(tmp_path: Path, *meters: Meter) -> AsyncIterator[tuple[WholeGateway, Head]]:
    """A gateway and its head end, with a Mosquitto between them."""
    broker = Mosquitto(tmp_path / "broker")
    await broker.start()
    try:
        async with (
            Head().listening(broker.host, broker.port) as head,
            WholeGateway(tmp_path / "gateway").running(broker.host, broker.port, *meters) as ours,
        ):
            await head.until(lambda: bool(head.on(TOPICS.birth)))
            yield ours, head
    finally:
        await broker.stop()
