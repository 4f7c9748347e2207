"""Collectors on the queue of a real RabbitMQ cluster, and a fleet that drains through it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aio_pika
import pytest
import pytest_asyncio
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from click.testing import CliRunner

from gateway.core.model import GatewayId
from gateway.core.records import CHAIN_START
from gateway.headend.messages import pack_absence, pack_ack, pack_records, read_host
from gateway.headend.session import BrokerSettings
from gateway.utility.amqp import AmqpCollector
from gateway.utility.cli import utility
from gateway.utility.collect_store import opened_store
from gateway.utility.collected import BatchRefusal
from gateway.utility.collecting import (
    BatchAside,
    BatchCollected,
    BrokerLink,
    Collecting,
    GatewayPresence,
    MessageRefused,
)
from gateway.utility.drill import Drill, pack_drill
from tests.campaign.fleet import Campaign, judge
from tests.rooms.brokers import LOOPBACK, free_port
from tests.rooms.headend.engine_side import GATEWAY, UTILITY, EngineSide
from tests.rooms.rabbitmq_cluster import PASSWORD, USER, Cluster, left_behind, rabbitmq_cluster

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]

PATIENCE_S = 60
HEARTBEAT_S = 1.0
UP = f"fg.v1.{UTILITY}.{GATEWAY}.up"
DOWN = f"fg.v1.{UTILITY}.{GATEWAY}.down"
QUEUE = f"fg.v1.{UTILITY}.head-end"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    async with rabbitmq_cluster(folder) as nodes:
        yield nodes
    assert left_behind(folder) == []


class Gateways:
    """The gateways' side, spoken in AMQP: what was said to them is in `heard`."""

    def __init__(self, connection: AbstractConnection) -> None:
        self.heard: list[tuple[str | None, bytes]] = []
        self.events: list[Collecting] = []
        self._connection = connection
        self._changed = asyncio.Event()

    async def listen(self) -> None:
        self._channel = await self._connection.channel()
        self._exchange = await self._channel.get_exchange("amq.topic", ensure=False)
        queue = await self._channel.declare_queue(exclusive=True)
        await queue.bind(self._exchange, routing_key="fg.v1.*.*.down.#")
        await queue.consume(self._hear, no_ack=True)

    async def say(self, key: str, payload: bytes) -> None:
        await self._exchange.publish(aio_pika.Message(payload), key)

    async def delete_queue(self) -> None:
        await self._channel.queue_delete(QUEUE)

    async def own_queue(self, name: str) -> None:
        await self._channel.declare_queue(name, durable=True)

    def report(self, event: Collecting) -> None:
        self.events.append(event)
        self._changed.set()

    async def until(self, happened: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not happened():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pytest.fail(f"heard {self.heard[-5:]}, told {self.events[-5:]}")

    async def until_connected(self, times: int = 1) -> None:
        await self.until(lambda: sum(link.connected for link in self._links()) >= times)

    async def until_told(self, what: type) -> None:
        await self.until(lambda: any(isinstance(event, what) for event in self.events))

    def refusals(self) -> list[str]:
        return [event.name for event in self.events if isinstance(event, MessageRefused)]

    def words(self) -> list[bool]:
        """What the gateway was told of the head end."""
        return [read_host(payload).online for key, payload in self.heard if key == f"{DOWN}.host"]

    def lost_links(self) -> list[str]:
        return [link.detail for link in self._links() if not link.connected]

    def _links(self) -> list[BrokerLink]:
        return [event for event in self.events if isinstance(event, BrokerLink)]

    async def _hear(self, message: AbstractIncomingMessage) -> None:
        self.heard.append((message.routing_key, message.body))
        self._changed.set()


@asynccontextmanager
async def gateways(cluster: Cluster) -> AsyncIterator[Gateways]:
    connection = await aio_pika.connect(cluster.nodes[-1].amqp_url, login=USER, password=PASSWORD)
    async with connection:
        side = Gateways(connection)
        await side.listen()
        yield side


@asynccontextmanager
async def collecting(
    side: Gateways,
    urls: list[str],
    folder: Path,
    *,
    password: str = PASSWORD,
    utility: str = UTILITY,
) -> AsyncIterator[None]:
    password_file = folder / "password"
    password_file.write_text(f"{password}\n", encoding="ascii")
    settings = BrokerSettings(host="unused", username=USER, password_file=str(password_file))
    database = str(folder / "records.db")
    collector = AmqpCollector(
        urls,
        settings,
        utility=utility,
        database=database,
        report=side.report,
        heartbeat_s=HEARTBEAT_S,
    )
    task = asyncio.create_task(collector.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled(), task.exception()


def urls_of(cluster: Cluster) -> list[str]:
    return [node.amqp_url for node in cluster.nodes]


def batches(records: int, *, a_batch: int = 10) -> tuple[EngineSide, list[bytes]]:
    """A gateway's records, and the same in batches for the wire."""
    journal = EngineSide()
    journal.write(records)
    packed: list[bytes] = []
    for begin in range(0, records, a_batch):
        previous = journal.stored[begin - 1].chain if begin else CHAIN_START
        packed.append(pack_records(GATEWAY, previous, journal.stored[begin:][:a_batch]).payload)
    return journal, packed


def held(folder: Path) -> int:
    with opened_store(str(folder / "records.db")) as store:
        return store.counts(GATEWAY).written


async def test_a_batch_is_stored_and_acknowledged_by_the_exchange(
    cluster: Cluster, tmp_path: Path
) -> None:
    journal, (batch,) = batches(10)
    ack = (f"{DOWN}.ack", pack_ack(10, journal.stored[-1].chain))
    async with gateways(cluster) as side, collecting(side, urls_of(cluster), tmp_path):
        await side.until_connected()
        await side.say(f"{UP}.records", batch)
        await side.until(lambda: ack in side.heard)
        assert held(tmp_path) == 10
        await side.until(lambda: any(key == f"{DOWN}.host" for key, _ in side.heard))


async def test_a_batch_that_comes_before_its_turn_is_acknowledged_with_the_one_it_waits_for(
    cluster: Cluster, tmp_path: Path
) -> None:
    journal, (first, second) = batches(20)
    ack = (f"{DOWN}.ack", pack_ack(20, journal.stored[-1].chain))
    async with gateways(cluster) as side, collecting(side, urls_of(cluster), tmp_path):
        await side.until_connected()
        await side.say(f"{UP}.records", second)
        await side.until_told(BatchAside)
        assert ack not in side.heard
        await side.say(f"{UP}.records", first)
        await side.until(lambda: ack in side.heard)
    assert held(tmp_path) == 20


async def test_what_is_no_batch_is_refused_by_name_and_holds_nobody_up(
    cluster: Cluster, tmp_path: Path
) -> None:
    _, (batch,) = batches(10)
    async with gateways(cluster) as side, collecting(side, urls_of(cluster), tmp_path):
        await side.until_connected()
        await side.say(f"{UP}.records", b"garbage")
        await side.say(f"{UP}.records", b" " * 1024 * 1024)
        await side.say(f"fg.v1.{UTILITY}.gw-2.up.records", batch)
        await side.say(f"{UP}.status", b"[]")
        await side.say(f"fg.v1.{UTILITY}.gw_2.up.records", batch)
        await side.say(f"{UP}.records", batch)
        await side.until_told(BatchCollected)
    refused = side.refusals()
    assert sorted(refused) == sorted(
        ["MALFORMED_RECORDS", "TOO_LONG", BatchRefusal.WRONG_GATEWAY, "MALFORMED_STATUS"]
    )
    assert held(tmp_path) == 10


async def test_a_gateway_that_comes_is_told_that_somebody_is_here(
    cluster: Cluster, tmp_path: Path
) -> None:
    name = GatewayId(GATEWAY)
    came = pack_absence(name).replace(b"false", b"true")
    async with gateways(cluster) as side, collecting(side, urls_of(cluster), tmp_path):
        await side.until_connected()
        await side.say(f"{UP}.status", came)
        await side.until(lambda: any(key == f"{DOWN}.host" for key, _ in side.heard))
        told = len(side.heard)
        await side.say(f"{UP}.status", pack_absence(name))
        await side.say(f"{UP}.status", came)
        await side.until(lambda: len(side.heard) > told)
    seen = [event.online for event in side.events if isinstance(event, GatewayPresence)]
    assert seen == [True, False, True]


@pytest.mark.parametrize("whom", ["", f".{GATEWAY}"])
async def test_in_a_drill_records_are_stored_and_acknowledged_after_it(
    cluster: Cluster, tmp_path: Path, whom: str
) -> None:
    journal, (first, second) = batches(20)
    acks = [(f"{DOWN}.ack", pack_ack(at, journal.stored[at - 1].chain)) for at in (10, 20)]
    drill = f"fg.v1.{UTILITY}{whom}.drill"
    async with gateways(cluster) as side, collecting(side, urls_of(cluster), tmp_path):
        await side.until_connected()
        await side.say(f"{UP}.records", first)
        await side.until(lambda: acks[0] in side.heard)
        await side.say(drill, pack_drill(Drill(held=True, holder="1")))
        await side.until(lambda: side.words()[-1:] == [False])
        await side.say(f"{UP}.records", second)
        await side.until(lambda: sum(isinstance(one, BatchCollected) for one in side.events) == 2)
        assert acks[1] not in side.heard
        await side.say(drill, pack_drill(None))
        await side.until(lambda: acks[1] in side.heard)
        await side.until(lambda: side.words()[-1:] == [True])
    assert held(tmp_path) == 20


async def test_a_node_that_is_not_there_gives_way_to_the_next(
    cluster: Cluster, tmp_path: Path
) -> None:
    nobody = f"amqp://{LOOPBACK}:{free_port()}/"
    async with (
        gateways(cluster) as side,
        collecting(side, [nobody, *urls_of(cluster)], tmp_path),
    ):
        await side.until_connected()
    (why,) = side.lost_links()
    assert nobody in why
    assert "Connect call failed" in why


async def test_a_port_that_speaks_something_else_gives_way_to_the_next(
    cluster: Cluster, tmp_path: Path
) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, LOOPBACK, 0) as server:
        other = f"amqp://{LOOPBACK}:{server.sockets[0].getsockname()[1]}/"
        urls = [other, *urls_of(cluster)]
        async with gateways(cluster) as side, collecting(side, urls, tmp_path):
            await side.until_connected()
    assert [other in why for why in side.lost_links()] == [True]


async def test_a_wrong_password_is_said(cluster: Cluster, tmp_path: Path) -> None:
    async with (
        gateways(cluster) as side,
        collecting(side, urls_of(cluster), tmp_path, password="wrong"),
    ):
        await side.until(lambda: bool(side.lost_links()))
    assert "the name or the password is refused" in side.lost_links()[0]


async def test_a_queue_that_somebody_else_made_is_not_taken(
    cluster: Cluster, tmp_path: Path
) -> None:
    async with gateways(cluster) as side:
        await side.own_queue("fg.v1.elsewhere.head-end")
        async with collecting(side, urls_of(cluster), tmp_path, utility="elsewhere"):
            await side.until(lambda: bool(side.lost_links()))
    assert "the queue is not as we make it" in side.lost_links()[0]


async def test_a_deleted_queue_is_noticed_and_made_again(cluster: Cluster, tmp_path: Path) -> None:
    _, (batch,) = batches(10)
    async with gateways(cluster) as side, collecting(side, urls_of(cluster), tmp_path):
        await side.until_connected()
        await side.delete_queue()
        await side.until_connected(2)
        assert len(side.lost_links()) == 1
        await side.say(f"{UP}.records", batch)
        await side.until_told(BatchCollected)


@pytest.mark.timeout(300)
async def test_a_fleet_drains_into_two_collectors(cluster: Cluster, tmp_path: Path) -> None:
    # With a node killed in the middle it is told by `python -m tests.campaign.fleet --kill`.
    seed = secrets.randbits(32)
    print(f"python -m tests.campaign.fleet --gateways 200 --records 50 --seed {seed}")
    campaign = Campaign(200, 50, seed=seed, say=print, kill=False)
    tally = await campaign.through(cluster, tmp_path)
    assert (tally.lost, tally.doubled, tally.misplaced) == (0, 0, 0), tally
    assert tally.records > 200 * 50
    assert all(tally.batches), tally


@pytest.mark.parametrize(
    ("held_by_head_end", "found"),
    [
        ([b"1", b"2", b"3"], (0, 0, 0)),
        ([b"1", b"3"], (1, 0, 1)),
        ([b"1", b"2", b"2", b"3"], (0, 1, 1)),
        ([b"2", b"1", b"3"], (0, 0, 2)),
        ([], (3, 0, 0)),
    ],
)
async def test_the_judge_finds_what_is_lost_doubled_or_misplaced(
    held_by_head_end: list[bytes], found: tuple[int, int, int]
) -> None:
    verdict = judge([b"1", b"2", b"3"], held_by_head_end)
    assert (verdict.lost, verdict.doubled, verdict.misplaced) == found


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("amqp://guest:guest@node-1/", "give --username and --password-file"),
        ("http://node-1/", "give amqp://HOST:PORT"),
        ("amqp://", "give amqp://HOST:PORT"),
        ("amqp://node-1:many/", "give amqp://HOST:PORT"),
    ],
)
async def test_the_command_refuses_a_url_in_one_line(url: str, said: str, tmp_path: Path) -> None:
    where = ["--utility", UTILITY, "--into", str(tmp_path / "records.db")]
    ended = CliRunner().invoke(utility, ["collect", *where, "--amqp", url])
    assert ended.exit_code == 2
    assert said in ended.output
    assert "guest:guest" not in ended.output
