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

import msgspec

from gateway.core.fact import AckClaim, BrokerSeen, HeadEndSeen
from gateway.core.image import Image
from gateway.core.model import GatewayId
from gateway.core.progress import OrderState, Progress
from gateway.core.status import notable
from gateway.headend.batches import ReadingBatches, RecordBatches
from gateway.headend.dialler import (
    SEND_MAX,
    SYSTEM_DRAW,
    BackOff,
    Dialler,
    Draw,
    Role,
    Will,
)
from gateway.headend.intake import Intake, read_message
from gateway.headend.messages import Topics, pack_absence
from gateway.headend.notes import pack_meter, pack_order
from gateway.headend.outbox import DEFAULT_LIMITS, Outbox, OutboxLimits
from gateway.headend.publishing import MetersTold, OrdersTold
from gateway.headend.session import BrokerSettings, DialFailed, Message, Session
from gateway.ports import Clock, Inbox, Records

STATUS_EVERY_S = 2.0
"""The shortest time between two statuses."""
STATUS_AT_LEAST_S = 60.0
"""A status is sent so often although nothing notable has changed: ages and counters."""
HELD_S = 60.0
"""A connection that lived so long was good: the next attempt does not wait long."""
LINK_MAX_S = 24 * 3600.0
"""A TLS link is made anew after half of this to all of it, when certificates are looked at: what
was renewed or revoked at either end would otherwise count only once the line breaks."""

LOG_BUNDLE = "log_bundle"

log = logging.getLogger(__name__)


