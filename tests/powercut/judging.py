"""Judging: what the real journal makes of a disk after a cut, and what is wrong with that.

On an honest card nothing that was acknowledged may be missing. On one that lies it may; but what is
then in force is what signed documents said at some time, and none of those that are still there
stands for nothing.
"""

from pathlib import Path

from gateway.core.image import Image
from gateway.core.marks import Marks, larger
from gateway.core.records import chain_hash
from gateway.core.standing import Standing
from gateway.core.trust_records import JournalLost, MarksAhead
from gateway.journal.limits import DAY_MS
from gateway.journal.sqlite import SqliteJournal
from gateway.journal.trouble import JournalError, Trouble
from gateway.ports import ArchivedDocument, Loaded
from gateway.restoring import remembered, restore
from tests.core.papers import BLANK
from tests.powercut.history import Cut, digest_in
from tests.powercut.notes import reading_of, stands
from tests.powercut.restart import (
    ACCOUNTS,
    granted_by,
    image_of,
    not_by_order,
    not_fallen,
    readable,
    sequence_of,
    started,
    tags_of,
)
from tests.powercut.verdicts import Ending, Fault, Verdict
from tests.powercut.workload import ARCHIVE, open_journal

STARTS_MAX = 3


async def judge(cut: Cut, root: Path, *, lying: bool = False, goes_on: bool = False) -> Verdict:
    """Start on what a cut has left at `root`, and compare with what is known.

    `goes_on`: read every document, too, and commit something. What a start finds damaged only while
    it runs ends the daemon, which is started again.
    """
    verdict = Verdict()
    may_be_damaged = lying or cut.known.damaged
    for starts_left in range(STARTS_MAX if may_be_damaged else 1, 0, -1):
        verdict = Verdict()
        try:
            await _judge_start(verdict, cut, root, lying=lying, goes_on=goes_on)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            corrupt = isinstance(error, JournalError) and error.trouble is Trouble.CORRUPT
            if corrupt and starts_left > 1:
                continue
            verdict.find(True, Fault.NOT_OPENED, repr(error))
        return verdict
    raise AssertionError


async def _judge_start(
    verdict: Verdict, cut: Cut, root: Path, *, lying: bool, goes_on: bool
) -> None:
    known = cut.known
    journal = await open_journal(root, commissioned=known.commissioned)
    try:
        loaded = await journal.load()
        papers = readable(root) if lying or goes_on else ()
        judging = _Judging(verdict, journal, loaded, cut, papers)
        await (judging.of_a_liar() if lying else judging.honest())
        if goes_on:
            lost = {digest_in(name) for name in known.documents} - {one.digest for one in papers}
            verdict.find(lost and not lying, Fault.DOCUMENT_LOST, f"{len(lost)} unreadable")
            await _next_commit(verdict, journal, root)
    finally:
        await journal.close()


