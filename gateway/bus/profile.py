"""Meter types as data: one file each, bundled or of this site.

Owns what the blocks of a profile have to be together, what a type can do, and how its file is read.
Must never hold a meter's behaviour as code: what a type does differently stands in its file. A
profile may only name what it may write; ranges that must never be written carry their reason
(rule B7).

Files are TOML, one meter type each, named by the file. A site's own directory adds types; a file
there may say `extends = "acrel-ddsy1352"` and give only what differs, also under the same name.
"""

import re
import tomllib
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, assert_never

import msgspec

from gateway.bus.blocks import (
    At,
    Cancel,
    CauseOfOpening,
    Close,
    Contradiction,
    Evidence,
    Forbidden,
    Identity,
    Instruction,
    Measure,
    Motion,
    OneWrite,
    Open,
    Release,
    State,
    Voltage,
)
from gateway.bus.frame import Function
from gateway.bus.rtu import Timing
from gateway.core.fact import Move
from gateway.core.model import ProfileAbility, Value

BUNDLED: Final = Path(__file__).parent / "profiles"
NAME: Final = re.compile(r"[a-z0-9-]{1,48}")
InstructionT = TypeVar("InstructionT", bound=Instruction)


class ProfileError(Exception):
    """A mistake in a profile: one line with the file, the place in it and the mend."""

    def __init__(self, path: Path, place: str, problem: str, mend: str) -> None:
        super().__init__(f"{path}: {place}: {problem}. {mend}.".replace("\n", " "))
        self.path = path
        self.place = place
        self.mend = mend


class Profile(Value, forbid_unknown_fields=True):
    """One meter type."""

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    timing: Timing
    identity: Identity | None = None
    state: State | None = None
    voltage: Voltage | None = None
    current: Measure | None = None
    close: Close | None = None
    open: Open | None = None
    release: Release | None = None
    cancel: Cancel | None = None
    cause: CauseOfOpening | None = None
    forbidden: tuple[Forbidden, ...] = ()

    def __post_init__(self) -> None:
        for name, block in self._instructions.items():
            for at, write in enumerate(block.writes):
                self._check_allowed(write, f"{name}.writes[{at}].address")
                self._check_read_elsewhere(write, block, name)
        self._check_told_apart()

    @property
    def ability(self) -> ProfileAbility:
        """What core must know of this type."""
        blocks = (self.state, *self._instructions.values())
        return ProfileAbility(
            switches=self.motion(Move.CLOSE) is not None,
            opens=self.motion(Move.OPEN) is not None,
            releases=self.motion(Move.RELEASE) is not None,
            proves_serial=self.identity is not None,
            needs_switch_unit=any(
                block.at is At.SWITCH_CHANNEL for block in blocks if block is not None
            ),
        )

    def motion(self, move: Move) -> Motion | None:
        """What carries out a move; None where it is not known well enough to be written."""
        match move:
            case Move.CLOSE:
                return self._proven(self.close)
            case Move.OPEN:
                return self._proven(self.open)
            case Move.RELEASE:
                return self._proven(self.release)
            case _:
                assert_never(move)

    @property
    def cancelling(self) -> Cancel | None:
        """What takes back a close that was refused; None where that may not be written."""
        return self._proven(self.cancel)

    @property
    def writable(self) -> tuple[Instruction, ...]:
        """Everything that a meter of this type may ever be sent."""
        known = (*(self.motion(move) for move in Move), self.cancelling)
        return tuple(block for block in known if block is not None)

    @property
    def _instructions(self) -> dict[str, Instruction]:
        named = {
            "close": self.close,
            "open": self.open,
            "release": self.release,
            "cancel": self.cancel,
        }
        return {name: block for name, block in named.items() if block is not None}

    def _proven(self, block: InstructionT | None) -> InstructionT | None:
        # What has an effect that cannot be read is not done at all.
        if block is None or self.state is None or self.state.address is None:
            return None
        return None if block.evidence is Evidence.SINGLE_SOURCE else block

    def _check_allowed(self, write: OneWrite, place: str) -> None:
        if write.function is Function.WRITE_COIL:
            return
        for span in self.forbidden:
            if write.address <= span.last and span.first <= write.last:
                problem = f"{span.first:#06x} to {span.last:#06x} is forbidden: {span.reason}"
                raise Contradiction(place, problem, "Write elsewhere")

    def _check_read_elsewhere(self, write: OneWrite, block: Instruction, name: str) -> None:
        state = self.state
        if state is None or state.address is None or not state.independent:
            return
        coil = write.function is Function.WRITE_COIL
        shown = state.function is (Function.READ_COILS if coil else Function.READ_HOLDING)
        if shown and state.at is block.at and write.address <= state.address <= write.last:
            raise Contradiction(
                "state.independent",
                f"the state is read where {name} is written",
                "Write false, or name the register that shows the contact",
            )

    def _check_told_apart(self) -> None:
        for (one, first), (other, second) in combinations(self._instructions.items(), 2):
            # A meter may well forget a close by being opened or released.
            if other == "cancel" and one != "close":
                continue
            if (first.at, first.writes) == (second.at, second.writes):
                raise Contradiction(f"{other}.writes", f"the same as those of {one}", "Mend either")


