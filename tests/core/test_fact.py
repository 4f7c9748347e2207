"""Records as canonical bytes: they come back as they were, and each continues the chain."""

import hashlib
from itertools import cycle
from typing import get_args

import msgspec
import pytest

from gateway.core.fact import Move, Origin, Outcome, Road, TagKind, Why
from gateway.core.marks import Mark, Marks, Tag
from gateway.core.model import (
    Account,
    Brake,
    Cause,
    Digest,
    DtId,
    Instant,
    Now,
    Serial,
    SupplyState,
    TimeSource,
)
from gateway.core.orders import (
    Act,
    Cancel,
    Config,
    Confirm,
    CutEntry,
    Disconnect,
    EndIsolation,
    ForgetMeter,
    Hold,
    Isolate,
    LogBundle,
    Read,
    Rebirth,
    Reconnect,
    ReleaseForce,
    ReleaseHold,
    Resume,
    Scan,
    Wipe,
)
from gateway.core.progress import OrderState, Readings, ReadingTaken
from gateway.core.records import (
    CHAIN_START,
    Body,
    CauseRecorded,
    CloseEnded,
    CloseIntended,
    GraceGranted,
    HeadEndBack,
    HeadEndLost,
    ListInstalled,
    OrderAccepted,
    OrderEnded,
    OrderRefused,
    OrderRestored,
    PacingResumed,
    PacingStopped,
    ReceiptAccepted,
    Record,
    Refused,
    SiteInstalled,
    Started,
    SupplyChanged,
    TagPlaced,
    TagRemoved,
    TaskEnded,
    TaskIntended,
    chain_hash,
    read_record,
    record_of,
    store,
)
from gateway.core.settings import BrokerChange, ConfigTried, LogLevel, Overlay, Settings
from gateway.core.trust_records import (
    JournalLost,
    JournalMended,
    KeyRevoked,
    MarksAhead,
    RootInstalled,
    Sealed,
    TimeNoted,
    TimeSet,
)

