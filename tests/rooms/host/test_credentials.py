"""Files that systemd hands over: where they are, and what is said where they are not."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.host.credentials import DIRECTORY, credential_mistake, exposure, located
from gateway.host.identity import IdentityError, identity_at

ETC = Path("/etc/feeder-gateway")


@pytest.fixture
def handed_over(tmp_path: Path) -> Iterator[Path]:
    """As systemd would: a folder, and the variable that names it."""
    os.environ[DIRECTORY] = str(tmp_path)
    yield tmp_path
    del os.environ[DIRECTORY]


@pytest.fixture(autouse=True)
def _outside_of_a_service() -> Iterator[None]:
    before = os.environ.pop(DIRECTORY, None)
    yield
    if before is not None:
        os.environ[DIRECTORY] = before


def test_a_path_starts_at_the_folder() -> None:
    assert located("tls/gw.key", ETC) == ETC / "tls/gw.key"
    assert located("/run/gw.key", ETC) == Path("/run/gw.key")


def test_a_credential_is_where_systemd_put_it(handed_over: Path) -> None:
    (handed_over / "gw.key").touch()
    path = located("credential:gw.key", ETC)
    assert path == handed_over / "gw.key"
    assert credential_mistake(path) is None


def test_one_that_was_not_handed_over_is_named_with_the_mend(handed_over: Path) -> None:
    said = credential_mistake(located("credential:gw.key", ETC))
    assert said is not None
    assert said.startswith(f"{handed_over}/gw.key: systemd has handed over no such credential. ")
    assert "Add LoadCredential=gw.key:FILE to the service" in said


def test_outside_of_a_service_there_is_none() -> None:
    said = credential_mistake(located("credential:gw.key", ETC))
    assert said is not None
    assert said.startswith("credential:gw.key: systemd has handed over no such credential. ")


@pytest.mark.parametrize("name", ["", ".", "..", "../root.json", "a/b", "a b", ".hidden"])
def test_a_name_that_leads_elsewhere_is_none(handed_over: Path, name: str) -> None:
    path = located(f"credential:{name}", ETC)
    assert handed_over not in path.parents
    assert "no credential is named so" in (credential_mistake(path) or "")


def test_a_path_is_no_credential() -> None:
    assert credential_mistake(ETC / "gw.key") is None


@pytest.mark.parametrize(("mode", "bare"), [(0o600, True), (0o640, True), (0o644, False)])
def test_a_secret_that_everybody_may_use_is_named(tmp_path: Path, mode: int, bare: bool) -> None:
    path = tmp_path / "gw.key"
    path.touch()
    path.chmod(mode)
    said = exposure(path)
    assert (said is None) is bare
    assert said in {None, f"{path}: everybody on this machine may use it. Say chmod o= {path}."}


def test_nobody_may_use_what_is_not_there(tmp_path: Path) -> None:
    assert exposure(tmp_path / "gw.key") is None


def test_a_device_key_that_systemd_should_hand_over_is_not_made(handed_over: Path) -> None:
    with pytest.raises(IdentityError, match=r"LoadCredential=device\.pem:FILE"):
        identity_at(located("credential:device.pem", ETC), "gw-1")
    assert not list(handed_over.iterdir())
