"""A network that breaks at a chosen MQTT packet: before it, in the middle of it, or after it.

Owns the connections that pass through, and the one cut that is armed. Knows so much of MQTT as a
cut needs: where a packet ends (MQTT 5.0 and 3.1.1, section 2.1: the type, and the remaining length
as a variable byte integer), and of PUBLISH and PUBACK whom they are about (3.3.2, 3.4.2). Must
never change what passes.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import IntEnum, StrEnum

from gateway.core.model import Value
from tests.rooms.brokers import LOOPBACK

LENGTH_BYTES_MAX = 4
"""Of a remaining length."""
VERSION_5_LEVEL = 5
LEVEL_AT = 6
"""Where the protocol's level is in a CONNECT without its header: after the name MQTT."""
CHUNK = 64 * 1024
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER: on, no time (socket(7)): a close sends RST."""


class Kind(IntEnum):
    """Types of packets (2.1.2)."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


class Way(StrEnum):
    """Where a packet goes: up to the broker, or down to its client."""

    UP = "up"
    DOWN = "down"


class Moment(StrEnum):
    """When the network breaks: what of the packet still passes is nothing, half, or all of it."""

    BEFORE = "before"
    MIDDLE = "in the middle of"
    AFTER = "after"


class Manner(StrEnum):
    """How it breaks."""

    RST = "RST"
    FIN = "FIN"
    HALF = "half"
    """Nothing passes that way any more, and nobody is told; the other way goes on."""


class Cut(Value):
    """One break of the network. `nth`: of the packets of that kind that way, from the arming on."""

    way: Way
    kind: Kind
    nth: int
    moment: Moment
    manner: Manner


class Packet(Value):
    """A packet as it passes. `topic`, `mid` and `payload`: of PUBLISH; `mid` of PUBACK too."""

    way: Way
    kind: Kind
    raw: bytes
    topic: str = ""
    mid: int = 0
    payload: bytes = b""


class Packets:
    """Takes a stream of bytes apart, one way of one connection; `level` is of its CONNECT."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._waiting = bytearray()

    def take(self, some: bytes, level: int) -> list[Packet]:
        """The packets that end in these bytes."""
        self._waiting += some
        found: list[Packet] = []
        while (length := self._first_length()) is not None:
            raw = bytes(self._waiting[:length])
            del self._waiting[:length]
            found.append(_packet(self._way, raw, level))
        return found

    def _first_length(self) -> int | None:
        remaining, at = _variable(self._waiting, 1)
        whole = at + remaining
        return None if at == 0 or len(self._waiting) < whole else whole


Look = Callable[[int, Packet], Awaitable[None]]
"""Sees each packet before it passes, with the number of its connection."""


class CuttingProxy:
    """Listens on one port and passes everything on to a broker; use `cutting_proxy`."""

    def __init__(self, host: str, port: int, look: Look | None = None) -> None:
        self.host = LOOPBACK
        self.port = 0
        self.cuts = 0
        self._broker = (host, port)
        self._look = look
        self._armed: Cut | None = None
        self._seen = 0
        self._cut = asyncio.Event()
        self._passing: set[_Passing] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._connections = 0

    def arm(self, cut: Cut) -> None:
        """Break at that packet, once."""
        self._armed, self._seen = cut, 0
        self._cut.clear()

    @property
    def armed(self) -> bool:
        """Whether the cut is still to come."""
        return self._armed is not None

    async def until_cut(self) -> None:
        """Wait until what was armed has happened."""
        await self._cut.wait()

    def break_all(self) -> None:
        """Reset every connection now."""
        for passing in tuple(self._passing):
            passing.reset()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection through until it ends or is cut."""
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        self._connections += 1
        number = self._connections
        try:
            there = await asyncio.open_connection(*self._broker)
        except OSError:
            writer.transport.abort()
            return
        passing = _Passing(self, number, (reader, writer), there)
        self._passing.add(passing)
        try:
            await passing.run()
        finally:
            self._passing.discard(passing)
            passing.reset()

    async def end(self) -> None:
        """End what is passing through."""
        self.break_all()
        serving = tuple(self._serving)
        for task in serving:
            task.cancel()
        if serving:
            await asyncio.wait(serving)

    async def look(self, connection: int, packet: Packet) -> None:
        """Let whoever wants see a packet that is about to pass."""
        if self._look is not None:
            await self._look(connection, packet)

    def cut_at(self, packet: Packet) -> Cut | None:
        """The armed cut where this is its packet; it is armed no more then."""
        cut = self._armed
        if cut is None or (cut.way, cut.kind) != (packet.way, packet.kind):
            return None
        self._seen += 1
        if self._seen < cut.nth:
            return None
        self._armed = None
        self.cuts += 1
        self._cut.set()
        return cut


