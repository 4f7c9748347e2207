"""A line in virtual time: an event loop that never waits, and a wire on which bytes take theirs."""

import asyncio
import math
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from gateway.bus.asking import Priority
from gateway.bus.budget import Intervals, Speed
from gateway.bus.device import Device
from gateway.bus.frame import Request
from gateway.bus.polling import Polling
from gateway.bus.rtu import Counters, Fault, Master, MayGo, Reply, unconditionally
from gateway.core.model import Now
from tests.rooms.bus.gateway_side import Collected
from tests.rooms.bus.wire import Slave, slaves

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Where everything waits, time goes on to the next thing at once."""

    def __init__(self) -> None:
        self._now_s = 0.0
        super().__init__(_Skipping(self))

    def time(self) -> float:
        return self._now_s

    def skip(self, seconds: float) -> None:
        self._now_s += seconds


class _Skipping(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "nothing will ever happen"
        self._loop.skip(timeout)
        return super().select(0)


class VirtualClock:
    """The boot clock runs with the loop's."""

    def now(self) -> Now:
        mono_ms = round(asyncio.get_running_loop().time() * 1000)
        return Now(mono_ms=mono_ms, boot="b", wall_ms=mono_ms, wall_low_ms=0)

    def raise_low(self, wall_low_ms: int) -> None:
        raise AssertionError(wall_low_ms)


class Wire:
    """Half duplex: an answer ends after its request, the turnaround and its own characters."""

    def __init__(self, units: Mapping[int, Slave], *, character_s: float, turnaround_s: float):
        self.requests: list[tuple[float, int]] = []
        """When and to whom."""
        self.frames: list[bytes] = []
        self.heard_s = -math.inf
        self._answers = slaves(dict(units))
        self._character_s = character_s
        self._turnaround_s = turnaround_s
        self._coming: list[tuple[float, bytes]] = []

    def send(self, data: bytes) -> None:
        now_s = asyncio.get_running_loop().time()
        self.requests.append((now_s, data[0]))
        self.frames.append(data)
        for delay_s, answer in self._answers(data):
            characters = len(data) + len(answer)
            at_s = now_s + characters * self._character_s + self._turnaround_s + delay_s
            self._coming.append((at_s, answer))

    async def receive(self, until_s: float, _expected: int = 1) -> bytes:
        loop = asyncio.get_running_loop()
        while not (heard := self._heard()) and loop.time() < until_s:
            next_s = min((at_s for at_s, _ in self._coming), default=until_s)
            await asyncio.sleep(min(next_s, until_s) - loop.time())
        return heard

    def discard(self) -> int:
        return len(self._heard())

    def _heard(self) -> bytes:
        now_s = asyncio.get_running_loop().time()
        heard = b"".join(said for at_s, said in self._coming if at_s <= now_s)
        self._coming = [one for one in self._coming if one[0] > now_s]
        if heard:
            self.heard_s = now_s
        return heard


class Round:
    """Polling at work on a virtual wire, with the real master between them."""

    def __init__(
        self,
        units: Mapping[int, Slave],
        *,
        baud: int = 9600,
        turnaround_s: float = 0.02,
        wished: Intervals | None = None,
    ) -> None:
        speed = Speed(baud=baud, character_bits=10)
        self.inbox = Collected()
        self.wire = Wire(units, character_s=speed.character_s, turnaround_s=turnaround_s)
        self._master = Master(self.wire, VirtualClock(), Counters(), baud=baud, character_bits=10)
        self._free = asyncio.Lock()
        up = asyncio.Event()
        up.set()
        self.polling = Polling(
            self._ask,
            up,
            lambda: None,
            self.inbox,
            VirtualClock(),
            speed=speed,
            wished=wished or Intervals(),
        )

    async def run_for(self, seconds: float) -> None:
        """Poll for so long."""
        work = asyncio.create_task(self.polling.run())
        await asyncio.sleep(seconds)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    async def _ask(
        self,
        device: Device,
        request: Request,
        priority: Priority,
        may_go: MayGo = unconditionally,
    ) -> Reply | Fault:
        assert priority is Priority.POLL
        return await self.asked(device, request, may_go)

    async def asked(self, device: Device, request: Request, may_go: MayGo) -> Reply | Fault:
        """One exchange on the wire, in its turn."""
        async with self._free:
            return await self._master.exchange(request, device.profile.timing, may_go)


def in_virtual_time(work: Coroutine[Any, Any, T]) -> T:
    """Run it to its end."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
