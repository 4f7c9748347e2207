"""The slave's half of Modbus: a PDU in, a PDU out, an exception where the meter has nothing to say.

Owns the parsing of requests and the shape of answers. Must never share code with the bus room, nor
know what a register means. MODBUS Application Protocol V1.1b3, section 6 (function codes 01 to 06,
15 and 16) and section 7 (exceptions).
"""

import struct
from collections import deque
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final, Never, assert_never

from gateway.bench.faults import Faults
from gateway.bench.house import boot_ms
from gateway.core.model import Value

BITS_MAX: Final = 2000
BITS_WRITTEN_MAX: Final = 1968
REGISTERS_MAX: Final = 125
REGISTERS_WRITTEN_MAX: Final = 123
COIL_ON: Final = 0xFF00
COIL_OFF: Final = 0x0000
COIL_TOGGLE: Final = 0x5500
"""Not in the standard: cheap relay boards turn the coil over."""
WRITES_KEPT_MAX: Final = 1000


class Function(IntEnum):
    """The function codes that some simulated device knows."""

    READ_COILS = 1
    READ_INPUTS = 2
    READ_HOLDING = 3
    READ_INPUT_REGISTERS = 4
    WRITE_COIL = 5
    WRITE_REGISTER = 6
    WRITE_COILS = 15
    WRITE_REGISTERS = 16


WRITES_REGISTERS: Final = frozenset({Function.WRITE_REGISTER, Function.WRITE_REGISTERS})


class ExceptionCode(IntEnum):
    """Why a slave refuses."""

    ILLEGAL_FUNCTION = 1
    ILLEGAL_ADDRESS = 2
    ILLEGAL_VALUE = 3
    DEVICE_FAILURE = 4
    BUSY = 6


class RefusedError(Exception):
    """The slave answers with an exception."""

    def __init__(self, code: ExceptionCode) -> None:
        super().__init__(code.name)
        self.code = code


class Write(Value):
    """One write that reached a slave, whether or not it obeyed."""

    mono_ms: int
    unit: int
    function: int
    address: int
    values: tuple[int, ...]
    """Registers; of coils 0 or 1, and 0x5500 for a toggle."""
    refused: int | None = None
    """The exception code it was answered with."""

    def concerns_coil(self, coil: int) -> bool:
        """Whether it wrote this coil."""
        first, behind = self.address, self.address + len(self.values)
        return self.function not in WRITES_REGISTERS and first <= coil < behind


class ModbusSlave:
    """One unit address. Subclasses tell what it holds and obeys, for each of its `functions`."""

    functions: frozenset[Function]

    def __init__(self, unit: int, turnaround_s: float) -> None:
        self.unit = unit
        self.turnaround_s = turnaround_s
        """From the end of the request to the first character of the answer."""
        self.dead = False
        self.faults = Faults()
        """What befalls its answers."""
        self.writes: deque[Write] = deque(maxlen=WRITES_KEPT_MAX)

    def respond(self, request: bytes, now_s: float) -> bytes | None:
        """The answer to one PDU at an instant of the boot clock; None: silence."""
        if self.dead:
            return None
        try:
            return self._answer(request, now_s)
        except RefusedError as refused:
            return bytes((request[0] | 0x80, refused.code))

    def coils(self, now_s: float) -> Mapping[int, bool]:
        """Coils by address."""
        raise NotImplementedError

    def inputs(self, now_s: float) -> Mapping[int, bool]:
        """Discrete inputs by address."""
        raise NotImplementedError

    def holding(self, now_s: float) -> Mapping[int, int]:
        """Holding registers by address."""
        raise NotImplementedError

    def input_registers(self, now_s: float) -> Mapping[int, int]:
        """Input registers by address."""
        raise NotImplementedError

    def obey_coils(self, address: int, values: Sequence[int], now_s: float) -> None:
        """Take a write of coils, or raise `RefusedError`."""
        raise NotImplementedError

    def obey_registers(self, address: int, values: Sequence[int], now_s: float) -> None:
        """Take a write of registers, or raise `RefusedError`."""
        raise NotImplementedError

    def _answer(self, request: bytes, now_s: float) -> bytes:
        if request[0] not in self.functions:
            refuse(ExceptionCode.ILLEGAL_FUNCTION)
        if len(request) < 5:
            refuse(ExceptionCode.ILLEGAL_VALUE)
        function = Function(request[0])
        match function:
            case Function.READ_COILS:
                return _bits(request, self.coils(now_s))
            case Function.READ_INPUTS:
                return _bits(request, self.inputs(now_s))
            case Function.READ_HOLDING:
                return _registers(request, self.holding(now_s))
            case Function.READ_INPUT_REGISTERS:
                return _registers(request, self.input_registers(now_s))
            case Function.WRITE_COIL:
                self._obey(request, _coil_written(request), now_s)
            case Function.WRITE_COILS:
                self._obey(request, _coils_written(request), now_s)
            case Function.WRITE_REGISTER:
                self._obey(request, _register_written(request), now_s)
            case Function.WRITE_REGISTERS:
                self._obey(request, _registers_written(request), now_s)
            case _:
                assert_never(function)
        return request[:5]

    def _obey(self, request: bytes, values: Sequence[int], now_s: float) -> None:
        function, address = struct.unpack_from(">BH", request)
        take = self.obey_registers if function in WRITES_REGISTERS else self.obey_coils
        refused: int | None = None
        try:
            take(address, values, now_s)
        except RefusedError as reason:
            refused = reason.code
            raise
        finally:
            self.writes.append(
                Write(
                    mono_ms=boot_ms(now_s),
                    unit=self.unit,
                    function=function,
                    address=address,
                    values=tuple(values),
                    refused=refused,
                )
            )


