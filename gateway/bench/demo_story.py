"""The demo's story: what happens in which order, told from what the parts say.

Owns the steps and the waiting between them. Must never print what was not read: each line comes
from the journal, the meters or the head end, and `demo_report` judges by the same.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

import segno

from gateway.bench.control import SimulatedLine
from gateway.bench.demo_report import Evidence, Figures, Timeline, figures_of, timeline_of
from gateway.bench.demo_world import (
    CUT,
    GATEWAY,
    PAYS,
    UTILITY,
    ForeignMeters,
    Home,
    Papers,
    Part,
)
from gateway.console.local import Ask, AskRecords, AskStatus, LocalClient, Reply, Submit
from gateway.console.words import MEANING, duration
from gateway.core.image import DONE
from gateway.core.model import Digest, SupplyState
from gateway.core.reconnection import Verdict
from gateway.core.records import CloseEnded, Record, TaskEnded, read_record
from gateway.core.status import Status
from gateway.headend.session import BrokerSettings
from gateway.host.clock import boot_ms, wall_ms
from gateway.utility.collect import Collector
from gateway.utility.publish import publish_document

STORY_MAX_S = 30.0
BROKER_MAX_S = 10.0
LEDGER_STEP_S = 0.002
"""Two payments are never at one ledger time, which counts milliseconds."""
LOOKS_BEFORE_SAYING_AGAIN = 30
LOOK_EVERY_S = 0.1
"""How often the story asks the daemon whether the next thing has happened."""


class DemoError(Exception):
    """The story did not go on; the message says where it stood."""


class Story:
    """The steps of the demo, told from what the parts say."""

    def __init__(
        self,
        homes: tuple[Home, ...],
        papers: Papers,
        *,
        line: SimulatedLine,
        foreign: ForeignMeters | None,
        broker: tuple[str, int],
        config: Path,
        say: Callable[[str], None],
    ) -> None:
        self._homes = homes
        self._papers = papers
        self._line = line
        self._foreign = foreign
        self._broker = BrokerSettings(host=broker[0], port=broker[1])
        self._client = LocalClient(config.parent / "state" / "gateway.sock")
        self._database = config.parent / "head-end.db"
        self._collector = Collector(self._broker, utility=UTILITY, database=self._database)
        self._say = say
        self._began_ms = boot_ms()
        self._records: list[Record] = []

    async def tell(self) -> Figures:
        """The whole story; answers its figures. Raises `DemoError`."""
        try:
            await self._collect()
            await self._before_noon()
            await self._noon()
            await self._outage()
            await self._payments()
            await self._return()
            return figures_of(await self._evidence())
        finally:
            await self._collector.stop()

    async def _before_noon(self) -> None:
        self._line_out("one 9600-baud line, 12 meters of three types; the head end is up")
        await self._until(
            "the gateway hears the head end",
            lambda status: status.head_end is not None and status.head_end.online,
        )
        await self._publish(self._papers.allow_list(1, wall_ms()))
        status = await self._until(
            "every meter has been read and the list is in force",
            lambda status: status.list is not None and not status.supply[SupplyState.UNKNOWN],
        )
        assert status.list is not None
        self._line_out(
            f"the gateway has read {status.meters} meters: "
            f"{status.supply[SupplyState.CONNECTED]} connected, "
            f"{status.supply[SupplyState.DISCONNECTED]} dark; "
            f"list {status.list.seq} names {status.list.entries} paid accounts"
        )

    async def _noon(self) -> None:
        homes = self._of(CUT)
        self._line_out(
            f"noon: the head end orders {len(homes)} homes cut for arrears, under two keys"
        )
        lit = {home.serial for home in homes}
        while lit:
            # What a power cut left undone is ordered anew, as a head end would.
            await self._order_cut([home for home in homes if home.serial in lit])
            status = await self._until(
                "the order is carried out", lambda status: status.tasks == 0, follow=True
            )
            lit -= {meter.meter for meter in status.dark}
        for record in self._records:
            body = record.body
            if isinstance(body, TaskEnded):
                self._line_out(
                    f"account {body.account}: {body.outcome} by {body.order}"
                    + (f" ({body.verdict or body.why})" if body.verdict or body.why else "")
                )

    async def _order_cut(self, homes: list[Home]) -> None:
        status = await self._until(
            "the gateway may be ordered",
            lambda status: (
                status.head_end is not None
                and status.head_end.online
                and not status.supply[SupplyState.UNKNOWN]
            ),
        )
        order = self._papers.disconnection(
            homes, wall_ms(), seq=status.order_seq + 1, boot=status.nonce
        )
        await self._publish(order)

    async def _outage(self) -> None:
        await self._collector.stop()
        await self._until(
            "the gateway knows that the head end is down",
            lambda status: status.head_end is not None and not status.head_end.online,
        )
        self._line_out("the head end goes away; the gateway has noticed: head end DOWN")

    async def _payments(self) -> None:
        by_mqtt, by_list, by_qr = (self._of({part})[0] for part in PAYS)
        swapped, lit = self._of({Part.METER_SWAPPED})[0], self._of({Part.LIT})[0]
        # The list is the ledger's state before the kiosk's payment, and arrives after it: the
        # receipt is the newer word about its account and stands.
        listed = self._papers.allow_list(2, wall_ms(), and_also=by_list)
        await asyncio.sleep(LEDGER_STEP_S)
        self._line_out(f"account {by_mqtt.account} pays at a kiosk; the receipt comes by MQTT")
        await self._publish(self._papers.receipt(by_mqtt, wall_ms()))
        self._line_out(f"account {by_list.account} pays; a list is put in as a file")
        await self._submit(listed)
        receipt = self._papers.receipt(by_qr, wall_ms())
        code = segno.make(receipt.decode(), error="l", micro=False)
        self._line_out(
            f"account {by_qr.account} pays and shows the receipt's QR code "
            f"(version {code.version}, {len(receipt)} characters); its text is put in"
        )
        await self._submit(receipt)
        forged = await self._submit(self._papers.forged_receipt(lit, wall_ms()))
        self._line_out(f"a forged receipt is put in: {forged}")
        await self._submit(self._papers.receipt(swapped, wall_ms()))
        self._line_out(f"account {swapped.account} has paid, but another meter hangs there now")
        await self._until_closed(self._of(PAYS), swapped)

    async def _until_closed(self, paid: tuple[Home, ...], swapped: Home) -> None:
        told: set[str] = set()

        def settled() -> bool:
            ends = [r.body for r in self._records if isinstance(r.body, CloseEnded)]
            told_now = {end.account for end in ends if end.outcome in DONE}
            for home in paid:
                if home.account in told_now - told:
                    told.add(home.account)
                    self._tell_timeline(timeline_of(home, self._records))
            refused = any(end.account == swapped.account and end.verdict for end in ends)
            return refused and len(told) == len(paid)

        await self._until("the paid homes are closed", lambda _: settled(), follow=True)
        status = await self._status()
        for meter in status.dark:
            refused = meter.last_detail in MEANING
            word = meter.last_detail if refused else meter.verdict
            self._line_out(f"account {meter.account} stays dark: {word}, {MEANING[word]}")

    def _tell_timeline(self, timeline: Timeline) -> None:
        steps = "  ".join(f"{name} {ms / 1000:+.2f} s" for name, ms in timeline.steps)
        self._line_out(
            f"account {timeline.account}: {timeline.outcome} by {timeline.road}  {steps}; "
            f"{duration(timeline.verified_ms)} of the promised {duration(timeline.promise_ms)}"
        )

    async def _return(self) -> None:
        status = await self._status()
        self._line_out(f"the head end returns; {status.outbox} records wait for it")
        await self._collect()
        status = await self._until(
            "the head end has every record, and every dark meter has been read",
            lambda s: s.outbox == 0 and all(m.verdict != Verdict.STATE_UNKNOWN for m in s.dark),
        )
        self._line_out(f"the head end has acknowledged {status.acked_through} records")

    async def _evidence(self) -> Evidence:
        # The daemon goes on writing (the swapped meter is tried again), so the head end is judged
        # by the records there are now, once they have been acknowledged.
        await self._follow()
        last = self._records[-1].number
        await self._until("the last record is acknowledged", lambda s: s.acked_through >= last)
        collected = self._collector.records(GATEWAY)[: len(self._records)]
        truth = await self._line.control.truth()
        closed = {meter.serial for meter in truth.meters if meter.closed}
        if self._foreign is not None:
            for unit, meter in (await self._foreign.truth()).items():
                closed |= {home.serial for home in self._homes_at(unit) if meter.closed}
        return Evidence(
            homes=self._homes,
            written=tuple(self._records),
            collected=collected,
            closed=frozenset(closed),
            status=await self._status(),
        )

    def _of(self, parts: Iterable[Part]) -> tuple[Home, ...]:
        wanted = tuple(parts)
        return tuple(home for home in self._homes if home.part in wanted)

    def _homes_at(self, unit: int) -> tuple[Home, ...]:
        return tuple(home for home in self._homes if home.entry.unit == unit)

    def _line_out(self, text: str) -> None:
        self._say(f"{(boot_ms() - self._began_ms) / 1000:6.2f} s  {text}")

    async def _collect(self) -> None:
        try:
            async with asyncio.timeout(BROKER_MAX_S):
                await self._collector.start()
        except TimeoutError as error:
            place = f"{self._broker.host}:{self._broker.port}"
            raise DemoError(
                f"no broker at {place} within {BROKER_MAX_S:.0f} s; start it, or leave --broker out"
            ) from error

    async def _publish(self, document: bytes) -> None:
        # The embedded broker forgets what was under way when the daemon is killed, so whoever
        # publishes says it again until the journal has it; a real broker needs one saying.
        while True:
            await publish_document(document, self._broker, utility=UTILITY, gateway=GATEWAY)
            if await self._recorded(self._papers.digest(document)):
                return

    async def _recorded(self, digest: Digest) -> bool:
        """Whether the journal has the document within a moment."""
        for _ in range(LOOKS_BEFORE_SAYING_AGAIN):
            await self._follow()
            if any(getattr(record.body, "digest", "") == digest for record in self._records):
                return True
            await asyncio.sleep(LOOK_EVERY_S)
        return False

    async def _submit(self, document: bytes) -> str:
        answer = (await self._ask(Submit(document=document.decode()))).answer
        assert answer is not None
        return answer.word

    async def _status(self) -> Status:
        status = (await self._ask(AskStatus())).status
        assert status is not None
        return status

    async def _follow(self) -> None:
        after = self._records[-1].number if self._records else 0
        while lines := (await self._ask(AskRecords(after=after))).records:
            self._records.extend(read_record(bytes(line.record)) for line in lines)
            after = self._records[-1].number

    async def _ask(self, ask: Ask) -> Reply:
        # While the daemon is down (it may be killed at any point) the question waits for it.
        while True:
            with contextlib.suppress(OSError):
                return await self._client.ask(ask)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _until(
        self, what: str, happened: Callable[[Status], bool], *, follow: bool = False
    ) -> Status:
        try:
            async with asyncio.timeout(STORY_MAX_S):
                status = await self._looked(follow=follow)
                while not happened(status):
                    await asyncio.sleep(LOOK_EVERY_S)
                    status = await self._looked(follow=follow)
        except TimeoutError as error:
            raise DemoError(f"waited {STORY_MAX_S:.0f} s in vain until {what}") from error
        return status

    async def _looked(self, *, follow: bool) -> Status:
        if follow:
            await self._follow()
        return await self._status()
