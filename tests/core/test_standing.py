"""The newest word wins: as a table, and over random ledgers and roads."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.documents import AllowList, Receipt
from gateway.core.model import Digest
from gateway.core.standing import (
    ListInForce,
    Newness,
    Standing,
    Word,
    compare,
    in_force_from,
    standing_of,
    word_in_force,
)
from tests.core.papers import LEDGER_MS, M1, M2, allow_list, entry, meter, receipt
from tests.core.world import World

PAID, CUT, NONE = Standing.PAID, Standing.CUT, Standing.NONE
A, B = Digest("a" * 64), Digest("b" * 64)


def word(standing: Standing, n: int, *, serial: str = "M1", digest: Digest = A) -> Word:
    return Word(standing=standing, n=LEDGER_MS + n, meter=serial, digest=digest)


def in_force(as_of: int, *listed: int, cut: bool = False) -> ListInForce:
    """A list with account A1 at each `n` that is given (one or none)."""
    entries = [entry(1, n, cut=cut) for n in listed]
    given = allow_list(1, as_of, *entries)
    return in_force_from(given, B, "list-1", before=None, adds=False)


def stale(as_of: int) -> ListInForce:
    """A list that came a millisecond too late, with account A2."""
    given = allow_list(1, as_of, entry(2, 40), stale_after=LEDGER_MS)
    return in_force_from(given, B, "list-1", before=None, adds=True)


STANDS: list[tuple[str, ListInForce | None, Word | None, Standing, int | None]] = [
    ("nobody ever said anything", None, None, NONE, None),
    ("a receipt alone", None, word(PAID, 50), PAID, 50),
    ("a cut alone", None, word(CUT, 50), CUT, 50),
    ("a list names the account", in_force(100, 40), None, PAID, 40),
    ("a list does not name it", in_force(100), None, NONE, 100),
    ("a list that came stale does not name it", stale(100), None, NONE, None),
    ("a receipt newer than the list that omits it", in_force(100), word(PAID, 101), PAID, 101),
    ("a receipt as old as the list that omits it", in_force(100), word(PAID, 100), NONE, 100),
    ("a receipt older than the list that omits it", in_force(100), word(PAID, 99), NONE, 100),
    ("a receipt newer than its entry", in_force(100, 40), word(PAID, 41), PAID, 41),
    ("a receipt older than its entry", in_force(100, 40), word(PAID, 39), PAID, 40),
    ("a cut newer than its entry", in_force(100, 40), word(CUT, 41), CUT, 41),
    ("a cut older than its entry", in_force(100, 40), word(CUT, 39), PAID, 40),
    ("a cut newer than the list that omits it", in_force(100), word(CUT, 101), CUT, 101),
    ("a cut older than the list that omits it", in_force(100), word(CUT, 50), CUT, 100),
]


@pytest.mark.parametrize(
    ("listed", "single", "standing", "n"),
    [row[1:] for row in STANDS],
    ids=[f"{sentence}: {standing}" for sentence, _, _, standing, _ in STANDS],
)
def test_what_stands(
    listed: ListInForce | None, single: Word | None, standing: Standing, n: int | None
) -> None:
    stands = word_in_force("A1", listed, {} if single is None else {"A1": single})
    assert standing_of(stands) is standing
    assert (None if stands is None else stands.n - LEDGER_MS) == n


def test_a_list_entry_carries_that_it_was_cut_for_arrears_and_since_when_it_is_paid() -> None:
    stands = word_in_force("A1", in_force(100, 40, cut=True), {})
    assert stands is not None
    assert stands.cut
    assert stands.paid_at == LEDGER_MS + 40


UNLISTED = word_in_force("A1", in_force(100), {})
CUT_AND_UNLISTED = word_in_force("A1", in_force(100), {"A1": word(CUT, 50)})
CUT_SINCE = word_in_force("A1", in_force(100), {"A1": word(CUT, 101)})
NEWS: list[tuple[str, Word, Word | None, Newness]] = [
    ("the first word ever", word(PAID, 1), None, Newness.NEWER),
    ("a higher n", word(PAID, 51), word(PAID, 50), Newness.NEWER),
    ("a higher n cuts", word(CUT, 51), word(PAID, 50), Newness.NEWER),
    ("a lower n", word(PAID, 49), word(PAID, 50), Newness.OLDER),
    ("a lower n does not pay what is cut", word(PAID, 49), word(CUT, 50), Newness.OLDER),
    ("the same word again", word(PAID, 50), word(PAID, 50), Newness.SAME),
    ("the same word in another document", word(PAID, 50), word(PAID, 50, digest=B), Newness.SAME),
    ("one n, two standings", word(PAID, 50), word(CUT, 50), Newness.EQUIVOCATION),
    ("one n, two meters", word(PAID, 50), word(PAID, 50, serial="M9"), Newness.EQUIVOCATION),
    ("a grant newer than the un-listing", word(PAID, 101), UNLISTED, Newness.NEWER),
    ("a grant as old as the un-listing", word(PAID, 100), UNLISTED, Newness.OLDER),
    ("a grant older than the un-listing", word(PAID, 99), UNLISTED, Newness.OLDER),
    ("a grant as old as the un-listing of who was cut", word(PAID, 100), CUT_AND_UNLISTED,
     Newness.OLDER),
    ("one n, paid and cut, both after the un-listing", word(PAID, 101), CUT_SINCE,
     Newness.EQUIVOCATION),
]  # fmt: skip


@pytest.mark.parametrize(
    ("new", "stands", "newness"),
    [row[1:] for row in NEWS],
    ids=[f"{sentence}: {newness}" for sentence, _, _, newness in NEWS],
)
def test_what_is_news(new: Word, stands: Word | None, newness: Newness) -> None:
    assert compare(new, stands) is newness


HIS_OWN: list[tuple[str, str, str, Newness]] = [
    ("both of them his", "M1", "M9", Newness.SAME),
    ("the new one a stranger's", "M5", "M1", Newness.EQUIVOCATION),
    ("the one that stands a stranger's", "M1", "M5", Newness.EQUIVOCATION),
]


@pytest.mark.parametrize(
    ("new", "stands", "newness"),
    [row[1:] for row in HIS_OWN],
    ids=[f"{sentence}: {newness}" for sentence, _, _, newness in HIS_OWN],
)
def test_one_n_that_names_two_meters(new: str, stands: str, newness: Newness) -> None:
    told = (word(PAID, 50, serial=new), word(PAID, 50, serial=stands))
    assert compare(*told, frozenset({"M1", "M9"})) is newness


def test_one_n_that_pays_and_cuts_is_no_same_word_whichever_of_his_meters_it_names() -> None:
    told = (word(PAID, 50), word(CUT, 50, serial="M9"))
    assert compare(*told, frozenset({"M1", "M9"})) is Newness.EQUIVOCATION


@given(st.permutations([(PAID, 10), (CUT, 20), (PAID, 30), (CUT, 40), (PAID, 50)]), st.data())
def test_of_single_words_the_highest_n_stands_in_whatever_order(
    said: list[tuple[Standing, int]], data: st.DataObject
) -> None:
    heard = data.draw(st.integers(1, len(said)))
    words: dict[str, Word] = {}
    for standing, n in said[:heard]:
        new = word(standing, n)
        if compare(new, word_in_force("A1", None, words)) is Newness.NEWER:
            words["A1"] = new
    stands = word_in_force("A1", None, words)
    assert stands is not None
    assert (stands.n - LEDGER_MS, stands.standing) == max(
        (n, standing) for standing, n in said[:heard]
    )


def heard(documents: list[Word | AllowList]) -> tuple[bool, int] | None:
    """Whether A1 stands as paid, and as of when, after these have come in this order."""
    lists: ListInForce | None = None
    words: dict[str, Word] = {}
    for document in documents:
        if isinstance(document, Word):
            if compare(document, word_in_force("A1", lists, words)) is Newness.NEWER:
                words["A1"] = document
        elif lists is None or document.as_of > lists.as_of:
            lists = in_force_from(document, B, "list-1", before=lists, adds=False)
    stands = word_in_force("A1", lists, words)
    return stands and (stands.standing is PAID, stands.n - LEDGER_MS)


@given(st.lists(st.sampled_from(["pays", "is cut", "list"]), min_size=1, max_size=8), st.data())
def test_nobody_who_was_cut_is_paid_or_unpaid_by_the_order_of_the_papers(
    events: list[str], data: st.DataObject
) -> None:
    documents: list[Word | AllowList] = []
    paid: int | None = None
    for n, event in enumerate(events, start=1):
        if event == "list":
            documents.append(allow_list(n, n, *([] if paid is None else [entry(1, paid)])))
            continue
        paid = n if event == "pays" else None
        documents.append(word(CUT if paid is None else PAID, n))
    shuffled = heard(data.draw(st.permutations(documents)))
    assert shuffled == heard(documents)
    assert shuffled is not None
    assert shuffled[0] is (paid is not None)


# --- random ledgers: what the utility says over time, and how it reaches the feeder ---


@dataclass(frozen=True)
class Ledger:
    """The utility's documents about three accounts, in the order in which they were made."""

    documents: tuple[AllowList | Receipt, ...]
    truth: dict[str, tuple[Standing, int] | None]
    """What stands when every document has come."""


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    """A ledger that contradicts itself nowhere: n rises, a list says how things are as of then."""
    documents: list[AllowList | Receipt] = []
    paid: dict[int, int] = {}
    receipts: dict[int, int] = {}
    newest_list: AllowList | None = None
    events = draw(st.lists(st.tuples(st.sampled_from(["pays", "owes", "list"]), st.integers(1, 3))))
    for n, (event, number) in enumerate(events, start=1):
        match event:
            case "pays":
                paid[number] = receipts[number] = n
                documents.append(receipt(number, n))
            case "owes":
                paid.pop(number, None)
            case _:
                seq = 1 if newest_list is None else newest_list.seq + 1
                entries = [entry(of, at) for of, at in sorted(paid.items())]
                newest_list = allow_list(seq, n, *entries)
                documents.append(newest_list)
    truth = {f"A{of}": _true_word(of, newest_list, receipts) for of in (1, 2, 3)}
    return Ledger(tuple(documents), truth)


