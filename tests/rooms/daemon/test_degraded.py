"""A daemon whose disk takes nothing goes on closing for who has paid, and says so."""

import resource
from pathlib import Path

from gateway.bench.demo_world import Home
from gateway.core.alarms import Alarm
from gateway.core.documents import Receipt
from gateway.core.signature import DocumentType
from gateway.core.status import Status
from gateway.core.trust_records import JournalMended
from gateway.utility.sign import payload_of
from tests.rooms.daemon.town import Town, running_town

N = 1_795_400_000_000
UNLIMITED = resource.RLIM_INFINITY


def receipt_of(home: Home, town: Town) -> bytes:
    paper = Receipt(account=home.account, meter=home.serial, n=N, paid_at=N, exp=2 * N)
    return town.papers.keys.receipt.sign(DocumentType.RECEIPT, payload_of(paper))


def accounts(status: Status) -> set[str]:
    return {meter.account for meter in status.dark}


def no_file_may_grow(town: Town, limit: int) -> None:
    """What the kernel lets this one process write: 0 octets is a disk that takes nothing."""
    process = town.daemon._process
    assert process is not None
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, UNLIMITED))


async def test_who_has_paid_is_closed_while_the_disk_takes_nothing(tmp_path: Path) -> None:
    async with running_town(tmp_path) as town:
        first, second, third = town.homes[4], town.homes[5], town.homes[8]
        for home in (first, second, third):
            await town.line.control.open(home.serial)
        three = {first.account, second.account, third.account}
        await town.until(lambda one: three <= accounts(one))
        for home in (first, second):
            # They share a transformer: while the first close is observed the second one waits.
            assert (await town.submit(receipt_of(home, town))).accepted
        no_file_may_grow(town, 0)
        answer = await town.submit(receipt_of(third, town))
        assert (answer.accepted, answer.word) == (False, "JOURNAL_DEGRADED")
        status = await town.status()
        assert Alarm.JOURNAL_DEGRADED in status.alarms
        assert status.degraded is not None
        assert status.degraded.trouble == "DISK_ERROR"
        status = await town.until(lambda one: not {first.account, second.account} & accounts(one))
        truth = await town.line.control.truth()
        assert truth.meter(first.serial).closed
        assert truth.meter(second.serial).closed
        assert not truth.meter(third.serial).closed
        assert status.degraded is not None
        assert status.degraded.held > 0
        no_file_may_grow(town, UNLIMITED)
        status = await town.until(lambda one: one.degraded is None)
        assert Alarm.JOURNAL_DEGRADED not in status.alarms
        assert (await town.submit(receipt_of(third, town))).accepted
        await town.until(lambda one: third.account not in accounts(one))
        records = await town.records()
        assert [record.number for record in records] == list(range(1, len(records) + 1))
        assert sum(isinstance(record.body, JournalMended) for record in records) == 1
        assert town.daemon.starts == 1
    log = (tmp_path / "daemon.log").read_text(encoding="utf-8")
    assert "written down again" in log
    assert "Traceback" not in log
