"""The collector as several workers on one queue of a RabbitMQ cluster.

Owns the link to the cluster: which node to dial, when to dial again, and the queue that is bound to
the exchange of the MQTT topics. Must never let a dead link pass for a quiet one, nor take a queue
that keeps less than this one.

The queue is replicated (quorum) and bounded in age and size: it may forget, because gateways send
again whatever was not acknowledged. An AMQP connection has no will: that nobody is at the head end
shows by its silence.

AMQP 0-9-1 with RabbitMQ's publisher confirms and consumer cancel notification; the MQTT plugin
maps the topic a/b to the routing key a.b.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import NoReturn
from urllib.parse import quote, urlsplit

import aio_pika
import msgspec
from aio_pika.abc import (
    AbstractChannel,
    AbstractConnection,
    AbstractExchange,
    AbstractQueue,
)
from aio_pika.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelPreconditionFailed,
    ProbableAuthenticationError,
)

from gateway.core.model import GatewayId, IdText
from gateway.headend.dialler import BackOff, password_of
from gateway.headend.messages import VERSION
from gateway.headend.session import BrokerSettings, DialFailed, TlsSettings
from gateway.headend.tls import Tls
from gateway.utility.amqp_desk import LINK_ENDS, Desk, Speaker, key_of
from gateway.utility.attendance import HEARTBEAT_S
from gateway.utility.collect_store import Keeper
from gateway.utility.collected import StoreFailed
from gateway.utility.collecting import BrokerLink, Collecting, StoreLink
from gateway.utility.drill import drill_filters

EXCHANGE = "amq.topic"
"""Where the MQTT plugin publishes, unless it is told otherwise."""
LEAVES = ("records", "readings", "status", "birth")
PREFETCH = 64
"""Messages that one worker may hold, each at most a batch of records."""
QUEUE_AGE_MS = 10 * 60_000
"""Gateways send what is not acknowledged again every minute; older copies only fill the disk."""
QUEUE_BYTES_MAX = 1024**3
CONNECT_S = 10.0
BEAT_S = 20
"""AMQP's own heartbeat: a node that is gone without a word is noticed after three."""
ANSWER_S = 30.0
"""For the cluster's word on a consumer: while its nodes elect a leader it may not answer at all."""
ATTACH_S = 10.0
"""A consumer that a node's end has left deaf is replaced so soon."""
LOOK_S = 5.0
"""Between two looks whether a drill is still held."""


