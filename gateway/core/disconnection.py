"""Disconnection: never cut what you cannot restore.

Owns every verdict about opening a switch, and about giving a forced one back to its meter's own
logic, as ordered lists of guards; default is refusal. Must never be asked by anything but an order
under two distinct keys: no page, file or code leads here.

It fails closed: what cannot be shown to stand for it stands against it. Each guard says in its
docstring what it asks: `feeder-gateway rules` prints them from here.
"""

from collections.abc import Callable
from enum import StrEnum

from gateway.core.calendar import LocalTime, local_time
from gateway.core.fact import Move
from gateway.core.image import MINUTE_MS, Image
from gateway.core.kept import DAY_MS, HOUR_MS, Task
from gateway.core.marks import Memory
from gateway.core.model import Meter, Now, Reading, SupplyState, Value
from gateway.core.orders import DANGEROUS_KEYS
from gateway.core.reconnection import identity_unproven, state_unreadable, wrong_meter
from gateway.core.sequence import clock_unknown, expired, not_yet_valid
from gateway.core.standing import Standing
from gateway.core.terms import Disconnection, Window
from gateway.core.waiting import at_least_ms

LIFE_MAX_MS = 15 * MINUTE_MS
"""From issue to expiry of an order that can darken a home."""
REACHED_WITHIN_MS = 15 * MINUTE_MS


class OpenVerdict(StrEnum):
    """The words of disconnection, used alike in code, journal, page, message and test."""

    CANCELED = "CANCELED"
    NOT_ON_ROSTER = "NOT_ON_ROSTER"
    SECOND_KEY_MISSING = "SECOND_KEY_MISSING"
    LIFE_TOO_LONG = "LIFE_TOO_LONG"
    EXPIRED = "EXPIRED"
    NOT_YET_VALID = "NOT_YET_VALID"
    CLOCK_UNKNOWN = "CLOCK_UNKNOWN"
    MEMORY_LOST = "MEMORY_LOST"
    JOURNAL_DEGRADED = "JOURNAL_DEGRADED"
    LIST_STALE = "LIST_STALE"
    NEWER_PAID = "NEWER_PAID"
    NOT_FORCED = "NOT_FORCED"
    NOT_REACHED = "NOT_REACHED"
    HEAD_END_SILENT = "HEAD_END_SILENT"
    CLOSE_UNPROVEN = "CLOSE_UNPROVEN"
    OPEN_UNPROVEN = "OPEN_UNPROVEN"
    RELEASE_UNPROVEN = "RELEASE_UNPROVEN"
    PROTECTED_TIME = "PROTECTED_TIME"
    PROTECTED_ACCOUNT = "PROTECTED_ACCOUNT"
    BULK_CEILING = "BULK_CEILING"
    PACED = "PACED"
    PERMIT = "PERMIT"
    WRONG_METER = "WRONG_METER"
    IDENTITY_UNPROVEN = "IDENTITY_UNPROVEN"
    STATE_UNKNOWN = "STATE_UNKNOWN"
    ALREADY_DISCONNECTED = "ALREADY_DISCONNECTED"


class OpenRuling(Value):
    """A verdict, and for PACED the instant (boot clock) when its turn comes."""

    verdict: OpenVerdict
    not_before_ms: int | None = None


OpenGuard = Callable[[Task, Image, Now], bool]
OpenWireGuard = Callable[[Meter, Reading, Image], bool]


def may_open(task: Task, image: Image, now: Now) -> OpenRuling:
    """Whether what an order asks of one switch may be begun now, but for the wire."""
    for verdict, stands_against in guards_of(task.move):
        if stands_against(task, image, now):
            return OpenRuling(verdict=verdict)
    turn_ms = _turn_ms(image, now)
    if turn_ms > now.mono_ms:
        return OpenRuling(verdict=OpenVerdict.PACED, not_before_ms=turn_ms)
    return OpenRuling(verdict=OpenVerdict.PERMIT)


def may_write_open(meter: Meter, reading: Reading, image: Image, now: Now) -> OpenVerdict:
    """Whether the one write may go out, with what was just read on the bus.

    Every guard is asked again first: a payment that came while the command waited stops it here.
    """
    task = image.kept.tasks.get(meter.serial)
    if task is None or image.roster.get(meter.serial) != meter:
        return OpenVerdict.NOT_ON_ROSTER
    for verdict, stands_against in guards_of(task.move):
        if stands_against(task, image, now):
            return verdict
    for verdict, speaks_against in OPEN_WIRE_GUARDS:
        if speaks_against(meter, reading, image):
            return verdict
    return OpenVerdict.PERMIT


