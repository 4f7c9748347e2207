"""The head-end room: keeps one connection, hands records out and documents in.

Owns the link to the head end: when to dial, what to publish and when to send it again. Must never
hold the only copy of anything: the journal has the records, and a message is acknowledged only
after the engine has answered it. That the broker took a batch clears nothing; `down/ack` does, by
way of the engine and the image.
"""

import asyncio
import logging
import math
from collections.abc import Callable

from gateway.core.fact import BrokerSeen, HeadEndSeen
from gateway.core.image import Image
from gateway.core.model import GatewayId
from gateway.core.status import notable
from gateway.headend.dialler import (
    SYSTEM_DRAW,
    BackOff,
    Dialler,
    Draw,
    Role,
    Will,
)
from gateway.headend.intake import Intake, read_message
from gateway.headend.messages import RECORDS_MAX, Topics, pack_absence, pack_records
from gateway.headend.outbox import DEFAULT_LIMITS, Outbox, OutboxLimits
from gateway.headend.session import BrokerSettings, DialFailed, Message, Session
from gateway.ports import Inbox, Records

STATUS_EVERY_S = 2.0
"""The shortest time between two statuses."""
STATUS_AT_LEAST_S = 60.0
"""A status is sent so often although nothing notable has changed: ages and counters."""
HELD_S = 60.0
"""A connection that lived so long was good: the next attempt does not wait long."""

log = logging.getLogger(__name__)


