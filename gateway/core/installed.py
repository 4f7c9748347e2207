"""Installed: the image after a document of the utility, or what was left of one, came into force.

Owns what roots, sites, lists and times change, and what is taken up where a journal was lost. Must
never judge: all of it was admitted before, and a restart applies it again with the same result.
"""

from typing import assert_never

import msgspec

from gateway.core.documents import AllowList, Document, Site
from gateway.core.image import Image, with_kept, with_roster
from gateway.core.kept import DAY_MS, Ask, Proof, TimeBound
from gateway.core.marks import Mark, Marks, larger
from gateway.core.model import Instant
from gateway.core.records import ListInstalled, ReceiptAccepted, SiteInstalled
from gateway.core.roster import asks_after, former_after, tags_after
from gateway.core.sequence import LEDGER_AHEAD_MAX_MS
from gateway.core.standing import ListInForce, Standing, Word, in_force_from
from gateway.core.trust import Root
from gateway.core.trust_records import JournalLost, MarksAhead, RootInstalled, TimeSet

BELIEVED_MAX_MS = 400 * DAY_MS
"""How far beyond a trusted source documents may say that it is; a time document may say more."""


Paper = RootInstalled | SiteInstalled | ListInstalled | ReceiptAccepted | TimeSet


def paper_installed(image: Image, body: Paper, document: Document | None, at: Instant) -> Image:
    """A document came into force; `document` is it, where its record does not say everything."""
    match body:
        case RootInstalled():
            assert isinstance(document, Root)
            return _root_installed(image, body, document)
        case SiteInstalled():
            assert isinstance(document, Site)
            return _site_installed(image, body, document, at)
        case ListInstalled():
            assert isinstance(document, AllowList)
            return _list_installed(image, body, document, at)
        case ReceiptAccepted():
            return _receipt_accepted(image, body, at)
        case TimeSet():
            return _time_set(image, body, at)
        case _:
            assert_never(body)


def marks_known(image: Image, body: JournalLost | MarksAhead, at: Instant) -> Image:
    """What the marks' own file knew beside the journal: nothing of it falls."""
    kept, marks = image.kept, body.marks
    both = larger(image.marks, marks)
    lost = isinstance(body, JournalLost) and body.amnesia
    # Marks of before a handover may know the time by a key that it has exchanged.
    low_ms = marks.wall_low_ms if marks.root.seq >= kept.newest.root.seq else 0
    return with_kept(
        image,
        newest=msgspec.structs.replace(both, tags=(), wall_low_ms=0),
        tags=both.tags,
        amnesia=at if lost else kept.amnesia,
        wall_low_ms=max(kept.wall_low_ms, low_ms),
    )


def not_before(image: Image, ms: int) -> Image:
    """The image with what a document says of the time, as far as documents are believed."""
    kept = image.kept
    said_ms = min(ms, kept.firm_low_ms + BELIEVED_MAX_MS)
    return with_kept(image, wall_low_ms=max(kept.wall_low_ms, said_ms))


def asked(image: Image, account: str, n: int, at: Instant) -> Image:
    """Somebody asks for supply: by a receipt of ledger time `n`, or by an order."""
    meter = image.by_account[account].serial
    ask = Ask(n=n, meter=meter, accepted=at)
    return with_kept(image, asks={**image.kept.asks, account: ask})


def _site_installed(image: Image, body: SiteInstalled, site: Site, at: Instant) -> Image:
    # Facts about meters that left the roster go with them; a command that has not ended stays until
    # its outcome is known.
    serials = {meter.serial for meter in site.meters}
    dts = {meter.dt for meter in site.meters}
    kept = image.kept
    after = with_kept(
        image,
        newest=larger(Marks(site=Mark(seq=body.seq, digest=body.digest)), kept.newest),
        site=site,
        site_digest=body.digest,
        wiped=None,
        former=former_after(kept, site),
        asks=asks_after(kept, site),
        tags=tags_after(kept, site),
        supply={s: value for s, value in kept.supply.items() if s in serials},
        causes={s: value for s, value in kept.causes.items() if s in serials},
        setbacks={s: value for s, value in kept.setbacks.items() if s in serials},
        ended={s: value for s, value in kept.ended.items() if s in serials},
        trials={dt: value for dt, value in kept.trials.items() if dt in dts},
        stops={dt: value for dt, value in kept.stops.items() if dt in dts},
        resumed={dt: value for dt, value in kept.resumed.items() if dt in dts},
        insisted={dt: value for dt, value in kept.insisted.items() if dt in dts},
    )
    # An account that is new on the roster may have been on the list all along.
    return _with_proofs(with_roster(after), kept.list_received or at)


