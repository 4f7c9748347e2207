"""The register maps of the bundled types, against what their sources say, written down once more.

Addresses are those on the line. Values are packed here by hand and read by the profile.
"""

import struct

import pytest

from gateway.bus.blocks import Counted, Quantity
from gateway.bus.frame import Function, Read, Write
from gateway.bus.profile import load_profiles
from gateway.bus.reading import (
    identity_read,
    measure_reads,
    quantities_of,
    serial_of,
    state_of,
    state_read,
    value_reads,
    writes_of,
)
from gateway.core.fact import Move
from gateway.core.model import SupplyState
from tests.rooms.bus.profiles_written import device

BUNDLED = load_profiles(None)
METER, BOARD, CHANNEL = 7, 40, 5
"""Where the device of a test stands."""
FIELDS = {
    "voltage": "voltage_mv",
    "current": "current_ma",
    "power": "power_w",
    "energy": "energy_wh",
}
SDM = (
    ("voltage", 4, 0x0000, struct.pack(">f", 231.25), 231_250),
    ("current", 4, 0x0006, struct.pack(">f", 4.5), 4_500),
    ("power", 4, 0x000C, struct.pack(">f", -1040.0), -1_040),
    ("energy", 4, 0x0048, struct.pack(">f", 1234.5), 1_234_500),
)
EV300 = (
    ("voltage", 3, 0x0110, struct.pack(">H", 2304), 230_400),
    ("current", 3, 0x0116, struct.pack(">H", 4321), 4_321),
    ("power", 3, 0x011C, struct.pack(">h", -250), -250),
    ("energy", 3, 0x010C, struct.pack(">I", 1_234_567), 123_456_700),
)
MAPS = {
    "accuenergy-ev300": EV300,
    "accuenergy-ev300-contact": EV300,
    "acrel-ddsy1352": (
        ("voltage", 3, 0x000B, struct.pack(">H", 2297), 229_700),
        ("current", 3, 0x000C, struct.pack(">H", 1234), 12_340),
        ("power", 3, 0x000D, struct.pack(">h", -2833), -2_833),
        ("energy", 3, 0x0000, struct.pack(">I", 7_654_321), 76_543_210),
    ),
    "acrel-dtsy1352": (("energy", 3, 0x0000, struct.pack(">I", 100_001), 1_000_010),),
    "chint-dtsu666": (
        ("voltage", 3, 0x2006, struct.pack(">f", 2301.5), 230_150),
        ("current", 3, 0x200C, struct.pack(">f", 5250.0), 5_250),
        ("power", 3, 0x2012, struct.pack(">f", 12_080.0), 1_208),
        ("energy", 3, 0x101E, struct.pack(">f", 4321.5), 4_321_500),
    ),
    "dds238-2-zn-sr": (
        ("voltage", 3, 0x000C, struct.pack(">H", 2288), 228_800),
        ("current", 3, 0x000D, struct.pack(">H", 150), 1_500),
        ("power", 3, 0x000E, struct.pack(">h", -343), -343),
        ("energy", 3, 0x0000, struct.pack(">I", 70_000), 700_000),
    ),
    "eastron-sdm120": SDM,
    "eastron-sdm230": SDM,
    "inepro-pro380": (
        ("voltage", 3, 0x5002, struct.pack(">f", 229.5), 229_500),
        ("current", 3, 0x500C, struct.pack(">f", 0.25), 250),
        ("power", 3, 0x5012, struct.pack(">f", 1.5), 1_500),
        ("energy", 3, 0x600C, struct.pack(">f", 64.125), 64_125),
    ),
    "noark-ex9em": (
        ("voltage", 3, 0x0000, struct.pack(">H", 2319), 231_900),
        ("current", 3, 0x0001, struct.pack(">H", 73), 7_300),
        ("power", 3, 0x0003, struct.pack(">H", 1690), 1_690),
        ("energy", 3, 0x0007, struct.pack(">I", 65_537), 655_370),
    ),
    "orno-or-we-516": (
        ("voltage", 3, 0x000E, struct.pack(">f", 241.0), 241_000),
        ("current", 3, 0x0016, struct.pack(">f", 10.5), 10_500),
        ("power", 3, 0x001C, struct.pack(">f", 7.25), 7_250),
        ("energy", 3, 0x0100, struct.pack(">f", 812.75), 812_750),
    ),
    "schneider-iem3000": (
        ("voltage", 3, 0x0BD3, struct.pack(">f", 238.5), 238_500),
        ("current", 3, 0x0BB7, struct.pack(">f", 63.0), 63_000),
        ("power", 3, 0x0BF3, struct.pack(">f", -3.5), -3_500),
        ("energy", 3, 0x0C83, struct.pack(">q", 5_000_000_123), 5_000_000_123),
    ),
    "sdm230-relay8": SDM,
    "sdm230-relay8-base1": SDM,
    "sdm230-relay8-base16": SDM,
    "sdm230-relay8-coils": SDM,
    "sdm230-wb-mr6c": SDM,
}
SERIALS = {
    "acrel-ddsy1352": (0x0043, bytes.fromhex("220315000017"), "220315000017"),
    "acrel-dtsy1352": (0x0043, bytes.fromhex("220315000017"), "220315000017"),
    "eastron-sdm120": (0xFC00, struct.pack(">I", 18_074_406), "18074406"),
    "eastron-sdm230": (0xFC00, struct.pack(">I", 18_074_406), "18074406"),
    "orno-or-we-516": (0x0000, struct.pack(">I", 3_000_000_001), "3000000001"),
    "schneider-iem3000": (0x0081, struct.pack(">I", 17_061_234), "17061234"),
    **dict.fromkeys(
        ("sdm230-relay8", "sdm230-relay8-base1", "sdm230-relay8-base16", "sdm230-relay8-coils"),
        (0xFC00, struct.pack(">I", 18_074_406), "18074406"),
    ),
    "sdm230-wb-mr6c": (0xFC00, struct.pack(">I", 18_074_406), "18074406"),
}
SWITCHES = {
    "accuenergy-ev300": ((METER, 1, 0), (METER, 5, 0)),
    "accuenergy-ev300-contact": ((METER, 2, 0), (METER, 5, 0)),
    "sdm230-relay8": ((BOARD, 2, CHANNEL), (BOARD, 5, CHANNEL)),
    "sdm230-relay8-coils": ((BOARD, 1, CHANNEL), (BOARD, 5, CHANNEL)),
    "sdm230-relay8-base1": ((BOARD, 1, 1 + CHANNEL), (BOARD, 5, 1 + CHANNEL)),
    "sdm230-relay8-base16": ((BOARD, 1, 16 + CHANNEL), (BOARD, 5, 16 + CHANNEL)),
    "sdm230-wb-mr6c": ((BOARD, 2, 96 + CHANNEL), (BOARD, 5, CHANNEL)),
}
"""Bits: where each is read (1: coil, 2: input), and which coil is written."""
SHIPPED = {
    "accuenergy-ev300": (None, "8N1"),
    "accuenergy-ev300-contact": (None, "8N1"),
    "chint-dtsu666": (9600, "8N1"),
    "dds238-2-zn-sr": (9600, "8N1"),
    "eastron-sdm120": (2400, "8N1"),
    "inepro-pro380": (9600, "8E1"),
    "noark-ex9em": (9600, "8E1"),
    "orno-or-we-516": (9600, "8E1"),
    "schneider-iem3000": (19_200, "8E1"),
}
ROWS = [(name, *row) for name, rows in MAPS.items() for row in rows]


