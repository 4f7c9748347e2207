"""Three kinds of fact, and the claims that may become one.

Owns the shapes of everything that crosses the inbox and of everything that is written down.
Must never decide: a claim becomes a record or a refusal in `admission`, a record changes the image
in `image`.

- *claim*: bytes or wishes from outside; nothing is believed yet.
- *observation*: what a room sees now; volatile, the newest counts.
- *record*: durable, numbered without gaps, hash-chained; what the head end receives.
"""

import hashlib
from enum import StrEnum

import msgspec

from gateway.core.model import (
    Account,
    BusId,
    Digest,
    DtId,
    Meter,
    Now,
    Reading,
    Serial,
    SupplyState,
    Tagged,
    Value,
)

CHAIN_START = bytes(32)
"""What the first record's chain hash continues from."""


class Road(StrEnum):
    """How something reached the feeder."""

    MQTT = "MQTT"
    LOCAL = "LOCAL"
    """Through the local socket: a person at this machine."""
    INSTALLED = "INSTALLED"
    """Named in the configuration and handed in at start."""


class Outcome(StrEnum):
    """How one close ended."""

    CLOSED_VERIFIED = "CLOSED_VERIFIED"
    ARMED = "ARMED"
    CLOSED_UNVERIFIED = "CLOSED_UNVERIFIED"
    """It reads closed where it was written, and the meter has nothing else to show it with."""
    REFUSED = "REFUSED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"
    """A write may have taken effect; the meter could not be read afterwards."""


class Why(StrEnum):
    """Why a close ended as FAILED or UNKNOWN."""

    NONE = ""
    BUS_DOWN = "BUS_DOWN"
    NO_ANSWER = "NO_ANSWER"
    EXCEPTION = "EXCEPTION"
    """The meter refused the request with a Modbus exception."""
    STILL_OPEN = "STILL_OPEN"
    """Written as often as is allowed, and it still reads open."""
    READS_DISAGREE = "READS_DISAGREE"


class TagKind(StrEnum):
    """What forbids closing although paid."""

    HOLD = "HOLD"
    ISOLATE_DT = "ISOLATE_DT"
    ISOLATE_FEEDER = "ISOLATE_FEEDER"


# --- claims ---------------------------------------------------------------------------------------


class DocumentClaim(Value):
    """A document as it came, unproven."""

    raw: bytes
    road: Road
    retained: bool = False


class BadMessage(Value):
    """Something that a room could not even take for a claim; `name` is the refusal's word."""

    name: str
    detail: str
    raw: bytes
    road: Road


class AckClaim(Value):
    """The head end says that it holds every record up to `through`, ending in hash `chain`."""

    through: int
    chain: str


class TagClaim(Value):
    """Somebody at this machine places or removes a hold or an isolation.

    `target` is a meter's serial number or a DT; for the feeder it is empty.
    """

    kind: TagKind
    target: str
    place: bool
    by: str
    reason: str


# --- observations ---------------------------------------------------------------------------------


class MeterSeen(Value):
    """A meter was read."""

    serial: Serial
    reading: Reading


class BusSeen(Value):
    """How a bus fares. Counts are since the start of the process."""

    bus: BusId
    open: bool
    good: int = 0
    crc_errors: int = 0
    timeouts: int = 0
    late: int = 0
    mismatched: int = 0
    silent: tuple[Serial, ...] = ()
    detail: str = ""


class BrokerSeen(Value):
    """Whether the broker is connected; `detail` says why not, in words."""

    connected: bool
    protocol: str = ""
    detail: str = ""


class HeadEndSeen(Value):
    """What the head end says of itself: "server up" is not "broker up"."""

    online: bool


class CloseReport(Value):
    """What the bus room found and did for one intent."""

    close: int
    serial: Serial
    outcome: Outcome
    verdict: str = ""
    """The one rule's word, where the outcome is REFUSED."""
    why: Why = Why.NONE
    writes: int = 0
    written_ms: int | None = None
    """When the write was on the wire, on the boot clock."""
    verified_ms: int | None = None
    """When the second read-back had agreed, on the boot clock."""
    reading: Reading | None = None
    forced: bool = False
    """The close overrides the meter's own prepay logic until it is released."""


# --- records --------------------------------------------------------------------------------------


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
    """

    serial: Serial
    account: Account
    before: SupplyState
    after: SupplyState
    before_seen_ms: int | None = None


class CloseIntended(Tagged, tag="close_intended"):
    """A close was decided, before anything is sent. The signed reason stands beside it.

    `attempt` above 1: the process ended before the outcome was known; the meter is read first.
    """

    close: int
    account: Account
    meter: Serial
    dt: DtId
    attempt: int
    standing_n: int
    standing_digest: Digest
    received_ms: int | None = None
    """When the proof reached the feeder, on the boot clock of this boot; None: an earlier boot."""
    received_wall_ms: int | None = None
    """The same instant as the calendar then claimed. A close taken up again gives neither."""


class CloseEnded(Tagged, tag="close_ended"):
    """The outcome of a close."""

    close: int
    account: Account
    meter: Serial
    dt: DtId
    outcome: Outcome
    verdict: str
    why: Why
    writes: int
    forced: bool
    decided_ms: int
    written_ms: int | None = None
    verified_ms: int | None = None
    state: SupplyState = SupplyState.UNKNOWN
    load_mv: int | None = None
    supply_mv: int | None = None
    current_ma: int | None = None


class TagPlaced(Tagged, tag="tag_placed"):
    """A hold or an isolation was placed."""

    kind: TagKind
    target: str
    by: str
    reason: str


class TagRemoved(Tagged, tag="tag_removed"):
    """A hold or an isolation was removed, by name and with a reason."""

    kind: TagKind
    target: str
    by: str
    reason: str


Body = (
    Started
    | SiteInstalled
    | ListInstalled
    | ReceiptAccepted
    | Refused
    | SupplyChanged
    | CloseIntended
    | CloseEnded
    | TagPlaced
    | TagRemoved
)


class Record(Value):
    """One durable entry of the journal. Clock quality travels with every record."""

    number: int
    boot: str
    mono_ms: int
    wall_ms: int
    wall_low_ms: int
    trusted: bool
    body: Body


class Stored(Value):
    """A record as it is written down and handed over: canonical bytes, and its chain hash."""

    number: int
    chain: bytes
    content: bytes


class CloseCommand(Value):
    """What the bus room is told to do once its intent is on disk.

    `writes_max` is how many writes may still be sent for this intent: 0 means read only.
    """

    close: int
    meter: Meter
    resumed: bool
    writes_max: int


Claim = DocumentClaim | BadMessage | AckClaim | TagClaim
Observation = MeterSeen | BusSeen | BrokerSeen | HeadEndSeen
Event = Claim | Observation | CloseReport


class Answer(Value):
    """What became of a claim: `word` is ACCEPTED, DUPLICATE or the refusal's name."""

    accepted: bool
    word: str
    detail: str = ""


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
