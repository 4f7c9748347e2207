"""Mistakes in profiles: each is named with its place and its mend, and all of them at once."""

from pathlib import Path

import pytest

from gateway.bus.profile import ProfileError, load_profile, load_profiles, mistakes_in
from tests.rooms.bus.profiles_written import WHOLE, WITH_ALL, load

MISTAKES = [
    ("timeout_ms = 100", "timeout_ms = 1", "timing.timeout_ms", "Correct the value"),
    ("timeout_ms = 100", "", "timing", "timeout_ms is missing. Add it"),
    ("timeout_ms = 100", "timeout_ms = 100\nretries = 3", "timing", "retries is not a setting"),
    ("opened = 0", "opened = 4", "state.opened", "outside the mask"),
    ("opened = 0", "opened = 1", "state", "Give each its own"),
    ("function = 3\naddress = 9", "function = 6\naddress = 9", "state.function", "1, 2, 3, 4"),
    ("function = 3\naddress = 9", "function = 2\naddress = 9", "state.mask", "Leave it out"),
    (
        "function = 3\naddress = 9",
        "function = 7\naddress = 9",
        "state.function",
        "Give one of 1, 2, 3, 4",
    ),
    ("address = 9", "address = 8", "state.independent", "Write false"),
    ("count = 2", "count = 3", "identity.count", "Write 2"),
    ("address = 8, values = [1]", "address = 105, values = [1]", "close.writes[0].address", "cali"),
    (
        "address = 8, values = [1]",
        "address = 8, values = [1, 2]",
        "close.writes[0].values",
        "one",
    ),
    ("function = 6, ", "function = 3, ", "close.writes[0].function", "Write 5, 6 or 16"),
    (
        "function = 6, address = 8, values = [1]",
        "function = 5, address = 8, values = [0x5500]",
        "close.writes[0].values",
        "never a toggle",
    ),
    (
        "function = 6, address = 8, values = [1]",
        "function = 16, address = 0xFFFF, values = [1, 1]",
        "close.writes[0].address",
        "past the last address",
    ),
    ("last = 110", "last = 99", "forbidden[0].last", "in order"),
    ('title = "A meter"', "title = ", "line 2, column 9", "Correct the TOML there"),
    ('title = "A meter"', 'extends = "acrel"', "extends", "Name one of accuenergy-ev300"),
    ('title = "A meter"', 'extends = "mine"', "extends", "Name one of"),
]


