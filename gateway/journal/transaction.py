"""One transaction: all of it or nothing.

Owns how it is begun and ended. Must never leave one open.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiosqlite


@asynccontextmanager
async def transaction(database: aiosqlite.Connection) -> AsyncIterator[None]:
    """What is done inside is on the disk when this ends well, and undone when it does not."""
    await database.execute("BEGIN IMMEDIATE")
    try:
        yield
        await database.execute("COMMIT")
    except Exception:
        # SQLite has rolled back by itself after a full disk or an I/O error.
        if database.in_transaction:
            await database.execute("ROLLBACK")
        raise
