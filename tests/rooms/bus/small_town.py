"""One small meter of each type on a pseudo terminal, with the room at work on their line."""

import contextlib
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway.bus.profile import Profile
from gateway.bus.room import Buses
from gateway.core.fact import CloseCommand, CloseReport
from gateway.core.image import Image
from gateway.core.model import Meter
from tests.rooms.bus.gateway_side import Collected, paid_image, running, site_profiles
from tests.rooms.bus.wire import OtherEnd, Slave, slaves

ACREL = Meter(
    account="1001", serial="220315000001", profile="acrel-here", bus="A", unit=1, dt="DT-1"
)
DDS = Meter(
    account="1002",
    serial="H1",
    profile="dds238-2-zn-sr",
    bus="A",
    unit=2,
    dt="DT-1",
    second_proof="commissioning sheet 2",
)
SDM = Meter(
    account="1003",
    serial="18074403",
    profile="sdm230-relay8",
    bus="A",
    unit=3,
    dt="DT-1",
    switch_unit=40,
    switch_channel=4,
)
FORCE_CLOSED = (16, 0x0057, (1, 0))
RELAY_ON = (16, 0x001A, (1,))
COIL_ON = (5, 4, (0xFF00,))


def volts(value: float) -> dict[int, int]:
    high, low = struct.unpack(">2H", struct.pack(">f", value))
    return {0: high, 1: low}


def amperes(value: float) -> dict[int, int]:
    high, low = struct.unpack(">2H", struct.pack(">f", value))
    return {6: high, 7: low}


@dataclass
class Town:
    """One meter of each type, opened, as plain registers; and the room on their line."""

    end: OtherEnd
    inbox: Collected
    profiles: dict[str, Profile]
    image: Image
    buses: Buses
    acrel: Slave
    dds: Slave
    sdm: Slave
    board: Slave
    units: dict[int, Slave] = field(default_factory=dict)

    async def report(self, order: CloseCommand) -> CloseReport:
        self.buses.close_switch(order)
        return await self.ended(order.close)

    async def ended(self, close: int) -> CloseReport:
        return await self.inbox.first(CloseReport, lambda report: report.close == close)


@contextlib.asynccontextmanager
async def town(tmp_path: Path, *meters: Meter) -> AsyncIterator[Town]:
    acrel = Slave({3: {0x43: 0x2203, 0x44: 0x1500, 0x45: 0x0001, 0x165: 0x0400, 11: 2300, 12: 0}})
    dds = Slave({3: {0x0C: 2310, 0x0D: 0, 0x1A: 0}})
    serial = struct.unpack(">2H", struct.pack(">I", 18074403))
    sdm = Slave({3: {0xFC00: serial[0], 0xFC01: serial[1]}, 4: {**volts(0), **amperes(0)}})
    board = Slave({2: dict.fromkeys(range(8), 0)})

    def acrel_obeys(_: int, __: int, values: tuple[int, ...]) -> None:
        acrel.tables[3][0x165] = 0x2400 if values == (1, 0) else 0x0400

    def dds_obeys(_: int, __: int, values: tuple[int, ...]) -> None:
        dds.tables[3] |= {0x1A: values[0], 0x0D: 130}

    def board_obeys(_: int, address: int, values: tuple[int, ...]) -> None:
        board.tables[2][address] = int(values == (0xFF00,))
        sdm.tables[4] |= {**volts(231.0), **amperes(1.3)}

    acrel.obey, dds.obey, board.obey = acrel_obeys, dds_obeys, board_obeys
    units = {1: acrel, 2: dds, 3: sdm, 40: board}
    end, inbox = OtherEnd(slaves(units)), Collected()
    profiles = site_profiles(tmp_path)
    image = paid_image(meters, profiles)
    async with running({"A": end.path}, profiles, inbox) as buses:
        buses.show(image)
        yield Town(end, inbox, profiles, image, buses, acrel, dds, sdm, board, units)
    with contextlib.suppress(OSError):
        end.close()
