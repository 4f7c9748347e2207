"""A timer that is exact to some tens of microseconds.

Owns one timer of the kernel. Must never burn processor time while it waits.

asyncio waits in epoll_wait(2), which counts whole milliseconds, and rounds up: at 9600 baud the
silence before a request lasts 3.6 of them. A timerfd (timerfd_create(2)) is a file that becomes
readable at its time, so the event loop waits for it as for any other.
"""

import asyncio
import ctypes
import os
import time
from collections.abc import Callable
from typing import Final, Self

NANOSECONDS: Final = 1_000_000_000
TICKS_BYTES: Final = 8


class Alarm:
    """Rings once, at the time of the loop's clock that it was last set to."""

    def __init__(self, fd: int, ring: Callable[[], None]) -> None:
        self._fd = fd
        self._ring = ring
        self._spec = (ctypes.c_long * 4)()
        """`struct itimerspec`: seconds and nanoseconds of the interval, then until it rings."""
        self._loop = asyncio.get_running_loop()

    @classmethod
    def open(cls, ring: Callable[[], None]) -> Self:
        """Have the kernel make a timer. Raises `OSError`."""
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        alarm = cls(_checked(_LIBC.timerfd_create(time.CLOCK_MONOTONIC, flags)), ring)
        alarm._loop.add_reader(alarm._fd, alarm._expired)
        return alarm

    def set(self, at_s: float) -> None:
        """Ring then, at once if that is past."""
        wait_ns = max(1, int((at_s - self._loop.time()) * NANOSECONDS))
        self._spec[2], self._spec[3] = divmod(wait_ns, NANOSECONDS)
        _checked(_LIBC.timerfd_settime(self._fd, 0, self._spec, None))

    def close(self) -> None:
        """Never ring again."""
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def _expired(self) -> None:
        try:
            os.read(self._fd, TICKS_BYTES)
        except BlockingIOError:
            return  # it was set to another time when it had just run out
        self._ring()


def _checked(result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


_LIBC: Final = ctypes.CDLL(None, use_errno=True)
