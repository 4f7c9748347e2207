"""SIGKILL at 40 points under load: nothing moved twice unseen, nothing acknowledged is lost."""

from tests.kills.campaign import campaign, processes
from tests.kills.controls import CONTROLS
from tests.kills.judging import Verdict
from tests.kills.moments import Moment

POINTS = 40
JOBS = 2
SEED = 1


def test_forty_kills_leave_nothing_wrong() -> None:
    found = Verdict()
    with processes(JOBS) as pool:
        for verdict in campaign(SEED, POINTS, pool):
            found = verdict
    assert found.faults == [], f"once more: python -m tests.kills --seed {SEED} --points {POINTS}"
    assert found.toothless == []
    assert found.controls == 4 * len(CONTROLS), "every town's trace was tampered with, and seen"
    assert found.kills == POINTS
    assert set(found.moments) == {*Moment}
    assert found.looked_at["intents taken up"] > 0, "no kill left an intent without outcome"
