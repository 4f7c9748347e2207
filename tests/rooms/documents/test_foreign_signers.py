"""A receipt of a head end that knows nothing of us: signed by Java's and by Node's own crypto.

`tests/run` brings both: Debian's default-jdk-headless and nodejs.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.core.documents import Receipt, decode
from gateway.core.signature import DocumentType, Rejected, verify
from gateway.core.trust import Algorithm
from tests.core.papers import FAR_MS, LEDGER_MS
from tests.rooms.utility.desk import Desk

FOREIGN = Path(__file__).parents[2] / "foreign"
SIGNERS = {
    "java": FOREIGN / "java" / "MakeReceipt.java",
    "node": FOREIGN / "node" / "make_receipt.mjs",
}
PAID = Receipt(account="100200300", meter="23014477", n=LEDGER_MS, paid_at=LEDGER_MS, exp=FAR_MS)
RECEIPTS = frozenset({DocumentType.RECEIPT})

each_signer = pytest.mark.parametrize("program", SIGNERS)
each_algorithm = pytest.mark.parametrize("alg", list(Algorithm))


@pytest.fixture
def desk(tmp_path: Path, alg: Algorithm) -> Desk:
    return Desk(tmp_path, alg).equip()


def made_by(program: str, desk: Desk) -> bytes:
    """What a foreign program prints, given a key file of ours."""
    assert shutil.which(program), f"{program} is not here: tests/run installs it"
    key = desk / "keys" / "receipt-1.json"
    said = (PAID.account, PAID.meter, str(PAID.n), str(PAID.exp))
    done = subprocess.run([program, SIGNERS[program], key, *said], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.removesuffix(b"\n")


@each_signer
@each_algorithm
def test_a_foreign_receipt_is_a_word_of_the_utility(program: str, desk: Desk) -> None:
    raw = made_by(program, desk)
    verified = verify(raw, RECEIPTS, desk.root())
    assert decode(verified) == PAID
    assert verified.signers == ("receipt-1",)
    with pytest.raises(Rejected):
        verify(raw[:-8] + b"AAAAAAAA", RECEIPTS, desk.root())


@each_signer
@each_algorithm
def test_the_utilitys_own_command_takes_a_foreign_receipt(program: str, desk: Desk) -> None:
    (desk / "receipt.jws").write_bytes(made_by(program, desk) + b"\n")
    root = desk / "keys" / "root.json"
    answer = desk.run("verify", desk / "receipt.jws", "--root", root)
    assert "OK" in answer
    assert PAID.account in answer


@pytest.mark.parametrize("alg", [Algorithm.ED25519])
def test_java_and_node_make_the_same_bytes(desk: Desk) -> None:
    assert made_by("java", desk) == made_by("node", desk)
