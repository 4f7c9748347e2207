"""What survives a restart: the part of the image that the journal can rebuild.

Owns the shapes only. Must never change by itself: `changes`
makes a new one from each record. Its canonical JSON is the checkpoint.
"""

from collections.abc import Mapping

from gateway.core.documents import Site
from gateway.core.fact import Move
from gateway.core.marks import Marks, Tag
from gateway.core.model import (
    Account,
    Brake,
    Cause,
    Digest,
    DtId,
    Instant,
    Serial,
    SupplyState,
    Value,
)
from gateway.core.progress import Progress
from gateway.core.records import CloseEnded, TaskEnded
from gateway.core.settings import Overlay
from gateway.core.standing import ListInForce, Word
from gateway.core.trust import Root

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class Supply(Value):
    """The supply state last read, and since when it is so."""

    state: SupplyState
    since: Instant


class Opened(Value):
    """What opened a switch: `by` is the order's id or the person's name."""

    cause: Cause
    at: Instant
    by: str = ""


class Closing(Value):
    """A close whose outcome is not known yet."""

    close: int
    account: Account
    attempt: int
    decided: Instant
    standing_n: int
    standing_digest: Digest
    grace: bool = False
    waits_since: Instant | None = None
    """Since when its consumer had been paid and dark; None: no proof of payment was known."""


class Task(Value):
    """What an order asked of one switch; `number` and `attempt` are set once it is decided."""

    move: Move
    order: str
    account: Account
    meter: Serial
    iat: int
    exp: int
    signers: int
    accepted: Instant
    boot: str | None = None
    n: int = 0
    """Of an opening: the ledger time as of which the account is cut."""
    number: int | None = None
    attempt: int = 0
    cancelled: bool = False


class CloseMark(Value):
    """One close of the last hour, for pacing and the retrip limit."""

    close: int
    serial: Serial
    dt: DtId
    at: Instant
    """When it was decided; once that is known, when it was on the wire."""
    gap_ms: int
    """From then to the next one on its DT, with its jitter."""
    ended: bool = False
    done: bool = False
    """It ended well."""


class MoveMark(Value):
    """One opening or release of the last hour, for the bulk ceiling."""

    number: int
    at: Instant
    """When it was decided; once that is known, when it was on the wire."""
    ended: bool = False


class Trial(Value):
    """How one of the last closes of a DT ended."""

    serial: Serial
    unexplained: bool


class Stop(Value):
    """Since when a DT is not loaded any further, and why."""

    brake: Brake
    since: Instant
    detail: str = ""


class Setback(Value):
    """How often in a row a close of this meter has not succeeded, and when last."""

    count: int
    last: Instant
    standing_n: int
    sent: bool = False
    """A write went out or may have gone out, and it is not closed."""


class Proof(Value):
    """When the proof of an account's present standing reached the feeder."""

    n: int
    received: Instant


class Ask(Value):
    """Somebody asked for supply at a meter: a receipt of ledger time `n`, or an order (`n` is 0).

    `fulfilled`: when there first was some.
    """

    n: int
    meter: str
    accepted: Instant
    fulfilled: Instant | None = None
    overruled: bool = False
    """The switch was opened for safety since: somebody has to ask anew, who knows of that."""


class GraceGiven(Value):
    """Supply without proof of payment, for so many hours from then on."""

    account: Account
    n: int
    granted: Instant
    hours: int
    settled: bool = False
    """The account has paid since."""


class HeadEndKnown(Value):
    """Whether the head end is heard, and since when that is so."""

    heard: bool
    since: Instant


class TimeBound(Value):
    """Between which calendar times an instant of a boot lay, by a time document."""

    boot: str
    mono_ms: int
    low_ms: int
    high_ms: int


class ConfigTrial(Value):
    """Settings that were changed from afar and count for now, and since when."""

    overlay: Overlay
    since: Instant


class Restored(Value):
    """Homes that closes of ours brought back since the journal began, and how long they waited."""

    total: int = 0
    within_promise: int = 0
    late: int = 0
    worst_ms: int = 0


class Kept(Value):
    """What survives a restart. Mappings are never changed in place."""

    newest: Marks = Marks()
    """The newest of each kind that was ever in force here; `tags` below are those that stand."""
    amnesia: Instant | None = None
    """Since when nothing is known of what was in force before; until a list echoes a nonce."""
    root: Root | None = None
    """The newest that followed the installation's anchor."""
    roots: tuple[Digest, ...] = ()
    """Every root that did, oldest first."""
    site: Site | None = None
    site_digest: Digest | None = None
    list_in_force: ListInForce | None = None
    list_received: Instant | None = None
    words: Mapping[str, Word] = {}
    former: Mapping[str, tuple[str, ...]] = {}
    """Meters that an account had before, by account: a paper that names one still counts."""
    proofs: Mapping[str, Proof] = {}
    asks: Mapping[str, Ask] = {}
    tags: tuple[Tag, ...] = ()
    supply: Mapping[str, Supply] = {}
    causes: Mapping[str, Opened] = {}
    graces: tuple[GraceGiven, ...] = ()
    closings: Mapping[str, Closing] = {}
    tasks: Mapping[str, Task] = {}
    """By meter: what orders asked for and has not ended."""
    moves: int = 0
    """The number of the last command."""
    marks: tuple[CloseMark, ...] = ()
    moved: tuple[MoveMark, ...] = ()
    trials: Mapping[str, tuple[Trial, ...]] = {}
    stops: Mapping[str, Stop] = {}
    resumed: Mapping[str, Instant] = {}
    """When a stopped DT went on: it is observed anew."""
    insisted: Mapping[str, Instant] = {}
    """When somebody let it go on by name, whatever its check meter reads."""
    setbacks: Mapping[str, Setback] = {}
    ended: Mapping[str, CloseEnded | TaskEnded] = {}
    """The last outcome of each meter."""
    forced: tuple[str, ...] = ()
    head_end: HeadEndKnown | None = None
    restored: Restored = Restored()
    orders: Mapping[str, Progress] = {}
    """By id: the orders that have not ended."""
    orders_ended: Mapping[str, Progress] = {}
    """By id: the last that have."""
    reborn: int = 0
    """The number of the last record that asked for a new birth."""
    refusals: Mapping[str, int] = {}
    grave: Mapping[str, int] = {}
    """What the head end has to hear of, by its word: the number of the last record of it."""
    wall_low_ms: int = 0
    """Time was certainly not before this: of the last record, or of a document since."""
    firm_low_ms: int = 0
    """The same by a trusted source alone: documents count up to 400 days beyond it."""
    bound: TimeBound | None = None
    sealed: Instant | None = None
    """When the gateway last signed for its journal."""
    overlay: Overlay | None = None
    """The settings that were changed from afar and confirmed."""
    trial: ConfigTrial | None = None
    """Those that count now and are not confirmed."""
    wiped: Digest | None = None
    """The order that took it out of service; until a newer site document comes."""
