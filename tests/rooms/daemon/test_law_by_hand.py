"""The law at the running daemon: by whose hand what is taken, and what is refused by name."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from gateway.bench.demo_world import GATEWAY, OBSERVED_BRIEFLY, Home, Papers
from gateway.bench.faults import Faults
from gateway.core.documents import AllowList, ListEntry, Site
from gateway.core.fact import Road
from gateway.core.model import Account, Brake, Cause, DtId, Meter, Serial, SupplyState
from gateway.core.orders import Act, CutEntry, Disconnect, Hold, Order
from gateway.core.reconnection import Verdict
from gateway.core.records import CauseRecorded, PacingResumed, Record, Refused
from gateway.core.signature import DocumentType
from gateway.core.status import MeterStatus
from gateway.core.terms import Disconnection, Pacing, Transformer, Window
from gateway.host.clock import wall_ms
from gateway.utility.sign import payload_of, sign_together
from tests.rooms.daemon.town import Town, running_town

pytestmark = pytest.mark.asyncio(loop_scope="module")
MORNING = Window(weekdays=(1, 2), start="06:00", end="10:00")
TUESDAY = Window(weekdays=(2,), start="09:00", end="12:00")
ANSWERED_FOR = ("--by", "NAME", "--reason", "WHY")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    def kept(homes: tuple[Home, ...], papers: Papers) -> bytes:
        return order(papers, 1, disconnect(homes[1]))

    async with running_town(tmp_path_factory.mktemp("town"), kept=kept) as town:
        yield town


def site_of(town: Town, seq: int, meters: tuple[Meter, ...], **terms: Any) -> bytes:
    """A site document of this town with other terms."""
    site = Site(gateway=GATEWAY, seq=seq, feeder="F-1", meters=meters, **terms)
    return town.papers.keys.site.sign(DocumentType.SITE, payload_of(site))


def with_terms(town: Town, **terms: Any) -> bytes:
    return site_of(town, 9, tuple(home.meter for home in town.homes), **terms)


def with_third_meter(town: Town, **changes: Any) -> bytes:
    meters = [home.meter for home in town.homes]
    meters[2] = msgspec.structs.replace(meters[2], **changes)
    return site_of(town, 9, tuple(meters))


def list_of(town: Town, home: Home) -> bytes:
    """An allow-list that says of one home that it has paid, and not that it was cut."""
    now_ms = wall_ms()
    entry = ListEntry(account=home.account, meter=home.serial, n=now_ms)
    allow_list = AllowList(
        gateway=GATEWAY, seq=1, as_of=now_ms, stale_after=2 * now_ms, accounts=(entry,)
    )
    return town.papers.keys.list.sign(DocumentType.LIST, payload_of(allow_list))


def order(papers: Papers, seq: int, act: Act, boot: str | None = None) -> bytes:
    """An order under both order keys, issued now."""
    issued = wall_ms()
    paper = Order(
        gateway=GATEWAY,
        id=f"O-{seq}",
        seq=seq,
        iat=issued,
        exp=issued + 600_000,
        act=act,
        boot=boot,
    )
    return sign_together(papers.keys.orders, DocumentType.ORDER, payload_of(paper))


def disconnect(home: Home) -> Disconnect:
    entry = CutEntry(account=home.account, meter=home.serial, n=wall_ms())
    return Disconnect(accounts=(entry,))


async def typed(town: Town, *words: str, code: int = 0) -> list[str]:
    """What a command says, which ends with this exit status."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *words, "--config", str(town.config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = (text.decode() for text in await process.communicate())
    assert (process.returncode, err) == (code, "")
    return out.splitlines()


async def since(town: Town, number: int, kind: type) -> list[Record]:
    """The records of a kind above a number."""
    return [record for record in await town.records(number) if isinstance(record.body, kind)]


async def dark(town: Town, home: Home, says: Callable[[MeterStatus], bool]) -> MeterStatus:
    """Wait until the status says so of a dark home."""
    status = await town.until(
        lambda status: any(one.meter == home.serial and says(one) for one in status.dark)
    )
    return next(one for one in status.dark if one.meter == home.serial)


