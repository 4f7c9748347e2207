"""Allow-lists from a table of paid accounts.

Owns the columns of that table. Must never make a list that a gateway would refuse, nor an empty one
by accident: whoever is not on the list loses the authority to be reconnected.
"""

from pathlib import Path

import msgspec

from gateway.core.documents import AllowList, ListEntry, place_and_mend
from gateway.core.soundness import Unsound
from gateway.utility.files import Mistake, mistake_in
from gateway.utility.soundness import check_in_itself
from gateway.utility.table import Row, place_of, read_table
from gateway.utility.when import parse_time

NEEDED = ("account", "meter", "n")
OPTIONAL = ("cut",)
COLUMNS = {"DUPLICATE_ACCOUNT": "account", "ENTRY_AFTER_AS_OF": "n"}
"""What a refusal is about."""


def list_from_table(
    path: Path,
    *,
    gateway: str,
    seq: int,
    as_of_ms: int,
    stale_after_ms: int,
    may_be_empty: bool,
    nonce: str | None = None,
) -> AllowList:
    """The allow-list of a table of paid accounts. Raises `Mistake` with line and column."""
    rows = read_table(path, NEEDED, OPTIONAL)
    if not rows and not may_be_empty:
        raise Mistake(path, "no account in it", "export it again, or say --empty if that is meant")
    if stale_after_ms <= as_of_ms:
        raise Mistake("the list", "it would be stale at once", "give a later --stale-after")
    draft = AllowList(
        gateway=gateway,
        seq=seq,
        as_of=as_of_ms,
        stale_after=stale_after_ms,
        accounts=tuple(_entry(row) for row in rows),
        nonce=nonce,
    )
    try:
        allow_list = msgspec.convert(msgspec.to_builtins(draft), AllowList)
        check_in_itself(allow_list)
    except msgspec.ValidationError as error:
        raise mistake_in("the list", place_and_mend(error), "correct it") from error
    except Unsound as unsound:
        raise place_of(rows, path, unsound, COLUMNS) from unsound
    return allow_list


def _entry(row: Row) -> ListEntry:
    values: dict[str, object] = {name: row.cells[name] for name in ("account", "meter")}
    try:
        values["n"] = parse_time(row.cells["n"])
    except ValueError as error:
        raise row.mistake("n", str(error), "it is the ledger time of the payment") from error
    values["cut"] = row.yes_no("cut")
    return row.as_value(values, ListEntry)
