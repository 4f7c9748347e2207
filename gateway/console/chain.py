"""The chain of records, checked link by link.

Owns the verdict whether records are the ones that were written, all of them, in their order. Must
never repair or skip: what does not continue the chain ends the reading.
"""

from collections.abc import Iterable

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


class Follower:
    """Goes along records and stops at the first that does not continue the chain.

    Where the first one is not record 1, it is taken as given and all that follow are checked.
    """

    def __init__(self) -> None:
        self.last: int | None = None
        """The number of the last record."""
        self.chain: bytes | None = None
        """The hash of the last record; None: it is not known."""

    def take(self, line: RecordLine) -> tuple[Record, Link]:
        """The next record. Raises `BrokenChain`, and stays where it was."""
        record = _record(line, self.last)
        if self.last is not None and record.number != self.last + 1:
            raise BrokenChain(
                f"the chain breaks: record {record.number} follows record {self.last}"
            )
        previous = CHAIN_START if record.number == 1 else self.chain
        chain = _hash_of(line, record.number)
        # One spelling only: a changed letter of the hash is a change, too.
        same = line.chain == chain.hex()
        if previous is not None:
            same &= chain_hash(previous, bytes(line.record)) == chain
        if not same:
            raise BrokenChain(
                f"the chain breaks at record {record.number}: "
                "it or its hash is not what was once written"
            )
        self.last, self.chain = record.number, chain
        return record, Link(
            number=record.number,
            previous=None if previous is None else previous.hex(),
            chain=line.chain,
            record=line.record,
        )


def checked(lines: Iterable[RecordLine]) -> Chain:
    """The records, if they are one unbroken chain. Raises `BrokenChain`."""
    follower = Follower()
    taken = [follower.take(line) for line in lines]
    if not taken:
        raise BrokenChain("no records")
    return Chain(
        records=tuple(record for record, _ in taken), links=tuple(link for _, link in taken)
    )


def _record(line: RecordLine, after: int | None) -> Record:
    try:
        return read_record(bytes(line.record))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        place = "the first record" if after is None else f"record {after + 1}"
        raise BrokenChain(f"the chain breaks at {place}: it cannot be read ({error})") from error


def _hash_of(line: RecordLine, number: int) -> bytes:
    try:
        return bytes.fromhex(line.chain)
    except ValueError as error:
        raise BrokenChain(f"the chain breaks at record {number}: its hash is none") from error
