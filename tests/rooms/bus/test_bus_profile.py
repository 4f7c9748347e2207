"""Profiles: what the bundled ones can do, how a site extends them, and how mistakes are named."""

from pathlib import Path

import pytest

from gateway.bus.device import Device
from gateway.bus.frame import Function, Write
from gateway.bus.profile import Profile, ProfileError, load_profiles
from gateway.bus.reading import (
    cause_of,
    cause_read,
    identity_read,
    measure_reads,
    quantities_of,
    reading_of,
    serial_of,
    state_of,
    state_read,
    writable,
    writes_of,
)
from gateway.core.fact import Move
from gateway.core.model import Cause, ProfileAbility, Serial, SupplyState

BUNDLED = load_profiles(None)
WHOLE = """
title = "A meter"
[timing]
timeout_ms = 100
turnaround_max_ms = 100
[identity]
function = 3
address = 0
count = 2
coding = "u32"
evidence = "manual"
source = "its manual"
[state]
function = 3
address = 9
mask = 3
opened = 0
closed = 1
ready = 2
independent = true
evidence = "manual"
source = "its manual"
[close]
writes = [{ function = 6, address = 8, values = [1] }]
settle_ms = 0
evidence = "manual"
source = "its manual"
[[forbidden]]
first = 100
last = 110
reason = "calibration"
"""
WITH_ALL = f"""{WHOLE}
[open]
writes = [{{ function = 6, address = 8, values = [2] }}]
settle_ms = 0
evidence = "manual"
source = "its manual"
[release]
writes = [{{ function = 6, address = 8, values = [3] }}]
settle_ms = 0
evidence = "manual"
source = "its manual"
[cancel]
writes = [{{ function = 6, address = 8, values = [4] }}]
evidence = "manual"
source = "its manual"
[cause]
function = 3
address = 20
mask = 0xF0
prepay = 0x10
technician = 0x20
trip = 0x30
power_up = 0x40
evidence = "manual"
source = "its manual"
"""


def load(directory: Path, text: str, name: str = "mine") -> Profile:
    (directory / f"{name}.toml").write_text(text, encoding="utf-8")
    return load_profiles(directory)[name]


def device(profile: Profile, *, measures_only: bool = False) -> Device:
    return Device(
        serial=Serial("S1"),
        profile=profile,
        unit=7,
        switch_unit=40,
        switch_channel=5,
        measures_only=measures_only,
    )


def moved_by(profile: Profile, move: Move) -> tuple[Write, ...]:
    motion = profile.motion(move)
    return () if motion is None else writes_of(device(profile), motion)


def registers(address: int, *values: int) -> Write:
    return Write(unit=7, function=Function.WRITE_REGISTERS, address=address, values=values)


def coil(value: int) -> Write:
    return Write(unit=40, function=Function.WRITE_COIL, address=5, values=(value,))


def test_what_the_bundled_types_can_do() -> None:
    assert {name: profile.ability for name, profile in BUNDLED.items()} == {
        "acrel-ddsy1352": ProfileAbility(switches=False, proves_serial=True),
        "dds238-2-zn-sr": ProfileAbility(switches=True, proves_serial=False, opens=True),
        "eastron-sdm230": ProfileAbility(switches=False, proves_serial=True),
        "sdm230-relay8": ProfileAbility(
            switches=True, proves_serial=True, opens=True, needs_switch_unit=True
        ),
    }


def test_a_type_that_may_not_switch_has_no_writes() -> None:
    assert writable(device(BUNDLED["acrel-ddsy1352"])) == frozenset()


def test_a_site_adds_the_address_that_is_not_public(tmp_path: Path) -> None:
    extended = load(tmp_path, 'extends = "acrel-ddsy1352"\n[state]\naddress = 0x0165\n')
    ability = extended.ability
    assert (ability.switches, ability.opens, ability.releases) == (True, True, True)
    request = state_read(device(extended))
    assert request is not None
    assert (request.unit, request.address) == (7, 0x0165)
    assert moved_by(extended, Move.CLOSE) == (registers(0x57, 1, 0),)
    assert moved_by(extended, Move.OPEN) == (registers(0x57, 1, 1),)
    assert moved_by(extended, Move.RELEASE) == (registers(0x57, 0, 0),)
    assert writable(device(extended)) == {
        registers(0x57, *values) for values in ((1, 0), (1, 1), (0, 0))
    }


