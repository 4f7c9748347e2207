"""Dialling real brokers: which protocol, and what is said when it does not work."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.bench.broker import demo_broker
from gateway.headend.dialler import BackOff, Dialler, Role
from gateway.headend.session import BrokerSettings, DialFailed, Message, Session
from tests.rooms.brokers import LOOPBACK, Mosquitto, free_port, mosquitto
from tests.rooms.headend.cutting_proxy import Cut, Kind, Manner, Moment, Packet, Way, cutting_proxy

ROLE = Role(client_id="fg-test", lasting=True, filters=("fg/down",))
CONSENT = {4: b"\x20\x02\x00\x00", 5: b"\x20\x03\x00\x00\x00"}
VERSION_REFUSED = b"\x20\x02\x00\x01"


def ignore(_session: Session, _message: Message) -> None:
    """Nothing is expected."""


def dialler(host: str, port: int) -> Dialler:
    return Dialler(BrokerSettings(host=host, port=port), ROLE)


@asynccontextmanager
async def strange_broker(
    behave: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """Something that listens where a broker should; gives its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await behave(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def test_mqtt_5_is_chosen_where_the_broker_has_it(tmp_path: Path) -> None:
    async with mosquitto(tmp_path) as (host, port):
        session = await dialler(host, port).dial(ignore)
        await session.close()
    assert session.protocol == "MQTT 5"


async def test_3_1_1_is_chosen_where_the_broker_refuses_5_and_it_is_remembered() -> None:
    dialled: list[int] = []

    async def look(connection: int, packet: Packet) -> None:
        if packet.kind is Kind.CONNECT:
            dialled.append(connection)

    async with demo_broker() as broker, cutting_proxy(*broker, look) as proxy:
        dial = dialler(proxy.host, proxy.port)
        first = await dial.dial(ignore)
        await first.close()
        again = await dial.dial(ignore)
        await again.close()
    assert dialled == [1, 2, 3]
    assert [first.protocol, again.protocol] == ["MQTT 3.1.1", "MQTT 3.1.1"]


async def test_a_cut_during_the_handshake_is_not_taken_for_a_refusal(tmp_path: Path) -> None:
    at_consent = Cut(
        way=Way.DOWN, kind=Kind.CONNACK, nth=1, moment=Moment.BEFORE, manner=Manner.RST
    )
    async with mosquitto(tmp_path) as broker, cutting_proxy(*broker) as proxy:
        proxy.arm(at_consent)
        dial = dialler(proxy.host, proxy.port)
        first = await dial.dial(ignore)
        await first.close()
        again = await dial.dial(ignore)
        await again.close()
    assert [first.protocol, again.protocol] == ["MQTT 3.1.1", "MQTT 5"]


async def test_the_version_that_works_is_dialled_first_from_then_on() -> None:
    levels: list[int] = []
    takes = 4

    async def judge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.read(100)
        levels.append(head[head.index(b"MQTT") + 4])
        writer.write(CONSENT[takes] if levels[-1] == takes else VERSION_REFUSED)
        await reader.read()

    async with strange_broker(judge) as port:
        dial = Dialler(
            BrokerSettings(host=LOOPBACK, port=port), Role(client_id="fg-test", lasting=False)
        )
        for _ in range(2):
            await (await dial.dial(ignore)).close()
        takes = 5
        for _ in range(2):
            await (await dial.dial(ignore)).close()
    assert levels == [5, 4, 4, 4, 5, 5]


async def test_a_broker_that_drops_one_protocol_is_tried_with_the_other() -> None:
    levels = []

    async def drop(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        head = await reader.read(100)
        levels.append(head[head.index(b"MQTT") + 4])

    async with strange_broker(drop) as port:
        with pytest.raises(DialFailed):
            await dialler(LOOPBACK, port).dial(ignore)
    assert levels == [5, 4]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x20\xff\xff\xff\xff\xff",
        b"\x20\x00",
        b"\x20\x03\x00\x00",
    ],
)
async def test_what_is_no_broker_is_a_failed_dial_and_nothing_worse(answer: bytes) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        await writer.drain()

    async with strange_broker(babble) as port:
        with pytest.raises(DialFailed) as failed:
            await dialler(LOOPBACK, port).dial(ignore)
    assert not failed.value.permanent


