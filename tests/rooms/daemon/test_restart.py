"""A daemon that is killed and started again goes on where the journal stands, without an alarm."""

from pathlib import Path

from gateway.bench.demo_world import GATEWAY
from gateway.core.documents import Site
from gateway.core.records import Started
from gateway.core.signature import DocumentType
from gateway.utility.sign import payload_of
from tests.rooms.daemon.town import running_town


async def test_what_came_later_stands_before_what_was_installed(tmp_path: Path) -> None:
    async with running_town(tmp_path) as town:
        meters = tuple(home.meter for home in town.homes[:5])
        newer = Site(gateway=GATEWAY, seq=2, feeder="F-1", meters=meters)
        signed = town.papers.keys.site.sign(DocumentType.SITE, payload_of(newer))
        assert (await town.submit(signed)).accepted
        before = await town.status()
        assert town.daemon.cut_power()
        after = await town.until(lambda status: "SEQ_OLD" in status.refusals)
        assert (after.site_seq, after.meters) == (2, 5)
        records = await town.records(before.records)
        assert isinstance(records[0].body, Started)
        assert records[0].number == before.records + 1
    log = (tmp_path / "daemon.log").read_text(encoding="utf-8")
    assert "a newer one has come since" in log
    assert "ERROR" not in log
