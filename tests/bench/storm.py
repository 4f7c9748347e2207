"""Figures of a return: how fast a broker's gateways come back, with jitter and without.

    python -m tests.bench.storm [--gateways 1000] [--outage 30] [--seed 1] [--json]

Owns the measuring only. A real Mosquitto is killed under so many connections, stays away and comes
back; every gateway waits by a real `BackOff` of its own. The two runs differ in the draw alone: by
chance up to the ceiling, or always the ceiling.
"""

import asyncio
import contextlib
import random
import resource
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import click
import msgspec

from gateway.headend.dialler import BackOff, Draw
from gateway.headend.mqtt import HELD_S
from tests.rooms.brokers import CONNACK, Mosquitto

SPARE_FILES = 100
"""Descriptors for everything that is no connection."""
PATIENCE_S = 700.0
"""Nobody waits longer than 5 minutes, but the broker's backlog may turn some away."""
BAR_MAX = 50
UNLIMITED = ("allow_anonymous true", "max_connections -1", "persistence false")


class Figures(msgspec.Struct, frozen=True):
    """Of one return; times in seconds since the broker was started again."""

    gateways: int
    in_vain: int
    """Attempts while the broker was away."""
    per_second: dict[int, int]
    """Connections that it took in each second."""
    most_in_a_second: int
    most_in_100_ms: int
    half_back_s: float
    all_back_s: float
    answer_ms: float
    """Median from the attempt to the broker's consent."""
    answer_worst_ms: float


@dataclass
class Fleet:
    """What was seen of all gateways."""

    connected: int = 0
    in_vain: int = 0
    arrivals: list[float] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, connected: int) -> None:
        """Wait until so many are connected."""
        while self.connected != connected:
            self.changed.clear()
            await self.changed.wait()

    async def live(self, broker: Mosquitto, name: str, back_off: BackOff) -> None:
        """One gateway, as far as a broker sees it: connect, stay, come again."""
        loop = asyncio.get_running_loop()
        while True:
            begin = loop.time()
            try:
                reader, writer = await asyncio.open_connection(broker.host, broker.port)
                writer.write(_connect(name))
                await reader.readexactly(len(CONNACK))
            except (OSError, asyncio.IncompleteReadError):
                self.in_vain += 1
            else:
                since = self._came(begin)
                with contextlib.suppress(OSError):
                    await reader.read()
                writer.close()
                self._went()
                if loop.time() - since >= HELD_S:
                    back_off.reset()
            await asyncio.sleep(back_off.next_s())

    def _came(self, begin: float) -> float:
        now = asyncio.get_running_loop().time()
        self.connected += 1
        self.arrivals.append(now)
        self.answers.append(now - begin)
        self.changed.set()
        return now

    def _went(self) -> None:
        self.connected -= 1
        self.changed.set()


async def measured(folder: Path, gateways: int, outage_s: float, draw: Draw) -> Figures:
    """One outage and the return after it."""
    broker, fleet = Mosquitto(folder, options=UNLIMITED), Fleet()
    await broker.start()
    names = (f"fg-storm-{at}" for at in count())
    lives = [
        asyncio.create_task(fleet.live(broker, next(names), BackOff(draw))) for _ in range(gateways)
    ]
    await fleet.until(gateways)
    await broker.kill()
    await fleet.until(0)
    before = fleet.in_vain
    await asyncio.sleep(outage_s)
    in_vain = fleet.in_vain - before
    fleet.arrivals.clear()
    fleet.answers.clear()
    back = asyncio.get_running_loop().time()
    await broker.start()
    async with asyncio.timeout(PATIENCE_S):
        await fleet.until(gateways)
    for life in lives:
        life.cancel()
    await asyncio.gather(*lives, return_exceptions=True)
    await broker.stop()
    return _figures([at - back for at in fleet.arrivals], fleet.answers, in_vain)


def _figures(arrivals: list[float], answers: list[float], in_vain: int) -> Figures:
    seconds = Counter(int(at) for at in arrivals)
    tenths = Counter(int(at * 10) for at in arrivals)
    return Figures(
        gateways=len(arrivals),
        in_vain=in_vain,
        per_second=dict(sorted(seconds.items())),
        most_in_a_second=max(seconds.values()),
        most_in_100_ms=max(tenths.values()),
        half_back_s=round(sorted(arrivals)[len(arrivals) // 2], 1),
        all_back_s=round(max(arrivals), 1),
        answer_ms=round(1000 * median(answers), 1),
        answer_worst_ms=round(1000 * max(answers), 1),
    )


def _connect(name: str) -> bytes:
    # MQTT 3.1.1, a clean session, a keep-alive of an hour.
    told = b"\x00\x04MQTT\x04\x02\x0e\x10" + len(name).to_bytes(2) + name.encode()
    return bytes((0x10, len(told))) + told


def draws(seed: int) -> dict[str, Callable[[], Draw]]:
    """The two ways to wait."""
    return {
        "full jitter": lambda: random.Random(seed).uniform,
        "no jitter": lambda: lambda _low, high: high,
    }


def room_for(gateways: int) -> int:
    """As many of them as this process may hold connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(gateways, hard - SPARE_FILES)


def lines_of(rows: dict[str, Figures]) -> list[str]:
    """A table, and under it what came in each second."""
    lines = [f"{'':<32}" + "".join(f"{what:>14}" for what in rows)]
    for name in Figures.__struct_fields__:
        if name != "per_second":
            told = "".join(f"{getattr(row, name):>14}" for row in rows.values())
            lines.append(f"{name.replace('_', ' '):<32}{told}")
    for what, row in rows.items():
        lines.append(f"{what}: connections in each second")
        for second, number in row.per_second.items():
            bar = "#" * max(1, number * BAR_MAX // row.gateways)
            lines.append(f"{second:>5} s {number:>6} {bar}")
    return lines


@click.command()
@click.option("--gateways", default=1_000, show_default=True, help="That come back at once.")
@click.option("--outage", default=30.0, show_default=True, help="Seconds without a broker.")
@click.option("--seed", default=1, show_default=True, help="Of the jitter.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def main(gateways: int, outage: float, seed: int, as_json: bool) -> None:
    """Measure how gateways come back to a broker that was away.

    \b
    Example:
      python -m tests.bench.storm --outage 300
    """
    held = room_for(gateways)
    if held < gateways:
        click.echo(f"this process may hold {held} connections, not {gateways}", err=True)
    rows = {}
    for what, draw in draws(seed).items():
        click.echo(f"{what}: {held} gateways, {outage:.0f} s without a broker", err=True)
        with TemporaryDirectory() as folder:
            rows[what] = asyncio.run(measured(Path(folder), held, outage, draw()))
    if as_json:
        click.echo(msgspec.json.encode(rows))
        return
    for line in lines_of(rows):
        click.echo(line)


if __name__ == "__main__":
    main()
