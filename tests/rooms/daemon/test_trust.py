"""Trust at the running daemon: what a utility signs at its desk, as a technician hands it in.

Every step is a command as it is typed, in a process of its own. Each test goes on from the root
that is in force, so that any of them may be run alone.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.bench.control import SimulatedLine
from gateway.bench.demo_world import GATEWAY, Home, Papers
from gateway.bench.demo_world import town as town_of_the_demo
from gateway.core.model import Account, TimeSource
from gateway.core.records import Record
from gateway.core.trust_records import KeyRevoked, RootInstalled, TimeSet
from gateway.host.clock import wall_ms
from tests.rooms.daemon.town import Town, running_town
from tests.rooms.utility.test_utility_signing import picture_of_svg, read_qr

pytestmark = pytest.mark.asyncio(loop_scope="module")
COMMAND = (sys.executable, "-m", "gateway")
MINUTE_MS = 60_000


@dataclass
class Desk:
    """The utility's desk and the technician's terminal, in one folder."""

    folder: Path
    config: Path
    roots: tuple[str, str] = ("root-1", "root-2")
    """The root keys that sign."""

    def key(self, *kids: str) -> tuple[str, ...]:
        """The options that give these keys."""
        return tuple(part for kid in kids for part in ("--key", f"keys/{kid}.json"))

    async def typed(self, *words: object, status: int = 0) -> str:
        """What a command prints; it must end with this exit status."""
        process = await asyncio.create_subprocess_exec(
            *(*COMMAND, *map(str, words)),
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = (text.decode() for text in await process.communicate())
        assert "Traceback" not in err
        assert process.returncode == status, (out, err)
        return out

    async def utility(self, *words: object, status: int = 0) -> str:
        """One of the utility's own commands."""
        return await self.typed("utility", *words, status=status)

    async def at_gateway(self, *words: object, status: int = 0) -> str:
        """A command at the gateway."""
        return await self.typed(*words, "--config", self.config, status=status)

    async def new_key(self, kid: str, role: str) -> Path:
        """One more key."""
        path = Path("keys") / f"{kid}.json"
        await self.utility("key", "--kid", kid, "--role", role, "--out", path)
        return path

    async def next_root(self, how: str, *options: object, keys: tuple[str, ...] = ()) -> None:
        """Sign the root after the last one of the chain file."""
        chain = ("--root", "root.json", "--chain", "chain.jws", "--out", "next.json")
        await self.utility("root", how, *chain, *self.key(*(keys or self.roots)), *options)

    async def receipt(self, home: Home, n: int, kid: str) -> Path:
        """A home's receipt of a ledger time."""
        account = ("--account", home.account, "--meter", home.serial, "--n", n)
        await self.utility("receipt", *account, *self.key(kid), "--out", "receipt.jws")
        return Path("receipt.jws")

    async def submit(self, file: Path | str, status: int = 0) -> list[str]:
        """The word for each document of a file."""
        said = await self.at_gateway("submit", file, "--json", status=status)
        return [json.loads(line)["answer"]["word"] for line in said.splitlines()]

    async def chain_submitted(self) -> list[str]:
        """The word for each root after the first."""
        return await self.submit("chain.jws")


@dataclass(frozen=True)
class Commissioned:
    """A town whose gateway was commissioned by hand, and what `init` said twice meanwhile."""

    town: Town
    desk: Desk
    words: tuple[str, str]
    enrolments: tuple[str, str]
    scanned: str

    async def bodies(self, after: int, kind: type) -> list[object]:
        """What was recorded above a number."""
        records: list[Record] = await self.town.records(after)
        return [record.body for record in records if isinstance(record.body, kind)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Commissioned]:
    folder = tmp_path_factory.mktemp("town")
    desk = Desk(folder=folder, config=folder / "gateway.toml")
    words, enrolments = [], []

    async def commission(config: Path, papers: Papers, line: SimulatedLine) -> None:
        assert config == desk.config
        (folder / "keys").mkdir()
        for key in papers.keys.all():
            key.save(folder / "keys" / f"{key.kid}.json")
        for at in (1, 2):
            words.append(await desk.at_gateway("init"))
            told = await desk.at_gateway("init", "--json", "--svg", f"enrolment-{at}.svg")
            enrolments.append(told)
        (folder / "enrolment.json").write_text(enrolments[0])
        await line.control.open(town_of_the_demo()[1].serial)

    async with running_town(folder, commission=commission) as town:
        yield Commissioned(
            town=town,
            desk=desk,
            words=(words[0], words[1]),
            enrolments=(enrolments[0], enrolments[1]),
            scanned=read_qr(picture_of_svg((folder / "enrolment-1.svg").read_text())),
        )


