"""A whole town comes back: what its loads see, in virtual time, however slow the bus is."""

from collections import defaultdict
from itertools import pairwise

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.fact import Outcome, SwitchCommand, SwitchReport
from gateway.core.model import Meter, Reading, Serial, SupplyState
from gateway.core.records import CloseIntended
from gateway.core.reports import admit_report
from gateway.core.terms import Pacing, Transformer
from tests.core.papers import HOUR_MS, MINUTE_MS, meter
from tests.core.world import World

READ_BACK_MS = 600
"""From the write to the outcome."""


class Town:
    """Dark paid meters; each write reaches the wire after a delay, and ends well."""

    def __init__(self, meters: list[Meter], pacing: Pacing, delays_ms: list[int]) -> None:
        feeders = {one.dt: f"feeder-{int(one.dt[1:]) % 2}" for one in meters}
        self.world = World(
            *meters,
            pacing=pacing,
            transformers=tuple(Transformer(id=dt, feeder=of) for dt, of in feeders.items()),
        )
        self.feeders = feeders
        for one in meters:
            self.world.reads(one.serial, SupplyState.DISCONNECTED)
            assert self.world.pays(int(one.account[1:])) == "ACCEPTED"
        self.delays_ms = delays_ms
        self.dark = {one.serial for one in meters}
        self.decided: list[tuple[int, CloseIntended]] = []
        self.written: dict[str, int] = {}
        self._ends: list[tuple[int, SwitchCommand]] = []

    def comes_back(self) -> None:
        """Until every meter is closed; never more ticks than a close can need."""
        world = self.world
        for _ in range(8 * len(self.dark) + 8):
            for serial in sorted(self.dark):
                world.reads(serial, SupplyState.DISCONNECTED)
            planned = world.plans()
            now_ms = world.now.mono_ms
            intents = [body for body in planned.bodies if isinstance(body, CloseIntended)]
            self.decided += [(now_ms, body) for body in intents]
            for command in planned.commands:
                delay_ms = self.delays_ms[command.number % len(self.delays_ms)]
                self.written[command.meter.serial] = now_ms + delay_ms
                self._ends.append((now_ms + delay_ms + READ_BACK_MS, command))
            due = [at for at, _ in self._ends]
            if planned.deadline_ms is not None:
                due.append(planned.deadline_ms)
            if not due:
                return
            assert min(due) > now_ms, "the plan asks for a tick at once, again and again"
            world.wait(min(due) - now_ms)
            self._end_what_is_due()

    def _end_what_is_due(self) -> None:
        now_ms = self.world.now.mono_ms
        for at, command in [end for end in self._ends if end[0] <= now_ms]:
            self._ends.remove((at, command))
            serial = Serial(command.meter.serial)
            report = SwitchReport(
                number=command.number,
                move=command.move,
                serial=serial,
                outcome=Outcome.CLOSED_VERIFIED,
                writes=1,
                written_ms=self.written[serial],
                verified_ms=at,
                reading=Reading(state=SupplyState.CONNECTED, mono_ms=now_ms, serial=serial),
            )
            body = admit_report(report, self.world.image)
            assert body is not None
            self.world.record(body)
            self.world.reads(serial, SupplyState.CONNECTED)
            self.dark.remove(serial)


def town_of(dts: list[int], pacing: Pacing, delays_ms: list[int]) -> Town:
    meters = [meter(at, dt=f"T{dt}") for at, dt in enumerate(dts, start=1)]
    town = Town(meters, pacing, delays_ms)
    town.comes_back()
    return town


pacings = st.builds(
    Pacing,
    first_alone_ms=st.integers(0, 20_000),
    gap_ms=st.integers(0, 5_000),
    jitter_percent=st.integers(0, 90),
    dt_minute_max=st.integers(1, 6),
    feeder_minute_max=st.integers(1, 6),
    minute_max=st.integers(1, 6),
    quiet_ms=st.integers(0, 900_000),
)
delays = st.lists(st.integers(1, 90_000) | st.integers(1, 500), min_size=1, max_size=5)
"""A bus may be busy, or its adapter be gone for a while."""


@settings(max_examples=40)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=14), pacings, delays)
def test_however_slow_the_bus_a_feeder_is_loaded_as_the_site_document_says(
    dts: list[int], pacing: Pacing, delays_ms: list[int]
) -> None:
    town = town_of(dts, pacing, delays_ms)
    assert sorted(body.meter for _, body in town.decided) == sorted(
        one.serial for one in town.world.image.roster.values()
    ), "every paid home comes back, and is decided once"
    by_dt, by_feeder = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
    for _, body in town.decided:
        by_dt[body.dt].append(town.written[body.meter])
        by_feeder[town.feeders[body.dt]].append(town.written[body.meter])
    never_more_than(pacing.minute_max, list(town.written.values()))
    for times in by_feeder.values():
        never_more_than(pacing.feeder_minute_max, times)
    for times in by_dt.values():
        never_more_than(pacing.dt_minute_max, times)
        first = True
        for before, after in pairwise(times):
            least_ms = pacing.gap_ms - pacing.gap_ms * pacing.jitter_percent // 100
            assert after - before >= (pacing.first_alone_ms if first else least_ms)
            assert after - before >= READ_BACK_MS, "one at a time on each transformer"
            first = after - before > pacing.quiet_ms


def never_more_than(ceiling: int, times_ms: list[int]) -> None:
    for at in times_ms:
        assert sum(at - MINUTE_MS < other <= at for other in times_ms) <= ceiling


@settings(max_examples=20)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=12), pacings, delays)
def test_equal_towns_come_back_in_equal_bytes(
    dts: list[int], pacing: Pacing, delays_ms: list[int]
) -> None:
    one, other = town_of(dts, pacing, delays_ms), town_of(dts, pacing, delays_ms)
    assert one.world.written() == other.world.written()
    assert msgspec.json.encode(one.world.image.kept) == msgspec.json.encode(other.world.image.kept)


def test_with_the_default_pace_a_dt_of_forty_homes_is_back_within_the_promise() -> None:
    town = town_of([1] * 40, Pacing(), [100])
    begun = 5 * HOUR_MS
    first, second, *_ = (at - begun for at, _ in town.decided)
    assert (first, second) == (0, 5_100), "the first is alone, and observed from its write on"
    assert town.world.now.mono_ms - begun < 20 * MINUTE_MS
    assert len(town.written) == 40
