"""What is wrong with a table, an option or a place: one line that names it, and nothing written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.rooms.utility.desk import PAID, ROSTER, Desk

HEADER = ROSTER.partition("\n")[0] + "\n"
FIRST = "1,A1,prepaid,bus1,11,DT-1,L1,,,\n"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path).equip()


ROSTERS = [
    ("empty", "", "line 1: no column account"),
    ("header only", HEADER, "no meter in it"),
    ("a column missing", ROSTER.replace("bus,", "", 1), "line 1: no column bus"),
    ("a column unknown", ROSTER.replace("phase", "fase"), "line 1: unknown column 'fase'"),
    ("a column twice", ROSTER.replace("phase", "unit"), "line 1: column unit stands twice"),
    ("cut off in a line", HEADER + "1,A1,prep", "line 2, column bus: 3 cells where the header"),
    ("cut off in the last cell", ROSTER[:-4], "line 3: not CSV"),
    ("cut off after a cell", HEADER + FIRST.rstrip(), "line 2: the last line has no line end"),
    ("a cell too many", HEADER + FIRST.replace(",,,", ",,,,"), "line 2, column second_proof: 11"),
    ("a quotation mark left open", HEADER + '"1,A1\n', "line 2: not CSV"),
    ("an empty cell", HEADER + FIRST.replace("bus1", ""), "line 2, column bus: it is empty"),
    ("a word for a number", HEADER + FIRST.replace("11", "x"), "line 2, column unit: 'x' is not"),
    ("a fraction", HEADER + FIRST.replace("11", "1.5"), "line 2, column unit: '1.5' is not"),
    (
        "other digits",
        HEADER + FIRST.replace("11", "\u0967"),
        "line 2, column unit: '\u0967' is not",
    ),
    (
        "unit 248",
        HEADER + FIRST.replace("11", "248"),
        "line 2, column unit: '248': Expected int <= 247; ",
    ),
    (
        "a fourth phase",
        HEADER + FIRST.replace("L1", "L4"),
        "column phase: 'L4': not a phase; write L1, L2",
    ),
    ("a serial with a blank", HEADER + FIRST.replace("A1", "A 1"), "line 2, column serial: 'A 1'"),
    (
        "half a board",
        HEADER + FIRST.replace("L1,", "L1,100"),
        "column switch_unit: switch_unit and",
    ),
    ("one account twice", HEADER + FIRST + FIRST, "line 3, column account: DUPLICATE_ACCOUNT"),
    (
        "one meter on two accounts",
        HEADER + FIRST + FIRST.replace("1,", "2,", 1),
        "line 3, column serial: DUPLICATE_METER: meter A1 is also line 2 of roster.csv; a meter",
    ),
    (
        "an account of 33 characters",
        HEADER + FIRST.replace("1,", "1" * 33 + ",", 1),
        f"line 2, column account: '{'1' * 33}': not an account; write 1 to 32 of",
    ),
    (
        "one address twice",
        HEADER + FIRST + "\n" + FIRST.replace("1,A1", "2,A2"),
        "line 4: DUPLICATE_ADDRESS",
    ),
    (
        "one type with a board and without",
        ROSTER.replace("board", "prepaid"),
        "line 2, column switch_unit: SWITCH_ADDRESS_MISSING",
    ),
]

PAID_TABLES = [
    ("empty", "", "line 1: no column account"),
    ("header only", "account,meter,n\n", "no account in it; export it again, or say --empty"),
    ("cut off in a line", PAID[:-20], "line 3, column n: 2 cells where the header has 4"),
    ("cut off in a time", "account,meter,n\n1,A1,17900", "line 2: the last line has no line end"),
    ("seconds for a time", "account,meter,n\n1,A1,1790000000\n", "line 2, column n: '1790000000'"),
    ("a time without a zone", "account,meter,n\n1,A1,2026-11-19T14:02\n", "has no time zone"),
    ("a word for a time", "account,meter,n\n1,A1,noon\n", "column n: 'noon' is not a time"),
    (
        "a time not come",
        "account,meter,n\n1,A1,4102444800000\n",
        "line 2, column n: ENTRY_AFTER_AS_OF",
    ),
    (
        "maybe cut",
        PAID.replace("yes", "maybe"),
        "line 2, column cut: 'maybe' is neither yes nor no",
    ),
    (
        "one account twice",
        PAID + PAID.splitlines()[1] + "\n",
        "line 4, column account: DUPLICATE_ACCOUNT",
    ),
    ("an account too long", PAID.replace("100200300", "1" * 33), "line 2, column account"),
]


@pytest.mark.parametrize(("said", "table", "says"), ROSTERS, ids=[row[0] for row in ROSTERS])
def test_a_roster_is_refused(desk: Desk, said: str, table: str, says: str) -> None:
    (desk / "roster.csv").write_text(table)
    _refuses_table(desk, "roster.csv", desk.site(), says)


@pytest.mark.parametrize(("said", "table", "says"), PAID_TABLES, ids=[r[0] for r in PAID_TABLES])
def test_a_table_of_paid_accounts_is_refused(desk: Desk, said: str, table: str, says: str) -> None:
    (desk / "paid.csv").write_text(table)
    _refuses_table(desk, "paid.csv", desk.list(), says)


def _refuses_table(desk: Desk, name: str, command: tuple[object, ...], says: str) -> None:
    (desk / "out").write_bytes(b"the one before")
    line = desk.refuses(*command)
    assert line.startswith(str(desk / name))
    assert says in line
    assert "; " in line  # the mend follows
    assert (desk / "out").read_bytes() == b"the one before"
    assert not list(desk.directory.glob(".*"))


def test_a_table_that_is_not_utf8_is_refused(desk: Desk) -> None:
    (desk / "paid.csv").write_bytes(PAID.encode("utf-16"))
    assert "paid.csv: not UTF-8 at byte 0" in desk.refuses(*desk.list())


def test_tables_of_spreadsheets_are_read(desk: Desk) -> None:
    lines = ["\ufeffn,meter,account", "1790000000000 , A1,1", "", '"1790000000001","A2","2"', ""]
    (desk / "paid.csv").write_text("\r\n".join(lines), newline="")
    assert "2 accounts" in desk.run(*desk.list())


OPTIONS: list[tuple[str, Callable[[Desk], tuple[object, ...]]]] = [
    ("it would be stale at once", lambda desk: desk.list(**{"stale-after": "0h"})),
    ("the receipt: ref: Expected str of length <= 64", lambda d: d.receipt("--ref", "7" * 65)),
    ("EXPIRED: no gateway would take it", lambda d: d.receipt("--exp", "2020-01-01T00:00:00Z")),
    ("a key of role site may not sign fg-receipt+jws", lambda d: d.receipt(key="site-1")),
    ("cannot read it (No such file or directory)", lambda d: d.receipt(key="receipt-9")),
    ("cannot write it (No such file or directory)", lambda d: d.receipt("--out", d / "no/out")),
    ("cannot write it (Is a directory)", lambda d: d.receipt("--out", d / "keys")),
    ("cannot write it (No such file or directory)", lambda d: d.receipt("--svg", d / "no/out")),
]


@pytest.mark.parametrize(("says", "command"), OPTIONS, ids=[row[0] for row in OPTIONS])
def test_an_option_is_refused(
    desk: Desk, says: str, command: Callable[[Desk], tuple[object, ...]]
) -> None:
    assert says in desk.refuses(*command(desk))
    assert not (desk / "out").exists()


@pytest.mark.parametrize(
    ("says", "command"),
    [
        ("Missing option '--seq'", ("list", "--csv", "a", "--gateway", "g", "--out", "o")),
        ("Invalid value for '--seq'", ("list", "--seq", "0")),
        ("Invalid value for '--alg'", ("keys", "--dir", "d", "--alg", "RS256")),
        ("No such option '--force'", ("keys", "--dir", "d", "--force")),
    ],
)
def test_wrong_use_ends_with_2(desk: Desk, says: str, command: tuple[str, ...]) -> None:
    assert says in desk.run(*command, status=2)


@pytest.mark.parametrize(
    ("option", "text"),
    [("--n", "yesterday"), ("--exp", "30 d"), ("--paid-at", "2026-11-19"), ("--exp", "9" * 5000)],
)
def test_a_time_that_is_none_is_wrong_use(desk: Desk, option: str, text: str) -> None:
    assert f"Error: {option}: " in desk.run(*desk.receipt(option, text), status=2)


@pytest.mark.parametrize("command", ["keys", "site", "list", "receipt", "show", "verify"])
def test_help_shows_an_example(desk: Desk, command: str) -> None:
    assert f"feeder-gateway utility {command} " in desk.run(command, "--help")


def test_a_file_without_end_is_not_read(desk: Desk) -> None:
    said = desk.refuses(*desk.list(csv="/dev/zero"))
    assert "/dev/zero: more than 16777216 bytes" in said
