"""`demo`: a paid home comes back during an outage, on simulated meters, with everything else real.

Owns the command: what is set up around the story, and what is taken down after it. Must never
change a figure: they come from `demo_report` as they are.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import msgspec

from gateway.bench.broker import demo_broker
from gateway.bench.control import simulated_line
from gateway.bench.demo_report import Figures
from gateway.bench.demo_story import STORY_MAX_S, DemoError, Story
from gateway.bench.demo_world import (
    BAUD,
    FOREIGN_TYPE,
    Daemon,
    Foreign,
    Papers,
    PowerCut,
    PowerCuts,
    install,
    town,
)
from gateway.host.clock import wall_ms
from gateway.utility.broker import host_and_port
from gateway.utility.publish import NotPublished


async def run_demo(
    *,
    broker: tuple[str, int] | None,
    power_cuts: tuple[PowerCut, ...] = (),
    foreign: Foreign | None = None,
    say: Callable[[str], None],
) -> Figures:
    """Set up, tell the story, take down. Raises `DemoError` and `NotPublished`.

    `foreign` runs the meters of one type by another maker's Modbus, on ports of the same wire.
    """
    homes = town()
    papers = Papers(homes, wall_ms())
    with TemporaryDirectory(prefix="feeder-demo-") as name:
        folder = Path(name)
        async with contextlib.AsyncExitStack() as stack:
            if broker is None:
                broker = await stack.enter_async_context(demo_broker())
            others = [h.entry.unit for h in homes if foreign and h.entry.type is FOREIGN_TYPE]
            own = [home.entry for home in homes if home.entry.unit not in others]
            line = await stack.enter_async_context(simulated_line(own, baud=BAUD, taps=len(others)))
            strangers = None
            if foreign is not None:
                ports = dict(zip(others, line.taps, strict=True))
                strangers = await stack.enter_async_context(foreign(ports))
            config = install(folder, papers, pty=line.pty, broker=broker)
            daemon = Daemon(config, folder / "daemon.log")
            await stack.enter_async_context(_in_background(daemon.keep_running()))
            cuts = PowerCuts(daemon, power_cuts, say)
            cuts.begin()
            story = Story(
                homes,
                papers,
                line=line,
                foreign=strangers,
                broker=broker,
                config=config,
                say=cuts.say,
            )
            try:
                return await story.tell()
            except DemoError:
                say((folder / "daemon.log").read_text(encoding="utf-8")[-4_000:])
                raise


@contextlib.asynccontextmanager
async def _in_background(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@click.command(
    epilog="""\b
Examples:
  feeder-gateway demo
  feeder-gateway demo --json
  feeder-gateway demo --broker localhost:1883
  feeder-gateway demo --power-cut 4 --power-cut 7.5
"""
)
@click.option(
    "--broker",
    callback=host_and_port,
    metavar="HOST:PORT",
    help="A real MQTT broker instead of the embedded.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a report.")
@click.option(
    "--power-cut",
    "power_cuts_s",
    multiple=True,
    type=click.FloatRange(0, STORY_MAX_S),
    metavar="SECONDS",
    help="Kill the daemon so long after the start, and start it again. May be given repeatedly.",
)
def demo(broker: tuple[str, int] | None, as_json: bool, power_cuts_s: tuple[float, ...]) -> None:
    """See a paid home come back during an outage.

    Takes less than a minute, and needs no root, no hardware and no network. Twelve simulated meters
    stand on a pseudo terminal at 9600 baud; the daemon, the broker, the signatures and the head end
    are real.
    """
    cuts = tuple(PowerCut(seconds=seconds) for seconds in power_cuts_s)
    say: Callable[[str], None] = (lambda _: None) if as_json else click.echo
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        figures = asyncio.run(run_demo(broker=broker, power_cuts=cuts, say=say))
    except (DemoError, NotPublished) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    if as_json:
        click.echo(msgspec.json.encode(figures.numbers))
    else:
        for text in figures.in_words():
            click.echo(text)
    if figures.failures:
        for failure in figures.failures:
            click.echo(f"NOT TRUE: {failure}", err=True)
        sys.exit(1)
