"""Records: what is written down, numbered without gaps and hash-chained.

Owns the shape of every durable fact and its canonical bytes. Must never decide: a claim becomes a
record in `admission`, `ordering` or `requests`, an intent in `plan`; `changes` applies it.
"""

import hashlib

import msgspec

from gateway.core.fact import Move, Origin, Outcome, Road, TagKind, Why
from gateway.core.model import (
    Account,
    Brake,
    Cause,
    Digest,
    DtId,
    Now,
    Serial,
    SupplyState,
    Tagged,
    TimeSource,
    Value,
)
from gateway.core.orders import Act
from gateway.core.progress import OrderState, Result
from gateway.core.settings import ConfigTried
from gateway.core.trust_records import (
    JournalLost,
    JournalMended,
    KeyRevoked,
    MarksAhead,
    RootInstalled,
    Sealed,
    TimeNoted,
    TimeSet,
)

CHAIN_START = bytes(32)
"""What the first record's chain hash continues from."""


class Started(Tagged, tag="started"):
    """The daemon started; what had been under way is taken up again by reading first."""

    version: str


class SiteInstalled(Tagged, tag="site_installed"):
    """A site document came into force."""

    seq: int
    digest: Digest
    signer: str
    road: Road
    meters: int


class ListInstalled(Tagged, tag="list_installed"):
    """An allow-list came into force."""

    seq: int
    digest: Digest
    signer: str
    road: Road
    as_of: int
    entries: int
    adds: bool = False
    """It was stale when it came: it grants, and takes nobody off."""
    fresh: bool = False
    """It echoes what this gateway said of late: nothing newer can have been here before."""


class ReceiptAccepted(Tagged, tag="receipt_accepted"):
    """A receipt was accepted."""

    account: Account
    meter: Serial
    n: int
    paid_at: int
    digest: Digest
    signer: str
    road: Road
    ref: str | None = None


class OrderAccepted(Tagged, tag="order_accepted"):
    """An order was accepted; what follows from it has records of its own."""

    id: str
    seq: int
    act: Act
    iat: int
    exp: int
    boot: str | None
    digest: Digest
    signers: tuple[str, ...]
    road: Road


class OrderRestored(Tagged, tag="order_restored"):
    """An accepted order of a lost journal: what it said of accounts stands, nothing is carried out.

    The tags of its kind have records of their own.
    """

    id: str
    seq: int
    act: Act
    digest: Digest
    signers: tuple[str, ...]


class OrderRefused(Tagged, tag="order_refused"):
    """An order was refused as a whole; it is used up, and never taken again."""

    id: str
    seq: int
    kind: str
    name: str
    detail: str
    digest: Digest
    signers: tuple[str, ...]
    road: Road


class OrderEnded(Tagged, tag="order_ended"):
    """An order ended in a way that no other record tells: its time passed, or what it asked is so.

    Of an order whose result is not in the records, `result` is it.
    """

    order: str
    state: OrderState
    reason: str
    detail: str = ""
    result: Result | None = None


class Refused(Tagged, tag="refused"):
    """A claim was refused; nothing else changed. `more` refusals before it were only counted."""

    name: str
    detail: str
    road: Road
    digest: Digest
    more: int = 0


class SupplyChanged(Tagged, tag="supply_changed"):
    """A meter was read in another supply state than before, with or without our doing.

    `before_seen_ms`: when it was last read in the state before, on the boot clock of this boot.
    `cause`: what the meter itself says opened it.
    """

    serial: Serial
    account: Account
    before: SupplyState
    after: SupplyState
    before_seen_ms: int | None = None
    cause: Cause | None = None


class CauseRecorded(Tagged, tag="cause_recorded"):
    """Somebody said what opened a meter's switch, and answers for it by name."""

    serial: Serial
    account: Account
    cause: Cause
    by: str
    reason: str


class GraceGranted(Tagged, tag="grace_granted"):
    """Supply without proof of payment, as the site document allows while the head end is silent.

    `n` is of the word that had cut the account, 0 where there is none; `silent_ms`: how long the
    head end had been silent at least.
    """

    account: Account
    meter: Serial
    n: int
    hours: int
    silent_ms: int


class CloseIntended(Tagged, tag="close_intended"):
    """A close was decided, before anything is sent. The signed reason stands beside it.

    `attempt` above 1: the process ended before the outcome was known; the meter is read first.
    `grace`: the reason is the site document's grace, and `standing_digest` that document's.
    """

    close: int
    account: Account
    meter: Serial
    dt: DtId
    attempt: int
    standing_n: int
    standing_digest: Digest
    grace: bool = False
    received_ms: int | None = None
    """When the proof reached the feeder, on the boot clock of this boot; None: an earlier boot."""
    received_wall_ms: int | None = None
    """The same instant as the calendar then claimed. A close taken up again gives neither."""


