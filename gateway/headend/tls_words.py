"""What is said where the two sides of a TLS link do not trust each other.

Owns the names of these refusals, what each means, how to mend it, and whether time alone mends it.
Must never decide whom to trust: OpenSSL has done so, on this side or at the broker.
"""

import re
import ssl
from datetime import UTC, datetime
from enum import StrEnum

from gateway.core.model import Value

ALERT = re.compile(r"(?:.*_)?ALERT_(\w+)")
"""What the other side said, as OpenSSL calls it; what stands before it differs by version."""


class Refusal(StrEnum):
    """Why one side of a TLS link does not take the other."""

    WRONG_NAME = "WRONG_NAME"
    BROKER_EXPIRED = "BROKER_EXPIRED"
    BROKER_NOT_YET_VALID = "BROKER_NOT_YET_VALID"
    BROKER_REVOKED = "BROKER_REVOKED"
    BROKER_UNKNOWN = "BROKER_UNKNOWN"
    """Its certificate comes from a CA that is not ours."""
    BROKER_UNFIT = "BROKER_UNFIT"
    REVOCATIONS_OLD = "REVOCATIONS_OLD"
    REVOCATIONS_MISSING = "REVOCATIONS_MISSING"
    """The revocation list is another CA's."""
    CERTIFICATE_MISSING = "CERTIFICATE_MISSING"
    CERTIFICATE_EXPIRED = "CERTIFICATE_EXPIRED"
    CERTIFICATE_NOT_TAKEN = "CERTIFICATE_NOT_TAKEN"
    """Not valid yet, or unfit: what brokers say does not tell these apart."""
    CERTIFICATE_REVOKED = "CERTIFICATE_REVOKED"
    CERTIFICATE_UNKNOWN = "CERTIFICATE_UNKNOWN"
    """It comes from a CA that is not the broker's."""
    NO_COMMON_TLS = "NO_COMMON_TLS"
    NO_TLS = "NO_TLS"
    HUNG_UP = "HUNG_UP"


PASSING = frozenset({Refusal.BROKER_NOT_YET_VALID, Refusal.HUNG_UP})
"""A clock is set by its time daemon, a broker comes up; all others wait for a person."""
OF_BROKER: dict[int, Refusal] = {
    2: Refusal.BROKER_UNKNOWN,
    3: Refusal.REVOCATIONS_MISSING,
    8: Refusal.REVOCATIONS_MISSING,
    9: Refusal.BROKER_NOT_YET_VALID,
    10: Refusal.BROKER_EXPIRED,
    11: Refusal.REVOCATIONS_OLD,
    12: Refusal.REVOCATIONS_OLD,
    18: Refusal.BROKER_UNKNOWN,
    19: Refusal.BROKER_UNKNOWN,
    20: Refusal.BROKER_UNKNOWN,
    21: Refusal.BROKER_UNKNOWN,
    23: Refusal.BROKER_REVOKED,
    62: Refusal.WRONG_NAME,
    64: Refusal.WRONG_NAME,
}
"""What this side found, by the codes of X509_STORE_CTX_get_error(3ssl)."""
OF_ALERT: dict[str, Refusal] = {
    "BAD_CERTIFICATE": Refusal.CERTIFICATE_NOT_TAKEN,
    "CERTIFICATE_EXPIRED": Refusal.CERTIFICATE_EXPIRED,
    "CERTIFICATE_REQUIRED": Refusal.CERTIFICATE_MISSING,
    "CERTIFICATE_REVOKED": Refusal.CERTIFICATE_REVOKED,
    "CERTIFICATE_UNKNOWN": Refusal.CERTIFICATE_NOT_TAKEN,
    "INSUFFICIENT_SECURITY": Refusal.NO_COMMON_TLS,
    "PROTOCOL_VERSION": Refusal.NO_COMMON_TLS,
    "UNKNOWN_CA": Refusal.CERTIFICATE_UNKNOWN,
    "UNSUPPORTED_CERTIFICATE": Refusal.CERTIFICATE_NOT_TAKEN,
}
"""What the broker found, by the alerts of RFC 8446, section 6.2."""
OF_REASON: dict[str, Refusal] = {
    "NO_PROTOCOLS_AVAILABLE": Refusal.NO_COMMON_TLS,
    "RECORD_LAYER_FAILURE": Refusal.NO_TLS,
    "UNSUPPORTED_PROTOCOL": Refusal.NO_COMMON_TLS,
    "WRONG_VERSION_NUMBER": Refusal.NO_TLS,
}
"""What OpenSSL could not read."""