def refuse(code: ExceptionCode) -> Never:
    """Answer with this exception."""
    raise RefusedError(code)


def _bits(request: bytes, held: Mapping[int, bool]) -> bytes:
    bits = [held[address] for address in _addresses(request, held, BITS_MAX)]
    packed = bytearray((len(bits) + 7) // 8)
    for place, bit in enumerate(bits):
        packed[place // 8] |= bit << place % 8
    return bytes((request[0], len(packed))) + packed


def _registers(request: bytes, held: Mapping[int, int]) -> bytes:
    words = [held[address] for address in _addresses(request, held, REGISTERS_MAX)]
    return struct.pack(f">BB{len(words)}H", request[0], 2 * len(words), *words)


def _addresses(request: bytes, held: Mapping[int, int], count_max: int) -> range:
    address, count = struct.unpack_from(">HH", request, 1)
    if len(request) != 5 or not 1 <= count <= count_max:
        refuse(ExceptionCode.ILLEGAL_VALUE)
    addresses = range(address, address + count)
    if not all(it in held for it in addresses):
        refuse(ExceptionCode.ILLEGAL_ADDRESS)
    return addresses


def _coil_written(request: bytes) -> tuple[int, ...]:
    (value,) = struct.unpack_from(">H", request, 3)
    if len(request) != 5 or value not in {COIL_ON, COIL_OFF, COIL_TOGGLE}:
        refuse(ExceptionCode.ILLEGAL_VALUE)
    return (value if value == COIL_TOGGLE else int(value == COIL_ON),)


def _coils_written(request: bytes) -> tuple[int, ...]:
    count = _written_count(request, BITS_WRITTEN_MAX)
    packed = request[6:]
    if len(packed) != (count + 7) // 8:
        refuse(ExceptionCode.ILLEGAL_VALUE)
    return tuple(packed[place // 8] >> place % 8 & 1 for place in range(count))


def _register_written(request: bytes) -> tuple[int, ...]:
    if len(request) != 5:
        refuse(ExceptionCode.ILLEGAL_VALUE)
    return struct.unpack_from(">H", request, 3)


def _registers_written(request: bytes) -> tuple[int, ...]:
    count = _written_count(request, REGISTERS_WRITTEN_MAX)
    if len(request) != 6 + 2 * count:
        refuse(ExceptionCode.ILLEGAL_VALUE)
    return struct.unpack_from(f">{count}H", request, 6)


def _written_count(request: bytes, count_max: int) -> int:
    (count,) = struct.unpack_from(">H", request, 3)
    if not 1 <= count <= count_max or len(request) < 6 or len(request) != 6 + request[5]:
        refuse(ExceptionCode.ILLEGAL_VALUE)
    return int(count)
