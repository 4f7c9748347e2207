"""Figures of the drain: what a gateway has to say after a week without the head end.

    python -m tests.bench.drain [--records 100000] [--runs 3] [--json]

Owns the measuring only. The records are written by the real engine into the real journal; they
travel through Mosquitto on loopback to the real collector, with the window of 20 batches, and the
time ends when the gateway has it on disk that all are safe. Beside it, in the same run, a plain
paho-mqtt client publishes the same records one by one, and its time ends when the broker has them:
nothing is stored anywhere.
"""

import asyncio
import contextlib
import resource
import shutil
import sqlite3
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import click
import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from gateway.core.model import GatewayId
from gateway.headend.outbox import DEFAULT_LIMITS
from gateway.headend.session import BrokerSettings
from gateway.utility.collect_store import opened_store
from gateway.utility.collecting import BrokerLink
from tests.rooms.brokers import mosquitto
from tests.rooms.fleet.gateway import UTILITY, SmallGateway

GATEWAY = GatewayId("gw-1")
NAMES = (f"a window of {DEFAULT_LIMITS.batches_max} batches, stored", "one publish a record, plain")
AT_ONCE = 20_000
"""Records that are written before the next are thought of."""
QUEUED_MAX = 10_000
"""Of the plain client: it has no more than 65,535 message identifiers."""


class Drained(msgspec.Struct, frozen=True):
    """Of one run; seconds of wall and of this process's own time, MiB of resident memory."""

    wall_s: float
    own_s: float
    before_mib: float
    peak_mib: float
    after_mib: float


def resident_mib(line: str = "VmRSS") -> float:
    """What this process has in memory now; `VmHWM`: at most, since it was last reset."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition(f"{line}:")[2].split()[0]) / 1024


async def fill(folder: Path, records: int) -> None:
    """What the outage leaves behind: a journal whose records nobody has acknowledged."""
    async with SmallGateway.opened(GATEWAY, folder) as gateway:
        while gateway.number < records:
            await gateway.write(min(AT_ONCE, records - gateway.number))


async def drain(folder: Path, host: str, port: int) -> Drained:
    """The gateway's process: it comes up, connects, and has everything acknowledged."""
    async with SmallGateway.opened(GATEWAY, folder) as gateway:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before_mib, begin_s = resident_mib(), time.perf_counter()
        own_s = time.process_time()
        async with gateway.linked(BrokerSettings(host=host, port=port)):
            await gateway.until(lambda: gateway.acked_through >= gateway.number)
            return Drained(
                wall_s=time.perf_counter() - begin_s,
                own_s=time.process_time() - own_s,
                before_mib=before_mib,
                peak_mib=resident_mib("VmHWM"),
                after_mib=resident_mib(),
            )


def publish_each(folder: Path, host: str, port: int) -> Drained:
    """The plain way: a publish for each record, as fast as paho-mqtt does it by itself."""
    with contextlib.closing(sqlite3.connect(folder / "journal.db")) as journal:
        contents = [row[0] for row in journal.execute("SELECT content FROM records")]
    before_mib, begin_s, own_s = resident_mib(), time.perf_counter(), time.process_time()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="plain")
    client.connect(host, port)
    client.loop_start()
    waiting: deque[paho.MQTTMessageInfo] = deque()
    for content in contents:
        waiting.append(client.publish("plain/records", content, qos=1))
        if len(waiting) == QUEUED_MAX:
            waiting.popleft().wait_for_publish()
    for one in waiting:
        one.wait_for_publish()
    taken = Drained(
        wall_s=time.perf_counter() - begin_s,
        own_s=time.process_time() - own_s,
        before_mib=before_mib,
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        after_mib=resident_mib(),
    )
    client.disconnect()
    client.loop_stop()
    return taken


