"""What the head end says that it holds: only what is true moves anything, and only forward."""

import msgspec
import pytest

from gateway.core.acknowledged import NO_NEWS, Acked, flaw_of, news_of, refused_ack
from gateway.core.fact import AckClaim
from gateway.core.image import Degraded
from tests.core.corridor import (
    SITE,
    Corridor,
    MemoryJournal,
    left,
    measured,
)
from tests.core.papers import M1, MINUTE_MS
from tests.core.world import World

CHAIN = bytes(range(32))
IMAGE = msgspec.structs.replace(
    World(M1).image, number=10, acked_through=4, readings_last=20, readings_acked_through=7
)


def claim(through: int, readings: int | None = None, chain: bytes = CHAIN) -> AckClaim:
    return AckClaim(through=through, chain=chain.hex(), readings=readings)


NEWS = [
    (claim(4), NO_NEWS),
    (claim(3), NO_NEWS),
    (claim(5), Acked(through=5)),
    (claim(4, 7), NO_NEWS),
    (claim(4, 8), Acked(readings=8)),
    (claim(5, 8), Acked(through=5, readings=8)),
    (claim(2, 8), NO_NEWS),
]


@pytest.mark.parametrize(("said", "news"), NEWS)
def test_only_what_goes_further_is_news(said: AckClaim, news: Acked) -> None:
    # This process began with record 3: ordinals said after an older one may be of another journal.
    assert news_of(said, IMAGE, 3) == news


FLAWS = [
    (claim(10), CHAIN, ""),
    (claim(11), None, "ACK_BEYOND_RECORDS"),
    (claim(10), None, "ACK_CHAIN_MISMATCH"),
    (claim(10), bytes(32), "ACK_CHAIN_MISMATCH"),
    (claim(10, 20), CHAIN, ""),
    (claim(10, 21), CHAIN, "ACK_BEYOND_READINGS"),
]


@pytest.mark.parametrize(("said", "chain", "flaw"), FLAWS)
def test_what_cannot_be_true_is_refused_by_name(
    said: AckClaim, chain: bytes | None, flaw: str
) -> None:
    assert flaw_of(said, news_of(said, IMAGE, 1), IMAGE, chain) == flaw


def test_what_is_in_memory_alone_cannot_be_held_by_anybody() -> None:
    degraded = Degraded(trouble="DISK_FULL", since_ms=0, held=2)
    image = msgspec.structs.replace(IMAGE, degraded=degraded)
    assert flaw_of(claim(9), Acked(through=9), image, CHAIN) == "ACK_BEYOND_RECORDS"


def test_the_refusal_says_how_far_it_could_go() -> None:
    world = World(M1)
    said = refused_ack("ACK_BEYOND_READINGS", claim(10, 21), IMAGE, world.now)
    assert said.answer.word == "ACK_BEYOND_READINGS"
    assert "through 10, the last record is 10 and reading 20" in said.answer.detail


async def gateway_with_readings() -> Corridor:
    """Two readings are on disk."""
    corridor = Corridor(readings_every_ms=15 * MINUTE_MS)
    await corridor.engine.start()
    await corridor.tick(SITE)
    await corridor.tick(measured(corridor, "M1", 1), measured(corridor, "M2", 2))
    assert corridor.engine.image.readings_last == 2
    return corridor


def of_the_last(corridor: Corridor, readings: int | None) -> AckClaim:
    image = corridor.engine.image
    return AckClaim(through=image.number, chain=image.chain.hex(), readings=readings)


async def test_readings_are_acknowledged_beside_records_and_never_taken_back() -> None:
    corridor = await gateway_with_readings()
    assert await corridor.tick(of_the_last(corridor, 1)) == ["ACCEPTED"]
    assert await corridor.tick(of_the_last(corridor, 2)) == ["ACCEPTED"]
    assert await corridor.tick(of_the_last(corridor, 1)) == ["DUPLICATE"]
    assert corridor.engine.image.readings_acked_through == 2
    assert corridor.journal.batches[-1].readings_acked_through == 2
    assert corridor.journal.batches[-1].acked_through is None


async def test_readings_that_nobody_took_cannot_be_acknowledged() -> None:
    corridor = await gateway_with_readings()
    assert await corridor.tick(of_the_last(corridor, 3)) == ["ACK_BEYOND_READINGS"]
    assert corridor.engine.image.readings_acked_through == 0


async def test_how_far_readings_went_is_known_after_a_restart() -> None:
    journal = MemoryJournal()
    journal.loads = left(new=True, readings_last=9, readings_acked_through=4)
    corridor = Corridor(journal)
    await corridor.engine.start()
    image = corridor.engine.image
    assert (image.readings_last, image.readings_acked_through) == (9, 4)
