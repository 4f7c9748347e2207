"""The `journal` commands before a daemon that runs, is stopped, and is restored."""

import asyncio
import json
import shutil
import sqlite3
import sys
from pathlib import Path

import msgspec

from gateway.bench.demo_world import GATEWAY, Daemon
from gateway.console.local import AskStatus, LocalClient
from gateway.core.alarms import Alarm
from gateway.core.documents import Site
from gateway.core.marks import Memory
from gateway.core.signature import DocumentType
from gateway.core.status import Status
from gateway.journal.checking import Checked
from gateway.journal.putting_back import Difference
from gateway.journal.stats import Stats
from gateway.utility.sign import payload_of
from tests.rooms.daemon.town import LOOK_EVERY_S, PATIENCE_S, Town, running_town

COMMAND = (sys.executable, "-m", "gateway", "journal")


async def said(config: Path, *arguments: object, status: int = 0) -> tuple[str, str]:
    """What a command writes to standard output and to standard error."""
    process = await asyncio.create_subprocess_exec(
        *(*COMMAND, *map(str, arguments), "--config", str(config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = (text.decode() for text in await process.communicate())
    assert "Traceback" not in err
    assert process.returncode == status, (out, err)
    return out, err


async def status_of(config: Path) -> Status:
    """The status of a daemon that comes up."""
    client = LocalClient(config.parent / "state" / "gateway.sock")
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                status = (await client.ask(AskStatus())).status
            except OSError:
                await asyncio.sleep(LOOK_EVERY_S)
                continue
            assert status is not None
            return status


async def once_up(config: Path, folder: Path) -> Status:
    """The status of a daemon that is started on what is there, and stopped again."""
    task = asyncio.create_task(Daemon(config, folder / "daemon.log").keep_running())
    try:
        return await status_of(config)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def newer_site(town: Town) -> None:
    meters = tuple(home.meter for home in town.homes[:5])
    newer = Site(gateway=GATEWAY, seq=2, feeder="F-1", meters=meters)
    signed = town.papers.keys.site.sign(DocumentType.SITE, payload_of(newer))
    assert (await town.submit(signed)).accepted


async def test_a_backup_is_taken_while_it_runs_and_put_back_while_it_does_not(
    tmp_path: Path,
) -> None:
    file = tmp_path / "backup.tar"
    async with running_town(tmp_path) as town:
        config = town.config
        before = await town.status()
        out, _ = await said(config, "backup", file, "--json")
        told = json.loads(out)
        assert (told["file"], told["bytes"]) == (str(file), file.stat().st_size)
        assert told["number"] >= before.records
        await newer_site(town)

        _, err = await said(config, "backup", file, status=1)
        assert "is there already" in err
        _, err = await said(config, "backup", tmp_path / "nowhere" / "b.tar", status=1)
        assert "nowhere" in err
        assert "socket" not in err
        await the_figures_and_the_check(config, town)

        out, _ = await said(config, "restore", file, "--dry-run")
        assert "documents: 1 site" in out
        assert "site        seq 2 here, 1 in the backup; stays at the higher one" in out
        assert out.endswith("nothing was changed\n")
        _, err = await said(config, "restore", file, status=1)
        assert "LOCKED" in err
        assert (await town.status()).site_seq == 2

    # The newer site document is still in the archive: nothing of it is lost.
    out, _ = await said(config, "restore", file, "--json")
    found = msgspec.json.decode(out, type=Difference)
    assert found.common == told["number"]
    assert found.here.documents_only_here == {"site": 1}
    status = await once_up(config, tmp_path)
    assert (status.site_seq, status.meters) == (2, 5)
    assert "journal.db.lost-1" in (await said(config, "stats"))[0]

    # A new card, and marks elsewhere: what was in force is known to be newer, and is waited for.
    state = config.parent / "state"
    shutil.rmtree(state / "archive")
    (state / "journal.db").unlink()
    await said(config, "restore", file)
    status = await once_up(config, tmp_path)
    assert Alarm.BEHIND in status.alarms
    assert status.memory is Memory.BEHIND


async def the_figures_and_the_check(config: Path, town: Town) -> None:
    out, _ = await said(config, "stats", "--json")
    found = msgspec.json.decode(out, type=Stats)
    assert found.first == 1
    assert found.last <= (await town.status()).records
    assert found.archive["site"] == 2
    assert found.written_bytes is not None
    words, _ = await said(config, "stats")
    assert f"records      1 to {found.last}, " in words
    out, _ = await said(config, "verify", "--json")
    checked = msgspec.json.decode(out, type=Checked)
    assert (checked.first, checked.damage) == (1, "")
    assert checked.last >= found.last
    assert "one unbroken chain" in (await said(config, "verify"))[0]


async def test_a_damaged_journal_and_one_that_is_not_there(tmp_path: Path) -> None:
    async with running_town(tmp_path) as town:
        config = town.config
    journal = config.parent / "state" / "journal.db"
    with sqlite3.connect(journal) as database:
        database.execute("UPDATE records SET content = x'00' WHERE number = 1")
    database.close()
    out, _ = await said(config, "verify", status=1)
    assert "DAMAGED: the chain breaks at record 1" in out
    journal.unlink()
    _, err = await said(config, "stats", status=1)
    assert "there is none yet" in err
    _, err = await said(config, "restore", journal.with_name("nothing.tar"), status=1)
    assert "No such file" in err
    assert not journal.exists(), "nothing was made"
