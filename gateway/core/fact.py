"""What crosses the inbox: claims, observations and reports; and what the bus is told to do.

Owns the shapes of everything that comes into the corridor. Must never decide: a claim becomes a
record or a refusal in `admission`, `ordering` or `requests`; `records` has what is written down.

- *claim*: bytes or wishes from outside; nothing is believed yet.
- *observation*: what a room sees now; volatile, the newest counts.
- *report*: how one command to the bus ended.
"""

from enum import StrEnum

from gateway.core.model import BusId, Cause, Meter, Reading, Serial, Value
from gateway.core.progress import Progress, Residents


class Road(StrEnum):
    """How something reached the feeder."""

    MQTT = "MQTT"
    LOCAL = "LOCAL"
    """Through the local socket: a person at this machine."""
    ARCHIVE = "ARCHIVE"
    """Of a journal that was lost: it had been admitted before."""
    INSTALLED = "INSTALLED"
    """Named in the configuration and handed in at start."""


class Move(StrEnum):
    """What a load switch is told to do."""

    CLOSE = "CLOSE"
    OPEN = "OPEN"
    RELEASE = "RELEASE"
    """A forced position is given back to the meter's own prepay logic."""


class Outcome(StrEnum):
    """How one command to a load switch ended."""

    CLOSED_VERIFIED = "CLOSED_VERIFIED"
    ARMED = "ARMED"
    CLOSED_UNVERIFIED = "CLOSED_UNVERIFIED"
    """It reads closed where it was written, and the meter has nothing else to show it with."""
    OPENED_VERIFIED = "OPENED_VERIFIED"
    OPENED_UNVERIFIED = "OPENED_UNVERIFIED"
    """It reads open where it was written, and the meter has nothing else to show it with."""
    RELEASED = "RELEASED"
    """The meter took the release; `state` says where it has put its switch."""
    REFUSED = "REFUSED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"
    """A write may have taken effect; the meter could not be read afterwards."""


class Why(StrEnum):
    """Why a command ended as FAILED or UNKNOWN."""

    NONE = ""
    BUS_DOWN = "BUS_DOWN"
    NO_ANSWER = "NO_ANSWER"
    EXCEPTION = "EXCEPTION"
    """The meter refused the request with a Modbus exception."""
    STILL_OPEN = "STILL_OPEN"
    """Written as often as is allowed, and it still reads open."""
    STILL_CLOSED = "STILL_CLOSED"
    """Written as often as is allowed, and it still reads closed."""
    READS_DISAGREE = "READS_DISAGREE"


class TagKind(StrEnum):
    """What forbids closing although paid."""

    HOLD = "HOLD"
    ISOLATE_DT = "ISOLATE_DT"
    ISOLATE_FEEDER = "ISOLATE_FEEDER"


class Origin(StrEnum):
    """Where a tag comes from; only there it can be taken away."""

    ORDER = "ORDER"
    TECHNICIAN = "TECHNICIAN"
    KEY_SWITCH = "KEY_SWITCH"


# --- claims ---------------------------------------------------------------------------------------


class DocumentClaim(Value):
    """A document as it came, unproven."""

    raw: bytes
    road: Road
    retained: bool = False
    link: str = ""
    """By MQTT: the order whose settings the link was made with; empty: those of the installer."""


class BadMessage(Value):
    """Something that a room could not even take for a claim; `name` is the refusal's word."""

    name: str
    detail: str
    raw: bytes
    road: Road


class AckClaim(Value):
    """The head end says that it holds every record up to `through`, ending in hash `chain`.

    `readings`: and every reading up to that ordinal; None: it says nothing of readings.
    """

    through: int
    chain: str
    readings: int | None = None


class TagClaim(Value):
    """Somebody at this machine places or removes a hold or an isolation.

    `target` is a meter's serial number or a DT; for the feeder it is empty.
    """

    kind: TagKind
    target: str
    place: bool
    by: str
    reason: str
    origin: Origin = Origin.TECHNICIAN


