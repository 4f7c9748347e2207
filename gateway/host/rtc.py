"""The battery clock of the machine, as the kernel shows it.

Owns when a battery clock is fit to be believed: the kernel set its calendar by it at this boot
(`hctosys`), it can be read now, and it does not say that its voltage was ever low (Linux,
Documentation/ABI/testing/sysfs-class-rtc and RTC_VL_READ of include/uapi/linux/rtc.h). Must never
set it, nor compare it with anything (`interval` does).
"""

import fcntl
import os
import struct
from pathlib import Path

SYSFS = Path("/sys/class/rtc")
DEVICES = Path("/dev")
RTC_VL_READ = 0x80047013
"""_IOR('p', 0x13, unsigned int)"""
LOW_VOLTAGE = 0b1111
"""RTC_VL_DATA_INVALID, _BACKUP_LOW, _BACKUP_EMPTY and _ACCURACY_LOW; that the battery had to take
over (_BACKUP_SWITCH) is what it is for."""


def battery_clock_ms(sysfs: Path = SYSFS, devices: Path = DEVICES) -> int | None:
    """What the battery clock says, milliseconds UTC since 1970 in whole seconds.

    None: there is none, or it is not fit to be believed.
    """
    try:
        clocks = sorted(sysfs.iterdir())
    except OSError:
        return None
    for clock in clocks:
        read_ms = _read_ms(clock)
        if read_ms is not None and not low_voltage(_flags(devices / clock.name)):
            return read_ms
    return None


def low_voltage(flags: int) -> bool:
    """Whether a driver's flags say that the clock may have stopped, or soon will."""
    return flags & LOW_VOLTAGE != 0


def _read_ms(clock: Path) -> int | None:
    try:
        if (clock / "hctosys").read_text(encoding="ascii").strip() != "1":
            return None
        return int((clock / "since_epoch").read_text(encoding="ascii")) * 1_000
    except (OSError, ValueError):
        return None


def _flags(device: Path) -> int:
    """What the driver says of its voltage; 0 where it cannot, or where we may not ask it."""
    try:
        descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            said = fcntl.ioctl(descriptor, RTC_VL_READ, bytes(4))
        finally:
            os.close(descriptor)
    except OSError:
        return 0
    flags: int = struct.unpack("I", said)[0]
    return flags
