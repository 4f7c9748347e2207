"""What a gateway lost of its disk, and what it does with the rest: who has paid comes back."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import paho.mqtt.publish

from gateway.bench.demo_world import GATEWAY, Home
from gateway.console.local import AskCheckpoint, AskTag
from gateway.core.alarms import Alarm
from gateway.core.documents import AllowList, ListEntry
from gateway.core.fact import Road, TagKind
from gateway.core.marks import Memory
from gateway.core.model import SupplyState
from gateway.core.orders import Act, CutEntry, Disconnect, Hold, Order
from gateway.core.records import (
    ListInstalled,
    OrderRefused,
    ReceiptAccepted,
    SiteInstalled,
    TagPlaced,
)
from gateway.core.signature import DocumentType
from gateway.core.status import MeterStatus, Status
from gateway.core.trust_records import JournalLost, MarksAhead
from gateway.host.clock import wall_ms
from gateway.journal.marks import MarksPair
from gateway.utility.sign import payload_of, sign_together
from tests.rooms.daemon.town import PATIENCE_S, Town, running_town

MONTH_MS = 30 * 86_400_000
LIFE_MS = 600_000


@contextlib.asynccontextmanager
async def without_power(town: Town) -> AsyncIterator[Path]:
    """The daemon is dead, and cannot come up before the end; gives its state directory."""
    away = town.config.rename(town.config.with_suffix(".away"))
    process = town.daemon._process
    assert process is not None
    town.daemon.cut_power()
    async with asyncio.timeout(PATIENCE_S):
        await process.wait()
    yield town.config.parent / "state"
    away.rename(town.config)


async def read_again(town: Town) -> Status:
    """The status once every meter has been read."""
    return await town.until(lambda s: s.meters > 0 and not s.supply[SupplyState.UNKNOWN])


def list_of(town: Town, seq: int, *homes: Home, nonce: str | None = None) -> bytes:
    """An allow-list that says of these homes that they were cut and have paid."""
    now_ms = wall_ms()
    entries = [
        ListEntry(account=one.account, meter=one.serial, n=now_ms, cut=True) for one in homes
    ]
    paper = AllowList(
        gateway=GATEWAY,
        seq=seq,
        as_of=now_ms,
        stale_after=now_ms + MONTH_MS,
        accounts=tuple(entries),
        nonce=nonce,
    )
    return town.papers.keys.list.sign(DocumentType.LIST, payload_of(paper))


def order_of(town: Town, seq: int, act: Act, boot: str, iat: int | None = None) -> bytes:
    """An order under both order keys."""
    issued = wall_ms() if iat is None else iat
    paper = Order(
        gateway=GATEWAY,
        id=f"O-{seq}",
        seq=seq,
        iat=issued,
        exp=issued + LIFE_MS,
        act=act,
        boot=boot,
    )
    return sign_together(town.papers.keys.orders, DocumentType.ORDER, payload_of(paper))


async def disconnect(town: Town, seq: int, home: Home) -> OrderRefused:
    """The head end's order to cut a home, which is refused."""
    entry = CutEntry(account=home.account, meter=home.serial, n=wall_ms())
    nonce = (await town.until(lambda s: s.broker is not None and s.broker.connected)).nonce
    paper = order_of(town, seq, Disconnect(accounts=(entry,)), nonce)
    host, port = town.broker
    publish = paho.mqtt.publish.single
    topic = f"{town.topics}/down/document"
    await asyncio.to_thread(publish, topic, paper, qos=1, hostname=host, port=port)
    await town.until(lambda s: s.order_seq == seq)
    (refused,) = (
        record.body
        for record in await town.records()
        if isinstance(record.body, OrderRefused) and record.body.seq == seq
    )
    return refused


async def darkened(town: Town, *homes: Home) -> None:
    """Somebody opens the switches of homes, and it is seen."""
    for home in homes:
        await town.line.control.open(home.serial)
    await town.until(lambda s: all(reads_open(home, s) for home in homes))


def reads_open(home: Home, status: Status) -> bool:
    """Whether a home's switch was read open."""
    return any(is_of(home, one) and one.state is SupplyState.DISCONNECTED for one in status.dark)


async def lit(town: Town, home: Home) -> Status:
    """Wait until a home has supply."""
    return await town.until(lambda s: not any(is_of(home, one) for one in s.dark))


