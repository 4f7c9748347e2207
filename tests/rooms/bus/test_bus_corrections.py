"""What is proposed where the line and the roster differ."""

from collections.abc import Set

import msgspec

from gateway.bus.corrections import Correction, Entry, Found, Proposal, entries_of, proposals
from gateway.bus.inquiry import Presence
from gateway.bus.port import BusSettings
from gateway.bus.profile import load_profiles
from gateway.core.model import Serial
from gateway.core.terms import CheckMeter
from tests.rooms.bus.gateway_side import checked_image, paid_image
from tests.rooms.bus.small_town import ACREL, DDS, SDM

PROFILES = load_profiles(None)
BUS = BusSettings(name="A", port="/dev/ttyUSB0")
CHECK = CheckMeter(serial="777", profile="eastron-sdm230", bus="A", unit=9)


def entry(serial: str, unit: int, *, bus: str = "A", numbered: bool = True) -> Entry:
    return Entry(
        name=f"meter {serial}",
        bus=bus,
        unit=unit,
        serial=Serial(serial),
        profile="acrel-here",
        numbered=numbered,
    )


def at(unit: int, serial: str | None = None, presence: Presence = Presence.ANSWERS) -> Found:
    return Found(
        unit=unit,
        baud=9600,
        format="8N1",
        presence=presence,
        serial=None if serial is None else Serial(serial),
        profile=None if serial is None else "acrel-here",
    )


def proposed(
    *entries: Entry, found: tuple[Found, ...] = (), silent: Set[int] = frozenset()
) -> list[tuple[Correction, int]]:
    return [
        (one.correction, one.unit) for one in all_proposed(*entries, found=found, silent=silent)
    ]


def all_proposed(
    *entries: Entry, found: tuple[Found, ...] = (), silent: Set[int] = frozenset()
) -> tuple[Proposal, ...]:
    return proposals(found, silent, entries, BUS)


def test_an_address_that_was_not_asked_is_not_spoken_of() -> None:
    assert proposed(entry("M1", 1)) == []


def test_two_that_were_confused_have_both_moved() -> None:
    entries = (entry("M1", 1), entry("M2", 2))
    found = (at(1, "M2"), at(2, "M1"))
    assert proposed(*entries, found=found) == [(Correction.MOVED, 1), (Correction.MOVED, 2)]


def test_a_meter_whose_place_another_has_taken_is_missing() -> None:
    entries = (entry("M1", 1), entry("M2", 2))
    found = (at(1, "M2"),)
    assert proposed(*entries, found=found, silent={2}) == [
        (Correction.EXCHANGED, 1),
        (Correction.MOVED, 2),
    ]


def test_a_meter_of_another_bus_is_told_with_its_bus() -> None:
    (one,) = all_proposed(entry("M1", 1, bus="B"), found=(at(5, "M1"),))
    assert (one.correction, one.unit) == (Correction.OTHER_BUS, 5)
    assert one.words == "meter M1 of bus B answers here: write bus A, unit 5 into the roster"


def test_a_meter_at_another_speed_is_told_with_both() -> None:
    slow = msgspec.structs.replace(at(1, "M1"), baud=2400, format="8E1")
    (one,) = all_proposed(entry("M1", 1), found=(slow,))
    assert one.correction is Correction.OTHER_SPEED
    assert "answers at 2400 8E1, the bus has 9600 8N1" in one.words


def test_a_moved_meter_at_another_speed_is_told_both() -> None:
    slow = msgspec.structs.replace(at(3, "M1"), baud=2400)
    assert proposed(entry("M1", 1), found=(slow,), silent={1}) == [
        (Correction.MOVED, 1),
        (Correction.OTHER_SPEED, 1),
    ]


def test_a_meter_that_does_not_give_its_number_is_told() -> None:
    assert proposed(entry("M1", 1), found=(at(1),)) == [(Correction.NOT_ITSELF, 1)]


def test_a_type_without_a_number_answers_as_it_should() -> None:
    assert proposed(entry("H1", 2, numbered=False), found=(at(2),)) == []


def test_a_number_where_the_roster_has_a_type_without_one_is_told() -> None:
    found = (at(2, "S9"),)
    assert proposed(entry("H1", 2, numbered=False), found=found) == [(Correction.EXCHANGED, 2)]


def test_somebody_without_a_number_where_nobody_should_be_is_told() -> None:
    (one,) = all_proposed(found=(at(12),))
    assert (one.correction, one.unit, one.serial) == (Correction.UNKNOWN, 12, None)


def test_a_crowded_address_is_told_once_and_its_meter_is_not_missing() -> None:
    found = (at(1, presence=Presence.CROWDED),)
    assert proposed(entry("M1", 1), found=found) == [(Correction.CROWDED, 1)]


def test_the_entries_are_meters_check_meters_and_boards() -> None:
    entries = entries_of(checked_image(CHECK, DDS, PROFILES), PROFILES)
    assert [(one.name, one.unit, one.numbered) for one in entries] == [
        (f"meter {DDS.serial}", 2, False),
        ("check meter 777", 9, True),
    ]
    second = msgspec.structs.replace(SDM, serial="18074404", unit=4, switch_channel=5)
    entries = entries_of(paid_image((SDM, second), PROFILES), PROFILES)
    assert [(one.name, one.unit, one.serial) for one in entries[2:]] == [
        (f"relay board of {SDM.serial}, 18074404", 40, None)
    ]


def test_a_meter_of_a_type_that_is_not_known_here_is_an_entry_without_a_number() -> None:
    unknown = msgspec.structs.replace(ACREL, profile="no-such-type")
    (one,) = entries_of(paid_image((unknown,), PROFILES), PROFILES)
    assert not one.numbered
