"""The register maps of the simulated types, as data.

Owns which register of which type tells what, in which coding. Must never be made from the bus
room's profiles, so that a mistake in one shows in the other.

Sources: Acrel DDSY1352 (operation manual, section 8.1) and the ADL family's block from 0x0061 for
its three-phase sister; Hiking DDS238-2 ZN/SR; Eastron SDM230 and SDM120 (Modbus protocols);
EV/DV300 user manual V2.0, tables 4.10 to 4.19; iEM3000 user guide; DTSU666 user manual; OR-WE-516
registers; Ex9EM register map; PRO380 user manual V2.18.
"""

import struct
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from gateway.bench.meters import BoardType, MeterType
from gateway.bench.slave import Function
from gateway.core.model import Value


class Quantity(StrEnum):
    """What a meter measures; units last. Loads are resistive, shared evenly by the phases."""

    VOLTAGE_V = "VOLTAGE_V"
    CURRENT_A = "CURRENT_A"
    """Of one phase."""
    POWER_W = "POWER_W"
    REACTIVE_VAR = "REACTIVE_VAR"
    APPARENT_VA = "APPARENT_VA"
    POWER_FACTOR = "POWER_FACTOR"
    FREQUENCY_HZ = "FREQUENCY_HZ"
    TOTAL_KWH = "TOTAL_KWH"
    IMPORT_KWH = "IMPORT_KWH"
    EXPORT_KWH = "EXPORT_KWH"


class Coding(StrEnum):
    """How a value lies in its registers, high word first."""

    U16 = ">H"
    S16 = ">h"
    U32 = ">I"
    S64 = ">q"
    FLOAT32 = ">f"


class Place(Value):
    """One value: `per_unit` is what the registers show for one unit of the quantity."""

    address: int
    quantity: Quantity
    coding: Coding
    per_unit: float = 1.0

    def registers(self, value: float) -> dict[int, int]:
        """The value as this place shows it; what does not fit stays at the end of the range."""
        shown = value * self.per_unit
        raw = (
            struct.pack(self.coding, shown)
            if self.coding is Coding.FLOAT32
            else struct.pack(self.coding, self._whole(shown))
        )
        return dict(enumerate(struct.unpack(f">{len(raw) // 2}H", raw), self.address))

    def _whole(self, shown: float) -> int:
        bits = 8 * struct.calcsize(self.coding)
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1)
        if self.coding in {Coding.U16, Coding.U32}:
            low, high = 0, (1 << bits) - 1
        return max(low, min(high, round(shown)))


class SerialCoding(StrEnum):
    """How a serial number lies in its registers."""

    BCD12 = "BCD12"
    U32 = "U32"


class SerialPlace(Value):
    """Where a meter tells its number, among the holding registers."""

    address: int
    coding: SerialCoding


class RegisterMap(Value):
    """What a type shows, and to which function codes."""

    places: tuple[Place, ...]
    read_by: Function = Function.READ_HOLDING
    """How measured values are read."""
    blank: tuple[tuple[int, int], ...] = ()
    """First and last of the registers that read 0 where nothing else is."""
    serial: SerialPlace | None = None
    phases: int = 1
    takes: frozenset[Function] = frozenset()
    """Further function codes."""

    @property
    def functions(self) -> frozenset[Function]:
        """All function codes that it knows."""
        by_serial = {Function.READ_HOLDING} if self.serial else set()
        return frozenset({self.read_by, *by_serial, *self.takes})

    def measured(self, values: Mapping[Quantity, float]) -> dict[int, int]:
        """All registers that show these values."""
        held = {at: 0 for first, last in self.blank for at in range(first, last + 1)}
        for place in self.places:
            held |= place.registers(values[place.quantity])
        return held


class BoardMap(Value):
    """Where a relay board has its channels."""

    channels: int = 8
    coils_from: int = 0
    inputs_from: int = 0
    timeout_s: int | None = None
    """How long its relays outlast the last request, if commissioned so; None: for ever."""


def _floats(*places: tuple[int, Quantity], per_unit: float = 1.0) -> tuple[Place, ...]:
    return tuple(
        Place(address=at, quantity=what, coding=Coding.FLOAT32, per_unit=per_unit)
        for at, what in places
    )


def _words(*places: tuple[int, Quantity, float], coding: Coding = Coding.U16) -> tuple[Place, ...]:
    return tuple(
        Place(address=at, quantity=what, coding=coding, per_unit=per_unit)
        for at, what, per_unit in places
    )


