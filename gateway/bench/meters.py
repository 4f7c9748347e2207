"""The meters of one line as a file tells them, and the truth about them as the line tells it.

Owns the words of both, and the mistakes that can be seen in one entry. Must never know a register:
`maps` does.
"""

import re
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from gateway.bench.faults import Faults
from gateway.bench.house import Move
from gateway.bench.slave import Write
from gateway.core.model import AccountText, SerialText, Value

CHANNELS_MAX: Final = 8
METERS_MAX: Final = 247
Unit = Annotated[int, msgspec.Meta(ge=1, le=247)]


class MeterType(StrEnum):
    """The simulated types."""

    ACREL_DDSY1352 = "acrel-ddsy1352"
    DDS238_2_ZN_SR = "dds238-2-zn-sr"
    SDM230_RELAY = "sdm230-relay"
    """An SDM230 that measures behind a contactor, which a channel of a relay board drives."""
    EASTRON_SDM230 = "eastron-sdm230"
    EASTRON_SDM120 = "eastron-sdm120"
    ACREL_DTSY1352 = "acrel-dtsy1352"
    ACCUENERGY_EV300 = "accuenergy-ev300"
    SCHNEIDER_IEM3000 = "schneider-iem3000"
    CHINT_DTSU666 = "chint-dtsu666"
    ORNO_OR_WE_516 = "orno-or-we-516"
    NOARK_EX9EM = "noark-ex9em"
    INEPRO_PRO380 = "inepro-pro380"


class BoardType(StrEnum):
    """The relay boards that drive contactors."""

    RELAY8 = "relay8"
    """Eight channels, coils and inputs from 0; its sisters count from 1 and from 16."""
    RELAY8_BASE1 = "relay8-base1"
    RELAY8_BASE16 = "relay8-base16"
    WB_MR6C = "wb-mr6c"
    """Six channels, coils from 0, inputs from 96; may drop its relays when nobody asks it."""


class Position(StrEnum):
    """Where a switch stands at first."""

    CLOSED = "closed"
    OPEN = "open"


class MeterEntry(Value, forbid_unknown_fields=True):
    """One meter of the line, as the meters file tells it."""

    type: MeterType
    unit: Unit
    serial: SerialText
    account: AccountText | None = None
    """A label for reports; no meter knows it."""
    state: Position = Position.CLOSED
    load_w: Annotated[float, msgspec.Meta(ge=0, le=20_000)] = 300.0
    energy_kwh: Annotated[float, msgspec.Meta(ge=0, le=10_000_000)] = 1_000.0
    turnaround_ms: Annotated[float, msgspec.Meta(ge=0, le=10_000)] = 20.0
    pick_up: Annotated[float, msgspec.Meta(ge=0, le=10)] = 1.0
    """How far above normal the load comes back after dark: so many times the usual excess."""
    pick_up_time: Annotated[float, msgspec.Meta(ge=0, le=10)] = 1.0
    """How long that lasts: so many times the usual."""
    faults: Faults = Faults()
    """What goes wrong at this meter, whatever goes wrong on the line."""
    credit: bool = True
    """Acrel: what its own prepay logic thinks."""
    status_address: Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)] = 0x0165
    """Acrel: where the status word is; its place is not public, the site tells it."""
    switch_unit: Unit | None = None
    """Types without a switch: the address of the relay board."""
    switch_channel: Annotated[int, msgspec.Meta(ge=0, lt=CHANNELS_MAX)] | None = None
    """The channel of the relay board, from 0."""
    board: BoardType = BoardType.RELAY8
    """What the relay board is."""
    board_drops: bool = False
    """MR6C: commissioned so that it opens its relays when its poll time-out has run off."""


class MeterTruth(Value):
    """What is really the case at one meter."""

    serial: str
    answers_serial: str
    account: str | None
    type: MeterType
    unit: int
    """Where the file has it, also while it is exchanged with another."""
    dead: bool
    stuck: bool
    lies: bool
    backfeed_v: float
    closed: bool
    """Where the contact is, whatever the registers say."""
    own_logic: bool
    """The switch follows the meter's own logic, if it has one; nobody forces it."""
    moves: int
    """How often the contact has moved."""
    moved: tuple[Move, ...]
    """The newest movements, oldest first."""
    power_w: float
    energy_kwh: float
    writes: tuple[Write, ...]
    """The newest writes that concerned it, oldest first."""


class LineError(ValueError):
    """The meters of the file cannot stand on one line, or cannot do what they are asked."""


def read_meters(content: bytes) -> list[MeterEntry]:
    """The entries of a meters file. `LineError` says where it is wrong and how to mend it."""
    try:
        text = content.decode()
    except UnicodeDecodeError as mistake:
        raise LineError(f"byte {mistake.start} is not UTF-8: save the file as UTF-8") from None
    try:
        entries = msgspec.json.decode(text, type=list[MeterEntry])
    except msgspec.ValidationError as mistake:
        raise LineError(_mended(str(mistake))) from None
    except msgspec.DecodeError as mistake:
        raise LineError(f"{_place_in(text, str(mistake))}: correct the JSON there") from None
    if len(entries) > METERS_MAX:
        raise LineError(f"{len(entries)} meters: a line has at most {METERS_MAX}")
    return entries


def _mended(mistake: str) -> str:
    """A mistake of one field: where it is, what is wrong with it, what to write."""
    problem, _, where = mistake.partition(" - at ")
    place = where.strip("`").removeprefix("$") or "top level"
    if found := re.search(r"unknown field `(\w+)`", problem):
        names = _names(Faults if place.endswith(".faults") else MeterEntry)
        return f"{place}: there is no {found[1]}: use one of {names}"
    if found := re.search(r"missing required field `(\w+)`", problem):
        return f"{place}: {found[1]} is missing: every meter needs type, unit and serial"
    if found := re.fullmatch(r"Invalid enum value '(.*)'", problem):
        kind = {"type": MeterType, "board": BoardType, "state": Position}[place.rpartition(".")[2]]
        return f"{place}: there is no {found[1]}: use one of {', '.join(kind)}"
    return f"{place}: {problem}"


def _names(kind: type[msgspec.Struct]) -> str:
    return ", ".join(kind.__struct_fields__)


def _place_in(text: str, mistake: str) -> str:
    """A mistake of the JSON itself, with the line where msgspec says a byte."""
    found = re.search(r"\(byte (\d+)\)", mistake)
    byte = int(found[1]) if found else len(text.encode())
    line = text.encode()[:byte].count(b"\n") + 1
    return f"line {line}: {mistake}"
