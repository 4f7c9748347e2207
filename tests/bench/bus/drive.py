"""Masters of other makers, one a process: reads registers in turn and says how that went.

    python drive.py libmodbus '{"port": "/dev/pts/7", "baud": 9600, "order": [[1, 16]], ...}'
    python drive.py libmodbus --version

Runs as a plain script under any interpreter that has the one library a master needs: nothing of the
project is imported here. The task and the result are JSON; their fields are those of `peers.Task`
and `peers.Done`. Every master is used as its documentation shows, with its defaults; a time-out
of null leaves even that to it.
"""

import asyncio
import ctypes
import importlib.metadata
import json
import os
import select
import subprocess
import sys
import time
import tty
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

READ_HOLDING = 3
COUNT = 2
SILENCE_CHARACTERS = 3.5
BITS = 10

Values = list[int] | None
Read = Callable[[int, int], Values]
AsyncRead = Callable[[int, int], Awaitable[Values]]
Spent = tuple[list[Values], float]
"""What was read, and the processor time it took in seconds."""


def reads(task: SimpleNamespace) -> list[tuple[int, int]]:
    """Units and addresses, in the order they are asked."""
    return [tuple(task.order[at % len(task.order)]) for at in range(task.reads)]


def in_turn(task: SimpleNamespace, read: Read) -> Spent:
    """Read one after the other, as fast as the master goes."""
    began_s = time.process_time()
    values = [read(unit, address) for unit, address in reads(task)]
    return values, time.process_time() - began_s


async def in_turn_async(task: SimpleNamespace, read: AsyncRead) -> Spent:
    """Read one after the other, as fast as the master goes."""
    began_s = time.process_time()
    values = [await read(unit, address) for unit, address in reads(task)]
    return values, time.process_time() - began_s


def silence_s(task: SimpleNamespace) -> float:
    """3.5 characters."""
    return float(SILENCE_CHARACTERS * BITS / task.baud)


def pymodbus_async(task: SimpleNamespace, *, pause_s: float = 0.0) -> Spent:
    """pymodbus's asyncio client."""
    from pymodbus.client import AsyncModbusSerialClient  # noqa: PLC0415
    from pymodbus.exceptions import ModbusException  # noqa: PLC0415

    limits = {} if task.timeout_s is None else {"timeout": task.timeout_s}

    async def run() -> Spent:
        client = AsyncModbusSerialClient(task.port, baudrate=task.baud, **limits)
        await client.connect()

        async def read(unit: int, address: int) -> Values:
            if pause_s:
                await asyncio.sleep(pause_s)
            while not client.connected:  # it hangs up after some misses and comes back by itself
                await asyncio.sleep(0.01)
            try:
                answer = await client.read_holding_registers(address, count=COUNT, device_id=unit)
            except ModbusException:
                return None
            return None if answer.isError() else list(answer.registers)

        try:
            return await in_turn_async(task, read)
        finally:
            client.close()

    return asyncio.run(run())


def pymodbus_async_silent(task: SimpleNamespace) -> Spent:
    """pymodbus's asyncio client, with the silence awaited before each request."""
    return pymodbus_async(task, pause_s=silence_s(task))


def pymodbus_sync(task: SimpleNamespace) -> Spent:
    """pymodbus's blocking client."""
    from pymodbus.client import ModbusSerialClient  # noqa: PLC0415
    from pymodbus.exceptions import ModbusException  # noqa: PLC0415

    limits = {} if task.timeout_s is None else {"timeout": task.timeout_s}
    client = ModbusSerialClient(task.port, baudrate=task.baud, **limits)
    client.connect()

    def read(unit: int, address: int) -> Values:
        try:
            answer = client.read_holding_registers(address, count=COUNT, device_id=unit)
        except ModbusException:
            return None
        return None if answer.isError() else list(answer.registers)

    return in_turn(task, read)


def minimalmodbus(task: SimpleNamespace) -> Spent:
    """minimalmodbus."""
    import minimalmodbus as library  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

    instruments = {unit: library.Instrument(task.port, unit) for unit, _ in task.order}
    for instrument in instruments.values():
        instrument.serial.baudrate = task.baud
        if task.timeout_s is not None:
            instrument.serial.timeout = task.timeout_s

    def read(unit: int, address: int) -> Values:
        try:
            return list(instruments[unit].read_registers(address, COUNT))
        except (OSError, ValueError):
            return None

    return in_turn(task, read)


def libmodbus(task: SimpleNamespace) -> Spent:
    """libmodbus, through ctypes."""
    library = _libmodbus()
    context = library.modbus_new_rtu(task.port.encode(), task.baud, b"N", 8, 1)
    if task.timeout_s is not None:
        library.modbus_set_response_timeout(context, 0, round(task.timeout_s * 1e6))
    if library.modbus_connect(context) != 0:
        raise OSError(f"libmodbus cannot open {task.port}")
    held = (ctypes.c_uint16 * COUNT)()

    def read(unit: int, address: int) -> Values:
        library.modbus_set_slave(context, unit)
        if library.modbus_read_registers(context, address, COUNT, held) != COUNT:
            return None
        return list(held)

    return in_turn(task, read)


