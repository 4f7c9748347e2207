"""What meters measure: read at the site's interval, with its age, however their registers lie."""

from collections.abc import Sequence

import msgspec
import pytest

from gateway.bus.asking import Priority
from gateway.bus.budget import POLLING_SHARE, Intervals, Speed, budget, demand_of, outlook, told
from gateway.bus.checkup import Checkup, check_up
from gateway.bus.device import Device, devices_on
from gateway.bus.frame import Request
from gateway.bus.profile import load_profiles
from gateway.bus.rtu import Fault, MayGo, Reply, unconditionally
from gateway.core.fact import MeterSeen
from gateway.core.image import Image, restored
from gateway.core.model import Meter, Reading, Serial
from gateway.core.terms import CheckMeter, Limits
from tests.rooms.bus.gateway_side import paid_image
from tests.rooms.bus.virtual import Round, in_virtual_time
from tests.rooms.bus.wire import Slave, framed

PROFILES = load_profiles(None)
DDS = PROFILES["dds238-2-zn-sr"]
VALUES = (0x00, 0x01, 0x0C, 0x0D, 0x0E)
WHOLE = {0x00: 1, 0x01: 0x86BE, 0x0C: 2310, 0x0D: 130, 0x0E: 299, 0x1A: 1}
"""1000.30 kWh, 231 V, 1.3 A, 299 W, closed."""


def dds(unit: int) -> Meter:
    return Meter(
        account=f"10{unit:02}",
        serial=f"H{unit}",
        profile="dds238-2-zn-sr",
        bus="A",
        unit=unit,
        dt="DT-1",
        second_proof="sheet",
    )


def on_site(meters: Sequence[Meter], **limits: int) -> Image:
    image = paid_image(tuple(meters), PROFILES)
    assert image.kept.site is not None
    site = msgspec.structs.replace(image.kept.site, limits=Limits(**limits))
    return restored(image, msgspec.structs.replace(image.kept, site=site))


class Particular(Slave):
    """A meter that gives one value at a time and no two together."""

    def respond(self, request: bytes) -> bytes | None:
        unit, function, address, count = request[0], request[1], request[3], request[5]
        if function == 3 and count > (2 if address == 0 else 1):
            return framed(unit, function | 0x80, self.refuses_with)
        return super().respond(request)

    refuses_with = 2


def asked(of: Round, unit: int) -> list[tuple[int, int]]:
    """The addresses and counts of its values that one unit was asked for."""
    requests = (one for one in of.wire.frames if one[0] == unit)
    return [(one[3], one[5]) for one in requests if one[3] in VALUES]


def readings(of: Round, serial: str) -> list[Reading]:
    seen = (one for one in of.inbox.events if isinstance(one, MeterSeen))
    return [one.reading for one in seen if one.serial == serial]


def a_round(units: dict[int, Slave], devices: Sequence[Device], seconds: float) -> Round:
    async def run() -> Round:
        of = Round(units)
        of.polling.take(devices)
        await of.run_for(seconds)
        return of

    return in_virtual_time(run())


def test_a_reading_has_the_meters_values_and_when_they_were_read() -> None:
    of = a_round({1: Slave({3: dict(WHOLE)})}, devices_on("A", on_site([dds(1)]), PROFILES), 60.0)
    first, *_, last = readings(of, "H1")
    assert (first.energy_wh, first.power_w, first.values_ms) == (None, None, None)
    assert (last.energy_wh, last.power_w) == (1_000_300, 299)
    assert (last.supply_mv, last.current_ma) == (231_000, 1_300)
    assert last.values_ms is not None
    # The state is news, the values are those of their own last turn.
    assert last.mono_ms > last.values_ms + 1_000


@pytest.mark.parametrize("every_s", [15, 30, 120])
def test_values_are_read_at_the_sites_interval(every_s: int) -> None:
    devices = devices_on("A", on_site([dds(1)], values_every_ms=1_000 * every_s), PROFILES)
    of = a_round({1: Slave({3: dict(WHOLE)})}, devices, 600.0)
    times = {one.values_ms for one in readings(of, "H1")} - {None}
    # They are read with the state whose turn comes next.
    within_s = every_s + Intervals().connected_s
    assert 600 / within_s - 1 <= len(times) <= 600 / every_s + 1


def test_a_site_that_wants_values_too_often_gets_them_as_often_as_the_bus_can() -> None:
    devices = devices_on(
        "A", on_site([dds(unit) for unit in range(1, 65)], values_every_ms=5_000), PROFILES
    )
    found = budget(
        demand_of([(one, False) for one in devices], Speed(baud=9600, character_bits=10)),
        Intervals(),
    )
    assert found.wished_share > 1
    assert found.share == pytest.approx(POLLING_SHARE)
    said = told(found)
    assert (said.devices, said.share_percent) == (64, 50)
    assert said.wished_percent > 100
    assert said.values_ms > 5_000


