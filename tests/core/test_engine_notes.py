"""What the engine writes down beside records of events: readings, and seals of the journal."""

import asyncio

from gateway.core.documents import Checkpoint
from gateway.core.kept import DAY_MS
from gateway.core.records import (
    Started,
    read_record,
)
from gateway.core.trust_records import JournalMended, Sealed
from tests.core.corridor import (
    CLOSED,
    HOLD,
    OPEN,
    SITE,
    Corridor,
    measured,
    seen,
)
from tests.core.diskless import DiskFails, mended
from tests.core.papers import HOUR_MS, MINUTE_MS

QUARTER_MS = 15 * MINUTE_MS


# --- readings ---


async def kept_energies(corridor: Corridor) -> list[tuple[str, int | None]]:
    stored = await corridor.journal.readings_after(0, 100)
    return [(one.reading.meter, one.reading.energy_wh) for one in stored]


async def test_one_reading_of_each_meter_and_quarter_is_kept() -> None:
    corridor = Corridor(readings_every_ms=QUARTER_MS)
    await corridor.engine.start()
    await corridor.tick(SITE)
    for energy in (1, 2):
        await corridor.tick(measured(corridor, "M1", energy), measured(corridor, "M2", energy + 10))
        corridor.clock.wait(MINUTE_MS)
    await corridor.tick()
    assert await kept_energies(corridor) == [("M1", 1), ("M2", 11)]
    corridor.clock.wait(QUARTER_MS)
    await corridor.tick(measured(corridor, "M1", 3), HOLD)
    assert await kept_energies(corridor) == [("M1", 1), ("M2", 11), ("M1", 3)], "along with a tag"


async def test_readings_wait_a_minute_for_each_other_and_the_engine_wakes_for_them() -> None:
    corridor = Corridor(readings_every_ms=QUARTER_MS)
    await corridor.engine.start()
    await corridor.tick(SITE)
    await corridor.tick(seen(corridor, "M1", CLOSED))
    batches = len(corridor.journal.batches)
    await corridor.tick(measured(corridor, "M1", 1))
    corridor.clock.wait(MINUTE_MS - 1)
    await corridor.tick()
    assert len(corridor.journal.batches) == batches
    corridor.clock.wait(1)
    run = asyncio.create_task(corridor.engine.run())
    async with asyncio.timeout(5):
        while len(corridor.journal.batches) == batches:
            await asyncio.sleep(0)
    corridor.engine.stop()
    await run
    assert await kept_energies(corridor) == [("M1", 1)]


async def test_a_reading_without_values_is_not_kept() -> None:
    corridor = Corridor(readings_every_ms=QUARTER_MS)
    await corridor.engine.start()
    await corridor.tick(SITE, seen(corridor, "M1", CLOSED))
    corridor.clock.wait(HOUR_MS)
    await corridor.tick()
    assert await kept_energies(corridor) == []


async def test_readings_wait_for_a_disk_that_takes_nothing() -> None:
    corridor = Corridor(readings_every_ms=QUARTER_MS)
    await corridor.engine.start()
    await corridor.tick(SITE)
    corridor.journal.breaks = DiskFails()
    await corridor.tick(seen(corridor, "M1", CLOSED), measured(corridor, "M2", 5))
    mended(corridor)
    await corridor.tick(measured(corridor, "M2", 6))
    assert await kept_energies(corridor) == []
    corridor.clock.wait(MINUTE_MS)
    await corridor.tick()
    assert await kept_energies(corridor) == [("M2", 5)]


# --- seals ---


def signature_of(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.gateway} {checkpoint.number} {checkpoint.chain}"


async def test_the_journal_is_sealed_at_the_start_and_once_a_day() -> None:
    corridor = Corridor(sign=signature_of)
    await corridor.engine.start()
    await corridor.tick(SITE)
    started, sealed = corridor.journal.stored()[:2]
    told = read_record(sealed.content).body
    assert told == Sealed(checkpoint=f"gw-1 1 {started.chain.hex()}")
    assert sum(isinstance(body, Sealed) for body in corridor.journal.bodies()) == 1
    corridor.clock.wait(DAY_MS)
    await corridor.tick(seen(corridor, "M1", OPEN))
    assert isinstance(corridor.journal.bodies()[-1], Sealed)


async def test_what_no_disk_has_is_not_sealed() -> None:
    corridor = Corridor(sign=signature_of)
    corridor.journal.breaks = DiskFails()
    await corridor.engine.start()
    mended(corridor)
    await corridor.tick()
    assert [type(body) for body in corridor.journal.bodies()] == [Started, JournalMended]
    await corridor.tick(SITE)
    assert isinstance(corridor.journal.bodies()[-1], Sealed)
