"""What goes on while the disk fails: a deed, told in full so often as calls of it can fail.

A story runs in a real town (`tests.kills.town`) at a real daemon. Its deed can be repeated with
other homes; what a deed was answered is judged in `scene.py`.
"""

import asyncio
from enum import StrEnum

from gateway.bench.demo_world import DAY_MS, GATEWAY, Home
from gateway.console.local import AskTag
from gateway.core.documents import AllowList, ListEntry
from gateway.core.fact import Answer, TagKind
from gateway.core.signature import DocumentType
from gateway.host.clock import wall_ms
from gateway.utility.sign import payload_of
from tests.kills.town import LOOK_EVERY_S, Town

FLOOD = 400
"""Receipts after which SQLite has taken its log over into the file."""
TAKEN_OVER = b"journal.db\0"
"""The path by which that shows."""


class Story(StrEnum):
    """What is under way when a call fails."""

    FIRST_START = "FIRST_START"
    """There is no journal yet."""
    START = "START"
    """With a home that has paid, and is dark."""
    LIST = "LIST"
    """A list is archived and installed, with a checkpoint of the image; an older one is pruned."""
    CLOSING = "CLOSING"
    """A receipt for a dark home, the intent, the outcome."""
    TAG = "TAG"
    """A technician's hold, and the marks that keep it."""
    CUT = "CUT"
    """An order to disconnect, by MQTT."""
    CHECKPOINT = "CHECKPOINT"
    """SQLite takes its log over into the file."""


class Deeds:
    """The deeds of one town, each with the next home."""

    def __init__(self, town: Town) -> None:
        self.town = town
        *self._turn, self.spare = town.homes
        self._list_seq = 0
        self.lit: list[Home] = []
        """Homes of whom the utility says that they have paid."""

    def next_home(self) -> Home:
        """The homes come one after the other, and again; the spare one never."""
        self._turn = [*self._turn[1:], self._turn[0]]
        return self._turn[-1]

    def list_of_paid(self) -> bytes:
        """A list that keeps who has paid."""
        self._list_seq += 1
        as_of = self.town.now_n()
        entries = [
            ListEntry(account=home.account, meter=home.serial, n=as_of, cut=True)
            for home in self.lit
        ]
        paper = AllowList(
            gateway=GATEWAY,
            seq=self._list_seq,
            as_of=as_of,
            stale_after=wall_ms() + DAY_MS,
            accounts=tuple(entries),
        )
        return self.town.papers.keys.list.sign(DocumentType.LIST, payload_of(paper))

    def receipt(self, home: Home) -> bytes:
        """A new payment."""
        return self.town.papers.receipt(home, self.town.now_n())

    async def order(self, home: Home) -> bytes:
        """An order to cut a home, as of now."""
        status = await self.town.status()
        self.town.order_seq += 1
        seq, n = self.town.order_seq, self.town.now_n()
        return self.town.papers.disconnection([home], n, seq=seq, boot=status.nonce)

    async def hold(self, home: Home) -> Answer:
        """A technician's hold."""
        ask = AskTag(kind=TagKind.HOLD, target=home.serial, place=True, by="NAME", reason="burnt")
        answer = (await self.town.ask(ask)).answer
        assert answer is not None
        return answer

    async def flood(self, hits: int) -> Answer:
        """Receipts until a call has failed; the last answer."""
        for _ in range(FLOOD):
            answer = await self.town.submit(self.receipt(self.spare))
            if self.town.shim.hits > hits or not answer.accepted:
                break
        return answer

    async def closed(self, home: Home, within_s: float) -> bool:
        """Whether its contact really closes in this time."""
        for _ in range(int(within_s / LOOK_EVERY_S)):
            truth = await self.town.line.control.truth()
            if truth.meter(home.serial).closed:
                return True
            await asyncio.sleep(LOOK_EVERY_S)
        return False
