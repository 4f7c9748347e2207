"""The simulated meters at work: what they hold at an instant, and what a write does to them.

Owns the behaviour that is no register map: prepay logic, relays, a serial number that can be
written. Must never hold an address that `maps` could; the ones here are those that are obeyed.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from gateway.bench.boards import RelayBoard
from gateway.bench.house import FREQUENCY_HZ, Home, PickUp, Switch
from gateway.bench.maps import MAPS, Quantity, SerialCoding
from gateway.bench.meters import LineError, MeterEntry, MeterTruth, Position
from gateway.bench.slave import COIL_TOGGLE, ExceptionCode, Function, ModbusSlave, Write, refuse


class Meter(ModbusSlave):
    """What the types share: a map, a serial number, a switch, a home."""

    has_switch: ClassVar[bool] = True

    def __init__(self, entry: MeterEntry, switch: Switch, now_s: float) -> None:
        super().__init__(entry.unit, entry.turnaround_ms / 1000)
        self.entry = entry
        self.map = MAPS[entry.type]
        self.functions = self.map.functions
        self.switch = switch
        self.home = Home(
            switch,
            name=entry.serial,
            load_w=entry.load_w,
            energy_kwh=entry.energy_kwh,
            begun_s=now_s,
            pick_up=PickUp.scaled(entry.pick_up, entry.pick_up_time),
        )
        self.answers_serial: str
        self.swap(entry.serial)

    def swap(self, serial: str) -> None:
        """Another meter now stands here. `LineError` if none of this type can have that number."""
        coding = None if self.map.serial is None else self.map.serial.coding
        digits = serial if serial.isascii() and serial.isdecimal() else ""
        if coding is SerialCoding.BCD12 and not 1 <= len(digits) <= 12:
            raise LineError(f"serial {serial}: one of {self.entry.type} has 1 to 12 digits")
        if coding is SerialCoding.U32 and not (digits and int(digits) < 2**32):
            raise LineError(
                f"serial {serial}: one of {self.entry.type} is a number below 4294967296"
            )
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
            lies=self.switch.lies,
            backfeed_v=self.home.backfeed_v,
            closed=self.switch.closed(now_s),
            own_logic=self.own_logic(),
            moves=self.switch.wear(now_s),
            moved=self.switch.moves(now_s),
            power_w=round(self.home.power_w(now_s), 1),
            energy_kwh=round(self.home.energy_kwh(now_s), 6),
            writes=tuple(self.switching_writes()),
        )

    def holding(self, now_s: float) -> Mapping[int, int]:
        """The serial number, and what is measured where the type shows it there."""
        own = self._serial() | self._obeyed(now_s)
        if self.map.read_by is not Function.READ_HOLDING:
            return own
        return self.map.measured(self.measured(now_s)) | own

    def input_registers(self, now_s: float) -> Mapping[int, int]:
        """What is measured."""
        return self.map.measured(self.measured(now_s))

    def voltage_v(self, now_s: float) -> float:
        """The voltage where the meter measures: ahead of its own switch."""
        return self.home.supply_v(now_s)

    def measured(self, now_s: float) -> Mapping[Quantity, float]:
        """Every quantity; the load is resistive, and the phases share it evenly."""
        voltage_v, power_w = self.voltage_v(now_s), self.home.power_w(now_s)
        energy_kwh = self.home.energy_kwh(now_s)
        return {
            Quantity.VOLTAGE_V: voltage_v,
            Quantity.CURRENT_A: self.home.current_a(now_s) / self.map.phases,
            Quantity.POWER_W: power_w,
            Quantity.REACTIVE_VAR: 0.0,
            Quantity.APPARENT_VA: power_w,
            Quantity.POWER_FACTOR: 1.0 if power_w else 0.0,
            Quantity.FREQUENCY_HZ: FREQUENCY_HZ if voltage_v else 0.0,
            Quantity.TOTAL_KWH: energy_kwh,
            Quantity.IMPORT_KWH: energy_kwh,
            Quantity.EXPORT_KWH: 0.0,
        }

    def _serial(self) -> dict[int, int]:
        place = self.map.serial
        if place is None:
            return {}
        if place.coding is SerialCoding.BCD12:
            return _block(place.address, struct.unpack(">3H", bytes.fromhex(self._digits())))
        number = int(self.answers_serial)
        return _block(place.address, (number >> 16, number & 0xFFFF))

    def _digits(self) -> str:
        return self.answers_serial.zfill(12)

    def _obeyed(self, _: float) -> dict[int, int]:
        """Holding registers that are obeyed when they are written."""
        return {}


class Acrel(Meter):
    """Prepaid: closes and opens by its own credit, unless a command forces it, then for ever."""

    COMMAND: ClassVar = 0x0057
    CLOSED_BITS: ClassVar = (13, 14, 15)
    """L1, L2 and L3: bits 5, 6 and 7 of the status word's high byte."""

    def __init__(self, entry: MeterEntry, switch: Switch, now_s: float) -> None:
        super().__init__(entry, switch, now_s)
        self.credit = entry.credit
        closed = entry.state is Position.CLOSED
        self._command = (0, 0) if closed is entry.credit else (1, int(not closed))

    def obey_registers(self, address: int, values: Sequence[int], now_s: float) -> None:
        """A command, or a new identity."""
        assert self.map.serial is not None
        if (address, len(values)) == (self.COMMAND, 2):
            self._take_command(values[0], values[1], now_s)
        elif (address, len(values)) == (self.map.serial.address, 3):
            digits = struct.pack(">3H", *values).hex()
            if not digits.isdecimal():
                refuse(ExceptionCode.ILLEGAL_VALUE)
            self.answers_serial = digits
        else:
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

    def _obeyed(self, now_s: float) -> dict[int, int]:
        bits = self.CLOSED_BITS[: self.map.phases] if self.switch.shown(now_s) else ()
        status = sum(1 << bit for bit in bits)
        return {**_block(self.COMMAND, self._command), self.entry.status_address: status}


