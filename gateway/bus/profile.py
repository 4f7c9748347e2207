"""Meter types as data: what is known of a register map, how well, and from where.

Owns the shape of a profile and every check that can be made before a meter is asked. Must never
hold a meter's behaviour as code: what a type does differently stands in its file. A profile may
only name what it may write; ranges that must never be written carry their reason (rule B7).

Files are TOML, one meter type each, named by the file. A site's own directory adds types; a file
there may say `extends = "acrel-ddsy1352"` and give only what differs, also under the same name.
"""

import re
import tomllib
from collections.abc import Mapping, Set
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from gateway.bus.frame import BITS, READS, REGISTERS, Function
from gateway.bus.rtu import Timing
from gateway.core.model import ProfileAbility, Value

BUNDLED: Final = Path(__file__).parent / "profiles"
NAME: Final = re.compile(r"[a-z0-9-]{1,48}")
ADDRESS_MAX: Final = 0xFFFF

Word = Annotated[int, msgspec.Meta(ge=0, le=ADDRESS_MAX)]


class ProfileError(Exception):
    """A mistake in a profile: one line with the file, the place in it and the mend."""

    def __init__(self, path: Path, place: str, problem: str, mend: str) -> None:
        super().__init__(f"{path}: {place}: {problem}. {mend}.".replace("\n", " "))
        self.path = path
        self.place = place
        self.mend = mend


class Contradiction(ValueError):  # noqa: N818 - a judgement of a file, not an error of ours
    """A block that cannot be meant so. `field` is empty where it is about the whole block."""

    def __init__(self, field: str, problem: str, mend: str) -> None:
        super().__init__(f"{field}: {problem}. {mend}.")
        self.field = field
        self.problem = problem
        self.mend = mend


class Evidence(StrEnum):
    """How well a block of the map is known."""

    HARDWARE = "hardware"
    """Proven on such a meter."""
    INTEROP = "interop"
    """Independent sources agree, or software in use does it so."""
    MANUAL = "manual"
    """The maker's manual says so."""
    SINGLE_SOURCE = "single-source"
    """One source that nobody has confirmed: never enough to write."""


class At(StrEnum):
    """Who is asked."""

    METER = "meter"
    SWITCH_CHANNEL = "switch-channel"
    """The relay board at the meter's `switch_unit`; its `switch_channel` is added to addresses."""


class Coding(StrEnum):
    """How a serial number is held in registers."""

    BCD = "bcd"
    """Four digits a register, all of them shown."""
    U32 = "u32"
    ASCII = "ascii"
    """Two characters a register, padded with NUL or blank."""


class Number(StrEnum):
    """How a measured value is held in registers."""

    U16 = "u16"
    S16 = "s16"
    U32 = "u32"
    S32 = "s32"
    FLOAT32 = "float32"

    @property
    def registers(self) -> int:
        """How many registers it takes."""
        return 1 if self in {Number.U16, Number.S16} else 2


class WordOrder(StrEnum):
    """Which of two registers comes first."""

    BIG = "big"
    LITTLE = "little"


class Side(StrEnum):
    """Where the meter measures voltage."""

    SUPPLY = "supply"
    LOAD = "load"
    """Behind the switch: it shows whether the switch conducts, and whether something feeds back."""


class Means(StrEnum):
    """What the meter makes of a close."""

    CLOSED = "closed"
    ARMED = "armed"
    """The consumer must press."""


class Block(Value, forbid_unknown_fields=True):
    """A part of the map, with what it is known from."""

    evidence: Evidence
    source: Annotated[str, msgspec.Meta(min_length=1)]


class Identity(Block):
    """Where the serial number stands."""

    function: Function
    address: Word
    count: Annotated[int, msgspec.Meta(ge=1, le=16)]
    coding: Coding

    def __post_init__(self) -> None:
        _reads(self.function, REGISTERS)
        if self.coding is Coding.U32 and self.count != 2:
            raise Contradiction("count", "a u32 takes 2 registers", "Write 2, or mend the coding")


class State(Block):
    """Where the switch's position is read. Without an address it is not known for this site yet.

    The value read is taken through `mask`; anything but the named values is no state at all.
    """

    function: Function
    opened: Word
    closed: Word
    independent: bool
    """Whether it is the contact that is read, not the register that was written."""
    address: Word | None = None
    at: At = At.METER
    mask: Word = 1
    ready: Word | None = None
    """Armed: waiting for the consumer."""

    def __post_init__(self) -> None:
        _reads(self.function, READS)
        if self.function in BITS and self.mask != 1:
            raise Contradiction(
                "mask", f"function {int(self.function)} reads one bit", "Leave it out"
            )
        named = {"opened": self.opened, "closed": self.closed, "ready": self.ready}
        given = {name: value for name, value in named.items() if value is not None}
        for name, value in given.items():
            if value & ~self.mask:
                raise Contradiction(name, f"{value:#06x} has bits outside the mask", "Mend either")
        if len(set(given.values())) != len(given):
            raise Contradiction("", "two states have the same value", "Give each its own")


