"""Orders: whom a disconnection names, and an order signed as a gateway takes it.

Owns the columns of the table of accounts to be cut, and the checks before signing. Must never sign
what a gateway would refuse in itself, nor date a cut by its own clock: the ledger says as of when
an account has not paid, and a payment after that stands.
"""

from pathlib import Path

import msgspec

from gateway.core.documents import place_and_mend
from gateway.core.orders import (
    TARGETS_MAX,
    CutEntry,
    Order,
    order_from,
    plain_order,
)
from gateway.core.signature import DocumentType
from gateway.core.soundness import Unsound
from gateway.utility.files import Mistake, mistake_in
from gateway.utility.sign import SigningKey, payload_of, sign_together
from gateway.utility.soundness import check_in_itself, check_signers
from gateway.utility.table import Row, read_table
from gateway.utility.when import parse_time, show_time

NEEDED = ("account", "meter")
OPTIONAL = ("n",)
PLACE = "the order"
MENDS = {
    "LIFE_TOO_LONG": "give a shorter --life",
    "EXPIRED_WHEN_ISSUED": "give a longer --life",
    "SECOND_KEY_MISSING": "name another order key with a second --key",
    "NAMED_TWICE": "name it once",
    "N_AFTER_ISSUE": "give the ledger time as of which the account has not paid",
}


def cuts_from_table(path: Path, n_ms: int | None, issued_at_ms: int) -> tuple[CutEntry, ...]:
    """The accounts of a table that are to be cut; `n_ms` where a line has no ledger time.

    Raises `Mistake` with line and column.
    """
    rows = read_table(path, NEEDED, OPTIONAL)
    if not rows:
        raise Mistake(path, "no account in it", "give a table with at least one line")
    if len(rows) > TARGETS_MAX:
        wrong = f"{len(rows)} accounts; one order takes {TARGETS_MAX}"
        raise Mistake(f"{path}: line {rows[TARGETS_MAX].line}", wrong, "make a second order")
    for column in NEEDED:
        _check_distinct(rows, column)
    return tuple(_cut(row, n_ms, issued_at_ms) for row in rows)


def checked_order(draft: Order) -> Order:
    """The order, if a gateway could take it whatever it knows. Raises `Mistake`."""
    plain = {name: value for name, value in plain_order(draft).items() if value is not None}
    try:
        order = order_from(plain)
        check_in_itself(order)
    except msgspec.ValidationError as error:
        raise mistake_in(PLACE, place_and_mend(error), "correct the option") from error
    except Unsound as unsound:
        raise _refused(unsound) from unsound
    return order


def sign_order(order: Order, keys: tuple[SigningKey, ...]) -> bytes:
    """The order as it travels, signed by these distinct keys. Raises `Mistake`."""
    try:
        check_signers(order, len(keys))
    except Unsound as unsound:
        raise _refused(unsound) from unsound
    return sign_together(keys, DocumentType.ORDER, payload_of(order))


def _cut(row: Row, n_ms: int | None, issued_at_ms: int) -> CutEntry:
    if "n" in row.cells:
        try:
            n_ms = parse_time(row.cells["n"])
        except ValueError as error:
            raise row.mistake("n", str(error), "it is a ledger time") from error
    if n_ms is None:
        raise row.mistake("n", "no ledger time", "fill the column n, or give --n for all")
    if n_ms > issued_at_ms:
        raise row.mistake("n", *_yet_to_come(n_ms))
    return row.as_value({**row.cells, "n": n_ms}, CutEntry)


def _yet_to_come(n_ms: int) -> tuple[str, str]:
    return (
        f"{show_time(n_ms)} is yet to come, and no payment before it would count",
        "give the ledger time as of which the account has not paid",
    )


def _check_distinct(rows: list[Row], column: str) -> None:
    lines: dict[str, int] = {}
    for row in rows:
        name = row.cells[column]
        if name in lines:
            wrong = f"NAMED_TWICE: {name} stands in line {lines[name]} too"
            raise row.mistake(column, wrong, "leave one out")
        lines[name] = row.line


def _refused(unsound: Unsound) -> Mistake:
    wrong, _, mend = unsound.detail.partition("; ")
    return Mistake(
        PLACE, f"{unsound.name}: {wrong}", MENDS.get(unsound.name) or mend or "correct it"
    )
