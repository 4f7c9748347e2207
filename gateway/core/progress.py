"""Progress: how far an order has come, as a value.

Owns the shapes of an order's lifecycle: its states, its version, its result. Must never change by
itself: `lifecycle` makes a new one from each record.

The states are those of AWS IoT Jobs' executions (Developer Guide, "Job and job execution states").
"""

from collections.abc import Mapping
from enum import StrEnum

from gateway.core.model import Digest, Instant, SupplyState, Tagged, Value
from gateway.core.orders import Act


class OrderState(StrEnum):
    """Where an order stands. The last five are its ends, and never change."""

    QUEUED = "QUEUED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    REJECTED = "REJECTED"
    CANCELED = "CANCELED"


UNDER_WAY = frozenset({OrderState.QUEUED, OrderState.IN_PROGRESS})


class HomeResult(Value, omit_defaults=True):
    """What became of one home of an order.

    `outcome` is the command's (`fact.Outcome`), `detail` the rule's verdict or why it failed.
    """

    meter: str
    outcome: str
    detail: str = ""
    state: SupplyState = SupplyState.UNKNOWN
    """As read back."""


class Homes(Tagged, tag="homes"):
    """The result of an order that moves switches."""

    homes: tuple[HomeResult, ...]


class ReadingTaken(Value, omit_defaults=True):
    """What was read of one meter after the order came. None: not read, or not shown by its type.

    `wall_ms`: by the calendar's claim, milliseconds UTC since 1970.
    """

    meter: str
    state: SupplyState
    wall_ms: int
    supply_mv: int | None = None
    load_mv: int | None = None
    current_ma: int | None = None
    power_w: int | None = None
    energy_wh: int | None = None


class Readings(Tagged, tag="readings"):
    """The result of a `read`. `missing` were not, or not wholly, read in time."""

    readings: tuple[ReadingTaken, ...]
    missing: tuple[str, ...] = ()


class Resident(Value, omit_defaults=True):
    """Who was found at an address of a bus: presence, serial number and meter type as told."""

    unit: int
    presence: str
    serial: str | None = None
    profile: str | None = None


class Residents(Tagged, tag="residents"):
    """The result of a `scan`: who was found, and at how many addresses nobody answered."""

    found: tuple[Resident, ...]
    silent: int


Result = Homes | Readings | Residents


class Pending(Value):
    """What an order that has not ended is waiting for."""

    act: Act
    accepted: Instant
    exp: int
    homes: tuple[HomeResult, ...] = ()
    """Those of its homes that have ended, in the order in which they did."""


class Progress(Value):
    """How far one order has come.

    `version` is 1 at first and rises by one with each change; 0 is the answer to one that counts as
    never come, of which nothing is kept. `at`: when each state was first reached, by the calendar's
    claim (milliseconds UTC since 1970); `trusted`: whether a trusted source bounded the last of
    these.
    """

    id: str
    kind: str
    state: OrderState
    version: int = 0
    number: int = 0
    """Of the record that changed it last."""
    digest: Digest = Digest("")
    at: Mapping[str, int] = {}
    trusted: bool = False
    reason: str = ""
    """One word: a verdict, an outcome or a refusal's name."""
    detail: str = ""
    result: Result | None = None
    pending: Pending | None = None
    """None of one that has ended."""

    @property
    def ended(self) -> bool:
        """Whether it never changes any more."""
        return self.state not in UNDER_WAY


class OrderNamed(Value):
    """What can be told of an order whose signature holds, whatever else is wrong with it."""

    id: str
    kind: str = ""
