"""What the journal's bench writes down: records, readings, and a whole day of a feeder.

Owns the loads only; `journal` measures them.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from gateway.core.admission import admit_document
from gateway.core.changes import apply
from gateway.core.documents import AllowList
from gateway.core.fact import Outcome, Road, Why
from gateway.core.image import Image
from gateway.core.marks import Mark, Marks
from gateway.core.model import Account, Cause, DtId, Now, Serial, SupplyState, TimeSource
from gateway.core.noted import MINUTE_MS, NotedReading
from gateway.core.records import (
    CHAIN_START,
    Body,
    CloseEnded,
    CloseIntended,
    ListInstalled,
    ReceiptAccepted,
    Stored,
    SupplyChanged,
    record_of,
    store,
)
from gateway.core.signature import FIELD_DOCUMENTS, DocumentType, digest_of, verify
from gateway.ports import ArchivedDocument, Batch
from tests.bench.papers import STATION, a_list, a_receipt, a_site, claim
from tests.signing import ISSUED_AT_MS, ROOT, sign_list

METERS = 250
READ_EVERY_MINUTES = 15
CLOSINGS, RECEIPTS, LISTS = 200, 300, 4
LIST_ACCOUNTS = 30_000
DAY_MINUTES = 24 * 60
ACK_EVERY_MINUTES = 15
CHECKPOINT_EVERY = 1_000
NOON_MS = ISSUED_AT_MS
DIGEST = "5e" * 32


class Chain:
    """Records that continue each other."""

    def __init__(self) -> None:
        self.number, self.chain = 0, CHAIN_START

    def records(self, *bodies: Body, wall_ms: int = NOON_MS) -> tuple[Stored, ...]:
        """One for each body."""
        now = Now(
            mono_ms=wall_ms - NOON_MS,
            boot="5d7ce3f7-7d6c-4a51-9a8d-1f2f9a3a5f00",
            wall_ms=wall_ms,
            wall_low_ms=wall_ms - 50,
            wall_high_ms=wall_ms + 50,
            source=TimeSource.NETWORK,
        )
        made = []
        for body in bodies:
            self.number += 1
            made.append(store(record_of(self.number, body, now), self.chain))
            self.chain = made[-1].chain
        return tuple(made)


def a_closing(at: int) -> tuple[Body, Body, Body]:
    """What a close becomes: its intent, then its outcome and the state that was read."""
    account, meter, dt = Account(f"1002003{at:05}"), Serial(f"23014{at:05}"), DtId("T1")
    intended = CloseIntended(
        close=at,
        account=account,
        meter=meter,
        dt=dt,
        attempt=1,
        standing_n=NOON_MS,
        standing_digest=DIGEST,
        received_ms=at,
        received_wall_ms=NOON_MS,
    )
    ended = CloseEnded(
        close=at,
        account=account,
        meter=meter,
        dt=dt,
        outcome=Outcome.CLOSED_VERIFIED,
        verdict="PERMIT",
        why=Why.NONE,
        writes=1,
        forced=False,
        written_ms=at,
        verified_ms=at,
        state=SupplyState.CONNECTED,
        load_mv=230_000,
        supply_mv=230_000,
        current_ma=4_000,
    )
    changed = SupplyChanged(
        serial=meter,
        account=account,
        before=SupplyState.DISCONNECTED,
        after=SupplyState.CONNECTED,
        before_seen_ms=at,
        cause=Cause.ARREARS,
    )
    return intended, ended, changed


def a_reading(at: int, wall_ms: int) -> NotedReading:
    """A meter's, with every value that meters give."""
    return NotedReading(
        meter=Serial(f"23014{at % METERS:05}"),
        wall_ms=wall_ms,
        trusted=True,
        state=SupplyState.CONNECTED,
        supply_mv=230_000 + at % 3_000,
        load_mv=229_000 + at % 3_000,
        current_ma=at * 37 % 30_000,
        power_w=at * 31 % 7_000,
        energy_wh=1_000_000 + at,
    )


@dataclass(frozen=True)
class Paper:
    """A list as it is written down: with what the image is after it."""

    document: ArchivedDocument
    installed: ListInstalled
    checkpoint: bytes


