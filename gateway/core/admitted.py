"""What became of a claim: an answer, and what is to be written down.

Owns the shape of an admission and its common answers. Must never decide.
"""

from gateway.core.documents import Document
from gateway.core.fact import Answer
from gateway.core.model import Value
from gateway.core.records import Body
from gateway.core.signature import Verified

ACCEPTED = Answer(accepted=True, word="ACCEPTED")
DUPLICATE = Answer(accepted=True, word="DUPLICATE")
JOURNAL_DEGRADED = Answer(
    accepted=False,
    word="JOURNAL_DEGRADED",
    detail="the disk takes nothing, so nothing is believed; say it again when that is mended",
)
"""To every claim while the disk takes nothing."""


class Admission(Value):
    """What became of one claim: the records that it makes, and the document behind them."""

    answer: Answer
    bodies: tuple[Body, ...] = ()
    document: Document | None = None
    verified: Verified | None = None
    """What is to be archived, beside the records."""
    unwritten: bool = False
    """It was refused, and too many refusals of late have a record already."""


def refused(word: str, detail: str) -> Admission:
    """A refusal that only its asker is told."""
    return Admission(answer=Answer(accepted=False, word=word, detail=detail))
