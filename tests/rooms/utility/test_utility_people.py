"""PINs and badges: only what they are checked against is written down, and it costs who guesses."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from gateway.core.documents import Site, decode, decode_badge
from gateway.core.people import BADGE_LIFE_MAX_MS, Badge, TechnicianRole, weak
from gateway.core.signature import FIELD_DOCUMENTS, DocumentType, verify
from gateway.utility.cli import utility
from gateway.utility.people import ALPHABET
from tests.rooms.utility.desk import Desk

PIN = "482913"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path).equip()


def badge(desk: Desk, *options: object, key: str = "badge-1") -> tuple[object, ...]:
    given = ("--id", "relief-2", "--name", "Relief crew 2", "--role", "technician")
    where = ("--key", desk / f"keys/{key}.json", "--out", desk / "out")
    return ("badge", *given, *where, *options)


def taken(desk: Desk) -> Badge:
    raw = (desk / "out").read_bytes()
    return decode_badge(verify(raw, frozenset({DocumentType.BADGE}), desk.root()))


def typed(text: str, *options: str, status: int = 0) -> str:
    """What `pin` prints when this text comes by standard input."""
    result = CliRunner().invoke(utility, ["pin", *options], input=text)
    assert result.exit_code == status, result.output
    return result.output.strip()


def test_a_badge_is_checked_against_the_code_that_is_told_once(desk: Desk) -> None:
    said = desk.run(*badge(desk, "--life", "3d", "--role", "view"))
    found = re.search(r"^code (\w{10}) \(told once, here", said, re.MULTILINE)
    assert found is not None
    assert set(found[1]) <= set(ALPHABET)
    signed = taken(desk)
    assert (signed.id, signed.name) == ("relief-2", "Relief crew 2")
    assert signed.roles == (TechnicianRole.TECHNICIAN, TechnicianRole.VIEW)
    assert signed.exp - signed.iat == 3 * 86_400_000
    assert signed.code.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert not weak(signed.code)
    Argon2id.verify_phc_encoded(found[1].encode(), signed.code)
    with pytest.raises(InvalidKey):
        Argon2id.verify_phc_encoded(b"2222222222", signed.code)
    assert found[1] not in (desk / "out").read_text()
    assert (desk / "out").stat().st_mode & 0o777 == 0o600


def test_every_badge_has_its_own_code_and_salt(desk: Desk) -> None:
    told = [json.loads(desk.run(*badge(desk, "--json"))) for _ in range(2)]
    assert told[0]["code"] != told[1]["code"]
    assert told[0]["signed_by"] == ["badge-1"]
    Argon2id.verify_phc_encoded(told[1]["code"].encode(), taken(desk).code)


def test_a_code_has_no_two_characters_that_are_taken_for_each_other() -> None:
    assert len(ALPHABET) == len(set(ALPHABET)) == 30
    assert not set(ALPHABET) & set("01OILUoilu")


def test_a_badge_that_no_page_would_take_is_not_signed(desk: Desk) -> None:
    for options, says in (
        (("--life", "8d"), "the badge: LIFE_TOO_LONG: exp: more than 7 days after iat; give --li"),
        (("--life", "0d"), "the badge: EXPIRED_WHEN_ISSUED: exp "),
        (("--name", ""), "the badge: name: Expected str of length >= 1; correct the option"),
        (("--name", "n" * 65), "the badge: name: Expected str of length <= 64"),
        (("--role", "view") * 3, "the badge: roles: Expected array of length <= 3"),
    ):
        assert desk.refuses(*badge(desk, *options)).startswith(says)
    said = desk.refuses(*badge(desk, key="site-1"))
    assert said.startswith("key site-1: a key of role site may not sign fg-badge+jws; give a key")
    assert "--life: 'long' is not a span" in desk.run(*badge(desk, "--life", "long"), status=2)
    assert not (desk / "out").exists()
    assert BADGE_LIFE_MAX_MS == 7 * 86_400_000


def test_a_pin_by_standard_input_becomes_its_verifier() -> None:
    verifier = typed(f"{PIN}\r\n")
    Argon2id.verify_phc_encoded(PIN.encode(), verifier)
    assert not weak(verifier)
    other = json.loads(typed(f"{PIN}\nnothing else is read\n", "--json"))["pin"]
    Argon2id.verify_phc_encoded(PIN.encode(), other)
    assert other != verifier


@pytest.mark.parametrize(
    "given",
    ["", "12345", "1234567890123", "48291a", "777777", "\u0661\u0662\u0663\u0664\u0665\u0666"],
)
def test_what_is_no_pin_is_refused_and_not_shown(given: str) -> None:
    said = typed(f"{given}\n", status=1)
    assert said.startswith("Error: the PIN: ")
    assert said.endswith("; choose another")
    assert not given or given not in said


def test_a_pin_is_asked_for_twice_and_without_echo_at_a_terminal() -> None:
    here, there = pty.openpty()
    command = "from gateway.utility.cli import utility; utility(['pin'])"
    child = subprocess.Popen(
        [sys.executable, "-c", command],
        stdin=there,
        stdout=there,
        stderr=there,
        start_new_session=True,
    )
    os.close(there)
    shown = b""
    for question in (b"PIN: ", b"Repeat for confirmation: "):
        while not shown.endswith(question):
            shown += os.read(here, 1024)
        os.write(here, f"{PIN}\n".encode())
    while b"p=1$" not in shown or not shown.endswith(b"\n"):
        shown += os.read(here, 1024)
    assert child.wait() == 0
    os.close(here)
    assert PIN.encode() not in shown
    Argon2id.verify_phc_encoded(PIN.encode(), shown.decode().split()[-1])


def technicians(*pins: str, more: str = "") -> str:
    return "".join(
        f'[[technicians]]\nid = "t-{at}"\nname = "Shift {at}"\nroles = ["technician"]\n'
        f'pin = "{pin}"\n{more}'
        for at, pin in enumerate(pins, start=1)
    )


def test_technicians_of_the_terms_are_in_the_site(desk: Desk) -> None:
    verifier = typed(f"{PIN}\n")
    (desk / "terms.toml").write_text(technicians(verifier, verifier))
    desk.run(*desk.site(terms=desk / "terms.toml"))
    site = decode(verify((desk / "out").read_bytes(), FIELD_DOCUMENTS, desk.root()))
    assert isinstance(site, Site)
    assert [(one.id, one.name, one.pin) for one in site.technicians] == [
        ("t-1", "Shift 1", verifier),
        ("t-2", "Shift 2", verifier),
    ]
    shown = desk.run("show", desk / "out")
    assert "id t-1, name Shift 1, roles technician, pin (a verifier, not shown)" in shown
    assert verifier not in shown


def test_slips_of_the_pen_about_technicians_are_named(desk: Desk) -> None:
    verifier = typed(f"{PIN}\n")
    cheap = verifier.replace("m=19456", "m=1024")
    for text, says in (
        (technicians(PIN), "technicians[0].pin: not what a PIN is checked against; make it with"),
        (technicians(cheap), "technicians[0].pin: WEAK_VERIFIER: argon2id under 19 MiB is tried"),
        (
            technicians(verifier, verifier).replace("t-2", "t-1"),
            "technicians[1]: DUPLICATE_TECHNICIAN: t-1 stands twice; correct it",
        ),
        (technicians(verifier, more="pins = 1\n"), "technicians[0].pins: there is no such member"),
        (
            technicians(verifier).replace('["technician"]', '["boss"]'),
            "technicians[0].roles[0]: Invalid enum value 'boss'",
        ),
    ):
        (desk / "terms.toml").write_text(text)
        said = desk.refuses(*desk.site(terms=desk / "terms.toml"))
        assert says in said
        assert PIN not in said
    assert not (desk / "out").exists()