def _list_installed(image: Image, body: ListInstalled, given: AllowList, at: Instant) -> Image:
    kept = image.kept
    in_force = in_force_from(
        given, body.digest, body.signer, before=kept.list_in_force, adds=body.adds
    )
    after = with_kept(
        image,
        newest=larger(Marks(list=Mark(seq=body.seq, digest=body.digest)), kept.newest),
        amnesia=None if body.fresh else kept.amnesia,
        list_in_force=in_force,
        list_received=at,
    )
    after = not_before(after, body.as_of - LEDGER_AHEAD_MAX_MS)
    # A single word that the list has overtaken can never stand again: lists only move forward.
    words = {
        account: word
        for account, word in image.kept.words.items()
        if after.word(account) is word or _still_cut(word, account, in_force)
    }
    return _with_proofs(with_kept(after, words=words), at)


def _still_cut(word: Word, account: str, in_force: ListInForce) -> bool:
    return word.standing is not Standing.PAID and account not in in_force.entries


def _with_proofs(image: Image, received: Instant) -> Image:
    proofs, asks = {**image.kept.proofs}, {**image.kept.asks}
    for account in dict.fromkeys((*image.by_account, *proofs)):
        word = image.word(account)
        known = proofs.get(account)
        if word is None or word.standing is not Standing.PAID:
            proofs.pop(account, None)
            asks.pop(account, None)
        elif known is None or known.n != word.n:
            # Who has asked and still waits has waited since then, however often he is listed.
            waits = known is not None and account in asks and asks[account].fulfilled is None
            since = known.received if known is not None and waits else received
            proofs[account] = Proof(n=word.n, received=since)
    return _with_graces_settled(with_kept(image, proofs=proofs, asks=asks))


def _with_graces_settled(image: Image) -> Image:
    """Who has paid owes his grace no more; a later cut of his is another matter."""
    graces = tuple(
        msgspec.structs.replace(one, settled=True) if one.account in image.kept.proofs else one
        for one in image.kept.graces
    )
    return with_kept(image, graces=graces)


def _root_installed(image: Image, body: RootInstalled, root: Root) -> Image:
    kept = image.kept
    after = with_kept(
        image,
        newest=larger(Marks(root=Mark(seq=body.seq, digest=body.digest)), kept.newest),
        root=root,
        roots=(*kept.roots, body.digest),
    )
    after = msgspec.structs.replace(after, root=root)
    if not body.clock_reset or body.seq <= kept.newest.root.seq:  # marks of after it are known
        return not_before(after, root.issued_at)
    # Whoever held the old time key may have put the clock far ahead: the root's own word replaces
    # it (design 2, clock).
    low_ms = min(kept.wall_low_ms, root.issued_at)
    return with_kept(after, wall_low_ms=low_ms, firm_low_ms=low_ms, bound=None)


def _time_set(image: Image, body: TimeSet, at: Instant) -> Image:
    kept = image.kept
    bound = TimeBound(boot=at.boot, mono_ms=at.mono_ms, low_ms=body.low_ms, high_ms=body.high_ms)
    return with_kept(
        image,
        bound=bound,
        wall_low_ms=max(kept.wall_low_ms, body.low_ms),
        firm_low_ms=max(kept.firm_low_ms, body.low_ms),
    )


def _receipt_accepted(image: Image, body: ReceiptAccepted, at: Instant) -> Image:
    word = Word(
        standing=Standing.PAID,
        n=body.n,
        meter=body.meter,
        digest=body.digest,
        signers=(body.signer,),
        paid_at=body.paid_at,
        ref=body.ref,
    )
    kept = image.kept
    proof = kept.proofs.get(body.account)
    if proof is None or proof.n != body.n:
        proof = Proof(n=body.n, received=at)
    after = with_kept(
        image,
        words={**kept.words, body.account: word},
        proofs={**kept.proofs, body.account: proof},
    )
    return _with_graces_settled(asked(after, body.account, body.n, at))
