"""What a profile makes of one meter: the requests to send, and what the answers mean.

Owns the decoding of registers. Must never send: the line does. All functions are pure.
"""

import math
import struct
from collections.abc import Sequence
from typing import Final, assert_never

from gateway.bus.blocks import (
    At,
    Coding,
    Identity,
    Instruction,
    Measure,
    Number,
    Side,
    WordOrder,
)
from gateway.bus.device import Device
from gateway.bus.frame import Read, Write
from gateway.bus.profile import Profile
from gateway.core.model import Cause, Reading, Serial, SupplyState, Value

MILLI: Final = 1000


class Quantities(Value):
    """What was measured; None where it was not."""

    voltage_mv: int | None = None
    current_ma: int | None = None

    def with_newer(self, newer: "Quantities") -> "Quantities":
        """These, overtaken by what was measured anew."""
        voltage_mv = self.voltage_mv if newer.voltage_mv is None else newer.voltage_mv
        current_ma = self.current_ma if newer.current_ma is None else newer.current_ma
        return Quantities(voltage_mv=voltage_mv, current_ma=current_ma)


class MeasureRead(Value):
    """One request for measured values, and at which register of its answer each one begins."""

    request: Read
    voltage_at: int | None = None
    current_at: int | None = None


def identity_read(device: Device) -> Read | None:
    """The request for the serial number; None for a type that has none."""
    identity = device.profile.identity
    if identity is None:
        return None
    return Read(
        unit=device.unit,
        function=identity.function,
        address=identity.address,
        count=identity.count,
    )


def state_read(device: Device) -> Read | None:
    """The request for the switch's position; None where it cannot be read, or must not matter."""
    state = device.profile.state
    if state is None or state.address is None or device.measures_only:
        return None
    unit, channel = _where(state.at, device)
    return Read(unit=unit, function=state.function, address=state.address + channel, count=1)


def measure_reads(device: Device) -> tuple[MeasureRead, ...]:
    """The requests for voltage and current: one, where their registers are neighbours."""
    voltage, current = device.profile.voltage, device.profile.current
    if voltage is not None and current is not None and _next_to(voltage, current):
        count = voltage.type.registers + current.type.registers
        request = _measure_read(voltage, device, count)
        return (MeasureRead(request=request, voltage_at=0, current_at=voltage.type.registers),)
    reads: list[MeasureRead] = []
    if voltage is not None:
        request = _measure_read(voltage, device, voltage.type.registers)
        reads.append(MeasureRead(request=request, voltage_at=0))
    if current is not None:
        request = _measure_read(current, device, current.type.registers)
        reads.append(MeasureRead(request=request, current_at=0))
    return tuple(reads)


def load_voltage_read(device: Device) -> MeasureRead | None:
    """The request that shows a back-feed; None where the meter measures on the supply side."""
    return measure_reads(device)[0] if _measures_behind(device) else None


def cause_read(device: Device) -> Read | None:
    """The request for what opened the switch; None for a type that does not say."""
    cause = device.profile.cause
    if cause is None:
        return None
    return Read(unit=device.unit, function=cause.function, address=cause.address, count=1)


def writes_of(device: Device, instruction: Instruction) -> tuple[Write, ...]:
    """The writes of an instruction to one device."""
    unit, channel = _where(instruction.at, device)
    return tuple(
        Write(
            unit=unit,
            function=write.function,
            address=write.address + channel,
            values=write.values,
        )
        for write in instruction.writes
    )


def writable(device: Device) -> frozenset[Write]:
    """All writes that this device may ever be sent; a check meter is sent none."""
    if device.measures_only:
        return frozenset()
    return frozenset(
        write for block in device.profile.writable for write in writes_of(device, block)
    )


def serial_of(identity: Identity, registers: Sequence[int]) -> Serial | None:
    """The serial number as text; None where the registers hold none."""
    held = struct.pack(f">{len(registers)}H", *registers)
    match identity.coding:
        case Coding.BCD:
            digits = held.hex()
            return Serial(digits) if digits.isdecimal() else None
        case Coding.U32:
            return Serial(str(int.from_bytes(held, "big")))
        case Coding.ASCII:
            text = held.rstrip(b"\0 ").decode("ascii", "replace")
            return Serial(text) if text.isprintable() and text.isascii() and text else None
        case _:
            assert_never(identity.coding)


def state_of(profile: Profile, value: int) -> SupplyState:
    """The supply state that a register or bit shows."""
    state = profile.state
    assert state is not None
    named = {
        state.opened: SupplyState.DISCONNECTED,
        state.closed: SupplyState.CONNECTED,
    }
    if state.ready is not None:
        named[state.ready] = SupplyState.READY_FOR_RECONNECTION
    return named.get(value & state.mask, SupplyState.UNKNOWN)


def cause_of(profile: Profile, value: int) -> Cause | None:
    """What a register or bit says opened the switch; None where it says nothing that is known."""
    assert profile.cause is not None
    return profile.cause.named.get(value & profile.cause.mask)


def quantities_of(profile: Profile, read: MeasureRead, registers: Sequence[int]) -> Quantities:
    """The measured values in an answer."""
    return Quantities(
        voltage_mv=_milli(profile.voltage, registers, read.voltage_at),
        current_ma=_milli(profile.current, registers, read.current_at),
    )


def reading_of(
    device: Device,
    state: SupplyState,
    mono_ms: int,
    measured: Quantities,
    *,
    serial: Serial | None = None,
    cause: Cause | None = None,
) -> Reading:
    """What was read, in core's words; the voltage on the side where this type measures it."""
    load = _measures_behind(device)
    return Reading(
        state=state,
        mono_ms=mono_ms,
        serial=serial,
        supply_mv=None if load else measured.voltage_mv,
        load_mv=measured.voltage_mv if load else None,
        current_ma=measured.current_ma,
        cause=cause,
    )


def _measures_behind(device: Device) -> bool:
    # Before a check meter there is no switch: what it measures is the supply.
    voltage = device.profile.voltage
    return voltage is not None and voltage.side is Side.LOAD and not device.measures_only


def _where(at: At, device: Device) -> tuple[int, int]:
    match at:
        case At.METER:
            return device.unit, 0
        case At.SWITCH_CHANNEL:
            # device_of: one that has not both is no device.
            assert device.switch_unit is not None
            assert device.switch_channel is not None
            return device.switch_unit, device.switch_channel
        case _:
            assert_never(at)


def _next_to(one: Measure, other: Measure) -> bool:
    return one.function == other.function and one.address + one.type.registers == other.address


def _measure_read(measure: Measure, device: Device, count: int) -> Read:
    return Read(unit=device.unit, function=measure.function, address=measure.address, count=count)


def _milli(measure: Measure | None, registers: Sequence[int], at: int | None) -> int | None:
    if measure is None or at is None:
        return None
    value = _number(measure, registers[at : at + measure.type.registers]) * measure.scale
    return round(value * MILLI) if math.isfinite(value) else None


def _number(measure: Measure, registers: Sequence[int]) -> float:
    ordered = registers if measure.word_order is WordOrder.BIG else registers[::-1]
    held = struct.pack(f">{len(ordered)}H", *ordered)
    match measure.type:
        case Number.U16 | Number.U32:
            return int.from_bytes(held, "big")
        case Number.S16 | Number.S32:
            return int.from_bytes(held, "big", signed=True)
        case Number.FLOAT32:
            (value,) = struct.unpack(">f", held)
            return float(value)
        case _:
            assert_never(measure.type)
