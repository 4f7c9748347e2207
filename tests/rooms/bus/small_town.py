"""One small meter of each type on a pseudo terminal, with the room at work on their line."""

import contextlib
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway.bus.profile import Profile
from gateway.bus.room import Buses
from gateway.core.fact import Move, SwitchCommand, SwitchReport
from gateway.core.image import Image
from gateway.core.model import Meter
from tests.rooms.bus.gateway_side import (
    Collected,
    ordered_image,
    paid_image,
    running,
    site_profiles,
)
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
FORCE_OPEN = (16, 0x0057, (1, 1))
RELAY_OFF = (16, 0x001A, (0,))
COIL_OFF = (5, 4, (0,))
LET_GO = (16, 0x0057, (0, 0))


def volts(value: float) -> dict[int, int]:
    high, low = struct.unpack(">2H", struct.pack(">f", value))
    return {0: high, 1: low}


def amperes(value: float) -> dict[int, int]:
    high, low = struct.unpack(">2H", struct.pack(">f", value))
    return {6: high, 7: low}


@dataclass
class Town:
    """One meter of each type as plain registers; and the room on their line."""

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

    async def report(self, order: SwitchCommand) -> SwitchReport:
        self.buses.switch(order)
        return await self.ended(order.number)

    async def ended(self, number: int) -> SwitchReport:
        return await self.inbox.first(SwitchReport, lambda report: report.number == number)


@contextlib.asynccontextmanager
async def town(tmp_path: Path, *meters: Meter) -> AsyncIterator[Town]:
    """Everybody has paid, and every switch is open."""
    profiles = site_profiles(tmp_path)
    async with _town(profiles, paid_image(meters, profiles), lit=False) as it:
        yield it


@contextlib.asynccontextmanager
async def ordered_town(
    tmp_path: Path, *meters: Meter, move: Move = Move.OPEN
) -> AsyncIterator[Town]:
    """Every switch is closed and conducts; two keys have ordered what becomes of it."""
    profiles = site_profiles(tmp_path)
    async with _town(profiles, ordered_image(meters, profiles, move=move), lit=True) as it:
        yield it


@contextlib.asynccontextmanager
async def _town(profiles: dict[str, Profile], image: Image, *, lit: bool) -> AsyncIterator[Town]:
    acrel = Slave({3: {0x43: 0x2203, 0x44: 0x1500, 0x45: 0x0001, 11: 2300}})
    dds = Slave({3: {0x0C: 2310}})
    serial = struct.unpack(">2H", struct.pack(">I", 18074403))
    sdm = Slave({3: {0xFC00: serial[0], 0xFC01: serial[1]}, 4: {}})
    board = Slave({2: dict.fromkeys(range(8), 0)})

    def acrel_obeys(_: int, __: int, values: tuple[int, ...]) -> None:
        closed = values == (1, 0)  # released, it has no credit
        acrel.tables[3] |= {0x165: 0x2400 if closed else 0x0400, 12: 130 * closed}

    def dds_obeys(_: int, __: int, values: tuple[int, ...]) -> None:
        dds.tables[3] |= {0x1A: values[0], 0x0D: 130 * values[0]}

    def board_obeys(_: int, address: int, values: tuple[int, ...]) -> None:
        closed = values == (0xFF00,)
        board.tables[2][address] = int(closed)
        sdm.tables[4] |= {**volts(231.0 * closed), **amperes(1.3 * closed)}

    acrel_obeys(16, 0x57, (1, int(not lit)))
    dds_obeys(16, 0x1A, (int(lit),))
    board_obeys(5, 4, (0xFF00 * lit,))
    acrel.obey, dds.obey, board.obey = acrel_obeys, dds_obeys, board_obeys
    units = {1: acrel, 2: dds, 3: sdm, 40: board}
    end, inbox = OtherEnd(slaves(units)), Collected()
    async with running({"A": end.path}, profiles, inbox) as buses:
        buses.show(image)
        yield Town(end, inbox, profiles, image, buses, acrel, dds, sdm, board, units)
    with contextlib.suppress(OSError):
        end.close()
