"""Which orders and meters are told, in which order and at which pace; and how they are put."""

import msgspec
import pytest

from gateway.core.image import Image, with_kept
from gateway.core.model import GatewayId, Reading, SupplyState
from gateway.core.progress import HomeResult, Homes, OrderState, Progress
from gateway.core.readings import Quality
from gateway.headend.messages import BadPayload
from gateway.headend.notes import NOTE_MAX, pack_meter, pack_order, read_meter, read_order
from gateway.headend.publishing import (
    METERS_EVERY_S,
    METERS_MAX,
    ORDERS_WINDOW,
    VALUES_EVERY_S,
    MetersTold,
    OrdersTold,
)
from tests.core.papers import NOON_MS, meter
from tests.core.world import World

CLOSED, OPEN = SupplyState.CONNECTED, SupplyState.DISCONNECTED


def told(order: str, version: int = 1, number: int = 1, *, ended: bool = False) -> Progress:
    state = OrderState.SUCCEEDED if ended else OrderState.QUEUED
    return Progress(id=order, kind="hold", state=state, version=version, number=number)


def holding(*orders: Progress, acked_through: int = 0) -> Image:
    """An image that knows these orders."""
    image = with_kept(
        World(meter(1)).image,
        orders={one.id: one for one in orders if not one.ended},
        orders_ended={one.id: one for one in orders if one.ended},
    )
    return msgspec.structs.replace(image, acked_through=acked_through)


def ids(outgoing: OrdersTold, image: Image) -> list[str]:
    """Which orders go out now; the broker confirms each."""
    taken = [one.id for one in outgoing.take(image)]
    for _ in taken:
        outgoing.confirmed()
    return taken


def test_an_order_is_told_once_for_each_of_its_versions_oldest_change_first() -> None:
    outgoing = OrdersTold()
    first = holding(told("b", number=2), told("a", number=3), told("c", number=1, ended=True))
    assert ids(outgoing, first) == ["c", "b", "a"]
    assert ids(outgoing, first) == []
    assert ids(outgoing, holding(told("b", number=2), told("a", 2, number=4))) == ["a"]


def test_what_the_head_end_holds_as_a_record_is_not_told() -> None:
    acked = holding(
        told("under-way", number=1),
        told("known", number=5, ended=True),
        told("not-yet", number=6, ended=True),
        acked_through=5,
    )
    assert ids(OrdersTold(), acked) == ["under-way", "not-yet"]


def test_after_a_connection_all_is_told_again_that_it_may_not_know() -> None:
    outgoing = OrdersTold()
    image = holding(told("a", number=1), told("b", number=2, ended=True))
    assert [ids(outgoing, image), ids(outgoing, image)] == [["a", "b"], []]
    outgoing.begin_again()
    assert ids(outgoing, image) == ["a", "b"]


def test_only_so_many_are_under_way_until_the_broker_confirms_one() -> None:
    outgoing = OrdersTold()
    image = holding(*(told(f"{at:02}", number=at) for at in range(ORDERS_WINDOW + 3)))
    taken = [one.id for one in outgoing.take(image)]
    assert taken == [f"{at:02}" for at in range(ORDERS_WINDOW)]
    assert list(outgoing.take(image)) == []
    outgoing.confirmed()
    assert [one.id for one in outgoing.take(image)] == [f"{ORDERS_WINDOW:02}"]


def test_an_order_that_changes_while_it_waits_for_its_turn_is_told_as_it_is() -> None:
    outgoing = OrdersTold()
    first = [told(f"{at:02}", number=at) for at in range(ORDERS_WINDOW + 1)]
    assert len(list(outgoing.take(holding(*first)))) == ORDERS_WINDOW
    last = told(first[-1].id, 4, number=99)
    outgoing.confirmed()
    (one,) = outgoing.take(holding(*first[:-1], last))
    assert one == last


# --- meters ---


class Meters:
    """A town, what was told of it, and the seconds that went by."""

    def __init__(self, count: int) -> None:
        self.world = World(*(meter(number) for number in range(1, count + 1)))
        self.told = MetersTold()
        self.at_s = 0.0

    def look(self, after_s: float = METERS_EVERY_S) -> list[str]:
        """Of whom is spoken so much later."""
        self.at_s += after_s
        self.world.wait(int(after_s * 1000))
        news = self.told.take(self.world.image, self.world.now, self.at_s)
        return [("-" if one.gone else "") + one.serial for one in news]

    def reads(self, number: int, state: SupplyState = CLOSED) -> None:
        """A meter is read, with its values."""
        now = self.world.now.mono_ms
        seen = {
            **self.world.image.seen,
            f"M{number}": Reading(state=state, mono_ms=now, values_ms=now, supply_mv=now % 1000),
        }
        self.world.image = msgspec.structs.replace(self.world.image, seen=seen)