class _Ended(Tagged):
    account: Account
    meter: Serial
    dt: DtId
    outcome: Outcome
    verdict: str
    why: Why
    writes: int
    forced: bool
    written_ms: int | None = None
    verified_ms: int | None = None
    state: SupplyState = SupplyState.UNKNOWN
    load_mv: int | None = None
    supply_mv: int | None = None
    current_ma: int | None = None


class CloseEnded(_Ended, tag="close_ended", kw_only=True):
    """The outcome of a close."""

    close: int


class TaskIntended(Tagged, tag="task_intended"):
    """An opening or a release that an order asked for was decided, before anything is sent."""

    number: int
    move: Move
    order: str
    account: Account
    meter: Serial
    dt: DtId
    attempt: int


class TaskEnded(_Ended, tag="task_ended", kw_only=True):
    """The outcome of an opening or a release; `number` is None where it was never decided."""

    number: int | None
    move: Move
    order: str


class PacingStopped(Tagged, tag="pacing_stopped"):
    """A DT is not loaded any further for now."""

    dt: DtId
    brake: Brake
    detail: str


class PacingResumed(Tagged, tag="pacing_resumed"):
    """A stopped DT goes on: after its cool-down, by an order's id, or by a person's name."""

    dt: DtId
    by: str
    reason: str


class HeadEndLost(Tagged, tag="head_end_lost"):
    """No sign of life came from the head end for too long, or it said that it goes away.

    `heard_ms`: when it was last heard, on the boot clock of this boot; None: not since the boot.
    """

    heard_ms: int | None


class HeadEndBack(Tagged, tag="head_end_back"):
    """The head end is heard."""


class TagPlaced(Tagged, tag="tag_placed"):
    """A hold or an isolation was placed."""

    kind: TagKind
    target: str
    by: str
    reason: str
    origin: Origin


class TagRemoved(Tagged, tag="tag_removed"):
    """A hold or an isolation was removed, by name and with a reason."""

    kind: TagKind
    target: str
    by: str
    reason: str
    origin: Origin


Body = (
    Started
    | JournalLost
    | MarksAhead
    | JournalMended
    | Sealed
    | RootInstalled
    | KeyRevoked
    | TimeSet
    | TimeNoted
    | SiteInstalled
    | ListInstalled
    | ReceiptAccepted
    | OrderAccepted
    | OrderRestored
    | OrderRefused
    | OrderEnded
    | Refused
    | SupplyChanged
    | CauseRecorded
    | GraceGranted
    | CloseIntended
    | CloseEnded
    | TaskIntended
    | TaskEnded
    | PacingStopped
    | PacingResumed
    | ConfigTried
    | HeadEndLost
    | HeadEndBack
    | TagPlaced
    | TagRemoved
)


class Record(Value):
    """One durable entry of the journal. Clock quality travels with every record.

    `clock` is who answered for the calendar time; NONE where it was not `trusted`.
    """

    number: int
    boot: str
    mono_ms: int
    wall_ms: int
    wall_low_ms: int
    trusted: bool
    clock: TimeSource
    body: Body


class Stored(Value):
    """A record as it is written down and handed over: canonical bytes, and its chain hash."""

    number: int
    chain: bytes
    content: bytes


_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(Record).decode


def record_of(number: int, body: Body, now: Now) -> Record:
    """A body with its number and its time."""
    return Record(
        number=number,
        boot=now.boot,
        mono_ms=now.mono_ms,
        wall_ms=now.wall_ms,
        wall_low_ms=now.wall_low_ms,
        trusted=now.trusted,
        clock=now.source if now.trusted else TimeSource.NONE,
        body=body,
    )


def store(record: Record, previous_chain: bytes) -> Stored:
    """The canonical bytes of a record, and its chain hash continuing from the one before."""
    content = _encode(record)
    return Stored(number=record.number, chain=chain_hash(previous_chain, content), content=content)


def chain_hash(previous: bytes, content: bytes) -> bytes:
    """SHA-256 over the previous hash (32 bytes) and a record's canonical bytes."""
    return hashlib.sha256(previous + content).digest()


def read_record(content: bytes) -> Record:
    """A record from its canonical bytes. Raises `msgspec.DecodeError` where it is none."""
    return _decode(content)
