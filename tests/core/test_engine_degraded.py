"""A disk that takes nothing: who is paid is closed all the same, and nothing new is believed."""

import asyncio

import msgspec
import pytest

from gateway.core.admitted import JOURNAL_DEGRADED
from gateway.core.alarms import Alarm
from gateway.core.fact import (
    AckClaim,
    BadMessage,
    CauseClaim,
    Event,
    MeterSeen,
    Move,
    Outcome,
    ResumeClaim,
    Road,
)
from gateway.core.kept import Kept
from gateway.core.model import Cause
from gateway.core.records import (
    CHAIN_START,
    CloseEnded,
    CloseIntended,
    ReceiptAccepted,
    SiteInstalled,
    Started,
    SupplyChanged,
    TaskEnded,
    chain_hash,
    read_record,
)
from gateway.core.status import status_of
from gateway.core.trust_records import JournalLost, JournalMended
from gateway.holding import RETRY_FIRST_MS, RETRY_MAX_MS
from gateway.ports import Remedy
from tests.core.corridor import (
    CLOSED,
    GARBAGE,
    HOLD,
    OPEN,
    Corridor,
    MemoryJournal,
    cut_of_m1,
    document,
    ended,
    left,
    lit,
    seen,
)
from tests.core.diskless import DiskFails, Trouble, degraded, mended, paid
from tests.core.papers import allow_list, entry, receipt

REFUSED = JOURNAL_DEGRADED.word


def alarms(corridor: Corridor) -> tuple[Alarm, ...]:
    return status_of(corridor.engine.image, corridor.clock.now()).alarms


# --- while it lasts ---


async def test_who_has_paid_is_closed_all_the_same() -> None:
    corridor = await degraded()
    assert [command.meter.serial for command in corridor.bus.commands] == ["M1"]
    await corridor.tick(ended(corridor.bus.commands[0]))
    assert corridor.engine.image.kept.ended["M1"].outcome is Outcome.CLOSED_VERIFIED
    assert [type(body) for body in corridor.journal.bodies()][-1] is ReceiptAccepted
    assert [type(record.body) for record in corridor.engine.untold] == [
        SupplyChanged,
        CloseIntended,
        CloseEnded,
        SupplyChanged,
    ]


async def test_everybody_is_told_why_and_how_much_is_held() -> None:
    corridor = await degraded()
    assert Alarm.JOURNAL_DEGRADED in alarms(corridor)
    seen_by_rooms = corridor.bus.shown[-1].degraded
    assert seen_by_rooms is not None
    assert (seen_by_rooms.trouble, seen_by_rooms.held, seen_by_rooms.full) == (
        "DISK_FULL",
        2,
        False,
    )
    image = corridor.engine.image
    assert (image.number, image.written) == (5, 3)
    status = status_of(image, corridor.clock.now())
    assert (status.records, status.outbox) == (3, 3), "only what is on disk goes to the head end"


CLAIMS = [
    document(receipt(2, 50)),
    document(allow_list(1, 500, entry(1, 400))),
    GARBAGE,
    BadMessage(name="TOO_LONG", detail="", raw=b"x", road=Road.MQTT),
    HOLD,
    CauseClaim(meter="M2", cause=Cause.ARREARS, by="S. Devi", reason="seen"),
    ResumeClaim(dt="T1", by="S. Devi", reason="fuse"),
    AckClaim(through=1, chain="0" * 64),
]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: type(claim).__name__)
async def test_no_claim_is_believed_or_written_down(claim: Event) -> None:
    corridor = await degraded()
    before = corridor.engine.image
    assert await corridor.tick(claim) == [REFUSED]
    assert corridor.engine.image.kept == before.kept
    assert corridor.engine.image.degraded == before.degraded


async def test_what_was_claimed_in_the_tick_that_failed_is_not_believed_either() -> None:
    corridor = await paid()
    corridor.journal.breaks = DiskFails()
    words = await corridor.tick(document(receipt(2, 50)), HOLD, seen(corridor, "M1", OPEN))
    assert words == [REFUSED, REFUSED, "ACCEPTED"]
    assert "A2" not in corridor.engine.image.kept.words
    assert corridor.engine.image.kept.tags == ()
    assert [command.meter.serial for command in corridor.bus.commands] == ["M1"]


