"""Verdicts: how a restart after a cut may end, and what may not be, by name."""

from dataclasses import dataclass, field
from enum import StrEnum


class Ending(StrEnum):
    """How a restart after a cut has ended."""

    NEW = "NEW"
    """Nothing was ever acknowledged, and nothing is there."""
    WHOLE = "WHOLE"
    """The journal opened with all that was acknowledged."""
    EARLIER = "EARLIER"
    """The journal opened as it had been some time before: the card had lied."""
    REBUILT = "REBUILT"
    """A new journal from the archive and the marks; the loss has a record and a name."""
    AMNESIA = "AMNESIA"
    """The same, and nothing was left to know anything by."""
    FAILED = "FAILED"


class Fault(StrEnum):
    """What may not be."""

    NOT_OPENED = "NOT_OPENED"
    RECORDS_LOST = "RECORDS_LOST"
    """Fewer records, or others, than were acknowledged."""
    READINGS_LOST = "READINGS_LOST"
    """Of the last day, or they say something else."""
    CHAIN_BROKEN = "CHAIN_BROKEN"
    OTHER_IMAGE = "OTHER_IMAGE"
    """The records are those, and what was made of them is not."""
    MARKS_FELL = "MARKS_FELL"
    MARKS_AHEAD = "MARKS_AHEAD"
    """The marks know what the journal does not: it was written down in the wrong order."""
    DOCUMENT_LOST = "DOCUMENT_LOST"
    TAG_LOST = "TAG_LOST"
    STANDING_LOST = "STANDING_LOST"
    """After rebuilding an account does not stand as it did."""
    STANDING_WRONG = "STANDING_WRONG"
    """Paid or cut by a word that never stood."""
    PAID_REFUSED = "PAID_REFUSED"
    """A document that is still there grants, and it does not count."""
    NOT_NAMED = "NOT_NAMED"
    """What was there is lost, and nothing says so."""
    GOES_NOT_ON = "GOES_NOT_ON"
    """It opened, and what was committed next is not kept."""


@dataclass
class Verdict:
    """How it ended, and what is wrong with that, in words."""

    ending: Ending = Ending.FAILED
    faults: list[tuple[Fault, str]] = field(default_factory=list)

    def find(self, wrong: object, fault: Fault, said: object) -> None:
        """Note a fault where something is wrong; an empty collection is not."""
        if wrong:
            self.faults.append((fault, str(said)))

    @property
    def kinds(self) -> frozenset[Fault]:
        """Each kind of fault once."""
        return frozenset(fault for fault, _ in self.faults)
