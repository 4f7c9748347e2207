"""`evidence --export` of a real daemon, and `--verify` of it where nothing runs."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from gateway.bench.demo_world import Papers
from gateway.console.evidence_export import Exported
from gateway.console.evidence_file import DocumentLine, RecordLine, SealLine, lines_in
from gateway.console.evidence_verify import Proof
from gateway.core.model import SupplyState
from gateway.core.people import TechnicianRole
from gateway.core.signature import DocumentType, claimed_by
from gateway.host.clock import wall_ms
from gateway.utility.people import verifier_of
from tests.rooms.daemon.town import Town, running_town

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Told:
    """What a command said."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Exports:
    """A town in which a home has come back, and what its gateway has exported."""

    town: Town
    folder: Path
    account: str
    enrolment: str
    usual: Path
    full: Path

    async def proof(self, file: Path, *options: str) -> Proof:
        """What is said of a file in another place, without configuration or daemon."""
        told = await say("evidence", "--verify", str(file), "--json", *options)
        assert told.err == ""
        proof = msgspec.json.decode(told.out, type=Proof)
        assert told.code == (0 if proof.holds else 1)
        return proof


async def say(*words: str) -> Told:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Told(code=process.returncode, out=out.decode(), err=err.decode())


def with_technician(papers: Papers) -> bytes:
    """The same site, which also names somebody with a PIN."""
    plain = json.loads(claimed_by(papers.site()).payload)
    person = {
        "id": "asha",
        "name": "Asha",
        "roles": [TechnicianRole.TECHNICIAN],
        "pin": verifier_of("4711"),
    }
    payload = msgspec.json.encode({**plain, "seq": 2, "technicians": [person]})
    return papers.keys.site.sign(DocumentType.SITE, payload)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def exports(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Exports]:
    folder = tmp_path_factory.mktemp("town")
    async with running_town(folder) as town:
        home = town.homes[0]
        await town.line.control.open(home.serial)
        await town.until(lambda s: s.supply[SupplyState.DISCONNECTED] == 2)
        assert (await town.submit(with_technician(town.papers))).accepted
        assert (await town.submit(town.papers.allow_list(1, wall_ms()))).accepted
        assert (await town.submit(town.papers.receipt(home, wall_ms()))).accepted
        await town.until(lambda s: s.supply[SupplyState.DISCONNECTED] == 1)
        config = ("--config", str(town.config))
        usual, full = folder / "usual.jsonl", folder / "full.jsonl"
        told = await say("evidence", "--export", str(usual), *config)
        assert (told.code, told.err) == (0, "")
        assert "1 site documents are left out" in told.out
        told = await say("evidence", "--export", str(full), "--with-pins", "--json", *config)
        assert (told.code, told.err) == (0, "")
        exported = msgspec.json.decode(told.out, type=Exported)
        assert (exported.first, exported.missing, exported.withheld) == (1, 0, 0)
        assert exported.bytes == full.stat().st_size
        (folder / "enrolment.json").write_text((await say("init", "--json", *config)).out)
        yield Exports(
            town=town,
            folder=folder,
            account=home.account,
            enrolment=str(folder / "enrolment.json"),
            usual=usual,
            full=full,
        )


async def test_it_holds_by_the_enrolment_alone(exports: Exports) -> None:
    proof = await exports.proof(exports.usual, "--device-key", exports.enrolment)
    assert proof.holds
    assert proof.signed is not None
    assert (proof.first, proof.proven_from, proof.signed.number) == (1, 1, proof.last)
    assert proof.seals >= 2
    assert proof.missing_count == 1
    public = json.loads(Path(exports.enrolment).read_text(encoding="utf-8"))["public"]
    assert (await exports.proof(exports.usual, "--device-key", public)).holds


async def test_the_root_of_trust_vouches_for_every_document(exports: Exports) -> None:
    known = ("--device-key", exports.enrolment, "--root", str(exports.folder / "root.json"))
    proof = await exports.proof(exports.full, *known)
    assert (proof.holds, proof.vouched, proof.missing_count) == (True, True, 0)
    assert proof.documents == 4, "two sites, a list, a receipt"
    withheld = await exports.proof(exports.usual, *known)
    assert (withheld.holds, withheld.broken, withheld.missing_count) == (False, "", 1)


async def test_it_is_private_and_whole_and_tells_no_pins(exports: Exports) -> None:
    assert exports.usual.stat().st_mode & 0o777 == 0o600
    assert not list(exports.folder.glob(".*.part"))
    assert b"argon2id" not in _documents(exports.usual)
    assert b"argon2id" in _documents(exports.full)


async def test_it_never_takes_the_place_of_another(exports: Exports) -> None:
    before = exports.usual.read_bytes()
    config = ("--config", str(exports.town.config))
    again = await say("evidence", "--export", str(exports.usual), *config)
    assert (again.code, again.out) == (1, "")
    assert "it is there already. Name a new file." in again.err
    assert exports.usual.read_bytes() == before
    nowhere = await say("evidence", "--export", str(exports.folder / "no" / "file"), *config)
    assert (nowhere.code, nowhere.err.count("\n")) == (1, 1)
    assert "Check directory, room and rights." in nowhere.err


async def test_an_export_says_of_an_account_what_the_daemon_does(exports: Exports) -> None:
    by_file = await say("evidence", "--from", str(exports.usual), "--account", exports.account)
    assert by_file.code == 0
    assert "CLOSED_VERIFIED" in by_file.out


async def test_another_device_did_not_sign_it(exports: Exports) -> None:
    stranger = exports.town.papers.keys.receipt.public().public
    proof = await exports.proof(exports.usual, "--device-key", stranger)
    assert "is not this device's: BAD_SIGNATURE" in proof.broken


async def test_an_export_without_its_end_or_a_record_does_not_hold(exports: Exports) -> None:
    lines = exports.usual.read_bytes().splitlines(keepends=True)
    cut = exports.folder / "cut.jsonl"
    cut.write_bytes(b"".join(lines[:-1]))
    assert not (await exports.proof(cut, "--device-key", exports.enrolment)).holds
    records = [at for at, line in enumerate(lines) if line.startswith(b'{"chain"')]
    for at in (records[3], records[len(records) // 2]):
        cut.write_bytes(b"".join(lines[:at] + lines[at + 1 :]))
        proof = await exports.proof(cut, "--device-key", exports.enrolment)
        assert proof.broken.startswith("the chain breaks: record ")


async def test_the_log_holds_up_to_its_last_seal_and_is_called_unsigned_after(
    exports: Exports,
) -> None:
    printed = await say("log", "--json", "--config", str(exports.town.config))
    log = exports.folder / "log.jsonl"
    log.write_text(printed.out, encoding="utf-8")
    proof = await exports.proof(log, "--device-key", exports.enrolment)
    assert (proof.holds, proof.broken) == (False, "")
    assert proof.signed is not None
    assert proof.last is not None
    assert proof.signed.number < proof.last


def _documents(file: Path) -> bytes:
    with file.open("rb") as opened:
        lines = list(lines_in(opened))
    assert isinstance(lines[-1], SealLine)
    assert sum(isinstance(line, RecordLine) for line in lines) > 10
    documents = [line.document for line in lines if isinstance(line, DocumentLine)]
    return b"".join(claimed_by(one.encode()).payload for one in documents if one[0] != "[")
