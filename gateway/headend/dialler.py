"""Dialling: from the broker's address to an established session.

Owns the choice of protocol and the waiting times between attempts. The blocking connect (files,
name look-up, TCP, TLS) is lent a worker thread, and nothing else touches the client before that
thread has returned. Must never reuse a client: each attempt begins with a new one.

MQTT 5.0 where the broker has it, else 3.1.1, which is remembered where the broker has said that it
does not take version 5 (reason 0x84, 3.2.2.2; return code 1 of 3.1.1, 3.2.2.3). Of version 5 it
uses the session's expiry (3.1.2.11.2), the receive maximum (3.1.2.11.3) and the packet size
(3.1.2.11.4), and nothing depends on them.
"""

import asyncio
import secrets
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.core.fact import CertificateEnd
from gateway.core.model import Value
from gateway.headend.session import VERSION_5, BrokerSettings, DialFailed, Receive, Session
from gateway.headend.tls import Tls, broker_end

CONNECT_TIMEOUT_S = 5.0
"""For the TCP connection to each address of the broker, and for each step of TLS."""
SESSION_EXPIRY_S = 30 * 24 * 3600
"""How long the broker is asked to keep documents for a gateway that is away."""
RECEIVE_MAX = 16
"""Messages that the broker may have under way to us; version 5 only."""
SEND_MAX = 8
"""Messages that we have under way to the broker; some brokers take no more than 10."""
PACKET_MAX = 16 * 1024 * 1024
"""Bytes of one packet: above every document, so that one that is too long is refused by name."""
BACK_OFF_FIRST_S = 1.0
BACK_OFF_MAX_S = 300.0
BACK_OFF_SLOW_S = 60.0
PROTOCOLS = {
    MQTTProtocolVersion.MQTTv5: VERSION_5,
    MQTTProtocolVersion.MQTTv311: "MQTT 3.1.1",
}
Draw = Callable[[float, float], float]
"""A number drawn evenly between two bounds."""
SYSTEM_DRAW: Draw = secrets.SystemRandom().uniform


class Will(Value):
    """What the broker says, retained, when this connection breaks."""

    topic: str
    payload: bytes


class Role(Value):
    """As what a client connects. `lasting`: the broker keeps messages while it is away."""

    client_id: str
    lasting: bool
    filters: tuple[str, ...] = ()
    fleeting: tuple[str, ...] = ()
    """Heard only while it is connected: an old word would pass for a new one, and a heartbeat that
    is kept for days leaves the broker no room for documents. Retained words come all the same."""
    will: Will | None = None


class BackOff:
    """Waiting times with full jitter, 1 s to 5 min, so that a city does not return at once."""

    def __init__(self, draw: Draw = SYSTEM_DRAW) -> None:
        self._draw = draw
        self._ceiling_s = BACK_OFF_FIRST_S

    def next_s(self) -> float:
        """How long to wait before the next attempt; the ceiling doubles."""
        wait_s = self._draw(0.0, self._ceiling_s)
        self._ceiling_s = min(self._ceiling_s * 2, BACK_OFF_MAX_S)
        return wait_s

    def slow_s(self) -> float:
        """How long to wait where only a person can mend it."""
        return self._draw(BACK_OFF_SLOW_S, BACK_OFF_MAX_S)

    def reset(self) -> None:
        """Begin again with short waits: the connection held."""
        self._ceiling_s = BACK_OFF_FIRST_S


