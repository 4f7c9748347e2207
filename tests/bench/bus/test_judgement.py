"""The observer's judgement, on histories that are known, and on a real line with a bare master."""

from collections.abc import Iterator

import pytest

from tests.bench.bus.heard import (
    Heard,
    Wiring,
    median_cycle_s,
    share_between,
    share_of_round,
    speed,
)
from tests.bench.bus.observer import observed
from tests.bench.bus.peers import REFERENCE, Places, Task, drive, find

WIRING = Wiring(baud=9600, units=10, turnaround_s=0.020)
LIMIT_S = WIRING.limit_s(8, 9)


def history(
    *, silence: float, rest_s: float = 0.0, dead: int | None = None, rounds: int = 5
) -> Iterator[Heard]:
    """What a master's rounds sound like: so many characters of silence, a rest after each round."""
    begin_s, gap_s = 100.0, None
    for number in range(rounds * WIRING.units):
        unit = 1 + number % WIRING.units
        end_s = begin_s + 8 * WIRING.character_s
        answer_s = end_s + WIRING.turnaround_s
        over_s = answer_s + 9 * WIRING.character_s
        said = (None, None, None) if unit == dead else (answer_s, over_s, over_s)
        yield Heard(unit, 3, 16, begin_s, end_s, gap_s, *said)
        gap_s = silence * WIRING.character_s + (rest_s if unit == WIRING.units else 0.0)
        begin_s = over_s + gap_s


def test_a_master_that_keeps_just_the_silence_reaches_the_limit() -> None:
    judged = speed(list(history(silence=3.5 + 1e-9)), WIRING)
    assert judged.share == pytest.approx(1.0)
    assert judged.breaches == 0
    assert judged.gap_characters == pytest.approx(3.5)


def test_a_master_beats_the_limit_only_by_breaking_into_the_silence() -> None:
    judged = speed(list(history(silence=1.0)), WIRING)
    assert judged.share == pytest.approx(LIMIT_S / (LIMIT_S - 2.5 * WIRING.character_s), abs=1e-4)
    assert judged.breaches == judged.requests


def test_a_rest_after_a_round_is_not_charged() -> None:
    judged = speed(list(history(silence=4.0, rest_s=1.0)), WIRING)
    assert judged.share == speed(list(history(silence=4.0)), WIRING).share


def test_a_dead_meter_costs_its_round_what_it_would_have_said() -> None:
    heard = list(history(silence=3.5, dead=4))
    assert share_of_round(heard, WIRING, 1) == pytest.approx(0.9)
    assert share_of_round(heard, WIRING, len(heard)) is None


def test_time_in_which_nobody_is_asked_is_time_lost() -> None:
    heard = list(history(silence=3.5, rounds=1))
    assert share_between(heard, WIRING, 100.0, 100.0 + 20 * LIMIT_S) == pytest.approx(0.5)


def test_a_cycle_lasts_from_one_reading_of_a_meter_to_the_next() -> None:
    heard = list(history(silence=3.5, rest_s=1.0))
    cycle_s = 10 * LIMIT_S + 1.0
    assert median_cycle_s(heard, 100.0, address=16) == pytest.approx(cycle_s)


async def test_a_bare_master_that_waits_for_the_silence_never_breaks_into_it() -> None:
    bare = await find(REFERENCE, Places())
    assert bare is not None
    order = tuple((unit, 16) for unit in range(1, 11))
    wiring = Wiring(baud=19200, units=10, turnaround_s=0.005)
    async with observed(wiring) as line:
        task = Task(port=line.ports[0], baud=19200, order=order, reads=30)
        done = await drive(bare, task, Places())
    assert (done.right, done.wrong, done.none) == (30, 0, 0)
    assert [(one.unit, one.address) for one in line.heard] == 3 * list(order)
    assert speed(line.heard, wiring).breaches == 0
