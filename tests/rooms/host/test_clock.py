"""The only file that asks the time: the machine's own clocks, and what is told beside them."""

from pathlib import Path

from gateway.core.kept import TimeBound
from gateway.core.model import TimeSource
from gateway.host.clock import HostClock, boot_id, boot_ms, wall_ms
from gateway.host.interval import JUMP_MAX_MS, RTC_MARGIN_MS

DAY_MS = 86_400_000
MINUTE_MS = 60_000


def clock(nowhere: Path, built_ms: int) -> HostClock:
    """The machine's clock without a battery."""
    return HostClock(boot_id(), built_ms, sysfs=nowhere, devices=nowhere)


def test_the_machines_own_clock_gives_the_boot_and_both_times(tmp_path: Path) -> None:
    own = clock(tmp_path, 0)
    before, now, after = boot_ms(), own.now(), boot_ms()
    assert before <= now.mono_ms <= after
    assert now.boot == boot_id()
    assert 0 <= wall_ms() - now.wall_ms < MINUTE_MS


def test_what_is_certain_only_rises(tmp_path: Path) -> None:
    # Further ahead than any calendar is believed: only what is told counts here.
    built_ms = wall_ms() + DAY_MS
    own = clock(tmp_path, built_ms)
    own.raise_low(built_ms + DAY_MS)
    own.raise_low(built_ms)
    now = own.now()
    assert built_ms + DAY_MS <= now.wall_low_ms < built_ms + DAY_MS + MINUTE_MS
    assert not now.trusted


def test_a_reset_lowers_it_but_not_below_the_day_of_the_build(tmp_path: Path) -> None:
    built_ms = wall_ms() + DAY_MS
    own = clock(tmp_path, built_ms)
    own.raise_low(built_ms + 2 * DAY_MS)
    own.reset_low(built_ms + DAY_MS)
    assert own.now().wall_low_ms < built_ms + DAY_MS + MINUTE_MS
    own.reset_low(0)
    assert built_ms <= own.now().wall_low_ms < built_ms + MINUTE_MS


def test_a_time_document_of_this_boot_bounds_it_until_it_is_taken_back(tmp_path: Path) -> None:
    built_ms = wall_ms() + DAY_MS
    own = clock(tmp_path, built_ms)
    said_ms = built_ms + 2 * JUMP_MAX_MS
    bound = TimeBound(boot=boot_id(), mono_ms=boot_ms(), low_ms=said_ms, high_ms=said_ms + 1_000)
    own.bound(bound)
    now = own.now()
    assert now.source is TimeSource.DOCUMENT
    assert now.wall_high_ms is not None
    assert said_ms <= now.wall_low_ms <= now.wall_ms <= now.wall_high_ms < said_ms + MINUTE_MS
    own.bound(None)
    assert not own.now().trusted


def test_a_battery_clock_is_read_where_it_is_said_to_be(tmp_path: Path) -> None:
    battery = tmp_path / "rtc0"
    battery.mkdir()
    (battery / "hctosys").write_text("1\n", encoding="ascii")
    (battery / "since_epoch").write_text(f"{wall_ms() // 1_000}\n", encoding="ascii")
    now = clock(tmp_path, wall_ms() - DAY_MS).now()
    # The machine that runs this may have a time daemon, too: it is the better one.
    assert now.source in {TimeSource.RTC, TimeSource.NETWORK}
    assert now.wall_high_ms is not None
    assert now.wall_low_ms <= wall_ms() <= now.wall_high_ms + MINUTE_MS
    assert now.wall_high_ms - now.wall_low_ms <= 2 * RTC_MARGIN_MS


def test_a_battery_clock_is_read_once_a_minute_and_the_boot_clock_counts_on(
    tmp_path: Path,
) -> None:
    battery = tmp_path / "rtc0"
    battery.mkdir()
    (battery / "hctosys").write_text("1\n", encoding="ascii")
    (battery / "since_epoch").write_text(f"{wall_ms() // 1_000}\n", encoding="ascii")
    own = clock(tmp_path, wall_ms() - DAY_MS)
    assert own.now().trusted
    (battery / "since_epoch").unlink()
    assert own.now().trusted