def test_a_site_may_extend_a_type_under_its_own_name(tmp_path: Path) -> None:
    text = 'extends = "acrel-ddsy1352"\n[state]\naddress = 1\n'
    assert load(tmp_path, text, "acrel-ddsy1352").ability.switches
    child = load(tmp_path, 'extends = "acrel-ddsy1352"\ntitle = "Another"\n')
    assert child.ability.switches
    assert child.title == "Another"


def test_a_single_source_is_not_enough_to_write(tmp_path: Path) -> None:
    text = WHOLE.replace(
        'settle_ms = 0\nevidence = "manual"', 'settle_ms = 0\nevidence = "single-source"'
    )
    profile = load(tmp_path, text)
    assert not profile.ability.switches
    assert writable(device(profile)) == frozenset()


@pytest.mark.parametrize(
    ("block", "ability"),
    [
        ("open", ProfileAbility(switches=True, proves_serial=True, releases=True)),
        ("release", ProfileAbility(switches=True, proves_serial=True, opens=True)),
        ("cancel", ProfileAbility(switches=True, proves_serial=True, opens=True, releases=True)),
    ],
)
def test_each_block_needs_evidence_of_its_own(
    tmp_path: Path, block: str, ability: ProfileAbility
) -> None:
    begin, found, rest = WITH_ALL.partition(f"[{block}]")
    assert found
    weak = rest.replace('evidence = "manual"', 'evidence = "single-source"', 1)
    whole, profile = load(tmp_path, WITH_ALL, "whole"), load(tmp_path, begin + found + weak)
    assert profile.ability == ability
    assert len(writable(device(whole)) - writable(device(profile))) == 1


def test_a_check_meter_is_only_measured_and_sent_nothing_whatever_its_type_can_do() -> None:
    relay = BUNDLED["sdm230-relay8"]
    check = device(relay, measures_only=True)
    assert writable(check) == frozenset()
    assert state_read(check) is None
    (voltage, _) = measure_reads(check)
    measured = quantities_of(relay, voltage, (0x4366, 0x8000))
    reading = reading_of(check, SupplyState.UNKNOWN, 1, measured)
    assert (reading.supply_mv, reading.load_mv) == (230_500, None)


def test_what_opened_a_switch_is_read_where_the_profile_names_it(tmp_path: Path) -> None:
    profile = load(tmp_path, WITH_ALL)
    request = cause_read(device(profile))
    assert request is not None
    assert (request.unit, request.function, request.address) == (7, Function.READ_HOLDING, 20)
    assert [cause_of(profile, value) for value in (0x10, 0x21, 0x30, 0x4F, 0x50)] == [
        Cause.PREPAY,
        Cause.TECHNICIAN,
        Cause.TRIP,
        Cause.POWER_UP,
        None,
    ]
    assert cause_read(device(BUNDLED["dds238-2-zn-sr"])) is None


def test_a_channel_of_a_relay_board_moves_the_addresses() -> None:
    profile = BUNDLED["sdm230-relay8"]
    state, identity = state_read(device(profile)), identity_read(device(profile))
    assert state is not None
    assert identity is not None
    assert (state.unit, state.function, state.address) == (40, Function.READ_INPUTS, 5)
    assert (identity.unit, identity.address, identity.count) == (7, 0xFC00, 2)
    assert moved_by(profile, Move.CLOSE) == (coil(1),)
    assert moved_by(profile, Move.OPEN) == (coil(0),)
    assert moved_by(profile, Move.RELEASE) == ()
    assert writable(device(profile)) == {coil(0), coil(1)}


