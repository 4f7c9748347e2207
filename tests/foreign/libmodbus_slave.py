"""A DDS238-2 ZN/SR whose Modbus is spoken by libmodbus (Debian libmodbus5, through ctypes).

Owns one or more unit addresses, each on a port of its own; with `--coils 8` each has the coils of a
relay board beside. Must never use the project's own Modbus, of either end: it is here so that our
two ends cannot agree on a mistake.

    python tests/foreign/libmodbus_slave.py --unit 5=/dev/pts/7 --unit 6=/dev/pts/8 --opened 6

Says JSON lines on standard output: once `ready`, then `changed` at every change of a switch. Takes
JSON lines on standard input: `{"do": "open", "unit": 5}`, `close`, and `{"do": "truth"}`; answers
each with `truth`. Ends when standard input does.
"""

import ctypes
import errno
import sys
import threading
import time

import click
import msgspec

RELAY, VOLTAGE, CURRENT, POWER, FREQUENCY = 0x001A, 0x000C, 0x000D, 0x000E, 0x0011
ENERGY_TOTAL, ENERGY_IMPORT = 0x0000, 0x000A
REGISTERS = RELAY + 1
READ_COILS, READ_HOLDING, WRITE_COIL, WRITE_REGISTERS = 1, 3, 5, 16
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3
LOAD_W = 299
LOAD_CENTIAMPERE = 130
ENERGY_HUNDREDTHS = 1000_00
TURNAROUND_S = 0.010
REQUEST_BYTES_MAX = 260
OTHERS_ANSWER_US = 150_000
"""After a request to another unit libmodbus waits so long for that unit's answer, to skip it."""


class UnitTruth(msgspec.Struct, frozen=True, kw_only=True):
    """What is really the case at one unit; `mono_ms` is the boot clock at the last movement."""

    unit: int
    closed: bool
    moves: int
    mono_ms: int | None
    writes: int
    coils: tuple[bool, ...] = ()


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What standard input may ask."""

    do: str
    unit: int | None = None


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What standard output says."""

    event: str
    units: tuple[UnitTruth, ...]


class RegisterMapping(ctypes.Structure):
    """`modbus_mapping_t` of libmodbus 3.1."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("nb_bits", "start_bits")),
        *((name, ctypes.c_int) for name in ("nb_input_bits", "start_input_bits")),
        *((name, ctypes.c_int) for name in ("nb_input_registers", "start_input_registers")),
        *((name, ctypes.c_int) for name in ("nb_registers", "start_registers")),
        ("tab_bits", ctypes.POINTER(ctypes.c_uint8)),
        ("tab_input_bits", ctypes.POINTER(ctypes.c_uint8)),
        ("tab_input_registers", ctypes.POINTER(ctypes.c_uint16)),
        ("tab_registers", ctypes.POINTER(ctypes.c_uint16)),
    )


class Unit:
    """One meter on one port; `serve` runs in a thread of its own."""

    def __init__(
        self, lib: ctypes.CDLL, unit: int, path: str, *, baud: int, closed: bool, coils: int
    ) -> None:
        self._lib = lib
        self._coils = coils
        self.unit = unit
        self._lock = threading.Lock()
        self._moves = 0
        self._moved_ms: int | None = None
        self._writes = 0
        self._context = lib.modbus_new_rtu(path.encode(), baud, b"N", 8, 1)
        self._mapping = lib.modbus_mapping_new(coils, 0, REGISTERS, 0)
        lib.modbus_set_slave(self._context, unit)
        lib.modbus_set_response_timeout(self._context, 0, OTHERS_ANSWER_US)
        if lib.modbus_connect(self._context) != 0:
            raise click.ClickException(f"{path}: {self._last_error()}")
        registers = self._mapping.contents.tab_registers
        registers[VOLTAGE], registers[FREQUENCY] = 2300, 5000
        for address in (ENERGY_TOTAL, ENERGY_IMPORT):
            registers[address] = ENERGY_HUNDREDTHS >> 16
            registers[address + 1] = ENERGY_HUNDREDTHS & 0xFFFF
        registers[RELAY] = int(closed)
        self._draw()

    def serve(self) -> None:
        """Answer until the port goes away."""
        request = (ctypes.c_uint8 * REQUEST_BYTES_MAX)()
        while True:
            length = self._lib.modbus_receive(self._context, request)
            if length > 0 and request[0] == self.unit:
                self._answer(request, length)
            elif length < 0 and ctypes.get_errno() in {errno.EIO, errno.EBADF, errno.ECONNRESET}:
                return

    def switch(self, closed: bool) -> None:
        """The utility's own system switches, not by the line."""
        with self._lock:
            before = self._closed()
            self._mapping.contents.tab_registers[RELAY] = int(closed)
            self._note_move(before)

    def truth(self) -> UnitTruth:
        """What is really the case."""
        return UnitTruth(
            unit=self.unit,
            closed=self._closed(),
            moves=self._moves,
            mono_ms=self._moved_ms,
            writes=self._writes,
            coils=tuple(bool(self._mapping.contents.tab_bits[at]) for at in range(self._coils)),
        )

    def _answer(self, request: ctypes.Array[ctypes.c_uint8], length: int) -> None:
        time.sleep(TURNAROUND_S)
        of_coils = bool(self._coils) and request[1] in {READ_COILS, WRITE_COIL}
        refused = None if of_coils else _refusal(bytes(request[:length]))
        if refused is not None:
            self._lib.modbus_reply_exception(self._context, request, refused)
            return
        with self._lock:
            before = self._closed()
            self._lib.modbus_reply(self._context, request, length, self._mapping)
            self._writes += request[1] in {WRITE_COIL, WRITE_REGISTERS}
            self._note_move(before)

    def _closed(self) -> bool:
        return bool(self._mapping.contents.tab_registers[RELAY])

    def _note_move(self, before: bool) -> None:
        if self._closed() is before:
            return
        self._moves += 1
        self._moved_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
        self._draw()
        say("changed", self.truth())

    def _draw(self) -> None:
        registers = self._mapping.contents.tab_registers
        closed = self._closed()
        registers[CURRENT] = LOAD_CENTIAMPERE if closed else 0
        registers[POWER] = LOAD_W if closed else 0

    def _last_error(self) -> str:
        text: bytes = self._lib.modbus_strerror(ctypes.get_errno())
        return text.decode()


