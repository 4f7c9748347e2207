"""Nobody is said to have supply who has none, and no switch is written that was not to be."""

import secrets

from gateway.core.fact import Outcome
from tests.campaign.closing import Campaign, replay
from tests.campaign.virtual_time import in_virtual_time

CLOSINGS = 1_500


def test_on_a_faulty_line_no_reconnection_is_false() -> None:
    seed = secrets.randbits(32)
    print(replay(seed, CLOSINGS))
    tally = in_virtual_time(Campaign(seed).run(CLOSINGS))
    assert not tally.wrong, replay(seed, CLOSINGS)
    # All that a closing can come to has come about, and the line did what it is said to do.
    assert tally.outcomes[Outcome.CLOSED_VERIFIED] > 0.2 * CLOSINGS
    for seldom in (Outcome.CLOSED_UNVERIFIED, Outcome.FAILED, Outcome.REFUSED, Outcome.UNKNOWN):
        assert tally.outcomes[seldom] > 0.01 * CLOSINGS
    assert tally.transactions > 4 * CLOSINGS
    for beside in (tally.cut_short, tally.held, tally.late):
        assert beside > 0.01 * CLOSINGS


def test_a_switch_whose_every_sign_lies_is_found_out() -> None:
    tally = in_virtual_time(Campaign(1, deceived=True).run(300))
    assert any("is said to be closed, and is not" in one for one in tally.wrong)


def test_a_hold_that_is_not_seen_is_found_out() -> None:
    tally = in_virtual_time(Campaign(1, forgetful=True).run(1_000))
    assert any("in spite of a hold" in one for one in tally.wrong)


def test_a_campaign_comes_back_to_the_letter() -> None:
    first, second = (in_virtual_time(Campaign(7).run(100)) for _ in range(2))
    assert first == second
