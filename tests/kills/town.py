"""A quick town with every door open, and a daemon that is started and killed by hand.

Eleven homes of three meter types on a fast line, a Mosquitto that tells what it hears, the head
end's collector, and an observer on the wire. The pace is the fastest that a site may set.
"""

import asyncio
import contextlib
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import paho.mqtt.client
from paho.mqtt.enums import CallbackAPIVersion

from gateway.bench.control import SimulatedLine, simulated_line
from gateway.bench.demo_world import GATEWAY, UTILITY, Home, Papers, Part, install, town
from gateway.console.local import Ask, AskStatus, LocalClient, Reply, Submit
from gateway.core.documents import Site
from gateway.core.fact import Answer
from gateway.core.model import SupplyState
from gateway.core.signature import DocumentType
from gateway.core.status import Status
from gateway.core.terms import Disconnection, Limits, Pacing
from gateway.headend.session import BrokerSettings
from gateway.host.clock import wall_ms
from gateway.utility.collect import Collector
from gateway.utility.sign import payload_of
from tests.faults.shim import Shim, shim_in
from tests.kills.wire import Tap
from tests.rooms.brokers import Mosquitto

BAUD = 115_200
TURNAROUND_MS = 2.0
CHECKOUT = Path(__file__).parents[2]
LOOK_EVERY_S = 0.02
PATIENCE_S = 60
MEMORY = Path("/dev/shm")
"""What is written there outlasts a killed process as what is on a disk does."""
OFTEN = 10_000
AT_ONCE = Pacing(
    first_alone_ms=0,
    gap_ms=0,
    dt_minute_max=OFTEN,
    feeder_minute_max=OFTEN,
    minute_max=OFTEN,
)
ALL_DAY = Disconnection(hour_max=OFTEN, gap_ms=0, protected=())
TOPIC = f"fg/v1/{UTILITY}/{GATEWAY}/down/document"
DELIVERED = re.compile(r"Sending PUBLISH to (\S+) \(d[01], q1, r\d, m(\d+), '([^']+)', .*\((\d+)")
ACKNOWLEDGED = re.compile(r"Received PUBACK from (\S+) \(Mid: (\d+)")
CAME = re.compile(r"New client connected from \S+ as (\S+)")
GONE = re.compile(r"Client (\S+) (?:closed|disconnected|has)")
CLIENT = f"fg-{GATEWAY}"


class DaemonEnded(Exception):  # noqa: N818 - told to whoever waits for it
    """The daemon is not there: what was asked has no answer."""


class ListeningBroker(Mosquitto):
    """A broker whose own log says which documents the gateway has acknowledged."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.acknowledged: set[bytes] = set()
        """Documents."""
        self._connected: set[str] = set()
        """Gateways."""
        self._published: list[bytes] = []
        self._delivered: dict[str, int] = {}
        self._under_way: dict[tuple[str, str], bytes] = {}
        self._client: paho.mqtt.client.Client | None = None

    async def connect(self) -> None:
        """The head end's own connection."""
        client = paho.mqtt.client.Client(CallbackAPIVersion.VERSION2, client_id="kills")
        self._client = client
        await asyncio.to_thread(client.connect, self.host, self.port)
        client.loop_start()

    def leave(self) -> None:
        """End that connection."""
        assert self._client is not None
        self._client.disconnect()
        self._client.loop_stop()

    async def publish(self, document: bytes) -> None:
        """Send one document to the gateway; returns when the broker has it."""
        assert self._client is not None
        self._published.append(document)
        told = self._client.publish(TOPIC, document, qos=1)
        await asyncio.to_thread(told.wait_for_publish, PATIENCE_S)

    async def quiet(self) -> None:
        """Wait until it has told of everything that the gateway's last process sent.

        The process is gone; what it had sent lies before the end of its connection.
        """
        async with asyncio.timeout(PATIENCE_S):
            while self._connected:
                await asyncio.sleep(LOOK_EVERY_S)

    async def _read(self, process: asyncio.subprocess.Process, listens: asyncio.Event) -> None:
        assert process.stderr is not None
        while line := await process.stderr.readline():
            if b" running" in line:
                listens.set()
            self._hear(line.decode(errors="replace"))

    def _hear(self, line: str) -> None:
        if found := CAME.search(line):
            self._connected |= {found[1]} & {CLIENT}
        elif found := GONE.search(line):
            self._connected.discard(found[1])
        elif (found := DELIVERED.search(line)) and found[3] == TOPIC:
            client, mid = found[1], found[2]
            if (client, mid) in self._under_way:
                return  # the same once more
            number = self._delivered.get(client, 0)
            document = self._published[number]
            assert len(document) == int(found[4]), "the broker delivers in another order"
            self._delivered[client] = number + 1
            self._under_way[client, mid] = document
        elif found := ACKNOWLEDGED.search(line):
            document = self._under_way.pop((found[1], found[2]), b"")
            self.acknowledged |= {document} if document else set()


