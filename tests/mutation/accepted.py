"""Accepted survivors: mutants that no test can or need find, each with its reason.

They are listed in accepted.txt as `tests/mutate` prints a survivor, with a line `because ...` under
it. The line number and the lines around it do not count, so that the list outlives other edits.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.mutants import Mutant

LIST = Path(__file__).with_name("accepted.txt")
BECAUSE = "because "


class NotReadableError(ValueError):
    """The list is not written as it should be; the message says where."""


@dataclass(frozen=True)
class Name:
    """What a survivor is known by."""

    path: str
    within: str
    removed: tuple[str, ...]
    added: tuple[str, ...]


def name_of(mutant: Mutant, path: str) -> Name:
    """What this mutant of that file is known by."""
    return Name(path, mutant.within, mutant.removed, mutant.added)


def read(text: str) -> dict[Name, str]:
    """The accepted survivors and the reason for each. Raises `NotReadableError`."""
    accepted: dict[Name, str] = {}
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        if lines:
            name, reason = _entry(lines)
            accepted[name] = reason
    return accepted


def _entry(lines: list[str]) -> tuple[Name, str]:
    place, _, within = lines[0].partition(" in ")
    reasons = [line.removeprefix(BECAUSE) for line in lines if line.startswith(BECAUSE)]
    if not within or len(reasons) != 1:
        where = lines[0]
        raise NotReadableError(
            f"{LIST.name}: {where!r} needs a place, a change and one line {BECAUSE}"
        )
    removed, added = _marked("-", lines), _marked("+", lines)
    return Name(place.partition(":")[0], within, removed, added), reasons[0]


def _marked(sign: str, lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(line[1:].strip() for line in lines if line.startswith(sign))
