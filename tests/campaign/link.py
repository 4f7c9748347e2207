"""The network is cut at MQTT packets, wherever one passes: nothing is lost, nothing happens twice.

    python -m tests.campaign.link --points 500 --seed 7

Owns the choice of the points and the story. Each point is a packet of a kind, on its way up to the
broker or down from it, on the gateway's or on the collector's side; the connection breaks before
it, in the middle of it or after it, by RST, by FIN, or so that nobody is told. Meanwhile a home is
ordered to be reconnected and records are written. After each point the judge of `link_world` looks.

In the same run a collector that acknowledges before it stores has to be caught.
"""

import asyncio
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from gateway.core.model import Value
from tests.campaign.link_world import World
from tests.rooms.headend.cutting_proxy import Cut, Kind, Manner, Moment, Way

LANES = 8
"""Worlds side by side: a broken half waits for a keep-alive."""
HOMES = 60
STUCK_S = 90.0
"""For one point; every one of the gateway's and the collector's waiting times is in it."""
SPOTS = (
    (Way.UP, Kind.CONNECT), (Way.DOWN, Kind.CONNACK),
    (Way.UP, Kind.SUBSCRIBE), (Way.DOWN, Kind.SUBACK),
    (Way.UP, Kind.PUBLISH), (Way.DOWN, Kind.PUBACK),
    (Way.DOWN, Kind.PUBLISH), (Way.UP, Kind.PUBACK),
    (Way.UP, Kind.PUBLISH), (Way.DOWN, Kind.PUBACK),
    (Way.DOWN, Kind.PUBLISH), (Way.UP, Kind.PUBACK),
    (Way.UP, Kind.PINGREQ), (Way.DOWN, Kind.PINGRESP),
    (Way.UP, Kind.DISCONNECT),
)  # fmt: skip
"""What passes by itself once, and twice what carries records, orders and their acknowledgements."""
OPENING = {Kind.CONNECT, Kind.CONNACK, Kind.SUBSCRIBE, Kind.SUBACK}
IDLE = {Kind.PINGREQ, Kind.PINGRESP}
NTH_MAX = 5
MANNERS = (Manner.RST, Manner.FIN, Manner.RST, Manner.FIN, Manner.HALF)


class Point(Value):
    """Where the network is cut; `near`: on the gateway's side, otherwise on the collector's."""

    near: bool
    cut: Cut

    def __str__(self) -> str:
        """In words."""
        side, cut = "gateway" if self.near else "collector", self.cut
        where = f"{cut.moment} {cut.kind.name} {cut.nth} {cut.way}"
        return f"{side}'s side: {cut.manner} {where}"


class Found(Value):
    """What a campaign has come to."""

    points: tuple[Point, ...] = ()
    """Those that were cut at."""
    faults: tuple[str, ...] = ()
    orders: int = 0
    records: int = 0
    doubled: int = 0
    """Documents that the broker delivered more than once."""
    careless: tuple[str, ...] = ()
    """What the judge says of the collector that acknowledges before it stores."""


def points_of(count: int, seed: int) -> tuple[Point, ...]:
    """So many points, spread evenly over the packets, the sides, the moments and the manners."""
    draws = random.Random(seed)
    spots = [(near, *spot) for spot in SPOTS for near in (True, False)]
    draws.shuffle(spots)
    moments = cycle(draws.sample(tuple(Moment), len(Moment)))
    manners = cycle(draws.sample(MANNERS, len(MANNERS)))
    found: list[Point] = []
    for near, way, kind in islice(cycle(spots), count):
        nth = draws.randint(1, NTH_MAX) if kind in {Kind.PUBLISH, Kind.PUBACK} else 1
        cut = Cut(way=way, kind=kind, nth=nth, moment=next(moments), manner=next(manners))
        found.append(Point(near=near, cut=cut))
        if len(found) % len(spots) == 0:
            next(moments)
            next(manners)
    return tuple(found)


