"""The image: everything the gateway holds true at one instant, frozen.

Owns how a record and an observation change the image. `Kept` is the part that the journal can
rebuild (`kept`): checkpoint plus the records after it, through the same `apply`. Must never judge:
what is applied here was admitted (`admission`) or decided (`plan`) before.
"""

from collections.abc import Mapping
from typing import Any, assert_never

import msgspec

from gateway.core.documents import AllowList, Receipt, Site
from gateway.core.fact import (
    BrokerSeen,
    BusSeen,
    CloseEnded,
    CloseIntended,
    HeadEndSeen,
    ListInstalled,
    MeterSeen,
    Observation,
    Outcome,
    ReceiptAccepted,
    Record,
    Refused,
    SiteInstalled,
    Started,
    SupplyChanged,
    TagKind,
    TagPlaced,
    TagRemoved,
)
from gateway.core.kept import (
    HOUR_MS,
    Ask,
    CloseMark,
    Closing,
    Instant,
    Kept,
    Proof,
    Setback,
    Supply,
    Tag,
)
from gateway.core.model import Limits, Meter, Reading, Station, SupplyState, Value
from gateway.core.signature import Root
from gateway.core.standing import Standing, Word, in_force_from, word_in_force
from gateway.core.waiting import (
    at_ms,
    elapsed_ms,
    instant_of,
    paid_and_dark_since,
    with_one_more,
)

MINUTE_MS = 60_000
UNWRITTEN = "UNWRITTEN"
"""The tally of refusals that were counted without a record of their own."""
DONE = frozenset({Outcome.CLOSED_VERIFIED, Outcome.CLOSED_UNVERIFIED, Outcome.ARMED})
"""The outcomes after which nothing more is to be sent."""


class Image(Value):
    """One instant. Volatile members start empty after a restart and are seen anew."""

    station: Station
    root: Root
    kept: Kept = Kept()
    number: int = 0
    """Of the last record."""
    chain: bytes = bytes(32)
    acked_through: int = 0
    roster: Mapping[str, Meter] = {}
    by_account: Mapping[str, Meter] = {}
    seen: Mapping[str, Reading] = {}
    buses: Mapping[str, BusSeen] = {}
    broker: BrokerSeen | None = None
    head_end: HeadEndSeen | None = None
    head_end_since: Instant | None = None
    in_flight: frozenset[int] = frozenset()
    """Closes that were handed to the bus room by this process."""
    written_refusals: tuple[int, ...] = ()
    """When refusals were recorded in the last minute (boot clock)."""
    unwritten_refusals: int = 0

    @property
    def limits(self) -> Limits:
        """The limits in force."""
        return Limits() if self.kept.site is None else self.kept.site.limits

    def word(self, account: str) -> Word | None:
        """The newest word about an account."""
        return word_in_force(account, self.kept.list_in_force, self.kept.words)

    def overtaken(self, seen: MeterSeen) -> bool:
        """Whether a newer reading of the same meter is known already."""
        newest = self.seen.get(seen.serial)
        return newest is not None and newest.mono_ms > seen.reading.mono_ms

    def stale(self, wall_low_ms: int) -> bool:
        """Whether the list in force is certainly past its `stale_after`, or there is none."""
        in_force = self.kept.list_in_force
        return in_force is None or in_force.stale_after < wall_low_ms


def restored(image: Image, kept: Kept) -> Image:
    """The image with what the journal kept."""
    return _with_roster(msgspec.structs.replace(image, kept=kept))


def apply(image: Image, record: Record, document: Site | AllowList | Receipt | None) -> Image:
    """The image after one record. `document` is the document that an installation is about."""
    body = record.body
    at = instant_of(record)
    image = _keep(image, wall_low_ms=max(image.kept.wall_low_ms, record.wall_low_ms))
    match body:
        case Started():
            return image
        case SiteInstalled():
            assert isinstance(document, Site)
            return _site_installed(image, body, document, at)
        case ListInstalled():
            assert isinstance(document, AllowList)
            return _list_installed(image, body, document, at, record.wall_low_ms)
        case ReceiptAccepted():
            return _receipt_accepted(image, body, at)
        case Refused():
            return _refused(image, body, at)
        case SupplyChanged():
            return _supply_changed(image, body, at)
        case CloseIntended():
            return _close_intended(image, body, at)
        case CloseEnded():
            return _close_ended(image, body, at)
        case TagPlaced():
            return _tagged(image, body, Tag(by=body.by, reason=body.reason, since=at))
        case TagRemoved():
            return _tagged(image, body, None)
        case _:
            assert_never(body)


