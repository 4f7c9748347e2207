"""The campaign: so many histories, each cut so many times, and controls that have to fail.

A handful of cuts shares one history. It is known by the campaign's seed and its number; what SQLite
draws by itself (the salt of its log) is another one in each run.
"""

import asyncio
import logging
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random

from tests.powercut.disk import WHOLE, Lies, honest, lay_out
from tests.powercut.history import Cut, History, Recorder, cuts_of
from tests.powercut.judging import judge
from tests.powercut.recorded import build
from tests.powercut.verdicts import Ending, Fault, Verdict
from tests.powercut.workload import ARCHIVE, JOURNAL, MARKS, Plan

HANDFUL = 1_000
LYING_HANDFUL = 250
CUTS_A_LIE = 10
"""Cuts of one run of a card that lies; the next run lies at other instants."""
LIES_IN = 10
"""It lies on one of so many of its syncs."""
KILLS = 4
"""Processes of a history that are killed wherever they are, one after the other."""
CONTROL_CUTS = 200
GOES_ON_IN = 16
EXAMPLES_MAX = 5
MEMORY = Path("/dev/shm")
"""Disks are rebuilt in memory, where there is such a place: nothing of this has to last."""

CONTROLS: dict[str, Fault] = {
    "synchronous=NORMAL": Fault.RECORDS_LOST,
    f"without syncs of {JOURNAL}-wal": Fault.RECORDS_LOST,
    f"without syncs of {JOURNAL}": Fault.RECORDS_LOST,
    "without syncs of the journal's directory": Fault.RECORDS_LOST,
    f"without syncs of {ARCHIVE}": Fault.DOCUMENT_LOST,
    f"without syncs of {ARCHIVE}/*": Fault.DOCUMENT_LOST,
    "without syncs of the whole disk": Fault.DOCUMENT_LOST,
    f"without syncs of {MARKS}": Fault.MARKS_FELL,
    f"without syncs of {MARKS}/*": Fault.MARKS_FELL,
}
"""What is left out, and what has to be lost by that: or the simulator has no teeth."""


@dataclass
class Tally:
    """What became of cuts."""

    cuts: int = 0
    endings: Counter[Ending] = field(default_factory=Counter)
    faults: Counter[Fault] = field(default_factory=Counter)
    """In how many cuts there was one of a kind."""
    examples: list[str] = field(default_factory=list)

    def take(self, verdict: Verdict, where: str) -> None:
        """Count one."""
        self.cuts += 1
        self.endings[verdict.ending] += 1
        self.faults.update(verdict.kinds)
        if verdict.faults and len(self.examples) < EXAMPLES_MAX:
            said = "; ".join(f"{fault}: {said}" for fault, said in verdict.faults)
            self.examples.append(f"{where}: {said}")

    def add(self, other: "Tally") -> None:
        """Take up what another handful found."""
        self.cuts += other.cuts
        self.endings += other.endings
        self.faults += other.faults
        self.examples = [*self.examples, *other.examples][:EXAMPLES_MAX]


@dataclass(frozen=True)
class Setting:
    """What all handfuls of a campaign share."""

    seed: int
    library: Path
    keep: Path | None = None
    """Where the disks of the first faults of each handful are left, to be looked into."""


def honest_cuts(setting: Setting, count: int, number: int) -> Tally:
    """A handful on a card that does what it says."""
    chance = Random(f"{setting.seed}:{number}")
    with _place() as place:
        history = _history(Recorder(setting.library, place), setting.seed, number, chance)
        cuts = cuts_of(history, _instants(history, count, chance), chance)
        return _judged(cuts, history, place, setting)


def lying_cuts(setting: Setting, count: int, number: int) -> Tally:
    """A handful on a card that lies about some of its syncs, others for every few cuts."""
    chance = Random(f"{setting.seed}:lies:{number}")
    tally = Tally()
    with _place() as place:
        history = _history(Recorder(setting.library, place), setting.seed, number, chance)
        for at in range(0, count, CUTS_A_LIE):
            instants = _instants(history, min(CUTS_A_LIE, count - at), chance)
            cuts = cuts_of(history, instants, chance, lambda _: chance.randrange(LIES_IN) == 0)
            tally.add(_judged(cuts, history, place, setting, lying=True))
    return tally


