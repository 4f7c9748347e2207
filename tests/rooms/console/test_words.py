"""Every word of the law is said in a sentence, where it is shown."""

from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import pytest

from gateway.console.record_words import record_line
from gateway.console.status_words import status_lines
from gateway.console.words import ALARMS, BRAKES, CAUSES, MEANING, OUTCOMES, REASONS
from gateway.core.alarms import Alarm
from gateway.core.disconnection import OpenVerdict
from gateway.core.fact import BusSeen, Move, Origin, Outcome, Road, TagKind, Why
from gateway.core.image import Image
from gateway.core.model import (
    Account,
    Brake,
    BusId,
    Cause,
    Digest,
    DtId,
    GatewayId,
    Now,
    Serial,
    Station,
    SupplyState,
)
from gateway.core.orders import (
    CutEntry,
    Disconnect,
)
from gateway.core.progress import OrderState
from gateway.core.reconnection import Verdict
from gateway.core.records import (
    Body,
    CauseRecorded,
    CloseEnded,
    CloseIntended,
    GraceGranted,
    HeadEndBack,
    HeadEndLost,
    ListInstalled,
    OrderAccepted,
    OrderEnded,
    OrderRefused,
    PacingResumed,
    PacingStopped,
    ReceiptAccepted,
    Refused,
    SiteInstalled,
    Started,
    SupplyChanged,
    TagPlaced,
    TagRemoved,
    TaskEnded,
    TaskIntended,
    record_of,
)
from gateway.core.settings import ConfigTried, LogLevel, Overlay, Settings
from gateway.core.standing import Standing
from gateway.core.status import (
    IN_PROGRESS,
    GraceStatus,
    HeadEndStatus,
    MeterStatus,
    Status,
    StopStatus,
    status_of,
)
from tests.rooms.console.words_of_trust import of_trust
from tests.signing import ROOT

NOW = Now(mono_ms=900_000, boot="boot-1", wall_ms=1_795_400_000_000, wall_low_ms=0)
ACCOUNT, METER, DT = Account("7301001"), Serial("220315000001"), DtId("DT-1")
DIGEST = Digest("0" * 64)
BY_ORDER = {"id": "O-7", "seq": 7, "digest": DIGEST, "signers": ("order-1", "order-2")}
WHO = {"by": "NAME", "reason": "WHY"}
COMMAND: dict[str, Any] = {"account": ACCOUNT, "meter": METER, "dt": DT}
ENDED: dict[str, Any] = {**COMMAND, "why": Why.NONE, "writes": 1, "forced": False}
NOT_BEGUN = "REFUSED NEWER_PAID: the rule forbade it; the account has paid since"
DISCONNECT = Disconnect(accounts=(CutEntry(account=ACCOUNT, meter=METER, n=5),))


def status(**told: Any) -> Status:
    """The status of a gateway to which nothing has come, but for what is told."""
    blank = Image(station=Station(gateway=GatewayId("gw-1"), buses=(), profiles={}), root=ROOT)
    return msgspec.structs.replace(status_of(blank, NOW), **told)


def dark(**told: Any) -> Status:
    """A status with one dark meter."""
    meter = MeterStatus(
        account=ACCOUNT,
        meter=METER,
        dt=DT,
        state=SupplyState.DISCONNECTED,
        standing=Standing.PAID,
        verdict=Verdict.PERMIT,
    )
    return status(dark=(msgspec.structs.replace(meter, **told),))


def shown(status: Status) -> str:
    return "\n".join(status_lines(status))


def line(body: Body) -> str:
    """A record's line without its number and time."""
    number, _, says = record_line(record_of(1, body, NOW)).strip().split("  ", 2)
    assert number == "1"
    return says


def test_a_bus_shows_how_its_exchanges_ended() -> None:
    counts = {"good": 9, "refused": 8, "crc_errors": 7, "timeouts": 6, "mismatched": 5}
    seen = BusSeen(bus=BusId("A"), open=True, late=4, echo=3, **counts)
    ended = "9 good, 8 refused, 7 CRC errors, 6 time-outs, 5 of others, 4 late, 3 echoed, 0 meters"
    assert f"open, {ended} silent" in shown(status(buses=(seen,)))


