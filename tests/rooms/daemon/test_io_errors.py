"""The disk fails under the whole daemon: nothing crashes, nothing acknowledged is lost."""

import errno
from pathlib import Path

from tests.faults.campaign import all_of, campaign, counts, processes, spread
from tests.faults.scene import Fault, Injection, Scene, Tally
from tests.faults.shim import build
from tests.faults.stories import Story
from tests.kills.town import quick_town

INJECTIONS = 35
JOBS = 4
SEED = 1


def test_a_disk_that_fails_at_any_call_costs_nothing_that_was_promised() -> None:
    found = Tally()
    with processes(JOBS) as pool:
        injections = spread(all_of(counts(Story, pool)), INJECTIONS, SEED)
        assert {one.story for one in injections} == {*Story}
        for tally in campaign(injections, pool):
            found = tally
    assert found.faults == []
    assert found.injections == INJECTIONS
    failed = sum(count for word, count in found.endings.items() if word.endswith(" failed"))
    assert failed > INJECTIONS / 2, "most of the calls were reached"


async def test_the_judge_sees_what_is_lost_and_who_has_ended(tmp_path: Path) -> None:
    failure = Injection(Story.LIST, 1, errno.ENOSPC)
    async with quick_town(tmp_path, build(tmp_path)) as town:
        scene = Scene(town, Story.LIST)
        await scene.prepare()
        assert await scene.inject(failure)
        assert scene.tally.faults == []
        scene.believe(town.papers.receipt(town.homes[0], town.now_n()))
        await scene.end(failure)
        assert {fault for fault, _ in scene.tally.faults} == {Fault.ACKNOWLEDGED_LOST}
        assert not await scene.inject(failure), "the daemon is gone"
        assert scene.tally.faults[-1][0] is Fault.ENDED
