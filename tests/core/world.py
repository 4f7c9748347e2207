"""A gateway without rooms, in virtual time: documents come in, meters are read, closes end.

The sentences of the tests are spoken with it. Every document is signed and verified for real.
"""

from collections.abc import Mapping

import msgspec

from gateway.core.admission import admit_document, admit_refusal
from gateway.core.admitted import Admission
from gateway.core.changes import apply
from gateway.core.disconnection import OpenRuling, OpenVerdict, may_open, may_write_open
from gateway.core.documents import AllowList, Document, ListEntry, Receipt, Site
from gateway.core.fact import (
    BadMessage,
    CauseClaim,
    DocumentClaim,
    HeadEndSeen,
    MeterSeen,
    Move,
    Observation,
    Origin,
    Outcome,
    ResumeClaim,
    Road,
    SwitchCommand,
    SwitchReport,
    TagClaim,
    TagKind,
    Why,
)
from gateway.core.image import observe, restored
from gateway.core.kept import Kept
from gateway.core.model import (
    Account,
    Cause,
    DtId,
    Meter,
    Now,
    Reading,
    Serial,
    SupplyState,
    TimeSource,
)
from gateway.core.orders import Act
from gateway.core.plan import Plan, plan
from gateway.core.reconnection import Ruling, Verdict, may_close, may_write
from gateway.core.records import Body, CloseEnded, CloseIntended, Record, record_of, store
from gateway.core.reports import admit_reading, admit_report
from gateway.core.requests import admit_cause, admit_resume, admit_tag
from gateway.core.sequence import nonce_of
from gateway.core.signature import digest_of
from gateway.core.standing import Standing, standing_of
from gateway.core.terms import Disconnection, Grace, Limits, Pacing, Transformer
from gateway.core.waiting import instant_of
from gateway.utility.sign import SigningKey
from tests.core.papers import (
    BLANK,
    HOUR_MS,
    M1,
    NOON_MS,
    allow_list,
    clock_after,
    order,
    receipt,
)
from tests.signing import sign_list, sign_order, sign_receipt, sign_site

WELL = {
    Move.CLOSE: Outcome.CLOSED_VERIFIED,
    Move.OPEN: Outcome.OPENED_VERIFIED,
    Move.RELEASE: Outcome.RELEASED,
}


