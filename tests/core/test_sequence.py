"""What is of our time, at its edges: ledger times that are yet to come, the echo of an order."""

import msgspec
import pytest

from gateway.core.model import Now
from gateway.core.sequence import clock_unknown, in_the_future, nonce_of

DAY_MS = 86_400_000
TRUSTED = Now(
    mono_ms=10**9,
    boot="boot-1",
    wall_ms=10**12,
    wall_low_ms=10**12 - 1_000,
    wall_high_ms=10**12 + 1_000,
)
UNTRUSTED = msgspec.structs.replace(TRUSTED, wall_high_ms=None)


@pytest.mark.parametrize(
    ("now", "latest_ms"),
    [(TRUSTED, 10**12 + 1_000 + DAY_MS), (UNTRUSTED, 10**12 - 1_000 + 402 * DAY_MS)],
    ids=["a day ahead of a trusted clock", "402 days ahead of the least that an unknown one says"],
)
def test_a_ledger_time_lies_at_most(now: Now, latest_ms: int) -> None:
    assert not in_the_future(latest_ms, now)
    assert in_the_future(latest_ms + 1, now)


ECHOES: list[tuple[str, str | None, bool]] = [
    ("of this instant", "boot-1@1000000000", True),
    ("of 15 minutes ago", "boot-1@999100000", True),
    ("of longer ago", "boot-1@999099999", False),
    ("of an instant to come", "boot-1@1000000001", False),
    ("of another boot", "boot-2@1000000000", False),
    ("of no instant", "boot-1@", False),
    ("of the boot alone", "boot-1", False),
    ("in sixteen digits", "boot-1@0000001000000000", True),
    ("in seventeen", "boot-1@00000001000000000", False),
    ("in digits of another script", "boot-1@१०००००००००", False),
    ("in no digits", "boot-1@1e9", False),
    ("of nothing", None, False),
]


@pytest.mark.parametrize(
    ("echo", "known"),
    [row[1:] for row in ECHOES],
    ids=[f"an echo {row[0]} {'tells' if row[2] else 'tells nothing'}" for row in ECHOES],
)
def test_by_an_unknown_clock(echo: str | None, known: bool) -> None:
    assert clock_unknown(echo, UNTRUSTED) is not known
    assert not clock_unknown(echo, TRUSTED)


def test_what_the_gateway_says_of_this_instant_is_what_an_order_may_echo() -> None:
    assert nonce_of(UNTRUSTED) == "boot-1@1000000000"
