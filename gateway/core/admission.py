"""Admission: a document becomes a record or a named refusal; nothing else changes.

Owns every reason for which a document is not believed, beyond its envelope and its own soundness;
of orders `ordering` has them. Must never act: what is admitted here takes effect only after it is
on disk.
"""

from collections.abc import Callable, Mapping
from typing import assert_never

import msgspec

from gateway.core.admitted import ACCEPTED, DUPLICATE, Admission
from gateway.core.documents import (
    ENTRIES_MAX,
    AllowList,
    FieldDocument,
    ListEntry,
    Receipt,
    Site,
    Time,
)
from gateway.core.fact import Answer, BadMessage, DocumentClaim, Road
from gateway.core.handover import claims_a_root, judge_root
from gateway.core.image import MINUTE_MS, Image
from gateway.core.lifecycle import answered, progress_of
from gateway.core.model import Now
from gateway.core.ordering import judge_order
from gateway.core.orders import Order, kind_of
from gateway.core.papers import (
    KEY_REVOKED,
    body_of_list,
    body_of_receipt,
    body_of_site,
    issued_at_ms,
    unrevoked,
)
from gateway.core.progress import OrderNamed
from gateway.core.reading import DocumentRead, Refusal, read
from gateway.core.records import OrderAccepted, OrderRefused, Refused
from gateway.core.sequence import echo_age_ms, in_the_future, is_duplicate
from gateway.core.signature import Rejected, Verified, digest_of
from gateway.core.soundness import Unsound, check
from gateway.core.standing import ListInForce, Newness, Standing, Word, compare, word_in_force
from gateway.core.timing import judge_time

CLOCK_MEND = "if it is not, this gateway's clock lags: send it a time document"
REFUSALS_A_MINUTE_MAX = 20
"""Refusals beyond this are counted, not written down: a flood must not fill the disk."""


def admit_document(claim: DocumentClaim, image: Image, now: Now) -> Admission:
    """Judge a document by envelope, schema, soundness, audience, sequence and time, in this order.

    Signature, then schema, then audience, then sequence, then time (J5). The same document again
    is acknowledged and changes nothing.
    """
    if claims_a_root(claim.raw):
        return _or_refused(lambda: judge_root(claim, image), claim, image, now)
    return admit_read(read(claim, image.root), image, now)


def admit_read(given: DocumentRead, image: Image, now: Now) -> Admission:
    """The same of a document that was read apart; by another root by now, it is read again."""
    if given.root != image.root:
        given = read(given.claim, image.root)
    claim, said = given.claim, given.said
    if isinstance(said, Refusal):
        message = BadMessage(name=said.name, detail=said.detail, raw=claim.raw, road=claim.road)
        return _with_progress(admit_refusal(message, image, now), said.order, image)
    document, verified = said
    judged = _or_refused(lambda: _judge(document, verified, claim, image, now), claim, image, now)
    if not isinstance(document, Order) or judged.answer.word == KEY_REVOKED:
        return judged
    named = OrderNamed(id=document.id, kind=kind_of(document.act))
    return _with_progress(judged, named, image)


def _with_progress(admission: Admission, named: OrderNamed | None, image: Image) -> Admission:
    """The admission of an order, with how far that has come in the answer.

    Where a record is made of it, that stands in the image when it is on disk.
    """
    if named is None:
        return admission
    told = any(isinstance(body, OrderAccepted | OrderRefused) for body in admission.bodies)
    if told and progress_of(named.id, image) is None:
        return admission
    order = answered(named, admission.answer, image)
    answer = msgspec.structs.replace(admission.answer, order=order)
    return msgspec.structs.replace(admission, answer=answer)


def _or_refused(
    judge: Callable[[], Admission], claim: DocumentClaim, image: Image, now: Now
) -> Admission:
    try:
        return judge()
    except Rejected as flaw:
        name, detail = str(flaw.flaw), flaw.detail
    except Unsound as flaw:
        name, detail = flaw.name, flaw.detail
    refusal = BadMessage(name=name, detail=detail, raw=claim.raw, road=claim.road)
    return admit_refusal(refusal, image, now)


def admit_refusal(message: BadMessage, image: Image, now: Now) -> Admission:
    """The record of a refusal; beyond the ceiling a minute it is only counted."""
    detail = message.detail[:300]
    answer = Answer(accepted=False, word=message.name, detail=detail)
    recent = [at for at in image.written_refusals if now.mono_ms - at < MINUTE_MS]
    if len(recent) >= REFUSALS_A_MINUTE_MAX:
        return Admission(answer=answer, unwritten=True)
    body = Refused(
        name=message.name,
        detail=detail,
        road=message.road,
        digest=digest_of(message.raw),
        more=image.unwritten_refusals,
    )
    return Admission(answer=answer, bodies=(body,))


