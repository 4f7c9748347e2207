"""What the tests of the promise clock speak with: closes on a world's clock, and their journeys."""

from gateway.core.fact import Outcome, SwitchCommand, SwitchReport, Why
from gateway.core.journeys import journeys_of
from gateway.core.model import Instant, Serial, SupplyState
from gateway.core.promise import Journey, Journeys
from gateway.core.records import Record
from gateway.core.reports import admit_report
from tests.core.papers import NOON_MS
from tests.core.world import World

OPEN, CLOSED = SupplyState.DISCONNECTED, SupplyState.CONNECTED
ARMED = SupplyState.READY_FOR_RECONNECTION


def begins(world: World) -> SwitchCommand:
    """A close is decided."""
    (command,) = world.plans().commands
    return command


def ends(
    world: World,
    command: SwitchCommand,
    outcome: Outcome = Outcome.CLOSED_VERIFIED,
    *,
    reads: SupplyState | None = CLOSED,
    verdict: str = "",
) -> None:
    """The close ends: written 400 ms ago, read back 100 ms ago, unless it did not get so far."""
    done = outcome in {Outcome.CLOSED_VERIFIED, Outcome.CLOSED_UNVERIFIED}
    report = SwitchReport(
        number=command.number,
        move=command.move,
        serial=Serial(command.meter.serial),
        outcome=outcome,
        verdict=verdict,
        why=Why.NO_ANSWER if outcome is Outcome.UNKNOWN else Why.NONE,
        writes=1,
        written_ms=world.now.mono_ms - 400 if done else None,
        verified_ms=world.now.mono_ms - 100 if done else None,
    )
    body = admit_report(report, world.image)
    assert body is not None
    world.record(body)
    if reads is not None:
        world.reads(command.meter.serial, reads)


def comes_back(world: World) -> None:
    """One home is closed, from the decision to the reading."""
    command = begins(world)
    world.wait(1_000)
    ends(world, command)


def records(world: World) -> list[Record]:
    return [record for record, _ in world.journal]


def told(world: World, *, since: int = 1) -> Journeys:
    """What the records from that number on tell."""
    return journeys_of(record for record in records(world) if record.number >= since)


def journey(world: World) -> Journey:
    """The only reconnection there is."""
    found = told(world)
    assert found.under_way == ()
    (one,) = found.ended
    return one


def kinds(world: World, journey: Journey) -> list[str]:
    """What kinds of records prove it."""
    by_number = {record.number: type(record.body).__name__ for record in records(world)}
    return [by_number[number] for number in journey.numbers]


def wall(instant: Instant | None) -> int:
    """An instant as milliseconds since the world's noon."""
    assert instant is not None
    return instant.wall_ms - NOON_MS