@pytest.mark.parametrize("verdict", [*Verdict, IN_PROGRESS])
def test_a_dark_meter_says_its_verdict_in_a_sentence(verdict: str) -> None:
    assert f"{verdict}: {MEANING[verdict]}" in shown(dark(verdict=verdict))


@pytest.mark.parametrize("brake", Brake)
def test_a_dark_meter_says_what_holds_it_and_until_when(brake: Brake) -> None:
    waits = dark(verdict=Verdict.PACED, brake=brake, wait_ms=4_000, foretold_ms=250_000)
    said = f"PACED by {brake}: {BRAKES[brake]}; 00:04 to go; likely in 04:10"
    assert said in shown(waits)


@pytest.mark.parametrize("cause", Cause)
def test_what_opened_a_meter_is_said_in_the_status_and_in_the_log(cause: Cause) -> None:
    assert f"opened {CAUSES[cause]}" in shown(dark(cause=cause))
    recorded = CauseRecorded(serial=METER, account=ACCOUNT, cause=cause, **WHO)
    assert line(recorded) == f"meter {METER} was opened {CAUSES[cause]}, says NAME: WHY"
    changed = SupplyChanged(
        serial=METER,
        account=ACCOUNT,
        before=SupplyState.CONNECTED,
        after=SupplyState.DISCONNECTED,
        cause=cause,
    )
    assert line(changed).endswith(f"CONNECTED -> DISCONNECTED, opened {CAUSES[cause]}")


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_is_said_in_the_log(outcome: Outcome) -> None:
    body = CloseEnded(close=3, outcome=outcome, verdict="", load_mv=231_400, **ENDED)
    assert line(body) == f"account {ACCOUNT}: close 3 {outcome}: {OUTCOMES[outcome]}, 231 V"


@pytest.mark.parametrize("outcome", [one for one in Outcome if one is not Outcome.CLOSED_VERIFIED])
def test_a_command_that_did_not_bring_it_back_is_said_in_the_status(outcome: Outcome) -> None:
    meter = dark(last_move=Move.CLOSE, last_outcome=outcome)
    assert f"last command CLOSE {outcome}: {OUTCOMES[outcome]}" in shown(meter)


@pytest.mark.parametrize("verdict", [*Verdict, *OpenVerdict])
def test_a_refused_command_says_why_in_the_status_and_in_the_log(verdict: str) -> None:
    said = f"REFUSED {verdict}: the rule forbade it; {MEANING[verdict]}"
    meter = dark(last_move=Move.OPEN, last_outcome="REFUSED", last_detail=verdict)
    assert f"last command OPEN {said}" in shown(meter)
    body = CloseEnded(close=3, outcome=Outcome.REFUSED, verdict=verdict, **ENDED)
    assert line(body) == f"account {ACCOUNT}: close 3 {said}"


@pytest.mark.parametrize("why", [why for why in Why if why])
def test_a_failed_command_says_why(why: Why) -> None:
    body = CloseEnded(close=3, outcome=Outcome.FAILED, verdict="", **{**ENDED, "why": why})
    assert line(body).endswith(f"FAILED {why}: it did not succeed; {REASONS[why]}")


@pytest.mark.parametrize("verdict", OpenVerdict)
def test_an_order_that_was_refused_says_why(verdict: OpenVerdict) -> None:
    body = OrderRefused(
        kind="disconnect", name=verdict, detail="meter M", road=Road.MQTT, **BY_ORDER
    )
    assert line(body) == (
        f"order O-7 (disconnect) refused {verdict}: {MEANING[verdict]}; meter M "
        "(MQTT, signed by order-1, order-2)"
    )


@pytest.mark.parametrize("alarm", Alarm)
def test_every_alarm_is_said_in_a_sentence(alarm: Alarm) -> None:
    assert f"ALARM     {alarm}: {ALARMS[alarm]}" in shown(status(alarms=(alarm,)))


def test_the_status_says_when_those_who_wait_are_likely_to_be_back() -> None:
    waits = {"waiting": 3, "longest_wait_ms": 90_000}
    longest = "waiting   3 paid and dark, longest 01:30 of 20:00"
    assert f"{longest}; the last is likely in 04:10" in shown(
        status(**waits, foretold_finish_ms=250_000)
    )
    assert f"{longest}; none of them can be closed now" in shown(status(**waits))
    assert "waiting   0 paid and dark, longest 00:00 of 20:00\n" in shown(status())


