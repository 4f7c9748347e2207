"""A process with nothing but the head-end room, for tests that kill it: HOST PORT."""

import asyncio
import sys

from tests.rooms.headend.engine_side import EngineSide


async def main(host: str, port: int) -> None:
    """Keep the link until killed."""
    async with EngineSide().running(host, port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