def test_a_site_that_wants_values_seldom_leaves_the_bus_to_the_states() -> None:
    seldom = devices_on("A", on_site([dds(1)], values_every_ms=900_000), PROFILES)
    often = devices_on("A", on_site([dds(1)]), PROFILES)
    speed = Speed(baud=9600, character_bits=10)
    budgets = [outlook(devices, speed, Intervals()).lit for devices in (seldom, often)]
    assert [one.intervals.measured_s for one in budgets] == [900.0, 30.0]
    assert budgets[0].share < budgets[1].share


@pytest.mark.parametrize("refuses_with", [2, 3])
def test_a_meter_that_refuses_neighbours_together_is_asked_for_each_alone(
    refuses_with: int,
) -> None:
    meter = Particular({3: dict(WHOLE)})
    meter.refuses_with = refuses_with
    devices = devices_on("A", on_site([dds(1)], values_every_ms=5_000), PROFILES)
    of = a_round({1: meter}, devices, 60.0)
    last = readings(of, "H1")[-1]
    assert (last.supply_mv, last.current_ma, last.power_w) == (231_000, 1_300, 299)
    assert last.energy_wh == 1_000_300
    # Together once, and never again.
    assert asked(of, 1).count((0x0C, 3)) == 1
    for alone in ((0x0C, 1), (0x0D, 1), (0x0E, 1)):
        assert asked(of, 1).count(alone) > 3


def test_another_refusal_than_of_the_registers_changes_nothing() -> None:
    meter = Particular({3: dict(WHOLE)})
    meter.refuses_with = 6
    of = a_round({1: meter}, devices_on("A", on_site([dds(1)]), PROFILES), 120.0)
    assert asked(of, 1).count((0x0C, 3)) > 2
    assert (0x0C, 1) not in asked(of, 1)


def test_a_refusal_of_one_meter_changes_nothing_for_another() -> None:
    units: dict[int, Slave] = {1: Particular({3: dict(WHOLE)}), 2: Slave({3: dict(WHOLE)})}
    of = a_round(units, devices_on("A", on_site([dds(1), dds(2)]), PROFILES), 120.0)
    assert asked(of, 2).count((0x0C, 3)) > 2
    assert (0x0C, 1) not in asked(of, 2)


def test_a_new_roster_is_asked_for_everything_together_again() -> None:
    devices = devices_on("A", on_site([dds(1)]), PROFILES)

    async def run() -> Round:
        of = Round({1: Particular({3: dict(WHOLE)})})
        for _ in range(2):
            of.polling.take(devices)
            await of.run_for(60.0)
        return of

    assert asked(in_virtual_time(run()), 1).count((0x0C, 3)) == 2


def test_a_check_meter_that_refuses_neighbours_is_read_all_the_same() -> None:
    check = CheckMeter(serial="C1", profile="dds238-2-zn-sr", bus="A", unit=9)
    image = paid_image((), PROFILES)
    image = msgspec.structs.replace(image, check_meters={"DT-1": check})
    of = a_round({9: Particular({3: dict(WHOLE)})}, devices_on("A", image, PROFILES), 30.0)
    last = readings(of, "C1")[-1]
    assert (last.supply_mv, last.current_ma) == (231_000, 1_300)
    assert asked(of, 9).count((0x0C, 2)) == 1


def test_a_technicians_test_of_such_a_check_meter_succeeds() -> None:
    device = Device(serial=Serial("C1"), profile=DDS, unit=9, measures_only=True)

    async def run() -> tuple[Checkup, Round]:
        of = Round({9: Particular({3: dict(WHOLE)})})

        async def ask(
            device: Device, request: Request, priority: Priority, may_go: MayGo = unconditionally
        ) -> Reply | Fault:
            assert priority is Priority.TEST
            return await of.asked(device, request, may_go)

        return await check_up(device, ask), of

    found, of = in_virtual_time(run())
    assert found.answered == len(found.trials) == 5
    assert asked(of, 9).count((0x0C, 2)) == 1


def test_values_that_cannot_be_read_any_more_grow_old() -> None:
    meter = Slave({3: dict(WHOLE)})

    async def run() -> Round:
        of = Round({1: meter})
        of.polling.take(devices_on("A", on_site([dds(1)]), PROFILES))
        await of.run_for(60.0)
        for address in VALUES:
            del meter.tables[3][address]
        await of.run_for(120.0)
        return of

    last = readings(in_virtual_time(run()), "H1")[-1]
    assert last.values_ms is not None
    assert last.mono_ms - last.values_ms > 100_000
    assert last.energy_wh == 1_000_300
