"""The broker inside the demo, so that nothing has to be installed: amqtt in a process of its own.

Owns that process: `python -m gateway.bench.broker --port 0` prints `{"port": N}` once it listens.
Anyone on this machine may connect and nobody else. Must never serve a real feeder: it speaks MQTT
3.1.1 only, keeps nothing on disk and forgets what was under way when it ends.
"""

import asyncio
import json
import logging
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click
from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import Session

LOOPBACK = "127.0.0.1"
LISTENER = "default"
LEVEL_3_1_1 = 4
UNACCEPTABLE_PROTOCOL = b"\x20\x02\x00\x01"
"""CONNACK with return code 1 (MQTT 3.1.1, 3.2.2.3)."""


class OpenDoor(BaseAuthPlugin):  # type: ignore[misc]
    """Lets everyone in under the name given.

    amqtt's own anonymous access would forget what it holds for a gateway that is away.
    """

    async def authenticate(self, *, session: Session) -> bool:
        """Whether this client may connect."""
        del session
        return True


@asynccontextmanager
async def demo_broker() -> AsyncIterator[tuple[str, int]]:
    """A broker process on a free loopback port; gives host and port.

    It ends with the context, and by itself when this process is gone.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway.bench.broker",
        "--with-parent",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C at the terminal is for the demo alone
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = await process.stdout.readline()
        if not line:
            raise RuntimeError("the demo's broker did not start; its message stands above")
        yield LOOPBACK, json.loads(line)["port"]
    finally:
        process.stdin.close()
        await process.wait()


async def serve(port: int, *, with_parent: bool) -> None:
    """Serve until SIGTERM or SIGINT; `with_parent`: or until standard input closes."""
    broker = Broker(
        {
            # The port is opened here, because amqtt does not tell which one it was given.
            "listeners": {LISTENER: {"type": "external"}},
            "plugins": {"gateway.bench.broker.OpenDoor": {}},
        }
    )
    await broker.start()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _admit(broker, reader, writer)

    server = await asyncio.start_server(connected, LOOPBACK, port)
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, done.set)
    if with_parent:
        loop.add_reader(sys.stdin, done.set)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await done.wait()
    server.close()
    await broker.shutdown()


class _Rewound(StreamReaderAdapter):  # type: ignore[misc]
    """A stream from which some bytes were read already."""

    def __init__(self, head: bytes, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self._head = head

    async def read(self, n: int = -1) -> bytes:
        taken, self._head = self._head[:n], self._head[n:]
        return taken if len(taken) == n else taken + await super().read(n - len(taken))


async def _admit(
    broker: Broker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    # amqtt reads a version 5 CONNECT as if it were 3.1.1 and then waits for bytes that never come;
    # a broker has to refuse it [MQTT-3.1.2-2], or every client would wait for its time-out.
    try:
        head = await reader.readexactly(2)
        while head[-1] & 0x80 and len(head) < 5:
            head += await reader.readexactly(1)
        head += await reader.readexactly(7)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
        return
    if head[-1] != LEVEL_3_1_1:
        writer.write(UNACCEPTABLE_PROTOCOL)
        writer.close()
        return
    await broker.external_connected(_Rewound(head, reader), StreamWriterAdapter(writer), LISTENER)


@click.command()
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="0: any free one.")
@click.option("--with-parent", is_flag=True, help="End when standard input closes.")
def main(port: int, with_parent: bool) -> None:
    """Serve MQTT 3.1.1 on the loopback address; prints {"port": N} as soon as it listens."""
    logging.basicConfig(level=logging.CRITICAL)
    asyncio.run(serve(port, with_parent=with_parent))


if __name__ == "__main__":
    main()