def test_neighbours_are_measured_with_one_request() -> None:
    dds, sdm = BUNDLED["dds238-2-zn-sr"], BUNDLED["sdm230-relay8"]
    (both,) = measure_reads(device(dds))
    assert (both.request.address, both.request.count) == (0x0C, 2)
    measured = quantities_of(dds, both, (2307, 15))
    assert (measured.voltage_mv, measured.current_ma) == (230_700, 150)
    voltage, current = measure_reads(device(sdm))
    assert (voltage.request.address, current.request.address) == (0x0000, 0x0006)
    assert quantities_of(sdm, voltage, (0x4366, 0x8000)).voltage_mv == 230_500
    assert quantities_of(sdm, voltage, (0x7FC0, 0x0000)).voltage_mv is None


@pytest.mark.parametrize(
    ("coding", "registers", "serial"),
    [
        ("bcd", (0x2203, 0x0000, 0x0017), "220300000017"),
        ("bcd", (0x22A3, 0x0000, 0x0017), None),
        ("ascii", (0x4142, 0x3100), "AB1"),
        ("ascii", (0x0000, 0x0000), None),
        ("ascii", (0xFFFF, 0xFFFF), None),
        ("u32", (0x0113, 0xCB63), "18074467"),
    ],
)
def test_a_serial_number_is_read_in_its_coding(
    tmp_path: Path, coding: str, registers: tuple[int, ...], serial: str | None
) -> None:
    text = WHOLE.replace(
        'count = 2\ncoding = "u32"', f'count = {len(registers)}\ncoding = "{coding}"'
    )
    identity = load(tmp_path, text).identity
    assert identity is not None
    assert serial_of(identity, registers) == serial


@pytest.mark.parametrize(
    ("type_", "order", "registers", "volts"),
    [
        ("s16", "big", (0xFFFE,), -2),
        ("u32", "big", (1, 2), 65_538),
        ("u32", "little", (2, 1), 65_538),
        ("s32", "big", (0xFFFF, 0xFFFE), -2),
        ("float32", "little", (0x8000, 0x4366), 230.5),
    ],
)
def test_a_value_is_read_in_its_type(
    tmp_path: Path, type_: str, order: str, registers: tuple[int, ...], volts: float
) -> None:
    voltage = f"""
[voltage]
function = 4
address = 0
type = "{type_}"
word_order = "{order}"
side = "load"
evidence = "manual"
source = "its manual"
"""
    profile = load(tmp_path, WHOLE + voltage)
    (read,) = measure_reads(device(profile))
    assert quantities_of(profile, read, registers).voltage_mv == round(volts * 1000)


def test_a_state_that_is_not_named_is_unknown(tmp_path: Path) -> None:
    profile = load(tmp_path, WHOLE)
    assert [state_of(profile, value) for value in (4, 5, 6, 7)] == [
        SupplyState.DISCONNECTED,
        SupplyState.CONNECTED,
        SupplyState.READY_FOR_RECONNECTION,
        SupplyState.UNKNOWN,
    ]


MISTAKES = [
    ("timeout_ms = 100", "timeout_ms = 1", "timing.timeout_ms", "Correct the value"),
    ("timeout_ms = 100", "", "timing", "timeout_ms is missing. Add it"),
    ("timeout_ms = 100", "timeout_ms = 100\nretries = 3", "timing", "retries is not a setting"),
    ("opened = 0", "opened = 4", "state.opened", "outside the mask"),
    ("opened = 0", "opened = 1", "state", "Give each its own"),
    ("function = 3\naddress = 9", "function = 6\naddress = 9", "state.function", "1, 2, 3, 4"),
    ("function = 3\naddress = 9", "function = 2\naddress = 9", "state.mask", "Leave it out"),
    ("function = 3\naddress = 9", "function = 7\naddress = 9", "state.function", "Correct"),
    ("address = 9", "address = 8", "state.independent", "Write false"),
    ("count = 2", "count = 3", "identity.count", "Write 2"),
    ("address = 8, values = [1]", "address = 105, values = [1]", "close.writes[0].address", "cali"),
    (
        "address = 8, values = [1]",
        "address = 8, values = [1, 2]",
        "close.writes[0].values",
        "one",
    ),
    ("function = 6, ", "function = 3, ", "close.writes[0].function", "Write 5, 6 or 16"),
    (
        "function = 6, address = 8, values = [1]",
        "function = 5, address = 8, values = [0x5500]",
        "close.writes[0].values",
        "never a toggle",
    ),
    (
        "function = 6, address = 8, values = [1]",
        "function = 16, address = 0xFFFF, values = [1, 1]",
        "close.writes[0].address",
        "past the last address",
    ),
    ("last = 110", "last = 99", "forbidden[0].last", "in order"),
    ('title = "A meter"', "title = ", "line 2, column 9", "Correct the TOML there"),
    ('title = "A meter"', 'extends = "acrel"', "extends", "Name one of acrel-ddsy1352"),
    ('title = "A meter"', 'extends = "mine"', "extends", "Name one of"),
]


