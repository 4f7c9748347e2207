"""The certificates on the way to the broker: when one of them is an alarm.

Owns how long before its end that begins. Must never call one expired by a clock that nobody
answers for.
"""

from typing import Final

from gateway.core.alarms import Alarm
from gateway.core.fact import BrokerSeen
from gateway.core.model import Now

WARN_MS: Final = 30 * 24 * 3_600_000
"""Long enough to have one issued and brought to every gateway."""


def certificate_alarm(broker: BrokerSeen | None, now: Now) -> Alarm | None:
    """What the certificate that ends first is worth; None: nothing, or the time is not known."""
    if broker is None or broker.certificate is None or not now.trusted:
        return None
    left_ms = broker.certificate.at_ms - now.wall_low_ms
    if left_ms <= 0:
        return Alarm.CERTIFICATE_EXPIRED
    return Alarm.CERTIFICATE_EXPIRES if left_ms <= WARN_MS else None
