"""What survives a restart: the part of the image that the journal can rebuild.

Owns the shapes only. Must never change by itself: `image.apply` makes a new one from each record.
Its canonical JSON is the checkpoint.
"""

from collections.abc import Mapping

from gateway.core.documents import Site
from gateway.core.fact import CloseEnded
from gateway.core.model import Account, Digest, DtId, Serial, SupplyState, Value
from gateway.core.standing import ListInForce, Word

HOUR_MS = 3_600_000


class Instant(Value):
    """A point in time, for durations: the boot it belongs to and milliseconds since that boot."""

    boot: str
    mono_ms: int
    wall_ms: int


class Tag(Value):
    """Who forbade closing, why and since when."""

    by: str
    reason: str
    since: Instant


class Supply(Value):
    """The supply state last read, and since when it is so."""

    state: SupplyState
    since: Instant


class Closing(Value):
    """A close whose outcome is not known yet."""

    close: int
    account: Account
    attempt: int
    decided: Instant
    waits_since: Instant | None = None
    """Since when its consumer had been paid and dark; None: no proof of payment was known."""


class CloseMark(Value):
    """One close in the past, for pacing and retrip limits."""

    serial: Serial
    dt: DtId
    boot: str
    mono_ms: int


class Setback(Value):
    """How often in a row a close of this meter has not succeeded, and when last."""

    count: int
    last: Instant
    standing_n: int


class Proof(Value):
    """When the proof of an account's present standing reached the feeder."""

    n: int
    received: Instant


class Ask(Value):
    """A receipt of ledger time `n` asked for supply; `fulfilled`: when there first was some."""

    n: int
    accepted: Instant
    fulfilled: Instant | None = None


class Restored(Value):
    """Homes that closes of ours brought back since the journal began, and how long they waited."""

    total: int = 0
    within_promise: int = 0
    late: int = 0
    worst_ms: int = 0


class Kept(Value):
    """What survives a restart. Mappings are never changed in place."""

    site: Site | None = None
    site_digest: Digest | None = None
    list_in_force: ListInForce | None = None
    list_received: Instant | None = None
    words: Mapping[str, Word] = {}
    proofs: Mapping[str, Proof] = {}
    asks: Mapping[str, Ask] = {}
    feeder_isolation: Tag | None = None
    dt_isolations: Mapping[str, Tag] = {}
    holds: Mapping[str, Tag] = {}
    supply: Mapping[str, Supply] = {}
    closings: Mapping[str, Closing] = {}
    close_count: int = 0
    decided: tuple[CloseMark, ...] = ()
    closed: tuple[CloseMark, ...] = ()
    setbacks: Mapping[str, Setback] = {}
    ended: Mapping[str, CloseEnded] = {}
    forced: tuple[str, ...] = ()
    restored: Restored = Restored()
    refusals: Mapping[str, int] = {}
    wall_low_ms: int = 0
    """Of the last record: time was certainly not before this."""