MISTAKES += [
    (f"values = [{value}]", wrong, f"{block}.{place}", mend)
    for block, value in (("open", 2), ("release", 3), ("cancel", 4))
    for wrong, place, mend in (
        ("values = [1]", "writes", "the same as those of close. Mend either"),
        ("values = [1, 2]", "writes[0].values", "Give one value"),
        ("values = [0x10000]", "writes[0].values[0]", "Correct the value"),
        (f"values = [{value}], toggle = true", "writes[0]", "toggle is not a setting"),
    )
]
MISTAKES += [
    ("address = 8, values = [2]", "address = 105, values = [2]", "open.writes[0].address", "cali"),
    ("address = 8, values = [3]", "address = 9, values = [3]", "state.independent", "Write false"),
    ("address = 8, values = [4]", "address = 9, values = [4]", "state.independent", "Write false"),
    (
        "function = 6, address = 8, values = [2]",
        "function = 5, address = 8, values = [0x5500]",
        "open.writes[0].values",
        "never a toggle",
    ),
    ("values = [3]", "values = [2]", "release.writes", "the same as those of open. Mend either"),
    ("[cancel]\n", "[cancel]\nsettle_ms = 1\n", "cancel", "settle_ms is not a setting"),
    ("prepay = 0x10", "prepay = 0x01", "cause.prepay", "outside the mask"),
    ("prepay = 0x10", "prepay = 0x20", "cause", "Give each its own"),
    ("prepay = 0x10", "theft = 0x10", "cause", "theft is not a setting"),
    ("function = 3\naddress = 20", "function = 2\naddress = 20", "cause.mask", "Leave it out"),
    ("function = 3\naddress = 20", "function = 6\naddress = 20", "cause.function", "1, 2, 3, 4"),
    (
        "prepay = 0x10\ntechnician = 0x20\ntrip = 0x30\npower_up = 0x40\n",
        "",
        "cause",
        "Give a value to prepay, technician, trip or power_up",
    ),
]
MISTAKES += [
    ("baud = 9600", "baud = 9601", "serial.baud", "Give one of 1200, 2400"),
    ("baud = 9600", 'baud = "9600"', "serial.baud", "expected a whole number, got text"),
    ('format = "8E1"', 'format = "7E1"', "serial.format", "Give one of 8N1, 8N2, 8E1, 8O1"),
    ('baud = 9600\nformat = "8E1"\n', "", "serial", "Give baud or format, or leave it out"),
    ('side = "supply"', "", "voltage", "side is missing. Add it"),
    ('side = "supply"', 'side = "both"', "voltage.side", "Give one of supply, load"),
    ("address = 30", "address = -1", "voltage.address", "expected a whole number >= 0"),
    ("address = 40", "address = 0xFFFD", "energy.address", "it runs past the last address"),
    ("address = 40", "adress = 40", "energy", "adress is not a setting"),
    ('type = "s64"', 'type = "u48"', "energy.type", "Give one of u16, s16, u32, s32, u64, s64"),
    ('counts = "total"', "", "energy", "counts is missing. Add it"),
    ('counts = "total"', 'counts = "export"', "energy.counts", "Give one of import, total"),
    ('counts = "total"', 'counts = "total"\nscale = 0', "energy.scale", "expected a number"),
    ('title = "A meter"', "title = 5", "title", "expected text, got a whole number"),
    ('title = "A meter"', "", "top level", "title is missing"),
    ("count = 2", "count = 17", "identity.count", "Correct the value"),
    ("address = 0\ncount", "address = 0xFFFF\ncount", "identity.address", "past the last address"),
    ("independent = true", 'independent = "yes"', "state.independent", "expected true or false"),
    ("[[forbidden]]", "[forbidden]", "forbidden", "Write [[forbidden]], once for each"),
    (
        "writes = [{ function = 6, address = 8, values = [1] }]",
        "writes = []",
        "close.writes",
        ">= 1",
    ),
    (
        'title = "A meter"',
        'title = "A meter"\naddress_base = 2',
        "address_base",
        "Give one of 0, 1",
    ),
    (
        'title = "A meter"',
        'title = "A meter"\naddress_base = 1',
        "identity.address",
        "Mend the address, or address_base",
    ),
    (
        'evidence = "manual"',
        'evidence = "hearsay"',
        "identity.evidence",
        "Give one of hardware, interop, manual, single-source",
    ),
]


@pytest.mark.parametrize(("right", "wrong", "place", "mend"), MISTAKES)
def test_a_mistake_is_named_with_its_place_and_its_mend(
    tmp_path: Path, right: str, wrong: str, place: str, mend: str
) -> None:
    assert right in WITH_ALL
    with pytest.raises(ProfileError) as caught:
        load(tmp_path, WITH_ALL.replace(right, wrong, 1))
    line = str(caught.value)
    assert line.startswith(f"{tmp_path / 'mine.toml'}: {place}: ")
    assert mend in line
    assert "\n" not in line


