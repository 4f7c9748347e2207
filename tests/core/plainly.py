"""The plain definition of whose turn it is: everything is looked through for every meter.

What `gateway.core` gathers once for many meters must not change one of these answers.
"""

from collections.abc import Sequence

import msgspec

from gateway.core.fact import TagKind
from gateway.core.grace import cut_as_of, silent_ms
from gateway.core.image import MINUTE_MS, Image
from gateway.core.kept import DAY_MS, HOUR_MS, GraceGiven
from gateway.core.model import Brake, Meter, Now, SupplyState
from gateway.core.pacing import CLOSE_TAKES_MS, gap_after_ms, wait_ms
from gateway.core.plan import TOLD, _Draft
from gateway.core.queue import in_turn
from gateway.core.reconnection import GUARDS, Ruling, Verdict
from gateway.core.standing import Standing
from gateway.core.waiting import at_least_ms, at_most_ms

ARREARS = {"ORDER", "ARREARS", "PREPAY"}


class Close(msgspec.Struct, frozen=True):
    """One close that is looked back on, or supposed."""

    dt: str
    at_ms: int
    gap_ms: int
    busy_until_ms: int


def closes_of(image: Image, now: Now) -> list[Close]:
    """What is looked back on, in its order."""
    closes = []
    for mark in image.kept.marks:
        at_ms = now.mono_ms - (at_least_ms(mark.at, now) if mark.ended else 0)
        busy_until_ms = at_ms if mark.ended else at_ms + CLOSE_TAKES_MS
        closes.append(Close(mark.dt, at_ms, mark.gap_ms, busy_until_ms))
    return closes


def supposed(meter: Meter, at_ms: int, number: int, image: Image) -> Close:
    """A close that is decided at an instant, under its number."""
    gap_ms = gap_after_ms(image.pacing, image.station.gateway, number)
    return Close(meter.dt, at_ms, gap_ms, at_ms + CLOSE_TAKES_MS)


# --- the turn ---


def turn_of_dt(
    dt: str, closes: Sequence[Close], image: Image, now: Now, now_ms: int
) -> tuple[int, Brake | None]:
    """When the next close of a DT has its turn, and what holds it."""
    turns = [
        _stopped(dt, image, now),
        _after_the_last(dt, closes, image, now, now_ms),
        *_ceilings(dt, closes, image),
    ]
    return max(turns, key=lambda turn: turn[0])


def turn_of(
    meter: Meter, closes: Sequence[Close], image: Image, now: Now
) -> tuple[int, Brake | None]:
    """When a meter's close has its turn, and what holds it."""
    of_all = turn_of_dt(meter.dt, closes, image, now, now.mono_ms)
    return max(of_all, _setback(meter, image, now), key=lambda turn: turn[0])


def _stopped(dt: str, image: Image, now: Now) -> tuple[int, Brake | None]:
    stop = image.kept.stops.get(dt)
    if stop is None:
        return 0, None
    age_ms, cool_down_ms = at_least_ms(stop.since, now), image.pacing.cool_down_ms
    left_ms = cool_down_ms - age_ms if age_ms < cool_down_ms else cool_down_ms
    return now.mono_ms + left_ms, stop.brake


def _after_the_last(
    dt: str, closes: Sequence[Close], image: Image, now: Now, now_ms: int
) -> tuple[int, Brake | None]:
    mine = [close for close in closes if close.dt == dt]
    if not mine:
        return 0, None
    last, terms = mine[-1], image.pacing
    since_ms = last.at_ms - terms.quiet_ms
    if dt in image.kept.resumed:
        resumed_ms = now.mono_ms - at_least_ms(image.kept.resumed[dt], now)
        since_ms = max(since_ms, min(resumed_ms, last.at_ms))
    first = len(mine) == 1 or mine[-2].at_ms <= since_ms
    due_ms = last.at_ms + (terms.first_alone_ms if first else last.gap_ms)
    if last.busy_until_ms > now_ms:
        return max(due_ms, last.busy_until_ms), Brake.UNDER_WAY
    return due_ms, Brake.FIRST_ALONE if first else Brake.GAP


def _ceilings(
    dt: str, closes: Sequence[Close], image: Image
) -> tuple[tuple[int, Brake | None], ...]:
    terms, feeders = image.pacing, image.feeders
    feeder = feeders.get(dt, "")
    on_dt = [close for close in closes if close.dt == dt]
    on_feeder = [close for close in closes if feeders.get(close.dt, "") == feeder]
    return (
        _ceiling(on_dt, terms.dt_minute_max, Brake.DT_CEILING),
        _ceiling(on_feeder, terms.feeder_minute_max, Brake.FEEDER_CEILING),
        _ceiling(closes, terms.minute_max, Brake.GATEWAY_CEILING),
    )


def _ceiling(closes: Sequence[Close], most: int, brake: Brake) -> tuple[int, Brake | None]:
    if len(closes) < most:
        return 0, None
    return sorted(close.at_ms for close in closes)[-most] + MINUTE_MS, brake


def _setback(meter: Meter, image: Image, now: Now) -> tuple[int, Brake | None]:
    setback, word = image.kept.setbacks.get(meter.serial), image.word(meter.account)
    if setback is None or setback.standing_n != (0 if word is None else word.n):
        return 0, None
    return now.mono_ms - at_least_ms(setback.last, now) + wait_ms(setback), Brake.SETBACK