class Measure(Block):
    """Where a value stands; `scale` makes volts or amperes of it."""

    function: Function
    address: Word
    type: Number
    scale: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = 1.0
    word_order: WordOrder = WordOrder.BIG

    def __post_init__(self) -> None:
        _reads(self.function, REGISTERS)


class Voltage(Measure, kw_only=True):
    """The voltage, and on which side of the switch it is measured."""

    side: Side


class CloseWrite(Value, forbid_unknown_fields=True):
    """One write of a close. A coil takes 1 or 0."""

    function: Function
    address: Word
    values: Annotated[tuple[Word, ...], msgspec.Meta(min_length=1, max_length=16)]

    def __post_init__(self) -> None:
        if self.function in READS:
            raise Contradiction("function", f"{int(self.function)} reads", "Write 5, 6 or 16")
        if self.function is not Function.WRITE_REGISTERS and len(self.values) != 1:
            raise Contradiction(
                "values", f"function {int(self.function)} writes one", "Give one value"
            )
        if self.function is Function.WRITE_COIL and not set(self.values) <= {0, 1}:
            raise Contradiction("values", "a coil takes 1 or 0, never a toggle", "Write 1 or 0")
        if self.last > ADDRESS_MAX:
            raise Contradiction("address", "it runs past the last address", "Mend the address")

    @property
    def last(self) -> int:
        """The last address that it writes."""
        return self.address + len(self.values) - 1


class Close(Block):
    """How the switch is closed."""

    writes: Annotated[tuple[CloseWrite, ...], msgspec.Meta(min_length=1, max_length=4)]
    settle_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)]
    """From the write's answer until the state can be trusted."""
    at: At = At.METER
    means: Means = Means.CLOSED
    forces: bool = False
    """It overrides the meter's own prepay logic until it is released."""


class Forbidden(Value, forbid_unknown_fields=True):
    """Holding registers of the meter that are never written, and why."""

    first: Word
    last: Word
    reason: Annotated[str, msgspec.Meta(min_length=1)]

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise Contradiction("last", "it is before first", "Give first and last in order")


class Profile(Value, forbid_unknown_fields=True):
    """One meter type."""

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    timing: Timing
    identity: Identity | None = None
    state: State | None = None
    voltage: Voltage | None = None
    current: Measure | None = None
    close: Close | None = None
    forbidden: tuple[Forbidden, ...] = ()

    def __post_init__(self) -> None:
        for at, write in enumerate(self.close.writes if self.close else ()):
            self._check_allowed(write, f"close.writes[{at}].address")
            if self._read_where_written(write):
                raise Contradiction(
                    "state.independent",
                    "the state is read where the close is written",
                    "Write false, or name the register that shows the contact",
                )

    @property
    def ability(self) -> ProfileAbility:
        """What core must know of this type."""
        return ProfileAbility(
            switches=self._switches,
            proves_serial=self.identity is not None,
            needs_switch_unit=At.SWITCH_CHANNEL
            in {block.at for block in (self.state, self.close) if block is not None},
        )

    @property
    def _switches(self) -> bool:
        # A close whose effect cannot be read is not done at all.
        if self.close is None or self.state is None or self.state.address is None:
            return False
        return self.close.evidence is not Evidence.SINGLE_SOURCE

    def _check_allowed(self, write: CloseWrite, place: str) -> None:
        if write.function is Function.WRITE_COIL:
            return
        for span in self.forbidden:
            if write.address <= span.last and span.first <= write.last:
                problem = f"{span.first:#06x} to {span.last:#06x} is forbidden: {span.reason}"
                raise Contradiction(place, problem, "Write elsewhere")

    def _read_where_written(self, write: CloseWrite) -> bool:
        if self.state is None or self.close is None or self.state.address is None:
            return False
        coil = write.function is Function.WRITE_COIL
        shown = self.state.function is (Function.READ_COILS if coil else Function.READ_HOLDING)
        same = shown and self.state.at is self.close.at
        return self.state.independent and same and write.address <= self.state.address <= write.last


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


def _reads(function: Function, allowed: Set[Function]) -> None:
    if function not in allowed:
        names = ", ".join(str(int(one)) for one in sorted(allowed))
        raise Contradiction(
            "function", f"{int(function)} cannot be read so", f"Write one of {names}"
        )
