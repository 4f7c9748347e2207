"""The simulated meters: register maps of real types, and the homes they stand before.

Owns what each register means and what a write to it does. Must never share a map with the bus
room's profiles, so that a mistake there shows here. Maps: Acrel DDSY1352 (prepaid; operation
manual, section 8.1), Hiking DDS238-2 ZN/SR, Eastron SDM230 (alone as a transformer's check meter),
and the 8-channel relay boards that switch a contactor beside an SDM230.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, ClassVar, Final

import msgspec

from gateway.bench.house import FREQUENCY_HZ, Home, Move, Switch
from gateway.bench.slave import COIL_TOGGLE, ExceptionCode, Function, ModbusSlave, Write, refuse
from gateway.core.model import AccountText, SerialText, Value

CHANNELS: Final = 8
BOARD_TURNAROUND_S: Final = 0.005
Unit = Annotated[int, msgspec.Meta(ge=1, le=247)]


class MeterType(StrEnum):
    """The simulated types."""

    ACREL_DDSY1352 = "acrel-ddsy1352"
    DDS238_2_ZN_SR = "dds238-2-zn-sr"
    SDM230_RELAY = "sdm230-relay"
    """An SDM230 that measures behind a contactor, which a channel of a relay board drives."""
    EASTRON_SDM230 = "eastron-sdm230"
    """An SDM230 without a switch, as it stands at a transformer."""


class Position(StrEnum):
    """Where a switch stands at first."""

    CLOSED = "closed"
    OPEN = "open"


class MeterEntry(Value, forbid_unknown_fields=True):
    """One meter of the line, as the meters file tells it."""

    type: MeterType
    unit: Unit
    serial: SerialText
    account: AccountText | None = None
    """A label for reports; no meter knows it."""
    state: Position = Position.CLOSED
    load_w: Annotated[float, msgspec.Meta(ge=0, le=20_000)] = 300.0
    energy_kwh: Annotated[float, msgspec.Meta(ge=0, le=10_000_000)] = 1_000.0
    turnaround_ms: Annotated[float, msgspec.Meta(ge=0, le=10_000)] = 20.0
    answers_serial: SerialText | None = None
    """The serial number the meter really gives, where another was put in its place."""
    dead: bool = False
    credit: bool = True
    """Acrel: what its own prepay logic thinks."""
    status_address: Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)] = 0x0165
    """Acrel: where the status word is; its place is not public, the site tells it."""
    switch_unit: Unit | None = None
    """SDM230: the address of the relay board."""
    switch_channel: Annotated[int, msgspec.Meta(ge=0, lt=CHANNELS)] | None = None
    """SDM230: the channel of the relay board, from 0."""


class MeterTruth(Value):
    """What is really the case at one meter."""

    serial: str
    answers_serial: str
    account: str | None
    type: MeterType
    unit: int
    dead: bool
    stuck: bool
    closed: bool
    """Where the contact is, whatever the registers say."""
    own_logic: bool
    """The switch follows the meter's own logic, if it has one; nobody forces it."""
    moves: int
    """How often the contact has moved."""
    moved: tuple[Move, ...]
    """The newest movements, oldest first."""
    power_w: float
    energy_kwh: float
    writes: tuple[Write, ...]
    """The newest writes that concerned it, oldest first."""


class LineError(ValueError):
    """The meters of the file cannot stand on one line."""


class Meter(ModbusSlave):
    """What the types share: a serial number, a switch, a home."""

    has_switch: ClassVar[bool] = True

    def __init__(self, entry: MeterEntry, switch: Switch, now_s: float) -> None:
        super().__init__(entry.unit, entry.turnaround_ms / 1000)
        self.entry = entry
        self.switch = switch
        self.home = Home(
            switch,
            name=entry.serial,
            load_w=entry.load_w,
            energy_kwh=entry.energy_kwh,
            begun_s=now_s,
        )
        self.dead = entry.dead
        self.answers_serial: str
        self.swap(entry.answers_serial or entry.serial)

    def swap(self, serial: str) -> None:
        """Another meter now stands here. `LineError` if none of this type can have that number."""
        self.answers_serial = serial

    def utility_switches(self, closed: bool, now_s: float) -> None:
        """The utility's own system switches this home, by the meter's own road and not the line.

        `LineError` where nothing can be switched.
        """
        if not self.has_switch:
            raise LineError(f"serial {self.entry.serial}: its type has no switch")
        self.switch.command(closed, now_s)

    def own_logic(self) -> bool:
        """Whether nobody forces the switch against the meter's own logic."""
        return True

    def switching_writes(self) -> Iterable[Write]:
        """The writes that went to this meter or to its switch."""
        return self.writes

    def truth(self, now_s: float) -> MeterTruth:
        """What is really the case."""
        return MeterTruth(
            serial=self.entry.serial,
            answers_serial=self.answers_serial,
            account=self.entry.account,
            type=self.entry.type,
            unit=self.unit,
            dead=self.dead,
            stuck=self.switch.stuck,
            closed=self.switch.closed(now_s),
            own_logic=self.own_logic(),
            moves=self.switch.wear(now_s),
            moved=self.switch.moves(now_s),
            power_w=round(self.home.power_w(now_s), 1),
            energy_kwh=round(self.home.energy_kwh(now_s), 6),
            writes=tuple(self.switching_writes()),
        )


