"""What is gathered once for many meters changes no answer: random images, and the plain definition.

An image is built here and not lived through, so that nothing in it is as one would expect.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.documents import Site
from gateway.core.fact import Origin, TagKind
from gateway.core.image import Image, with_kept, with_roster
from gateway.core.kept import (
    DAY_MS,
    CloseMark,
    GraceGiven,
    HeadEndKnown,
    Kept,
    Opened,
    Proof,
    Setback,
    Stop,
    Supply,
)
from gateway.core.marks import Tag
from gateway.core.model import (
    Account,
    Brake,
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
from gateway.core.pacing import foretold
from gateway.core.plan import _Draft
from gateway.core.queue import in_turn
from gateway.core.reconnection import Verdict
from gateway.core.records import GraceGranted
from gateway.core.standing import Standing, Word
from gateway.core.status import HOPEFUL, status_of
from gateway.core.terms import Grace, Limits, Pacing, Transformer
from tests.core import plainly
from tests.core.papers import BLANK, HOUR_MS, LEDGER_MS, M1, MINUTE_MS, NOON_MS, meter
from tests.core.world import World, dark_and_paid

HOMES = range(1, 15)
DTS = ("T1", "T2", "T3", "T4")
_V = TypeVar("_V")
DIGEST = Digest("0" * 64)
SECOND_MS = 1_000
AGES_MS = (
    *(0, 1, SECOND_MS, 2 * SECOND_MS, 30 * SECOND_MS),
    *(MINUTE_MS - 1, MINUTE_MS, MINUTE_MS + 1),
    *(HOUR_MS - 1, HOUR_MS, 3 * HOUR_MS, DAY_MS, DAY_MS + 1),
)
PAID, CUT, NONE = Standing.PAID, Standing.CUT, Standing.NONE
OPEN = SupplyState.DISCONNECTED


class Chance:
    """Anything may be kept of anybody, in any order; much of it is as it often is."""

    def __init__(self, drawn: Random) -> None:
        self._drawn = drawn
        self.now = Now(
            mono_ms=drawn.choice((10 * SECOND_MS, 30 * HOUR_MS)),
            boot="boot-2",
            wall_ms=NOON_MS,
            wall_low_ms=NOON_MS - SECOND_MS,
            wall_high_ms=drawn.choice((None, NOON_MS + SECOND_MS)),
            source=TimeSource.NETWORK,
        )

    def image(self) -> Image:
        """An image of fourteen homes on four transformers."""
        one_of, some = self._drawn.choice, self._some
        meters = tuple(meter(number, dt=one_of(DTS)) for number in HOMES)
        # Where few have paid, grace is what most of them come back by.
        standings = one_of(((PAID, PAID, PAID, CUT, NONE), (PAID, CUT, NONE, NONE)))
        words = {one.account: self._word(one.serial, one_of(standings)) for one in some(meters, 8)}
        kept = Kept(
            site=self._site(meters),
            site_digest=DIGEST,
            words=words,
            proofs={
                account: Proof(n=word.n, received=self._at())
                for account, word in words.items()
                if word.standing is PAID
            },
            supply={one.serial: Supply(state=self._state(), since=self._at()) for one in meters},
            causes={one.serial: self._opened() for one in some(meters, 8)},
            tags=self._few(self._tag, (0, 0, 1, 2)),
            marks=self._few(self._mark, (0, 3, 8, 30)),
            setbacks={one.serial: self._setback() for one in some(meters, 2)},
            stops={dt: self._stop() for dt in some(DTS, 1)},
            resumed={dt: self._at() for dt in some(DTS, 2)},
            graces=self._few(self._grace_given, (0, 2, 8)),
            head_end=one_of((None, *[HeadEndKnown(heard=False, since=self._long_ago())] * 3)),
            moves=20,
        )
        seen = {
            one.serial: Reading(state=self._state(), mono_ms=self.now.mono_ms - SECOND_MS)
            for one in meters
        }
        return with_roster(msgspec.structs.replace(BLANK, kept=kept, seen=seen))

    def queue(self, image: Image) -> list[Meter]:
        """Everybody, in any order."""
        meters = list(image.roster.values())
        self._drawn.shuffle(meters)
        return meters

    def _some(self, of: Sequence[_V], eighths: int) -> list[_V]:
        return [one for one in of if self._drawn.randrange(9) < eighths]

    def _few(self, make: Callable[[], _V], counts: Sequence[int]) -> tuple[_V, ...]:
        return tuple(make() for _ in range(self._drawn.choice(counts)))

    def _at(self) -> Instant:
        """A moment of this boot, or of the one before it."""
        age_ms = self._drawn.choice((*AGES_MS, self._drawn.randrange(HOUR_MS)))
        before = self._drawn.randrange(5) == 0
        return Instant(
            boot="boot-1" if before else "boot-2",
            mono_ms=age_ms if before else self.now.mono_ms - age_ms,
            wall_ms=NOON_MS - age_ms,
            trusted=self._drawn.choice((True, False)),
        )

    def _long_ago(self) -> Instant:
        mono_ms = self.now.mono_ms - 4 * HOUR_MS
        return Instant(boot="boot-2", mono_ms=mono_ms, wall_ms=NOON_MS - 4 * HOUR_MS)

    def _site(self, meters: tuple[Meter, ...]) -> Site:
        one_of, upto = self._drawn.choice, self._drawn.randint
        return Site(
            gateway="gw-1",
            seq=1,
            feeder="feeder-1",
            meters=meters,
            transformers=tuple(
                Transformer(id=dt, feeder=one_of(("feeder-2", "feeder-3", None))) for dt in DTS
            ),
            pacing=Pacing(
                first_alone_ms=one_of((0, 5_000, 20_000)),
                gap_ms=one_of((0, 1_000, 7_000)),
                jitter_percent=one_of((0, 50)),
                dt_minute_max=upto(1, 9),
                feeder_minute_max=upto(1, 9),
                minute_max=upto(1, 12),
                quiet_ms=one_of((0, 30_000, 900_000)),
            ),
            grace=one_of(
                (None, *[Grace(after_h=1, cut_within_days=2, daily_max=upto(1, 8), hours=48)] * 3)
            ),
            limits=Limits(retrip_max=upto(1, 4)),
        )

    def _state(self) -> SupplyState:
        states: tuple[SupplyState, ...] = (*[OPEN] * 12, *SupplyState)
        return self._drawn.choice(states)

    def _word(self, serial: str, standing: Standing) -> Word:
        cut = self._drawn.choice((True, False))
        return Word(standing=standing, n=self._n(), meter=serial, digest=DIGEST, cut=cut)

    def _n(self) -> int:
        return self._drawn.choice((0, LEDGER_MS))

    def _opened(self) -> Opened:
        causes = (Cause.ORDER, Cause.ARREARS, Cause.ARREARS, Cause.ARREARS, Cause.TRIP)
        return Opened(cause=self._drawn.choice(causes), at=self._at())

    def _tag(self) -> Tag:
        kind = self._drawn.choice((*[TagKind.HOLD, TagKind.ISOLATE_DT] * 3, TagKind.ISOLATE_FEEDER))
        return Tag(
            kind=kind,
            target=self._drawn.choice((self._serial(), self._dt(), "")),
            origin=self._drawn.choice(tuple(Origin)),
            by="R. Patel",
            reason="work on the line",
            since=self._at(),
        )

    def _mark(self) -> CloseMark:
        return CloseMark(
            close=self._drawn.randrange(20),
            serial=Serial(self._serial()),
            dt=DtId(self._dt()),
            at=self._at(),
            gap_ms=self._drawn.choice((0, 1_500, 9_000)),
            ended=self._drawn.randrange(8) > 0,
            done=self._drawn.choice((True, False)),
        )

    def _setback(self) -> Setback:
        return Setback(count=self._drawn.randint(1, 6), last=self._at(), standing_n=self._n())

    def _stop(self) -> Stop:
        brake = self._drawn.choice((Brake.FAILURES, Brake.UNDERVOLTAGE))
        return Stop(brake=brake, since=self._at())

    def _grace_given(self) -> GraceGiven:
        return GraceGiven(
            account=Account(f"A{self._drawn.choice((*HOMES, 99))}"),
            n=self._n(),
            granted=self._at(),
            hours=self._drawn.choice((1, 48)),
            settled=self._drawn.randrange(3) == 0,
        )

    def _serial(self) -> str:
        return f"M{self._drawn.choice((*HOMES, 99))}"

    def _dt(self) -> str:
        return self._drawn.choice((*DTS, "T99"))


chances = st.randoms(use_true_random=True).map(Chance)


@settings(max_examples=500, deadline=None)
@given(chances)
def test_the_status_says_of_everybody_what_the_plain_definition_says(
    chance: Chance,
) -> None:
    image, now = chance.image(), chance.now
    rulings = plainly.rulings_of(image, now)
    hopeful = {serial for serial, ruling in rulings.items() if ruling.verdict in HOPEFUL}
    queue = [one for one in in_turn(image) if one.serial in hopeful]
    told = plainly.foretold(queue, image, now)
    dark = status_of(image, now).dark
    assert [one.meter for one in dark] == list(rulings)
    for one in dark:
        ruling = rulings[one.meter]
        turn_ms, told_ms = ruling.not_before_ms, told.get(one.meter)
        assert (one.verdict, one.brake) == (ruling.verdict, ruling.brake)
        assert one.wait_ms == (None if turn_ms is None else turn_ms - now.mono_ms)
        assert one.foretold_ms == (None if told_ms is None else told_ms - now.mono_ms)


@settings(max_examples=500, deadline=None)
@given(chances)
def test_the_plan_begins_the_closes_that_the_plain_definition_begins(
    chance: Chance,
) -> None:
    image = chance.image()
    draft = _Draft(image, chance.now)
    plain = plainly.PlainDraft(image, chance.now)
    draft.begin_closes()
    plain.begin_closes()
    assert draft.bodies == plain.bodies
    assert draft.commands == plain.commands
    assert draft.deadlines == plain.deadlines


@settings(max_examples=500, deadline=None)
@given(chances)
def test_any_queue_is_foretold_as_by_looking_for_the_next_one_each_time(
    chance: Chance,
) -> None:
    image, now = chance.image(), chance.now
    queue = chance.queue(image)
    assert foretold(queue, image, now) == plainly.foretold(queue, image, now)


def test_what_was_gathered_of_an_image_is_not_that_of_the_next() -> None:
    world = dark_and_paid(M1)
    assert world.rules().verdict is Verdict.PERMIT
    world.tags(TagKind.HOLD, "M1")
    assert world.rules().verdict is Verdict.METER_HELD
    world.tags(TagKind.HOLD, "M1", place=False)
    assert world.rules().verdict is Verdict.PERMIT
    for _ in range(world.image.limits.retrip_max):
        world.closed_before(M1)
    assert world.rules().verdict is Verdict.RETRIPPED
    assert with_kept(world.image, marks=()).done_marks("M1") == ()


def test_one_image_counts_anew_for_each_instant() -> None:
    world = World(M1)
    world.record(GraceGranted(account=Account("A1"), meter=Serial("M1"), n=0, hours=1, silent_ms=0))
    image, then = world.image, world.now
    world.wait(DAY_MS)
    assert [image.given_today(now) for now in (then, world.now, then)] == [1, 0, 1]
