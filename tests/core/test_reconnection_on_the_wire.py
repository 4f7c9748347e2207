"""The one rule with what was just read on the bus: the last word before the write."""

from itertools import combinations

import msgspec
import pytest

from gateway.core.model import (
    Meter,
    Reading,
    Serial,
    SupplyState,
)
from gateway.core.reconnection import WIRE_GUARDS, Verdict
from tests.core.papers import M1, M2, meter
from tests.core.test_reconnection import (
    AGAINST,
    ARMED,
    CLOSED,
    OPEN,
    UNKNOWN,
    Step,
    closed_three_times,
    reading_ages,
    reads_armed,
    reads_closed,
)
from tests.core.world import dark_and_paid


def reading(
    state: SupplyState = OPEN, serial: str | None = "M1", load_mv: int | None = None
) -> Reading:
    return Reading(
        state=state,
        mono_ms=0,
        serial=None if serial is None else Serial(serial),
        load_mv=load_mv,
    )


WITHOUT_SERIAL = meter(1, profile="no-serial")
WITH_SHEET = msgspec.structs.replace(WITHOUT_SERIAL, second_proof="commissioning sheet 12")
ON_THE_BUS: list[tuple[str, Meter, Reading, Verdict]] = [
    ("it is open and gives its serial number", M1, reading(), Verdict.PERMIT),
    ("another serial number answers", M1, reading(serial="M2"), Verdict.WRONG_METER),
    ("no serial number was read", M1, reading(serial=None), Verdict.WRONG_METER),
    ("it cannot show one", WITHOUT_SERIAL, reading(serial=None), Verdict.IDENTITY_UNPROVEN),
    ("a sheet says which it is", WITH_SHEET, reading(serial=None), Verdict.PERMIT),
    ("its state cannot be told", M1, reading(UNKNOWN), Verdict.STATE_UNKNOWN),
    ("it is closed already", M1, reading(CLOSED), Verdict.ALREADY_CONNECTED),
    ("it is closed, with voltage", M1, reading(CLOSED, load_mv=230_000), Verdict.ALREADY_CONNECTED),
    ("it is armed", M1, reading(ARMED), Verdict.AWAITING_CONSUMER),
    ("the load side of the open switch lives", M1, reading(load_mv=50_000), Verdict.BACKFEED),
    (
        "the load side of the armed switch lives",
        M1,
        reading(ARMED, load_mv=60_000),
        Verdict.BACKFEED,
    ),
    ("an idle line couples a little over", M1, reading(load_mv=49_999), Verdict.PERMIT),
]


@pytest.mark.parametrize(
    ("on", "read", "verdict"),
    [row[1:] for row in ON_THE_BUS],
    ids=[f"{sentence}: {verdict}" for sentence, _, _, verdict in ON_THE_BUS],
)
def test_the_write_may_go_out(on: Meter, read: Reading, verdict: Verdict) -> None:
    assert dark_and_paid(on).may_write(read, on) is verdict


CHANGED_ON_THE_WAY: tuple[tuple[Verdict, Step], ...] = tuple(
    (verdict, step)
    for verdict, step in AGAINST
    if verdict
    in {
        Verdict.NOT_ON_ROSTER,
        Verdict.SWITCH_UNPROVEN,
        Verdict.FEEDER_ISOLATED,
        Verdict.DT_ISOLATED,
        Verdict.METER_HELD,
        Verdict.NOT_PAID,
        Verdict.METER_MISMATCH,
        Verdict.CAUSE_UNKNOWN,
    }
)


@pytest.mark.parametrize(("verdict", "step"), CHANGED_ON_THE_WAY, ids=str)
def test_what_changed_while_the_command_waited_stops_the_write(
    verdict: Verdict, step: Step
) -> None:
    world = dark_and_paid(M1, M2)
    assert world.may_write(reading()) is Verdict.PERMIT
    step(world)
    assert world.may_write(reading()) is verdict
    assert world.may_write(reading(serial="M2", load_mv=230_000)) is verdict


OVERTAKEN: tuple[tuple[str, Step], ...] = (
    ("its reading has aged", reading_ages),
    ("it was read closed", reads_closed),
    ("it was read armed", reads_armed),
    ("it was closed as often as is allowed", closed_three_times),
)


@pytest.mark.parametrize("step", [step for _, step in OVERTAKEN], ids=[row[0] for row in OVERTAKEN])
def test_what_the_fresh_reading_or_the_decision_has_overtaken_does_not_stop_it(step: Step) -> None:
    world = dark_and_paid(M1, M2)
    step(world)
    assert world.rules().verdict is not Verdict.PERMIT
    assert world.may_write(reading()) is Verdict.PERMIT


SPEAKS_AGAINST: tuple[tuple[Verdict, dict[str, object]], ...] = (
    (Verdict.WRONG_METER, {"serial": Serial("M2")}),
    (Verdict.STATE_UNKNOWN, {"state": UNKNOWN}),
    (Verdict.BACKFEED, {"load_mv": 230_000}),
    (Verdict.AWAITING_CONSUMER, {"state": ARMED}),
)


@pytest.mark.parametrize(
    ("first", "second"),
    [pair for pair in combinations(SPEAKS_AGAINST, 2) if pair[0][1].keys() != pair[1][1].keys()],
    ids=lambda against: against[0],
)
def test_of_two_things_read_against_it_the_first_has_the_word(
    first: tuple[Verdict, dict[str, object]], second: tuple[Verdict, dict[str, object]]
) -> None:
    world = dark_and_paid(M1)
    read = msgspec.structs.replace(reading(), **second[1])
    assert world.may_write(read) is second[0]
    assert world.may_write(msgspec.structs.replace(read, **first[1])) is first[0]


def test_every_word_of_the_wire_stands_where_the_design_has_it() -> None:
    assert [verdict for verdict, _ in WIRE_GUARDS] == [
        Verdict.WRONG_METER,
        Verdict.IDENTITY_UNPROVEN,
        Verdict.STATE_UNKNOWN,
        Verdict.BACKFEED,
        Verdict.ALREADY_CONNECTED,
        Verdict.AWAITING_CONSUMER,
    ]


def test_every_word_of_the_wire_is_seen_in_this_table() -> None:
    seen = {verdict for *_, verdict in ON_THE_BUS}
    assert seen == {verdict for verdict, _ in WIRE_GUARDS} | {Verdict.PERMIT}