def _refusal(request: bytes) -> int | None:
    """Why a real meter would not take this request; None: libmodbus may answer it."""
    if request[1] == READ_HOLDING:
        return None
    if request[1] != WRITE_REGISTERS:
        return ILLEGAL_FUNCTION
    address, count = int.from_bytes(request[2:4]), int.from_bytes(request[4:6])
    values = request[7 : 7 + 2 * count]
    match address, count:
        case (0x001A, 1):
            allowed: tuple[bytes, ...] = (b"\0\0", b"\0\1")
        case (0x0000, 2):
            allowed = (b"\0\0\0\0",)
        case _:
            return ILLEGAL_ADDRESS
    return None if values in allowed else ILLEGAL_VALUE


_stdout = threading.Lock()


def say(event: str, *units: UnitTruth) -> None:
    """One JSON line on standard output."""
    with _stdout:
        sys.stdout.buffer.write(msgspec.json.encode(Said(event=event, units=units)) + b"\n")
        sys.stdout.buffer.flush()


def load_library() -> ctypes.CDLL:
    """libmodbus, with the types that ctypes cannot guess."""
    lib = ctypes.CDLL("libmodbus.so.5", use_errno=True)
    context, mapping = ctypes.c_void_p, ctypes.POINTER(RegisterMapping)
    octets = ctypes.POINTER(ctypes.c_uint8)
    number, character = ctypes.c_int, ctypes.c_char
    lib.modbus_new_rtu.argtypes = (ctypes.c_char_p, number, character, number, number)
    lib.modbus_new_rtu.restype = context
    lib.modbus_mapping_new.argtypes = (number,) * 4
    lib.modbus_mapping_new.restype = mapping
    lib.modbus_set_slave.argtypes = (context, number)
    lib.modbus_set_response_timeout.argtypes = (context, ctypes.c_uint32, ctypes.c_uint32)
    lib.modbus_connect.argtypes = (context,)
    lib.modbus_receive.argtypes = (context, octets)
    lib.modbus_reply.argtypes = (context, octets, number, mapping)
    lib.modbus_reply_exception.argtypes = (context, octets, ctypes.c_uint)
    lib.modbus_strerror.argtypes = (number,)
    lib.modbus_strerror.restype = ctypes.c_char_p
    return lib


def obey(units: dict[int, Unit], line: bytes) -> None:
    """One command of standard input."""
    command = msgspec.json.decode(line, type=Command)
    match command:
        case Command(do="open" | "close", unit=int(number)) if number in units:
            units[number].switch(command.do == "close")
        case Command(do="truth"):
            pass
        case _:
            raise click.ClickException(f"not understood: {line!r}")
    say("truth", *(it.truth() for it in units.values()))


@click.command()
@click.option("--unit", "places", multiple=True, required=True, help="ADDRESS=PORT, repeatable.")
@click.option("--opened", type=int, multiple=True, help="An address whose switch is open at first.")
@click.option("--baud", type=int, default=9600, show_default=True)
@click.option("--coils", type=int, default=0, show_default=True, help="Of a relay board beside.")
def main(places: tuple[str, ...], opened: tuple[int, ...], baud: int, coils: int) -> None:
    """Run DDS238-2 ZN/SR meters by libmodbus, one port each."""
    lib = load_library()
    units = {}
    for place in places:
        address, _, path = place.partition("=")
        closed = int(address) not in opened
        unit = Unit(lib, int(address), path, baud=baud, closed=closed, coils=coils)
        units[unit.unit] = unit
    for unit in units.values():
        threading.Thread(target=unit.serve, daemon=True).start()
    say("ready", *(it.truth() for it in units.values()))
    for line in sys.stdin.buffer:
        obey(units, line)


if __name__ == "__main__":
    main()
