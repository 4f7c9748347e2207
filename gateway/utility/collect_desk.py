"""One connection of the collector: what came is stored and acknowledged, and somebody is there.

Owns what is known of the gateways while the connection lasts: who is present, who is told that the
head end is there, and which drills are on. Must never acknowledge during a drill, nor less than it
acknowledged before.
"""

import asyncio
from collections.abc import Callable, Sequence

from gateway.core.model import GatewayId, IdText
from gateway.headend.messages import BadPayload, Topics, pack_ack, parse_up, read_presence
from gateway.headend.session import BrokerSettings, Message, Session
from gateway.utility.attendance import Attendance
from gateway.utility.collect_intake import Arrived, take_in
from gateway.utility.collect_store import Keeper
from gateway.utility.collected import Position
from gateway.utility.collecting import (
    Collecting,
    DrillSeen,
    GatewayPresence,
    Leading,
    MessageRefused,
)
from gateway.utility.drill import Drills, parse_drill, read_drill

GATEWAYS_MAX = 1_000
"""Gateways that are told that the head end is there: each costs a connection."""


class Desk:
    """One connection's work: what came is stored and acknowledged, and somebody is there."""

    def __init__(
        self,
        settings: BrokerSettings,
        utility: IdText,
        session: Session,
        keeper: Keeper,
        report: Callable[[Collecting], None],
        heartbeat_s: float,
    ) -> None:
        self._settings = settings
        self._utility = utility
        self._session = session
        self._keeper = keeper
        self._report = report
        self._heartbeat_s = heartbeat_s
        self._leads = False
        self._drills = Drills()
        self._present: dict[GatewayId, bool] = {}
        self._known: dict[GatewayId, None] = {}
        self._attended: dict[GatewayId, Attendance] = {}
        self._attending: list[asyncio.Task[None]] = []
        self._said: dict[GatewayId, tuple[int, int, int]] = {}

    async def look(self, *, shared: bool) -> None:
        """See whether this worker is to speak for all, and whether drills are over."""
        for gateway in self._drills.expire(asyncio.get_running_loop().time()):
            await self._drill_seen(gateway, on=False)
        leads = await self._keeper.do(lambda store: store.lead()) if shared else True
        if leads and not self._leads:
            self._leads = True
            if shared:
                self._report(Leading())
            for gateway in tuple(self._known):
                await self._begin_to_attend(gateway)

    async def handle(self, messages: Sequence[Message]) -> None:
        """Take messages in, and let go of them when what they brought is safe."""
        records: list[Arrived] = []
        for message in messages:
            found = parse_drill(message.topic, self._settings.topic_root, self._utility)
            if found is not None:
                await self._hear_drill(found[0], message.payload)
            else:
                await self._hear(message, records)
        if records:
            taken = await take_in(self._keeper, records)
            for gateway, position in taken.positions.items():
                self._acknowledge(gateway, position)
            for event in taken.events:
                self._report(event)
        for message in messages:
            self._session.acknowledge(message)

    async def leave(self) -> None:
        """Say goodbye to everybody. Raises what ended one of the attendances."""
        for task in self._attending:
            task.cancel()
        ends = await asyncio.gather(*self._attending, return_exceptions=True)
        await self._session.close()
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def _hear(self, message: Message, records: list[Arrived]) -> None:
        parsed = parse_up(message.topic, self._settings.topic_root, self._utility)
        if parsed is None:
            return
        gateway, leaf = parsed
        if gateway not in self._known and len(self._known) < GATEWAYS_MAX:
            self._known[gateway] = None
            await self._begin_to_attend(gateway)
        if leaf in {"records", "readings"}:
            records.append(Arrived(gateway=gateway, payload=message.payload, leaf=leaf))
        elif leaf == "birth":
            self._call(gateway)
        else:
            await self._note_presence(gateway, message.payload)

    async def _note_presence(self, gateway: GatewayId, payload: bytes) -> None:
        try:
            online = read_presence(payload).online
        except BadPayload as bad:
            if self._leads:
                await self._keeper.do(lambda store: store.refuse(gateway))
                self._report(MessageRefused(gateway=gateway, name=bad.flaw, detail=bad.detail))
            return
        if self._present.get(gateway) is online:
            return
        self._present[gateway] = online
        if online:
            self._call(gateway)
        if self._leads:
            self._report(GatewayPresence(gateway=gateway, online=online))

    async def _hear_drill(self, gateway: GatewayId | None, payload: bytes) -> None:
        drill, at_s = read_drill(payload), asyncio.get_running_loop().time()
        if self._drills.hear(gateway, drill, at_s):
            await self._drill_seen(gateway, on=drill is not None)

    async def _drill_seen(self, gateway: GatewayId | None, *, on: bool) -> None:
        self._report(DrillSeen(gateway=gateway, on=on))
        for attended, attendance in self._attended.items():
            if gateway in {None, attended}:
                here = not self._drills.away(attended)
                if here:
                    await self._say_held(attended)
                attendance.be(here=here)

    def _acknowledge(self, gateway: GatewayId, position: Position) -> "asyncio.Future[str] | None":
        """Say what is held; never less than before, and nothing where we are to be away."""
        through = (position.life, position.through, position.readings)
        if self._drills.away(gateway) or through < self._said.get(gateway, (0, 0, 0)):
            return None
        self._said[gateway] = through
        payload = pack_ack(position.through, position.chain, position.readings or None)
        return self._session.publish(self._topics(gateway).ack, payload)

    async def _say_held(self, gateway: GatewayId) -> None:
        self._acknowledge(gateway, await self._keeper.do(lambda store: store.position(gateway)))

    async def _begin_to_attend(self, gateway: GatewayId) -> None:
        if not self._leads or gateway in self._attended:
            return
        attendance = Attendance(
            self._settings, self._topics(gateway), self._utility, self._heartbeat_s
        )
        attendance.be(here=not self._drills.away(gateway))
        self._attended[gateway] = attendance
        position = await self._keeper.do(lambda store: store.position(gateway))
        attending = self._attend(attendance, gateway, position)
        self._attending.append(asyncio.create_task(attending))

    async def _attend(self, attendance: Attendance, gateway: GatewayId, position: Position) -> None:
        """Be there for one gateway until cancelled: first what is held already, then "online"."""
        confirmed = self._acknowledge(gateway, position)
        if confirmed is not None:
            await confirmed
        await attendance.run()

    def _call(self, gateway: GatewayId) -> None:
        if gateway in self._attended:
            self._attended[gateway].call()

    def _topics(self, gateway: GatewayId) -> Topics:
        return Topics(root=self._settings.topic_root, utility=self._utility, gateway=gateway)