async def test_nobody_is_cut_and_no_order_is_taken() -> None:
    corridor = await lit()
    corridor.journal.breaks = DiskFails()
    assert await corridor.tick(cut_of_m1(1)) == [REFUSED]
    assert [command.move for command in corridor.bus.commands] == [Move.CLOSE]
    corridor.journal.breaks = None
    corridor.clock.wait(RETRY_FIRST_MS)
    await corridor.tick()
    assert await corridor.tick(cut_of_m1(1)) == ["ACCEPTED"], "it was not used up"


async def test_the_disk_is_tried_again_seldom_and_then_more_seldom() -> None:
    corridor = await degraded()
    journal = corridor.journal
    waits = []
    for _ in range(7):
        journal.entered.clear()
        waited = 0
        while not journal.entered.is_set():
            corridor.clock.wait(1_000)
            waited += 1_000
            await corridor.tick()
        waits.append(waited)
    assert waits == [2_000, 4_000, 8_000, 16_000, 32_000, RETRY_MAX_MS, RETRY_MAX_MS]


async def test_another_trouble_is_told_as_it_is() -> None:
    corridor = await degraded()
    corridor.journal.breaks = DiskFails(trouble=Trouble.READ_ONLY)
    corridor.clock.wait(RETRY_FIRST_MS)
    await corridor.tick()
    assert corridor.engine.image.degraded is not None
    assert corridor.engine.image.degraded.trouble == "READ_ONLY"


async def test_the_engine_looks_again_by_itself_when_the_disk_is_to_be_tried() -> None:
    corridor = await degraded()
    run = asyncio.create_task(corridor.engine.run())
    mended(corridor)
    corridor.inbox.wake()
    async with asyncio.timeout(5):
        while corridor.engine.image.degraded is not None:
            await asyncio.sleep(0)
    corridor.engine.stop()
    await run


async def test_when_no_more_are_held_nothing_is_begun_and_what_is_under_way_ends() -> None:
    corridor = await paid(held_max=3)
    corridor.journal.breaks = DiskFails()
    await corridor.tick(seen(corridor, "M1", OPEN), seen(corridor, "M2", OPEN))
    assert len(corridor.bus.commands) == 1
    assert corridor.engine.image.degraded is not None
    assert corridor.engine.image.degraded.full
    await corridor.tick(seen(corridor, "M2", CLOSED))
    assert corridor.engine.image.degraded.held == 3
    assert corridor.engine.image.seen["M2"].state is CLOSED, "it is seen, not written down"
    await corridor.tick(ended(corridor.bus.commands[0]))
    assert corridor.engine.image.degraded.held == 4
    assert not corridor.engine.image.kept.closings
    mended(corridor)
    await corridor.tick()
    await corridor.tick(seen(corridor, "M2", CLOSED))
    assert corridor.engine.image.kept.supply["M2"].state is CLOSED


# --- afterwards ---


async def test_a_mended_disk_gets_every_record_in_one_chain() -> None:
    corridor = await degraded()
    await corridor.tick(ended(corridor.bus.commands[0]))
    mended(corridor)
    await corridor.tick()
    assert corridor.engine.image.degraded is None
    assert Alarm.JOURNAL_DEGRADED not in alarms(corridor)
    assert [type(body) for body in corridor.journal.bodies()][-5:] == [
        SupplyChanged,
        CloseIntended,
        CloseEnded,
        SupplyChanged,
        JournalMended,
    ]
    last = corridor.journal.bodies()[-1]
    assert last == JournalMended(trouble="DISK_FULL", held=4, lasted_ms=RETRY_FIRST_MS)
    stored = corridor.journal.stored()
    assert [one.number for one in stored] == list(range(1, len(stored) + 1))
    chain = CHAIN_START
    for one in stored:
        chain = chain_hash(chain, one.content)
        assert one.chain == chain
    following = await corridor.again()
    assert following.engine.image.kept.ended == corridor.engine.image.kept.ended


async def test_what_was_refused_meanwhile_is_taken_when_it_comes_again() -> None:
    corridor = await degraded()
    assert await corridor.tick(document(receipt(2, 50))) == [REFUSED]
    mended(corridor)
    await corridor.tick()
    assert await corridor.tick(document(receipt(2, 50))) == ["ACCEPTED"]


