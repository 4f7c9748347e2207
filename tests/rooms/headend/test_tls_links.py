"""A link over TLS at work: renewed without a restart, read to the end, and brokers that are odd."""

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.core.fact import CertificateEnd, Holder
from gateway.headend.dialler import Dialler, Role
from gateway.headend.session import BrokerSettings, DialFailed, Message, Session, TlsSettings
from gateway.utility.publish import publish_document
from tests.rooms.authority import DAY, NOW, Authority, milliseconds, tls_listener
from tests.rooms.brokers import LOOPBACK, Mosquitto
from tests.rooms.headend.engine_side import GATEWAY, PATIENCE_S, UTILITY, EngineSide
from tests.rooms.headend.other_end import TOPICS

ROLE = Role(client_id="fg-test", lasting=True, filters=("fg/down",))
Behave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
SOON = NOW + 10 * DAY
LATER = NOW + 300 * DAY


def gateway_until(end_ms: int) -> CertificateEnd:
    return CertificateEnd(whose=Holder.GATEWAY, at_ms=end_ms)


def broker_side(authority: Authority) -> ssl.SSLContext:
    """As a broker of this CA has it that wants a certificate."""
    own = authority.issue("odd")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.ca_file))
    context.load_cert_chain(own.certificate_file, own.key_file)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@asynccontextmanager
