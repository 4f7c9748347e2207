"""Journeys from records: what one account's records tell, put together as they come in.

Owns which records belong to which journey. Must never look at an image or at a document: whoever
holds the records gets the same answer, at the feeder and at the head end.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gateway.core.fact import Outcome, TagKind
from gateway.core.image import DONE
from gateway.core.model import Account, Digest, DtId, Instant, Serial, SupplyState
from gateway.core.orders import Disconnect
from gateway.core.promise import Journey, Journeys, Paper, Reason, Try
from gateway.core.records import (
    CloseEnded,
    CloseIntended,
    ListInstalled,
    OrderAccepted,
    ReceiptAccepted,
    Record,
    SupplyChanged,
    TagPlaced,
    TagRemoved,
)
from gateway.core.waiting import at_ms, elapsed_ms, instant_of, paid_and_dark_since


def journeys_of(records: Iterable[Record]) -> Journeys:
    """Read records, in their order, as journeys. Those before the first given are not known of."""
    reader = _Reader()
    for record in records:
        reader.take(record)
    return Journeys(ended=tuple(reader.ended), under_way=reader.under_way())


@dataclass(slots=True)
class _Close:
    """One close while its records come in. None: the records that would tell were not given."""

    close: int
    dt: DtId
    dark: Record | None
    """Since when the switch was read open when this was decided."""
    whole: bool
    """Whether the records begin with the journal, so that what is not there never was."""
    decided: Instant | None = None
    received: Instant | None = None
    arrived: int | None = None
    """The record with which the proof came."""
    reason: Reason | None = None
    paid_at: int | None = None
    attempts: int = 0
    numbers: list[int] = field(default_factory=list)
    outcome: Outcome | None = None
    detail: str = ""
    written: Instant | None = None


@dataclass(slots=True)
class _Home:
    """One account at one meter while its records come in."""

    account: Account
    meter: Serial
    dark: Record | None = None
    """Since when its switch is read open."""
    receipts: list[Record] = field(default_factory=list)
    """Since it last came back; so are the closes."""
    closes: list[_Close] = field(default_factory=list)
    lit: Record | None = None
    """It was read CONNECTED before the close under way had ended."""
    newest: int | None = None
    """Where its newest journey stands, until the meter is read CONNECTED."""


class _Reader:
    """Takes one record after the other; nothing of it outlives the reading."""

    def __init__(self) -> None:
        self.ended: list[Journey] = []
        self._begins_at: int | None = None
        self._homes: dict[tuple[Account, Serial], _Home] = {}
        self._papers: dict[Digest, Record] = {}
        self._arrived: dict[tuple[int, Account | None], int] = {}
        self._tags: list[tuple[int, TagPlaced | TagRemoved]] = []

    def take(self, record: Record) -> None:
        """One record more."""
        if self._begins_at is None:
            self._begins_at = record.number
        body = record.body
        match body:
            case ReceiptAccepted():
                self._papers[body.digest] = record
                self._arrived[record.wall_ms, body.account] = record.number
                self._home(body.account, body.meter).receipts.append(record)
            case ListInstalled():
                self._papers[body.digest] = record
                self._arrived[record.wall_ms, None] = record.number
            case OrderAccepted(act=Disconnect(accounts=entries)):
                for entry in entries:
                    self._cut(self._home(Account(entry.account), Serial(entry.meter)))
            case SupplyChanged():
                self._supply_changed(self._home(body.account, body.serial), record, body)
            case CloseIntended():
                self._intended(self._home(body.account, body.meter), record, body)
            case CloseEnded():
                self._close_ended(self._home(body.account, body.meter), record, body)
            case TagPlaced() | TagRemoved():
                self._tags.append((record.number, body))
            case _:
                pass  # says nothing about how a home came back

    def under_way(self) -> tuple[Journey, ...]:
        """Where a close or a receipt has not led to an end yet."""
        homes = [home for _, home in sorted(self._homes.items())]
        return tuple(
            self._journey(home, None)
            for home in homes
            if home.closes or (home.receipts and home.dark is not None)
        )

    def _home(self, account: Account, meter: Serial) -> _Home:
        return self._homes.setdefault((account, meter), _Home(account=account, meter=meter))

    @staticmethod
    def _cut(home: _Home) -> None:
        """What was paid before does not wait any more; a close on its way ends as it may."""
        home.receipts = []
        home.closes = [close for close in home.closes if close.outcome is None]

    def _supply_changed(self, home: _Home, record: Record, body: SupplyChanged) -> None:
        if body.after is not SupplyState.CONNECTED:
            home.dark, home.lit = record, None
        elif home.closes and home.closes[-1].outcome is None:
            home.lit = record
        else:
            self._came_back(home, record)

    def _intended(self, home: _Home, record: Record, body: CloseIntended) -> None:
        close = self._close_of(home, body)
        close.attempts = body.attempt
        close.numbers.append(record.number)
        if body.attempt > 1:
            return
        close.decided = instant_of(record)
        close.reason, close.paid_at = self._reason(body)
        if body.received_wall_ms is not None:
            wall_ms = body.received_wall_ms
            boot, mono_ms = "", 0  # an earlier boot, whose name does not matter
            if body.received_ms is not None:
                boot, mono_ms = record.boot, body.received_ms
            close.received = Instant(boot=boot, mono_ms=mono_ms, wall_ms=wall_ms)
            by_list = self._arrived.get((wall_ms, None))
            close.arrived = self._arrived.get((wall_ms, body.account), by_list)

    def _close_of(self, home: _Home, body: CloseIntended | CloseEnded) -> _Close:
        for close in home.closes:
            if close.close == body.close:
                return close
        whole = self._begins_at == 1
        home.closes.append(_Close(close=body.close, dt=body.dt, dark=home.dark, whole=whole))
        return home.closes[-1]

    def _reason(self, body: CloseIntended) -> tuple[Reason, int | None]:
        digest = body.standing_digest
        if body.grace:
            return Reason(digest=digest, paper=Paper.GRACE), None
        record = self._papers.get(digest)
        paper = None if record is None else record.body
        number = None if record is None else record.number
        if isinstance(paper, ReceiptAccepted):
            kind, paid_at = Paper.RECEIPT, paper.paid_at
        elif isinstance(paper, ListInstalled):
            kind, paid_at = Paper.LIST, body.standing_n
        else:
            return Reason(digest=digest), None
        reason = Reason(
            digest=digest, paper=kind, number=number, road=paper.road, signer=paper.signer
        )
        return reason, paid_at

    def _close_ended(self, home: _Home, record: Record, body: CloseEnded) -> None:
        close, at = self._close_of(home, body), instant_of(record)
        close.numbers.append(record.number)
        close.outcome, close.detail = body.outcome, body.verdict or body.why
        close.written = None if body.written_ms is None else at_ms(at, body.written_ms)
        if body.outcome in DONE:
            verified = None if body.verified_ms is None else at_ms(at, body.verified_ms)
            home.newest = len(self.ended)
            self._end(home, record, verified or at, outcome=body.outcome, verified=verified)
            home.closes, home.receipts = [], []
        if home.lit is not None:
            self._came_back(home, home.lit)

    def _came_back(self, home: _Home, lit: Record) -> None:
        """The meter is read CONNECTED, by our doing or by other means; what follows is new."""
        at = instant_of(lit)
        if any(close.outcome is Outcome.UNKNOWN for close in home.closes):
            self._end(home, lit, at, outcome=Outcome.UNKNOWN, connected=at)
        elif home.newest is not None:
            journey = self.ended[home.newest]
            numbers = tuple(sorted({*journey.numbers, lit.number}))
            self.ended[home.newest] = msgspec.structs.replace(
                journey, connected=at, numbers=numbers
            )
        home.dark = home.lit = home.newest = None
        home.closes, home.receipts = [], []

    def _end(self, home: _Home, record: Record, ended: Instant, **told: Any) -> None:
        journey = self._journey(home, record.number)
        close = home.closes[-1]
        waited_ms, by_calendar = _waited(close, ended)
        since_payment_ms = None
        if waited_ms is not None and close.paid_at is not None:
            payable = max(close.paid_at, 0 if close.dark is None else close.dark.wall_ms)
            since_payment_ms = max(waited_ms, ended.wall_ms - payable)
        self.ended.append(
            msgspec.structs.replace(
                journey,
                ended=ended,
                waited_ms=waited_ms,
                since_payment_ms=since_payment_ms,
                by_calendar=by_calendar,
                clock_trusted=record.trusted,
                **told,
            )
        )

    def _journey(self, home: _Home, until: int | None) -> Journey:
        """What the records tell up to that number."""
        close = home.closes[-1] if home.closes else _asked(home)
        begun = [close.arrived, close.dark and close.dark.number]
        tags = self._tags_on(home, close.dt, max((n for n in begun if n), default=None), until)
        numbers = [*begun, close.reason and close.reason.number, until, *tags]
        numbers += [number for one in home.closes for number in one.numbers]
        decided = home.closes[0].decided if home.closes else None
        written = [one.written for one in home.closes if one.written is not None]
        return Journey(
            account=home.account,
            meter=home.meter,
            dark_since=None if close.dark is None else instant_of(close.dark),
            paid_at=close.paid_at,
            received=close.received,
            decided=decided,
            written=written[-1] if written else None,
            tagged=bool(tags),
            reason=close.reason,
            tries=tuple(_told(one) for one in home.closes),
            numbers=tuple(sorted({number for number in numbers if number})),
        )

    def _tags_on(self, home: _Home, dt: DtId, after: int | None, until: int | None) -> list[int]:
        """Records of tags that were placed or removed on this home while it waited."""
        targets = {
            TagKind.HOLD: home.meter,
            TagKind.ISOLATE_DT: dt,
            TagKind.ISOLATE_FEEDER: "",
        }
        return [
            number
            for number, tag in self._tags
            if tag.target == targets[tag.kind]
            and (after is not None and number > after)
            and (until is None or number < until)
        ]


def _waited(close: _Close, ended: Instant) -> tuple[int | None, bool]:
    """Milliseconds paid and dark, and whether only the calendar could measure them."""
    if close.received is None or close.decided is None:
        return None, False
    if close.dark is None and not close.whole:
        return None, False
    dark = None if close.dark is None else instant_of(close.dark)
    since = paid_and_dark_since(close.received, dark, close.decided)
    return elapsed_ms(since, ended), since.boot != ended.boot


def _asked(home: _Home) -> _Close:
    """A receipt that has not led to a close yet."""
    first = home.receipts[0]
    assert isinstance(first.body, ReceiptAccepted)
    return _Close(
        close=0,
        dt=DtId(""),
        dark=home.dark,
        whole=True,
        received=instant_of(first),
        arrived=first.number,
        paid_at=first.body.paid_at,
    )


def _told(close: _Close) -> Try:
    return Try(
        close=close.close,
        attempts=close.attempts,
        outcome=close.outcome,
        detail=close.detail,
        numbers=tuple(close.numbers),
    )