SITES: dict[str, tuple[str, str, str, Callable[[Town], bytes]]] = {
    "a meter on two accounts": (
        "DUPLICATE_METER",
        "meters[2]: meter 220315000001 is also meters[0]",
        "a meter belongs to one account",
        lambda town: with_third_meter(town, serial=town.homes[0].serial),
    ),
    "windows that overlap": (
        "OVERLAPPING_WINDOWS",
        "disconnection.protected[1]: 09:00 to 12:00 overlaps disconnection.protected[0]",
        "make one window of both",
        lambda town: with_terms(town, disconnection=Disconnection(protected=(MORNING, TUESDAY))),
    ),
    "a ceiling of zero": (
        "MALFORMED_PAYLOAD",
        "pacing.dt_minute_max",
        "Expected int >= 1",
        lambda town: with_terms(town, pacing=Pacing(dt_minute_max=0)),
    ),
    "a bulk ceiling of zero": (
        "MALFORMED_PAYLOAD",
        "disconnection.hour_max",
        "Expected int >= 1",
        lambda town: with_terms(town, disconnection=Disconnection(hour_max=0)),
    ),
    "a transformer that is not among those named": (
        "UNKNOWN_DT",
        "meters[4].dt: DT-2",
        "name it there, or correct it",
        lambda town: with_terms(town, transformers=(Transformer(id="DT-1"),)),
    ),
    "a transformer that no meter is on": (
        "UNUSED_DT",
        "transformers[0]",
        "leave it out, or correct the meters' dt",
        lambda town: with_terms(town, transformers=(Transformer(id="DT-9"),)),
    ),
    "an account of 33 characters": (
        "MALFORMED_PAYLOAD",
        "meters[2].account: not an account",
        "write 1 to 32 of letters, digits",
        lambda town: with_third_meter(town, account="7" * 33),
    ),
}


@pytest.mark.parametrize("given", SITES)
async def test_a_site_document_is_refused_and_the_old_one_stays(town: Town, given: str) -> None:
    name, place, mend, make = SITES[given]
    before = await town.status()
    answer = await town.submit(make(town))
    assert (answer.accepted, answer.word) == (False, name)
    assert place in answer.detail
    assert mend in answer.detail
    after = await town.status()
    assert (after.site_seq, after.meters) == (before.site_seq, before.meters)
    (refusal,) = await since(town, before.records, Refused)
    assert isinstance(refusal.body, Refused)
    assert (refusal.body.name, refusal.body.detail) == (name, answer.detail)
    assert f"site      {before.site_seq}" in await typed(town, "status")


async def test_a_disconnection_is_not_taken_from_hand(town: Town) -> None:
    home, before = town.homes[1], await town.status()
    file = town.config.with_name("disconnect.jws")
    file.write_bytes(order(town.papers, 1, disconnect(home)))
    (said,) = await typed(town, "submit", str(file), code=1)
    assert said.startswith(f"{file}: ROAD_NOT_ALLOWED: ")
    (refusal,) = await since(town, before.records, Refused)
    assert isinstance(refusal.body, Refused)
    assert (refusal.body.name, refusal.body.road) == ("ROAD_NOT_ALLOWED", Road.LOCAL)
    after = await town.status()
    assert (after.order_seq, after.tasks, after.supply) == (0, 0, before.supply)


async def test_an_order_that_the_broker_has_kept_is_none(town: Town) -> None:
    status = await town.until(lambda status: "RETAINED_ORDER" in status.refusals)
    assert (status.order_seq, status.tasks) == (0, 0)
    refusals = [record.body for record in await since(town, 0, Refused)]
    (kept,) = [one for one in refusals if one.road is Road.MQTT]
    assert (kept.name, "publish it unkept" in kept.detail) == ("RETAINED_ORDER", True)


