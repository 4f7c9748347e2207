"""The head end's collector: takes records, keeps each once, acknowledges.

Owns the head end's side of the link: `down/ack` after the records are on disk, and `down/host`,
which says that somebody is there (`attendance`). Must never acknowledge what is not stored, or
leave a gap.

A connection has one will and every gateway its own `down/host`, so the collector keeps one small
connection for each gateway: when this process dies, the broker tells them all.
"""

import asyncio
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import click
import msgspec

from gateway.core.model import GatewayId, IdText
from gateway.core.records import Record, read_record
from gateway.headend.dialler import BackOff, Dialler, Role
from gateway.headend.messages import (
    BadPayload,
    Topics,
    pack_ack,
    parse_up,
    read_presence,
    read_records,
    up_filter,
)
from gateway.headend.session import BrokerSettings, DialFailed, Message, Session
from gateway.utility.attendance import HEARTBEAT_S, Attendance
from gateway.utility.broker import broker_options
from gateway.utility.collected import Counts, Keeper, Position, contents_of, counts_of
from gateway.utility.collecting import (
    BatchCollected,
    BrokerLink,
    Collecting,
    GatewayPresence,
    MessageRefused,
    in_words,
)

GATEWAYS_MAX = 1_000
"""Gateways that are told that the head end is there: each costs a connection."""


