"""A bus that an order has looked around, by the room that polls it, over a pseudo terminal."""

from pathlib import Path

import msgspec

from gateway.bus.frame import READS
from gateway.core.errands import NOT_IN_TIME, SCAN_MAX_MS
from gateway.core.fact import MeterSeen, ScanReport
from gateway.core.image import Image, with_kept
from gateway.core.orders import Scan
from gateway.core.progress import OrderState, Pending, Progress
from gateway.core.waiting import instant_of
from gateway.host.clock import HostClock, boot_id
from tests.rooms.bus.gateway_side import Collected, paid_image, running, site_profiles
from tests.rooms.bus.test_bus_scan import acrel, numbered
from tests.rooms.bus.wire import OtherEnd, slaves

SILENT = (7, 200, 247)
SERIALS = {unit: f"2203150{unit:05}" for unit in range(1, 248) if unit not in SILENT}
"""A full line: nearly nobody has to be waited for in vain."""


def looked_around(image: Image, *, since_ms: int = 0) -> Image:
    """The image with an order, accepted so long ago, that wants bus A looked around."""
    now = instant_of(HostClock(boot_id(), 0).now())
    accepted = msgspec.structs.replace(now, mono_ms=now.mono_ms - since_ms)
    pending = Pending(act=Scan(bus="A"), accepted=accepted, exp=0)
    order = Progress(id="order-1", kind="scan", state=OrderState.IN_PROGRESS, pending=pending)
    return with_kept(image, orders={"order-1": order})


async def reported(directory: Path, *, since_ms: int = 0) -> ScanReport:
    """What becomes of the scan beside polling; nothing was written meanwhile."""
    profiles = site_profiles(directory)
    meter = msgspec.structs.replace(numbered(SERIALS[1], 1), profile="acrel-here")
    image = paid_image((meter,), profiles)
    end, inbox = OtherEnd(slaves({unit: acrel(it) for unit, it in SERIALS.items()})), Collected()
    try:
        async with running({"A": end.path}, profiles, inbox) as room:
            room.show(looked_around(image, since_ms=since_ms))
            await inbox.first(MeterSeen)
            report = await inbox.first(ScanReport)
        assert {request[1] for request in end.requests} <= READS
    finally:
        end.close()
    return report


async def test_everybody_on_the_bus_is_found_beside_polling(tmp_path: Path) -> None:
    report = await reported(tmp_path)
    assert (report.order, report.reason) == ("order-1", "")
    assert {one.unit: one.serial for one in report.result.found} == SERIALS
    assert {one.profile for one in report.result.found} == {"acrel-here"}
    assert report.result.silent == len(SILENT)


async def test_one_whose_time_is_over_says_how_far_it_came(tmp_path: Path) -> None:
    report = await reported(tmp_path, since_ms=SCAN_MAX_MS)
    assert (report.reason, report.detail) == (NOT_IN_TIME, "0 of 247 addresses were asked")
    assert report.result.found == ()
