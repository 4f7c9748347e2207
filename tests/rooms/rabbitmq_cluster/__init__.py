"""A cluster of three RabbitMQ nodes on loopback, in a folder of its own.

Owns the nodes' ports, cookie, configuration and processes, and the port mapper (epmd) that they
find each other by. Must never touch a RabbitMQ that is installed on this machine: no default port,
no default folder, no file in /etc. It runs as root or as any other user, and leaves no process.

RabbitMQ 3.10 speaks MQTT 3.1.1. `durable_queue_type = quorum`: the session of a gateway lives on
more than the node that it was connected to; with the default its queue is gone with that node, and
the gateway is refused everywhere until the node is back.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.rooms.brokers import LOOPBACK

SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
EPMD = "/usr/bin/epmd"
NODES = 3
GIVEN_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
PORTS_FROM = 10_000
START_S = 180
"""For one node, on a busy machine with two cores."""
STOP_S = 60
STARTED = b"Server startup complete"
USER, PASSWORD = "guest", "guest"
CONFIGURATION = """\
listeners.tcp.1 = {host}:{amqp}
mqtt.listeners.tcp.1 = {host}:{mqtt}
mqtt.allow_anonymous = true
mqtt.durable_queue_type = quorum
mqtt.tcp_listen_options.nodelay = true
cluster_name = fleet
cluster_partition_handling = pause_minority
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.randomized_startup_delay_range.min = 0
cluster_formation.randomized_startup_delay_range.max = 1
log.console = true
log.console.level = info
log.file = false
disk_free_limit.absolute = 50MB
"""
FRUGAL = "+S 1:1 +SDio 2 +sbwt none +sbwtdcpu none +sbwtdio none"
"""Three nodes share the cores with the fleet: one scheduler each, and none that waits busily."""


class Node:
    """One node; it keeps its name, ports and data across `kill` and `start`."""

    def __init__(self, folder: Path, name: str, environment: dict[str, str]) -> None:
        self.name = f"{name}@localhost"
        self.host = LOOPBACK
        self.amqp_port = _port()
        self.mqtt_port = _port()
        self._folder = folder / name
        self._environment = environment
        self._distribution_port = _port()
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._seen = asyncio.Event()
        self._log: list[bytes] = []

    @property
    def amqp_url(self) -> str:
        """Where its AMQP listener is; to be used with `USER` and `PASSWORD`."""
        return f"amqp://{self.host}:{self.amqp_port}/"

    async def start(self, joins: str) -> None:
        """Return when it serves, as a member of the cluster of the node of that name."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._log.clear()
        self._process = await asyncio.create_subprocess_exec(
            SERVER,
            env=self._environment | self._files(joins),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = asyncio.create_task(self._read(self._process))
        await self.until_logged(STARTED)

    async def until_logged(self, words: bytes) -> None:
        """Wait for a line with these words since its start. Raises `RuntimeError` if it ends."""
        assert self._reader is not None
        async with asyncio.timeout(START_S):
            while not any(words in line for line in self._log):
                if self._reader.done():
                    raise RuntimeError(f"{self.name} ended:\n{self._tail()}")
                self._seen.clear()
                await self._seen.wait()

    async def stop(self) -> None:
        """End it in order."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """End it as a power cut would."""
        await self._end(signal.SIGKILL)

    async def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert self._reader is not None
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        # Its helpers (name look-up, ports) are of its session and hold the same pipe.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await self._reader

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        try:
            while line := await process.stdout.readline():
                self._log.append(line)
                self._seen.set()
        finally:
            self._seen.set()

    def _tail(self) -> str:
        return b"".join(self._log[-30:]).decode(errors="replace")

    def _files(self, joins: str) -> dict[str, str]:
        folder = self._folder
        lines = CONFIGURATION.format(host=self.host, amqp=self.amqp_port, mqtt=self.mqtt_port)
        lines += f"cluster_formation.classic_config.nodes.1 = {joins}\n"
        (folder / "rabbitmq.conf").write_text(lines, encoding="ascii")
        (folder / "plugins").write_text("[rabbitmq_mqtt].\n", encoding="ascii")
        return {
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_PORT": str(self.amqp_port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
        }


class Cluster:
    """Three nodes that know each other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._epmd_port = _port()
        self._epmd: asyncio.subprocess.Process | None = None
        environment = self._environment()
        self.nodes = [Node(folder, f"fleet-{place}", environment) for place in range(1, NODES + 1)]

    async def start(self) -> None:
        """Return when every node serves and sees every other."""
        self._folder.mkdir(parents=True, exist_ok=True)
        cookie = self._folder / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(16), encoding="ascii")
        cookie.chmod(0o400)
        self._epmd = await asyncio.create_subprocess_exec(
            *(EPMD, "-port", str(self._epmd_port), "-address", LOOPBACK),
            env=self._environment(),
            start_new_session=True,  # a Ctrl-C at the terminal is not for it
        )
        first, *others = self.nodes
        await self.start_node(first)
        async with asyncio.TaskGroup() as starting:
            for node in others:
                starting.create_task(self.start_node(node))
        for node in others:
            await first.until_logged(f"rabbit on node '{node.name}' up".encode())

    async def start_node(self, node: Node) -> None:
        """Start one, or start it again: then it knows the others from before."""
        await node.start(self.nodes[0].name)

    async def stop(self) -> None:
        """End every node and the port mapper."""
        await asyncio.gather(*(node.stop() for node in self.nodes))
        epmd, self._epmd = self._epmd, None
        if epmd is not None:
            with contextlib.suppress(ProcessLookupError):
                epmd.terminate()
            await epmd.wait()

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self._folder),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": FRUGAL,
            # The node itself in place of a shell that watches it: signals reach it.
            "RUNNING_UNDER_SYSTEMD": "true",
        }


def _port() -> int:
    """A free port that the kernel gives to no connection by itself.

    A node binds its ports many seconds after they were chosen, and again after it was killed.
    """
    first_given = int(GIVEN_PORTS.read_text(encoding="ascii").split()[0])
    while True:
        port = PORTS_FROM + secrets.randbelow(first_given - PORTS_FROM)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port


@asynccontextmanager
async def rabbitmq_cluster(folder: Path) -> AsyncIterator[Cluster]:
    """A cluster for the time of the context."""
    cluster = Cluster(folder)
    try:
        await cluster.start()
        yield cluster
    finally:
        await cluster.stop()


def left_behind(folder: Path) -> list[str]:
    """The processes that were started for a cluster in this folder and still run."""
    mark = os.fsencode(f"HOME={folder}") + b"\0"
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it may end meanwhile, or be somebody else's
            if mark in (process / "environ").read_bytes():
                found.append((process / "comm").read_text(encoding="utf-8").strip())
    return found
