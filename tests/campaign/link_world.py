"""One gateway and its head end, with a network on either side of the broker that can be cut.

Owns the world and its judge. The broker is a Mosquitto; the gateway is the real engine, journal and
link; the head end is the real collector, and orders are published and followed as `utility order
--wait` does. Must never take the gateway's or the collector's word for what is to be judged: what
is on disk is looked at, and what passes the network.
"""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

from gateway.core.model import GatewayId, IdText
from gateway.core.orders import Order, Reconnect
from gateway.core.progress import OrderState
from gateway.core.records import OrderAccepted, chain_hash, read_record
from gateway.core.sequence import nonce_of
from gateway.headend.dialler import Dialler, Role
from gateway.headend.messages import Topics, pack_ack, read_ack, read_records
from gateway.headend.session import BrokerSettings, Message, Session
from gateway.host.clock import HostClock, boot_id
from gateway.utility.collect import Collector
from gateway.utility.collect_store import open_store
from gateway.utility.collected import Store
from gateway.utility.order_wait import Follow, follow
from tests.core.papers import NOON_MS
from tests.rooms.brokers import Mosquitto
from tests.rooms.headend.cutting_proxy import CuttingProxy, Kind, Packet, Way, cutting_proxy
from tests.rooms.headend.engine_side import GATEWAY
from tests.rooms.headend.linked_gateway import KEEPALIVE_S, LinkedGateway, Notes, happened, order_id
from tests.signing import sign_order

GoesDark = Callable[[str], Awaitable[None]]
See = Callable[[Packet], None]
ORDER_WITHIN_S = 120.0
ORDER_LIFE_MS = 600_000


