"""Timing: what becomes of a time document.

Owns every reason for which the time that somebody signed is not believed. Must never read a clock:
the nonce says when the question was asked, on the boot clock.
"""

from gateway.core.admitted import ACCEPTED, Admission
from gateway.core.documents import Time
from gateway.core.fact import Road
from gateway.core.model import Now, TimeSource
from gateway.core.sequence import echo_age_ms
from gateway.core.signature import Verified
from gateway.core.soundness import Unsound
from gateway.core.trust_records import TimeSet


def judge_time(time: Time, verified: Verified, road: Road, now: Now) -> Admission:
    """What becomes of a time document. Raises `Unsound`.

    It was signed after the nonce was given out and before it came here, so the present lies between
    what it says and what it says plus the age of the nonce.
    """
    age_ms = echo_age_ms(time.nonce, now)
    if age_ms is None:
        raise Unsound(
            "NONCE_UNKNOWN",
            "it does not echo a nonce that this gateway gave in the last 15 minutes; read one anew",
        )
    high_ms = time.now + age_ms
    if high_ms < now.wall_low_ms:
        raise Unsound("TIME_FELL", f"it was certainly {now.wall_low_ms} already")
    firm = now.source is not TimeSource.RTC  # a battery clock may be wrong, and this mends it
    if firm and now.wall_high_ms is not None and time.now > now.wall_high_ms:
        raise Unsound("TIME_CONTRADICTED", f"a trusted source says {now.wall_high_ms} at most")
    body = TimeSet(
        low_ms=max(time.now, now.wall_low_ms),
        high_ms=high_ms,
        digest=verified.digest,
        signer=verified.signers[0],
        road=road,
    )
    return Admission(answer=ACCEPTED, bodies=(body,))