async def odd_broker(authority: Authority, behave: Behave) -> AsyncIterator[int]:
    """Something that speaks TLS as this CA's broker; gives its port."""
    context = broker_side(authority)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await behave(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def settings(port: int, tls: TlsSettings) -> BrokerSettings:
    """Nothing is looked at by time: what is not read when it comes is never read."""
    return BrokerSettings(host=LOOPBACK, port=port, tls=tls, keepalive_s=3600)


async def nothing(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Not even an answer."""


async def test_a_renewed_certificate_is_taken_at_the_next_dial(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    options = tls_listener(authority, authority.issue("broker"))
    broker, engine = Mosquitto(tmp_path / "broker", options=options), EngineSide()
    await broker.start()
    tls = authority.settings(authority.issue("gw-1", end=SOON))
    async with engine.running(broker.host, broker.port, tls=tls):
        seen = await engine.until_connected()
        assert seen.certificate == gateway_until(milliseconds(SOON))
        authority.issue("gw-1", end=LATER)
        await broker.kill()
        await engine.until(lambda: not engine.brokers[-1].connected)
        await broker.start()
        seen = await engine.until_connected()
        assert seen.certificate == gateway_until(milliseconds(LATER))
    await broker.stop()


async def test_an_expired_certificate_is_told_and_its_renewal_mends_it(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    options = tls_listener(authority, authority.issue("broker"))
    broker, engine = Mosquitto(tmp_path / "broker", options=options), EngineSide()
    await broker.start()
    ended = NOW - timedelta(hours=1)
    tls = authority.settings(authority.issue("gw-1", end=ended))
    waits: list[float] = []

    def draw(low: float, high: float) -> float:
        waits.append(low)
        authority.issue("gw-1")
        return 0.02

    async with engine.running(broker.host, broker.port, tls=tls, draw=draw):
        await engine.until_connected()
    await broker.stop()
    first = engine.brokers[0]
    assert first.detail.startswith("CERTIFICATE_EXPIRED: ")
    assert first.certificate == gateway_until(milliseconds(ended))
    assert waits[0] == 60, "only a person can mend it: it waits long"


async def test_a_link_is_made_anew_before_a_day_is_over(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    own = authority.issue("broker", end=SOON)
    broker = Mosquitto(tmp_path / "broker", options=tls_listener(authority, own))
    engine = EngineSide()
    await broker.start()
    bounds: set[tuple[float, float]] = set()

    def draw(low: float, high: float) -> float:
        bounds.add((low, high))
        return 0.1

    tls = authority.settings(authority.issue("gw-1"))
    async with engine.running(broker.host, broker.port, tls=tls, draw=draw):
        await engine.until(lambda: sum(seen.connected for seen in engine.brokers) >= 2)
        authority.issue("broker", end=NOW + 20 * DAY)
        broker.read_again()
        renewed = CertificateEnd(whose=Holder.BROKER, at_ms=milliseconds(NOW + 20 * DAY))
        await engine.until(lambda: engine.brokers[-1].certificate == renewed)
    await broker.stop()
    assert (12 * 3600, 24 * 3600) in bounds
    assert not any("broke" in seen.detail for seen in engine.brokers)


async def test_documents_and_records_go_both_ways(tmp_path: Path) -> None:
    authority, engine = Authority(tmp_path / "ca"), EngineSide()
    options = tls_listener(authority, authority.issue("broker"))
    broker = Mosquitto(tmp_path / "broker", options=options)
    await broker.start()
    long = os.urandom(1_500_000)
    office = settings(broker.port, authority.settings(authority.issue("office")))
    tls = authority.settings(authority.issue("gw-1"))
    async with engine.running(broker.host, broker.port, tls=tls):
        await engine.until_connected()
        for document in (b"eyJ.first", long, b"eyJ.last"):
            await publish_document(document, office, utility=UTILITY, gateway=GATEWAY)
        await engine.until(lambda: len(engine.documents) == 3)
    await broker.stop()
    assert engine.documents == [b"eyJ.first", long, b"eyJ.last"]


async def test_a_certificate_speaks_for_its_own_gateway_alone(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    rules = tmp_path / "rules"
    rules.write_text(
        f"pattern write fg/v1/{UTILITY}/%u/up/#\npattern read fg/v1/{UTILITY}/%u/down/#\n"
    )
    own = ("use_identity_as_username true", f"acl_file {rules}", "set_tcp_nodelay true")
    lines = (*tls_listener(authority, authority.issue("broker")), *own)
    broker = Mosquitto(tmp_path / "broker", options=lines)
    await broker.start()
    honest, other = EngineSide(), EngineSide()
    place = (broker.host, broker.port)
    async with honest.running(*place, tls=authority.settings(authority.issue(GATEWAY))):
        await honest.until_connected()
    async with other.running(*place, tls=authority.settings(authority.issue("gw-2"))):
        await other.until(lambda: len(other.brokers) >= 2)
    await broker.stop()
    assert not any(seen.detail for seen in honest.brokers if seen.connected)
    assert other.brokers[1].detail == f"the broker does not take {TOPICS.birth}: Not authorized"


async def test_what_came_in_one_piece_is_read_to_its_end(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def all_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"\x20\x03\x00\x00\x00")  # CONNACK
        subscribe = await reader.read(1000)
        granted = b"\x90\x04" + subscribe[2:4] + b"\x00\x01"  # SUBACK, QoS 1
        said = b"".join(b"\x30\x05\x00\x01t\x00" + b"%d" % at for at in range(10))
        writer.write(granted + said)
        await reader.read(1000)

    async with odd_broker(authority, all_at_once) as port:
        tls = authority.settings(authority.issue("gw-1"))

        def hear(_session: Session, message: Message) -> None:
            heard.put_nowait(message.payload)

        session = await Dialler(settings(port, tls), ROLE).dial(hear)
        async with asyncio.timeout(PATIENCE_S):
            assert [await heard.get() for _ in range(10)] == [b"%d" % at for at in range(10)]
        await session.close()


async def test_a_certificate_that_an_older_tls_misses_is_named_as_well(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    context = broker_side(authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def refuse(server: socket.socket) -> None:
        plain, _ = server.accept()
        with contextlib.suppress(ssl.SSLError):
            context.wrap_socket(plain, server_side=True).close()

    with socket.create_server((LOOPBACK, 0)) as server:
        refusing = asyncio.create_task(asyncio.to_thread(refuse, server))
        plainly = settings(server.getsockname()[1], authority.settings())
        with pytest.raises(DialFailed, match=r"^CERTIFICATE_MISSING: ") as failed:
            await Dialler(plainly, ROLE).dial(lambda *_: None)
        await refusing
    assert failed.value.permanent


async def test_a_broker_that_takes_the_certificate_and_hangs_up(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    tls = authority.settings(authority.issue("gw-1"))
    async with odd_broker(authority, nothing) as port:
        with pytest.raises(DialFailed) as failed:
            await Dialler(settings(port, tls), ROLE).dial(lambda *_: None)
    assert not failed.value.permanent


@pytest.mark.parametrize(
    ("answer", "name", "permanent"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "NO_TLS", True),
        (b"\x15\x03\x01\x00\x02\x02\x46", "NO_COMMON_TLS", True),
        (b"\x15\x03\x01\x00\x02\x02\x50", "HUNG_UP", False),
        (b"", "HUNG_UP", False),
    ],
    ids=["no TLS", "the alert protocol_version", "the alert internal_error", "nothing"],
)
async def test_what_is_no_broker_of_ours_is_named(
    tmp_path: Path, answer: bytes, name: str, permanent: bool
) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(babble, LOOPBACK, 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(DialFailed, match=f"^{name}: ") as failed:
        await Dialler(settings(port, Authority(tmp_path / "ca").settings()), ROLE).dial(
            lambda *_: None
        )
    server.close()
    assert failed.value.permanent is permanent
