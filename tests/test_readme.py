"""What the README tells a person to type works as it stands there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from gateway.__main__ import program
from gateway.config import load_config, mistakes
from gateway.console.rules import markdown, rule_tables

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
LINES = [
    line
    for kind, block in BLOCKS
    for line in block.splitlines()
    if kind == "sh" and line.startswith("feeder-gateway ")
]


def block(kind: str, containing: str) -> str:
    """The one block of that kind with that text in it."""
    (found,) = [text for its, text in BLOCKS if its == kind and containing in text]
    return str(found)


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that is meant, and its own arguments."""
    command: click.Command = program
    while isinstance(command, click.Group) and words:
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, f"no command {words[0]}"
        command, words = found, words[1:]
    return command, words


@pytest.mark.parametrize("line", LINES)
def test_each_command_exists_with_its_options(line: str) -> None:
    command, arguments = command_of(shlex.split(line, comments=True)[1:])
    given, left, _ = command.make_parser(click.Context(command)).parse_args(arguments)
    assert left == []
    for parameter in command.params:
        if parameter.required:
            assert given.get(parameter.name or ""), f"{parameter.name} is needed"


def test_the_documents_and_the_configuration_are_made_as_told(tmp_path: Path) -> None:
    shell = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for told in ("utility keys", "bench line"):
        script = block("sh", told).replace("feeder-gateway bench", ": feeder-gateway bench")
        subprocess.run(["bash", "-euc", script], cwd=tmp_path, env=shell, check=True)
    (tmp_path / "keys" / "root.json").rename(tmp_path / "root.json")
    (tmp_path / "profiles").mkdir()
    own = tmp_path / "profiles" / "acrel-ddsy1352.toml"
    own.write_text(block("toml", "extends"), encoding="utf-8")
    config = tmp_path / "gateway.toml"
    config.write_text(block("toml", "[[bus]]"), encoding="utf-8")
    loaded = load_config(config)
    assert (loaded.gateway, loaded.state_directory) == ("FDR-017", Path("/var/lib/feeder-gateway"))
    of_this_machine = ("state_directory", "bus[0].port")
    left = [one for one in mistakes(loaded) if not one.startswith(of_this_machine)]
    assert left == []


def test_the_simulated_meters_are_those_of_the_roster(tmp_path: Path) -> None:
    roster = {
        line.split(",")[1] for line in block("sh", "utility keys").splitlines() if "A," in line
    }
    assert set(re.findall(r'"serial": "(\w+)"', block("sh", "bench line"))) == roster


def test_the_law_is_told_as_the_code_has_it() -> None:
    _, _, after = README.partition("<!-- rules -->\n\n")
    shown, _, _ = after.partition("\n\n<!-- /rules -->")
    assert shown == markdown(rule_tables()), "put there what `feeder-gateway rules` prints"
