"""Attendance: says to one gateway that somebody is at the head end.

Owns `down/host` of a gateway and the connection whose will says there that nobody is any more. Must
never be the only sign of it: a word that the broker kept proves nothing, so it is said again and
again.
"""

import asyncio
import contextlib
import logging

from gateway.core.model import IdText
from gateway.headend.dialler import BackOff, Dialler, Role, Will
from gateway.headend.messages import Topics, pack_host
from gateway.headend.session import BrokerSettings, DialFailed, Session
from gateway.host.clock import wall_ms

HEARTBEAT_S = 60.0
"""Between two words: a gateway calls the head end silent after 5 minutes without one, so four in a
row may be lost."""

log = logging.getLogger(__name__)


class Attendance:
    """Is there for one gateway while `run` runs, unless it says otherwise."""

    def __init__(
        self, settings: BrokerSettings, topics: Topics, utility: IdText, heartbeat_s: float
    ) -> None:
        self._topic = topics.host
        self._heartbeat_s = heartbeat_s
        self._called = asyncio.Event()
        self._here = True
        gone = Will(topic=topics.host, payload=pack_host(online=False, ts=wall_ms()))
        client_id = f"fg-host-{utility}-{topics.gateway}"
        self._gateway = topics.gateway
        self._dialler = Dialler(settings, Role(client_id=client_id, lasting=False, will=gone))

    def call(self) -> None:
        """Say it now: a gateway that has just come has heard at most what the broker kept."""
        self._called.set()

    def be(self, *, here: bool) -> None:
        """Say from now on that somebody is there, or that nobody is."""
        if here is not self._here:
            self._here = here
            self._called.set()

    async def run(self) -> None:
        """Be there until cancelled; then say that nobody is."""
        back_off = BackOff()
        while True:
            try:
                session = await self._dialler.dial(lambda *_: None)
                back_off.reset()
                await self._attend(session)
            except DialFailed as failed:
                name = self._gateway
                log.info("no connection to tell %s that we are here: %s", name, failed.detail)
            await asyncio.sleep(back_off.next_s())

    async def _attend(self, session: Session) -> None:
        session.lost.add_done_callback(lambda _: self._called.set())
        try:
            while not session.lost.done():
                self._called.clear()
                self._say(session, online=self._here)
                await self._until_called()
        finally:
            if not session.lost.done():
                self._say(session, online=False)
            await session.close()

    async def _until_called(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._heartbeat_s):
                await self._called.wait()

    def _say(self, session: Session, *, online: bool) -> None:
        session.publish(self._topic, pack_host(online=online, ts=wall_ms()), retain=True)