class HeadEnd:
    """The room of the head-end link (`ports.Room`).

    `status` and `birth` give the payloads of `up/status` (with `"online": true`) and `up/birth`;
    `bundle` gives what support needs, as zlib: without it a `log_bundle` has no result. `order`:
    the one whose settings these are, empty for none. `clock` dates what is said of meters; without
    it nothing is said of them. `calendar` is what the machine's claims, milliseconds UTC, by which
    certificates are judged. `draw` gives the back-off's waiting times between two bounds.
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
        bundle: Callable[[Image], bytes] | None = None,
        clock: Clock | None = None,
        calendar: Callable[[], int] | None = None,
        order: str = "",
        limits: OutboxLimits = DEFAULT_LIMITS,
        draw: Draw = SYSTEM_DRAW,
    ) -> None:
        self._gateway = gateway
        self._status = status
        self._birth = birth
        self._bundle = bundle
        self._order = order
        self._clock = clock
        self._topics = Topics(root=settings.topic_root, utility=utility, gateway=gateway)
        self._intake = Intake(inbox, self._tell_order)
        self._records = RecordBatches(gateway, self._topics, records, limits)
        self._readings = ReadingBatches(gateway, self._topics, records, limits, self._records)
        self._outboxes = (self._records.outbox, self._readings.outbox)
        self._orders = OrdersTold()
        self._meters = MetersTold()
        self._back_off = BackOff(draw)
        topics = self._topics
        role = Role(
            client_id=f"fg-{gateway}",
            lasting=True,
            filters=(topics.document, topics.ack),
            fleeting=(topics.host,),
            will=Will(topic=topics.status, payload=pack_absence(gateway)),
        )
        self._dialler = Dialler(settings, role, wall_ms=calendar)
        self._draw = draw
        self._renews = settings.tls is not None
        self._image: Image | None = None
        self._session: Session | None = None
        self._reborn = 0
        """The number of the record for which the last birth was published."""
        self._changed = asyncio.Event()
        self._head_end_online: bool | None = None
        """What the head end said of itself; None: nothing yet."""
        self._broker_seen: BrokerSeen | None = None
        self._said: tuple[object, ...] | None = None
        self._said_at_s = -math.inf
        self._renew_at_s = math.inf

    def show(self, image: Image) -> None:
        """Take the newest image. Returns at once."""
        self._image = image
        self._changed.set()
        if self._session is not None:
            # How far an order has come does not wait for a status that is made of 2,000 meters.
            self._send_orders(self._session)

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
        self._records.head_end_may_be_another(self.newest.acked_through)
        self._begin_again()
        self._meters.begin_again()
        self._said, self._said_at_s = None, -math.inf
        self._renew_at_s = asyncio.get_running_loop().time() + self._link_for_s()
        try:
            self._send_birth(session)
            self._session = session
            while not session.lost.done():
                self._changed.clear()
                if self._intake.left and self.newest.degraded is None:
                    return "documents wait at the broker for a new connection"
                if asyncio.get_running_loop().time() >= self._renew_at_s:
                    return "the link is made anew, as once a day"
                self._send_orders(session)
                self._send_status(session)
                await self._records.send(self)
                await self._readings.send(self)
                self._send_meters(session)
                await self._until_changed(self._next_deadline_s(session))
            return session.lost.result()
        finally:
            self._session = None
            await self._leave(session)

    def _link_for_s(self) -> float:
        return self._draw(LINK_MAX_S / 2, LINK_MAX_S) if self._renews else math.inf

    def _send_birth(self, session: Session) -> None:
        image = self.newest
        self._reborn = image.kept.reborn
        self._publish(session, self._topics.birth, self._birth(image), retain=True)

    def _send_orders(self, session: Session) -> None:
        image = self.newest
        if image.kept.reborn != self._reborn:
            self._send_birth(session)
        for progress in self._orders.take(image):
            sent = self._tell_order(session, progress)
            sent.add_done_callback(lambda _: self._orders.confirmed())

    def _tell_order(self, session: Session, progress: Progress) -> "asyncio.Future[str]":
        topic = self._topics.order(progress.id)
        wanted = progress.kind == LOG_BUNDLE and progress.state is OrderState.SUCCEEDED
        bundle = self._bundle(self.newest) if wanted and self._bundle is not None else None
        return self._publish(session, topic, pack_order(self._gateway, progress, bundle))

    def _send_meters(self, session: Session) -> None:
        if self._clock is None or not self._room_for_meters(session):
            return
        now = self._clock.now()
        for one in self._meters.take(self.newest, now, asyncio.get_running_loop().time()):
            said = b""  # which takes away what the broker retained
            if not one.gone:
                said = pack_meter(self._gateway, one.serial, one.reading, one.quality, now)
            self._publish(session, self._topics.meter(one.serial), said, retain=True)

    def _send_status(self, session: Session) -> None:
        image, now_s = self.newest, asyncio.get_running_loop().time()
        if now_s >= self._next_status_s():
            self._said, self._said_at_s = notable(image), now_s
            self._publish(session, self._topics.status, self._status(image), retain=True)

    def _next_status_s(self) -> float:
        unchanged = self._said == notable(self.newest)
        return self._said_at_s + (STATUS_AT_LEAST_S if unchanged else STATUS_EVERY_S)

    @property
    def newest(self) -> Image:
        """`batches.Link`."""
        assert self._image is not None, "run() waits for the first image"
        return self._image

    @property
    def somebody_hears(self) -> bool:
        """`batches.Link`."""
        here = self._head_end_online is not False
        return here and self._session is not None and not self._session.lost.done()

    def overdue(self, outbox: Outbox) -> bool:
        """`batches.Link`."""
        if self._session is None:
            return False
        deadline_s = self._resend_at_s(self._session, outbox)
        return deadline_s is not None and asyncio.get_running_loop().time() >= deadline_s

    def send_batch(self, topic: str, payload: bytes) -> None:
        """`batches.Link`."""
        if self._session is not None:
            self._publish(self._session, topic, payload)

    def _resend_at_s(self, session: Session, outbox: Outbox) -> float | None:
        # What the broker has not even confirmed is still on its way, and TCP sees to it.
        if self._head_end_online is False or session.unconfirmed:
            return None
        return outbox.deadline_s

    def _next_deadline_s(self, session: Session) -> float:
        deadlines = [self._resend_at_s(session, outbox) for outbox in self._outboxes]
        deadlines += [self._next_status_s(), self._renew_at_s]
        if self._clock is not None and self.newest.roster and self._room_for_meters(session):
            deadlines.append(self._meters.next_s)
        return min(deadline_s for deadline_s in deadlines if deadline_s is not None)

    @staticmethod
    def _room_for_meters(session: Session) -> bool:
        return session.unconfirmed <= SEND_MAX  # orders and records go first

    async def _until_changed(self, deadline_s: float) -> None:
        try:
            async with asyncio.timeout_at(deadline_s):
                await self._changed.wait()
        except TimeoutError:
            return

    def _publish(
        self, session: Session, topic: str, payload: bytes, *, retain: bool = False
    ) -> "asyncio.Future[str]":
        def confirmed(confirmation: "asyncio.Future[str]") -> None:
            self._changed.set()
            why_not = confirmation.result()
            if why_not and not session.lost.done():
                detail = f"the broker does not take {topic}: {why_not}"
                self._say(BrokerSeen(connected=True, protocol=session.protocol, detail=detail))

        sent = session.publish(topic, payload, retain=retain)
        sent.add_done_callback(confirmed)
        return sent

    async def _leave(self, session: Session) -> None:
        if not session.lost.done():
            session.publish(self._topics.status, pack_absence(self._gateway), retain=True)
        await session.close()

    def _receive(self, session: Session, message: Message) -> None:
        event = read_message(message, self._topics, self._order)
        if event is None:
            session.acknowledge(message)
            return
        if isinstance(event, AckClaim):
            self._records.hear(event)
            self._changed.set()
        if isinstance(event, HeadEndSeen):
            # What was sent while nobody was there reached nobody. A word of somebody who is there
            # and has acknowledged nothing comes every minute: it is worth one batch, not a window.
            if not event.online:
                self._records.head_end_may_be_another(self.newest.acked_through)
            if event.online and self._head_end_online is False:
                self._begin_again()
            elif event.online:
                self._ask_again()
            self._head_end_online = event.online
            self._changed.set()
        self._intake.message(event, message, session)

    def _begin_again(self) -> None:
        for outbox in self._outboxes:
            outbox.begin_again()
        self._orders.begin_again()

    def _ask_again(self) -> None:
        for outbox in self._outboxes:
            if outbox.in_vain:
                outbox.ask_again()

    def _say(self, seen: BrokerSeen) -> None:
        seen = msgspec.structs.replace(seen, certificate=self._dialler.certificate)
        if seen == self._broker_seen:
            return
        self._broker_seen = seen
        log.info("broker: %s", seen.detail or seen.protocol)
        self._intake.tell(seen)