def test_profiles_that_extend_each_other_are_named(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text('extends = "two"\n')
    (tmp_path / "two.toml").write_text('extends = "one"\n')
    with pytest.raises(ProfileError, match="it extends itself"):
        load_profiles(tmp_path)


def test_files_that_cannot_be_profiles_are_named(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="there is none"):
        load_profiles(tmp_path / "nowhere")
    (tmp_path / "binary.toml").write_bytes(b"\xff")
    with pytest.raises(ProfileError, match=r"byte 0: not UTF-8\. Save the file as UTF-8"):
        load_profiles(tmp_path)
    (tmp_path / "binary.toml").rename(tmp_path / "My Meter.toml")
    with pytest.raises(ProfileError, match="cannot be a profile's name"):
        load_profiles(tmp_path)


def test_all_mistakes_of_a_file_are_named_at_once(tmp_path: Path) -> None:
    text = WITH_ALL
    for right, wrong in (
        ('title = "A meter"\n', ""),
        ("timeout_ms = 100", "timeout_ms = 1\nretries = 3"),
        ("opened = 0", "opened = 4"),
        ("values = [1]", "values = [1, 2]"),
        ("values = [2]", 'values = ["off"]'),
        ("last = 110", "last = 99"),
        ("baud = 9600", "baud = 9601"),
        ('counts = "total"', ""),
    ):
        assert right in text
        text = text.replace(right, wrong, 1)
    (tmp_path / "mine.toml").write_text(f"{text}[modem]\n", encoding="utf-8")
    assert [(one.place, one.problem) for one in mistakes_in(tmp_path / "mine.toml")] == [
        ("top level", "modem is not a setting"),
        ("top level", "title is missing"),
        ("timing", "retries is not a setting"),
        ("timing.timeout_ms", "expected a whole number >= 20"),
        ("serial.baud", "9601 is not possible"),
        ("state.opened", "0x0004 has bits outside the mask"),
        ("energy", "counts is missing"),
        ("close.writes[0].values", "function 6 writes one"),
        ("open.writes[0].values[0]", "expected a whole number, got text"),
        ("forbidden[0].last", "it is before first"),
    ]


def test_what_blocks_say_against_each_other_is_all_named(tmp_path: Path) -> None:
    text = WITH_ALL.replace("address = 8, values", "address = 9, values").replace(
        "first = 100", "first = 5"
    )
    (tmp_path / "mine.toml").write_text(text.replace("values = [3]", "values = [2]"))
    found = [(one.place, one.problem) for one in mistakes_in(tmp_path / "mine.toml")]
    assert found == [
        *(
            (f"{name}.writes[0].address", "0x0005 to 0x006e is forbidden: calibration")
            for name in ("close", "open", "release", "cancel")
        ),
        ("state.independent", "the state is read where close, open, release, cancel is written"),
        ("release.writes", "the same as those of open"),
    ]


def test_a_file_without_mistakes_has_none_and_loads(tmp_path: Path) -> None:
    written = load(tmp_path, WITH_ALL)
    assert mistakes_in(tmp_path / "mine.toml") == ()
    assert load_profile(tmp_path / "mine.toml") == written


def test_a_file_is_checked_as_it_lies_beside_others_sound_or_not(tmp_path: Path) -> None:
    (tmp_path / "ours.toml").write_text(WHOLE)
    (tmp_path / "broken.toml").write_text("title = ")
    child = tmp_path / "child.toml"
    child.write_text('extends = "ours"\ntitle = "A child"\n')
    assert mistakes_in(child) == ()
    assert load_profile(child).close == load_profile(tmp_path / "ours.toml").close
    child.write_text('extends = "broken"\n')
    (mistake,) = mistakes_in(child)
    assert (mistake.path, mistake.mend) == (tmp_path / "broken.toml", "Correct the TOML there")


def test_a_child_counts_addresses_as_its_parent_does(tmp_path: Path) -> None:
    child = tmp_path / "child.toml"
    child.write_text('extends = "schneider-iem3000"\naddress_base = 1\n')
    assert mistakes_in(child) == ()
    child.write_text('extends = "schneider-iem3000"\naddress_base = 0\n')
    (mistake,) = mistakes_in(child)
    assert (mistake.place, mistake.problem) == (
        "address_base",
        "the addresses of schneider-iem3000 count from 1",
    )


@pytest.mark.parametrize("name", ["meter.txt", "Meter.toml", "a" * 49 + ".toml"])
def test_a_file_that_would_not_be_found_by_its_name_is_told_so(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(WHOLE)
    (mistake,) = mistakes_in(tmp_path / name)
    assert mistake.place == "the file's name"
    assert "small letters, digits and hyphens" in mistake.mend
