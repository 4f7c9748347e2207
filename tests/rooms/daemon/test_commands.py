"""The commands at the machine: their words, their exit status, and one line for each mistake."""

import json
import os
import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from gateway.__main__ import program
from gateway.bench.demo_world import GATEWAY, Papers, install, town
from gateway.host.clock import wall_ms

HOMES = town()
ASKING = (
    ("status",),
    ("log",),
    ("submit", "-"),
    ("hold", "M", "--by", "NAME", "--reason", "WHY"),
    ("isolate", "--by", "NAME", "--reason", "WHY"),
    ("record-cause", "M", "--cause", "trip", "--by", "NAME", "--reason", "WHY"),
    ("resume-dt", "DT", "--by", "NAME", "--reason", "WHY"),
)


def commands(group: click.Group, *names: str) -> Iterator[tuple[str, ...]]:
    """Every command by its names, also those that are imported late."""
    yield names
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, *names, name)
        else:
            yield (*names, name)


def said(*arguments: object, status: int, given: str = "") -> list[str]:
    """The lines of a command, which must end with this exit status and by no exception."""
    result: Result = CliRunner().invoke(program, [str(one) for one in arguments], input=given)
    assert isinstance(result.exception, SystemExit | None), result.exc_info
    assert result.exit_code == status, result.output
    return result.output.splitlines()


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    """An installation without a mistake, its port a pseudo terminal."""
    master, slave = os.openpty()
    papers = Papers(HOMES, wall_ms())
    yield install(tmp_path, papers, pty=os.ttyname(slave), broker=("localhost", 1883))
    os.close(slave)
    os.close(master)


def with_changes(config: Path, *changes: tuple[str, str]) -> None:
    """Change the file by pattern, each once."""
    text = config.read_text()
    for pattern, put in changes:
        text, count = re.subn(pattern, put, text, count=1, flags=re.MULTILINE)
        assert count == 1, pattern
    config.write_text(text)


@pytest.mark.parametrize("names", [*commands(program)], ids=" ".join)
def test_each_command_explains_itself_with_an_example(names: tuple[str, ...]) -> None:
    lines = said(*names, "--help", status=0)
    assert any(line.startswith("Example") or line == "  Example:" for line in map(str.strip, lines))
    called = " ".join(("feeder-gateway", *names))
    assert any(line.strip().startswith(called) for line in lines), f"no example of {called}"


@pytest.mark.parametrize("names", [*commands(program)], ids=" ".join)
def test_no_command_is_cut_short_in_the_list(names: tuple[str, ...]) -> None:
    told = said(*names, "--help", status=0)[1:]
    assert not [line for line in told if line.endswith("...")]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (("feed",), "No such command 'feed'"),
        (("status", "--colour"), "No such option '--colour'"),
        (("submit",), "Missing argument 'FILES...'"),
        (("submit", "no-such-file"), "'no-such-file' does not exist"),
        (("hold", "--by", "NAME", "--reason", "WHY"), "Missing argument 'METER'"),
        (("isolate", "--by", "NAME"), "Missing option '--reason'"),
        (("log", "--after", "-1"), "-1 is not in the range"),
        (("log", "--after", str(2**63)), "is not in the range"),
        (("demo", "--broker", "host:"), "give HOST:PORT"),
        (("bench", "line", "--meters", "no-such-file"), "'no-such-file' does not exist"),
        (("utility", "site", "--gateway", "a/b"), "'--gateway': 'a/b': give 1 to 32 letters"),
        (("record-cause", "M", "--cause", "order"), "'order' is not one of 'arrears', 'power-up'"),
        (("resume-dt", "--by", "NAME", "--reason", "WHY"), "Missing argument 'DT'"),
        (("utility", "site", "--seq", "0"), "'--seq': 0 is not in the range"),
        (("utility", "list", "--gateway", ""), "'--gateway': '': give 1 to 32 letters"),
        (("utility", "collect", "--utility", "#"), "'--utility': '#': give 1 to 32 letters"),
    ],
)
def test_wrong_use_ends_with_2(wrong: tuple[str, ...], says: str) -> None:
    assert says in said(*wrong, status=2)[-1]


def test_no_mistakes(config: Path) -> None:
    bus, last = said("check", "--config", config, status=0)
    assert last == f"{config}: no mistakes found"
    assert bus.startswith(f"bus A at 9600 8N1: {len(HOMES)} devices, ")
    (answer,) = said("check", "--config", config, "--json", status=0)
    told = {"bus": "A", "budget": bus, "warnings": []}
    assert json.loads(answer) == {"config": str(config), "mistakes": [], "buses": [told]}


