"""Fitting: whether a bus, as it is configured, suits the devices that a roster has on it.

Owns what is said of that before anything runs. Must never send, nor keep anybody from running: a
meter may have been set otherwise than it was shipped, and a slow bus still brings supply back.
"""

from collections.abc import Iterator, Sequence

from gateway.bus.blocks import Evidence
from gateway.bus.budget import budget_words, overfull
from gateway.bus.device import Device
from gateway.bus.port import BusSettings
from gateway.bus.profile import Profile
from gateway.core.model import Value

UNITS_NAMED_MAX = 5


class Fit(Value):
    """What reading a roster takes of one bus, and what does not suit it; each in one line."""

    bus: str
    budget: str
    warnings: tuple[str, ...]


def fit(bus: BusSettings, devices: Sequence[Device]) -> Fit:
    """How a bus suits these devices."""
    full = overfull(bus, devices)
    warnings = (*([] if full is None else [full]), *_unlike_shipped(bus, devices))
    return Fit(bus=bus.name, budget=budget_words(bus, devices), warnings=warnings)


def _unlike_shipped(bus: BusSettings, devices: Sequence[Device]) -> Iterator[str]:
    units: dict[str, list[int]] = {}
    for device in devices:
        shipped = _shipped(bus, device.profile)
        if shipped is not None:
            units.setdefault(f"{device.profile.title} is shipped at {shipped}", []).append(
                device.unit
            )
    for words, at in units.items():
        named = ", ".join(map(str, at[:UNITS_NAMED_MAX]))
        more = len(at) - UNITS_NAMED_MAX
        rest = f" and {more} more" if more > 0 else ""
        yield (
            f"bus {bus.name}: {words}, the bus is set to {bus.baud} {bus.format} (unit {named}"
            f"{rest}). Make sure that they were set to it, or correct baud and format."
        )


def _shipped(bus: BusSettings, profile: Profile) -> str | None:
    """How a type is shipped, where that is known for sure and is not how the bus is set."""
    line = profile.serial
    if line is None or line.evidence is Evidence.SINGLE_SOURCE:
        return None
    alike = line.baud in {None, bus.baud} and line.format in {None, bus.format}
    known = " ".join(str(part) for part in (line.baud, line.format) if part is not None)
    return None if alike else f"{known} ({line.evidence})"
