"""What `check` says of the way to the broker: files, keys, credentials."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.__main__ import program
from gateway.bench.demo_world import Papers, install, town
from gateway.config import load_config
from gateway.headend.session import TlsSettings
from gateway.host.clock import wall_ms
from tests.rooms.authority import Authority, Pair

TLS = """
password_file = "{password}"

[broker.tls]
ca_file = "{ca}"
certificate_file = "{certificate}"
key_file = "{key}"
"""
FILES = {
    "password": "password",
    "ca": "tls/ca.pem",
    "certificate": "tls/gw-1.pem",
    "key": "tls/gw-1.key",
}


class Installation:
    """A configuration with TLS; its files are beside it, and it has no mistake."""

    def __init__(self, folder: Path, config: Path) -> None:
        self.config = config
        self.folder = folder
        self.authority = Authority(folder / "tls")
        self.pair: Pair = self.authority.issue("gw-1")
        self.password = folder / "password"
        self.password.touch(mode=0o600)
        self._plain = config.read_text()
        self.names()

    def names(self, **files: str) -> None:
        """Write the configuration; what is given is named otherwise."""
        self.config.write_text(self._plain + TLS.format(**{**FILES, **files}))

    def mistakes(self, **environment: str) -> list[str]:
        """What `check` says, each from its place on."""
        command = ["check", "--config", str(self.config)]
        result = CliRunner().invoke(program, command, env=environment)
        lines = [line.removeprefix(f"{self.config}: ") for line in result.output.splitlines()]
        found = [line for line in lines if line.startswith(("broker.", "device_key: "))]
        assert result.exit_code == (1 if found else 0), result.output
        return found


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    master, slave = os.openpty()
    papers = Papers(town(), wall_ms())
    yield Installation(
        tmp_path, install(tmp_path, papers, pty=os.ttyname(slave), broker=("localhost", 8883))
    )
    os.close(slave)
    os.close(master)


def test_paths_start_at_the_folder_of_the_file(installation: Installation) -> None:
    assert installation.mistakes() == []
    broker = load_config(installation.config).broker
    assert broker is not None
    folder = installation.folder
    assert broker.password_file == str(folder / "password")
    assert broker.tls == TlsSettings(
        ca_file=str(folder / "tls/ca.pem"),
        certificate_file=str(folder / "tls/gw-1.pem"),
        key_file=str(folder / "tls/gw-1.key"),
    )


def strangers_key(it: Installation) -> None:
    it.pair.key_file.write_bytes(it.authority.issue("gw-2").key_file.read_bytes())


MISTAKES: dict[str, tuple[Callable[[Installation], object], list[str]]] = {
    "a key for everybody": (
        lambda it: it.pair.key_file.chmod(0o644),
        ["broker.tls.key_file: {0}/tls/gw-1.key: everybody on this machine may use it. Say chmod "],
    ),
    "a password for everybody": (
        lambda it: it.password.chmod(0o666),
        ["broker.password_file: {0}/password: everybody on this machine may use it. Say chmod "],
    ),
    "files that are not there": (
        lambda it: it.names(password="no-password", ca="no-ca", certificate="none"),
        [
            "broker.password_file: {0}/no-password: No such file or directory. Make it readable.",
            "broker.tls.ca_file: {0}/no-ca: No such file or directory. Make it readable",
            "broker.tls.certificate_file: {0}/none: No such file or directory. Make it readable",
        ],
    ),
    "another certificate's key": (
        strangers_key,
        ["broker.tls.key_file: {0}/tls/gw-1.key: the key of another certificate. Put the key "],
    ),
    "no key beside the certificate": (
        lambda it: it.config.write_text(it.config.read_text().replace("key_file", "crl_file")),
        ["broker.tls.certificate_file: {0}/tls/gw-1.pem: key_file is missing. The two go ", "crl"],
    ),
    "credentials outside of a service": (
        lambda it: it.names(key="credential:gw-key", certificate="credential:gw-certificate"),
        [
            (
                "broker.tls.certificate_file: credential:gw-certificate: systemd has handed over "
                "no such credential. Add LoadCredential=gw-certificate:FILE to the service; "
            ),
            "broker.tls.key_file: credential:gw-key: systemd has handed over no such credential. ",
        ],
    ),
    "a credential that leads elsewhere": (
        lambda it: it.names(password="credential:../password"),
        ["broker.password_file: credential:../password: no credential is named so. Give letters"],
    ),
}


@pytest.mark.parametrize("given", MISTAKES)
def test_what_keeps_the_link_from_being_made(installation: Installation, given: str) -> None:
    spoil, expected = MISTAKES[given]
    spoil(installation)
    mistakes = installation.mistakes()
    assert len(mistakes) == len(expected)
    for mistake, says in zip(mistakes, expected, strict=True):
        assert says.format(installation.folder) in mistake


def test_credentials_that_systemd_hands_over(installation: Installation) -> None:
    credentials = installation.folder / "credentials"
    credentials.mkdir()
    installation.pair.key_file.rename(credentials / "gw-key")
    installation.password.rename(credentials / "gw-password")
    installation.names(key="credential:gw-key", password="credential:gw-password")
    assert installation.mistakes(CREDENTIALS_DIRECTORY=str(credentials)) == []
    (credentials / "gw-key").unlink()
    (mistake,) = installation.mistakes(CREDENTIALS_DIRECTORY=str(credentials))
    assert f"broker.tls.key_file: {credentials}/gw-key: systemd has handed over no" in mistake


def test_a_device_key_by_credential(installation: Installation) -> None:
    text = installation.config.read_text()
    installation.config.write_text(f'device_key = "credential:device"\n{text}')
    (mistake,) = installation.mistakes()
    assert mistake.startswith("device_key: credential:device: systemd has handed over no such ")


def test_a_device_key_for_everybody(installation: Installation) -> None:
    made = CliRunner().invoke(program, ["init", "--config", str(installation.config)])
    assert made.exit_code == 0, made.output
    key = load_config(installation.config).identity
    assert installation.mistakes() == []
    key.chmod(0o604)
    (mistake,) = installation.mistakes()
    assert (
        mistake == f"device_key: {key}: everybody on this machine may use it. Say chmod o= {key}."
    )


def test_a_misspelt_setting_of_tls_is_named(installation: Installation) -> None:
    text = installation.config.read_text()
    installation.config.write_text(text.replace("ca_file", "cafile"))
    (mistake,) = installation.mistakes()
    assert mistake == "broker.tls: cafile is not a setting. Remove it, or correct its name."
