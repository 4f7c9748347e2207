"""Site documents from a roster table and a file of terms.

Owns the columns of the roster. Must never make a site that a gateway would refuse, as far as that
is known here: which buses and meter types are installed there is not.
"""

from pathlib import Path

import msgspec

from gateway.core.documents import Site, place_and_mend
from gateway.core.model import Meter
from gateway.core.soundness import Unsound
from gateway.utility.files import Mistake, mistake_in
from gateway.utility.soundness import check_in_itself
from gateway.utility.table import Row, place_of, read_table
from gateway.utility.terms import Terms, read_terms

NEEDED = ("account", "serial", "profile", "bus", "unit", "dt")
OPTIONAL = ("phase", "switch_unit", "switch_channel", "second_proof", "protected")
NUMBERS = ("unit", "switch_unit", "switch_channel")
COLUMNS = {
    "DUPLICATE_ACCOUNT": "account",
    "DUPLICATE_METER": "serial",
    "SWITCH_ADDRESS_MISSING": "switch_unit",
    "SWITCH_ADDRESS_UNUSED": "switch_unit",
}
"""What a refusal is about, where it does not say so itself."""


def site_from_roster(
    path: Path, *, gateway: str, feeder: str, seq: int, terms_path: Path | None
) -> Site:
    """The site document of a roster table and its terms; without a file the defaults.

    Raises `Mistake` with line and column of the table, or the member of the terms.
    """
    terms = Terms() if terms_path is None else read_terms(terms_path)
    rows = read_table(path, NEEDED, OPTIONAL)
    if not rows:
        raise Mistake(path, "no meter in it", "give a roster with at least one line")
    draft = Site(
        gateway=gateway,
        seq=seq,
        feeder=feeder,
        meters=tuple(_meter(row) for row in rows),
        transformers=terms.transformers,
        pacing=terms.pacing,
        limits=terms.limits,
        disconnection=terms.disconnection,
        grace=terms.grace,
        unproven_profiles=terms.unproven_profiles,
        helpdesk_phone=terms.helpdesk_phone,
        technicians=terms.technicians,
    )
    try:
        site = msgspec.convert(msgspec.to_builtins(draft), Site)
        check_in_itself(site)
    except msgspec.ValidationError as error:
        raise mistake_in("the site document", place_and_mend(error), "correct it") from error
    except Unsound as unsound:
        raise place_of(rows, path, unsound, COLUMNS, terms_path) from unsound
    return site


def _meter(row: Row) -> Meter:
    values: dict[str, object] = {
        name: row.number(name) if name in NUMBERS else cell for name, cell in row.cells.items()
    }
    values["protected"] = row.yes_no("protected")
    if (row.cells.get("switch_unit") is None) != (row.cells.get("switch_channel") is None):
        raise row.mistake(
            "switch_unit", "switch_unit and switch_channel belong together", "give both or none"
        )
    return row.as_value(values, Meter)