Q = Quantity
SDM_SINGLE_PHASE: Final = RegisterMap(
    read_by=Function.READ_INPUT_REGISTERS,
    places=_floats(
        (0x0000, Q.VOLTAGE_V),
        (0x0006, Q.CURRENT_A),
        (0x000C, Q.POWER_W),
        (0x0012, Q.APPARENT_VA),
        (0x0018, Q.REACTIVE_VAR),
        (0x001E, Q.POWER_FACTOR),
        (0x0046, Q.FREQUENCY_HZ),
        (0x0048, Q.IMPORT_KWH),
        (0x004A, Q.EXPORT_KWH),
        (0x0156, Q.TOTAL_KWH),
    ),
    blank=((0x0000, 0x0157),),
    serial=SerialPlace(address=0xFC00, coding=SerialCoding.U32),
)
ACREL_SERIAL: Final = SerialPlace(address=0x0043, coding=SerialCoding.BCD12)
MAPS: Final[Mapping[MeterType, RegisterMap]] = {
    MeterType.ACREL_DDSY1352: RegisterMap(
        places=(
            *_words((0x0000, Q.TOTAL_KWH, 100), coding=Coding.U32),
            *_words((0x000B, Q.VOLTAGE_V, 10), (0x000C, Q.CURRENT_A, 100)),
            *_words((0x000D, Q.POWER_W, 1), (0x000E, Q.REACTIVE_VAR, 1), coding=Coding.S16),
            *_words((0x000F, Q.APPARENT_VA, 1)),
            *_words((0x0010, Q.POWER_FACTOR, 1000), coding=Coding.S16),
        ),
        blank=((0x0000, 0x0010),),
        serial=ACREL_SERIAL,
        takes=frozenset({Function.WRITE_REGISTERS}),
    ),
    MeterType.ACREL_DTSY1352: RegisterMap(
        places=(
            *_words((0x0000, Q.TOTAL_KWH, 100), coding=Coding.U32),
            *_words(*((at, Q.VOLTAGE_V, 10) for at in (0x0061, 0x0062, 0x0063))),
            *_words(*((at, Q.CURRENT_A, 100) for at in (0x0064, 0x0065, 0x0066))),
            *_words((0x006A, Q.POWER_W, 1), (0x006E, Q.REACTIVE_VAR, 1), coding=Coding.S16),
            *_words((0x0072, Q.APPARENT_VA, 1)),
            *_words((0x0076, Q.POWER_FACTOR, 1000), coding=Coding.S16),
            *_words((0x0077, Q.FREQUENCY_HZ, 100)),
        ),
        blank=((0x0000, 0x0009), (0x0061, 0x0077)),
        serial=ACREL_SERIAL,
        phases=3,
        takes=frozenset({Function.WRITE_REGISTERS}),
    ),
    MeterType.DDS238_2_ZN_SR: RegisterMap(
        places=(
            *_words(
                (0x0000, Q.TOTAL_KWH, 100),
                (0x0008, Q.EXPORT_KWH, 100),
                (0x000A, Q.IMPORT_KWH, 100),
                coding=Coding.U32,
            ),
            *_words((0x000C, Q.VOLTAGE_V, 10), (0x000D, Q.CURRENT_A, 100)),
            *_words((0x000E, Q.POWER_W, 1), (0x000F, Q.REACTIVE_VAR, 1), coding=Coding.S16),
            *_words((0x0010, Q.POWER_FACTOR, 1000), (0x0011, Q.FREQUENCY_HZ, 100)),
        ),
        blank=((0x0000, 0x0011),),
        takes=frozenset({Function.WRITE_REGISTERS}),
    ),
    MeterType.SDM230_RELAY: SDM_SINGLE_PHASE,
    MeterType.EASTRON_SDM230: SDM_SINGLE_PHASE,
    MeterType.EASTRON_SDM120: SDM_SINGLE_PHASE,
    MeterType.ACCUENERGY_EV300: RegisterMap(
        places=(
            *_words((0x010C, Q.TOTAL_KWH, 10), coding=Coding.U32),
            *_words(*((at, Q.VOLTAGE_V, 10) for at in (0x0110, 0x0111, 0x0112))),
            *_words(*((at, Q.CURRENT_A, 1000) for at in (0x0116, 0x0117, 0x0118))),
            *_words((0x0119, Q.VOLTAGE_V, 10), (0x011B, Q.CURRENT_A, 1000)),
            *_words((0x011C, Q.POWER_W, 1), (0x011D, Q.REACTIVE_VAR, 1), coding=Coding.S16),
            *_words((0x011E, Q.APPARENT_VA, 1), (0x011F, Q.FREQUENCY_HZ, 100)),
            *_words((0x0120, Q.POWER_FACTOR, 1000), coding=Coding.S16),
        ),
        blank=((0x010C, 0x0124),),
        phases=3,
        takes=frozenset(
            {
                *(Function.READ_COILS, Function.READ_INPUTS),
                *(Function.WRITE_COIL, Function.WRITE_REGISTERS),
            }
        ),
    ),
    MeterType.SCHNEIDER_IEM3000: RegisterMap(
        places=(
            *_floats(*((at, Q.CURRENT_A) for at in (0x0BB7, 0x0BB9, 0x0BBB))),
            *_floats(*((at, Q.VOLTAGE_V) for at in (0x0BD3, 0x0BD5, 0x0BD7))),
            *_floats((0x0BF3, Q.POWER_W), per_unit=0.001),
            *_floats((0x0C25, Q.FREQUENCY_HZ)),
            *_words((0x0C83, Q.IMPORT_KWH, 1000), coding=Coding.S64),
        ),
        serial=SerialPlace(address=0x0081, coding=SerialCoding.U32),
        phases=3,
        takes=frozenset({Function.WRITE_REGISTERS}),
    ),
    MeterType.CHINT_DTSU666: RegisterMap(
        places=(
            *_floats(*((at, Q.VOLTAGE_V) for at in (0x2006, 0x2008, 0x200A)), per_unit=10),
            *_floats(*((at, Q.CURRENT_A) for at in (0x200C, 0x200E, 0x2010)), per_unit=1000),
            *_floats((0x2012, Q.POWER_W), per_unit=10),
            *_floats((0x2044, Q.FREQUENCY_HZ), per_unit=100),
            *_floats((0x101E, Q.IMPORT_KWH), (0x1028, Q.EXPORT_KWH)),
        ),
        blank=((0x101E, 0x1029), (0x2000, 0x2045)),
        phases=3,
    ),
    MeterType.ORNO_OR_WE_516: RegisterMap(
        places=(
            *_floats(*((at, Q.VOLTAGE_V) for at in (0x000E, 0x0010, 0x0012))),
            *_floats((0x0014, Q.FREQUENCY_HZ)),
            *_floats(*((at, Q.CURRENT_A) for at in (0x0016, 0x0018, 0x001A))),
            *_floats((0x001C, Q.POWER_W), per_unit=0.001),
            *_floats((0x0100, Q.TOTAL_KWH), (0x0108, Q.IMPORT_KWH), (0x0110, Q.EXPORT_KWH)),
        ),
        blank=((0x0000, 0x003B), (0x0100, 0x0147)),
        serial=SerialPlace(address=0x0000, coding=SerialCoding.U32),
        phases=3,
    ),
    MeterType.NOARK_EX9EM: RegisterMap(
        places=(
            *_words((0x0000, Q.VOLTAGE_V, 10), (0x0001, Q.CURRENT_A, 10)),
            *_words((0x0002, Q.FREQUENCY_HZ, 10), (0x0003, Q.POWER_W, 1)),
            *_words((0x0004, Q.REACTIVE_VAR, 1), (0x0005, Q.APPARENT_VA, 1)),
            *_words((0x0006, Q.POWER_FACTOR, 1000)),
            *_words((0x0007, Q.TOTAL_KWH, 100), coding=Coding.U32),
        ),
        blank=((0x0000, 0x000A),),
    ),
    MeterType.INEPRO_PRO380: RegisterMap(
        places=(
            *_floats(*((at, Q.VOLTAGE_V) for at in (0x5000, 0x5002, 0x5004, 0x5006))),
            *_floats((0x5008, Q.FREQUENCY_HZ)),
            *_floats(*((at, Q.CURRENT_A) for at in (0x500A, 0x500C, 0x500E, 0x5010))),
            *_floats((0x5012, Q.POWER_W), per_unit=0.001),
            *_floats((0x6000, Q.TOTAL_KWH), (0x600C, Q.IMPORT_KWH), (0x6018, Q.EXPORT_KWH)),
        ),
        blank=((0x5000, 0x5031), (0x6000, 0x6047)),
        phases=3,
    ),
}
BOARDS: Final[Mapping[BoardType, BoardMap]] = {
    BoardType.RELAY8: BoardMap(),
    BoardType.RELAY8_BASE1: BoardMap(coils_from=1, inputs_from=1),
    BoardType.RELAY8_BASE16: BoardMap(coils_from=16, inputs_from=16),
    BoardType.WB_MR6C: BoardMap(channels=6, inputs_from=96, timeout_s=10),
}
