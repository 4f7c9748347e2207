"""The only file that asks the time: what it claims, what is certain, what is believed."""

import pytest

from gateway.host.clock import HostClock, boot_id, boot_ms, interval, wall_ms

NOON_MS = 1_795_420_800_000
DAY_MS = 86_400_000
LATER_MS, LATEST_MS = NOON_MS + DAY_MS, NOON_MS + 400 * DAY_MS
CLAIMS: list[tuple[str, int, bool, tuple[int, int | None]]] = [
    ("nobody stands behind it", LATER_MS, False, (NOON_MS, None)),
    ("a little later", LATER_MS, True, (LATER_MS - 1_000, LATER_MS + 1_000)),
    ("a moment before what is certain", NOON_MS - 1_000, True, (NOON_MS, NOON_MS)),
    ("before what is certain", NOON_MS - 1_001, True, (NOON_MS, None)),
    ("1970", 0, True, (NOON_MS, None)),
    ("400 days on", LATEST_MS, True, (LATEST_MS - 1_000, LATEST_MS + 1_000)),
    ("more than 400 days on", LATEST_MS + 1, True, (NOON_MS, None)),
    ("2038", 2_147_483_648_000, True, (NOON_MS, None)),
]


@pytest.mark.parametrize(
    ("claimed_ms", "disciplined", "bounds"),
    [row[1:] for row in CLAIMS],
    ids=[f"a claim: {row[0]}" for row in CLAIMS],
)
def test_what_the_calendar_claims_is_believed_within_bounds(
    claimed_ms: int, disciplined: bool, bounds: tuple[int, int | None]
) -> None:
    assert interval(NOON_MS, claimed_ms, disciplined=disciplined) == bounds


def test_the_machines_own_clock_gives_the_boot_and_both_times() -> None:
    clock = HostClock(boot_id(), 0)
    before, now, after = boot_ms(), clock.now(), boot_ms()
    assert before <= now.mono_ms <= after
    assert now.boot == boot_id()
    assert 0 <= wall_ms() - now.wall_ms < 60_000


def test_what_is_certain_only_rises() -> None:
    clock = HostClock(boot_id(), NOON_MS)
    clock.raise_low(NOON_MS + DAY_MS)
    assert clock.now().wall_low_ms >= NOON_MS + DAY_MS
    clock.raise_low(NOON_MS)
    assert clock.now().wall_low_ms >= NOON_MS + DAY_MS