async def part(*arguments: str) -> bytes:
    """Run a part of this bench in a fresh process; what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.drain", *arguments, stdout=PIPE
    )
    told, _ = await process.communicate()
    if process.returncode:
        raise click.ClickException(f"{arguments[0]} ended with status {process.returncode}")
    return told


@asynccontextmanager
async def collecting(host: str, port: int, database: Path) -> AsyncIterator[None]:
    """The real collector at work."""
    command = ("utility", "collect", "--broker", f"{host}:{port}", "--utility", UTILITY)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *command, "--into", str(database), "--json", stdout=PIPE
    )
    assert process.stdout is not None
    told = msgspec.json.decode(await process.stdout.readline(), type=BrokerLink)
    assert told.connected, told
    reading = asyncio.create_task(_read(process))
    try:
        yield
    finally:
        process.terminate()
        await process.wait()
        await reading


async def _read(process: Process) -> None:
    # As a file would: a full pipe would hold the collector up.
    assert process.stdout is not None
    while await process.stdout.read(1024 * 1024):
        pass


async def one_run(filled: Path, folder: Path) -> tuple[Drained, Drained]:
    """Both ways, one after the other, through a broker of their own each."""
    shutil.copytree(filled, folder / "gateway")
    async with mosquitto(folder / "broker-1") as (host, port):
        database = folder / "records.db"
        async with collecting(host, port, database):
            ours = await part("drain", str(folder / "gateway"), host, str(port))
    check(filled, database)
    async with mosquitto(folder / "broker-2") as (host, port):
        plain = await part("plain", str(filled), host, str(port))
    return msgspec.json.decode(ours, type=Drained), msgspec.json.decode(plain, type=Drained)


def check(filled: Path, database: Path) -> None:
    """Every record of the outage is at the head end, once, in order. Raises `AssertionError`."""
    with contextlib.closing(sqlite3.connect(filled / "journal.db")) as journal:
        written = [row[0] for row in journal.execute("SELECT content FROM records ORDER BY number")]
    with opened_store(str(database)) as store:
        held = store.contents(GATEWAY)
    assert list(held[: len(written)]) == written, f"{len(held)} held of {len(written)}"


async def measured(records: int, runs: int) -> dict[str, dict[str, float]]:
    """The medians of all runs, by name and figure."""
    with TemporaryDirectory() as folder:
        filled = Path(folder) / "filled"
        filled.mkdir()
        click.echo(f"writing {records:,} records with the gateway's own engine", err=True)
        await part("fill", str(filled), "", "0", "--records", str(records))
        drained: list[tuple[Drained, Drained]] = []
        for at in range(runs):
            click.echo(f"run {at + 1} of {runs}", err=True)
            (Path(folder) / str(at)).mkdir()
            drained.append(await one_run(filled, Path(folder) / str(at)))
    figures = Drained.__struct_fields__
    return {
        name: {figure: round(median(getattr(run, figure) for run in ways), 2) for figure in figures}
        for name, ways in zip(NAMES, zip(*drained, strict=True), strict=True)
    }


@click.command()
@click.argument("what", default="all", type=click.Choice(["all", "fill", "drain", "plain"]))
@click.argument("folder", default="")
@click.argument("host", default="")
@click.argument("port", default=0)
@click.option("--records", default=100_000, show_default=True, help="That the outage left behind.")
@click.option("--runs", default=3, show_default=True, help="Of which the medians are shown.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def main(
    what: str, folder: str, host: str, port: int, records: int, runs: int, as_json: bool
) -> None:
    """Measure how long a week's records take to the head end.

    \b
    Example:
      python -m tests.bench.drain --records 20000 --runs 1
    """
    match what:
        case "fill":
            asyncio.run(fill(Path(folder), records))
        case "drain":
            click.echo(msgspec.json.encode(asyncio.run(drain(Path(folder), host, port))))
        case "plain":
            click.echo(msgspec.json.encode(publish_each(Path(folder), host, port)))
        case _:
            show(records, asyncio.run(measured(records, runs)), as_json=as_json)


def show(records: int, rows: dict[str, dict[str, float]], *, as_json: bool) -> None:
    """The figures, as JSON or for a person."""
    if as_json:
        click.echo(msgspec.json.encode(rows))
        return
    heads = ("s", "records/s", "own CPU s", "MiB before", "peak", "after")
    click.echo(f"{f'{records:,} records':<28}" + "".join(f"{head:>11}" for head in heads))
    for name, row in rows.items():
        wall_s, *others = row.values()
        shown = f"{wall_s:>11.1f}{records / wall_s:>11,.0f}"
        click.echo(f"{name:<28}" + shown + "".join(f"{value:>11.1f}" for value in others))
    ours, plain = (row["wall_s"] for row in rows.values())
    click.echo(f"stored and acknowledged in {ours / plain:.2f} of the time of plain publishing")


if __name__ == "__main__":
    main()
