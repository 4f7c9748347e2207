"""Modbus RTU masters side by side on a paced line: speed, silence, late answers, dead meters, CPU.

    python -m tests.bench.bus [--quick] [--json FILE] [--svg FILE]

This master (`gateway.bus.rtu`), pymodbus, minimalmodbus, libmodbus, mbpoll and modbus-serial read
meters on simulated lines that take the time a wire takes (`paced`), each in a process of its own.
An observer on the line, which shares no code with any of them, keeps when every request began; the
speeds stand against the wire limit (silence of 3.5 characters, request, turnaround, answer) and
beside how often a master broke into that silence. Nothing here passes or fails.
"""

import asyncio
import os
import platform
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from tests.bench.bus.campaign import FULL, LATE_TIMEOUT_S, QUICK, Campaign, Plan
from tests.bench.bus.figures import Figures
from tests.bench.bus.peers import PEERS, REFERENCE, Places, find
from tests.bench.bus.plot import svg
from tests.bench.bus.rooms import Rooms
from tests.bench.bus.table import in_words

EXAMPLES = """\b
Examples:
  python -m tests.bench.bus --quick
  python -m tests.bench.bus --json bus.json --svg bus.svg
  python -m tests.bench.bus --python /tmp/venv/bin/python --node-modules /tmp/js/node_modules
"""
OUT = click.Path(dir_okay=False, writable=True, path_type=Path)


@click.command(epilog=EXAMPLES)
@click.option("--quick", is_flag=True, help="One cell instead of 18, about a minute instead of 10.")
@click.option("--json", "json_file", type=OUT, help="Write the figures here.")
@click.option("--svg", "svg_file", type=OUT, help="Write the picture of the speeds here.")
@click.option(
    "--at-once",
    type=click.IntRange(1, 8),
    default=2,
    show_default=True,
    help="So many masters are measured at once, each on a line of its own; 1 on a single core.",
)
@click.option(
    "--python",
    envvar="FEEDER_BENCH_PYTHON",
    default="",
    help="An interpreter with the Python masters that this one lacks (FEEDER_BENCH_PYTHON).",
)
@click.option(
    "--node-modules",
    envvar="FEEDER_BENCH_NODE_MODULES",
    default="",
    help="Where npm has put modbus-serial (FEEDER_BENCH_NODE_MODULES).",
)
def main(
    quick: bool,
    json_file: Path | None,
    svg_file: Path | None,
    at_once: int,
    python: str,
    node_modules: str,
) -> None:
    """Measure Modbus RTU masters side by side and print a table.

    A master that is not installed is named, with the command that brings it.
    """
    places = Places(python=python, node_modules=node_modules)
    try:
        figures = asyncio.run(measure(QUICK if quick else FULL, places, at_once, quick=quick))
    except* RuntimeError as failures:
        raise click.ClickException("; ".join(causes(failures))) from None
    for line in in_words(figures):
        click.echo(line)
    if json_file is not None:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")
    if svg_file is not None:
        svg_file.write_text(svg(figures), encoding="utf-8")


async def measure(plan: Plan, places: Places, at_once: int, *, quick: bool) -> Figures:
    """Every figure of a plan. `RuntimeError` where a master or the room fell over."""
    load_before, *_ = os.getloadavg()
    peers = (*PEERS, REFERENCE)
    found = [await find(peer, places) for peer in peers]
    present = tuple(one for one in found if one is not None)
    campaign, rooms = Campaign(plan, present, places, at_once, say), Rooms(plan, say)
    speeds = await campaign.speeds()
    say(
        "late and dead meters: every master and the bus room at once, for this takes seconds a miss"
    )
    async with asyncio.TaskGroup() as group:
        late = group.create_task(campaign.late())
        deads = group.create_task(campaign.dead())
        beside_dead = group.create_task(rooms.dead())
    gateway = await rooms.figures(beside_dead.result())
    load_after, *_ = os.getloadavg()
    return Figures(
        date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        machine=machine(),
        load_before=load_before,
        load_after=load_after,
        quick=quick,
        at_once=at_once,
        versions={one.peer.name: one.version for one in present},
        not_here=tuple(peer for peer, one in zip(peers, found, strict=True) if one is None),
        speeds=speeds,
        late_reads=plan.late_reads,
        late_timeout_s=LATE_TIMEOUT_S,
        late=late.result(),
        dead=len(plan.dead),
        dead_meters=plan.dead_meters,
        deads=deads.result(),
        gateway=gateway,
    )


def causes(failures: BaseExceptionGroup[BaseException]) -> Iterator[str]:
    """What went wrong, through all groups."""
    for failure in failures.exceptions:
        if isinstance(failure, BaseExceptionGroup):
            yield from causes(failure)
        else:
            yield str(failure)


def machine() -> str:
    """The processor, the system and the interpreter."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    model = models[0] if models else platform.machine()
    return (
        f"{os.cpu_count()} cores {model}, Linux {platform.release()}, "
        f"Python {platform.python_version()}"
    )


_BEGUN_S = time.monotonic()


def say(what: str) -> None:
    """What is being measured, for whoever waits."""
    click.echo(f"{time.monotonic() - _BEGUN_S:5.0f} s  {what}", err=True)


if __name__ == "__main__":
    main()
