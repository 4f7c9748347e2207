"""The steps of a history: what can happen to a gateway, each a plain value.

A failing history is read and repeated from them.
"""

from dataclasses import dataclass

from gateway.core.fact import Origin, TagKind
from gateway.core.model import Cause, SupplyState
from gateway.core.orders import Act


@dataclass(frozen=True)
class Pays:
    """A receipt; `n` is at, before or after what was said until then."""

    number: int
    after: int


@dataclass(frozen=True)
class Lists:
    """A list that names some accounts, some of them as cut for arrears."""

    paid: frozenset[int]
    cut: frozenset[int]


@dataclass(frozen=True)
class Rosters:
    """A site document that names some of the meters."""

    of: frozenset[int]


@dataclass(frozen=True)
class Orders:
    """A disconnection, signed by some of the keys."""

    cut: frozenset[int]
    after: int
    keys: tuple[int, ...]
    retained: bool = False


@dataclass(frozen=True)
class Asks:
    """An order of another kind."""

    act: Act


@dataclass(frozen=True)
class Hears:
    """The head end is heard, says that it goes, or only the broker remembers it."""

    online: bool
    kept_by_broker: bool


@dataclass(frozen=True)
class Says:
    """Somebody says what opened a switch, or lets a transformer go on."""

    number: int
    cause: Cause | None


@dataclass(frozen=True)
class Measures:
    """The transformer's check meter is read."""

    volts: int


@dataclass(frozen=True)
class Reads:
    """A reading."""

    number: int
    state: SupplyState
    cause: Cause | None = None


@dataclass(frozen=True)
class Tags:
    """A hold or an isolation is placed or removed."""

    kind: TagKind
    number: int
    place: bool
    origin: Origin = Origin.TECHNICIAN


@dataclass(frozen=True)
class Plans:
    """A tick."""


@dataclass(frozen=True)
class Ends:
    """The oldest command ends; what the bus may say of a move is told by `OUTCOMES`."""

    at: int
    reads: SupplyState | None
    writes: int


@dataclass(frozen=True)
class Works:
    """What is planned is done, and every command ends as it should."""


@dataclass(frozen=True)
class Ordinary:
    """The head end is there, every meter is read as it stands, and who has paid is listed."""


@dataclass(frozen=True)
class Waits:
    """Time passes."""

    ms: int


@dataclass(frozen=True)
class Garbage:
    """Something comes that is no document."""


@dataclass(frozen=True)
class Restarts:
    """The process or the machine starts anew."""

    boot: bool


@dataclass(frozen=True)
class TrustsNoClock:
    """No source of time answers any more."""


Step = (
    Pays
    | Lists
    | Rosters
    | Orders
    | Asks
    | Hears
    | Says
    | Measures
    | Reads
    | Tags
    | Plans
    | Ends
    | Works
    | Ordinary
    | Waits
    | Garbage
    | Restarts
    | TrustsNoClock
)
