"""The corridor: nothing is believed, shown, commanded or answered before it is on disk."""

import asyncio

import msgspec
import pytest

from gateway.core.admission import REFUSALS_A_MINUTE_MAX
from gateway.core.documents import Site
from gateway.core.fact import (
    AckClaim,
    BadMessage,
    BrokerSeen,
    BusSeen,
    CloseEnded,
    CloseIntended,
    DocumentClaim,
    HeadEndSeen,
    ListInstalled,
    Outcome,
    ReceiptAccepted,
    Refused,
    Road,
    SiteInstalled,
    Started,
    Stored,
    SupplyChanged,
    TagClaim,
    TagKind,
    TagPlaced,
)
from gateway.core.image import UNWRITTEN
from gateway.core.model import BusId, SupplyState
from gateway.core.plan import WRITES_MAX
from gateway.core.reconnection import Verdict, may_close
from gateway.engine import CHECKPOINT_EVERY, EVENTS_A_TICK_MAX, restore
from tests.core.corridor import Corridor, document, ended, seen
from tests.core.world import BLANK, M1, M2, MINUTE_MS, allow_list, entry, receipt

OPEN, CLOSED = SupplyState.DISCONNECTED, SupplyState.CONNECTED
SITE = document(Site(gateway="gw-1", seq=1, feeder="feeder-1", meters=(M1, M2)))
GARBAGE = DocumentClaim(raw=b"x", road=Road.MQTT)
HOLD = TagClaim(kind=TagKind.HOLD, target="M2", place=True, by="S. Devi", reason="burnt")


async def installed() -> Corridor:
    """A started gateway with a site document and a dark M1."""
    corridor = Corridor()
    await corridor.engine.start()
    assert await corridor.tick(SITE) == ["ACCEPTED"]
    await corridor.tick(seen(corridor, "M1", OPEN))
    return corridor


async def closing() -> Corridor:
    """M1 has paid, and its close is commanded."""
    corridor = await installed()
    assert await corridor.tick(document(receipt(1, 100))) == ["ACCEPTED"]
    return corridor


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
    assert await corridor.tick(oversized, HOLD, HOLD) == ["TOO_LONG", "ACCEPTED", "DUPLICATE"]
    refused, placed = corridor.journal.bodies()[-2:]
    assert isinstance(refused, Refused)
    assert isinstance(placed, TagPlaced)


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
    assert len(corridor.journal.stored()) == written
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


# --- restart ---


async def eventful() -> Corridor:
    """A gateway to which everything has happened, with a close left open."""
    corridor = await closing()
    await corridor.tick(ended(corridor.bus.commands[0]), GARBAGE, HOLD)
    await corridor.tick(document(allow_list(1, 500, entry(1, 400), entry(2, 400, cut=True))))
    await corridor.tick(seen(corridor, "M2", OPEN))
    first = corridor.journal.stored()[0]
    await corridor.tick(AckClaim(through=1, chain=first.chain.hex()))
    corridor.clock.wait(MINUTE_MS)
    release = msgspec.structs.replace(HOLD, place=False, reason="mended")
    await corridor.tick(release, seen(corridor, "M2", OPEN))
    assert len(corridor.bus.commands) == 2
    return corridor


async def test_a_restart_from_the_checkpoint_equals_a_replay_of_every_record() -> None:
    corridor = await eventful()
    loaded = await corridor.journal.load()
    assert loaded.checkpoint is not None
    assert 0 < len(loaded.records) < loaded.number
    image = restore(BLANK, loaded)
    assert image == restore(BLANK, corridor.journal.from_the_first_record())
    live = corridor.engine.image
    assert image.kept == live.kept
    assert msgspec.json.encode(image.kept) == msgspec.json.encode(live.kept)
    assert (image.number, image.chain, image.acked_through) == (live.number, live.chain, 1)
    assert (image.roster, image.by_account) == (live.roster, live.by_account)


