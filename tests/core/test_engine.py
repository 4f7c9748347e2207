"""The corridor: nothing is believed, shown, commanded or answered before it is on disk."""

import asyncio

import msgspec
import pytest

from gateway.core.documents import Site
from gateway.core.fact import (
    AckClaim,
    BadMessage,
    BrokerSeen,
    BusSeen,
    CauseClaim,
    HeadEndSeen,
    Move,
    Origin,
    Outcome,
    ResumeClaim,
    Road,
)
from gateway.core.model import BusId, Cause
from gateway.core.orders import Hold
from gateway.core.plan import OPENING_WRITES_MAX, WRITES_MAX
from gateway.core.reconnection import Verdict, may_close
from gateway.core.records import (
    CauseRecorded,
    CloseEnded,
    CloseIntended,
    HeadEndBack,
    ListInstalled,
    OrderAccepted,
    OrderRefused,
    PacingResumed,
    PacingStopped,
    ReceiptAccepted,
    Refused,
    SiteInstalled,
    Started,
    SupplyChanged,
    TagPlaced,
    TaskEnded,
    TaskIntended,
)
from gateway.core.terms import Pacing
from gateway.engine import EVENTS_A_TICK_MAX
from tests.core.corridor import (
    CLOSED,
    GARBAGE,
    HOLD,
    NONCE,
    OPEN,
    closing,
    cut_of_m1,
    document,
    ended,
    installed,
    lit,
    seen,
)
from tests.core.papers import M1, M2, allow_list, entry, order, receipt

AT_ONE_FAILURE = Pacing(failures_max=1)


# --- the tick ---


async def test_a_receipt_becomes_a_record_an_intent_and_then_a_command() -> None:
    corridor = await closing()
    assert [type(body) for body in corridor.journal.bodies()] == [
        Started,
        SiteInstalled,
        SupplyChanged,
        ReceiptAccepted,
        CloseIntended,
    ]
    last = corridor.journal.batches[-1]
    assert len(last.records) == 2, "the proof and the intent are one transaction"
    assert [one.raw for one in last.documents] == [document(receipt(1, 100)).raw]
    (command,) = corridor.bus.commands
    assert (command.meter, command.resumed, command.writes_max) == (M1, False, WRITES_MAX)


async def test_nothing_shows_before_the_commit_returns() -> None:
    corridor = await installed()
    before, shown = corridor.engine.image, len(corridor.bus.shown)
    corridor.answers.clear()
    corridor.journal.entered.clear()
    corridor.journal.may_end.clear()
    corridor.post(document(receipt(1, 100)))
    tick = asyncio.create_task(corridor.engine.tick())
    await corridor.journal.entered.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    assert corridor.engine.image is before
    assert len(corridor.bus.shown) == shown
    assert corridor.bus.commands == []
    assert corridor.answers == []
    corridor.journal.may_end.set()
    await tick
    assert corridor.engine.image is corridor.bus.shown[-1]
    assert [answer.word for answer in corridor.answers] == ["ACCEPTED"]
    assert len(corridor.bus.commands) == 1


async def test_a_commit_that_fails_leaves_the_image_and_the_bus_untouched() -> None:
    corridor = await installed()
    before, shown = corridor.engine.image, len(corridor.bus.shown)
    corridor.answers.clear()
    corridor.journal.breaks = OSError("no space left on device")
    corridor.post(document(receipt(1, 100)))
    with pytest.raises(OSError, match="no space"):
        await corridor.engine.tick()
    assert corridor.engine.image is before
    assert (len(corridor.bus.shown), corridor.bus.commands, corridor.answers) == (shown, [], [])


async def test_an_idle_tick_writes_nothing() -> None:
    corridor = await installed()
    await corridor.tick(HeadEndSeen(online=True))
    assert corridor.journal.bodies()[-1] == HeadEndBack()
    batches = len(corridor.journal.batches)
    await corridor.tick()
    await corridor.tick(
        seen(corridor, "M1", OPEN),
        BusSeen(bus=BusId("bus-1"), open=True),
        BrokerSeen(connected=True),
        HeadEndSeen(online=True),
    )
    assert len(corridor.journal.batches) == batches
    image = corridor.bus.shown[-1]
    assert image.buses["bus-1"].open
    assert image.broker == BrokerSeen(connected=True)
    assert image.head_end == HeadEndSeen(online=True)


async def test_a_document_is_archived_with_its_record_and_a_refused_one_is_not() -> None:
    corridor = await installed()
    listed = document(allow_list(1, 500, entry(2, 400)))
    assert await corridor.tick(listed, GARBAGE, listed) == [
        "ACCEPTED",
        "MALFORMED_ENVELOPE",
        "DUPLICATE",
    ]
    last = corridor.journal.batches[-1]
    assert [one.raw for one in last.documents] == [listed.raw]
    assert last.checkpoint is not None, "an installation takes its checkpoint with it"
    installed_list, refused = corridor.journal.bodies()[-2:]
    assert isinstance(installed_list, ListInstalled)
    assert isinstance(refused, Refused)


