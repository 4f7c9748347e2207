"""The campaign against closing: is a consumer ever said to have supply who has none?

The daemon's own sequence (identity, state, one write, two read-backs, a second sign) is carried out
over and over on the faulty line, for switches that are good, stuck or lying, for meters that were
swapped, that are fed from behind, or whose account has not paid; holds are placed meanwhile, and
commands are cut short and taken up again. Everything is drawn from one seed:

    python -m tests.campaign.closing --closings 100000 --seed 7
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Final

import click
import msgspec

from gateway.bus.asking import Priority
from gateway.bus.device import Device, device_of
from gateway.bus.frame import Request
from gateway.bus.profile import Profile, load_profiles
from gateway.bus.reading import measure_reads
from gateway.bus.rtu import Counters, Fault, Master, MayGo, Reply, unconditionally
from gateway.bus.switching import carry_out
from gateway.core.fact import Outcome, SwitchCommand, SwitchReport, Why
from gateway.core.image import Image, with_kept
from gateway.core.model import Meter
from tests.campaign.homes import ACREL_STATUS, CHANNELS, Acrel, Board, Dds, Home, Sdm
from tests.campaign.line import in_the_same_loop
from tests.campaign.meter import CodedMeter, Relay
from tests.campaign.traffic import Faults, Traffic
from tests.campaign.virtual_time import LoopClock, in_virtual_time, until
from tests.rooms.bus.gateway_side import command, held, paid_image

HOMES: Final = 24
STRETCH: Final = 200
UNUSED_UNIT: Final = 247
BOARD_UNIT: Final = 240
SHOWN_MAX: Final = 20
DONE: Final = frozenset({Outcome.CLOSED_VERIFIED, Outcome.ARMED})
NEVER_WRITTEN: Final = frozenset({Outcome.REFUSED, Outcome.FAILED})


def _profiles() -> dict[str, Profile]:
    known = load_profiles(None)
    acrel = known["acrel-ddsy1352"]
    assert acrel.state is not None
    state = msgspec.structs.replace(acrel.state, address=ACREL_STATUS)
    return {**known, "acrel-ddsy1352": msgspec.structs.replace(acrel, state=state)}


PROFILES: Final = _profiles()


@dataclass(slots=True)
class Tally:
    """What became of the closings. `wrong` is what must never be, in words."""

    closings: int = 0
    transactions: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    cut_short: int = 0
    held: int = 0
    """Holds that were placed while a command was under way."""
    late: int = 0
    wrong: list[str] = field(default_factory=list, repr=False)


@dataclass(slots=True)
class Place:
    """One line with its homes, and the master on it."""

    traffic: Traffic
    master: Master
    homes: Mapping[str, Home]
    image: Image
    free: asyncio.Lock = field(default_factory=asyncio.Lock)
    under_way: set[str] = field(default_factory=set)


class Campaign:
    """Draws closings from a seed, lets the daemon carry them out, and judges every report."""

    def __init__(
        self,
        seed: int,
        *,
        deceived: bool = False,
        forgetful: bool = False,
    ) -> None:
        """`deceived`: current is shown through a switch that lies. `forgetful`: what came after a
        command had begun is not seen. Both must be found out.
        """
        self.tally = Tally()
        self._chance = Random(seed)
        self._deceived = deceived
        self._forgetful = forgetful
        self._number = 0
        self._at: Place

    async def run(self, closings: int, progress: Callable[[Tally], None] = lambda _: None) -> Tally:
        """Carry out at least so many, and tell of progress after each stretch."""
        while self.tally.closings < closings:
            end = min(closings, self.tally.closings + STRETCH)
            homes = self._homes()
            traffic = self._traffic(homes)
            async with in_the_same_loop(traffic) as stream:
                counters = Counters()
                baud = round(10 / traffic.character_s)
                master = Master(stream, LoopClock(), counters, baud=baud, character_bits=10)
                by_serial = {home.meter.serial: home for home in homes}
                self._at = Place(traffic, master, by_serial, self._image(homes))
                traffic.echo = self._chance.random() < 0.5
                await master.probe_echo(UNUSED_UNIT)
                while self.tally.closings < end:
                    await self._several()
            self.tally.transactions += traffic.serial
            self.tally.late += counters.late
            progress(self.tally)
        return self.tally

    def _homes(self) -> list[Home]:
        units = self._chance.sample(range(1, BOARD_UNIT), HOMES)
        return [self._home(at, unit) for at, unit in enumerate(units)]

    def _home(self, at: int, unit: int) -> Home:
        profile = ("acrel-ddsy1352", "dds238-2-zn-sr", "sdm230-relay8")[at % 3]
        boarded = profile == "sdm230-relay8"
        meter = Meter(
            account=f"{1000 + at}",
            serial=f"{220_315_000_000 + at}" if at % 3 == 0 else f"{18_074_000 + at}",
            profile=profile,
            bus="A",
            unit=unit,
            dt="DT-1",
            second_proof="sheet" if profile == "dds238-2-zn-sr" else None,
            switch_unit=BOARD_UNIT if boarded else None,
            switch_channel=at // 3 % CHANNELS if boarded else None,
        )
        home = Home(
            meter,
            relay=self._chance.choices(tuple(Relay), (70, 15, 15))[0],
            loaded=self._chance.random() < 0.8,
            fed_back=self._chance.random() < 0.05,
            swapped=self._chance.random() < 0.1,
            deceives=self._deceived,
        )
        home.came = self._came
        return home

    def _traffic(self, homes: list[Home]) -> Traffic:
        units: dict[int, CodedMeter] = {}
        for home in homes:
            kinds = {"acrel-ddsy1352": Acrel, "dds238-2-zn-sr": Dds, "sdm230-relay8": Sdm}
            unit = kinds[home.meter.profile](home)
            unit.dead = self._chance.random() < 0.05
            units[home.meter.unit] = unit
        boarded = (home for home in homes if home.meter.switch_channel is not None)
        units[BOARD_UNIT] = Board(BOARD_UNIT, {it.meter.switch_channel: it for it in boarded})
        kept = PROFILES["dds238-2-zn-sr"].timing
        return Traffic(
            units,
            Faults(late_s=(kept.timeout_ms + kept.turnaround_max_ms) / 1000),
            self._chance,
            baud=self._chance.choice((9600, 9600, 19200)),
            step=self._chance.choice((1, 3, 8, 300)),
        )

    def _image(self, homes: list[Home]) -> Image:
        """Most have paid."""
        image = paid_image(tuple(home.meter for home in homes), PROFILES)
        words = {
            account: word
            for account, word in image.kept.words.items()
            if self._chance.random() < 0.9
        }
        return with_kept(image, words=words)

    async def _several(self) -> None:
        """Some closes at once, with polls between their steps, and sometimes a hold."""
        chosen = self._chance.sample(tuple(self._at.homes.values()), self._chance.choice((1, 1, 3)))
        before = self._at.image
        for home in chosen:
            if self._chance.random() < 0.95:
                home.cut()
        polls = asyncio.create_task(self._poll())
        hold = asyncio.create_task(self._hold(chosen[0]))
        try:
            await asyncio.gather(*map(self._close, chosen))
        finally:
            for task in (polls, hold):
                task.cancel()
            await asyncio.gather(polls, hold, return_exceptions=True)
            self._at.image = before

    async def _poll(self) -> None:
        while True:
            await until(asyncio.get_running_loop().time() + self._chance.uniform(0, 0.5))
            home = self._chance.choice(tuple(self._at.homes.values()))
            device = _device(home.meter)
            for read in measure_reads(device):
                await self._ask(device, read.request, Priority.POLL)

    async def _hold(self, home: Home) -> None:
        if self._chance.random() < 0.8:
            return
        await until(asyncio.get_running_loop().time() + self._chance.uniform(0, 2))
        self._at.image = held(self._at.image, home.meter.serial)
        self.tally.held += 1

    async def _close(self, home: Home) -> None:
        serial = home.meter.serial
        was, obeyed = home.closed, home.obeyed
        self._at.under_way.add(serial)
        order = self._order(home.meter)
        report = await self._carried_out(order)
        if report is None:
            self.tally.cut_short += 1
            order = self._order(home.meter, resumed=True)
            report = await self._carried_out(order)
            assert report is not None
        self._at.under_way.remove(serial)
        self.tally.closings += 1
        self.tally.outcomes[report.outcome] += 1
        self._judge(home, report, order, was=was, came=home.obeyed - obeyed)

    def _order(self, meter: Meter, *, resumed: bool = False) -> SwitchCommand:
        self._number += 1
        writes_max = 0 if resumed else None
        return command(meter, number=self._number, resumed=resumed, writes_max=writes_max)

    async def _carried_out(self, order: SwitchCommand) -> SwitchReport | None:
        """The report; None where the process that was at it has died, as far as it knows."""
        begun = self._at.image
        work = asyncio.create_task(
            carry_out(
                order,
                _device(order.meter),
                ask=self._ask,
                image=lambda: begun if self._forgetful else self._at.image,
                clock=LoopClock(),
            )
        )
        dies = not order.resumed and self._chance.random() < 0.05
        await asyncio.wait((work,), timeout=self._chance.uniform(0, 1.5) if dies else None)
        if not work.done():
            work.cancel()
            await asyncio.wait((work,))
        return None if work.cancelled() else work.result()

    async def _ask(
        self,
        device: Device,
        request: Request,
        priority: Priority,
        may_go: MayGo = unconditionally,
    ) -> Reply | Fault:
        assert priority is Priority.POLL or device.serial in self._at.under_way
        async with self._at.free:
            return await self._at.master.exchange(request, device.profile.timing, may_go)

    def _came(self, home: Home) -> None:
        """A write has come to a switch: was it to?"""
        meter = home.meter
        if meter.serial not in self._at.under_way:
            self._note(home, "was written, and nobody had asked for that")
        if meter.account not in self._at.image.kept.words:
            self._note(home, "was written, and its account has not paid")
        if self._at.image.kept.tags and self._at.image.kept.tags[0].target == meter.serial:
            self._note(home, "was written in spite of a hold")
        if home.swapped and meter.second_proof is None:
            self._note(home, "was written, and another meter stands there")

    def _judge(
        self, home: Home, report: SwitchReport, order: SwitchCommand, *, was: bool, came: int
    ) -> None:
        if report.outcome in DONE and not home.closed:
            self._note(home, f"is said to be closed, and is not: {report}")
        if report.why is Why.STILL_OPEN and home.closed and home.relay is not Relay.LYING:
            self._note(home, f"is said to be open, and is not: {report}")
        if report.outcome in NEVER_WRITTEN and not report.writes and not order.resumed and came:
            self._note(home, f"is said not to have been written, and was: {report}")
        if not order.resumed and not came <= report.writes <= order.writes_max:
            self._note(home, f"was written {came} times: {report}")
        if was and came:
            self._note(home, "was closed before, and was written")

    def _note(self, home: Home, what: str) -> None:
        place = f"closing {self.tally.closings}, request {self._at.traffic.serial}"
        self.tally.wrong.append(f"{place}: {home.meter.serial} {home.relay}: {what}")


def _device(meter: Meter) -> Device:
    device = device_of(meter, PROFILES)
    assert device is not None
    return device


def replay(seed: int, closings: int) -> str:
    """How to see a failure again."""
    return f"python -m tests.campaign.closing --seed {seed} --closings {closings}"


@click.command(help="Try closing on a faulty line in virtual time. Fails on a false reconnection.")
@click.option("--closings", type=click.IntRange(min=1), default=100_000, show_default=True)
@click.option("--seed", type=int, help="Drawn anew where it is not given.")
def main(closings: int, seed: int | None) -> None:
    """Run the campaign and say what it found."""
    chosen = secrets.randbits(32) if seed is None else seed
    click.echo(replay(chosen, closings))

    def progress(tally: Tally) -> None:
        if tally.closings % 10_000 < STRETCH:
            click.echo(f"{tally.closings:>9} done, {len(tally.wrong)} wrong")

    tally = in_virtual_time(Campaign(chosen).run(closings, progress))
    click.echo(tally)
    for line in tally.wrong[:SHOWN_MAX]:
        click.echo(line)
    raise SystemExit(1 if tally.wrong else 0)


if __name__ == "__main__":
    main()
