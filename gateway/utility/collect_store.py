"""Where the head end keeps what it collects: a file's name, or the address of a PostgreSQL server.

Owns the choice between the two and the thread on which a database is used. Must never import
PostgreSQL's library for whoever keeps a file.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

from gateway.utility.collect_sqlite import SqliteStore
from gateway.utility.collected import Store, StoreFailed

URL_BEGINS = ("postgresql://", "postgres://")

_Result = TypeVar("_Result")


def open_store(place: str) -> Store:
    """Open a database, which is made where it is missing. Raises `StoreFailed`."""
    if not place.startswith(URL_BEGINS):
        if "://" in place:
            scheme = place.partition("://")[0]
            raise StoreFailed(f"{scheme}://: unknown; give a file, or postgresql://HOST/DATABASE")
        return SqliteStore.open(Path(place))
    try:
        from gateway.utility.collect_postgres import PostgresStore  # noqa: PLC0415 - an extra
    except ImportError as error:
        mend = "pip install 'feeder-gateway[postgres]'"
        raise StoreFailed(f"{place.partition('://')[0]}://: {error}; {mend}") from error
    return PostgresStore.open(place)


@contextmanager
def opened_store(place: str) -> Iterator[Store]:
    """The same for a while."""
    store = open_store(place)
    try:
        yield store
    finally:
        store.close()


class Keeper:
    """A database on a thread of its own, for the event loop."""

    def __init__(self, thread: ThreadPoolExecutor, store: Store) -> None:
        self._thread = thread
        self._store = store

    @classmethod
    @asynccontextmanager
    async def opened(cls, place: str) -> AsyncIterator["Keeper"]:
        """Open a database for a while. Raises `StoreFailed`."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="collected") as thread:
            store = await loop.run_in_executor(thread, open_store, place)
            try:
                yield cls(thread, store)
            finally:
                await loop.run_in_executor(thread, store.close)

    async def do(self, work: Callable[[Store], _Result]) -> _Result:
        """Have something done with the database. Raises what that raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, self._store)