class CauseClaim(Value):
    """Somebody at this machine says what opened a meter's switch."""

    meter: str
    cause: Cause
    by: str
    reason: str


class ResumeClaim(Value):
    """Somebody at this machine lets a stopped DT go on."""

    dt: str
    by: str
    reason: str


# --- observations ---------------------------------------------------------------------------------


class MeterSeen(Value):
    """A meter was read; it may be a DT's check meter."""

    serial: Serial
    reading: Reading


class PollingSeen(Value):
    """What reading its devices takes of a bus's time, and how often each is read within that."""

    devices: int
    share_percent: int
    """Of the bus's time; the rest is for commands."""
    wished_percent: int
    """What it would take as often as wished: where that is more, the intervals were stretched."""
    waiting_ms: int
    """Between two readings of the state where somebody waits."""
    connected_ms: int
    checked_ms: int
    """Of a check meter."""
    values_ms: int
    """Of voltage, current, power and energy."""


class BusSeen(Value):
    """How a bus fares. Counts are since the start of the process."""

    bus: BusId
    open: bool
    good: int = 0
    refused: int = 0
    """Answered with an exception."""
    crc_errors: int = 0
    timeouts: int = 0
    late: int = 0
    mismatched: int = 0
    """Good frames that were not the answer."""
    echo: int = 0
    """Requests that the line gave back."""
    silent: tuple[Serial, ...] = ()
    detail: str = ""
    polling: PollingSeen | None = None
    """How often its devices are read at present; None as long as that is not known."""


class Holder(StrEnum):
    """Whose certificate on the way to the broker."""

    GATEWAY = "GATEWAY"
    BROKER = "BROKER"
    AUTHORITY = "AUTHORITY"
    """The CA's that is trusted."""


class CertificateEnd(Value):
    """Until when a certificate is good: milliseconds UTC."""

    whose: Holder
    at_ms: int


class BrokerSeen(Value):
    """Whether the broker is connected; `detail` says why not, in words.

    `certificate`: the one on the way that ends first; None without TLS, or where none is known.
    """

    connected: bool
    protocol: str = ""
    detail: str = ""
    certificate: CertificateEnd | None = None


class HeadEndSeen(Value):
    """What the head end says of itself: "server up" is not "broker up".

    `kept_by_broker`: a retained message says what was true once; it is no sign of life.
    """

    online: bool
    kept_by_broker: bool = False


class SwitchReport(Value):
    """What the bus room found and did for one command."""

    number: int
    move: Move
    serial: Serial
    outcome: Outcome
    verdict: str = ""
    """The rule's word, where the outcome is REFUSED."""
    why: Why = Why.NONE
    writes: int = 0
    written_ms: int | None = None
    """When the write was on the wire, on the boot clock."""
    verified_ms: int | None = None
    """When the second read-back had agreed, on the boot clock."""
    reading: Reading | None = None
    forced: bool = False
    """The position overrides the meter's own prepay logic until it is released."""


class ScanReport(Value):
    """Who the bus room found for an order; `reason`: why not every address was asked."""

    order: str
    result: Residents
    reason: str = ""
    detail: str = ""


class SwitchCommand(Value):
    """What the bus room is told to do once its intent is on disk.

    `number` is never used twice. `writes_max` is how many writes may still be sent for this intent:
    0 means read only.
    """

    number: int
    move: Move
    meter: Meter
    resumed: bool
    writes_max: int


class Answer(Value):
    """What became of a claim: `word` is ACCEPTED, DUPLICATE or the refusal's name."""

    accepted: bool
    word: str
    detail: str = ""
    order: Progress | None = None
    """Of an order that no record was made of: how far it has come, for whoever sent it."""


Claim = DocumentClaim | BadMessage | AckClaim | TagClaim | CauseClaim | ResumeClaim
Observation = MeterSeen | BusSeen | BrokerSeen | HeadEndSeen
Event = Claim | Observation | SwitchReport | ScanReport