def load_profiles(directory: Path | None) -> dict[str, Profile]:
    """All meter types by name: the bundled ones, then those of the site's own directory.

    Raises `ProfileError`.
    """
    bundled = _tables(BUNDLED)
    site = {} if directory is None else _tables(directory)
    profiles = {}
    for name, (path, table) in {**bundled, **site}.items():
        merged = _extended(name, table, path, (bundled, site))
        profiles[name] = _converted(merged, path)
    return dict(sorted(profiles.items()))


Tables = Mapping[str, tuple[Path, dict[str, Any]]]


def _tables(directory: Path) -> Tables:
    if not directory.is_dir():
        raise ProfileError(
            directory, "the directory", "there is none", "Make it, or leave the setting out"
        )
    return {path.stem: (path, _table(path)) for path in sorted(directory.glob("*.toml"))}


def _table(path: Path) -> dict[str, Any]:
    if not NAME.fullmatch(path.stem):
        raise ProfileError(
            path,
            "the file's name",
            f"{path.stem} cannot be a profile's name",
            "Use small letters, digits and hyphens, at most 48",
        )
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProfileError(
            path, "the file", error.strerror or str(error), "Make it readable"
        ) from error
    except UnicodeDecodeError as error:
        raise ProfileError(
            path, f"byte {error.start}", "not UTF-8", "Save the file as UTF-8"
        ) from error
    except tomllib.TOMLDecodeError as error:
        problem, _, place = str(error).rstrip(")").partition(" (at ")
        raise ProfileError(path, place, problem, "Correct the TOML there") from error


def _extended(
    name: str, table: dict[str, Any], path: Path, known: tuple[Tables, Tables]
) -> dict[str, Any]:
    bundled, site = known
    seen = {path}
    while (parent := table.get("extends")) is not None:
        # A site's file of the same name extends the bundled one.
        source = site.get(parent) if parent != name else None
        source = source or bundled.get(parent)
        if source is None or source[0] in seen:
            problem = f"there is no profile {parent}" if source is None else "it extends itself"
            names = ", ".join(sorted({*bundled, *site} - {name}))
            raise ProfileError(path, "extends", problem, f"Name one of {names}")
        seen.add(source[0])
        own = {key: value for key, value in table.items() if key != "extends"}
        table = _merged(source[1], own)
        name = parent
    return table


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**base, **over}
    for key in base.keys() & over.keys():
        below, above = base[key], over[key]
        if isinstance(below, dict) and isinstance(above, dict):
            merged[key] = _merged(below, above)
    return merged


def _converted(table: dict[str, Any], path: Path) -> Profile:
    try:
        return msgspec.convert(table, Profile)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at ")
        place = where.strip("`").removeprefix("$").removeprefix(".") or "top level"
        if isinstance(flaw := error.__cause__, Contradiction):
            place = f"{place}.{flaw.field}".removeprefix("top level.").rstrip(".")
            raise ProfileError(path, place, flaw.problem, flaw.mend) from error
        if found := re.fullmatch(r"Object missing required field `(\w+)`", message):
            raise ProfileError(path, place, f"{found[1]} is missing", "Add it") from error
        if found := re.fullmatch(r"Object contains unknown field `(\w+)`", message):
            raise ProfileError(
                path, place, f"{found[1]} is not a setting", "Remove it, or correct its name"
            ) from error
        raise ProfileError(path, place, message, "Correct the value") from error
