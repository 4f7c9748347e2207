"""The mutation check: the law is changed in one place at a time, and a test of core has to notice.

A mutator of our own, because the order of the guards is the law, and it stands in tuples of the
modules: mutmut (3.8) changes nothing outside functions, neither removes a guard from a tuple nor
swaps two neighbours.

Prints every mutant that no test finds as a diff. Exit status: 0 none survives that is not accepted
in accepted.txt, 1 some do, 2 wrong use.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from pathlib import Path

from tests.mutation.accepted import LIST, Name, NotReadableError, name_of, read
from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.trial import Runs, try_mutant, warm_up

CHECKOUT = Path(__file__).parents[2]
LAW = tuple(
    f"gateway/core/{name}.py"
    for name in (
        "reconnection", "disconnection", "standing", "pacing", "grace", "queue", "ordering",
        "requests", "watch", "sequence", "calendar",
    )
)  # fmt: skip
TRIAL_MAX_S = 600
"""Of a process that neither ends nor computes."""
TOLD_EVERY = 50
FORK = get_context("fork")


@dataclass
class Trial:
    """A mutant whose tests are running."""

    mutant: Mutant
    process: ForkProcess
    told: Connection
    ends_s: float


class Laboratory:
    """A copy of the checkout, how long each test takes there, and which lines of core it runs."""

    def __init__(self, checkout: Path, jobs: int) -> None:
        self._checkout = checkout
        self._jobs = jobs
        self._took_s: dict[str, float] = {}
        self._runs: Runs = {}

    def warm_up(self) -> bool:
        """Passes the tests on the original; whether all are well."""
        files = sorted(
            str(path.relative_to(self._checkout))
            for path in (self._checkout / "tests/core").glob("test_*.py")
        )
        told, tell = FORK.Pipe(duplex=False)
        process = FORK.Process(target=warm_up, args=(self._checkout, files, tell))
        process.start()
        tell.close()
        code, self._took_s, self._runs = told.recv()
        process.join()
        return bool(code == 0)

    def judged(self, path: str, mutants: list[Mutant]) -> Iterator[tuple[Mutant, bool]]:
        """Each mutant and whether it survives, as they come out."""
        waiting, running = deque(mutants), dict[int, Trial]()
        kills: Counter[str] = Counter()
        while waiting or running:
            while waiting and len(running) < self._jobs:
                trial = self._begun(path, waiting.popleft(), kills)
                running[trial.process.sentinel] = trial
            ready = wait(list(running), timeout=1)
            for sentinel, trial in list(running.items()):
                if sentinel not in ready and time.monotonic() < trial.ends_s:
                    continue
                del running[sentinel]
                killer = _ended(trial)
                kills.update([killer] if killer else [])
                yield trial.mutant, killer == ""

    def _begun(self, path: str, mutant: Mutant, kills: Counter[str]) -> Trial:
        own = f"tests/core/test_{Path(path).stem}"
        order = sorted(
            self._that_can_find(path, mutant),
            key=lambda test: (-kills[test], not test.startswith(own), self._took_s[test]),
        )
        tests = {test: self._took_s[test] for test in order}
        told, tell = FORK.Pipe(duplex=False)
        arguments = (self._checkout, Path(path), mutant.text, tests, tell)
        process = FORK.Process(target=try_mutant, args=arguments)
        process.start()
        tell.close()
        return Trial(mutant, process, told, time.monotonic() + TRIAL_MAX_S)

    def _that_can_find(self, path: str, mutant: Mutant) -> set[str]:
        """The tests that run the statement; all, where it is run while a module is loaded."""
        runs = self._runs.get(path, {})
        found = {test for line in mutant.statement for test in runs.get(line, [])}
        return found if found and "" not in found else set(self._took_s)


def _ended(trial: Trial) -> str | None:
    """The test that found it, "" for none; None where it came to no test, or to no end."""
    trial.process.kill()
    trial.process.join()
    try:
        killer = trial.told.recv()
    except EOFError:
        return None
    finally:
        trial.told.close()
    assert killer is None or isinstance(killer, str)
    return killer


@dataclass
class Result:
    """What became of the mutants of one file."""

    path: str
    mutants: int
    survivors: list[Mutant]
    accepted: int
    stale: list[Name]
    seconds: float


def main(arguments: list[str]) -> int:
    """The command."""
    chosen = _parser().parse_args(arguments)
    try:
        accepted = read(LIST.read_text(encoding="utf-8"))
        places = [_place(text) for text in chosen.files or LAW]
    except (NotReadableError, ValueError) as flaw:
        print(f"tests/mutate: {flaw}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        checkout = Path(folder) / "checkout"
        _copy(checkout)
        laboratory = Laboratory(checkout, chosen.jobs)
        print("the tests on the original:", flush=True)
        if not laboratory.warm_up():
            print("tests/mutate: the tests have to pass before a mutant is tried", file=sys.stderr)
            return 1
        results = [_file(laboratory, checkout, *place, accepted) for place in places]
    return _summary(results)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tests/mutate",
        description="Changes the law in one place at a time; a test of core has to notice.",
        epilog="examples: tests/mutate\n"
        "          tests/mutate gateway/core/pacing.py\n"
        "          tests/mutate gateway/core/pacing.py:118",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="*", metavar="FILE[:LINE]", help="all of the law by default")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="trials at once")
    return parser


def _place(text: str) -> tuple[str, int | None]:
    """A file of the checkout, and perhaps one line of it. Raises `ValueError`."""
    path, _, line = text.partition(":")
    if not (CHECKOUT / path).is_file() or not path.startswith("gateway/core/"):
        raise ValueError(f"{path} is no file under gateway/core; name it from the checkout's top")
    if line and not line.isdecimal():
        raise ValueError(f"{text}: after the colon comes the number of a line")
    return path, int(line) if line else None


def _copy(checkout: Path) -> None:
    """The checkout as it is now: an edit meanwhile changes no trial."""
    for folder in ("gateway", "tests"):
        shutil.copytree(
            CHECKOUT / folder, checkout / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(CHECKOUT / "pyproject.toml", checkout)


def _file(
    laboratory: Laboratory,
    checkout: Path,
    path: str,
    line: int | None,
    accepted: dict[Name, str],
) -> Result:
    original = (checkout / path).read_text(encoding="utf-8")
    mutants = [mutant for mutant in mutants_of(original) if line in (None, mutant.line)]
    started_s, survivors = time.monotonic(), list[Mutant]()
    seen: set[Name] = set()
    for number, (mutant, survives) in enumerate(laboratory.judged(path, mutants), start=1):
        name = name_of(mutant, path)
        if survives:
            seen.add(name)
        if survives and name not in accepted:
            survivors.append(mutant)
            print(f"\n{path}:{mutant.line} in {mutant.within}")
            print(mutant.diff(original, path), flush=True)
        if number % TOLD_EVERY == 0:
            print(f"{path}: {number} of {len(mutants)} mutants tried", flush=True)
    listed = {name for name in accepted if name.path == path}
    return Result(
        path=path,
        mutants=len(mutants),
        survivors=survivors,
        accepted=len(seen & listed),
        stale=sorted(listed - seen, key=str) if line is None else [],
        seconds=time.monotonic() - started_s,
    )


def _summary(results: list[Result]) -> int:
    """Prints the figures; the exit status."""
    print(f"\n{'file':34}{'mutants':>9}{'killed':>9}{'accepted':>10}{'survived':>10}{'s':>7}")
    for one in results:
        killed = one.mutants - one.accepted - len(one.survivors)
        print(
            f"{one.path:34}{one.mutants:9}{killed:9}{one.accepted:10}{len(one.survivors):10}"
            f"{one.seconds:7.0f}"
        )
    stale = [name for one in results for name in one.stale]
    for name in stale:
        print(f"accepted, but there is no such survivor: {name.path} in {name.within}:")
        for line in (*(f"-{one}" for one in name.removed), *(f"+{one}" for one in name.added)):
            print(line)
    return 1 if stale or any(one.survivors for one in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
