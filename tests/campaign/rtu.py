"""The campaign against the RTU master: does it ever take one meter's word for another's?

Transactions by the hundred thousand on a line with every fault that a master can see through; after
each, what it says is held against what the line did. Everything is drawn from one seed, so that in
virtual time a failing run comes back to the letter:

    python -m tests.campaign.rtu --transactions 1000000 --seed 7
"""

import asyncio
import secrets
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

import click

from gateway.bench.wire import crc
from gateway.bus.frame import REPEATING, WRITES, Function, Read, Request, Write
from gateway.bus.rtu import Counters, Failure, Fault, Master, Reply, Timing
from tests.campaign.line import Attach, in_the_same_loop
from tests.campaign.meter import CHANNELS, CodedMeter, Relay, values_told
from tests.campaign.traffic import Faults, Traffic
from tests.campaign.virtual_time import LoopClock, in_virtual_time, until

TIMING: Final = Timing(timeout_ms=300, turnaround_max_ms=300)
"""As in the profiles."""
UNITS: Final = 40
DEAD: Final = 2
STRETCH: Final = 1_000
UNUSED_UNIT: Final = 247
COIL_ON: Final = 0xFF00
SHOWN_MAX: Final = 20


@dataclass(slots=True)
class Tally:
    """What became of the transactions. `wrong` is what must never be, in words."""

    transactions: int = 0
    answers: int = 0
    written: int = 0
    """Answers to writes, among them."""
    exceptions: int = 0
    faults: Counter[Failure] = field(default_factory=Counter)
    withheld: int = 0
    cancelled: int = 0
    late: int = 0
    switched: int = 0
    """Relays that read back twice as they were told."""
    not_switched: int = 0
    """Relays that took the write and read back otherwise."""
    missed: int = 0
    """Whole answers in time that were not taken. Noise may look like the head of another's frame,
    with a CRC that fits once in 65,536."""
    wrong: list[str] = field(default_factory=list, repr=False)


@dataclass(slots=True)
class Stretch:
    """One line, and a master on it."""

    traffic: Traffic
    master: Master
    meters: dict[int, CodedMeter]
    counters: Counters