async def test_init_shows_the_enrolment_and_shows_it_again(gateway: Commissioned) -> None:
    first, second = gateway.words
    enrolment = json.loads(gateway.enrolments[0])
    key = gateway.desk.folder / "state" / "device.pem"
    assert f"device key   {key} (made, private)" in first
    assert first.replace("(made, private)", "(was there, private)") == second
    assert f"public half  {enrolment['alg']} {enrolment['public']}" in first
    assert f"root         seq 1, SHA-256 {enrolment['root_sha256']}" in first
    assert gateway.enrolments[0] == gateway.enrolments[1]
    assert (enrolment["gateway"], enrolment["root_seq"]) == (GATEWAY, 1)
    assert json.loads(gateway.scanned) == enrolment
    assert key.stat().st_mode & 0o777 == 0o600
    assert await gateway.desk.at_gateway("init") == second


async def test_three_roots_are_walked_offline_and_known_again(gateway: Commissioned) -> None:
    desk, before = gateway.desk, (await gateway.town.status())
    for days in (900, 1_000, 1_100):
        await desk.next_root("rotate", "--expires", f"{days}d")
    assert (await desk.submit("next.json", status=1)) == ["ROOT_STEP_MISSING"]
    assert (await desk.chain_submitted())[-3:] == ["ACCEPTED"] * 3
    assert set(await desk.chain_submitted()) == {"DUPLICATE"}
    after = await gateway.town.status()
    assert after.root.seq == before.root.seq + 3
    walked = await gateway.bodies(before.records, RootInstalled)
    steps = [one.seq - before.root.seq for one in walked if isinstance(one, RootInstalled)]
    assert steps == [1, 2, 3]
    assert f"root      seq {after.root.seq}, " in await desk.at_gateway("status")


async def test_a_stolen_receipt_key_ends_and_what_it_granted_is_flagged(
    gateway: Commissioned,
) -> None:
    town, desk = gateway.town, gateway.desk
    home, other = town.homes[1], town.homes[2]
    n = wall_ms()
    assert await desk.submit(await desk.receipt(home, n, "receipt-1")) == ["ACCEPTED"]
    await town.until(lambda s: not any(one.meter == home.serial for one in s.dark))

    before = (await town.status()).records
    spare = await desk.new_key("receipt-2", "receipt")
    revoked = ("--kid", "receipt-1", "--after", n - MINUTE_MS, "--add", spare)
    await desk.next_root("revoke", *revoked)
    assert (await desk.chain_submitted())[-1] == "ACCEPTED"
    (flag,) = await gateway.bodies(before, KeyRevoked)
    granted = (Account(home.account),)
    assert flag == KeyRevoked(kid="receipt-1", after=n - MINUTE_MS, accounts=granted)
    said = await desk.at_gateway("log", "--after", before)
    assert "key receipt-1 revoked, what it signed after " in said
    assert f"left standing: account {home.account}; look into that" in said

    assert await desk.submit(await desk.receipt(other, n, "receipt-1"), 1) == ["KEY_REVOKED"]
    earlier = await desk.receipt(other, n - 2 * MINUTE_MS, "receipt-1")
    assert await desk.submit(earlier) == ["ACCEPTED"]
    assert await desk.submit(await desk.receipt(other, n, "receipt-2")) == ["ACCEPTED"]
    assert (await town.line.control.truth()).meter(home.serial).closed
    assert "1 keys revoked" in await desk.at_gateway("status")


