"""The only file that asks the time.

Owns the boot clock (CLOCK_BOOTTIME, which goes on through suspend), the calendar, and the question
who stands behind it: a time daemon (adjtimex(2), any state but TIME_ERROR), a battery clock (`rtc`)
or a time document that core has verified. Must never let wall time measure a duration, nor decide
whom to believe (`interval` does).

A Raspberry Pi may have no battery clock: until somebody answers, the calendar is a claim and only
the lower bound is known.
"""

import ctypes
import time
from pathlib import Path

from gateway.core.kept import TimeBound
from gateway.core.model import Now
from gateway.host.interval import Heard, bounded, present, raised, reckoning, reset
from gateway.host.rtc import DEVICES, SYSFS, battery_clock_ms

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
TIME_ERROR = 5
"""adjtimex(2): the clock is not synchronised."""
RTC_EVERY_MS = 60_000
"""A battery clock is read over a slow wire; in between the boot clock counts on."""
_TIMEX_BYTES = 512
"""More than `struct timex` has on any Linux; a zeroed one only asks (modes = 0)."""
_LIBC = ctypes.CDLL(None, use_errno=True)


class HostClock:
    """The machine's time as `Now`, with a lower bound that only rises."""

    def __init__(
        self, boot: str, wall_low_ms: int, *, sysfs: Path = SYSFS, devices: Path = DEVICES
    ) -> None:
        """`wall_low_ms`: when this was built; `sysfs`, `devices`: where its battery clock is."""
        self._known = reckoning(boot, wall_low_ms, boot_ms())
        self._sysfs = sysfs
        self._devices = devices
        self._rtc_ahead_ms: int | None = None
        self._rtc_read_at_ms: int | None = None

    def now(self) -> Now:
        """The present instant."""
        mono_ms = boot_ms()
        claimed_ms, disciplined = _calendar()
        heard = Heard(
            mono_ms=mono_ms,
            claimed_ms=claimed_ms,
            disciplined=disciplined,
            rtc_ms=self._rtc_ms(mono_ms),
        )
        now, self._known = present(self._known, heard)
        return now

    def raise_low(self, wall_low_ms: int) -> None:
        """Note that the time is certainly not before this; a smaller value changes nothing."""
        self._known = raised(self._known, wall_low_ms, boot_ms())

    def reset_low(self, wall_low_ms: int) -> None:
        """Forget what was noted, but not the day of the build."""
        self._known = reset(self._known, wall_low_ms, boot_ms())

    def bound(self, bound: TimeBound | None) -> None:
        """Take what a time document of this boot says; None: none counts any more."""
        self._known = bounded(self._known, bound)

    def _rtc_ms(self, mono_ms: int) -> int | None:
        if self._rtc_read_at_ms is None or mono_ms - self._rtc_read_at_ms >= RTC_EVERY_MS:
            read_ms = battery_clock_ms(self._sysfs, self._devices)
            self._rtc_ahead_ms = None if read_ms is None else read_ms - mono_ms
            self._rtc_read_at_ms = mono_ms
        return None if self._rtc_ahead_ms is None else mono_ms + self._rtc_ahead_ms


def boot_ms() -> int:
    """Milliseconds since boot, suspend included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def wall_ms() -> int:
    """What the calendar claims, in milliseconds UTC since 1970."""
    return time.time_ns() // 1_000_000


def boot_id() -> str:
    """The kernel's id of this boot. Raises `OSError`."""
    return BOOT_ID.read_text(encoding="ascii").strip()


def _calendar() -> tuple[int, bool]:
    """What the calendar claims, and whether a time daemon stands behind that."""
    # Asked on both sides: a step in between would lend the daemon's word to a calendar of before,
    # and what is once certain stays so.
    before = _kernel_synchronised()
    claimed_ms = wall_ms()
    return claimed_ms, before and _kernel_synchronised()


def _kernel_synchronised() -> bool:
    state: int = _LIBC.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return 0 <= state != TIME_ERROR
