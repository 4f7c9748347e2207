"""The only file that asks the time.

Owns the boot clock (CLOCK_BOOTTIME, which goes on through suspend) and the interval in which the
calendar time lies. Must never let wall time measure a duration, nor let the lower bound fall.

A Raspberry Pi may have no battery clock: until the kernel says that a time daemon disciplines it
(adjtimex(2), any state but TIME_ERROR), the calendar is a claim and only the lower bound is known.
"""

import ctypes
import time
from pathlib import Path

from gateway.core.model import Now

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
TIME_ERROR = 5
"""adjtimex(2): the clock is not synchronised."""
MARGIN_MS = 1_000
"""What a disciplined clock may be off."""
JUMP_MAX_MS = 400 * 86_400_000
ASK_EVERY_MS = 10_000
_TIMEX_BYTES = 512
"""More than `struct timex` has on any Linux; a zeroed one only asks (modes = 0)."""


class HostClock:
    """The machine's time as `Now`, with a lower bound that only rises."""

    def __init__(self, boot: str, wall_low_ms: int) -> None:
        self._boot = boot
        self._low_ms = wall_low_ms
        self._low_at_ms = boot_ms()
        self._synchronised = False
        self._asked_at_ms: int | None = None

    def now(self) -> Now:
        """The present instant."""
        mono_ms, claimed_ms = boot_ms(), wall_ms()
        low_ms, high_ms = interval(
            self._low_ms + mono_ms - self._low_at_ms,
            claimed_ms,
            disciplined=self._disciplined(mono_ms),
        )
        return Now(
            mono_ms=mono_ms,
            boot=self._boot,
            wall_ms=claimed_ms,
            wall_low_ms=low_ms,
            wall_high_ms=high_ms,
        )

    def raise_low(self, wall_low_ms: int) -> None:
        """Note that the time is certainly not before this; a smaller value changes nothing."""
        mono_ms = boot_ms()
        low_ms = self._low_ms + mono_ms - self._low_at_ms
        self._low_ms, self._low_at_ms = max(low_ms, wall_low_ms), mono_ms

    def _disciplined(self, mono_ms: int) -> bool:
        if self._asked_at_ms is None or mono_ms - self._asked_at_ms >= ASK_EVERY_MS:
            self._synchronised, self._asked_at_ms = _kernel_synchronised(), mono_ms
        return self._synchronised


def interval(low_ms: int, claimed_ms: int, *, disciplined: bool) -> tuple[int, int | None]:
    """The bounds of the calendar time: a claim counts where a time daemon stands behind it.

    Not one before what is certain already, nor one more than 400 days beyond it: a wrong server
    would make every receipt look expired for ever.
    """
    if not disciplined or not low_ms - MARGIN_MS <= claimed_ms <= low_ms + JUMP_MAX_MS:
        return low_ms, None
    return max(low_ms, claimed_ms - MARGIN_MS), claimed_ms + MARGIN_MS


def boot_ms() -> int:
    """Milliseconds since boot, suspend included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def wall_ms() -> int:
    """What the calendar claims, in milliseconds UTC since 1970."""
    return time.time_ns() // 1_000_000


def boot_id() -> str:
    """The kernel's id of this boot. Raises `OSError`."""
    return BOOT_ID.read_text(encoding="ascii").strip()


def _kernel_synchronised() -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    state: int = libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return 0 <= state != TIME_ERROR
