"""What a profile makes of one meter: the requests to send, and what the answers mean.

Owns the decoding of registers. Must never send: the line does. All functions are pure.
"""

import math
import struct
from collections.abc import Sequence
from typing import Final, assert_never

from gateway.bus.frame import Read, Write
from gateway.bus.profile import At, Coding, Identity, Measure, Number, Profile, Side, WordOrder
from gateway.core.model import Meter, Reading, Serial, SupplyState, Value

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


def identity_read(profile: Profile, meter: Meter) -> Read | None:
    """The request for the serial number; None for a type that has none."""
    identity = profile.identity
    if identity is None:
        return None
    return Read(
        unit=meter.unit,
        function=identity.function,
        address=identity.address,
        count=identity.count,
    )


def state_read(profile: Profile, meter: Meter) -> Read | None:
    """The request for the switch's position; None where it cannot be read."""
    state = profile.state
    if state is None or state.address is None:
        return None
    unit, channel = _where(state.at, meter)
    return Read(unit=unit, function=state.function, address=state.address + channel, count=1)


def measure_reads(profile: Profile, meter: Meter) -> tuple[MeasureRead, ...]:
    """The requests for voltage and current: one, where their registers are neighbours."""
    voltage, current = profile.voltage, profile.current
    if voltage is not None and current is not None and _next_to(voltage, current):
        count = voltage.type.registers + current.type.registers
        request = _measure_read(voltage, meter, count)
        return (MeasureRead(request=request, voltage_at=0, current_at=voltage.type.registers),)
    reads: list[MeasureRead] = []
    if voltage is not None:
        request = _measure_read(voltage, meter, voltage.type.registers)
        reads.append(MeasureRead(request=request, voltage_at=0))
    if current is not None:
        request = _measure_read(current, meter, current.type.registers)
        reads.append(MeasureRead(request=request, current_at=0))
    return tuple(reads)


def load_voltage_read(profile: Profile, meter: Meter) -> MeasureRead | None:
    """The request that shows a back-feed; None where the meter measures on the supply side."""
    if profile.voltage is None or profile.voltage.side is not Side.LOAD:
        return None
    return measure_reads(profile, meter)[0]


def close_writes(profile: Profile, meter: Meter) -> tuple[Write, ...]:
    """All writes that this meter may ever be sent: those of its close; none if it may not."""
    if profile.close is None or not profile.ability.switches:
        return ()
    unit, channel = _where(profile.close.at, meter)
    return tuple(
        Write(
            unit=unit,
            function=write.function,
            address=write.address + channel,
            values=write.values,
        )
        for write in profile.close.writes
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


def quantities_of(profile: Profile, read: MeasureRead, registers: Sequence[int]) -> Quantities:
    """The measured values in an answer."""
    return Quantities(
        voltage_mv=_milli(profile.voltage, registers, read.voltage_at),
        current_ma=_milli(profile.current, registers, read.current_at),
    )


def reading_of(
    profile: Profile,
    state: SupplyState,
    mono_ms: int,
    measured: Quantities,
    *,
    serial: Serial | None = None,
) -> Reading:
    """What was read, in core's words; the voltage on the side where this type measures it."""
    load = profile.voltage is not None and profile.voltage.side is Side.LOAD
    return Reading(
        state=state,
        mono_ms=mono_ms,
        serial=serial,
        supply_mv=None if load else measured.voltage_mv,
        load_mv=measured.voltage_mv if load else None,
        current_ma=measured.current_ma,
    )


def _where(at: At, meter: Meter) -> tuple[int, int]:
    match at:
        case At.METER:
            return meter.unit, 0
        case At.SWITCH_CHANNEL:
            # check_site: a site with such a profile gives both.
            assert meter.switch_unit is not None
            assert meter.switch_channel is not None
            return meter.switch_unit, meter.switch_channel
        case _:
            assert_never(at)


def _next_to(one: Measure, other: Measure) -> bool:
    return one.function == other.function and one.address + one.type.registers == other.address


def _measure_read(measure: Measure, meter: Meter, count: int) -> Read:
    return Read(unit=meter.unit, function=measure.function, address=measure.address, count=count)


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
