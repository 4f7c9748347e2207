"""An example of every message, made by the encoders that make the real ones, and the tests' keys.

Owns the story that they tell: one gateway with two homes. Must never be typed by hand.
"""

import base64
import zlib
from typing import Any

import msgspec

from gateway.bundle import status_without_homes
from gateway.core.documents import Site, Time
from gateway.core.model import GatewayId, Reading, SupplyState
from gateway.core.orders import Read, Reconnect
from gateway.core.progress import OrderState, Progress, Readings, ReadingTaken
from gateway.core.readings import Quality
from gateway.core.records import CHAIN_START, Stored, store
from gateway.daemon import Birth
from gateway.headend.messages import pack_absence, pack_ack, pack_host, pack_records
from gateway.headend.metering import MeterReading, Place, pack_readings
from gateway.headend.notes import pack_meter, pack_order
from gateway.utility.drill import Drill, pack_drill
from tests.core.papers import M1, M2, NOON_MS, allow_list, cut, entry, order, receipt
from tests.core.world import World
from tests.signing import (
    KEYS,
    ROOT_RAW,
    sign_list,
    sign_order,
    sign_receipt,
    sign_site,
    sign_time,
)

GATEWAY = GatewayId("gw-1")
READ = Reading(
    mono_ms=5 * 3_600_000 - 2_000,
    state=SupplyState.CONNECTED,
    values_ms=5 * 3_600_000 - 2_000,
    supply_mv=231_400,
    current_ma=1_250,
    power_w=287,
    energy_wh=4_711_000,
)


def examples() -> dict[str, Any]:
    """The plain payload of every message, by the message's name."""
    world = _world()
    stored = _stored(world)
    last = stored[-1]
    status = msgspec.structs.replace(
        status_without_homes(world.image, world.now), records=len(stored)
    )
    site = Site(gateway=GATEWAY, seq=1, feeder="feeder-1", meters=(M1, M2))
    one, two = KEYS.orders
    raw: dict[str, bytes] = {
        "status": msgspec.json.encode(status),
        "absence": pack_absence(GATEWAY),
        "birth": _birth(),
        "records": pack_records(GATEWAY, CHAIN_START, stored[:3]).payload,
        "readings": _readings(last),
        "order": pack_order(GATEWAY, _progress()),
        "meter": pack_meter(GATEWAY, M1.serial, READ, Quality.GOOD, world.now),
        "ack": pack_ack(last.number, last.chain, 2),
        "host": pack_host(online=True, ts=NOON_MS),
        "drill": pack_drill(Drill(held=True, holder="5d1e9a07")),
        "rootDocument": ROOT_RAW,
        "siteDocument": sign_site(site),
        "listDocument": sign_list(allow_list(1, 200, entry(1, 100, cut=True), entry(2, 150))),
        "receiptDocument": sign_receipt(receipt(1, 100)),
        "orderDocument": sign_order(order(1, Reconnect(account="A1", meter="M1")), one),
        "orderDocumentOfTwoKeys": sign_order(order(2, cut(2)), one, two),
        "timeDocument": sign_time(Time(nonce="boot-1.0", now=NOON_MS)),
    }
    return {name: _plain(payload) for name, payload in raw.items()}


def on_the_wire(plain: Any) -> bytes:
    """The bytes of an example, as they may be published."""
    return plain.encode() if isinstance(plain, str) else msgspec.json.encode(plain)


def _plain(payload: bytes) -> Any:
    if payload.startswith(b"\x78"):
        payload = zlib.decompress(payload)
    if payload.startswith((b"{", b"[")):
        return msgspec.json.decode(payload)
    return payload.decode()


def _world() -> World:
    """It is noon; M1 is paid and dark."""
    world = World(M1, M2)
    world.lists(200, entry(1, 100, cut=True), entry(2, 150))
    world.reads("M1", SupplyState.DISCONNECTED)
    world.reads("M2", SupplyState.CONNECTED)
    world.hears()
    return world


def _stored(world: World) -> list[Stored]:
    found: list[Stored] = []
    for record, _ in world.journal:
        found.append(store(record, found[-1].chain if found else CHAIN_START))
    return found


def _birth() -> bytes:
    public = base64.urlsafe_b64encode(bytes(range(32))).rstrip(b"=").decode()
    return msgspec.json.encode(
        Birth(
            gateway=GATEWAY,
            device_key=public,
            root_sha256="ab" * 32,
            version="1.0",
            buses=("A",),
            profiles=("dds238-2-zn-sr", "sdm230-relay8"),
            meters=2,
            root_seq=1,
        )
    )


def _readings(last: Stored) -> bytes:
    place = Place(number=last.number, chain=last.chain.hex())
    readings = [
        MeterReading(
            ordinal=at,
            meter=serial,
            wall_ms=NOON_MS - 60_000,
            trusted=True,
            state=SupplyState.CONNECTED,
            supply_mv=231_000 + at,
            energy_wh=4_711_000 + at,
        )
        for at, serial in enumerate(("M1", "M2"), start=1)
    ]
    return pack_readings(GATEWAY, place, 0, 0, readings, 2).payload


def _progress() -> Progress:
    taken = ReadingTaken(
        meter="M1", state=SupplyState.CONNECTED, wall_ms=NOON_MS, supply_mv=231_400
    )
    states = (OrderState.QUEUED, OrderState.IN_PROGRESS, OrderState.SUCCEEDED)
    return Progress(
        id="order-1",
        kind=str(Read.__struct_config__.tag),
        state=OrderState.SUCCEEDED,
        version=3,
        at={state: NOON_MS + at * 800 for at, state in enumerate(states)},
        trusted=True,
        result=Readings(readings=(taken,)),
    )
