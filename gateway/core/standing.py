"""Standing: the newest signed word about an account wins.

Owns what an account's standing is, given the newest list and the newest word that came singly.
Must never look at meters, buses or clocks: standing is about money, not about wires.

A list stands for all accounts at its `as_of`: an account that is not on it falls to `NONE` unless
a newer word grants it. So the standing depends only on the newest list and the newest single word,
and duplicates, replays and reordering change nothing.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

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

    `cut`: it says that the account was cut for arrears, which makes the cause of an open switch
    known.
    """

    standing: Standing
    n: TimeMs
    meter: SerialText
    digest: Digest
    signers: tuple[str, ...] = ()
    cut: bool = False
    paid_at: TimeMs | None = None
    ref: str | None = None
    unlisted: bool = False
    """`n` is the `as_of` of a list that does not name the account: no word of its own."""


class ListInForce(Value):
    """The newest list, by account, and where it stands among lists.

    `unlisted_as_of`: of the newest list that was not stale when it came; who is not on that one has
    fallen to `NONE`. A list that came stale grants, and un-lists nobody.
    """

    seq: int
    as_of: int
    unlisted_as_of: int | None
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
    if entry is None and in_force.unlisted_as_of is None:
        return single
    listed = _listed(entry, in_force)
    if single is None:
        return listed
    if entry is None and single.standing is not Standing.PAID:
        # Whoever was cut stays cut, now as of the list that does not name him either.
        n = max(single.n, listed.n)
        return single if n == single.n else msgspec.structs.replace(single, n=n, unlisted=True)
    if _same(single, listed):
        return listed if listed.cut else single  # the same word; the list may know more
    return single if single.n > listed.n else listed


def standing_of(word: Word | None) -> Standing:
    """The standing that the newest word gives."""
    return Standing.NONE if word is None else word.standing


def compare(word: Word, stands: Word | None, meters: frozenset[str] = frozenset()) -> Newness:
    """Whether a word that has just come is news.

    `meters` are the account's own, present and former: which of them a word names is no matter.
    """
    if stands is None or word.n > stands.n:
        return Newness.NEWER
    if word.n < stands.n or stands.unlisted:
        return Newness.OLDER
    alike = _same(word, stands) or (
        word.standing is stands.standing and {word.meter, stands.meter} <= meters
    )
    return Newness.SAME if alike else Newness.EQUIVOCATION


def in_force_from(
    allow_list: AllowList,
    digest: Digest,
    signer: str,
    *,
    before: ListInForce | None,
    adds: bool,
) -> ListInForce:
    """The list in the form in which it is asked for single accounts.

    A list that is certainly stale when it comes `adds` to the one before it and takes nobody off.
    """
    # The ledger time of an account never falls: an older entry of a newer list is passed over.
    known = {} if before is None else before.entries
    entries = {entry.account: entry for entry in allow_list.accounts}
    older = [name for name, entry in entries.items() if name in known and known[name].n > entry.n]
    for account in older:
        entries[account] = known[account]
    unlisted_as_of: int | None = allow_list.as_of
    if adds:
        entries = {**known, **entries}
        unlisted_as_of = None if before is None else before.unlisted_as_of
    return ListInForce(
        seq=allow_list.seq,
        as_of=allow_list.as_of,
        unlisted_as_of=unlisted_as_of,
        stale_after=allow_list.stale_after,
        digest=digest,
        signer=signer,
        entries=entries,
    )


def _listed(entry: ListEntry | None, in_force: ListInForce) -> Word:
    if entry is None:
        unlisted_as_of = in_force.unlisted_as_of or 0
        return Word(
            standing=Standing.NONE,
            n=unlisted_as_of,
            meter="-",
            digest=in_force.digest,
            signers=(in_force.signer,),
            unlisted=True,
        )
    return Word(
        standing=Standing.PAID,
        n=entry.n,
        meter=entry.meter,
        digest=in_force.digest,
        signers=(in_force.signer,),
        cut=entry.cut,
        paid_at=entry.n,
    )


def _same(one: Word, other: Word) -> bool:
    return (one.n, one.standing, one.meter) == (other.n, other.standing, other.meter)
