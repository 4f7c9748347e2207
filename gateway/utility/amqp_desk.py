"""What a collector on a queue does with what comes, and what it says to the gateways.

Owns the way of a delivery from its arrival to its end. Must never let go of a delivery before what
it brought is stored and acknowledged to its gateway: then another worker has it all the same.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import aio_pika
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError

from gateway.core.model import GatewayId, IdText, Value
from gateway.headend.messages import (
    BadPayload,
    Topics,
    pack_ack,
    pack_host,
    parse_up,
    read_presence,
)
from gateway.host.clock import wall_ms
from gateway.utility.collect_intake import Arrived, take_in
from gateway.utility.collect_store import Keeper
from gateway.utility.collected import Position, Store
from gateway.utility.collecting import (
    Collecting,
    DrillSeen,
    GatewayPresence,
    MessageRefused,
)
from gateway.utility.drill import Drills, parse_drill, read_drill

LINK_ENDS = (AMQPError, ChannelInvalidStateError, OSError)
"""What is raised where the link to the cluster is not there or breaks."""


def key_of(topic: str) -> str:
    """The routing key that the MQTT plugin makes of a topic."""
    return topic.replace("/", ".")


class Speaker:
    """Speaks to gateways by way of the exchange; returns when the broker has the word."""

    def __init__(self, topic_root: str, utility: IdText, exchange: AbstractExchange) -> None:
        self._topic_root = topic_root
        self._utility = utility
        self._exchange = exchange
        self._said: dict[GatewayId, tuple[int, int, int]] = {}

    async def be(self, gateway: GatewayId, *, here: bool) -> None:
        """Whether somebody is at the head end."""
        await self._say(self._topics(gateway).host, pack_host(online=here, ts=wall_ms()))

    async def acknowledge(self, gateway: GatewayId, position: Position) -> None:
        """Everything up to there is stored; nothing where more than that has been said."""
        through = (position.life, position.through, position.readings)
        if through >= self._said.get(gateway, (0, 0, 0)):
            self._said[gateway] = through
            payload = pack_ack(position.through, position.chain, position.readings or None)
            await self._say(self._topics(gateway).ack, payload)

    async def _say(self, topic: str, payload: bytes) -> None:
        message = aio_pika.Message(payload, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        # A gateway that never was here has no queue: that is no failure of ours.
        await self._exchange.publish(message, key_of(topic), mandatory=False)

    def _topics(self, gateway: GatewayId) -> Topics:
        return Topics(root=self._topic_root, utility=self._utility, gateway=gateway)


class Words(Value):
    """What is to be said: to whom that we are here or away, and how far records are stored."""

    here: frozenset[GatewayId] = frozenset()
    away: frozenset[GatewayId] = frozenset()
    positions: Mapping[GatewayId, Position] = {}


class Desk:
    """What one connection has brought and is not done with.

    `known`: the gateways that were ever heard; more are added here.
    """

    def __init__(
        self,
        topic_root: str,
        utility: IdText,
        *,
        speaker: Speaker,
        store: Keeper,
        report: Callable[[Collecting], None],
        known: set[GatewayId],
    ) -> None:
        self._topic_root = topic_root
        self._utility = utility
        self._speaker = speaker
        self._store = store
        self._report = report
        self._known = known
        self._drills = Drills()
        self._present: dict[GatewayId, bool] = {}
        self._arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()

    async def arrived(self, message: AbstractIncomingMessage) -> None:
        """Take a delivery in hand. Returns at once."""
        self._arrived.put_nowait(message)

    async def run(self) -> None:
        """Store what came, all that waits in one transaction, and say so; until cancelled."""
        telling: set[asyncio.Task[None]] = set()
        try:
            while True:
                messages = [await self._arrived.get()]
                while not self._arrived.empty():
                    messages.append(self._arrived.get_nowait())
                # While its words travel, the next is stored.
                task = asyncio.create_task(self._tell(await self._heard(messages), messages))
                telling.add(task)
                task.add_done_callback(telling.discard)
        finally:
            if telling:
                await asyncio.wait(telling)

    async def beat(self, every_s: float) -> None:
        """Say again and again to every gateway that we are here, or away for a drill."""
        while True:
            for gateway in tuple(self._known):
                await self._speaker.be(gateway, here=not self._drills.away(gateway))
            await asyncio.sleep(every_s)

    async def end_drills(self, look_s: float) -> None:
        """Come back from drills that nobody holds any more."""
        while True:
            over = self._drills.expire(asyncio.get_running_loop().time())
            await self._tell(await self._after_drills(over), ())
            await asyncio.sleep(look_s)

    async def _heard(self, messages: Sequence[AbstractIncomingMessage]) -> Words:
        records: list[Arrived] = []
        changed: list[GatewayId | None] = []
        came: set[GatewayId] = set()
        for message in messages:
            topic = (message.routing_key or "").replace(".", "/")
            drill = parse_drill(topic, self._topic_root, self._utility)
            if drill is not None:
                changed.extend(self._hear_drill(drill[0], message.body))
                continue
            found = parse_up(topic, self._topic_root, self._utility)
            if found is not None:
                self._hear(*found, message.body, came, records)
        taken = await take_in(self._store, records)
        for event in taken.events:
            self._report(event)
        after = await self._after_drills(changed)
        return Words(
            here=after.here | frozenset(one for one in came if not self._drills.away(one)),
            away=after.away,
            positions={**after.positions, **taken.positions},
        )

    def _hear(
        self,
        gateway: GatewayId,
        leaf: str,
        payload: bytes,
        came: set[GatewayId],
        records: list[Arrived],
    ) -> None:
        if gateway not in self._known or leaf == "birth":
            self._known.add(gateway)
            came.add(gateway)
        if leaf in {"records", "readings"}:
            records.append(Arrived(gateway=gateway, payload=payload, leaf=leaf))
        elif leaf == "status" and self._has_come(gateway, payload):
            came.add(gateway)

    def _has_come(self, gateway: GatewayId, payload: bytes) -> bool:
        """Whether it says that it has just come; that and its going are reported."""
        try:
            online = read_presence(payload).online
        except BadPayload as bad:
            self._report(MessageRefused(gateway=gateway, name=bad.flaw, detail=bad.detail))
            return False
        changed = self._present.get(gateway) is not online
        if changed:
            self._present[gateway] = online
            self._report(GatewayPresence(gateway=gateway, online=online))
        return changed and online

    def _hear_drill(self, gateway: GatewayId | None, payload: bytes) -> Iterable[GatewayId | None]:
        drill, at_s = read_drill(payload), asyncio.get_running_loop().time()
        if self._drills.hear(gateway, drill, at_s):
            self._report(DrillSeen(gateway=gateway, on=drill is not None))
            yield gateway

    async def _after_drills(self, changed: Iterable[GatewayId | None]) -> Words:
        """What is to be said where a drill has begun or is over; None: with the whole fleet."""
        whom: set[GatewayId] = set()
        for one in changed:
            whom |= self._known if one is None else self._known & {one}
        away = {gateway for gateway in whom if self._drills.away(gateway)}
        here = whom - away

        def held(store: Store) -> dict[GatewayId, Position]:
            return {gateway: store.position(gateway) for gateway in here}

        positions = await self._store.do(held) if here else {}
        return Words(here=frozenset(here), away=frozenset(away), positions=positions)

    async def _tell(self, words: Words, messages: Sequence[AbstractIncomingMessage]) -> None:
        """Say what there is to say, and only then let go of what it was said of."""
        speaker = self._speaker
        # What fails here ends the channel, which is noticed elsewhere: another worker gets all.
        with contextlib.suppress(*LINK_ENDS):
            await asyncio.gather(
                *(
                    speaker.acknowledge(gateway, position)
                    for gateway, position in words.positions.items()
                    if not self._drills.away(gateway)
                ),
                *(speaker.be(gateway, here=True) for gateway in words.here),
                *(speaker.be(gateway, here=False) for gateway in words.away),
            )
            await asyncio.gather(*(message.ack() for message in messages))