def _true_word(
    number: int, newest_list: AllowList | None, receipts: dict[int, int]
) -> tuple[Standing, int] | None:
    """The reference: the highest n of all that was ever said, an un-listing included."""
    said = [(LEDGER_MS + receipts[number], PAID)] if number in receipts else []
    if newest_list is not None:
        listed = [e.n for e in newest_list.accounts if e.account == f"A{number}"]
        unlisted = [] if listed else [(newest_list.as_of, NONE)]
        said += [(n, PAID) for n in listed] + unlisted
    if not said:
        return None
    n, standing = max(said)
    return standing, n


def told(world: World) -> dict[str, tuple[Standing, int] | None]:
    stands = {account: world.image.word(account) for account in ("A1", "A2", "A3")}
    return {account: word and (word.standing, word.n) for account, word in stands.items()}


@given(ledgers(), st.data())
def test_permuted_doubled_and_lost_documents_end_in_the_same_standing(
    ledger: Ledger, data: st.DataObject
) -> None:
    in_order, shuffled = World(M1, M2, meter(3)), World(M1, M2, meter(3))
    for document in ledger.documents:
        in_order.gets(document)
    got_through = data.draw(st.lists(st.sampled_from(ledger.documents or (receipt(1, 1),))))
    redelivered = data.draw(st.permutations(ledger.documents))
    for document in got_through if ledger.documents else []:
        shuffled.gets(document)
    for document in redelivered:
        shuffled.gets(document)
    assert told(in_order) == told(shuffled) == ledger.truth
    assert in_order.standings() == shuffled.standings()
    assert in_order.image.kept.words == shuffled.image.kept.words
    assert in_order.image.kept.proofs.keys() == shuffled.image.kept.proofs.keys()


