"""The commands as people type them, each in a process of its own, before a daemon that runs."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from gateway.bench.demo_world import GATEWAY
from gateway.console.local import RECORD_NUMBER_MAX, AskRecords, LocalClient
from gateway.core.status import Status
from gateway.host.clock import wall_ms
from tests.rooms.daemon.town import Town, running_town

pytestmark = pytest.mark.asyncio(loop_scope="module")
COMMAND = (sys.executable, "-m", "gateway")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with running_town(tmp_path_factory.mktemp("town")) as town:
        yield town


async def typed(
    config: Path, *arguments: object, status: int = 0, given: bytes = b""
) -> tuple[list[str], list[str]]:
    """What a command writes to standard output and to standard error."""
    process = await asyncio.create_subprocess_exec(
        *(*COMMAND, *map(str, arguments), "--config", str(config)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = (text.decode() for text in await process.communicate(given))
    assert "Traceback" not in err
    assert process.returncode == status, (out, err)
    return out.splitlines(), err.splitlines()


async def test_status_in_words_and_in_json(town: Town) -> None:
    words, _ = await typed(town.config, "status")
    (line,), _ = await typed(town.config, "status", "--json")
    status = msgspec.json.decode(line, type=Status)
    assert status.gateway == GATEWAY
    assert words[0].startswith(f"gateway   {GATEWAY}; ")
    assert any(line.startswith(f"supply    {status.meters} meters: CONNECTED") for line in words)


async def test_documents_by_file_and_by_standard_input(town: Town, tmp_path: Path) -> None:
    lit = town.homes[1]
    good, forged = town.papers.receipt(lit, wall_ms()), town.papers.forged_receipt(lit, wall_ms())
    file = tmp_path / "receipts.txt"
    file.write_bytes(good + b"\n\n" + forged + b"\r\n")
    words, _ = await typed(town.config, "submit", file, status=1)
    assert words[0] == f"{file}: line 1: ACCEPTED"
    assert words[1].startswith(f"{file}: line 3: BAD_SIGNATURE: ")
    (said,), _ = await typed(town.config, "submit", "-", given=good)
    assert said == "-: DUPLICATE"
    (said,), _ = await typed(town.config, "submit", "--json", "-", given=good)
    answer = {"accepted": True, "word": "DUPLICATE", "detail": "", "order": None}
    assert json.loads(said) == {"what": "-", "answer": answer}
    file.write_bytes(b"\n")
    _, mistake = await typed(town.config, "submit", file, status=1)
    assert mistake == [f"Error: {file}: it is empty; give a signed document"]


async def test_the_log_in_words_and_in_json(town: Town) -> None:
    words, _ = await typed(town.config, "log")
    lines, _ = await typed(town.config, "log", "--json")
    numbers = [json.loads(line)["record"]["number"] for line in lines]
    assert numbers == list(range(1, len(lines) + 1))
    assert [int(line.split()[0]) for line in words] == numbers[: len(words)]
    rest, _ = await typed(town.config, "log", "--after", 2)
    assert rest[: len(words) - 2] == words[2:]
    nothing, _ = await typed(town.config, "log", "--after", RECORD_NUMBER_MAX)
    assert nothing == []


async def test_a_number_that_no_journal_counts_to_is_refused(town: Town) -> None:
    reply = await town.ask(AskRecords(after=RECORD_NUMBER_MAX + 1))
    assert (reply.kind, "after" in reply.error) == ("error", True)


async def test_tags_come_and_go_with_a_name_and_a_reason(town: Town) -> None:
    serial, dt = town.homes[1].serial, town.homes[1].meter.dt
    for place, remove, target in (
        ("hold", "release-hold", (serial,)),
        ("isolate-dt", "end-dt", (dt,)),
        ("isolate", "end-isolation", ()),
    ):
        for name in (place, remove):
            tag = (name, *target, "--by", "NAME", "--reason", "WHY")
            what = " ".join((name, *target))
            assert (await typed(town.config, *tag))[0] == [f"{what}: ACCEPTED"]
            (again,), _ = await typed(town.config, *tag, "--json")
            assert json.loads(again)["answer"]["word"] == "DUPLICATE"
    unknown = ("hold", "NO-METER", "--by", "NAME", "--reason", "WHY")
    (refused,), _ = await typed(town.config, *unknown, status=1)
    assert refused.startswith("hold NO-METER: NOT_ON_ROSTER: ")
    (refused,), _ = await typed(town.config, "isolate", "--by", "", "--reason", "", status=1)
    assert refused.startswith("isolate: NAME_OR_REASON_MISSING: ")


async def test_a_second_daemon_leaves_the_first_alone(town: Town) -> None:
    out, (error,) = await typed(town.config, "run", status=1)
    assert out == []
    assert f"{town.config.parent}/state/journal.db: LOCKED: " in error
    assert error.endswith("stop that one, or give this one another path")
    assert (await town.status()).gateway == GATEWAY


async def test_ctrl_c_ends_a_daemon_in_order(town: Town, tmp_path: Path) -> None:
    other = town.config.with_name("other.toml")
    other.write_text(town.config.read_text().replace('"state"', f'"{tmp_path}/state"'))
    running = await asyncio.create_subprocess_exec(
        *(*COMMAND, "run", "--config", str(other)), stderr=asyncio.subprocess.PIPE
    )
    assert running.stderr is not None
    async for line in running.stderr:
        if b"runs, version" in line:
            break
    running.send_signal(signal.SIGINT)
    rest = await running.stderr.read()
    assert await running.wait() == 0
    assert b"Traceback" not in rest
    assert not (tmp_path / "state" / "gateway.sock").exists()


async def test_what_answers_may_be_of_another_kind(town: Town, tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    other = town.config.with_name("strange.toml")
    other.write_text(f'local_socket = "{path}"\n' + town.config.read_text())

    async def strange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b'{"kind": "weather"}\n')
        writer.close()

    async with await asyncio.start_unix_server(strange, path):
        _, (error,) = await typed(other, "status", status=1)
    assert error.startswith(f"Error: {path}: no answer of this version (")
    with pytest.raises(OSError):  # noqa: PT011 - which one depends on the system
        await LocalClient(path).ask(AskRecords())
