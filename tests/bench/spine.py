"""Figures of the spine: from receipt to the wire, from start to the first reading, memory.

    python -m tests.bench.spine [--json]

Owns the measuring only. Each figure stands beside what it is compared with in the same run: the
wire's own time, and a bare process that imports the same libraries.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

import click
import msgspec

from gateway.bench.control import SimulatedLine, simulated_line
from gateway.bench.demo_world import (
    ACREL_PROFILE,
    BAUD,
    BUS,
    GATEWAY,
    Home,
    Papers,
    Part,
    install,
)
from gateway.bench.meters import MeterEntry, MeterType, Position
from gateway.console.local import AskRecords, AskStatus, LocalClient, Submit
from gateway.core.documents import AllowList, ListEntry
from gateway.core.model import Meter, SupplyState
from gateway.core.records import CloseEnded, ReceiptAccepted, Record, SupplyChanged, read_record
from gateway.core.signature import DocumentType
from gateway.core.status import Status
from gateway.core.terms import Pacing
from gateway.host.clock import boot_ms, wall_ms
from gateway.utility.sign import payload_of
from tests.rooms.brokers import mosquitto

METERS = 64
ACCOUNTS = 2_000
STARTS = 7
EVERY = 3
"""So many of the meters are paid for, one after the other: all types are among them."""
CHARACTERS = 2 * 8 + 2 * 3.5
"""Of a typical transaction: 8 sent, about 8 received, two silences of 3.5."""
TURNAROUND_S = 0.020
BARE = (
    "import asyncio, ssl, sqlite3, aiosqlite, click, cryptography.hazmat.primitives.asymmetric.ec,"
    "msgspec, paho.mqtt.client, pymodbus.framer.rtu, pymodbus.pdu, serial"
)
AT_ONCE = Pacing(first_alone_ms=0, gap_ms=0, minute_max=10_000)


class Spread(msgspec.Struct, frozen=True):
    """Median and 95th percentile of some measurements."""

    p50: float
    p95: float


class Figures(msgspec.Struct, frozen=True):
    """Everything that is measured here."""

    machine: str
    receipt_to_wire_ms: dict[str, Spread]
    transaction_ms: float
    start_to_first_reading_s: Spread
    bare_start_s: Spread
    memory_mib: float
    bare_memory_mib: float
    processor_share: float
    transactions_per_s: float


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def main(as_json: bool) -> None:
    """Measure and print."""
    figures = asyncio.run(measure())
    if as_json:
        click.echo(msgspec.json.encode(figures))
        return
    for line in in_words(figures):
        click.echo(line)


async def measure() -> Figures:
    """Every figure, one after the other on one machine."""
    async with running_village() as village:
        await village.read_all()
        spreads = await village.receipts_to_wire()
        memory = resident_mib(village.process.pid)
        share, rate = await village.load()
        starts = [await village.restart_s() for _ in range(STARTS)]
    bare = [bare_process() for _ in range(STARTS)]
    return Figures(
        machine=f"{os.cpu_count()} cores, {os.uname().machine}, Python {sys.version.split()[0]}",
        receipt_to_wire_ms=spreads,
        transaction_ms=round(1000 * (CHARACTERS * 10 / BAUD + TURNAROUND_S), 1),
        start_to_first_reading_s=spread(starts),
        bare_start_s=spread([seconds for seconds, _ in bare]),
        memory_mib=memory,
        bare_memory_mib=round(median(mib for _, mib in bare), 1),
        processor_share=share,
        transactions_per_s=rate,
    )


def in_words(figures: Figures) -> Iterator[str]:
    """The figures as a table."""
    yield f"machine                              {figures.machine}"
    limit = 2 * figures.transaction_ms + 50
    for kind, ms in figures.receipt_to_wire_ms.items():
        yield (
            f"receipt to write, {kind:<18} p50 {ms.p50:6.1f} ms  p95 {ms.p95:6.1f} ms  "
            f"(2 transactions + 50 ms: {limit:.0f} ms)"
        )
    start, bare = figures.start_to_first_reading_s, figures.bare_start_s
    yield f"start to first reading stored        p50 {start.p50:.2f} s  p95 {start.p95:.2f} s"
    yield f"bare process, same libraries         p50 {bare.p50:.2f} s  p95 {bare.p95:.2f} s"
    yield (
        f"memory, {METERS} meters, {ACCOUNTS} accounts   {figures.memory_mib:.1f} MiB  "
        f"(the libraries alone: {figures.bare_memory_mib:.1f} MiB)"
    )
    yield (
        f"processor while polling              {100 * figures.processor_share:.1f} % of a core at "
        f"{figures.transactions_per_s:.1f} transactions/s"
    )


class Village:
    """A daemon on a line of many meters."""

    def __init__(
        self, homes: tuple[Home, ...], papers: Papers, line: SimulatedLine, config: Path
    ) -> None:
        self._homes = homes
        self._papers = papers
        self._line = line
        self._config = config
        self._client = LocalClient(config.parent / "state" / "gateway.sock")
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Run the daemon."""
        with (self._config.parent / "daemon.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "gateway", "run", "--config", str(self._config)],
                stdout=log,
                stderr=log,
            )

    async def read_all(self) -> None:
        """Wait until every meter was read, with a list of many accounts in force."""
        await self._until(lambda status: status.meters == METERS)
        now_ms = wall_ms()
        others = tuple(
            ListEntry(account=f"8{at:06}", meter=f"OTHER{at}", n=now_ms) for at in range(ACCOUNTS)
        )
        paper = AllowList(
            gateway=GATEWAY, seq=1, as_of=now_ms, stale_after=2 * now_ms, accounts=others
        )
        await self._submit(self._papers.keys.list.sign(DocumentType.LIST, payload_of(paper)))
        await self._until(lambda status: not status.supply[SupplyState.UNKNOWN])

    async def receipts_to_wire(self) -> dict[str, Spread]:
        """Milliseconds from the acceptance of a receipt to the write, by meter type."""
        waits: dict[str, list[float]] = {home.entry.type: [] for home in self._homes}
        for home in self._homes[::EVERY]:
            await self._submit(self._papers.receipt(home, wall_ms()))
            await self._until(partial(_is_lit, home))
        records = await self._records()
        accepted = {
            r.body.account: r.mono_ms for r in records if isinstance(r.body, ReceiptAccepted)
        }
        kinds = {home.account: home.entry.type for home in self._homes}
        for record in records:
            body = record.body
            if isinstance(body, CloseEnded) and body.written_ms is not None:
                waits[kinds[body.account]].append(body.written_ms - accepted[body.account])
        return {kind: spread(found) for kind, found in waits.items()}

    async def load(self) -> tuple[float, float]:
        """Share of a core and transactions a second, over ten seconds of polling."""
        before_s, before = processor_s(self.process.pid), (await self._status()).buses[0].good
        begun_ms = boot_ms()
        await asyncio.sleep(10)
        elapsed_s = (boot_ms() - begun_ms) / 1000
        done = (await self._status()).buses[0].good - before
        used_s = processor_s(self.process.pid) - before_s
        return round(used_s / elapsed_s, 4), round(done / elapsed_s, 1)

    async def restart_s(self) -> float:
        """Seconds from the start of a fresh daemon to the first reading in its journal."""
        self.stop()
        for path in (self._config.parent / "state").glob("journal*"):
            path.unlink()
        # A running daemon's journal is exclusive: the record's own time tells.
        begun_ms = boot_ms()
        self.process = self.start()
        await self._until(lambda status: 0 <= status.supply[SupplyState.UNKNOWN] < status.meters)
        first = next(r for r in await self._records() if isinstance(r.body, SupplyChanged))
        return (first.mono_ms - begun_ms) / 1000

    def stop(self) -> None:
        """End the daemon in order."""
        self.process.terminate()
        self.process.wait()

    async def _submit(self, document: bytes) -> None:
        reply = await self._client.ask(Submit(document=document.decode()))
        assert reply.answer is not None
        assert reply.answer.accepted, reply.answer

    async def _status(self) -> Status:
        status = (await self._client.ask(AskStatus())).status
        assert status is not None
        return status

    async def _records(self) -> list[Record]:
        found: list[Record] = []
        while lines := (
            await self._client.ask(AskRecords(after=found[-1].number if found else 0))
        ).records:
            found += [read_record(bytes(line.record)) for line in lines]
        return found

    async def _until(self, happened: Callable[[Status], bool]) -> None:
        while True:
            with contextlib.suppress(OSError):
                if happened(await self._status()):
                    return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running_village() -> AsyncIterator[Village]:
    """Dark homes of three types on one line, a broker and the daemon."""
    homes = tuple(_home(unit) for unit in range(1, METERS + 1))
    papers = Papers(homes, wall_ms(), AT_ONCE)
    with TemporaryDirectory(prefix="feeder-bench-") as name:
        async with (
            mosquitto(Path(name) / "broker") as broker,
            simulated_line([home.entry for home in homes], baud=BAUD) as line,
        ):
            config = install(Path(name), papers, pty=line.pty, broker=broker)
            village = Village(homes, papers, line, config)
            try:
                yield village
            finally:
                village.stop()


