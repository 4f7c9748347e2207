"""A gateway whose clock is the host's own reckoning, fed by a machine that may say anything.

The truth is known here alone: the utility signs by it, the boot clock follows it as well as its
crystal does, and the calendar, the time daemon and the battery say what a test makes them say.
"""

import msgspec

from gateway.core.documents import Document, ListEntry, Time
from gateway.core.image import with_kept
from gateway.core.kept import DAY_MS, Kept
from gateway.core.model import SupplyState
from gateway.core.records import Body, Started
from gateway.core.sequence import nonce_of
from gateway.core.signature import DocumentType
from gateway.core.terms import Disconnection
from gateway.core.trust import Revocation, Role, Root
from gateway.core.trust_records import TimeNoted
from gateway.core.watch import watched
from gateway.host.interval import Heard, bounded, present, raised, reckoning, reset
from gateway.utility.sign import SigningKey, payload_of, sign_together
from tests.core.papers import BLANK, LEDGER_MS, M1, M2, NOON_MS, allow_list, cut, meter, order
from tests.core.papers import receipt as a_receipt
from tests.core.world import World
from tests.signing import KEYS, ROOT, key, sign_list, sign_order, sign_receipt

YEAR_MS = 365 * DAY_MS
BUILT_MS = NOON_MS - DAY_MS
BOOTED_MS = 20_000
STALE_AFTER_MS = 3 * DAY_MS
M3 = meter(3)


def clock_key(seq: int) -> SigningKey:
    """The time key that root 1 names, and so on."""
    return key(f"clock-{seq}", Role.TIME)


CLOCK_KEY, NEXT_CLOCK_KEY = clock_key(1), clock_key(2)
ANCHOR = msgspec.structs.replace(ROOT, keys=(*ROOT.keys, CLOCK_KEY.public()))


