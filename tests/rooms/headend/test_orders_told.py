"""What the head end is told of its orders, and of meters, over a real broker."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.core.documents import Site
from gateway.core.fact import DocumentClaim, HeadEndSeen, Road
from gateway.core.model import SupplyState
from gateway.core.orders import Act, Hold, Isolate, Read, Rebirth, Reconnect, plain_order
from gateway.core.progress import Homes, Readings, ReadingTaken
from gateway.core.readings import Quality
from gateway.core.signature import DocumentType
from gateway.headend.dialler import PACKET_MAX
from gateway.headend.messages import pack_ack
from gateway.headend.publishing import METERS_MAX
from tests.core.corridor import NONCE
from tests.core.papers import M1, NOON_MS, cut, meter, order
from tests.rooms.brokers import Mosquitto
from tests.rooms.fleet.relay import relay
from tests.rooms.headend.engine_side import GATEWAY
from tests.rooms.headend.whole_gateway import TOPICS, Head, WholeGateway, whole
from tests.signing import KEYS, envelope, sign_order, sign_site

CLOSED, OPEN = SupplyState.CONNECTED, SupplyState.DISCONNECTED
HOLD, RECONNECT = Hold(meter="M2", reason="burnt"), Reconnect(account="A1", meter="M1")


async def test_a_reconnect_is_told_from_its_coming_to_its_end(tmp_path: Path) -> None:
    async with whole(tmp_path) as (gateway, head):
        await gateway.until(lambda: bool(gateway.commands))
        await head.orders(1, RECONNECT)
        await head.until_told("IN_PROGRESS")
        await gateway.closes()
        note = await head.until_told("SUCCEEDED")
        assert (note.gateway, note.id, note.kind) == (GATEWAY, "order-1", "reconnect")
        assert (note.reason, note.at["SUCCEEDED"]) == ("CLOSED_VERIFIED", NOON_MS)
        assert isinstance(note.result, Homes)
        assert [home.meter for home in note.result.homes] == ["M1"]
        versions = [told.version for told in head.told()]
        assert versions == sorted(set(versions)), "each is told once"
        assert [message.retained for message in head.heard
                if message.topic == TOPICS.order("order-1")] == [False, False]  # fmt: skip


async def test_what_is_done_at_once_has_succeeded_at_once(tmp_path: Path) -> None:
    async with whole(tmp_path) as (_, head):
        await head.orders(1, HOLD)
        note = await head.until_told("SUCCEEDED")
        assert (note.version, note.reason, note.result) == (1, "", None)


async def test_the_same_order_again_is_answered_with_its_result(tmp_path: Path) -> None:
    async with whole(tmp_path) as (_, head):
        raw = await head.orders(1, HOLD)
        await head.until_told("SUCCEEDED")
        await head.orders(2, Isolate(reason="storm"))
        await head.until_told("SUCCEEDED", "order-2")
        await head.say(TOPICS.document, raw)
        await head.until(lambda: len(head.told()) == 2)
        first, again = head.told()
        assert first == again


async def test_a_read_is_answered_with_what_was_read(tmp_path: Path) -> None:
    async with whole(tmp_path) as (gateway, head):
        await head.orders(1, Read(meters=("M2",)))
        await head.until_told("IN_PROGRESS")
        await gateway.reads("M2", CLOSED, load_mv=231_000, current_ma=400)
        note = await head.until_told("SUCCEEDED")
        taken = ReadingTaken(
            meter="M2", state=CLOSED, wall_ms=NOON_MS, load_mv=231_000, current_ma=400
        )
        assert note.result == Readings(readings=(taken,))


async def test_a_rebirth_has_the_birth_published_again(tmp_path: Path) -> None:
    async with whole(tmp_path) as (_, head):
        await head.orders(1, Rebirth())
        await head.until_told("SUCCEEDED")
        await head.until(lambda: len(head.on(TOPICS.birth)) == 2)
        assert head.on(TOPICS.birth)[-1] == b'{"meters":2}'


# --- refusals ---


REJECTED: list[tuple[str, Act, int, dict[str, Any], str, int]] = [
    ("for another gateway", HOLD, 2, {"gateway": "gw-2"}, "WRONG_AUDIENCE", 0),
    ("without its second key", cut(1), 1, {}, "SECOND_KEY_MISSING", 0),
    ("that has expired", HOLD, 2, {"iat": 1, "exp": 2}, "EXPIRED", 1),
    ("of another hour", HOLD, 2, {"boot": "boot-0@1"}, "CLOCK_UNKNOWN", 1),
    ("of nobody here", Hold(meter="M9", reason="burnt"), 2, {}, "NOT_ON_ROSTER", 1),
    ("that cuts without a list", cut(2), 2, {}, "LIST_STALE", 1),
]


@pytest.mark.parametrize(
    ("act", "keys", "members", "name", "version"),
    [row[1:] for row in REJECTED],
    ids=[f"{row[0]}: {row[4]}" for row in REJECTED],
)
async def test_an_order_is_rejected_by_name(
    tmp_path: Path, act: Act, keys: int, members: dict[str, Any], name: str, version: int
) -> None:
    async with whole(tmp_path) as (gateway, head):
        await head.orders(1, act, *KEYS.orders[:keys], **members)
        note = await head.until_told("REJECTED")
        assert (note.reason, note.version) == (name, version)
        assert gateway.image.kept.refusals == {name: 1}


async def test_an_order_that_is_to_be_retained_is_rejected_by_name(tmp_path: Path) -> None:
    async with whole(tmp_path) as (gateway, head):
        await head.orders(1, HOLD, retain=True)
        note = await head.until_told("REJECTED")
        assert (note.reason, note.version) == ("RETAINED_ORDER", 0)
        await head.orders(1, HOLD)
        assert (await head.until_told("SUCCEEDED")).version == 1
        assert gateway.image.kept.refusals == {"RETAINED_ORDER": 1}


async def test_an_order_that_the_broker_had_retained_is_rejected_by_name(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path / "broker")
    await broker.start()
    async with Head().listening(broker.host, broker.port) as head:
        await head.orders(1, HOLD, retain=True)
        async with WholeGateway(tmp_path / "gateway").running(broker.host, broker.port):
            note = await head.until_told("REJECTED")
    await broker.stop()
    assert (note.reason, note.version) == ("RETAINED_ORDER", 0)


async def test_an_order_of_an_unknown_kind_is_rejected_by_name(tmp_path: Path) -> None:
    plain = {**plain_order(order(1, HOLD)), "kind": "dance"}
    header = {"alg": "EdDSA", "kid": "order-1", "typ": DocumentType.ORDER}
    async with whole(tmp_path) as (_, head):
        raw = envelope(header, msgspec.json.encode(plain), KEYS.orders[0])
        await head.say(TOPICS.document, raw)
        note = await head.until_told("REJECTED")
        assert (note.reason, note.kind, note.version) == ("MALFORMED_PAYLOAD", "dance", 0)


async def test_what_no_key_stands_for_is_refused_and_never_echoed(tmp_path: Path) -> None:
    genuine, other = (sign_order(order(seq, HOLD), KEYS.orders[0]) for seq in (1, 2))
    forged = genuine.rpartition(b".")[0] + b"." + other.rpartition(b".")[2]
    elsewhere = TOPICS.document.replace(GATEWAY, "gw-2")
    async with whole(tmp_path) as (gateway, head):
        await head.say(TOPICS.document, forged)
        await head.say(TOPICS.document, b"x" * 1_000_000)
        await head.say(elsewhere, sign_order(order(1, HOLD, boot=NONCE)))
        await head.orders(2, HOLD)
        await head.until_told("SUCCEEDED", "order-2")
        await gateway.until(lambda: len(gateway.image.kept.refusals) == 2)  # the long one is late
        assert set(gateway.image.kept.refusals) == {"BAD_SIGNATURE", "MALFORMED_ENVELOPE"}
        assert head.told("order-1") == []
        spoken = [one.topic for one in head.heard if "/up/order/" in one.topic]
        assert spoken == [TOPICS.order("order-2")]


async def test_a_message_that_no_packet_may_have_never_reaches_the_gateway(tmp_path: Path) -> None:
    async with whole(tmp_path) as (gateway, head):
        await head.say(TOPICS.document, b"x" * (PACKET_MAX + 1))
        await head.orders(1, HOLD)
        await head.until_told("SUCCEEDED")
        assert gateway.image.kept.refusals == {}


# --- a link that breaks ---


async def test_what_ended_while_the_link_was_down_is_told_when_it_is_back(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path / "broker")
    await broker.start()
    nodes = [(broker.host, broker.port)]
    ours = WholeGateway(tmp_path / "gateway")
    async with (
        Head().listening(broker.host, broker.port) as head,
        relay(nodes) as between,
        ours.running(between.host, between.port),
    ):
        await ours.until(lambda: bool(ours.commands))
        await head.orders(1, RECONNECT)
        await head.orders(2, HOLD)
        await head.until_told("SUCCEEDED", "order-2")
        nodes.clear()
        await between.end()
        await ours.until(lambda: ours.image.broker is not None and not ours.image.broker.connected)
        await ours.closes()
        await ours.until(lambda: not ours.image.kept.orders)
        assert "SUCCEEDED" not in head.states()
        nodes.append((broker.host, broker.port))
        note = await head.until_told("SUCCEEDED")
        assert note.reason == "CLOSED_VERIFIED"
    await broker.stop()


async def test_what_the_head_end_has_as_a_record_is_not_told_again_by_the_next_process(
    tmp_path: Path,
) -> None:
    broker = Mosquitto(tmp_path / "broker")
    await broker.start()
    where = (broker.host, broker.port)
    async with Head().listening(*where) as head:
        async with WholeGateway(tmp_path / "gateway").running(*where) as ours:
            await head.orders(1, HOLD)
            await head.until_told("SUCCEEDED")
            known = ours.image
            await head.say(TOPICS.ack, pack_ack(known.number, known.chain))
            await ours.until(lambda: ours.image.acked_through == known.number)
            await head.orders(2, Isolate(reason="storm"))
            await head.until_told("SUCCEEDED", "order-2")
            await head.orders(3, Read(meters=("M2",)))
            await head.until_told("IN_PROGRESS", "order-3")
        async with WholeGateway(tmp_path / "gateway").running(*where):
            await head.until(lambda: len(head.told("order-3")) == 2)
        assert [len(head.told(f"order-{at}")) for at in (1, 2, 3)] == [1, 2, 2]
    await broker.stop()


async def test_when_the_head_end_comes_back_it_is_told_again_what_it_may_have_missed(
    tmp_path: Path,
) -> None:
    async with whole(tmp_path) as (gateway, head):
        await head.orders(1, HOLD)
        await head.until_told("SUCCEEDED")
        host = TOPICS.host
        await head.say(host, b'{"online":false,"ts":1}')
        await gateway.until(lambda: gateway.image.head_end == HeadEndSeen(online=False))
        await head.say(host, b'{"online":true,"ts":2}')
        await head.until(lambda: len(head.told()) == 2)
        assert head.told()[0] == head.told()[1]


# --- meters ---


async def test_meters_are_told_retained_and_again_when_their_state_changes(tmp_path: Path) -> None:
    async with whole(tmp_path) as (gateway, head):
        await head.until(lambda: bool(head.meter("M1") and head.meter("M2")))
        assert [note.quality for note in head.meter("M2")] == [Quality.UNREAD]
        await gateway.reads("M2", CLOSED, supply_mv=230_000)
        await head.until(lambda: len(head.meter("M2")) == 2)
        note = head.meter("M2")[-1]
        assert (note.gateway, note.meter, note.state) == (GATEWAY, "M2", CLOSED)
        assert (note.quality, note.wall_ms, note.trusted) == (Quality.GOOD, NOON_MS, False)
        assert note.values is not None
        assert note.values.supply_mv == 230_000
        said = [message for message in head.heard if "/up/meter/" in message.topic]
        assert all(message.retained for message in said)


async def test_a_meter_that_leaves_the_roster_leaves_the_broker(tmp_path: Path) -> None:
    async with whole(tmp_path) as (gateway, head):
        await head.until(lambda: bool(head.meter("M1") and head.meter("M2")))
        site = Site(gateway=GATEWAY, seq=2, feeder="feeder-1", meters=(M1,))
        await gateway.has(DocumentClaim(raw=sign_site(site), road=Road.LOCAL))
        await head.until(lambda: head.on(TOPICS.meter("M2"))[-1] == b"")


async def test_many_meters_are_told_at_a_steady_pace(tmp_path: Path) -> None:
    many = tuple(meter(number) for number in range(1, METERS_MAX + 11))
    async with whole(tmp_path, *many) as (_, head):
        await head.until(lambda: all(head.meter(one.serial) for one in many))
