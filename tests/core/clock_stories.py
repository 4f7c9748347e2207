"""What may happen to a gateway's clock, as stories, and who answers for the time after each."""

from collections.abc import Callable

from gateway.core.kept import DAY_MS
from gateway.core.model import TimeSource
from tests.core.clocked import ClockedWorld
from tests.core.papers import HOUR_MS, MINUTE_MS, NOON_MS

TEN_YEARS_MS = 3_653 * DAY_MS
TO_1970_MS, TO_2038_MS = -NOON_MS, 2_147_483_648_000 - NOON_MS
Story = Callable[[ClockedWorld], object]


def nothing(_: ClockedWorld) -> None:
    """It has just booted, in 1970."""


def a_calendar(ahead_ms: int) -> Story:
    def story(world: ClockedWorld) -> None:
        world.calendar_jumps(ahead_ms)
        world.passes(DAY_MS)

    return story


def a_calendar_that_jumps(world: ClockedWorld) -> None:
    for ahead_ms in (TO_2038_MS, TO_1970_MS, TEN_YEARS_MS, -TEN_YEARS_MS, 0, HOUR_MS, -HOUR_MS):
        world.calendar_jumps(ahead_ms)
        world.passes(HOUR_MS)
        world.process_restarts()


def days_without_head_end(days: int) -> Story:
    def story(world: ClockedWorld) -> None:
        for _ in range(days):
            world.passes(DAY_MS)

    return story


def days_without_power(days: int, boots: int = 1) -> Story:
    def story(world: ClockedWorld) -> None:
        for _ in range(boots):
            world.lies_off(days * DAY_MS // boots)

    return story


def a_server(ahead_ms: int) -> Story:
    def story(world: ClockedWorld) -> None:
        world.daemon_answers(ahead_ms)
        world.passes(DAY_MS)

    return story


def a_battery(ahead_ms: int) -> Story:
    def story(world: ClockedWorld) -> None:
        world.battery_answers(ahead_ms)
        world.lies_off(30 * DAY_MS, ahead_ms)

    return story


def a_server_after_400_days(world: ClockedWorld) -> None:
    world.lies_off(399 * DAY_MS)
    world.daemon_answers()


def a_time_document(world: ClockedWorld) -> None:
    assert world.is_told_the_time(delay_ms=14 * MINUTE_MS) == "ACCEPTED"
    world.passes(100 * DAY_MS)


def a_time_document_of_the_last_boot(world: ClockedWorld) -> None:
    assert world.is_told_the_time() == "ACCEPTED"
    world.lies_off(DAY_MS)


NONE, NETWORK, RTC, DOCUMENT = (
    TimeSource.NONE,
    TimeSource.NETWORK,
    TimeSource.RTC,
    TimeSource.DOCUMENT,
)
STORIES: list[tuple[str, Story, TimeSource]] = [
    ("1970", nothing, NONE),
    ("a calendar in 2038", a_calendar(TO_2038_MS), NONE),
    ("a calendar ten years ahead", a_calendar(TEN_YEARS_MS), NONE),
    ("a calendar that is right by chance", a_calendar(0), NONE),
    ("a calendar that jumps forth and back", a_calendar_that_jumps, NONE),
    *(
        (f"{days} days without the head end", days_without_head_end(days), NONE)
        for days in (1, 30, 400)
    ),
    *(
        (f"{days} days without power", days_without_power(days), NONE)
        for days in (1, 30, 399, 400)
    ),
    ("400 days without power in ten boots", days_without_power(400, boots=10), NONE),
    ("a server that is right", a_server(0), NETWORK),
    ("a server that lies by ten years", a_server(TEN_YEARS_MS), NONE),
    ("a server that lies by ten years back", a_server(-TEN_YEARS_MS), NONE),
    ("a server that lies by 401 days", a_server(401 * DAY_MS), NONE),
    ("a server that is right after 399 days", a_server_after_400_days, NETWORK),
    ("a battery clock that is right", a_battery(0), RTC),
    ("a battery clock four minutes wrong", a_battery(4 * MINUTE_MS), RTC),
    ("a battery clock of 1970", a_battery(TO_1970_MS), NONE),
    ("a battery clock ten years ahead", a_battery(TEN_YEARS_MS), NONE),
    ("a time document", a_time_document, DOCUMENT),
    ("a time document of the last boot", a_time_document_of_the_last_boot, NONE),
]  # fmt: skip


def after(story: Story, ppm: int = 0) -> ClockedWorld:
    """A gateway with a list, after a story."""
    world = ClockedWorld(ppm=ppm)
    assert world.is_listed() == "ACCEPTED"
    story(world)
    return world