class _Judging:
    """One restart: what was loaded, and what is known."""

    def __init__(
        self,
        verdict: Verdict,
        journal: SqliteJournal,
        loaded: Loaded,
        cut: Cut,
        papers: tuple[ArchivedDocument, ...],
    ) -> None:
        self._verdict = verdict
        self._journal = journal
        self._loaded = loaded
        self._known = cut.known
        self._left = cut.left
        self._papers = papers
        self._image = restore(BLANK, loaded)

    async def honest(self) -> None:
        """Nothing is missing."""
        verdict, loaded, known = self._verdict, self._loaded, self._known
        lost = [
            name
            for name, raw in known.documents.items()
            if self._left.get(f"{ARCHIVE}/{name}") != raw
        ]
        verdict.find(lost, Fault.DOCUMENT_LOST, f"{len(lost)} of {len(known.documents)}")
        wanted = [state.marks for state in known.states]
        said = f"{loaded.marks}, not {wanted}"
        verdict.find(loaded.marks not in wanted, Fault.MARKS_FELL, said)
        if loaded.number == 0 and known.damaged:
            await self._rebuilt()
            return
        verdict.ending = Ending.NEW if loaded.number == 0 else Ending.WHOLE
        at = (loaded.number, loaded.chain, loaded.acked_through)
        read = (loaded.readings_last, loaded.readings_acked_through)
        states = [one for one in known.states if (one.number, one.chain, one.acked_through) == at]
        wanted_read = [(one.readings, one.readings_acked) for one in states]
        verdict.find(states and read not in wanted_read, Fault.READINGS_LOST, (read, wanted_read))
        numbers = [(one.number, one.acked_through) for one in known.states]
        said = f"{loaded.number}, acknowledged {loaded.acked_through}; {numbers} were to be"
        verdict.find(not states, Fault.RECORDS_LOST, said)
        other = states and image_of(states[0]).kept != self._image.kept
        verdict.find(other, Fault.OTHER_IMAGE, loaded.number)
        bodies = list(remembered(self._image, loaded))
        verdict.find(bodies, Fault.MARKS_AHEAD, bodies)
        await self._chain()
        await self._readings()

    async def of_a_liar(self) -> None:
        """What is there is true, and what is not there has a name."""
        verdict, loaded, known = self._verdict, self._loaded, self._known
        bodies = list(remembered(self._image, loaded))
        if loaded.number > 0:
            at = (loaded.number, loaded.chain)
            states = [one for one in known.past if (one.number, one.chain) == at]
            whole = any(one in known.states for one in states)
            verdict.ending = Ending.WHOLE if whole else Ending.EARLIER
            kept = [image_of(one).kept for one in states]
            # A lost page may end a journal inside a batch: records that were said, one by one.
            inside = any(loaded.chain in one.chains[:-1] for one in known.past)
            other = self._image.kept not in kept and not (inside and not kept)
            verdict.find(other, Fault.OTHER_IMAGE, loaded.number)
        else:
            verdict.ending = Ending.REBUILT if known.acknowledged else Ending.NEW
            if any(isinstance(body, JournalLost) and body.amnesia for body in bodies):
                verdict.ending = Ending.AMNESIA
            named = any(isinstance(body, JournalLost | MarksAhead) for body in bodies)
            said = f"{loaded.lost!r}, new: {loaded.new}"
            before = [image_of(state).marks for state in known.states]
            something = all(any(sequence_of(one)) or one.tags for one in before)
            verdict.find(something and not named, Fault.NOT_NAMED, said)
        image = await started(self._journal, loaded) if bodies or loaded.archived else self._image
        self._words(image)
        knew = larger(image.marks, loaded.marks or Marks())
        fell = f"{sequence_of(image.marks)}, not {sequence_of(knew)}"
        verdict.find(sequence_of(image.marks) != sequence_of(knew), Fault.MARKS_FELL, fell)
        lost = tags_of(knew) - tags_of(image.marks)
        # A journal that went on from where the marks were written may have removed a tag since.
        # An order of the archive may have, in a new one.
        forgot = not_by_order(lost) if loaded.number == 0 else lost
        verdict.find(forgot and not loaded.marks_followed, Fault.TAG_LOST, sorted(forgot))

    async def _rebuilt(self) -> None:
        verdict, loaded = self._verdict, self._loaded
        verdict.ending = Ending.REBUILT
        bodies = list(remembered(BLANK, loaded))
        named = any(isinstance(body, JournalLost) and not body.amnesia for body in bodies)
        verdict.find(not named, Fault.NOT_NAMED, bodies)
        image = await started(self._journal, loaded)
        before = [image_of(state) for state in self._known.states]
        for account in ACCOUNTS:
            stood = {stands(one, account) for one in before}
            now = stands(image, account)
            newer = self._said_more and now[1] > max(n for _, n in stood)
            # Of lists the newest alone is kept: the one that had paid for who was cut before, and
            # whom the newest does not name, is gone. Neither word gives him anything.
            unlisted = now[0] is Standing.CUT and (Standing.NONE, now[1]) in stood
            said = f"{account} {now}, not {stood}"
            other = now not in stood and not newer and not unlisted
            verdict.find(other, Fault.STANDING_LOST, said)
        tags, were = tags_of(image.marks), [tags_of(one.marks) for one in before]
        lost, strange = frozenset.intersection(*were) - tags, tags - frozenset.union(*were)
        if self._said_more:
            lost, strange = not_by_order(lost), not_by_order(strange)
        verdict.find(lost, Fault.TAG_LOST, sorted(lost))
        verdict.find(strange, Fault.OTHER_IMAGE, sorted(strange))
        sequences = [sequence_of(one.marks) for one in before]
        fell = not any(not_fallen(one, sequence_of(image.marks)) for one in sequences)
        said = f"{sequence_of(image.marks)}, not {sequences}"
        verdict.find(fell, Fault.MARKS_FELL, said)

    @property
    def _said_more(self) -> bool:
        """The archive holds more than was acknowledged: a new journal takes it up all the same.

        So it does with an order that nobody answered before it expired.
        """
        below = f"{ARCHIVE}/"
        names = {path.removeprefix(below) for path in self._left if path.startswith(below)}
        return not self._known.said.issuperset(filter(None, map(digest_in, names)))

    async def _chain(self) -> None:
        records = await self._journal.records_after(0, 2**30)
        number = records[0].number - 1 if records else 0
        chain, broken = await self._journal.chain_at(number) or b"", []
        early = number > self._loaded.acked_through
        self._verdict.find(early, Fault.RECORDS_LOST, f"{number} were removed unacknowledged")
        for record in records:
            number, chain = number + 1, chain_hash(chain, record.content)
            if (record.number, record.chain) != (number, chain):
                broken.append(record.number)
        short = (number, chain) != (self._loaded.number, self._loaded.chain)
        said = f"{number} of {self._loaded.number}, broken at {broken}"
        self._verdict.find(broken or short, Fault.CHAIN_BROKEN, said)

    async def _readings(self) -> None:
        """All of the last day, and of those before none that is not what was said."""
        last, acked = self._loaded.readings_last, self._loaded.readings_acked_through
        stored = await self._journal.readings_after(0, 2**30)
        other = [one.ordinal for one in stored if one.reading != reading_of(one.ordinal)]
        self._verdict.find(other, Fault.READINGS_LOST, f"{other} say something else")
        day = [
            ordinal
            for ordinal in range(acked + 1, last + 1)
            if reading_of(ordinal).wall_ms >= reading_of(last).wall_ms - DAY_MS
        ]
        lost = sorted(set(day) - {one.ordinal for one in stored})
        self._verdict.find(lost, Fault.READINGS_LOST, f"{lost} of {last}, acknowledged {acked}")

    def _words(self, image: Image) -> None:
        acknowledged = {digest_in(name) for name in self._known.documents}
        granted = granted_by([one for one in self._papers if one.digest in acknowledged])
        ever = {one for state in self._known.past for one in state.stood}
        for account in ACCOUNTS:
            standing, n = stands(image, account)
            word = image.word(account)
            if word is not None and standing is not Standing.NONE:
                # The same word may have come by another document as well.
                wrong = ever.isdisjoint((account, standing, by) for by in (n, word.digest))
                said = f"{account} {standing} {n} by {word.digest}"
                self._verdict.find(wrong, Fault.STANDING_WRONG, said)
            says, says_n = stands(granted, account)
            paid = says is Standing.PAID and says_n > n
            said = f"{account} stands as {standing} {n}, and a document of {says_n} pays"
            refused = paid and standing is not Standing.PAID
            self._verdict.find(refused, Fault.PAID_REFUSED, said)


async def _next_commit(verdict: Verdict, journal: SqliteJournal, root: Path) -> None:
    """The engine starts and takes a receipt; the next process finds what this one has said."""
    image = await started(journal, await journal.load(), pays=True)
    await journal.close()
    again = await open_journal(root, commissioned=True)
    try:
        after = await again.load()
        found = restore(BLANK, after)
        wrong = (found.kept, found.number) != (image.kept, image.number)
        verdict.find(wrong, Fault.GOES_NOT_ON, f"{after.number}, not {image.number}")
    finally:
        await again.close()