class ClockedWorld(World):
    """A gateway with three homes: A1 pays by receipt, A2 is on the list, A3 may be cut.

    A1 and A2 are dark, and have a cause to be: what is asked of the law is only whether they have
    paid. `truth_ms` is the time as it is.
    """

    def __init__(self, *, ppm: int = 0) -> None:
        """It has just booted, in 1970, and nobody answers for the time; `ppm`: of its crystal."""
        super().__init__()
        self.truth_ms = NOON_MS
        self.ppm = ppm
        self.ahead_ms = -NOON_MS
        """How far the calendar is ahead of the truth."""
        self.disciplined = False
        self.battery_ahead_ms: int | None = None
        self.image = msgspec.structs.replace(BLANK, root=ANCHOR)
        self._mono_ms = BOOTED_MS
        self._known = reckoning("boot-1", BUILT_MS, self._mono_ms)
        self._told = Kept()
        self._look()
        self.record(Started(version="1"))
        assert self.site(M1, M2, M3, disconnection=Disconnection(protected=())) == "ACCEPTED"
        self.sees_all()

    # --- what happens to the machine ---

    def passes(self, ms: int) -> None:
        """The machine runs for so long; at the end the meters are read and the head end heard."""
        self.truth_ms += ms
        self._mono_ms += ms + int(ms * self.ppm / 1_000_000)
        self._look()
        self.sees_all()
        for body in watched(self.image, self.now, lambda _: None):
            if isinstance(body, TimeNoted):  # what else the watch sees is no matter of the clock
                self.record(body)

    def lies_off(self, ms: int, calendar_ahead_ms: int = -NOON_MS) -> None:
        """The machine is without power for so long and boots; its calendar then says something."""
        self.truth_ms += ms
        self.boots(calendar_ahead_ms)

    def boots(self, calendar_ahead_ms: int = -NOON_MS) -> None:
        """The machine boots anew: what is certain is what the journal kept."""
        self.ahead_ms, self.disciplined = calendar_ahead_ms, False
        self._mono_ms = BOOTED_MS
        super().reboots(BOOTED_MS)
        self._begins()
        self.passes(1_000)

    def restarts(self) -> None:
        """The process starts anew; so does its clock."""
        super().restarts()
        if self.image.kept.root is None:
            self.image = msgspec.structs.replace(self.image, root=ANCHOR)

    def loses_all(self, truth_ms: int) -> None:
        """Its journal is gone, and it boots at some later time."""
        self.truth_ms = truth_ms
        self.image = msgspec.structs.replace(BLANK, root=ANCHOR)
        self.journal.clear()
        self._told = Kept()
        self._known = reckoning("boot-1", BUILT_MS, self._mono_ms)
        self._look()

    def process_restarts(self) -> None:
        """The process alone starts anew."""
        self.restarts()
        self._begins()
        self.passes(1_000)

    def calendar_jumps(self, ahead_ms: int) -> None:
        """Somebody sets the calendar; no time daemon stands behind that."""
        self.ahead_ms, self.disciplined = ahead_ms, False
        self._look()

    def daemon_answers(self, ahead_ms: int = 0) -> None:
        """The time daemon is synchronised, with a server that may lie by so much."""
        self.ahead_ms, self.disciplined = ahead_ms, True
        self._look()

    def battery_answers(self, ahead_ms: int = 0) -> None:
        """The kernel has set its calendar by a battery clock that may be wrong by so much."""
        self.ahead_ms, self.battery_ahead_ms, self.disciplined = ahead_ms, ahead_ms, False
        self._look()

    # --- what the utility signs, by the truth ---

    def is_listed(self, *, later_ms: int = 0, stale_after_ms: int = STALE_AFTER_MS) -> str:
        """A new list of all three comes, signed as of now or as of a later day."""
        as_of_ms = self._next_n() + later_ms
        in_force = self.image.kept.list_in_force
        listed = allow_list(
            1 if in_force is None else in_force.seq + 1,
            as_of_ms - LEDGER_MS,
            *(
                ListEntry(account=f"A{at}", meter=f"M{at}", n=as_of_ms, cut=at == 2)
                for at in (1, 2, 3)
            ),
            stale_after=as_of_ms + stale_after_ms,
        )
        return self.hand_in(sign_list(listed))

    def has_paid(self, number: int = 1, *, lives_ms: int = 0, later_ms: int = 0) -> str:
        """A receipt comes that may be handed in until just now, or for so much longer."""
        n = self._next_n() + later_ms - LEDGER_MS
        paper = a_receipt(number, n, exp=self.truth_ms + lives_ms)
        return self.hand_in(sign_receipt(paper))

    def is_ordered_cut(self, *, echo: str | None = None, later_ms: int = 0) -> str:
        """The order to cut A3 comes, issued now or on a later day; one before it is forgotten."""
        self.image = with_kept(self.image, tasks={})
        self.orders += 1
        n = self._next_n()
        paper = order(self.orders, cut(3, n=n - LEDGER_MS), iat=n + later_ms, boot=echo)
        return self.hand_in(sign_order(paper))

    def is_told_the_time(
        self, *, delay_ms: int = 0, ahead_ms: int = 0, by: SigningKey = CLOCK_KEY
    ) -> str:
        """A time document comes that was signed so long ago, and may lie by so much."""
        nonce, signed_ms = self.nonce, self.truth_ms + ahead_ms
        self.passes(delay_ms)
        told = payload_of(Time(nonce=nonce, now=signed_ms))
        return self.hand_in(by.sign(DocumentType.TIME, told))

    def changes_its_time_keys(self) -> str:
        """The next root comes: it names another time key, and revokes those before it."""
        now = self.image.root
        stay = tuple(one for one in now.keys if Role.TIME not in one.roles)
        after_ms = self.truth_ms - YEAR_MS
        root = Root(
            seq=now.seq + 1,
            issued_at=self.truth_ms,
            keys=(*stay, clock_key(now.seq + 1).public()),
            thresholds=now.thresholds,
            revoked=tuple(
                Revocation(kid=one.kid, after=after_ms) for one in now.of_role(Role.TIME)
            ),
        )
        by = KEYS.roots[: now.threshold(Role.ROOT)]
        return self.hand_in(sign_together(by, DocumentType.ROOT, payload_of(root)))

    # --- what is seen ---

    @property
    def nonce(self) -> str:
        """What the gateway says of this instant."""
        return nonce_of(self.now)

    @property
    def lag_ms(self) -> int:
        """How far what is certain is behind the truth."""
        return self.truth_ms - self.now.wall_low_ms

    @property
    def kept_lag_ms(self) -> int:
        """How far that which outlives a power cut is behind the truth: the last record's word."""
        return self.truth_ms - self.image.kept.wall_low_ms

    def stale(self) -> bool:
        """Whether the list in force is stale by the truth, or there is none."""
        in_force = self.image.kept.list_in_force
        return in_force is None or in_force.stale_after < self.truth_ms

    def sees_all(self) -> None:
        """The head end is there, A1 and A2 are dark, A3 has supply."""
        self.hears()
        self.reads("M1", SupplyState.DISCONNECTED)
        self.reads("M2", SupplyState.DISCONNECTED)
        self.reads("M3", SupplyState.CONNECTED)

    def record(self, body: Body, document: Document | None = None) -> None:
        """Write a record down, and tell the clock what it says of the time, as the engine does."""
        super().record(body, document)
        was, kept = self._told, self.image.kept
        self._told = kept
        if kept.wall_low_ms < was.wall_low_ms:
            self._known = reset(self._known, kept.wall_low_ms, self._mono_ms)
        else:
            self._known = raised(self._known, kept.wall_low_ms, self._mono_ms)
        self._known = bounded(self._known, kept.bound)
        self._look()

    def _begins(self) -> None:
        """As the engine does at its start."""
        kept = self.image.kept
        begun = reckoning(self.now.boot, BUILT_MS, self._mono_ms)
        self._known = bounded(raised(begun, kept.wall_low_ms, self._mono_ms), kept.bound)
        self._told = kept
        self._look()
        self.record(Started(version="1"))

    def _look(self) -> None:
        battery = self.battery_ahead_ms
        heard = Heard(
            mono_ms=self._mono_ms,
            claimed_ms=self.truth_ms + self.ahead_ms,
            disciplined=self.disciplined,
            rtc_ms=None if battery is None else self.truth_ms + battery,
        )
        self.now, self._known = present(self._known, heard)

    def _next_n(self) -> int:
        """The ledger's next time: it takes a millisecond to be told."""
        self.truth_ms += 1
        self._mono_ms += 1
        self._look()
        return self.truth_ms
