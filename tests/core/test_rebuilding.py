"""Rebuilding: what the archive says again when the journal is gone."""

import msgspec
import pytest

from gateway.core.documents import Time
from gateway.core.fact import Road
from gateway.core.image import Image
from gateway.core.marks import Mark, Marks
from gateway.core.model import Cause, Digest
from gateway.core.orders import (
    EndIsolation,
    ForgetMeter,
    Hold,
    Isolate,
    Reconnect,
    ReleaseHold,
    Wipe,
)
from gateway.core.rebuilding import Archived, readmit
from gateway.core.records import Refused
from gateway.core.sequence import nonce_of
from gateway.core.signature import DocumentType, Rejected
from gateway.core.soundness import Unsound
from gateway.core.trust_records import JournalLost
from gateway.core.waiting import instant_of
from gateway.ports import ArchivedDocument, Loaded
from gateway.restoring import remembered, taken_up
from gateway.utility.sign import payload_of
from tests.core.corridor import left
from tests.core.papers import HOUR_MS, M1, M2, allow_list, cut, entry, order, receipt
from tests.core.trustees import TIME, next_root, signed, trusting
from tests.core.world import World
from tests.signing import sign_list, sign_order, sign_receipt, sign_site

LIST, STALE = allow_list(1, 50, entry(1, 10)), allow_list(2, 60, entry(2, 55))
WHY = "burnt"


def rebuilt(*archived: tuple[DocumentType, bytes]) -> World:
    """A gateway whose journal was lost, with what the archive of these says again."""
    world = trusting(World())
    world.wait(400 * 24 * HOUR_MS)
    for kind, raw in archived:
        takes_up(world, kind, raw)
    return world


def takes_up(world: World, kind: DocumentType, raw: bytes, *, adds: bool = False) -> None:
    admission = readmit(Archived(type=kind, raw=raw, adds=adds), world.image)
    for body in admission.bodies:
        world.record(body, admission.document)


def site_raw() -> bytes:
    site = World(M1, M2).image.kept.site
    assert site is not None
    return sign_site(site)


SITE = (DocumentType.SITE, site_raw())


def test_of_all_that_stood_the_standing_is_the_same_again() -> None:
    world = rebuilt(
        SITE,
        (DocumentType.LIST, sign_list(LIST)),
        (DocumentType.ORDER, sign_order(order(1, cut(1, 2, n=100)))),
        (DocumentType.RECEIPT, sign_receipt(receipt(1, 200))),
    )
    assert (world.standing("A1"), world.standing("A2")) == ("PAID", "CUT")
    kept = world.image.kept
    assert kept.tasks == {}, "what an order asked for is not done twice"
    assert kept.causes["M1"].cause is Cause.ORDER
    assert kept.newest.order.seq == 1
    assert [kept.newest.site.seq, kept.newest.list.seq] == [1, 1]


def test_what_has_run_out_since_was_admitted_once_and_stands() -> None:
    old = msgspec.structs.replace(receipt(1, 200), exp=1)
    world = rebuilt(SITE, (DocumentType.RECEIPT, sign_receipt(old)))
    assert world.standing() == "PAID"


def test_a_list_that_only_added_adds_again() -> None:
    world = rebuilt(SITE, (DocumentType.LIST, sign_list(LIST)))
    takes_up(world, DocumentType.LIST, sign_list(STALE), adds=True)
    assert (world.standing("A1"), world.standing("A2")) == ("PAID", "PAID")


def test_a_list_that_took_off_takes_off_again() -> None:
    world = rebuilt(
        SITE, (DocumentType.LIST, sign_list(LIST)), (DocumentType.LIST, sign_list(STALE))
    )
    assert (world.standing("A1"), world.standing("A2")) == ("NONE", "PAID")


@pytest.mark.parametrize(
    ("said", "raw"),
    [
        ("of nobody here any more", sign_receipt(receipt(9, 200))),
        ("that a list has overtaken", sign_receipt(receipt(1, 5))),
    ],
)
def test_a_receipt_says_nothing_again(said: str, raw: bytes) -> None:
    world = rebuilt(SITE, (DocumentType.LIST, sign_list(LIST)))
    admission = readmit(Archived(type=DocumentType.RECEIPT, raw=raw), world.image)
    assert admission.bodies == ()


def test_who_was_cut_again_waits_only_since_he_pays_again() -> None:
    world = rebuilt(
        SITE,
        (DocumentType.RECEIPT, sign_receipt(receipt(1, 100))),
        (DocumentType.ORDER, sign_order(order(1, cut(1, n=200)))),
    )
    assert (world.standing(), world.image.kept.proofs, world.image.kept.asks) == ("CUT", {}, {})
    world.wait(7 * 24 * HOUR_MS)
    assert world.lists(400, entry(1, 300)) == "ACCEPTED"
    assert world.image.kept.proofs["A1"].received == instant_of(world.now)


def test_a_cut_that_was_overtaken_leaves_the_payment() -> None:
    world = rebuilt(
        SITE,
        (DocumentType.RECEIPT, sign_receipt(receipt(1, 200))),
        (DocumentType.ORDER, sign_order(order(1, cut(1, n=100)))),
    )
    assert world.standing() == "PAID"


def test_what_was_to_be_forgotten_of_a_meter_that_left_is_forgotten_again() -> None:
    other = World(M2).image.kept.site
    assert other is not None
    moved_on = sign_site(msgspec.structs.replace(other, seq=2))
    told = (
        SITE,
        (DocumentType.ORDER, sign_order(order(1, cut(1, n=100)))),
        (DocumentType.SITE, moved_on),
    )
    forget = sign_order(order(2, ForgetMeter(meters=("M1",))))
    assert list(rebuilt(*told).image.kept.words) == ["A1"]
    world = rebuilt(*told, (DocumentType.ORDER, forget))
    assert world.image.kept.words == {}
    assert world.image.kept.newest.order.seq == 2