async def test_a_cause_that_somebody_answers_for_brings_a_paid_home_back(town: Town) -> None:
    home, lit, before = town.homes[7], town.homes[8], await town.status()
    ask = ("record-cause", home.serial, "--cause", "arrears", *ANSWERED_FOR)
    assert (await town.submit(list_of(town, home))).accepted
    (said,) = await typed(town, *ask, code=1)
    assert said.startswith(f"record-cause {home.serial}: ALREADY_CONNECTED: ")
    (said,) = await typed(town, *ask[:1], "NO-METER", *ask[2:], code=1)
    assert said.startswith("record-cause NO-METER: NOT_ON_ROSTER: ")
    (said,) = await typed(town, *ask[:-3], "", "--reason", "", code=1)
    assert said.startswith(f"record-cause {home.serial}: NAME_OR_REASON_MISSING: ")

    await town.line.control.open(home.serial)
    await dark(town, home, lambda one: one.verdict == Verdict.CAUSE_UNKNOWN)
    assert await typed(town, *ask) == [f"record-cause {home.serial}: ACCEPTED"]
    status = await town.until(lambda s: all(one.meter != home.serial for one in s.dark))
    assert status.supply == before.supply
    (recorded,) = await since(town, before.records, CauseRecorded)
    assert recorded.body == CauseRecorded(
        serial=Serial(home.serial),
        account=Account(home.account),
        cause=Cause.ARREARS,
        by="NAME",
        reason="WHY",
    )
    told = await typed(town, "evidence", "--account", home.account)
    assert any(f"meter {home.serial} was opened for arrears" in line for line in told)
    assert lit.account not in "".join(told)


async def test_a_stopped_transformer_goes_on_by_name_and_with_a_reason(town: Town) -> None:
    home, before = town.homes[9], await town.status()
    dt = home.meter.dt
    stops_soon = msgspec.structs.replace(OBSERVED_BRIEFLY, failures_max=1)
    assert (await town.submit(with_terms(town, pacing=stops_soon))).accepted
    (said,) = await typed(town, "resume-dt", dt, *ANSWERED_FOR)
    assert said == f"resume-dt {dt}: DUPLICATE"
    (said,) = await typed(town, "resume-dt", "DT-9", *ANSWERED_FOR, code=1)
    assert said.startswith("resume-dt DT-9: NOT_ON_ROSTER: ")

    await town.line.control.open(home.serial)
    await dark(town, home, lambda one: one.state is SupplyState.DISCONNECTED)
    await town.line.control.fault(Faults(stuck=1), home.serial)
    assert (await town.submit(town.papers.receipt(home, wall_ms()))).accepted
    status = await town.until(lambda status: bool(status.stops))
    assert [(stop.dt, stop.brake) for stop in status.stops] == [(dt, Brake.FAILURES)]
    waits = await dark(town, home, lambda one: one.verdict == Verdict.PACED)
    assert waits.brake == Brake.FAILURES
    said = "\n".join(await typed(town, "status"))
    assert f"stopped   {dt} until " in said
    assert "ALARM     PACING_STOPPED: " in said

    assert await typed(town, "resume-dt", dt, *ANSWERED_FOR) == [f"resume-dt {dt}: ACCEPTED"]
    assert (await town.status()).stops == ()
    (resumed,) = await since(town, before.records, PacingResumed)
    assert resumed.body == PacingResumed(dt=DtId(dt), by="NAME", reason="WHY")


async def test_what_an_order_holds_no_technician_lets_go(town: Town) -> None:
    home, nonce = town.homes[2], (await town.status()).nonce
    held = order(town.papers, 2, Hold(meter=home.serial, reason="theft, case 81"), nonce)
    assert (await town.submit(held)).accepted
    (said,) = await typed(town, "release-hold", home.serial, *ANSWERED_FOR, code=1)
    assert said.startswith(f"release-hold {home.serial}: PLACED_ELSEWHERE: ")
    assert await typed(town, "hold", home.serial, *ANSWERED_FOR) == [
        f"hold {home.serial}: ACCEPTED"
    ]
    assert (await town.status()).holds == 2
    assert (await typed(town, "release-hold", home.serial, *ANSWERED_FOR))[0].endswith("ACCEPTED")
    assert (await town.status()).holds == 1
    log = await typed(town, "log")
    assert any(
        line.endswith(f"HOLD of meter {home.serial} placed by NAME (TECHNICIAN): WHY")
        for line in log
    )
    assert any("placed by order O-2 (ORDER): theft, case 81" in line for line in log)
