"""TLS with a real broker: who is let through, and what is said of everybody else."""

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from paho.mqtt.enums import MQTTProtocolVersion

from gateway.core.fact import CertificateEnd, Holder
from gateway.headend.dialler import Dialler, Role
from gateway.headend.session import BrokerSettings, DialFailed, TlsSettings
from gateway.headend.tls import Tls
from tests.rooms.authority import (
    DAY,
    NOW,
    OTHER_NAME,
    Authority,
    Pair,
    milliseconds,
    tls_listener,
)
from tests.rooms.brokers import LOOPBACK, Mosquitto

ROLE = Role(client_id="fg-test", lasting=True, filters=("fg/down",))
CLOCK_MS = 7_000
BY_CLOCK = "by the clock here, which says 1970-01-01 00:00 UTC"
SPAN = "valid from {0:%Y-%m-%d %H:%M} UTC to {1:%Y-%m-%d %H:%M} UTC"
PAST = {"begin": NOW - 9 * DAY, "end": NOW - 2 * DAY}
FUTURE = {"begin": NOW + 2 * DAY, "end": NOW + 9 * DAY}


@dataclass
class Scene:
    """The utility's CA, somebody else's, and the two sides of a link."""

    folder: Path
    utility: Authority = field(init=False)
    stranger: Authority = field(init=False)
    broker: Pair = field(init=False)
    gateway: Pair = field(init=False)

    def __post_init__(self) -> None:
        self.utility = Authority(self.folder / "utility")
        self.stranger = Authority(self.folder / "stranger", "CA of somebody else")
        self.broker = self.utility.issue("broker")
        self.gateway = self.utility.issue("gw-1")

    async def dial(
        self, settings: TlsSettings, *options: str, own: Pair | None = None
    ) -> CertificateEnd | None:
        """Dial a broker that wants a certificate of the utility's CA; raises `DialFailed`."""
        lines = tls_listener(self.utility, own or self.broker, *options)
        broker = Mosquitto(self.folder / "mosquitto", options=lines)
        await broker.start()
        try:
            return await dial(broker.port, settings)
        finally:
            await broker.stop()


async def dial(
    port: int,
    tls: TlsSettings | None,
    *,
    protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5,
) -> CertificateEnd | None:
    """Connect and leave; what ends first on the way."""
    settings = BrokerSettings(host=LOOPBACK, port=port, tls=tls, keepalive_s=3600)
    dialler = Dialler(settings, ROLE, wall_ms=lambda: CLOCK_MS)
    dialler._protocol = protocol
    session = await dialler.dial(lambda *_: None)
    await session.close()
    return dialler.certificate


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311])
async def test_both_sides_show_who_they_are(scene: Scene, protocol: MQTTProtocolVersion) -> None:
    broker = Mosquitto(
        scene.folder / "mosquitto", options=tls_listener(scene.utility, scene.broker)
    )
    await broker.start()
    await dial(broker.port, scene.utility.settings(scene.gateway), protocol=protocol)
    await broker.stop()


