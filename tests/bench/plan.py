"""Figures of one tick of a large feeder: how long `status_of` and `plan` hold the event loop.

    python -m tests.bench.plan [--json] [--rounds 7]

Owns the measuring only, over images that are built and not lived through: 2,000 homes on 40
transformers, all dark and paid, with whatever makes the rule look further.
"""

import os
import sys
import time
from collections.abc import Callable
from statistics import median

import click
import msgspec

from gateway.core.documents import ListEntry, Site
from gateway.core.fact import Origin, TagKind
from gateway.core.image import Image, with_kept, with_roster
from gateway.core.kept import (
    CloseMark,
    GraceGiven,
    HeadEndKnown,
    Kept,
    Opened,
    Proof,
    Setback,
    Supply,
)
from gateway.core.marks import Tag
from gateway.core.model import (
    Account,
    Cause,
    Digest,
    DtId,
    Instant,
    Meter,
    Now,
    Reading,
    Serial,
    SupplyState,
    TimeSource,
)
from gateway.core.plan import plan
from gateway.core.standing import ListInForce, Standing, Word
from gateway.core.status import status_of
from gateway.core.terms import Grace, Transformer
from tests.core.papers import BLANK, HOUR_MS, LEDGER_MS, MINUTE_MS, NOON_MS

NOW = Now(
    mono_ms=5 * HOUR_MS,
    boot="boot-1",
    wall_ms=NOON_MS,
    wall_low_ms=NOON_MS - 1_000,
    wall_high_ms=NOON_MS + 1_000,
    source=TimeSource.NETWORK,
)
DIGEST = Digest("0" * 64)
MARKS = 3_600
"""An hour at sixty closes a minute."""


class Figure(msgspec.Struct, frozen=True):
    """What one image costs, in milliseconds of the processor: the median of some rounds."""

    image: str
    status_ms: float
    plan_ms: float


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--rounds", default=7, help="Of which the median is shown.")
def main(*, as_json: bool, rounds: int) -> None:
    """Measure and print."""
    figures = [
        Figure(
            image=name,
            status_ms=milliseconds(status_of, image, rounds),
            plan_ms=milliseconds(plan, image, rounds),
        )
        for name, image in images().items()
    ]
    if as_json:
        click.echo(msgspec.json.encode(figures))
        return
    click.echo(f"{os.cpu_count()} cores, {os.uname().machine}, Python {sys.version.split()[0]}")
    click.echo(f"{'image':<44}{'status_of':>12}{'plan':>12}")
    for one in figures:
        click.echo(f"{one.image:<44}{one.status_ms:>9.1f} ms{one.plan_ms:>9.1f} ms")


def images() -> dict[str, Image]:
    """The images that are measured, by what they are."""
    town = dark_and_paid(2_000, 40)
    old = with_closes(town, MARKS, 2 * MINUTE_MS)
    return {
        "240 homes on 6 transformers": dark_and_paid(240, 6),
        "2,000 homes on 40": town,
        "paid by the list": paid_by_list(town),
        "with 3,600 closes of the last hour": with_closes(town, MARKS, 0),
        "with 3,600 closes, the last 2 min ago": old,
        "with 2,000 holds": held(town),
        "with 2,000 holds and 3,600 closes": held(old),
        "with 2,000 holds elsewhere and 3,600 closes": held_elsewhere(old),
        "with 2,000 setbacks": tried_in_vain(town),
        "unpaid, with 2,000 graces": with_graces(town, 0),
        "unpaid, with 1,900 graces and 3,600 closes": with_graces(old, 100),
    }


def milliseconds(work: Callable[[Image, Now], object], image: Image, rounds: int) -> float:
    """The median of some rounds, each with nothing gathered before."""
    took_s: list[float] = []
    for _ in range(rounds):
        fresh = msgspec.structs.replace(image)
        begun_s = time.process_time()
        work(fresh, NOW)
        took_s.append(time.process_time() - begun_s)
    return round(1000 * median(took_s), 1)


def ago(ms: int) -> Instant:
    """A moment of this boot."""
    return Instant(boot=NOW.boot, mono_ms=NOW.mono_ms - ms, wall_ms=NOON_MS - ms, trusted=True)