MEANING: dict[Refusal, str] = {
    Refusal.WRONG_NAME: "the broker's certificate is not for {host}; correct the host, or have one "
    "issued to the broker for this name",
    Refusal.BROKER_EXPIRED: "the broker's certificate or its CA's has expired{by_clock}; renew it "
    "at the broker",
    Refusal.BROKER_NOT_YET_VALID: "the broker's certificate or its CA's is not valid yet{by_clock};"
    " is this clock right? Without a battery clock it may begin in 1970",
    Refusal.BROKER_REVOKED: "the broker's certificate is on its CA's revocation list; have a new "
    "one issued to the broker",
    Refusal.BROKER_UNKNOWN: "the broker's certificate is not from the CA that is trusted here; "
    "compare ca_file with the broker's CA",
    Refusal.BROKER_UNFIT: "the broker's certificate cannot be used; have another issued to it",
    Refusal.REVOCATIONS_OLD: "crl_file is out of date{by_clock}; fetch the CA's newest one",
    Refusal.REVOCATIONS_MISSING: "crl_file is not from the CA of the broker's certificate; fetch "
    "that one's",
    Refusal.CERTIFICATE_MISSING: "the broker wants a certificate and there is none here; give "
    "certificate_file and key_file",
    Refusal.CERTIFICATE_EXPIRED: "the broker calls our certificate expired{dates}; renew it. If it "
    "is not over, the broker's clock or its revocation list is wrong",
    Refusal.CERTIFICATE_NOT_TAKEN: "the broker does not take our certificate{dates}; if it is "
    "valid now and was issued for clients, look at the broker's clock and log",
    Refusal.CERTIFICATE_REVOKED: "the broker calls our certificate revoked; have a new one issued",
    Refusal.CERTIFICATE_UNKNOWN: "the broker does not trust the CA of our certificate, or has no "
    "revocation list of it; compare that CA with the broker's cafile",
    Refusal.NO_COMMON_TLS: "no common version of TLS; this side speaks 1.2 and newer",
    Refusal.NO_TLS: "no TLS is spoken at this port; correct it, brokers have 8883 for TLS",
    Refusal.HUNG_UP: "the broker ended the TLS handshake; is this its port for TLS? Its log may "
    "say why",
}
"""What each means, and the mend."""


class Named(Value):
    """What the words are about: the broker's name, our certificate's dates, our calendar's claim.

    Milliseconds UTC; None: there is no certificate, or nobody said.
    """

    host: str
    own: tuple[int, int] | None
    wall_ms: int | None


def in_words(trouble: OSError, named: Named) -> tuple[str, bool]:
    """What broke a TLS link, by name and with the mend; whether only a person can mend it."""
    refusal = refusal_of(trouble, named)
    meaning = MEANING[refusal].format(
        host=named.host, by_clock=_by_clock(named), dates=_dates(named)
    )
    detail = f"{refusal}: {meaning}"
    if refusal in {Refusal.BROKER_UNFIT, Refusal.HUNG_UP}:
        detail += f" ({_technically(trouble)})"
    return detail, refusal not in PASSING


def refusal_of(trouble: OSError, named: Named) -> Refusal:
    """The name of what broke a TLS link."""
    if isinstance(trouble, ssl.SSLCertVerificationError):
        return OF_BROKER.get(trouble.verify_code, Refusal.BROKER_UNFIT)
    reason = (trouble.reason if isinstance(trouble, ssl.SSLError) else None) or ""
    alert = ALERT.fullmatch(reason)
    if alert is None:
        return OF_REASON.get(reason, Refusal.HUNG_UP)
    if alert[1] == "HANDSHAKE_FAILURE" and named.own is None:
        return Refusal.CERTIFICATE_MISSING  # TLS 1.2 has no alert of its own for that
    return OF_ALERT.get(alert[1], Refusal.HUNG_UP)


def _by_clock(named: Named) -> str:
    if named.wall_ms is None:
        return " by the clock here"
    return f" by the clock here, which says {_minute(named.wall_ms)}"


def _dates(named: Named) -> str:
    if named.own is None:
        return ""
    begin_ms, end_ms = named.own
    return f" (valid from {_minute(begin_ms)} to {_minute(end_ms)})"


def _minute(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _technically(trouble: OSError) -> str:
    if isinstance(trouble, ssl.SSLCertVerificationError):
        return trouble.verify_message
    if isinstance(trouble, ssl.SSLError):
        return trouble.reason or str(trouble)
    return trouble.strerror or str(trouble)
