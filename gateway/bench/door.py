"""The line's end of the back door: takes requests, and brings them about.

Owns what a request means for the meters and the wire. Must never be reached by the wire itself.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

import msgspec

from gateway.bench.answering import Answering
from gateway.bench.control import (
    AnyAnswer,
    AnyRequest,
    Befall,
    Clear,
    Close,
    Done,
    Ended,
    Open,
    Refused,
    Supply,
    TellTruth,
    Truth,
    Vend,
)
from gateway.bench.devices import Acrel
from gateway.bench.faults import Faults
from gateway.bench.house import boot_ms
from gateway.bench.meters import LineError
from gateway.bench.port import Port
from gateway.bench.street import Street
from gateway.bench.wire import Wire


class Line:
    """A running line: its meters, its wire, and what befalls both."""

    def __init__(
        self,
        street: Street,
        answering: Answering,
        wire: Wire,
        master: Port,
        boot_s: Callable[[], float],
    ) -> None:
        self._street = street
        self._answering = answering
        self._wire = wire
        self._master = master
        self._boot_s = boot_s

    def befall(self, faults: Faults, serial: str | None) -> None:
        """Let faults befall the line or a meter. Raises `LineError`, and `OSError` of the port."""
        self._street.befall(faults, serial)
        self._obey_line_faults()

    def obey(self, request: AnyRequest) -> AnyAnswer:
        """Do what the back door asks. Raises `LineError`, and `OSError` of the port."""
        street, now_s = self._street, self._boot_s()
        match request:
            case Open(serial=serial):
                street.meter(serial).utility_switches(False, now_s)
            case Close(serial=serial):
                street.meter(serial).utility_switches(True, now_s)
            case Befall(faults=faults, serial=faulty):
                self.befall(faults, faulty)
            case Clear(serial=faulty):
                street.clear(faulty)
                self._obey_line_faults()
            case Vend(serial=serial, credit=credit):
                prepaid = street.meter(serial)
                if not isinstance(prepaid, Acrel):
                    raise LineError(f"serial {serial}: its type keeps no credit")
                prepaid.vend(credit, now_s)
            case Supply(serial=serial, volts=volts):
                street.meter(serial).home.set_supply(volts)
            case TellTruth():
                return self._truth(now_s)
            case _:
                assert_never(request)
        return Done()

    def ended(self) -> Ended:
        """What is left to say when the line ends."""
        truth = self._truth(self._boot_s())
        return Ended(wire=truth.wire, injected=truth.injected)

    def _truth(self, now_s: float) -> Truth:
        counts = self._wire.counts()
        return Truth(
            mono_ms=boot_ms(now_s),
            meters=self._street.truth(now_s),
            wire=counts,
            injected=self._answering.injected(echo=counts.echoes, unplugged=counts.unplugged),
            faults=self._street.line_faults,
        )

    def _obey_line_faults(self) -> None:
        faults = self._street.line_faults
        self._wire.echo = bool(faults.echo)
        if faults.unplugged and self._master.plugged:
            self._wire.unplug()
        elif not faults.unplugged and not self._master.plugged:
            self._wire.plug()


class Door:
    """Serves the control socket."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._requests = msgspec.json.Decoder(AnyRequest)
        self._server: asyncio.Server
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def open(self, path: Path) -> None:
        """Make the socket and wait for clients. Raises `OSError` with the path."""
        try:
            self._server = await asyncio.start_unix_server(self._greet, path)
        except OSError as failure:
            raise OSError(f"no socket {path}: {failure.strerror or failure}") from failure

    async def close(self) -> None:
        """Send all clients away."""
        self._server.close()
        for writer in self._clients.values():
            writer.close()
        await asyncio.gather(*self._clients)

    def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._clients[task] = writer
        task.add_done_callback(self._clients.pop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readline():
                writer.write(msgspec.json.encode(self._answer(request)) + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            # The client vanished, or sent a line without end.
            pass
        finally:
            writer.close()

    def _answer(self, request: bytes) -> AnyAnswer:
        try:
            return self._line.obey(self._requests.decode(request))
        except (msgspec.DecodeError, LineError, OSError) as mistake:
            return Refused(reason=str(mistake))
