"""The gateway's side for tests of the room: an inbox that can be waited on, a site, an image."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from gateway.bus.profile import Profile, load_profiles
from gateway.bus.room import Buses, BusSettings
from gateway.core.disconnection import LIFE_MAX_MS
from gateway.core.documents import Site
from gateway.core.fact import Answer, Claim, Event, Move, Origin, SwitchCommand, TagKind
from gateway.core.image import Image, restored, with_kept
from gateway.core.kept import Kept, Task
from gateway.core.marks import Tag
from gateway.core.model import (
    Account,
    Digest,
    GatewayId,
    Instant,
    Meter,
    Reading,
    Serial,
    Station,
    SupplyState,
)
from gateway.core.orders import DANGEROUS_KEYS
from gateway.core.plan import OPENING_WRITES_MAX, WRITES_MAX
from gateway.core.sequence import nonce_of
from gateway.core.standing import ListInForce, Standing, Word
from gateway.core.terms import CheckMeter, Disconnection, Transformer
from gateway.core.waiting import instant_of
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


def ordered_image(
    meters: tuple[Meter, ...], profiles: Mapping[str, Profile], *, move: Move = Move.OPEN
) -> Image:
    """An image in which two keys have just ordered this of every meter; no account has paid."""
    now = HostClock(boot_id(), 0).now()
    iat, n = now.wall_low_ms, 10
    kept = paid_image(meters, profiles).kept
    tasks = {
        meter.serial: Task(
            move=move,
            order="order-1",
            account=Account(meter.account),
            meter=Serial(meter.serial),
            iat=iat,
            exp=iat + LIFE_MAX_MS,
            signers=DANGEROUS_KEYS,
            accepted=instant_of(now),
            boot=nonce_of(now),
            n=n,
        )
        for meter in meters
    }
    fresh = ListInForce(
        seq=1,
        as_of=0,
        unlisted_as_of=0,
        stale_after=iat + LIFE_MAX_MS,
        digest=Digest("0" * 64),
        signer="list-1",
        entries={},
    )
    assert kept.site is not None
    site = msgspec.structs.replace(kept.site, disconnection=Disconnection(protected=()))
    seen = Reading(state=SupplyState.CONNECTED, mono_ms=now.mono_ms)
    image = Image(
        station=paid_image(meters, profiles).station,
        root=ROOT,
        seen={meter.serial: seen for meter in meters},
        head_end_heard_ms=now.mono_ms,
    )
    forced = tuple(meter.serial for meter in meters) if move is Move.RELEASE else ()
    return restored(image, Kept(site=site, list_in_force=fresh, tasks=tasks, forced=forced))


def checked_image(check: CheckMeter, meter: Meter, profiles: Mapping[str, Profile]) -> Image:
    """An image in which a transformer has a check meter beside the one meter that stands on it."""
    paid = paid_image((meter,), profiles)
    assert paid.kept.site is not None
    transformers = (Transformer(id=meter.dt, check_meter=check),)
    site = msgspec.structs.replace(paid.kept.site, transformers=transformers)
    return restored(paid, msgspec.structs.replace(paid.kept, site=site))


def held(image: Image, serial: str) -> Image:
    """The image with a hold on one meter."""
    tag = Tag(
        kind=TagKind.HOLD,
        target=serial,
        origin=Origin.TECHNICIAN,
        by="technician",
        reason="unsafe",
        since=Instant(boot="b", mono_ms=0, wall_ms=0),
    )
    return with_kept(image, tags=(tag,))


def paid_since(image: Image, meter: Meter) -> Image:
    """The image after a payment that is newer than any order."""
    word = Word(standing=Standing.PAID, n=99, meter=meter.serial, digest=Digest("0" * 64))
    return with_kept(image, words={meter.account: word})


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
    meter: Meter,
    *,
    number: int = 1,
    move: Move = Move.CLOSE,
    resumed: bool = False,
    writes_max: int | None = None,
) -> SwitchCommand:
    """What the engine says once the intent is on disk."""
    usual = WRITES_MAX if move is Move.CLOSE else OPENING_WRITES_MAX
    return SwitchCommand(
        number=number,
        move=move,
        meter=meter,
        resumed=resumed,
        writes_max=usual if writes_max is None else writes_max,
    )
