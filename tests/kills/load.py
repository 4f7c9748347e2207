"""What goes on in the town: payments, lists, orders, holds and openings, by chance and by seed.

The ledger knows what the utility has said and who has paid; what was not answered is said again to
the next daemon, as people and head ends do.
"""

import asyncio
import hashlib
from collections.abc import Coroutine
from dataclasses import dataclass, field
from random import Random

from gateway.bench.demo_world import DAY_MS, GATEWAY, Home
from gateway.console.local import AskTag
from gateway.core.documents import AllowList, ListEntry
from gateway.core.fact import TagKind
from gateway.core.model import SupplyState
from gateway.core.signature import DocumentType
from gateway.core.status import Status
from gateway.host.clock import wall_ms
from gateway.utility.sign import payload_of
from tests.kills.judging import Held
from tests.kills.town import DaemonEnded, Town
from tests.kills.wire import clock_ms

BY = "NAME"
PAUSE_S = 0.15
FLOOD = 400
"""Receipts after which SQLite has taken its log over into the file."""


@dataclass
class Ledger:
    """The utility's own books, and what this gateway has acknowledged."""

    paid: dict[str, int] = field(default_factory=dict)
    """By account: the ledger time of the newest payment."""
    unanswered: list[bytes] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    """In this life: digests, each of the payload and of the whole; `hold:` and `release:SERIAL`."""
    holds: dict[str, Held] = field(default_factory=dict)
    over: list[Held] = field(default_factory=list)
    in_doubt: set[str] = field(default_factory=set)
    """Nobody has answered whether a hold was placed there, or taken away."""
    list_seq: int = 0


