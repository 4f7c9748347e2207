"""The terms of a site: what the file says is in force, and every slip of the pen is named."""

from pathlib import Path

import pytest

from gateway.core.documents import Site, decode
from gateway.core.signature import FIELD_DOCUMENTS, verify
from gateway.core.terms import (
    CheckMeter,
    Disconnection,
    Grace,
    Limits,
    Pacing,
    Transformer,
    Window,
)
from tests.rooms.utility.desk import ROSTER, Desk

TERMS = """helpdesk_phone = "1912"

[pacing]
first_alone_ms = 10000
dt_minute_max = 6

[limits]
promise_ms = 1800000

[disconnection]
hour_max = 5
protected_days = ["2027-01-26"]

[[disconnection.protected]]
weekdays = [1, 2, 3, 4, 5]
start = "00:00"
end = "10:00"

[[disconnection.protected]]
weekdays = [6, 7]
start = "00:00"
end = "24:00"

[grace]
after_h = 24
cut_within_days = 7
daily_max = 10
hours = 48

[[transformers]]
id = "DT-1"
feeder = "F12"
check_meter = {serial = "DT1-CHECK", profile = "sdm120", bus = "bus1", unit = 90}
"""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path).equip()
    (made / "terms.toml").write_text(TERMS)
    return made


def signed(desk: Desk, **options: object) -> Site:
    desk.run(*desk.site(**options))
    site = decode(verify((desk / "out").read_bytes(), FIELD_DOCUMENTS, desk.root()))
    assert isinstance(site, Site)
    return site


def refused(desk: Desk) -> str:
    """What is said of the terms after the file's name; nothing is written."""
    said = desk.refuses(*desk.site(terms=desk / "terms.toml"))
    assert not (desk / "out").exists()
    assert said.startswith(f"{desk / 'terms.toml'}: ")
    return said.removeprefix(f"{desk / 'terms.toml'}: ")


def test_what_the_file_says_is_in_the_document(desk: Desk) -> None:
    site = signed(desk, terms=desk / "terms.toml")
    assert site.helpdesk_phone == "1912"
    assert site.pacing == Pacing(first_alone_ms=10_000, dt_minute_max=6)
    assert site.limits == Limits(promise_ms=1_800_000)
    assert site.disconnection == Disconnection(
        hour_max=5,
        protected_days=("2027-01-26",),
        protected=(
            Window(weekdays=(1, 2, 3, 4, 5), start="00:00", end="10:00"),
            Window(weekdays=(6, 7), start="00:00", end="24:00"),
        ),
    )
    assert site.grace == Grace(after_h=24, cut_within_days=7, daily_max=10, hours=48)
    check_meter = CheckMeter(serial="DT1-CHECK", profile="sdm120", bus="bus1", unit=90)
    assert site.transformers == (Transformer(id="DT-1", feeder="F12", check_meter=check_meter),)


def test_a_type_that_is_not_proven_may_be_permitted(desk: Desk) -> None:
    permission = 'unproven_profiles = ["prepaid"]\n'
    (desk / "terms.toml").write_text(permission + (desk / "terms.toml").read_text())
    assert signed(desk, terms=desk / "terms.toml").unproven_profiles == ("prepaid",)


def test_a_permission_for_a_type_that_nobody_has_is_a_mistake(desk: Desk) -> None:
    permission = 'unproven_profiles = ["another"]\n'
    (desk / "terms.toml").write_text(permission + (desk / "terms.toml").read_text())
    said = refused(desk)
    assert said.startswith(
        "unproven_profiles[0]: UNUSED_PROFILE: no meter of the roster is a another"
    )


def test_without_a_file_the_careful_defaults_are(desk: Desk) -> None:
    site = signed(desk)
    assert (site.pacing, site.limits, site.disconnection) == (Pacing(), Limits(), Disconnection())
    assert (site.grace, site.transformers, site.helpdesk_phone) == (None, (), "")


@pytest.mark.parametrize(
    ("cell", "protected"), [("yes", True), ("1", True), ("no", False), ("0", False), ("", False)]
)
def test_the_roster_says_whom_nobody_cuts(desk: Desk, cell: str, protected: bool) -> None:
    lines = ROSTER.splitlines()
    table = "\n".join([f"{lines[0]},protected", f"{lines[1]},{cell}", f"{lines[2]},no", ""])
    (desk / "roster.csv").write_text(table)
    assert [meter.protected for meter in signed(desk).meters] == [protected, False]


def test_a_protection_that_is_neither_yes_nor_no_is_refused(desk: Desk) -> None:
    lines = ROSTER.splitlines()
    table = "\n".join([f"{lines[0]},protected", f"{lines[1]},", f"{lines[2]},hospital", ""])
    (desk / "roster.csv").write_text(table)
    said = desk.refuses(*desk.site())
    assert "roster.csv: line 3, column protected: 'hospital' is neither yes nor no; give" in said


