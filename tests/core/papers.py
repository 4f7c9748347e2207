"""The papers and meters that the tests speak of, and the hours they speak in."""

import msgspec

from gateway.core.documents import AllowList, ListEntry, Receipt
from gateway.core.image import Image
from gateway.core.kept import Kept
from gateway.core.model import (
    GatewayId,
    Meter,
    Now,
    ProfileAbility,
    Station,
)
from gateway.core.orders import Act, CutEntry, Disconnect, Order
from tests.signing import ROOT

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
NOON_MS = 1_795_420_800_000
LEDGER_MS = NOON_MS - 12 * HOUR_MS
"""Ledger times of the tests are counted from here."""
FAR_MS = NOON_MS + 10_000 * HOUR_MS
STATION = Station(
    gateway=GatewayId("gw-1"),
    buses=("bus-1",),
    profiles={
        "proves-serial": ProfileAbility(
            switches=True, proves_serial=True, opens=True, releases=True
        ),
        "no-serial": ProfileAbility(switches=True, proves_serial=False, opens=True),
        "closes-only": ProfileAbility(switches=True, proves_serial=True),
        "measures": ProfileAbility(switches=False, proves_serial=True),
    },
)
BLANK = Image(station=STATION, root=ROOT)


def meter(number: int, dt: str = "T1", profile: str = "proves-serial") -> Meter:
    """Meter M1 of account A1 at unit 1, and so on."""
    return Meter(
        account=f"A{number}", serial=f"M{number}", profile=profile, bus="bus-1", unit=number, dt=dt
    )


M1, M2 = meter(1), meter(2)


def entry(number: int, n: int, *, cut: bool = False, serial: str | None = None) -> ListEntry:
    """Account A1 with meter M1, and so on; `n` is counted from `LEDGER_MS`."""
    return ListEntry(account=f"A{number}", meter=serial or f"M{number}", n=LEDGER_MS + n, cut=cut)


def allow_list(
    seq: int, as_of: int, *entries: ListEntry, stale_after: int = FAR_MS, gateway: str = "gw-1"
) -> AllowList:
    """A list; `as_of` is counted from `LEDGER_MS`."""
    return AllowList(
        gateway=gateway,
        seq=seq,
        as_of=LEDGER_MS + as_of,
        stale_after=stale_after,
        accounts=entries,
    )


def receipt(
    number: int,
    n: int,
    *,
    serial: str | None = None,
    exp: int = FAR_MS,
    gateway: str | None = None,
    ref: str | None = None,
) -> Receipt:
    """A receipt of account A1 for meter M1, and so on; `n` is counted from `LEDGER_MS`."""
    return Receipt(
        account=f"A{number}",
        meter=serial or f"M{number}",
        n=LEDGER_MS + n,
        paid_at=LEDGER_MS + n,
        exp=exp,
        gateway=gateway,
        ref=ref,
    )


def order(
    seq: int,
    act: Act,
    *,
    iat: int | None = None,
    exp: int | None = None,
    boot: str | None = None,
    gateway: str = "gw-1",
) -> Order:
    """An order of this hour, named after its number."""
    issued = NOON_MS if iat is None else iat
    return Order(
        gateway=gateway,
        id=f"order-{seq}",
        seq=seq,
        iat=issued,
        exp=issued + 10 * MINUTE_MS if exp is None else exp,
        act=act,
        boot=boot,
    )


def cut(*numbers: int, n: int = 100) -> Disconnect:
    """The disconnection of account A1 at meter M1, and so on; `n` is counted from `LEDGER_MS`."""
    return Disconnect(
        accounts=tuple(
            CutEntry(account=f"A{number}", meter=f"M{number}", n=LEDGER_MS + n)
            for number in numbers
        )
    )


def clock_after(now: Now, kept: Kept) -> Now:
    """The present as the host's clock bounds it once that is known."""
    low_ms, high_ms, bound = now.wall_low_ms, now.wall_high_ms, kept.bound
    if kept.wall_low_ms < low_ms:
        low_ms, high_ms = kept.wall_low_ms, None
    elif bound is not None and bound.boot == now.boot:
        past_ms = now.mono_ms - bound.mono_ms
        low_ms, high_ms = max(low_ms, bound.low_ms + past_ms), bound.high_ms + past_ms
    return msgspec.structs.replace(now, wall_low_ms=low_ms, wall_high_ms=high_ms)