def observe(image: Image, seen: Observation, at: Instant) -> Image:
    """The image after one observation: the newest wins."""
    match seen:
        case MeterSeen():
            if image.overtaken(seen):
                return image
            return msgspec.structs.replace(image, seen={**image.seen, seen.serial: seen.reading})
        case BusSeen():
            return msgspec.structs.replace(image, buses={**image.buses, seen.bus: seen})
        case BrokerSeen():
            return msgspec.structs.replace(image, broker=seen)
        case HeadEndSeen():
            since = image.head_end_since if seen == image.head_end else at
            return msgspec.structs.replace(image, head_end=seen, head_end_since=since)
        case _:
            assert_never(seen)


def waits_since(kept: Kept, account: str, serial: str, at: Instant) -> Instant | None:
    """Since when a consumer has been both paid and dark; None: no proof of payment is known."""
    proof, supply = kept.proofs.get(account), kept.supply.get(serial)
    if proof is None:
        return None
    dark = None
    if supply is not None and supply.state is not SupplyState.CONNECTED:
        dark = supply.since
    return paid_and_dark_since(proof.received, dark, at)


def _keep(image: Image, **changes: Any) -> Image:
    return msgspec.structs.replace(image, kept=msgspec.structs.replace(image.kept, **changes))


def _with_roster(image: Image) -> Image:
    site = image.kept.site
    meters = () if site is None else site.meters
    return msgspec.structs.replace(
        image,
        roster={meter.serial: meter for meter in meters},
        by_account={meter.account: meter for meter in meters},
    )


def _site_installed(image: Image, body: SiteInstalled, site: Site, at: Instant) -> Image:
    # Facts about meters that left the roster go with them; an unfinished close stays until its
    # outcome is known.
    serials = {meter.serial for meter in site.meters}
    kept = image.kept
    after = _keep(
        image,
        site=site,
        site_digest=body.digest,
        supply={s: value for s, value in kept.supply.items() if s in serials},
        setbacks={s: value for s, value in kept.setbacks.items() if s in serials},
        ended={s: value for s, value in kept.ended.items() if s in serials},
    )
    # An account that is new on the roster may have been on the list all along.
    return _with_proofs(_with_roster(after), kept.list_received or at)


def _list_installed(
    image: Image, body: ListInstalled, given: AllowList, at: Instant, wall_low_ms: int
) -> Image:
    in_force = in_force_from(
        given, body.digest, body.signer, before=image.kept.list_in_force, wall_low_ms=wall_low_ms
    )
    after = _keep(image, list_in_force=in_force, list_received=at)
    # A single word that the list has overtaken can never stand again: lists only move forward.
    words = {
        account: word
        for account, word in image.kept.words.items()
        if word.standing is not Standing.PAID or after.word(account) is word
    }
    return _with_proofs(_keep(after, words=words), at)


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
    return _keep(image, proofs=proofs, asks=asks)


def _receipt_accepted(image: Image, body: ReceiptAccepted, at: Instant) -> Image:
    word = Word(
        standing=Standing.PAID,
        n=body.n,
        meter=body.meter,
        digest=body.digest,
        paid_at=body.paid_at,
        ref=body.ref,
    )
    kept = image.kept
    proof = kept.proofs.get(body.account)
    if proof is None or proof.n != body.n:
        proof = Proof(n=body.n, received=at)
    return _keep(
        image,
        words={**kept.words, body.account: word},
        proofs={**kept.proofs, body.account: proof},
        asks={**kept.asks, body.account: Ask(n=body.n, accepted=at)},
    )


def _supply_changed(image: Image, body: SupplyChanged, at: Instant) -> Image:
    kept = image.kept
    supply = {**kept.supply, body.serial: Supply(state=body.after, since=at)}
    asks, ask = kept.asks, kept.asks.get(body.account)
    if body.after is SupplyState.CONNECTED:
        asks = _fulfilled(asks, body.account, at)
    elif body.before is SupplyState.CONNECTED and ask is not None:
        # Asked for while there was supply: what opened the switch later is another matter.
        lit_ms = body.before_seen_ms
        other_boot = ask.accepted.boot != at.boot
        if lit_ms is not None and (other_boot or ask.accepted.mono_ms < lit_ms):
            asks = _fulfilled(asks, body.account, ask.accepted)
    return _keep(image, supply=supply, asks=asks)


