"""A daemon that cannot write down what it is told says nothing, ends, and is started again."""

import asyncio
import resource
from pathlib import Path

import pytest

from gateway.console.local import LocalClient, Submit
from gateway.core.documents import Receipt
from gateway.core.signature import DocumentType
from gateway.utility.sign import payload_of
from tests.rooms.daemon.town import PATIENCE_S, running_town

N = 1_795_400_000_000


async def test_no_answer_and_status_1_when_the_disk_takes_no_more(tmp_path: Path) -> None:
    async with running_town(tmp_path) as town:
        home, state = town.homes[1], town.config.parent / "state"
        paper = Receipt(account=home.account, meter=home.serial, n=N, paid_at=N, exp=2 * N)
        receipt = town.papers.keys.receipt.sign(DocumentType.RECEIPT, payload_of(paper)).decode()
        _, stays = await asyncio.open_unix_connection(state / "gateway.sock")
        process = town.daemon._process
        assert process is not None
        no_more = (state / "journal.db-wal").stat().st_size
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (no_more, no_more))
        with pytest.raises(ConnectionError):
            await LocalClient(state / "gateway.sock").ask(Submit(document=receipt))
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 1
        stays.close()
        answer = await town.submit(receipt.encode())
        assert answer.accepted
        assert town.daemon.starts == 2
    log = (tmp_path / "daemon.log").read_text(encoding="utf-8")
    assert "journal.db: DISK_ERROR" in log
    assert "Traceback" not in log