class World:
    """Use `World.opened`. `near` is the gateway's network, `far` the collector's."""

    def __init__(
        self, folder: Path, utility: str, broker: Mosquitto, store: Store, homes: int
    ) -> None:
        self.broker = broker
        self.notes = Notes()
        self.gateway = LinkedGateway(folder / "gateway", utility, homes, self.notes)
        self.orders: list[str] = []
        self.deliveries: Counter[str] = Counter()
        self.within = True
        """The gateway runs here, where what it has committed is seen."""
        self.early: list[str] = []
        """What was acknowledged before it was on disk."""
        self.see: See = lambda _: None
        """Sees every packet before it passes, on either side."""
        self._near: CuttingProxy | None = None
        self._far: CuttingProxy | None = None
        self._collector: Collector | None = None
        self._utility = IdText(utility)
        self._topics = Topics(root="fg", utility=self._utility, gateway=GATEWAY)
        self.database = folder / "records.db"
        self._store = store
        self._clock = HostClock(boot_id(), NOON_MS)
        self._coming: dict[tuple[int, int], str] = {}

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        folder: Path,
        *,
        homes: int,
        utility: str = "demo",
        collects: bool = True,
        options: tuple[str, ...] = (),
    ) -> AsyncIterator["World"]:
        """Everything at work for a while; `collects` False: but the collector.

        `options`: of the broker.
        """
        folder.mkdir(exist_ok=True)
        broker = Mosquitto(folder / "broker", options=options)
        await broker.start()
        store = open_store(str(folder / "records.db"))
        world = cls(folder, utility, broker, store, homes)
        where = (broker.host, broker.port)
        try:
            async with (
                cutting_proxy(*where, world._look_near) as near,
                cutting_proxy(*where, world._look_far) as far,
            ):
                world._near, world._far = near, far
                await world.gateway.start(near.host, near.port)
                if collects:
                    await world.collect()
                yield world
                await world.collect_no_more()
                await world.gateway.stop()
        finally:
            store.close()
            await broker.stop()

    @property
    def near(self) -> CuttingProxy:
        """The gateway's network."""
        assert self._near is not None
        return self._near

    @property
    def far(self) -> CuttingProxy:
        """The collector's network."""
        assert self._far is not None
        return self._far

    async def collect(self) -> None:
        """A collector begins."""
        self._collector = Collector(
            self._settings(self.far), utility=self._utility, database=self.database
        )
        await self._collector.start()

    async def collect_no_more(self) -> None:
        """The collector ends in order."""
        if self._collector is not None:
            await self._collector.stop()
            self._collector = None

    async def again(self) -> None:
        """The gateway ends in order and begins again."""
        await self.gateway.stop()
        await self.gateway.start(self.near.host, self.near.port)

    async def order(self, goes_dark: GoesDark | None = None) -> str:
        """A home goes dark, is ordered to be reconnected, and has supply again; what went wrong.

        `goes_dark`: how a gateway is told that is a process of its own.
        """
        order = await self.wanted(goes_dark)
        return await self.followed(order)

    async def wanted(self, goes_dark: GoesDark | None = None) -> Order:
        """A home goes dark, and the order for it."""
        at = len(self.orders) + 1
        serial = f"M{(at - 1) % self.gateway.homes + 1}"
        self.orders.append(f"order-{at}")
        await (goes_dark or self.gateway.goes_dark)(serial)
        now = self._clock.now()
        return Order(
            gateway=GATEWAY,
            id=f"order-{at}",
            seq=at,
            iat=now.wall_low_ms,
            exp=now.wall_low_ms + ORDER_LIFE_MS,
            act=Reconnect(account=f"A{serial[1:]}", meter=serial),
            boot=nonce_of(now),
        )

    async def followed(self, order: Order) -> str:
        """An order is published until its end is told; what went wrong."""
        wanted = Follow(
            settings=self._settings(self.broker),
            utility=self._utility,
            gateway=GATEWAY,
            order=order.id,
            within_s=ORDER_WITHIN_S,
        )
        note = await follow(wanted, sign_order(order), lambda _: None)
        return "" if note.state is OrderState.SUCCEEDED else f"{order.id}: {note}"

    async def published(self, order: Order) -> None:
        """An order is published once: the broker has it, whatever becomes of it."""
        name = Role(client_id="publisher", lasting=False)
        session = await Dialler(self._settings(self.broker), name).dial(lambda *_: None)
        assert await session.publish(self._topics.document, sign_order(order)) == ""
        await session.close()

    def loses_after(self, number: int) -> None:
        """The head end's database, which nobody uses now, loses the records after that one."""
        with closing(sqlite3.connect(self.database)) as database, database:
            database.execute("DELETE FROM record WHERE number > ?", (number,))

    async def drained(self) -> None:
        """Wait until the gateway knows that the head end has all of its records."""
        image = self.gateway
        await image.until(lambda: image.image.acked_through == image.image.number)

    async def faults(self) -> list[str]:
        """The judgement: what is wrong with the records, the orders, the acknowledgements."""
        while True:
            await self.drained()
            written = await self.gateway.contents()
            if len(written) == self.gateway.image.acked_through == self.gateway.image.number:
                break  # nothing was written meanwhile
        return [*self.early, *self._of_records(written), *self._of_orders(written)]

    def _of_records(self, written: tuple[bytes, ...]) -> list[str]:
        held, counts = self._store.contents(GATEWAY), self._store.counts(GATEWAY)
        found: list[str] = []
        if missing := len(set(written) - set(held)):
            found.append(f"{missing} records are not at the head end")
        if len(held) != len(set(held)):
            found.append("records are doubled at the head end")
        if held != written:
            found.append("the head end's records are not those of the gateway, in order")
        if (counts.lives, counts.lost, counts.refused) != (1, 0, 0):
            found.append(f"the head end says: {counts}")
        return found

    def _of_orders(self, written: tuple[bytes, ...]) -> list[str]:
        bodies = (read_record(content).body for content in written)
        accepted = Counter(body.id for body in bodies if isinstance(body, OrderAccepted))
        closed = Counter(
            line for line in happened(self.gateway.contacts_file) if line.startswith("closed")
        )
        found = [
            f"{name} is in the journal {accepted[name]} times"
            for name in self.orders
            if accepted[name] != 1
        ]
        if closed.total() != len(self.orders):
            found.append(f"{len(self.orders)} orders made {closed.total()} closes: {closed}")
        for name, words in self.notes.answers.items():
            again = [word for word in words if word != "ACCEPTED"]
            # What a process of its own has answered is not known here.
            once = len(words) - len(again) == 1 or not self.within
            if not once or set(again) - {"DUPLICATE"}:
                found.append(f"{name} was answered {words}")
        return found

    def _settings(self, place: Mosquitto | CuttingProxy) -> BrokerSettings:
        return BrokerSettings(host=place.host, port=place.port, keepalive_s=KEEPALIVE_S)

    async def _look_near(self, connection: int, packet: Packet) -> None:
        self.see(packet)
        if packet.kind is Kind.PUBLISH and packet.topic == self._topics.document:
            name = order_id(packet.payload)
            self._coming[connection, packet.mid] = name
            self.deliveries[name] += 1
        elif (packet.kind, packet.way) == (Kind.PUBACK, Way.UP):
            name = self._coming.pop((connection, packet.mid), "")
            if name and self.within and name not in self.notes.on_disk:
                self.early.append(f"{name} was acknowledged before it was on disk")

    async def _look_far(self, _: int, packet: Packet) -> None:
        self.see(packet)
        if (packet.way, packet.topic) != (Way.UP, self._topics.ack):
            return
        said = read_ack(packet.payload).through
        if said > self._store.position(GatewayId(GATEWAY)).through:
            self.early.append(f"record {said} was acknowledged before it was on disk")

    async def careless(self) -> None:
        """A collector acknowledges what it has not stored, and is killed before it does."""
        acknowledged = asyncio.Event()

        def hear(session: Session, message: Message) -> None:
            batch = read_records(message.payload)
            chain = bytes.fromhex(batch.prev)
            for content in batch.records:
                chain = chain_hash(chain, bytes(content))
            through = batch.first + len(batch.records) - 1
            session.publish(self._topics.ack, pack_ack(through, chain))
            session.acknowledge(message)
            acknowledged.set()

        role = Role(client_id="careless", lasting=False, filters=(self._topics.records,))
        session = await Dialler(self._settings(self.far), role).dial(hear)
        await self.gateway.writes(3)
        await acknowledged.wait()
        await self.drained()
        self.far.break_all()
        await session.close()
