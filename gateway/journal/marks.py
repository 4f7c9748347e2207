"""The marks' own two files, apart from the journal: what is known where that is lost.

Owns a pair of slots, of which the older one is written over. Must never touch the slot that holds
the newest marks: a write that a power cut tears leaves that one as it was.
"""

import contextlib
import hashlib
import logging
from pathlib import Path
from typing import Annotated

import msgspec

from gateway.core.marks import Marks
from gateway.core.model import Value
from gateway.journal.files import make_directory, sync_directory, sync_file, write_synced
from gateway.journal.trouble import named_errors

logger = logging.getLogger(__name__)

GENERATIONS = 2**32
"""Generations are counted modulo this; of two valid slots they lie next to each other."""


class Slot(Value):
    """What one of the two files says. After its canonical JSON follows the SHA-256 of that.

    `number` and `chain` (hexadecimal) are of the record after which it was written: a journal that
    holds that record knows all of it.
    """

    generation: Annotated[int, msgspec.Meta(ge=0, lt=GENERATIONS)]
    marks: Marks
    number: int = 0
    chain: str = ""


_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(Slot).decode


class MarksPair:
    """The files `marks.a` and `marks.b` of one directory."""

    def __init__(self, directory: Path) -> None:
        """Nothing is read here: see `read`."""
        self._directory = directory
        self._paths = (directory / "marks.a", directory / "marks.b")
        self._generation: int | None = None
        self._older = 0

    @property
    def there(self) -> bool:
        """Whether marks were ever written here, readable or not."""
        return any(path.exists() for path in self._paths)

    def read(self) -> Marks | None:
        """The marks that were written last; None: none, or none that are readable."""
        newest = self.newest()
        return None if newest is None else newest.marks

    def newest(self) -> Slot | None:
        """The slot that was written last; None: none, or none that is readable."""
        self._settle()
        first, second = (_slot_in(path) for path in self._paths)
        if first is None or (second is not None and _follows(second, first)):
            newest, self._older = second, 0
        else:
            newest, self._older = first, 1
        self._generation = 0 if newest is None else newest.generation
        return newest

    def write(self, marks: Marks, number: int = 0, chain: bytes = b"") -> None:
        """Write over the older slot; on return it is on the disk. Raises `JournalError`.

        `number` and `chain` are of the journal's last record.
        """
        if self._generation is None:
            self.newest()  # which one is the older
        generation = ((self._generation or 0) + 1) % GENERATIONS
        path = self._paths[self._older]
        with named_errors(path):
            new = not path.exists()
            if new:
                make_directory(self._directory)
            slot = Slot(generation=generation, marks=marks, number=number, chain=chain.hex())
            write_synced(path, content_of(slot))
            if new:
                sync_directory(self._directory)
        self._generation, self._older = generation, 1 - self._older

    def _settle(self) -> None:
        # A process that was killed in `write` may have left a slot that is not on the disk yet: it
        # must be there before the other one is written over. What cannot be done here fails there.
        there = [path for path in self._paths if path.is_file()]
        with contextlib.suppress(OSError):
            for path in there:
                sync_file(path)
            if there:
                make_directory(self._directory)
                sync_directory(self._directory)


def content_of(slot: Slot) -> bytes:
    """The bytes of a slot's file."""
    return _with_digest(_encode(slot))


def _with_digest(said: bytes) -> bytes:
    return said + b"\n" + hashlib.sha256(said).hexdigest().encode() + b"\n"


def _slot_in(path: Path) -> Slot | None:
    try:
        content = path.read_bytes()
        said = content.partition(b"\n")[0]
        if content == _with_digest(said):
            return _decode(said)
        trouble = "it is not what was once written"
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        trouble = str(error)
    logger.warning("%s: %s: the other one counts", path, trouble)
    return None


def _follows(one: Slot, other: Slot) -> bool:
    ahead = (one.generation - other.generation) % GENERATIONS
    return 0 < ahead < GENERATIONS // 2