async def test_more_than_a_tick_takes_waits_for_the_next() -> None:
    corridor = await installed()
    corridor.answers.clear()
    claims = [document(receipt(1, 100)), *[HOLD] * EVENTS_A_TICK_MAX]
    corridor.post(*claims)
    await corridor.engine.tick()
    assert len(corridor.answers) == EVENTS_A_TICK_MAX
    await corridor.engine.tick()
    assert len(corridor.answers) == EVENTS_A_TICK_MAX + 1


async def test_the_words_of_a_room_and_of_a_person_pass_the_same_door() -> None:
    corridor = await installed()
    oversized = BadMessage(name="TOO_LONG", detail="10 MB", raw=b"", road=Road.MQTT)
    cause = CauseClaim(meter="M1", cause=Cause.ARREARS, by="S. Devi", reason="the cut list")
    resume = ResumeClaim(dt="T1", by="S. Devi", reason="the fuse is new")
    assert await corridor.tick(oversized, HOLD, HOLD, cause, cause, resume) == [
        "TOO_LONG",
        "ACCEPTED",
        "DUPLICATE",
        "ACCEPTED",
        "DUPLICATE",
        "DUPLICATE",
    ]
    kinds = [type(body) for body in corridor.journal.bodies()[-3:]]
    assert kinds == [Refused, TagPlaced, CauseRecorded]


async def test_a_transformer_that_is_stopped_goes_on_when_a_person_says_so() -> None:
    corridor = await closing()
    meters = (M1, M2)
    second = Site(gateway="gw-1", seq=2, feeder="feeder-1", meters=meters, pacing=AT_ONE_FAILURE)
    await corridor.tick(document(second), ended(corridor.bus.commands[0], Outcome.FAILED))
    assert isinstance(corridor.journal.bodies()[-1], PacingStopped)
    resume = ResumeClaim(dt="T1", by="S. Devi", reason="the fuse is new")
    assert await corridor.tick(resume) == ["ACCEPTED"]
    assert isinstance(corridor.journal.bodies()[-1], PacingResumed)
    assert not corridor.engine.image.kept.stops


async def test_an_order_becomes_records_an_intent_and_then_a_command() -> None:
    corridor = await lit()
    batches = len(corridor.journal.batches)
    ordered = cut_of_m1(1)
    assert await corridor.tick(ordered) == ["ACCEPTED"]
    assert len(corridor.journal.batches) == batches + 1, "the order and the intent together"
    assert [type(body) for body in corridor.journal.bodies()[-2:]] == [OrderAccepted, TaskIntended]
    assert [one.raw for one in corridor.journal.batches[-1].documents] == [ordered.raw]
    command = corridor.bus.commands[-1]
    assert (command.move, command.meter) == (Move.OPEN, M1)
    assert (command.number, command.writes_max) == (2, OPENING_WRITES_MAX)
    assert await corridor.tick(ended(command), ended(command)) == ["ACCEPTED", "DUPLICATE"]
    outcome, change = corridor.journal.bodies()[-2:]
    assert isinstance(outcome, TaskEnded)
    assert isinstance(change, SupplyChanged)
    assert (outcome.outcome, change.after) == (Outcome.OPENED_VERIFIED, OPEN)
    kept = corridor.engine.image.kept
    assert (kept.tasks, kept.causes["M1"].by) == ({}, "order-1")
    assert not corridor.engine.image.in_flight


async def test_of_an_order_that_brings_more_than_its_own_record_all_is_written() -> None:
    corridor = await installed()
    burnt = document(order(1, Hold(meter="M1", reason="burnt"), boot=NONCE))
    assert await corridor.tick(burnt, burnt) == ["ACCEPTED", "DUPLICATE"]
    accepted, placed = corridor.journal.bodies()[-2:]
    assert isinstance(accepted, OrderAccepted)
    assert isinstance(placed, TagPlaced)
    assert (placed.target, placed.by, placed.origin) == ("M1", "order order-1", Origin.ORDER)


async def test_a_refused_order_is_used_up_and_not_archived_for_it_says_nothing() -> None:
    corridor = await installed()
    ordered = cut_of_m1(1)
    assert await corridor.tick(ordered) == ["LIST_STALE"]
    (refused,) = corridor.journal.bodies()[-1:]
    assert isinstance(refused, OrderRefused)
    assert corridor.journal.batches[-1].documents == ()
    marks = corridor.journal.batches[-1].marks
    assert marks is not None
    assert (marks.order.seq, marks.order.digest) == (1, refused.digest)
    assert await corridor.tick(ordered) == ["LIST_STALE"], "said again, not judged again"


# --- reports ---