REFUSED: dict[str, tuple[Callable[[Scene], Awaitable[object]], bool, str]] = {
    "a broker of another name": (
        lambda it: it.dial(
            it.utility.settings(it.gateway), own=it.utility.issue("other", host=OTHER_NAME)
        ),
        True,
        "WRONG_NAME: the broker's certificate is not for 127.0.0.1; ",
    ),
    "a broker past its end": (
        lambda it: it.dial(it.utility.settings(it.gateway), own=it.utility.issue("old", **PAST)),
        True,
        f"BROKER_EXPIRED: the broker's certificate or its CA's has expired {BY_CLOCK}; ",
    ),
    "a broker before its begin": (
        lambda it: it.dial(it.utility.settings(it.gateway), own=it.utility.issue("new", **FUTURE)),
        False,
        (
            "BROKER_NOT_YET_VALID: the broker's certificate or its CA's is not valid yet "
            f"{BY_CLOCK}; is this clock right? "
        ),
    ),
    "a revoked broker": (
        lambda it: it.dial(
            it.utility.settings(it.gateway, it.utility.revocations(it.broker)),
        ),
        True,
        "BROKER_REVOKED: the broker's certificate is on its CA's revocation list; ",
    ),
    "a broker of a CA that nobody here trusts": (
        lambda it: it.dial(it.stranger.settings(it.gateway)),
        True,
        "BROKER_UNKNOWN: the broker's certificate is not from the CA that is trusted here; ",
    ),
    "a broker of a CA that the system does not know": (
        lambda it: it.dial(TlsSettings()),
        True,
        "BROKER_UNKNOWN: ",
    ),
    "a revocation list that is out of date": (
        lambda it: it.dial(
            it.utility.settings(it.gateway, it.utility.revocations(until=NOW - DAY))
        ),
        True,
        f"REVOCATIONS_OLD: crl_file is out of date {BY_CLOCK}; ",
    ),
    "another CA's revocation list": (
        lambda it: it.dial(it.utility.settings(it.gateway, it.stranger.revocations())),
        True,
        "REVOCATIONS_MISSING: crl_file is not from the CA of the broker's certificate; ",
    ),
    "no certificate of ours": (
        lambda it: it.dial(it.utility.settings()),
        True,
        "CERTIFICATE_MISSING: the broker wants a certificate and there is none here; ",
    ),
    "a certificate of ours past its end": (
        lambda it: it.dial(it.utility.settings(it.utility.issue("old", **PAST))),
        True,
        (
            "CERTIFICATE_EXPIRED: the broker calls our certificate expired "
            f"({SPAN.format(PAST['begin'], PAST['end'])}); "
        ),
    ),
    "a certificate of ours before its begin": (
        lambda it: it.dial(it.utility.settings(it.utility.issue("new", **FUTURE))),
        True,
        (
            "CERTIFICATE_NOT_TAKEN: the broker does not take our certificate "
            f"({SPAN.format(FUTURE['begin'], FUTURE['end'])}); "
        ),
    ),
    "a revoked certificate of ours": (
        lambda it: it.dial(
            it.utility.settings(it.gateway), f"crlfile {it.utility.revocations(it.gateway)}"
        ),
        True,
        "CERTIFICATE_REVOKED: the broker calls our certificate revoked; ",
    ),
    "a certificate of a CA that the broker does not trust": (
        lambda it: it.dial(it.utility.settings(it.stranger.issue("gw-1"))),
        True,
        "CERTIFICATE_UNKNOWN: the broker does not trust the CA of our certificate, ",
    ),
    "a certificate of a client as the broker's": (
        lambda it: it.dial(
            it.utility.settings(it.gateway),
            own=it.utility.issue("client", usages=(ExtendedKeyUsageOID.CLIENT_AUTH,)),
        ),
        True,
        "BROKER_UNFIT: the broker's certificate cannot be used; have another issued to it (",
    ),
    "a certificate of a server as ours": (
        lambda it: it.dial(
            it.utility.settings(
                it.utility.issue("server", usages=(ExtendedKeyUsageOID.SERVER_AUTH,))
            )
        ),
        True,
        "CERTIFICATE_NOT_TAKEN: ",
    ),
    "a wrong password": (
        lambda it: it.dial(
            it.utility.settings(it.gateway), "password_file /dev/null", "allow_anonymous false"
        ),
        True,
        "the broker refuses: Not authorized",
    ),
}


@pytest.mark.parametrize("given", REFUSED)
async def test_who_is_not_let_through_is_told_why(scene: Scene, given: str) -> None:
    attempt, permanent, says = REFUSED[given]
    with pytest.raises(DialFailed) as failed:
        await attempt(scene)
    assert failed.value.detail.startswith(says)
    assert failed.value.permanent is permanent


async def test_a_revocation_list_without_the_broker_lets_it_through(scene: Scene) -> None:
    revoked = scene.utility.revocations(scene.gateway)
    await scene.dial(scene.utility.settings(scene.gateway, revoked))


@pytest.mark.parametrize(
    ("broker_end", "own_end", "first"),
    [
        (NOW + 40 * DAY, NOW + 50 * DAY, Holder.BROKER),
        (NOW + 60 * DAY, NOW + 50 * DAY, Holder.GATEWAY),
        (NOW + 9_000 * DAY, NOW + 9_000 * DAY, Holder.AUTHORITY),
    ],
)
async def test_which_certificate_ends_first_is_known(
    scene: Scene, broker_end: datetime, own_end: datetime, first: Holder
) -> None:
    ends = {
        Holder.BROKER: broker_end,
        Holder.GATEWAY: own_end,
        Holder.AUTHORITY: scene.utility.certificate.not_valid_after_utc,
    }
    own = scene.utility.issue("gw-1", end=own_end)
    seen = await scene.dial(
        scene.utility.settings(own), own=scene.utility.issue("broker", end=broker_end)
    )
    assert seen == CertificateEnd(whose=first, at_ms=milliseconds(ends[first]))


def encrypted(pair: Pair) -> None:
    key = load_pem_private_key(pair.key_file.read_bytes(), None)
    locked = BestAvailableEncryption(b"horse")
    pair.key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))


