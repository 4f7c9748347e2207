"""Publishing: which orders and which meters the broker has to be told of, and when.

Owns what of them the broker has taken. Must never do I/O or ask the time: instants are arguments,
and the room publishes. Nothing is queued here: what is to be said is found by looking at the image,
so a lost message or a change overtaken by the next costs nothing; a version may be passed over.

Orders go at once, a few at a time. Meters go at a steady pace, those first whose state or its
quality has changed: a feeder of 2,000 that comes back does not flood the link, and neither does one
whose voltages change with every round.
"""

import math
from collections.abc import Iterator, Mapping

import msgspec

from gateway.core.image import Image
from gateway.core.model import Now, Reading, SupplyState, Value
from gateway.core.progress import Progress
from gateway.core.readings import Quality, state_quality

ORDERS_WINDOW = 8
"""Lifecycles that the broker has not confirmed yet."""
METERS_EVERY_S = 1.0
"""Between two looks at all meters."""
METERS_MAX = 20
"""Meters told at one look: all of 2,000 take 100 s."""
VALUES_EVERY_S = 300.0
"""What a meter measures is told so often, where nothing else of it is news."""


class OrdersTold:
    """Which lifecycles were handed to the broker, by id and version.

    What the head end has acknowledged as a record it need not be told again.
    """

    def __init__(self) -> None:
        self._handed: dict[str, int] = {}
        self._unconfirmed = 0
        self._orders: tuple[Mapping[str, Progress], Mapping[str, Progress]] = ({}, {})
        self._due: list[Progress] = []

    def begin_again(self) -> None:
        """A connection begins, or the head end is back: what was said may have reached nobody."""
        self._handed.clear()
        self._orders = ({}, {})

    def take(self, image: Image) -> Iterator[Progress]:
        """What is to be published now, oldest change first. Each one taken counts as handed."""
        orders, ended = image.kept.orders, image.kept.orders_ended
        if self._orders[0] is not orders or self._orders[1] is not ended:
            self._orders = (orders, ended)
            untold = (one for one in ended.values() if one.number > image.acked_through)
            self._look([*orders.values(), *untold])
        while self._due and self._unconfirmed < ORDERS_WINDOW:
            one = self._due.pop()
            self._handed[one.id] = one.version
            self._unconfirmed += 1
            yield one

    def confirmed(self) -> None:
        """The broker has answered to one, or the connection is lost.

        One that it does not take is not sent to it again: it would not take that either.
        """
        self._unconfirmed -= 1

    def _look(self, tellable: list[Progress]) -> None:
        self._handed = {one.id: self._handed.get(one.id, 0) for one in tellable}
        due = [one for one in tellable if self._handed[one.id] < one.version]
        self._due = sorted(due, key=lambda one: -one.number)


class MeterNews(Value):
    """One meter of which something is to be said; it is `gone` when it has left the roster."""

    serial: str
    reading: Reading | None = None
    quality: Quality = Quality.UNREAD
    gone: bool = False


class _Told(Value):
    state: SupplyState
    quality: Quality
    values_ms: int | None
    at_s: float


class _Due(Value):
    overtakes: bool
    """Its state or the quality of that is another than was said."""
    said_s: float
    news: MeterNews
    told: _Told


class MetersTold:
    """What the broker was last told of each meter. Seconds are of the event loop's clock."""

    def __init__(self) -> None:
        self._told: dict[str, _Told] = {}
        self.next_s = -math.inf
        """When to look again."""

    def begin_again(self) -> None:
        """A broker may have lost what it retained: all is said again, at the usual pace."""
        for serial, told in self._told.items():
            self._told[serial] = msgspec.structs.replace(told, values_ms=-1, at_s=-math.inf)

    def take(self, image: Image, now: Now, at_s: float) -> tuple[MeterNews, ...]:
        """Of whom to speak at this look, the most urgent; they count as told."""
        if at_s < self.next_s:
            return ()
        self.next_s = at_s + METERS_EVERY_S
        serials = _serials(image)
        gone = sorted(self._told.keys() - serials)[:METERS_MAX]
        for serial in gone:
            del self._told[serial]
        due = sorted(self._due(serials, image, now, at_s), key=_urgency)[: METERS_MAX - len(gone)]
        for one in due:
            self._told[one.news.serial] = one.told
        leaving = (MeterNews(serial=serial, gone=True) for serial in gone)
        return (*leaving, *(one.news for one in due))

    def _due(
        self, serials: Mapping[str, None], image: Image, now: Now, at_s: float
    ) -> Iterator[_Due]:
        for serial in serials:
            reading, before = image.seen.get(serial), self._told.get(serial)
            quality = state_quality(reading, image.limits, now)
            told = _Told(
                state=SupplyState.UNKNOWN if reading is None else reading.state,
                quality=quality,
                values_ms=None if reading is None else reading.values_ms,
                at_s=at_s,
            )
            overtakes = before is None or _heading(before) != _heading(told)
            if overtakes or (before is not None and _worth_saying(before, told)):
                news = MeterNews(serial=serial, reading=reading, quality=quality)
                said_s = -math.inf if before is None else before.at_s
                yield _Due(overtakes=overtakes, said_s=said_s, news=news, told=told)


def _serials(image: Image) -> dict[str, None]:
    """The meters of the roster, then the check meters."""
    checks = (check.serial for check in image.check_meters.values())
    return dict.fromkeys((*image.roster, *checks))


def _heading(told: _Told) -> tuple[SupplyState, Quality]:
    return told.state, told.quality


def _worth_saying(before: _Told, told: _Told) -> bool:
    return before.values_ms != told.values_ms and told.at_s - before.at_s >= VALUES_EVERY_S


def _urgency(due: _Due) -> tuple[bool, float]:
    return not due.overtakes, due.said_s
