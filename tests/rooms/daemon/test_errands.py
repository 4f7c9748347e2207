"""What orders ask of a whole gateway itself: a daemon, its brokers and its line, from afar."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.bench.demo_world import GATEWAY
from gateway.bundle import BUNDLE_MAX
from gateway.core.alarms import Alarm
from gateway.core.documents import Site
from gateway.core.errands import SettingsStatus
from gateway.core.orders import Act, Config, Confirm, ForgetMeter, LogBundle, Wipe
from gateway.core.settings import Altered, BrokerChange
from gateway.core.signature import DocumentType
from gateway.core.status import Status
from gateway.headend.notes import Bundle, OrderNote, read_bundle, read_order
from gateway.host.clock import wall_ms
from gateway.utility.sign import payload_of
from tests.rooms.brokers import mosquitto
from tests.rooms.daemon.test_loss import order_of, without_power
from tests.rooms.daemon.town import Town, running_town
from tests.rooms.headend.other_end import OtherEnd

NOBODY = (0, None, None, True)


class Desk(OtherEnd):
    """The head end at one broker: it orders, and is told."""

    async def orders(self, town: Town, seq: int, act: Act) -> None:
        """An order is published; its id is `O-` and the number."""
        nonce = (await town.status()).nonce
        await self.say(f"{town.topics}/down/document", order_of(town, seq, act, nonce))

    async def until_told(self, town: Town, seq: int, state: str) -> OrderNote:
        """Wait until an order was said to be so."""
        topic = f"{town.topics}/up/order/O-{seq}"

        def told() -> list[OrderNote]:
            notes = [read_order(raw) for raw in self.on(topic)]
            return [note for note in notes if note.state == state]

        await self.until(lambda: bool(told()))
        return told()[0]


@asynccontextmanager
async def at_work(folder: Path) -> AsyncIterator[tuple[Town, Desk]]:
    """A town whose gateway is linked, and the head end."""
    async with running_town(folder) as town, Desk().listening(*town.broker) as desk:
        await is_linked(town)
        yield town, desk


async def is_linked(town: Town) -> None:
    await town.until(lambda status: status.broker is not None and status.broker.connected)


def moved_to(broker: tuple[str, int]) -> Config:
    return Config(broker=BrokerChange(port=broker[1]))


async def test_a_gateway_moves_to_another_broker_and_stays_once_that_is_confirmed(
    tmp_path: Path,
) -> None:
    async with (
        at_work(tmp_path) as (town, old),
        mosquitto(tmp_path / "other") as broker,
        Desk().listening(*broker) as new,
    ):
        await old.orders(town, 1, moved_to(broker))
        await new.until(lambda: bool(new.on(f"{town.topics}/up/birth")))
        await new.orders(town, 2, Confirm(order="O-1"))
        await new.until_told(town, 1, "SUCCEEDED")
        told = len(new.on(f"{town.topics}/up/birth"))
        async with without_power(town):
            pass
        await new.until(lambda: len(new.on(f"{town.topics}/up/birth")) > told)
        installed = Altered(name="broker.port", now=str(broker[1]), installed=str(town.broker[1]))
        assert (await town.status()).settings == SettingsStatus(
            order="O-1", altered=(installed,), trial_ms=None
        )


async def test_a_gateway_that_restarts_unconfirmed_is_back_at_the_installers_broker(
    tmp_path: Path,
) -> None:
    async with (
        at_work(tmp_path) as (town, old),
        mosquitto(tmp_path / "other") as broker,
        Desk().listening(*broker) as new,
    ):
        await old.orders(town, 1, moved_to(broker))
        await new.until(lambda: bool(new.on(f"{town.topics}/up/birth")))
        async with without_power(town):
            pass
        note = await old.until_told(town, 1, "TIMED_OUT")
        assert note.reason == "RESTARTED"
        assert (await town.status()).settings is None


async def test_support_gets_a_bundle_without_an_account_or_a_secret(tmp_path: Path) -> None:
    async with at_work(tmp_path) as (town, desk):
        paid = town.homes[0]
        assert (await town.submit(town.papers.receipt(paid, wall_ms()))).accepted
        await desk.orders(town, 1, LogBundle())
        note = await desk.until_told(town, 1, "SUCCEEDED")
        secret = (town.config.parent / "state" / "device.pem").read_text(encoding="ascii")
    assert isinstance(note.result, Bundle)
    assert len(note.result.zlib) * 3 // 4 <= BUNDLE_MAX + 2
    plain = read_bundle(note.result).decode()
    assert not [home.account for home in town.homes if home.account in plain]
    assert secret.splitlines()[1] not in plain
    said = json.loads(plain)
    assert (said["gateway"], said["status"]["meters"]) == (GATEWAY, len(town.homes))
    assert any("runs, version" in line for line in said["log"])


async def test_a_wiped_gateway_stays_so_after_a_restart_and_after_its_journal_is_lost(
    tmp_path: Path,
) -> None:
    async with at_work(tmp_path) as (town, desk):
        assert (await town.submit(town.papers.allow_list(1, wall_ms()))).accepted
        await desk.orders(town, 1, Wipe())
        await desk.until_told(town, 1, "SUCCEEDED")
        assert served(await town.status()) == NOBODY
        async with without_power(town):
            pass
        assert served(await refuses_the_installers(town)) == NOBODY
        async with without_power(town) as state:
            for file in state.glob("journal.db*"):
                file.unlink()
        assert served(await refuses_the_installers(town)) == NOBODY
        newer = Site(
            gateway=GATEWAY, seq=2, feeder="F-1", meters=tuple(h.meter for h in town.homes)
        )
        signed = town.papers.keys.site.sign(DocumentType.SITE, payload_of(newer))
        assert (await town.submit(signed)).word == "ACCEPTED"
        assert Alarm.WIPED not in (await town.status()).alarms


async def refuses_the_installers(town: Town) -> Status:
    """The daemon is up again, and has answered the site document that the installer left."""
    return await town.until(lambda status: "SEQ_OLD" in status.refusals)


def served(status: Status) -> tuple[int, object, object, bool]:
    """Whom it serves by which documents, and whether it says that it was wiped."""
    return status.meters, status.site_seq, status.list, Alarm.WIPED in status.alarms


async def test_what_was_kept_of_a_meter_that_left_is_forgotten_for_good(tmp_path: Path) -> None:
    async with at_work(tmp_path) as (town, desk):
        gone, *left = town.homes
        assert (await town.submit(town.papers.receipt(gone, wall_ms()))).accepted
        await desk.orders(town, 1, ForgetMeter(meters=(gone.serial,)))
        refused = await desk.until_told(town, 1, "REJECTED")
        assert refused.reason == "METER_ON_ROSTER"
        newer = Site(gateway=GATEWAY, seq=2, feeder="F-1", meters=tuple(h.meter for h in left))
        signed = town.papers.keys.site.sign(DocumentType.SITE, payload_of(newer))
        assert (await town.submit(signed)).accepted
        await desk.orders(town, 2, ForgetMeter(meters=(gone.serial,)))
        await desk.until_told(town, 2, "SUCCEEDED")
        async with without_power(town):
            pass
        status = await town.until(lambda status: status.broker is not None)
        assert (status.site_seq, status.order_seq) == (2, 2)