class World:
    """One gateway's core, and the present instant."""

    def __init__(
        self,
        *meters: Meter,
        pacing: Pacing | None = None,
        limits: Limits | None = None,
        disconnection: Disconnection | None = None,
        grace: Grace | None = None,
        transformers: tuple[Transformer, ...] = (),
    ) -> None:
        """With meters a site document is in force. It is noon, and the clock is trusted."""
        self.image = BLANK
        self.now = Now(
            mono_ms=5 * HOUR_MS,
            boot="boot-1",
            wall_ms=NOON_MS,
            wall_low_ms=NOON_MS - 1_000,
            wall_high_ms=NOON_MS + 1_000,
            source=TimeSource.NETWORK,
        )
        self.journal: list[tuple[Record, Document | None]] = []
        self.commands: list[SwitchCommand] = []
        self.orders = 0
        if meters:
            answer = self.site(
                *meters,
                pacing=pacing,
                limits=limits,
                disconnection=disconnection,
                grace=grace,
                transformers=transformers,
            )
            assert answer == "ACCEPTED"

    # --- what comes in ---

    def site(
        self,
        *meters: Meter,
        seq: int | None = None,
        pacing: Pacing | None = None,
        limits: Limits | None = None,
        disconnection: Disconnection | None = None,
        grace: Grace | None = None,
        transformers: tuple[Transformer, ...] | None = None,
        gateway: str = "gw-1",
    ) -> str:
        """A site document comes; the answer's word. What it does not give stays as it was."""
        before = self.image.kept.site or Site(gateway=gateway, seq=0, feeder="feeder-1", meters=())
        return self.hand_in(
            sign_site(
                Site(
                    gateway=gateway,
                    seq=before.seq + 1 if seq is None else seq,
                    feeder="feeder-1",
                    meters=meters,
                    pacing=pacing or before.pacing,
                    limits=limits or before.limits,
                    disconnection=disconnection or before.disconnection,
                    grace=grace or before.grace,
                    transformers=before.transformers if transformers is None else transformers,
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

    def ordered(self, act: Act, *by: SigningKey, retained: bool = False, link: str = "") -> str:
        """The head end's next order comes, issued now; the answer's word."""
        self.orders = max(self.image.kept.newest.order.seq, self.orders) + 1
        issued = order(self.orders, act, iat=self.now.wall_ms, boot=nonce_of(self.now))
        return self.hand_in(sign_order(issued, *by), retained=retained, link=link)

    def hand_in(
        self, raw: bytes, road: Road = Road.MQTT, *, retained: bool = False, link: str = ""
    ) -> str:
        """Some bytes come as a document; the answer's word."""
        claim = DocumentClaim(raw=raw, road=road, retained=retained, link=link)
        return self._admitted(admit_document(claim, self.image, self.now))

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
        origin: Origin = Origin.TECHNICIAN,
    ) -> str:
        """A person places or removes a tag; the answer's word."""
        claim = TagClaim(kind=kind, target=target, place=place, by=by, reason=reason, origin=origin)
        return self._admitted(admit_tag(claim, self.image))

    def says(
        self, cause: Cause, on: str = "M1", by: str = "R. Patel", reason: str = "looked at it"
    ) -> str:
        """A person says what opened a switch; the answer's word."""
        claim = CauseClaim(meter=on, cause=cause, by=by, reason=reason)
        return self._admitted(admit_cause(claim, self.image))

    def resumes(self, dt: str = "T1", by: str = "R. Patel", reason: str = "looked at it") -> str:
        """A person lets a stopped transformer go on; the answer's word."""
        return self._admitted(admit_resume(ResumeClaim(dt=dt, by=by, reason=reason), self.image))

    def hears(self, *, online: bool = True, kept_by_broker: bool = False) -> None:
        """The head end says that it is there, or that it goes."""
        self._observed(HeadEndSeen(online=online, kept_by_broker=kept_by_broker))

    def measures(self, serial: str, supply_mv: int) -> None:
        """A transformer's check meter was read."""
        state, mono_ms = SupplyState.UNKNOWN, self.now.mono_ms
        reading = Reading(state=state, mono_ms=mono_ms, supply_mv=supply_mv)
        self._seen(MeterSeen(serial=Serial(serial), reading=reading))

    def reads(
        self, serial: str, state: SupplyState, *, age_ms: int = 0, cause: Cause | None = None
    ) -> None:
        """A meter was read, so long ago."""
        reading = Reading(
            state=state,
            mono_ms=self.now.mono_ms - age_ms,
            serial=Serial(serial),
            load_mv=0,
            cause=cause,
        )
        self._seen(MeterSeen(serial=Serial(serial), reading=reading))

    # --- what is done ---

    def plans(self) -> Plan:
        """Plan and take it down; the commands wait in `commands` for `ends`."""
        planned = plan(self.image, self.now)
        for body in planned.bodies:
            self.record(body)
        in_flight = self.image.in_flight | {command.number for command in planned.commands}
        self.image = msgspec.structs.replace(self.image, in_flight=in_flight)
        self.commands.extend(planned.commands)
        return planned

    def ends(
        self,
        command: SwitchCommand,
        outcome: Outcome | None = None,
        *,
        state: SupplyState | None = None,
        forced: bool = False,
        why: Why = Why.NONE,
        verdict: str = "",
        writes: int = 1,
    ) -> bool:
        """The bus reports how a command ended, at best as it should; whether that was news."""
        serial = Serial(command.meter.serial)
        reading = None
        if state is not None:
            reading = Reading(state=state, mono_ms=self.now.mono_ms, serial=serial)
        report = SwitchReport(
            number=command.number,
            move=command.move,
            serial=serial,
            outcome=outcome or WELL[command.move],
            verdict=verdict,
            why=why,
            writes=writes,
            reading=reading,
            forced=forced,
        )
        body = admit_report(report, self.image)
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
        close = self.image.kept.moves + 1
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
            )
        )

    def wait(self, ms: int) -> None:
        """Time passes."""
        self.now = msgspec.structs.replace(
            self.now,
            mono_ms=self.now.mono_ms + ms,
            wall_ms=self.now.wall_ms + ms,
            wall_low_ms=self.now.wall_low_ms + ms,
            wall_high_ms=None if self.now.wall_high_ms is None else self.now.wall_high_ms + ms,
        )

    def trusts_no_clock(self) -> None:
        """Nothing bounds the calendar from above any more."""
        self.now = msgspec.structs.replace(self.now, wall_high_ms=None)

    def reboots(self, mono_ms: int = 20_000) -> None:
        """The machine starts anew; only what the journal keeps is still known."""
        number = int(self.now.boot.removeprefix("boot-"))
        self.now = msgspec.structs.replace(self.now, boot=f"boot-{number + 1}", mono_ms=mono_ms)
        self.restarts()

    def restarts(self) -> None:
        """The process starts anew on the same boot."""
        kept = msgspec.json.decode(msgspec.json.encode(self.image.kept), type=Kept)
        fresh = msgspec.structs.replace(BLANK, number=self.image.number)
        fresh = msgspec.structs.replace(fresh, watching_since_ms=self.now.mono_ms)
        self.image = restored(fresh, kept)
        self.commands.clear()

    def record(self, body: Body, document: Document | None = None) -> None:
        """Write a record down and apply it."""
        record = record_of(self.image.number + 1, body, self.now)
        self.journal.append((record, document))
        image = apply(self.image, record, document)
        self.image = msgspec.structs.replace(image, number=record.number)
        self.now = clock_after(self.now, self.image.kept)

    # --- what is asked ---

    def rules(self, on: Meter = M1) -> Ruling:
        """What the one rule says now."""
        return may_close(on, self.image, self.now)

    def may_write(self, reading: Reading, on: Meter = M1) -> Verdict:
        """What the one rule says with what was just read on the bus."""
        return may_write(on, reading, self.image, self.now)

    def may_open(self, on: Meter = M1) -> OpenRuling:
        """What the law says now about what an order asks of this meter."""
        return may_open(self.image.kept.tasks[on.serial], self.image, self.now)

    def may_write_open(self, reading: Reading, on: Meter = M1) -> OpenVerdict:
        """The same with what was just read on the bus."""
        return may_write_open(on, reading, self.image, self.now)

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
        for body in admission.bodies:
            self.record(body, admission.document)
        if admission.unwritten:
            unwritten = self.image.unwritten_refusals + 1
            self.image = msgspec.structs.replace(self.image, unwritten_refusals=unwritten)
        return admission.answer.word

    def _seen(self, seen: MeterSeen) -> None:
        body = admit_reading(seen, self.image)
        if body is not None:
            self.record(body)
        self._observed(seen)

    def _observed(self, seen: Observation) -> None:
        self.image = observe(self.image, seen, instant_of(self.now))


def dark_and_paid(*meters: Meter, pacing: Pacing | None = None) -> World:
    """A world in which these meters are open and their accounts have just handed in receipts."""
    world = World(*meters, pacing=pacing)
    for one in meters:
        world.reads(one.serial, SupplyState.DISCONNECTED)
        assert world.pays(int(one.account[1:])) == "ACCEPTED"
    return world