# --- the rule ---


def ruling_of(meter: Meter, closes: Sequence[Close], image: Image, now: Now) -> Ruling:
    """What the one rule says; whose guards that look through many things are written out here."""
    plainly = {
        Verdict.FEEDER_ISOLATED: _tagged(TagKind.ISOLATE_FEEDER, "", image),
        Verdict.DT_ISOLATED: _tagged(TagKind.ISOLATE_DT, meter.dt, image),
        Verdict.METER_HELD: _tagged(TagKind.HOLD, meter.serial, image),
        Verdict.NOT_PAID: not _paid(meter, image) and not grace_applies(meter, image, now),
        Verdict.RETRIPPED: _closed_lately(meter, image, now) >= image.limits.retrip_max,
    }
    for verdict, stands_against in GUARDS:
        stands = plainly.get(verdict)
        if stands_against(meter, image, now) if stands is None else stands:
            return Ruling(verdict=verdict)
    not_before_ms, brake = turn_of(meter, closes, image, now)
    if not_before_ms > now.mono_ms:
        return Ruling(verdict=Verdict.PACED, not_before_ms=not_before_ms, brake=brake)
    return Ruling(verdict=Verdict.PERMIT)


def grace_applies(meter: Meter, image: Image, now: Now) -> bool:
    """Whether grace was given and is not over, or is to be given now."""
    given = next(
        (one for one in image.kept.graces if one.account == meter.account and _stands(one, image)),
        None,
    )
    if given is not None:
        since_ms = at_most_ms(given.granted, now)
        return since_ms is not None and since_ms < given.hours * HOUR_MS
    site = image.kept.site
    if site is None or site.grace is None:
        return False
    today = [one for one in image.kept.graces if at_least_ms(one.granted, now) < DAY_MS]
    opened = image.kept.causes.get(meter.serial)
    if opened is None or opened.cause not in ARREARS or len(today) >= site.grace.daily_max:
        return False
    age_ms = at_most_ms(opened.at, now)
    lately = age_ms is not None and age_ms <= site.grace.cut_within_days * DAY_MS
    return lately and silent_ms(image, now) > site.grace.after_h * HOUR_MS


def _stands(one: GraceGiven, image: Image) -> bool:
    return not one.settled and one.n == cut_as_of(one.account, image)


def _tagged(kind: TagKind, target: str, image: Image) -> bool:
    return any((tag.kind, tag.target) == (kind, target) for tag in image.kept.tags)


def _paid(meter: Meter, image: Image) -> bool:
    word = image.word(meter.account)
    return word is not None and word.standing is Standing.PAID


def _closed_lately(meter: Meter, image: Image, now: Now) -> int:
    return sum(
        mark.done and mark.serial == meter.serial and at_least_ms(mark.at, now) < HOUR_MS
        for mark in image.kept.marks
    )


# --- many meters ---


def rulings_of(image: Image, now: Now) -> dict[str, Ruling]:
    """What the one rule says of everybody who is not connected."""
    closes = closes_of(image, now)
    supply = image.kept.supply
    return {
        serial: ruling_of(meter, closes, image, now)
        for serial, meter in image.roster.items()
        if serial not in supply or supply[serial].state is not SupplyState.CONNECTED
    }


def foretold(queue: Sequence[Meter], image: Image, now: Now) -> dict[str, int]:
    """When each meter of a queue is likely to be decided: always the first who is let through."""
    closes = closes_of(image, now)
    lines: dict[str, list[tuple[int, int, Meter]]] = {}
    for place, meter in enumerate(queue):
        ready_ms = max(_setback(meter, image, now)[0], now.mono_ms)
        lines.setdefault(meter.dt, []).append((ready_ms, place, meter))
    decided: dict[str, int] = {}
    now_ms = now.mono_ms
    while any(lines.values()):
        heads = []
        for dt, line in lines.items():
            if line:
                ready_ms, place, _ = min(line, key=lambda waiting: waiting[:2])
                turn_ms, _ = turn_of_dt(dt, closes, image, now, now_ms)
                heads.append((max(ready_ms, turn_ms, now_ms), place))
        now_ms, place = min(heads)
        meter = queue[place]
        lines[meter.dt] = [waiting for waiting in lines[meter.dt] if waiting[1] != place]
        decided[meter.serial] = now_ms
        closes.append(supposed(meter, now_ms, image.kept.moves + len(decided), image))
    return decided


class PlainDraft(_Draft):
    """A plan whose closes are ruled about one by one."""

    def begin_closes(self) -> None:
        """Every close whose turn has come, longest waiting first."""
        closes = closes_of(self.image, self.now)
        waiting_dts: set[str] = set()
        for meter in in_turn(self.image):
            if meter.dt in waiting_dts:
                continue
            ruling = ruling_of(meter, closes, self.image, self.now)
            if ruling.verdict is Verdict.PERMIT:
                self._begin_close(meter)
                number = self.image.kept.moves
                closes.append(supposed(meter, self.now.mono_ms, number, self.image))
            elif ruling.not_before_ms is not None:
                if ruling.brake not in TOLD:
                    self.look_again(ruling.not_before_ms)
                if ruling.brake is not Brake.SETBACK:
                    waiting_dts.add(meter.dt)