def _libmodbus() -> ctypes.CDLL:
    library = ctypes.CDLL("libmodbus.so.5", use_errno=True)
    number, context = ctypes.c_int, ctypes.c_void_p
    library.modbus_new_rtu.argtypes = (ctypes.c_char_p, number, ctypes.c_char, number, number)
    library.modbus_new_rtu.restype = context
    library.modbus_connect.argtypes = (context,)
    library.modbus_set_slave.argtypes = (context, number)
    library.modbus_set_response_timeout.argtypes = (context, ctypes.c_uint32, ctypes.c_uint32)
    read = library.modbus_read_registers
    read.argtypes = (context, number, number, ctypes.POINTER(ctypes.c_uint16))
    return library


def mbpoll(task: SimpleNamespace) -> Spent:
    """mbpoll; a call reads the same registers of all units once."""
    words = ["mbpoll", "-m", "rtu", "-b", str(task.baud), "-P", "none", "-t", "4", "-0", "-1"]
    words += ["-a", ",".join(str(unit) for unit, _ in task.order)]
    words += ["-r", str(task.order[0][1]), "-c", str(COUNT)]
    if task.timeout_s is not None:
        words += ["-o", str(task.timeout_s)]
    for _ in range(-(-task.reads // len(task.order))):
        subprocess.run([*words, task.port], stdout=subprocess.DEVNULL, check=False)
    spent = os.times()
    # It prints what it reads, for people: whether that was right is not judged.
    return [], spent.children_user + spent.children_system


def spinning(task: SimpleNamespace) -> Spent:
    """No library at all: keeps the silence by spinning. What this machine and this line allow."""
    fd = os.open(task.port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    tty.setraw(fd)
    frames = {one: _frame(*one) for one in set(reads(task))}
    answer_bytes = 5 + 2 * COUNT
    wait_s = task.timeout_s or 1.0
    free_s = time.perf_counter()

    def read(unit: int, address: int) -> Values:
        nonlocal free_s
        while time.perf_counter() < free_s:
            pass
        os.write(fd, frames[unit, address])
        answer = b""
        while len(answer) < answer_bytes and select.select([fd], [], [], wait_s)[0]:
            answer += os.read(fd, answer_bytes)
        free_s = time.perf_counter() + silence_s(task)
        words = (answer[at : at + 2] for at in range(3, len(answer) - 2, 2))
        return [int.from_bytes(word, "big") for word in words]

    return in_turn(task, read)


def _frame(unit: int, address: int) -> bytes:
    body = bytes((unit, READ_HOLDING)) + address.to_bytes(2, "big") + COUNT.to_bytes(2, "big")
    value = 0xFFFF
    for byte in body:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return body + value.to_bytes(2, "little")


def _libmodbus_version() -> str:
    library = _libmodbus()
    parts = (ctypes.c_uint.in_dll(library, f"libmodbus_version_{it}").value for it in PARTS)
    return ".".join(map(str, parts))


def _mbpoll_version() -> str:
    # It calls itself 1.0-0 whatever it is: the package knows better.
    words = ["dpkg-query", "-W", "-f", "${Version}", "mbpoll"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


PARTS = ("major", "minor", "micro")
MASTERS: dict[str, tuple[Callable[[SimpleNamespace], Spent], Callable[[], str]]] = {
    "pymodbus-async": (pymodbus_async, lambda: importlib.metadata.version("pymodbus")),
    "pymodbus-async-silent": (
        pymodbus_async_silent,
        lambda: importlib.metadata.version("pymodbus"),
    ),
    "pymodbus-sync": (pymodbus_sync, lambda: importlib.metadata.version("pymodbus")),
    "minimalmodbus": (minimalmodbus, lambda: importlib.metadata.version("minimalmodbus")),
    "libmodbus": (libmodbus, _libmodbus_version),
    "mbpoll": (mbpoll, _mbpoll_version),
    "spinning": (spinning, lambda: ""),
}


def told(task: SimpleNamespace, spent: Spent) -> dict[str, int | float]:
    """How many values were right (each register tells its unit and address), wrong, or missing."""
    values, cpu_s = spent
    right = wrong = 0
    for (unit, address), got in zip(reads(task), values, strict=False):
        meant = [unit << 8 | at & 0xFF for at in range(address, address + COUNT)]
        right += got == meant
        wrong += got is not None and got != meant
    return {"right": right, "wrong": wrong, "none": len(values) - right - wrong, "cpu_s": cpu_s}


def main(name: str, word: str) -> None:
    """Run one master, or say its version; a library that is missing ends this with its name."""
    drive, version = MASTERS[name]
    if word == "--version":
        print(version())
        return
    task = SimpleNamespace(**json.loads(word))
    print(json.dumps(told(task, drive(task))))


if __name__ == "__main__":
    main(*sys.argv[1:])
