"""Profiles: what the bundled ones can do, how a site extends them, and how mistakes are named."""

from pathlib import Path

import msgspec
import pytest

from gateway.bus.frame import Function, Write
from gateway.bus.profile import Lack, Profile, load_profiles
from gateway.bus.profile_text import toml_of
from gateway.bus.reading import (
    Quantities,
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
from gateway.core.model import Cause, ProfileAbility, SupplyState
from tests.rooms.bus.profiles_written import WHOLE, WITH_ALL, device, load

BUNDLED = load_profiles(None)


def moved_by(profile: Profile, move: Move) -> tuple[Write, ...]:
    motion = profile.motion(move)
    return () if motion is None else writes_of(device(profile), motion)


def registers(address: int, *values: int) -> Write:
    return Write(unit=7, function=Function.WRITE_REGISTERS, address=address, values=values)


def coil(value: int, *, address: int = 5) -> Write:
    return Write(unit=40, function=Function.WRITE_COIL, address=address, values=(value,))


MEASURES = ProfileAbility(switches=False, proves_serial=False)
MEASURES_PROVEN = ProfileAbility(switches=False, proves_serial=True)
SWITCHES = ProfileAbility(switches=True, opens=True, proves_serial=False)
BOARD = ProfileAbility(
    switches=True, opens=True, proves_serial=True, needs_switch_unit=True, channels=8
)
BOARD_OF_6 = msgspec.structs.replace(BOARD, channels=6)
BOARD_UNPROVEN = msgspec.structs.replace(BOARD, switches=False, opens=False, trusting=BOARD)
"""What it can do is known from a single source, so that only a site may take it for enough."""
WHOLE_ABILITY = ProfileAbility(switches=True, proves_serial=True, opens=True, releases=True)
SWITCHING = [name for name, profile in BUNDLED.items() if profile.ability.switches]
"""Those that are known well enough; the next test says which they are."""


def test_what_the_bundled_types_can_do() -> None:
    assert {name: profile.ability for name, profile in BUNDLED.items()} == {
        "accuenergy-ev300": SWITCHES,
        "accuenergy-ev300-contact": SWITCHES,
        "acrel-ddsy1352": MEASURES_PROVEN,
        "acrel-dtsy1352": MEASURES_PROVEN,
        "chint-dtsu666": MEASURES,
        "dds238-2-zn-sr": SWITCHES,
        "eastron-sdm120": MEASURES_PROVEN,
        "eastron-sdm230": MEASURES_PROVEN,
        "inepro-pro380": MEASURES,
        "noark-ex9em": MEASURES,
        "orno-or-we-516": MEASURES_PROVEN,
        "schneider-iem3000": MEASURES_PROVEN,
        "sdm230-relay8": BOARD,
        "sdm230-relay8-base1": BOARD_UNPROVEN,
        "sdm230-relay8-base16": BOARD_UNPROVEN,
        "sdm230-relay8-coils": BOARD,
        "sdm230-wb-mr6c": BOARD_OF_6,
    }


@pytest.mark.parametrize("name", sorted(BUNDLED.keys() - set(SWITCHING)))
def test_a_type_that_may_not_switch_has_no_writes(name: str) -> None:
    assert writable(device(BUNDLED[name])) == frozenset()


@pytest.mark.parametrize(
    ("name", "lack"),
    [
        ("acrel-ddsy1352", Lack.STATE_ADDRESS),
        ("acrel-dtsy1352", Lack.STATE_ADDRESS),
        ("sdm230-relay8-base1", Lack.EVIDENCE),
        ("sdm230-relay8-base16", Lack.EVIDENCE),
    ],
)
def test_what_keeps_a_known_switch_from_being_written_is_named(name: str, lack: Lack) -> None:
    profile = BUNDLED[name]
    assert {profile.lacks(block) for block in profile.instructions} == {(lack,)}


@pytest.mark.parametrize("name", SWITCHING)
def test_no_type_switches_on_a_single_source(name: str, tmp_path: Path) -> None:
    weak = 'evidence = "single-source"'
    profile = load(tmp_path, f'extends = "{name}"\n[close]\n{weak}\n[open]\n{weak}\n')
    ability = profile.ability
    assert (ability.switches, ability.opens, ability.releases) == (False, False, False)
    assert writable(device(profile)) == frozenset()


@pytest.mark.parametrize("name", SWITCHING)
def test_a_type_known_from_a_single_source_is_written_where_the_site_takes_that_for_enough(
    name: str, tmp_path: Path
) -> None:
    weak = 'evidence = "single-source"'
    profile = load(tmp_path, f'extends = "{name}"\n[close]\n{weak}\n[open]\n{weak}\n')
    assert profile.ability.trusting == BUNDLED[name].ability
    trusting = msgspec.structs.replace(device(profile), trusting=True)
    assert writable(trusting) == writable(device(BUNDLED[name])) != frozenset()


@pytest.mark.parametrize("name", ["acrel-ddsy1352", "eastron-sdm230"])
def test_what_is_not_known_at_all_no_site_can_permit(name: str) -> None:
    profile = BUNDLED[name]
    assert profile.ability.trusting is None
    trusting = msgspec.structs.replace(device(profile), trusting=True)
    assert writable(trusting) == frozenset()


@pytest.mark.parametrize("name", SWITCHING)
def test_no_type_switches_whose_state_cannot_be_read(name: str) -> None:
    blind = msgspec.structs.replace(BUNDLED[name], state=None)
    assert (blind.ability.switches, blind.ability.opens) == (False, False)
    assert {blind.lacks(block) for block in blind.instructions} == {(Lack.STATE,)}


def test_a_site_that_has_tried_a_board_says_so_and_may_switch_it(tmp_path: Path) -> None:
    tried = 'evidence = "hardware"\nsource = "our bench"'
    text = f'extends = "sdm230-relay8-base16"\n[close]\n{tried}\n[open]\n{tried}\n'
    profile = load(tmp_path, text)
    assert profile.ability == BOARD
    assert moved_by(profile, Move.CLOSE) == (coil(1, address=0x15),)


def test_three_poles_are_closed_when_all_of_them_are(tmp_path: Path) -> None:
    profile = load(tmp_path, 'extends = "acrel-dtsy1352"\n[state]\naddress = 0x0165\n')
    assert profile.ability.switches
    assert [state_of(profile, value) for value in (0xE0FF, 0x1F00, 0x6000, 0xC012)] == [
        SupplyState.CONNECTED,
        SupplyState.DISCONNECTED,
        SupplyState.UNKNOWN,
        SupplyState.UNKNOWN,
    ]


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
        ("open", msgspec.structs.replace(WHOLE_ABILITY, opens=False, trusting=WHOLE_ABILITY)),
        ("release", msgspec.structs.replace(WHOLE_ABILITY, releases=False, trusting=WHOLE_ABILITY)),
        ("cancel", WHOLE_ABILITY),
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
        ("u64", "big", (0, 0, 1, 2), 65_538),
        ("s64", "big", (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE), -2),
        ("s64", "little", (2, 1, 0, 0), 65_538),
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


def test_addresses_that_count_from_1_go_over_the_line_one_less(tmp_path: Path) -> None:
    from_0 = load(tmp_path, WITH_ALL, "from0")
    from_1 = load(
        tmp_path, f"address_base = 1\n{WITH_ALL}".replace("address = 0\n", "address = 1\n")
    )
    one, other = device(from_0), device(from_1)
    asked = [(state_read(each), cause_read(each)) for each in (one, other)]
    addresses = [[read.address for read in reads if read is not None] for reads in asked]
    assert addresses == [[9, 20], [8, 19]]
    serial = identity_read(other)
    assert serial is not None
    assert serial.address == 0
    assert {write.address for write in writable(one)} == {8}
    assert {write.address for write in writable(other)} == {7}


def test_what_was_measured_anew_overtakes_and_the_rest_stays() -> None:
    known = Quantities(voltage_mv=230_000, current_ma=1_000, energy_wh=5)
    newer = known.with_newer(Quantities(voltage_mv=229_000, power_w=-40))
    assert newer == Quantities(voltage_mv=229_000, current_ma=1_000, power_w=-40, energy_wh=5)


@pytest.mark.parametrize("name", BUNDLED)
def test_a_type_written_out_is_the_same_type(name: str, tmp_path: Path) -> None:
    assert load(tmp_path, toml_of(BUNDLED[name]), "whole") == BUNDLED[name]
