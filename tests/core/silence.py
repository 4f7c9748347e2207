"""What the tests of grace speak with: homes that were cut, and a head end that falls silent."""

import msgspec

from gateway.core.fact import TagKind
from gateway.core.model import Cause, Meter
from gateway.core.records import GraceGranted
from gateway.core.terms import Grace, Pacing
from tests.core.cutting import ANYTIME, CLOSED, OPEN, begins
from tests.core.papers import HOUR_MS, M1, cut, entry, meter
from tests.core.world import World

M2, M3 = meter(2, dt="T2"), meter(3, dt="T3")
NEIGHBOUR = meter(4)
GRACE = Grace(after_h=2, cut_within_days=3, daily_max=2, hours=4)
DAY_MS = 24 * HOUR_MS
AT_ONCE = Pacing(first_alone_ms=0, gap_ms=0)


def cut_world(*meters: Meter, grace: Grace | None = GRACE) -> World:
    """All of these were cut by order just now, and the head end said that it goes."""
    world = World(*meters, disconnection=ANYTIME, grace=grace, pacing=AT_ONCE)
    listed = (entry(int(one.account[1:]), 10) for one in meters)
    assert world.lists(50, *listed) == "ACCEPTED"
    world.hears()
    for one in meters:
        world.reads(one.serial, CLOSED)
    terms = msgspec.structs.replace(ANYTIME, gap_ms=0)
    world.site(*meters, disconnection=terms)
    assert world.ordered(cut(*(int(one.account[1:]) for one in meters))) == "ACCEPTED"
    for command in world.plans().commands:
        assert world.ends(command, state=OPEN)
    goes(world)
    return world


def goes(world: World) -> None:
    """The head end says that it goes, and that is taken down."""
    world.hears(online=False)
    world.plans()


def later(world: World, ms: int) -> None:
    """So much later every meter is read as it was."""
    world.wait(ms)
    reads_all(world)


def reads_all(world: World) -> None:
    for serial in world.image.roster:
        known = world.image.kept.supply.get(serial)
        if known is not None:
            world.reads(serial, known.state)


def silent_long_enough(world: World) -> None:
    later(world, 2 * HOUR_MS + 1)


def given_grace() -> World:
    """M1 has supply by grace since this instant; its own prepay logic may open it again."""
    world = cut_world(M1, M2)
    world.tags(TagKind.HOLD, "M2")
    silent_long_enough(world)
    assert world.ends(begins(world), state=CLOSED)
    return world


def opens_by_itself(world: World, serial: str = "M1") -> None:
    """The meter's own prepay logic opens it."""
    world.reads(serial, CLOSED)
    world.reads(serial, OPEN, cause=Cause.PREPAY)


def grants(world: World) -> list[GraceGranted]:
    return [record.body for record, _ in world.journal if isinstance(record.body, GraceGranted)]


def heard_again(world: World) -> None:
    world.hears()
    world.plans()
