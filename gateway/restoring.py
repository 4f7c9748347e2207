"""Restoring: the image as it was, from whatever of the disk is left.

Owns what follows from a journal, from an archive without one, and from marks that know more than
either. Must never write: what is found out here becomes records, which the engine commits.
"""

from collections.abc import Iterable, Iterator

import msgspec

from gateway import __version__
from gateway.core.admission import admit_refusal
from gateway.core.admitted import Admission
from gateway.core.changes import apply
from gateway.core.documents import Document, decode
from gateway.core.fact import BadMessage, Road
from gateway.core.image import Image, restored
from gateway.core.kept import Kept
from gateway.core.marks import Marks, larger
from gateway.core.model import Now
from gateway.core.rebuilding import Archived, readmit
from gateway.core.records import (
    Body,
    ListInstalled,
    Record,
    SiteInstalled,
    Started,
    TaskEnded,
    TaskIntended,
    read_record,
)
from gateway.core.rotation import verify_root
from gateway.core.signature import FIELD_DOCUMENTS, Rejected, verify
from gateway.core.soundness import Unsound
from gateway.core.trust_records import JournalLost, MarksAhead, RootInstalled
from gateway.draft import Draft
from gateway.ports import ArchivedDocument, Loaded


def restore(blank: Image, loaded: Loaded) -> Image:
    """The image as the journal kept it: newest checkpoint, then the records after it.

    Raises `msgspec.DecodeError` where the checkpoint or a record is not what was once written, and
    `Rejected` where a document that a record installed is not believed any more: its file is
    damaged, or another anchor was installed.
    """
    kept = (
        Kept() if loaded.checkpoint is None else msgspec.json.decode(loaded.checkpoint, type=Kept)
    )
    image = restored(blank, kept)
    for stored in loaded.records:
        record = read_record(stored.content)
        document: Document | None = None
        match record.body:
            case RootInstalled():
                document, _ = verify_root(loaded.documents[record.body.digest].raw, image.root)
            case SiteInstalled() | ListInstalled():
                raw = loaded.documents[record.body.digest].raw
                document = decode(verify(raw, FIELD_DOCUMENTS, image.root))
            case _:
                pass
        image = apply(image, record, document)
    return msgspec.structs.replace(
        restored(blank, image.kept),  # what is volatile starts empty, also after a replay
        number=loaded.number,
        chain=loaded.chain,
        acked_through=loaded.acked_through,
        readings_last=loaded.readings_last,
        readings_acked_through=loaded.readings_acked_through,
    )


def begun(image: Image, loaded: Loaded, told: Iterable[Record], now: Now) -> Draft:
    """What is written down at a start, once `image` is restored from `loaded`.

    `told` are records of this process that no disk has.
    """
    draft = Draft(image, now)
    for body in remembered(draft.image, loaded):
        draft.record(body)
    for archived in loaded.archived:
        admission = taken_up(archived, draft.image, draft.now)
        for body in admission.bodies:
            draft.record(body, admission.document)
    for record in told:
        if _may_be_carried(record.body, draft.image):
            draft.carry(record)
    draft.record(Started(version=__version__))
    draft.remember = to_remember(loaded, draft.image)
    # Where the power failed between the commit of a wipe and the removal of the files.
    draft.forget = draft.image.kept.wiped
    return draft


def remembered(image: Image, loaded: Loaded) -> Iterator[Body]:
    """What the marks' own file knows beyond the journal, where the journal is not all there was."""
    marks = loaded.marks or Marks()
    if loaded.number == 0 and not loaded.new:
        yield JournalLost(trouble=loaded.lost, marks=marks, amnesia=loaded.marks is None)
    elif not loaded.marks_followed and larger(image.marks, marks) != larger(image.marks, Marks()):
        yield MarksAhead(marks=marks)


def to_remember(loaded: Loaded, image: Image) -> bool:
    """Whether the marks' own file has to be written anew; that time went by is no reason."""
    written = loaded.marks
    if written is None or not loaded.marks_followed:
        return True
    return msgspec.structs.replace(image.marks, wall_low_ms=written.wall_low_ms) != written


def taken_up(archived: ArchivedDocument, image: Image, now: Now) -> Admission:
    """What a document of the archive says again; one that cannot be read is recorded as refused."""
    said = Archived(type=archived.type, raw=archived.raw, adds=archived.adds)
    try:
        return readmit(said, image)
    except (Rejected, Unsound) as flaw:
        message = BadMessage(
            name="ARCHIVE_UNREADABLE",
            detail=f"{archived.type}: {flaw}",
            raw=archived.raw,
            road=Road.ARCHIVE,
        )
        return admit_refusal(message, image, now)


def _may_be_carried(body: Body, image: Image) -> bool:
    """Whether this image knows what a record is about: a rebuilt one knows no orders' tasks."""
    return not isinstance(body, TaskIntended | TaskEnded) or body.meter in image.kept.tasks
