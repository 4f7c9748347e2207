"""`profile list`, `profile check` and `profile show`: their words and their exit status."""

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.__main__ import program
from gateway.bus.profile import load_profiles
from tests.rooms.bus.profiles_written import WHOLE, WITH_ALL

SEEDED = {
    'title = "A meter"': ("title = 7", "title: expected text, got a whole number"),
    "timeout_ms = 100": ("timeout_ms = 9000", "timing.timeout_ms: expected a whole number <= 5000"),
    "turnaround_max_ms = 100": ("turnaround = 1", "timing: turnaround is not a setting"),
    "baud = 9600": ("baud = 300", "serial.baud: 300 is not possible"),
    'format = "8E1"': ('format = "8S1"', "serial.format: 8S1 is not possible"),
    'coding = "u32"': ('coding = "hex"', "identity.coding: hex is not possible"),
    "count = 2": ("count = 0", "identity.count: expected a whole number >= 1"),
    "independent = true": ("independent = 1", "state.independent: expected true or false"),
    "opened = 0": ("opened = 8", "state.opened: 0x0008 has bits outside the mask"),
    'side = "supply"': ("", "voltage: side is missing"),
    'type = "s64"': ('type = "s48"', "energy.type: s48 is not possible"),
    "values = [1]": ("values = [0x10000]", "close.writes[0].values[0]: expected a whole number"),
    "values = [2]": ("values = [2, 2]", "open.writes[0].values: function 6 writes one"),
    "prepay = 0x10": ("prepay = 0x20", "cause: two of "),
    "last = 110": ("last = 10", "forbidden[0].last: it is before first"),
}


def said(*arguments: object, status: int) -> list[str]:
    """The lines of a command, which must end with this exit status and by no exception."""
    result: Result = CliRunner().invoke(program, ["profile", *map(str, arguments)])
    assert isinstance(result.exception, SystemExit | None), result.exc_info
    assert result.exit_code == status, result.output
    return result.output.splitlines()


def written(directory: Path, name: str, text: str) -> Path:
    path = directory / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def seeded(directory: Path, *rights: str) -> Path:
    text = WITH_ALL
    for right in rights:
        assert right in text
        text = text.replace(right, SEEDED[right][0], 1)
    return written(directory, "mine", text)


@pytest.mark.parametrize("right", SEEDED)
def test_each_mistake_is_said_with_its_place_and_mend(right: str, tmp_path: Path) -> None:
    file = seeded(tmp_path, right)
    said_of = SEEDED[right][1]
    assert any(
        line.startswith(f"{file}: {said_of}") and line.endswith(".")
        for line in said("check", file, status=1)
    )


def test_every_mistake_of_a_file_is_said_on_a_line_of_its_own(tmp_path: Path) -> None:
    # What a block's settings say against each other shows once each of them can be read.
    seeds = [right for right in SEEDED if right != "independent = true"]
    file = seeded(tmp_path, *seeds)
    lines = said("check", file, status=1)
    for right in seeds:
        assert [line for line in lines if line.startswith(f"{file}: {SEEDED[right][1]}")]
    missed = f"{file}: timing: turnaround_max_ms is missing. Add it."
    assert missed in lines
    assert len(lines) == len(seeds) + 1
    (told,) = json.loads("".join(said("check", file, "--json", status=1)))
    assert told["type"] is None
    assert len(told["mistakes"]) == len(lines)
    assert all(one["place"] and one["problem"] and one["mend"] for one in told["mistakes"])


def test_of_a_sound_file_it_is_said_what_the_type_can_do(tmp_path: Path) -> None:
    file = written(tmp_path, "mine", WITH_ALL)
    (line,) = said("check", file, status=0)
    assert line == (
        f"{file}: no mistakes found. A meter: close, open, release, cancel (manual); serial number "
        "(manual); measures voltage, energy (manual); shipped at 9600 8E1 (manual)"
    )


def test_of_a_sound_file_it_is_said_what_is_missing_to_switch(tmp_path: Path) -> None:
    text = 'extends = "sdm230-relay8-base1"\n'
    file = written(tmp_path, "our-board", text)
    first, second, *needs = said("check", file, status=0)
    assert "not written, a single source is not enough: close, open (single-source)" in first
    assert second == (
        f"{file}: close, open: not written, a single source is not enough. Try it on a meter, then "
        'give evidence = "hardware", and as source where; or have the site document name the type '
        "in unproven_profiles."
    )
    assert needs == [
        f"{file}: switch-channel: each roster entry needs switch_unit and switch_channel.",
        f"{file}: state.independent: only voltage behind the switch or current verifies a close.",
    ]


