"""Standing: the newest signed word about an account wins.

Owns what an account's standing is, given the newest list and the newest word that came singly.
Must never look at meters, buses or clocks: standing is about money, not about wires.

A list stands for all accounts at its `as_of`: an account that is not on it falls to `NONE` unless
a newer word grants it. So the standing depends only on the newest list and the newest single word,
and duplicates, replays and reordering change nothing.
"""

from collections.abc import Mapping
from enum import StrEnum

from gateway.core.documents import AllowList, ListEntry
from gateway.core.model import AccountText, Digest, SerialText, TimeMs, Value


class Standing(StrEnum):
    """What the utility's newest word about an account is."""

    PAID = "PAID"
    CUT = "CUT"
    NONE = "NONE"
    """No authority to reconnect. Absence never cuts."""


class Word(Value):
    """One signed word about one account, with what it takes to prove it later.

    `asked`: it asks for this very reconnection (a receipt, an order); `cut`: it says that the
    account was cut for arrears. Either makes the cause of an open switch known.
    """

    standing: Standing
    n: TimeMs
    meter: SerialText
    digest: Digest
    asked: bool = False
    cut: bool = False
    paid_at: TimeMs | None = None
    ref: str | None = None


class ListInForce(Value):
    """The newest list, by account, and where it stands among lists."""

    seq: int
    as_of: int
    stale_after: int
    digest: Digest
    signer: str
    entries: Mapping[AccountText, ListEntry]


class Newness(StrEnum):
    """How a word compares with what stands."""

    NEWER = "NEWER"
    SAME = "SAME"
    OLDER = "OLDER"
    EQUIVOCATION = "EQUIVOCATION"
    """The same ledger time with another standing or meter: the utility contradicts itself."""


def word_in_force(
    account: str, in_force: ListInForce | None, words: Mapping[AccountText, Word]
) -> Word | None:
    """The newest word about an account; None where nothing was ever said.

    An un-listing is a word too: `NONE` at the list's `as_of`.
    """
    single = words.get(account)
    if in_force is None:
        return single
    entry = in_force.entries.get(account)
    listed = _listed(entry, in_force)
    if single is None:
        return listed
    if entry is None and single.standing is not Standing.PAID:
        return single
    return single if single.n > listed.n or _same(single, listed) else listed


def standing_of(word: Word | None) -> Standing:
    """The standing that the newest word gives."""
    return Standing.NONE if word is None else word.standing


def compare(word: Word, stands: Word | None) -> Newness:
    """Whether a word that has just come is news."""
    if stands is None or word.n > stands.n:
        return Newness.NEWER
    if word.n < stands.n or stands.standing is Standing.NONE:
        return Newness.OLDER
    return Newness.SAME if _same(word, stands) else Newness.EQUIVOCATION


def in_force_from(allow_list: AllowList, digest: Digest, signer: str) -> ListInForce:
    """The list in the form in which it is asked for single accounts."""
    return ListInForce(
        seq=allow_list.seq,
        as_of=allow_list.as_of,
        stale_after=allow_list.stale_after,
        digest=digest,
        signer=signer,
        entries={entry.account: entry for entry in allow_list.accounts},
    )


def _listed(entry: ListEntry | None, in_force: ListInForce) -> Word:
    if entry is None:
        return Word(standing=Standing.NONE, n=in_force.as_of, meter="-", digest=in_force.digest)
    return Word(
        standing=Standing.PAID,
        n=entry.n,
        meter=entry.meter,
        digest=in_force.digest,
        cut=entry.cut,
        paid_at=entry.n,
    )


def _same(one: Word, other: Word) -> bool:
    return (one.n, one.standing, one.meter) == (other.n, other.standing, other.meter)
