"""The pseudo terminals of the simulated line.

Owns what a program opens as its serial port: the terminal, its stable path, and whether it is set
to the line's speed and character. Must never know what the bytes mean, nor when they are due.

The master's port has a path that outlives its terminal, as `/dev/serial/by-path` has: a link, gone
while the port is unplugged, and pointing to a new terminal when it is plugged in again.
"""

import contextlib
import os
import pty
import termios
import tty
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from gateway.core.model import Value

BAUDS: Final[Mapping[int, int]] = {
    it: getattr(termios, f"B{it}")
    for it in (300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
}
"""What a terminal can be set to, and how it says so."""
CFLAG, ISPEED, OSPEED = 2, 4, 5
"""Places in what termios tells."""


class Timing(Value):
    """How long things take on the wire."""

    baud: int
    character_bits: int = 10
    """Start bit, 8 data bits, and parity or stop bits: 10 for 8N1, 11 for 8E1, 8O1 and 8N2."""

    @property
    def character_s(self) -> float:
        """Time of one character."""
        return self.character_bits / self.baud

    @property
    def silence_s(self) -> float:
        """The silence that ends a frame: 3.5 characters, above 19200 baud fixed at 1.75 ms."""
        return 0.00175 if self.baud > 19_200 else 3.5 * self.character_s


class Port:
    """One raw pseudo terminal: the line's end, and the path that a program opens as its port."""

    def __init__(self, timing: Timing, link: Path | None = None) -> None:
        """Nothing is opened yet. `link` is the stable path, if it is to have one."""
        self._timing = timing
        self._link = link
        self.fd = -1
        self._far_fd = -1
        self.device = ""
        """The terminal itself."""
        self.tuned = True
        """Whether the program had set speed and character as the line has them, when last asked."""

    @property
    def path(self) -> str:
        """What a program opens."""
        return self.device if self._link is None else str(self._link)

    @property
    def plugged(self) -> bool:
        """Whether there is a terminal."""
        return self.fd >= 0

    def plug(self) -> Self:
        """Make a new terminal, set to the line's speed. Raises `OSError`."""
        self.fd, self._far_fd = pty.openpty()
        tty.setraw(self._far_fd)
        self._tune()
        os.set_blocking(self.fd, False)
        self.device = os.ttyname(self._far_fd)
        if self._link is not None:
            self._point(self._link)
        return self

    def unplug(self) -> None:
        """The terminal goes: who has it open finds it hung up."""
        if not self.plugged:
            return
        if self._link is not None:
            self._link.unlink(missing_ok=True)
        os.close(self.fd)
        os.close(self._far_fd)
        self.fd = self._far_fd = -1

    def ask_tuned(self) -> None:
        """Ask how the program has set speed and character: for every transmission once."""
        if not self.plugged:
            return
        attributes = termios.tcgetattr(self._far_fd)
        long = bool(attributes[CFLAG] & termios.CSTOPB)
        speeds = {attributes[ISPEED], attributes[OSPEED]}
        wanted_long = self._timing.character_bits == 11
        self.tuned = speeds == {BAUDS[self._timing.baud]} and long is wanted_long

    def read(self) -> bytes:
        """What the program has sent; empty when there is nothing."""
        with contextlib.suppress(BlockingIOError):
            return os.read(self.fd, 4096)
        return b""

    def write(self, data: bytes) -> None:
        """Hand bytes to the program; what it leaves unread beyond the kernel's buffer is lost."""
        if self.plugged:
            with contextlib.suppress(BlockingIOError):
                os.write(self.fd, self.across(data))

    def across(self, data: bytes) -> bytes:
        """What gets across between this port and the line."""
        # A framing error is read as a zero: what else comes of a wrong speed, nobody can rely on.
        return data if self.tuned else bytes(len(data))

    def _tune(self) -> None:
        attributes = termios.tcgetattr(self._far_fd)
        attributes[ISPEED] = attributes[OSPEED] = BAUDS[self._timing.baud]
        if self._timing.character_bits == 11:
            attributes[CFLAG] |= termios.CSTOPB
        termios.tcsetattr(self._far_fd, termios.TCSANOW, attributes)

    def _point(self, link: Path) -> None:
        if link.exists() and not link.is_symlink():
            raise FileExistsError(None, "there is a file already: name another path", str(link))
        fresh = link.with_name(f"{link.name}.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(self.device)
        fresh.replace(link)