class Dialler:
    """Opens sessions with one broker in one role, and remembers which protocol it speaks.

    `wall_ms`: what this machine's calendar claims (milliseconds UTC), said where a date of a
    certificate is the trouble.
    """

    def __init__(
        self, settings: BrokerSettings, role: Role, *, wall_ms: Callable[[], int] | None = None
    ) -> None:
        self._settings = settings
        self._role = role
        self._wall_ms = wall_ms
        self._protocol = MQTTProtocolVersion.MQTTv5
        self._ours: tuple[CertificateEnd, ...] = ()
        self._theirs: CertificateEnd | None = None

    @property
    def certificate(self) -> CertificateEnd | None:
        """Of the certificates last seen on the way to the broker, the one that ends first."""
        seen = self._ours if self._theirs is None else (*self._ours, self._theirs)
        return min(seen, key=lambda end: end.at_ms, default=None)

    async def dial(self, receive: Receive) -> Session:
        """Connect and subscribe. Raises `DialFailed`.

        `receive` may be called before this returns: what the broker kept comes at once.
        """
        try:
            return await self._dial(self._protocol, receive)
        except DialFailed as failed:
            if not failed.other_protocol:
                raise
            other = next(protocol for protocol in PROTOCOLS if protocol is not self._protocol)
            session = await self._dial(other, receive)
            # A cut during the handshake looks like a broker that does not know the version: only
            # its word is remembered, and that version 5 works.
            if failed.version_refused or other is MQTTProtocolVersion.MQTTv5:
                self._protocol = other
            return session

    async def _dial(self, protocol: MQTTProtocolVersion, receive: Receive) -> Session:
        settings, tls = self._settings, self._tls()
        client = _client_of(self._role, settings, protocol)
        if tls is not None:
            context, self._ours = await asyncio.to_thread(tls.load)
            client.tls_set_context(context)
        await self._connected(client, protocol, tls)
        sock = client.socket()
        if not isinstance(sock, socket.socket):
            raise _distrust(tls) or DialFailed(
                "the broker closed the connection at once", other_protocol=True
            )
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if isinstance(sock, ssl.SSLSocket):
            self._theirs = broker_end(sock)
        # A keep-alive that is looked at four times per period is at most a quarter late; brokers
        # wait one and a half.
        session = Session(client, sock, PROTOCOLS[protocol], receive, settings.keepalive_s / 4)
        try:
            await session.establish(self._role.filters, self._role.fleeting)
        except BaseException as error:
            await session.close()
            if isinstance(error, DialFailed) and (distrust := _distrust(tls)) is not None:
                raise distrust from error
            raise
        return session

    def _tls(self) -> Tls | None:
        settings = self._settings
        if settings.tls is None:
            return None
        return Tls(settings.tls, host=settings.host, wall_ms=self._wall_ms)

    async def _connected(
        self, client: paho.Client, protocol: MQTTProtocolVersion, tls: Tls | None
    ) -> None:
        settings = self._settings
        connecting = asyncio.ensure_future(
            asyncio.to_thread(_connect, client, self._role, settings, protocol)
        )
        try:
            await asyncio.shield(connecting)
        except asyncio.CancelledError:
            # The thread cannot be stopped; what it has connected leaves in order, without a will.
            connecting.add_done_callback(_leave_when_connected(client))
            raise
        except (OSError, ValueError) as error:  # ValueError: a name that cannot be looked up
            where = f"{settings.host}:{settings.port}"
            why = getattr(error, "strerror", None) or error
            unreachable = DialFailed(f"{where} cannot be reached: {why}")
            raise (_distrust(tls) or unreachable) from error


def _distrust(tls: Tls | None) -> DialFailed | None:
    return None if tls is None else tls.failure()


def _leave_when_connected(client: paho.Client) -> Callable[["asyncio.Future[None]"], None]:
    def leave(connected: "asyncio.Future[None]") -> None:
        if not connected.cancelled() and connected.exception() is None:
            client.disconnect()

    return leave


def _client_of(role: Role, settings: BrokerSettings, protocol: MQTTProtocolVersion) -> paho.Client:
    version_5 = protocol is MQTTProtocolVersion.MQTTv5
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=role.client_id,
        clean_session=None if version_5 else not role.lasting,
        protocol=protocol,
        # Otherwise paho dials again by itself, blocking the loop, when a broker refuses 3.1.1.
        reconnect_on_failure=False,
        manual_ack=True,
    )
    client.connect_timeout = CONNECT_TIMEOUT_S
    client.max_inflight_messages = SEND_MAX
    if settings.username is not None:
        client.username_pw_set(settings.username, password_of(settings))
    if role.will is not None:
        client.will_set(role.will.topic, role.will.payload, qos=1, retain=True)
    return client


def password_of(settings: BrokerSettings) -> str | None:
    """The first line of the password's file; None: there is none. Raises `DialFailed`."""
    if settings.password_file is None:
        return None
    try:
        text = Path(settings.password_file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DialFailed(
            f"the password file {settings.password_file} cannot be read: {error}", permanent=True
        ) from error
    return text.partition("\n")[0].rstrip("\r")


def _connect(
    client: paho.Client, role: Role, settings: BrokerSettings, protocol: MQTTProtocolVersion
) -> None:
    # In a worker thread: look-up and TCP block. No callback is set yet, so paho writes CONNECT
    # itself and nothing here reaches the event loop.
    if protocol is not MQTTProtocolVersion.MQTTv5:
        client.connect(settings.host, settings.port, settings.keepalive_s)
        return
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = SESSION_EXPIRY_S if role.lasting else 0
    properties.ReceiveMaximum = RECEIVE_MAX
    properties.MaximumPacketSize = PACKET_MAX
    client.connect(
        settings.host,
        settings.port,
        settings.keepalive_s,
        clean_start=not role.lasting,
        properties=properties,
    )
