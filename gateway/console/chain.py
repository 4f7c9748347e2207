"""The chain of records, checked link by link.

Owns the verdict whether records are the ones that were written, all of them, in their order. Must
never repair or skip: what does not continue the chain ends the reading.
"""

from collections.abc import Iterable, Iterator

import msgspec

from gateway.console.local import RecordLine
from gateway.core.model import Value
from gateway.core.records import CHAIN_START, Record, chain_hash, read_record


class BrokenChain(Exception):  # noqa: N818 - a judgement of records, not an error of ours
    """What was given is not the chain that was written; the message says where."""


class Link(Value):
    """A record with what it takes to check it: its hash is SHA-256(`previous` + its bytes)."""

    number: int
    previous: str | None
    """The hash before it, in hexadecimal; None: that record was not given."""
    chain: str
    record: msgspec.Raw


class Chain(Value):
    """Records without a gap, each continuing the one before."""

    records: tuple[Record, ...]
    links: tuple[Link, ...]

    @property
    def begins_with_the_journal(self) -> bool:
        """Whether the first one could be checked too."""
        return self.links[0].previous is not None


def read_lines(content: bytes) -> Iterator[RecordLine]:
    """The lines that `log --json` printed. Raises `BrokenChain`."""
    for at, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            yield msgspec.json.decode(line, type=RecordLine)
        except msgspec.DecodeError as error:
            raise BrokenChain(f"line {at} is no record of `log --json` ({error})") from error


def checked(lines: Iterable[RecordLine]) -> Chain:
    """The records, if they are one unbroken chain. Raises `BrokenChain`.

    Where the first one is not record 1, it is taken as given and all that follow are checked.
    """
    records: list[Record] = []
    links: list[Link] = []
    previous: bytes | None = None
    for line in lines:
        after = records[-1].number if records else None
        record = _record(line, after)
        if after is not None and record.number != after + 1:
            raise BrokenChain(f"the chain breaks: record {record.number} follows record {after}")
        if record.number == 1:
            previous = CHAIN_START
        chain = _hash_of(line, record.number)
        if previous is not None and chain_hash(previous, bytes(line.record)) != chain:
            raise BrokenChain(
                f"the chain breaks at record {record.number}: "
                "it or its hash is not what was once written"
            )
        links.append(
            Link(
                number=record.number,
                previous=None if previous is None else previous.hex(),
                chain=chain.hex(),
                record=line.record,
            )
        )
        records.append(record)
        previous = chain
    if not records:
        raise BrokenChain("no records")
    return Chain(records=tuple(records), links=tuple(links))


def _record(line: RecordLine, after: int | None) -> Record:
    try:
        return read_record(bytes(line.record))
    except msgspec.DecodeError as error:
        place = "the first record" if after is None else f"record {after + 1}"
        raise BrokenChain(f"the chain breaks at {place}: it cannot be read ({error})") from error


def _hash_of(line: RecordLine, number: int) -> bytes:
    try:
        return bytes.fromhex(line.chain)
    except ValueError as error:
        raise BrokenChain(f"the chain breaks at record {number}: its hash is none") from error
