"""`evidence` on a real daemon: a home pays and comes back, and anybody can check the records."""

import asyncio
import csv
import io
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from gateway.bench.demo_world import Home
from gateway.console.evidence import AccountEvidence, SummaryEvidence
from gateway.console.evidence_csv import COLUMNS
from gateway.core.kept import Restored
from gateway.core.model import SupplyState
from gateway.core.records import chain_hash
from gateway.core.status import Status
from gateway.host.clock import wall_ms
from tests.rooms.daemon.town import Town, running_town

pytestmark = pytest.mark.asyncio(loop_scope="module")
INDIA = "IST-5:30"


@dataclass(frozen=True)
class Told:
    """What a command said."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Restoration:
    """A town in which one home has come back, one is dark and unpaid, and the others are lit."""

    town: Town
    home: Home
    paid_at: int
    exported: Path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def restored(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Restoration]:
    folder = tmp_path_factory.mktemp("town")
    async with running_town(folder) as town:
        home = town.homes[0]
        await town.line.control.open(home.serial)
        await town.until(lambda s: s.supply[SupplyState.DISCONNECTED] == 2)
        paid_at = wall_ms()
        assert (await town.submit(town.papers.receipt(home, paid_at))).accepted
        await town.until(lambda s: s.supply[SupplyState.DISCONNECTED] == 1)
        exported = folder / "records.jsonl"
        exported.write_text((await say(town, "log", "--json")).out, encoding="utf-8")
        yield Restoration(town=town, home=home, paid_at=paid_at, exported=exported)


async def say(town: Town | None, *words: str) -> Told:
    """Run one command beside the daemon, by Indian time; without a town it finds no daemon."""
    config = () if town is None else ("--config", str(town.config))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *words, *config),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TZ": INDIA},
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Told(code=process.returncode, out=out.decode(), err=err.decode())


async def test_one_account_in_words(restored: Restoration) -> None:
    told = await say(restored.town, "evidence", "--account", restored.home.account)
    assert (told.code, told.err) == (0, "")
    head, *lines = told.out.splitlines()
    assert head.startswith(f"account {restored.home.account}, meter {restored.home.serial}: ")
    assert "CLOSED_VERIFIED" in head
    named = [line[2:12].strip() for line in lines]
    for step in ("dark since", "paid", "received", "decided", "written", "verified", "waited"):
        assert step in named
    assert "promised within 20:00: kept" in told.out
    assert "+05:30" in head
    assert "RECEIPT by receipt-1, came by LOCAL: " in told.out
    assert lines[-1].startswith("chain     records 1 to ")


async def test_one_account_as_links_that_anybody_can_check(restored: Restoration) -> None:
    told = await say(restored.town, "evidence", "--account", restored.home.account, "--json")
    found = msgspec.json.decode(told.out, type=AccountEvidence)
    (journey,) = found.journeys
    assert journey.paid_at == restored.paid_at
    assert tuple(link.number for link in found.records) == journey.numbers
    for link in found.records:
        assert link.previous is not None
        previous = bytes.fromhex(link.previous)
        assert chain_hash(previous, bytes(link.record)).hex() == link.chain
    bodies = [json.loads(bytes(link.record))["body"]["type"] for link in found.records]
    assert bodies == [
        "supply_changed",
        "receipt_accepted",
        "close_intended",
        "close_ended",
        "supply_changed",
    ]


async def test_a_day_as_a_table_for_the_utility(restored: Restoration) -> None:
    told = await say(restored.town, "evidence", "--account", restored.home.account, "--json")
    (journey,) = msgspec.json.decode(told.out, type=AccountEvidence).journeys
    assert journey.ended is not None
    ended = datetime.fromtimestamp(journey.ended.wall_ms / 1000).astimezone()
    today = ended.astimezone(datetime.strptime("+0530", "%z").tzinfo).date()
    table = await say(restored.town, "evidence", "--day", today.isoformat())
    header, row = list(csv.reader(io.StringIO(table.out)))
    assert tuple(header) == COLUMNS
    cells = dict(zip(header, row, strict=True))
    assert (cells["account"], cells["outcome"]) == (restored.home.account, "CLOSED_VERIFIED")
    assert (cells["within_promise"], cells["within_compensation_limit"]) == ("yes", "yes")
    times = [cells[name] for name in ("dark_since", "received", "decided", "closed", "verified")]
    assert sorted(times) == times
    assert all(time.endswith("+05:30") for time in times)
    assert datetime.fromisoformat(cells["paid_at"]).timestamp() * 1000 == restored.paid_at
    assert journey.waited_ms is not None
    assert float(cells["waited_s"]) == journey.waited_ms / 1000
    assert journey.reason is not None
    assert (cells["paper"], cells["reason"]) == ("RECEIPT", journey.reason.digest)
    assert cells["records"].split() == [str(number) for number in journey.numbers]
    other = await say(restored.town, "evidence", "--day", "2020-01-01")
    assert (other.code, other.out.splitlines()) == (0, [",".join(COLUMNS)])


async def test_the_counts_agree_with_the_status_and_survive_a_restart(
    restored: Restoration,
) -> None:
    told = await say(restored.town, "evidence", "--json")
    total = msgspec.json.decode(told.out, type=SummaryEvidence).summary.total
    counted = (await restored.town.status()).restored
    assert counted == Restored(total=1, within_promise=1, late=0, worst_ms=total.worst_ms or 0)
    assert counted.worst_ms > 0
    said = await say(restored.town, "status")
    assert "restored  1 since the journal began, 1 within the promise, 0 late" in said.out
    before = await restored.town.status()
    assert restored.town.daemon.cut_power()

    def started_again(status: Status) -> bool:
        return status.records > before.records

    assert (await restored.town.until(started_again)).restored == counted


async def test_the_counts_in_words(restored: Restoration) -> None:
    told = await say(restored.town, "evidence")
    assert told.code == 0
    assert told.out.startswith("restored  1, within 20:00 1, late 0, longest ")
    assert f"(account {restored.home.account}); later than 2:00:00 after the payment 0" in told.out


async def test_an_exported_file_says_the_same_without_a_gateway(restored: Restoration) -> None:
    file = str(restored.exported)
    by_file = await say(None, "evidence", "--from", file, "--account", restored.home.account)
    assert by_file.code == 0
    assert "promised within 20:00: kept" in by_file.out
    strict = await say(
        None, "evidence", "--from", file, "--account", restored.home.account, "--promise", "1"
    )
    assert "promised within 01:00: kept" in strict.out


async def test_an_export_that_begins_later_says_what_it_takes_as_given(
    restored: Restoration, tmp_path: Path
) -> None:
    lines = restored.exported.read_text(encoding="utf-8").splitlines(keepends=True)
    later = tmp_path / "later.jsonl"
    later.write_text("".join(lines[4:]), encoding="utf-8")
    told = await say(None, "evidence", "--from", str(later))
    assert told.code == 0
    assert "record 5 is taken as given: the one before it is not here" in told.out


def changed_content(lines: list[bytes]) -> list[bytes]:
    lines[2] = lines[2].replace(b'"wall_ms":1', b'"wall_ms":2', 1)
    return lines


def changed_hash(lines: list[bytes]) -> list[bytes]:
    lines[2] = lines[2].replace(b'{"chain":"', b'{"chain":"00', 1)
    return lines


def no_hash(lines: list[bytes]) -> list[bytes]:
    lines[2] = lines[2].replace(b'{"chain":"', b'{"chain":"xx', 1)
    return lines


def other_kind(lines: list[bytes]) -> list[bytes]:
    lines[2] = lines[2].replace(b'"type":"', b'"type":"no_', 1)
    return lines


TAMPERED = {
    "a record was changed": (changed_content, "the chain breaks at record 3: it or its hash"),
    "a hash was changed": (changed_hash, "the chain breaks at record 3: it or its hash"),
    "a hash is none": (no_hash, "the chain breaks at record 3: its hash is none"),
    "a record is of no kind": (other_kind, "the chain breaks at record 3: it cannot be read"),
    "a record was taken out": (
        lambda lines: lines[:2] + lines[3:],
        "the chain breaks: record 4 follows record 2",
    ),
    "two records change places": (
        lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]],
        "the chain breaks: record 4 follows record 2",
    ),
    "a line is cut off": (lambda lines: [lines[0], lines[1][:40]], "line 2 is no record"),
    "nothing is there": (lambda _: [b"\n"], "no records"),
}


@pytest.mark.parametrize("given", TAMPERED)
async def test_records_that_are_not_the_ones_written_prove_nothing(
    restored: Restoration, tmp_path: Path, given: str
) -> None:
    tamper, said = TAMPERED[given]
    lines = restored.exported.read_bytes().splitlines(keepends=True)
    tampered = tmp_path / "tampered.jsonl"
    tampered.write_bytes(b"".join(tamper(lines)))
    assert tampered.read_bytes() != restored.exported.read_bytes()
    told = await say(None, "evidence", "--from", str(tampered), "--account", restored.home.account)
    assert (told.code, told.out) == (1, "")
    assert told.err.startswith(f"Error: {tampered}: {said}")
    assert told.err.count("\n") == 1


async def test_who_asks_wrongly_is_told_how(restored: Restoration) -> None:
    nobody = await say(restored.town, "evidence", "--account", "404")
    assert (nobody.code, nobody.err) == (
        1,
        "Error: no record names account 404; is the number right?\n",
    )
    both = await say(None, "evidence", "--day", "2026-11-19", "--json")
    assert both.code == 2
    assert "leave --account and --json out" in both.err
    late = await say(None, "evidence", "--day", "19.11.2026")
    assert late.code == 2
    helped = await say(None, "evidence", "--help")
    assert "feeder-gateway evidence --day" in helped.out


async def test_who_is_dark_and_has_not_paid_has_no_journey(restored: Restoration) -> None:
    swapped = restored.town.homes[3]
    told = await say(restored.town, "evidence", "--account", swapped.account)
    assert told.code == 0
    assert told.out.startswith(f"account {swapped.account}: no reconnection in these records")
