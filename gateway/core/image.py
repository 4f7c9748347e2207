"""The image: everything the gateway holds true at one instant, frozen.

Owns what is true now and how an observation changes it. `Kept` is the part that the journal can
rebuild (`kept`); `changes` applies records to it. Must never judge.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from functools import cached_property
from typing import Any, assert_never

import msgspec

from gateway.core.fact import (
    BrokerSeen,
    BusSeen,
    HeadEndSeen,
    MeterSeen,
    Observation,
    Outcome,
    TagKind,
)
from gateway.core.kept import DAY_MS, CloseMark, GraceGiven, Kept
from gateway.core.marks import Marks, Memory, Tag
from gateway.core.model import (
    Instant,
    Meter,
    Now,
    ProfileAbility,
    Reading,
    Station,
    SupplyState,
    Value,
)
from gateway.core.settings import Overlay, Settings, laid_over
from gateway.core.standing import Word, word_in_force
from gateway.core.terms import CheckMeter, Disconnection, Limits, Pacing
from gateway.core.trust import Root
from gateway.core.waiting import at_least_ms, paid_and_dark_since

MINUTE_MS = 60_000
HEAD_END_SILENT_MS = 5 * MINUTE_MS
"""Without a sign of life for this long the head end counts as silent."""
DONE = frozenset({Outcome.CLOSED_VERIFIED, Outcome.CLOSED_UNVERIFIED, Outcome.ARMED})
"""The outcomes of a close after which nothing more is to be sent."""


class Degraded(Value):
    """The disk takes nothing: what was decided since is in the memory of this process alone.

    `trouble` is the journal's word for why; `held`: records that wait for the disk; `full`: no
    more are held, and nothing more is begun.
    """

    trouble: str
    since_ms: int
    """On the boot clock."""
    held: int
    full: bool = False


class Image(Value, dict=True):
    """One instant. Volatile members start empty after a restart and are seen anew.

    What is asked for every meter of a feeder is gathered at the first question. An image never
    changes and hands nothing of that on, so what is gathered is never of another instant.
    """

    station: Station
    root: Root
    """In force: the installation's anchor, or the newest that followed it."""
    installed: Settings = Settings()
    """What the installer wrote, of what may be changed from afar."""
    kept: Kept = Kept()
    number: int = 0
    """Of the last record."""
    chain: bytes = bytes(32)
    acked_through: int = 0
    readings_last: int = 0
    """The ordinal of the last reading that is written down."""
    readings_acked_through: int = 0
    roster: Mapping[str, Meter] = {}
    by_account: Mapping[str, Meter] = {}
    feeders: Mapping[str, str] = {}
    """The feeder of each DT."""
    check_meters: Mapping[str, CheckMeter] = {}
    """By DT."""
    seen: Mapping[str, Reading] = {}
    buses: Mapping[str, BusSeen] = {}
    broker: BrokerSeen | None = None
    head_end: HeadEndSeen | None = None
    """What it last said of itself."""
    head_end_heard_ms: int | None = None
    """Its last sign of life (boot clock)."""
    watching_since_ms: int = 0
    """When this process began to listen (boot clock)."""
    in_flight: frozenset[int] = frozenset()
    """Commands that were handed to the bus room by this process, by number."""
    degraded: Degraded | None = None
    """None: what is written down reaches the disk."""
    written_refusals: tuple[int, ...] = ()
    """When refusals were recorded in the last minute (boot clock)."""
    unwritten_refusals: int = 0

    @property
    def written(self) -> int:
        """The number of the last record that is on disk."""
        return self.number - (0 if self.degraded is None else self.degraded.held)

    @property
    def limits(self) -> Limits:
        """The limits in force."""
        return Limits() if self.kept.site is None else self.kept.site.limits

    @property
    def pacing(self) -> Pacing:
        """The pacing in force."""
        return Pacing() if self.kept.site is None else self.kept.site.pacing

    @property
    def disconnection(self) -> Disconnection:
        """The terms of disconnection in force."""
        return Disconnection() if self.kept.site is None else self.kept.site.disconnection

    @property
    def overlay(self) -> Overlay | None:
        """What was changed from afar, on trial or for good."""
        return self.kept.overlay if self.kept.trial is None else self.kept.trial.overlay

    @property
    def settings(self) -> Settings:
        """The settings that count, of those that may be changed from afar."""
        return laid_over(self.installed, self.overlay)

    def ability(self, profile: str) -> ProfileAbility | None:
        """What a meter type can do under the site document in force; None: it is not known here."""
        known = self.station.profiles.get(profile)
        site = self.kept.site
        if known is None or site is None or profile not in site.unproven_profiles:
            return known
        return known.trusting or known

    def word(self, account: str) -> Word | None:
        """The newest word about an account."""
        return word_in_force(account, self.kept.list_in_force, self.kept.words)

    def meters_of(self, account: str) -> frozenset[str]:
        """The account's meter, and those that it had before."""
        meter = self.by_account.get(account)
        own = () if meter is None else (meter.serial,)
        return frozenset((*own, *self.kept.former.get(account, ())))

    def names_the_meter(self, word: Word, meter: Meter) -> bool:
        """Whether a word is about the account's meter, or about one that it had before."""
        return word.meter in self.meters_of(meter.account)

    @property
    def marks(self) -> Marks:
        """What must not be forgotten, for a file of its own."""
        kept = self.kept
        return msgspec.structs.replace(kept.newest, tags=kept.tags, wall_low_ms=kept.wall_low_ms)

    @property
    def memory(self) -> Memory:
        """Whether what is in force is the newest that was."""
        kept, marks = self.kept, self.kept.newest
        if kept.amnesia is not None:
            return Memory.AMNESIA
        in_force = (
            self.root.seq,
            0 if kept.site is None else kept.site.seq,
            0 if kept.list_in_force is None else kept.list_in_force.seq,
        )
        known = (marks.root.seq, marks.site.seq, marks.list.seq)
        behind = any(seq < mark for seq, mark in zip(in_force, known, strict=True))
        return Memory.BEHIND if behind else Memory.WHOLE

    def tags(self, kind: TagKind, target: str = "") -> tuple[Tag, ...]:
        """The tags of a kind on a target."""
        return tuple(tag for tag in self.kept.tags if (tag.kind, tag.target) == (kind, target))

    def tagged(self, kind: TagKind, target: str = "") -> bool:
        """Whether there is a tag of a kind on a target."""
        return (kind, target) in self._tagged

    def done_marks(self, serial: str) -> Sequence[CloseMark]:
        """The closes of a meter that ended well, of those that are looked back on."""
        return self._done_marks.get(serial, ())

    def graces_of(self, account: str) -> Sequence[GraceGiven]:
        """The graces that were given to an account, oldest first."""
        return self._graces.get(account, ())

    def given_today(self, now: Now) -> int:
        """How often grace was given in the last 24 h."""
        if now not in self._given_today:
            graces = self.kept.graces
            lately = sum(at_least_ms(given.granted, now) < DAY_MS for given in graces)
            self._given_today[now] = lately
        return self._given_today[now]

    @cached_property
    def _tagged(self) -> Set[tuple[TagKind, str]]:
        return {(tag.kind, tag.target) for tag in self.kept.tags}

    @cached_property
    def _done_marks(self) -> Mapping[str, list[CloseMark]]:
        by_serial: dict[str, list[CloseMark]] = defaultdict(list)
        for mark in self.kept.marks:
            if mark.done:
                by_serial[mark.serial].append(mark)
        return by_serial

    @cached_property
    def _graces(self) -> Mapping[str, list[GraceGiven]]:
        by_account: dict[str, list[GraceGiven]] = defaultdict(list)
        for given in self.kept.graces:
            by_account[given.account].append(given)
        return by_account

    @cached_property
    def _given_today(self) -> dict[Now, int]:
        return {}

    def overtaken(self, seen: MeterSeen) -> bool:
        """Whether a newer reading of the same meter is known already."""
        newest = self.seen.get(seen.serial)
        return newest is not None and newest.mono_ms > seen.reading.mono_ms

    def stale(self, wall_low_ms: int) -> bool:
        """Whether the list in force is certainly past its `stale_after`, or there is none."""
        in_force = self.kept.list_in_force
        return in_force is None or in_force.stale_after < wall_low_ms

    def head_end_silent_at_ms(self) -> int | None:
        """When (boot clock) the head end counts as silent unless it is heard; None: it does."""
        gone = self.head_end is not None and not self.head_end.online
        if gone or self.head_end_heard_ms is None:
            return None
        return self.head_end_heard_ms + HEAD_END_SILENT_MS