NOW = Now(
    mono_ms=1,
    boot="boot-1",
    wall_ms=3,
    wall_low_ms=2,
    wall_high_ms=4,
    source=TimeSource.RTC,
)
A1, M1, T1, DIGEST = Account("A1"), Serial("M1"), DtId("T1"), Digest("d" * 64)
ACTS: tuple[Act, ...] = (
    Disconnect(accounts=(CutEntry(account="A1", meter="M1", n=5),)),
    ReleaseForce(meters=("M1",)),
    Reconnect(account="A1", meter="M1"),
    Hold(meter="M1", reason="burnt"),
    ReleaseHold(meter="M1", reason="mended"),
    Isolate(reason="storm"),
    EndIsolation(reason="over", dt="T1"),
    Resume(dt="T1", reason="fuse"),
    Cancel(order="order-1"),
    Read(meters=("M1", "M2")),
    Rebirth(),
    Config(broker=BrokerChange(host="b", port=1), log_level="DEBUG"),
    Confirm(order="order-3"),
    LogBundle(),
    Scan(bus="bus-1"),
    ForgetMeter(meters=("M1", "M2")),
    Wipe(),
)
HOLD = Tag(
    kind=TagKind.HOLD,
    target="M1",
    origin=Origin.TECHNICIAN,
    by="S. Devi",
    reason="burnt",
    since=Instant(boot="boot-1", mono_ms=1, wall_ms=3),
)
MARKS = Marks(list=Mark(seq=7, digest=DIGEST), tags=(HOLD,), wall_low_ms=2)
BODIES: tuple[Body, ...] = (
    Started(version="0.1"),
    JournalLost(trouble="CORRUPT", marks=MARKS, amnesia=False),
    MarksAhead(marks=MARKS),
    JournalMended(trouble="DISK_FULL", held=3, lasted_ms=60_000),
    Sealed(checkpoint="eyJ"),
    RootInstalled(
        seq=2, digest=DIGEST, signers=("root-1", "root-2"), road=Road.LOCAL, clock_reset=True
    ),
    KeyRevoked(kid="receipt-1", after=5, accounts=(A1,), more=2, list=DIGEST),
    TimeSet(low_ms=5, high_ms=6, digest=DIGEST, signer="time-1", road=Road.LOCAL),
    TimeNoted(),
    OrderRestored(id="order-1", seq=3, act=ACTS[0], digest=DIGEST, signers=("order-1", "order-2")),
    SiteInstalled(seq=1, digest=DIGEST, signer="site-1", road=Road.INSTALLED, meters=2),
    ListInstalled(seq=1, digest=DIGEST, signer="list-1", road=Road.MQTT, as_of=9, entries=3),
    ReceiptAccepted(
        account=A1, meter=M1, n=5, paid_at=4, digest=DIGEST, signer="r", road=Road.LOCAL, ref="4471"
    ),
    *(
        OrderAccepted(
            id="order-1",
            seq=3,
            act=act,
            iat=8,
            exp=9,
            boot=boot,
            digest=DIGEST,
            signers=("order-1", "order-2"),
            road=Road.MQTT,
        )
        for act, boot in zip(ACTS, cycle((None, "boot-1")), strict=False)
    ),
    OrderRefused(
        id="order-2",
        seq=4,
        kind="disconnect",
        name="LIST_STALE",
        detail="meter M1 of account A1",
        digest=DIGEST,
        signers=("order-1",),
        road=Road.MQTT,
    ),
    OrderEnded(
        order="order-3",
        state=OrderState.TIMED_OUT,
        reason="NO_ANSWER",
        detail="1 of 2 meters was not read in time",
        result=Readings(
            readings=(
                ReadingTaken(meter="M1", state=SupplyState.CONNECTED, wall_ms=5, power_w=-7),
            ),
            missing=("M2",),
        ),
    ),
    Refused(name="GARBAGE", detail="बिजली", road=Road.MQTT, digest=DIGEST, more=2),
    SupplyChanged(
        serial=M1,
        account=A1,
        before=SupplyState.CONNECTED,
        after=SupplyState.DISCONNECTED,
        before_seen_ms=6,
        cause=Cause.PREPAY,
    ),
    CauseRecorded(serial=M1, account=A1, cause=Cause.ARREARS, by="S. Devi", reason="the list"),
    GraceGranted(account=A1, meter=M1, n=0, hours=48, silent_ms=7),
    CloseIntended(
        close=1, account=A1, meter=M1, dt=T1, attempt=2, standing_n=5, standing_digest=DIGEST
    ),
    CloseEnded(
        close=1,
        account=A1,
        meter=M1,
        dt=T1,
        outcome=Outcome.UNKNOWN,
        verdict="",
        why=Why.NO_ANSWER,
        writes=1,
        forced=True,
    ),
    TaskIntended(number=2, move=Move.OPEN, order="order-1", account=A1, meter=M1, dt=T1, attempt=1),
    TaskEnded(
        number=None,
        move=Move.RELEASE,
        order="order-2",
        account=A1,
        meter=M1,
        dt=T1,
        outcome=Outcome.REFUSED,
        verdict="EXPIRED",
        why=Why.NONE,
        writes=0,
        forced=False,
    ),
    ConfigTried(
        overlay=Overlay(
            order="order-3",
            settings=Settings(log_level=LogLevel.DEBUG),
            over=Settings(),
        )
    ),
    PacingStopped(dt=T1, brake=Brake.UNDERVOLTAGE, detail="the check meter reads 190 V"),
    PacingResumed(dt=T1, by="S. Devi", reason="fuse"),
    HeadEndLost(heard_ms=None),
    HeadEndBack(),
    TagPlaced(
        kind=TagKind.HOLD, target="M1", by="S. Devi", reason="burnt", origin=Origin.TECHNICIAN
    ),
    TagRemoved(
        kind=TagKind.ISOLATE_FEEDER,
        target="",
        by="order order-3",
        reason="done",
        origin=Origin.ORDER,
    ),
)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
def test_a_record_comes_back_from_its_bytes_as_it_was(body: Body) -> None:
    record = record_of(7, body, NOW)
    stored = store(record, CHAIN_START)
    assert read_record(stored.content) == record
    assert store(read_record(stored.content), CHAIN_START) == stored


def test_every_kind_of_record_and_of_order_is_tried_here() -> None:
    assert {type(body) for body in BODIES} == set(get_args(Body))
    assert {type(act) for act in ACTS} == set(get_args(Act))


def test_a_record_carries_its_time_and_how_good_it_is() -> None:
    record = record_of(7, BODIES[0], NOW)
    assert record == Record(
        number=7,
        boot="boot-1",
        mono_ms=1,
        wall_ms=3,
        wall_low_ms=2,
        trusted=True,
        clock=TimeSource.RTC,
        body=BODIES[0],
    )
    untrusted = record_of(7, BODIES[0], msgspec.structs.replace(NOW, wall_high_ms=None))
    assert (untrusted.trusted, untrusted.clock) == (False, TimeSource.NONE)


def test_the_bytes_are_the_published_ones() -> None:
    # Head ends store and verify these bytes: they may grow members, and never change otherwise.
    content = store(record_of(7, BODIES[0], NOW), CHAIN_START).content
    assert content == (
        b'{"number":7,"boot":"boot-1","mono_ms":1,"wall_ms":3,"wall_low_ms":2,"trusted":true,'
        b'"clock":"RTC","body":{"type":"started","version":"0.1"}}'
    )


def test_each_record_continues_the_chain() -> None:
    chain = CHAIN_START
    for number, body in enumerate(BODIES, start=1):
        stored = store(record_of(number, body, NOW), chain)
        assert stored.number == number
        assert stored.chain == hashlib.sha256(chain + stored.content).digest()
        assert stored.chain == chain_hash(chain, stored.content)
        chain = stored.chain


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b'{"number":"1"}', b"\xff"], ids=repr)
def test_other_bytes_are_no_record(content: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        read_record(content)
