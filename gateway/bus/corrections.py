"""What a scan says about the roster: who has moved, is missing, was exchanged or is not known.

Owns the comparison of what was found with what the roster has, and its words. Must never change
either: what is proposed here, somebody decides and signs. All functions are pure.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from enum import StrEnum

from gateway.bus.inquiry import Presence
from gateway.bus.port import Baud, BusSettings, Format
from gateway.bus.profile import Profile
from gateway.core.image import Image
from gateway.core.model import Meter, Serial, Value
from gateway.core.terms import CheckMeter


class Entry(Value):
    """One device that the roster has, or a relay board, which has no number of its own."""

    name: str
    """As it is spoken of."""
    bus: str
    unit: int
    serial: Serial | None = None
    profile: str = ""
    numbered: bool = False
    """Its type has a register with its serial number."""


class Found(Value):
    """Somebody on the line."""

    unit: int
    baud: Baud
    format: Format
    presence: Presence
    serial: Serial | None = None
    profile: str | None = None
    """By whose register the serial number was read or, without one, the state."""


class Correction(StrEnum):
    """In what the line differs from the roster."""

    MOVED = "MOVED"
    OTHER_BUS = "OTHER_BUS"
    OTHER_SPEED = "OTHER_SPEED"
    EXCHANGED = "EXCHANGED"
    NOT_ITSELF = "NOT_ITSELF"
    NOBODY = "NOBODY"
    UNKNOWN = "UNKNOWN"
    CROWDED = "CROWDED"


class Proposal(Value):
    """One difference at one address, and in words what to do about it."""

    correction: Correction
    unit: int
    serial: Serial | None
    """Whose: the roster's or, for one that is not on it, the one that was read."""
    words: str


def entries_of(image: Image, profiles: Mapping[str, Profile]) -> tuple[Entry, ...]:
    """What the roster has, on all buses."""
    boards = dict[tuple[str, int], list[str]]()
    meters = [_entry(f"meter {it.serial}", it, profiles) for it in image.roster.values()]
    checks = [
        _entry(f"check meter {it.serial}", it, profiles) for it in image.check_meters.values()
    ]
    for meter in image.roster.values():
        if meter.switch_unit is not None:
            boards.setdefault((meter.bus, meter.switch_unit), []).append(meter.serial)
    named = [
        Entry(name=f"relay board of {', '.join(serials)}", bus=bus, unit=unit)
        for (bus, unit), serials in boards.items()
    ]
    return (*meters, *checks, *named)


def proposals(
    found: Sequence[Found], silent: Set[int], entries: Sequence[Entry], bus: BusSettings
) -> tuple[Proposal, ...]:
    """How the roster and the line differ, by address. `silent`: where nobody answered at all."""
    here = [entry for entry in entries if entry.bus == bus.name]
    elsewhere = [entry for entry in entries if entry.bus != bus.name]
    differing = [
        *(one for entry in here for one in _of_entry(entry, found, silent, bus)),
        *(one for it in found for one in _of_stranger(it, here, elsewhere, bus)),
    ]
    return tuple(sorted(differing, key=lambda one: one.unit))


def _entry(name: str, device: Meter | CheckMeter, profiles: Mapping[str, Profile]) -> Entry:
    profile = profiles.get(device.profile)
    return Entry(
        name=name,
        bus=device.bus,
        unit=device.unit,
        serial=Serial(device.serial),
        profile=device.profile,
        numbered=profile is not None and profile.identity is not None,
    )


def _of_entry(
    entry: Entry, found: Sequence[Found], silent: Set[int], bus: BusSettings
) -> Iterator[Proposal]:
    places = [it for it in found if it.serial is not None and it.serial == entry.serial]
    there = [it for it in found if it.unit == entry.unit]
    at_home = [it for it in places or there if it.unit == entry.unit]
    if places and not at_home:
        units = ", ".join(str(it.unit) for it in places)
        yield _of(
            entry,
            Correction.MOVED,
            f"answers at unit {units}, the roster has {entry.unit}: write that unit into the "
            "roster, or set the meter's address back",
        )
    elif entry.unit in silent:
        yield _of(entry, Correction.NOBODY, "does not answer: look at address, wiring and power")
    for it in (*at_home, *(() if at_home else places)):
        yield from _speed(entry, it, bus)
    if not places:
        yield from _in_its_place(entry, there)


def _speed(entry: Entry, it: Found, bus: BusSettings) -> Iterator[Proposal]:
    if (it.baud, it.format) != (bus.baud, bus.format) and it.presence is Presence.ANSWERS:
        yield _of(
            entry,
            Correction.OTHER_SPEED,
            f"answers at {it.baud} {it.format}, the bus has {bus.baud} {bus.format}: set the meter "
            "or the bus",
        )


def _in_its_place(entry: Entry, there: Sequence[Found]) -> Iterator[Proposal]:
    """What answers at an entry's address and does not give the entry's number."""
    for it in there:
        if it.presence is not Presence.ANSWERS:
            continue
        if it.serial is not None:
            yield _of(
                entry,
                Correction.EXCHANGED,
                f"is not at its unit: serial {it.serial} answers there. If it was exchanged, write "
                "the new number into the roster",
            )
        elif entry.numbered:
            yield _of(
                entry,
                Correction.NOT_ITSELF,
                "does not give its serial number: look whether it is of the roster's type "
                f"{entry.profile}",
            )


def _of_stranger(
    it: Found, here: Sequence[Entry], elsewhere: Sequence[Entry], bus: BusSettings
) -> Iterator[Proposal]:
    if it.presence is Presence.CROWDED:
        words = "what answers cannot be read: look for two devices with this address"
        yield _at(it, Correction.CROWDED, f"unit {it.unit}: {words}")
        return
    theirs = next((one for one in elsewhere if one.serial == it.serial and it.serial), None)
    at_home = any(one.unit == it.unit for one in here)
    if theirs is not None:
        words = f"answers here: write bus {bus.name}, unit {it.unit} into the roster"
        yield _at(it, Correction.OTHER_BUS, f"{theirs.name} of bus {theirs.bus} {words}")
    elif at_home or any(one.serial == it.serial for one in here if it.serial is not None):
        return
    elif it.serial is None:
        like = "" if it.profile is None else f" as {it.profile} would"
        words = f"somebody answers{like} and gives no serial number, and the roster has nobody"
        yield _at(it, Correction.UNKNOWN, f"unit {it.unit}: {words}: find out who it is")
    else:
        words = f"unknown serial {it.serial} (read as {it.profile})"
        yield _at(
            it,
            Correction.UNKNOWN,
            f"unit {it.unit}: {words}: put it into the roster, or take it off the line",
        )


def _of(entry: Entry, correction: Correction, words: str) -> Proposal:
    return Proposal(
        correction=correction,
        unit=entry.unit,
        serial=entry.serial,
        words=f"unit {entry.unit}: {entry.name} {words}",
    )


def _at(it: Found, correction: Correction, words: str) -> Proposal:
    return Proposal(correction=correction, unit=it.unit, serial=it.serial, words=words)
