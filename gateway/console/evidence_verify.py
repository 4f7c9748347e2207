"""Verifying: what a file of evidence proves, anywhere, with nothing running.

Owns the walk along the file, and the verdict on its records, seals and documents. Must never count
as proven what it has not checked itself, nor ask a daemon or a configuration.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import assert_never

from gateway.console.chain import BrokenChain, Follower
from gateway.console.evidence_file import DocumentLine, Line, Named, SealLine, named_by
from gateway.console.evidence_papers import Papers
from gateway.console.local import RecordLine
from gateway.console.words import date_and_time
from gateway.core.device import Device, claimed_checkpoint, device_from, read_checkpoint
from gateway.core.documents import Checkpoint
from gateway.core.model import Digest, Value
from gateway.core.records import Record
from gateway.core.signature import (
    Flaw,
    Rejected,
    claimed_by,
    digest_of,
    public_key,
    tokens_of,
)
from gateway.core.soundness import Unsound
from gateway.core.trust import Algorithm, Key, Root
from gateway.core.trust_records import Sealed

MISSING_NAMED_MAX = 20


class DeviceKey(Value):
    """A device key: the whole enrolment, or the bare public half."""

    public: str
    alg: Algorithm
    device: Device | None


class SignedThrough(Value):
    """The newest seal that holds; `wall_ms` and `trusted` are what the gateway said of the time."""

    gateway: str
    number: int
    wall_ms: int
    trusted: bool


class Missing(Value):
    """A document that a record names and the file does not hold."""

    record: int
    digest: Digest


class Proof(Value):
    """What was proven before the end, or before what is `broken`.

    Records `proven_from` to `last` are one unbroken chain; the device has signed for them up to
    `signed`, in so many seals. `holds`: nothing in the file is left unproven that was asked about.
    """

    holds: bool
    broken: str
    first: int | None
    proven_from: int | None
    last: int | None
    chain: str
    signed: SignedThrough | None
    seals: int
    key_given: bool
    documents: int
    """Documents that are named and here."""
    vouched: bool
    """Whether the root of trust was given, and vouches for each of them."""
    missing: tuple[Missing, ...]
    """At most 20 of them."""
    missing_count: int


class Asked(Value):
    """What the file is checked against; what is None is not checked."""

    key: DeviceKey | None
    roots: tuple[Root, ...] | None


def device_key_of(said: str) -> DeviceKey:
    """A device key: a file's name, or the text itself, as `init` prints it. Raises `Rejected`."""
    try:
        is_text = said.startswith("{") or not Path(said).is_file()
        content = said if is_text else Path(said).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Rejected(Flaw.MALFORMED_PAYLOAD, f"cannot read it: {error}") from error
    content = content.strip()
    if content.startswith("{"):
        device = device_from(content.encode())
        return DeviceKey(public=device.public, alg=device.alg, device=device)
    alg, _, public = content.rpartition(" ")
    if alg.strip() not in {"", *Algorithm}:
        raise Rejected(Flaw.MALFORMED_PAYLOAD, "neither a file nor a key")
    key = DeviceKey(public=public, alg=Algorithm(alg.strip() or Algorithm.ED25519), device=None)
    public_key(Key(kid="device", alg=key.alg, public=key.public, roles=()))
    return key


def prove(lines: Iterable[Line], asked: Asked, progress: Callable[[int], None]) -> Proof:
    """What a file's lines prove."""
    walk, broken = _Walk(asked), ""
    try:
        for line in lines:
            walk.take(line)
            progress(walk.last or 0)
        walk.end()
    except BrokenChain as error:
        broken = str(error)
    return walk.proof(broken)


