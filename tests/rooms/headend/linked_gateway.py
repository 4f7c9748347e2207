"""A gateway with the real engine, journal and link, and meters whose contacts are a file.

Owns the homes' contacts, and what is known of the gateway from the inside over all of its
processes: what was answered, and what a commit has returned for. Must never decide anything: the
engine does.

As a process of its own, to be killed: FOLDER UTILITY HOMES HOST PORT. It says `dark M1` on its
standard output once it knows what it was told by the line `M1` on its standard input.
"""

import asyncio
import base64
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import msgspec

from gateway.core.documents import Site
from gateway.core.fact import (
    Answer,
    DocumentClaim,
    Event,
    HeadEndSeen,
    MeterSeen,
    Outcome,
    Road,
    SwitchCommand,
    SwitchReport,
)
from gateway.core.image import Image
from gateway.core.model import GatewayId, Reading, Serial, SupplyState
from gateway.core.reading import DocumentRead
from gateway.core.records import OrderAccepted, read_record
from gateway.core.status import status_of
from gateway.core.terms import Pacing
from gateway.engine import Engine
from gateway.headend.messages import read_document
from gateway.headend.mqtt import HeadEnd
from gateway.headend.session import BrokerSettings
from gateway.host.clock import HostClock, boot_id
from gateway.inbox import BoundedInbox
from gateway.journal.sqlite import SqliteJournal
from gateway.ports import Batch, Reply
from tests.core.papers import BLANK, NOON_MS, allow_list, entry, meter
from tests.rooms.headend.engine_side import GATEWAY, QUICK
from tests.signing import sign_list, sign_site

AT_ONCE = Pacing(first_alone_ms=0, gap_ms=0, dt_minute_max=10_000, feeder_minute_max=10_000,
                 minute_max=10_000)  # fmt: skip
READ_BYTES = 1024 * 1024
KEEPALIVE_S = 5
"""The shortest there is: how soon a connection is noticed that nothing passes through."""


class Notes:
    """What is known of a gateway from the inside. By the id of the order."""

    def __init__(self) -> None:
        self.on_disk: set[str] = set()
        """Accepted, by a commit that has returned."""
        self.answers: dict[str, list[str]] = defaultdict(list)


class Contacts:
    """The meters: what happens to each of them is a line of a file (`ports.Bus`)."""

    def __init__(self, file: Path, inbox: BoundedInbox, clock: HostClock) -> None:
        self._file = file
        self._inbox = inbox
        self._clock = clock

    async def run(self) -> None:
        """There is nothing to do."""

    def show(self, image: Image) -> None:
        """Nobody looks."""

    def switch(self, command: SwitchCommand) -> None:
        """It closes, and is read closed; what a process before was told is only read."""
        serial = command.meter.serial
        if not command.resumed:
            self._note(f"closed {serial}")
        dark = self._is_dark(serial)
        report = SwitchReport(
            number=command.number,
            move=command.move,
            serial=Serial(serial),
            outcome=Outcome.FAILED if dark else Outcome.CLOSED_VERIFIED,
            writes=0 if command.resumed else 1,
            reading=self._reading(serial),
        )
        assert self._inbox.post(report)

    async def goes_dark(self, serial: str) -> None:
        """Somebody opens it."""
        self._note(f"dark {serial}")
        await self.is_read(serial)

    async def is_read(self, serial: str) -> None:
        """It is read as it is now."""
        await self._inbox.put(MeterSeen(serial=Serial(serial), reading=self._reading(serial)))

    def _is_dark(self, serial: str) -> bool:
        mine = [line for line in happened(self._file) if line.endswith(f" {serial}")]
        return mine[-1:] == [f"dark {serial}"]

    def _reading(self, serial: str) -> Reading:
        state = SupplyState.DISCONNECTED if self._is_dark(serial) else SupplyState.CONNECTED
        return Reading(state=state, mono_ms=self._clock.now().mono_ms)

    def _note(self, line: str) -> None:
        with self._file.open("a", encoding="ascii") as file:
            file.write(f"{line}\n")


def happened(file: Path) -> list[str]:
    """What has happened to the meters, in order: `dark M1`, `closed M1`."""
    return file.read_text(encoding="ascii").splitlines() if file.exists() else []


