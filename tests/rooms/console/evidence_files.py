"""Files of evidence that tests write line by line, with real keys, and what is said of them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from click.testing import CliRunner

from gateway.console.evidence import evidence
from gateway.console.evidence_file import DocumentLine, SealLine
from gateway.console.evidence_verify import Proof
from gateway.console.local import RecordLine
from gateway.core.documents import Checkpoint, Receipt
from gateway.core.fact import Road
from gateway.core.model import Account, Now, Serial
from gateway.core.records import CHAIN_START, Body, ReceiptAccepted, Started, record_of, store
from gateway.core.signature import claimed_by, digest_of
from gateway.core.trust_records import Sealed
from gateway.host.identity import Identity
from tests.signing import sign_receipt

NOON_MS = 1_795_400_000_000
GATEWAY = "rewa-7"
DEVICE = Identity.make(GATEWAY)
STRANGER = Identity.make(GATEWAY)


def said(device: Identity, number: int, chain: bytes) -> str:
    """A device's word for a journal."""
    checkpoint = Checkpoint(
        gateway=device.gateway, number=number, chain=chain.hex(), wall_ms=NOON_MS, trusted=True
    )
    return device.signed(checkpoint)


@dataclass
class Written:
    """A file on its way: its lines, and where the chain stands."""

    lines: list[bytes] = field(default_factory=list)
    number: int = 0
    chain: bytes = CHAIN_START

    def record(self, *bodies: Body) -> None:
        """The next records."""
        for body in bodies:
            now = Now(boot="b1", mono_ms=self.number, wall_ms=NOON_MS, wall_low_ms=NOON_MS)
            stored = store(record_of(self.number + 1, body, now), self.chain)
            self.number, self.chain = stored.number, stored.chain
            line = RecordLine(chain=stored.chain.hex(), record=msgspec.Raw(stored.content))
            self._line(line)

    def sealed(self, by: Identity = DEVICE) -> None:
        """A record with the device's word for those before it."""
        self.record(Sealed(checkpoint=said(by, self.number, self.chain)))

    def document(self, raw: bytes) -> None:
        """A document."""
        self._line(DocumentLine(document=raw.decode()))

    def seal(self, by: Identity = DEVICE) -> None:
        """The device's word for all that is above."""
        self._line(SealLine(seal=said(by, self.number, self.chain)))

    def _line(self, line: RecordLine | DocumentLine | SealLine) -> None:
        self.lines.append(msgspec.json.encode(line) + b"\n")


def receipt(number: int) -> Receipt:
    """A receipt of account A1, and so on."""
    return Receipt(
        account=f"A{number}",
        meter=f"M{number}",
        n=NOON_MS + number,
        paid_at=NOON_MS,
        exp=NOON_MS + 86_400_000,
    )


def accepted(number: int, raw: bytes) -> ReceiptAccepted:
    """The record of that receipt."""
    paper = receipt(number)
    return ReceiptAccepted(
        account=Account(paper.account),
        meter=Serial(paper.meter),
        n=paper.n,
        paid_at=paper.paid_at,
        digest=digest_of(claimed_by(raw).payload),
        signer="receipt-1",
        road=Road.LOCAL,
    )


def whole() -> Written:
    """A small file of which everything holds: eight records, two receipts, three seals."""
    written = Written()
    written.record(Started(version="1"))
    written.sealed()
    for number in (1, 2):
        raw = sign_receipt(receipt(number))
        written.document(raw)
        written.record(accepted(number, raw))
        written.record(Started(version="1"))
    written.sealed()
    written.record(Started(version="1"))
    written.seal()
    return written


def judged(
    folder: Path,
    lines: Iterable[bytes],
    *,
    key: str | None = DEVICE.public,
    roots: tuple[bytes, ...] = (),
) -> Proof:
    """What `--verify` says of these lines, and that its exit status agrees."""
    file, anchor = folder / "evidence.jsonl", folder / "root.json"
    file.write_bytes(b"".join(lines))
    anchor.write_bytes(b"\n".join(roots))
    options = [] if key is None else ["--device-key", key]
    options += ["--root", str(anchor)] if roots else []
    result = CliRunner().invoke(evidence, ["--verify", str(file), "--json", *options])
    assert isinstance(result.exception, SystemExit | None), result.exception
    proof = msgspec.json.decode(result.stdout, type=Proof)
    assert result.exit_code == (0 if proof.holds else 1)
    return proof
