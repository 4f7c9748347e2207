"""Admission: a claim becomes a record or a named refusal; nothing else changes.

Owns every reason for which something from outside is not believed, beyond the envelope and the
document's own soundness. Must never act: what is admitted here takes effect only after it is on
disk.
"""

from typing import assert_never

from gateway.core.documents import (
    AllowList,
    Document,
    Receipt,
    Site,
    Unsound,
    check,
    decode,
)
from gateway.core.fact import (
    Answer,
    BadMessage,
    Body,
    CloseEnded,
    CloseReport,
    DocumentClaim,
    ListInstalled,
    MeterSeen,
    ReceiptAccepted,
    Refused,
    Road,
    SiteInstalled,
    SupplyChanged,
    TagClaim,
    TagKind,
    TagPlaced,
    TagRemoved,
)
from gateway.core.image import MINUTE_MS, Image
from gateway.core.kept import Tag
from gateway.core.model import Account, Digest, DtId, Now, Serial, SupplyState, Value
from gateway.core.signature import FIELD_DOCUMENTS, Rejected, Verified, digest_of, verify
from gateway.core.standing import Newness, Standing, Word, compare, word_in_force

SEQ_JUMP_MAX = 2**20
REFUSALS_A_MINUTE_MAX = 20
"""Refusals beyond this are counted, not written down: a flood must not fill the disk."""
ACCEPTED = Answer(accepted=True, word="ACCEPTED")
DUPLICATE = Answer(accepted=True, word="DUPLICATE")


class Admission(Value):
    """What became of one event: at most one record, and the document that it installs."""

    answer: Answer
    body: Body | None = None
    document: Site | AllowList | Receipt | None = None
    verified: Verified | None = None
    unwritten: bool = False
    """It was refused, and too many refusals of late have a record already."""


def admit_document(claim: DocumentClaim, image: Image, now: Now) -> Admission:
    """Judge a document by envelope, schema, soundness, audience, sequence and time, in this order.

    Signature, then schema, then audience, then sequence, then time (J5). The same document again
    is acknowledged and changes nothing.
    """
    try:
        verified = verify(claim.raw, FIELD_DOCUMENTS, image.root)
        document = decode(verified)
        return _judge(document, verified, claim.road, image, now)
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
    return Admission(answer=answer, body=body)


def admit_tag(claim: TagClaim, image: Image) -> Admission:
    """Place or remove a hold or an isolation: by a name and with a reason, on something known."""
    if not claim.by.strip() or not claim.reason.strip():
        return _no_tag("NAME_OR_REASON_MISSING", "a tag is placed and removed by name and reason")
    if len(claim.by) > 64 or len(claim.reason) > 200:
        return _no_tag("TOO_LONG", "at most 64 characters of name and 200 of reason")
    known: bool
    standing: Tag | None
    match claim.kind:
        case TagKind.HOLD:
            known, standing = claim.target in image.roster, image.kept.holds.get(claim.target)
        case TagKind.ISOLATE_DT:
            known = any(meter.dt == claim.target for meter in image.roster.values())
            standing = image.kept.dt_isolations.get(claim.target)
        case TagKind.ISOLATE_FEEDER:
            known, standing = claim.target == "", image.kept.feeder_isolation
        case _:
            assert_never(claim.kind)
    if not known and standing is None:
        return _no_tag("NOT_ON_ROSTER", f"{claim.target!r} is not on the roster")
    if (standing is not None) == claim.place:
        return Admission(answer=DUPLICATE)
    kind = TagPlaced if claim.place else TagRemoved
    body = kind(kind=claim.kind, target=claim.target, by=claim.by, reason=claim.reason)
    return Admission(answer=ACCEPTED, body=body)


def admit_close_report(report: CloseReport, image: Image, now: Now) -> Body | None:
    """The record of a close's outcome; None where no such close is open (a doubled report)."""
    closing = image.kept.closings.get(report.serial)
    if closing is None or closing.close != report.close:
        return None
    meter = image.roster.get(report.serial)
    reading = report.reading
    same_boot = closing.decided.boot == now.boot
    return CloseEnded(
        close=report.close,
        account=Account(closing.account),
        meter=report.serial,
        dt=DtId("" if meter is None else meter.dt),
        outcome=report.outcome,
        verdict=report.verdict,
        why=report.why,
        writes=report.writes,
        forced=report.forced,
        decided_ms=closing.decided.mono_ms if same_boot else 0,
        written_ms=report.written_ms,
        verified_ms=report.verified_ms,
        state=SupplyState.UNKNOWN if reading is None else reading.state,
        load_mv=None if reading is None else reading.load_mv,
        supply_mv=None if reading is None else reading.supply_mv,
        current_ma=None if reading is None else reading.current_ma,
    )