def test_the_status_says_which_transformers_are_stopped_and_until_when() -> None:
    stop = StopStatus(dt=DT, brake=Brake.FAILURES, detail="closes failed", over_ms=120_000)
    said = shown(status(stops=(stop,)))
    assert "stopped   DT-1 until " in said
    assert " (in 02:00), FAILURES: closes failed" in said
    low = StopStatus(dt=DT, brake=Brake.UNDERVOLTAGE, detail="201 V", over_ms=0)
    assert "stopped   DT-1 until its voltage is back, UNDERVOLTAGE: 201 V" in shown(
        status(stops=(low,))
    )


def test_the_status_says_who_has_supply_by_grace_and_for_how_long() -> None:
    graces = (
        GraceStatus(account="1", over_ms=7_200_000),
        GraceStatus(account="2", over_ms=-60_000),
    )
    said = shown(status(graces=graces))
    assert "account 1 has supply without proof of payment, for 2:00:00 more" in said
    assert "account 2 has supply without proof of payment, over since 01:00" in said


def test_the_status_says_what_orders_have_asked_for() -> None:
    assert "orders    last none; 0 openings or releases" in shown(status())
    assert "orders    last 12; 2 openings or releases" in shown(status(order_seq=12, tasks=2))


@pytest.mark.parametrize(("online", "word"), [(True, "online"), (False, "DOWN")])
def test_the_status_says_whether_the_head_end_is_there(online: bool, word: str) -> None:
    known = HeadEndStatus(online=online, since_ms=61_000)
    assert f"head end {word} for 01:01" in shown(status(head_end=known))
    assert "the head end has not been heard" in shown(status())


def bodies() -> Iterator[tuple[Body, str]]:
    """A record of every kind but those above, and its line."""
    paper: dict[str, Any] = {"digest": DIGEST, "signer": "key-1", "road": Road.LOCAL}
    yield Started(version="1.0"), "daemon started, version 1.0"
    yield from of_trust()
    yield SiteInstalled(seq=2, meters=9, **paper), "site document 2 in force: 9 meters (LOCAL)"
    yield (
        ListInstalled(seq=3, as_of=1, entries=8, **paper),
        "list 3 in force: 8 paid accounts (LOCAL)",
    )
    yield (
        ReceiptAccepted(account=ACCOUNT, meter=METER, n=1, paid_at=1, ref="R1", **paper),
        "account 7301001 paid: receipt R1 (LOCAL)",
    )
    yield (
        OrderAccepted(act=DISCONNECT, iat=1, exp=2, boot=None, road=Road.MQTT, **BY_ORDER),
        "order O-7: cut account 7301001 (MQTT, signed by order-1, order-2)",
    )
    yield (
        OrderRefused(
            kind="cancel", name="NOTHING_TO_CANCEL", detail="no", road=Road.MQTT, **BY_ORDER
        ),
        "order O-7 (cancel) refused NOTHING_TO_CANCEL: no (MQTT, signed by order-1, order-2)",
    )
    yield (
        OrderEnded(order="O-7", state=OrderState.SUCCEEDED, reason="ALREADY_CONNECTED"),
        "order O-7 SUCCEEDED ALREADY_CONNECTED",
    )
    yield (
        OrderEnded(order="O-7", state=OrderState.TIMED_OUT, reason="NO_ANSWER", detail="1 of 2"),
        "order O-7 TIMED_OUT NO_ANSWER: 1 of 2",
    )
    yield (
        Refused(name="EXPIRED", detail="late", road=Road.MQTT, digest=DIGEST),
        "refused EXPIRED: late (MQTT)",
    )
    yield (
        SupplyChanged(
            serial=METER,
            account=ACCOUNT,
            before=SupplyState.UNKNOWN,
            after=SupplyState.CONNECTED,
        ),
        "meter 220315000001: UNKNOWN -> CONNECTED",
    )
    yield HeadEndLost(heard_ms=600_000), "the head end is lost, last heard 05:00 before"
    yield HeadEndLost(heard_ms=None), "the head end is lost, last heard before this boot"
    yield HeadEndBack(), "the head end is heard"
    yield (
        TagPlaced(kind=TagKind.HOLD, target=METER, origin=Origin.ORDER, **WHO),
        "HOLD of meter 220315000001 placed by NAME (ORDER): WHY",
    )
    yield (
        TagRemoved(kind=TagKind.ISOLATE_DT, target=DT, origin=Origin.TECHNICIAN, **WHO),
        "ISOLATE_DT DT-1 removed by NAME (TECHNICIAN): WHY",
    )
    yield (
        TagPlaced(kind=TagKind.ISOLATE_FEEDER, target="", origin=Origin.KEY_SWITCH, **WHO),
        "ISOLATE_FEEDER placed by NAME (KEY_SWITCH): WHY",
    )
    yield (
        PacingStopped(dt=DT, brake=Brake.FAILURES, detail="closes failed"),
        "transformer DT-1 stopped, FAILURES: closes failed",
    )
    yield from of_settings()
    yield PacingResumed(dt=DT, **WHO), "transformer DT-1 goes on, by NAME: WHY"


