"""The fleet's table: who needs somebody first, and nothing shown as fine that was not heard."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from gateway.headend.messages import pack_absence
from gateway.host.clock import wall_ms
from gateway.utility.watch import COLUMNS_MAX, OLD_MS, Fleet, Online, table
from tests.rooms.brokers import mosquitto
from tests.rooms.headend.engine_side import GATEWAY, PATIENCE_S, UTILITY
from tests.rooms.headend.other_end import OtherEnd

PROGRAM = "from gateway.utility.cli import utility; utility()"
NOW_MS = 1_795_077_120_000


def status(gateway: str, **more: object) -> bytes:
    said: dict[str, object] = {
        "gateway": gateway,
        "online": True,
        "wall_ms": NOW_MS,
        "list": {"seq": 12, "age_ms": 5_400_000, "entries": 40},
        "waiting": 0,
        "longest_wait_ms": 0,
        "outbox": 3,
        "clock_trusted": True,
        "dark": [],
        "alarms": [],
    }
    return msgspec.json.encode({**said, **more})


def fleet(said: Iterable[tuple[str, bytes]], expected: Iterable[str] = ()) -> Fleet:
    found = Fleet(expected)
    for gateway, payload in said:
        found.hear(gateway, payload, retained=False, at_s=0.0, wall_ms=NOW_MS)
    return found


def test_who_needs_somebody_stands_first() -> None:
    said = [
        ("fine", status("fine")),
        ("waits", status("waits", waiting=2, longest_wait_ms=60_000)),
        ("failed", status("failed", dark=[{"last_outcome": "FAILED"}, {"last_outcome": None}])),
        ("alarm", status("alarm", alarms=["LIST_STALE"])),
        ("gone", pack_absence("gone")),
        ("strange", b"\xff"),
    ]
    names = ["never", *(name for name, _ in said)]
    rows = fleet(said, names).rows(1.0)
    assert [row.gateway for row in rows] == [
        "never", "strange", "gone", "alarm", "failed", "waits", "fine",
    ]  # fmt: skip
    assert [row.online for row in rows[:4]] == [
        Online.NEVER_SEEN, Online.UNREADABLE, Online.GONE, Online.YES,
    ]  # fmt: skip
    assert next(row.failed for row in rows if row.gateway == "failed") == 1


def test_of_who_is_gone_stands_what_it_said_last() -> None:
    known = fleet([(GATEWAY, status(GATEWAY)), (GATEWAY, pack_absence(GATEWAY))])
    row = known.row(GATEWAY, 1.0)
    assert (row.online, row.list_seq, row.outbox) == (Online.GONE, 12, 3)


def test_a_status_grows_old() -> None:
    known = fleet([(GATEWAY, status(GATEWAY))])
    assert known.row(GATEWAY, OLD_MS / 1000).online is Online.YES
    assert known.row(GATEWAY, OLD_MS / 1000 + 1).online is Online.OLD


@pytest.mark.parametrize(
    ("payload", "online"),
    [
        (status(GATEWAY, wall_ms=NOW_MS - OLD_MS), Online.YES),
        (status(GATEWAY, wall_ms=NOW_MS - OLD_MS - 1), Online.OLD),
        (msgspec.json.encode({"gateway": GATEWAY, "online": True}), Online.OLD),
    ],
)
def test_what_the_broker_kept_is_as_old_as_it_says(payload: bytes, online: Online) -> None:
    known = Fleet()
    known.hear(GATEWAY, payload, retained=True, at_s=0.0, wall_ms=NOW_MS)
    assert known.row(GATEWAY, 0.0).online is online


def test_no_line_is_too_wide() -> None:
    much = {
        "waiting": 2000,
        "longest_wait_ms": 99 * 86_400_000,
        "outbox": 9_999_999,
        "alarms": [f"ALARM_NUMBER_{number}" for number in range(20)],
        "list": {"seq": 99_999_999, "age_ms": 99 * 86_400_000},
        "clock_trusted": False,
    }
    name = "g" * 32
    lines = list(table(fleet([(name, status(name, **much))]).rows(1e6)))
    assert max(len(line) for line in lines) <= COLUMNS_MAX
    assert "ALARM_NUMBER_19" in lines[-1]


async def looked(address: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = ("watch", "--broker", address, "--utility", UTILITY, *options)
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", PROGRAM, *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


async def test_the_fleet_is_shown_once(tmp_path: Path) -> None:
    async with (
        mosquitto(tmp_path / "broker") as (host, port),
        OtherEnd().listening(host, port) as other,
    ):
        for name in ("gw-1", "gw-2"):
            topic = f"fg/v1/{UTILITY}/{name}/up/status"
            await other.say(topic, status(name, wall_ms=wall_ms()), retain=True)
        everybody = await looked(f"{host}:{port}")
        one = await looked(f"{host}:{port}", "--json", "--once", "--gateway", "gw-2")
    assert [line.split()[:2] for line in everybody.stdout.splitlines()[1:]] == [
        ["gw-1", "yes"],
        ["gw-2", "yes"],
    ]
    (row,) = [json.loads(line) for line in one.stdout.splitlines()]
    assert (row["gateway"], row["online"], row["list_seq"]) == ("gw-2", "yes", 12)


async def test_each_status_is_told_as_it_comes(tmp_path: Path) -> None:
    async with (
        mosquitto(tmp_path / "broker") as (host, port),
        OtherEnd().listening(host, port) as other,
    ):
        topic = f"fg/v1/{UTILITY}/{GATEWAY}/up/status"
        await other.say(topic, status(GATEWAY), retain=True)
        words = ("watch", "--broker", f"{host}:{port}", "--utility", UTILITY, "--json")
        watching = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, *words, stdout=asyncio.subprocess.PIPE
        )
        assert watching.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            first = json.loads(await watching.stdout.readline())
            await other.say(topic, pack_absence(GATEWAY), retain=True)
            second = json.loads(await watching.stdout.readline())
            watching.send_signal(signal.SIGINT)
            assert await watching.wait() == 0
    assert (first["online"], second["online"]) == ("OLD", "GONE")


async def test_a_broker_that_is_not_there_is_named() -> None:

    done = await looked("127.0.0.1:1", "--once")
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
