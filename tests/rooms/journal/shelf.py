"""A journal in a process of its own, whose disk a test can break: asked and answered line by line.

Run as a program it serves the journal at the path of its argument.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Self

import msgspec

from gateway.core.model import Value
from gateway.journal.sqlite import SqliteJournal
from gateway.journal.trouble import Trouble
from gateway.ports import Batch, NotWritten, Remedy
from tests.rooms.journal.books import CHECKOUT, chained


class Asked(Value):
    """`word`: open, close, commit (so many records after that number), read (those after it)."""

    word: str
    after: int = 0
    count: int = 0


class Answer(Value):
    """The last record's number, or what kept it from being done."""

    number: int = 0
    new: bool = False
    lost: str = ""
    trouble: Trouble | None = None
    remedy: Remedy | None = None
    said: str = ""

    def __eq__(self, other: object) -> bool:
        """What it says in words is looked at by itself."""
        if not isinstance(other, Answer):
            return NotImplemented
        mine, others = (msgspec.structs.replace(one, said="") for one in (self, other))
        return msgspec.structs.astuple(mine) == msgspec.structs.astuple(others)

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """The answer that an error is."""
        assert isinstance(error, NotWritten)
        assert isinstance(error.trouble, Trouble)
        return cls(trouble=error.trouble, remedy=error.remedy, said=str(error))


class Shelf:
    """The asking end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def open(self) -> Answer:
        """Close the journal, where it is open, and open it anew."""
        return await self._ask(Asked("open"))

    async def commit(self, after: int, count: int) -> Answer:
        """Commit so many of the `books`' records after that number."""
        return await self._ask(Asked("commit", after, count))

    async def read(self, after: int) -> Answer:
        """The number of the last record after that number."""
        return await self._ask(Asked("read", after))

    async def close(self) -> None:
        """Close the journal."""
        await self._ask(Asked("close"))

    async def _ask(self, asked: Asked) -> Answer:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(asked) + b"\n")
        return msgspec.json.decode(await self._process.stdout.readline(), type=Answer)


@contextlib.asynccontextmanager
async def shelf(path: Path, environment: Mapping[str, str]) -> AsyncIterator[Shelf]:
    """A process with the journal at `path`, not yet opened."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.rooms.journal.shelf", str(path)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=CHECKOUT,
        env={**os.environ, **environment},
    )
    try:
        yield Shelf(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        assert await process.wait() == 0


async def _serve(path: Path) -> None:
    journal: SqliteJournal | None = None
    while line := await asyncio.to_thread(sys.stdin.buffer.readline):
        asked = msgspec.json.decode(line, type=Asked)
        try:
            if asked.word in {"open", "close"} and journal is not None:
                await journal.close()
            if asked.word == "open":
                journal = await SqliteJournal.open(path)
            assert journal is not None
            answer = await _done(journal, asked)
        except NotWritten as error:
            answer = Answer.of(error)
        print(msgspec.json.encode(answer).decode(), flush=True)
    if journal is not None:
        await journal.close()


async def _done(journal: SqliteJournal, asked: Asked) -> Answer:
    match asked.word:
        case "open":
            loaded = await journal.load()
            return Answer(number=loaded.number, new=loaded.new, lost=loaded.lost)
        case "commit":
            records = chained(asked.after + asked.count)[asked.after :]
            await journal.commit(Batch(records=records))
            return Answer(number=records[-1].number)
        case "read":
            found = await journal.records_after(asked.after, 2**20)
            return Answer(number=found[-1].number)
        case _:
            return Answer()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