def lists(count: int = LISTS, accounts: int = LIST_ACCOUNTS) -> list[Paper]:
    """Lists that follow each other, verified and applied for real."""
    image = Image(station=STATION, root=ROOT)
    now = Now(mono_ms=1, boot="b", wall_ms=NOON_MS, wall_low_ms=NOON_MS)
    papers = []
    first = msgspec.json.decode(_payload(a_list(accounts)), type=AllowList)
    raws = [a_site()]
    for at in range(count):
        anew = msgspec.structs.replace(first, seq=at + 1, as_of=first.as_of + at)
        raws.append(sign_list(anew))
    for raw in raws:
        admission = admit_document(claim(raw), image, now)
        for body in admission.bodies:
            image = apply(image, record_of(1, body, now), admission.document)
            if isinstance(body, ListInstalled):
                document = ArchivedDocument(digest=body.digest, type=DocumentType.LIST, raw=raw)
                papers.append(Paper(document, body, msgspec.json.encode(image.kept)))
    return papers


def a_day(papers: Sequence[Paper], seed: int = 1) -> Iterator[tuple[str, Batch]]:
    """What a feeder writes in 24 hours, batch by batch, each with what it is for."""
    chance = random.Random(seed)
    chain, acked, readings, due = Chain(), 0, 0, 0
    moments: list[tuple[int, str, int]] = [(minute, "readings", 0) for minute in range(DAY_MINUTES)]
    for kind, count in (("closing", CLOSINGS), ("receipt", RECEIPTS)):
        moments += [(chance.randrange(DAY_MINUTES), kind, at) for at in range(count)]
    every = DAY_MINUTES // max(1, len(papers))
    moments += [(every * at + 7, "list", at) for at in range(len(papers))]
    moments += [(at, "acknowledged", 0) for at in range(0, DAY_MINUTES, ACK_EVERY_MINUTES)]
    for minute, kind, at in sorted(moments):
        wall_ms = NOON_MS + minute * MINUTE_MS
        due += CHECKPOINT_EVERY if chain.number >= due + CHECKPOINT_EVERY else 0
        match kind:
            case "readings":
                upto = (minute + 1) * METERS // READ_EVERY_MINUTES
                taken = tuple(a_reading(one, wall_ms) for one in range(readings, upto))
                readings = upto
                yield kind, Batch(readings=taken)
            case "closing":
                intended, *after = a_closing(at)
                yield kind, Batch(records=chain.records(intended, wall_ms=wall_ms))
                yield kind, Batch(records=chain.records(*after, wall_ms=wall_ms))
            case "receipt":
                yield kind, a_receipts_batch(chain, at, wall_ms)
            case "list":
                paper = papers[at]
                yield (
                    kind,
                    Batch(
                        records=chain.records(paper.installed, wall_ms=wall_ms),
                        documents=(paper.document,),
                        checkpoint=paper.checkpoint,
                        marks=Marks(list=Mark(seq=at + 1, digest=paper.document.digest)),
                    ),
                )
            case _:
                if chain.number > acked:
                    acked = chain.number
                    yield kind, Batch(acked_through=acked)
        if papers and chain.number >= due + CHECKPOINT_EVERY:
            yield "checkpoint", Batch(checkpoint=papers[-1].checkpoint)


def a_receipts_batch(chain: Chain, at: int, wall_ms: int = NOON_MS) -> Batch:
    """A receipt that was accepted."""
    raw = a_receipt(at)
    document = ArchivedDocument(digest=digest_of(_payload(raw)), type=DocumentType.RECEIPT, raw=raw)
    accepted = ReceiptAccepted(
        account=Account(f"1002003{at:05}"),
        meter=Serial(f"23014{at:05}"),
        n=NOON_MS,
        paid_at=NOON_MS,
        digest=document.digest,
        signer="receipt-1",
        road=Road.MQTT,
    )
    return Batch(records=chain.records(accepted, wall_ms=wall_ms), documents=(document,))


def _payload(raw: bytes) -> bytes:
    return verify(raw, FIELD_DOCUMENTS, ROOT).payload
