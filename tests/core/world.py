"""A gateway without rooms, in virtual time: documents come in, meters are read, closes end.

The sentences of the tests are spoken with it. Every document is signed and verified for real.
"""

from collections.abc import Mapping

import msgspec

from gateway.core.admission import (
    Admission,
    admit_close_report,
    admit_document,
    admit_reading,
    admit_refusal,
    admit_tag,
)
from gateway.core.documents import AllowList, Document, ListEntry, Receipt, Site
from gateway.core.fact import (
    BadMessage,
    Body,
    CloseCommand,
    CloseEnded,
    CloseIntended,
    CloseReport,
    DocumentClaim,
    MeterSeen,
    Outcome,
    Record,
    Road,
    TagClaim,
    TagKind,
    Why,
    record_of,
    store,
)
from gateway.core.image import Image, apply, observe, restored
from gateway.core.kept import Instant, Kept
from gateway.core.model import (
    Account,
    DtId,
    GatewayId,
    Limits,
    Meter,
    Now,
    Pacing,
    ProfileAbility,
    Reading,
    Serial,
    Station,
    SupplyState,
)
from gateway.core.plan import Plan, plan
from gateway.core.reconnection import Ruling, Verdict, may_close, may_write
from gateway.core.signature import digest_of
from gateway.core.standing import Standing, standing_of
from tests.signing import ROOT, sign_list, sign_receipt, sign_site

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
        "proves-serial": ProfileAbility(switches=True, proves_serial=True),
        "no-serial": ProfileAbility(switches=True, proves_serial=False),
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


