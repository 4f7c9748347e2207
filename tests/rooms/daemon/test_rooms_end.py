"""The daemon's rooms begin again when they fail, and end when they are to, whatever they raise."""

import asyncio
import errno

from gateway.daemon import _end, _keep_going
from tests.core.corridor import Corridor


async def test_a_room_that_fails_while_it_is_ended_does_not_begin_again() -> None:
    # Its socket lay on a disk that had become read-only: its error replaced the cancellation, and
    # the daemon waited for ever for a room that had started again, with its engine dead.
    begun = asyncio.Event()

    async def room() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError(errno.EROFS, "Read-only file system")

    task = asyncio.create_task(_keep_going("local", room, Corridor().engine))
    await begun.wait()
    begun.clear()
    async with asyncio.timeout(30):
        await _end([task])
    assert not begun.is_set()
