"""What a profile makes of one meter: the requests to send, and what the answers mean.

Owns the decoding of registers. Must never send: the line does. All functions are pure.
"""

import math
import struct
from collections.abc import Iterable, Sequence
from typing import Final, assert_never

from msgspec.structs import asdict, replace

from gateway.bus.blocks import (
    At,
    Coding,
    Identity,
    Instruction,
    Measure,
    Number,
    Quantity,
    Side,
    WordOrder,
)
from gateway.bus.device import Device
from gateway.bus.frame import Function, Read, Write
from gateway.bus.profile import Profile
from gateway.bus.rtu import Reply
from gateway.core.model import Cause, Reading, Serial, SupplyState, Value

THOUSANDTHS: Final = 1000
SECOND_SIGN: Final = (Quantity.VOLTAGE, Quantity.CURRENT)
"""What shows whether a switch conducts, and how a transformer fares."""


class Quantities(Value):
    """What was measured; None where it was not."""

    mono_ms: int | None = None
    """When (boot clock) the newest of it was heard."""
    voltage_mv: int | None = None
    current_ma: int | None = None
    power_w: int | None = None
    """Negative where it flows back to the supply."""
    energy_wh: int | None = None

    def with_newer(self, newer: "Quantities") -> "Quantities":
        """These, overtaken by what was measured anew."""
        given = {name: value for name, value in asdict(newer).items() if value is not None}
        return replace(self, **given)


class Placed(Value):
    """At which register of an answer a quantity begins."""

    quantity: Quantity
    at: int


class MeasureRead(Value):
    """One request for measured values, and what stands where in its answer."""

    request: Read
    placed: tuple[Placed, ...]


def identity_read(device: Device) -> Read | None:
    """The request for the serial number; None for a type that has none."""
    identity = device.profile.identity
    if identity is None:
        return None
    return _read(At.METER, device, identity.function, identity.address, identity.count)


def state_read(device: Device) -> Read | None:
    """The request for the switch's position; None where it cannot be read, or must not matter."""
    state = device.profile.state
    if state is None or state.address is None or device.measures_only:
        return None
    return _read(state.at, device, state.function, state.address)


def measure_reads(device: Device) -> tuple[MeasureRead, ...]:
    """The requests for voltage and current: one, where their registers are neighbours."""
    return _reads(device, SECOND_SIGN)


def value_reads(device: Device) -> tuple[MeasureRead, ...]:
    """The requests for all that this type measures, neighbours together."""
    return _reads(device, Quantity)


def apart(device: Device, read: MeasureRead) -> tuple[MeasureRead, ...]:
    """The same request, each value by itself; nothing for one that asks for a single value."""
    if len(read.placed) == 1:
        return ()
    measures = device.profile.measures
    return tuple(
        _measure_read([(measures[placed.quantity], placed.quantity)], device)
        for placed in read.placed
    )


def load_voltage_read(device: Device) -> MeasureRead | None:
    """The request that shows a back-feed; None where the meter measures on the supply side."""
    return _reads(device, (Quantity.VOLTAGE,))[0] if _measures_behind(device) else None


def cause_read(device: Device) -> Read | None:
    """The request for what opened the switch; None for a type that does not say."""
    cause = device.profile.cause
    if cause is None:
        return None
    return _read(At.METER, device, cause.function, cause.address)


def writes_of(device: Device, instruction: Instruction) -> tuple[Write, ...]:
    """The writes of an instruction to one device."""
    unit, first = _where(instruction.at, device)
    return tuple(
        Write(
            unit=unit,
            function=write.function,
            address=first + write.address,
            values=write.values,
        )
        for write in instruction.writes
    )


def writable(device: Device) -> frozenset[Write]:
    """All writes that this device may ever be sent; a check meter is sent none."""
    if device.measures_only:
        return frozenset()
    return frozenset(
        write
        for block in device.profile.writable(trusting=device.trusting)
        for write in writes_of(device, block)
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
    seen = {
        placed.quantity: _value(profile.measures[placed.quantity], registers[placed.at :])
        for placed in read.placed
    }
    return Quantities(
        voltage_mv=_whole(seen.get(Quantity.VOLTAGE), THOUSANDTHS),
        current_ma=_whole(seen.get(Quantity.CURRENT), THOUSANDTHS),
        power_w=_whole(seen.get(Quantity.POWER)),
        energy_wh=_whole(seen.get(Quantity.ENERGY), THOUSANDTHS),
    )


def measured_in(device: Device, read: MeasureRead, reply: Reply) -> Quantities:
    """The measured values in a device's reply, and when they were heard."""
    found = quantities_of(device.profile, read, reply.values)
    return replace(found, mono_ms=reply.heard_ms)


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
        power_w=measured.power_w,
        energy_wh=measured.energy_wh,
        values_ms=measured.mono_ms,
        cause=cause,
    )


def _measures_behind(device: Device) -> bool:
    # Before a check meter there is no switch: what it measures is the supply.
    voltage = device.profile.voltage
    return voltage is not None and voltage.side is Side.LOAD and not device.measures_only


def _reads(device: Device, wanted: Iterable[Quantity]) -> tuple[MeasureRead, ...]:
    measures = device.profile.measures
    found = [(measures[quantity], quantity) for quantity in wanted if quantity in measures]
    runs: list[list[tuple[Measure, Quantity]]] = []
    for measure, quantity in sorted(found, key=lambda one: (one[0].function, one[0].address)):
        if runs and _next_to(runs[-1][-1][0], measure):
            runs[-1].append((measure, quantity))
        else:
            runs.append([(measure, quantity)])
    return tuple(_measure_read(run, device) for run in runs)


def _next_to(one: Measure, other: Measure) -> bool:
    return one.function == other.function and one.address + one.type.registers == other.address


def _measure_read(run: Sequence[tuple[Measure, Quantity]], device: Device) -> MeasureRead:
    (first, _), (last, _) = run[0], run[-1]
    count = last.address + last.type.registers - first.address
    return MeasureRead(
        request=_read(At.METER, device, first.function, first.address, count),
        placed=tuple(
            Placed(quantity=quantity, at=measure.address - first.address)
            for measure, quantity in run
        ),
    )


def _read(at: At, device: Device, function: Function, address: int, count: int = 1) -> Read:
    unit, first = _where(at, device)
    return Read(unit=unit, function=function, address=first + address, count=count)


def _where(at: At, device: Device) -> tuple[int, int]:
    """Who is asked, and what is added to an address of the profile for the line."""
    base = device.profile.address_base
    match at:
        case At.METER:
            return device.unit, -base
        case At.SWITCH_CHANNEL:
            # device_of: one that has not both is no device.
            assert device.switch_unit is not None
            assert device.switch_channel is not None
            return device.switch_unit, device.switch_channel - base
        case _:
            assert_never(at)


def _whole(value: float | None, times: int = 1) -> int | None:
    return None if value is None or not math.isfinite(value) else round(value * times)


def _value(measure: Measure, registers: Sequence[int]) -> float:
    held = registers[: measure.type.registers]
    ordered = held if measure.word_order is WordOrder.BIG else held[::-1]
    packed = struct.pack(f">{len(ordered)}H", *ordered)
    match measure.type:
        case Number.U16 | Number.U32 | Number.U64:
            number: float = int.from_bytes(packed, "big")
        case Number.S16 | Number.S32 | Number.S64:
            number = int.from_bytes(packed, "big", signed=True)
        case Number.FLOAT32:
            (number,) = struct.unpack(">f", packed)
        case _:
            assert_never(measure.type)
    return number * measure.scale
