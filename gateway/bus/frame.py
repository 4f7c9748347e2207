"""Modbus RTU requests and answers as bytes, and which answer belongs to which request.

Owns the matching of an answer to its request: unit, function, byte count, and for writes the
echoed address and value or quantity (rule B2). Must never wait, send or guess: a frame that is not
exactly the answer is no answer.

MODBUS Application Protocol V1.1b3, section 6; MODBUS over Serial Line V1.02, section 2.5.1.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import Final

from pymodbus.framer.rtu import FramerRTU
from pymodbus.pdu.bit_message import (
    ReadCoilsRequest,
    ReadDiscreteInputsRequest,
    WriteSingleCoilRequest,
)
from pymodbus.pdu.decoders import DecodePDU
from pymodbus.pdu.pdu import ModbusPDU
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from gateway.core.model import Value

EXCEPTION_BIT: Final = 0x80
EXCEPTION_BYTES: Final = 5
WRITE_ANSWER_BYTES: Final = 8
READ_ANSWER_BYTES_MIN: Final = 5
"""Unit, function, byte count and CRC; the data comes on top."""


class Function(IntEnum):
    """The function codes that this master sends."""

    READ_COILS = 1
    READ_INPUTS = 2
    READ_HOLDING = 3
    READ_INPUT_REGISTERS = 4
    WRITE_COIL = 5
    WRITE_REGISTER = 6
    WRITE_REGISTERS = 16


READS: Final = frozenset(
    {
        Function.READ_COILS,
        Function.READ_INPUTS,
        Function.READ_HOLDING,
        Function.READ_INPUT_REGISTERS,
    }
)
WRITES: Final = frozenset(Function) - READS
BITS: Final = frozenset({Function.READ_COILS, Function.READ_INPUTS})
REGISTERS: Final = READS - BITS
EXCEPTIONS: Final = frozenset(function | EXCEPTION_BIT for function in Function)
REPEATING: Final = frozenset({Function.WRITE_COIL, Function.WRITE_REGISTER})
"""Their answer is the request, byte for byte: an echo of the line looks the same."""


class Read(Value):
    """Ask one unit (1 to 247) for `count` registers or bits."""

    unit: int
    function: Function
    address: int
    count: int


class Write(Value):
    """Write registers, or one coil as 0 or 1. For the toggle of cheap boards there is no word."""

    unit: int
    function: Function
    address: int
    values: tuple[int, ...]


Request = Read | Write


class Answer(Value):
    """What the unit said: registers, or bits as 0 and 1. Empty for a write."""

    values: tuple[int, ...] = ()


class Exceptional(Value):
    """The unit answered that it will not: an answer all the same."""

    code: int


def encode(request: Request) -> bytes:
    """The request as it goes over the line."""
    assert 1 <= request.unit <= 247, "never broadcast"
    frame: bytes = _FRAMER.buildFrame(_pdu(request))
    return frame


def answer_bytes(request: Request) -> int:
    """How long the answer to a request is."""
    if isinstance(request, Write):
        return WRITE_ANSWER_BYTES
    return READ_ANSWER_BYTES_MIN + _data_bytes(request)


def answer_in(heard: bytes, request: Request) -> Answer | Exceptional | None:
    """The answer among the bytes heard so far; noise and others' frames around it are skipped."""
    for frame in frames_in(heard):
        if frame[0] != request.unit:
            continue
        if frame[1] == request.function | EXCEPTION_BIT:
            return Exceptional(code=frame[2])
        if frame.startswith(_head(request)):
            return _decoded(frame, request)
    return None


def missing_bytes(heard: bytes, request: Request) -> int:
    """How many bytes are to come at least of an answer under way; 0: none is, or it may be over."""
    head = _head(request)
    places = (at for at, byte in enumerate(heard) if byte == request.unit)
    begun = ((heard[at : at + len(head)], len(heard) - at) for at in places)
    left = [size - come for start, come in begun if (size := _promised(start, head, request))]
    return max(0, min(left, default=0))


def frames_in(heard: bytes) -> Iterator[bytes]:
    """Everything that has the shape of an answer and a good CRC, in the order heard."""
    at = 0
    while len(heard) - at >= EXCEPTION_BYTES:
        size = _size(heard, at)
        frame = heard[at : at + size]
        if size and len(frame) == size and _crc_good(frame):
            yield frame
            at += size
        else:
            at += 1


READ_PDUS: Final[dict[Function, type[ModbusPDU]]] = {
    Function.READ_COILS: ReadCoilsRequest,
    Function.READ_INPUTS: ReadDiscreteInputsRequest,
    Function.READ_HOLDING: ReadHoldingRegistersRequest,
    Function.READ_INPUT_REGISTERS: ReadInputRegistersRequest,
}
WRITE_PDUS: Final[dict[Function, type[ModbusPDU]]] = {
    Function.WRITE_REGISTER: WriteSingleRegisterRequest,
    Function.WRITE_REGISTERS: WriteMultipleRegistersRequest,
}
_FRAMER: Final = FramerRTU(DecodePDU(False))
_DECODER: Final = DecodePDU(False)


def _pdu(request: Request) -> ModbusPDU:
    unit, address = request.unit, request.address
    if isinstance(request, Read):
        return READ_PDUS[request.function](dev_id=unit, address=address, count=request.count)
    assert request.values
    if request.function is Function.WRITE_COIL:
        bits = [value == 1 for value in request.values]
        return WriteSingleCoilRequest(dev_id=unit, address=address, bits=bits)
    registers = list(request.values)
    return WRITE_PDUS[request.function](dev_id=unit, address=address, registers=registers)


def _data_bytes(request: Read) -> int:
    return (request.count + 7) // 8 if request.function in BITS else 2 * request.count


def _size(heard: bytes, at: int) -> int:
    function = heard[at + 1]
    if function in READS:
        return READ_ANSWER_BYTES_MIN + heard[at + 2]
    if function in WRITES:
        return WRITE_ANSWER_BYTES
    return EXCEPTION_BYTES if function in EXCEPTIONS else 0


def _promised(start: bytes, head: bytes, request: Request) -> int:
    """How long the answer is that begins so; 0: none does."""
    if start[1:2] == bytes((request.function | EXCEPTION_BIT,)):
        return EXCEPTION_BYTES
    return answer_bytes(request) if head.startswith(start) else 0


def _crc_good(frame: bytes) -> bool:
    return FramerRTU.check_CRC(frame[:-2], int.from_bytes(frame[-2:], "big"))


def _head(request: Request) -> bytes:
    if isinstance(request, Read):
        return bytes((request.unit, request.function, _data_bytes(request)))
    # The answer to a write begins as the request does: address, then value or quantity.
    return encode(request)[:6]


def _decoded(frame: bytes, request: Request) -> Answer:
    if isinstance(request, Write):
        return Answer()
    pdu = _DECODER.decode(frame[1:-2])
    assert pdu is not None, "its CRC and length are right, so it decodes"
    if request.function in BITS:
        return Answer(values=tuple(int(bit) for bit in pdu.bits[: request.count]))
    return Answer(values=tuple(pdu.registers))
