"""QR codes of whole documents: a foreign decoder reads them, and what it read is handed in."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.core.parts import documents_of
from gateway.utility.codes import CHARACTERS_MAX, VERSION_MAX
from tests.rooms.utility.desk import Desk
from tests.rooms.utility.test_utility_signing import picture_of_svg, read_qr


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path).equip()


def read(directory: Path) -> list[str]:
    """What a telephone reads from the pictures."""
    return [read_qr(picture_of_svg(path.read_text())) for path in sorted(directory.glob("*.svg"))]


def sides(directory: Path) -> list[int]:
    """Modules along a side, with the quiet zone of 4."""
    widths = [ET.parse(path).getroot().get("width", "") for path in directory.glob("*.svg")]
    return [int(width) // 4 - 8 for width in widths]


def test_a_root_comes_back_from_its_codes_in_any_order(desk: Desk) -> None:
    said = desk.run("qr", desk / "keys/root.json", "--dir", desk / "codes").splitlines()
    texts = read(desk / "codes")
    count = len(texts)
    assert count > 2
    assert max(sides(desk / "codes")) <= 17 + 4 * VERSION_MAX
    assert said[0] == str(desk / f"codes/root-1-of-{count}.svg")
    assert said[-1] == f"{desk / 'codes/root.txt'}: what they say, a line each"
    assert (desk / "codes/root.txt").read_text().splitlines() == texts
    (found,) = documents_of("\n".join(reversed(texts)))
    assert found.text == (desk / "keys/root.json").read_text()
    (desk / "scanned.txt").write_text("\n".join(reversed(texts)))
    assert desk.run("verify", desk / "scanned.txt", "--root", desk / "keys/root.json").startswith(
        f"{desk / 'scanned.txt'}: OK: fg-root+jws seq 1"
    )
    modes = {path.stat().st_mode & 0o777 for path in (desk / "codes").iterdir()}
    assert modes == {0o600}


def test_a_chain_is_one_set_of_codes(desk: Desk) -> None:
    keys = tuple(part for at in (1, 2) for part in ("--key", desk / f"keys/root-{at}.json"))
    chain = ("--root", desk / "keys/root.json", "--chain", desk / "chain.jws")
    for _ in range(2):
        desk.run("root", "rotate", *chain, "--out", desk / "out", *keys)
    made = json.loads(desk.run("qr", desk / "chain.jws", "--dir", desk / "codes", "--json"))
    texts = read(desk / "codes")
    assert len(made["pictures"]) == len(texts)
    assert [found.text for found in documents_of("\n".join(texts))] == (
        (desk / "chain.jws").read_text().splitlines()
    )
    assert desk.run("verify", made["text"], "--root", desk / "keys/root.json").count(": OK: ") == 2


def test_what_fits_one_code_is_said_as_it_is(desk: Desk) -> None:
    desk.run(*desk.receipt())
    desk.run("qr", desk / "out", "--dir", desk / "codes")
    assert read(desk / "codes") == [(desk / "out").read_text()]
    assert len((desk / "out").read_text()) < CHARACTERS_MAX


def test_the_largest_code_is_the_one_that_is_counted_with(desk: Desk) -> None:
    (desk / "doc").write_text("a" * CHARACTERS_MAX)
    desk.run("qr", desk / "doc", "--dir", desk / "codes")
    assert sides(desk / "codes") == [17 + 4 * VERSION_MAX]
    (desk / "doc").write_text("a" * (CHARACTERS_MAX + 1))
    desk.run("qr", desk / "doc", "--dir", desk / "two")
    assert len(read(desk / "two")) == 2


def test_what_cannot_be_drawn_is_named(desk: Desk) -> None:
    (desk / "full").mkdir()
    (desk / "full/old.svg").write_text("")
    (desk / "bad").write_text("[1]")
    (desk / "long").write_text("a" * 600_000)
    (desk / "text").write_text("\u0930")
    root = desk / "keys/root.json"
    for file, directory, says in (
        (root, "full", "full: there is something in it; name a new directory"),
        (root, "no/such", "no/such: cannot make it (No such file or directory); name a new"),
        (desk / "bad", "codes", "bad: not a signed document (MALFORMED_ENVELOPE"),
        (desk / "text", "codes", "text: not a signed document ('ascii' codec"),
        (desk / "long", "codes", "long: TOO_MANY_PARTS: 616 parts, at most 512 are taken; carry"),
        (desk / "none", "codes", "none: cannot read it"),
    ):
        assert says in desk.refuses("qr", file, "--dir", desk / directory)


def test_a_set_with_a_code_missing_is_not_looked_at(desk: Desk) -> None:
    desk.run("qr", desk / "keys/root.json", "--dir", desk / "codes")
    lines = (desk / "codes/root.txt").read_text().splitlines()
    (desk / "scanned.txt").write_text("\n".join(lines[1:]))
    said = f"{desk / 'scanned.txt'}: MISSING_PART: 1 of {len(lines)}; scan these too"
    assert desk.refuses("show", desk / "scanned.txt") == said
    assert said == desk.refuses("verify", desk / "scanned.txt", "--root", desk / "keys/root.json")
    assert said in handed_in(desk, desk / "scanned.txt")


def handed_in(desk: Desk, file: Path) -> str:
    """What `submit` says of a file that it does not hand on."""
    (desk / "gateway.toml").write_text(
        'gateway = "rewa-7"\nutility = "DEMO"\nstate_directory = "state"\n'
        'trust_root = "keys/root.json"\ndocuments = []\n\n'
        '[[bus]]\nname = "A"\nport = "port"\nbaud = 9600\nformat = "8N1"\n'
    )
    result = CliRunner().invoke(main, ["submit", "--config", str(desk / "gateway.toml"), str(file)])
    assert result.exit_code == 1
    return result.output