class World:
    """One gateway's core, and the present instant."""

    def __init__(
        self, *meters: Meter, pacing: Pacing | None = None, limits: Limits | None = None
    ) -> None:
        """With meters a site document is in force."""
        self.image = BLANK
        self.now = Now(
            mono_ms=5 * HOUR_MS, boot="boot-1", wall_ms=NOON_MS, wall_low_ms=NOON_MS - 1_000
        )
        self.journal: list[tuple[Record, Document | None]] = []
        self.commands: list[CloseCommand] = []
        if meters:
            assert self.site(*meters, pacing=pacing, limits=limits) == "ACCEPTED"

    # --- what comes in ---

    def site(
        self,
        *meters: Meter,
        seq: int | None = None,
        pacing: Pacing | None = None,
        limits: Limits | None = None,
        gateway: str = "gw-1",
    ) -> str:
        """A site document comes; the answer's word."""
        before = self.image.kept.site
        following = 1 if before is None else before.seq + 1
        return self.hand_in(
            sign_site(
                Site(
                    gateway=gateway,
                    seq=following if seq is None else seq,
                    feeder="feeder-1",
                    meters=meters,
                    pacing=pacing or (Pacing() if before is None else before.pacing),
                    limits=limits or (Limits() if before is None else before.limits),
                )
            )
        )

    def lists(self, as_of: int, *entries: ListEntry, seq: int | None = None) -> str:
        """An allow-list comes; the answer's word."""
        before = self.image.kept.list_in_force
        following = 1 if before is None else before.seq + 1
        return self.gets(allow_list(following if seq is None else seq, as_of, *entries))

    def pays(self, number: int, n: int = 100) -> str:
        """A receipt of account A1 comes, and so on; the answer's word."""
        return self.gets(receipt(number, n))

    def gets(self, document: AllowList | Receipt) -> str:
        """A list or receipt comes, well signed; the answer's word."""
        match document:
            case AllowList():
                return self.hand_in(sign_list(document))
            case Receipt():
                return self.hand_in(sign_receipt(document))

    def hand_in(self, raw: bytes) -> str:
        """Some bytes come as a document; the answer's word."""
        return self._admitted(
            admit_document(DocumentClaim(raw=raw, road=Road.MQTT), self.image, self.now)
        )

    def refuses(self, name: str, detail: str = "") -> str:
        """A room hands in something that it could not take for a claim."""
        message = BadMessage(name=name, detail=detail, raw=name.encode(), road=Road.MQTT)
        return self._admitted(admit_refusal(message, self.image, self.now))

    def tags(
        self,
        kind: TagKind,
        target: str = "",
        *,
        place: bool = True,
        by: str = "R. Patel",
        reason: str = "work on the line",
    ) -> str:
        """A person places or removes a tag; the answer's word."""
        claim = TagClaim(kind=kind, target=target, place=place, by=by, reason=reason)
        return self._admitted(admit_tag(claim, self.image))

    def reads(self, serial: str, state: SupplyState, *, age_ms: int = 0) -> None:
        """A meter was read, so long ago."""
        reading = Reading(
            state=state, mono_ms=self.now.mono_ms - age_ms, serial=Serial(serial), load_mv=0
        )
        self._seen(MeterSeen(serial=Serial(serial), reading=reading))

    # --- what is done ---

    def plans(self) -> Plan:
        """Plan and take it down; the commands wait in `commands` for `ends`."""
        planned = plan(self.image, self.now)
        for body in planned.bodies:
            self.record(body)
        in_flight = self.image.in_flight | {command.close for command in planned.commands}
        self.image = msgspec.structs.replace(self.image, in_flight=in_flight)
        self.commands.extend(planned.commands)
        return planned

    def ends(
        self,
        command: CloseCommand,
        outcome: Outcome = Outcome.CLOSED_VERIFIED,
        *,
        state: SupplyState | None = None,
        forced: bool = False,
    ) -> bool:
        """The bus reports how a close ended; whether that was news."""
        serial = Serial(command.meter.serial)
        reading = None
        if state is not None:
            reading = Reading(state=state, mono_ms=self.now.mono_ms, serial=serial)
        report = CloseReport(
            close=command.close,
            serial=serial,
            outcome=outcome,
            writes=1,
            reading=reading,
            forced=forced,
        )
        body = admit_close_report(report, self.image, self.now)
        if body is None:
            return False
        self.record(body)
        if reading is not None:
            self._seen(MeterSeen(serial=serial, reading=reading))
        return True

    def closed_before(
        self, of: Meter, outcome: Outcome = Outcome.CLOSED_VERIFIED, why: Why = Why.NONE
    ) -> None:
        """A close of this meter was decided and ended just now, whatever the rule says."""
        close = self.image.kept.close_count + 1
        account, serial, dt = Account(of.account), Serial(of.serial), DtId(of.dt)
        self.record(
            CloseIntended(
                close=close,
                account=account,
                meter=serial,
                dt=dt,
                attempt=1,
                standing_n=0,
                standing_digest=digest_of(b""),
            )
        )
        self.record(
            CloseEnded(
                close=close,
                account=account,
                meter=serial,
                dt=dt,
                outcome=outcome,
                verdict="",
                why=why,
                writes=1,
                forced=False,
                decided_ms=self.now.mono_ms,
            )
        )

    def wait(self, ms: int) -> None:
        """Time passes."""
        self.now = msgspec.structs.replace(
            self.now,
            mono_ms=self.now.mono_ms + ms,
            wall_ms=self.now.wall_ms + ms,
            wall_low_ms=self.now.wall_low_ms + ms,
        )

    def reboots(self, mono_ms: int = 20_000) -> None:
        """The machine starts anew; only what the journal keeps is still known."""
        number = int(self.now.boot.removeprefix("boot-"))
        self.now = msgspec.structs.replace(self.now, boot=f"boot-{number + 1}", mono_ms=mono_ms)
        self.restarts()

    def restarts(self) -> None:
        """The process starts anew on the same boot."""
        kept = msgspec.json.decode(msgspec.json.encode(self.image.kept), type=Kept)
        fresh = msgspec.structs.replace(BLANK, number=self.image.number)
        self.image = restored(fresh, kept)
        self.commands.clear()

    def record(self, body: Body, document: Document | None = None) -> None:
        """Write a record down and apply it."""
        record = record_of(self.image.number + 1, body, self.now)
        self.journal.append((record, document))
        image = apply(self.image, record, document)
        self.image = msgspec.structs.replace(image, number=record.number)

    # --- what is asked ---

    def rules(self, on: Meter = M1) -> Ruling:
        """What the one rule says now."""
        return may_close(on, self.image, self.now)

    def may_write(self, reading: Reading, on: Meter = M1) -> Verdict:
        """What the one rule says with what was just read on the bus."""
        return may_write(on, reading, self.image, self.now)

    def standing(self, account: str = "A1") -> Standing:
        """The account's standing."""
        return standing_of(self.image.word(account))

    def standings(self) -> Mapping[str, tuple[Standing, int, str, bool] | None]:
        """What stands about each account of the roster, without what tells how it came."""
        words = {account: self.image.word(account) for account in sorted(self.image.by_account)}
        return {
            account: word and (word.standing, word.n, word.meter, word.cut)
            for account, word in words.items()
        }

    def written(self) -> list[bytes]:
        """The canonical bytes of every record."""
        return [store(record, bytes(32)).content for record, _ in self.journal]

    def _admitted(self, admission: Admission) -> str:
        if admission.body is not None:
            self.record(admission.body, admission.document)
        if admission.unwritten:
            unwritten = self.image.unwritten_refusals + 1
            self.image = msgspec.structs.replace(self.image, unwritten_refusals=unwritten)
        return admission.answer.word

    def _seen(self, seen: MeterSeen) -> None:
        body = admit_reading(seen, self.image)
        if body is not None:
            self.record(body)
        at = Instant(boot=self.now.boot, mono_ms=self.now.mono_ms, wall_ms=self.now.wall_ms)
        self.image = observe(self.image, seen, at)


def dark_and_paid(*meters: Meter, pacing: Pacing | None = None) -> World:
    """A world in which these meters are open and their accounts have just handed in receipts."""
    world = World(*meters, pacing=pacing)
    for one in meters:
        world.reads(one.serial, SupplyState.DISCONNECTED)
        assert world.pays(int(one.account[1:])) == "ACCEPTED"
    return world