class Collector:
    """Collects from every gateway of a utility into one SQLite file.

    `report` is told what happens. Every gateway is told every `heartbeat_s` that we are here.
    Starting after stopping is the head end coming back.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        *,
        utility: str,
        database: Path,
        report: Callable[[Collecting], None] = lambda _: None,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._settings = settings
        self._utility = msgspec.convert(utility, IdText)
        self._database = database
        self._report = report
        self._heartbeat_s = heartbeat_s
        filters = (up_filter(settings.topic_root, utility),)
        role = Role(client_id=f"fg-head-end-{utility}", lasting=False, filters=filters)
        self._dialler = Dialler(self._settings, role)
        self._back_off = BackOff()
        self._online = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._attended: dict[GatewayId, Attendance] = {}
        self._attending: list[asyncio.Task[None]] = []
        self._present: dict[GatewayId, bool] = {}

    async def start(self) -> None:
        """Begin to collect; returns once the broker delivers. Raises `sqlite3.Error`."""
        self._task = asyncio.create_task(self.run())
        online = asyncio.create_task(self._online.wait())
        try:
            await asyncio.wait({self._task, online}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            online.cancel()
        if self._task.done():
            self._task.result()

    async def stop(self) -> None:
        """Go away in order: every gateway is told. Nothing where it was not started."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()

    async def run(self) -> None:
        """Collect until cancelled, through every failure of the broker. Raises `sqlite3.Error`."""
        async with Keeper.opened(self._database) as store:
            while True:
                await self._connect_once(store)
                await asyncio.sleep(self._back_off.next_s())

    def records(self, gateway: str) -> tuple[Record, ...]:
        """Every record held of a gateway, in order. Raises `sqlite3.Error`."""
        return tuple(read_record(content) for content in contents_of(self._database, gateway))

    def counts(self, gateway: str) -> Counts:
        """Records written and received again, batches refused. Raises `sqlite3.Error`."""
        return counts_of(self._database, gateway)

    async def _connect_once(self, store: Keeper) -> None:
        arrived: asyncio.Queue[Message | None] = asyncio.Queue()
        try:
            session = await self._dialler.dial(lambda _, message: arrived.put_nowait(message))
        except DialFailed as failed:
            self._report(BrokerLink(connected=False, detail=failed.detail))
            return
        session.lost.add_done_callback(lambda _: arrived.put_nowait(None))
        self._report(BrokerLink(connected=True, detail=session.protocol))
        self._back_off.reset()
        self._online.set()
        try:
            while (message := await arrived.get()) is not None:
                # A batch that is being stored is also acknowledged, even if we are to stop now.
                handling = asyncio.create_task(self._handle(message, session, store))
                try:
                    await asyncio.shield(handling)
                except asyncio.CancelledError:
                    await handling
                    raise
            self._report(BrokerLink(connected=False, detail=session.lost.result()))
        finally:
            self._online.clear()
            await self._leave(session)

    async def _leave(self, session: Session) -> None:
        attending, self._attending, self._attended, self._present = self._attending, [], {}, {}
        for task in attending:
            task.cancel()
        for end in await asyncio.gather(*attending, return_exceptions=True):
            if isinstance(end, Exception):
                raise end
        await session.close()

    async def _handle(self, message: Message, session: Session, store: Keeper) -> None:
        parsed = parse_up(message.topic, self._settings.topic_root, self._utility)
        if parsed is not None:
            gateway, leaf = parsed
            if gateway not in self._attended and len(self._attended) < GATEWAYS_MAX:
                await self._begin_to_attend(gateway, session, store)
            try:
                if leaf == "status":
                    presence = read_presence(message.payload)
                    self._note_presence(gateway, online=presence.online)
                elif leaf == "birth":
                    self._call(gateway)
                elif leaf == "records":
                    await self._take(gateway, message.payload, session, store)
            except BadPayload as bad:
                await store.do(lambda file: file.refuse(gateway))
                refused = MessageRefused(gateway=gateway, name=bad.flaw, detail=bad.detail)
                self._report(refused)
        session.acknowledge(message)

    async def _take(
        self,
        gateway: GatewayId,
        payload: bytes,
        session: Session,
        store: Keeper,
    ) -> None:
        batch = read_records(payload)
        taken = await store.do(lambda file: file.take(gateway, batch))
        self._acknowledge(gateway, taken.position, session)
        if taken.refusal is not None:
            detail = f"begins at {batch.first}; held are {taken.position.through}"
            refused = MessageRefused(gateway=gateway, name=taken.refusal, detail=detail)
            self._report(refused)
            return
        self._report(
            BatchCollected(
                gateway=gateway,
                through=taken.position.through,
                duplicates=taken.duplicates,
                parted_after=taken.parted_after,
                records=batch.records[taken.duplicates :],
            )
        )

    def _note_presence(self, gateway: GatewayId, *, online: bool) -> None:
        if self._present.get(gateway) is not online:
            self._present[gateway] = online
            if online:
                self._call(gateway)
            self._report(GatewayPresence(gateway=gateway, online=online))

    def _acknowledge(
        self, gateway: GatewayId, position: Position, session: Session
    ) -> "asyncio.Future[str]":
        payload = pack_ack(position.through, position.chain)
        return session.publish(self._topics(gateway).ack, payload)

    async def _begin_to_attend(self, gateway: GatewayId, session: Session, store: Keeper) -> None:
        position = await store.do(lambda file: file.position(gateway))
        attendance = Attendance(
            self._settings, self._topics(gateway), self._utility, self._heartbeat_s
        )
        self._attended[gateway] = attendance
        attending = self._attend(attendance, gateway, position, session)
        self._attending.append(asyncio.create_task(attending))

    async def _attend(
        self, attendance: Attendance, gateway: GatewayId, position: Position, session: Session
    ) -> None:
        """Be there for one gateway until cancelled: first what is held already, then "online"."""
        if position.through:
            await self._acknowledge(gateway, position, session)
        await attendance.run()

    def _call(self, gateway: GatewayId) -> None:
        if gateway in self._attended:
            self._attended[gateway].call()

    def _topics(self, gateway: GatewayId) -> Topics:
        return Topics(root=self._settings.topic_root, utility=self._utility, gateway=gateway)


@click.command()
@broker_options
@click.option(
    "--db",
    "database",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="SQLite file of the collected records; made where it is missing.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
def collect(settings: BrokerSettings, utility: IdText, database: Path, as_json: bool) -> None:
    """Collect and acknowledge all gateways' records.

    It goes on until Ctrl-C.

    \b
    Example:
      feeder-gateway utility collect --broker localhost:1883 --utility demo --db records.db
    """

    def report(event: Collecting) -> None:
        if as_json:
            click.echo(msgspec.json.encode(event))
            return
        for line in in_words(event):
            click.echo(line)

    async def until_interrupted() -> None:
        collector = Collector(settings, utility=utility, database=database, report=report)
        collecting = asyncio.create_task(collector.run())
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, collecting.cancel)
        await asyncio.wait({collecting})
        if not collecting.cancelled():
            collecting.result()

    try:
        asyncio.run(until_interrupted())
    except sqlite3.Error as error:
        raise click.ClickException(f"{database}: {error}; check path, rights and room") from error