async def test_a_report_is_recorded_with_what_was_read() -> None:
    corridor = await closing()
    assert await corridor.tick(ended(corridor.bus.commands[0])) == ["ACCEPTED"]
    outcome, change = corridor.journal.bodies()[-2:]
    assert isinstance(outcome, CloseEnded)
    assert isinstance(change, SupplyChanged)
    assert (outcome.outcome, change.after) == (Outcome.CLOSED_VERIFIED, CLOSED)
    assert corridor.engine.image.seen["M1"].state is CLOSED
    assert not corridor.engine.image.in_flight


async def test_a_report_without_a_reading_claims_no_state() -> None:
    corridor = await closing()
    report = msgspec.structs.replace(ended(corridor.bus.commands[0], Outcome.UNKNOWN), reading=None)
    await corridor.tick(report)
    assert corridor.engine.image.seen["M1"].state is OPEN


async def test_a_doubled_report_changes_nothing() -> None:
    corridor = await closing()
    report = ended(corridor.bus.commands[0])
    await corridor.tick(report)
    before, batches = corridor.engine.image, len(corridor.journal.batches)
    assert await corridor.tick(report) == ["DUPLICATE"]
    assert corridor.engine.image == before
    assert len(corridor.journal.batches) == batches
    assert len(corridor.bus.commands) == 1


# --- acknowledgements ---


async def test_the_head_end_clears_the_outbox_by_number_and_chain() -> None:
    corridor = await closing()
    third = corridor.journal.stored()[2]
    ack = AckClaim(through=third.number, chain=third.chain.hex())
    written = len(corridor.journal.stored())
    assert await corridor.tick(ack) == ["ACCEPTED"]
    assert corridor.engine.image.acked_through == 3
    assert corridor.journal.batches[-1].acked_through == 3
    assert await corridor.tick(ack) == ["DUPLICATE"]
    assert len(corridor.journal.stored()) == written, "or the outbox would never be empty"
    following = await corridor.again()
    assert following.engine.image.acked_through == 3


@pytest.mark.parametrize(
    ("through", "chain", "word"),
    [
        (3, "00" * 32, "ACK_CHAIN_MISMATCH"),
        (3, "", "ACK_CHAIN_MISMATCH"),
        (6, "00" * 32, "ACK_BEYOND_RECORDS"),
    ],
    ids=["of another history", "of no history", "of what is not written yet"],
)
async def test_an_acknowledgement_is_refused(through: int, chain: str, word: str) -> None:
    corridor = await closing()
    assert await corridor.tick(AckClaim(through=through, chain=chain)) == [word]
    assert corridor.engine.image.acked_through == 0
    assert all(batch.acked_through is None for batch in corridor.journal.batches)
    refused = corridor.journal.bodies()[-1]
    assert isinstance(refused, Refused)
    assert refused.name == word


# --- running ---


async def test_running_it_wakes_when_something_comes_and_when_something_is_due() -> None:
    corridor = await installed()
    running = asyncio.create_task(corridor.engine.run())
    answer = await corridor.inbox.ask(document(receipt(1, 100)))
    assert answer.word == "ACCEPTED"
    await corridor.bus.commanded.wait()
    corridor.bus.commanded.clear()
    await corridor.inbox.ask(document(receipt(2, 100)))
    await corridor.inbox.put(ended(corridor.bus.commands[0]))
    corridor.clock.wait(4_990)  # the transformer is observed for 5 s: the last 10 ms are waited
    await corridor.inbox.put(seen(corridor, "M2", OPEN))
    await corridor.inbox.ask(GARBAGE)
    assert corridor.engine.image.seen["M2"].state is OPEN
    assert not corridor.bus.commanded.is_set()
    corridor.clock.wait(10)
    await corridor.bus.commanded.wait()
    assert [command.meter for command in corridor.bus.commands] == [M1, M2]
    corridor.engine.stop()
    await running


async def test_what_has_come_by_the_stop_is_still_settled() -> None:
    corridor = await installed()
    corridor.answers.clear()
    corridor.journal.may_end.clear()
    corridor.journal.entered.clear()
    running = asyncio.create_task(corridor.engine.run())
    corridor.post(HOLD)
    await corridor.journal.entered.wait()
    corridor.post(*[GARBAGE] * (2 * EVENTS_A_TICK_MAX))
    corridor.engine.stop()
    corridor.journal.may_end.set()
    await running
    assert len(corridor.answers) == 1 + 2 * EVENTS_A_TICK_MAX
    assert len(corridor.inbox) == 0


async def test_a_hold_in_the_same_tick_as_the_receipt_wins() -> None:
    corridor = await installed()
    hold = msgspec.structs.replace(HOLD, target="M1")
    assert await corridor.tick(document(receipt(1, 100)), hold) == ["ACCEPTED", "ACCEPTED"]
    assert corridor.bus.commands == []
    ruling = may_close(M1, corridor.engine.image, corridor.clock.now())
    assert ruling.verdict is Verdict.METER_HELD
