"""One MQTT connection: consent, reading, writing, leaving.

Owns the broker's settings and a connected paho-mqtt client on the event loop: its socket is watched
by the loop and one task steps it; no paho thread runs. Must never keep anything for later: paho's
queue lives in memory only, so a session ends with its connection and whoever sends keeps what is
not confirmed.

MQTT 5.0 and 3.1.1, acknowledged delivery (QoS 1, section 4.3.2).
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.core.model import Value

ANSWER_TIMEOUT_S = 10.0
"""For the broker's word on the connection and on the subscriptions."""
LEAVE_TIMEOUT_S = 0.4
"""For each step of an orderly departure."""
PORT = 1883
PORT_TLS = 8883
"""As registered with IANA: mqtt and secure-mqtt."""
VERSION_5 = "MQTT 5"
PERMANENT = frozenset(
    {"Bad user name or password", "Not authorized", "Client identifier not valid", "Banned"}
)
"""Refusals that only a person can mend."""

_Answer = TypeVar("_Answer")


class TlsSettings(Value, forbid_unknown_fields=True):
    """Whom to trust and who we are: paths of PEM files, read anew at each dial.

    Without `ca_file` the system's CAs count, with it no other. Without `certificate_file` and
    `key_file`, which go together, the broker is told no name. `crl_file`: a broker's certificate
    that is on this revocation list is refused, and so is every one once the list is out of date.
    """

    ca_file: str | None = None
    certificate_file: str | None = None
    """May go on with the certificates between it and the CA."""
    key_file: str | None = None
    crl_file: str | None = None


class BrokerSettings(Value, forbid_unknown_fields=True):
    """Where the broker is, and as whom to speak to it. The port is 1883, or 8883 with TLS."""

    host: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 0
    username: Annotated[str, msgspec.Meta(min_length=1, max_length=256)] | None = None
    password_file: str | None = None
    """Path of a file whose first line is the password."""
    topic_root: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")] = "fg"
    keepalive_s: Annotated[int, msgspec.Meta(ge=5, le=3600)] = 60
    tls: TlsSettings | None = None

    def __post_init__(self) -> None:
        """Fill in the port that was not given."""
        if self.port == 0:
            msgspec.structs.force_setattr(self, "port", PORT if self.tls is None else PORT_TLS)


class Message(Value):
    """One message from the broker. `mid` and `qos` are what its acknowledgement needs."""

    topic: str
    payload: bytes
    retained: bool
    mid: int
    qos: int