def test_what_was_wiped_is_wiped_again() -> None:
    world = rebuilt(
        SITE,
        (DocumentType.LIST, sign_list(LIST)),
        (DocumentType.ORDER, sign_order(order(1, Wipe()))),
    )
    kept = world.image.kept
    assert (kept.site, kept.list_in_force, world.image.roster) == (None, None, {})
    assert kept.wiped is not None
    assert [kept.newest.site.seq, kept.newest.list.seq, kept.newest.order.seq] == [1, 1, 1]
    assert world.site(M1, seq=1) == "SEQ_OLD"


def test_an_older_order_does_not_lower_the_mark() -> None:
    world = rebuilt(
        SITE,
        (DocumentType.ORDER, sign_order(order(5, Reconnect(account="A1", meter="M1")))),
        (DocumentType.ORDER, sign_order(order(4, Reconnect(account="A1", meter="M1")))),
    )
    assert world.image.kept.newest.order.seq == 5


TAGS = [
    ((Hold(meter="M1", reason=WHY),), [("HOLD", "M1")]),
    ((Hold(meter="M1", reason=WHY), ReleaseHold(meter="M1", reason=WHY)), []),
    ((Isolate(reason=WHY),), [("ISOLATE_FEEDER", "")]),
    ((Isolate(reason=WHY, dt="T1"),), [("ISOLATE_DT", "T1")]),
    ((Isolate(reason=WHY, dt="T1"), EndIsolation(reason=WHY, dt="T1")), []),
]


@pytest.mark.parametrize(("acts", "tags"), TAGS)
def test_what_orders_had_forbidden_is_forbidden_again(
    acts: tuple[Hold, ...], tags: list[tuple[str, str]]
) -> None:
    world = rebuilt(SITE)
    world.record(JournalLost(trouble="CORRUPT", marks=Marks(), amnesia=True))
    for at, act in enumerate(acts, start=1):
        takes_up(world, DocumentType.ORDER, sign_order(order(at, act)))
    assert [(tag.kind, tag.target) for tag in world.image.kept.tags] == tags


ENDS = [
    (Hold(meter="M1", reason=WHY), ReleaseHold(meter="M1", reason=WHY)),
    (Isolate(reason=WHY, dt="T1"), EndIsolation(reason=WHY, dt="T1")),
]


@pytest.mark.parametrize(("begins", "ends"), ENDS)
def test_what_an_order_forbade_is_not_ended_by_one_that_was_never_answered(
    begins: Hold | Isolate, ends: ReleaseHold | EndIsolation
) -> None:
    # The marks know every order that was answered; this one was archived as the power failed.
    world = rebuilt(SITE)
    marks = Marks(order=Mark(seq=1))
    world.record(JournalLost(trouble="CORRUPT", marks=marks, amnesia=False))
    for at, act in enumerate((begins, ends), start=1):
        takes_up(world, DocumentType.ORDER, sign_order(order(at, act)))
    assert len(world.image.kept.tags) == 1
    assert world.image.kept.newest.order.seq == 1, "it is not used up: it may come again"
    assert world.ordered(ends) == "ACCEPTED"
    assert world.image.kept.tags == ()


def test_roots_are_walked_again() -> None:
    second = next_root()
    world = rebuilt((DocumentType.ROOT, signed(second)), SITE)
    assert world.image.root == second
    with pytest.raises(Unsound, match="SEQ_OLD"):
        takes_up(world, DocumentType.ROOT, signed(next_root()))
    with pytest.raises(Rejected):
        takes_up(world, DocumentType.ROOT, signed(next_root(second), *()).replace(b"A", b"B"))


def test_a_time_of_then_says_nothing_now() -> None:
    world = rebuilt(SITE)
    raw = TIME.sign(DocumentType.TIME, payload_of(Time(nonce=nonce_of(world.now), now=5)))
    assert readmit(Archived(type=DocumentType.TIME, raw=raw), world.image).bodies == ()


# --- what follows from what is left of the disk ---


def image() -> Image:
    return trusting(World(M1)).image


ARCHIVED = ArchivedDocument(digest=Digest("d" * 64), type=DocumentType.LIST, raw=b"x")
MARKS = image().marks
LEFT = [
    ("a new gateway", left(new=True), []),
    ("nothing, and it was commissioned", left(), [(True, "")]),
    ("an archive", left(archived=(ARCHIVED,), lost="CORRUPT"), [(True, "CORRUPT")]),
    ("marks", left(marks=MARKS), [(False, "")]),
    ("an archive and marks", left(archived=(ARCHIVED,), marks=MARKS), [(False, "")]),
    ("a journal that knows all", left(number=5, marks=MARKS), []),
    ("a journal, and no marks", left(number=5), []),
]


@pytest.mark.parametrize(("said", "loaded", "lost"), LEFT, ids=[row[0] for row in LEFT])
def test_of_the_disk_is_left(said: str, loaded: Loaded, lost: list[tuple[bool, str]]) -> None:
    bodies = list(remembered(image(), loaded))
    assert [
        (body.amnesia, body.trouble) for body in bodies if isinstance(body, JournalLost)
    ] == lost
    assert len(bodies) == len(lost)


def test_a_document_of_the_archive_that_does_not_hold_is_recorded_as_such() -> None:
    world = World(M1)
    (body,) = taken_up(ARCHIVED, world.image, world.now).bodies
    assert isinstance(body, Refused)
    assert (body.name, body.road) == ("ARCHIVE_UNREADABLE", Road.ARCHIVE)