class _Walk:
    """Along one file, from its first line."""

    def __init__(self, asked: Asked) -> None:
        self._key = asked.key
        self._device = None if asked.key is None else asked.key.device
        self._papers = None if asked.roots is None else Papers(asked.roots)
        self._follower = Follower()
        self._first: int | None = None
        self._documents: dict[Digest, bytes] = {}
        self._named: set[Digest] = set()
        self._missing: list[Missing] = []
        self._missing_count = 0
        self._signed: SignedThrough | None = None
        self._seals = 0

    @property
    def last(self) -> int | None:
        """The last record that continues the chain."""
        return self._follower.last

    def take(self, line: Line) -> None:
        """The next line. Raises `BrokenChain`."""
        match line:
            case RecordLine():
                self._take_record(line)
            case DocumentLine():
                self._take_document(line.document.encode(errors="replace"))
            case SealLine():
                place = f"the seal after record {self.last}"
                self._check_seal(line.seal, self.last, self._follower.chain, place)
            case _:
                assert_never(line)

    def end(self) -> None:
        """Nothing follows. Raises `BrokenChain`."""
        if self._first is None:
            raise BrokenChain("no records")
        self._none_without_a_record()

    def proof(self, broken: str) -> Proof:
        """What was proven up to here."""
        first, chain = self._first, self._follower.chain
        signed_to_the_end = self._signed is not None and self._signed.number == self.last
        papers_hold = self._papers is None or self._missing_count == 0
        return Proof(
            holds=not broken and signed_to_the_end and papers_hold,
            broken=broken,
            first=first,
            proven_from=first if first in {None, 1} else first + 1,
            last=self.last,
            chain="" if chain is None else chain.hex(),
            signed=self._signed,
            seals=self._seals,
            key_given=self._key is not None,
            documents=len(self._named & self._documents.keys()),
            vouched=self._papers is not None,
            missing=tuple(self._missing),
            missing_count=self._missing_count,
        )

    def _take_record(self, line: RecordLine) -> None:
        before, chain_before = self._follower.last, self._follower.chain
        record, _ = self._follower.take(line)
        if self._first is None:
            self._first = record.number
        if isinstance(record.body, Sealed):
            place = f"the seal in record {record.number}"
            self._check_seal(record.body.checkpoint, before, chain_before, place)
        named = named_by(record.body)
        if named is not None:
            self._check_named(named, record)

    def _take_document(self, raw: bytes) -> None:
        try:
            digest = digest_of(claimed_by(tokens_of(raw)[0]).payload)
        except Rejected as flaw:
            raise BrokenChain(f"after record {self.last}: no document ({flaw})") from flaw
        if digest in self._documents or digest in self._named:
            raise BrokenChain(f"document {digest} stands twice, or after a record that names it")
        self._documents[digest] = raw

    def _check_named(self, named: Named, record: Record) -> None:
        raw = self._documents.get(named.digest)
        if raw is None:
            if named.digest not in self._named:
                self._missing_count += 1
                self._missing.append(Missing(record=record.number, digest=named.digest))
                del self._missing[MISSING_NAMED_MAX:]
            self._named.add(named.digest)
            return
        self._named.add(named.digest)
        place = f"the document of record {record.number}"
        claimed = claimed_by(tokens_of(raw)[0])
        if named.type is not None and claimed.type != named.type:
            raise BrokenChain(f"{place} says that it is {claimed.type[:40]!r}, not {named.type}")
        if self._papers is not None:
            try:
                self._papers.check(record.body, raw)
            except (Rejected, Unsound) as refusal:
                raise BrokenChain(f"{place} is not vouched for: {refusal}") from refusal

    def _none_without_a_record(self) -> None:
        for digest in self._documents.keys() - self._named:
            raise BrokenChain(f"no record names document {digest}")

    def _check_seal(self, seal: str, number: int | None, chain: bytes | None, place: str) -> None:
        raw = seal.encode(errors="replace")
        try:
            said = claimed_checkpoint(raw)
            if self._key is not None:
                self._device = self._device or _device_of(self._key, raw, said)
                said, _ = read_checkpoint(raw, self._device)
        except (Rejected, Unsound) as refusal:
            raise BrokenChain(f"{place} is not this device's: {refusal}") from refusal
        if chain is None:
            return  # the record that it is for is not here
        if (said.number, said.chain) != (number, chain.hex()):
            raise BrokenChain(f"{place} is for another chain: it signs record {said.number}")
        if self._key is not None:
            self._seals += 1
            self._signed = SignedThrough(
                gateway=said.gateway,
                number=said.number,
                wall_ms=said.wall_ms,
                trusted=said.trusted,
            )


def _device_of(key: DeviceKey, raw: bytes, said: Checkpoint) -> Device:
    """The device of a bare key; which gateway it is, its first seal says."""
    kid = claimed_by(raw).kid
    return Device(gateway=said.gateway, kid=kid, alg=key.alg, public=key.public)


# --- words ----------------------------------------------------------------------------------------


def proof_lines(proof: Proof) -> Iterator[str]:
    """What was proven, what not, and what is wrong."""
    if proof.first is not None:
        yield from _chain_lines(proof)
        yield from _signed_lines(proof)
        yield from _document_lines(proof)
    if proof.broken:
        yield f"BROKEN     {proof.broken}"
    yield f"verdict    {'all of it holds' if proof.holds else 'NOT PROVEN as a whole'}"


def _chain_lines(proof: Proof) -> Iterator[str]:
    yield f"chain      records {proof.first} to {proof.last} are unbroken and end in {proof.chain}"
    if proof.proven_from != proof.first:
        yield (
            f"           proven from record {proof.proven_from} on: what record {proof.first} says "
            "cannot be checked, the one before it is not here"
        )


def _signed_lines(proof: Proof) -> Iterator[str]:
    signed = proof.signed
    if not proof.key_given:
        yield "signed     nobody signed for them, as far as is known here: give --device-key"
        return
    if signed is None:
        yield "signed     the device has signed for none of them"
        return
    at = date_and_time(signed.wall_ms) + (
        "" if signed.trusted else ", by a clock nobody vouched for"
    )
    yield (
        f"signed     by the key of gateway {signed.gateway} up to record {signed.number}, "
        f"last at {at}; seals that hold: {proof.seals}"
    )
    if signed.number != proof.last:
        yield f"           nobody signed for records {signed.number + 1} to {proof.last}"


def _document_lines(proof: Proof) -> Iterator[str]:
    named = proof.documents + proof.missing_count
    vouched = (
        "the root of trust vouches for each, and they say what the records do"
        if proof.vouched
        else "they are those that the records name; who signed them, --root would check"
    )
    yield f"documents  {proof.documents} of {named} are here" + (
        f": {vouched}" if proof.documents else ""
    )
    for one in proof.missing:
        yield f"           not here: {one.digest}, record {one.record}"
    if proof.missing_count > len(proof.missing):
        yield f"           and {proof.missing_count - len(proof.missing)} more"
