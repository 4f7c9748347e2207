"""When a certificate on the way to the broker is an alarm, and that a wrong clock raises none."""

import pytest

from gateway.core.alarms import Alarm
from gateway.core.certificates import WARN_MS, certificate_alarm
from gateway.core.fact import BrokerSeen, CertificateEnd, Holder
from gateway.core.image import observe
from gateway.core.model import Instant, Now
from gateway.core.status import status_of
from tests.core.papers import M1
from tests.core.world import World

AT_MS = 1_900_000_000_000


def now(*, trusted: bool = True, wide_ms: int = 0) -> Now:
    high_ms = AT_MS + wide_ms if trusted else None
    return Now(mono_ms=5, boot="b", wall_ms=AT_MS, wall_low_ms=AT_MS, wall_high_ms=high_ms)


def ends(at_ms: int, *, connected: bool = True) -> BrokerSeen:
    end = CertificateEnd(whose=Holder.BROKER, at_ms=at_ms)
    return BrokerSeen(connected=connected, certificate=end)


@pytest.mark.parametrize(
    ("end_ms", "alarm"),
    [
        (AT_MS + WARN_MS + 1, None),
        (AT_MS + WARN_MS, Alarm.CERTIFICATE_EXPIRES),
        (AT_MS + 1, Alarm.CERTIFICATE_EXPIRES),
        (AT_MS, Alarm.CERTIFICATE_EXPIRED),
        (0, Alarm.CERTIFICATE_EXPIRED),
    ],
)
@pytest.mark.parametrize("connected", [True, False])
def test_it_warns_for_thirty_days_and_then_says_it_is_over(
    end_ms: int, alarm: Alarm | None, connected: bool
) -> None:
    assert certificate_alarm(ends(end_ms, connected=connected), now()) is alarm


def test_a_clock_that_nobody_answers_for_raises_none() -> None:
    assert certificate_alarm(ends(0), now(trusted=False)) is None


def test_it_is_not_over_as_long_as_the_clock_may_be_ahead() -> None:
    assert certificate_alarm(ends(AT_MS + 1), now(wide_ms=9)) is Alarm.CERTIFICATE_EXPIRES


@pytest.mark.parametrize("broker", [None, BrokerSeen(connected=True)])
def test_without_tls_there_is_nothing_to_watch(broker: BrokerSeen | None) -> None:
    assert certificate_alarm(broker, now()) is None


def test_the_status_raises_it_and_names_the_certificate() -> None:
    world = World(M1)
    seen = ends(world.now.wall_low_ms + WARN_MS)
    at = Instant(boot=world.now.boot, mono_ms=world.now.mono_ms, wall_ms=world.now.wall_ms)
    world.image = observe(world.image, seen, at)
    said = status_of(world.image, world.now)
    assert said.broker == seen
    assert Alarm.CERTIFICATE_EXPIRES in said.alarms
    world.wait(WARN_MS)
    said = status_of(world.image, world.now)
    assert Alarm.CERTIFICATE_EXPIRED in said.alarms
    assert Alarm.CERTIFICATE_EXPIRES not in said.alarms
