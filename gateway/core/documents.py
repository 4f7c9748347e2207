"""Typed documents: what a verified payload says.

Owns the schemas of site, list and receipt (those of orders stand in `orders`), and the one function
that turns a verified payload into a value. Must never take bytes that `signature.verify` has not
passed, nor say whether a document makes sense (`soundness`) or is news (`admission`).
"""

import re
from typing import Annotated, Any, TypeVar, assert_never

import msgspec

from gateway.core.model import (
    AccountText,
    Count,
    IdText,
    Meter,
    ProfileName,
    SerialText,
    TimeMs,
    Value,
)
from gateway.core.orders import Order, order_from
from gateway.core.people import Badge, Technician
from gateway.core.signature import DocumentType, Flaw, Rejected, Verified, strict_json
from gateway.core.terms import Disconnection, Grace, Limits, Pacing, Transformer
from gateway.core.trust import Root

T = TypeVar("T")
NonceText = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
METERS_MAX = 2_000
ENTRIES_MAX = 50_000
TECHNICIANS_MAX = 200
SLICE_ENTRIES = 2_000


class Site(Value):
    """`fg-site+jws`: the roster of this gateway and the terms under which it acts."""

    gateway: IdText
    seq: Count
    feeder: IdText
    meters: Annotated[tuple[Meter, ...], msgspec.Meta(max_length=METERS_MAX)]
    transformers: Annotated[tuple[Transformer, ...], msgspec.Meta(max_length=METERS_MAX)] = ()
    """Where any is named, all are: a DT that is not named here is a slip of the pen."""
    unproven_profiles: Annotated[tuple[ProfileName, ...], msgspec.Meta(max_length=64)] = ()
    """Meter types that may be switched although how is known from a single source only."""
    pacing: Pacing = Pacing()
    limits: Limits = Limits()
    disconnection: Disconnection = Disconnection()
    grace: Grace | None = None
    """None: no supply without proof of payment, however long the head end is silent."""
    helpdesk_phone: Annotated[str, msgspec.Meta(max_length=32)] = ""
    technicians: Annotated[tuple[Technician, ...], msgspec.Meta(max_length=TECHNICIANS_MAX)] = ()


class Time(Value):
    """`fg-time+jws`: what time it was when somebody had read the gateway's nonce."""

    nonce: NonceText
    now: TimeMs


class Checkpoint(Value):
    """`fg-record+jws`: the gateway's own word for its journal up to a record.

    `chain` is the hash of record `number`, 64 hexadecimal digits; `wall_ms` what its calendar
    claimed, `trusted` whether a trusted source stood behind that.
    """

    gateway: IdText
    number: Count
    chain: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    wall_ms: TimeMs
    trusted: bool


class ListEntry(Value):
    """One paid account. `cut`: the utility knows that it was cut for arrears."""

    account: AccountText
    meter: SerialText
    n: TimeMs
    cut: bool = False


class AllowList(Value):
    """`fg-list+jws`: the full list of paid accounts of this gateway as of a ledger time.

    `nonce` echoes one that a status of the gateway has given: it was made after that, so nothing
    newer can have come before.
    """

    gateway: IdText
    seq: Count
    as_of: TimeMs
    stale_after: TimeMs
    accounts: Annotated[tuple[ListEntry, ...], msgspec.Meta(max_length=ENTRIES_MAX)]
    nonce: NonceText | None = None


class Receipt(Value):
    """`fg-receipt+jws`: one account has paid. `exp` limits its first acceptance only."""

    account: AccountText
    meter: SerialText
    n: TimeMs
    paid_at: TimeMs
    exp: TimeMs
    gateway: IdText | None = None
    ref: Annotated[str, msgspec.Meta(max_length=64)] | None = None


FieldDocument = Site | AllowList | Receipt | Order | Time
"""What the gateway's door takes, but for the root, which `rotation` reads."""
Document = Root | FieldDocument


