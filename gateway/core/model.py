"""The words of the trade as types: account, meter, service point, supply state, time, site.

Owns the vocabulary that every room shares. Must never do anything: no rule is decided here.
Supply states are those of DLMS/COSEM class 70 (disconnect control), IEC 62056-6-2.
"""

from enum import StrEnum
from typing import Annotated, NewType, dataclass_transform

import msgspec

Account = NewType("Account", str)
"""The utility's consumer number."""
Serial = NewType("Serial", str)
"""The meter's serial number, as printed on it and as read from its identity register."""
GatewayId = NewType("GatewayId", str)
BusId = NewType("BusId", str)
DtId = NewType("DtId", str)
KeyId = NewType("KeyId", str)
Digest = NewType("Digest", str)
"""SHA-256 of a document's payload, 64 lower-case hexadecimal digits."""

INTEGER_MAX = 2**53 - 1
"""The largest integer every JSON implementation carries unharmed (RFC 8259, section 6)."""

Count = Annotated[int, msgspec.Meta(ge=0, le=INTEGER_MAX)]
TimeMs = Annotated[int, msgspec.Meta(ge=0, le=INTEGER_MAX)]
"""Milliseconds UTC since 1970."""
AccountText = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z/_.-]{1,32}\Z")]
SerialText = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z-]{1,32}\Z")]
IdText = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9-]{1,32}\Z")]
"""Ids that become a part of an MQTT topic, a file name or a page address."""
ProfileName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]{1,48}\Z")]
"""A meter type's, which is its file's."""


# Type checkers take frozen from each class statement; this tells them that it is inherited.
@dataclass_transform(frozen_default=True, kw_only_default=True)
class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all values: immutable, compared by content."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Tagged(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base of the values that are written down with their type's name beside them."""


class SupplyState(StrEnum):
    """What the load switch lets through, in DLMS class 70's words."""

    CONNECTED = "CONNECTED"
    DISCONNECTED = "DISCONNECTED"
    READY_FOR_RECONNECTION = "READY_FOR_RECONNECTION"
    """Armed: the consumer must press the meter's button."""
    UNKNOWN = "UNKNOWN"


class Cause(StrEnum):
    """What opened a load switch, where that is known."""

    ORDER = "ORDER"
    """A disconnect order that this gateway carried out."""
    ARREARS = "ARREARS"
    """For arrears, by other means: somebody answers for that by name."""
    PREPAY = "PREPAY"
    """The meter's own prepay logic: the credit was used up."""
    POWER_UP = "POWER_UP"
    """Its position after a power failure; nobody opened it."""
    TECHNICIAN = "TECHNICIAN"
    """Somebody at the meter, for a reason of his own."""
    TRIP = "TRIP"
    """A protection: overload, temperature, tamper."""


FOR_SAFETY = frozenset({Cause.TECHNICIAN, Cause.TRIP})
"""Causes that overrule whoever asked for supply before."""


class Brake(StrEnum):
    """Why a permitted close has to wait for its turn."""

    UNDER_WAY = "UNDER_WAY"
    """Another close on its DT has not ended yet."""
    FIRST_ALONE = "FIRST_ALONE"
    """The first close of its DT is being observed."""
    GAP = "GAP"
    DT_CEILING = "DT_CEILING"
    FEEDER_CEILING = "FEEDER_CEILING"
    GATEWAY_CEILING = "GATEWAY_CEILING"
    SETBACK = "SETBACK"
    """Its own last close did not succeed; it is tried again later."""
    FAILURES = "FAILURES"
    """Its DT is stopped: too many closes failed unexplained."""
    UNDERVOLTAGE = "UNDERVOLTAGE"
    """Its DT is stopped: the check meter reads too little."""


class TimeSource(StrEnum):
    """Who answers for the calendar time."""

    NONE = "NONE"
    """Nobody: only what it is certainly not before is known."""
    NETWORK = "NETWORK"
    """The machine's time daemon is synchronised."""
    RTC = "RTC"
    """A battery clock that never stopped."""
    DOCUMENT = "DOCUMENT"
    """A time document of this boot."""


class Now(Value):
    """One instant, handed in from outside; core never asks for it.

    `mono_ms` runs from boot and goes on through suspend; it means something only beside `boot`,
    the boot's id. `wall_ms` is what the machine's calendar claims, or the nearest time to that
    which it can be; the truth lies between `wall_low_ms` and `wall_high_ms`, of which the latter is
    `None` until a trusted source, `source`, has answered.
    """

    mono_ms: int
    boot: str
    wall_ms: int
    wall_low_ms: int
    wall_high_ms: int | None = None
    source: TimeSource = TimeSource.NONE

    @property
    def trusted(self) -> bool:
        """Whether a trusted source has bounded the time from above."""
        return self.wall_high_ms is not None


class Instant(Value):
    """A point in time, for durations: the boot it belongs to and milliseconds since that boot."""

    boot: str
    mono_ms: int
    wall_ms: int
    trusted: bool = False
    """Whether a trusted source had bounded the calendar then."""


class Meter(Value):
    """One service point of the roster and the meter that stands there.

    `switch_unit` and `switch_channel` (from 0) are given where a relay board switches and the
    meter at `unit` only measures. `second_proof` says how it is known which meter answers at this
    address, for types without a serial register (say the number of the commissioning sheet).
    """

    account: AccountText
    serial: SerialText
    profile: ProfileName
    bus: IdText
    unit: Annotated[int, msgspec.Meta(ge=1, le=247)]
    dt: IdText
    phase: Annotated[str, msgspec.Meta(pattern=r"^L(1|2|3|123)\Z")] = "L1"
    switch_unit: Annotated[int, msgspec.Meta(ge=1, le=247)] | None = None
    switch_channel: Annotated[int, msgspec.Meta(ge=0, le=63)] | None = None
    second_proof: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    protected: bool = False
    """Nobody cuts it: life support, hospital, water works."""


class ProfileAbility(Value):
    """What a meter type can do, as far as core must know it."""

    switches: bool
    """It has a load switch, and what is known of closing it is good enough to write."""
    proves_serial: bool
    """It has a register with its serial number."""
    opens: bool = False
    """What is known of opening it is good enough to write."""
    releases: bool = False
    """A forced position can be given back to the meter's own prepay logic."""
    needs_switch_unit: bool = False
    """Its switch is a channel of a relay board with an address of its own."""
    channels: int | None = None
    """So many the relay board has, from 0; None: not known."""
    trusting: "ProfileAbility | None" = None
    """What it can do where the site document takes a single source for good enough; None: no
    more."""


class Station(Value):
    """What this gateway was installed with: its name, its buses, the meter types it can drive."""

    gateway: GatewayId
    buses: tuple[str, ...]
    profiles: dict[str, ProfileAbility]


class Reading(Value):
    """What was read from one meter: volatile, the newest counts. None: not read or not shown."""

    state: SupplyState
    mono_ms: int
    serial: Serial | None = None
    """The serial number that the meter itself gave."""
    supply_mv: int | None = None
    """Millivolts on the supply side of the switch."""
    load_mv: int | None = None
    """Millivolts on the load side of the switch."""
    current_ma: int | None = None
    power_w: int | None = None
    """Negative where it flows back to the supply."""
    energy_wh: int | None = None
    """What its register for bills has counted."""
    values_ms: int | None = None
    """When (boot clock) these values were read, which is less often than the state."""
    cause: Cause | None = None
    """What the meter itself says opened its switch."""
