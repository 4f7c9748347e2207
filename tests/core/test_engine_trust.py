"""The engine and what must not be forgotten: long lists, roots, marks, lost journals, the clock."""

import msgspec
import pytest

from gateway.core.documents import Time
from gateway.core.fact import DocumentClaim, Road
from gateway.core.marks import Mark, Marks, Memory
from gateway.core.model import Digest
from gateway.core.reading import READ_APART_ABOVE, read
from gateway.core.records import ListInstalled, Started
from gateway.core.sequence import nonce_of
from gateway.core.signature import DocumentType
from gateway.core.trust import Revocation, Role
from gateway.core.trust_records import JournalLost, MarksAhead, RootInstalled
from gateway.ports import ArchivedDocument, Loaded
from gateway.restoring import restore
from gateway.utility.sign import payload_of
from tests.core.corridor import HOLD, SITE, Corridor, MemoryJournal, document, installed, left
from tests.core.papers import LEDGER_MS, NOON_MS, allow_list, entry, receipt
from tests.core.trustees import FIRST, TIME, next_root, signed
from tests.signing import key

LONG = document(allow_list(1, 900, *(entry(at, 800) for at in range(1, 3_000))))


class LeftJournal(MemoryJournal):
    """A journal of which something else than its batches was left."""

    def __init__(self, left: Loaded) -> None:
        super().__init__()
        self.left = left

    async def load(self) -> Loaded:
        return self.left


async def trusting() -> Corridor:
    """A gateway whose anchor names a time key, too."""
    corridor = Corridor()
    corridor.engine.image = msgspec.structs.replace(corridor.engine.image, root=FIRST)
    await corridor.engine.start()
    return corridor


def claim(raw: bytes) -> DocumentClaim:
    return DocumentClaim(raw=raw, road=Road.LOCAL)


# --- long lists ---


async def test_a_long_list_is_read_beside_the_corridor() -> None:
    corridor = await installed()
    assert len(LONG.raw) > READ_APART_ABOVE
    assert await corridor.tick(LONG, document(receipt(1, 100))) == ["ACCEPTED"], "the receipt alone"
    corridor.engine.stop()
    await corridor.engine.run()
    assert [answer.word for answer in corridor.answers[-1:]] == ["ACCEPTED"]
    assert any(isinstance(body, ListInstalled) for body in corridor.journal.bodies())


async def test_a_long_list_that_is_none_is_refused_by_name() -> None:
    corridor = await installed()
    await corridor.tick(claim(LONG.raw[:-9] + b"AAAAAAAAA"))
    corridor.engine.stop()
    await corridor.engine.run()
    assert corridor.answers[-1].word == "BAD_SIGNATURE"


async def test_long_lists_come_into_force_in_their_order() -> None:
    corridor = await installed()
    longer = document(allow_list(1, 900, *(entry(at, 800) for at in range(1, 15_000))))
    shorter = document(allow_list(2, 950, *(entry(at, 800) for at in range(1, 1_000))))
    assert len(shorter.raw) > READ_APART_ABOVE
    await corridor.tick(longer, shorter)
    corridor.engine.stop()
    await corridor.engine.run()
    assert [answer.word for answer in corridor.answers[-2:]] == ["ACCEPTED", "ACCEPTED"]


async def test_a_long_root_is_followed_as_a_short_one_is() -> None:
    corridor = await trusting()
    gone = tuple(Revocation(kid=f"gone-{at}", after=at) for at in range(1_000))
    raw = signed(next_root(revoked=gone))
    assert len(raw) > READ_APART_ABOVE
    assert await corridor.tick(claim(raw)) == ["ACCEPTED"]
    assert corridor.engine.image.root.seq == 2


async def test_what_was_read_by_another_root_is_read_again() -> None:
    corridor = await trusting()
    assert await corridor.tick(SITE) == ["ACCEPTED"]
    given = read(LONG, FIRST)
    without = next_root(out=("list-1",), new=(key("list-2", Role.LIST),))
    assert await corridor.tick(claim(signed(without))) == ["ACCEPTED"]
    corridor.inbox.post(given, corridor.answers.append)
    await corridor.engine.tick()
    assert corridor.answers[-1].word == "UNKNOWN_KEY"


async def test_a_mistake_of_ours_while_reading_ends_the_corridor() -> None:
    corridor = await installed()
    broken = msgspec.structs.replace(LONG, raw=None)
    corridor.inbox.post(msgspec.structs.replace(LONG))
    corridor.engine._read_apart(broken, None)
    with pytest.raises(TypeError):
        await corridor.engine.run()


# --- roots and the clock ---


async def test_the_next_root_is_archived_and_marked_and_found_again() -> None:
    corridor = await trusting()
    raw = signed(next_root())
    assert await corridor.tick(claim(raw), claim(raw)) == ["ACCEPTED", "DUPLICATE"]
    batch = corridor.journal.batches[-1]
    assert [one.raw for one in batch.documents] == [raw]
    assert batch.marks is not None
    assert batch.marks.root.seq == 2
    following = await corridor.again()
    assert following.engine.image.root.seq == 2
    replayed = corridor.journal.from_the_first_record()
    assert isinstance(corridor.journal.bodies()[-2], RootInstalled)
    blank = msgspec.structs.replace(Corridor().engine.image, root=FIRST)
    assert restore(blank, replayed).root.seq == 2


