"""Soundness: whether a document is for this station and makes sense in itself.

Owns the checks that need only the document and the station, each refusal with its place and the
mend. Must never compare with what is already in force (`admission` and `ordering` do).
"""

from typing import assert_never

from gateway.core.calendar import is_day
from gateway.core.documents import AllowList, FieldDocument, Receipt, Site, Time
from gateway.core.model import GatewayId, Meter, Station
from gateway.core.orders import Config, Disconnect, ForgetMeter, Order, Read, ReleaseForce
from gateway.core.people import BADGE_LIFE_MAX_MS, Badge, weak
from gateway.core.settings import flaws_of
from gateway.core.terms import CheckMeter, Disconnection, Window

WEAK = "argon2id under 19 MiB is tried out too fast; make it anew with more memory"


class Unsound(Exception):  # noqa: N818 - a judgement of a document, not an error of ours
    """A signed document that contradicts itself or the station. `name` is the refusal's word."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name
        self.detail = detail


def check(document: FieldDocument, station: Station) -> None:
    """Whether a document is for this station and sound in itself. Raises `Unsound`."""
    match document:
        case Site():
            check_site(document, station)
        case AllowList():
            check_list(document, station)
        case Receipt():
            check_receipt(document, station)
        case Order():
            check_order(document, station)
        case Time():
            pass  # it is for whoever gave the nonce
        case _:
            assert_never(document)


def check_site(site: Site, station: Station) -> None:
    """Whether a site document can be in force on this station. Raises `Unsound`."""
    _check_audience(site.gateway, station.gateway)
    claims = _Claims()
    for at, meter in enumerate(site.meters):
        where = f"meters[{at}]"
        claims.account(meter.account, where)
        claims.serial(meter.serial, where)
        _check_equipment(meter, where, station)
        claims.address(meter.bus, meter.unit, None, where)
        if meter.switch_unit is not None:
            claims.address(meter.bus, meter.switch_unit, meter.switch_channel, where)
    _check_transformers(site, station, claims)
    _check_boards_apart(site, claims)
    _check_windows(site.disconnection)
    _check_technicians(site)
    _check_permissions(site)


def check_list(allow_list: AllowList, station: Station) -> None:
    """Whether a list is for this station and sound in itself. Raises `Unsound`."""
    _check_audience(allow_list.gateway, station.gateway)
    entries, as_of = allow_list.accounts, allow_list.as_of
    once = len({entry.account for entry in entries}) == len(entries)
    if once and all(entry.n <= as_of for entry in entries):
        return  # seen at one glance: it may be long
    first = {entry.account: at for at, entry in reversed([*enumerate(entries)])}
    flawed = (at for at, one in enumerate(entries) if first[one.account] < at or one.n > as_of)
    at = next(flawed)
    if first[entries[at].account] < at:
        raise Unsound("DUPLICATE_ACCOUNT", f"accounts[{at}]: {entries[at].account} stands twice")
    raise Unsound("ENTRY_AFTER_AS_OF", f"accounts[{at}]: n {entries[at].n} is after as_of")


def check_receipt(receipt: Receipt, station: Station) -> None:
    """Whether a receipt may be handed in at this station. Raises `Unsound`."""
    if receipt.gateway is not None:
        _check_audience(receipt.gateway, station.gateway)


def check_order(order: Order, station: Station) -> None:
    """Whether an order is for this station and sound in itself. Raises `Unsound`."""
    _check_audience(order.gateway, station.gateway)
    if order.exp <= order.iat:
        raise Unsound("EXPIRED_WHEN_ISSUED", f"exp {order.exp} is not after iat {order.iat}")
    match order.act:
        case Disconnect():
            for at, entry in enumerate(order.act.accounts):
                if entry.n > order.iat:
                    raise Unsound(
                        "N_AFTER_ISSUE",
                        f"args.accounts[{at}].n: {entry.n} is after iat {order.iat}; a ledger "
                        "time that is yet to come would stand against payments",
                    )
            _check_once("accounts", "account", [entry.account for entry in order.act.accounts])
            _check_once("accounts", "meter", [entry.meter for entry in order.act.accounts])
        case ReleaseForce() | Read() | ForgetMeter():
            _check_once("meters", "", list(order.act.meters))
        case Config():
            for flaw in flaws_of(order.act.change, reset=order.act.reset):
                raise Unsound("BAD_SETTING", flaw)
        case _:
            pass


def check_badge(badge: Badge) -> None:
    """Whether a badge is sound in itself. Raises `Unsound`."""
    if badge.exp <= badge.iat:
        raise Unsound("EXPIRED_WHEN_ISSUED", f"exp {badge.exp} is not after iat {badge.iat}")
    if badge.exp - badge.iat > BADGE_LIFE_MAX_MS:
        raise Unsound("LIFE_TOO_LONG", "exp: more than 7 days after iat; sign one for less")
    if weak(badge.code):
        raise Unsound("WEAK_VERIFIER", f"code: {WEAK}")


def _check_technicians(site: Site) -> None:
    named: set[str] = set()
    for at, technician in enumerate(site.technicians):
        where = f"technicians[{at}]"
        if technician.id in named:
            raise Unsound("DUPLICATE_TECHNICIAN", f"{where}: {technician.id} stands twice")
        named.add(technician.id)
        if weak(technician.pin):
            raise Unsound("WEAK_VERIFIER", f"{where}.pin: {WEAK}")


def _check_once(place: str, member: str, names: list[str]) -> None:
    for at, name in enumerate(names):
        if name in names[:at]:
            where = f"args.{place}[{at}].{member}".removesuffix(".")
            raise Unsound("NAMED_TWICE", f"{where}: {name} stands twice; name it once")


def _check_audience(named: str, ours: GatewayId) -> None:
    if named != ours:
        raise Unsound("WRONG_AUDIENCE", f"it is for gateway {named}, this is {ours}")


def _check_equipment(meter: Meter, where: str, station: Station) -> None:
    _check_bus_and_profile(meter, where, station)
    ability = station.profiles[meter.profile]
    has_switch_unit = meter.switch_unit is not None and meter.switch_channel is not None
    if ability.needs_switch_unit and not has_switch_unit:
        raise Unsound(
            "SWITCH_ADDRESS_MISSING",
            f"{where}: profile {meter.profile} needs switch_unit and switch_channel",
        )
    if not ability.needs_switch_unit and (meter.switch_unit, meter.switch_channel) != (None, None):
        raise Unsound(
            "SWITCH_ADDRESS_UNUSED",
            f"{where}: profile {meter.profile} takes no switch_unit or switch_channel",
        )
    channel, channels = meter.switch_channel, ability.channels
    if channel is not None and channels is not None and channel >= channels:
        raise Unsound(
            "NO_SUCH_CHANNEL",
            f"{where}.switch_channel: {channel}, but the board of profile {meter.profile} has 0 to "
            f"{channels - 1}",
        )


def _check_bus_and_profile(device: Meter | CheckMeter, where: str, station: Station) -> None:
    if device.bus not in station.buses:
        raise Unsound(
            "UNKNOWN_BUS",
            f"{where}.bus: {device.bus} is not configured here ({', '.join(station.buses)})",
        )
    if device.profile not in station.profiles:
        raise Unsound(
            "UNKNOWN_PROFILE",
            f"{where}.profile: {device.profile} is not installed here "
            f"({', '.join(sorted(station.profiles))})",
        )


def _check_transformers(site: Site, station: Station, claims: "_Claims") -> None:
    named: dict[str, int] = {}
    on_roster = {meter.dt for meter in site.meters}
    for at, transformer in enumerate(site.transformers):
        where = f"transformers[{at}]"
        if transformer.id in named:
            raise Unsound(
                "DUPLICATE_DT",
                f"{where}: {transformer.id} is also transformers[{named[transformer.id]}]",
            )
        named[transformer.id] = at
        if transformer.id not in on_roster:
            raise Unsound(
                "UNUSED_DT",
                f"{where}: no meter of the roster is on {transformer.id}; leave it out, or correct "
                "the meters' dt",
            )
        if transformer.check_meter is not None:
            _check_check_meter(transformer.check_meter, f"{where}.check_meter", station, claims)
    for at, meter in enumerate(site.meters if named else ()):
        if meter.dt not in named:
            raise Unsound(
                "UNKNOWN_DT",
                f"meters[{at}].dt: {meter.dt} is not among the transformers; name it there, or "
                "correct it",
            )


def _check_check_meter(
    check_meter: CheckMeter, where: str, station: Station, claims: "_Claims"
) -> None:
    claims.serial(check_meter.serial, where)
    _check_bus_and_profile(check_meter, where, station)
    if station.profiles[check_meter.profile].needs_switch_unit:
        raise Unsound(
            "SWITCH_ADDRESS_MISSING",
            f"{where}: profile {check_meter.profile} needs a relay board; name one that measures "
            "alone",
        )
    claims.address(check_meter.bus, check_meter.unit, None, where)


def _check_boards_apart(site: Site, claims: "_Claims") -> None:
    for at, meter in enumerate(site.meters):
        if meter.switch_unit is None:
            continue
        other = claims.at_address(meter.bus, meter.switch_unit)
        if other is not None:
            raise Unsound(
                "DUPLICATE_ADDRESS",
                f"meters[{at}].switch_unit: unit {meter.switch_unit} of bus {meter.bus} "
                f"is the meter of {other}",
            )


def _check_windows(disconnection: Disconnection) -> None:
    windows = disconnection.protected
    for at, window in enumerate(windows):
        where = f"disconnection.protected[{at}]"
        if window.start_minute >= window.end_minute:
            raise Unsound(
                "EMPTY_WINDOW",
                f"{where}: {window.start} to {window.end} is no time; a night is two windows, to "
                "24:00 and from 00:00",
            )
        if len(set(window.weekdays)) != len(window.weekdays):
            raise Unsound("OVERLAPPING_WINDOWS", f"{where}.weekdays: a day stands twice")
        for other_at, other in enumerate(windows[:at]):
            if _overlap(window, other):
                raise Unsound(
                    "OVERLAPPING_WINDOWS",
                    f"{where}: {window.start} to {window.end} overlaps "
                    f"disconnection.protected[{other_at}]; make one window of both",
                )
    _check_days(disconnection.protected_days)


def _check_days(days: tuple[str, ...]) -> None:
    for at, day in enumerate(days):
        where = f"disconnection.protected_days[{at}]"
        if not is_day(day):
            raise Unsound("NO_SUCH_DAY", f"{where}: there is no {day}; correct it")
        if day in days[:at]:
            raise Unsound("DUPLICATE_DAY", f"{where}: {day} stands twice; leave one out")


def _overlap(one: Window, other: Window) -> bool:
    if not set(one.weekdays) & set(other.weekdays):
        return False
    return one.start_minute < other.end_minute and other.start_minute < one.end_minute


def _check_permissions(site: Site) -> None:
    on_roster = {meter.profile for meter in site.meters}
    for at, name in enumerate(site.unproven_profiles):
        where = f"unproven_profiles[{at}]"
        if name not in on_roster:
            raise Unsound(
                "UNUSED_PROFILE",
                f"{where}: no meter of the roster is a {name}; leave it out, or correct it",
            )
        if name in site.unproven_profiles[:at]:
            raise Unsound("DUPLICATE_PROFILE", f"{where}: {name} stands twice; leave one out")


class _Claims:
    """Who has claimed an account, a serial number or an address so far, by its place."""

    def __init__(self) -> None:
        self._accounts: dict[str, str] = {}
        self._serials: dict[str, str] = {}
        self._addresses: dict[tuple[str, int, int | None], str] = {}

    def account(self, account: str, where: str) -> None:
        """An account has one meter."""
        if account in self._accounts:
            other = self._accounts[account]
            raise Unsound("DUPLICATE_ACCOUNT", f"{where}: account {account} is also {other}")
        self._accounts[account] = where

    def serial(self, serial: str, where: str) -> None:
        """A meter belongs to one account, or to a transformer."""
        if serial in self._serials:
            other = self._serials[serial]
            raise Unsound(
                "DUPLICATE_METER",
                f"{where}: meter {serial} is also {other}; a meter belongs to one account",
            )
        self._serials[serial] = where

    def address(self, bus: str, unit: int, channel: int | None, where: str) -> None:
        """One answers at an address."""
        address = (bus, unit, channel)
        if address in self._addresses:
            place = f"unit {unit}" if channel is None else f"unit {unit} channel {channel}"
            raise Unsound(
                "DUPLICATE_ADDRESS",
                f"{where}: {place} of bus {bus} is also {self._addresses[address]}",
            )
        self._addresses[address] = where

    def at_address(self, bus: str, unit: int) -> str | None:
        """Who answers at a whole unit."""
        return self._addresses.get((bus, unit, None))