class LinkedGateway:
    """One gateway with homes M1 to M`homes`, all of them paid, and a meter that only measures."""

    def __init__(self, folder: Path, utility: str, homes: int, notes: Notes) -> None:
        self.folder = folder
        self.contacts_file = folder / "contacts"
        self.homes = homes
        self._utility = utility
        self._notes = notes
        self._clock = HostClock(boot_id(), NOON_MS)
        self._changed = asyncio.Event()

    async def start(self, host: str, port: int) -> None:
        """A process of it begins."""
        self.folder.mkdir(exist_ok=True)
        self._inbox = _NotedInbox(self._notes)
        self._journal = await _NotedJournal.open(self.folder / "journal.db")
        self._journal.notes = self._notes
        self._contacts = Contacts(self.contacts_file, self._inbox, self._clock)
        link = self._link(host, port)
        self._engine = Engine(
            BLANK,
            inbox=self._inbox,
            journal=self._journal,
            bus=self._contacts,
            watchers=[link, self],
            clock=self._clock,
        )
        await self._engine.start()
        self._corridor = asyncio.create_task(self._engine.run())
        if not self.image.roster:
            await self._install()
        for serial in self.image.roster:
            await self._contacts.is_read(serial)
        self._room = asyncio.create_task(link.run())

    async def stop(self) -> None:
        """It ends in order."""
        self._room.cancel()
        await asyncio.wait({self._room})
        self._engine.stop()
        await self._corridor
        await self._journal.close()
        if not self._room.cancelled():
            self._room.result()

    @property
    def image(self) -> Image:
        """What it holds true."""
        return self._engine.image

    def show(self, _: Image) -> None:
        """`ports.Room`."""
        self._changed.set()

    async def run(self) -> None:
        """`ports.Room`: the engine does not call it."""

    async def until(self, so: Callable[[], bool]) -> None:
        """Wait until something of the image is so."""
        while not so():
            self._changed.clear()
            await self._changed.wait()

    async def goes_dark(self, serial: str) -> None:
        """A home goes dark, and the gateway knows."""
        await self._contacts.goes_dark(serial)
        await self.until(lambda: self._supply(serial) is SupplyState.DISCONNECTED)

    async def writes(self, pairs: int) -> None:
        """So many times a meter that only measures goes off and on: two records each."""
        serial, until = f"M{self.homes + 1}", self.image.number + 2 * pairs
        for at in range(2 * pairs):
            state = SupplyState.CONNECTED if at % 2 else SupplyState.DISCONNECTED
            reading = Reading(state=state, mono_ms=self._clock.now().mono_ms)
            await self._inbox.put(MeterSeen(serial=Serial(serial), reading=reading))
        await self.until(lambda: self.image.number >= until)

    async def contents(self) -> tuple[bytes, ...]:
        """Its records."""
        return await contents(self._journal)

    def _supply(self, serial: str) -> SupplyState | None:
        supply = self.image.kept.supply.get(serial)
        return None if supply is None else supply.state

    def _link(self, host: str, port: int) -> HeadEnd:
        return HeadEnd(
            BrokerSettings(host=host, port=port, keepalive_s=KEEPALIVE_S),
            utility=self._utility,
            gateway=GatewayId(GATEWAY),
            inbox=self._inbox,
            records=self._journal,
            status=lambda image: msgspec.json.encode(status_of(image, self._clock.now())),
            birth=lambda _: b"{}",
            clock=self._clock,
            limits=QUICK,
            draw=lambda low, _: max(low, 0.02),
        )

    async def _install(self) -> None:
        homes = range(1, self.homes + 1)
        meters = (*map(meter, homes), meter(self.homes + 1, profile="measures"))
        site = Site(gateway=GATEWAY, seq=1, feeder="F1", meters=meters, pacing=AT_ONCE)
        listed = allow_list(1, 500, *(entry(at, 400) for at in homes))
        for raw in (sign_site(site), sign_list(listed)):
            answer = await self._inbox.ask(DocumentClaim(raw=raw, road=Road.LOCAL))
            assert answer.accepted, answer
        await self._inbox.put(HeadEndSeen(online=True))


async def contents(journal: SqliteJournal) -> tuple[bytes, ...]:
    """The records of a journal, in order."""
    found: list[bytes] = []
    while stored := await journal.records_after(len(found), READ_BYTES):
        found.extend(one.content for one in stored)
    return tuple(found)


class _Named(msgspec.Struct):
    id: str = ""


def order_id(payload: bytes) -> str:
    """The id of the order that came on `down/document`; empty of another document."""
    said = read_document(payload).split(b".")[1]
    return msgspec.json.decode(base64.urlsafe_b64decode(said + b"=="), type=_Named).id


class _NotedJournal(SqliteJournal):
    notes: Notes

    async def commit(self, batch: Batch) -> None:
        await super().commit(batch)
        bodies = (read_record(one.content).body for one in batch.records)
        self.notes.on_disk |= {body.id for body in bodies if isinstance(body, OrderAccepted)}


class _NotedInbox(BoundedInbox):
    def __init__(self, notes: Notes) -> None:
        super().__init__()
        self._notes = notes

    def post(self, event: Event | DocumentRead, reply: Reply | None = None) -> bool:
        if not isinstance(event, DocumentClaim) or event.road is not Road.MQTT or reply is None:
            return super().post(event, reply)
        words = self._notes.answers[order_id(event.raw)]

        def answered(answer: Answer) -> None:
            words.append(answer.word)
            reply(answer)

        return super().post(event, answered)


async def main(folder: str, utility: str, homes: str, host: str, port: str) -> None:
    """Run until killed."""
    gateway = LinkedGateway(Path(folder), utility, int(homes), Notes())
    await gateway.start(host, int(port))
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        serial = line.decode().strip()
        await gateway.goes_dark(serial)
        await gateway.writes(3)
        sys.stdout.write(f"dark {serial}\n")
        sys.stdout.flush()
    await gateway.stop()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
