"""The blocks of a profile: what is known of one part of a register map, how well, from where.

Owns the shape of each block and the checks that need nothing beside it. Must never hold a meter's
behaviour as code, nor know where a file lies (`profile` does).
"""

from collections.abc import Mapping, Sequence, Set
from enum import StrEnum
from typing import Annotated, Final, assert_never

import msgspec

from gateway.bus.frame import BITS, READS, REGISTERS, Function
from gateway.bus.port import Baud, Format
from gateway.core.model import Cause, Value

ADDRESS_MAX: Final = 0xFFFF

Word = Annotated[int, msgspec.Meta(ge=0, le=ADDRESS_MAX)]


class Contradiction(ValueError):  # noqa: N818 - a judgement of a file, not an error of ours
    """A block that cannot be meant so. `field` is empty where it is about the whole block."""

    def __init__(self, field: str, problem: str, mend: str) -> None:
        super().__init__(f"{field}: {problem}. {mend}.")
        self.field = field
        self.problem = problem
        self.mend = mend


class Contradictions(ValueError):  # noqa: N818 - a judgement of a file, not an error of ours
    """Every contradiction between the blocks of a file; there is at least one."""

    def __init__(self, each: Sequence[Contradiction]) -> None:
        super().__init__(" ".join(str(one) for one in each))
        self.each = each


class Evidence(StrEnum):
    """How well a block of the map is known."""

    HARDWARE = "hardware"
    """Proven on such a meter."""
    INTEROP = "interop"
    """Independent sources agree, or software in use does it so."""
    MANUAL = "manual"
    """The maker's manual says so."""
    SINGLE_SOURCE = "single-source"
    """One source that nobody has confirmed: written only where the site document permits it."""


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
    U64 = "u64"
    S64 = "s64"
    FLOAT32 = "float32"

    @property
    def registers(self) -> int:
        """How many registers it takes."""
        match self:
            case Number.U16 | Number.S16:
                return 1
            case Number.U32 | Number.S32 | Number.FLOAT32:
                return 2
            case Number.U64 | Number.S64:
                return 4
            case _:
                assert_never(self)


class Quantity(StrEnum):
    """What a meter may measure; the name of the block that says where."""

    VOLTAGE = "voltage"
    CURRENT = "current"
    POWER = "power"
    ENERGY = "energy"


class Counted(StrEnum):
    """What an energy register counts."""

    IMPORT = "import"
    """What the consumer drew."""
    TOTAL = "total"
    """What went through in both directions, or in the only one that the meter knows."""


class WordOrder(StrEnum):
    """Which of several registers comes first."""

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


class SerialLine(Block):
    """What the maker ships it with; where it is not given it is not known. A site may change it."""

    baud: Baud | None = None
    format: Format | None = None

    def __post_init__(self) -> None:
        if self.baud is None and self.format is None:
            raise Contradiction("", "it says nothing", "Give baud or format, or leave it out")


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
        _fits(self.address, self.count)


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
        named = {"opened": self.opened, "closed": self.closed, "ready": self.ready}
        _told_apart(self.function, self.mask, named)


class CauseOfOpening(Block):
    """Where the meter says what opened its switch; it is read while the switch reads open.

    The value read is taken through `mask`; anything but the named values is no known cause.
    """

    function: Function
    address: Word
    mask: Word = 1
    prepay: Word | None = None
    """Its own prepay logic: the credit was used up."""
    technician: Word | None = None
    trip: Word | None = None
    """A protection."""
    power_up: Word | None = None
    """Its position after a power failure."""

    def __post_init__(self) -> None:
        _reads(self.function, READS)
        _told_apart(self.function, self.mask, {str(one).lower(): at for one, at in self._given()})
        if not self.named:
            raise Contradiction(
                "", "it names no cause", "Give a value to prepay, technician, trip or power_up"
            )

    @property
    def named(self) -> Mapping[int, Cause]:
        """What each value means."""
        return {value: cause for cause, value in self._given()}

    def _given(self) -> Sequence[tuple[Cause, int]]:
        values = {
            Cause.PREPAY: self.prepay,
            Cause.TECHNICIAN: self.technician,
            Cause.TRIP: self.trip,
            Cause.POWER_UP: self.power_up,
        }
        return [(cause, value) for cause, value in values.items() if value is not None]


class Measure(Block):
    """Where a value stands; `scale` makes volts, amperes or watts of it. Its type has the sign."""

    function: Function
    address: Word
    type: Number
    scale: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = 1.0
    word_order: WordOrder = WordOrder.BIG

    def __post_init__(self) -> None:
        _reads(self.function, REGISTERS)
        _fits(self.address, self.type.registers)


class Voltage(Measure, kw_only=True):
    """The voltage, and on which side of the switch it is measured."""

    side: Side


class Energy(Measure, kw_only=True):
    """The energy register that bills are made from; `scale` makes kWh of it."""

    counts: Counted


class OneWrite(Value, forbid_unknown_fields=True):
    """One write. A coil takes 1 or 0."""

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
        _fits(self.address, len(self.values))

    @property
    def last(self) -> int:
        """The last address that it writes."""
        return self.address + len(self.values) - 1


class Instruction(Block):
    """What is written to one meter, in this order."""

    writes: Annotated[tuple[OneWrite, ...], msgspec.Meta(min_length=1, max_length=4)]
    at: At = At.METER


class Motion(Instruction, kw_only=True):
    """An instruction after which the switch may stand elsewhere."""

    settle_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)]
    """From the write's answer until the state can be trusted."""


class Open(Motion):
    """How the switch is opened."""

    forces: bool = False
    """It overrides the meter's own prepay logic until it is released."""


class Close(Motion):
    """How the switch is closed."""

    means: Means = Means.CLOSED
    forces: bool = False
    """It overrides the meter's own prepay logic until it is released."""


class Release(Motion):
    """How a forced position is given back to the meter's own prepay logic."""


class Cancel(Instruction):
    """How a meter is made to forget a close that it refused and might carry out later."""


class Forbidden(Value, forbid_unknown_fields=True):
    """Holding registers of the meter that are never written, and why."""

    first: Word
    last: Word
    reason: Annotated[str, msgspec.Meta(min_length=1)]

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise Contradiction("last", "it is before first", "Give first and last in order")


def _reads(function: Function, allowed: Set[Function]) -> None:
    if function not in allowed:
        names = ", ".join(str(int(one)) for one in sorted(allowed))
        raise Contradiction(
            "function", f"{int(function)} cannot be read so", f"Write one of {names}"
        )


def _fits(address: int, count: int) -> None:
    if address + count - 1 > ADDRESS_MAX:
        raise Contradiction("address", "it runs past the last address", "Mend the address")


def _told_apart(function: Function, mask: int, named: Mapping[str, int | None]) -> None:
    if function in BITS and mask != 1:
        raise Contradiction("mask", f"function {int(function)} reads one bit", "Leave it out")
    given = {name: value for name, value in named.items() if value is not None}
    for name, value in given.items():
        if value & ~mask:
            raise Contradiction(name, f"{value:#06x} has bits outside the mask", "Mend either")
    if len(set(given.values())) != len(given):
        raise Contradiction(
            "", f"two of {', '.join(given)} are the same", "Give each its own value"
        )