def holding(address: int, count: int = 1) -> Read:
    return Read(unit=METER, function=Function.READ_HOLDING, address=address, count=count)


def words(packed: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{len(packed) // 2}H", packed)


def test_every_bundled_type_is_written_down_here_with_all_that_it_measures() -> None:
    known = {name: {str(one) for one in profile.measures} for name, profile in BUNDLED.items()}
    assert {name: {row[0] for row in rows} for name, rows in MAPS.items()} == known
    assert {name for name, one in BUNDLED.items() if one.identity} == SERIALS.keys()


@pytest.mark.parametrize(("name", "quantity", "function", "address", "packed", "value"), ROWS)
def test_each_value_stands_where_its_source_says_and_is_read_right(
    name: str, quantity: str, function: int, address: int, packed: bytes, value: int
) -> None:
    profile, held = BUNDLED[name], words(packed)
    (read,) = (
        one
        for one in value_reads(device(profile))
        if quantity in {placed.quantity for placed in one.placed}
    )
    request, at = read.request, address - read.request.address
    assert (request.unit, request.function) == (METER, function)
    assert at >= 0
    assert at + len(held) <= request.count
    registers = [0] * request.count
    registers[at : at + len(held)] = held
    assert getattr(quantities_of(profile, read, registers), FIELDS[quantity]) == value


@pytest.mark.parametrize("name", BUNDLED)
def test_nothing_is_asked_for_that_is_not_known(name: str) -> None:
    known = {
        (function, address + offset)
        for _, function, address, packed, _ in MAPS[name]
        for offset in range(len(packed) // 2)
    }
    asked = {
        (int(read.request.function), read.request.address + offset)
        for read in value_reads(device(BUNDLED[name]))
        for offset in range(read.request.count)
    }
    assert asked == known


@pytest.mark.parametrize("name", BUNDLED)
def test_what_proves_a_switch_is_read_without_what_bills_are_made_from(name: str) -> None:
    placed = {one.quantity for read in measure_reads(device(BUNDLED[name])) for one in read.placed}
    assert placed == {Quantity.VOLTAGE, Quantity.CURRENT} & BUNDLED[name].measures.keys()


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("acrel-ddsy1352", [(0x0000, 2), (0x000B, 3)]),
        ("dds238-2-zn-sr", [(0x0000, 2), (0x000C, 3)]),
        ("noark-ex9em", [(0x0000, 2), (0x0003, 1), (0x0007, 2)]),
    ],
)
def test_neighbours_are_read_together(name: str, asked: list[tuple[int, int]]) -> None:
    requests = [read.request for read in value_reads(device(BUNDLED[name]))]
    assert [(request.address, request.count) for request in requests] == asked


@pytest.mark.parametrize(
    ("name", "address", "packed", "serial"), [(name, *row) for name, row in SERIALS.items()]
)
def test_each_serial_number_stands_where_its_source_says(
    name: str, address: int, packed: bytes, serial: str
) -> None:
    profile = BUNDLED[name]
    assert identity_read(device(profile)) == holding(address, len(packed) // 2)
    assert profile.identity is not None
    assert serial_of(profile.identity, words(packed)) == serial


@pytest.mark.parametrize("name", SWITCHES)
def test_each_contactor_is_read_and_driven_where_its_source_says(name: str) -> None:
    (unit, function, address), (driven, writes, coil) = SWITCHES[name]
    profile = BUNDLED[name]
    assert state_read(device(profile)) == Read(
        unit=unit, function=Function(function), address=address, count=1
    )
    assert [state_of(profile, bit) for bit in (0, 1)] == [
        SupplyState.DISCONNECTED,
        SupplyState.CONNECTED,
    ]
    for block, value in (("close", 1), ("open", 0)):
        assert writes_of(device(profile), profile.instructions[block]) == (
            Write(unit=driven, function=Function(writes), address=coil, values=(value,)),
        )


def test_the_relay_of_the_hiking_is_a_register() -> None:
    profile = BUNDLED["dds238-2-zn-sr"]
    assert state_read(device(profile)) == holding(0x001A)
    for move, value in ((Move.CLOSE, 1), (Move.OPEN, 0)):
        motion = profile.motion(move)
        assert motion is not None
        assert writes_of(device(profile), motion) == (
            Write(unit=METER, function=Function.WRITE_REGISTERS, address=0x001A, values=(value,)),
        )


@pytest.mark.parametrize("name", ["acrel-ddsy1352", "acrel-dtsy1352"])
def test_the_acrels_take_force_and_release_as_one_write_of_two_registers(name: str) -> None:
    profile = BUNDLED[name]
    values = {"close": (1, 0), "open": (1, 1), "release": (0, 0)}
    assert {
        block: writes_of(device(profile), instruction)
        for block, instruction in profile.instructions.items()
    } == {
        block: (Write(unit=METER, function=Function.WRITE_REGISTERS, address=0x0057, values=pair),)
        for block, pair in values.items()
    }
    assert state_read(device(profile)) is None, "no public source says where it stands"


@pytest.mark.parametrize("name", SHIPPED)
def test_how_each_is_shipped(name: str) -> None:
    serial = BUNDLED[name].serial
    assert serial is not None
    assert (serial.baud, serial.format) == SHIPPED[name]


def test_what_erases_or_presets_is_forbidden() -> None:
    spans = {
        name: [(span.first, span.last) for span in profile.forbidden]
        for name, profile in BUNDLED.items()
        if profile.forbidden
    }
    assert spans == {
        "accuenergy-ev300": [(0x0101, 0x010B), (0x010C, 0x010F)],
        "accuenergy-ev300-contact": [(0x0101, 0x010B), (0x010C, 0x010F)],
        "acrel-ddsy1352": [(0x0043, 0x0045)],
        "acrel-dtsy1352": [(0x0043, 0x0045)],
        "dds238-2-zn-sr": [(0x0000, 0x0001)],
    }


def test_which_energy_each_counts() -> None:
    imports = {
        name
        for name, profile in BUNDLED.items()
        if profile.energy is not None and profile.energy.counts is Counted.IMPORT
    }
    assert {name for name in imports if "sdm" not in name} == {
        "chint-dtsu666",
        "inepro-pro380",
        "schneider-iem3000",
    }
    assert {name for name in BUNDLED if "sdm" in name} <= imports