class Dds238(Meter):
    """Has a relay and no number: which one answers must be known otherwise."""

    ENERGY_TOTAL: ClassVar = 0x0000
    RELAY: ClassVar = 0x001A

    def obey_registers(self, address: int, values: Sequence[int], now_s: float) -> None:
        """Switch the relay, or lose the energy counted."""
        match address, tuple(values):
            case self.RELAY, ((0 | 1) as closed,):
                self.switch.command(bool(closed), now_s)
            case self.ENERGY_TOTAL, (0, 0):
                self.home.preset_energy(0.0, now_s)
            case (self.RELAY, (_,)) | (self.ENERGY_TOTAL, (_, _)):
                refuse(ExceptionCode.ILLEGAL_VALUE)
            case _:
                refuse(ExceptionCode.ILLEGAL_ADDRESS)

    def _obeyed(self, _: float) -> dict[int, int]:
        """The relay register gives back the command, not the contact."""
        return {self.RELAY: int(self.switch.commanded)}


class Ev300(Meter):
    """Two relay outputs; the first drives the home's contactor, whose own contact is input 1."""

    ENERGY: ClassVar = 0x010C
    INPUTS: ClassVar = 4

    def __init__(self, entry: MeterEntry, switch: Switch, now_s: float) -> None:
        super().__init__(entry, switch, now_s)
        self._relays = (switch, Switch(closed=False))

    def coils(self, _: float) -> Mapping[int, bool]:
        """What the relays were told."""
        return {at: it.commanded for at, it in enumerate(self._relays)}

    def inputs(self, now_s: float) -> Mapping[int, bool]:
        """The contactor's auxiliary contact, and three inputs to which nothing is wired."""
        return {**dict.fromkeys(range(self.INPUTS), False), 0: self.switch.shown(now_s)}

    def obey_coils(self, address: int, values: Sequence[int], now_s: float) -> None:
        """Drive one relay."""
        if address >= len(self._relays):
            refuse(ExceptionCode.ILLEGAL_ADDRESS)
        if values[0] == COIL_TOGGLE:
            refuse(ExceptionCode.ILLEGAL_VALUE)
        self._relays[address].command(bool(values[0]), now_s)

    def obey_registers(self, address: int, values: Sequence[int], now_s: float) -> None:
        """Preset the energy."""
        if (address, len(values)) != (self.ENERGY, 2):
            refuse(ExceptionCode.ILLEGAL_ADDRESS)
        self.home.preset_energy((values[0] << 16 | values[1]) / 10, now_s)


class Measuring(Meter):
    """Measures, and has no switch of its own."""

    has_switch: ClassVar[bool] = False

    def voltage_v(self, now_s: float) -> float:
        """The voltage of the home: the supply, where no contactor interrupts it."""
        return self.home.load_v(now_s)

    def obey_registers(self, _: int, __: Sequence[int], ___: float) -> None:
        """What takes a write at all is protected: it says that it has obeyed, and has not."""


class BehindContactor(Measuring):
    """Measures behind the contactor, fed from ahead of it: an open one reads 0 V, not silence."""

    has_switch: ClassVar[bool] = True

    def __init__(self, entry: MeterEntry, board: RelayBoard, channel: int, now_s: float) -> None:
        super().__init__(entry, board.channels[channel], now_s)
        self._board = board
        self._coil = board.map.coils_from + channel

    def switching_writes(self) -> Iterable[Write]:
        """The writes to its channel of the relay board."""
        return (it for it in self._board.writes if it.concerns_coil(self._coil))


def _block(address: int, values: Sequence[int]) -> dict[int, int]:
    return dict(enumerate(values, address))