SLIPS = [
    (
        "a ceiling of zero",
        ("max = 6", "max = 0"),
        "pacing.dt_minute_max: expected a whole number >=",
    ),
    (
        "a fraction",
        ("max = 6", "max = 6.5"),
        "pacing.dt_minute_max: expected a whole number, got a",
    ),
    (
        "a number as text",
        ("max = 6", 'max = "6"'),
        "pacing.dt_minute_max: expected a whole number,",
    ),
    ("a hasty name", ("dt_minute_max", "dt_max"), "pacing.dt_max: there is no such member; leave"),
    ("a hasty table", ("[limits]", "[limit]"), "limit: there is no such member; leave it out, or"),
    (
        "a hasty name in a window",
        ('end = "10:00"', 'end = "10:00"\nday = 1'),
        "disconnection.protected[0].day: there is no such member",
    ),
    (
        "a hasty name in a check meter",
        ("unit = 90}", "unit = 90, dt = 1}"),
        "transformers[0].check_meter.dt: there is no such member",
    ),
    ("a member missing", ("daily_max = 10\n", ""), "grace: daily_max is missing; add it"),
    ("a single table", ("[[transformers]]", "[transformers]"), "transformers: expected a list"),
    (
        "a time of day that is none",
        ('"10:00"', '"25:00"'),
        "disconnection.protected[0].end: not a time of day; write 00:01 to 24:00",
    ),
    (
        "a day that is none",
        ("2027-01-26", "2027-02-30"),
        "disconnection.protected_days[0]: NO_SUCH_DAY: there is no 2027-02-30; correct it",
    ),
    (
        "windows that overlap",
        ("[6, 7]", "[5, 6, 7]"),
        "disconnection.protected[1]: OVERLAPPING_WINDOWS: 00:00 to 24:00 overlaps",
    ),
    (
        "a window over midnight",
        ('start = "00:00"\nend = "10:00"', 'start = "17:00"\nend = "09:00"'),
        "disconnection.protected[0]: EMPTY_WINDOW: 17:00 to 09:00 is no time; a night is two",
    ),
    (
        "a DT that no meter is on",
        ('id = "DT-1"', 'id = "DT-1"\n[[transformers]]\nid = "DT-9"'),
        "transformers[1]: UNUSED_DT: no meter of the roster is on DT-9; leave it out, or correct",
    ),
    (
        "a check meter that a home has too",
        ("DT1-CHECK", "23014477"),
        "transformers[0].check_meter: DUPLICATE_METER: meter 23014477 is also line 2 of",
    ),
    (
        "a check meter at a home's address",
        ("unit = 90", "unit = 12"),
        "transformers[0].check_meter: DUPLICATE_ADDRESS: unit 12 of bus bus1 is also line 3 of",
    ),
    (
        "a check meter of a type that switches",
        ("sdm120", "board"),
        "transformers[0].check_meter: SWITCH_ADDRESS_MISSING",
    ),
    ("no TOML", ("[grace]", "[grace"), "not TOML (Expected ']' at the end of a table declaration"),
    (
        "one name twice",
        ("hour_max = 5", "hour_max = 5\nhour_max = 6"),
        "not TOML (Cannot overwrite",
    ),
]


@pytest.mark.parametrize(("said", "slip", "says"), SLIPS, ids=[row[0] for row in SLIPS])
def test_a_slip_of_the_pen_is_named(
    desk: Desk, said: str, slip: tuple[str, str], says: str
) -> None:
    assert slip[0] in TERMS
    (desk / "terms.toml").write_text(TERMS.replace(*slip, 1))
    line = refused(desk)
    assert line.startswith(says)
    assert "; " in line  # the mend follows


def test_the_line_of_broken_toml_is_told(desk: Desk) -> None:
    (desk / "terms.toml").write_text('[pacing]\ngap_ms = "\n')
    assert "at line 2, column 11" in refused(desk)


def test_terms_that_are_not_utf8_are_refused(desk: Desk) -> None:
    (desk / "terms.toml").write_bytes(TERMS.encode("utf-16"))
    assert refused(desk) == "not UTF-8 at byte 0; save it as UTF-8"


def test_a_dt_that_the_terms_do_not_name_is_refused_in_the_roster(desk: Desk) -> None:
    (desk / "roster.csv").write_text(ROSTER.replace("12,DT-1", "12,DT-l"))
    said = desk.refuses(*desk.site(terms=desk / "terms.toml"))
    assert said == (
        f"{desk / 'roster.csv'}: line 3, column dt: UNKNOWN_DT: DT-l is not among the "
        "transformers; name it there, or correct it"
    )
    assert not (desk / "out").exists()


def test_a_file_that_is_not_there_is_named(desk: Desk) -> None:
    said = desk.refuses(*desk.site(terms=desk / "no.toml"))
    assert said.startswith(f"{desk / 'no.toml'}: cannot read it (No such file or directory)")