class AmqpCollector:
    """One worker: takes what comes to the queue, stores it, acknowledges.

    Any number of them may share the queue and the database, each in a process of its own. `urls`
    are those of the cluster's nodes (amqp://HOST[:PORT][/VHOST] or amqps://...), tried in turn;
    `settings` say as whom to speak to them, with which TLS files, and what the topics begin with.
    `report` is told what happens. Every gateway that was heard is told every `heartbeat_s` that we
    are here.
    """

    def __init__(
        self,
        urls: Sequence[str],
        settings: BrokerSettings,
        *,
        utility: str,
        database: str,
        report: Callable[[Collecting], None] = lambda _: None,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._urls = tuple(urls)
        self._settings = settings
        self._utility = msgspec.convert(utility, IdText)
        self._database = database
        self._report = report
        self._heartbeat_s = heartbeat_s
        self._back_off = BackOff()
        self._attempts = 0
        self._known: set[GatewayId] = set()

    async def run(self) -> None:
        """Collect until cancelled, through every failure of the cluster, and of a database server.

        Raises `StoreFailed` where it cannot be opened at the start, and where a file fails.
        """
        for library in ("aio_pika", "aiormq"):
            # Whatever ends a connection is told by `report`, in one line.
            logging.getLogger(library).setLevel(logging.CRITICAL)
        opened = False
        while True:
            try:
                async with Keeper.opened(self._database) as store:
                    opened = True
                    await self._collect(store)
            except StoreFailed as failed:
                if not (opened and failed.passing):
                    raise
                self._report(StoreLink(detail=str(failed)))
            await asyncio.sleep(self._back_off.next_s())

    async def _collect(self, store: Keeper) -> NoReturn:
        while True:
            wait_s = await self._connect_once(store)
            await asyncio.sleep(wait_s)

    async def _connect_once(self, store: Keeper) -> float:
        """One connection, from dialling to its end. Returns how long to wait before the next."""
        url = self._urls[self._attempts % len(self._urls)]
        self._attempts += 1
        try:
            connection = await self._dial(url)
            try:
                await self._serve(connection, store)
            finally:
                with contextlib.suppress(*LINK_ENDS):
                    await connection.close()
        except DialFailed as failed:
            return self._lost(url, failed.detail, slow=True)
        except (AuthenticationError, ProbableAuthenticationError) as error:
            return self._lost(url, f"the name or the password is refused: {error}", slow=True)
        except ChannelPreconditionFailed as error:
            return self._lost(url, f"the queue is not as we make it: {error}", slow=True)
        except LINK_ENDS as error:
            return self._lost(url, str(error) or type(error).__name__)
        raise AssertionError("serving ends by an error")

    def _lost(self, url: str, why: str, *, slow: bool = False) -> float:
        self._report(BrokerLink(connected=False, detail=f"{url}: {why}"))
        return self._back_off.slow_s() if slow else self._back_off.next_s()

    async def _dial(self, url: str) -> AbstractConnection:
        settings = self._settings
        where = urlsplit(url)
        asked = f"heartbeat={BEAT_S}&name=fg-head-end-{self._utility}"
        whole = where._replace(query=f"{where.query}&{asked}" if where.query else asked)
        if settings.username is not None:
            names = (settings.username, password_of(settings) or "")
            whom = ":".join(quote(name, safe="") for name in names)
            whole = whole._replace(netloc=f"{whom}@{where.netloc}")
        context = None
        if where.scheme == "amqps":
            context, _ = Tls(settings.tls or TlsSettings(), host=where.hostname or "").load()
        return await aio_pika.connect(whole.geturl(), timeout=CONNECT_S, ssl_context=context)

    async def _serve(self, connection: AbstractConnection, store: Keeper) -> None:
        """Work until the channel ends. Raises what ended it."""
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=PREFETCH)
        exchange = await channel.get_exchange(EXCHANGE, ensure=False)
        queue = await self._queue(channel, exchange)
        root = self._settings.topic_root
        desk = Desk(
            root,
            self._utility,
            speaker=Speaker(root, self._utility, exchange),
            store=store,
            report=self._report,
            known=self._known,
        )
        ended = await _end_of(channel)
        # First the drills: who is to be away says nothing before it knows.
        await (await self._drills(channel, exchange)).consume(desk.arrived)
        works = (
            desk.run(),
            desk.beat(self._heartbeat_s),
            desk.end_drills(LOOK_S),
            self._take_from(queue, desk),
        )
        working = {asyncio.create_task(work) for work in works}
        ends: set[asyncio.Future[None]] = {ended, *working}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in working:
                task.cancel()
            await asyncio.wait(working)
            whys = [end.exception() for end in ends if end.done() and not end.cancelled()]
        for why in filter(None, whys):
            raise why

    async def _take_from(self, queue: AbstractQueue, desk: Desk) -> None:
        """Have what comes handed over, until cancelled. Raises what the cluster says to it."""
        tag = await queue.consume(desk.arrived, timeout=ANSWER_S)
        self._report(BrokerLink(connected=True, detail=f"AMQP, queue {queue.name}"))
        self._back_off.reset()
        while True:
            # A cluster may forget a consumer without a word: one that came just as its queue was
            # deleted hears of nothing (RabbitMQ 3.10). So it comes anew; a queue that is gone ends
            # the channel.
            await asyncio.sleep(ATTACH_S)
            before, tag = tag, await queue.consume(desk.arrived, timeout=ANSWER_S)
            await queue.cancel(before, timeout=ANSWER_S)

    async def _queue(self, channel: AbstractChannel, exchange: AbstractExchange) -> AbstractQueue:
        stem = key_of(f"{self._settings.topic_root}/{VERSION}/{self._utility}")
        queue = await channel.declare_queue(
            f"{stem}.head-end",
            durable=True,
            arguments={
                "x-queue-type": "quorum",
                "x-message-ttl": QUEUE_AGE_MS,
                "x-max-length-bytes": QUEUE_BYTES_MAX,
            },
        )
        for leaf in LEAVES:
            await queue.bind(exchange, routing_key=f"{stem}.*.up.{leaf}")
        return queue

    async def _drills(self, channel: AbstractChannel, exchange: AbstractExchange) -> AbstractQueue:
        # Each worker hears of every drill. What the broker retains reaches no AMQP queue, so one
        # that comes later hears of it when it is said again.
        queue = await channel.declare_queue(exclusive=True)
        for topic in drill_filters(self._settings.topic_root, self._utility):
            await queue.bind(exchange, routing_key=key_of(topic).replace("+", "*"))
        return queue


async def _end_of(channel: AbstractChannel) -> "asyncio.Future[None]":
    """Raises, when the channel or what it takes from ends, what ended it."""
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(why: BaseException) -> None:
        if not ended.done():
            ended.set_exception(why)
            ended.exception()  # nobody need ask: the end may come because we leave

    def closed(_channel: object, why: BaseException | None) -> None:
        end(why if isinstance(why, LINK_ENDS) else AMQPError("the connection ended"))

    channel.close_callbacks.add(closed)
    below = await channel.get_underlay_channel()
    below.on_consumer_cancel_callbacks.add(lambda _: end(AMQPError("the queue was deleted")))
    return ended
