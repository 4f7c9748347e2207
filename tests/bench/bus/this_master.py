"""This master, driven as `drive.py` drives the others: `gateway.bus.rtu.Master` on a real port.

python -m tests.bench.bus.this_master this '{"port": "/dev/pts/7", "baud": 9600, ...}'
"""

import asyncio
import contextlib
import sys
from types import SimpleNamespace

import msgspec

import gateway
from gateway.bus.frame import Function, Read
from gateway.bus.port import BusSettings, SerialPort
from gateway.bus.rtu import Counters, Master, Reply, Timing
from gateway.host.clock import HostClock, boot_id
from tests.bench.bus.drive import COUNT, Values, in_turn_async, told
from tests.bench.bus.peers import TIMEOUT_S, Task

TURNAROUND_MAX_MS = 300


async def run(task: Task) -> dict[str, int | float]:
    """Read one after the other, as fast as the master goes."""
    timeout_s = TIMEOUT_S if task.timeout_s is None else task.timeout_s
    timing = Timing(timeout_ms=round(1000 * timeout_s), turnaround_max_ms=TURNAROUND_MAX_MS)
    settings = BusSettings(name="A", port=task.port, baud=task.baud)
    with contextlib.closing(SerialPort.open(settings, lambda: None)) as port:
        master = Master(
            port,
            HostClock(boot_id(), 0),
            Counters(),
            baud=settings.baud,
            character_bits=settings.character_bits,
        )

        async def read(unit: int, address: int) -> Values:
            request = Read(unit=unit, function=Function.READ_HOLDING, address=address, count=COUNT)
            answer = await master.exchange(request, timing)
            return list(answer.values) if isinstance(answer, Reply) else None

        plain = SimpleNamespace(**msgspec.structs.asdict(task))
        return told(plain, await in_turn_async(plain, read))


if __name__ == "__main__":
    word = sys.argv[2]
    if word == "--version":
        print(gateway.__version__)
    else:
        done = asyncio.run(run(msgspec.json.decode(word, type=Task)))
        print(msgspec.json.encode(done).decode())
