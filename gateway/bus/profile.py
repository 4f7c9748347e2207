"""Meter types as data: one file each, bundled or of this site.

Owns what the blocks of a profile have to be together, what a type can do, and what it lacks to do
more. Must never hold a meter's behaviour as code: what a type does differently stands in its file.
A profile may only name what it may write; ranges that must never be written carry their reason
(rule B7).

Files are TOML, one meter type each, named by the file. A site's own directory adds types; a file
there may say `extends = "acrel-ddsy1352"` and give only what differs, also under the same name.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, assert_never

import msgspec
from msgspec.structs import replace

from gateway.bus.blocks import (
    At,
    Cancel,
    CauseOfOpening,
    Close,
    Contradiction,
    Contradictions,
    Energy,
    Evidence,
    Forbidden,
    Identity,
    Instruction,
    Measure,
    Motion,
    OneWrite,
    Open,
    Quantity,
    Release,
    SerialLine,
    State,
    Voltage,
)
from gateway.bus.flaws import flaws_of
from gateway.bus.frame import Function
from gateway.bus.profile_files import BUNDLED, Files, ProfileError, files_in, merged_table
from gateway.bus.rtu import Timing
from gateway.core.fact import Move
from gateway.core.model import ProfileAbility, Value

__all__ = [
    "Lack", "Profile", "ProfileError", "load_profile", "load_profiles", "mistakes_in",
]  # fmt: skip

InstructionT = TypeVar("InstructionT", bound=Instruction)
SHOWN_BY: Final = {
    Function.WRITE_COIL: Function.READ_COILS,
    Function.WRITE_REGISTER: Function.READ_HOLDING,
    Function.WRITE_REGISTERS: Function.READ_HOLDING,
}
"""Which function reads what a function has written."""


class Lack(StrEnum):
    """What keeps something that may be written from being written."""

    STATE = "STATE"
    """The switch's position cannot be read: what has an effect that nobody sees is not done."""
    STATE_ADDRESS = "STATE_ADDRESS"
    """Where the switch's position is read is left to the site."""
    EVIDENCE = "EVIDENCE"
    """It is known from a single source that nobody has confirmed; a site may permit it."""


