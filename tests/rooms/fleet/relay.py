"""What stands before a cluster: one address, and behind it whichever node takes the connection.

Owns the connections that pass through. Must never look at what passes.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.rooms.brokers import LOOPBACK

CHUNK = 64 * 1024
Address = tuple[str, int]


class Relay:
    """Listens on one port and hands connections to the nodes in turn; use `relay`."""

    def __init__(self, nodes: Sequence[Address]) -> None:
        self.host = LOOPBACK
        self.port = 0
        self.accepted = 0
        self._nodes = nodes
        self._turn = 0
        self._passing: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection through until either side ends it."""
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            node = await self._node()
            if node is not None:
                await _both_ways((reader, writer), node)
        writer.transport.abort()

    async def end(self) -> None:
        """End what is passing through."""
        for task in self._passing:
            task.cancel()
        if self._passing:
            await asyncio.wait(self._passing)

    async def _node(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for _ in self._nodes:
            host, port = self._nodes[self._turn % len(self._nodes)]
            self._turn += 1
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(host, port)
        return None


@asynccontextmanager
async def relay(nodes: Sequence[Address]) -> AsyncIterator[Relay]:
    """A relay for the time of the context."""
    one = Relay(nodes)
    server = await asyncio.start_server(one.serve, LOOPBACK, 0, backlog=1_000)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
        await one.end()
        await server.wait_closed()


_Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _both_ways(here: _Ends, there: _Ends) -> None:
    ways = {
        asyncio.create_task(_one_way(here[0], there[1])),
        asyncio.create_task(_one_way(there[0], here[1])),
    }
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        there[1].transport.abort()
        for way in ways:
            way.cancel()
        await asyncio.wait(ways)


async def _one_way(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
