"""A daemon to be killed: commits record after record and prints each number once it is on disk."""

import asyncio
import sys
from pathlib import Path

from gateway.core.model import Now
from gateway.core.records import Started, record_of, store
from gateway.journal.sqlite import SqliteJournal
from gateway.ports import Batch


async def write_for_ever(path: Path) -> None:
    """Continue the chain from where it is, two records a commit and now and then a checkpoint."""
    journal = await SqliteJournal.open(path)
    loaded = await journal.load()
    number, chain = loaded.number, loaded.chain
    print(f"opened {number}", flush=True)
    while True:
        records = []
        for _ in range(2):
            number += 1
            now = Now(mono_ms=number, boot="boot", wall_ms=number, wall_low_ms=0)
            records.append(store(record_of(number, Started(version="x" * 200), now), chain))
            chain = records[-1].chain
        checkpoint = number.to_bytes(8) if number % 10 == 0 else None
        await journal.commit(Batch(records=tuple(records), checkpoint=checkpoint))
        print(number, flush=True)


asyncio.run(write_for_ever(Path(sys.argv[1])))