def control(setting: Setting, name: str) -> Tally:
    """A workload or a card from which something that is needed is left out."""
    chance = Random(f"{setting.seed}:{name}")
    option, _, synchronous = name.partition("=")
    with _place() as place:
        plan = Plan(root="", seed=setting.seed, damages=False)
        if option == "synchronous":
            plan = Plan(root="", seed=setting.seed, damages=False, synchronous=synchronous)
        history = Recorder(setting.library, place).history(name, [(plan, 0)])
        instants = _instants(history, CONTROL_CUTS, chance)
        cuts = cuts_of(history, instants, chance, _deaf_to(name))
        return _judged(cuts, history, place, Setting(setting.seed, setting.library))


def campaign(
    part: Callable[[Setting, int, int], Tally],
    handful: int,
    count: int,
    setting: Setting,
    pool: ProcessPoolExecutor,
) -> Iterator[Tally]:
    """What was found so far, after each handful; the same for any number of processes."""
    starts = range(0, count, handful)
    sizes = [min(handful, count - start) for start in starts]
    total = Tally()
    for tally in pool.map(partial(part, setting), sizes, range(len(sizes))):
        total.add(tally)
        yield total


@contextmanager
def prepared(
    seed: int, jobs: int, keep: Path | None = None
) -> Iterator[tuple[Setting, ProcessPoolExecutor]]:
    """The recorder, built, and so many processes. Raises `RecorderError`."""
    with _place() as place, ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield Setting(seed, build(place), keep), pool


def _history(recorder: Recorder, seed: int, number: int, chance: Random) -> History:
    """Of each four: orderly; killed between two steps; killed anywhere, often; cut before."""
    name = f"history {number} of seed {seed}"
    own = seed * 1_000_003 + number
    steps = chance.randint(20, 70)
    last = Plan(root="", seed=own, process=KILLS, steps=chance.randint(5, 30))
    match number % 4:
        case 0:
            return recorder.history(name, [(Plan(root="", seed=own, steps=steps), 0)])
        case 1:
            killed = Plan(root="", seed=own, steps=steps // 2, closes=False)
            return recorder.history(name, [(killed, 0), (last, 0)])
        case 2:
            deaths = [chance.randint(1, most) for most in (100, 400, 200, 800)]
            plans = [Plan(root="", seed=own, process=at, steps=20) for at in range(KILLS)]
            return recorder.history(name, [*zip(plans, deaths, strict=True), (last, 0)])
        case _:
            before = recorder.history(name, [(Plan(root="", seed=own, steps=steps // 2), 0)])
            (cut,) = cuts_of(before, _instants(before, 1, chance), chance)
            return recorder.history(name, [(last, 0)], cut)


def _instants(history: History, count: int, chance: Random) -> list[int]:
    return sorted(chance.randint(0, len(history.entries)) for _ in range(count))


def _deaf_to(name: str) -> Lies:
    _, _, path = name.partition("without syncs of ")
    if not path:
        return honest
    if path.endswith("/*"):
        return lambda synced: synced.startswith(path.removesuffix("*"))
    said = {"the journal's directory": str(Path(JOURNAL).parent), "the whole disk": WHOLE}
    wanted = said.get(path, path)
    return lambda synced: synced == wanted


def _judged(
    cuts: Iterator[Cut], history: History, place: Path, setting: Setting, *, lying: bool = False
) -> Tally:
    logging.disable(logging.CRITICAL)  # of each cut the journal says what it found
    tally = Tally()

    async def judge_all() -> None:
        root = place / "cut"
        for number, cut in enumerate(cuts):
            lay_out(cut.left, root)
            goes_on = number % GOES_ON_IN == 0 and not lying
            verdict = await judge(cut, root, lying=lying, goes_on=goes_on)
            shutil.rmtree(root)
            where = f"{history.name}, cut before entry {cut.at} of {len(history.entries)}"
            if verdict.faults and setting.keep and len(tally.examples) < EXAMPLES_MAX:
                kept = setting.keep / f"{where.replace(' ', '-').replace(',', '')}-{number}"
                shutil.rmtree(kept, ignore_errors=True)
                lay_out(cut.left, kept)
                where = f"{kept}"
            tally.take(verdict, where)

    asyncio.run(judge_all())
    return tally


@contextmanager
def _place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as directory:
        yield Path(directory)