def someone_elses_key(scene: Scene) -> None:
    scene.gateway.key_file.write_bytes(scene.broker.key_file.read_bytes())


FILES: dict[str, tuple[Callable[[Scene], object], str, str]] = {
    "no CA": (lambda it: it.utility.ca_file.unlink(), "ca_file", "No such file or directory. Make"),
    "a CA that is none": (
        lambda it: it.utility.ca_file.write_text("a CA"),
        "ca_file",
        "no certificate in PEM form in it. Copy",
    ),
    "a revocation list for a CA": (
        lambda it: it.utility.ca_file.write_bytes(it.utility.revocations().read_bytes()),
        "ca_file",
        "no CA's certificate in it. Copy",
    ),
    "no certificate": (
        lambda it: it.gateway.certificate_file.unlink(),
        "certificate_file",
        "No such file or directory. Make",
    ),
    "a certificate that is none": (
        lambda it: it.gateway.certificate_file.write_text("-----BEGIN CERTIFICATE-----"),
        "certificate_file",
        "no certificate in PEM form in it. Put",
    ),
    "no key": (
        lambda it: it.gateway.key_file.unlink(),
        "key_file",
        "No such file or directory. Make",
    ),
    "a key that is none": (
        lambda it: it.gateway.key_file.write_text("a key"),
        "key_file",
        "no private key in PEM form in it. Put",
    ),
    "a key with a pass phrase": (
        lambda it: encrypted(it.gateway),
        "key_file",
        "it asks for a pass phrase. Put",
    ),
    "a key that OpenSSL calls weak": (
        lambda it: it.utility.issue("gw-1", key=generate_private_key(65_537, 1024)),
        "certificate_file",
        "OpenSSL does not take it (EE_KEY_TOO_SMALL). Have it issued anew",
    ),
    "another's key": (someone_elses_key, "key_file", "the key of another certificate. Put"),
}


@pytest.mark.parametrize("given", FILES)
async def test_a_file_that_cannot_be_used_is_named(scene: Scene, given: str) -> None:
    spoil, setting, says = FILES[given]
    spoil(scene)
    settings = scene.utility.settings(scene.gateway)
    with pytest.raises(DialFailed) as failed:
        await dial(1, settings)
    assert failed.value.permanent
    assert failed.value.detail.startswith(f"{setting}: {getattr(settings, setting)}: {says}")


@pytest.mark.parametrize("content", ["a list", None])
async def test_a_revocation_list_that_is_none_is_named(scene: Scene, content: str | None) -> None:
    path = scene.folder / "revoked.crl"
    path.write_text(content or scene.utility.ca_file.read_text())
    with pytest.raises(DialFailed, match=f"crl_file: {path}: no revocation list in it"):
        await dial(1, scene.utility.settings(scene.gateway, path))


@pytest.mark.parametrize("missing", ["key_file", "certificate_file"])
async def test_a_certificate_and_its_key_go_together(scene: Scene, missing: str) -> None:
    names = {"certificate_file", "key_file"} - {missing}
    settings = TlsSettings(**{name: str(getattr(scene.gateway, name)) for name in names})
    with pytest.raises(DialFailed, match=f"{missing} is missing. The two go together"):
        await dial(1, settings)


async def test_a_port_without_tls_is_said_to_be_none(scene: Scene) -> None:
    broker = Mosquitto(scene.folder / "mosquitto")
    await broker.start()
    with pytest.raises(DialFailed, match=r"HUNG_UP: .* is this its port for TLS\?") as failed:
        await dial(broker.port, scene.utility.settings(scene.gateway))
    await broker.stop()
    assert not failed.value.permanent


async def test_a_port_for_tls_that_is_spoken_to_plainly(scene: Scene) -> None:
    lines = tls_listener(scene.utility, scene.broker)
    broker = Mosquitto(scene.folder / "mosquitto", options=lines)
    await broker.start()
    with pytest.raises(DialFailed, match=r"does this port want TLS\?") as failed:
        await dial(broker.port, None)
    await broker.stop()
    assert not failed.value.permanent


def test_the_port_is_that_of_the_protocol() -> None:
    ports = [
        BrokerSettings(host="mqtt").port,
        BrokerSettings(host="mqtt", tls=TlsSettings()).port,
        BrokerSettings(host="mqtt", port=1884, tls=TlsSettings()).port,
    ]
    assert ports == [1883, 8883, 1884]


def test_nothing_older_than_tls_1_2_is_spoken(scene: Scene) -> None:
    context, _ = Tls(scene.utility.settings(), host=LOOPBACK).load()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