async def test_a_checkpoint_comes_every_so_many_records_too() -> None:
    corridor = await installed()
    number = corridor.engine.image.number
    states = [CLOSED, OPEN]
    while number + EVENTS_A_TICK_MAX <= CHECKPOINT_EVERY:
        flips = [seen(corridor, "M1", states[at % 2]) for at in range(EVENTS_A_TICK_MAX)]
        await corridor.tick(*flips)
        number += EVENTS_A_TICK_MAX
        assert corridor.journal.batches[-1].checkpoint is None
        assert corridor.engine.image.number == number
    await corridor.tick(*[seen(corridor, "M1", states[at % 2]) for at in range(256)])
    assert corridor.journal.batches[-1].checkpoint is not None
    assert (await corridor.journal.load()).records == ()
    following = await corridor.again()
    assert following.engine.image.kept.supply == corridor.engine.image.kept.supply


async def test_an_open_close_is_taken_up_again_after_a_restart_by_reading_only() -> None:
    corridor = await closing()
    following = await corridor.again()
    started, intended = following.journal.bodies()[-2:]
    assert isinstance(started, Started)
    assert isinstance(intended, CloseIntended)
    assert (intended.close, intended.attempt) == (1, 2)
    (command,) = following.bus.commands
    assert (command.close, command.resumed, command.writes_max) == (1, True, 0)
    assert await following.tick(ended(command)) == ["ACCEPTED"]
    assert not following.engine.image.kept.closings


async def test_after_a_restart_nothing_is_closed_on_what_was_seen_before() -> None:
    corridor = await installed()
    following = await corridor.again()
    await following.tick(document(receipt(1, 100)))
    assert following.bus.commands == []
    await following.tick(seen(following, "M1", OPEN))
    assert len(following.bus.commands) == 1


async def test_the_clock_is_told_how_late_it_certainly_was() -> None:
    corridor = await installed()
    low_ms = corridor.engine.image.kept.wall_low_ms
    following = await corridor.again(reboot=True)
    assert following.clock.low_ms == low_ms


async def test_a_flood_of_refusals_before_a_reboot_does_not_silence_those_after_it() -> None:
    # Once the old boot's instants were replayed: later than now, they counted as of this minute.
    corridor = await installed()
    flood = [GARBAGE] * (REFUSALS_A_MINUTE_MAX + 3)
    await corridor.tick(*flood)
    assert corridor.engine.image.unwritten_refusals == 3
    following = await corridor.again(reboot=True)
    written = len(following.journal.stored())
    await following.tick(GARBAGE)
    assert len(following.journal.stored()) == written + 1


async def test_refusals_without_a_record_are_counted_in_the_next_that_has_one() -> None:
    corridor = await installed()
    await corridor.tick(*[GARBAGE] * (REFUSALS_A_MINUTE_MAX + 3))
    corridor.clock.wait(MINUTE_MS)
    await corridor.tick(GARBAGE)
    tallies = corridor.engine.image.kept.refusals
    assert tallies == {"MALFORMED_ENVELOPE": REFUSALS_A_MINUTE_MAX + 1, UNWRITTEN: 3}


async def test_a_damaged_checkpoint_or_record_is_not_taken_for_the_truth() -> None:
    loaded = await (await eventful()).journal.load()
    cut = msgspec.structs.replace(loaded, checkpoint=(loaded.checkpoint or b"")[:-1])
    with pytest.raises(msgspec.DecodeError):
        restore(BLANK, cut)
    damaged = Stored(number=1, chain=bytes(32), content=b'{"number":1}')
    with pytest.raises(msgspec.DecodeError):
        restore(BLANK, msgspec.structs.replace(loaded, records=(damaged,)))


# --- running ---


async def test_running_it_wakes_when_something_comes_and_when_something_is_due() -> None:
    corridor = await installed()
    running = asyncio.create_task(corridor.engine.run())
    answer = await corridor.inbox.ask(document(receipt(1, 100)))
    assert answer.word == "ACCEPTED"
    await corridor.bus.commanded.wait()
    corridor.bus.commanded.clear()
    await corridor.inbox.ask(document(receipt(2, 100)))
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