def _fulfilled(asks: Mapping[str, Ask], account: str, at: Instant) -> Mapping[str, Ask]:
    ask = asks.get(account)
    if ask is None or ask.fulfilled is not None:
        return asks
    return {**asks, account: msgspec.structs.replace(ask, fulfilled=at)}


def _refused(image: Image, body: Refused, at: Instant) -> Image:
    tallies = {**image.kept.refusals}
    for name, count in ((body.name, 1), (UNWRITTEN, body.more)):
        if count:
            tallies[name] = tallies.get(name, 0) + count
    recent = (ms for ms in image.written_refusals if at.mono_ms - ms < MINUTE_MS)
    return msgspec.structs.replace(
        _keep(image, refusals=tallies),
        written_refusals=(*recent, at.mono_ms),
        unwritten_refusals=0,
    )


def _close_intended(image: Image, body: CloseIntended, at: Instant) -> Image:
    kept = image.kept
    # Taken up again after a restart, it is the same close: it was decided when it first was.
    before = kept.closings.get(body.meter)
    closing = Closing(
        close=body.close,
        account=body.account,
        attempt=body.attempt,
        decided=at if before is None else before.decided,
        waits_since=(
            waits_since(kept, body.account, body.meter, at)
            if before is None
            else before.waits_since
        ),
    )
    mark = CloseMark(serial=body.meter, dt=body.dt, boot=at.boot, mono_ms=at.mono_ms)
    return _keep(
        image,
        closings={**kept.closings, body.meter: closing},
        close_count=max(kept.close_count, body.close),
        decided=(*_within_the_hour(kept.decided, at), mark),
    )


def _close_ended(image: Image, body: CloseEnded, at: Instant) -> Image:
    kept = image.kept
    closings = {s: closing for s, closing in kept.closings.items() if s != body.meter}
    setbacks = {s: setback for s, setback in kept.setbacks.items() if s != body.meter}
    closed = _within_the_hour(kept.closed, at)
    asks, restored = kept.asks, kept.restored
    if body.outcome in DONE:
        asks = _fulfilled(asks, body.account, at)
        mark = CloseMark(serial=body.meter, dt=body.dt, boot=at.boot, mono_ms=at.mono_ms)
        closed = (*closed, mark)
        restored = with_one_more(restored, _waited_ms(body, kept, at), image.limits.promise_ms)
    else:
        before = kept.setbacks.get(body.meter)
        count = 1 if before is None else before.count + 1
        word = image.word(body.account)
        standing_n = 0 if word is None else word.n
        setbacks[body.meter] = Setback(count=count, last=at, standing_n=standing_n)
    forced = kept.forced
    if body.forced and body.meter not in forced:
        forced = (*forced, body.meter)
    after = _keep(
        image,
        closings=closings,
        setbacks=setbacks,
        closed=closed,
        asks=asks,
        ended={**kept.ended, body.meter: body},
        forced=forced,
        restored=restored,
    )
    return msgspec.structs.replace(after, in_flight=after.in_flight - {body.close})


def _waited_ms(body: CloseEnded, kept: Kept, at: Instant) -> int | None:
    closing = kept.closings.get(body.meter)
    if closing is None or closing.waits_since is None:
        return None
    until = at if body.verified_ms is None else at_ms(at, body.verified_ms)
    return elapsed_ms(closing.waits_since, until)


def _tagged(image: Image, body: TagPlaced | TagRemoved, tag: Tag | None) -> Image:
    match body.kind:
        case TagKind.ISOLATE_FEEDER:
            return _keep(image, feeder_isolation=tag)
        case TagKind.ISOLATE_DT:
            return _keep(image, dt_isolations=_set(image.kept.dt_isolations, body.target, tag))
        case TagKind.HOLD:
            return _keep(image, holds=_set(image.kept.holds, body.target, tag))
        case _:
            assert_never(body.kind)


def _set(tags: Mapping[str, Tag], target: str, tag: Tag | None) -> Mapping[str, Tag]:
    others = {name: other for name, other in tags.items() if name != target}
    return others if tag is None else {**others, target: tag}


def _within_the_hour(marks: tuple[CloseMark, ...], at: Instant) -> tuple[CloseMark, ...]:
    # A mark of an earlier boot counts as this boot's beginning, as `Now.since_ms` has it.
    since_ms = (mark.mono_ms if mark.boot == at.boot else 0 for mark in marks)
    return tuple(
        mark for mark, ms in zip(marks, since_ms, strict=True) if at.mono_ms - ms < HOUR_MS
    )