class Campaign:
    """Cuts at every point, in worlds side by side; `say` is told of each point."""

    def __init__(
        self, points: Sequence[Point], say: Callable[[str], None] = lambda _: None
    ) -> None:
        self._points = points
        self._say = say
        self._cut: list[Point] = []
        self._faults: list[str] = []
        self._totals: Counter[str] = Counter()

    async def run(self, folder: Path) -> Found:
        """All of it, in an empty folder."""
        # Those that take long first, so that every lane gets its share of them.
        ordered = sorted(self._points, key=lambda point: not _takes_long(point))
        lanes = [ordered[at::LANES] for at in range(LANES)]
        _, careless = await asyncio.gather(
            asyncio.gather(
                *(self._lane(folder / f"lane-{at}", lane) for at, lane in enumerate(lanes) if lane)
            ),
            caught(folder / "careless"),
        )
        return Found(
            points=tuple(self._cut),
            faults=tuple(self._faults),
            orders=self._totals["orders"],
            records=self._totals["records"],
            doubled=self._totals["doubled"],
            careless=tuple(careless),
        )

    async def _lane(self, folder: Path, points: Sequence[Point]) -> None:
        async with World.opened(folder, homes=HOMES) as world:
            for point in points:
                faults = await _judged(world, point)
                self._cut.append(point)
                self._say(f"{len(self._cut):>4}/{len(self._points)}  {point}")
                self._faults.extend(f"{point}: {fault}" for fault in faults)
                if faults:
                    break
            self._totals["orders"] += len(world.orders)
            self._totals["records"] += world.gateway.image.number
            self._totals["doubled"] += sum(many > 1 for many in world.deliveries.values())


def _takes_long(point: Point) -> bool:
    return point.cut.manner is Manner.HALF or point.cut.kind in IDLE


async def _judged(world: World, point: Point) -> list[str]:
    try:
        async with asyncio.timeout(STUCK_S):
            return [*await _cut(world, point), *await world.faults()]
    except TimeoutError:
        image = world.gateway.image
        return [f"stuck for {STUCK_S:.0f} s: {image.acked_through} of {image.number} acknowledged"]


async def _cut(world: World, point: Point) -> Iterator[str]:
    """Cut at one point with work under way, and wait until all is well again; what went wrong."""
    proxy, kind = (world.near if point.near else world.far), point.cut.kind
    proxy.arm(point.cut)
    wrong: list[str] = []
    if kind in OPENING:
        proxy.break_all()
    if kind in IDLE:
        await proxy.until_cut()
    if kind is Kind.DISCONNECT and point.near:
        await world.again()
    elif kind is Kind.DISCONNECT:
        await world.collect_no_more()
        await world.collect()
    while True:
        wrong.append(await world.order())
        await world.gateway.writes(2)
        await world.drained()
        if not proxy.armed:
            return filter(None, wrong)


async def caught(folder: Path) -> list[str]:
    """What the judge says of a collector that acknowledges before it stores, and is killed."""
    async with World.opened(folder, homes=1, collects=False) as world:
        await world.careless()
        # At once: the next collector would get from the gateway what this one did not store.
        return await world.faults()


@click.command()
@click.option("--points", "count", type=click.IntRange(1), default=60, show_default=True)
@click.option("--seed", type=int, help="Which points; else a new one.")
def main(count: int, seed: int | None) -> None:
    """Cut the network at so many MQTT packets and judge what is left.

    \b
    Example:
      python -m tests.campaign.link --points 500 --seed 7
    """
    begin_s = time.monotonic()
    seed = secrets.randbits(32) if seed is None else seed

    def say(what: str) -> None:
        click.echo(f"{time.monotonic() - begin_s:6.1f} s  {what}")

    say(f"seed {seed}")
    with TemporaryDirectory(prefix="link-") as folder:
        found = asyncio.run(Campaign(points_of(count, seed), say).run(Path(folder)))
    say(
        f"{len(found.points)} cuts, {found.orders} orders, {found.records:,} records; "
        f"{found.doubled} documents were delivered again; {len(found.faults)} faults"
    )
    for fault in found.faults:
        click.echo(f"FAULT  {fault}")
    say(f"the careless collector was {'caught' if found.careless else 'NOT CAUGHT'}")
    for fault in found.careless:
        click.echo(f"       {fault}")
    raise SystemExit(1 if found.faults or not found.careless else 0)


if __name__ == "__main__":
    main()