def _judge(
    document: FieldDocument, verified: Verified, claim: DocumentClaim, image: Image, now: Now
) -> Admission:
    verified = unrevoked(issued_at_ms(document), verified, image.root)
    check(document, image.station)
    match document:
        case Site():
            return _judge_site(document, verified, claim.road, image)
        case AllowList():
            return _judge_list(document, verified, claim.road, image, now)
        case Receipt():
            return _judge_receipt(document, verified, claim.road, image, now)
        case Order():
            return judge_order(document, verified, claim, image, now)
        case Time():
            return judge_time(document, verified, claim.road, now)
        case _:
            assert_never(document)


def _judge_site(site: Site, verified: Verified, road: Road, image: Image) -> Admission:
    kept = image.kept
    if is_duplicate(kept.newest.site, site.seq, verified.digest, kept.site_digest):
        return Admission(answer=DUPLICATE)
    body = body_of_site(site, verified, road)
    return Admission(answer=ACCEPTED, bodies=(body,), document=site, verified=verified)


def _judge_list(
    allow_list: AllowList, verified: Verified, road: Road, image: Image, now: Now
) -> Admission:
    in_force = image.kept.list_in_force
    digest_known = None if in_force is None else in_force.digest
    fresh = echo_age_ms(allow_list.nonce, now) is not None
    if is_duplicate(image.kept.newest.list, allow_list.seq, verified.digest, digest_known):
        return Admission(answer=DUPLICATE)
    if in_force is not None and allow_list.as_of < in_force.as_of:
        raise Unsound("AS_OF_FELL", f"as_of {allow_list.as_of} is before {in_force.as_of}")
    adds = allow_list.stale_after < now.wall_low_ms
    if in_force is not None and adds:
        # A stale list adds to the one in force: what is in force stays as bounded as a list is.
        together = in_force.entries.keys() | {entry.account for entry in allow_list.accounts}
        if len(together) > ENTRIES_MAX:
            raise Unsound("TOO_MANY_ENTRIES", f"{len(together)} accounts with those in force")
    if in_the_future(allow_list.as_of, now):
        raise Unsound("AS_OF_IN_FUTURE", f"as_of {allow_list.as_of} is yet to come; {CLOCK_MEND}")
    for at, entry in _in_question(allow_list.accounts, in_force, image.kept.words):
        word = Word(standing=Standing.PAID, n=entry.n, meter=entry.meter, digest=verified.digest)
        stands = word_in_force(entry.account, in_force, image.kept.words)
        if compare(word, stands, image.meters_of(entry.account)) is Newness.EQUIVOCATION:
            raise Unsound("EQUIVOCATION", f"accounts[{at}]: n {entry.n} already says otherwise")
    body = body_of_list(allow_list, verified, road, adds=adds, fresh=fresh)
    return Admission(answer=ACCEPTED, bodies=(body,), document=allow_list, verified=verified)


def _in_question(
    entries: tuple[ListEntry, ...], in_force: ListInForce | None, words: Mapping[str, Word]
) -> list[tuple[int, ListEntry]]:
    """The entries of a list that anything known might contradict; of a long list, few."""
    known = {} if in_force is None else in_force.entries
    return [
        (at, entry)
        for at, entry in enumerate(entries)
        if entry.account in words
        or (
            ((other := known.get(entry.account)) is not None and other.n == entry.n)
            and other != entry
        )
    ]


def _judge_receipt(
    receipt: Receipt, verified: Verified, road: Road, image: Image, now: Now
) -> Admission:
    meter = image.by_account.get(receipt.account)
    if meter is None:
        raise Unsound("NOT_ON_ROSTER", f"account {receipt.account} is not on this feeder's roster")
    word = Word(standing=Standing.PAID, n=receipt.n, meter=receipt.meter, digest=verified.digest)
    if not image.names_the_meter(word, meter):
        raise Unsound(
            "METER_MISMATCH",
            f"the receipt names meter {receipt.meter}, the roster {meter.serial}",
        )
    stands = image.word(receipt.account)
    newness = compare(word, stands, image.meters_of(receipt.account))
    asked = image.kept.asks.get(receipt.account)
    match newness:
        case Newness.OLDER:
            raise Unsound(
                "OLDER_THAN_STANDING", f"n {receipt.n} is before the newest word about the account"
            )
        case Newness.EQUIVOCATION:
            raise Unsound("EQUIVOCATION", f"n {receipt.n} already says otherwise")
        case Newness.SAME if asked is not None and asked.n == receipt.n:
            return Admission(answer=DUPLICATE)
        case Newness.SAME | Newness.NEWER:
            pass
        case _:
            assert_never(newness)
    if in_the_future(receipt.n, now):
        raise Unsound("N_IN_FUTURE", f"n {receipt.n} is yet to come; {CLOCK_MEND}")
    if receipt.exp < now.wall_low_ms:
        raise Unsound("EXPIRED", f"it had to be handed in by {receipt.exp}")
    body = body_of_receipt(receipt, verified, road)
    return Admission(answer=ACCEPTED, bodies=(body,), document=receipt, verified=verified)