def restored(image: Image, kept: Kept) -> Image:
    """The image with what the journal kept; of the anchor and the root it kept the newer counts.

    Steps are counted from the anchor: those that a newer one has made needless are forgotten.
    """
    if kept.root is None or kept.root.seq <= image.root.seq:
        kept = msgspec.structs.replace(kept, root=None, roots=())
        return with_roster(msgspec.structs.replace(image, kept=kept))
    return with_roster(msgspec.structs.replace(image, root=kept.root, kept=kept))


def with_kept(image: Image, **changes: Any) -> Image:
    """The image with some of what is kept replaced."""
    return msgspec.structs.replace(image, kept=msgspec.structs.replace(image.kept, **changes))


def with_roster(image: Image) -> Image:
    """The image with what follows from its site document."""
    site = image.kept.site
    meters = () if site is None else site.meters
    transformers = {} if site is None else {one.id: one for one in site.transformers}
    feeders = {}
    for meter in meters:
        transformer = transformers.get(meter.dt)
        assert site is not None
        own = None if transformer is None else transformer.feeder
        feeders[meter.dt] = own or site.feeder
    return msgspec.structs.replace(
        image,
        roster={meter.serial: meter for meter in meters},
        by_account={meter.account: meter for meter in meters},
        feeders=feeders,
        check_meters={
            name: one.check_meter
            for name, one in transformers.items()
            if one.check_meter is not None
        },
    )


def observe(image: Image, seen: Observation, at: Instant) -> Image:
    """The image after one observation: the newest wins."""
    match seen:
        case MeterSeen():
            if image.overtaken(seen):
                return image
            return msgspec.structs.replace(image, seen={**image.seen, seen.serial: seen.reading})
        case BusSeen():
            return msgspec.structs.replace(image, buses={**image.buses, seen.bus: seen})
        case BrokerSeen():
            return msgspec.structs.replace(image, broker=seen)
        case HeadEndSeen():
            return _head_end_seen(image, seen, at)
        case _:
            assert_never(seen)


def _head_end_seen(image: Image, seen: HeadEndSeen, at: Instant) -> Image:
    if not seen.online:
        return msgspec.structs.replace(image, head_end=seen)
    if seen.kept_by_broker:
        return image  # it was there once; whether it is, nobody knows
    return msgspec.structs.replace(image, head_end=seen, head_end_heard_ms=at.mono_ms)


def waits_since(kept: Kept, account: str, serial: str, at: Instant) -> Instant | None:
    """Since when a consumer has been both paid and dark; None: no proof of payment is known."""
    proof, supply = kept.proofs.get(account), kept.supply.get(serial)
    if proof is None:
        return None
    dark = None
    if supply is not None and supply.state is not SupplyState.CONNECTED:
        dark = supply.since
    return paid_and_dark_since(proof.received, dark, at)