def of_settings() -> Iterator[tuple[Body, str]]:
    """What is tried of settings from afar."""
    loud = Settings(log_level=LogLevel.DEBUG)
    yield (
        ConfigTried(overlay=Overlay(order="O-7", settings=loud, over=Settings())),
        "order O-7 on trial: log_level DEBUG",
    )
    yield (
        ConfigTried(overlay=Overlay(order="O-7", settings=loud, over=loud)),
        "order O-7 on trial: what the installer wrote",
    )


def commands() -> Iterator[tuple[Body, str]]:
    """Records of what was done to a switch, and their lines after the account."""
    intent: dict[str, Any] = {**COMMAND, "standing_n": 5, "standing_digest": DIGEST}
    task: dict[str, Any] = {**COMMAND, "move": Move.OPEN, "order": "O-7"}
    ended: dict[str, Any] = {**ENDED, "move": Move.OPEN, "order": "O-7"}
    yield (
        GraceGranted(account=ACCOUNT, meter=METER, n=5, hours=48, silent_ms=90_000_000),
        "grace for 48 h, nobody had paid; the head end silent for 1 d 1:00:00",
    )
    yield CloseIntended(close=3, attempt=1, **intent), "close 3 decided"
    yield CloseIntended(close=3, attempt=1, grace=True, **intent), "close 3 decided by grace"
    yield CloseIntended(close=3, attempt=2, **intent), "close 3 decided, taken up again (2)"
    yield TaskIntended(number=4, attempt=1, **task), "opening 4 decided for order O-7"
    yield (
        TaskIntended(number=4, attempt=2, **task),
        "opening 4 decided for order O-7, taken up again (2)",
    )
    yield (
        TaskEnded(number=4, outcome=Outcome.OPENED_VERIFIED, verdict="", **ended),
        "opening 4 for order O-7 OPENED_VERIFIED: read back twice, it is open",
    )
    yield (
        TaskEnded(number=None, outcome=Outcome.REFUSED, verdict=OpenVerdict.NEWER_PAID, **ended),
        f"opening for order O-7 not begun: {NOT_BEGUN}",
    )
    yield (
        TaskEnded(
            number=5, outcome=Outcome.RELEASED, verdict="", **{**ended, "move": Move.RELEASE}
        ),
        "release 5 for order O-7 RELEASED: the meter follows its own prepay logic again",
    )


@pytest.mark.parametrize(("body", "says"), [*bodies()])
def test_a_record_is_one_readable_line(body: Body, says: str) -> None:
    assert line(body) == says


@pytest.mark.parametrize(("body", "says"), [*commands()])
def test_what_was_done_to_a_switch_begins_with_its_account(body: Body, says: str) -> None:
    assert line(body) == f"account {ACCOUNT}: {says}"


def test_every_kind_of_record_is_tried_here() -> None:
    tried = {type(body) for body, _ in (*bodies(), *commands())} | {CauseRecorded, CloseEnded}
    assert tried == set(get_args(Body))
