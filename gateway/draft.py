"""A draft: what one tick will write down, and the image as it will be when that is on disk.

Owns numbers and chain hashes of the records to come. Must never write: what is drafted here is
believed once the journal has it, and thrown away where it has not.
"""

import msgspec

from gateway.core.acknowledged import NO_NEWS, Acked
from gateway.core.changes import apply
from gateway.core.documents import Document
from gateway.core.image import Image
from gateway.core.model import Digest, Now
from gateway.core.noted import NotedReading
from gateway.core.orders import Wipe
from gateway.core.records import (
    Body,
    ListInstalled,
    OrderAccepted,
    OrderRestored,
    Record,
    SiteInstalled,
    Stored,
    record_of,
    store,
)
from gateway.core.signature import DocumentType, Verified
from gateway.core.trust_records import RootInstalled
from gateway.ports import ArchivedDocument, Batch

CHECKPOINT_EVERY = 1_000
"""Records between two checkpoints of the image; what a restart has to apply again at most."""


class Draft:
    """The image of a tick while the tick goes on."""

    def __init__(self, image: Image, now: Now) -> None:
        self.image = image
        self.now = now
        self.stored: list[Stored] = []
        self.documents: list[ArchivedDocument] = []
        self.checkpoint_due = False
        self.remember = False
        self.forget: Digest | None = None
        self.acked = NO_NEWS
        self.said: list[tuple[str, str]] = []
        """What was claimed and what became of it, for the log."""

    def record(self, body: Body, document: Document | None = None) -> None:
        """Number and chain one record and apply it."""
        self._take(record_of(self.image.number + 1, body, self.now), document)
        if self.image.kept.wall_low_ms < self.now.wall_low_ms:
            # The time keys were exchanged: what was certain by the old ones is so no more.
            low_ms = self.image.kept.wall_low_ms
            self.now = msgspec.structs.replace(self.now, wall_low_ms=low_ms, wall_high_ms=None)

    def carry(self, record: Record) -> None:
        """Take over a record that no disk has, with the time that it had, under a new number."""
        self._take(msgspec.structs.replace(record, number=self.image.number + 1), None)

    def acknowledge(self, news: Acked) -> None:
        """Take down what the head end holds."""
        through = self.acked.through if news.through is None else news.through
        readings = self.acked.readings if news.readings is None else news.readings
        self.acked, image = Acked(through=through, readings=readings), self.image
        self.image = msgspec.structs.replace(
            image,
            acked_through=image.acked_through if through is None else through,
            readings_acked_through=image.readings_acked_through if readings is None else readings,
        )

    def archive(self, verified: Verified, bodies: tuple[Body, ...]) -> None:
        """Keep a document that the records to come believe; of what they forget, nothing."""
        if any(_wipes(body) for body in bodies):
            roots = [one for one in self.documents if one.type is DocumentType.ROOT]
            self.documents, self.forget = roots, verified.digest
        self.documents.append(
            ArchivedDocument(
                digest=verified.digest,
                type=verified.type,
                raw=verified.raw,
                adds=any(isinstance(body, ListInstalled) and body.adds for body in bodies),
            )
        )

    def batch(self, before: Image, readings: tuple[NotedReading, ...]) -> Batch | None:
        """Everything to commit in one transaction; None where nothing is to be written."""
        if not self.stored and self.acked == NO_NEWS and not readings:
            return None
        kept = msgspec.json.encode(self.image.kept) if self.checkpoint_due else None
        was, known = before.kept, self.image.kept
        remember = self.remember or (known.newest, known.tags) != (was.newest, was.tags)
        return Batch(
            records=tuple(self.stored),
            documents=tuple(self.documents),
            checkpoint=kept,
            acked_through=self.acked.through,
            readings_acked_through=self.acked.readings,
            marks=self.image.marks if remember else None,
            readings=readings,
            forget=self.forget,
        )

    def _take(self, record: Record, document: Document | None) -> None:
        stored = store(record, self.image.chain)
        self.stored.append(stored)
        self.image = msgspec.structs.replace(
            apply(self.image, record, document), number=record.number, chain=stored.chain
        )
        body = record.body
        installs = isinstance(body, RootInstalled | SiteInstalled | ListInstalled) or _wipes(body)
        self.checkpoint_due |= installs or record.number % CHECKPOINT_EVERY == 0


def _wipes(body: Body) -> bool:
    """Whether nothing that came before is needed any more."""
    return isinstance(body, OrderAccepted | OrderRestored) and isinstance(body.act, Wipe)