async def test_a_checkpoint_that_fell_due_meanwhile_is_written_with_the_rest() -> None:
    corridor = await degraded()
    flapping = [seen(corridor, "M2", state) for _ in range(260) for state in (OPEN, CLOSED)]
    for at, one in enumerate(flapping * 2):
        reading = msgspec.structs.replace(one.reading, mono_ms=one.reading.mono_ms + at)
        corridor.post(MeterSeen(serial=one.serial, reading=reading))
    for _ in range(5):
        await corridor.engine.tick()
    mended(corridor)
    await corridor.tick()
    kept = corridor.journal.batches[-1].checkpoint
    assert kept is not None
    assert msgspec.json.decode(kept, type=Kept) == corridor.engine.image.kept


# --- from the start ---


async def test_a_gateway_that_starts_without_a_disk_goes_by_what_it_can_read() -> None:
    corridor = await paid()
    corridor.journal.breaks = DiskFails(trouble=Trouble.READ_ONLY)
    following = await corridor.again(reboot=True)
    assert following.engine.image.degraded is not None
    await following.tick(seen(following, "M1", OPEN))
    assert [command.meter.serial for command in following.bus.commands] == ["M1"]
    mended(following)
    await following.tick()
    assert [type(body) for body in following.journal.bodies()][-4:] == [
        Started,
        SupplyChanged,
        CloseIntended,
        JournalMended,
    ]


async def test_marks_that_could_not_be_written_at_the_start_are_written_later() -> None:
    journal = MemoryJournal()
    journal.breaks = DiskFails()
    corridor = Corridor(journal)
    await corridor.engine.start()
    mended(corridor)
    await corridor.tick()
    assert journal.batches[-1].marks == corridor.engine.image.marks


# --- another journal ---


async def test_a_journal_that_takes_nothing_any_more_ends_the_engine() -> None:
    corridor = await paid()
    corridor.journal.breaks = DiskFails(Remedy.RENEW, Trouble.CORRUPT)
    corridor.post(seen(corridor, "M1", OPEN))
    with pytest.raises(DiskFails):
        await corridor.engine.tick()
    assert (corridor.bus.commands, corridor.engine.untold) == ([], ())


async def test_what_was_held_goes_into_the_next_journal_and_is_read_first() -> None:
    corridor = await degraded()
    assert len(corridor.bus.commands) == 1
    corridor.journal.breaks = DiskFails(Remedy.RENEW, Trouble.CORRUPT)
    corridor.clock.wait(RETRY_FIRST_MS)
    with pytest.raises(DiskFails):
        await corridor.tick()
    following = Corridor(MemoryJournal(), corridor.clock)
    archived = tuple(corridor.journal.archived())
    following.journal.loads = left(lost="CORRUPT", archived=archived)
    told = corridor.engine.untold
    await following.engine.start(told)
    bodies = [type(body) for body in following.journal.bodies()]
    assert bodies[:5] == [JournalLost, SiteInstalled, ReceiptAccepted, SupplyChanged, CloseIntended]
    assert bodies[5] is Started
    carried = read_record(following.journal.stored()[3].content)
    assert (carried.mono_ms, carried.number) == (told[0].mono_ms, 4)
    (command,) = following.bus.commands
    assert (command.resumed, command.writes_max) == (True, 0)


async def test_a_task_that_the_next_journal_knows_nothing_of_is_left_out() -> None:
    corridor = await lit()
    assert await corridor.tick(cut_of_m1(1)) == ["ACCEPTED"]
    corridor.journal.breaks = DiskFails()
    await corridor.tick(ended(corridor.bus.commands[-1]))
    told = corridor.engine.untold
    assert [type(record.body) for record in told] == [TaskEnded, SupplyChanged]
    following = Corridor(MemoryJournal(), corridor.clock)
    following.journal.loads = left(lost="CORRUPT", archived=tuple(corridor.journal.archived()))
    await following.engine.start(told)
    bodies = [type(body) for body in following.journal.bodies()]
    assert SupplyChanged in bodies
    assert TaskEnded not in bodies


async def test_a_failure_of_ours_ends_the_engine_and_is_not_held() -> None:
    corridor = await degraded()
    corridor.journal.breaks = DiskFails(Remedy.REPORT)
    corridor.clock.wait(RETRY_FIRST_MS)
    with pytest.raises(DiskFails):
        await corridor.tick()


async def test_a_room_may_say_that_the_journal_takes_nothing_any_more() -> None:
    corridor = await paid()
    run = asyncio.create_task(corridor.engine.run())
    corridor.engine.fail(DiskFails(Remedy.RENEW, Trouble.CORRUPT))
    with pytest.raises(DiskFails):
        await run