@asynccontextmanager
async def cutting_proxy(
    host: str, port: int, look: Look | None = None
) -> AsyncIterator[CuttingProxy]:
    """A proxy before a broker, for the time of the context."""
    one = CuttingProxy(host, port, look)
    server = await asyncio.start_server(one.serve, LOOPBACK, 0)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
        await one.end()
        await server.wait_closed()


_Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Passing:
    """One connection that passes through."""

    def __init__(self, proxy: CuttingProxy, number: int, client: _Ends, broker: _Ends) -> None:
        self._proxy = proxy
        self._number = number
        self._ends = {Way.UP: (client[0], broker[1]), Way.DOWN: (broker[0], client[1])}
        self._level = 0

    async def run(self) -> None:
        """Until either side ends it, where that is not swallowed, or the cut does."""
        ways = {way: asyncio.create_task(self._pass(way)) for way in Way}
        try:
            waiting = set(ways.values())
            while waiting:
                ended, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if not all(task.result() for task in ended):
                    return
        finally:
            for task in ways.values():
                task.cancel()
            await asyncio.gather(*ways.values(), return_exceptions=True)

    def reset(self) -> None:
        """RST to both sides; nothing where they are closed."""
        for _, writer in self._ends.values():
            sock = writer.transport.get_extra_info("socket")
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            writer.transport.abort()

    async def _pass(self, way: Way) -> bool:
        """Pass one way on. Whether its end is nobody's business: it is swallowed."""
        reader, writer = self._ends[way]
        packets = Packets(way)
        with contextlib.suppress(OSError):
            while some := await reader.read(CHUNK):
                cut = await self._pass_all(packets.take(some, self._level), writer)
                if cut is not None and cut.manner is Manner.HALF:
                    await _swallow(reader)
                    return True
                if cut is not None:
                    await self._break(cut.manner)
                    return False
            writer.close()
            await writer.wait_closed()
        return False

    async def _pass_all(self, packets: list[Packet], writer: asyncio.StreamWriter) -> Cut | None:
        for packet in packets:
            if (cut := await self._pass_one(packet, writer)) is not None:
                return cut
        return None

    async def _pass_one(self, packet: Packet, writer: asyncio.StreamWriter) -> Cut | None:
        if packet.kind is Kind.CONNECT:
            self._level = packet.raw[_variable(packet.raw, 1)[1] + LEVEL_AT]
        await self._proxy.look(self._number, packet)
        cut, passes = self._proxy.cut_at(packet), packet.raw
        if cut is not None and cut.moment is not Moment.AFTER:
            passes = b"" if cut.moment is Moment.BEFORE else packet.raw[: len(packet.raw) // 2]
        writer.write(passes)
        await writer.drain()
        return cut

    async def _break(self, manner: Manner) -> None:
        if manner is Manner.RST:
            self.reset()
            return
        for _, writer in self._ends.values():
            writer.close()
        for _, writer in self._ends.values():
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _swallow(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError):
        while await reader.read(CHUNK):
            pass


def _variable(raw: bytes | bytearray, at: int) -> tuple[int, int]:
    """A variable byte integer (1.5.5) and where it ends; (0, 0) where it is not all there."""
    value = 0
    for place, byte in enumerate(raw[at : at + LENGTH_BYTES_MAX]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    return 0, 0


def _packet(way: Way, raw: bytes, level: int) -> Packet:
    kind, at = Kind(raw[0] >> 4), _variable(raw, 1)[1]
    if kind is Kind.PUBACK:
        return Packet(way=way, kind=kind, raw=raw, mid=_number(raw, at))
    if kind is not Kind.PUBLISH:
        return Packet(way=way, kind=kind, raw=raw)
    topic_end = at + 2 + _number(raw, at)
    topic, at, mid = raw[at + 2 : topic_end].decode(), topic_end, 0
    if raw[0] & 0b110:
        mid, at = _number(raw, at), at + 2
    if level == VERSION_5_LEVEL:
        length, at = _variable(raw, at)
        at += length
    return Packet(way=way, kind=kind, raw=raw, topic=topic, mid=mid, payload=raw[at:])


def _number(raw: bytes, at: int) -> int:
    return int.from_bytes(raw[at : at + 2])
