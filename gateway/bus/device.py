"""Devices: who answers at which address of a bus, and as which type.

Owns what the bus room must know of a meter of the roster or of a transformer's check meter to ask
it something. Must never know an account, a transformer or anything else that is decided upon.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from gateway.bus.profile import Profile
from gateway.core.image import Image
from gateway.core.model import Meter, Serial, Value
from gateway.core.terms import CheckMeter


class Device(Value):
    """One device and its type. `switch_unit`, `switch_channel`: as `core.model.Meter` has them."""

    serial: Serial
    profile: Profile
    unit: int
    switch_unit: int | None = None
    switch_channel: int | None = None
    measures_only: bool = False
    """A check meter: it has no switch, or none that is anybody's business."""
    trusting: bool = False
    """The site document takes a single source for good enough to switch it."""
    values_every_s: float | None = None
    """How often the site wants its values; None: as often as the bus room by itself."""


def device_of(meter: Meter, profiles: Mapping[str, Profile]) -> Device | None:
    """The device of a meter; None where its type is not known here, or needs more to be asked."""
    # The site in force was checked against the profiles of its day, not against today's.
    profile = profiles.get(meter.profile)
    if profile is None:
        return None
    addressed = meter.switch_unit is not None and meter.switch_channel is not None
    ability = profile.ability
    if ability.needs_switch_unit and not addressed:
        return None
    channel, channels = meter.switch_channel, ability.channels
    if channel is not None and channels is not None and channel >= channels:
        return None
    return Device(
        serial=Serial(meter.serial),
        profile=profile,
        unit=meter.unit,
        switch_unit=meter.switch_unit,
        switch_channel=meter.switch_channel,
    )


def as_permitted(device: Device, meter: Meter, image: Image) -> Device:
    """The device of a meter, with what the site document in force says of its type."""
    site = image.kept.site
    trusting = site is not None and meter.profile in site.unproven_profiles
    return replace(device, trusting=trusting)


def devices_on(bus: str, image: Image, profiles: Mapping[str, Profile]) -> tuple[Device, ...]:
    """All devices of one bus that can be asked: the meters, then the check meters."""
    meters = (device_of(meter, profiles) for meter in image.roster.values() if meter.bus == bus)
    checks = (_checking(check, profiles) for check in _check_meters_on(bus, image))
    every_s = image.limits.values_every_ms / 1000
    return tuple(
        replace(device, values_every_s=every_s)
        for device in (*meters, *checks)
        if device is not None
    )


def units_on(bus: str, image: Image) -> frozenset[int]:
    """The addresses of one bus at which somebody may answer, of a known type or not."""
    meters = [meter for meter in image.roster.values() if meter.bus == bus]
    boards = {meter.switch_unit for meter in meters if meter.switch_unit is not None}
    checks = {check.unit for check in _check_meters_on(bus, image)}
    return frozenset({meter.unit for meter in meters} | boards | checks)


def _check_meters_on(bus: str, image: Image) -> list[CheckMeter]:
    return [check for check in image.check_meters.values() if check.bus == bus]


def _checking(check: CheckMeter, profiles: Mapping[str, Profile]) -> Device | None:
    profile = profiles.get(check.profile)
    if profile is None:
        return None
    return Device(serial=Serial(check.serial), profile=profile, unit=check.unit, measures_only=True)