class HeadEnd:
    """The room of the head-end link (`ports.Room`).

    `status` and `birth` give the payloads of `up/status` (with `"online": true`) and `up/birth`.
    `draw` gives the back-off's waiting times between two bounds.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        *,
        utility: str,
        gateway: GatewayId,
        inbox: Inbox,
        records: Records,
        status: Callable[[Image], bytes],
        birth: Callable[[Image], bytes],
        limits: OutboxLimits = DEFAULT_LIMITS,
        draw: Draw = SYSTEM_DRAW,
    ) -> None:
        self._gateway = gateway
        self._records = records
        self._status = status
        self._birth = birth
        self._topics = Topics(root=settings.topic_root, utility=utility, gateway=gateway)
        self._intake = Intake(inbox)
        self._outbox = Outbox(limits)
        self._back_off = BackOff(draw)
        topics = self._topics
        role = Role(
            client_id=f"fg-{gateway}",
            lasting=True,
            filters=(topics.document, topics.ack),
            fleeting=(topics.host,),
            will=Will(topic=topics.status, payload=pack_absence(gateway)),
        )
        self._dialler = Dialler(settings, role)
        self._image: Image | None = None
        self._changed = asyncio.Event()
        self._head_end_online: bool | None = None
        """What the head end said of itself; None: nothing yet."""
        self._broker_seen: BrokerSeen | None = None
        self._said: tuple[object, ...] | None = None
        self._said_at_s = -math.inf

    def show(self, image: Image) -> None:
        """Take the newest image. Returns at once."""
        self._image = image
        self._changed.set()

    async def run(self) -> None:
        """Keep the link until cancelled; then say goodbye within a second."""
        while self._image is None:
            self._changed.clear()
            await self._changed.wait()
        try:
            while True:
                wait_s = await self._connect_once()
                await asyncio.sleep(wait_s)
        finally:
            self._say(BrokerSeen(connected=False, detail="the link was closed here"))
            self._intake.stop()

    async def _connect_once(self) -> float:
        """One connection, from dialling to its end. Returns how long to wait before the next."""
        loop = asyncio.get_running_loop()
        try:
            session = await self._dialler.dial(self._receive)
            since_s = loop.time()
            self._say(BrokerSeen(connected=True, protocol=session.protocol))
            reason = await self._serve(session)
        except DialFailed as failed:
            self._say(BrokerSeen(connected=False, detail=failed.detail))
            return self._back_off.slow_s() if failed.permanent else self._back_off.next_s()
        self._say(BrokerSeen(connected=False, detail=reason))
        if loop.time() - since_s >= HELD_S:
            self._back_off.reset()
        return self._back_off.next_s()

    async def _serve(self, session: Session) -> str:
        """Hand records out until the connection ends. Returns why it ended."""
        session.lost.add_done_callback(lambda _: self._changed.set())
        self._outbox.begin_again()
        self._said, self._said_at_s = None, -math.inf
        try:
            self._publish(session, self._topics.birth, self._birth(self._newest()), retain=True)
            while not session.lost.done():
                self._changed.clear()
                if self._intake.left and self._newest().degraded is None:
                    return "documents wait at the broker for a new connection"
                self._send_status(session)
                await self._send_records(session)
                await self._until_changed(self._next_deadline_s(session))
            return session.lost.result()
        finally:
            await self._leave(session)

    def _send_status(self, session: Session) -> None:
        image, now_s = self._newest(), asyncio.get_running_loop().time()
        if now_s >= self._next_status_s():
            self._said, self._said_at_s = notable(image), now_s
            self._publish(session, self._topics.status, self._status(image), retain=True)

    def _next_status_s(self) -> float:
        unchanged = self._said == notable(self._newest())
        return self._said_at_s + (STATUS_AT_LEAST_S if unchanged else STATUS_EVERY_S)

    async def _send_records(self, session: Session) -> None:
        loop, outbox = asyncio.get_running_loop(), self._outbox
        image = self._newest()
        outbox.note(image.written, image.acked_through, loop.time())
        if self._overdue(session):
            log.info("nothing acknowledged after record %d; sending again", image.acked_through)
            outbox.count_as_lost()
        while outbox.ready and self._head_end_online is not False and not session.lost.done():
            previous = outbox.sent
            chain = await self._records.chain_at(previous)
            stored = await self._records.records_after(previous, RECORDS_MAX)
            assert chain is not None, "what is acknowledged or was sent is in the journal"
            if outbox.sent != previous:
                continue  # the head end came back meanwhile and the window was set back
            packed = pack_records(self._gateway, chain, stored)
            self._publish(session, self._topics.records, packed.payload)
            outbox.batch_sent(packed.last, loop.time())

    def _overdue(self, session: Session) -> bool:
        deadline_s = self._resend_at_s(session)
        return deadline_s is not None and asyncio.get_running_loop().time() >= deadline_s

    def _resend_at_s(self, session: Session) -> float | None:
        # What the broker has not even confirmed is still on its way, and TCP sees to it.
        if self._head_end_online is False or session.unconfirmed:
            return None
        return self._outbox.deadline_s

    def _next_deadline_s(self, session: Session) -> float:
        resend_s, status_s = self._resend_at_s(session), self._next_status_s()
        return status_s if resend_s is None else min(resend_s, status_s)

    async def _until_changed(self, deadline_s: float) -> None:
        try:
            async with asyncio.timeout_at(deadline_s):
                await self._changed.wait()
        except TimeoutError:
            return

    def _publish(
        self, session: Session, topic: str, payload: bytes, *, retain: bool = False
    ) -> None:
        def confirmed(confirmation: "asyncio.Future[str]") -> None:
            self._changed.set()
            why_not = confirmation.result()
            if why_not and not session.lost.done():
                detail = f"the broker does not take {topic}: {why_not}"
                self._say(BrokerSeen(connected=True, protocol=session.protocol, detail=detail))

        session.publish(topic, payload, retain=retain).add_done_callback(confirmed)

    async def _leave(self, session: Session) -> None:
        if not session.lost.done():
            session.publish(self._topics.status, pack_absence(self._gateway), retain=True)
        await session.close()

    def _receive(self, session: Session, message: Message) -> None:
        event = read_message(message, self._topics)
        if event is None:
            session.acknowledge(message)
            return
        if isinstance(event, HeadEndSeen):
            # What was sent while nobody was there reached nobody. A word of somebody who is there
            # and has acknowledged nothing comes every minute: it is worth one batch, not a window.
            if event.online and self._head_end_online is False:
                self._outbox.begin_again()
            elif event.online and self._outbox.in_vain:
                self._outbox.ask_again()
            self._head_end_online = event.online
            self._changed.set()
        self._intake.message(event, message, session)

    def _say(self, seen: BrokerSeen) -> None:
        if seen == self._broker_seen:
            return
        self._broker_seen = seen
        log.info("broker: %s", seen.detail or seen.protocol)
        self._intake.tell(seen)

    def _newest(self) -> Image:
        assert self._image is not None, "run() waits for the first image"
        return self._image
