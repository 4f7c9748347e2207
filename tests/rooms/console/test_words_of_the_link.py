"""What the status says of the link to the broker, and of the certificates on the way."""

import msgspec
import pytest

from gateway.console.status_words import DAY_MS, status_lines
from gateway.console.words import day_of
from gateway.core.fact import BrokerSeen, CertificateEnd, Holder
from gateway.core.image import Image
from gateway.core.model import GatewayId, Now, Station
from gateway.core.status import status_of
from tests.signing import ROOT

WALL_MS = 1_795_400_000_000
UNTRUSTED = Now(mono_ms=900_000, boot="boot-1", wall_ms=WALL_MS, wall_low_ms=WALL_MS)
TRUSTED = msgspec.structs.replace(UNTRUSTED, wall_high_ms=WALL_MS)
SOON_MS = WALL_MS + 12 * DAY_MS + 5


def link(broker: BrokerSeen, now: Now = TRUSTED) -> str:
    """The line about the head end of a gateway to which nothing else has come."""
    station = Station(gateway=GatewayId("gw-1"), buses=(), profiles={})
    status = status_of(Image(station=station, root=ROOT, broker=broker), now)
    (said,) = (line for line in status_lines(status) if line.startswith("head end  "))
    return said


def until(at_ms: int, whose: Holder, detail: str = "") -> BrokerSeen:
    end = CertificateEnd(whose=whose, at_ms=at_ms)
    return BrokerSeen(connected=not detail, protocol="MQTT 5", detail=detail, certificate=end)


@pytest.mark.parametrize(
    ("whose", "words"),
    [
        (Holder.GATEWAY, "this gateway's"),
        (Holder.BROKER, "the broker's"),
        (Holder.AUTHORITY, "the CA's"),
    ],
)
def test_whose_certificate_ends_first_and_when(whose: Holder, words: str) -> None:
    said = f"; {words} certificate is good until {day_of(SOON_MS)}, 12 days; "
    assert said in link(until(SOON_MS, whose))


def test_one_that_is_over_is_called_so_beside_what_the_broker_says() -> None:
    refused = "CERTIFICATE_EXPIRED: the broker calls our certificate expired"
    said = link(until(WALL_MS, Holder.GATEWAY, refused))
    assert f"broker not connected: {refused}; this gateway's certificate is good until " in said
    assert ", EXPIRED; " in said


def test_days_are_not_counted_by_a_clock_that_nobody_answers_for() -> None:
    said = link(until(WALL_MS, Holder.BROKER), UNTRUSTED)
    assert f"is good until {day_of(WALL_MS)}; " in said


def test_without_tls_nothing_is_said_of_certificates() -> None:
    assert "certificate" not in link(BrokerSeen(connected=True, protocol="MQTT 5"))