class AcrelDdsy1352(Meter):
    """Prepaid: closes and opens by its own credit, unless a command forces it, then for ever."""

    functions: ClassVar = frozenset({Function.READ_HOLDING, Function.WRITE_REGISTERS})
    ENERGY: ClassVar = 0x0000
    VOLTAGE: ClassVar = 0x000B
    LAST_VALUE: ClassVar = 0x0010
    IDENTITY: ClassVar = 0x0043
    COMMAND: ClassVar = 0x0057
    L1_CLOSED: ClassVar = 1 << 13
    """Bit 5 of the status word's high byte."""

    def __init__(self, entry: MeterEntry, switch: Switch, now_s: float) -> None:
        super().__init__(entry, switch, now_s)
        self.credit = entry.credit
        closed = entry.state is Position.CLOSED
        self._command = (0, 0) if closed is entry.credit else (1, int(not closed))

    def swap(self, serial: str) -> None:
        """Take a number of up to 12 digits."""
        if not (serial.isdecimal() and len(serial) <= 12):
            raise LineError(f"serial {serial}: an Acrel's has 1 to 12 digits")
        super().swap(serial)

    def holding(self, now_s: float) -> Mapping[int, int]:
        """Measured values, identity, command and status word."""
        identity = bytes.fromhex(self.answers_serial.zfill(12))
        status = self.L1_CLOSED if self.switch.closed(now_s) else 0
        power_w = self.home.power_w(now_s)
        measured = (
            round(self.home.supply_v(now_s) * 10),
            round(self.home.current_a(now_s) * 100),
            round(power_w),
            0,  # reactive power
            round(power_w),  # apparent power: the load is resistive
            1000 if power_w else 0,  # power factor
        )
        return {
            **dict.fromkeys(range(self.LAST_VALUE + 1), 0),
            **_block(self.VOLTAGE, measured),
            **_block(self.ENERGY, _hundredths(self.home.energy_kwh(now_s))),
            **_block(self.IDENTITY, struct.unpack(">3H", identity)),
            **_block(self.COMMAND, self._command),
            self.entry.status_address: status,
        }

    def obey_registers(self, address: int, values: Sequence[int], now_s: float) -> None:
        """A command, or a new identity."""
        match address, len(values):
            case self.COMMAND, 2:
                self._take_command(values[0], values[1], now_s)
            case self.IDENTITY, 3:
                digits = struct.pack(">3H", *values).hex()
                if not digits.isdecimal():
                    refuse(ExceptionCode.ILLEGAL_VALUE)
                self.answers_serial = digits
            case _:
                refuse(ExceptionCode.ILLEGAL_ADDRESS)

    def utility_switches(self, closed: bool, now_s: float) -> None:
        """The vending system gives or takes credit, and ends any force."""
        self.credit = closed
        self._take_command(0, 0, now_s)

    def vend(self, credit: bool, now_s: float) -> None:
        """Follow the credit, unless a command forces the switch."""
        self.credit = credit
        if self.own_logic():
            self.switch.command(credit, now_s)

    def own_logic(self) -> bool:
        """Whether the switch follows the credit."""
        return self._command[0] == 0

    def _take_command(self, forced: int, opened: int, now_s: float) -> None:
        if forced not in {0, 1} or (forced and opened not in {0, 1}):
            refuse(ExceptionCode.ILLEGAL_VALUE)
        self._command = (forced, opened)
        self.switch.command(not opened if forced else self.credit, now_s)