def list_seq(status: Status) -> int | None:
    """Of the list in force."""
    return None if status.list is None else status.list.seq


def is_of(home: Home, meter: MeterStatus) -> bool:
    return meter.meter == home.serial


async def held(town: Town, home: Home) -> None:
    """A technician holds a home at the feeder."""
    ask = AskTag(kind=TagKind.HOLD, target=home.serial, place=True, by="NAME", reason="burnt")
    answer = (await town.ask(ask)).answer
    assert answer is not None
    assert answer.accepted


async def bodies_of(town: Town, *kinds: type) -> list[object]:
    return [r.body for r in await town.records() if isinstance(r.body, kinds)]


async def test_without_its_database_it_goes_on_from_the_archive_and_the_marks(
    tmp_path: Path,
) -> None:
    async with running_town(tmp_path) as town:
        paid, listed, forbidden = town.homes[0], town.homes[1], town.homes[2]
        await darkened(town, paid, listed, forbidden)
        await held(town, forbidden)
        assert (await town.submit(list_of(town, 3, forbidden))).accepted
        before = await town.status()
        async with without_power(town) as state:
            for file in state.glob("journal.db*"):
                file.unlink()
        after = await read_again(town)
        assert (after.memory, after.holds, list_seq(after)) == (Memory.WHOLE, 1, 3)
        assert (after.site_seq, after.meters) == (before.site_seq, before.meters)
        (lost,) = await bodies_of(town, JournalLost)
        assert isinstance(lost, JournalLost)
        assert (lost.trouble, lost.amnesia) == ("", False)
        assert [tag.by for tag in lost.marks.tags] == ["NAME"]
        site, *_ = await bodies_of(town, SiteInstalled, ListInstalled)
        assert isinstance(site, SiteInstalled)
        assert site.road is Road.ARCHIVE

        assert (await town.submit(town.papers.receipt(paid, wall_ms()))).accepted
        await lit(town, paid)
        assert (await town.submit(list_of(town, 4, listed, forbidden))).accepted
        status = await lit(town, listed)
        (dark,) = (one for one in status.dark if is_of(forbidden, one))
        assert dark.verdict == "METER_HELD"


async def test_a_damaged_database_is_set_aside_and_made_anew(tmp_path: Path) -> None:
    async with running_town(tmp_path) as town:
        home = town.homes[2]
        assert (await town.submit(list_of(town, 3))).accepted
        receipt = town.papers.receipt(home, wall_ms())
        assert (await town.submit(receipt)).accepted
        await held(town, home)
        archive = town.config.parent / "state" / "archive"
        files = sorted(archive.iterdir())
        for times in (1, 2):
            async with without_power(town) as state:
                (state / "journal.db").write_bytes(b"damaged" * 1_000)
                (state / "journal.db-wal").unlink()  # it would make good what is damaged
            after = await read_again(town)
            assert (after.memory, after.holds, list_seq(after)) == (Memory.WHOLE, 1, 3)
            (lost,) = await bodies_of(town, JournalLost)
            assert isinstance(lost, JournalLost)
            assert "CORRUPT: file is not a database" in lost.trouble
            assert lost.trouble.endswith(f"it was set aside as journal.db.lost-{times}")
            assert (state / f"journal.db.lost-{times}").exists()
            assert (await town.submit(receipt)).word == "DUPLICATE"
            assert len(await bodies_of(town, ReceiptAccepted)) == 1
        assert sorted(archive.iterdir()) == files, "what was taken up is not archived again"


async def test_without_its_marks_nothing_is_missing(tmp_path: Path) -> None:
    async with running_town(tmp_path) as town:
        home = town.homes[2]
        await held(town, home)
        assert (await town.submit(list_of(town, 3, home))).accepted
        async with without_power(town) as state:
            shutil.rmtree(state / "marks")
        after = await read_again(town)
        assert (after.memory, after.holds, list_seq(after)) == (Memory.WHOLE, 1, 3)
        assert await bodies_of(town, JournalLost, MarksAhead) == []
        assert (await town.submit(list_of(town, 4, home))).accepted
        marks = MarksPair(state / "marks").read()
        assert marks is not None
        assert (marks.list.seq, [tag.target for tag in marks.tags]) == (4, [home.serial])