class Profile(Value, forbid_unknown_fields=True):
    """One meter type."""

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    timing: Timing
    address_base: Literal[0, 1] = 0
    """What the addresses of this file count from: 1 where the maker's manual does so, 0 on the
    line."""
    channels: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    """So many its relay board has, where a channel of one is its switch."""
    serial: SerialLine | None = None
    identity: Identity | None = None
    state: State | None = None
    voltage: Voltage | None = None
    current: Measure | None = None
    power: Measure | None = None
    energy: Energy | None = None
    close: Close | None = None
    open: Open | None = None
    release: Release | None = None
    cancel: Cancel | None = None
    cause: CauseOfOpening | None = None
    forbidden: tuple[Forbidden, ...] = ()

    def __post_init__(self) -> None:
        if found := tuple(self._contradictions()):
            raise Contradictions(found)

    @property
    def ability(self) -> ProfileAbility:
        """What core must know of this type."""
        proven, trusting = self._ability(trusting=False), self._ability(trusting=True)
        return replace(proven, trusting=None if trusting == proven else trusting)

    @property
    def measures(self) -> Mapping[Quantity, Measure]:
        """What it measures, and where each value stands."""
        values = {
            Quantity.VOLTAGE: self.voltage,
            Quantity.CURRENT: self.current,
            Quantity.POWER: self.power,
            Quantity.ENERGY: self.energy,
        }
        return {quantity: measure for quantity, measure in values.items() if measure is not None}

    @property
    def instructions(self) -> Mapping[str, Instruction]:
        """What is known of writing to it, by the block's name; whether it may be is another
        matter."""
        named = {
            "close": self.close,
            "open": self.open,
            "release": self.release,
            "cancel": self.cancel,
        }
        return {name: block for name, block in named.items() if block is not None}

    def motion(self, move: Move, *, trusting: bool = False) -> Motion | None:
        """What carries out a move; None where it is not known well enough to be written.

        `trusting`: the site document takes a single source for good enough.
        """
        match move:
            case Move.CLOSE:
                return self._proven(self.close, trusting=trusting)
            case Move.OPEN:
                return self._proven(self.open, trusting=trusting)
            case Move.RELEASE:
                return self._proven(self.release, trusting=trusting)
            case _:
                assert_never(move)

    def cancelling(self, *, trusting: bool = False) -> Cancel | None:
        """What takes back a close that was refused; None where that may not be written."""
        return self._proven(self.cancel, trusting=trusting)

    def writable(self, *, trusting: bool = False) -> tuple[Instruction, ...]:
        """Everything that a meter of this type may ever be sent."""
        motions = (self.motion(move, trusting=trusting) for move in Move)
        known = (*motions, self.cancelling(trusting=trusting))
        return tuple(block for block in known if block is not None)

    def lacks(self, name: str) -> tuple[Lack, ...]:
        """What keeps one of its `instructions` from being written; nothing: it may be."""
        return tuple(self._lacks_of(self.instructions[name]))

    def _lacks_of(self, block: Instruction) -> Iterator[Lack]:
        if self.state is None:
            yield Lack.STATE
        elif self.state.address is None:
            yield Lack.STATE_ADDRESS
        if block.evidence is Evidence.SINGLE_SOURCE:
            yield Lack.EVIDENCE

    def _proven(self, block: InstructionT | None, *, trusting: bool) -> InstructionT | None:
        if block is None:
            return None
        lacks = set(self._lacks_of(block)) - ({Lack.EVIDENCE} if trusting else set())
        return None if lacks else block

    def _ability(self, *, trusting: bool) -> ProfileAbility:
        return ProfileAbility(
            switches=self.motion(Move.CLOSE, trusting=trusting) is not None,
            opens=self.motion(Move.OPEN, trusting=trusting) is not None,
            releases=self.motion(Move.RELEASE, trusting=trusting) is not None,
            proves_serial=self.identity is not None,
            needs_switch_unit=self._on_a_board,
            channels=self.channels,
        )

    @property
    def _on_a_board(self) -> bool:
        blocks = (self.state, *self.instructions.values())
        return any(block.at is At.SWITCH_CHANNEL for block in blocks if block is not None)

    def _contradictions(self) -> Iterator[Contradiction]:
        for name, block in self.instructions.items():
            for at, write in enumerate(block.writes):
                yield from self._forbidden(write, f"{name}.writes[{at}].address")
        if self._on_a_board and self.channels is None:
            problem = "a channel of a relay board switches, and how many it has is not said"
            yield Contradiction("channels", problem, "Give it, as in channels = 8")
        if self.channels is not None and not self._on_a_board:
            problem = "no block is at a switch-channel"
            yield Contradiction("channels", problem, "Leave it out, or mend the blocks")
        yield from self._shown_where_written()
        yield from self._alike()
        for place, address in self._addresses():
            if address < self.address_base:
                problem = f"{address}, where addresses count from {self.address_base}"
                yield Contradiction(place, problem, "Mend the address, or address_base")

    def _forbidden(self, write: OneWrite, place: str) -> Iterator[Contradiction]:
        if write.function is Function.WRITE_COIL:
            return
        for span in self.forbidden:
            if write.address <= span.last and span.first <= write.last:
                problem = f"{span.first:#06x} to {span.last:#06x} is forbidden: {span.reason}"
                yield Contradiction(place, problem, "Write elsewhere")

    def _shown_where_written(self) -> Iterator[Contradiction]:
        names = [name for name, block in self.instructions.items() if self._shows(block)]
        if names:
            yield Contradiction(
                "state.independent",
                f"the state is read where {', '.join(names)} is written",
                "Write false, or name the register that shows the contact",
            )

    def _shows(self, block: Instruction) -> bool:
        """Whether what is said to be the contact is only what this has written."""
        state = self.state
        if state is None or state.address is None or not state.independent:
            return False
        address, read = state.address, state.function
        return state.at is block.at and any(
            write.address <= address <= write.last and read is SHOWN_BY[write.function]
            for write in block.writes
        )

    def _alike(self) -> Iterator[Contradiction]:
        for (one, first), (other, second) in combinations(self.instructions.items(), 2):
            # A meter may well forget a close by being opened or released.
            if other == "cancel" and one != "close":
                continue
            if (first.at, first.writes) == (second.at, second.writes):
                yield Contradiction(f"{other}.writes", f"the same as those of {one}", "Mend either")

    def _addresses(self) -> Iterator[tuple[str, int]]:
        for name, block in (("identity", self.identity), ("cause", self.cause)):
            if block is not None:
                yield f"{name}.address", block.address
        if self.state is not None and self.state.address is not None:
            yield "state.address", self.state.address
        for quantity, measure in self.measures.items():
            yield f"{quantity}.address", measure.address
        for name, instruction in self.instructions.items():
            for at, write in enumerate(instruction.writes):
                yield f"{name}.writes[{at}].address", write.address


def load_profiles(directory: Path | None) -> dict[str, Profile]:
    """All meter types by name: the bundled ones, then those of the site's own directory.

    Raises `ProfileError`.
    """
    bundled = files_in(BUNDLED)
    site = {} if directory is None else files_in(directory)
    return {
        name: _loaded(path, site, bundled) for name, path in sorted({**bundled, **site}.items())
    }


def load_profile(path: Path) -> Profile:
    """The meter type of one file, as it loads in the directory where it lies.

    Raises `ProfileError`.
    """
    return _loaded(path, files_in(path.parent), files_in(BUNDLED))


def mistakes_in(path: Path) -> tuple[ProfileError, ...]:
    """Everything that keeps a file from loading in the directory where it lies."""
    try:
        table = merged_table(path, files_in(path.parent), files_in(BUNDLED))
    except ProfileError as error:
        return (error,)
    return tuple(_mistakes(table, path))


def _loaded(path: Path, site: Files, bundled: Files) -> Profile:
    table = merged_table(path, site, bundled)
    try:
        return msgspec.convert(table, Profile)
    except msgspec.ValidationError as error:
        raise next(_mistakes(table, path)) from error


def _mistakes(table: dict[str, Any], path: Path) -> Iterator[ProfileError]:
    for flaw in flaws_of(table, Profile):
        yield ProfileError(path, flaw.place, flaw.problem, flaw.mend)
