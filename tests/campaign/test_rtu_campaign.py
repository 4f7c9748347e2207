"""No answer is taken for another's, and no write believed that was not carried out."""

import asyncio
import secrets

from gateway.bus.rtu import Failure, Timing
from tests.campaign.line import over_a_terminal
from tests.campaign.rtu import TIMING, Campaign, replay
from tests.campaign.virtual_time import in_virtual_time

TRANSACTIONS = 100_000
CARELESS = Timing(timeout_ms=TIMING.timeout_ms, turnaround_max_ms=0)
"""Sends at once after a time-out, though its meters may answer for as long again."""


def test_in_a_hundred_thousand_transactions_no_answer_is_mistaken() -> None:
    seed = secrets.randbits(32)
    print(replay(seed, TRANSACTIONS))
    tally = in_virtual_time(Campaign(seed).run(TRANSACTIONS))
    assert not tally.wrong, replay(seed, TRANSACTIONS)
    assert tally.missed <= TRANSACTIONS / 10_000
    assert tally.transactions >= TRANSACTIONS
    # What the line is said to do to it happened, and it got its answers all the same.
    assert tally.answers > 0.7 * TRANSACTIONS
    assert tally.written > 0.2 * TRANSACTIONS
    assert tally.faults[Failure.NO_ANSWER] > 0.05 * TRANSACTIONS
    assert tally.faults[Failure.GARBLED] > 0.02 * TRANSACTIONS
    assert tally.faults[Failure.MISMATCHED] > 0.003 * TRANSACTIONS
    for seldom in (tally.exceptions, tally.cancelled, tally.late, tally.switched):
        assert seldom > 0.005 * TRANSACTIONS
    assert tally.not_switched > 0


def test_a_master_without_a_late_window_is_caught() -> None:
    for seed in range(2):
        careless = Campaign(seed, timing=CARELESS, promised=TIMING)
        tally = in_virtual_time(careless.run(5_000))
        assert tally.wrong, replay(seed, 5_000)


def test_a_campaign_comes_back_to_the_letter() -> None:
    first, second = (in_virtual_time(Campaign(7, timing=CARELESS).run(2_000)) for _ in range(2))
    assert first.wrong
    assert first == second


async def test_over_a_real_port_no_answer_is_mistaken() -> None:
    seed = secrets.randbits(32)
    timing = Timing(timeout_ms=20, turnaround_max_ms=30)
    campaign = Campaign(
        seed,
        timing=timing,
        promised=timing,
        attach=over_a_terminal,
        bauds=(115200,),
        stretch=50,
    )
    tally = await asyncio.wait_for(campaign.run(300), 120)
    assert not tally.wrong, f"seed {seed}: {tally.wrong}"
    assert tally.answers > 150