def test_a_bus_that_does_not_suit_the_roster_is_a_warning_and_no_mistake(config: Path) -> None:
    with_changes(config, ("^baud.*", "baud = 1200"))
    budget, unlike, last = said("check", "--config", config, status=0)
    assert budget.startswith("bus A at 1200 8N1: ")
    assert unlike.startswith("warning: bus A: Hiking DDS238-2 ZN/SR is shipped at 9600 8N1 ")
    assert last == f"{config}: no mistakes found"
    (answer,) = said("check", "--config", config, "--json", status=0)
    (told,) = json.loads(answer)["buses"]
    assert told["warnings"] == [unlike.removeprefix("warning: ")]


SHAPES: dict[str, tuple[tuple[str, str], list[str]]] = {
    "broken TOML": (
        ("^utility.*", "utility ="),
        ["Invalid value (at line 2, column 10). Correct the TOML there."],
    ),
    "a misspelt setting": (
        ("^gateway", "gatway"),
        [
            "gatway is not a setting. Remove it, or correct its name.",
            "gateway is missing. Add it.",
        ],
    ),
    "a misspelt setting of the broker": (
        (r"^port = (\d)", r"prot = \1"),
        ["broker: prot is not a setting. Remove it, or correct its name."],
    ),
    "no port": (('^port = ".*', ""), ["bus[0]: port is missing. Add it."]),
    "a speed that no line has": (
        ("^baud.*", "baud = 9601"),
        ["bus[0].baud: 9601 is not possible. Give one of 1200, 2400, 4800, 9600, 19200, 38400, "],
    ),
    "text for a number": (
        ("^baud.*", 'baud = "9600"'),
        ["bus[0].baud: expected a whole number, got text. Correct the value."],
    ),
    "a number for a path": (
        ("^trust_root.*", "trust_root = 5"),
        ["trust_root: expected a path. Correct the value."],
    ),
    "a path that is none": (
        ("^documents.*", 'documents = ["site.jws", ""]'),
        ["documents[1]: expected a path. Correct the value."],
    ),
    "a path for a list": (
        ("^documents.*", 'documents = "site.jws"'),
        ["documents: expected a list, got text. Correct the value."],
    ),
    "one table of buses": (
        (r"^\[\[bus\]\]", "[bus]"),
        ["bus: a single table. Write [[bus]], once for each."],
    ),
    "a number for the broker": (
        (r"^\[broker\]\nhost.*\nport.*", "[[bus]]\nname = 7"),
        [
            "bus[1].name: expected text, got a whole number. Correct the value.",
            "bus[1]: port is missing. Add it.",
        ],
    ),
    "a port beyond all ports": (
        (r"^port = \d+", "port = 99999"),
        ["broker.port: expected a whole number <= 65535. Correct the value."],
    ),
    "an address with its port": (
        ("^host.*", 'host = "mqtt.example:1883"'),
        ["broker.host: 'mqtt.example:1883' is neither a host name nor an address. Give it alone: "],
    ),
    "limits of the journal that are none": (
        ("^gateway", "journal = { records_days = 7, bytes_max = 1, records_max = 5 }\ngateway"),
        [
            "journal: records_max is not a setting. Remove it, or correct its name.",
            "journal.records_days: expected a whole number >= 30. Correct the value.",
            "journal.bytes_max: expected a whole number >= 33554432. Correct the value.",
        ],
    ),
    "a bus twice": (
        (r"^\[\[bus\]\]", '[[bus]]\nname = "A"\nport = "/dev/null"\n\n[[bus]]'),
        ["bus: 2 are named A. Give each bus its own name."],
    ),
    "a socket's path beyond what sockets take": (
        ("^gateway", f'local_socket = "/{"x" * 107}"\ngateway'),
        [f"local_socket: /{'x' * 107} is longer than 107 bytes, which no socket's path may be. "],
    ),
}


@pytest.mark.parametrize("given", SHAPES)
def test_a_configuration_that_cannot_be_meant_so(config: Path, given: str) -> None:
    change, mistakes = SHAPES[given]
    with_changes(config, change)
    lines = said("check", "--config", config, status=1)
    assert len(lines) == len(mistakes)
    for line, mistake in zip(lines, mistakes, strict=True):
        assert line.startswith(f"{config}: {mistake}")
    (answer,) = said("check", "--config", config, "--json", status=1)
    assert json.loads(answer) == {"config": str(config), "mistakes": lines, "buses": []}
    for command in (("run",), *ASKING):
        shown = said(*command, "--config", config, status=1, given="x")
        assert shown == [f"Error: {lines[0]}", *lines[1:]]


@pytest.mark.parametrize("host", ["10.0.0.1", "::1", "fe80::1%eth0", "mqtt_1.utility.example"])
def test_addresses_of_brokers(config: Path, host: str) -> None:
    with_changes(config, ("^host.*", f'host = "{host}"'))
    said("check", "--config", config, status=0)