def admit_reading(seen: MeterSeen, image: Image) -> Body | None:
    """The record of a change of supply state; None where it is old, as before, or unknown."""
    meter = image.roster.get(seen.serial)
    after = seen.reading.state
    if meter is None or after is SupplyState.UNKNOWN or image.overtaken(seen):
        return None
    known = image.kept.supply.get(seen.serial)
    before = SupplyState.UNKNOWN if known is None else known.state
    if before is after:
        return None
    last = image.seen.get(seen.serial)
    return SupplyChanged(
        serial=seen.serial,
        account=Account(meter.account),
        before=before,
        after=after,
        before_seen_ms=last.mono_ms if last is not None and last.state is before else None,
    )


def _judge(document: Document, verified: Verified, road: Road, image: Image, now: Now) -> Admission:
    check(document, image.station)
    match document:
        case Site():
            return _judge_site(document, verified, road, image)
        case AllowList():
            return _judge_list(document, verified, road, image)
        case Receipt():
            return _judge_receipt(document, verified, road, image, now)
        case _:
            assert_never(document)


def _judge_site(site: Site, verified: Verified, road: Road, image: Image) -> Admission:
    kept = image.kept
    if kept.site is not None and _is_duplicate(
        site.seq, verified.digest, kept.site.seq, kept.site_digest
    ):
        return Admission(answer=DUPLICATE)
    body = SiteInstalled(
        seq=site.seq,
        digest=verified.digest,
        signer=verified.signers[0],
        road=road,
        meters=len(site.meters),
    )
    return Admission(answer=ACCEPTED, body=body, document=site, verified=verified)


def _judge_list(allow_list: AllowList, verified: Verified, road: Road, image: Image) -> Admission:
    in_force = image.kept.list_in_force
    if in_force is not None:
        if _is_duplicate(allow_list.seq, verified.digest, in_force.seq, in_force.digest):
            return Admission(answer=DUPLICATE)
        if allow_list.as_of < in_force.as_of:
            raise Unsound("AS_OF_FELL", f"as_of {allow_list.as_of} is before {in_force.as_of}")
    for at, entry in enumerate(allow_list.accounts):
        word = Word(standing=Standing.PAID, n=entry.n, meter=entry.meter, digest=verified.digest)
        stands = word_in_force(entry.account, in_force, image.kept.words)
        if compare(word, stands) is Newness.EQUIVOCATION:
            raise Unsound("EQUIVOCATION", f"accounts[{at}]: n {entry.n} already says otherwise")
    body = ListInstalled(
        seq=allow_list.seq,
        digest=verified.digest,
        signer=verified.signers[0],
        road=road,
        as_of=allow_list.as_of,
        entries=len(allow_list.accounts),
    )
    return Admission(answer=ACCEPTED, body=body, document=allow_list, verified=verified)


def _judge_receipt(
    receipt: Receipt, verified: Verified, road: Road, image: Image, now: Now
) -> Admission:
    meter = image.by_account.get(receipt.account)
    if meter is None:
        raise Unsound("NOT_ON_ROSTER", f"account {receipt.account} is not on this feeder's roster")
    if meter.serial != receipt.meter:
        raise Unsound(
            "METER_MISMATCH",
            f"the receipt names meter {receipt.meter}, the roster {meter.serial}",
        )
    word = Word(standing=Standing.PAID, n=receipt.n, meter=receipt.meter, digest=verified.digest)
    stands = image.word(receipt.account)
    newness, asked = compare(word, stands), image.kept.asks.get(receipt.account)
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
    if receipt.exp < now.wall_low_ms:
        raise Unsound("EXPIRED", f"it had to be handed in by {receipt.exp}")
    body = ReceiptAccepted(
        account=Account(receipt.account),
        meter=Serial(receipt.meter),
        n=receipt.n,
        paid_at=receipt.paid_at,
        digest=verified.digest,
        signer=verified.signers[0],
        road=road,
        ref=receipt.ref,
    )
    return Admission(answer=ACCEPTED, body=body, document=receipt, verified=verified)


def _is_duplicate(seq: int, digest: Digest, seq_known: int, digest_known: Digest | None) -> bool:
    if seq == seq_known:
        if digest == digest_known:
            return True
        raise Unsound("EQUIVOCATION", f"seq {seq} is in force with other content")
    if seq < seq_known:
        raise Unsound("SEQ_OLD", f"seq {seq} is before {seq_known}, which is in force")
    if seq - seq_known > SEQ_JUMP_MAX:
        raise Unsound("SEQ_JUMP", f"seq {seq} is more than {SEQ_JUMP_MAX} beyond {seq_known}")
    return False


def _no_tag(name: str, detail: str) -> Admission:
    return Admission(answer=Answer(accepted=False, word=name, detail=detail))
