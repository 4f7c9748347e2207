"""The release of a forced meter: it goes back to its own prepay logic, which may open it."""

from pathlib import Path

import msgspec
import pytest

from gateway.core.fact import Move, Outcome, SwitchReport, Why
from gateway.core.image import with_kept
from gateway.core.model import Cause, SupplyState
from tests.rooms.bus.gateway_side import command
from tests.rooms.bus.small_town import ACREL, DDS, LET_GO, Town, ordered_town
from tests.rooms.bus.wire import refusing_writes

TELLS = """
extends = "acrel-ddsy1352"
[state]
address = 0x0165
[cause]
function = 3
address = 0x0166
mask = 0x0F
prepay = 2
evidence = "manual"
source = "this site's meters"
"""


async def released(it: Town) -> SwitchReport:
    return await it.report(command(ACREL, move=Move.RELEASE))


async def test_a_meter_without_credit_opens_once_it_is_released(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, ACREL, move=Move.RELEASE) as it:
        report = await released(it)
        assert (report.move, report.outcome, report.why) == (
            Move.RELEASE,
            Outcome.RELEASED,
            Why.NONE,
        )
        assert it.acrel.writes == [LET_GO]
        assert report.writes == 1
        assert not report.forced
        assert report.verified_ms is not None
        assert report.reading is not None
        assert report.reading.state is SupplyState.DISCONNECTED


async def test_a_meter_with_credit_stays_closed_when_it_is_released(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, ACREL, move=Move.RELEASE) as it:
        it.acrel.obey = None
        report = await released(it)
        assert report.outcome is Outcome.RELEASED
        assert report.reading is not None
        assert report.reading.state is SupplyState.CONNECTED


async def test_a_meter_that_opens_when_it_is_released_is_asked_why(tmp_path: Path) -> None:
    (tmp_path / "acrel-tells.toml").write_text(TELLS)
    tells = msgspec.structs.replace(ACREL, profile="acrel-tells")
    async with ordered_town(tmp_path, tells, move=Move.RELEASE) as it:
        it.acrel.tables[3][0x166] = 0x42
        report = await it.report(command(tells, move=Move.RELEASE))
        assert report.outcome is Outcome.RELEASED
        assert report.reading is not None
        assert report.reading.cause is Cause.PREPAY


async def test_a_meter_that_refuses_the_release_has_failed(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, ACREL, move=Move.RELEASE) as it:
        it.end.behaviour = refusing_writes(it.units)
        report = await released(it)
        assert (report.outcome, report.why) == (Outcome.FAILED, Why.EXCEPTION)


async def test_a_release_without_an_answer_is_unknown_and_not_sent_again(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, ACREL, move=Move.RELEASE) as it:
        it.acrel.obey, it.acrel.unanswered_writes = None, 1
        report = await released(it)
        assert (report.outcome, report.why) == (Outcome.UNKNOWN, Why.NO_ANSWER)
        assert it.acrel.writes == [LET_GO]
        assert report.reading is not None
        assert report.reading.state is SupplyState.CONNECTED


async def test_a_meter_whose_state_makes_no_sense_afterwards_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "acrel-masked.toml").write_text(
        'extends = "acrel-ddsy1352"\n[state]\naddress = 0x0165\nmask = 0x3000\n'
    )
    masked = msgspec.structs.replace(ACREL, profile="acrel-masked")
    async with ordered_town(tmp_path, masked, move=Move.RELEASE) as it:

        def makes_no_sense(_: int, __: int, ___: tuple[int, ...]) -> None:
            it.acrel.tables[3][0x165] = 0x1000

        it.acrel.obey = makes_no_sense
        report = await it.report(command(masked, move=Move.RELEASE))
        assert (report.outcome, report.why) == (Outcome.UNKNOWN, Why.READS_DISAGREE)


async def test_a_silent_meter_fails_without_a_write(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, ACREL, move=Move.RELEASE) as it:
        it.acrel.dead = True
        report = await released(it)
        assert (report.outcome, report.why) == (Outcome.FAILED, Why.NO_ANSWER)
        assert it.acrel.writes == []


async def test_a_resumed_release_is_unknown_and_not_written(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, ACREL, move=Move.RELEASE) as it:
        report = await it.report(command(ACREL, move=Move.RELEASE, resumed=True, writes_max=0))
        assert (report.outcome, report.why) == (Outcome.UNKNOWN, Why.NONE)
        assert it.acrel.writes == []
        assert report.reading is not None
        assert report.reading.state is SupplyState.CONNECTED


async def test_a_swapped_meter_is_not_released(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, ACREL, move=Move.RELEASE) as it:
        it.acrel.tables[3][0x45] = 0x9999
        report = await released(it)
        assert (report.outcome, report.verdict) == (Outcome.REFUSED, "WRONG_METER")
        assert it.acrel.writes == []


async def test_a_meter_that_is_not_forced_by_us_is_not_released(tmp_path: Path) -> None:
    async with ordered_town(tmp_path, ACREL, move=Move.RELEASE) as it:
        it.buses.show(with_kept(it.image, forced=()))
        report = await released(it)
        assert (report.outcome, report.verdict) == (Outcome.REFUSED, "NOT_FORCED")
        assert it.acrel.writes == []


@pytest.mark.parametrize(
    ("resumed", "outcome"), [(False, Outcome.REFUSED), (True, Outcome.UNKNOWN)]
)
async def test_a_type_without_a_release_is_never_written(
    tmp_path: Path, resumed: bool, outcome: Outcome
) -> None:
    async with ordered_town(tmp_path, DDS, move=Move.RELEASE) as it:
        report = await it.report(command(DDS, move=Move.RELEASE, resumed=resumed))
        assert (report.outcome, report.verdict) == (outcome, "RELEASE_UNPROVEN")
        assert it.dds.writes == []
