"""Meters whose every value tells whose it is, what was asked, and at which request.

An answer that reached the wrong request shows in its values: a register holds a code of unit,
address and the request's serial number. Relays are what they are on real boards: good, stuck, or
answering with what was written whatever the contact does.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import ClassVar, Final, TypeVar

from gateway.bench.slave import Function, ModbusSlave

FC_WRITE_REGISTER: Final = 6
CHANNELS: Final = 8
"""Coils and inputs below are relays; those above hold codes."""
SPACE: Final = 0x10000

T = TypeVar("T", int, bool)


class Relay(StrEnum):
    """What becomes of a written coil."""

    GOOD = "GOOD"
    STUCK = "STUCK"
    """The write is acknowledged; coil and contact stay."""
    LYING = "LYING"
    """The coil reads as written; the contact stays."""


def code(unit: int, address: int, serial: int) -> int:
    """What a register holds at a request; another one at each of 65536 requests in a row."""
    return (serial * 40_503 + unit * 257 + address * 7_919) % SPACE


def code_bit(unit: int, address: int, serial: int) -> bool:
    """What a bit above the relays holds: 16 in a row spell a code."""
    return bool(code(unit, 0, serial) >> (address - CHANNELS) % 16 & 1)


class CodedMeter(ModbusSlave):
    """A unit with relays and registers. `serial` is the request that it answers at present."""

    functions: ClassVar[frozenset[Function]] = frozenset(Function)

    def __init__(self, unit: int, relay: Relay = Relay.GOOD) -> None:
        super().__init__(unit, turnaround_s=0.0)
        self.relay = relay
        self.serial = 0
        self.took = 0
        """The newest request whose write was carried out, as far as its relay lets it."""
        self.contacts = [False] * CHANNELS
        self._coils = [False] * CHANNELS

    def respond(self, request: bytes, now_s: float) -> bytes | None:
        """The answer to one PDU; function 06 is known too."""
        if request[0] != FC_WRITE_REGISTER or self.dead:
            return super().respond(request, now_s)
        self.took = self.serial
        return request

    def coils(self, _now_s: float) -> Mapping[int, bool]:
        """As written, where the relay does not stick; then codes."""
        return _Bits(self, self._coils)

    def inputs(self, _now_s: float) -> Mapping[int, bool]:
        """The contacts as they are; then codes."""
        return _Bits(self, self.contacts)

    def holding(self, _now_s: float) -> Mapping[int, int]:
        """Codes."""
        return _Registers(self)

    def input_registers(self, _now_s: float) -> Mapping[int, int]:
        """Codes."""
        return _Registers(self)

    def obey_coils(self, address: int, values: Sequence[int], _now_s: float) -> None:
        """Take them as the relays can."""
        self.took = self.serial
        for channel, value in enumerate(values, start=address):
            if self.relay is not Relay.STUCK:
                self._coils[channel] = bool(value)
            if self.relay is Relay.GOOD:
                self.contacts[channel] = bool(value)

    def obey_registers(self, _address: int, _values: Sequence[int], _now_s: float) -> None:
        """Note that it came."""
        self.took = self.serial


class _Held(Mapping[int, T]):
    def __init__(self, meter: CodedMeter) -> None:
        self._meter = meter

    def __contains__(self, address: object) -> bool:
        return True

    def __iter__(self) -> Iterator[int]:
        return iter(range(SPACE))

    def __len__(self) -> int:
        return SPACE


class _Registers(_Held[int]):
    def __getitem__(self, address: int) -> int:
        return code(self._meter.unit, address, self._meter.serial)


class _Bits(_Held[bool]):
    def __init__(self, meter: CodedMeter, relays: Sequence[bool]) -> None:
        super().__init__(meter)
        self._relays = relays

    def __getitem__(self, address: int) -> bool:
        if address < CHANNELS:
            return self._relays[address]
        return code_bit(self._meter.unit, address, self._meter.serial)


def values_told(pdu: bytes, count: int) -> tuple[int, ...]:
    """The registers or bits in an answer's PDU; empty where it is no read's."""
    match pdu[0]:
        case Function.READ_COILS | Function.READ_INPUTS:
            return tuple(pdu[2 + place // 8] >> place % 8 & 1 for place in range(count))
        case Function.READ_HOLDING | Function.READ_INPUT_REGISTERS:
            return struct.unpack_from(f">{count}H", pdu, 2)
        case _:
            return ()