MISTAKES += [
    (f"values = [{value}]", wrong, f"{block}.{place}", mend)
    for block, value in (("open", 2), ("release", 3), ("cancel", 4))
    for wrong, place, mend in (
        ("values = [1]", "writes", "the same as those of close. Mend either"),
        ("values = [1, 2]", "writes[0].values", "Give one value"),
        ("values = [0x10000]", "writes[0].values[0]", "Correct the value"),
        (f"values = [{value}], toggle = true", "writes[0]", "toggle is not a setting"),
    )
]
MISTAKES += [
    ("address = 8, values = [2]", "address = 105, values = [2]", "open.writes[0].address", "cali"),
    ("address = 8, values = [3]", "address = 9, values = [3]", "state.independent", "Write false"),
    ("address = 8, values = [4]", "address = 9, values = [4]", "state.independent", "Write false"),
    (
        "function = 6, address = 8, values = [2]",
        "function = 5, address = 8, values = [0x5500]",
        "open.writes[0].values",
        "never a toggle",
    ),
    ("values = [3]", "values = [2]", "release.writes", "the same as those of open. Mend either"),
    ("[cancel]\n", "[cancel]\nsettle_ms = 1\n", "cancel", "settle_ms is not a setting"),
    ("prepay = 0x10", "prepay = 0x01", "cause.prepay", "outside the mask"),
    ("prepay = 0x10", "prepay = 0x20", "cause", "Give each its own"),
    ("prepay = 0x10", "theft = 0x10", "cause", "theft is not a setting"),
    ("function = 3\naddress = 20", "function = 2\naddress = 20", "cause.mask", "Leave it out"),
    ("function = 3\naddress = 20", "function = 6\naddress = 20", "cause.function", "1, 2, 3, 4"),
    (
        "prepay = 0x10\ntechnician = 0x20\ntrip = 0x30\npower_up = 0x40\n",
        "",
        "cause",
        "Give a value to prepay, technician, trip or power_up",
    ),
]


@pytest.mark.parametrize(("right", "wrong", "place", "mend"), MISTAKES)
def test_a_mistake_is_named_with_its_place_and_its_mend(
    tmp_path: Path, right: str, wrong: str, place: str, mend: str
) -> None:
    assert right in WITH_ALL
    with pytest.raises(ProfileError) as caught:
        load(tmp_path, WITH_ALL.replace(right, wrong, 1))
    line = str(caught.value)
    assert line.startswith(f"{tmp_path / 'mine.toml'}: {place}: ")
    assert mend in line
    assert "\n" not in line


def test_profiles_that_extend_each_other_are_named(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text('extends = "two"\n')
    (tmp_path / "two.toml").write_text('extends = "one"\n')
    with pytest.raises(ProfileError, match="it extends itself"):
        load_profiles(tmp_path)


def test_files_that_cannot_be_profiles_are_named(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="there is none"):
        load_profiles(tmp_path / "nowhere")
    (tmp_path / "binary.toml").write_bytes(b"\xff")
    with pytest.raises(ProfileError, match=r"byte 0: not UTF-8\. Save the file as UTF-8"):
        load_profiles(tmp_path)
    (tmp_path / "binary.toml").rename(tmp_path / "My Meter.toml")
    with pytest.raises(ProfileError, match="cannot be a profile's name"):
        load_profiles(tmp_path)
