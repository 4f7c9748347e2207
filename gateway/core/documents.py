"""Typed documents: what a verified payload says, and whether it makes sense in itself.

Owns the schemas of site, list and receipt, and the checks that need only the document and the
station it is for. Must never take bytes that `signature.verify` has not passed, nor compare with
what is already in force (`admission` does).
"""

from typing import Annotated, assert_never

import msgspec

from gateway.core.model import (
    AccountText,
    Count,
    GatewayId,
    IdText,
    Limits,
    Meter,
    Pacing,
    SerialText,
    Station,
    TimeMs,
    Value,
)
from gateway.core.signature import DocumentType, Flaw, Rejected, Verified, strict_json

METERS_MAX = 2_000
ENTRIES_MAX = 50_000


class Site(Value):
    """`fg-site+jws`: the roster of this gateway and the limits under which it acts."""

    gateway: IdText
    seq: Count
    feeder: IdText
    meters: Annotated[tuple[Meter, ...], msgspec.Meta(max_length=METERS_MAX)]
    pacing: Pacing = Pacing()
    limits: Limits = Limits()
    helpdesk_phone: Annotated[str, msgspec.Meta(max_length=32)] = ""


class ListEntry(Value):
    """One paid account. `cut`: the utility knows that it was cut for arrears."""

    account: AccountText
    meter: SerialText
    n: TimeMs
    cut: bool = False


class AllowList(Value):
    """`fg-list+jws`: the full list of paid accounts of this gateway as of a ledger time."""

    gateway: IdText
    seq: Count
    as_of: TimeMs
    stale_after: TimeMs
    accounts: Annotated[tuple[ListEntry, ...], msgspec.Meta(max_length=ENTRIES_MAX)]


class Receipt(Value):
    """`fg-receipt+jws`: one account has paid. `exp` limits its first acceptance only."""

    account: AccountText
    meter: SerialText
    n: TimeMs
    paid_at: TimeMs
    exp: TimeMs
    gateway: IdText | None = None
    ref: Annotated[str, msgspec.Meta(max_length=64)] | None = None


Document = Site | AllowList | Receipt


class Unsound(Exception):  # noqa: N818 - a judgement of a document, not an error of ours
    """A signed document that contradicts itself or the station. `name` is the refusal's word."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name
        self.detail = detail


def decode(verified: Verified) -> Document:
    """The typed document of a verified payload. Raises `Rejected` (MALFORMED_PAYLOAD)."""
    plain = strict_json(verified.payload)
    try:
        match verified.type:
            case DocumentType.SITE:
                return msgspec.convert(plain, Site)
            case DocumentType.LIST:
                return msgspec.convert(plain, AllowList)
            case DocumentType.RECEIPT:
                return msgspec.convert(plain, Receipt)
            case DocumentType.ROOT:
                raise Rejected(Flaw.WRONG_TYPE, "a root comes with the installation")
            case _:
                assert_never(verified.type)
    except msgspec.ValidationError as error:
        raise Rejected(Flaw.MALFORMED_PAYLOAD, str(error)) from error


def check(document: Document, station: Station) -> None:
    """Whether a document is for this station and sound in itself. Raises `Unsound`."""
    match document:
        case Site():
            check_site(document, station)
        case AllowList():
            check_list(document, station)
        case Receipt():
            check_receipt(document, station)
        case _:
            assert_never(document)


def check_site(site: Site, station: Station) -> None:
    """Whether a site document can be in force on this station. Raises `Unsound`."""
    _check_audience(site.gateway, station.gateway)
    accounts: dict[str, int] = {}
    serials: dict[str, int] = {}
    addresses: dict[tuple[str, int, int | None], int] = {}
    metering: dict[tuple[str, int], int] = {}
    for at, meter in enumerate(site.meters):
        where = f"meters[{at}]"
        if meter.account in accounts:
            raise Unsound(
                "DUPLICATE_ACCOUNT",
                f"{where}: account {meter.account} is also meters[{accounts[meter.account]}]",
            )
        if meter.serial in serials:
            raise Unsound(
                "DUPLICATE_METER",
                f"{where}: meter {meter.serial} is also meters[{serials[meter.serial]}]",
            )
        accounts[meter.account] = serials[meter.serial] = at
        _check_equipment(meter, where, station)
        unit = (meter.bus, meter.unit)
        _claim_address((*unit, None), addresses, at)
        metering[unit] = at
        if meter.switch_unit is not None:
            _claim_address((meter.bus, meter.switch_unit, meter.switch_channel), addresses, at)
    _check_boards_apart(site, metering)


def check_list(allow_list: AllowList, station: Station) -> None:
    """Whether a list is for this station and sound in itself. Raises `Unsound`."""
    _check_audience(allow_list.gateway, station.gateway)
    seen: set[str] = set()
    for at, entry in enumerate(allow_list.accounts):
        if entry.account in seen:
            raise Unsound("DUPLICATE_ACCOUNT", f"accounts[{at}]: {entry.account} stands twice")
        if entry.n > allow_list.as_of:
            raise Unsound("ENTRY_AFTER_AS_OF", f"accounts[{at}]: n {entry.n} is after as_of")
        seen.add(entry.account)


def check_receipt(receipt: Receipt, station: Station) -> None:
    """Whether a receipt may be handed in at this station. Raises `Unsound`."""
    if receipt.gateway is not None:
        _check_audience(receipt.gateway, station.gateway)


def _check_audience(named: str, ours: GatewayId) -> None:
    if named != ours:
        raise Unsound("WRONG_AUDIENCE", f"it is for gateway {named}, this is {ours}")


def _check_equipment(meter: Meter, where: str, station: Station) -> None:
    if meter.bus not in station.buses:
        raise Unsound(
            "UNKNOWN_BUS",
            f"{where}.bus: {meter.bus} is not configured here ({', '.join(station.buses)})",
        )
    ability = station.profiles.get(meter.profile)
    if ability is None:
        raise Unsound(
            "UNKNOWN_PROFILE",
            f"{where}.profile: {meter.profile} is not installed here "
            f"({', '.join(sorted(station.profiles))})",
        )
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


def _claim_address(
    address: tuple[str, int, int | None], taken: dict[tuple[str, int, int | None], int], at: int
) -> None:
    if address in taken:
        bus, unit, channel = address
        place = f"unit {unit}" if channel is None else f"unit {unit} channel {channel}"
        raise Unsound(
            "DUPLICATE_ADDRESS",
            f"meters[{at}]: {place} of bus {bus} is also meters[{taken[address]}]",
        )
    taken[address] = at


def _check_boards_apart(site: Site, metering: dict[tuple[str, int], int]) -> None:
    for at, meter in enumerate(site.meters):
        if meter.switch_unit is None:
            continue
        other = metering.get((meter.bus, meter.switch_unit))
        if other is not None:
            raise Unsound(
                "DUPLICATE_ADDRESS",
                f"meters[{at}].switch_unit: unit {meter.switch_unit} of bus {meter.bus} "
                f"is the meter of meters[{other}]",
            )
