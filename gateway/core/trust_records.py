"""What is written down of trust: roots, revoked keys, the time, a journal that was lost.

Owns the shape of these facts; `records` has the others, and makes records of all. Must never
decide.
"""

from gateway.core.fact import Road
from gateway.core.marks import Marks
from gateway.core.model import Account, Digest, Tagged


class JournalLost(Tagged, tag="journal_lost"):
    """The journal before this one is gone; what its documents said is taken up from the archive.

    `marks` are what the file of its own still knew. `amnesia`: that is lost, too, so that any list
    may be an old one, and what was forbidden at the feeder is forgotten.
    """

    trouble: str
    marks: Marks
    amnesia: bool


class MarksAhead(Tagged, tag="marks_ahead"):
    """The marks' own file knows newer documents than the journal, which is an old one."""

    marks: Marks


class JournalMended(Tagged, tag="journal_mended"):
    """The disk takes records again; so many before this one were held in memory until now."""

    trouble: str
    held: int
    lasted_ms: int


class Sealed(Tagged, tag="sealed"):
    """The gateway's own signed word for its journal up to the record before this one.

    `checkpoint` is a compact `fg-record+jws` (`documents.Checkpoint`).
    """

    checkpoint: str


class RootInstalled(Tagged, tag="root_installed"):
    """The next root of trust came into force. `clock_reset`: its time keys are others."""

    seq: int
    digest: Digest
    signers: tuple[str, ...]
    road: Road
    clock_reset: bool


class KeyRevoked(Tagged, tag="key_revoked"):
    """A root takes a key's word back from an instant on (issue, milliseconds UTC).

    What it granted since then stands, and is for the head end to look into: `accounts` whose
    standing came from it singly (at most 200 are named, `more` are not), and the list in force.
    """

    kid: str
    after: int
    accounts: tuple[Account, ...] = ()
    more: int = 0
    list: Digest | None = None


class TimeSet(Tagged, tag="time_set"):
    """A time document bounded the calendar at the instant of this record (milliseconds UTC)."""

    low_ms: int
    high_ms: int
    digest: Digest
    signer: str
    road: Road


class TimeNoted(Tagged, tag="time_noted"):
    """A day has gone by since anything was written: it is certainly not before this record."""