def dark_and_paid(homes: int, transformers: int) -> Image:
    """Every meter was just read open, and every account has handed in a receipt."""
    meters = tuple(_meter(number, transformers) for number in range(1, homes + 1))
    site = Site(
        gateway="gw-1",
        seq=1,
        feeder="feeder-1",
        meters=meters,
        transformers=tuple(
            Transformer(id=f"T{at}", feeder=f"feeder-{at % 4}") for at in range(transformers)
        ),
    )
    kept = Kept(
        site=site,
        site_digest=DIGEST,
        words={one.account: _paid(one, at) for at, one in enumerate(meters)},
        proofs={one.account: Proof(n=LEDGER_MS, received=ago(MINUTE_MS)) for one in meters},
        supply={
            one.serial: Supply(state=SupplyState.DISCONNECTED, since=ago(HOUR_MS)) for one in meters
        },
        causes={one.serial: Opened(cause=Cause.ARREARS, at=ago(HOUR_MS)) for one in meters},
    )
    seen = {one.serial: _open(one) for one in meters}
    return with_roster(msgspec.structs.replace(BLANK, kept=kept, seen=seen))


def paid_by_list(image: Image) -> Image:
    """No receipts: the allow-list names everybody."""
    entries = {
        name: ListEntry(account=name, meter=one.serial, n=LEDGER_MS)
        for name, one in image.by_account.items()
    }
    in_force = ListInForce(
        seq=1,
        as_of=LEDGER_MS,
        unlisted_as_of=LEDGER_MS,
        stale_after=2 * NOON_MS,
        digest=DIGEST,
        signer="list-1",
        entries=entries,
    )
    return with_kept(image, words={}, list_in_force=in_force, list_received=ago(MINUTE_MS))


def with_closes(image: Image, closes: int, last_ms: int) -> Image:
    """So many closes within the last hour, spread over the roster; the last one so long ago."""
    every_ms = (HOUR_MS - last_ms) // (closes + 1)
    meters = tuple(image.roster.values())
    marks = tuple(
        CloseMark(
            close=at,
            serial=Serial(meters[at % len(meters)].serial),
            dt=DtId(meters[at % len(meters)].dt),
            at=ago(last_ms + (closes - at) * every_ms),
            gap_ms=2_000,
            ended=True,
            done=True,
        )
        for at in range(closes)
    )
    return with_kept(image, marks=marks, moves=closes)


def held(image: Image) -> Image:
    """A hold on every meter."""
    return with_kept(image, tags=tuple(_hold(serial) for serial in image.roster))


def held_elsewhere(image: Image) -> Image:
    """As many holds, on meters that the roster does not name any more."""
    return with_kept(image, tags=tuple(_hold(f"X{serial}") for serial in image.roster))


def tried_in_vain(image: Image) -> Image:
    """The last close of every meter has failed."""
    setbacks = {
        one.serial: Setback(
            count=1 + at % 5, last=ago(1_000 * (at % 300)), standing_n=LEDGER_MS + at
        )
        for at, one in enumerate(image.roster.values())
    }
    return with_kept(image, setbacks=setbacks)


def with_graces(image: Image, but: int) -> Image:
    """Nobody has paid, the head end is silent, and all but so many were given grace."""
    site = image.kept.site
    assert site is not None
    terms = Grace(after_h=1, cut_within_days=365, daily_max=10_000, hours=720)
    graces = tuple(
        GraceGiven(account=Account(one.account), n=0, granted=ago(2 * HOUR_MS), hours=720)
        for one in tuple(image.roster.values())[but:]
    )
    return with_kept(
        image,
        site=msgspec.structs.replace(site, grace=terms),
        words={},
        graces=graces,
        head_end=HeadEndKnown(heard=False, since=ago(4 * HOUR_MS)),
    )


def _meter(number: int, transformers: int) -> Meter:
    return Meter(
        account=f"A{number}",
        serial=f"M{number}",
        profile="proves-serial",
        bus="bus-1",
        unit=1 + number % 240,
        dt=f"T{number % transformers}",
    )


def _paid(meter: Meter, at: int) -> Word:
    n = LEDGER_MS + at
    return Word(standing=Standing.PAID, n=n, meter=meter.serial, digest=DIGEST, cut=True, paid_at=n)


def _open(meter: Meter) -> Reading:
    return Reading(
        state=SupplyState.DISCONNECTED,
        mono_ms=NOW.mono_ms - 1_000,
        serial=Serial(meter.serial),
        load_mv=0,
    )


def _hold(serial: str) -> Tag:
    return Tag(
        kind=TagKind.HOLD,
        target=serial,
        origin=Origin.TECHNICIAN,
        by="R. Patel",
        reason="looked at it",
        since=ago(HOUR_MS),
    )


if __name__ == "__main__":
    main()
