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


class Now(Value):
    """One instant, handed in from outside; core never asks for it.

    `mono_ms` runs from boot and goes on through suspend; it means something only beside `boot`,
    the boot's id. `wall_ms` is what the machine's calendar claims; the truth lies between
    `wall_low_ms` and `wall_high_ms`, of which the latter is `None` until a trusted source answered.
    """

    mono_ms: int
    boot: str
    wall_ms: int
    wall_low_ms: int
    wall_high_ms: int | None = None

    @property
    def trusted(self) -> bool:
        """Whether a trusted source has bounded the time from above."""
        return self.wall_high_ms is not None

    def since_ms(self, boot: str, mono_ms: int) -> int:
        """Milliseconds since an earlier instant.

        An instant of another boot counts as this boot's beginning: never earlier than it was, so
        limits on "how many in the last hour" stay on the safe side.
        """
        return self.mono_ms - mono_ms if boot == self.boot else self.mono_ms


class Meter(Value):
    """One service point of the roster and the meter that stands there.

    `switch_unit` and `switch_channel` (from 0) are given where a relay board switches and the
    meter at `unit` only measures. `second_proof` says how it is known which meter answers at this
    address, for types without a serial register (say the number of the commissioning sheet).
    """

    account: AccountText
    serial: SerialText
    profile: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]{1,48}\Z")]
    bus: IdText
    unit: Annotated[int, msgspec.Meta(ge=1, le=247)]
    dt: IdText
    phase: Annotated[str, msgspec.Meta(pattern=r"^L(1|2|3|123)\Z")] = "L1"
    switch_unit: Annotated[int, msgspec.Meta(ge=1, le=247)] | None = None
    switch_channel: Annotated[int, msgspec.Meta(ge=0, le=63)] | None = None
    second_proof: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None


class Pacing(Value):
    """How fast a returning feeder may be loaded (cold load pick-up)."""

    first_alone_ms: Annotated[int, msgspec.Meta(ge=0, le=600_000)] = 5_000
    """The first close of a DT is alone and observed for this long."""
    gap_ms: Annotated[int, msgspec.Meta(ge=0, le=600_000)] = 2_000
    """Between two closes on one DT after the first."""
    minute_max: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 60
    """Closes of the whole gateway in any 60 s."""
    quiet_ms: Annotated[int, msgspec.Meta(ge=0, le=86_400_000)] = 900_000
    """A DT on which nothing was closed for this long counts as unobserved again."""


class Limits(Value):
    """Ages and counts that the one rule compares with."""

    state_age_max_ms: Annotated[int, msgspec.Meta(ge=1_000, le=3_600_000)] = 120_000
    retrip_max: Annotated[int, msgspec.Meta(ge=1, le=20)] = 3
    """Closed so many times within an hour and open again: RETRIPPED."""
    promise_ms: Annotated[int, msgspec.Meta(ge=60_000, le=86_400_000)] = 1_200_000
    """Supply is promised within this time of the proof of payment: 20 minutes."""
    compensation_ms: Annotated[int, msgspec.Meta(ge=60_000, le=604_800_000)] = 7_200_000
    """Supply not back within this time of a sufficient payment is compensated: two hours."""


class ProfileAbility(Value):
    """What a meter type can do, as far as core must know it."""

    switches: bool
    """It has a load switch, and what is known of it is good enough to write."""
    proves_serial: bool
    """It has a register with its serial number."""
    needs_switch_unit: bool = False
    """Its switch is a channel of a relay board with an address of its own."""


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