@pytest.mark.parametrize(
    ("text", "need"),
    [
        ('extends = "noark-ex9em"\n', "close: there is none."),
        ('extends = "acrel-ddsy1352"\n', "close, open, release: not written, state.address is"),
        ('extends = "accuenergy-ev300-contact"\n', "identity: there is no serial number to read."),
        (WHOLE[: WHOLE.index("[state]")] + WHOLE[WHOLE.index("[close]") :], "close: not written, "),
    ],
)
def test_each_thing_that_is_missing_is_named(text: str, need: str, tmp_path: Path) -> None:
    file = written(tmp_path, "ours", text)
    (_, line) = said("check", file, status=0)
    assert line.startswith(f"{file}: {need}")


def test_a_file_that_takes_the_place_of_a_bundled_one_is_told_so(tmp_path: Path) -> None:
    text = 'extends = "acrel-ddsy1352"\n[state]\naddress = 0x0165\n'
    file = written(tmp_path, "acrel-ddsy1352", text)
    first, second = said("check", file, status=0)
    assert "close, open, release (interop)" in first
    assert second == f"{file}: it takes the place of the bundled acrel-ddsy1352"


def test_one_file_with_mistakes_among_others_is_a_failure(tmp_path: Path) -> None:
    good, bad = written(tmp_path, "good", WHOLE), written(tmp_path, "bad", "title = \n")
    lines = said("check", good, bad, status=1)
    assert lines[0].startswith(f"{good}: no mistakes found")
    assert lines[-1].startswith(f"{bad}: line 1, column 9: ")


def test_all_bundled_types_are_listed_one_a_line() -> None:
    lines = said("list", status=0)
    assert [line.split()[0] for line in lines] == list(load_profiles(None))
    (line,) = [line for line in lines if line.startswith("dds238-2-zn-sr ")]
    assert line.split(None, 1)[1] == (
        "Hiking DDS238-2 ZN/SR: close, open (interop); no serial number; measures voltage, "
        "current, power, energy (interop); shipped at 9600 8N1 (manual)"
    )


def test_the_list_tells_programs_the_same_and_the_sources(tmp_path: Path) -> None:
    written(tmp_path, "our-meter", WITH_ALL)
    (answer,) = said("list", "--profiles-directory", tmp_path, "--json", status=0)
    told = {one["name"]: one for one in json.loads(answer)}
    assert told.keys() == {*load_profiles(None), "our-meter"}
    acrel = told["acrel-ddsy1352"]
    assert acrel["ability"]["switches"] is False
    assert acrel["instructions"]["close"]["lacks"] == ["STATE_ADDRESS"]
    assert all(one["source"] for one in acrel["instructions"].values())
    assert told["our-meter"]["instructions"]["close"] == {
        "evidence": "manual",
        "source": "its manual",
        "lacks": [],
    }


def test_a_directory_with_a_mistake_is_not_listed(tmp_path: Path) -> None:
    file = written(tmp_path, "mine", WHOLE.replace("opened = 0", "opened = 8"))
    (line,) = said("list", "--profiles-directory", tmp_path, status=1)
    assert line.startswith(f"Error: {file}: state.opened: ")


def test_a_type_is_shown_as_its_files_say_together() -> None:
    shown = tomllib.loads("\n".join(said("show", "sdm230-relay8-coils", status=0)))
    assert shown["state"]["function"] == 1
    assert shown["voltage"]["side"] == "load"
    assert shown["close"]["source"].startswith("Waveshare wiki")
    (answer,) = said("show", "sdm230-relay8-coils", "--json", status=0)
    assert json.loads(answer)["state"]["function"] == 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (("show", "no-such-meter"), "give one of accuenergy-ev300"),
        (("check",), "Missing argument 'FILES...'"),
        (("check", "no-such-file.toml"), "'no-such-file.toml' does not exist"),
        (("list", "--profiles-directory", "no-such-place"), "'no-such-place' does not exist"),
    ],
)
def test_wrong_use_ends_with_2(wrong: tuple[str, ...], says: str) -> None:
    assert says in said(*wrong, status=2)[-1]