class Campaign:
    """Draws requests from a seed, lets a master carry them out, and judges every outcome."""

    def __init__(
        self,
        seed: int,
        *,
        timing: Timing = TIMING,
        promised: Timing = TIMING,
        attach: Attach = in_the_same_loop,
        bauds: tuple[int, ...] = (9600, 9600, 19200, 38400),
        stretch: int = STRETCH,
    ) -> None:
        """`timing` is what the master goes by, `promised` what the meters keep to.

        So many transactions as `stretch` stand on one line; the next has other meters, another
        baud, and gives back what is sent, or does not.
        """
        self.tally = Tally()
        self._chance = Random(seed)
        self._timing = timing
        self._late_s = (promised.timeout_ms + promised.turnaround_max_ms) / 1000
        self._attach = attach
        self._bauds = bauds
        self._stretch = stretch
        self._unit = 0
        self._on: Stretch

    async def run(
        self, transactions: int, progress: Callable[[Tally], None] = lambda _: None
    ) -> Tally:
        """Carry out at least so many, and tell of progress after each stretch."""
        while self.tally.transactions < transactions:
            traffic, meters = self._line()
            async with self._attach(traffic) as stream:
                counters = Counters()
                baud = round(10 / traffic.character_s)
                master = Master(stream, LoopClock(), counters, baud=baud, character_bits=10)
                self._on = Stretch(traffic, master, meters, counters)
                end = min(transactions, self.tally.transactions + self._stretch)
                await self._toggle_echo(self._chance.random() < 0.5)
                while self.tally.transactions < end:
                    await self._something()
            if traffic.short_silences:
                self.tally.wrong.append(f"{traffic.short_silences} requests came too early")
            self.tally.late += counters.late
            progress(self.tally)
        return self.tally

    def _line(self) -> tuple[Traffic, dict[int, CodedMeter]]:
        units = self._chance.sample(range(1, UNUSED_UNIT), UNITS)
        meters = {unit: CodedMeter(unit) for unit in units}
        for unit in units[:DEAD]:
            meters[unit].dead = True
        meters[units[-1]].relay = Relay.STUCK
        meters[units[-2]].relay = Relay.LYING
        traffic = Traffic(
            meters,
            Faults(late_s=self._late_s),
            self._chance,
            baud=self._chance.choice(self._bauds),
            step=self._chance.choice((1, 3, 8, 300)),
        )
        return traffic, meters

    async def _something(self) -> None:
        match self._chance.choices(
            ("read", "write", "switch", "cancel", "withhold", "pause", "echo"),
            (60, 25, 10, 3, 1, 10, 1),
        )[0]:
            case "read":
                await self._exchange(self._a_read())
            case "write":
                await self._exchange(self._a_write())
            case "switch":
                await self._switch()
            case "cancel":
                await self._cancel(self._chance.choice((self._a_read, self._a_write))())
            case "withhold":
                await self._exchange(self._a_read(), may_go=lambda: False)
            case "pause":
                await until(self._on.traffic.ends_s + self._chance.uniform(0, self._late_s))
            case _:
                await self._toggle_echo(not self._on.traffic.echo)

    def _a_unit(self) -> int:
        """Often the same one again: its late answer would fit best."""
        if self._unit not in self._on.meters or self._chance.random() < 0.2:
            self._unit = self._chance.choice(tuple(self._on.meters))
        return self._unit

    def _a_read(self) -> Read:
        unit = self._a_unit()
        if self._chance.random() < 0.6:
            function, count = Function.READ_HOLDING, 1
            address = self._chance.randrange(0x10, 0x14)
        elif self._chance.random() < 0.5:
            function = self._chance.choice((Function.READ_HOLDING, Function.READ_INPUT_REGISTERS))
            address, count = self._chance.randrange(0x10, 0x14), self._chance.choice((1, 2, 4))
        else:
            function = self._chance.choice((Function.READ_COILS, Function.READ_INPUTS))
            address, count = self._chance.choice(((0, CHANNELS + 16), (CHANNELS, 16)))
        return Read(unit=unit, function=function, address=address, count=count)

    def _a_write(self) -> Write:
        function = self._chance.choice(
            (Function.WRITE_COIL, Function.WRITE_REGISTER, Function.WRITE_REGISTERS)
        )
        count = self._chance.choice((1, 2)) if function is Function.WRITE_REGISTERS else 1
        return Write(
            unit=self._a_unit(),
            function=function,
            address=self._chance.randrange(3),
            values=tuple(self._chance.randrange(2) for _ in range(count)),
        )

    async def _switch(self) -> None:
        """Write a relay, and read its contact back twice."""
        unit, channel = self._a_unit(), self._chance.randrange(CHANNELS)
        position = self._chance.randrange(2)
        write = Write(unit=unit, function=Function.WRITE_COIL, address=channel, values=(position,))
        contact = Read(unit=unit, function=Function.READ_INPUTS, address=channel, count=1)
        if not isinstance(await self._exchange(write), Reply):
            return
        for _ in range(2):
            seen = await self._exchange(contact)
            if not isinstance(seen, Reply):
                return
            if seen.values != (position,):
                self.tally.not_switched += 1
                return
        self.tally.switched += 1
        if self._on.meters[unit].contacts[channel] != bool(position):
            self._note(write, "the relay is said to have moved, and has not")

    async def _cancel(self, request: Request) -> None:
        """Lose interest somewhere in the midst. What it was is judged by what comes after."""
        asked = asyncio.create_task(self._on.master.exchange(request, self._timing))
        await asyncio.wait((asked,), timeout=self._chance.uniform(0, 0.2))
        asked.cancel()
        await asyncio.wait((asked,))
        self.tally.transactions += 1
        self.tally.cancelled += asked.cancelled()

    async def _toggle_echo(self, echo: bool) -> None:
        """The line begins or ceases to give back what is sent; the master probes for it."""
        self._on.traffic.echo = echo
        await self._on.master.probe_echo(UNUSED_UNIT)

    async def _exchange(
        self, request: Request, may_go: Callable[[], bool] = lambda: True
    ) -> Reply | Fault:
        before = self._on.traffic.serial
        outcome = await self._on.master.exchange(request, self._timing, may_go)
        self.tally.transactions += 1
        sent = self._on.traffic.serial - before
        if sent != may_go() or (sent and self._on.traffic.request != framed(request)):
            self._note(request, f"{sent} frames went out, of them {self._on.traffic.request!r}")
        if isinstance(outcome, Reply):
            self._judge_reply(request, outcome)
        else:
            self._judge_fault(request, outcome)
        return outcome

    def _judge_reply(self, request: Request, reply: Reply) -> None:
        traffic = self._on.traffic
        self.tally.answers += 1
        if traffic.come != traffic.serial or traffic.told is None:
            self._note(request, f"{reply} was never said in answer to it")
        elif isinstance(request, Read):
            if reply.values != values_told(traffic.told, request.count):
                self._note(request, f"{reply}, but the meter said {traffic.told!r}")
        else:
            self.tally.written += 1
            if self._on.meters[request.unit].took != traffic.serial:
                self._note(request, "the meter never carried it out")

    def _judge_fault(self, request: Request, fault: Fault) -> None:
        traffic = self._on.traffic
        if fault.failure is Failure.WITHHELD:
            self.tally.withheld += 1
            return
        come = traffic.come == traffic.serial
        if fault.failure is Failure.EXCEPTION:
            self.tally.exceptions += 1
            if not come or traffic.told != bytes((request.function | 0x80, fault.code)):
                self._note(request, f"{fault}, but the meter said {traffic.told!r}")
            return
        self.tally.faults[fault.failure] += 1
        # The echo of such a write looks like its answer: where it is spoilt, nothing is believed.
        confused = request.function in REPEATING and (traffic.echo or self._on.master.echo)
        self.tally.missed += come and not confused

    def _note(self, request: Request, what: str) -> None:
        place = f"transaction {self.tally.transactions}, request {self._on.traffic.serial}"
        self.tally.wrong.append(f"{place}: {request}: {what}")


