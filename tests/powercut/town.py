"""A town on a day in which everything happens at once: what comes in, by chance and by seed.

Every document is signed for real; what is asked for follows from what is in force, so that a second
process goes on where the first one has ended.
"""

from collections.abc import Callable
from random import Random

import msgspec

from gateway.core.documents import Site
from gateway.core.fact import (
    AckClaim,
    CauseClaim,
    DocumentClaim,
    Event,
    HeadEndSeen,
    MeterSeen,
    Road,
    SwitchCommand,
    TagClaim,
    TagKind,
)
from gateway.core.image import Image
from gateway.core.kept import TimeBound
from gateway.core.model import Cause, Now, Reading, Serial, SupplyState, TimeSource
from gateway.core.orders import Act, EndIsolation, Hold, Isolate, Reconnect, ReleaseHold
from gateway.core.standing import Standing, standing_of
from gateway.core.terms import Pacing
from gateway.core.trust import Role
from tests.core.corridor import GARBAGE, document, ended
from tests.core.papers import FAR_MS, LEDGER_MS, NOON_MS, allow_list, cut, entry, meter, order
from tests.core.papers import receipt as receipt_of
from tests.core.trustees import next_root
from tests.signing import key, sign_root

HOMES = range(1, 7)
STEP_MS = 3_000
AT_ONCE_MAX = 12
"""Documents that come in one step."""
QUICK = Pacing(first_alone_ms=0, gap_ms=0)
OPEN, CLOSED = SupplyState.DISCONNECTED, SupplyState.CONNECTED


class TownClock:
    """Time that passes by a step at a time; another process, another boot."""

    def __init__(self, process: int) -> None:
        begins_ms = NOON_MS + process * 600_000
        self.boots = 0
        self._process = process
        self.instant = Now(
            mono_ms=3_600_000,
            boot=f"boot-{process}",
            wall_ms=begins_ms,
            wall_low_ms=begins_ms - 1_000,
            wall_high_ms=begins_ms + 1_000,
            source=TimeSource.NETWORK,
        )

    def now(self) -> Now:
        return self.instant

    def raise_low(self, wall_low_ms: int) -> None:
        """It is trusted."""

    def reset_low(self, wall_low_ms: int) -> None:
        """It is trusted."""

    def bound(self, bound: TimeBound | None) -> None:
        """It is trusted."""

    def step(self) -> None:
        now = self.instant
        self.instant = msgspec.structs.replace(
            now,
            mono_ms=now.mono_ms + STEP_MS,
            wall_ms=now.wall_ms + STEP_MS,
            wall_low_ms=now.wall_low_ms + STEP_MS,
            wall_high_ms=(now.wall_high_ms or 0) + STEP_MS,
        )


class Town:
    """What the rooms hand in, one step after the other."""

    def __init__(self, chance: Random, clock: TownClock) -> None:
        self._chance = chance
        self._clock = clock
        self._last = GARBAGE
        self._steps: dict[Callable[[Image], Event], int] = {
            self._seen: 6,
            self._receipt: 5,
            self._list: 2,
            self._site: 1,
            self._root: 1,
            self._order: 4,
            self._tag: 4,
            self._cause: 1,
            self._again: 1,
        }

    def step(self, image: Image, commands: list[SwitchCommand]) -> list[Event]:
        """What comes in at this step; how the commands that wait have ended is among it."""
        self._clock.step()
        if image.kept.site is None:
            return [self._site(image)]
        kinds = list(self._steps)
        chosen = self._chance.choices(
            kinds, list(self._steps.values()), k=self._chance.randint(1, 3)
        )
        events: list[Event] = [HeadEndSeen(online=True)]
        if commands and self._chance.random() < 0.7:
            events += [ended(command) for command in commands]
            commands.clear()
        events += [kind(image) for kind in dict.fromkeys(chosen)]
        if self._chance.random() < 0.1:  # the head end is back: many at once
            many = self._chance.randint(AT_ONCE_MAX // 2, AT_ONCE_MAX - len(events))
            events += [self._receipt(image) for _ in range(many)]
        return events

    def acknowledgement(self, through: int, chain: bytes) -> AckClaim:
        """The head end holds the records up to there."""
        return AckClaim(through=through, chain=chain.hex())

    @property
    def _n(self) -> int:
        return self._clock.instant.wall_ms - LEDGER_MS

    def _home(self) -> int:
        return self._chance.choice(HOMES)

    def _seen(self, _: Image) -> Event:
        serial = Serial(f"M{self._home()}")
        state = self._chance.choice((OPEN, CLOSED))
        reading = Reading(state=state, mono_ms=self._clock.instant.mono_ms, serial=serial)
        return MeterSeen(serial=serial, reading=reading)

    def _receipt(self, _: Image) -> Event:
        return self._document(document(receipt_of(self._home(), self._n)))

    def _list(self, image: Image) -> Event:
        entries = []
        for number in self._chance.sample(HOMES, self._chance.randint(2, 5)):
            word = image.word(f"A{number}")
            stands = word is not None and standing_of(word) is Standing.PAID
            entries.append(entry(number, word.n - LEDGER_MS if word and stands else self._n))
        stale = self._chance.random() < 0.3
        return self._document(
            document(
                allow_list(
                    image.kept.newest.list.seq + 1,
                    self._n,
                    *entries,
                    stale_after=LEDGER_MS + self._n + 1 if stale else FAR_MS,
                )
            )
        )

    def _site(self, image: Image) -> Event:
        meters = tuple(meter(number, dt=f"T{1 + number % 2}") for number in HOMES)
        seq = image.kept.newest.site.seq + 1
        site = Site(gateway="gw-1", seq=seq, feeder="feeder-1", meters=meters, pacing=QUICK)
        return self._document(document(site))

    def _root(self, image: Image) -> Event:
        seq = image.root.seq + 1
        root = next_root(image.root, new=(key(f"list-of-{seq}", Role.LIST),))
        return self._document(DocumentClaim(raw=sign_root(root), road=Road.MQTT))

    def _order(self, image: Image) -> Event:
        home, why = self._home(), "work"
        dt = self._chance.choice(("T1", "T2", None))
        acts: tuple[Act, ...] = (
            cut(home, n=self._n),
            Hold(meter=f"M{home}", reason=why),
            ReleaseHold(meter=f"M{home}", reason=why),
            Isolate(reason=why, dt=dt),
            EndIsolation(reason=why, dt=dt),
            Reconnect(account=f"A{home}", meter=f"M{home}"),
        )
        issued = self._clock.instant.wall_ms
        act = self._chance.choice(acts)
        return self._document(document(order(image.kept.newest.order.seq + 1, act, iat=issued)))

    def _tag(self, _: Image) -> Event:
        kind = self._chance.choice(list(TagKind))
        targets = {
            TagKind.HOLD: f"M{self._home()}",
            TagKind.ISOLATE_DT: self._chance.choice(("T1", "T2")),
            TagKind.ISOLATE_FEEDER: "",
        }
        place = self._chance.random() < 0.5
        return TagClaim(kind=kind, target=targets[kind], place=place, by="S. Devi", reason="burnt")

    def _cause(self, _: Image) -> Event:
        cause = self._chance.choice((Cause.ARREARS, Cause.TRIP))
        return CauseClaim(meter=f"M{self._home()}", cause=cause, by="S. Devi", reason="seen")

    def _again(self, _: Image) -> Event:
        return self._last

    def _document(self, claim: DocumentClaim) -> DocumentClaim:
        self._last = claim
        return claim
