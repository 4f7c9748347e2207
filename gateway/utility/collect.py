"""The head end's collector: takes records, keeps each once, acknowledges.

Owns the head end's side of the link: `down/ack` after the records are on disk, and `down/host`,
which says that somebody is there (`attendance`). Must never acknowledge what is not stored, or
leave a gap.

A connection has one will and every gateway its own `down/host`, so the collector keeps one small
connection for each gateway: when this process dies, the broker tells them all. Of several workers
on one database, one does that for all; when it dies, the next one does.

Several workers share the gateways' batches by MQTT 5 shared subscriptions (4.8.2). They give no
retained messages (4.8.2), so the statuses are subscribed to by each worker for itself.
"""

import asyncio
import secrets
import signal
from collections.abc import Callable
from pathlib import Path

import click
import msgspec

from gateway.core.model import IdText
from gateway.core.records import Record, read_record
from gateway.headend.dialler import BackOff, Dialler, Role
from gateway.headend.messages import up_filter
from gateway.headend.metering import MeterReading
from gateway.headend.session import VERSION_5, BrokerSettings, DialFailed, Message
from gateway.utility.amqp_cli import AMQP, amqp_collector
from gateway.utility.attendance import HEARTBEAT_S
from gateway.utility.broker import broker_options, checked_id
from gateway.utility.collect_desk import Desk
from gateway.utility.collect_store import Keeper, opened_store
from gateway.utility.collected import Counts, StoreFailed
from gateway.utility.collecting import BrokerLink, Collecting, StoreLink, in_words
from gateway.utility.drill import drill_filters

TOGETHER_MAX = 32
"""Messages that are stored in one transaction."""
LOOK_S = 5.0
"""Between two looks at who leads, and whether a drill is still held."""


class Collector:
    """Collects from every gateway of a utility into one database.

    `report` is told what happens. Every gateway is told every `heartbeat_s` that we are here.
    Starting after stopping is the head end coming back. `shared`: the group of workers that share
    the work; every one of them has the same database.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        *,
        utility: str,
        database: str | Path,
        report: Callable[[Collecting], None] = lambda _: None,
        heartbeat_s: float = HEARTBEAT_S,
        shared: str | None = None,
        look_s: float = LOOK_S,
    ) -> None:
        self._settings = settings
        self._utility = msgspec.convert(utility, IdText)
        self._place = str(database)
        self._report = report
        self._heartbeat_s = heartbeat_s
        self._look_s = look_s
        self._shared = shared
        root = settings.topic_root
        batches = [up_filter(root, utility, leaf) for leaf in ("records", "readings")]
        name = f"fg-head-end-{utility}"
        if shared is not None:
            group = msgspec.convert(shared, IdText)
            batches = [f"$share/{group}/{batch}" for batch in batches]
            name += f"-{secrets.token_hex(4)}"
        of_states = (up_filter(root, utility, "status"), up_filter(root, utility, "birth"))
        filters = (*drill_filters(root, utility), *of_states, *batches)
        self._role = Role(client_id=name, lasting=False, filters=filters)
        self._dialler = Dialler(settings, self._role)
        self._back_off = BackOff()
        self._online = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to collect; returns once the broker delivers. Raises `StoreFailed`."""
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
        """Collect until cancelled, through every failure of the broker, and of a database server.

        Raises `StoreFailed` where it cannot be opened at the start, and where a file fails.
        """
        opened = False
        while True:
            try:
                async with Keeper.opened(self._place) as keeper:
                    opened = True
                    await self._collect_into(keeper)
            except StoreFailed as failed:
                if not (opened and failed.passing):
                    raise
                self._report(StoreLink(detail=str(failed)))
            await asyncio.sleep(self._back_off.next_s())

    def records(self, gateway: str) -> tuple[Record, ...]:
        """Every record held of a gateway, in order. Raises `StoreFailed`."""
        with opened_store(self._place) as store:
            return tuple(read_record(content) for content in store.contents(gateway))

    def readings(self, gateway: str) -> tuple[MeterReading, ...]:
        """The readings held of a gateway, in order. Raises `StoreFailed`."""
        with opened_store(self._place) as store:
            return store.readings(gateway)

    def counts(self, gateway: str) -> Counts:
        """Records written and received again, batches refused. Raises `StoreFailed`."""
        with opened_store(self._place) as store:
            return store.counts(gateway)

    async def _collect_into(self, keeper: Keeper) -> None:
        while True:
            await self._connect_once(keeper)
            await asyncio.sleep(self._back_off.next_s())

    async def _connect_once(self, keeper: Keeper) -> None:
        arrived: asyncio.Queue[Message | None] = asyncio.Queue()
        try:
            session = await self._dialler.dial(lambda _, message: arrived.put_nowait(message))
        except DialFailed as failed:
            self._report(BrokerLink(connected=False, detail=failed.detail))
            return
        if self._shared is not None and session.protocol != VERSION_5:
            await session.close()
            # Another broker may take its place: the next attempt begins with version 5 again.
            self._dialler = Dialler(self._settings, self._role)
            detail = f"SHARED_NEEDS_MQTT_5: it speaks {session.protocol}; collect without --shared"
            self._report(BrokerLink(connected=False, detail=detail))
            return
        session.lost.add_done_callback(lambda _: arrived.put_nowait(None))
        self._report(BrokerLink(connected=True, detail=session.protocol))
        self._back_off.reset()
        desk = Desk(self._settings, self._utility, session, keeper, self._report, self._heartbeat_s)
        looking = asyncio.create_task(self._look(desk))
        looking.add_done_callback(lambda _: arrived.put_nowait(None))
        self._online.set()
        try:
            await _work(desk, arrived)
            if looking.done():
                looking.result()
            self._report(BrokerLink(connected=False, detail=session.lost.result()))
        finally:
            self._online.clear()
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            await desk.leave()

    async def _look(self, desk: Desk) -> None:
        while True:
            await desk.look(shared=self._shared is not None)
            await asyncio.sleep(self._look_s)


