"""A daemon of the next release that is killed while it opens the journal of the release before."""

import asyncio
import sys
from pathlib import Path

from gateway.journal.opening import open_database


async def _open_and_close(path: Path) -> None:
    await (await open_database(path)).close()


asyncio.run(_open_and_close(Path(sys.argv[1])))