def room_in_the_hour(image: Image, now: Now) -> int:
    """How many openings and releases the bulk ceiling still allows; those that wait count."""
    waiting = sum(task.number is None for task in image.kept.tasks.values())
    return image.disconnection.hour_max - _moved_in_the_hour(image, now, None) - waiting


def guards_of(move: Move) -> tuple[tuple[OpenVerdict, OpenGuard], ...]:
    """The guards that stand against a move, in their order."""
    return RELEASE_GUARDS if move is Move.RELEASE else OPEN_GUARDS


def _canceled(task: Task, _: Image, __: Now) -> bool:
    """A later order has called it off."""
    return task.cancelled


def _not_on_roster(task: Task, image: Image, _: Now) -> bool:
    """The signed site document does not know this meter as this account's."""
    meter = image.roster.get(task.meter)
    return meter is None or meter.account != task.account


def _second_key_missing(task: Task, _: Image, __: Now) -> bool:
    """Fewer than two distinct order keys have signed it."""
    return task.signers < DANGEROUS_KEYS


def _life_too_long(task: Task, _: Image, __: Now) -> bool:
    """More than 15 minutes lie between its issue and its expiry."""
    return task.exp - task.iat > LIFE_MAX_MS


def _expired(task: Task, _: Image, now: Now) -> bool:
    """It is certainly past its expiry, or was accepted longer ago than it lives."""
    accepted = task.accepted
    lived = accepted.boot != now.boot or now.mono_ms - accepted.mono_ms > task.exp - task.iat
    return lived or expired(task.exp, now)


def _not_yet_valid(task: Task, _: Image, now: Now) -> bool:
    """It is certainly before its issue."""
    return not_yet_valid(task.iat, now)


def _clock_unknown(task: Task, _: Image, now: Now) -> bool:
    """No trusted time, and it does not echo what this gateway said in the last 15 minutes."""
    return clock_unknown(task.boot, now)


def _memory_lost(_: Task, image: Image, __: Now) -> bool:
    """Newer documents than those in force were here, or nothing is known of what was."""
    return image.memory is not Memory.WHOLE


def _journal_degraded(_: Task, image: Image, __: Now) -> bool:
    """The disk takes nothing: what is done now would be forgotten by a power cut."""
    return image.degraded is not None


def _list_stale(task: Task, image: Image, now: Now) -> bool:
    """The allow-list is past its `stale_after`, or there is none: who has paid is not known."""
    # What acts against a consumer asks how late it may be, not how late it certainly is.
    latest_ms = now.wall_low_ms if now.wall_high_ms is None else now.wall_high_ms
    return image.stale(max(latest_ms, task.iat))


def _newer_paid(task: Task, image: Image, _: Now) -> bool:
    """A word as new as it or newer says PAID."""
    word = image.word(task.account)
    return word is not None and word.standing is Standing.PAID and word.n >= task.n


def _not_forced(task: Task, image: Image, _: Now) -> bool:
    """No command of ours forces this meter."""
    return task.meter not in image.kept.forced


def _not_reached(task: Task, image: Image, now: Now) -> bool:
    """The meter was not read in the last 15 minutes."""
    reading = image.seen.get(task.meter)
    if reading is None or reading.state is SupplyState.UNKNOWN:
        return True
    return now.mono_ms - reading.mono_ms > REACHED_WITHIN_MS


def _head_end_silent(_: Task, image: Image, now: Now) -> bool:
    """No sign of life from the head end in the last 5 minutes."""
    at_ms = image.head_end_silent_at_ms()
    return at_ms is None or now.mono_ms > at_ms


def _close_unproven(task: Task, image: Image, _: Now) -> bool:
    """Nothing proves that it can be closed again: its type, its identity, or its last close."""
    meter = image.roster[task.meter]
    ability = image.ability(meter.profile)
    if ability is None or not ability.switches:
        return True
    if not ability.proves_serial and meter.second_proof is None:
        return True
    setback = image.kept.setbacks.get(meter.serial)
    return setback is not None and setback.sent


def _open_unproven(task: Task, image: Image, _: Now) -> bool:
    """How its type is opened is not known well enough to write."""
    ability = image.ability(image.roster[task.meter].profile)
    return ability is None or not ability.opens


def _release_unproven(task: Task, image: Image, _: Now) -> bool:
    """How its type is released is not known well enough to write."""
    ability = image.ability(image.roster[task.meter].profile)
    return ability is None or not ability.releases


def _protected_time(task: Task, image: Image, now: Now) -> bool:
    """Local time may lie in a protected window or on a protected day of the site document."""
    terms = image.disconnection
    if now.wall_high_ms is not None:
        return _touches(terms, now.wall_low_ms, now.wall_high_ms)
    # Without a trusted clock the order's own life is all that is known: the whole of it counts.
    return _touches(terms, task.iat, task.exp)