async def _work(desk: Desk, arrived: "asyncio.Queue[Message | None]") -> None:
    """Hand over what arrives, all that waits at once, until the connection is gone."""
    while True:
        waiting = [await arrived.get()]
        while not arrived.empty() and len(waiting) < TOGETHER_MAX:
            waiting.append(arrived.get_nowait())
        # What is being stored is also acknowledged, even if we are to stop now.
        handling = asyncio.create_task(
            desk.handle([message for message in waiting if message is not None])
        )
        try:
            await asyncio.shield(handling)
        except asyncio.CancelledError:
            await handling
            raise
        if None in waiting:
            return


@click.command()
@broker_options
@AMQP
@click.option(
    "--into",
    "place",
    metavar="FILE|URL",
    required=True,
    help="SQLite file of the records, or postgresql://HOST/DATABASE; made where it is missing.",
)
@click.option(
    "--shared",
    callback=checked_id,
    metavar="GROUP",
    help="Share the work with the workers that give the same GROUP and database (MQTT 5).",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
def collect(
    settings: BrokerSettings,
    utility: IdText,
    urls: tuple[str, ...],
    place: str,
    shared: IdText | None,
    as_json: bool,
) -> None:
    """Collect and acknowledge all gateways' records.

    It goes on until Ctrl-C. A record is acknowledged when it is on disk. A password for PostgreSQL
    belongs into ~/.pgpass; the extra `postgres` brings what it takes.

    \b
    Examples:
      feeder-gateway utility collect --broker localhost:1883 --utility demo --into records.db
      feeder-gateway utility collect --broker localhost:1883 --utility demo --shared head-end \\
          --into postgresql://collector@db.utility.example/records
      feeder-gateway utility collect --amqp amqp://rabbit-1:5672 --amqp amqp://rabbit-2:5672 \\
          --username collector --password-file password --utility demo --into records.db
    """
    if urls and shared is not None:
        raise click.UsageError("--amqp shares its queue anyhow: leave out --shared")

    def report(event: Collecting) -> None:
        if as_json:
            click.echo(msgspec.json.encode(event))
            return
        for line in in_words(event):
            click.echo(line)

    async def until_interrupted() -> None:
        collecting = asyncio.create_task(
            amqp_collector(urls, settings, utility=utility, database=place, report=report).run()
            if urls
            else Collector(
                settings, utility=utility, database=place, report=report, shared=shared
            ).run()
        )
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, collecting.cancel)
        await asyncio.wait({collecting})
        if not collecting.cancelled():
            collecting.result()

    try:
        asyncio.run(until_interrupted())
    except StoreFailed as failed:
        raise click.ClickException(str(failed)) from failed
