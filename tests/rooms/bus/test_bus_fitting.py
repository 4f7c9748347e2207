"""Whether a bus suits its roster, before anything runs: in words, each with the mend."""

import pytest

from gateway.bus.device import Device
from gateway.bus.fitting import Fit, fit
from gateway.bus.port import BusSettings
from gateway.bus.profile import load_profiles
from gateway.core.model import Serial

PROFILES = load_profiles(None)
MEND = "Make sure that they were set to it, or correct baud and format."


def street(profile: str, count: int = 3) -> tuple[Device, ...]:
    return tuple(
        Device(serial=Serial(f"H{unit}"), profile=PROFILES[profile], unit=unit)
        for unit in range(1, count + 1)
    )


def bus(baud: int = 9600, form: str = "8N1") -> BusSettings:
    return BusSettings(name="A", port="/dev/ttyUSB0", baud=baud, format=form)


def fitted(profile: str, count: int = 3, *, on: BusSettings) -> Fit:
    return fit(on, street(profile, count))


def test_what_reading_the_roster_takes_is_told() -> None:
    told = fitted("dds238-2-zn-sr", 64, on=bus())
    assert told.budget.startswith("bus A at 9600 8N1: 64 devices, ")
    assert "of the line's time" in told.budget
    assert told.warnings == ()


def test_a_roster_that_does_not_fit_the_bus_is_told_with_the_mend() -> None:
    full, _ = fitted("dds238-2-zn-sr", 247, on=bus(1200)).warnings
    assert full.startswith("bus A: 247 devices at 1200 baud")
    assert full.endswith("Raise the baud rate, or split the bus.")


def test_meters_that_are_shipped_otherwise_than_the_bus_is_set_are_named() -> None:
    (said,) = fitted("schneider-iem3000", on=bus()).warnings
    assert "is shipped at 19200 8E1" in said
    assert "the bus is set to 9600 8N1 (unit 1, 2, 3)" in said
    assert said.endswith(MEND)
    (many,) = fitted("schneider-iem3000", 9, on=bus()).warnings
    assert "(unit 1, 2, 3, 4, 5 and 4 more)" in many


@pytest.mark.parametrize(
    ("profile", "on"),
    [
        ("schneider-iem3000", bus(19200, "8E1")),
        ("dds238-2-zn-sr", bus()),
        ("eastron-sdm230", bus()),
        ("acrel-ddsy1352", bus()),
    ],
    ids=["as shipped", "as shipped too", "known from a single source", "not known"],
)
def test_otherwise_nothing_is_said_of_it(profile: str, on: BusSettings) -> None:
    assert fitted(profile, on=on).warnings == ()