async def test_the_sealed_set_puts_new_root_keys_in_the_place_of_lost_ones(
    gateway: Commissioned,
) -> None:
    desk, sealed = gateway.desk, ("recovery-1", "recovery-2")
    lost = ("--remove", "root-1", "--remove", "root-2", "--remove", "root-3")
    new = ("root-4", "root-5")
    added = [part for kid in new for part in ("--add", await desk.new_key(kid, "root"))]
    await desk.next_root("recover", *lost, *added, keys=(*sealed, *new))
    assert (await desk.chain_submitted())[-1] == "ACCEPTED"
    desk.roots = new
    signers = f"signed by {', '.join((*sealed, *new))}"
    assert signers in (await desk.at_gateway("log")).splitlines()[-1]
    await desk.next_root("rotate", "--remove", "badge-1")
    assert (await desk.chain_submitted())[-1] == "ACCEPTED"


async def test_a_time_document_that_echoes_the_status_is_believed(gateway: Commissioned) -> None:
    desk, before = gateway.desk, await gateway.town.status()
    nonce = json.loads(await desk.at_gateway("status", "--json"))["nonce"]
    said = await desk.at_gateway("status")
    assert f"nonce     {nonce.partition('@')[0]}@" in said
    signed = ("--out", "time.jws", *desk.key("time-1"))
    await desk.utility("time", "--nonce", f"another{nonce}", *signed)
    assert await desk.submit("time.jws", status=1) == ["NONCE_UNKNOWN"]
    await desk.utility("time", "--nonce", nonce, *signed)
    assert await desk.submit("time.jws") == ["ACCEPTED"]
    (told,) = await gateway.bodies(before.records, TimeSet)
    assert isinstance(told, TimeSet)
    assert told.signer == "time-1"
    asked_ms = wall_ms()
    status = await gateway.town.status()
    assert status.clock_high_ms is not None
    assert asked_ms <= status.clock_high_ms
    assert status.clock_low_ms <= wall_ms()
    # A machine whose time daemon is synchronised has had somebody to believe already.
    assert status.clock_source in {TimeSource.DOCUMENT, TimeSource.NETWORK}
    assert "clock trusted within " in await desk.at_gateway("status")


async def test_a_checkpoint_proves_the_journal_to_who_knows_the_device(
    gateway: Commissioned,
) -> None:
    desk = gateway.desk
    printed = (await desk.at_gateway("checkpoint")).strip()
    await desk.at_gateway("checkpoint", "--out", "checkpoint.jws")
    by_device = ("--device", "enrolment.json")
    said = await desk.utility("verify", "checkpoint.jws", *by_device)
    number = (await gateway.town.status()).records
    assert f"OK: fg-record+jws gateway {GATEWAY}, records up to {number}, chain hash " in said
    head, payload, signature = printed.split(".")
    forged = desk.folder / "forged.jws"
    _, last_payload, _ = (desk.folder / "checkpoint.jws").read_text().split(".")
    assert payload != last_payload, "each says when it was made"
    forged.write_text(f"{head}.{last_payload}.{signature}")
    assert "forged.jws: BAD_SIGNATURE: " in await desk.utility(
        "verify", forged, *by_device, status=1
    )
    assert await desk.submit("checkpoint.jws", status=1) == ["UNKNOWN_KEY"]


async def test_a_root_comes_as_pictures_in_any_order(gateway: Commissioned) -> None:
    desk = gateway.desk
    await desk.next_root("rotate", "--expires", "800d")
    await desk.utility("qr", "next.json", "--dir", "codes")
    pictures = sorted((desk.folder / "codes").glob("*.svg"), reverse=True)
    assert len(pictures) > 2
    (desk.folder / "scanned.txt").write_text(
        "\n".join(read_qr(picture_of_svg(one.read_text())) for one in pictures)
    )
    assert await desk.submit("scanned.txt") == ["ACCEPTED"]
    assert await desk.submit("scanned.txt") == ["DUPLICATE"]
