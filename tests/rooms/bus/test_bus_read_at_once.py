"""Meters that an order wants read: at once, before all others, and with their values."""

from collections.abc import Mapping, Sequence

import msgspec

from gateway.bus.device import Device
from gateway.bus.profile import load_profiles
from gateway.core.due import READ_EACH_MS, READ_WITHIN_MS
from gateway.core.fact import MeterSeen
from gateway.core.image import Image, with_kept
from gateway.core.model import Reading, Serial
from gateway.core.orders import Read
from gateway.core.progress import OrderState, Pending, Progress
from gateway.core.waiting import instant_of
from gateway.host.clock import HostClock, boot_id
from tests.rooms.bus.gateway_side import Collected, paid_image, running
from tests.rooms.bus.test_bus_polling import dds, opened
from tests.rooms.bus.virtual import Round, in_virtual_time
from tests.rooms.bus.wire import OtherEnd, Slave, slaves

PROFILES = load_profiles(None)
DDS = PROFILES["dds238-2-zn-sr"]
SETTLED_S = 120.0
"""By then every meter was read, and is read again only in its turn."""


def lit(*, dead: bool = False) -> Slave:
    energy = dict.fromkeys(range(0x12), 0)
    return Slave({3: {**energy, 0x0C: 2310, 0x0D: 130, 0x1A: 1}}, dead=dead)


def devices(units: Mapping[int, Slave]) -> tuple[Device, ...]:
    return tuple(Device(serial=Serial(f"H{unit}"), profile=DDS, unit=unit) for unit in units)


def read_since(of: Round, since_ms: int) -> dict[str, Reading]:
    """The first reading of each meter since then."""
    found: dict[str, Reading] = {}
    for one in of.inbox.events:
        if isinstance(one, MeterSeen) and one.reading.mono_ms >= since_ms:
            found.setdefault(one.serial, one.reading)
    return found


async def wanted(
    units: dict[int, Slave], of_units: Sequence[int], seconds: float, *, again: bool = False
) -> Round:
    """A settled round in which some meters are wanted, so many seconds later."""
    of = Round(units)
    of.polling.take(devices(units))
    await of.run_for(SETTLED_S)
    since_ms = round(SETTLED_S * 1000)
    for _ in range(1 + again):
        of.polling.read_at_once({f"H{unit}": since_ms for unit in of_units})
    await of.run_for(seconds)
    return of


def test_wanted_meters_are_read_before_all_others_with_their_values() -> None:
    units = {unit: lit() for unit in range(1, 61)}
    of = in_virtual_time(wanted(units, (50, 7, 33), 1.0))
    read = read_since(of, round(SETTLED_S * 1000))
    first = list(read)[:3]
    assert first == ["H7", "H33", "H50"]
    for serial in first:
        assert read[serial].values_ms is not None
        assert read[serial].values_ms >= SETTLED_S * 1000


def test_they_are_read_once_however_often_that_is_said() -> None:
    units = {unit: lit() for unit in range(1, 11)}
    of = in_virtual_time(wanted(units, (5,), 2.0, again=True))
    seen = [
        one
        for one in of.inbox.events
        if isinstance(one, MeterSeen)
        and one.serial == "H5"
        and one.reading.mono_ms >= SETTLED_S * 1000
    ]
    assert len(seen) == 1


def test_a_silent_meter_that_is_wanted_is_asked_three_times_and_the_others_go_on() -> None:
    units = {1: lit(dead=True), **{unit: lit() for unit in range(2, 11)}}
    of = in_virtual_time(wanted(units, (1, 2), 20.0))
    asked = [at_s for at_s, unit in of.wire.requests if unit == 1 and at_s >= SETTLED_S]
    assert len([at_s for at_s in asked if at_s < SETTLED_S + 5]) == 3
    assert set(read_since(of, round(SETTLED_S * 1000))) == {f"H{unit}" for unit in range(2, 11)}


def test_one_that_nobody_has_is_no_matter() -> None:
    of = in_virtual_time(wanted({1: lit()}, (99,), 1.0))
    assert of.polling.turns.of("H99") is None


def test_as_many_as_one_order_may_name_are_read_within_its_time() -> None:
    units = {unit: lit() for unit in range(1, 201)}
    limit_s = (READ_WITHIN_MS + len(units) * READ_EACH_MS) / 1000
    of = in_virtual_time(wanted(units, tuple(units), limit_s))
    read = read_since(of, round(SETTLED_S * 1000))
    assert len(read) == len(units)
    assert all(one.values_ms is not None and one.values_ms >= SETTLED_S * 1000
               for one in read.values())  # fmt: skip


def reading(image: Image, *serials: str) -> Image:
    """The image in which an order has just asked for these meters."""
    now = HostClock(boot_id(), 0).now()
    pending = Pending(act=Read(meters=serials), accepted=instant_of(now), exp=now.wall_ms)
    order = Progress(
        id="order-1", kind="read", state=OrderState.IN_PROGRESS, version=1, pending=pending
    )
    return with_kept(image, orders={order.id: order})


async def test_the_room_reads_what_an_order_asks_for_when_it_is_shown() -> None:
    units = {1: opened(), 2: opened()}
    for slave in units.values():
        slave.tables[3] |= {0x1A: 1}
    end, inbox = OtherEnd(slaves(units)), Collected()
    image = paid_image((dds(1), dds(2)), PROFILES)
    async with running({"A": end.path}, PROFILES, inbox) as buses:
        buses.show(image)
        await inbox.first(MeterSeen, lambda one: one.serial == "H1")
        await inbox.first(MeterSeen, lambda one: one.serial == "H2")
        inbox.events.clear()
        shown = reading(image, "H2")
        (order,) = shown.kept.orders.values()
        assert order.pending is not None
        since_ms = order.pending.accepted.mono_ms
        buses.show(shown)
        buses.show(msgspec.structs.replace(shown, number=5))
        seen = await inbox.first(MeterSeen, lambda one: one.serial == "H2")
        assert seen.reading.mono_ms >= since_ms
        assert seen.reading.values_ms is not None
        assert seen.reading.values_ms >= since_ms
    end.close()
