"""The records of trust and the lines that they are read as."""

from collections.abc import Iterator
from typing import Any

from gateway.console.words import date_and_time
from gateway.core.fact import Road
from gateway.core.marks import Marks
from gateway.core.model import Account, Digest
from gateway.core.orders import CutEntry, Disconnect
from gateway.core.records import Body, OrderRestored
from gateway.core.trust_records import (
    JournalLost,
    JournalMended,
    KeyRevoked,
    MarksAhead,
    RootInstalled,
    Sealed,
    TimeNoted,
    TimeSet,
)

ACCOUNT = Account("7301001")
DIGEST = Digest("0" * 64)
BY_ORDER: dict[str, Any] = {"id": "O-7", "seq": 7, "digest": DIGEST, "signers": ("order-1",)}
REFUSED = f"what it signed after {date_and_time(5)} is refused"
LEFT = "account 7301001 and 2 more, the list in force"
DISCONNECT = Disconnect(accounts=(CutEntry(account=ACCOUNT, meter="M1", n=5),))


HELD = "12 records before this one were held in memory"


def of_trust() -> Iterator[tuple[Body, str]]:
    """What is written down of roots, keys, the time and lost journals."""
    yield (
        RootInstalled(
            seq=2, digest=DIGEST, signers=("root-1", "root-2"), road=Road.LOCAL, clock_reset=False
        ),
        "root of trust 2 in force, signed by root-1, root-2",
    )
    yield (
        KeyRevoked(kid="list-1", after=5, accounts=(ACCOUNT,), more=2, list=DIGEST),
        f"key list-1 revoked, {REFUSED}; granted later and left standing: {LEFT}; look into that",
    )
    yield (
        KeyRevoked(kid="site-1", after=5),
        f"key site-1 revoked, {REFUSED}",
    )
    yield (
        TimeSet(low_ms=1, high_ms=2, digest=DIGEST, signer="time-1", road=Road.LOCAL),
        f"time set to {date_and_time(1)} by key time-1 (LOCAL)",
    )
    yield TimeNoted(), "a quiet day has gone by"
    yield (
        JournalLost(trouble="CORRUPT", marks=Marks(), amnesia=False),
        "the journal was lost (CORRUPT): rebuilt from the archive",
    )
    yield (
        JournalLost(trouble="", marks=Marks(), amnesia=True),
        "the journal was lost (it is not there): nothing is known of before",
    )
    yield (
        MarksAhead(marks=Marks()),
        "newer documents than the journal's were here: send them again",
    )
    yield (
        JournalMended(trouble="DISK_FULL", held=12, lasted_ms=61_000),
        f"the disk takes records again after 01:01 of DISK_FULL: {HELD}",
    )
    yield Sealed(checkpoint="eyJ"), "the gateway signed for all records before this one"
    yield (
        OrderRestored(act=DISCONNECT, **BY_ORDER),
        "order O-7 was here: cut account 7301001; not done again",
    )
