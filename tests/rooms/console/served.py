"""A served local socket, for tests of what goes in and out of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from gateway.console.local import AskStatus, LocalClient, LocalSocket
from gateway.core.image import Image
from gateway.core.model import GatewayId, Station
from gateway.host.clock import HostClock, boot_id
from gateway.host.identity import Identity
from gateway.inbox import BoundedInbox
from gateway.journal.sqlite import SqliteJournal
from tests.signing import ROOT


@contextlib.asynccontextmanager
async def serving(
    path: Path, inbox: BoundedInbox | None = None
) -> AsyncIterator["asyncio.Task[None]"]:
    """A socket at its place, with nobody behind the inbox."""
    image = Image(station=Station(gateway=GatewayId("gw-1"), buses=(), profiles={}), root=ROOT)
    room = LocalSocket(
        path,
        image,
        inbox=BoundedInbox() if inbox is None else inbox,
        records=SqliteJournal(path.with_suffix(".db")),
        clock=HostClock(boot_id(), 0),
        signed=Identity.make("gw-1").signed,
    )
    task = asyncio.create_task(room.run())
    while not task.done() and not await answers(path):
        await asyncio.sleep(0)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


async def answers(path: Path) -> bool:
    """Whether somebody serves there."""
    try:
        return (await LocalClient(path).ask(AskStatus())).status is not None
    except OSError:
        return False