def _is_lit(home: Home, status: Status) -> bool:
    return all(meter.meter != home.serial for meter in status.dark)


def _home(unit: int) -> Home:
    kind = tuple(MeterType)[unit % 2] if unit <= METERS - 8 else MeterType.SDM230_RELAY
    board = {"switch_unit": 100, "switch_channel": METERS - unit}
    relay = kind is MeterType.SDM230_RELAY
    extra = board if relay else {}
    serial = str(180_000 + unit if relay else 220_315_000_000 + unit)
    profile = {
        MeterType.ACREL_DDSY1352: ACREL_PROFILE,
        MeterType.DDS238_2_ZN_SR: "dds238-2-zn-sr",
        MeterType.SDM230_RELAY: "sdm230-relay8",
    }[kind]
    proof = "commissioning sheet" if kind is MeterType.DDS238_2_ZN_SR else None
    meter = Meter(
        account=f"73{unit:05}",
        serial=serial,
        profile=profile,
        bus=BUS,
        unit=unit,
        dt=f"DT-{unit % 4}",
        second_proof=proof,
        **extra,
    )
    entry = MeterEntry(type=kind, unit=unit, serial=serial, state=Position.OPEN, **extra)
    return Home(meter=meter, entry=entry, part=Part.DOES_NOT_PAY)


def bare_process() -> tuple[float, float]:
    """Seconds and resident MiB of a process that only imports the libraries."""
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", f"{BARE}; print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    seconds = time.monotonic() - begun
    mib = resident_mib(process.pid)
    process.communicate(b"\n")
    return seconds, mib


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024, 1)
    raise ProcessLookupError(pid)


def processor_s(pid: int) -> float:
    """Processor seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def spread(values: list[float]) -> Spread:
    """Median and 95th percentile."""
    return Spread(p50=round(median(values), 3), p95=round(quantiles(values, n=20)[-1], 3))


if __name__ == "__main__":
    main()