def test_no_configuration(tmp_path: Path) -> None:
    missing = tmp_path / "gateway.toml"
    line = f"{missing}: No such file or directory. Name a readable file."
    assert said("check", "--config", missing, status=1) == [line]
    assert said("run", "--config", missing, status=1) == [f"Error: {line}"]
    assert "Is a directory" in said("check", "--config", tmp_path, status=1)[0]
    missing.write_bytes(b"gateway = \xff")
    assert "byte 10: not UTF-8. Save it" in said("check", "--config", missing, status=1)[0]


def test_check_finds_all_that_is_wrong_at_the_place_at_once(config: Path) -> None:
    (config.parent / "root.json").write_bytes((config.parent / "root.json").read_bytes()[:300])
    with_changes(
        config,
        ("^state_directory.*", 'state_directory = "site.jws"'),
        ("^profiles_directory.*", 'profiles_directory = "nowhere"'),
        ('^port = ".*', 'port = "/dev/no-such-port"'),
        ("^host.*", 'host = "localhost"\npassword_file = "no-password"'),
        (r"^\[broker\]", '[[bus]]\nname = "B"\nport = "/etc/hostname"\n\n[broker]'),
    )
    mistakes = said("check", "--config", config, status=1)
    places = (
        ("state_directory", "is not a directory. Name another place."),
        ("bus[0].port", "/dev/no-such-port does not exist. Plug the adapter in, or"),
        ("bus[1].port", "/etc/hostname is not a serial port. Name one"),
        ("broker.password_file", "No such file or directory. Make it readable."),
        ("profiles_directory", "there is none. Make it, or leave the setting out."),
        ("trust_root", "MALFORMED_ENVELOPE: "),
    )
    assert len(mistakes) == len(places)
    for mistake, (place, says) in zip(mistakes, places, strict=True):
        assert mistake.startswith(f"{config}: {place}: ")
        assert says in mistake
    shown = said("run", "--config", config, status=1)
    assert shown == [f"Error: {mistakes[-2]}", mistakes[-1]]


def test_check_looks_into_the_documents(config: Path) -> None:
    papers = Papers(HOMES, wall_ms())
    (config.parent / "strange.jws").write_bytes(papers.site())
    with_changes(
        config,
        ("^gateway.*", 'gateway = "FDR-018"'),
        ("^documents.*", 'documents = ["site.jws", "strange.jws", "missing.jws"]'),
    )
    other, strange, missing = said("check", "--config", config, status=1)
    assert f"documents[0]: {config.parent}/site.jws: WRONG_AUDIENCE: " in other
    assert f"it is for gateway {GATEWAY}, this is FDR-018. Have it signed anew" in other
    assert f"documents[1]: {config.parent}/strange.jws: BAD_SIGNATURE: " in strange
    assert "documents[2]: " in missing
    assert "No such file or directory. Name a readable file." in missing


def test_a_profile_that_extends_an_unknown_one(config: Path) -> None:
    own = config.parent / "profiles" / "new-meter.toml"
    own.write_text('extends = "no-such-meter"')
    (mistake,) = said("check", "--config", config, status=1)
    assert mistake.startswith(f"{config}: profiles_directory: {own}: extends: ")
    assert "there is no profile no-such-meter. Name one of accuenergy-ev300," in mistake


def test_init_names_what_it_cannot_write_and_what_is_missing(config: Path) -> None:
    nowhere = config.parent / "nowhere" / "enrolment.svg"
    assert said("init", "--config", config, "--svg", nowhere, status=1) == [
        f"Error: {nowhere}: No such file or directory. Name a place to write."
    ]
    (config.parent / "root.json").unlink()
    (mistake,) = said("init", "--config", config, status=1)
    assert mistake.startswith(f"Error: {config}: trust_root: {config.parent}/root.json: ")


@pytest.mark.parametrize("command", ASKING, ids=lambda command: command[0])
def test_the_daemon_does_not_run(config: Path, command: tuple[str, ...]) -> None:
    path = config.parent / "state" / "gateway.sock"
    ask = (*command, "--config", config)
    assert said(*ask, status=1, given="x") == [
        f"Error: {path}: No such file or directory. Is the gateway running?"
    ]
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    assert said(*ask, status=1, given="x") == [
        f"Error: {path}: Connection refused. Is the gateway running?"
    ]


def test_a_state_directory_that_cannot_be(config: Path) -> None:
    with_changes(config, ("^state_directory.*", 'state_directory = "site.jws"'))
    (line,) = said("run", "--config", config, status=1)
    assert line.startswith(f"Error: {config.parent}/site.jws/journal.db: NOT_ACCESSIBLE: ")
    assert line.endswith("; give the daemon's user the directory and the right to write in it")


def test_a_journal_that_is_another_programs(config: Path) -> None:
    journal = config.parent / "state" / "journal.db"
    journal.parent.mkdir()
    with closing(sqlite3.connect(journal)) as database:
        database.execute("CREATE TABLE notes (text)")
    (line,) = said("run", "--config", config, status=1)
    assert f"{journal}: FOREIGN: " in line
