"""Site documents from a roster table.

Owns the columns of the roster. Must never make a site that a gateway would refuse, as far as that
is known here: which buses and meter types are installed there is not.
"""

from pathlib import Path

import msgspec

from gateway.core.documents import Site, Unsound
from gateway.core.model import Limits, Meter, Pacing
from gateway.utility.files import Mistake
from gateway.utility.soundness import check_in_itself
from gateway.utility.table import Row, place_of, read_table

NEEDED = ("account", "serial", "profile", "bus", "unit", "dt")
OPTIONAL = ("phase", "switch_unit", "switch_channel", "second_proof")
NUMBERS = ("unit", "switch_unit", "switch_channel")


def site_from_roster(
    path: Path,
    *,
    gateway: str,
    feeder: str,
    seq: int,
    pacing: Pacing,
    limits: Limits,
    helpdesk_phone: str,
) -> Site:
    """The site document of a roster table. Raises `Mistake` with line and column."""
    rows = read_table(path, NEEDED, OPTIONAL)
    if not rows:
        raise Mistake(path, "no meter in it", "give a roster with at least one line")
    draft = Site(
        gateway=gateway,
        seq=seq,
        feeder=feeder,
        meters=tuple(_meter(row) for row in rows),
        pacing=pacing,
        limits=limits,
        helpdesk_phone=helpdesk_phone,
    )
    try:
        site = msgspec.convert(msgspec.to_builtins(draft), Site)
        check_in_itself(site)
    except msgspec.ValidationError as error:
        raise Mistake("the site document", str(error), "correct the option") from error
    except Unsound as unsound:
        raise place_of(rows, path, unsound) from unsound
    return site


def _meter(row: Row) -> Meter:
    values: dict[str, object] = {
        name: row.number(name) if name in NUMBERS else cell for name, cell in row.cells.items()
    }
    if (row.cells.get("switch_unit") is None) != (row.cells.get("switch_channel") is None):
        raise row.mistake(
            "switch_unit", "switch_unit and switch_channel belong together", "give both or none"
        )
    return row.as_value(values, Meter)