class Dds238(Meter):
    """Has a relay and no number: which one answers must be known otherwise."""

    functions: ClassVar = frozenset({Function.READ_HOLDING, Function.WRITE_REGISTERS})
    ENERGY_TOTAL: ClassVar = 0x0000
    ENERGY_EXPORT: ClassVar = 0x0008
    ENERGY_IMPORT: ClassVar = 0x000A
    VOLTAGE: ClassVar = 0x000C
    LAST_VALUE: ClassVar = 0x0011
    RELAY: ClassVar = 0x001A

    def holding(self, now_s: float) -> Mapping[int, int]:
        """Measured values; the relay register gives back the command, not the contact."""
        energy = _hundredths(self.home.energy_kwh(now_s))
        current_a, power_w = self.home.current_a(now_s), self.home.power_w(now_s)
        measured = (
            round(self.home.supply_v(now_s) * 10),
            round(current_a * 100),
            round(power_w) & 0xFFFF,
            0,  # reactive power
            1000 if power_w else 0,  # power factor
            round(FREQUENCY_HZ * 100),
        )
        return {
            **dict.fromkeys(range(self.LAST_VALUE + 1), 0),
            **_block(self.ENERGY_TOTAL, energy),
            **_block(self.ENERGY_IMPORT, energy),
            **_block(self.VOLTAGE, measured),
            self.RELAY: int(self.switch.commanded),
        }

    def obey_registers(self, address: int, values: Sequence[int], now_s: float) -> None:
        """Switch the relay, or lose the energy counted."""
        match address, tuple(values):
            case self.RELAY, ((0 | 1) as closed,):
                self.switch.command(bool(closed), now_s)
            case self.ENERGY_TOTAL, (0, 0):
                self.home.erase_energy(now_s)
            case (self.RELAY, (_,)) | (self.ENERGY_TOTAL, (_, _)):
                refuse(ExceptionCode.ILLEGAL_VALUE)
            case _:
                refuse(ExceptionCode.ILLEGAL_ADDRESS)


class RelayBoard(ModbusSlave):
    """Eight relays that drive contactors, and eight inputs with the contactors' own contacts."""

    functions: ClassVar = frozenset(
        {Function.READ_COILS, Function.READ_INPUTS, Function.WRITE_COIL, Function.WRITE_COILS}
    )

    def __init__(self, unit: int, closed: Mapping[int, bool]) -> None:
        super().__init__(unit, BOARD_TURNAROUND_S)
        self.channels = tuple(Switch(closed=closed.get(it, False)) for it in range(CHANNELS))

    def coils(self, _: float) -> Mapping[int, bool]:
        """What the relays were told."""
        return {place: it.commanded for place, it in enumerate(self.channels)}

    def inputs(self, now_s: float) -> Mapping[int, bool]:
        """Where the contactors are."""
        return {place: it.closed(now_s) for place, it in enumerate(self.channels)}

    def obey_coils(self, address: int, values: Sequence[int], now_s: float) -> None:
        """Drive the contactors, or turn one over."""
        if address + len(values) > CHANNELS:
            refuse(ExceptionCode.ILLEGAL_ADDRESS)
        for switch, value in zip(self.channels[address:], values, strict=False):
            switch.command(not switch.commanded if value == COIL_TOGGLE else bool(value), now_s)


class Sdm230(Meter):
    """Measures, and has no switch."""

    has_switch: ClassVar = False

    functions: ClassVar = frozenset({Function.READ_HOLDING, Function.READ_INPUT_REGISTERS})
    SERIAL: ClassVar = 0xFC00
    LAST_VALUE: ClassVar = 0x0157

    def swap(self, serial: str) -> None:
        """Take a number that fits into 32 bits."""
        if not (serial.isdecimal() and int(serial) < 2**32):
            raise LineError(f"serial {serial}: an SDM230's is a number below 4294967296")
        super().swap(serial)

    def holding(self, _: float) -> Mapping[int, int]:
        """The serial number."""
        return _block(self.SERIAL, _halves(int(self.answers_serial)))

    def input_registers(self, now_s: float) -> Mapping[int, int]:
        """Measured values as IEEE 754 single precision, high word first; unused places read 0."""
        energy_kwh, power_w = self.home.energy_kwh(now_s), self.home.power_w(now_s)
        live = self.switch.closed(now_s)
        values = {
            0x0000: self.home.load_v(now_s),
            0x0006: self.home.current_a(now_s),
            0x000C: power_w,
            0x0012: power_w,  # apparent power: the load is resistive
            0x0018: 0.0,  # reactive power
            0x001E: 1.0 if live else 0.0,  # power factor
            0x0046: FREQUENCY_HZ if live else 0.0,
            0x0048: energy_kwh,
            0x004A: 0.0,  # export
            0x0156: energy_kwh,
        }
        registers = dict.fromkeys(range(self.LAST_VALUE + 1), 0)
        for address, value in values.items():
            registers |= _block(address, struct.unpack(">2H", struct.pack(">f", value)))
        return registers


class Sdm230Relay(Sdm230):
    """Measures behind the contactor, fed from ahead of it: an open one reads 0 V, not silence."""

    has_switch: ClassVar = True

    def __init__(self, entry: MeterEntry, board: RelayBoard, channel: int, now_s: float) -> None:
        super().__init__(entry, board.channels[channel], now_s)
        self._board = board
        self._channel = channel

    def switching_writes(self) -> Iterable[Write]:
        """The writes to its channel of the relay board."""
        return (it for it in self._board.writes if it.touches(self._channel))


def _block(address: int, values: Sequence[int]) -> dict[int, int]:
    return dict(enumerate(values, address))


def _halves(value: int) -> tuple[int, int]:
    return value >> 16 & 0xFFFF, value & 0xFFFF


def _hundredths(value: float) -> tuple[int, int]:
    return _halves(round(value * 100))