def framed(request: Request) -> bytes:
    """The request as it must go over the line, by the standard and not by the master."""
    unit, function, address = request.unit, request.function, request.address
    if isinstance(request, Read):
        body = struct.pack(">BBHH", unit, function, address, request.count)
    elif function is Function.WRITE_REGISTERS:
        count = len(request.values)
        body = struct.pack(
            f">BBHHB{count}H", unit, function, address, count, 2 * count, *request.values
        )
    else:
        assert function in WRITES
        (value,) = request.values
        coil = COIL_ON if value else 0
        said = coil if function is Function.WRITE_COIL else value
        body = struct.pack(">BBHH", unit, function, address, said)
    return body + crc(body)


def replay(seed: int, transactions: int) -> str:
    """How to see a failure again."""
    return f"python -m tests.campaign.rtu --seed {seed} --transactions {transactions}"


@click.command(help="Try the RTU master on a faulty line in virtual time. Fails on a wrong answer.")
@click.option("--transactions", type=click.IntRange(min=1), default=1_000_000, show_default=True)
@click.option("--seed", type=int, help="Drawn anew where it is not given.")
def main(transactions: int, seed: int | None) -> None:
    """Run the campaign and say what it found."""
    chosen = secrets.randbits(32) if seed is None else seed
    click.echo(replay(chosen, transactions))

    def progress(tally: Tally) -> None:
        if tally.transactions % 20_000 < STRETCH:
            click.echo(f"{tally.transactions:>9} done, {len(tally.wrong)} wrong")

    tally = in_virtual_time(Campaign(chosen).run(transactions, progress))
    click.echo(tally)
    for line in tally.wrong[:SHOWN_MAX]:
        click.echo(line)
    raise SystemExit(1 if tally.wrong else 0)


if __name__ == "__main__":
    main()
