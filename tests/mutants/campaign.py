"""The campaign: so many mutants, each at the door of the document that it was made of."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from multiprocessing import get_context
from random import Random

import msgspec

from gateway.core.rotation import load_root, root_from
from gateway.core.signature import tokens_of
from gateway.core.trust import Root
from tests.mutants.changes import CHANGES
from tests.mutants.herd import Healthy, doubts, herd
from tests.vectors.book import Door, Library

A_HANDFUL = 1_000
"""Mutants of one seed; a mutant is known by the campaign's seed and its number."""
NAME = re.compile(r"[A-Z][A-Z0-9_]+")
TAKEN = frozenset({"ACCEPTED", "DUPLICATE"})
MakeDoor = Callable[[Healthy], Door]


@dataclass
class Found:
    """What became of mutants. Every failure carries the bytes."""

    words: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)
    same: int = 0
    """Taken, and rightly: another envelope of a document that was signed."""
    followed: int = 0
    """Roots that had been followed before, with signatures that nobody looked at any more."""
    accepted: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.changes.values())

    def add(self, other: "Found") -> None:
        """Take up what another handful found."""
        self.words += other.words
        self.changes += other.changes
        self.same += other.same
        self.followed += other.followed
        self.accepted += other.accepted
        self.crashes += other.crashes


def real_door(one: Healthy) -> Door:
    """The gateway's, the page's or the head end's own."""
    return Library().door_of(one.line)


@cache
def _doors(make: MakeDoor) -> Mapping[str, Door]:
    return {one.line.name: make(one) for one in herd()}


@cache
def root_at(name: str) -> Root:
    """All the keys that count at the door of a vector: also those of a root that comes in there."""
    library = Library()
    line = library.line(name)
    anchor = library.read(line.scene.anchor)
    root = msgspec.json.decode(anchor, type=Root) if anchor[:1] == b"{" else load_root(anchor)
    own = next(one for one in herd() if one.line.name == name)
    if own.header["typ"] != "fg-root+jws":
        return root
    known = {key.kid for key in root.keys}
    new = (key for key in root_from(own.payload).keys if key.kid not in known)
    return msgspec.structs.replace(root, keys=(*root.keys, *new))


def handful(seed: int, at: int, count: int, make: MakeDoor = real_door) -> Found:
    """The mutants number `at` and on."""
    chance = Random(f"{seed}:{at}")
    found, doors, healthy = Found(), _doors(make), herd()
    for number in range(at, at + count):
        one = chance.choice(healthy)
        change = chance.choice(CHANGES)
        mutant = change(one, chance)
        found.changes[change.__name__] += 1
        where = f"{change.__name__} of {one.line.name}, seed {seed}, number {number}: {mutant!r}"
        try:
            word = doors[one.line.name](mutant)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            found.crashes.append(f"{type(error).__name__}: {error}; {where}")
            continue
        found.words[word] += 1
        if word in TAKEN:
            _judge_taken(found, word, mutant, one, where)
        elif not NAME.fullmatch(word):
            found.crashes.append(f"refused without a name: {word!r}; {where}")
    return found


def _judge_taken(found: Found, word: str, mutant: bytes, one: Healthy, where: str) -> None:
    doubt = doubts(mutant, one, root_at(one.line.name))
    if doubt is None:
        found.same += 1
    elif word == "DUPLICATE" and _followed(mutant, one):
        found.followed += 1
    else:
        found.accepted.append(f"{word}: {doubt}; {where}")


def _followed(mutant: bytes, one: Healthy) -> bool:
    """A root that was followed before is known by what it says; nothing is done for it."""
    library = Library()
    given = [library.line(name) for name in one.line.scene.given if name.startswith("root-")]
    payloads = {tokens_of(library.read(line.file))[0].split(b".")[1] for line in given}
    return tokens_of(mutant)[0].split(b".")[1] in payloads


def campaign(count: int, seed: int, jobs: int, make: MakeDoor = real_door) -> Iterator[Found]:
    """What was found so far, after each handful; the same for any number of jobs."""
    starts = range(0, count, A_HANDFUL)
    one = partial(_numbered, seed, count, make)
    total = Found()
    if jobs == 1:
        for start in starts:
            total.add(one(start))
            yield total
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for part in pool.map(one, starts):
            total.add(part)
            yield total


def _numbered(seed: int, count: int, make: MakeDoor, start: int) -> Found:
    return handful(seed, start, min(A_HANDFUL, count - start), make)