def _protected_account(task: Task, image: Image, _: Now) -> bool:
    """The site document protects it: life support, hospital, water works."""
    return image.roster[task.meter].protected


def _bulk_ceiling(task: Task, image: Image, now: Now) -> bool:
    """As many as the site document allows were opened within the last hour."""
    return _moved_in_the_hour(image, now, task.number) >= image.disconnection.hour_max


def _reads_open(_: Meter, reading: Reading, __: Image) -> bool:
    """The switch reads open."""
    return reading.state is SupplyState.DISCONNECTED


def _moved_in_the_hour(image: Image, now: Now, but: int | None) -> int:
    # One that has not ended may still be written: it counts as of now.
    return sum(
        mark.number != but and (not mark.ended or at_least_ms(mark.at, now) < HOUR_MS)
        for mark in image.kept.moved
    )


def _turn_ms(image: Image, now: Now) -> int:
    if not image.kept.moved:
        return 0
    last = image.kept.moved[-1]
    last_ms = now.mono_ms - (at_least_ms(last.at, now) if last.ended else 0)
    return last_ms + image.disconnection.gap_ms


def _touches(terms: Disconnection, from_ms: int, until_ms: int) -> bool:
    """Whether any minute between two instants is protected."""
    if until_ms - from_ms > DAY_MS:
        return True
    at_ms = from_ms
    while True:
        local = local_time(at_ms, terms.utc_offset_min)
        if local.day in terms.protected_days:
            return True
        if any(_within(window, local) for window in terms.protected):
            return True
        if at_ms >= until_ms:
            return False
        at_ms = min(at_ms + MINUTE_MS, until_ms)


def _within(window: Window, local: LocalTime) -> bool:
    if local.weekday not in window.weekdays:
        return False
    return window.start_minute <= local.minute < window.end_minute


_OF_EVERY_ORDER: tuple[tuple[OpenVerdict, OpenGuard], ...] = (
    (OpenVerdict.CANCELED, _canceled),
    (OpenVerdict.NOT_ON_ROSTER, _not_on_roster),
    (OpenVerdict.SECOND_KEY_MISSING, _second_key_missing),
    (OpenVerdict.LIFE_TOO_LONG, _life_too_long),
    (OpenVerdict.EXPIRED, _expired),
    (OpenVerdict.NOT_YET_VALID, _not_yet_valid),
    (OpenVerdict.CLOCK_UNKNOWN, _clock_unknown),
    (OpenVerdict.MEMORY_LOST, _memory_lost),
    (OpenVerdict.JOURNAL_DEGRADED, _journal_degraded),
    (OpenVerdict.LIST_STALE, _list_stale),
)
_OF_THE_METER: tuple[tuple[OpenVerdict, OpenGuard], ...] = (
    (OpenVerdict.NOT_REACHED, _not_reached),
    (OpenVerdict.HEAD_END_SILENT, _head_end_silent),
    (OpenVerdict.CLOSE_UNPROVEN, _close_unproven),
)
_PROTECTION: tuple[tuple[OpenVerdict, OpenGuard], ...] = (
    (OpenVerdict.PROTECTED_TIME, _protected_time),
    (OpenVerdict.PROTECTED_ACCOUNT, _protected_account),
    (OpenVerdict.BULK_CEILING, _bulk_ceiling),
)
OPEN_GUARDS: tuple[tuple[OpenVerdict, OpenGuard], ...] = (
    *_OF_EVERY_ORDER,
    (OpenVerdict.NEWER_PAID, _newer_paid),
    *_OF_THE_METER,
    (OpenVerdict.OPEN_UNPROVEN, _open_unproven),
    *_PROTECTION,
)
"""The guards of a disconnection in their order; PACED follows them, then PERMIT."""
RELEASE_GUARDS: tuple[tuple[OpenVerdict, OpenGuard], ...] = (
    *_OF_EVERY_ORDER,
    (OpenVerdict.NOT_FORCED, _not_forced),
    *_OF_THE_METER,
    (OpenVerdict.RELEASE_UNPROVEN, _release_unproven),
    *_PROTECTION,
)
"""The guards of a release: the meter may open when it is left to its own logic."""
OPEN_WIRE_GUARDS: tuple[tuple[OpenVerdict, OpenWireGuard], ...] = (
    (OpenVerdict.WRONG_METER, wrong_meter),
    (OpenVerdict.IDENTITY_UNPROVEN, identity_unproven),
    (OpenVerdict.STATE_UNKNOWN, state_unreadable),
    (OpenVerdict.ALREADY_DISCONNECTED, _reads_open),
)
"""What is asked with fresh readings. A meter that is open is not released: its own logic might
close it, and nobody has said that it may."""