class Daemon:
    """`feeder-gateway run` in a process of its own; nobody starts it again but whoever asks."""

    def __init__(self, config: Path, log: Path, shim: Shim) -> None:
        self._config = config
        self._log = log
        self._shim = shim
        self._process: asyncio.subprocess.Process | None = None
        self.starts = 0

    @property
    def runs(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Return when the process is there; it is not ready by then."""
        assert not self.runs
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gateway", "run", "--config", str(self._config)),
                stdout=log,
                stderr=log,
                stdin=asyncio.subprocess.DEVNULL,
                cwd=CHECKOUT,
                env=self._shim.environment | {"PATH": "/usr/bin:/bin"},
                start_new_session=True,
            )
        self.starts += 1

    def kill(self) -> None:
        """SIGKILL; nothing where there is no process."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def ended(self) -> int:
        """Wait for the end of the process; gives its exit status, negative for a signal."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> int | None:
        """SIGTERM, and its exit status; None where there was no process."""
        if self._process is None or not self.runs:
            return None
        self._process.terminate()
        return await self._process.wait()

    @property
    def log(self) -> str:
        """What it has said so far, in all its lives."""
        return self._log.read_text(encoding="utf-8", errors="replace")


@dataclass
class Town:
    """The town and its doors."""

    folder: Path
    homes: tuple[Home, ...]
    papers: Papers
    line: SimulatedLine
    tap: Tap
    broker: ListeningBroker
    daemon: Daemon
    shim: Shim
    order_seq: int = 0
    last_n: int = 0

    @property
    def state(self) -> Path:
        """The daemon's state directory."""
        return self.folder / "state"

    def now_n(self) -> int:
        """A ledger time above every one before."""
        self.last_n = max(self.last_n + 1, wall_ms())
        return self.last_n

    async def ask(self, ask: Ask) -> Reply:
        """One exchange over the local socket, once it is there. Raises `DaemonEnded`."""
        async with asyncio.timeout(PATIENCE_S):
            while (reply := await self._asked(ask)) is None:
                await asyncio.sleep(LOOK_EVERY_S)
        return reply

    async def _asked(self, ask: Ask) -> Reply | None:
        try:
            return await LocalClient(self.folder / "sock").ask(ask)
        except (OSError, msgspec.DecodeError):
            if self.daemon.runs:
                return None
            raise DaemonEnded from None

    async def submit(self, document: bytes) -> Answer:
        """Hand a document in by the local socket. Raises `DaemonEnded`."""
        answer = (await self.ask(Submit(document=document.decode()))).answer
        assert answer is not None
        return answer

    async def status(self) -> Status:
        """The daemon's summary. Raises `DaemonEnded`."""
        status = (await self.ask(AskStatus())).status
        assert status is not None
        return status

    async def until(self, happened: Callable[[Status], bool]) -> Status:
        """Wait until the status says so. Raises `DaemonEnded`."""
        status = await self.status()
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not happened(status):
                    await asyncio.sleep(LOOK_EVERY_S)
                    status = await self.status()
        except TimeoutError:
            said = f"dark: {status.dark}; tasks: {status.tasks}; alarms: {status.alarms}"
            raise AssertionError(f"it never came about. {said}") from None
        return status

    async def seen(self) -> Status:
        """The status once every meter was read. Raises `DaemonEnded`."""
        return await self.until(lambda s: s.meters > 0 and not s.supply[SupplyState.UNKNOWN])


@contextlib.asynccontextmanager
async def quick_town(folder: Path, library: Path) -> AsyncIterator[Town]:
    """The town without its daemon's process: that is started by hand."""
    homes = tuple(home for home in town() if home.part is not Part.METER_SWAPPED)
    entries = [
        msgspec.structs.replace(home.entry, turnaround_ms=TURNAROUND_MS, load_w=100.0)
        for home in homes
    ]
    (folder / "daemon.log").touch()
    papers = _QuickPapers(homes, wall_ms())
    broker = ListeningBroker(folder / "broker")
    await broker.start()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(broker.stop)
        await broker.connect()
        stack.callback(broker.leave)
        line = await stack.enter_async_context(simulated_line(entries, baud=BAUD, taps=1))
        tap = stack.enter_context(Tap.on(line.taps[0]))
        config = _installed(folder, papers, line.pty, (broker.host, broker.port))
        shim = stack.enter_context(shim_in(folder / "shim", library, folder / "state"))
        daemon = Daemon(config, folder / "daemon.log", shim)
        stack.push_async_callback(daemon.stop)
        collector = Collector(
            BrokerSettings(host=broker.host, port=broker.port),
            utility=UTILITY,
            database=folder / "collected.db",
            heartbeat_s=1.0,
        )
        await collector.start()
        stack.push_async_callback(collector.stop)
        yield Town(folder, homes, papers, line, tap, broker, daemon, shim)


def _installed(folder: Path, papers: Papers, pty: str, broker: tuple[str, int]) -> Path:
    config = install(folder, papers, pty=pty, broker=broker)
    text = config.read_text(encoding="utf-8")
    text = re.sub(r"baud = \d+", f"baud = {BAUD}", text)
    # The socket stands where a read-only disk does not matter, as in the runtime directory.
    config.write_text('local_socket = "sock"\n' + text, encoding="utf-8")
    return config


@contextlib.contextmanager
def a_place() -> Iterator[Path]:
    """A folder for one town."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as directory:
        yield Path(directory)


def leave(place: Path, kept: Path) -> None:
    """Keep what a town has left, to be looked into."""
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(place, kept, ignore=_no_sockets)


def _no_sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if Path(folder, name).is_socket()]


class _QuickPapers(Papers):
    """What the utility signs in this town."""

    def site(self) -> bytes:
        site = Site(
            gateway=GATEWAY,
            seq=1,
            feeder="F-1",
            meters=tuple(home.meter for home in self._homes),
            pacing=AT_ONCE,
            limits=Limits(retrip_max=20),
            disconnection=ALL_DAY,
        )
        return self.keys.site.sign(DocumentType.SITE, payload_of(site))