def decode(verified: Verified) -> FieldDocument:
    """The typed document of a verified payload. Raises `Rejected` (MALFORMED_PAYLOAD)."""
    plain = strict_json(verified.payload)
    try:
        match verified.type:
            case DocumentType.SITE:
                return msgspec.convert(plain, Site)
            case DocumentType.LIST:
                return _allow_list(plain)
            case DocumentType.RECEIPT:
                return msgspec.convert(plain, Receipt)
            case DocumentType.ORDER:
                return order_from(plain)
            case DocumentType.TIME:
                return msgspec.convert(plain, Time)
            case DocumentType.ROOT | DocumentType.BADGE | DocumentType.RECORD:
                raise Rejected(Flaw.WRONG_TYPE, f"{verified.type} is not taken here")
            case _:
                assert_never(verified.type)
    except msgspec.ValidationError as error:
        raise Rejected(Flaw.MALFORMED_PAYLOAD, place_and_mend(error)) from error


def decode_badge(verified: Verified) -> Badge:
    """The badge of a verified payload, for the page alone. Raises `Rejected`."""
    return _as(verified, DocumentType.BADGE, Badge)


def decode_checkpoint(verified: Verified) -> Checkpoint:
    """The checkpoint of a verified payload, for the head end. Raises `Rejected`."""
    return _as(verified, DocumentType.RECORD, Checkpoint)


def place_and_mend(error: msgspec.ValidationError) -> str:
    """A schema's complaint as `meters[3].account: what is wrong; what to write instead`."""
    # msgspec says: "Expected `str` matching regex '...' - at `$.meters[3].account`".
    message, _, where = str(error).partition(" - at ")
    place = where.strip("`").removeprefix("$").removeprefix(".")
    said = _SAID.get(_pattern_in(message), message.replace("`", ""))
    if found := re.fullmatch(r"Object missing required field `(\w+)`", message):
        said = f"{found[1]} is missing; add it"
    elif found := re.fullmatch(r"Object contains unknown field `(\w+)`", message):
        said = f"{found[1]} is not a member; leave it out"
    return f"{place}: {said}" if place else said


def _allow_list(plain: Any) -> AllowList:
    # In slices: converted whole, 30,000 entries hold the interpreter for tens of milliseconds.
    accounts = plain.get("accounts") if isinstance(plain, dict) else None
    if not isinstance(accounts, list) or len(accounts) > ENTRIES_MAX:
        return msgspec.convert(plain, AllowList)  # which says what is wrong, and where
    shell = msgspec.convert({**plain, "accounts": []}, AllowList)
    entries: list[ListEntry] = []
    try:
        for at in range(0, len(accounts), SLICE_ENTRIES):
            entries += msgspec.convert(accounts[at : at + SLICE_ENTRIES], list[ListEntry])
    except msgspec.ValidationError:
        return msgspec.convert(plain, AllowList)
    return msgspec.structs.replace(shell, accounts=tuple(entries))


def _as(verified: Verified, kind: DocumentType, schema: type[T]) -> T:
    if verified.type is not kind:
        raise Rejected(Flaw.WRONG_TYPE, f"{verified.type} is not taken here")
    try:
        return msgspec.convert(strict_json(verified.payload), schema)
    except msgspec.ValidationError as error:
        raise Rejected(Flaw.MALFORMED_PAYLOAD, place_and_mend(error)) from error


def _pattern_in(message: str) -> str:
    found = re.search(r"matching regex '(.*)'", message)
    return "" if found is None else found[1].replace("\\\\", "\\")


_SAID = {
    r"^[0-9A-Za-z/_.-]{1,32}\Z": "not an account; write 1 to 32 of letters, digits, / _ . -",
    r"^[0-9A-Za-z-]{1,32}\Z": "not a serial number; write 1 to 32 of letters, digits, -",
    r"^[A-Za-z0-9-]{1,32}\Z": "not an id; write 1 to 32 of letters, digits, -",
    r"^[a-z0-9-]{1,48}\Z": "not a profile's name; write 1 to 48 of small letters, digits, -",
    r"^L(1|2|3|123)\Z": "not a phase; write L1, L2, L3 or L123",
    r"^([01][0-9]|2[0-3]):[0-5][0-9]\Z": "not a time of day; write 00:00 to 23:59",
    r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)\Z": "not a time of day; write 00:01 to 24:00",
    r"^[0-9a-f]{64}\Z": "not a SHA-256; write 64 of 0-9, a-f",
    r"^20[0-9]{2}-[0-9]{2}-[0-9]{2}\Z": "not a day; write it as 2027-01-26",
}
"""What the patterns of `model` and `terms` ask for, in words."""