async def test_without_anything_it_grants_and_does_not_cut_until_a_list_answers(
    tmp_path: Path,
) -> None:
    async with running_town(tmp_path) as town:
        home = town.homes[1]
        assert (await town.submit(list_of(town, 5))).accepted
        first = await town.status()
        async with without_power(town) as state:
            for gone in ("archive", "marks"):
                shutil.rmtree(state / gone)
            for file in state.glob("journal.db*"):
                file.unlink()
            assert (state / "device.pem").exists()
        status = await read_again(town)
        assert (status.memory, Alarm.AMNESIA in status.alarms) == (Memory.AMNESIA, True)
        (lost,) = await bodies_of(town, JournalLost)
        assert isinstance(lost, JournalLost)
        assert lost.amnesia

        await darkened(town, home)
        assert (await town.submit(list_of(town, 2, home))).accepted, (
            "an older one, for all it knows"
        )
        assert (await lit(town, home)).memory is Memory.AMNESIA
        old = order_of(
            town,
            1,
            Hold(meter=home.serial, reason="case 81"),
            first.nonce[1:],
            wall_ms() - MONTH_MS,
        )
        assert (await town.submit(old)).word in {"EXPIRED", "CLOCK_UNKNOWN"}
        assert (await disconnect(town, 7, home)).name == "MEMORY_LOST"

        assert (await town.submit(list_of(town, 6, home, nonce="another@1"))).accepted
        assert (await town.status()).memory is Memory.AMNESIA
        nonce = (await town.status()).nonce
        assert (await town.submit(list_of(town, 7, home, nonce=nonce))).accepted
        status = await town.status()
        assert (status.memory, Alarm.AMNESIA in status.alarms) == (Memory.WHOLE, False)
        assert (await disconnect(town, 8, home)).name == "HEAD_END_SILENT", "as ever in this town"


async def test_a_card_of_last_month_waits_for_what_the_marks_know(tmp_path: Path) -> None:
    async with running_town(tmp_path) as town:
        home, other = town.homes[1], town.homes[2]
        older, newer = list_of(town, 3, other), list_of(town, 4, home)
        async with without_power(town) as state:
            away = town.config.with_suffix(".away")
            away.write_text('marks_directory = "apart"\n' + away.read_text(encoding="utf-8"))
        await read_again(town)
        assert (await town.submit(older)).accepted
        async with without_power(town) as state:
            (state / "gateway.sock").unlink()
            shutil.copytree(state, tmp_path / "last month")
        nonce = (await read_again(town)).nonce
        assert (await town.submit(newer)).accepted
        orders = [
            order_of(town, seq, Hold(meter=one.serial, reason="theft"), nonce)
            for seq, one in ((1, home), (2, other))
        ]
        for paper in orders:
            assert (await town.submit(paper)).accepted
        async with without_power(town) as state:
            shutil.rmtree(state)
            (tmp_path / "last month").rename(state)

        status = await read_again(town)
        assert (status.memory, Alarm.BEHIND in status.alarms) == (Memory.BEHIND, True)
        assert (list_seq(status), status.holds) == (3, 2)
        (ahead,) = await bodies_of(town, MarksAhead)
        assert isinstance(ahead, MarksAhead)
        assert (ahead.marks.list.seq, ahead.marks.order.seq) == (4, 2)
        placed = len(await bodies_of(town, TagPlaced))
        assert [(await town.submit(paper)).word for paper in orders] == ["SEQ_OLD", "DUPLICATE"]
        assert len(await bodies_of(town, TagPlaced)) == placed
        assert (await town.submit(older)).word == "SEQ_OLD"
        assert (await town.submit(newer)).word == "ACCEPTED"
        assert (await town.submit(newer)).word == "DUPLICATE"
        status = await town.status()
        assert (status.memory, Alarm.BEHIND in status.alarms) == (Memory.WHOLE, False)
        assert list_seq(status) == 4


async def test_a_damaged_device_key_keeps_nobody_in_the_dark(tmp_path: Path) -> None:
    async with running_town(tmp_path) as town:
        paid = town.homes[0]
        async with without_power(town) as state:
            (state / "device.pem").write_bytes(b"damaged")
        await read_again(town)
        assert (await town.submit(town.papers.receipt(paid, wall_ms()))).accepted
        assert "no usable device key" in (await town.ask(AskCheckpoint())).error
        assert (state / "device.pem").read_bytes() == b"damaged", "it is never written over"
