"""The campaign: every call of every story fails once, and each daemon is judged.

What is injected is known by name (`LIST:7:EIO:lasting`), so that one can be told again alone.
"""

import asyncio
import errno
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from random import Random

from tests.faults.scene import Injection, Tally, counted, told
from tests.faults.shim import build
from tests.faults.stories import Story
from tests.kills.town import a_place, leave, quick_town

ERRORS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "EROFS": errno.EROFS}
TOGETHER_MAX = 6
"""Injections of one story that share a town."""


def counts(stories: Iterable[Story], pool: ProcessPoolExecutor) -> dict[Story, int]:
    """How many calls each story makes where nothing fails."""
    named = [*stories]
    return dict(zip(named, pool.map(_counted, named), strict=True))


def all_of(calls: dict[Story, int], errors: Iterable[str] = ERRORS) -> list[Injection]:
    """Every call, by every error: for once, for ever, and for ever with a torn write."""
    return [
        Injection(story, call, ERRORS[error], lasting=lasting, torn=torn)
        for story, count in calls.items()
        for error in errors
        for lasting, torn in ((True, False), (False, False), (True, True))
        for call in range(1, count + 1)
    ]


def spread(injections: Sequence[Injection], count: int, seed: int) -> list[Injection]:
    """So many of them, evenly over the stories and over the calls of each."""
    stories = [[*group] for _, group in groupby(injections, lambda one: one.story)]
    chance = Random(seed)
    chosen: list[Injection] = []
    for at, story in enumerate(stories):
        wanted = count * (at + 1) // len(stories) - count * at // len(stories)
        step = len(story) / max(1, wanted)
        chosen += [story[int((part + chance.random()) * step)] for part in range(wanted)]
    return chosen


def campaign(
    injections: Sequence[Injection], pool: ProcessPoolExecutor, keep: Path | None = None
) -> Iterator[Tally]:
    """What was found so far, after each handful. `keep`: where towns with a fault are left."""
    handfuls: list[list[Injection]] = []
    for story, group in groupby(injections, lambda one: one.story):
        of_story = [*group]
        size = 1 if story is Story.FIRST_START else TOGETHER_MAX
        handfuls += [of_story[at : at + size] for at in range(0, len(of_story), size)]
    total = Tally()
    for tally in pool.map(partial(_told, keep), handfuls):
        total.add(tally)
        yield total


@contextmanager
def processes(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """So many processes for towns."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield pool


def _told(keep: Path | None, injections: list[Injection]) -> Tally:
    tally = Tally()
    left = injections
    while left:
        with a_place() as place:
            found, done = asyncio.run(_in_a_town(place, left))
            if found.faults and keep is not None:
                leave(place, keep / str(left[done - 1]).replace(":", "-"))
        tally.add(found)
        left = left[done:]
    return tally


async def _in_a_town(place: Path, injections: Sequence[Injection]) -> tuple[Tally, int]:
    async with quick_town(place, build(place)) as town:
        return await told(town, injections)


def _counted(story: Story) -> int:
    async def count() -> int:
        async with quick_town(place, build(place)) as town:
            return await counted(town, story)

    with a_place() as place:
        return asyncio.run(count())
