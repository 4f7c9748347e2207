"""A plain MQTT client on the other side of the broker: hears everything, says anything."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self

from gateway.headend.dialler import Dialler, Role
from gateway.headend.messages import Topics
from gateway.headend.session import BrokerSettings, Message, Session
from tests.rooms.headend.engine_side import GATEWAY, PATIENCE_S, UTILITY

TOPICS = Topics(root="fg", utility=UTILITY, gateway=GATEWAY)


class OtherEnd:
    """Everything that was heard, in order."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self._session: Session | None = None
        self._changed = asyncio.Event()

    def on(self, topic: str) -> list[bytes]:
        """The payloads heard on one topic."""
        return [message.payload for message in self.heard if message.topic == topic]

    async def say(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish, and wait until the broker has it."""
        assert self._session is not None
        assert await self._session.publish(topic, payload, retain=retain) == ""

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait until something is so; the test fails when it never is."""
        async with asyncio.timeout(PATIENCE_S):
            while not happened():
                self._changed.clear()
                await self._changed.wait()

    @asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[Self]:
        """Connected for a while."""

        def hear(session: Session, message: Message) -> None:
            self.heard.append(message)
            session.acknowledge(message)
            self._changed.set()

        role = Role(client_id="other-end", lasting=False, filters=("fg/#",))
        session = await Dialler(BrokerSettings(host=host, port=port), role).dial(hear)
        self._session = session
        try:
            yield self
        finally:
            await session.close()
