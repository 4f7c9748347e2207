"""Figures of the documents: how long they take, how long they hold everybody up, what they need.

    python -m tests.bench.papers [--json]

Owns the measuring only. Each figure is a median of several runs of one process each, over the real
engine and the real journal; beside it stand the parts that nobody can do without: the signature and
the parsing of the same bytes.
"""

import asyncio
import contextlib
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import click
import msgspec

from gateway.core.admission import admit_document
from gateway.core.changes import apply
from gateway.core.documents import AllowList, ListEntry, Receipt, Site
from gateway.core.fact import DocumentClaim, Road, SwitchCommand
from gateway.core.image import Image
from gateway.core.model import GatewayId, Meter, ProfileAbility, Station
from gateway.core.records import record_of
from gateway.core.signature import FIELD_DOCUMENTS, verify
from gateway.engine import Engine
from gateway.host.clock import HostClock, boot_id
from gateway.inbox import BoundedInbox
from gateway.journal.sqlite import SqliteJournal
from tests.signing import ISSUED_AT_MS, ROOT, sign_list, sign_receipt, sign_site

RUNS = 7
HOMES = 240
PROFILE = "bench"
STATION = Station(
    gateway=GatewayId("gw-1"),
    buses=("bus-1",),
    profiles={PROFILE: ProfileAbility(switches=True, proves_serial=True)},
)
RECEIPTS = 200
LOOK_EVERY_S = 0.001


class Figures(msgspec.Struct, frozen=True):
    """Of one run; milliseconds, and MiB of resident memory beyond what was used before."""

    total_ms: float
    """From the inbox to the answer, which comes when it is on disk."""
    judged_ms: float
    """Verified, parsed, judged and applied, without a disk."""
    held_ms: float
    """The longest time for which the event loop did not come round."""
    signature_ms: float
    parsing_ms: float
    extra_mib: float


class NoBus:
    """A bus on which nothing is asked for."""

    async def run(self) -> None:
        """There is nothing to do."""

    def show(self, image: Image) -> None:
        """Nobody looks."""

    def switch(self, command: SwitchCommand) -> None:
        """Nobody is dark here."""
        raise AssertionError(command)


def a_list(accounts: int) -> bytes:
    """A signed list of so many paid accounts."""
    return sign_list(
        AllowList(
            gateway="gw-1",
            seq=1,
            as_of=ISSUED_AT_MS,
            stale_after=2**52,
            accounts=tuple(
                ListEntry(
                    account=f"1002003{at:05}", meter=f"23014{at:05}", n=ISSUED_AT_MS - at % 997
                )
                for at in range(accounts)
            ),
        )
    )


def a_receipt(at: int) -> bytes:
    """A signed receipt of one home."""
    return sign_receipt(
        Receipt(
            account=f"1002003{at:05}",
            meter=f"23014{at:05}",
            n=ISSUED_AT_MS,
            paid_at=ISSUED_AT_MS,
            exp=2**52,
        )
    )


def a_site() -> bytes:
    """The roster of a feeder."""
    return sign_site(
        Site(
            gateway="gw-1",
            seq=1,
            feeder="F1",
            meters=tuple(
                Meter(
                    account=f"1002003{at:05}",
                    serial=f"23014{at:05}",
                    profile=PROFILE,
                    bus="bus-1",
                    unit=at + 1,
                    dt="T1",
                )
                for at in range(HOMES)
            ),
        )
    )


async def measured(directory: Path, papers: list[bytes]) -> Figures:
    """Hand in documents one after the other, and watch the event loop meanwhile."""
    inbox = BoundedInbox()
    journal = await SqliteJournal.open(directory / "journal.db")
    clock = HostClock(boot_id(), ISSUED_AT_MS)
    engine = Engine(
        Image(station=STATION, root=ROOT),
        inbox=inbox,
        journal=journal,
        bus=NoBus(),
        watchers=(),
        clock=clock,
    )
    await engine.start()
    running = asyncio.create_task(engine.run())
    assert (await inbox.ask(claim(a_site()))).accepted
    blank = engine.image
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    held = [0.0]
    watching = asyncio.create_task(watch(held))
    await asyncio.sleep(0.05)
    held[0] = 0.0
    begin = time.perf_counter()
    for raw in papers:
        answer = await inbox.ask(claim(raw))
        assert answer.accepted, answer
    total_s = time.perf_counter() - begin
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    extra_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    engine.stop()
    await running
    await journal.close()
    begin = time.perf_counter()
    for raw in papers:
        admission = admit_document(claim(raw), blank, clock.now())
        for body in admission.bodies:
            apply(blank, record_of(9, body, clock.now()), admission.document)
    judged_s = time.perf_counter() - begin
    begin = time.perf_counter()
    payloads = [verify(raw, FIELD_DOCUMENTS, ROOT).payload for raw in papers]
    signature_s = time.perf_counter() - begin
    begin = time.perf_counter()
    for payload in payloads:
        json.loads(payload)
    parsing_s = time.perf_counter() - begin
    return Figures(
        total_ms=1000 * total_s / len(papers),
        judged_ms=1000 * judged_s / len(papers),
        held_ms=1000 * held[0],
        signature_ms=1000 * signature_s / len(papers),
        parsing_ms=1000 * parsing_s / len(papers),
        extra_mib=extra_kib / 1024,
    )


async def watch(held: list[float]) -> None:
    """Note the longest time between two turns of the loop, but for the time that was slept."""
    while True:
        begin = time.perf_counter()
        await asyncio.sleep(LOOK_EVERY_S)
        held[0] = max(held[0], time.perf_counter() - begin - LOOK_EVERY_S)


def claim(raw: bytes) -> DocumentClaim:
    """As it comes from the broker."""
    return DocumentClaim(raw=raw, road=Road.MQTT)


WHAT = {
    "30,000 accounts": lambda: [a_list(30_000)],
    "2,000 accounts": lambda: [a_list(2_000)],
    "a receipt": lambda: [a_receipt(at) for at in range(RECEIPTS)],
}


def one_run(what: str) -> Figures:
    """The figures of a fresh process, whose memory nothing has used before."""
    command = (sys.executable, "-m", "tests.bench.papers", "--only", what)
    told = subprocess.run(command, check=True, capture_output=True)
    return msgspec.json.decode(told.stdout, type=Figures)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--only", type=click.Choice(list(WHAT)), help="One run of one row, as JSON.")
def main(as_json: bool, only: str | None) -> None:
    """Measure what a document costs, from the inbox to its answer.

    \b
    Example:
      python -m tests.bench.papers
    """
    if only is not None:
        with TemporaryDirectory() as directory:
            figures = asyncio.run(measured(Path(directory), WHAT[only]()))
        click.echo(msgspec.json.encode(figures))
        return
    rows = {}
    for what in WHAT:
        click.echo(f"{what}: {RUNS} runs", err=True)
        runs = [one_run(what) for _ in range(RUNS)]
        names = Figures.__struct_fields__
        rows[what] = {name: round(median(getattr(run, name) for run in runs), 2) for name in names}
    if as_json:
        click.echo(msgspec.json.encode(rows))
        return
    heads = ("total ms", "judged ms", "loop held ms", "signature ms", "parsing ms", "memory MiB")
    click.echo(f"{'':<16}" + "".join(f"{head:>14}" for head in heads))
    for what, row in rows.items():
        click.echo(f"{what:<16}" + "".join(f"{value:>14.1f}" for value in row.values()))


if __name__ == "__main__":
    main()
