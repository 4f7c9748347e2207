"""The restart: what the journal kept is true again, and what was under way is read first."""

import msgspec
import pytest

from gateway.core.admission import REFUSALS_A_MINUTE_MAX
from gateway.core.changes import UNWRITTEN
from gateway.core.fact import AckClaim, Move
from gateway.core.records import CloseIntended, Started, Stored, TaskIntended
from gateway.draft import CHECKPOINT_EVERY
from gateway.engine import EVENTS_A_TICK_MAX
from gateway.restoring import restore
from tests.core.corridor import (
    CLOSED,
    GARBAGE,
    HOLD,
    OPEN,
    Corridor,
    closing,
    cut_of_m1,
    document,
    ended,
    installed,
    lit,
    seen,
)
from tests.core.papers import BLANK, MINUTE_MS, receipt


async def eventful() -> Corridor:
    """A gateway to which everything has happened, with a close left open."""
    corridor = await lit()
    await corridor.tick(GARBAGE, HOLD, cut_of_m1(1))
    await corridor.tick(ended(corridor.bus.commands[-1]))
    await corridor.tick(seen(corridor, "M2", OPEN))
    first = corridor.journal.stored()[0]
    await corridor.tick(AckClaim(through=1, chain=first.chain.hex()))
    corridor.clock.wait(MINUTE_MS)
    release = msgspec.structs.replace(HOLD, place=False, reason="mended")
    await corridor.tick(release, seen(corridor, "M2", OPEN))
    assert [one.move for one in corridor.bus.commands] == [Move.CLOSE, Move.OPEN, Move.CLOSE]
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
    assert (command.number, command.resumed, command.writes_max) == (1, True, 0)
    assert await following.tick(ended(command)) == ["ACCEPTED"]
    assert not following.engine.image.kept.closings


async def test_an_open_opening_is_taken_up_again_after_a_restart_by_reading_only() -> None:
    corridor = await lit()
    await corridor.tick(cut_of_m1(1))
    (decided,) = corridor.bus.commands[1:]
    following = await corridor.again()
    started, intended = following.journal.bodies()[-2:]
    assert isinstance(started, Started)
    assert isinstance(intended, TaskIntended)
    assert (intended.number, intended.move, intended.attempt) == (decided.number, Move.OPEN, 2)
    (command,) = following.bus.commands
    assert command == msgspec.structs.replace(decided, resumed=True, writes_max=0)
    assert await following.tick(ended(command)) == ["ACCEPTED"]
    assert not following.engine.image.kept.tasks


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