@given(ledgers(), st.data())
def test_a_document_that_comes_again_changes_nothing(ledger: Ledger, data: st.DataObject) -> None:
    world = World(M1, M2, meter(3))
    for document in ledger.documents:
        world.gets(document)
    before = world.image.kept
    for document in data.draw(st.permutations(ledger.documents)):
        world.gets(document)
    for part in ("site", "list_in_force", "words", "proofs", "moves"):
        assert getattr(world.image.kept, part) == getattr(before, part)


@given(ledgers())
def test_a_list_moves_no_grant_that_is_newer_than_itself(ledger: Ledger) -> None:
    world = World(M1, M2, meter(3))
    for document in ledger.documents:
        before = told(world)
        world.gets(document)
        for account, stood in before.items():
            stands = told(world)[account]
            assert stands is None or stood is None or stands[1] >= stood[1]
            lost = stood is not None and stood[0] is PAID and stands != stood
            if lost and isinstance(document, AllowList):
                assert stood is not None
                assert stood[1] <= document.as_of


def test_a_list_that_comes_stale_grants_and_unlists_nobody() -> None:
    world = World(M1, M2, meter(3))
    world.pays(1, 100)
    stale_ms = world.now.wall_low_ms - 1
    assert world.gets(allow_list(1, 500, entry(2, 400), stale_after=stale_ms)) == "ACCEPTED"
    assert told_as(world) == ("PAID", "PAID", "NONE"), "no list that was fresh has spoken yet"
    world.lists(600, entry(1, 100), entry(2, 400))
    assert world.gets(allow_list(9, 700, entry(3, 650), stale_after=stale_ms)) == "ACCEPTED"
    assert told_as(world) == ("PAID", "PAID", "PAID"), "it adds, and takes nobody off"
    world.lists(800, entry(3, 650))
    assert told_as(world) == ("NONE", "NONE", "PAID")
    assert world.gets(allow_list(20, 900, stale_after=stale_ms)) == "ACCEPTED"
    assert world.pays(1, 750) == "OLDER_THAN_STANDING", "the last fresh list stands"


def told_as(world: World) -> tuple[Standing, ...]:
    return tuple(world.standing(account) for account in ("A1", "A2", "A3"))