class DialFailed(Exception):  # noqa: N818 - the world's answer, not an error of ours
    """No session came about. `permanent`: trying again soon will not help.

    `other_protocol`: another version may be worth a try; `version_refused`: the broker said so.
    """

    def __init__(
        self,
        detail: str,
        *,
        permanent: bool = False,
        other_protocol: bool = False,
        version_refused: bool = False,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.permanent = permanent
        self.other_protocol = other_protocol or version_refused
        self.version_refused = version_refused


class Session:
    """One connection, from a client that paho has just connected until it is lost or left."""

    def __init__(
        self,
        client: paho.Client,
        sock: socket.socket,
        protocol: str,
        receive: "Receive",
        tick_s: float,
    ) -> None:
        self.protocol = protocol
        self._client = client
        self._sock = sock
        self._receive = receive
        self._tick_s = tick_s
        self._wake = asyncio.Event()
        self._paused = False
        self._reason = "the connection broke"
        self._confirmations: dict[int, asyncio.Future[str]] = {}
        self._connected: asyncio.Future[ReasonCode] = asyncio.Future()
        self._subscribed: asyncio.Future[list[ReasonCode]] = asyncio.Future()
        self._attach()
        self.lost = asyncio.create_task(self._pump())
        """Ends when the connection does; its result says why, in words."""

    @property
    def unconfirmed(self) -> int:
        """Messages that the broker has not taken yet."""
        return len(self._confirmations)

    async def establish(self, filters: tuple[str, ...], fleeting: tuple[str, ...]) -> None:
        """Wait for the broker's consent and subscribe. Raises `DialFailed`.

        The broker keeps what matches `filters` until it is acknowledged (QoS 1), and never what
        matches `fleeting` (QoS 0). With MQTT 5 what is published to be retained says so also when
        it comes at once (retain as published, 3.8.3.1), so that no order passes that stays behind.
        """
        answer = await self._answer(self._connected)
        if answer.is_failure:
            name = answer.getName()
            raise DialFailed(
                f"the broker refuses: {name}",
                permanent=name in PERMANENT,
                version_refused=name == "Unsupported protocol version",
            )
        topics = (*filters, *fleeting)
        if not topics:
            return
        wanted = [(topic, 1 if topic in filters else 0) for topic in topics]
        if self.protocol == VERSION_5:
            self._client.subscribe(
                [
                    (topic, SubscribeOptions(qos=qos, retainAsPublished=qos == 1))
                    for topic, qos in wanted
                ]
            )
        else:
            self._client.subscribe(wanted)
        codes = await self._answer(self._subscribed)
        for topic, code in zip(topics, codes, strict=True):
            if code.is_failure:
                raise DialFailed(f"the broker refuses {topic}: {code.getName()}", permanent=True)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> asyncio.Future[str]:
        """Send with QoS 1. The future's result: why the broker did not take it; "" if it did."""
        confirmation: asyncio.Future[str] = asyncio.Future()
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._confirmations[info.mid] = confirmation
        else:
            confirmation.set_result(self._reason)
        return confirmation

    def acknowledge(self, message: Message) -> None:
        """Tell the broker that a message is safe; nothing if the connection is gone."""
        if message.qos and self._client.socket() is not None:
            self._client.ack(message.mid, message.qos)

    def pause(self) -> None:
        """Read no more for now: what comes could not be taken."""
        if not self._paused and not self.lost.done():
            self._paused = True
            asyncio.get_running_loop().remove_reader(self._sock)

    def resume(self) -> None:
        """Read again."""
        if self._paused and self._client.socket() is not None:
            asyncio.get_running_loop().add_reader(self._sock, self._wake.set)
            self._wake.set()
        self._paused = False

    async def close(self) -> None:
        """Leave in order: what was sent is confirmed if that goes quickly, then DISCONNECT."""
        if self._confirmations and not self.lost.done():
            await asyncio.wait(self._confirmations.values(), timeout=LEAVE_TIMEOUT_S)
        if not self.lost.done():
            self._client.disconnect()
            await asyncio.wait({self.lost}, timeout=LEAVE_TIMEOUT_S)
        if not self.lost.done():
            self.lost.cancel()
            await asyncio.wait({self.lost})

    async def _answer(self, answer: "asyncio.Future[_Answer]") -> _Answer:
        ends: set[asyncio.Future[Any]] = {answer, self.lost}
        await asyncio.wait(ends, timeout=ANSWER_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        if self.lost.done():
            mend = "" if isinstance(self._sock, ssl.SSLSocket) else "; does this port want TLS?"
            why = f"{self.lost.result()} before the broker answered{mend}"
            raise DialFailed(why, other_protocol=True)
        raise DialFailed(f"the broker is silent for {ANSWER_TIMEOUT_S:.0f} s", other_protocol=True)

    def _attach(self) -> None:
        client = self._client
        asyncio.get_running_loop().add_reader(self._sock, self._wake.set)
        if client.want_write():
            self._watch_writing()
        client.on_socket_register_write = self._watch_writing
        client.on_socket_unregister_write = self._unwatch_writing
        client.on_socket_close = self._detach
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message

    def _detach(self, *_: Any) -> None:
        asyncio.get_running_loop().remove_reader(self._sock)
        self._unwatch_writing()

    def _watch_writing(self, *_: Any) -> None:
        asyncio.get_running_loop().add_writer(self._sock, self._wake.set)

    def _unwatch_writing(self, *_: Any) -> None:
        asyncio.get_running_loop().remove_writer(self._sock)

    async def _pump(self) -> str:
        # paho is stepped here and nowhere else, so an error inside it ends this task and reaches
        # whoever waits for it instead of being logged by the loop and forgotten.
        client = self._client
        try:
            while client.socket() is not None:
                await self._woken()
                if not self._paused:
                    client.loop_read()
                    self._confirm_at_once()
                    self._read_on()
                if client.want_write():
                    client.loop_write()
                client.loop_misc()
        finally:
            if client.socket() is not None:
                self._detach()
                self._sock.close()
            # paho would close it again when the client is forgotten.
            client.on_socket_close = client.on_socket_unregister_write = None
            for confirmation in self._confirmations.values():
                if not confirmation.done():
                    confirmation.set_result(self._reason)
            self._confirmations.clear()
        return self._reason

    def _confirm_at_once(self) -> None:
        # A broker that collects small packets (RFC 896) sends the next one when TCP has confirmed
        # the last, which the kernel puts off for 40 ms (RFC 1122, 4.2.3.2). The option does not
        # last: tcp(7), TCP_QUICKACK.
        if self._client.socket() is not None:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _read_on(self) -> None:
        # What TLS has taken from the socket already makes it readable no more.
        if isinstance(self._sock, ssl.SSLSocket) and self._sock.pending():
            self._wake.set()

    async def _woken(self) -> None:
        try:
            async with asyncio.timeout(self._tick_s):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    def _on_connect(
        self, _client: Any, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        if not self._connected.done():
            self._connected.set_result(reason)

    def _on_disconnect(
        self, _client: Any, _data: Any, flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._reason = f"the broker ended the connection: {reason.getName()}"

    def _on_subscribe(
        self, _client: Any, _data: Any, _mid: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        if not self._subscribed.done():
            self._subscribed.set_result(reasons)

    def _on_publish(
        self, _client: Any, _data: Any, mid: int, reason: ReasonCode, _properties: Any
    ) -> None:
        confirmation = self._confirmations.pop(mid, None)
        if confirmation is not None and not confirmation.done():
            confirmation.set_result(reason.getName() if reason.is_failure else "")

    def _on_message(self, client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            # Left unacknowledged it would come again with every connection.
            client.ack(message.mid, message.qos)
            return
        self._receive(
            self,
            Message(
                topic=topic,
                payload=bytes(message.payload),
                retained=message.retain,
                mid=message.mid,
                qos=message.qos,
            ),
        )


Receive = Callable[[Session, Message], None]
"""Where a session's messages go, in the event loop; what it raises ends the session."""