def test_each_meter_is_told_at_first_and_then_when_its_state_changes() -> None:
    meters = Meters(2)
    assert meters.look() == ["M1", "M2"]
    assert meters.look() == []
    meters.reads(2)
    assert meters.look() == ["M2"]
    meters.reads(2, OPEN)
    assert meters.look() == ["M2"]


def test_a_meter_is_told_when_its_state_grows_old() -> None:
    meters = Meters(1)
    meters.reads(1)
    assert meters.look() == ["M1"]
    assert meters.look(120) == ["M1"]
    assert meters.look() == []


def test_values_alone_are_told_no_oftener_than_is_wished() -> None:
    meters = Meters(1)
    meters.reads(1)
    assert meters.look() == ["M1"]
    spoken = 0
    for _ in range(int(VALUES_EVERY_S / 20)):
        meters.reads(1)
        spoken += len(meters.look(20))
    assert spoken == 1


def test_between_two_looks_nothing_is_told() -> None:
    meters = Meters(1)
    assert meters.look() == ["M1"]
    meters.reads(1)
    assert meters.look(METERS_EVERY_S / 2) == []
    assert meters.look(METERS_EVERY_S / 2) == ["M1"]


def test_a_town_is_told_at_a_steady_pace_and_what_changes_goes_first() -> None:
    meters = Meters(3 * METERS_MAX)
    first, second = meters.look(), meters.look()
    assert len(first) == len(second) == METERS_MAX
    assert not set(first) & set(second)
    assert len(meters.look()) == METERS_MAX
    assert meters.look() == []
    meters.told.begin_again()
    meters.reads(3 * METERS_MAX, OPEN)
    again = meters.look()
    assert (again[0], len(again)) == (f"M{3 * METERS_MAX}", METERS_MAX)
    rest = meters.look() + meters.look()
    assert len({*again, *rest}) == 3 * METERS_MAX


def test_who_leaves_the_roster_is_taken_away_and_check_meters_are_told_too() -> None:
    meters = Meters(2)
    assert meters.look() == ["M1", "M2"]
    assert meters.world.site(meter(1), transformers=()) == "ACCEPTED"
    assert meters.look() == ["-M2"]
    assert meters.look() == []


# --- notes ---


def test_a_note_of_an_order_comes_back_as_it_was() -> None:
    homes = Homes(homes=(HomeResult(meter="M1", outcome="OPENED_VERIFIED", state=OPEN),))
    progress = Progress(
        id="order-1",
        kind="disconnect",
        state=OrderState.SUCCEEDED,
        version=3,
        number=9,
        at={"QUEUED": 1, "SUCCEEDED": 2},
        trusted=True,
        reason="OPENED_VERIFIED",
        result=homes,
    )
    raw = pack_order(GatewayId("gw-1"), progress)
    assert msgspec.json.decode(raw) == {
        "gateway": "gw-1",
        "id": "order-1",
        "kind": "disconnect",
        "state": "SUCCEEDED",
        "version": 3,
        "reason": "OPENED_VERIFIED",
        "detail": "",
        "at": {"QUEUED": 1, "SUCCEEDED": 2},
        "trusted": True,
        "result": {
            "type": "homes",
            "homes": [{"meter": "M1", "outcome": "OPENED_VERIFIED", "state": "DISCONNECTED"}],
        },
    }
    assert read_order(raw).result == homes


def test_a_note_of_a_meter_says_when_it_was_read() -> None:
    world = World(meter(1))
    reading = Reading(
        state=OPEN,
        mono_ms=world.now.mono_ms - 1_000,
        values_ms=world.now.mono_ms - 5_000,
        load_mv=0,
        power_w=-7,
    )
    note = read_meter(pack_meter(GatewayId("gw-1"), "M1", reading, Quality.GOOD, world.now))
    assert (note.state, note.quality, note.wall_ms) == (OPEN, Quality.GOOD, NOON_MS - 1_000)
    assert note.values is not None
    assert (note.values.wall_ms, note.values.load_mv) == (NOON_MS - 5_000, 0)
    assert (note.values.power_w, note.values.supply_mv) == (-7, None)


def test_a_note_of_a_meter_that_was_not_read_says_so() -> None:
    world = World(meter(1))
    note = read_meter(pack_meter(GatewayId("gw-1"), "M1", None, Quality.UNREAD, world.now))
    assert (note.state, note.wall_ms, note.values) == (SupplyState.UNKNOWN, None, None)


@pytest.mark.parametrize("read", [read_order, read_meter], ids=["order", "meter"])
@pytest.mark.parametrize("raw", [b"", b"{}", b"\xff", b" " * (NOTE_MAX + 1)], ids=range(4))
def test_another_note_is_refused_by_name(read: type, raw: bytes) -> None:
    with pytest.raises(BadPayload) as caught:
        read(raw)
    kind = "ORDER" if read is read_order else "METER"
    assert caught.value.flaw == ("TOO_LONG" if len(raw) > NOTE_MAX else f"MALFORMED_{kind}")
