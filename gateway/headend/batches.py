"""Batches: records and readings on their way to the head end, until it holds them.

Owns the windows of both, and from where records are sent where the head end holds less than it had
acknowledged. Must never move a window but by the head end's word.
"""

import asyncio
import logging
from typing import Protocol

import msgspec

from gateway.core.fact import AckClaim
from gateway.core.image import Image
from gateway.core.model import GatewayId
from gateway.headend.messages import RECORDS_MAX, Topics, pack_records
from gateway.headend.metering import COUNT_MAX, Place, pack_readings, told
from gateway.headend.outbox import Outbox, OutboxLimits
from gateway.ports import Records

READINGS_BATCHES_MAX = 4
"""Readings are many and can wait: they leave room on the link for what cannot."""


log = logging.getLogger(__name__)


class Link(Protocol):
    """What batches are sent by: the room."""

    @property
    def newest(self) -> Image:
        """The newest image."""
        ...

    @property
    def somebody_hears(self) -> bool:
        """Whether the connection lasts and nobody has said that the head end is away."""
        ...

    def overdue(self, outbox: Outbox) -> bool:
        """Whether what is under way counts as lost by now."""
        ...

    def send_batch(self, topic: str, payload: bytes) -> None:
        """Publish by the connection that there is."""
        ...


class RecordBatches:
    """Records, in order, from what the head end holds on."""

    def __init__(
        self, gateway: GatewayId, topics: Topics, records: Records, limits: OutboxLimits
    ) -> None:
        self.outbox = Outbox(limits)
        self._gateway = gateway
        self._topic = topics.records
        self._records = records
        self._claim: AckClaim | None = None
        """What the head end said last of what it holds, until it is looked at."""
        self._held: int | None = None
        """How far it holds the records, while that is less than it had acknowledged."""
        self._acked_before = 0
        """How far it had acknowledged when the link, or the head end, came back."""

    @property
    def looking_back(self) -> bool:
        """Whether the head end holds less than it had acknowledged."""
        return self._held is not None

    def head_end_may_be_another(self, acked: int) -> None:
        """The link or the head end comes back: it may hold less than these, from now on."""
        self._acked_before = acked

    def hear(self, claim: AckClaim) -> None:
        """Take in what the head end says that it holds; it is looked at with the next sending."""
        self._claim = claim

    async def send(self, link: Link) -> None:
        """Send what the window has room for."""
        loop, outbox, image = asyncio.get_running_loop(), self.outbox, link.newest
        await self._look_back(image)
        acked = image.acked_through if self._held is None else self._held
        outbox.note(image.written, acked, loop.time())
        if link.overdue(outbox):
            log.info("nothing acknowledged after record %d; sending again", acked)
            outbox.count_as_lost()
        while outbox.ready and link.somebody_hears:
            previous = outbox.sent
            stored = await self._records.records_after(previous, RECORDS_MAX)
            before = stored[0].number - 1
            chain = await self._records.chain_at(before)
            assert chain is not None, "what is before a record is in the journal, or known of it"
            if outbox.sent != previous:
                continue  # the head end came back meanwhile and the window was set back
            none_after = previous if before > previous else None
            packed = pack_records(self._gateway, chain, stored, none_after)
            link.send_batch(self._topic, packed.payload)
            outbox.batch_sent(packed.last, loop.time())

    async def _look_back(self, image: Image) -> None:
        """Begin again where the head end holds less than it had acknowledged: it was restored."""
        claim, self._claim = self._claim, None
        if claim is None:
            return
        if claim.through >= image.acked_through:
            self._held = None
            return
        # A late word is overtaken by another before long; nothing overtakes a true one.
        late = claim.through >= self._acked_before and not self.outbox.in_vain
        if self._held is None and late:
            return
        chain = await self._records.chain_at(claim.through)
        # Where it is not known any more, what follows is sent from where the journal begins; where
        # it is another's, the head end holds a journal that was replaced: it needs all of this one.
        ours = chain is None or chain.hex() == claim.chain
        held = claim.through if ours else 0
        if self._held is None or (ours and held < self._held):
            log.warning("the head end has lost what follows record %d: again", held)
            self.outbox.go_back(held)
        if self._held is None or ours:
            self._held = held


class ReadingBatches:
    """Readings, in order, once the head end holds every record."""

    def __init__(
        self,
        gateway: GatewayId,
        topics: Topics,
        records: Records,
        limits: OutboxLimits,
        after: RecordBatches,
    ) -> None:
        self.outbox = Outbox(msgspec.structs.replace(limits, batches_max=READINGS_BATCHES_MAX))
        self._gateway = gateway
        self._topic = topics.readings
        self._records = records
        self._after = after

    async def send(self, link: Link) -> None:
        """Send what the window has room for."""
        loop, outbox, image = asyncio.get_running_loop(), self.outbox, link.newest
        outbox.note(image.readings_last, image.readings_acked_through, loop.time())
        if link.overdue(outbox):
            outbox.count_as_lost()
        while outbox.ready and self._may_send(link):
            image, previous = link.newest, outbox.sent
            chain = await self._records.chain_at(image.number)
            stored = await self._records.readings_after(previous, COUNT_MAX)
            assert chain is not None, "what was acknowledged last is known"
            if outbox.sent != previous:
                continue  # the head end came back meanwhile and the window was set back
            packed = pack_readings(
                self._gateway,
                Place(number=image.number, chain=chain.hex()),
                image.readings_acked_through,
                previous,
                [told(one) for one in stored],
                image.readings_last,
            )
            link.send_batch(self._topic, packed.payload)
            outbox.batch_sent(packed.last, loop.time())

    def _may_send(self, link: Link) -> bool:
        # Only when every record is held, this process' first among them, is it certain that the
        # head end knows whose ordinals these are.
        image = link.newest
        drained = 0 < image.number == image.acked_through and not self._after.looking_back
        return drained and link.somebody_hears