async def test_nobody_there_is_said_with_the_address() -> None:
    port = free_port()
    with pytest.raises(DialFailed) as failed:
        await dialler(LOOPBACK, port).dial(ignore)
    assert str(failed.value) == f"127.0.0.1:{port} cannot be reached: Connection refused"
    assert not failed.value.permanent


async def test_a_name_that_does_not_exist_is_a_failed_dial() -> None:
    for name in ("no-such-host.invalid", "a" * 70 + ".invalid"):
        with pytest.raises(DialFailed, match="cannot be reached"):
            await dialler(name, 1883).dial(ignore)


async def test_a_missing_password_file_is_said_with_its_name(tmp_path: Path) -> None:
    missing = str(tmp_path / "password")
    settings = BrokerSettings(host=LOOPBACK, username="gw-1", password_file=missing)
    with pytest.raises(DialFailed, match=missing) as failed:
        await Dialler(settings, ROLE).dial(ignore)
    assert failed.value.permanent


async def test_a_session_that_the_broker_ends_says_why_and_takes_nothing_more() -> None:
    async def admit_and_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"\x20\x03\x00\x00\x00")  # CONNACK
        subscribe = await reader.read(100)
        writer.write(b"\x90\x04" + subscribe[2:4] + b"\x00\x01")  # SUBACK, QoS 1
        writer.write(b"\xe0\x02\x8b\x00")  # DISCONNECT, server shutting down

    async with strange_broker(admit_and_end) as port:
        session = await dialler(LOOPBACK, port).dial(ignore)
        assert await session.lost == "the broker ended the connection: Server shutting down"
    assert await session.publish("fg/up", b"too late") == await session.lost
    assert session.unconfirmed == 0
    await session.close()


async def test_a_session_whose_broker_dies_tells_what_was_not_taken(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    await broker.start()
    session = await dialler(broker.host, broker.port).dial(ignore)
    broker.freeze()
    confirmation = session.publish("fg/up", b"too late")
    await broker.kill()
    assert await confirmation == "the connection broke"
    assert await session.lost == "the connection broke"


async def test_what_is_published_to_stay_says_so_also_when_it_comes_at_once(tmp_path: Path) -> None:
    role = Role(client_id="fg-hears", lasting=False, filters=("fg/down",), fleeting=("fg/host",))
    heard: asyncio.Queue[Message] = asyncio.Queue()

    def hear(session: Session, message: Message) -> None:
        session.acknowledge(message)
        heard.put_nowait(message)

    async with mosquitto(tmp_path) as (host, port):
        hearing = await Dialler(BrokerSettings(host=host, port=port), role).dial(hear)
        other = Role(client_id="fg-says", lasting=False)
        saying = await Dialler(BrokerSettings(host=host, port=port), other).dial(ignore)
        for topic in ("fg/down", "fg/host"):
            assert await saying.publish(topic, b"stays", retain=True) == ""
        came = {
            message.topic: message.retained for message in (await heard.get(), await heard.get())
        }
        await saying.close()
        await hearing.close()
    assert came == {"fg/down": True, "fg/host": False}, "a heartbeat is retained, and alive"


def test_waits_grow_from_one_second_to_five_minutes_and_are_drawn_evenly() -> None:
    bounds: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        bounds.append((low, high))
        return high

    back_off = BackOff(draw)
    waits = [back_off.next_s() for _ in range(11)]
    back_off.reset()
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert {low for low, _ in bounds} == {0.0}
    assert back_off.next_s() == 1
    assert back_off.slow_s() == 300
    assert bounds[-1] == (60.0, 300.0)