class Load:
    """The deeds of a town. The last home never pays, the first in play is held for good."""

    def __init__(self, town: Town, chance: Random) -> None:
        self._town = town
        self._chance = chance
        self.ledger = Ledger()
        *self.homes, self.debtor = town.homes
        self.held_for_good = self.homes[0]
        self._counted: set[bytes] = set()

    async def open_some(self, count: int) -> None:
        """The utility's own system cuts homes, while no daemon sees it."""
        for home in self._chance.sample(self.homes, count):
            await self._town.line.control.open(home.serial)

    async def open_held(self) -> frozenset[str]:
        """Every held home is cut, so that it shows whether it stays so; gives their serials."""
        for serial in self.ledger.holds:
            await self._town.line.control.open(serial)
        return frozenset(self.ledger.holds)

    async def pay_and_more(self, status: Status, *, flood: bool = False) -> None:
        """One round of deeds at a daemon that runs. Raises `DaemonEnded`."""
        dark = {one.meter for one in status.dark} - {self.debtor.serial}
        deeds = [self._say_again(), self._hold(self.held_for_good)]
        deeds += [self._pay(home) for home in self.homes if home.serial in dark]
        lit = [home for home in self.homes if home.serial not in dark]
        cut = self._chance.sample(lit, min(2, len(lit)))
        deeds += [self._cut_and_pay(home, status) for home in cut]
        deeds += [self._hold_or_release(), self._list(), self._pay(self._chance.choice(self.homes))]
        if flood:
            deeds += [self._submit(self._receipt(self.homes[-1])) for _ in range(FLOOD)]
        first, *others = deeds
        self._chance.shuffle(others)
        async with asyncio.TaskGroup() as group:
            group.create_task(_one_after_the_other([first, *others[::2]]))
            group.create_task(_one_after_the_other(others[1::2]))

    async def settle(self) -> None:
        """Whatever is unsaid is said, and everybody pays. Raises `DaemonEnded`."""
        town = self._town
        await self._hold(self.held_for_good)
        for serial in self.ledger.in_doubt - self.ledger.holds.keys():
            await self._take_away(serial)
        await self._say_again()
        await self._list()
        for home in self.homes:
            await self._submit(self._receipt(home))
        held = set(self.ledger.holds)
        stay_dark = held | {self.debtor.serial}
        await town.until(lambda s: {one.meter for one in s.dark} <= stay_dark and s.tasks == 0)
        await town.until(lambda s: not s.supply[SupplyState.UNKNOWN] and s.outbox == 0)

    def take_acknowledged(self) -> frozenset[str]:
        """What was acknowledged in the life that has ended."""
        town, ledger = self._town, self.ledger
        heard = town.broker.acknowledged - self._counted
        self._counted |= heard
        ledger.acknowledged |= {self._known_by(document) for document in heard}
        taken, ledger.acknowledged = frozenset(ledger.acknowledged), set()
        return taken

    async def _say_again(self) -> None:
        again, self.ledger.unanswered = self.ledger.unanswered, []
        while again:
            document = again.pop(0)
            try:
                await self._submit(document)
            finally:
                self.ledger.unanswered += again if not self._town.daemon.runs else []

    async def _pay(self, home: Home) -> None:
        document = self._receipt(home)
        # Each home's by one road: one that is overtaken is refused, and many of these only counted.
        if self.homes.index(home) % 2 == 0:
            await self._publish(document)
        else:
            await self._submit(document)

    def _receipt(self, home: Home) -> bytes:
        n = self._town.now_n()
        self.ledger.paid[home.account] = n
        return self._town.papers.receipt(home, n)

    async def _list(self) -> None:
        ledger = self.ledger
        ledger.list_seq += 1
        as_of = self._town.now_n()
        entries = [
            ListEntry(account=home.account, meter=home.serial, n=paid, cut=True)
            for home in self.homes
            if (paid := ledger.paid.get(home.account)) is not None
        ]
        paper = AllowList(
            gateway=GATEWAY,
            seq=ledger.list_seq,
            as_of=as_of,
            stale_after=wall_ms() + DAY_MS,
            accounts=tuple(entries),
        )
        signed = self._town.papers.keys.list.sign(DocumentType.LIST, payload_of(paper))
        await self._submit(signed)

    async def _cut_and_pay(self, home: Home, status: Status) -> None:
        town = self._town
        town.order_seq += 1
        seq, n = town.order_seq, town.now_n()
        await self._publish(town.papers.disconnection([home], n, seq=seq, boot=status.nonce))
        await asyncio.sleep(self._chance.uniform(0, PAUSE_S))
        await self._pay(home)

    async def _hold_or_release(self) -> None:
        others = sorted(self.ledger.holds.keys() - {self.held_for_good.serial})
        if others and self._chance.random() < 0.5:
            await self._release(self._chance.choice(others))
        else:
            await self._hold(self._chance.choice(self.homes))

    async def _hold(self, home: Home) -> None:
        ask = AskTag(kind=TagKind.HOLD, target=home.serial, place=True, by=BY, reason="burnt")
        self.ledger.in_doubt.add(home.serial)
        answer = (await self._town.ask(ask)).answer
        assert answer is not None
        assert answer.accepted, answer
        self.ledger.in_doubt.discard(home.serial)
        self.ledger.acknowledged.add(f"hold:{home.serial}")
        self.ledger.holds.setdefault(home.serial, Held(home.serial, clock_ms()))

    async def _release(self, serial: str) -> None:
        held = self.ledger.holds.pop(serial)
        self.ledger.over.append(Held(serial, held.from_ms, clock_ms()))
        await self._take_away(serial)

    async def _take_away(self, serial: str) -> None:
        ask = AskTag(kind=TagKind.HOLD, target=serial, place=False, by=BY, reason="mended")
        self.ledger.in_doubt.add(serial)
        answer = (await self._town.ask(ask)).answer
        assert answer is not None
        assert answer.accepted, answer
        self.ledger.in_doubt.discard(serial)
        if answer.word == "ACCEPTED":
            self.ledger.acknowledged.add(f"release:{serial}")

    def _known_by(self, document: bytes) -> str:
        # What is refused is recorded too: by what came, for what it says is not believed.
        return f"{self._town.papers.digest(document)} {hashlib.sha256(document).hexdigest()}"

    async def _publish(self, document: bytes) -> None:
        await self._town.broker.publish(document)

    async def _submit(self, document: bytes) -> None:
        try:
            answer = await self._town.submit(document)
        except DaemonEnded:
            self.ledger.unanswered.append(document)
            raise
        if answer.accepted:
            self.ledger.acknowledged.add(self._known_by(document))


async def _one_after_the_other(deeds: list[Coroutine[None, None, None]]) -> None:
    try:
        while deeds:
            await deeds.pop(0)
    finally:
        for left in deeds:
            left.close()
