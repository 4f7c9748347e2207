"""`evidence` on records of an order and of grace: why a home was cut, and why it came back."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from gateway.console.evidence import AccountEvidence, evidence
from gateway.console.local import RecordLine
from gateway.console.words import day_of
from gateway.core.fact import Move, Outcome, Road, Why
from gateway.core.model import Account, Cause, Digest, DtId, Now, Serial, SupplyState
from gateway.core.orders import CutEntry, Disconnect, Reconnect
from gateway.core.records import (
    CHAIN_START,
    Body,
    CauseRecorded,
    CloseEnded,
    CloseIntended,
    GraceGranted,
    HeadEndLost,
    OrderAccepted,
    OrderRefused,
    Started,
    SupplyChanged,
    TaskEnded,
    TaskIntended,
    record_of,
    store,
)

NOON_MS = 1_795_400_000_000
CUT, ASKED, LIT = Account("7301001"), Account("7301002"), Account("7301003")
METER, DT = Serial("220315000001"), DtId("DT-1")
SITE = Digest("5" * 64)
HOME: dict[str, Any] = {"account": CUT, "meter": METER, "dt": DT}
TASK: dict[str, Any] = {**HOME, "number": 1, "move": Move.OPEN, "order": "O-7"}
ENDED: dict[str, Any] = {"verdict": "", "why": Why.NONE, "writes": 1, "forced": False}


def order(seq: int, act: Disconnect | Reconnect) -> OrderAccepted:
    return OrderAccepted(
        id=f"O-{seq}",
        seq=seq,
        act=act,
        iat=NOON_MS,
        exp=NOON_MS + 1,
        boot=None,
        digest=Digest(f"{seq}" * 64),
        signers=("order-1", "order-2"),
        road=Road.MQTT,
    )


def reads(before: SupplyState, after: SupplyState) -> SupplyChanged:
    return SupplyChanged(serial=METER, account=CUT, before=before, after=after)


def bodies() -> tuple[Body, ...]:
    """A home is cut by an order; the head end is lost, and it comes back by grace."""
    entries = tuple(CutEntry(account=account, meter=METER, n=5) for account in (CUT, ASKED))
    return (
        Started(version="1"),
        reads(SupplyState.UNKNOWN, SupplyState.CONNECTED),
        order(7, Disconnect(accounts=entries)),
        TaskIntended(attempt=1, **TASK),
        TaskEnded(outcome=Outcome.OPENED_VERIFIED, **TASK, **ENDED),
        reads(SupplyState.CONNECTED, SupplyState.DISCONNECTED),
        order(8, Reconnect(account=ASKED, meter=METER)),
        OrderRefused(
            id="O-9",
            seq=9,
            kind="disconnect",
            name="LIST_STALE",
            detail="meter M",
            digest=SITE,
            signers=("order-1",),
            road=Road.MQTT,
        ),
        HeadEndLost(heard_ms=0),
        CauseRecorded(serial=METER, account=CUT, cause=Cause.ARREARS, by="NAME", reason="WHY"),
        GraceGranted(account=CUT, meter=METER, n=5, hours=48, silent_ms=90_000_000),
        CloseIntended(close=2, attempt=1, standing_n=5, standing_digest=SITE, grace=True, **HOME),
        CloseEnded(close=2, outcome=Outcome.CLOSED_VERIFIED, **HOME, **ENDED),
        reads(SupplyState.DISCONNECTED, SupplyState.CONNECTED),
    )


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Those records as `log --json` prints them."""
    chain, lines = CHAIN_START, []
    for number, body in enumerate(bodies(), start=1):
        now = Now(mono_ms=1_000 * number, boot="b", wall_ms=NOON_MS + number, wall_low_ms=0)
        stored = store(record_of(number, body, now), chain)
        chain = stored.chain
        lines.append(RecordLine(chain=chain.hex(), record=msgspec.Raw(stored.content)))
    file = tmp_path / "records.jsonl"
    file.write_bytes(b"\n".join(msgspec.json.encode(line) for line in lines))
    return file


def told(journal: Path, *words: str) -> str:
    result = CliRunner().invoke(evidence, ["--from", str(journal), *words])
    assert result.exit_code == 0, result.output
    return str(result.output)


def kinds(journal: Path, account: Account) -> Sequence[str]:
    """The kinds of the records that concern an account."""
    found = msgspec.json.decode(told(journal, "--account", account, "--json"), type=AccountEvidence)
    return [msgspec.json.decode(link.record)["body"]["type"] for link in found.records]


def test_a_close_under_grace_is_told_as_such(journal: Path) -> None:
    lines = told(journal, "--account", CUT)
    assert f"reason      GRACE, by the site document's grace, nobody had paid: {SITE}" in lines
    assert "promised within" not in lines
    assert f"account {CUT}: close 2 decided by grace" in lines


def test_the_order_that_cut_an_account_stands_among_its_records(journal: Path) -> None:
    lines = told(journal, "--account", CUT)
    assert f"order O-7: cut account {CUT}, {ASKED} (MQTT, signed by order-1, order-2)" in lines
    assert "opening 1 for order O-7 OPENED_VERIFIED: read back twice, it is open" in lines
    assert kinds(journal, CUT) == [
        "order_accepted",
        "task_intended",
        "task_ended",
        "supply_changed",
        "cause_recorded",
        "grace_granted",
        "close_intended",
        "close_ended",
        "supply_changed",
    ]


def test_an_account_that_only_orders_name_is_known(journal: Path) -> None:
    lines = told(journal, "--account", ASKED)
    assert lines.startswith(f"account {ASKED}: no reconnection in these records")
    assert kinds(journal, ASKED) == ["order_accepted", "order_accepted"]
    result = CliRunner().invoke(evidence, ["--from", str(journal), "--account", LIT])
    assert (result.exit_code, f"no record names account {LIT}" in result.output) == (1, True)


def test_the_utilitys_table_names_the_paper_and_no_wait_that_nobody_had(journal: Path) -> None:
    header, row = csv.reader(told(journal, "--day", day_of(NOON_MS)).splitlines())
    cells = dict(zip(header, row, strict=True))
    assert (cells["account"], cells["paper"], cells["reason"]) == (CUT, "GRACE", SITE)
    assert (cells["paid_at"], cells["waited_s"], cells["within_promise"]) == ("", "", "")
