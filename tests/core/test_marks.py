"""Marks: what is not forgotten where the journal is, and what follows from that."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.alarms import Alarm
from gateway.core.disconnection import OpenVerdict
from gateway.core.documents import AllowList, Site
from gateway.core.fact import Origin, Road, TagKind
from gateway.core.image import with_kept
from gateway.core.marks import Mark, Marks, Memory, Tag, larger
from gateway.core.model import Digest, Instant
from gateway.core.records import ListInstalled, SiteInstalled
from gateway.core.sequence import nonce_of
from gateway.core.signature import digest_of
from gateway.core.status import status_of
from gateway.core.trust_records import JournalLost, MarksAhead
from gateway.core.waiting import instant_of
from gateway.utility.sign import payload_of
from tests.core.cutting import comes, lit
from tests.core.papers import LEDGER_MS, M1, M2, allow_list, cut, entry
from tests.core.world import World
from tests.signing import sign_list

D = [Digest(letter * 64) for letter in "abcdef"]
AT = Instant(boot="boot-0", mono_ms=1, wall_ms=2)
NEWER = allow_list(7, 700, entry(1, 600))
NEWEST = Mark(seq=7, digest=digest_of(payload_of(NEWER)))


def tag(target: str, by: str = "S. Devi") -> Tag:
    return Tag(
        kind=TagKind.HOLD,
        target=target,
        origin=Origin.TECHNICIAN,
        by=by,
        reason="burnt",
        since=AT,
    )


marks = st.builds(Mark, seq=st.integers(0, 3), digest=st.sampled_from(D))
many = st.builds(
    Marks, root=marks, site=marks, list=marks, order=marks, wall_low_ms=st.integers(0, 9)
)


@given(many, many)
def test_of_two_the_larger_counts_for_each_kind(one: Marks, other: Marks) -> None:
    both = larger(one, other)
    for kind in ("root", "site", "list", "order"):
        seqs = getattr(one, kind).seq, getattr(other, kind).seq
        assert getattr(both, kind).seq == max(seqs)
        assert getattr(both, kind) in (getattr(one, kind), getattr(other, kind))
    assert both.wall_low_ms == max(one.wall_low_ms, other.wall_low_ms)
    assert larger(both, other) == both


def test_the_tags_of_both_stand() -> None:
    both = larger(Marks(tags=(tag("M1"),)), Marks(tags=(tag("M1", "R. Patel"), tag("M2"))))
    assert [(one.target, one.by) for one in both.tags] == [("M1", "S. Devi"), ("M2", "S. Devi")]


def behind() -> World:
    """List 7 was here; the journal is an old one, of list 1."""
    world = lit(M1, M2)
    world.record(MarksAhead(marks=Marks(list=NEWEST, tags=(tag("M2"),), wall_low_ms=5)))
    return world


def forgetful() -> World:
    """Nothing is known of before."""
    world = World(M1, M2)
    world.record(JournalLost(trouble="", marks=Marks(), amnesia=True))
    return world


def test_behind_the_marks_what_is_in_force_still_grants() -> None:
    world = behind()
    assert world.image.memory is Memory.BEHIND
    assert world.standing() == "PAID"
    assert [one.target for one in world.image.kept.tags] == ["M2"], "who forbade is not forgotten"
    assert Alarm.BEHIND in status_of(world.image, world.now).alarms


LISTS = [
    ("an older list", allow_list(6, 600), "SEQ_OLD"),
    ("the very list that was here", NEWER, "ACCEPTED"),
    ("another of its number", allow_list(7, 701), "EQUIVOCATION"),
    ("a newer one", allow_list(8, 800, entry(1, 600)), "ACCEPTED"),
]


@pytest.mark.parametrize(("said", "given_list", "word"), LISTS, ids=[row[0] for row in LISTS])
def test_behind_the_marks_comes(said: str, given_list: object, word: str) -> None:
    world = behind()
    assert world.gets(given_list) == word  # type: ignore[arg-type]
    assert (world.image.memory is Memory.WHOLE) == (word == "ACCEPTED")
    if word == "ACCEPTED":
        assert world.gets(given_list) == "DUPLICATE"  # type: ignore[arg-type]


def test_behind_the_marks_nobody_is_cut() -> None:
    world = behind()
    assert comes(world, cut(1)) == OpenVerdict.MEMORY_LOST


@pytest.mark.parametrize("kind", ["root", "site", "list"])
def test_behind_any_mark_of_a_document_in_force_it_is_behind(kind: str) -> None:
    world = lit(M1)
    newest = msgspec.structs.replace(world.image.kept.newest, **{kind: Mark(seq=99)})
    assert with_kept(world.image, newest=newest).memory is Memory.BEHIND


def test_without_any_memory_a_list_grants_and_only_one_that_echoes_the_nonce_ends_it() -> None:
    world = forgetful()
    assert world.lists(500, entry(1, 400)) == "ACCEPTED"
    assert world.standing() == "PAID"
    assert world.image.memory is Memory.AMNESIA
    assert Alarm.AMNESIA in status_of(world.image, world.now).alarms
    old = allow_list(2, 600, entry(1, 400))
    earlier = msgspec.structs.replace(old, nonce="boot-0@5")
    assert world.gets(earlier) == "ACCEPTED"
    assert world.image.memory is Memory.AMNESIA, "it may be one of last week"
    fresh = msgspec.structs.replace(old, seq=3, nonce=nonce_of(world.now))
    assert world.gets(fresh) == "ACCEPTED"
    assert world.image.memory is Memory.WHOLE
    body = world.journal[-1][0].body
    assert isinstance(body, ListInstalled)
    assert body.fresh


def test_without_any_memory_nobody_is_cut() -> None:
    world = lit(M1)
    world.image = with_kept(world.image, amnesia=instant_of(world.now))
    assert comes(world, cut(1)) == OpenVerdict.MEMORY_LOST


def test_what_the_marks_say_of_the_time_is_kept() -> None:
    world = World(M1)
    low_ms = world.now.wall_low_ms + 50
    world.record(MarksAhead(marks=Marks(wall_low_ms=low_ms)))
    assert world.image.kept.wall_low_ms == low_ms


def test_what_the_archive_brings_back_does_not_lower_a_mark() -> None:
    world = World(M1)
    marks = Marks(site=Mark(seq=5), list=Mark(seq=9), order=Mark(seq=7))
    world.record(JournalLost(trouble="CORRUPT", marks=marks, amnesia=False))
    given_list, given_site = allow_list(1, 50, entry(1, 10)), world.image.kept.site
    assert given_site is not None
    for document in (given_list, given_site):
        world.record(_installs(document), document)
    newest = world.image.kept.newest
    assert (newest.site.seq, newest.list.seq, newest.order.seq) == (5, 9, 7)
    assert world.image.memory is Memory.BEHIND
    assert world.gets(allow_list(8, 60)) == "SEQ_OLD"


def _installs(document: AllowList | Site) -> ListInstalled | SiteInstalled:
    digest = digest_of(payload_of(document))
    if isinstance(document, Site):
        return SiteInstalled(
            seq=document.seq, digest=digest, signer="site-1", road=Road.ARCHIVE, meters=1
        )
    return ListInstalled(
        seq=document.seq,
        digest=digest,
        signer="list-1",
        road=Road.ARCHIVE,
        as_of=document.as_of,
        entries=1,
    )


def test_the_marks_of_an_image_are_the_newest_of_each_kind_and_its_tags() -> None:
    world = lit(M1, M2)
    world.tags(TagKind.HOLD, "M2")
    assert comes(world, cut(1)) == "ACCEPTED"
    said = world.image.marks
    assert (said.site.seq, said.list.seq, said.order.seq) == (1, 1, 1)
    assert said.list.digest == world.image.kept.list_in_force.digest  # type: ignore[union-attr]
    assert said.tags == world.image.kept.tags
    assert said.wall_low_ms == world.image.kept.wall_low_ms


def test_an_equivocation_is_an_alarm() -> None:
    world = lit(M1)
    assert world.hand_in(sign_list(allow_list(1, 51)), Road.LOCAL) == "EQUIVOCATION"
    assert Alarm.EQUIVOCATION in status_of(world.image, world.now).alarms
    told = msgspec.structs.replace(world.image, acked_through=world.image.number)
    assert Alarm.EQUIVOCATION not in status_of(told, world.now).alarms, "the head end knows of it"


def test_a_journal_that_was_lost_is_an_alarm_until_the_head_end_knows_of_it() -> None:
    world = forgetful()
    assert Alarm.JOURNAL_LOST in status_of(world.image, world.now).alarms
    told = msgspec.structs.replace(world.image, acked_through=world.image.number)
    assert Alarm.JOURNAL_LOST not in status_of(told, world.now).alarms


def test_that_the_newest_order_was_refused_outlives_the_journal() -> None:
    world = World(M1)
    marks = Marks(order=Mark(seq=1, digest=D[0], refusal="LIST_STALE"))
    world.record(JournalLost(trouble="", marks=marks, amnesia=False))
    assert world.image.kept.newest.order.refusal == "LIST_STALE"


def test_a_list_is_stale_when_it_comes_from_the_millisecond_after_its_bound() -> None:
    for past_ms, adds in ((0, False), (1, True)):
        world = World(M1)
        low_ms = world.now.wall_low_ms
        stale_after = low_ms - past_ms
        assert world.gets(allow_list(1, 100, stale_after=stale_after)) == "ACCEPTED"
        in_force = world.image.kept.list_in_force
        assert in_force is not None
        assert in_force.unlisted_as_of == (None if adds else LEDGER_MS + 100)
