"""A desk of the utility: its keys and tables in one directory, and its commands run as typed."""

import subprocess
from pathlib import Path

from click.testing import CliRunner, Result

from gateway.core.model import GatewayId, ProfileAbility, Station
from gateway.core.rotation import load_root
from gateway.core.trust import Algorithm, Root
from gateway.utility.cli import utility

ROSTER = """account,serial,profile,bus,unit,dt,phase,switch_unit,switch_channel,second_proof
100200300,23014477,prepaid,bus1,11,DT-1,L1,,,
100200301,23014478,board,bus1,12,DT-1,L2,100,0,"sheet 7, line 3"
"""
PAID = """account,meter,n,cut
100200300,23014477,2026-11-19T14:02:00+05:30,yes
100200301,23014478,1790000000000,
"""
STATION = Station(
    gateway=GatewayId("rewa-7"),
    buses=("bus1",),
    profiles={
        "prepaid": ProfileAbility(switches=True, proves_serial=True),
        "board": ProfileAbility(switches=True, proves_serial=False, needs_switch_unit=True),
    },
)
RECEIPT_OPTIONS = ("--account", "100200300", "--meter", "23014477", "--n", "1795077120000")
FAR = ("--exp", "2100-01-01T00:00:00Z")


class Desk:
    """Commands in one directory; `alg` is that of all keys."""

    def __init__(self, directory: Path, alg: Algorithm = Algorithm.ED25519) -> None:
        """Nothing is made here: see `equip`."""
        self.directory = directory
        self.environment: dict[str, str] = {}
        self._alg = alg

    def equip(self) -> "Desk":
        """Make keys, roster and table of paid accounts."""
        self.run("keys", "--dir", self / "keys", "--alg", self._alg)
        (self / "roster.csv").write_text(ROSTER)
        (self / "paid.csv").write_text(PAID)
        return self

    def __truediv__(self, name: str) -> Path:
        return self.directory / name

    def root(self) -> Root:
        return load_root((self / "keys" / "root.json").read_bytes())

    def run(self, *arguments: object, status: int = 0, typed: str | None = None) -> str:
        """What a command prints; it must end with this exit status."""
        said = [str(each) for each in arguments]
        result: Result = CliRunner(env=self.environment).invoke(utility, said, input=typed)
        assert result.exit_code == status, result.output
        return result.output

    def refuses(self, *arguments: object) -> str:
        """The one line of a command that fails, without its first word."""
        said = self.run(*arguments, status=1)
        assert said.startswith("Error: ")
        assert said.count("\n") == 1
        return said.removeprefix("Error: ").rstrip("\n")

    def site(self, **options: object) -> tuple[object, ...]:
        return self._signing("site", "site-1", {"csv": self / "roster.csv", **options}, "F11")

    def list(self, **options: object) -> tuple[object, ...]:
        return self._signing("list", "list-1", {"csv": self / "paid.csv", **options})

    def receipt(self, *options: object, key: str = "receipt-1") -> tuple[object, ...]:
        key_file = self / "keys" / f"{key}.json"
        return (
            "receipt",
            *RECEIPT_OPTIONS,
            *FAR,
            "--key",
            key_file,
            "--out",
            self / "out",
            *options,
        )

    def order(
        self, kind: str, *options: object, keys: tuple[str, ...] = ("order-1",)
    ) -> tuple[object, ...]:
        """The order numbered 8, unless the options say otherwise."""
        files = [part for key in keys for part in ("--key", self / "keys" / f"{key}.json")]
        given = {"gateway": "rewa-7", "out": self / "out"}
        if "--seq" not in options and "--ask-broker" not in options:
            given["seq"] = "8"
        said = [part for name, value in given.items() for part in (f"--{name}", value)]
        return ("order", kind, *said, *files, *options)

    def _signing(
        self, command: str, key: str, options: dict[str, object], feeder: str = ""
    ) -> tuple[object, ...]:
        given = {
            "gateway": "rewa-7",
            "seq": 5,
            "key": self / "keys" / f"{key}.json",
            "out": self / "out",
            **({"feeder": feeder} if feeder else {}),
            **options,
        }
        return (command, *(part for name, value in given.items() for part in (f"--{name}", value)))


def openssl(directory: Path, *arguments: str) -> bytes:
    """What OpenSSL's own command says; it must succeed."""
    done = subprocess.run(["openssl", *arguments], cwd=directory, capture_output=True, check=True)
    return done.stdout
