"""The inbox: what the rooms saw or were told, until the engine takes it.

Owns the order and the bound. Must never look into an event.

Implements `ports.Inbox`.
"""

import asyncio
from collections import deque

from gateway.core.fact import Answer, Claim, Event
from gateway.core.reading import DocumentRead
from gateway.ports import Reply

INBOX_MAX = 4_096


class BoundedInbox:
    """Where the rooms hand in events; the engine is its only reader."""

    def __init__(self, events_max: int = INBOX_MAX) -> None:
        self._events: deque[tuple[Event | DocumentRead, Reply | None]] = deque()
        self._events_max = events_max
        self._wake = asyncio.Event()
        self._room = asyncio.Event()

    def post(self, event: Event | DocumentRead, reply: Reply | None = None) -> bool:
        """Hand in one event from the event loop's thread. False: full, try later."""
        if len(self._events) >= self._events_max:
            self._room.clear()
            return False
        self._events.append((event, reply))
        self._wake.set()
        return True

    async def put(self, event: Event | DocumentRead, reply: Reply | None = None) -> None:
        """Hand in one event, waiting for room."""
        while not self.post(event, reply):
            await self._room.wait()

    async def ask(self, claim: Claim) -> Answer:
        """Hand in a claim and wait for its answer, which comes when it is on disk."""
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def reply(answer: Answer) -> None:
            if not answered.done():  # whoever asked may have gone meanwhile
                answered.set_result(answer)

        await self.put(claim, reply)
        return await answered

    def drain(self, events_max: int) -> list[tuple[Event | DocumentRead, Reply | None]]:
        """Take up to so many events, oldest first."""
        taken = [self._events.popleft() for _ in range(min(events_max, len(self._events)))]
        self._room.set()
        if not self._events:
            self._wake.clear()
        return taken

    def __len__(self) -> int:
        """How many events wait."""
        return len(self._events)

    def wake(self) -> None:
        """Let the reader look, although nothing has come."""
        self._wake.set()

    async def wait(self, timeout_s: float | None) -> None:
        """Return when there is an event, or after the time."""
        try:
            await asyncio.wait_for(self._wake.wait(), timeout_s)
        except TimeoutError:
            return
