"""The gateway's side for tests of the room: an inbox that can be waited on, a site, an image."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TypeVar

from gateway.bus.profile import Profile, load_profiles
from gateway.bus.room import Buses, BusSettings
from gateway.core.documents import Site
from gateway.core.fact import Answer, Claim, CloseCommand, Event
from gateway.core.image import Image, restored
from gateway.core.kept import Instant, Kept, Tag
from gateway.core.model import Digest, GatewayId, Meter, Station
from gateway.core.standing import Standing, Word
from gateway.host.clock import HostClock, boot_id
from gateway.ports import Reply
from tests.signing import ROOT

Seen = TypeVar("Seen", bound=Event)
PATIENCE_S = 30.0
"""A test that waits longer than this for something has failed."""


class Collected:
    """An inbox that keeps what comes. While `room` is cleared, nothing that waits gets in."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.room = asyncio.Event()
        self.room.set()
        self._came = asyncio.Event()

    def post(self, event: Event, reply: Reply | None = None) -> bool:
        """Take one event, or refuse it."""
        assert reply is None
        if not self.room.is_set():
            return False
        self.events.append(event)
        self._came.set()
        return True

    async def put(self, event: Event, reply: Reply | None = None) -> None:
        """Take one event when there is room."""
        await self.room.wait()
        assert self.post(event, reply)

    async def ask(self, claim: Claim) -> Answer:
        """The bus room claims nothing."""
        raise AssertionError(claim)

    async def first(self, kind: type[Seen], wanted: Callable[[Seen], bool] | None = None) -> Seen:
        """Wait for an event of a kind, from the first one on."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                self._came.clear()
                of_kind = (event for event in self.events if isinstance(event, kind))
                found = next((e for e in of_kind if wanted is None or wanted(e)), None)
                if found is not None:
                    return found
                await self._came.wait()


def site_profiles(directory: Path) -> dict[str, Profile]:
    """The bundled types, and an Acrel whose status word this site knows."""
    (directory / "acrel-here.toml").write_text(
        'extends = "acrel-ddsy1352"\n[state]\naddress = 0x0165\n', encoding="utf-8"
    )
    return load_profiles(directory)


def paid_image(meters: tuple[Meter, ...], profiles: Mapping[str, Profile]) -> Image:
    """An image in which every account of the site has paid."""
    station = Station(
        gateway=GatewayId("gw-1"),
        buses=("A", "B"),
        profiles={name: profile.ability for name, profile in profiles.items()},
    )
    words = {
        meter.account: Word(
            standing=Standing.PAID, n=1, meter=meter.serial, digest=Digest("0" * 64), cut=True
        )
        for meter in meters
    }
    site = Site(gateway="gw-1", seq=1, feeder="F1", meters=meters)
    return restored(Image(station=station, root=ROOT), Kept(site=site, words=words))


def held(image: Image, serial: str) -> Image:
    """The image with a hold on one meter."""
    tag = Tag(by="technician", reason="unsafe", since=Instant(boot="b", mono_ms=0, wall_ms=0))
    return restored(image, _kept_with_hold(image.kept, serial, tag))


def _kept_with_hold(kept: Kept, serial: str, tag: Tag) -> Kept:
    return Kept(site=kept.site, words=kept.words, holds={serial: tag})


@contextlib.asynccontextmanager
async def running(
    ports: Mapping[str, str], profiles: Mapping[str, Profile], inbox: Collected
) -> AsyncIterator[Buses]:
    """The bus room at work on these ports until the block is left."""
    settings = tuple(BusSettings(name=name, port=path) for name, path in ports.items())
    buses = Buses(settings, profiles, inbox, HostClock(boot_id(), 0))
    work = asyncio.create_task(buses.run())
    try:
        yield buses
        assert not work.done(), work
    finally:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


def command(
    meter: Meter, *, close: int = 1, resumed: bool = False, writes_max: int = 2
) -> CloseCommand:
    """What the engine says once the intent is on disk."""
    return CloseCommand(close=close, meter=meter, resumed=resumed, writes_max=writes_max)