async def test_the_clock_is_told_what_a_signed_time_and_other_documents_say() -> None:
    corridor = await trusting()
    nonce = nonce_of(corridor.clock.instant)
    raw = TIME.sign(DocumentType.TIME, payload_of(Time(nonce=nonce, now=NOON_MS + 7)))
    assert await corridor.tick(claim(raw)) == ["ACCEPTED"]
    assert corridor.clock.low_ms == NOON_MS + 7
    bound = corridor.clock.bounds[-1]
    assert bound is not None
    assert (bound.low_ms, bound.high_ms) == (NOON_MS + 7, NOON_MS + 7)
    following = await corridor.again()
    assert following.clock.bounds[-1] == bound, "it is of this boot, also for the next process"
    far = next_root(out=("time-1",), new=(key("time-2", Role.TIME),), issued_at=NOON_MS)
    assert await following.tick(claim(signed(far))) == ["ACCEPTED"]
    assert (following.clock.low_ms, following.clock.bounds[-1]) == (NOON_MS, None)


async def test_nothing_of_the_old_time_key_is_left_in_the_same_tick() -> None:
    corridor = await trusting()
    far = next_root(out=("time-1",), new=(key("time-2", Role.TIME),), issued_at=LEDGER_MS)
    listed = document(allow_list(1, 500, entry(1, 400)))
    words = await corridor.tick(claim(signed(far)), SITE, listed)
    assert words == ["ACCEPTED", "ACCEPTED", "ACCEPTED"]
    assert corridor.engine.image.kept.wall_low_ms == LEDGER_MS


# --- what is left of the disk ---


async def test_a_lost_journal_is_rebuilt_from_the_archive() -> None:
    before = await installed()
    listed = document(allow_list(1, 500, entry(1, 400)))
    assert await before.tick(listed, document(receipt(1, 600))) == ["ACCEPTED", "ACCEPTED"]
    archive = tuple(before.journal.archived())
    marks = before.engine.image.marks
    after = Corridor(LeftJournal(left(archived=archive, marks=marks, lost="CORRUPT")))
    await after.engine.start()
    lost, *again = after.journal.bodies()
    assert isinstance(lost, JournalLost)
    assert (lost.trouble, lost.amnesia) == ("CORRUPT", False)
    assert [type(body).__name__ for body in again] == [
        "SiteInstalled",
        "ListInstalled",
        "ReceiptAccepted",
        "Started",
    ]
    assert after.engine.image.memory is Memory.WHOLE
    assert after.engine.image.word("A1") == before.engine.image.word("A1")
    assert await after.tick(listed) == ["DUPLICATE"]


async def test_what_is_damaged_in_the_archive_is_recorded_and_the_rest_stands() -> None:
    before = await installed()
    damaged = ArchivedDocument(digest=Digest("d" * 64), type=DocumentType.LIST, raw=b"x")
    archive = (damaged, *before.journal.archived())
    after = Corridor(LeftJournal(left(archived=archive)))
    await after.engine.start()
    assert after.engine.image.kept.refusals == {"ARCHIVE_UNREADABLE": 1}
    assert after.engine.image.kept.site is not None


async def test_with_nothing_left_nothing_is_known_and_a_new_gateway_knows_that_it_is_new() -> None:
    for new, memory in ((False, Memory.AMNESIA), (True, Memory.WHOLE)):
        corridor = Corridor(LeftJournal(left(new=new)))
        await corridor.engine.start()
        assert corridor.engine.image.memory is memory


async def test_a_journal_that_is_behind_its_marks_says_so() -> None:
    marks = Marks(list=Mark(seq=9, digest=Digest("d" * 64)))
    corridor = Corridor(LeftJournal(left(marks=marks, new=True, number=0)))
    await corridor.engine.start()
    assert isinstance(corridor.journal.bodies()[0], MarksAhead)
    assert isinstance(corridor.journal.bodies()[1], Started)
    assert corridor.engine.image.memory is Memory.BEHIND


async def test_a_hold_that_was_released_stays_so_where_the_marks_were_not_written_any_more() -> (
    None
):
    before = await installed()
    await before.tick(HOLD)
    marks = before.engine.image.marks
    await before.tick(msgspec.structs.replace(HOLD, place=False, reason="mended"))
    loaded = msgspec.structs.replace(before.journal.from_the_first_record(), marks=marks)
    for followed, holds in ((True, 0), (False, 1)):
        journal = LeftJournal(msgspec.structs.replace(loaded, marks_followed=followed))
        after = Corridor(journal)
        await after.engine.start()
        assert len(after.engine.image.kept.tags) == holds
        assert journal.batches[-1].marks == after.engine.image.marks


async def test_marks_that_say_it_all_are_not_written_again() -> None:
    before = await installed()
    marks = msgspec.structs.replace(before.engine.image.marks, wall_low_ms=5)
    loaded = before.journal.from_the_first_record()
    journal = LeftJournal(msgspec.structs.replace(loaded, marks=marks, marks_followed=True))
    await Corridor(journal).engine.start()
    assert journal.batches[-1].marks is None


async def test_a_journal_whose_documents_are_not_believed_is_begun_anew() -> None:
    before = await installed()
    assert await before.tick(document(receipt(1, 600))) == ["ACCEPTED"]
    loaded = before.journal.from_the_first_record()
    damaged = {
        digest: msgspec.structs.replace(one, raw=one.raw[:-6] + b"AAAAAA")
        for digest, one in loaded.documents.items()
        if one.type is DocumentType.SITE
    }
    journal = LeftJournal(msgspec.structs.replace(loaded, documents=damaged))
    journal.batches = before.journal.batches
    after = Corridor(journal)
    await after.engine.start()
    lost = after.journal.bodies()[0]
    assert isinstance(lost, JournalLost)
    assert lost.trouble.startswith("BAD_SIGNATURE")
    assert after.engine.image.word("A1") == before.engine.image.word("A1")
