"""A trial: the tests of core are run on one mutant, in a process of its own.

The process is forked from one that has pytest and the libraries loaded, and nothing of the gateway:
so a mutant costs what its tests cost. The mutated module is handed in by an import hook; no file
is written.
"""

import os
import re
import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from multiprocessing.connection import Connection
from pathlib import Path
from types import CodeType, ModuleType

import pytest
from coverage import Coverage
from hypothesis import HealthCheck, Phase, settings

MEMORY_MAX_BYTES = 2 << 30
SLOWER_MAX = 5
"""So many times the CPU time of the tests on the original counts as a loop without end."""
START_S = 5
EXAMPLES = 10
"""Of a property: few, and the same for each mutant."""
FIRST = 10
"""Tests that are run before the others are even read."""

WELL = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
"""A lie may leave a table of the tests without the rows that were chosen."""
ADDRESS = re.compile(r" at 0x[0-9a-f]+")

Runs = dict[str, dict[int, list[str]]]

settings.register_profile(
    "mutation",
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


class Lie(SourceFileLoader):
    """Loads another text than the file's."""

    def __init__(self, name: str, path: str, text: str) -> None:
        super().__init__(name, path)
        self._text = text

    def get_code(self, fullname: str) -> CodeType:
        """The code of that text."""
        return compile(self._text, self.get_filename(fullname), "exec")


class Liar(PathFinder):
    """Finds modules where they are, but one of them otherwise than it is."""

    name = ""
    text = ""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The mutant, where its module is asked for."""
        spec = super().find_spec(fullname, path, target)
        if fullname == cls.name and spec is not None and spec.origin is not None:
            spec.loader = Lie(fullname, spec.origin, cls.text)
        return spec


def test_of(nodeid: str) -> str:
    """What a test is called in every process: an id may say where in memory something is."""
    return ADDRESS.sub("", nodeid)


class Watcher:
    """A pytest plugin: how long each test took, and which lines of core it runs."""

    def __init__(self, checkout: Path) -> None:
        self.took_s: dict[str, float] = {}
        self._checkout = checkout
        self._coverage = Coverage(
            data_file=None, config_file=False, include=[f"{checkout}/gateway/core/*"]
        )
        self._coverage.start()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test begins."""
        self._coverage.switch_context(test_of(nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test, or what is before and after it, has ended."""
        test = test_of(report.nodeid)
        self.took_s[test] = self.took_s.get(test, 0) + report.duration

    def runs(self) -> Runs:
        """By file and line, which tests run it; "" where it is run before the first."""
        self._coverage.stop()
        data = self._coverage.get_data()
        return {
            str(Path(file).relative_to(self._checkout)): data.contexts_by_lineno(file)
            for file in data.measured_files()
        }


class Chooser:
    """A pytest plugin: runs the chosen tests in their order; which was the first to fail."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._places = {test: place for place, test in enumerate(tests)}
        self.killer: str | None = None

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """The tests of the chosen files are known."""
        places = [(self._places.get(test_of(item.nodeid)), item) for item in items]
        chosen = [(place, item) for place, item in places if place is not None]
        items[:] = [item for _, item in sorted(chosen, key=lambda one: one[0])]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test, or what is before and after it, has ended."""
        if report.failed:
            self.killer = self.killer or test_of(report.nodeid)


def warm_up(checkout: Path, files: Sequence[str], told: Connection) -> None:
    """Runs the tests on the original; tells the status, and what `Watcher` has seen."""
    _settle(checkout)
    sys.dont_write_bytecode = False  # into the copy: each trial reads them
    watcher = Watcher(checkout)
    code = _tests(files, watcher, "--tb=short")
    told.send((code, watcher.took_s, watcher.runs()))


def try_mutant(
    checkout: Path, path: Path, text: str, tests: dict[str, float], told: Connection
) -> None:
    """Runs tests, with the time each takes, until one fails; tells which, or "".

    A loop without end ends the process, which then tells nothing.
    """
    _settle(checkout)
    _fall_silent()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX_BYTES, MEMORY_MAX_BYTES))
    Liar.name, Liar.text = ".".join(path.with_suffix("").parts), text
    sys.meta_path.insert(0, Liar)
    for part in _in_growing_parts(list(tests)):
        expected_s = sum(tests[test] for test in part)
        signal.setitimer(signal.ITIMER_VIRTUAL, START_S + SLOWER_MAX * expected_s)
        chooser = Chooser(part)
        files = sorted({test.partition("::")[0] for test in part})
        if _tests(files, chooser, "--exitfirst", "--tb=no") not in WELL:
            told.send(chooser.killer)
            return
    told.send("")


def _settle(checkout: Path) -> None:
    os.chdir(checkout)
    sys.path.insert(0, str(checkout))


def _fall_silent() -> None:
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(silence, stream.fileno())


def _tests(files: Sequence[str], plugin: object, *arguments: str) -> int:
    house = ("-q", "-p", "no:cacheprovider", "--hypothesis-profile=mutation")
    return pytest.main([*files, *house, *arguments], plugins=[plugin])


def _in_growing_parts(tests: list[str]) -> Iterator[list[str]]:
    """A few first, then ten times as many, ...: most mutants are found by the first."""
    size = FIRST
    while tests:
        part, tests = tests[:size], tests[size:]
        yield part
        size *= 10
